"""Time and memory against n, as docs/performance/time.svg and memory.svg."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

OURS, LIMIT = "ivbridge fast", "limit"
NAMES = {LIMIT: "bare cross-products", "AER": "AER, sandwich()", "AER, vcovHC": "AER, vcovHC()", "ivmodels": "ivmodels (no errors)",
         "statsmodels": "statsmodels (classical)", "fixest": "fixest, 1 thread"}
#: Okabe and Ito's colours.
COLOURS = {
    OURS: "#d55e00", LIMIT: "#222222", "linearmodels": "#0072b2", "pyfixest": "#009e73", "statsmodels": "#999999",
    "ivmodels": "#999999", "AER": "#cc79a7", "AER, vcovHC": "#cc79a7", "ivreg": "#e69f00", "estimatr": "#56b4e9",
    "fixest": "#b8a200",
}
STYLE: Any = {
    "font.family": "DejaVu Sans", "font.size": 10, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": "#666666", "svg.fonttype": "none", "svg.hashsalt": "ivbridge",
}
#: The limit, and another covariance of the same package.
DASHES = {LIMIT: "--", "AER, vcovHC": "-.", "ivmodels": "-."}
#: Less is drawn as this many MB: on this scale nothing has no place.
FLOOR = 0.5


def draw(rows: dict[str, pd.DataFrame], folder: Path) -> None:
    """Both charts.

    Parameters
    ----------
    rows : dict of package to DataFrame
        Columns n, seconds, extra_mb, data_mb.
    folder : Path
    """
    data = max(rows.values(), key=len)
    _chart(rows, lambda one: one["seconds"], "seconds", folder / "time.svg")
    _chart(rows, lambda one: one["extra_mb"].clip(lower=FLOOR), f"extra memory, MB (at least {FLOOR})", folder / "memory.svg",
           (data["n"], data["data_mb"]))


def _chart(rows: dict[str, pd.DataFrame], values: Callable[[pd.DataFrame], Any], title: str, path: Path,
           columns: tuple[Any, Any] | None = None) -> None:  # fmt: skip
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 4.8), layout="constrained")
        figure.patch.set_facecolor("white")
        axes = figure.subplots()
        axes.set(xscale="log", yscale="log", xlabel="rows")
        axes.set_title(title, loc="left", fontsize=11)
        axes.grid(which="major", color="#e6e6e6", linewidth=0.7)
        axes.set_axisbelow(True)
        ends = []
        last = max(one["n"].max() for one in rows.values())
        if columns is not None:
            axes.plot(*columns, color="#bbbbbb", linewidth=1, linestyle=":")
            ends.append(("the columns themselves", "#888888", columns[0].max(), float(np.max(columns[1])), False))
        for peer, one in rows.items():
            shown, own = values(one), peer == OURS
            axes.plot(one["n"], shown, color=COLOURS.get(peer, "#999999"), linewidth=2.6 if own else 1.4, marker="o",
                      markersize=5 if own else 3.5, linestyle=DASHES.get(peer, "-"), zorder=3 if own else 2)
            ends.append((NAMES.get(peer, peer), COLOURS.get(peer, "#999999"), one["n"].max(), float(shown.iloc[-1]), own))
        _label(axes, ends, last)
        figure.savefig(path, format="svg", metadata={"Date": None})


def _label(axes: Any, ends: list[tuple[str, str, float, float, bool]], last: float) -> None:
    """Names at the right, each as near the end of its line as the others leave room."""
    low, high = (np.log10(limit) for limit in axes.get_ylim())
    room = (high - low) / 21  # a line of text
    ends = sorted(ends, key=lambda end: end[3])
    places = [float(np.log10(end[3])) for end in ends]
    for _ in range(200):  # push neighbours apart until none overlap
        for j in range(1, len(places)):
            if (gap := places[j] - places[j - 1]) < room:
                places[j] += (room - gap) / 2
                places[j - 1] -= (room - gap) / 2
    x = last * 1.5
    for (name, colour, n, value, own), place in zip(ends, places, strict=True):
        axes.plot([n, x * 0.95], [value, 10**place], color=colour, linewidth=0.6, alpha=0.6, zorder=1)
        axes.text(x, 10**place, name, color=colour, va="center", weight="bold" if own else "normal", fontsize=9.5)
    axes.set_ylim(10 ** min(low, places[0] - room), 10 ** max(high, places[-1] + room))
    axes.set_xlim(None, last * 14)
    axes.set_xticks([tick for tick in axes.get_xticks() if tick <= last * 1.01 and tick >= axes.get_xlim()[0]])
    axes.minorticks_off()
