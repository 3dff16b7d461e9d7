"""What a check of code sees, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from ivbridge.audit.models import Model
from ivbridge.audit.nodes import Node, Place, Program
from ivbridge.audit.reading import Source
from ivbridge.audit.vocabulary import is_treatment, names_of

__all__ = ["Hit", "Look", "View", "masked", "title"]


@dataclass(frozen=True, slots=True)
class Hit:
    """A mistake in the code: which check, where, what is there, a number where the code itself says one."""

    check: str
    place: Place
    found: str
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """An analysis as checks see it.

    Attributes
    ----------
    source : Source
    program : Program
    models : tuple of Model
    treatment : tuple of str
        Names of the treatment, where the user gave them; otherwise it is guessed from names.
    """

    source: Source
    program: Program
    models: tuple[Model, ...]
    treatment: tuple[str, ...] = ()

    def treated(self, node: Node | None) -> bool:
        """Whether a value is the treatment, some rows of it included."""
        while node is not None and node.op in ("take", "subset", "split"):
            if is_treatment(node, self.treatment):
                return True
            node = node.args[0]
        return is_treatment(node, self.treatment)

    def says(self, pattern: str) -> bool:
        """Whether a name in the code has the pattern."""
        return any(re.search(pattern, word, re.IGNORECASE) for word in self.program.words)

    def named(self, names: frozenset[str]) -> list[Node]:
        """Calls, methods and attributes with one of these names."""
        wanted = ("call", "method", "attribute")
        return [one for one in self.program.nodes if one.op in wanted and one.name.rpartition(".")[2] in names]


Look = Callable[[View], Iterator[Hit]]


def title(node: Node) -> str:
    """What to call a value in a sentence."""
    return next(iter(names_of(node)), node.name or node.op)


def masked(view: View, node: Node) -> Node | None:
    """The variable of a condition ``t == 1`` or ``t``, where it is one."""
    if node.op == "compare":
        return node.args[0]
    if node.op == "arith" and len(node.args) == 1:
        return masked(view, node.args[0])
    return node if view.treated(node) else None
