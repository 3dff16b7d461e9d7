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


def bs(
    x: Vector, *, df: int | None = None, knots: Vector | None = None, degree: int = 3, intercept: bool = False,
    boundary: Vector | None = None,
) -> Matrix:  # fmt: skip
    """B-spline basis: R's ``splines::bs``.

    Parameters
    ----------
    x : ndarray, shape (n,)
        Missing values give missing rows.
    df : int, optional
        Number of columns; ``df - degree - intercept`` inner knots are put at quantiles (type 7) of the values present.
    knots : ndarray, optional
        Inner knots, instead of `df`; none of both is no inner knot.
    degree : int, default 3
    intercept : bool, default False
        Keep the first column.
    boundary : ndarray of two, optional
        Default: the range of the values present. Beyond it the outer polynomials continue.

    Returns
    -------
    ndarray, shape (n, number of inner knots + degree + intercept)

    Raises
    ------
    DataError
        If `df` is too small for the degree, fewer than two distinct values are present, or a knot lies beyond them.
    """
    inner, ends = _knots(x, df, knots, degree + intercept, boundary)
    sequence = np.sort(np.concatenate([np.repeat(ends, degree + 1), inner]))
    return _splines(sequence, degree, x)[:, 0 if intercept else 1 :]


def ns(
    x: Vector, *, df: int | None = None, knots: Vector | None = None, intercept: bool = False,
    boundary: Vector | None = None,
) -> Matrix:  # fmt: skip
    """Natural cubic spline basis: R's ``splines::ns``; linear beyond the boundary knots.

    Parameters
    ----------
    x, df, knots, intercept, boundary
        As for :func:`bs`; ``df - 1 - intercept`` inner knots.

    Returns
    -------
    ndarray, shape (n, number of inner knots + 1 + intercept)

    Raises
    ------
    DataError
        As for :func:`bs`.
    """
    inner, ends = _knots(x, df, knots, 1 + intercept, boundary)
    if (inner == ends[1]).any():
        raise DataError(
            f"A knot of a natural spline is its upper end, {ends[1]:g}: too few distinct values.",
            do="use a smaller df.",
        )
    sequence = np.sort(np.concatenate([np.repeat(ends, 4), inner]))
    basis = _splines(sequence, 3, np.clip(x, *ends))
    slopes = _splines(sequence, 3, ends, derivative=1)
    for outside, end, slope in ((x < ends[0], ends[0], slopes[0]), (x > ends[1], ends[1], slopes[1])):
        basis[outside] += (x[outside] - end)[:, None] * slope
    bending = _splines(sequence, 3, ends, derivative=2)
    first = 0 if intercept else 1
    # columns whose second derivative vanishes at both ends: the orthogonal complement that Householder gives
    complement = np.linalg.qr(bending[:, first:].T, mode="complete").Q[:, 2:]
    return np.asarray(basis[:, first:] @ complement)


def _knots(
    x: Vector, df: int | None, knots: Vector | None, fixed: int, boundary: Vector | None
) -> tuple[Vector, Vector]:
    """Inner knots (sorted) and the two boundary knots."""
    present = x[~np.isnan(x)]
    if len(np.unique(present)) < 2:
        raise DataError("A spline needs at least two distinct values.", do="leave the constant column out.")
    ends = np.sort(boundary) if boundary is not None else np.array([present.min(), present.max()])
    if knots is not None:
        if ((knots < ends[0]) | (knots > ends[1])).any():
            raise DataError(f"A knot of a spline lies beyond {ends[0]:g} to {ends[1]:g}.", do="choose knots inside.")
        return np.sort(knots), ends
    count = 0 if df is None else df - fixed
    if count < 0:
        raise DataError(f"A spline with df = {df} is too small.", do=f"use df = {fixed} or more.")
    inside = present[(present >= ends[0]) & (present <= ends[1])]
    return np.quantile(inside, np.linspace(0, 1, count + 2)[1:-1]), ends


def _splines(sequence: Vector, degree: int, x: Vector, derivative: int = 0) -> Matrix:
    from scipy.interpolate import BSpline

    spline = BSpline(sequence, np.eye(len(sequence) - degree - 1), degree, extrapolate=True)
    return np.asarray(spline(x, nu=derivative), dtype=np.float64)
