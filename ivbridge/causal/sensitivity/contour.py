"""Contours of what an omitted variable would make of an estimate, over its two strengths."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy import stats

from ivbridge.causal.sensitivity.ovb import OmittedVariables, moved
from ivbridge.charts import BLACK, BLUE, GREY, ORANGE, blank, styled, words
from ivbridge.errors import DataError
from ivbridge.records import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["contour"]

#: Points of the grid along each axis.
GRID = 200


def contour(
    found: OmittedVariables, kind: Literal["estimate", "statistic"] = "estimate", upto: float | None = None
) -> Figure:
    """Contours of the adjusted estimate, or of its t statistic, with the benchmarks as points.

    Cinelli and Hazlett (2020), as R's ``sensemakr::ovb_contour_plot``. The thick line is where the conclusion goes: an
    estimate of (1 - q) of what it is, or the critical value of t.

    Parameters
    ----------
    found : OmittedVariables
    kind : {"estimate", "statistic"}, default "estimate"
    upto : float, optional
        Largest partial R² of both axes, in (0, 1); default: enough for the robustness value and the benchmarks.

    Raises
    ------
    DataError
        If `kind` or `upto` is none of these.
    MissingExtraError
        If matplotlib is not installed.
    """
    if kind not in ("estimate", "statistic"):
        raise DataError(f"kind={kind!r} was asked.", available="estimate, statistic")
    if upto is not None and not 0 < upto < 1:
        raise DataError(f"upto={upto!r} was asked.", available="a number between 0 and 1")
    right, top = (upto, upto) if upto else _limits(found)
    x, y = np.linspace(0, right, GRID), np.linspace(0, min(top, 0.999), GRID)
    heights, critical = _heights(found, kind, x, y)
    start = found.estimate if kind == "estimate" else found.statistic
    with styled():
        from matplotlib.ticker import MaxNLocator

        figure = blank(7.2, 5.6)
        axes = figure.add_subplot()
        reach = max(float(heights.min()), -2 * abs(start)), min(float(heights.max()), 2 * abs(start))
        lines = axes.contour(x, y, heights, levels=MaxNLocator(12).tick_values(*reach), colors=GREY, linewidths=0.8)
        axes.clabel(lines, fmt="%.3g", fontsize=8)
        if heights.min() < critical < heights.max():
            axes.contour(x, y, heights, levels=[critical], colors=ORANGE, linewidths=2.4)
        axes.plot(0, 0, "^", color=BLACK, markersize=8, clip_on=False)
        _benchmarks(axes, found, right, top)
        axes.set_xlim(0, right)
        axes.set_ylim(0, top)
        axes.set_xlabel(f"partial R² of the omitted variable with {found.question.treatment}")
        axes.set_ylabel(f"partial R² of the omitted variable with {found.question.dependent}")
        what = "Estimate" if kind == "estimate" else "t statistic"
        title = f"{what} if an omitted variable were in the regression"
        words(figure, axes, title, _caption(found, kind, start, critical))
    return figure


def _benchmarks(axes: Axes, found: OmittedVariables, right: float, top: float) -> None:
    if not len(found.bounds):
        return
    shown = found.bounds.dropna(subset=["r2.treatment"])
    shown = shown[(shown["r2.treatment"] <= right) & (shown["r2.outcome"] <= top)]
    for name, rows in shown.groupby("covariate", sort=False):
        places = rows["r2.treatment"].to_numpy(), rows["r2.outcome"].to_numpy()
        axes.plot(*places, "D-", color=BLUE, markersize=5, linewidth=1, clip_on=False)
        axes.annotate(str(name), (places[0][-1], places[1][-1]), xytext=(7, -3), textcoords="offset points",
                      fontsize=9, color=BLUE, va="top")  # fmt: skip


def _limits(found: OmittedVariables) -> tuple[float, float]:
    right = top = 1.2 * found.rv
    if len(found.bounds):
        right = max(right, float(found.bounds["r2.treatment"].max()))
        top = max(top, float(found.bounds["r2.outcome"].max()))
    return min(0.98, 1.1 * right + 0.02), min(1.0, 1.1 * top + 0.02)


def _heights(found: OmittedVariables, kind: str, x: FloatArray, y: FloatArray) -> tuple[FloatArray, float]:
    estimates, errors = moved((found.estimate, found.std_error, found.df), *np.meshgrid(x, y))
    if kind == "estimate":
        return estimates, (1 - found.q) * found.estimate
    return estimates / errors, math.copysign(float(stats.t.isf(found.alpha / 2, found.df - 1)), found.estimate)


def _caption(found: OmittedVariables, kind: str, start: float, critical: float) -> str:
    value = found.rv if kind == "estimate" else found.rv_alpha
    text = (
        f"Triangle: {start:.4g}, as estimated. Thick line: {critical:.3g}.\n"
        f"A variable weaker than the robustness value {value:.3f} on both axes does not reach it."
    )
    if len(found.bounds):
        strengths = ", ".join(f"{one:g}" for one in dict.fromkeys(found.bounds["strength"]))
        text += f"\nDiamonds: variables so many times as strong as a covariate: {strengths}."
    return text
