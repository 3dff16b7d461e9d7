"""The candidate in the middle of those whose estimates agree best."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, final

import numpy as np

from ivbridge.errors import UnsupportedError
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generated import Generated, Generator
from ivbridge.iv_ml.generation.candidates import centered, usable
from ivbridge.records import FloatArray, IntArray

__all__ = ["ModeIV", "modal_window"]

_BY = ("estimate", "loss")
_KEEP = ("center", "window")


@final
@dataclass(frozen=True, kw_only=True)
class ModeIV(Generator):
    """One covariate, or those of the modal window, as the instrument; looks at Y.

    Each column of X alone is the instrument of a straight line Y = a + bT, without covariates. If a majority of the
    candidates is valid, their estimates b lie together, and those of the others lie elsewhere: the tightest window over
    half of the estimates holds the valid ones (Hartford et al. 2021).

    Parameters
    ----------
    by : {"estimate", "loss"}, default "estimate"
        What is compared over candidates: the slope b, or, as in the program of Wu et al. (2023), the line's squared
        error at the observed treatments. The error does not tell two slopes on both sides of ordinary regression apart.
    keep : {"center", "window"}, default "center"
        The candidate in the middle of the window, as that program does, or all of the window's, as many columns.

    Notes
    -----
    Hartford et al. make no instrument: they predict with the mode of the candidates' predictions, which is
    ``ModeEnsemble`` (:mod:`ivbridge.iv_ml.regression.mode_ensemble`). This class is what can stand in a table beside
    other instruments. The window holds half of the candidates, rounded up. With one or two candidates there is no mode,
    and the mean of the columns is taken.

    In the worlds of :mod:`ivbridge.iv_ml.scenarios` every covariate acts on Y itself: none is valid, and nothing is
    won.

    Source: Hartford, Veitch, Sridhar, Leyton-Brown (2021), Valid causal inference with (some) invalid instruments;
    Venter (1967), On estimation of the mode.
    """

    name: ClassVar[str] = "mode_iv"
    by: Literal["estimate", "loss"] = "estimate"
    keep: Literal["center", "window"] = "center"

    def __post_init__(self) -> None:
        if self.by not in _BY or self.keep not in _KEEP:
            raise UnsupportedError(
                f"by={self.by!r}, keep={self.keep!r} was asked.",
                available=f"by: {', '.join(_BY)}; keep: {', '.join(_KEEP)}",
            )

    def generate(self, data: IVData, seed: int = 0) -> Generated:
        """The instrument: (n, 1), or (n, half of the candidates).

        Raises
        ------
        DesignError
            If no covariate varies, or the treatment does not.
        """
        which = usable(data)
        if len(which) <= 2:
            assign = partial(_mean, which)
            notes: tuple[str, ...] = ("With two candidates or fewer there is no mode: the instrument is their mean.",)
        else:
            window = which[modal_window(self._points(data, which), math.ceil(len(which) / 2))]
            chosen = window if self.keep == "window" else window[[len(window) // 2]]
            assign = partial(_columns, chosen)
            notes = (f"The instrument is column {', '.join(map(str, chosen))} of exog.",)
        return Generated(self.name, assign(data.endog, data.exog), assign, notes=notes)

    def _points(self, data: IVData, which: IntArray) -> FloatArray:
        """Slope or error of each candidate's line, (candidates,)."""
        y, t, x = centered(data.dependent), centered(data.endog), centered(data.exog[:, which])
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = (x.T @ y) / (x.T @ t)
        slopes = np.where(np.isfinite(slopes), slopes, 0.0)
        if self.by == "estimate":
            return slopes
        return np.asarray(((y[:, None] - t[:, None] * slopes) ** 2).mean(axis=0))


def modal_window(points: FloatArray, size: int) -> IntArray:
    """Numbers of the ``size`` points (p,) that lie closest together, from the smallest to the largest point.

    The first of several windows of one width is taken.
    """
    order = np.argsort(points, kind="stable")
    ranked = points[order]
    start = int(np.argmin(ranked[size - 1 :] - ranked[: len(ranked) - size + 1]))
    return order[start : start + size]


def _columns(which: IntArray, t: FloatArray, x: FloatArray) -> FloatArray:
    return x[:, which].copy()


def _mean(which: IntArray, t: FloatArray, x: FloatArray) -> FloatArray:
    return np.asarray(x[:, which].mean(axis=1, keepdims=True))
