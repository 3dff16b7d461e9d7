"""What a diagram says about the data: pairs of observed nodes that are independent once others are held fixed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

from ivbridge.diagrams.graph import Diagram, networkx

__all__ = ["Independence", "implications"]


@dataclass(frozen=True)
class Independence:
    """``one`` and ``other`` are independent given ``given``, if the diagram is right."""

    one: str
    other: str
    given: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.one} ⊥ {self.other}" + (f" | {', '.join(self.given)}" if self.given else "")


def implications(diagram: Diagram) -> tuple[Independence, ...]:
    """One independence for each pair of observed nodes that observed nodes can separate.

    A dependence in the data where the diagram says independence refutes the diagram; the reverse does not confirm it.
    The set of each pair is a minimal one, by networkx.
    """
    found = []
    for one, other in combinations(diagram.observed, 2):
        chosen = networkx().find_minimal_d_separator(
            diagram.digraph, one, other, restricted=set(diagram.observed) - {one, other}
        )
        if chosen is not None:
            found.append(Independence(one, other, tuple(name for name in diagram.nodes if name in chosen)))
    return tuple(found)
