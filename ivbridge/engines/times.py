"""Between NumPy's moments and durations, which are whole numbers, and R's, which are doubles: exactly or not at all."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ivbridge.engines.wire import NA_REAL

__all__ = ["SECONDS", "from_double", "to_double", "zone"]

#: Seconds in each unit that R gives a difftime.
SECONDS = {"secs": 1, "mins": 60, "hours": 3600, "days": 86400, "weeks": 604800}

_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def to_double(ticks: npt.NDArray[np.int64], unit: str, seconds: int = 1) -> npt.NDArray[np.float64]:
    """Turn whole numbers of a NumPy unit into R's doubles.

    Parameters
    ----------
    ticks : (n,) int64 array
        The least int64 (NumPy's NaT) becomes R's NA.
    unit : {"s", "ms", "us", "ns"}
        What one tick is.
    seconds : int, default 1
        Seconds in one unit of the result; 86400 for days.
    """
    whole, part = np.divmod(ticks, _PER_SECOND[unit])
    found = (whole + part / _PER_SECOND[unit]) / seconds
    found[ticks == np.iinfo(np.int64).min] = NA_REAL
    return found


def from_double(
    values: npt.NDArray[np.float64], seconds: int = 1, units: Sequence[str] = ("us", "ns")
) -> tuple[npt.NDArray[np.int64], str] | None:
    """Undo `to_double`: the first of `units` whose whole numbers give exactly these doubles again; None if none does.

    Parameters
    ----------
    values : (n,) float64 array
        NaN and NA become NaT.
    seconds : int, default 1
        Seconds in one unit of `values`.
    units : sequence of str, default ("us", "ns")
        NumPy units to try.

    Returns
    -------
    tuple of (n,) int64 array and str, or None
        The ticks and their unit.
    """
    missing = np.isnan(values)
    present = np.where(missing, 0.0, values)
    size = np.abs(present).max(initial=0)
    for unit in units:
        per = _PER_SECOND[unit]
        if size >= 2**63 / per / seconds:
            continue
        total = present * seconds
        whole = np.floor(total)
        ticks = whole.astype(np.int64) * per + np.rint((total - whole) * per).astype(np.int64)
        ticks[missing] = np.iinfo(np.int64).min
        if np.array_equal(to_double(ticks, unit, seconds), values, equal_nan=True):
            return ticks, unit
    return None


def zone(name: str) -> Any:
    """The time zone called `name`: "UTC" itself, otherwise a `zoneinfo.ZoneInfo`; None if there is none."""
    if name == "UTC":
        return name
    try:
        return zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
