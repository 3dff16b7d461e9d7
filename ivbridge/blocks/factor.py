"""The triangular factor of all columns; its condition decides how it is made.

A Cholesky decomposition of the cross-products squares the condition number κ of the columns at equal length: it leaves
κ²u of R. CholeskyQR2 decomposes the cross-products of WR⁻¹ once more (Yamamoto, Nakatsukasa, Yanagisawa & Fukaya 2015,
ETNA 44) and leaves κu, as a QR decomposition does; it needs κ²u < 1. Beyond that blocks of rows get a QR decomposition,
whose factors are joined (Demmel, Grigori, Hoemmen & Langou 2012, SIAM J. Sci. Comput. 34).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import lapack

from ivbridge.blocks.rows import Rows
from ivbridge.blocks.sums import Cross, TriangleOf
from ivbridge.records import FloatArray
from ivbridge.refine import condition_number

__all__ = ["CHOLESKY", "CHOLESKY_QR2", "Factor", "factored", "inverted"]

#: Largest condition numbers that a method is trusted with. κ²u is then 2e-12, and 1e-2.
CHOLESKY, CHOLESKY_QR2 = 100.0, 1e7

Path = Literal["cholesky", "choleskyqr2", "tsqr"]


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """W = QR.

    Attributes
    ----------
    n : int
        Rows.
    r : (m, m) array
        Upper triangular; the constant's column first where there is one.
    shift : (m−1,) array or None
        What was subtracted from the columns; None without a constant.
    condition : float
        Of the columns at equal length, in the Frobenius norm over m; infinite where they are dependent to rounding.
    path : {"cholesky", "choleskyqr2", "tsqr"}
    passes : int
        How often the rows were read.
    """

    n: int
    r: FloatArray
    shift: FloatArray | None
    condition: float
    path: Path
    passes: int


def inverted(r: FloatArray) -> FloatArray:
    """Inverse of an upper triangular matrix; infinite where it is singular."""
    inverse, info = lapack.dtrtri(r)
    return inverse if info == 0 else np.full(r.shape, np.inf)


def factored(rows: Rows, *, constant: bool) -> Factor:
    """Decompose all columns, with as many passes over the rows as their condition needs.

    Parameters
    ----------
    rows : Rows
    constant : bool
        Whether the model has one.
    """
    shift = rows.pilot() if constant else None
    sums = rows.reduce(Cross(shift, rows.width))
    passes = 1
    r, condition = _cholesky(sums.gram)
    if condition > CHOLESKY and shift is not None and np.isfinite(sums.gram).all():
        # a pilot far from the mean (sorted or trending data) is one reason; the means are known now
        moved = sums.gram[0, 1:] / sums.gram[0, 0]
        spread = np.sqrt(np.maximum(np.diag(sums.gram)[1:] / sums.gram[0, 0] - moved**2, 0.0))
        if (np.abs(moved) > spread).any():
            shift = shift + moved
            sums = rows.reduce(Cross(shift, rows.width))
            passes += 1
            r, condition = _cholesky(sums.gram)
    if condition <= CHOLESKY:
        return Factor(sums.n, r, shift, condition, "cholesky", passes)
    if condition <= CHOLESKY_QR2:
        again = rows.reduce(Cross(shift, rows.width, inverted(r)))
        second, orthonormal = _cholesky(again.gram)
        passes += 1
        if orthonormal < 2:
            r = second @ r
            return Factor(sums.n, r, shift, condition_number(r, inverted(r)), "choleskyqr2", passes)
    triangle = rows.reduce(TriangleOf(shift, rows.width))
    r = _square(triangle.r)
    return Factor(triangle.n, r, shift, condition_number(r, inverted(r)), "tsqr", passes + 1)


def _cholesky(gram: FloatArray) -> tuple[FloatArray, float]:
    """Factor of the cross-products and the columns' condition; infinite where there is no factor."""
    lengths = np.sqrt(np.diag(gram))
    with np.errstate(all="ignore"):
        r, info = lapack.dpotrf(gram / np.outer(lengths, lengths), lower=0, clean=1)
    if info != 0 or not np.isfinite(r).all():
        return r, np.inf
    return r * lengths, condition_number(r, inverted(r))


def _square(r: FloatArray) -> FloatArray:
    """A triangular factor of fewer rows than columns, with rows of zeros added; its diagonal made positive."""
    full = np.zeros((r.shape[1], r.shape[1]))
    full[: len(r)] = r
    return full * np.where(np.diag(full) < 0, -1.0, 1.0)[:, None]
