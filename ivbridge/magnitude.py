"""Numbers too large or too small to be multiplied: refused by name, before an engine overflows in silence.

A score is a product of a regressor and a residual, and the automatic bandwidths of Newey & West and of Andrews raise
scores to the fourth power, so what is in a column goes up to its eighth power. Doubles end at 1e±308.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ivbridge.errors import DataError

__all__ = ["LARGEST", "SMALLEST", "check_magnitude", "check_magnitudes"]

#: Eighth powers of these stay doubles, and leave a factor of 10²⁸ for sums over rows.
LARGEST, SMALLEST = 1e35, 1e-35

Vector = NDArray[np.float64]


def check_magnitude(name: str, values: Vector) -> None:
    """Refuse a column whose largest entry is so large, or so small without being zero, that products leave the doubles.

    Parameters
    ----------
    name : str
        What the message calls it.
    values : ndarray, shape (n,)
        Finite or missing.

    Raises
    ------
    DataError
        If the largest absolute value is above 1e35, or above 0 and below 1e-35.
    """
    _check(name, name, _largest(values))


def check_magnitudes(columns: Mapping[str, Vector], weighted: tuple[str, Vector] | None) -> None:
    """The same for all columns of a model, as they are and times the square roots of the weights.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n,) each
    weighted : (str, ndarray of shape (n,)), optional
        The weights, positive.

    Raises
    ------
    DataError
        As :func:`check_magnitude`.
    """
    sizes = {name: _largest(column) for name, column in columns.items()}
    for name, size in sizes.items():
        _check(name, name, size)
    if weighted is None:
        return
    root = np.sqrt(weighted[1])
    low, high = float(root.min()), float(root.max())
    for name, size in sizes.items():
        if high * size > LARGEST or low * size < SMALLEST:  # what the products may reach; now look at them
            _check(f"{name} times the square root of {weighted[0]}", weighted[0], _largest(columns[name] * root))


def _largest(values: Vector) -> float:
    present = values[~np.isnan(values)] if np.isnan(values).any() else values
    return float(max(present.max(initial=0.0), -present.min(initial=0.0)))


def _check(what: str, name: str, size: float) -> None:
    if size > LARGEST or 0 < size < SMALLEST:
        raise DataError(
            f"The largest value of {what} is {size:.3g}, and products of such numbers leave the range of doubles.",
            available=f"columns whose largest value lies between {SMALLEST:g} and {LARGEST:g}",
            do=f"change the unit of {name}.",
        )
