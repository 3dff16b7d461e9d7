"""What a diagram allows: sets to adjust for, front doors and instruments for the total effect of a treatment.

d-separation is that of networkx. The criteria are:

* adjustment: Shpitser, VanderWeele and Robins (2010, UAI), complete for adjustment; its minimal sets are those of the
  back-door criterion (Pearl 2009, definition 3.3.1);
* front door: Pearl (2009), definition 3.3.3, for sets of nodes;
* instrument, given covariates: Pearl (2009), section 7.4.5: unconfounded with and excluded from the dependent variable
  once the treatment is set, and related to the treatment.

An effect that none of them identifies may still be identified by a longer argument (Shpitser and Pearl 2006).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from ivbridge.diagrams.graph import Diagram, networkx
from ivbridge.diagrams.separators import separated, separators
from ivbridge.errors import DiagramError

__all__ = [
    "LARGE",
    "MOST_CANDIDATES",
    "Identification",
    "Instrument",
    "backdoor_graph",
    "forbidden",
    "identify",
    "is_adjustment",
]

#: Nodes from which front doors are composed: every subset is tried.
MOST_CANDIDATES = 12
#: Nodes of a diagram above which half as many candidates have to do, and nodes are not looked at one by one.
LARGE = 60


@dataclass(frozen=True)
class Instrument:
    """A node that is an instrument once ``given`` is held fixed."""

    name: str
    given: tuple[str, ...]


@dataclass(frozen=True)
class Identification:
    """What a diagram allows for the total effect of a treatment on a dependent variable.

    Attributes
    ----------
    diagram : Diagram
    treatment, dependent : str
    affects : bool
        Whether there is a path along arrows; without one the effect is zero.
    adjustment : tuple of tuples of str
        Every minimal set to adjust for; ``((),)`` says that nothing needs adjustment, ``()`` that no set will do.
    precise : tuple of str, optional
        The valid set with the smallest asymptotic variance (Henckel, Perković and Maathuis 2022), where all of it is
        observed.
    front_doors : tuple of tuples of str
        Minimal sets of nodes through which the whole effect goes.
    instruments : tuple of Instrument
        Each with its minimal sets; those that are related to the treatment only because a collider is held fixed are
        not looked for.
    complete : bool
        Whether the lists hold everything; False where there are too many sets to list.
    """

    diagram: Diagram
    treatment: str
    dependent: str
    affects: bool
    adjustment: tuple[tuple[str, ...], ...]
    precise: tuple[str, ...] | None
    front_doors: tuple[tuple[str, ...], ...]
    instruments: tuple[Instrument, ...]
    complete: bool

    @property
    def by(self) -> str:
        """The first that applies of "no effect", "adjustment", "front door" and "instrument"; else "none"."""
        ways = {
            "no effect": not self.affects, "adjustment": bool(self.adjustment), "front door": bool(self.front_doors),
            "instrument": bool(self.instruments),
        }  # fmt: skip
        return next((name for name, there in ways.items() if there), "none")


def identify(diagram: Diagram, treatment: str, dependent: str) -> Identification:
    """Say what identifies the total effect of a treatment.

    Parameters
    ----------
    diagram : Diagram
    treatment, dependent : str
        Two observed nodes.

    Raises
    ------
    DiagramError
        If one of them is no observed node, or they are the same.
    MissingExtraError
        If networkx is missing.
    """
    _check(diagram, treatment, dependent)
    order = {name: place for place, name in enumerate(diagram.nodes)}
    sets, complete = separators(
        backdoor_graph(diagram, treatment, dependent), treatment, dependent,
        set(diagram.observed) - forbidden(diagram, treatment, dependent),
    )  # fmt: skip
    affects = dependent in diagram.descendants([treatment])
    fronts, all_fronts = _front_doors(diagram, treatment, dependent)
    instruments, all_instruments = _instruments(diagram, treatment, dependent)
    return Identification(
        diagram, treatment, dependent, affects,
        adjustment=_sorted(sets, order),
        precise=_precise(diagram, treatment, dependent, order) if affects else None,
        front_doors=_sorted(fronts, order) if affects else (),
        instruments=tuple(
            Instrument(name, given) for name, sets in instruments.items() for given in _sorted(sets, order) if affects
        ),
        complete=complete and all_fronts and all_instruments,
    )  # fmt: skip


def forbidden(diagram: Diagram, treatment: str, dependent: str) -> frozenset[str]:
    """Nodes that no adjustment set may hold: those on the ways of the effect and all that these cause."""
    between = (diagram.descendants([treatment]) & diagram.ancestors([dependent])) - {treatment}
    return diagram.descendants(between) | {treatment, dependent}


def backdoor_graph(diagram: Diagram, treatment: str, dependent: str) -> Any:
    """The graph without the first arrow of each way of the effect."""
    graph = diagram.digraph.copy()
    leads = diagram.ancestors([dependent])
    graph.remove_edges_from([(treatment, child) for child in diagram.children(treatment) if child in leads])
    return graph


def is_adjustment(diagram: Diagram, treatment: str, dependent: str, given: Iterable[str]) -> bool:
    """Whether holding these nodes fixed identifies the total effect.

    Raises
    ------
    DiagramError
        If a node is unknown, not observed, or has a role already.
    """
    _check(diagram, treatment, dependent)
    fixed = set(given)
    diagram.check(*sorted(fixed))
    if unseen := sorted(fixed & diagram.latent):
        raise DiagramError(f"{unseen[0]!r} is not observed.", do="adjust for observed nodes.")
    if taken := sorted(fixed & {treatment, dependent}):
        raise DiagramError(f"{taken[0]!r} cannot be adjusted for: it is the treatment or the dependent variable.")
    if fixed & forbidden(diagram, treatment, dependent):
        return False
    return separated(backdoor_graph(diagram, treatment, dependent), [treatment], [dependent], fixed)


def _check(diagram: Diagram, treatment: str, dependent: str) -> None:
    diagram.check(treatment, dependent)
    if treatment == dependent:
        raise DiagramError(f"{treatment!r} is the treatment and the dependent variable.", do="name two nodes.")
    for name in (treatment, dependent):
        if name in diagram.latent:
            raise DiagramError(f"{name!r} is not observed.", available=", ".join(diagram.observed))


def _sorted(sets: Iterable[Iterable[str]], order: dict[str, int]) -> tuple[tuple[str, ...], ...]:
    inside = [tuple(sorted(one, key=order.__getitem__)) for one in sets]
    return tuple(sorted(inside, key=lambda one: (len(one), [order[name] for name in one])))


def _precise(diagram: Diagram, treatment: str, dependent: str, order: dict[str, int]) -> tuple[str, ...] | None:
    """Parents of the nodes on the ways of the effect, those nodes excepted."""
    ways = (diagram.descendants([treatment]) & diagram.ancestors([dependent])) - {treatment}
    causes = {parent for node in ways for parent in diagram.digraph.predecessors(node)}
    chosen = causes - forbidden(diagram, treatment, dependent)
    if chosen & diagram.hidden or not is_adjustment(diagram, treatment, dependent, chosen):
        return None
    return tuple(sorted(chosen, key=order.__getitem__))


def _front_doors(diagram: Diagram, treatment: str, dependent: str) -> tuple[list[frozenset[str]], bool]:
    """Minimal sets that intercept the effect, free of confounding on either side."""
    graph = diagram.digraph
    package = networkx()
    if dependent in diagram.children(treatment) or not package.has_path(graph, treatment, dependent):
        return [], True
    after, before = diagram.descendants([treatment]), diagram.ancestors([dependent])
    cut = _without_out(graph, [treatment])
    # with nothing held fixed, nodes are related if one cause, or one of themselves, is behind both
    related = set().union(
        *({cause} | package.descendants(cut, cause) for cause in package.ancestors(graph, treatment) | {treatment})
    )
    candidates = [name for name in diagram.observed if name != dependent and name in before - related]
    found: list[frozenset[str]] = []
    most = MOST_CANDIDATES if len(graph) <= LARGE else MOST_CANDIDATES // 2
    kept = sorted(candidates, key=lambda name: name not in after)[:most]
    for size in range(1, len(kept) + 1):
        for chosen in map(frozenset, combinations(kept, size)):
            rest = graph.subgraph(set(graph) - chosen)
            if any(smaller <= chosen for smaller in found) or package.has_path(rest, treatment, dependent):
                continue
            if separated(_without_out(graph, chosen), chosen, [dependent], [treatment]):
                found.append(chosen)
    return found, len(kept) == len(candidates)


def _without_out(graph: Any, names: Iterable[str]) -> Any:
    """The graph without the arrows that leave these nodes."""
    cut = graph.copy()
    cut.remove_edges_from(list(cut.out_edges(list(names))))
    return cut


def _instruments(diagram: Diagram, treatment: str, dependent: str) -> tuple[dict[str, list[frozenset[str]]], bool]:
    """Nodes that are instruments, each with the minimal sets that have to be held fixed."""
    after = diagram.descendants([treatment])
    allowed = [name for name in diagram.observed if name not in after and name != dependent]
    held = networkx().DiGraph(diagram.digraph)
    held.remove_edges_from(list(held.in_edges(treatment)))
    found: dict[str, list[frozenset[str]]] = {}
    complete = True
    for name in allowed:
        sets, all_of_them = separators(held, name, dependent, [other for other in allowed if other != name])
        complete &= all_of_them
        if fitting := [one for one in sets if not separated(diagram.digraph, [name], [treatment], one)]:
            found[name] = fitting
    return found, complete
