"""Two-stage and one-stage least squares on given matrices, and what every covariance estimator needs of them.

A covariance is bread · meat · bread. With W the diagonal matrix of weights, X the regressors and P their projection on
the instruments (P = X for least squares), the bread is (P'WP)⁻¹ and the rows of the scores are wᵢeᵢPᵢ; every meat is a
sum over products of scores. This is the contract between AER's fits and R's sandwich package (Zeileis 2006, Journal of
Statistical Software 16(9)), which is why one implementation serves the fit and the auxiliary regressions of its tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from ivbridge.rank import independent_columns
from ivbridge.records import FloatArray

__all__ = [
    "UNIT",
    "Basis",
    "KClass",
    "Linear",
    "independent",
    "least_squares",
    "most_equal",
    "noisy_sums",
    "scaled",
    "summed",
    "two_stage",
]

#: Unit roundoff of double precision.
UNIT = 2.0**-53

#: Terms that a blocked matrix product adds up in one register before they join the rest; libraries use 64 to 512.
BLOCK = 64


@dataclass(frozen=True, slots=True)
class _Noise:
    random: np.random.Generator
    blocked: bool


_noise: ContextVar[_Noise | None] = ContextVar("noise", default=None)


@contextmanager
def noisy_sums(random: np.random.Generator, *, blocked: bool) -> Iterator[None]:
    """Let every inner product carry the relative error that its summation leaves.

    One term after the other, as reference BLAS and LINPACK sum for R, leaves √n·u for independent rounding errors.
    Adding one value over and over rounds the same way each time until the sum doubles: the last doubling alone leaves
    ±u·m/2, evenly spread, hence u·m/√12, where m terms are equal (dummies, whole numbers). ``blocked`` is the summation
    of tuned libraries, numpy's among them: sums of a block of 64 in registers leave √64·u, and joining them √(n/64)·u.
    """
    token = _noise.set(_Noise(random, blocked))
    try:
        yield
    finally:
        _noise.reset(token)


def summed(products: FloatArray, matrix: FloatArray) -> FloatArray:
    """Inner products with the columns of a matrix (n,) or (n, m), along the last axis; noisy when asked for."""
    noise = _noise.get()
    if noise is None:
        return products
    columns = matrix[:, None] if matrix.ndim == 1 else matrix
    if noise.blocked:
        level = np.full(columns.shape[1], max(np.sqrt(BLOCK), np.sqrt(len(matrix) / BLOCK)))
    else:
        equal = np.array([most_equal(column) for column in columns.T])
        level = np.maximum(np.sqrt(len(matrix)), equal / np.sqrt(12))
    drawn = UNIT * noise.random.standard_normal(products.shape) * (level if matrix.ndim == 2 else level[0])
    return np.asarray(products * (1 + drawn))


def most_equal(column: FloatArray) -> int:
    """How often the most frequent value other than zero occurs; in single precision, which looks past perturbations."""
    ordered = np.sort(column[column != 0].astype(np.float32))
    edges = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])) if len(ordered) else [0, 0]
    return int(np.diff(edges).max())


@dataclass(frozen=True, eq=False)
class Basis:
    """QR decomposition of √w·matrix, made once and used for every regression on these columns.

    Attributes
    ----------
    matrix : (n, k) array
    weights : (n,) array or None
    q, r : (n, k), (k, k) arrays
    """

    matrix: FloatArray
    weights: FloatArray | None
    q: FloatArray
    r: FloatArray

    @classmethod
    def of(cls, matrix: FloatArray, weights: FloatArray | None) -> Basis:
        """Decompose."""
        q, r = np.linalg.qr(scaled(matrix, weights))
        return cls(matrix, weights, q, summed(r, matrix))

    def solve(self, y: FloatArray) -> FloatArray:
        """Coefficients of y (n,) or (n, m) on the columns."""
        moments = summed(self.q.T @ scaled(y, self.weights), y)
        return np.asarray(linalg.solve_triangular(self.r, moments))

    def independent(self) -> Basis:
        """The basis of the columns that do not depend on earlier ones, by R's rule; itself where none does."""
        kept = independent_columns(self.r)
        return self if len(kept) == self.matrix.shape[1] else Basis.of(self.matrix[:, kept], self.weights)


@dataclass(frozen=True, eq=False)
class KClass:
    """What sets a k-class fit apart from two-stage least squares.

    Attributes
    ----------
    kappa : float
    liml : float
        LIML's κ, which Fuller's is smaller than.
    root : (k, k) array
        Upper triangular factor of X'W(I − κM)X, in place of that of P'WP.
    """

    kappa: float
    liml: float
    root: FloatArray


@dataclass(frozen=True, eq=False)
class Linear:
    """A fitted linear regression.

    Attributes
    ----------
    names : tuple of str, length k
    y : (n,) array
    x : (n, k) array
        Regressors, linearly independent.
    coef : (k,) array
    basis : Basis
        Of the regressors' projection on the instruments, or of the regressors for least squares.
    instruments : Basis or None
        None for least squares. R's class is ``ivreg`` with and ``lm`` without, which some of its defaults look at.
    k_class : KClass or None
        None for least squares, one-stage or two-stage.
    """

    names: tuple[str, ...]
    y: FloatArray
    x: FloatArray
    coef: FloatArray
    basis: Basis
    instruments: Basis | None = None
    k_class: KClass | None = None

    @property
    def projected(self) -> FloatArray:
        """P, (n, k)."""
        return self.basis.matrix

    @property
    def weights(self) -> FloatArray | None:
        """Weights, (n,), or None."""
        return self.basis.weights

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.x.shape[0])

    @property
    def k(self) -> int:
        """Regressors."""
        return int(self.x.shape[1])

    @property
    def df_resid(self) -> int:
        """n − k."""
        return self.n - self.k

    @cached_property
    def fitted(self) -> FloatArray:
        """Xβ, (n,)."""
        return np.asarray(self.x @ self.coef)

    @cached_property
    def residuals(self) -> FloatArray:
        """y − Xβ, (n,)."""
        return np.asarray(self.y - self.fitted)

    @cached_property
    def bread(self) -> FloatArray:
        """(P'WP)⁻¹, or (X'W(I − κM)X)⁻¹ of the k-class, (k, k)."""
        root = self.basis.r if self.k_class is None else self.k_class.root
        inverse = linalg.solve_triangular(root, np.eye(self.k))
        return np.asarray(inverse @ inverse.T)

    @cached_property
    def working(self) -> FloatArray:
        """Residuals times weights, (n,)."""
        return self.residuals if self.weights is None else self.residuals * self.weights

    @cached_property
    def scores(self) -> FloatArray:
        """Estimating functions wᵢeᵢPᵢ, (n, k): R's ``estfun``."""
        return np.asarray(self.projected * self.working[:, None])

    @cached_property
    def rss(self) -> float:
        """Σ wᵢeᵢ²."""
        return float(self.working @ self.residuals)

    @property
    def sigma(self) -> float:
        """√(RSS/(n−k))."""
        return float(np.sqrt(self.rss / self.df_resid))

    @cached_property
    def hat(self) -> FloatArray:
        """Leverages, (n,).

        For IV AER's definition xᵢ'(P'P)⁻¹qᵢ, q the projection of x on the instruments without weights (P itself has
        them); for least squares R's ``hatvalues.lm``.
        """
        if self.instruments is None:
            return np.asarray(np.sum(self.basis.q**2, axis=1))
        plain = self.instruments if self.weights is None else Basis.of(self.instruments.matrix, None)
        root = self.basis.r if self.weights is None else Basis.of(self.projected, None).r
        inverse = linalg.solve_triangular(root, np.eye(self.k))
        return np.asarray(np.sum((self.x @ inverse) * (plain.q @ (plain.q.T @ self.x) @ inverse), axis=1))

    def r2(self, *, intercept: bool) -> tuple[float, float]:
        """R² and adjusted R² as ``summary.ivreg`` and ``summary.lm`` give them; centred only with an intercept."""
        w = np.ones(self.n) if self.weights is None else self.weights
        centre = np.average(self.y, weights=w) if intercept else 0.0
        r2 = 1 - self.rss / float(w @ (self.y - centre) ** 2)
        return r2, 1 - (1 - r2) * (self.n - intercept) / self.df_resid


def scaled(matrix: FloatArray, weights: FloatArray | None) -> FloatArray:
    """A matrix (n,) or (n, m) with its rows multiplied by the square roots of the weights."""
    if weights is None:
        return matrix
    root = np.sqrt(weights)
    return matrix * (root if matrix.ndim == 1 else root[:, None])


def independent(matrix: FloatArray) -> list[int]:
    """Columns of an (n, k) matrix that do not depend linearly on earlier ones, by R's rule (:mod:`ivbridge.rank`)."""
    return independent_columns(np.asarray(np.linalg.qr(matrix, mode="r")))


def least_squares(y: FloatArray, basis: Basis, names: tuple[str, ...]) -> Linear:
    """Weighted least squares of y (n,) on linearly independent columns, by QR."""
    return Linear(names, y, basis.matrix, basis.solve(y), basis)


def two_stage(y: FloatArray, x: FloatArray, instruments: Basis, names: tuple[str, ...]) -> Linear:
    """Weighted two-stage least squares of y (n,) on x (n, k), by QR; weights are those of the instruments' basis."""
    basis = Basis.of(instruments.matrix @ instruments.solve(x), instruments.weights)
    return Linear(names, y, x, basis.solve(y), basis, instruments)
