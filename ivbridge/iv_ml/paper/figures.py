"""The paper's figures 3, 4 and 5 drawn again, to be laid beside them. SVG and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ivbridge import charts
from ivbridge.iv_ml.paper.cells import FIGURE_4
from ivbridge.iv_ml.paper.parts import GROUPS
from ivbridge.iv_ml.paper.verdicts import means

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_figure"]

#: Colour and line of each row, the same in all figures.
_LINES = {
    "NoneIV": (charts.GREY, ":"), "GIV_KM": (charts.ORANGE, "-"), "GIV_EM": (charts.BLUE, "-"),
    "GIV_EM (default)": (charts.GREEN, "-"), "TrueIV": ("#cc79a7", "--"),
    "GIV_KM*": (charts.ORANGE, "-"), "Meta-EM": (charts.BLUE, "-"),
    "Meta-EM (default)": (charts.GREEN, "-"), "Oracle": (charts.GREY, "-"),
}  # fmt: skip


def draw_figure(table: pd.DataFrame, which: str, folder: Path) -> tuple[Path, Path]:
    """Draw one figure as ``figure-3.svg`` and ``.png``, and so on.

    Parameters
    ----------
    table : DataFrame
        From :func:`ivbridge.iv_ml.paper.running.run` with the parts of the figure.
    which : {"3", "4", "5"}
    folder : Path
        Made if it is missing.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    drawn = {"3": _curves, "4": _balance, "5": _accuracy}[which]
    with charts.styled():
        figure = drawn(table)
    return charts.save(figure, folder / f"figure-{which}")


def _panels(names: Sequence[str], title: str, caption: str, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    """One panel a name in one row."""
    figure = charts.blank(size[0] * len(names), size[1])
    made = list(figure.subplots(1, len(names), squeeze=False)[0])
    for axes, name in zip(made, names, strict=True):
        axes.set_title(name, loc="left", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color=charts.GREY, linespacing=1.4)
    return figure, made


def _curves(table: pd.DataFrame) -> Figure:
    """Figure 3: predictions over the units, which are sorted by the truth."""
    rows = table[(table["quantity"] == "curve") & (table["method"] == "agmm")]
    caption = (
        "Test sample of the first replication, AGMM; each point is the mean of 75 neighbours in the order of the truth."
    )
    worlds = list(dict.fromkeys(rows["world"]))
    figure, panels = _panels(worlds, "Figure 3: estimates, sorted by the true effect", caption, (3.3, 3.6))
    for axes, (_, part) in zip(panels, rows.groupby("world", sort=False), strict=True):
        truth: pd.Series[float] | None = None
        for name, line in part.groupby("instrument", sort=False):
            truth = line["at"].reset_index(drop=True)
            colour, style = _LINES[str(name)]
            share = (truth.index + 0.5) * 100 / len(truth)
            axes.plot(share, line["value"], color=colour, linestyle=style, linewidth=1.4, label=name)
        if truth is not None:
            axes.plot((truth.index + 0.5) * 100 / len(truth), truth, color=charts.BLACK, linewidth=0.9, label="truth")
        axes.set_xlabel("units, % in the order of the truth")
    panels[0].set_ylabel("g(T, X), standardised")
    panels[0].legend(frameon=False, fontsize=8)
    return figure


def _balance(table: pd.DataFrame) -> Figure:
    """Figure 4: MMD by the number of groups; the smallest decides."""
    found = means(table)
    found = found[found["quantity"] == "mmd"]
    title = "Figure 4: imbalance of X (MMD) by the number of groups"
    count = int(found["count"].max())
    caption = (
        f"Mean of {_replications(count)}; the dashed line is the true number of groups. "
        "Open circles: read off the paper's drawing."
    )
    worlds = list(dict.fromkeys(found["world"]))
    figure, panels = _panels(worlds, title, caption, (2.9, 3.4))
    for axes, world in zip(panels, worlds, strict=True):
        for name, part in found[found["world"] == world].groupby("instrument", sort=False):
            by = part.groupby("groups").apply(lambda rows: (rows["mean"] * rows["count"]).sum() / rows["count"].sum())
            axes.plot(range(len(by)), by, "o-", color=_LINES[str(name)][0], markersize=4, linewidth=1.4, label=name)
            if world == "Linear-2-5" and name in FIGURE_4:
                axes.plot(range(len(GROUPS)), FIGURE_4[str(name)], "o", color=_LINES[str(name)][0], fillstyle="none")
        axes.axvline(GROUPS.index(int(world.split("-")[1])), color=charts.GREY, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xticks(range(len(GROUPS)), [str(groups) for groups in GROUPS])
        axes.set_xlabel("groups")
        axes.set_ylim(bottom=-0.15)
    panels[0].set_ylabel("MMD")
    panels[0].legend(frameon=False, fontsize=8)
    return figure


def _accuracy(table: pd.DataFrame) -> Figure:
    """Figure 5: share of units in the right group, with the true number of groups."""
    found = means(table)
    found = found[(found["quantity"] == "accuracy") & found["taken"]]
    worlds, names = list(dict.fromkeys(found["world"])), list(dict.fromkeys(found["instrument"]))
    caption = (
        f"Mean of {_replications(int(found['count'].max()))}, best matching of the names. The paper: above 90 % "
        "with two groups, 77 % on average; K-means below 60 %."
    )
    title = "Figure 5: accuracy of the groups in per cent"
    figure, (axes,) = _panels(["Linear-K-5, the true number of groups given"], title, caption, (7.6, 3.8))
    width = 0.8 / len(names)
    for i, name in enumerate(names):
        rows = found[found["instrument"] == name].set_index("world")
        places = [worlds.index(world) + (i - (len(names) - 1) / 2) * width for world in rows.index]
        colour = _LINES[name][0]
        drawn = axes.bar(places, rows["mean"], width * 0.92, color=colour, linewidth=0, label=name)
        axes.bar_label(drawn, fmt="%.0f", fontsize=8, padding=2)
    axes.set_xticks(range(len(worlds)), worlds)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, 112)
    axes.legend(frameon=False, fontsize=8, ncols=len(names), loc="upper right")
    return figure


def _replications(count: int) -> str:
    return f"{count} replication{'' if count == 1 else 's'}"
