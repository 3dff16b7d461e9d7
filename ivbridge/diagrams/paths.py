"""Ways between two nodes of a diagram: which are open, and what stands on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from heapq import heappop, heappush
from itertools import islice, pairwise
from typing import Any

from ivbridge.diagrams.graph import Diagram, networkx

__all__ = [
    "MOST_PATHS",
    "MOST_STEPS",
    "Path",
    "causal_paths",
    "colliders",
    "is_causal",
    "is_open",
    "open_paths",
    "paths",
    "show",
]

#: Nodes of :attr:`Diagram.digraph` in a row.
Path = tuple[str, ...]
#: Paths that are looked at; a dense diagram has more than anyone would read.
MOST_PATHS = 5000
#: Beginnings of paths that are looked at.
MOST_STEPS = 100_000


@lru_cache(maxsize=64)
def paths(diagram: Diagram, start: str, end: str) -> tuple[Path, ...]:
    """Paths without a repeated node, whatever way their arrows point, short ones first.

    At most :data:`MOST_PATHS`, and fewer where :data:`MOST_STEPS` do not suffice to find so many.
    """
    skeleton = networkx().Graph()  # a view of the directed graph has no fixed order
    skeleton.add_nodes_from(diagram.digraph)
    skeleton.add_edges_from(diagram.digraph.edges)
    left = networkx().single_source_shortest_path_length(skeleton, end)
    found: list[Path] = []
    # the least length of any path that begins so, the places of its nodes among their neighbours, its nodes
    waiting: list[tuple[int, tuple[int, ...], Path]] = [(left[start], (), (start,))] if start in left else []
    for _ in range(MOST_STEPS):
        if not waiting or len(found) >= MOST_PATHS:
            break
        _, places, path = heappop(waiting)
        if path[-1] == end:
            found.append(path)
            continue
        for place, node in enumerate(skeleton[path[-1]]):
            if node not in path:
                heappush(waiting, (len(path) + left[node], (*places, place), (*path, node)))
    return tuple(found)


def causal_paths(diagram: Diagram, start: str, end: str) -> list[Path]:
    """Paths along arrows; the first :data:`MOST_PATHS`, short ones first."""
    found = networkx().all_simple_paths(diagram.digraph, start, end)
    return sorted((tuple(path) for path in islice(found, MOST_PATHS)), key=len)


def is_causal(diagram: Diagram, path: Path) -> bool:
    """Whether every arrow of the path points towards its end."""
    return all(diagram.digraph.has_edge(one, other) for one, other in pairwise(path))


def colliders(diagram: Diagram, path: Path) -> list[str]:
    """Nodes of the path at which two arrows meet."""
    graph: Any = diagram.digraph
    return [
        middle
        for before, middle, after in zip(path, path[1:], path[2:], strict=False)
        if graph.has_edge(before, middle) and graph.has_edge(after, middle)
    ]


def is_open(diagram: Diagram, path: Path, given: Iterable[str]) -> bool:
    """Whether the path carries association when these nodes are held fixed.

    It does if every collider on it is held fixed or causes something that is, and nothing else on it is held fixed
    (Pearl 2009, Causality, definition 1.2.3).
    """
    fixed = set(given)
    meeting = set(colliders(diagram, path))
    if fixed.intersection(path[1:-1]) - meeting:
        return False
    return not meeting or (bool(fixed) and meeting <= diagram.ancestors(fixed))


def open_paths(diagram: Diagram, start: str, end: str, given: Iterable[str]) -> list[Path]:
    """Paths that are open and not causal: what would be taken for an effect."""
    fixed = tuple(given)
    return [
        path for path in paths(diagram, start, end) if is_open(diagram, path, fixed) and not is_causal(diagram, path)
    ]


def show(diagram: Diagram, path: Sequence[str]) -> str:
    """Write a path as text: ``x <- u -> y``; an arc stays ``a <-> b``."""
    behind = diagram.hidden - diagram.latent
    text = path[0]
    for one, other in pairwise(path):
        if other in behind:
            text += " <-> "
        elif one in behind:
            text += other
        else:
            text += f" -> {other}" if diagram.digraph.has_edge(one, other) else f" <- {other}"
    return text
