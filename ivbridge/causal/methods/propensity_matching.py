"""Matching on the propensity score."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ivbridge.causal.matched import scaled, whitened
from ivbridge.causal.matched_score import variance_change
from ivbridge.causal.matching import Rule, answered, arms, asked_of_r, overlap_of
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.overlap import refuse
from ivbridge.causal.propensity import Propensity, logit
from ivbridge.causal.question import CausalData
from ivbridge.causal.r_side import ask_r
from ivbridge.causal.records import Answer
from ivbridge.errors import DataError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray

__all__ = ["PropensityMatching"]


@dataclass(frozen=True, kw_only=True)
class PropensityMatching(CausalMethod):
    """Compare each unit with the units of the other arm whose estimated probability of treatment is nearest.

    The score is a logit by maximum likelihood. With replacement, equally near units all count, and the standard error
    is that of Abadie and Imbens (2006, Econometrica 74(1)) with the correction for the estimated score of Abadie and
    Imbens (2016, Econometrica 84(2), theorems 1 and 2). Without replacement the treated choose in descending order of
    their scores, as in MatchIt, and errors are clustered by pair. Rosenbaum and Rubin (1983, Biometrika 70(1)).

    Parameters
    ----------
    replace : bool, default True
        Whether a control can serve more than once. MatchIt's default is without, Matching's and Stata's with.
    neighbours : int, default 1
        Matches for each unit.
    on : {"score", "logit"}, default "score"
        Distance in the probability, or in its logit.
    caliper : float, optional
        Largest distance, in standard deviations of the score (or logit) over all units; MatchIt's ``std.caliper``.
    adjust : bool, default False
        Remove by least squares what the covariates still differ within matches: the bias adjustment of Abadie and
        Imbens (2011), or without replacement the regression on the matched sample.
    known_score : bool, default False
        Leave the correction out, as R's Matching does. With `adjust` it is always left out.
    variance_neighbours : int, default 1
        Units of the same arm from which a unit's variance is estimated: Matching's ``Var.calc``, whose default is 0,
        equal variances for all.

    Raises
    ------
    DataError
        If a parameter is out of range, or pairs without replacement are asked for several neighbours.
    """

    name: ClassVar[str] = "propensity_matching"
    title: ClassVar[str] = "Propensity score matching"
    estimands: ClassVar[tuple[str, ...]] = ("ATE", "ATT")
    packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "statsmodels")
    extra: ClassVar[str] = "causal"
    r_call: ClassVar[str] = "Matching::Match and MatchIt::matchit"
    relative: ClassVar[float] = 1e-9
    why_relative: ClassVar[str] = (
        "the same pairs; the scores of both sides differ by 1e-15 and a distance to a near neighbour is their "
        "difference, a ten-thousandth of them; the correction is the difference of two variances"
    )
    replace: bool = True
    neighbours: int = 1
    on: Literal["score", "logit"] = "score"
    caliper: float | None = None
    adjust: bool = False
    known_score: bool = False
    variance_neighbours: int = 1

    def __post_init__(self) -> None:
        if self.on not in ("score", "logit"):
            raise DataError(f"on={self.on!r} was asked.", available="score, logit")
        self._rule()

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """See :meth:`CausalMethod.answer`."""
        fitted = logit(data)
        place = scaled(fitted.score if self.on == "score" else fitted.design @ fitted.scaled)
        treated, _ = arms(data)
        order = treated[np.argsort(-place[treated, 0], kind="stable")]
        found = answered(data, place, self._rule(), order)
        overlap = overlap_of(data, fitted.score, found)
        refuse(overlap)
        found = dataclasses.replace(found, overlap=overlap)
        if not self._corrected():
            return found
        return _corrected(found, _change(data, fitted, place, found.estimate))

    def reference(self, data: CausalData, seed: int) -> Answer:
        """See :meth:`CausalMethod.reference`."""
        found = asked_of_r(data, self.on, self._rule())
        if not self._corrected():
            return found
        reply = ask_r("match_score", y=data.y, t=data.t, x=data.x, distance=self.on, estimand=data.question.estimand,
                      estimate=found.estimate)  # fmt: skip
        return _corrected(found, float(reply.value["change"][0]))

    def _rule(self) -> Rule:
        return Rule(self.neighbours, self.replace, self.caliper, self.adjust, self.variance_neighbours)

    def _corrected(self) -> bool:
        return self.replace and not self.adjust and not self.known_score


def _change(data: CausalData, fitted: Propensity, place: FloatArray, estimate: float) -> float:
    near = whitened(fitted.design[:, 1:], data.t, within=True)
    return variance_change(data, fitted.design, fitted.score, place, near, estimate)


def _corrected(found: Answer, change: float) -> Answer:
    """The standard error with the correction for the estimated score."""
    variance = found.std_error**2 + change
    parts = {**found.parts, "std.error, score known": found.std_error}
    if variance <= 0:
        said = "The correction for the estimated score leaves no variance; the standard error takes the score as known."
        return dataclasses.replace(found, parts=parts, warnings=(*found.warnings, said))
    return dataclasses.replace(
        found, std_error=math.sqrt(variance), vcov="Abadie and Imbens (2016), score estimated", parts=parts
    )
