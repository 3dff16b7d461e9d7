"""Factors as integer codes, and the rows that a factor alone explains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ivbridge.records import IntArray

__all__ = ["Codes", "coded", "crossed", "not_singletons", "recoded"]

#: Codes 0 … G−1 of one factor, (n,): 32 bits wide, as sparse matrices index.
Codes = npt.NDArray[np.int32]


def coded(values: Any) -> tuple[Codes, int]:
    """Codes of a column without missing values, and the number G of its levels.

    Parameters
    ----------
    values : Series, Categorical or (n,) array
        Whole numbers and categories are coded in their order, everything else in the order in which it is met.
    """
    if isinstance(getattr(values, "dtype", None), pd.CategoricalDtype):
        return recoded(np.asarray(values.cat.codes if isinstance(values, pd.Series) else values.codes))
    array = values.to_numpy() if isinstance(values, pd.Series) else np.asarray(values)
    if array.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = array.astype(np.int64)
        array = whole if np.array_equal(whole, array) else array
    if array.dtype.kind in "iub" and len(array):
        low = int(array.min())
        if int(array.max()) - low < 4 * len(array) + 1024:
            return recoded(array.astype(np.int64) - low)
    codes, levels = pd.factorize(array)
    return codes.astype(np.int32), len(levels)


def recoded(codes: npt.NDArray[Any]) -> tuple[Codes, int]:
    """Codes without those that do not occur, (n,), and how many there are; `codes` are whole and not negative."""
    used = np.bincount(codes) > 0
    if used.all():
        return codes.astype(np.int32, copy=False), len(used)
    places = np.cumsum(used, dtype=np.int32) - np.int32(1)
    return places[codes], int(used.sum())


def crossed(factors: Sequence[tuple[Codes, int]]) -> tuple[Codes, int]:
    """The factor of all combinations that occur: fixest's ``f^g``."""
    codes, count = factors[0]
    for other, levels in factors[1:]:
        codes, count = coded(codes.astype(np.int64) * levels + other)
    return codes, count


def not_singletons(factors: Sequence[tuple[Codes, int]]) -> IntArray:
    """Rows that remain, ascending, when rows that are alone in a level of a factor go, until none is.

    Such a row has no residual, so that it says nothing about the coefficients; it does count in n and in the levels
    (Correia 2015, Singletons, cluster-robust standard errors and fixed effects: a bad mix).
    """
    n = len(factors[0][0])
    kept = np.ones(n, dtype=bool)
    sizes = [np.bincount(codes, minlength=count) for codes, count in factors]
    # the sum of the rows of a level is its row where there is but one
    rows: list[Any] = [np.bincount(codes, weights=np.arange(n), minlength=count) for codes, count in factors]
    alone = _lone([(row, np.flatnonzero(size == 1)) for row, size in zip(rows, sizes, strict=True)])
    while len(alone):
        kept[alone] = False
        touched = []
        for (codes, _), size, row in zip(factors, sizes, rows, strict=True):
            levels = codes[alone]
            np.subtract.at(size, levels, 1)
            np.subtract.at(row, levels, alone)
            touched.append((row, levels[size[levels] == 1]))
        alone = _lone(touched)
    return np.flatnonzero(kept).astype(np.int64)


def _lone(found: Sequence[tuple[npt.NDArray[np.float64], npt.NDArray[Any]]]) -> IntArray:
    return np.unique(np.concatenate([row[levels] for row, levels in found]).astype(np.int64))
