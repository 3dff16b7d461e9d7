"""The mean outcome of each arm, unit by unit, made robust by the propensity score.

With cross-fitted μ0(x), μ1(x) and e(x), the score of an arm is Γ1 = μ1 + T (Y - μ1)/e and
Γ0 = μ0 + (1 - T)(Y - μ0)/(1 - e); their mean difference is the augmented inverse-probability estimate of Robins,
Rotnitzky and Zhao (1994, Journal of the American Statistical Association 89). It stays right if μ or e is wrong, and
its standard error needs no more than the spread of the scores (Chernozhukov et al. 2018, Econometrics Journal 21).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivbridge.causal.overlap import describe, refuse
from ivbridge.causal.records import Overlap
from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["Arms"]


@dataclass(frozen=True, slots=True, eq=False)
class Arms:
    """What was learned of each unit by models that have not seen it.

    Attributes
    ----------
    y, t : (n,) arrays
        Dependent variable; treatment, 0.0 or 1.0.
    score : (n,) array
        Propensity score, strictly between 0 and 1.
    mu0, effect : (n,) arrays
        Mean outcome without treatment, and effect of the treatment; the mean outcome with it is their sum.
    """

    y: FloatArray
    t: FloatArray
    score: FloatArray
    mu0: FloatArray
    effect: FloatArray

    def scores(self) -> FloatArray:
        """(n, 2) array of doubly robust scores: without treatment, with treatment."""
        mu1 = self.mu0 + self.effect
        without = self.mu0 + (1 - self.t) * (self.y - self.mu0) / (1 - self.score)
        treated = mu1 + self.t * (self.y - mu1) / self.score
        return np.column_stack([without, treated])

    def average(self, estimand: str) -> tuple[float, FloatArray]:
        """Average effect and its (n,) influence values, whose mean square over n is the squared standard error.

        Parameters
        ----------
        estimand : {"ATE", "ATT"}

        Raises
        ------
        DataError
            If the estimand is another.
        """
        if estimand == "ATE":
            score = self.scores() @ np.array([-1.0, 1.0])
            return float(score.mean()), score - score.mean()
        if estimand != "ATT":
            raise DataError(f"The estimand {estimand!r} was asked.", available="ATE, ATT")
        share = self.t.mean()
        gain = (self.y - self.mu0) * (self.t - self.score) / (1 - self.score)
        estimate = float(gain.mean() / share)
        return estimate, (gain - self.t * estimate) / share

    def overlap(self, estimand: str = "ATE") -> Overlap:
        """Overlap under the weights of the estimand.

        Raises
        ------
        DesignError
            If next to nothing is left to compare.
        """
        odds = self.score / (1 - self.score)
        if estimand == "ATT":
            weights = self.t + (1 - self.t) * odds
        else:
            weights = self.t / self.score + (1 - self.t) / (1 - self.score)
        found = describe(self.score, self.t, weights, estimand)
        refuse(found)
        return found
