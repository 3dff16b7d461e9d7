"""Allele scores: the candidates in one column, as Mendelian randomisation sums up genes.

Both take the columns of X for candidates, as the comparison of Wu et al. (2023) does. X stays a covariate of the second
stage, so that a score that is linear in X can move nothing there that X does not: in their tables these instruments do
as little as none.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, final

import numpy as np

from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generated import Generated, Generator
from ivbridge.iv_ml.generation.candidates import centered, usable
from ivbridge.records import FloatArray

__all__ = ["UAS", "WAS"]

#: Weights whose sum is smaller than this share of their sizes cancel: nothing is divided by such a sum.
_CANCEL = 1e-8


@final
@dataclass(frozen=True, kw_only=True)
class UAS(Generator):
    """Unweighted allele score: the mean of the candidates of each row.

    Source: Davies et al. (2015), The many weak instruments problem and Mendelian randomization.
    """

    name: ClassVar[str] = "uas"

    def generate(self, data: IVData, seed: int = 0) -> Generated:
        """The mean over the columns of X, (n, 1).

        Raises
        ------
        DesignError
            If no covariate varies, or the treatment does not.
        """
        usable(data)
        assign = partial(_score, np.full(data.shape[1], 1 / data.shape[1]))
        return Generated(self.name, assign(data.endog, data.exog), assign)


@final
@dataclass(frozen=True, kw_only=True)
class WAS(Generator):
    """Weighted allele score: the mean of the candidates, weighted by their correlation with the treatment.

    The weights keep their signs and are divided by their sum, as in the program of Wu et al. (2023). A candidate that
    does not vary has weight 0. Where the weights cancel (their sum is below 1e-8 of the sum of their sizes), they are
    divided by the sum of their sizes, and a note says so.

    Source: Burgess, Dudbridge, Thompson (2016), Combining information on multiple instrumental variables in Mendelian
    randomization.
    """

    name: ClassVar[str] = "was"

    def generate(self, data: IVData, seed: int = 0) -> Generated:
        """The weighted mean over the columns of X, (n, 1).

        Raises
        ------
        DesignError
            If no covariate varies, or the treatment does not.
        """
        which = usable(data)
        x, t = centered(data.exog[:, which]), centered(data.endog)
        weights = np.zeros(data.shape[1])
        weights[which] = x.T @ t / np.sqrt((x**2).sum(axis=0) * (t @ t))
        total, size = float(weights.sum()), float(np.abs(weights).sum())
        cancelled = abs(total) <= _CANCEL * size
        assign = partial(_score, weights / ((size or 1.0) if cancelled else total))
        notes = ("The weights cancel: they were divided by the sum of their sizes.",) if cancelled else ()
        return Generated(self.name, assign(data.endog, data.exog), assign, notes=notes)


def _score(weights: FloatArray, t: FloatArray, x: FloatArray) -> FloatArray:
    return np.asarray(x @ weights[:, None])
