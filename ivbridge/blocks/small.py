"""Linear algebra on small matrices, in the precision of their numbers.

LAPACK for double precision; loops over columns in C's ``long double``, which LAPACK does not have, for the factors of
ill-conditioned columns (:mod:`ivbridge.blocks.factor`). Where ``long double`` is no wider than ``double`` (Windows,
Apple silicon) these loops run in double precision.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

__all__ = [
    "cholesky",
    "condition",
    "inverted",
    "is_wide",
    "least_singular",
    "qr",
    "semidefinite",
    "unit_condition",
    "wide",
]

#: Double or extended precision.
Matrix = NDArray[Any]


def is_wide(matrix: Matrix) -> bool:
    """Whether the numbers are C's ``long double``."""
    return matrix.dtype.char == "g"


def wide(matrix: Matrix) -> Matrix:
    """The same numbers as ``long double``."""
    return matrix.astype(np.longdouble)


def qr(a: Matrix) -> tuple[Matrix, Matrix]:
    """Q (m, k) with orthonormal columns and R (k, k), upper triangular, with QR = a (m, k), k ≤ m.

    In extended precision by Gram and Schmidt's method, twice (Giraud, Langou, Rozložník & van den Eshof 2005, Numer.
    Math. 101); a column that depends on earlier ones has a zero on R's diagonal, and a zero column in Q, there.
    """
    if not is_wide(a):
        return _lapack_qr(a) if a.size else np.linalg.qr(a)[:2]
    k = a.shape[1]
    q, r = np.zeros_like(a), np.zeros((k, k), dtype=a.dtype)
    for j in range(k):
        column = a[:, j]
        length = np.sqrt(column @ column)
        for _ in range(2):
            part = q[:, :j].T @ column
            column = column - q[:, :j] @ part
            r[:j, j] += part
        left = np.sqrt(column @ column)
        if left > length * np.finfo(a.dtype).eps * 4:
            r[j, j], q[:, j] = left, column / left
    return q, r


def _lapack_qr(a: Matrix) -> tuple[Matrix, Matrix]:
    """What :func:`numpy.linalg.qr` does, without its thirty microseconds."""
    k = a.shape[1]
    both, tau, _, _ = lapack.dgeqrf(a)
    r = both[:k] * _upper(k)
    q, _, _ = lapack.dorgqr(both, tau)
    return q, r


@cache
def _upper(k: int) -> Matrix:
    """Ones on and above the diagonal."""
    return np.triu(np.ones((k, k)))


def inverted(r: Matrix) -> Matrix:
    """Inverse of an upper triangular matrix, (k, k); infinite where it is singular."""
    if not is_wide(r):
        inverse, info = lapack.dtrtri(r)
        return inverse if info == 0 else np.full(r.shape, np.inf)
    if (np.diagonal(r) == 0).any():
        return np.full(r.shape, np.inf, dtype=r.dtype)
    inverse = np.eye(len(r), dtype=r.dtype)
    for i in range(len(r) - 1, -1, -1):
        inverse[i] = (inverse[i] - r[i, i + 1 :] @ inverse[i + 1 :]) / r[i, i]
    return inverse


def cholesky(a: Matrix) -> Matrix:
    """Lower triangular L with LL' = a, (k, k).

    Raises
    ------
    numpy.linalg.LinAlgError
        If `a` is not positive definite.
    """
    if not is_wide(a):
        lower, info = lapack.dpotrf(a, lower=1, clean=1)
        if info:
            raise np.linalg.LinAlgError("the matrix is not positive definite")
        return np.asarray(lower)
    lower = semidefinite(a)
    if not (np.diagonal(lower) > 0).all():
        raise np.linalg.LinAlgError("the matrix is not positive definite")
    return lower


def semidefinite(a: Matrix, least: float = 0.0) -> Matrix:
    """Lower triangular L with LL' = a, (k, k); a column of zeros for a pivot of at most `least` times the diagonal."""
    lower = np.zeros_like(a)
    for j in range(len(a)):
        rest = a[j:, j] - lower[j:, :j] @ lower[j, :j]
        if rest[0] > least * a[j, j]:
            lower[j:, j] = rest / np.sqrt(rest[0])
    return lower


def least_singular(a: Matrix) -> float:
    """The least of the min(m, k) singular values of a matrix (m, k).

    In extended precision it is the length of the image of the singular vector that double precision has: an error ε of
    the vector is one of ε² of the value.
    """
    tall = a if a.shape[0] >= a.shape[1] else a.T
    _, values, vectors = np.linalg.svd(tall.astype(float), full_matrices=False)
    if not is_wide(a):
        return float(values[-1])
    image = tall @ (vectors[-1] / np.sqrt(wide(vectors[-1]) @ vectors[-1]))
    return float(np.sqrt(image @ image))


def condition(r: Matrix) -> float:
    """Condition number of columns with the triangular factor r, (k, k), at equal length; infinite where dependent.

    In the Frobenius norm over k, which is between 1/k and 1 times the usual one.
    """
    if not len(r):
        return 1.0
    largest = np.abs(r).max(axis=0)
    if not largest.all():
        return np.inf
    scaled = r / largest  # so that squares neither overflow nor underflow
    return unit_condition(scaled / np.sqrt((scaled * scaled).sum(axis=0)))


def unit_condition(r: Matrix) -> float:
    """The same for columns of length one."""
    inverse = inverted(r).ravel()
    with np.errstate(over="ignore"):
        return float(np.sqrt(inverse @ inverse / max(len(r), 1)))
