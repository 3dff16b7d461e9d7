"""Rank-weighted average treatment effects: what is gained by treating in the order of a ranking.

TOC(q) is the mean score of the first q of the units less the mean of all; AUTOC is its mean over q, the Qini
coefficient the mean of q·TOC(q). Both are 0 for a ranking that has nothing to do with effects. Yadlowsky, Fleming,
Shah, Brunskill and Wager (2025, JASA 120, "Evaluating Treatment Prioritization Rules via Rank-Weighted Average
Treatment Effects"); the formula of ``rank_average_treatment_effect.fit`` of the R package grf.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["Kind", "Rate", "half_samples", "ranked", "rate", "toc"]

Kind = Literal["AUTOC", "Qini"]


@dataclass(frozen=True, slots=True)
class Rate:
    """A rank-weighted effect.

    Attributes
    ----------
    kind : {"AUTOC", "Qini"}
    estimate, std_error : float
        In units of the dependent variable. The error is 0 where all units have one priority.
    n, draws : int
        Units, and half samples that the standard error rests on.
    """

    kind: Kind
    estimate: float
    std_error: float
    n: int
    draws: int

    @property
    def statistic(self) -> float:
        """Estimate over standard error; 0 where the ranking has a single rank."""
        return self.estimate / self.std_error if self.std_error else 0.0

    @property
    def p_value(self) -> float:
        """One-sided: that an order without meaning does so well; standard normal."""
        return float(stats.norm.sf(self.statistic))

    def conf_int(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence limits."""
        half = float(stats.norm.isf((1 - level) / 2)) * self.std_error
        return self.estimate - half, self.estimate + half

    def __str__(self) -> str:
        return f"{self.kind} {self.estimate:.4g} ({self.std_error:.3g}), one-sided p {self.p_value:.3g}"


def ranked(score: FloatArray, priority: FloatArray) -> FloatArray:
    """(n,) scores in the order of falling priority; units of equal priority share their mean score.

    Raises
    ------
    DataError
        If the two differ in length, are empty or hold a value that is not finite.
    """
    if len(score) != len(priority) or not len(score) or not np.isfinite([score, priority]).all():
        raise DataError(f"{len(score)} scores and {len(priority)} priorities were given.",
                        do="give one finite number of each for every unit.")  # fmt: skip
    _, group, count = np.unique(-priority, return_inverse=True, return_counts=True)
    means: FloatArray = np.bincount(group, score) / count
    return np.repeat(means, count)


def toc(score: FloatArray, priority: FloatArray) -> FloatArray:
    """(n,) targeting operator characteristic: mean score of the first k units less the mean of all, k = 1 … n."""
    ordered = ranked(score, priority)
    curve: FloatArray = np.cumsum(ordered) / np.arange(1, len(ordered) + 1) - ordered.mean()
    return curve


def _weighted(score: FloatArray, priority: FloatArray, kind: Kind) -> float:
    curve = toc(score, priority)
    share = np.arange(1, len(curve) + 1) / len(curve) if kind == "Qini" else 1.0
    return float((curve * share).mean())


def half_samples(
    statistic: Callable[[FloatArray, FloatArray], FloatArray | float],
    score: FloatArray,
    priority: FloatArray,
    draws: int,
    seed: int,
) -> FloatArray:
    """(draws, …) values of a statistic on halves of the units, drawn without replacement.

    Their standard deviation is the standard error on all units: a half without replacement has the variance
    (1 - 1/2)/(n/2) = 1/n of a mean of n.
    """
    random = np.random.default_rng([seed, 0x5A1F])
    n = len(score)
    halves = (random.choice(n, n // 2, replace=False) for _ in range(draws))
    return np.array([statistic(score[half], priority[half]) for half in halves])


def rate(score: FloatArray, priority: FloatArray, kind: Kind = "AUTOC", draws: int = 500, seed: int = 0) -> Rate:
    """AUTOC or the Qini coefficient, with its standard error.

    Parameters
    ----------
    score : (n,) array
        Doubly robust scores of units that the priorities were not learned from.
    priority : (n,) array
        Units with the largest come first; predicted effects, or any other rule.
    kind : {"AUTOC", "Qini"}, default "AUTOC"
        AUTOC weights the first units most, Qini weights all ranks alike: better where most effects differ a little.
    draws : int, default 500
        Half samples behind the standard error; grf's default is 200.
    seed : int, default 0
        Of the half samples.

    Raises
    ------
    DataError
        If arrays do not fit, there are fewer than four units, or the kind is none.
    """
    if kind not in ("AUTOC", "Qini") or len(score) < 4 or draws < 2:
        raise DataError(f"{kind!r} of {len(score)} units from {draws} half samples was asked.",
                        available="AUTOC or Qini of four units or more, two half samples or more")  # fmt: skip
    found = _weighted(score, priority, kind)
    if np.ptp(priority) == 0:
        return Rate(kind, 0.0, 0.0, len(score), draws)
    halves = half_samples(lambda s, p: _weighted(s, p, kind), score, priority, draws, seed)
    return Rate(kind, found, float(halves.std(ddof=1)), len(score), draws)
