"""Pictures of the workbook: what was printed beside what is right, and where the difference comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ivbridge.causal.propensity import logit
from ivbridge.causal.question import build
from ivbridge.charts import BLACK, BLUE, GREY, ORANGE, blank, save, styled
from ivbridge.workbook.corrected import Measured
from ivbridge.workbook.rows import Reasons
from ivbridge.workbook.today import Steps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw"]

TRUTH = 10.0
#: Printed effects of T, and the words of the measurement that belongs in the place of each.
PAIRS = (
    ("difference in means", "250.53", "regression on all covariates"),
    ("income up to 70,000", "16.87", "50 strata of income"),
    ("regression", "10.06", "with HC3"),
    ("matching", "197.50", "ATT by matching on the covariates, bias adjusted"),
    ("double machine learning", "8.92", "the same forests, cross-fitted"),
)


def draw(steps: Steps, measured: Sequence[Measured], reasons: Reasons, folder: Path) -> list[Path]:
    """Write every figure as SVG and PNG.

    Raises
    ------
    MissingExtraError
        If matplotlib is missing.
    """
    figures: dict[str, Callable[[], Figure]] = {
        "effects": lambda: _effects(measured),
        "scores": lambda: _scores(steps, reasons),
        "forest": lambda: _forest(steps),
        "last-bits": lambda: _last_bits(reasons),
    }
    paths: list[Path] = []
    for name, make in figures.items():
        with styled():
            figure = make()
        paths += save(figure, folder / name)
    return paths


def _titled(width: float, height: float, title: str, caption: str) -> Figure:
    figure = blank(width, height)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color=GREY, linespacing=1.4)
    return figure


def _effects(measured: Sequence[Measured]) -> Figure:
    """Printed effects on the left, those in their place with their intervals on the right."""
    by_what = {one.what: one for one in measured}
    caption = "Left: as printed. Right: what belongs there, with 95 % intervals. The true effect is 10 (dashed)."
    figure = _titled(9, 3.6, "Effects of T: printed, and corrected", caption)
    left, right = figure.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": [1, 1.6]})
    for place, (_, printed, what) in enumerate(reversed(PAIRS)):
        left.plot(float(printed), place, "o", color=ORANGE)
        left.annotate(
            printed, (float(printed), place), xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8
        )
        if what in by_what:
            one = by_what[what]
            right.errorbar(one.value, place, xerr=1.96 * one.std_error, fmt="o", color=BLUE, capsize=3)
            label = f"{one.value:.2f} ({one.std_error:.2f}), {what}"
            right.annotate(label, (13.5, place), va="center", fontsize=8)
    right.set_xlim(6, 27)
    left.set_yticks(range(len(PAIRS)), [name for name, _, _ in reversed(PAIRS)])
    left.set_xlim(-15, 290)
    for axes in (left, right):
        axes.axvline(TRUTH, color=BLACK, linewidth=0.8, linestyle="--")
        axes.set_ylim(-0.5, len(PAIRS) - 0.2)
    return figure


def _scores(steps: Steps, reasons: Reasons) -> Figure:
    """Propensity scores of both arms, of the logit that stopped and of the one that converged."""
    data = build(steps.draw.question, steps.frame)
    pairs = (("solver that stopped: 197.50", reasons.stopped.scores), ("maximum likelihood: 13.84", logit(data).score))
    caption = "Shares of the units of each arm. A score that hardly differs between the arms cannot match them."
    figure = _titled(9, 3.2, "Propensity scores", caption)
    for axes, (title, score) in zip(figure.subplots(1, 2), pairs, strict=True):
        edges = np.linspace(0, score.max(), 41)
        for arm, colour, name in ((data.treated, BLUE, "treated"), (~data.treated, ORANGE, "untreated")):
            axes.hist(score[arm], edges, weights=np.full(arm.sum(), 1 / arm.sum()), color=colour, alpha=0.6, label=name)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("estimated P(T = 1)")
        axes.legend(frameon=False, fontsize=8)
    return figure


def _forest(steps: Steps) -> Figure:
    """Predicted effects by income, where every true effect is 10."""
    caption = "Every true effect is 10 (dashed). The five units that are ranked first lie in one leaf, near 53,000."
    figure = _titled(9, 3.4, "Effects of units by the notebook's forest", caption)
    axes = figure.subplots()
    f = steps.frame
    top = f.sort_values("CATE_predicted", ascending=False).head()
    axes.plot(f["income"], f["CATE_predicted"], ".", color=GREY, markersize=2, rasterized=True)
    axes.plot(top["income"], top["CATE_predicted"], "o", color=ORANGE, label="the five ranked first")
    axes.axhline(TRUTH, color=BLACK, linewidth=0.8, linestyle="--")
    axes.set_xlabel("income")
    axes.set_ylabel("predicted effect")
    axes.legend(frameon=False, fontsize=8)
    return figure


def _last_bits(reasons: Reasons) -> Figure:
    """Double machine learning with moved last bits, beside what is printed."""
    values = reasons.last_bits.values(("dml-effect", "effect", "value"))
    caption = "Each point: the notebook's steps and seeds, after the last bits of Y_obs were moved at random."
    figure = _titled(9, 2.2, "Double machine learning: how far last bits move it", caption)
    axes = figure.subplots()
    axes.plot(values, np.linspace(-0.5, 0.5, len(values)), ".", color=BLUE)
    axes.axvline(8.9188, color=ORANGE)
    axes.annotate("printed: 8.9188", (8.9188, 0.62), color=ORANGE, fontsize=8, ha="center")
    axes.set_ylim(-0.7, 0.8)
    axes.set_yticks([])
    axes.set_xlabel("estimated effect")
    return figure
