"""A causal diagram: who causes whom, and what is not observed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from types import ModuleType
from typing import Any

from ivbridge.errors import DiagramError, MissingExtraError

__all__ = ["Diagram", "common_cause", "networkx"]


def networkx() -> ModuleType:
    """The package of graphs.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import networkx as nx
    except ImportError as error:
        raise MissingExtraError(
            "Identification from a diagram needs the Python package networkx.", do='pip install "ivbridge[diagrams]"'
        ) from error
    module: ModuleType = nx
    return module


def common_cause(arc: Sequence[str]) -> str:
    """The unobserved node that stands for ``a <-> b`` in a directed graph; no text can name it."""
    return f"{arc[0]} <-> {arc[1]}"


@dataclass(frozen=True)
class Diagram:
    """A directed acyclic graph with unobserved nodes.

    Parameters
    ----------
    nodes : tuple of str
        In the order in which they were first named.
    arrows : tuple of (str, str)
        Cause and effect.
    arcs : tuple of (str, str)
        ``a <-> b``: two nodes with a common cause that is not observed and not named.
    latent : frozenset of str
        Nodes that are not observed.

    Raises
    ------
    DiagramError
        If the arrows form a cycle, an arrow points at its own start, or a node is unknown.
    """

    nodes: tuple[str, ...]
    arrows: tuple[tuple[str, str], ...]
    arcs: tuple[tuple[str, str], ...] = ()
    latent: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        self.check(*(end for edge in (*self.arrows, *self.arcs) for end in edge), *self.latent)
        for one, other in (*self.arrows, *self.arcs):
            if one == other:
                raise DiagramError(f"{one!r} is joined to itself.", do="join two different nodes.")
        try:
            TopologicalSorter({name: self.parents(name) for name in self.nodes}).prepare()
        except CycleError as error:
            raise DiagramError(
                f"The arrows form a cycle: {' -> '.join(error.args[1])}.",
                do="remove one of them; what acts back later is another node, such as y_next_year.",
            ) from None

    @property
    def observed(self) -> tuple[str, ...]:
        """Nodes that are observed, in their order."""
        return tuple(name for name in self.nodes if name not in self.latent)

    @cached_property
    def digraph(self) -> Any:
        """A networkx.DiGraph in which each arc is an unobserved node with two arrows. Do not change it."""
        graph = networkx().DiGraph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from(self.arrows)
        for arc in self.arcs:
            graph.add_edges_from((common_cause(arc), end) for end in arc)
        return graph

    @property
    def hidden(self) -> frozenset[str]:
        """Unobserved nodes of :attr:`digraph`: those named and those behind an arc."""
        return self.latent | {common_cause(arc) for arc in self.arcs}

    def parents(self, name: str) -> tuple[str, ...]:
        """Direct causes."""
        return tuple(cause for cause, effect in self.arrows if effect == name)

    def children(self, name: str) -> tuple[str, ...]:
        """Direct effects."""
        return tuple(effect for cause, effect in self.arrows if cause == name)

    def descendants(self, names: Iterable[str]) -> frozenset[str]:
        """Everything that these nodes cause, and the nodes themselves."""
        wanted = set(names)
        return frozenset(wanted.union(*(networkx().descendants(self.digraph, name) for name in wanted)))

    def ancestors(self, names: Iterable[str]) -> frozenset[str]:
        """Everything that causes these nodes, and the nodes themselves; nodes behind arcs are not among them."""
        wanted = set(names)
        found = wanted.union(*(networkx().ancestors(self.digraph, name) for name in wanted))
        return frozenset(found.intersection(self.nodes))

    def check(self, *names: str) -> None:
        """Refuse nodes that are not in the diagram.

        Raises
        ------
        DiagramError
            Naming the first of them.
        """
        for name in names:
            if name not in self.nodes:
                raise DiagramError(f"The diagram has no node {name!r}.", available=", ".join(self.nodes))
