"""Curves of a ranking: what the first q of the units gain, and how much more than units at random.

The uplift curve is the mean effect among the first q; TOC is that less the mean effect of all; the Qini curve is
q times the mean effect among the first q, the gain per unit of the whole population, beside the straight line of
treating at random. All are means of doubly robust scores, so that confounding by the covariates is taken out: the
curves of counts that uplift packages draw need an experiment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from ivbridge import charts
from ivbridge.causal.heterogeneity.rate import half_samples, ranked
from ivbridge.errors import DataError
from ivbridge.records import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SHARES", "chart", "curve"]

#: Shares of the units at which curves are drawn.
SHARES = tuple(np.round(np.arange(0.02, 1.0001, 0.02), 2).tolist())


def curve(
    score: FloatArray, priority: FloatArray, shares: Sequence[float] = SHARES, draws: int = 200, seed: int = 0
) -> pd.DataFrame:
    """Points of the three curves, with standard errors of each point by itself.

    Parameters
    ----------
    score : (n,) array
        Doubly robust scores of units that the priorities were not learned from.
    priority : (n,) array
    shares : sequence of float
        Above 0, at most 1; the first ``round(share·n)`` units, at least one. Default: 0.02, 0.04, … 1.
    draws, seed : int
        Half samples behind the standard errors.

    Returns
    -------
    DataFrame
        ``share``; ``uplift`` (mean effect of the first), ``toc``, ``qini`` (gain per unit of all) with their
        ``….error``; ``random`` (what qini is where as many are treated at random).

    Raises
    ------
    DataError
        If a share is not in that range.
    """
    at = np.asarray(shares, dtype=np.float64)
    if not len(at) or (at <= 0).any() or (at > 1).any():
        raise DataError(f"Shares {list(shares)[:5]} were asked.", available="numbers above 0, up to 1")

    def points(given: FloatArray, order: FloatArray) -> FloatArray:
        ordered = ranked(given, order)
        first = np.maximum(np.round(at * len(ordered)).astype(int), 1)
        uplift = np.cumsum(ordered)[first - 1] / first
        return np.array([uplift, uplift - ordered.mean(), at * uplift])

    found = points(score, priority)
    errors = half_samples(points, score, priority, draws, seed).std(axis=0, ddof=1)
    columns = {"share": at}
    for name, values, error in zip(("uplift", "toc", "qini"), found, errors, strict=True):
        columns |= {name: values, f"{name}.error": error}
    return pd.DataFrame(columns | {"random": at * score.mean()})


def chart(points: pd.DataFrame, title: str, caption: str) -> Figure:
    """TOC on the left, the Qini curve beside treating at random on the right; bands of 95 % for each point.

    Parameters
    ----------
    points : DataFrame
        From :func:`curve`.
    title, caption : str

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    with charts.styled():
        figure = charts.blank(9.0, 3.9)
        left, right = figure.subplots(1, 2)
        _band(left, points, "toc")
        left.axhline(0, color=charts.GREY, linewidth=1, linestyle=(0, (4, 3)))
        left.set_ylabel("effect above the mean effect")
        _band(right, points, "qini")
        right.plot([0, *points["share"]], [0, *points["random"]], color=charts.GREY, linewidth=1, linestyle=(0, (4, 3)))
        right.annotate("at random", (0.5, 0.5 * points["random"].iloc[-1] / points["share"].iloc[-1]), xytext=(6, -4),
                       textcoords="offset points", color=charts.GREY, fontsize=9, va="top")  # fmt: skip
        right.set_ylabel("gain per unit of the population")
        for axes, head in ((left, "TOC"), (right, "Qini curve")):
            axes.set_xlim(0, 1)
            axes.set_xticks([0, 0.25, 0.5, 0.75, 1], ["0", "25 %", "50 %", "75 %", "100 %"])
            axes.set_xlabel("share treated, largest predictions first")
            axes.set_title(head, loc="left", fontsize=10)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color=charts.GREY)
    return figure


def _band(axes: Axes, points: pd.DataFrame, name: str) -> None:
    half = float(stats.norm.isf(0.025)) * points[f"{name}.error"]
    axes.fill_between(points["share"], points[name] - half, points[name] + half, color=charts.BLUE, alpha=0.18, lw=0)
    axes.plot(points["share"], points[name], color=charts.BLUE, linewidth=1.8)
