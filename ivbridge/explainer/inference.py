"""Which distribution do p-values and intervals come from? Also: one-sided p-values, other coverages, variances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import optimize, special, stats

from ivbridge.explainer.records import Step
from ivbridge.gaps import Key
from ivbridge.records import FloatArray, IntArray
from ivbridge.vcov import Inference, T

__all__ = ["Distribution", "distributions", "implied_df", "tables"]

#: How close, relatively, degrees of freedom have to be to a whole number.
WHOLE = 1e-6


@dataclass(frozen=True, slots=True)
class Distribution:
    """Student's t with `df` degrees of freedom, infinite for the normal distribution; the steps say how it differs."""

    df: float
    rule: str
    steps: tuple[Step, ...] = ()

    @property
    def label(self) -> str:
        """What a sentence calls it."""
        return "the normal distribution" if math.isinf(self.df) else f"t with {self.df:g} degrees of freedom"


def distributions(
    inference: Inference, n: int, k: int, groups: Mapping[str, IntArray], typed: Sequence[float] = ()
) -> list[Distribution]:
    """The question's distribution and the others that are in use.

    Parameters
    ----------
    inference : Inference
        The question's.
    n, k : int
        Rows and columns of the regression.
    groups : mapping of column name to (n,) codes
        A cluster-robust t has G − 1 degrees of freedom in Stata and fixest.
    typed : sequence of float, optional
        Degrees of freedom that were observed.
    """
    own = inference.df if isinstance(inference, T) and inference.df is not None else None
    asked = Distribution(math.inf if not isinstance(inference, T) else float(own or n - k), "asked")
    counts = {f"G−1 of {name}": float(codes.max()) for name, codes in groups.items() if codes.max() >= 1}
    known = {"z": math.inf, "n−k": float(n - k), **counts, "n": float(n), "n−1": float(n - 1), "n−k−1": n - k - 1.0}
    found = [asked]
    for rule, df in [*known.items(), *(("given", df) for df in typed)]:
        if df > 0 and df not in [one.df for one in found]:
            key = "inference.z" if rule == "z" else "inference.groups" if rule.startswith("G") else "inference.df"
            other = Distribution(df, rule)
            named = f" ({rule})" if rule not in ("z", "given") else ""
            text = f"p-values and intervals come from {other.label}{named} instead of {asked.label}"
            found.append(Distribution(df, rule, (Step(key, text),)))
    return found


def implied_df(statistic: float, p_value: float) -> float | None:
    """The whole number of degrees of freedom with which Student's t gives a two-sided p-value; None for no such."""
    if not (0 < p_value < 1 and math.isfinite(statistic) and statistic):
        return None

    def gap(log_df: float) -> float:
        return math.log(2 * special.stdtr(math.exp(log_df), -abs(statistic))) - math.log(p_value)

    low, high = 0.0, math.log(1e6)
    with np.errstate(all="ignore"):
        try:
            if not gap(low) > 0 > gap(high):
                return None
            df = math.exp(float(optimize.brentq(gap, low, high, xtol=1e-13)))
        except ValueError:
            return None
    return float(round(df)) if abs(df - round(df)) < WHOLE * df else None


def p_values(statistic: FloatArray, df: float) -> FloatArray:
    """Two-sided p-values, (k,)."""
    if math.isinf(df):
        return np.asarray(2 * stats.norm.sf(np.abs(statistic)))
    return np.asarray(2 * special.stdtr(df, -np.abs(statistic)))


def quantile(df: float, level: float) -> float:
    """Half-width of an interval in standard errors."""
    tail = (1 - level) / 2
    return float(stats.norm.isf(tail)) if math.isinf(df) else -float(special.stdtrit(df, tail))


_SIDES = {
    "": lambda p, t: p,
    "half": lambda p, t: p / 2,
    "upper": lambda p, t: np.where(t > 0, p / 2, 1 - p / 2),
    "lower": lambda p, t: np.where(t < 0, p / 2, 1 - p / 2),
}
_LEVELS = (0.95, 0.9, 0.99)


def tables(
    stage: str, names: Sequence[str], coef: FloatArray, error: FloatArray, choices: Sequence[Distribution]
) -> Iterator[tuple[str, tuple[Step, ...], dict[Key, float], float]]:
    """Every version of the columns that follow from coefficients and standard errors.

    Parameters
    ----------
    stage : str
        Empty, or ``"first stage "``.
    names : sequence of str
        Terms as their keys have them.
    coef, error : (k,) arrays
    choices : sequence of Distribution

    Yields
    ------
    (str, tuple of Step, mapping, float)
        The columns concerned (``"statistic"``, ``"p.value"`` or ``"conf"``), the steps that lead there, the numbers,
        and the degrees of freedom.
    """

    def keyed(quantity: str, values: FloatArray) -> dict[Key, float]:
        return {(stage + quantity, name): float(v) for name, v in zip(names, values, strict=True)}

    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = coef / error
    yield "statistic", (), keyed("statistic", statistic), 0.0
    yield (
        "statistic",
        (Step("statistic.squared", "the statistics are squares, χ² or F with one degree of freedom, instead of t"),),
        keyed("statistic", statistic**2),
        0.0,
    )
    for choice, (side, change) in product(choices, _SIDES.items()):
        one_sided = (Step("p.one_sided", "p-values are one-sided"),) if side else ()
        yield (
            "p.value",
            (*choice.steps, *one_sided),
            keyed("p.value", change(p_values(statistic, choice.df), statistic)),
            choice.df,
        )
    for choice, level in product(choices, _LEVELS):
        other = () if level == 0.95 else (Step("interval.level", f"the intervals cover {level:.0%} instead of 95%"),)
        half = quantile(choice.df, level) * error
        yield (
            "conf",
            (*choice.steps, *other),
            keyed("conf.low", coef - half) | keyed("conf.high", coef + half),
            choice.df,
        )
