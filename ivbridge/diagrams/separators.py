"""All smallest sets that make two nodes of a diagram independent."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import combinations
from typing import Any

from ivbridge.diagrams.graph import networkx

__all__ = ["MOST_SETS", "separated", "separators"]

#: Sets that are listed; there may be exponentially many.
MOST_SETS = 200


def separated(graph: Any, start: Iterable[str], end: Iterable[str], given: Iterable[str]) -> bool:
    """Whether two disjoint sets of nodes are d-separated by a third one, by networkx."""
    return bool(networkx().is_d_separator(graph, set(start), set(end), set(given)))


def separators(graph: Any, start: str, end: str, allowed: Iterable[str]) -> tuple[list[frozenset[str]], bool]:
    """Minimal sets of allowed nodes that d-separate two nodes: nothing can be left out of any of them.

    Parameters
    ----------
    graph : networkx.DiGraph
    start, end : str
    allowed : iterable of str
        Nodes that a set may hold.

    Returns
    -------
    sets : list of frozenset of str
        Small ones first, at most :data:`MOST_SETS`.
    complete : bool
        Whether these are all.

    Notes
    -----
    Minimal d-separators are the minimal vertex separators of the moral graph of the ancestors (van der Zander,
    Liśkiewicz and Textor 2019, Artificial Intelligence 270), in which the neighbours of a node that is not allowed are
    joined instead. From the separator next to ``start`` every other one is reached by taking one of its nodes to the
    side of ``start`` (Kloks and Kratsch 1998, SIAM Journal on Computing 27).
    """
    moral = _moral(graph, start, end, set(allowed) - {start, end})
    if moral.has_edge(start, end):
        return [], True
    found: dict[frozenset[str], None] = {}
    waiting = deque([_boundary(moral, {start, *moral[start]}, end)])
    while waiting and len(found) < MOST_SETS:
        one = waiting.popleft()
        if one in found:
            continue
        found[one] = None
        for node in sorted(one):
            if not moral.has_edge(node, end):
                waiting.append(_boundary(moral, {*one, *moral[node]}, end))
    complete = all(one in found for one in waiting)
    return sorted(found, key=lambda one: (len(one), sorted(one))), complete


def _moral(graph: Any, start: str, end: str, allowed: set[str]) -> Any:
    """The moral graph of the ancestors of two nodes, on them and the allowed nodes."""
    package = networkx()
    kept = {start, end} | package.ancestors(graph, start) | package.ancestors(graph, end)
    moral = package.Graph(package.moral_graph(graph.subgraph(kept)))
    for node in kept - allowed - {start, end}:
        moral.add_edges_from(combinations(list(moral[node]), 2))
        moral.remove_node(node)
    return moral


def _boundary(moral: Any, removed: set[str], end: str) -> frozenset[str]:
    """Neighbours of the part in which ``end`` lies once these nodes are removed."""
    rest = moral.subgraph(set(moral) - removed)
    part = networkx().node_connected_component(rest, end)
    return frozenset(neighbour for node in part for neighbour in moral[node]) - frozenset(part)
