"""Treatments, and units, in the order that a risk-averse decision maker gives them.

An average effect is what a risk-neutral one looks at. With an aversion to risk an arm is worth its certainty
equivalent: the sure outcome that is as good as drawing a unit's outcome of that arm. It needs the distribution of each
arm's outcome alone, not how the two go together in a unit, so that unconfoundedness identifies it. Mean utilities are
doubly robust means of cross-fitted scores; standard errors of certainty equivalents are by the delta method.

Units compete for a treatment that not all can have: the sum of expected utilities is largest if those are treated whose
expected utility gains most.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pandas as pd
from scipy import stats

from ivbridge.causal.arms import Arms
from ivbridge.causal.crossfit import draw_folds
from ivbridge.causal.meta import MetaLearner
from ivbridge.causal.methods.t_learner import TLearner
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.errors import DataError, DesignError
from ivbridge.records import FloatArray, IntArray

__all__ = [
    "Attitude", "ConstantAbsolute", "ConstantRelative", "MeanVariance", "Preference", "UnitRanking", "compare_arms",
    "rank_units",
]  # fmt: skip


class Attitude(Protocol):
    """How outcomes are valued: moments of an outcome, and the certainty equivalent that they make up."""

    @property
    def additive(self) -> bool:
        """Whether there is one moment, a utility, so that gains of units add up."""
        ...

    def unit(self, y: FloatArray) -> float:
        """A typical outcome; utility is scaled so that its derivative there is 1, in units of the outcome."""
        ...

    def moments(self, y: FloatArray, unit: float) -> FloatArray:
        """(n, q) functions of outcomes whose means are needed."""
        ...

    def equivalent(self, means: FloatArray, unit: float) -> tuple[FloatArray, FloatArray]:
        """(…,) certainty equivalents of (…, q) means, and their (…, q) derivatives; NaN where there is none."""
        ...


@dataclass(frozen=True, slots=True)
class ConstantAbsolute:
    """Utility -exp(-a·y); the risk premium does not depend on the level of outcomes.

    Parameters
    ----------
    aversion : float
        a, per unit of the outcome; above 0. Of a normal outcome the certainty equivalent is mean - a·variance/2.

    Raises
    ------
    DataError
        If it is not above 0.
    """

    aversion: float

    def __post_init__(self) -> None:
        _positive(self.aversion)

    @property
    def additive(self) -> bool:
        """Yes."""
        return True

    def unit(self, y: FloatArray) -> float:
        """The mean."""
        return float(y.mean())

    def moments(self, y: FloatArray, unit: float) -> FloatArray:
        """(n, 1) utilities (1 - exp(-a (y - unit)))/a."""
        return -np.expm1(-self.aversion * (y - unit))[:, None] / self.aversion

    def equivalent(self, means: FloatArray, unit: float) -> tuple[FloatArray, FloatArray]:
        """Unit - log(1 - a·mean)/a."""
        left = np.where((inside := 1 - self.aversion * means) > 0, inside, np.nan)
        return unit - np.log(left[..., 0]) / self.aversion, 1 / left


@dataclass(frozen=True, slots=True)
class ConstantRelative:
    """Utility y^(1 - g)/(1 - g), log y for g = 1; the risk premium is in proportion to outcomes, which are positive.

    Parameters
    ----------
    aversion : float
        g, without unit; above 0.

    Raises
    ------
    DataError
        If it is not above 0, or, when it is used, if an outcome is not.
    """

    aversion: float

    def __post_init__(self) -> None:
        _positive(self.aversion)

    @property
    def additive(self) -> bool:
        """Yes."""
        return True

    def unit(self, y: FloatArray) -> float:
        """The geometric mean."""
        if y.min() <= 0:
            raise DataError(f"Relative risk aversion needs positive outcomes; the lowest is {y.min():g}.",
                            do="take ConstantAbsolute.")  # fmt: skip
        return float(np.exp(np.log(y).mean()))

    def moments(self, y: FloatArray, unit: float) -> FloatArray:
        """(n, 1) utilities unit·((y/unit)^(1 - g) - 1)/(1 - g), or unit·log(y/unit)."""
        power, logs = 1 - self.aversion, np.log(y / unit)
        return unit * (logs if power == 0 else np.expm1(power * logs) / power)[:, None]

    def equivalent(self, means: FloatArray, unit: float) -> tuple[FloatArray, FloatArray]:
        """Unit·(1 + (1 - g)·mean/unit)^(1/(1 - g)), or unit·exp(mean/unit)."""
        power, share = 1 - self.aversion, means / unit
        inside = np.where(1 + power * share > 0, 1 + power * share, np.nan)
        logs = share if power == 0 else np.log(inside) / power
        return unit * np.exp(logs[..., 0]), np.exp(logs * self.aversion)


@dataclass(frozen=True, slots=True)
class MeanVariance:
    """Mean - a/2·variance; 0 is neutral.

    Parameters
    ----------
    aversion : float, default 0
        a, per unit of the outcome; at least 0.

    Raises
    ------
    DataError
        If it is below 0.
    """

    aversion: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.aversion < math.inf:
            raise DataError(f"An aversion of {self.aversion!r} was asked.", do="give a number of at least 0.")

    @property
    def additive(self) -> bool:
        """Only if it is neutral: a variance is no mean of units."""
        return self.aversion == 0

    def unit(self, y: FloatArray) -> float:
        """The mean."""
        return float(y.mean())

    def moments(self, y: FloatArray, unit: float) -> FloatArray:
        """(n, 2) values y - unit and its square."""
        return np.column_stack([y - unit, (y - unit) ** 2])

    def equivalent(self, means: FloatArray, unit: float) -> tuple[FloatArray, FloatArray]:
        """Mean less half the aversion times the variance."""
        mean, half = means[..., 0], self.aversion / 2
        slopes = np.stack([1 + 2 * half * mean, np.full_like(mean, -half)], axis=-1)
        return unit + mean - half * (means[..., 1] - mean**2), slopes


@dataclass(frozen=True, slots=True)
class Preference:
    """Certainty equivalents of both arms.

    Attributes
    ----------
    attitude : Attitude
    without, treated : float
        Certainty equivalents, in units of the dependent variable.
    gain : float
        Of treating: their difference.
    without_error, treated_error, gain_error : float
        Standard errors.
    """

    attitude: Attitude
    without: float
    treated: float
    gain: float
    without_error: float
    treated_error: float
    gain_error: float

    @property
    def p_value(self) -> float:
        """Two-sided, of equally good arms."""
        return float(2 * stats.norm.sf(abs(self.gain) / self.gain_error))

    def summary(self) -> str:
        """One line."""
        better = "treatment" if self.gain > 0 else "no treatment"
        return (
            f"{self.attitude}: {better} is preferred; certainty equivalents {self.treated:.6g} "
            f"({self.treated_error:.3g}) with and {self.without:.6g} ({self.without_error:.3g}) without, "
            f"gain {self.gain:.4g} ({self.gain_error:.3g}), p = {self.p_value:.3g}"
        )


@dataclass(frozen=True, slots=True, eq=False)
class UnitRanking:
    """Units in the order of what treating them adds to expected utility, and whether that order is more than noise.

    Attributes
    ----------
    attitude : Attitude
    gain : (n,) array
        Predicted gain of each unit by models that have not seen it, in units of the outcome at a typical outcome.
    held, group : (m,) int arrays
        Half of the units, by position, and their groups by what was learned from the other half: 0 for the lowest
        predictions.
    table : DataFrame
        One row a group, best first: group, n, predicted (mean), gain (mean of doubly robust scores), std_error.
    contrast, contrast_error : float
        Gain of the best group less that of the worst.
    """

    attitude: Attitude
    gain: FloatArray
    held: IntArray
    group: IntArray
    table: pd.DataFrame
    contrast: float
    contrast_error: float

    @property
    def informative(self) -> bool:
        """Whether the best group gains more than the worst, at 5 %, one-sided."""
        return self.contrast > float(stats.norm.isf(0.05)) * self.contrast_error

    def summary(self) -> str:
        """The groups, and a plain statement where the order ranks noise."""
        said = f"best less worst group: {self.contrast:.4g} ({self.contrast_error:.3g})"
        warning = "" if self.informative else "; the order may rank noise: no better than treating at random"
        return f"{self.attitude}\n{self.table.to_string(index=False)}\n{said}{warning}"


def compare_arms(
    question: CausalQuestion, data: object, attitude: Attitude, method: MetaLearner | None = None, seed: int = 0
) -> Preference:
    """Rank the two treatments.

    Parameters
    ----------
    question : CausalQuestion
        About all units (ATE).
    data : table, or CausalData
    attitude : ConstantAbsolute, ConstantRelative or MeanVariance
    method : MetaLearner, default the T-learner with least squares
        Of the moments.
    seed : int, default 0
        Of the folds.

    Raises
    ------
    DataError, DesignError
        If the data cannot answer, or an arm has no certainty equivalent.
    """
    parts, unit = _moments(question, data, attitude, method, seed)
    scores = np.stack([arms.scores().T for arms in parts], axis=-1)
    means = scores.mean(axis=1)
    value, slopes = attitude.equivalent(means, unit)
    if not np.isfinite(value).all():
        raise DesignError(f"{attitude}: the estimated mean utility of an arm is none that an outcome has.",
                          do="take less aversion, or units with more overlap.")  # fmt: skip
    influence = np.einsum("anq,aq->an", scores - means[:, None], slopes)
    pull = np.vstack([influence, influence[1] - influence[0]])
    errors = np.sqrt((pull**2).mean(axis=1) / pull.shape[1])
    return Preference(attitude, *map(float, (*value, value[1] - value[0], *errors)))


def rank_units(
    question: CausalQuestion, data: object, attitude: Attitude, groups: int = 5, method: MetaLearner | None = None,
    seed: int = 0,
) -> UnitRanking:  # fmt: skip
    """Rank units by their predicted gain in expected utility, and measure the gain of groups of them.

    Groups are made and measured in one half of the units, by predictions from the other half. Groups of all units by
    cross-fitted predictions would not do: what one fold has by chance, the predictions for the others follow.

    Parameters
    ----------
    groups : int, default 5
        Of equal size.
    question, data, attitude, method, seed
        As :func:`compare_arms`.

    Raises
    ------
    DataError, DesignError
        If the attitude is a mean and a variance, fewer than 2 groups are asked, or the data cannot answer.
    """
    if not attitude.additive:
        raise DataError(f"{attitude}: a variance is no mean of units, so that gains of units do not add up.",
                        do="take ConstantAbsolute or ConstantRelative.")  # fmt: skip
    if groups < 2:
        raise DataError(f"{groups} groups were asked.", available="2 or more")
    method = TLearner() if method is None else method
    built = data if isinstance(data, CausalData) else build(question, data)
    arms = _moments(question, built, attitude, method, seed)[0][0]
    half = draw_folds(built.n, 2, seed, built.t)
    learn, held = np.flatnonzero(half == 0), np.flatnonzero(half == 1)
    valued = replace(built, y=arms.y)
    predicted = method.effects(valued.take(learn), valued.take(held), seed)
    group = np.empty(len(held), dtype=np.int64)
    group[np.argsort(predicted, kind="stable")] = np.arange(len(held)) * groups // len(held)
    score = arms.scores()[held] @ np.array([-1.0, 1.0])
    units = pd.DataFrame({"group": group, "predicted": predicted, "score": score}).groupby("group")
    table = units.agg(n=("score", "size"), predicted=("predicted", "mean"), gain=("score", "mean"),
                      std_error=("score", "sem"))[::-1].reset_index()  # fmt: skip
    gain, error = table["gain"].to_numpy(), table["std_error"].to_numpy()
    contrast, contrast_error = float(gain[0] - gain[-1]), math.hypot(error[0], error[-1])
    return UnitRanking(attitude, arms.effect, held, group, table, contrast, contrast_error)


def _positive(aversion: float) -> None:
    if not 0 < aversion < math.inf:
        raise DataError(f"An aversion of {aversion!r} was asked.",
                        do="give a positive number; MeanVariance(0) is neutral.")  # fmt: skip


def _moments(
    question: CausalQuestion, data: object, attitude: Attitude, method: MetaLearner | None, seed: int
) -> tuple[list[Arms], float]:
    """Arms of each moment, and the unit of the outcome."""
    method = TLearner() if method is None else method
    method.check(question)
    if question.estimand != "ATE":
        raise DataError(f"The estimand {question.estimand} was asked.", available="ATE")
    built = data if isinstance(data, CausalData) else build(question, data)
    unit = attitude.unit(built.y)
    with np.errstate(over="ignore"):
        columns = attitude.moments(built.y, unit).T
    if not np.isfinite(columns).all():
        raise DataError(f"{attitude}: utilities of these outcomes overflow.", do="take less aversion.")
    found = [method.arms(replace(built, y=np.ascontiguousarray(column)), seed) for column in columns]
    found[0].overlap()  # refuses where next to nothing is left
    return found, unit
