"""A picture of what the repetitions of a refuter gave."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from ivbridge.causal.refute.protocol import Refutation
from ivbridge.charts import BLACK, BLUE, blank, styled, words
from ivbridge.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["histogram"]


def histogram(refutation: Refutation) -> Figure:
    """Histogram of the estimates under the repetitions, with a line at the estimate that was to be refuted.

    Raises
    ------
    DataError
        If the refuter repeated nothing.
    MissingExtraError
        If matplotlib is not installed.
    """
    values = refutation.distribution
    if len(values) < 2:
        raise DataError(f"The refuter {refutation.name!r} repeated nothing that could be drawn.",
                        available="placebo, subset, bootstrap, hidden")  # fmt: skip
    mark = refutation.parts.get("estimate", refutation.estimate)
    with styled():
        from matplotlib.ticker import MaxNLocator

        figure = blank(7.2, 4.0)
        axes = figure.add_subplot()
        axes.hist(values, bins=int(np.clip(len(values) / 8, 10, 40)), color=BLUE, linewidth=0)
        axes.axvline(mark, color=BLACK, linewidth=1.6)
        axes.annotate(f"{mark:.4g}", (mark, 1), xycoords=("data", "axes fraction"), xytext=(0, 2),
                      textcoords="offset points", ha="center", va="bottom")  # fmt: skip
        axes.margins(x=0.05)
        axes.set_xlabel(f"effect on {refutation.question.dependent}, {len(values)} repetitions")
        axes.set_ylabel("repetitions")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        lines = (f"{refutation.method}. {refutation.done}", f"It cannot show {refutation.cannot}")
        caption = "\n".join(textwrap.fill(line, 115) for line in lines)
        words(figure, axes, f"{refutation.title}: {refutation.verdict}", caption)
    return figure
