"""Where the time of one fit goes, as docs/performance/profiles.svg: a bar of shares for each engine and size."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from performance_plots import STYLE

NAME = "profiles.svg"
#: Parts in the order in which they are drawn; Okabe and Ito's colours.
PARTS = {
    "formula and columns": "#0072b2", "checks": "#56b4e9", "coefficients": "#d55e00", "covariance": "#e69f00",
    "tests": "#009e73", "in R": "#cc79a7", "the rest": "#bbbbbb",
}
#: Shares below this have no number on their bar.
SMALLEST = 0.045


def draw(found: pd.DataFrame, folder: Path) -> Path:
    """Write the chart.

    Parameters
    ----------
    found : DataFrame
        Columns engine, part, step, seconds and share, as tests/benchmarks/profiles.py measures them.
    folder : Path
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    engines = list(dict.fromkeys(found["engine"]))
    totals = found.groupby("engine")["seconds"].sum() / found.groupby("engine")["share"].sum()
    shares = found.groupby(["engine", "part"])["share"].sum()
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 0.38 * len(engines) + 1.5), layout="constrained")
        figure.patch.set_facecolor("white")
        axes = figure.subplots()
        places = _places(engines)
        for engine, place in zip(engines, places, strict=True):
            left = 0.0
            for part, colour in PARTS.items():
                share = float(shares.get((engine, part), 0.0))
                axes.barh(place, share, left=left, color=colour, edgecolor="white", height=0.78)
                if share >= SMALLEST:
                    axes.text(left + share / 2, place, f"{share:.0%}", ha="center", va="center", fontsize=8.5,
                              color="black" if part in ("the rest", "checks", "covariance") else "white")  # fmt: skip
                left += share
            axes.text(1.01, place, _time(float(totals[engine])), va="center", fontsize=9, color="#444444")
        axes.set_yticks(places, engines)
        axes.tick_params(length=0)
        axes.set(xlim=(0, 1), xticks=[])
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.invert_yaxis()
        handles = [mpl.patches.Patch(color=colour, label=part) for part, colour in PARTS.items()]
        figure.legend(handles=handles, loc="outside upper center", ncols=len(PARTS), frameon=False, fontsize=9,
                      handlelength=1.0, columnspacing=1.2)  # fmt: skip
        figure.savefig(folder / NAME, format="svg", metadata={"Date": None})
    return folder / NAME


def _places(engines: list[str]) -> list[float]:
    """Heights of the bars, with a gap between sizes."""
    sizes = list(dict.fromkeys(engine.rpartition("n = ")[2] for engine in engines))
    return [i + 0.6 * sizes.index(engine.rpartition("n = ")[2]) for i, engine in enumerate(engines)]


def _time(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
