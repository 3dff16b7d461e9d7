"""Covariates as candidates for an instrument: which can be used, and how they go together with T and Y."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ivbridge.errors import DesignError
from ivbridge.iv_ml.data import IVData, check_treatment
from ivbridge.records import FloatArray, IntArray

__all__ = ["centered", "usable"]

#: A column that varies less than this share of its largest value is constant but for rounding.
_CONSTANT = 1e-12


def usable(data: IVData) -> IntArray:
    """Numbers of the columns of X that vary, at least one.

    Raises
    ------
    DesignError
        If there is none, or the treatment does not vary.
    """
    check_treatment(data)
    x = data.exog
    found = np.flatnonzero(~_constant(x))
    if not len(found):
        raise DesignError(
            f"None of the {x.shape[1]} covariates varies, and instruments are made from them.",
            do="give candidates as exog, or use another maker of instruments.",
        )
    return found


def centered(values: FloatArray) -> FloatArray:
    """Columns with their means taken off."""
    return np.asarray(values - values.mean(axis=0))


def _constant(columns: FloatArray) -> npt.NDArray[np.bool_]:
    spread: FloatArray = np.ptp(columns, axis=0)
    largest: FloatArray = np.abs(columns).max(axis=0)
    return np.less_equal(spread, _CONSTANT * largest)
