"""Rosenbaum's bounds: how strong a hidden cause would have to be to explain the difference within matched pairs.

Two units of a pair look alike. A hidden cause makes the odds of treatment of one up to Γ times those of the other, so
that the treated unit of a pair is the one with the higher response with a probability between 1/(1 + Γ) and Γ/(1 + Γ)
if the treatment does nothing. Rosenbaum (2002, Observational Studies, 2nd ed., chapter 4). At Γ = 1 the
bounds are the tests of an experiment: R's ``wilcox.test`` and ``binom.test``.

>>> found = signed_rank([2.1, 0.3, 1.7, -0.2, 0.9, 1.1, 2.4, 0.8], (1.0, 2.0), exact=True)
>>> found.table["p.high"].round(4).tolist()
[0.0078, 0.0585]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from scipy import optimize, stats

from ivbridge import serial
from ivbridge.causal.records import EffectEstimate
from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["GAMMAS", "RosenbaumBounds", "binary", "of_estimate", "signed_rank"]

GAMMAS = (1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0)
#: More pairs than this have no exact distribution and no Hodges-Lehmann estimates here: both grow with their square.
MOST_EXACT, MOST_WALSH = 500, 5000

Alternative = Literal["greater", "less"]


@dataclass(frozen=True, slots=True, eq=False)
class RosenbaumBounds:
    """Bounds for several strengths of a hidden cause.

    Attributes
    ----------
    test : str
        In words.
    pairs : int
        Pairs that count: with a difference, or with one event.
    statistic : float
        Sum of the ranks of the positive differences, or pairs in which only the treated unit has the event.
    alternative : {"greater", "less"}
        Whether the treatment is claimed to raise or to lower the dependent variable.
    table : DataFrame
        One row for each Γ: "gamma", the smallest and the largest one-sided p-value ("p.low", "p.high"), and the least
        and the greatest Hodges-Lehmann estimate of an additive effect ("effect.low", "effect.high"; NaN for events).
    tipping : float
        The Γ at which the largest p-value reaches `level`; NaN if it is above it without a hidden cause.
    level : float
    warnings : tuple of str
        Of the matching: bounds take the units of a pair for alike in all that was observed.
    """

    test: str
    pairs: int
    statistic: float
    alternative: Alternative
    table: pd.DataFrame
    tipping: float
    level: float = 0.05
    warnings: tuple[str, ...] = ()

    def summary(self) -> str:
        """Text: the table and what it says."""
        if math.isnan(self.tipping):
            said = f"Even without a hidden cause p exceeds {self.level:g}: there is no finding to be sensitive."
        else:
            said = (
                f"To lift p above {self.level:g} it takes a hidden cause that multiplies the odds of treatment by "
                f"{self.tipping:.2f} and decides which unit of a pair responds more. Whether there is one the data do "
                "not say."
            )
        table = self.table.to_string(index=False, float_format="{:.4g}".format)
        return "\n".join([f"{self.test}, {self.pairs} pairs", table, said, *self.warnings])

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON of the fields."""
        record = {
            "test": self.test, "pairs": self.pairs, "statistic": self.statistic, "alternative": self.alternative,
            "rows": self.table.to_dict("records"), "tipping": self.tipping, "level": self.level,
            "warnings": self.warnings,
        }  # fmt: skip
        return serial.dumps(record, indent=indent)


def signed_rank(
    differences: Sequence[float] | FloatArray, gammas: Sequence[float] = GAMMAS, *,
    alternative: Alternative = "greater", exact: bool = False, zeros: Literal["drop", "rank"] = "drop",
    level: float = 0.05,
) -> RosenbaumBounds:  # fmt: skip
    """Bounds for Wilcoxon's signed-rank test of pair differences.

    Parameters
    ----------
    differences : (n,) numbers
        Treated minus control, one for each pair; equal sizes share their ranks.
    gammas : sequence of float, default 1 to 6
        Odds ratios of treatment within a pair, 1 or more.
    alternative : {"greater", "less"}, default "greater"
    exact : bool, default False
        The exact distribution, ties included, instead of the normal approximation without continuity correction
        (``wilcox.test(exact = FALSE, correct = FALSE)``; Rosenbaum's own choice); 500 pairs at most.
    zeros : {"drop", "rank"}, default "drop"
        Leave pairs without a difference out before ranks are given, as Wilcoxon and R do, or after, as Pratt (1959,
        JASA 54(287)) and Rosenbaum do.
    level : float, default 0.05
        For the tipping point.

    Raises
    ------
    DataError
        If a difference is not finite, all are zero, a Γ is below 1, or there are too many pairs for `exact`.
    """
    values = np.asarray(differences, dtype=np.float64)
    ranks, statistic = _ranked(values, _checked(alternative, level), zeros)
    if exact and len(ranks) > MOST_EXACT:
        raise DataError(f"{len(ranks)} pairs are too many for the exact distribution.", available=f"{MOST_EXACT}")
    tail = _exact_tail if exact else _normal_tail

    def p(chance: float) -> float:
        return tail(ranks, statistic, chance)

    title = f"Wilcoxon signed-rank test{', exact' if exact else ''}"
    walsh = _walsh(values)
    rows = [
        {"gamma": gamma, "p.low": p(1 / (1 + gamma)), "p.high": p(gamma / (1 + gamma))} | _effects(walsh, gamma)
        for gamma in _ratios(gammas)
    ]  # fmt: skip
    return RosenbaumBounds(
        title, len(ranks), statistic, alternative, pd.DataFrame(rows), _tipping(p, level), level
    )  # fmt: skip


def binary(
    treated_only: int, control_only: int, gammas: Sequence[float] = GAMMAS, *, alternative: Alternative = "greater",
    level: float = 0.05,
) -> RosenbaumBounds:  # fmt: skip
    """Bounds for McNemar's test, exact: of pairs in which one unit has the event, how often it is the treated one.

    R's ``rbounds::binarysens`` gives P(D > d) in place of P(D ≥ d), and so does not meet ``binom.test`` at Γ = 1.

    Parameters
    ----------
    treated_only, control_only : int
        Pairs in which only the treated, or only the untreated, unit has the event.
    gammas, alternative, level
        As :func:`signed_rank`.

    Raises
    ------
    DataError
        If a count is negative, both are zero, or a Γ is below 1.
    """
    if min(treated_only, control_only) < 0 or treated_only + control_only == 0:
        raise DataError(f"{treated_only} and {control_only} pairs with one event were given.", do="give two counts.")
    count = control_only if _checked(alternative, level) == "less" else treated_only
    pairs = treated_only + control_only

    def p(chance: float) -> float:
        return float(stats.binom.sf(count - 1, pairs, chance))

    rows = [
        {"gamma": gamma, "p.low": p(1 / (1 + gamma)), "p.high": p(gamma / (1 + gamma)),
         "effect.low": math.nan, "effect.high": math.nan}
        for gamma in _ratios(gammas)
    ]  # fmt: skip
    return RosenbaumBounds(
        "McNemar's test, exact", pairs, float(treated_only), alternative, pd.DataFrame(rows), _tipping(p, level), level
    )


def of_estimate(
    effect: EffectEstimate, gammas: Sequence[float] = GAMMAS, *, alternative: Alternative | None = None
) -> RosenbaumBounds:
    """Bounds for a matching estimate: for events if all differences are -1, 0 or 1, else for signed ranks.

    Parameters
    ----------
    effect : EffectEstimate
        Of a matching method with ``replace=False``: pairs that share no unit.
    gammas : sequence of float
    alternative : {"greater", "less"}, optional
        Default: the direction of the estimate. The p-values are one-sided, so a direction that the data chose doubles
        the level.

    Raises
    ------
    DataError
        If the estimate has no pairs, or a unit is in more than one.
    """
    table, do = effect.answer.table, "match without replacement: replace=False."
    if table is None or "match" not in table.columns:
        raise DataError(f"{effect.title} has no matched pairs.", do=do)
    if table["match"].duplicated().any() or table["unit"].duplicated().any():
        raise DataError("A unit is in more than one pair, so that the pairs are not independent.", do=do)
    side: Alternative = alternative or ("less" if effect.estimate < 0 else "greater")
    differences = table["difference"].to_numpy()
    if np.isin(differences, (-1.0, 0.0, 1.0)).all() and differences.any():
        found = binary(int((differences > 0).sum()), int((differences < 0).sum()), gammas, alternative=side)
    else:
        found = signed_rank(differences, gammas, alternative=side)
    return replace(found, warnings=effect.answer.warnings)


def _checked(alternative: Alternative, level: float) -> Alternative:
    if alternative not in ("greater", "less"):
        raise DataError(f"alternative={alternative!r} was asked.", available="greater, less")
    if not 0 < level < 1:
        raise DataError(f"level={level!r} is not a level.", do="give a number between 0 and 1, such as 0.05.")
    return alternative


def _ranked(values: FloatArray, alternative: Alternative, zeros: str) -> tuple[FloatArray, float]:
    """Ranks of the pairs that differ, and the sum of those whose difference has the claimed sign."""
    if not np.isfinite(values).all():
        raise DataError("A difference is not finite.")
    if zeros not in ("drop", "rank"):
        raise DataError(f"zeros={zeros!r} was asked.", available="drop, rank")
    signed = values if zeros == "rank" else values[values != 0]
    if not signed.any():
        raise DataError("No pair has a difference.")
    ranks = stats.rankdata(np.abs(signed))
    return ranks[signed != 0], float(ranks[signed > 0 if alternative == "greater" else signed < 0].sum())


def _ratios(gammas: Sequence[float]) -> list[float]:
    if not gammas or not all(gamma >= 1 and math.isfinite(gamma) for gamma in gammas):
        raise DataError(f"gammas={tuple(gammas)!r} was asked.", do="give odds ratios of 1 or more.")
    return [float(gamma) for gamma in gammas]


def _normal_tail(ranks: FloatArray, statistic: float, chance: float) -> float:
    """P(sum ≥ statistic) where each rank counts with this chance; normal approximation."""
    mean, variance = chance * ranks.sum(), chance * (1 - chance) * (ranks**2).sum()
    return float(stats.norm.sf((statistic - mean) / math.sqrt(variance)))


def _exact_tail(ranks: FloatArray, statistic: float, chance: float) -> float:
    """The same, exact: one rank after the other, in half ranks, which shared ranks are multiples of."""
    half = np.rint(2 * ranks).astype(np.int64)
    chances = np.zeros(int(half.sum()) + 1)
    chances[0] = 1.0
    for step in half:
        moved = np.r_[np.zeros(step), chances[:-step]]
        chances = (1 - chance) * chances + chance * moved
    return float(min(chances[round(2 * statistic) :].sum(), 1.0))


def _walsh(values: FloatArray) -> FloatArray | None:
    """Means of all pairs of differences, each with itself included, sorted."""
    if len(values) > MOST_WALSH:
        return None
    first, second = np.triu_indices(len(values))
    return np.sort((values[first] + values[second]) / 2)


def _effects(walsh: FloatArray | None, gamma: float) -> dict[str, float]:
    """Hodges and Lehmann's estimates: shifts after which the rank sum is what the bound expects; at Γ = 1 the median.

    The rank sum of differences less a shift is the number of Walsh averages above the shift, so that the shift is the
    quantile of the averages at 1/(1 + Γ) or Γ/(1 + Γ); where all points between two averages will do, their mean.
    """
    if walsh is None:
        return {"effect.low": math.nan, "effect.high": math.nan}
    low, high = (_middle(walsh, len(walsh) * share) for share in (1 / (1 + gamma), gamma / (1 + gamma)))
    return {"effect.low": low, "effect.high": high}


def _middle(ordered: FloatArray, below: float) -> float:
    """The point with so many values below it; the mean of two values where all between them are such points."""
    near = round(below)
    if abs(below - near) < 1e-9 * len(ordered):
        return float(ordered[max(near - 1, 0)] + ordered[min(near, len(ordered) - 1)]) / 2
    return float(ordered[math.floor(below)])


def _tipping(p: Callable[[float], float], level: float) -> float:
    if p(0.5) > level:
        return math.nan
    chance = optimize.brentq(lambda chance: p(chance) - level, 0.5, 1 - 1e-12, xtol=1e-13)
    return float(chance / (1 - chance))
