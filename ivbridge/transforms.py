"""The numerical functions that a formula may call, each giving R's numbers.

Every function takes the whole column, missing values (NaN) included, because R evaluates a formula's variables before
it drops rows: the mean of ``scale`` and the knots of ``bs`` come from all rows in which the column itself is present.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ivbridge.errors import DataError

__all__ = ["ELEMENTWISE", "bs", "ns", "poly", "scale"]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

ELEMENTWISE: dict[str, Callable[[Vector], Vector]] = {
    "log": np.log, "log2": np.log2, "log10": np.log10, "log1p": np.log1p, "exp": np.exp, "sqrt": np.sqrt, "abs": np.abs,
}  # fmt: skip


def scale(x: Vector, *, center: bool = True, spread: bool = True) -> Vector:
    """Centre and scale a column: R's ``scale(x, center, scale)``.

    Parameters
    ----------
    x : ndarray, shape (n,)
    center : bool, default True
        Subtract the mean.
    spread : bool, default True
        Divide by the standard deviation (n − 1); without centring, by the root mean square over n − 1, as R does.

    Returns
    -------
    ndarray, shape (n,)

    Raises
    ------
    DataError
        If the column is constant, so that R would divide by zero.
    """
    present = x[~np.isnan(x)]
    shifted = x - present.mean() if center and len(present) else x
    if not spread:
        return shifted
    kept = shifted[~np.isnan(x)]
    divisor = np.sqrt(np.sum(kept**2) / max(1, len(kept) - 1))
    if divisor == 0:
        raise DataError("scale() divides by the standard deviation, which is 0.", do="leave the constant column out.")
    return np.asarray(shifted / divisor)


def poly(x: Vector, degree: int, *, raw: bool = False) -> Matrix:
    """Polynomial basis: R's ``poly(x, degree, raw)``.

    Parameters
    ----------
    x : ndarray, shape (n,)
        No missing values, as in R.
    degree : int
        Highest power.
    raw : bool, default False
        Plain powers; otherwise columns are orthonormal over all rows, and each one grows with x at the far right.

    Returns
    -------
    ndarray, shape (n, degree)

    Raises
    ------
    DataError
        If values are missing, or there are no more than `degree` distinct values.
    """
    if missing := int(np.isnan(x).sum()):
        raise DataError(f"poly() cannot have missing values; found {missing}.", do="drop these rows first.")
    if raw:
        return np.column_stack([x**power for power in range(1, degree + 1)])
    distinct = len(np.unique(x))
    if degree >= distinct:
        raise DataError(f"poly(x, {degree}) needs more than {degree} distinct values; found {distinct}.")
    centred = x - x.mean()
    q, r = np.linalg.qr(np.vander(centred, degree + 1, increasing=True))
    return np.asarray((q * np.sign(np.diagonal(r)))[:, 1:])
