"""Iterative refinement: coefficients and residuals to the last digit, from any solution and a triangular factor.

A solution β of the normal equations Π'Z'W(y − Xβ) = 0 is improved by δ = R⁻¹R⁻ᵀ·(their remainder), R the factor of a QR
decomposition. If the remainder is computed in extended precision, each step multiplies the error by about κu, with
κ the condition number of the regressors at equal length and u = 2⁻⁵³ (corrected seminormal equations: Björck 1987,
Linear Algebra and its Applications 88/89; Björck 1996, section 2.9). Normal equations alone lose κ²u, a QR
decomposition alone κu and, where the fit is poor, κ²u as well. Where C's ``long double`` is no wider than ``double``
(Windows, Apple silicon) the steps are taken in double precision, and leave what a QR decomposition leaves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ivbridge.records import FloatArray

__all__ = ["Extended", "condition_number", "converged", "left_over", "orthonormal"]

#: Matrices in extended precision.
Extended = NDArray[np.longdouble]

#: Rows converted to extended precision at a time: a block of twenty columns stays in the cache.
ROWS = 2048

EPSILON = float(np.finfo(float).eps)

#: Steps at most. R's rule for dependent columns bounds κ by 10⁷ or so, hence the factor of a step by 10⁻⁸.
STEPS = 4


def left_over(
    y: FloatArray, x: FloatArray, coef: Extended, z: FloatArray, weights: FloatArray | None
) -> tuple[FloatArray, Extended]:
    """Residuals y − Xβ, rounded to double precision once, and Z'W times them.

    Parameters
    ----------
    y : (n, m) array
    x : (n, k) array
    coef : (k, m) array
    z : (n, l) array
        May be ``x`` itself, which saves time.
    weights : (n,) array or None

    Returns
    -------
    (n, m) array, (l, m) extended array
    """
    rest = np.empty(y.shape)
    moments = np.zeros((z.shape[1], y.shape[1]), dtype=np.longdouble)
    for start in range(0, len(y), ROWS):
        rows = slice(start, start + ROWS)
        wide = x[rows].astype(np.longdouble)
        exact = y[rows] - wide @ coef
        rest[rows] = exact
        weighted = exact if weights is None else exact * weights[rows, None]
        moments += (wide if z is x else z[rows].astype(np.longdouble)).T @ weighted
    return rest, moments


def condition_number(r: FloatArray, inverse: FloatArray) -> float:
    """Of a triangular factor whose columns are brought to one size.

    Parameters
    ----------
    r, inverse : (k, k) arrays
        The factor and its inverse.

    Returns
    -------
    float
        ‖R‖‖R⁻¹‖/k in the Frobenius norm, which is between 1/k and 1 times the usual one.
    """
    lengths = np.abs(r).max(axis=0, initial=0.0)  # so that squares neither overflow nor underflow
    return float(np.linalg.norm(r / lengths) * np.linalg.norm(inverse * lengths[:, None])) / max(len(r), 1)


def orthonormal(
    matrix: FloatArray, weights: FloatArray | None, r: FloatArray, inverse: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A QR decomposition of √w·matrix and the inverse of R, to the last digit, from an R that is off by κu.

    √w·matrix·R⁻¹ has columns that are orthonormal but for an F = O(κu), found in extended precision; an upper
    triangular U with U + U' = F then mends all three factors to O(F²).

    Parameters
    ----------
    matrix : (n, k) array
    weights : (n,) array or None
    r, inverse : (k, k) arrays

    Returns
    -------
    (n, k), (k, k), (k, k) arrays
    """
    q, gram = np.empty(matrix.shape), np.zeros(r.shape, dtype=np.longdouble)
    for start in range(0, len(matrix), ROWS):
        rows = slice(start, start + ROWS)
        turned = matrix[rows].astype(np.longdouble) @ inverse.astype(np.longdouble)
        if weights is not None:
            turned *= np.sqrt(weights[rows].astype(np.longdouble))[:, None]
        q[rows] = turned
        gram += turned.T @ turned
    excess = (gram - np.eye(len(r))).astype(float)
    upper = np.triu(excess, 1) + np.diag(np.diag(excess)) / 2
    return q - q @ upper, r + upper @ r, inverse - inverse @ upper


def converged(
    start: FloatArray | Extended,
    factors: tuple[FloatArray, FloatArray],
    x: FloatArray,
    remainder: Callable[[Extended], tuple[FloatArray, Extended]],
) -> tuple[Extended, FloatArray]:
    """Refine until a further step could not change the last digit.

    Parameters
    ----------
    start : (k, m) array
        Any finite solution; a better one saves steps.
    factors : tuple of two (k, k) arrays
        Upper triangular R with R'R the matrix of the normal equations, but for rounding, and its inverse.
    x : (n, k) array
        The regressors.
    remainder : callable
        Gives the residuals (n, m) at given coefficients and what they leave of the normal equations, (k, m).

    Returns
    -------
    (k, m) extended array, (n, m) array
        Coefficients, and the residuals at them.
    """
    coef: Extended = start.astype(np.longdouble)
    inverse = factors[1].astype(np.longdouble)
    factor = len(inverse) * EPSILON * condition_number(*factors)  # of the error that a step leaves
    for _ in range(STEPS):
        rest, left = remainder(coef)
        change = inverse @ (inverse.T @ left)
        with np.errstate(divide="ignore", invalid="ignore"):  # a coefficient may be 0
            moved = np.nan_to_num(np.abs(change / coef), posinf=1.0).max(initial=0.0)
        coef = coef + change
        if moved * factor <= EPSILON / 16:
            break
    return coef, rest - x @ change.astype(float)
