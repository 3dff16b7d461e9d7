"""The triangular factor of all columns; its condition decides how it is made.

A Cholesky decomposition of the cross-products squares the condition number κ of the columns at equal length: it leaves
κ²u of R. Decomposing the cross-products of WR⁻¹ once more (CholeskyQR2: Yamamoto, Nakatsukasa, Yanagisawa & Fukaya
2015, ETNA 44) leaves κu, as a QR decomposition does. With error-free products WR⁻¹ (:mod:`ivbridge.blocks.products`)
and small matrices in extended precision it leaves u and κ·2⁻⁶⁴, fewer than a QR decomposition. It needs κ²u < 1: beyond
that the first factor is that of blocks of rows with a QR decomposition each, joined (TSQR: Demmel, Grigori, Hoemmen &
Langou 2012, SIAM J. Sci. Comput. 34).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import lapack

from ivbridge.blocks.products import products
from ivbridge.blocks.rows import Block, Rows
from ivbridge.blocks.small import Matrix, condition, inverted, is_wide, semidefinite, unit_condition, wide
from ivbridge.blocks.sums import Cross, CrossProducts, TriangleOf
from ivbridge.records import FloatArray

__all__ = ["CHOLESKY", "CHOLESKY_QR2", "DOUBLE", "Factor", "Orthonormal", "factored"]

#: Largest condition numbers κ with which one pass over the cross-products is enough (it leaves 12.5 digits of standard
#: errors at least, R's QR decomposition 12.8 of robust ones), with which the second one may be in double precision (14
#: digits of coefficients, as R), and with which cross-products have a first factor (κ²u is 1e-2). Measured in
#: docs/decisions/0014-digits.md.
CHOLESKY, DOUBLE, CHOLESKY_QR2 = 20.0, 100.0, 1e7

#: Smallest remainder of a column, relative to its length, that the first factor makes later columns orthogonal to; R's
#: rule leaves out regressors and instruments below 1e-7.
SMALLEST = 1e-9

#: What rounding leaves of the square of a column that depends on others.
ROUNDING = 2.0**-46

Path = Literal["cholesky", "choleskyqr2", "tsqr", "none"]


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """W = QR.

    Attributes
    ----------
    n : int
        Rows.
    r : (m, m) array
        Upper triangular; the constant's column first where there is one. In extended precision where the condition
        exceeds `DOUBLE`. A column that depends on earlier ones has a diagonal that is zero but for rounding.
    shift : (m−1,) array or None
        What was subtracted from the columns; None without a constant.
    condition : float
        Of the columns at equal length, in the Frobenius norm over m; infinite where they are dependent to rounding, NaN
        where a value is missing, infinite, or too large to be squared.
    path : {"cholesky", "choleskyqr2", "tsqr", "none"}
        "none" where `condition` is NaN: there is no factor then.
    passes : int
        How often the rows were read.
    """

    n: int
    r: Matrix
    shift: FloatArray | None
    condition: float
    path: Path
    passes: int

    @property
    def loss(self) -> float:
        """What the decomposition multiplies rounding errors by: κ², κ, or 1 and κ·2⁻¹¹ in extended precision."""
        if self.path == "cholesky":
            return self.condition**2
        if not is_wide(self.r):
            return self.condition
        return 1 + self.condition * float(np.finfo(self.r.dtype).eps / np.finfo(float).eps)

    @property
    def raw(self) -> Matrix:
        """Triangular factor of the columns as they are, before the shift, (m, m)."""
        if self.shift is None:
            return self.r
        raw = self.r.copy()
        raw[0, 1:] += self.r[0, 0] * self.shift
        return raw


@dataclass(frozen=True, slots=True)
class Orthonormal:
    """A pass: cross-products of WT, T (m, m) such that they are near the identity."""

    shift: FloatArray | None
    width: int
    turn: Matrix

    def __call__(self, blocks: Iterable[Block]) -> CrossProducts:
        n, gram = 0, np.zeros(self.turn.shape, dtype=np.longdouble)
        for _, (turned,), block in products(blocks, self.shift, self.width, [self.turn.T]):
            n += len(block.columns[0])
            gram += turned @ turned.T
        return CrossProducts(n, gram.astype(float))


def factored(rows: Rows, *, constant: bool) -> Factor:
    """Decompose all columns, with as many passes over the rows as their condition needs.

    Parameters
    ----------
    rows : Rows
    constant : bool
        Whether the model has one.
    """
    with np.errstate(invalid="ignore", over="ignore"):  # missing, infinite and too large values are found in the sums
        shift = rows.pilot() if constant else None
        sums = rows.reduce(Cross(shift, rows.width))
    passes = 1
    r, number = _cholesky(sums.gram)
    if shift is not None and number > CHOLESKY and (moved := _far(sums.gram)) is not None:
        shift = shift + moved
        sums = rows.reduce(Cross(shift, rows.width))
        passes += 1
        r, number = _cholesky(sums.gram)
    if not number > CHOLESKY:
        return Factor(sums.n, r, shift, number, "none" if np.isnan(number) else "cholesky", passes)
    path: Path = "choleskyqr2" if number <= CHOLESKY_QR2 else "tsqr"
    if path == "tsqr":
        r = _square(rows.reduce(TriangleOf(shift, rows.width)).r)
        passes += 1
    r = _mended(rows, shift, r if number <= DOUBLE else wide(r))
    return Factor(sums.n, r, shift, condition(r.astype(float)), path, passes + 1)


def _far(gram: FloatArray) -> FloatArray | None:
    """Means minus pilot, (m−1,), if one is farther away than its column spreads (sorted, trending or outlying data)."""
    moved = gram[0, 1:] / gram[0, 0]
    spread = np.sqrt(np.maximum(np.diag(gram)[1:] / gram[0, 0] - moved**2, 0.0))
    return moved if (np.abs(moved) > spread).any() else None


def _mended(rows: Rows, shift: FloatArray | None, first: Matrix) -> Matrix:
    """R in the precision of a factor that is off by its condition."""
    near = first.copy()
    lengths = np.sqrt((first * first).sum(axis=0))
    least = np.where(lengths > 0, SMALLEST * lengths, 1.0)
    dependent = np.diagonal(first) < least
    near[dependent] = np.diag(least)[dependent]
    gram = rows.reduce(Orthonormal(shift, rows.width, inverted(near))).gram
    return np.asarray(semidefinite(gram.astype(first.dtype), ROUNDING).T @ near)


def _cholesky(gram: FloatArray) -> tuple[FloatArray, float]:
    """Factor of the cross-products and the columns' condition; infinite where there is no factor, NaN as in Factor."""
    if not np.isfinite(gram).all():
        return np.full(gram.shape, np.nan), np.nan
    lengths = np.sqrt(gram.diagonal())
    if not lengths.all():
        return gram, np.inf
    r, info = lapack.dpotrf(gram / lengths / lengths[:, None], lower=0, clean=1)
    if info != 0:
        return r, np.inf
    return r * lengths, unit_condition(r)


def _square(r: FloatArray) -> FloatArray:
    """A triangular factor of fewer rows than columns, with rows of zeros added; its diagonal made positive."""
    full = np.zeros((r.shape[1], r.shape[1]))
    full[: len(r)] = r
    return full * np.where(np.diag(full) < 0, -1.0, 1.0)[:, None]
