"""What both matching methods share: the rule of matching, the answer that follows from it, and the question to R."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ivbridge.causal.balance import balance
from ivbridge.causal.matched import (
    Effect,
    Matches,
    greedy,
    matched_effect,
    nearest,
    nearest_spread,
    paired_effect,
    unit_weights,
)
from ivbridge.causal.overlap import describe
from ivbridge.causal.question import CausalData
from ivbridge.causal.r_side import ask_r, r_versions
from ivbridge.causal.records import Answer, Overlap
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.records import FloatArray, IntArray

__all__ = ["Rule", "answered", "arms", "asked_of_r", "overlap_of"]

R_PACKAGES = ("Matching", "MatchIt", "sandwich")


@dataclass(frozen=True, slots=True)
class Rule:
    """How units are matched; the methods' parameters of the same names say what each means.

    Raises
    ------
    DataError
        If a number is out of range, or pairs without replacement are asked for several neighbours.
    """

    neighbours: int
    replace: bool
    caliper: float | None
    adjust: bool
    variance_neighbours: int

    def __post_init__(self) -> None:
        if self.neighbours < 1 or self.variance_neighbours < 1:
            raise DataError("neighbours and variance_neighbours count units.", available="1, 2, 3, …")
        if self.caliper is not None and not self.caliper > 0:
            raise DataError(f"caliper={self.caliper!r} was asked.", available="a number above 0")
        if not self.replace and self.neighbours > 1:
            raise DataError("Matching without replacement makes pairs here.", do="set neighbours=1, or replace=True.")

    @property
    def limit(self) -> float:
        """The largest distance."""
        return math.inf if self.caliper is None else self.caliper

    def check(self, data: CausalData) -> None:
        """Refuse what has no meaning for the estimand.

        Raises
        ------
        UnsupportedError
        """
        if data.question.estimand == "ATE" and not (self.replace and self.caliper is None):
            raise UnsupportedError(
                "Without replacement, or within a caliper, not every unit finds a match: that is no longer the ATE.",
                do="ask for the ATT, or match with replacement and without a caliper.",
            )


def answered(data: CausalData, place: FloatArray, rule: Rule, order: IntArray) -> Answer:
    """Match, compare, and look at what the matching has achieved.

    Parameters
    ----------
    data : CausalData
    place : (n, k) array
        Coordinates of distances.
    rule : Rule
    order : (n₁,) int array
        The treated, in the order in which they choose where a control is used once.
    """
    matches = _matches(data, place, rule, order)
    effect = _effect(data, place, rule, matches)
    table = matches.frame(effect.differences)
    notes, warnings = [], []
    if dropped := len(matches.dropped):
        notes.append(
            f"{dropped} of {int(data.t.sum())} treated units have no match within the caliper; "
            "the effect is that of the others."
        )
    achieved = balance(data, unit_weights(table, data.n))
    if not achieved.ok:
        name, size = achieved.worst
        cure = "" if rule.adjust else " adjust=True removes a difference whose effect is linear."
        warnings.append(
            f"After matching {name} still differs by {abs(size):.2f} standard deviations between the arms, "
            f"so that the pairs alone do not make them comparable.{cure}"
        )
    pairs = len(matches.unit)
    return Answer(
        effect.estimate, effect.std_error, "Abadie and Imbens (2006)" if rule.replace else "clustered by pair",
        df=math.inf if rule.replace else pairs - 1.0, used=len(np.union1d(matches.unit, matches.partner)),
        parts=_parts(matches.unit, matches.partner, matches.distance, dropped), table=table,
        calls=(_call(rule),), notes=tuple(notes), warnings=tuple(warnings),
    )  # fmt: skip


def asked_of_r(data: CausalData, distance: str, rule: Rule) -> Answer:
    """The same from R, which estimates the score, makes the coordinates and looks for the pairs itself.

    Raises
    ------
    RError
        Also if a pair of R's is not with the nearest unit.
    """
    rule.check(data)
    reply = ask_r(
        "match", y=data.y, t=data.t, x=data.x, distance=distance, estimand=data.question.estimand, replace=rule.replace,
        neighbours=rule.neighbours, caliper=rule.limit, adjust=rule.adjust, spread=rule.variance_neighbours,
    )  # fmt: skip
    found = reply.value
    unit, partner = (np.asarray(found[name], dtype=np.int64) - 1 for name in ("unit", "partner"))
    return Answer(
        float(found["estimate"][0]), float(found["std_error"][0]), str(found["vcov"][0]),
        df=math.inf if rule.replace else len(unit) - 1.0, used=len(np.union1d(unit, partner)),
        parts=_parts(unit, partner, found["distance"], int(found["dropped"][0])),
        versions=r_versions(*R_PACKAGES), calls=tuple(found["calls"]), warnings=reply.remarks,
    )  # fmt: skip


def arms(data: CausalData) -> tuple[IntArray, IntArray]:
    """Positions of the treated and of the others."""
    return np.flatnonzero(data.treated), np.flatnonzero(~data.treated)


def overlap_of(data: CausalData, score: FloatArray, found: Answer) -> Overlap:
    """Overlap of the units that are compared, weighted by their use; a control that serves nobody does no harm."""
    weights = unit_weights(found.table, data.n)
    used = weights > 0
    return describe(score[used], data.t[used], weights[used], data.question.estimand)


def _matches(data: CausalData, place: FloatArray, rule: Rule, order: IntArray) -> Matches:
    rule.check(data)
    treated, others = arms(data)
    if not rule.replace:
        return greedy(place, order, others, rule.limit)
    found = nearest(place, treated, others, rule.neighbours, rule.limit)
    if data.question.estimand == "ATT":
        return found
    return found.joined(nearest(place, others, treated, rule.neighbours))


def _effect(data: CausalData, place: FloatArray, rule: Rule, matches: Matches) -> Effect:
    adjust = data.x if rule.adjust else None
    if not rule.replace:
        return paired_effect(data.y, data.t, matches, adjust)
    spread = nearest_spread(data.y, data.t, place, rule.variance_neighbours)
    return matched_effect(data.y, data.t, matches, spread, adjust)


def _parts(unit: IntArray, partner: IntArray, distance: FloatArray, dropped: int) -> dict[str, float]:
    """Numbers that differ as soon as one pair does: positions enter as sums."""
    return {
        "matches": float(len(unit)),
        "units matched": float(len(np.unique(unit))),
        "units dropped": float(dropped),
        "partners used": float(len(np.unique(partner))),
        "mean distance": float(np.mean(distance)),
        "sum of pair numbers": float(((unit + 1.0) * (partner + 1.0)).sum()),
    }


def _call(rule: Rule) -> str:
    if rule.replace:
        return f"scipy.spatial.cKDTree(controls).query(treated, k={rule.neighbours})"
    return "numpy.abs(free_controls - treated_unit).argmin()"
