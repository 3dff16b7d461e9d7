"""How strong an omitted variable would have to be: bounds on its bias in a linear regression.

Cinelli and Hazlett (2020, "Making sense of sensitivity", Journal of the Royal Statistical Society B 82, 39-67). Leaving
out a variable U from least squares of Y on T and X moves the coefficient of T by an amount that two numbers fix: the
partial R² of U with T given X, and that of U with Y given T and X. Everything here is algebra of least squares; it
holds for the regression's coefficient whether or not that is a causal effect. Same conventions as R's ``sensemakr``:
classical standard errors, and a confounder that reduces the effect.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ivbridge import serial
from ivbridge.causal.least_squares import regress
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.errors import DataError, DesignError, UnsupportedError
from ivbridge.records import FloatArray

__all__ = [
    "Adjusted", "Benchmark", "OmittedVariables", "adjust", "analyse", "benchmark", "explained_share", "moved",
    "robustness_value",
]  # fmt: skip

#: What a covariate has to leave of the treatment and of the dependent variable.
LEFT = 1e-10


@dataclass(frozen=True, slots=True)
class Adjusted:
    """The coefficient as it would be with the omitted variable in the regression.

    Attributes
    ----------
    estimate, std_error, statistic, low, high : float
        Limits at the coverage that was asked.
    """

    estimate: float
    std_error: float
    statistic: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Benchmark:
    """How much a covariate explains, as a measure for what an omitted variable may explain.

    Attributes
    ----------
    covariate : str
        A column of the question; a text column counts with all its indicators.
    r2_treatment : float
        Partial R² with the treatment, given the other covariates.
    r2_outcome : float
        Partial R² with the dependent variable, given the treatment and the other covariates.
    """

    covariate: str
    r2_treatment: float
    r2_outcome: float

    def times(self, strength: float) -> tuple[float, float]:
        """Partial R² of an omitted variable that is `strength` times as strong as the covariate.

        With the treatment and with the dependent variable; the second is at most 1. The omitted variable is taken to be
        independent of the covariates. R's ``sensemakr::ovb_partial_r2_bound``. NaN twice if none can be so strong.
        """
        odds = self.r2_treatment / (1 - self.r2_treatment)
        treatment = strength * odds
        cross = strength * self.r2_treatment**2 / ((1 - strength * self.r2_treatment) * (1 - self.r2_treatment))
        if treatment >= 1 or not 0 <= cross < 1:
            return math.nan, math.nan
        factor = (math.sqrt(strength) + math.sqrt(cross)) / math.sqrt(1 - cross)
        return treatment, min(1.0, factor**2 * self.r2_outcome / (1 - self.r2_outcome))


@dataclass(frozen=True, slots=True, eq=False)
class OmittedVariables:
    """What an omitted variable would do to a regression's coefficient.

    Attributes
    ----------
    question : CausalQuestion
    n, df : int
        Units; residual degrees of freedom.
    estimate, std_error : float
        Of the treatment's coefficient, classical.
    q, alpha : float
        Share of the effect that is to be explained away, and the level of significance.
    benchmarks : tuple of Benchmark
    bounds : DataFrame
        One row for each benchmark and strength: covariate, strength, r2.treatment, r2.outcome, and the coefficient
        adjusted for a variable of that strength: estimate, std.error, statistic, conf.low, conf.high.
    """

    question: CausalQuestion
    n: int
    df: int
    estimate: float
    std_error: float
    q: float
    alpha: float
    benchmarks: tuple[Benchmark, ...]
    bounds: pd.DataFrame

    @property
    def statistic(self) -> float:
        """Coefficient over standard error."""
        return self.estimate / self.std_error

    @property
    def partial_r2(self) -> float:
        """Partial R² of treatment and outcome: an omitted variable that explains all the rest of the outcome has to
        explain so much of the treatment to take the effect away."""
        return self.statistic**2 / (self.statistic**2 + self.df)

    @property
    def rv(self) -> float:
        """Robustness value: partial R² with both that takes the share `q` of the effect away."""
        return robustness_value(self.statistic, self.df, self.q)

    @property
    def rv_alpha(self) -> float:
        """The same for the effect's significance at `alpha`."""
        return robustness_value(self.statistic, self.df, self.q, self.alpha)

    def adjusted(self, r2_treatment: float, r2_outcome: float) -> Adjusted:
        """The coefficient adjusted for a variable of this strength; see :func:`adjust`."""
        return adjust((self.estimate, self.std_error, self.df), r2_treatment, r2_outcome, self.alpha)

    def summary(self) -> str:
        """Text: the coefficient, the robustness values in words, and the bounds."""
        t, y = self.question.treatment, self.question.dependent
        spread = f"standard error {self.std_error:.4g}, {self.df} degrees of freedom"
        weaker = f"an omitted variable that explains less than {self.rv:.1%} of what is left of {t} and of {y}"
        lines = [
            f"Omitted variables: coefficient of {t} on {y} {self.estimate:.6g} ({spread})",
            f"Partial R² of {t} and {y}: {self.partial_r2:.4f}",
            f"Robustness value {self.rv:.4f}: {weaker} cannot take {self.q:.0%} of the estimate away.",
            f"Robustness value {self.rv_alpha:.4f} for significance at {self.alpha:g}.",
            "Neither says that there is no such variable.",
        ]
        if len(self.bounds):
            lines += ["", self.bounds.to_string(index=False, float_format="{:.5g}".format)]
        if (self.bounds["r2.outcome"] == 1).any():
            lines.append(f"Where r2.outcome is 1 the covariate is stronger than any omitted variable of {y} can be.")
        return "\n".join(lines)

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON of all numbers."""
        record = {
            "type": "OmittedVariables", "question": self.question, "n": self.n, "df": self.df,
            "estimate": self.estimate, "std_error": self.std_error, "partial_r2": self.partial_r2, "q": self.q,
            "alpha": self.alpha, "rv": self.rv, "rv_alpha": self.rv_alpha, "benchmarks": self.benchmarks,
            "bounds": self.bounds.to_dict("records"),
        }  # fmt: skip
        return serial.dumps(record, indent=indent)

    def _repr_html_(self) -> str:
        head = f"<p>robustness value {self.rv:.4f}; for significance {self.rv_alpha:.4f}</p>"
        return head + str(self.bounds.to_html(index=False, float_format="{:.5g}".format))


def robustness_value(statistic: float, df: float, q: float = 1.0, alpha: float = 1.0) -> float:
    """Partial R², with treatment and outcome alike, of the weakest variable that undoes a result.

    R's ``sensemakr::robustness_value``. Explaining more of the outcome also shrinks the standard error, so that for a
    very significant result a variable is worst for its significance that explains less of the outcome than of the
    treatment; the value is then that of a variable which is free in the outcome (``strength > 1/critical`` below).

    Parameters
    ----------
    statistic, df : float
        t statistic and residual degrees of freedom of the coefficient.
    q : float, default 1
        Share of the estimate that is to be explained away.
    alpha : float, default 1
        Level of significance that is to be lost; 1 asks for the point estimate.

    Raises
    ------
    DataError
        If there are fewer than 2 degrees of freedom, or `q` or `alpha` are not positive, or `alpha` is above 1.
    """
    _check(df, q, alpha)
    strength = q * abs(statistic) / math.sqrt(df)
    critical = float(stats.t.isf(alpha / 2, df - 1)) / math.sqrt(df - 1)
    gap = strength - critical
    if gap <= 0:
        return 0.0
    if critical > 0 and strength > 1 / critical:
        return (strength**2 - critical**2) / (1 + strength**2)
    return 2 / (1 + math.sqrt(1 + 4 / gap**2))


def _check(df: float, q: float, alpha: float) -> None:
    if not (df >= 2 and q > 0 and 0 < alpha <= 1):
        raise DataError(f"df={df!r}, q={q!r}, alpha={alpha!r}", available="df of 2 or more, q above 0, alpha in (0, 1]")


def adjust(
    coefficient: tuple[float, float, float], r2_treatment: float, r2_outcome: float, alpha: float = 0.05
) -> Adjusted:
    """A coefficient as it would be with an omitted variable that pulled it away from zero.

    Equal to least squares with such a variable, to rounding. R's ``sensemakr::adjusted_estimate`` and ``adjusted_se``;
    the limits differ from its in the sixth digit at 783 degrees of freedom, since they count the omitted variable.

    Parameters
    ----------
    coefficient : (estimate, standard error, residual degrees of freedom)
    r2_treatment, r2_outcome : float
        Partial R² of the variable with treatment and outcome, in [0, 1) and [0, 1].
    alpha : float, default 0.05
        1 minus the coverage of the limits.

    Raises
    ------
    DataError
        If a partial R² is outside its range.
    """
    if not (0 <= r2_treatment < 1 and 0 <= r2_outcome <= 1):
        raise DataError(
            f"The partial R² {r2_treatment!r} and {r2_outcome!r} were asked.", available="[0, 1) and [0, 1]"
        )
    found = moved(coefficient, np.array(r2_treatment), np.array(r2_outcome))
    estimate, spread = float(found[0]), float(found[1])
    half = float(stats.t.isf(alpha / 2, coefficient[2] - 1)) * spread
    return Adjusted(estimate, spread, estimate / spread if spread else math.nan, estimate - half, estimate + half)


def moved(
    coefficient: tuple[float, float, float], r2_treatment: FloatArray, r2_outcome: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Estimates and standard errors as :func:`adjust` has them, for arrays of partial R² of the same shape."""
    estimate, error, df = coefficient
    bias = error * math.sqrt(df) * np.sqrt(r2_outcome * r2_treatment / (1 - r2_treatment))
    spread = error * np.sqrt((1 - r2_outcome) / (1 - r2_treatment) * df / (df - 1))
    return estimate - math.copysign(1.0, estimate) * bias, spread


def analyse(
    question: CausalQuestion,
    data: Any,
    benchmarks: Sequence[str] = (),
    q: float = 1.0,
    alpha: float = 0.05,
    strengths: Sequence[float] = (1.0, 2.0, 3.0),
) -> OmittedVariables:
    """Regress the dependent variable on the treatment and the covariates, and ask what an omitted variable would do.

    Parameters
    ----------
    question : CausalQuestion
        Not with instruments; clusters are not used.
    data : table of n rows, or CausalData that was built for this question
    benchmarks : sequence of str, optional
        Covariates to compare an omitted variable with; default: all of them.
    q : float, default 1
        Share of the effect that is to be explained away.
    alpha : float, default 0.05
        Level of significance.
    strengths : sequence of float, default (1, 2, 3)
        How many times as strong as a benchmark the omitted variable is.

    Raises
    ------
    UnsupportedError
        If the question asks for a LATE.
    DataError
        If a benchmark is no covariate, a number is out of range, or see :func:`ivbridge.causal.question.build`.
    DesignError
        If columns are collinear.
    """
    if question.estimand == "LATE":
        raise UnsupportedError("Bounds of omitted variables are for a regression, not for instruments.",
                               available="ATE, ATT")  # fmt: skip
    built = data if isinstance(data, CausalData) else build(question, data)
    names = tuple(benchmarks) or question.covariates
    if unknown := [name for name in names if name not in question.covariates]:
        raise DataError(f"The benchmark {unknown[0]!r} is no covariate.", available=", ".join(question.covariates))
    if not all(one > 0 for one in strengths):
        raise DataError(f"strengths={tuple(strengths)!r} were asked.", available="numbers above 0")
    design = np.column_stack([np.ones(built.n), built.x, built.t])
    model = regress(built.y, design, ("constant", *built.x_names, question.treatment))
    estimate, df = float(model.coef[-1]), model.df_resid
    _check(df, q, alpha)
    error = model.sigma * abs(float(model.basis.inverse[-1, -1]))
    found = tuple(benchmark(built, name) for name in names)
    rows = [_bound(one, strength, (estimate, error, float(df)), alpha) for one in found for strength in strengths]
    return OmittedVariables(question, built.n, df, estimate, error, q, alpha, found, pd.DataFrame(rows))


def benchmark(data: CausalData, covariate: str) -> Benchmark:
    """How much a covariate explains of the treatment and of the dependent variable, given everything else.

    Raises
    ------
    DesignError
        If it is collinear with the others, or explains one of them wholly.
    """
    mine = _owned(data, covariate)
    others = np.column_stack([np.ones(data.n), data.x[:, ~mine]])
    group = data.x[:, mine]
    with_treatment = explained_share(data.t, others, group)
    with_outcome = explained_share(data.y, np.column_stack([others, data.t]), group)
    if max(with_treatment, with_outcome) > 1 - LEFT:
        raise DesignError(f"The covariate {covariate!r} explains the treatment or the dependent variable wholly.")
    return Benchmark(covariate, with_treatment, with_outcome)


def explained_share(target: FloatArray, given: FloatArray, group: FloatArray) -> float:
    """Partial R²: the share of what `given` leaves of the target that `group` explains.

    Parameters
    ----------
    target, given, group : (n,), (n, k), (n, m) arrays
        `given` has the constant.

    Raises
    ------
    DesignError
        If columns are linearly dependent.
    """
    design = np.column_stack([given, group])
    model = regress(target, design, tuple(f"column {i + 1}" for i in range(design.shape[1])))
    explained = float(((model.basis.q.T @ target)[given.shape[1] :] ** 2).sum())
    return explained / (explained + model.rss)


def _owned(data: CausalData, covariate: str) -> np.ndarray:
    """(p,) truth values: the columns of x that one covariate became."""
    owners: list[str] = []
    for name in data.question.covariates:
        column = data.frame[name]
        numeric = pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)
        owners += [name] * (1 if numeric else column.astype(str).nunique() - 1)
    return np.array([owner == covariate for owner in owners])


def _bound(
    one: Benchmark, strength: float, coefficient: tuple[float, float, float], alpha: float
) -> Mapping[str, float | str]:
    treatment, outcome = one.times(strength)
    to = Adjusted(*[math.nan] * 5) if math.isnan(treatment) else adjust(coefficient, treatment, outcome, alpha)
    return {
        "covariate": one.covariate, "strength": strength, "r2.treatment": treatment, "r2.outcome": outcome,
        "estimate": to.estimate, "std.error": to.std_error, "statistic": to.statistic, "conf.low": to.low,
        "conf.high": to.high,
    }  # fmt: skip
