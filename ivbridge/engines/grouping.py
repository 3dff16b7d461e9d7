"""Codes of a cluster column as it lies in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from ivbridge.clustering import Codes, numbered
from ivbridge.frame import EXACT, level_text

__all__ = ["grouped"]


def grouped(values: Any, n: int) -> tuple[Codes, int] | None:
    """Codes 0 … G−1 and G.

    Parameters
    ----------
    values : array, extension array or None
        A column of the data, missing values included.
    n : int
        How many rows it must have.

    Returns
    -------
    (Codes, int) or None
        None where a value is missing or of a kind that needs a closer look.
    """
    if values is None or not hasattr(values, "dtype") or len(values) != n:
        return None
    if isinstance(values.dtype, pd.CategoricalDtype):
        return _categorical(values)
    if not isinstance(values, np.ndarray):
        return _texts(values) if isinstance(values.dtype, pd.StringDtype) else None
    if values.dtype.kind in "iub":
        codes, count = numbered(values)
        return (
            None
            if values.dtype.kind != "b" and max(abs(int(values.min())), int(values.max())) > EXACT
            else (codes, count)
        )
    if values.dtype.kind == "f" and values.dtype.itemsize <= 8:
        codes, levels = pd.factorize(values)
        return None if codes.min() < 0 or not np.isfinite(levels).all() else (codes, len(levels))
    return _texts(values) if values.dtype.kind == "O" else None


def _categorical(values: pd.Categorical) -> tuple[Codes, int] | None:
    codes = values.codes
    if codes.min() < 0 or not all(isinstance(level, str | int) for level in values.categories):
        return None
    labels = {level_text("", level) for level in values.categories}
    return numbered(codes) if len(labels) == len(values.categories) else None


def _texts(values: Any) -> tuple[Codes, int] | None:
    codes, levels = pd.factorize(values)
    if codes.min() < 0 or not all(type(level) is str for level in levels):
        return None
    if any("\0" in level or any("\ud800" <= c <= "\udfff" for c in level) for level in levels):
        return None
    return codes, len(levels)
