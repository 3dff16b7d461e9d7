"""Charts of estimates: bars of two engines side by side, fold seeds, and what many draws give. SVG and PNG.

Formats what it is given and computes nothing. Colours are those of Okabe and Ito, which people with any colour vision
can tell apart; every mark carries its value, so that no legend has to be matched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivbridge.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLACK", "BLUE", "GREEN", "GREY", "ORANGE", "Bar", "Range", "SeedPoint", "bars", "blank", "ranges", "save",
    "seed_points", "styled", "words",
]  # fmt: skip

EFFECT = "effect of X on Y"
BLUE, ORANGE, GREEN, GREY, BLACK = "#0072b2", "#e69f00", "#009e73", "#666666", "#222222"
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": BLACK,
    "text.color": BLACK,
    "xtick.color": BLACK,
    "ytick.color": BLACK,
    "svg.fonttype": "none",
    "svg.hashsalt": "ivbridge",  # the same chart is the same file
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One estimate of one engine, with its 95 % limits."""

    label: str
    engine: str
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class SeedPoint:
    """What the fold seeds gave that chose the same instruments: how many instruments, how many seeds, the estimate."""

    selected: int
    seeds: int
    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Range:
    """Estimates of one method over many draws: 5 %, 50 % and 95 % quantiles, and what is written beside them."""

    label: str
    low: float
    median: float
    high: float
    text: str


def blank(width: float, height: float) -> Figure:
    """An empty figure, in inches; draw on it within :func:`styled`.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure as Made
    except ImportError:
        raise MissingExtraError("Charts need matplotlib.", do="pip install 'ivbridge[plots]'") from None
    return Made(figsize=(width, height), layout="constrained")


def styled() -> Any:
    """A block in which matplotlib has the style of all charts.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise MissingExtraError("Charts need matplotlib.", do="pip install 'ivbridge[plots]'") from None
    return mpl.rc_context(_STYLE)


def bars(given: Sequence[Bar], truth: float, title: str, caption: str) -> Figure:
    """The post's bar chart: one group for each label, one bar for each engine, 95 % intervals, a line at the truth.

    Parameters
    ----------
    given : sequence of Bar
    truth : float
    title, caption : str

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    labels = list(dict.fromkeys(bar.label for bar in given))
    engines = list(dict.fromkeys(bar.engine for bar in given))
    colours = dict(zip(engines, (BLUE, ORANGE, GREY), strict=False))
    width = 0.8 / len(engines)
    with styled():
        figure = blank(1.5 + 1.6 * len(labels), 4.4)
        axes = figure.add_subplot()
        for bar in given:
            x = labels.index(bar.label) + (engines.index(bar.engine) - (len(engines) - 1) / 2) * width
            axes.bar(x, bar.estimate, width * 0.92, color=colours[bar.engine], linewidth=0)
            axes.plot([x, x], [bar.low, bar.high], color=BLACK, linewidth=1.2)
            axes.plot([x, x], [bar.low, bar.high], "_", color=BLACK, markersize=8, markeredgewidth=1.2)
            axes.annotate(
                f"{bar.estimate:.3f}",
                (x, bar.high),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                va="bottom",
            )
            axes.annotate(
                bar.engine, (x, 0), xytext=(0, 5), textcoords="offset points", ha="center", va="bottom",
                color="white" if colours[bar.engine] != ORANGE else BLACK, fontsize=9,
            )  # fmt: skip
        _truth_line(axes, truth, len(labels) - 0.45)
        axes.set_xticks(range(len(labels)), labels)
        axes.tick_params(axis="x", length=0)
        axes.set_xlim(-0.55, len(labels) - 0.02)
        axes.set_ylim(0, max(bar.high for bar in given) * 1.12)
        axes.set_ylabel(EFFECT)
        words(figure, axes, title, caption)
    return figure


def seed_points(given: Sequence[SeedPoint], truth: float, marked: int, title: str, caption: str) -> Figure:
    """Estimate against the number of instruments that each fold seed selects; the area says how many seeds.

    Parameters
    ----------
    given : sequence of SeedPoint
    truth : float
    marked : int
        The number of instruments that stands out.
    title, caption : str

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    with styled():
        figure = blank(7.2, 4.4)
        axes = figure.add_subplot()
        for point in given:
            colour = ORANGE if point.selected == marked else BLUE
            axes.plot([point.selected] * 2, [point.low, point.high], color=colour, linewidth=1.2, zorder=1)
            axes.scatter(point.selected, point.estimate, s=30 * point.seeds, color=colour, linewidth=0, zorder=2)
            axes.annotate(
                f"{point.seeds}", (point.selected, point.high), xytext=(0, 3), textcoords="offset points",
                ha="center", va="bottom", fontsize=9,
            )  # fmt: skip
            if point.selected == marked:
                axes.annotate(
                    f"the post's\n{point.estimate:.3f}", (marked, point.low), xytext=(0, -4),
                    textcoords="offset points", ha="center", va="top", fontsize=9,
                )  # fmt: skip
        counts = sorted({point.selected for point in given})
        _truth_line(axes, truth, counts[-1] + 0.6)
        axes.set_xlim(counts[0] - 2, counts[-1] + 2.6)
        axes.margins(y=0.2)
        axes.set_xticks(counts)
        axes.set_xlabel("instruments selected (above each interval: number of fold seeds)")
        axes.set_ylabel(EFFECT)
        words(figure, axes, title, caption)
    return figure


def ranges(given: Sequence[Range], truth: float, title: str, caption: str) -> Figure:
    """Median and 5 % to 95 % range of each method's estimates over many draws, the first method on top.

    Parameters
    ----------
    given : sequence of Range
    truth : float
    title, caption : str

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    with styled():
        figure = blank(8.6, 1.5 + 0.42 * len(given))
        axes = figure.add_subplot()
        axes.axvline(truth, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
        axes.annotate(
            f"true effect {truth:g}", (truth, 1), xycoords=("data", "axes fraction"), xytext=(4, 2),
            textcoords="offset points", color=GREY, fontsize=9, va="bottom",
        )  # fmt: skip
        for place, one in enumerate(given):
            axes.plot([one.low, one.high], [place, place], color=BLUE, linewidth=2, solid_capstyle="butt")
            axes.plot(one.median, place, "o", color=BLUE, markersize=6)
            axes.annotate(
                one.text,
                (1.01, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=9,
                annotation_clip=False,
            )
        axes.set_yticks(range(len(given)), [one.label for one in given])
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(given) - 0.4, -0.6)
        axes.set_xlabel(f"{EFFECT}: median and 5 % to 95 % of the draws")
        words(figure, axes, title, caption)
    return figure


def _truth_line(axes: Axes, truth: float, right: float) -> None:
    axes.axhline(truth, color=BLACK, linewidth=1, linestyle=(0, (4, 3)))
    axes.annotate(
        f"true\neffect {truth:g}", (right, truth), xytext=(0, 3), textcoords="offset points", fontsize=9, va="bottom"
    )


def words(figure: Figure, axes: Axes, title: str, caption: str) -> None:
    """Title above the axes, caption below the figure."""
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", pad=16)
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=8, color=GREY, linespacing=1.4)


def save(figure: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``stem.svg`` and ``stem.png``; both paths. The same figure gives the same SVG, byte for byte.

    Parameters
    ----------
    figure : Figure
    stem : Path
        Its folder is made if it is missing.
    """
    stem.parent.mkdir(parents=True, exist_ok=True)
    vector, raster = stem.with_suffix(".svg"), stem.with_suffix(".png")
    with styled():
        figure.savefig(vector, metadata={"Date": None})
        figure.savefig(raster, dpi=144)
    return vector, raster
