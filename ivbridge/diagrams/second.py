"""The same questions put to pgmpy: a second opinion, held against the first."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ivbridge.diagrams.identify import Identification
from ivbridge.errors import MissingExtraError

__all__ = ["Opinion", "second_opinion"]

#: Subsets of these many nodes are what pgmpy goes through.
MOST_NODES = 12


@dataclass(frozen=True)
class Opinion:
    """One question, both answers, and what explains a difference that is known.

    Attributes
    ----------
    question : str
    ours, theirs : str
    agree : bool
    why : str
        Empty where they agree, and where the difference has no known reason.
    """

    question: str
    ours: str
    theirs: str
    agree: bool
    why: str = ""


def second_opinion(found: Identification) -> tuple[Opinion, ...]:
    """Ask pgmpy for the adjustment sets, a front door and the instruments.

    Raises
    ------
    MissingExtraError
        If pgmpy is missing.
    """
    diagram = found.diagram
    with _silent():
        try:
            from pgmpy.base import DAG
        except ImportError as error:
            raise MissingExtraError("The second opinion is pgmpy's.", do='pip install "ivbridge[diagrams]"') from error
        graph = DAG()
        graph.add_nodes_from(diagram.digraph.nodes)
        graph.add_edges_from(diagram.digraph.edges)
        roles = {"latents": set(diagram.hidden), "exposures": {found.treatment}, "outcomes": {found.dependent}}
        for role, names in roles.items():
            graph.with_role(role, names, inplace=True)
        return (_adjustment(graph, found), _front_door(graph, found), _instruments(graph, found))


def _adjustment(graph: Any, found: Identification) -> Opinion:
    from pgmpy.identification import Adjustment

    if len(found.diagram.observed) > MOST_NODES:
        known = Adjustment("minimal").identify(graph)[1]
        ours, theirs = str(bool(found.adjustment)), str(bool(known))
        return Opinion("Is there an adjustment set?", ours, theirs, ours == theirs)
    every, known = Adjustment("all").identify(graph)
    sets = (
        {frozenset(one.get_role("adjustment") if one.has_role("adjustment") else ()) for one in every}
        if known
        else set()
    )
    least = {one for one in sets if not any(other < one for other in sets)}
    ours, theirs = _sets({frozenset(one) for one in found.adjustment}), _sets(least)
    return Opinion("Which are the minimal adjustment sets?", ours, theirs, ours == theirs)


def _front_door(graph: Any, found: Identification) -> Opinion:
    from pgmpy.identification import Frontdoor

    if len(found.diagram.observed) > MOST_NODES:
        return Opinion("Is there a front door?", str(bool(found.front_doors)), "not asked: too many nodes", agree=True)
    known = bool(Frontdoor().identify(graph)[1])
    ours = bool(found.front_doors)
    why = ""
    if ours and not known:
        why = "pgmpy asks it of each node of a set by itself; for a set, paths between its nodes do not count."
    return Opinion("Is there a front door?", str(ours), str(known), ours == known, why)


def _instruments(graph: Any, found: Identification) -> Opinion:
    from pgmpy.inference import CausalInference

    question = "Which nodes are instruments, nothing held fixed?"
    ours = {one.name for one in found.instruments if not one.given}
    if found.dependent not in found.diagram.children(found.treatment):
        reason = "pgmpy answers only where the treatment has an arrow to the dependent variable."
        return Opinion(question, _names(ours), "not asked", agree=True, why=reason)
    theirs = set(CausalInference(graph).get_ivs(found.treatment, found.dependent))
    surplus = theirs - ours
    why = ""
    if surplus and surplus <= found.diagram.descendants([found.treatment]) and not ours - theirs:
        why = "pgmpy takes what the treatment causes for an instrument; where there is confounding it is none."
    return Opinion(question, _names(ours), _names(theirs), ours == theirs, why)


def _sets(sets: set[frozenset[str]]) -> str:
    return " ".join(sorted("{" + ", ".join(sorted(one)) + "}" for one in sets)) or "none"


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "none"


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the warnings and the progress that pgmpy prints about itself."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
