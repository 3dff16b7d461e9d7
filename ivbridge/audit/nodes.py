"""What a program computes, as a graph: a node for each value, with the nodes that it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

__all__ = ["FITTED", "Node", "Place", "Program", "Stream", "ancestors", "constant", "last"]

#: The keyword under which a prediction keeps the call that fitted its model.
FITTED = "*fit"


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something stands.

    Attributes
    ----------
    cell : int
        Position of the cell, from 0.
    line : int
        Line of the file; of the cell in a notebook.
    loop : int, default 0
        How many loops it stands in.
    """

    cell: int
    line: int
    loop: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A value.

    Attributes
    ----------
    op : str
        How it was made: call, method, attribute, column, columns, subset, take, split, part, draw, arith, compare,
        constant, list, each, filled, mixed or input.
    name : str
        The dotted name of what was called, a method, an attribute, a column, an operator.
    args : tuple of Node
        What it was made from; the object itself first for methods and attributes.
    keywords : mapping of str to Node
    place : Place
    value : object
        Of a constant; of a draw, how many draws came before it in its stream.
    key : int
        Equal for values that were computed in the same way from the same.
    labels : list of str
        Names and columns that it was assigned to.
    """

    op: str
    name: str
    args: tuple[Node, ...]
    keywords: Mapping[str, Node]
    place: Place
    value: object
    key: int
    labels: list[str] = field(default_factory=list)

    def argument(self, position: int, *names: str) -> Node | None:
        """An argument of a call or a method, by keyword or position; the object of a method does not count."""
        for name in names:
            if name in self.keywords:
                return self.keywords[name]
        given = self.args[1:] if self.op == "method" else self.args
        return given[position] if 0 <= position < len(given) else None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """All that it was made from."""
        return (*self.args, *self.keywords.values())

    @property
    def fitted(self) -> Node | None:
        """For what a fitted model says: the call that fitted it."""
        return self.keywords.get(FITTED)


@dataclass(slots=True, eq=False)
class Stream:
    """Random numbers that follow from one seed.

    Attributes
    ----------
    seed : object
        None where it is not known.
    kind : str
        ``numpy.random`` for numpy's global generator, otherwise the class of the generator.
    place : Place
        Where it was seeded.
    draws : list of Node
        In their order.
    """

    seed: object
    kind: str
    place: Place
    draws: list[Node] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Program:
    """All nodes of an analysis in the order in which they are computed.

    Attributes
    ----------
    nodes : list of Node
    bindings : list of (str, Node, Place)
        Each assignment to a name.
    columns : dict of Node to dict of str to Node
        Columns of tables, as last assigned.
    fits : dict of Node to Node
        The last call that fitted a model, by the model.
    loads : dict of str to list of Place
        Where a name is used.
    streams : list of Stream
        Each time that random numbers were started from a seed.
    stream : Stream
        The one that numpy's global generator is in.
    generators : dict of Node to Stream
    words : set of str
        Every name, attribute and module that the code has.
    """

    nodes: list[Node] = field(default_factory=list)
    bindings: list[tuple[str, Node, Place]] = field(default_factory=list)
    columns: dict[Node, dict[str, Node]] = field(default_factory=dict)
    fits: dict[Node, Node] = field(default_factory=dict)
    loads: dict[str, list[Place]] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)
    stream: Stream = field(default_factory=lambda: Stream(None, "numpy.random", Place(0, 0)))
    generators: dict[Node, Stream] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    _fresh: Iterator[int] = field(default_factory=count)
    _users: dict[Node, list[Node]] = field(default_factory=dict)

    def make(
        self,
        op: str,
        name: str,
        args: Iterable[Node] = (),
        place: Place = Place(0, 0),
        *,
        keywords: Mapping[str, Node] | None = None,
        value: object = None,
        unique: bool = False,
    ) -> Node:
        """Add a node; `unique` where computing it twice gives two things, such as a draw or a model."""
        given, named = tuple(args), dict(keywords or {})
        parts = (
            op,
            name,
            repr(value),
            tuple(a.key for a in given),
            tuple((k, v.key) for k, v in sorted(named.items())),
        )
        node = Node(op, name, given, named, place, value, hash((parts, next(self._fresh) if unique else None)))
        self.nodes.append(node)
        for one in node.inputs:
            self._users.setdefault(one, []).append(node)
        return node

    def users(self, node: Node) -> list[Node]:
        """Nodes that were made from it directly."""
        return self._users.get(node, [])

    def descendants(self, node: Node) -> set[Node]:
        """It and everything that was made from it."""
        found, left = {node}, [node]
        while left:
            for one in self.users(left.pop()):
                if one not in found:
                    found.add(one)
                    left.append(one)
        return found


def ancestors(node: Node) -> set[Node]:
    """It and everything that it was made from."""
    found, left = {node}, [node]
    while left:
        for one in left.pop().inputs:
            if one not in found:
                found.add(one)
                left.append(one)
    return found


def last(node: Node) -> str:
    """The last part of the name of what is called: ``OLS`` of ``statsmodels.api.OLS``."""
    return node.name.rpartition(".")[2]


def constant(node: Node | None) -> object:
    """The value of a constant, of a list of constants a tuple, otherwise None."""
    if node is None:
        return None
    if node.op == "list":
        return tuple(constant(one) for one in node.args)
    return node.value if node.op == "constant" else None
