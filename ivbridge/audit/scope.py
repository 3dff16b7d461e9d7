"""What names stand for at one point of a program."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field

from ivbridge.audit.nodes import Node, Place, Program

__all__ = ["DEEPEST", "Function", "Scope"]

#: Calls within calls of the program's own functions that are followed.
DEEPEST = 4


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the program, and the cell that it stands in."""

    node: ast.FunctionDef | ast.AsyncFunctionDef
    cell: int
    shift: int


@dataclass(slots=True, eq=False)
class Scope:
    """Names of a module or of a function while it is followed.

    Attributes
    ----------
    program : Program
    run : callable
        Follows a call of one of the program's own functions.
    assign : callable
        Gives a value to a target.
    names : dict of str to Node
    imports : dict of str to str
        Names to the dotted names that they stand for.
    functions : dict of str to Function
    cell, shift, loop, depth : int
        Cell, lines before it, loops around, calls around.
    returned : list of Node
    seen : set of str
        Functions that were called.
    """

    program: Program
    run: Callable[[Function, list[Node], dict[str, Node], Scope], Node | None]
    assign: Callable[[ast.expr, Node, Scope], None]
    names: dict[str, Node] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)
    cell: int = 0
    shift: int = 0
    loop: int = 0
    depth: int = 0
    returned: list[Node] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def place(self, node: ast.AST) -> Place:
        """Where a piece of syntax stands."""
        return Place(self.cell, getattr(node, "lineno", 0) + self.shift, self.loop)

    def inner(self, function: Function) -> Scope:
        """The scope of a function's body: it sees the names around it, and changes its own."""
        return Scope(
            self.program,
            self.run,
            self.assign,
            dict(self.names),
            dict(self.imports),
            dict(self.functions),
            function.cell,
            function.shift,
            self.loop,
            self.depth + 1,
            [],
            self.seen,
        )

    def bind(self, name: str, value: Node, place: Place) -> None:
        """Give a value a name."""
        self.names[name] = value
        value.labels.append(name)
        self.program.bindings.append((name, value, place))
