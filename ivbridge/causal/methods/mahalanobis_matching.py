"""Matching on the covariates themselves."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Literal

from ivbridge.causal.matched import whitened
from ivbridge.causal.matching import Rule, answered, arms, asked_of_r, overlap_of
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.propensity import logit, standardised
from ivbridge.causal.question import CausalData
from ivbridge.causal.records import Answer
from ivbridge.errors import DataError, DesignError
from ivbridge.progress import Progress

__all__ = ["MahalanobisMatching"]


@dataclass(frozen=True, kw_only=True)
class MahalanobisMatching(CausalMethod):
    """Compare each unit with the units of the other arm whose covariates are nearest, by Mahalanobis' distance.

    With replacement, equally near units all count, and the standard error is that of Abadie and Imbens (2006,
    Econometrica 74(1)). With several continuous covariates the pairs differ too much for the interval to cover; then
    `adjust` is needed (Abadie and Imbens 2011, JBES 29(1)). Without replacement the treated choose in the order of the
    data and errors are clustered by pair.

    Parameters
    ----------
    replace, neighbours, adjust, variance_neighbours
        As :class:`~ivbridge.causal.methods.propensity_matching.PropensityMatching` has them.
    metric : {"within", "overall"}, default "within"
        Covariance of the covariates within the arms, pooled (MatchIt), or over all units (Matching, Stata).
    caliper : float, optional
        Largest distance.

    Raises
    ------
    DataError
        If a parameter is out of range, or pairs without replacement are asked for several neighbours.
    """

    name: ClassVar[str] = "mahalanobis_matching"
    title: ClassVar[str] = "Mahalanobis matching"
    estimands: ClassVar[tuple[str, ...]] = ("ATE", "ATT")
    packages: ClassVar[tuple[str, ...]] = ("numpy", "scipy", "statsmodels")
    extra: ClassVar[str] = "causal"
    r_call: ClassVar[str] = "Matching::Match and MatchIt::matchit"
    relative: ClassVar[float] = 1e-10
    why_relative: ClassVar[str] = "the same pairs, and sums over them: a few thousand roundings of 1e-16"
    replace: bool = True
    neighbours: int = 1
    metric: Literal["within", "overall"] = "within"
    caliper: float | None = None
    adjust: bool = False
    variance_neighbours: int = 1

    def __post_init__(self) -> None:
        if self.metric not in ("within", "overall"):
            raise DataError(f"metric={self.metric!r} was asked.", available="within, overall")
        self._rule()

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """See :meth:`CausalMethod.answer`."""
        place = whitened(standardised(data)[:, 1:], data.t, within=self.metric == "within")
        found = answered(data, place, self._rule(), arms(data)[0])
        try:
            return dataclasses.replace(found, overlap=overlap_of(data, logit(data).score, found))
        except DesignError as error:
            said = f"Whether the arms overlap could not be told from a propensity score: {error}"
            return dataclasses.replace(found, warnings=(*found.warnings, said))

    def reference(self, data: CausalData, seed: int) -> Answer:
        """See :meth:`CausalMethod.reference`."""
        return asked_of_r(data, self.metric, self._rule())

    def _rule(self) -> Rule:
        return Rule(self.neighbours, self.replace, self.caliper, self.adjust, self.variance_neighbours)
