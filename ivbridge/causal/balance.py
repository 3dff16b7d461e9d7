"""Balance: how far treated and untreated units differ in each covariate, before and after weighting or matching.

The numbers are those of R's MatchIt and cobalt: differences are divided by a standard deviation before weighting, so
that a shrinking spread cannot pass for balance; a 0/1 covariate has the variance p(1 - p) and no variance ratio.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ivbridge import charts, serial
from ivbridge.causal.question import CausalData
from ivbridge.errors import DataError, DesignError
from ivbridge.records import FloatArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["LARGE", "Balance", "balance", "love_plot"]

#: A standardised difference beyond this is called large. A convention; .1 is the strictest in use, .25 the mildest.
LARGE = 0.1
#: Row of the propensity score.
SCORE = "propensity score"


@dataclass(frozen=True, slots=True, eq=False)
class Balance:
    """Differences between the arms.

    Attributes
    ----------
    table : DataFrame
        One row for each covariate; columns "mean treated", "mean control", "difference" (in standard deviations),
        "variance ratio", "KS" (largest gap of the distribution functions), and the same with " after" where there
        are weights.
    weighted : bool
        Whether there is an after.
    ess_treated, ess_control : float
        Kish's effective sample sizes.
    """

    table: pd.DataFrame
    weighted: bool
    ess_treated: float
    ess_control: float

    @property
    def worst(self) -> tuple[str, float]:
        """The covariate with the largest difference, after weighting if there are weights, and that difference."""
        column = self.table["difference after" if self.weighted else "difference"].to_numpy()
        place = int(np.abs(column).argmax())
        return str(self.table.index[place]), float(column[place])

    @property
    def ok(self) -> bool:
        """Whether no difference is large."""
        return abs(self.worst[1]) <= LARGE

    def summary(self) -> str:
        """Text: the table and one sentence."""
        name, size = self.worst
        said = "No difference is large" if self.ok else "At least one difference is large"
        return (
            f"{self.table.to_string(float_format='{:.3f}'.format)}\n"
            f"{said}: {name} differs by {size:.3f} standard deviations (large: above {LARGE:g}). "
            f"Effective sample sizes: {self.ess_treated:.0f} treated, {self.ess_control:.0f} untreated."
        )

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON of the table and of what :meth:`summary` says."""
        rows = self.table.reset_index(names="covariate").to_dict("records")
        record: Mapping[str, Any] = {
            "rows": rows, "worst": self.worst[0], "ok": self.ok,
            "ess_treated": self.ess_treated, "ess_control": self.ess_control,
        }  # fmt: skip
        return serial.dumps(record, indent=indent)


def balance(data: CausalData, weights: FloatArray | None = None, score: FloatArray | None = None) -> Balance:
    """Compare the arms, covariate by covariate.

    Parameters
    ----------
    data : CausalData
        Differences are divided by the standard deviation of the treated for the ATT, else by the root of the mean of
        both arms' variances; always before weighting.
    weights : (n,) array, optional
        Not negative; for matching see :func:`ivbridge.causal.matched.unit_weights`.
    score : (n,) array, optional
        A propensity score, for a row of its own.

    Raises
    ------
    DataError
        If weights are negative, not finite, or of another length.
    DesignError
        If there is nothing to compare, or an arm has no weight.
    """
    if not data.x_names and score is None:
        raise DesignError("The question names no covariates.", do="name the covariates.")
    used = _checked(data, weights)
    columns = dict(zip(data.x_names, data.x.T, strict=True))
    if score is not None:
        columns[SCORE] = score
    rows = {}
    for name, x in columns.items():
        rows[name] = _row(data, x, np.ones(data.n), "")
        if weights is not None:
            rows[name] |= _row(data, x, used, " after")
    ess = [float(used[arm].sum() ** 2 / (used[arm] ** 2).sum()) for arm in (data.treated, ~data.treated)]
    return Balance(pd.DataFrame.from_dict(rows, orient="index"), weights is not None, *ess)


def _checked(data: CausalData, weights: FloatArray | None) -> FloatArray:
    if weights is None:
        return np.ones(data.n)
    used = np.asarray(weights, dtype=np.float64)
    if used.shape != (data.n,):
        raise DataError(f"There are {data.n} units and weights of shape {used.shape}.", do="give one for each unit.")
    if not (np.isfinite(used).all() and (used >= 0).all()):
        raise DataError("A weight is negative or not finite.")
    for arm, name in ((data.treated, "treated"), (~data.treated, "untreated")):
        if not used[arm].any():
            raise DesignError(f"No {name} unit has a weight above zero.")
    return used


def _row(data: CausalData, x: FloatArray, weights: FloatArray, suffix: str) -> dict[str, float]:
    """One covariate's numbers with one set of weights."""
    arms = [(x[arm], weights[arm] / weights[arm].sum()) for arm in (data.treated, ~data.treated)]
    binary = bool(np.isin(x, (0.0, 1.0)).all())
    means = [float(values @ share) for values, share in arms]
    plain = [_variance(values, np.full(len(values), 1 / len(values)), binary) for values, _ in arms]
    unit = math.sqrt(plain[0] if data.question.estimand == "ATT" else (plain[0] + plain[1]) / 2)
    gap = means[0] - means[1]
    top, bottom = (_variance(values, share, binary) for values, share in arms)
    found = {
        "mean treated": means[0],
        "mean control": means[1],
        "difference": gap / unit if unit > 0 else (0.0 if gap == 0 else math.copysign(math.inf, gap)),
        "variance ratio": top / bottom if bottom > 0 and not binary else math.nan,
        "KS": _largest_gap(arms),
    }
    return {name + suffix: value for name, value in found.items()}


def _variance(values: FloatArray, share: FloatArray, binary: bool) -> float:
    """Weighted variance, unbiased for weights that say how reliable a unit is; p(1 - p) for 0/1."""
    mean = float(values @ share)
    if binary:
        return mean * (1 - mean)
    left = 1 - float((share**2).sum())
    return float(share @ (values - mean) ** 2) / left if left > 1e-12 else 0.0


def _largest_gap(arms: list[tuple[FloatArray, FloatArray]]) -> float:
    """Kolmogorov and Smirnov's distance between two weighted distributions."""
    values = np.concatenate([arm[0] for arm in arms])
    steps = np.concatenate([arms[0][1], -arms[1][1]])
    order = np.argsort(values, kind="stable")
    ordered, height = values[order], np.cumsum(steps[order])
    last = np.r_[ordered[1:] != ordered[:-1], True]
    return float(np.abs(height[last]).max())


def love_plot(given: Balance, title: str = "Balance of the covariates") -> Figure:
    """Love's plot: absolute standardised differences, largest on top, before and after.

    Parameters
    ----------
    given : Balance
    title : str

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    table = given.table.reindex(given.table["difference"].abs().sort_values(ascending=False).index)
    shown = [("difference", "before", charts.ORANGE, "o")]
    if given.weighted:
        shown.append(("difference after", "after", charts.BLUE, "D"))
    with charts.styled():
        figure = charts.blank(7.2, 1.6 + 0.34 * len(table))
        axes = figure.add_subplot()
        axes.axvline(0, color=charts.BLACK, linewidth=1)
        axes.axvline(LARGE, color=charts.GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        for column, label, colour, mark in shown:
            axes.plot(table[column].abs(), range(len(table)), mark, color=colour, label=label, clip_on=False)
        if given.weighted:
            axes.legend(frameon=False, loc="lower right")
        axes.set_yticks(range(len(table)), list(table.index))
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.set_xlim(left=0)
        axes.set_xlabel("absolute difference between the arms, in standard deviations")
        charts.words(figure, axes, title, f"dashed: {LARGE:g}, above which a difference is called large")
    return figure
