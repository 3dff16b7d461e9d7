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
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy import linalg

from ivbridge.rank import independent_columns
from ivbridge.records import FloatArray
from ivbridge.refine import Extended, condition_number, converged, left_over, orthonormal

__all__ = [
    "UNIT",
    "Basis",
    "KClass",
    "Linear",
    "Stages",
    "independent",
    "least_squares",
    "most_equal",
    "noisy",
    "noisy_sums",
    "refined",
    "scaled",
    "summed",
    "two_stage",
]

#: Unit roundoff of double precision.
UNIT = 2.0**-53

#: Terms that a blocked matrix product adds up in one register before they join the rest; libraries use 64 to 512.
BLOCK = 64


#: Condition number above which a QR decomposition leaves fewer than about twelve digits of a standard error.
COLLINEAR = 256.0


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


def noisy() -> bool:
    """Whether inner products carry noise now: then nothing is refined, since R and LAPACK do not refine either."""
    return _noise.get() is not None


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
    scale = np.abs(column).max(initial=0.0) or 1.0  # so that no value is too large for single precision
    ordered = np.sort((column[column != 0] / scale).astype(np.float32))
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
    inverse : (k, k) array
        Of r.
    """

    matrix: FloatArray
    weights: FloatArray | None
    q: FloatArray
    r: FloatArray
    inverse: FloatArray

    @classmethod
    def of(cls, matrix: FloatArray, weights: FloatArray | None) -> Basis:
        """Decompose; nearly collinear columns to the last digit, unless sums are noisy."""
        q, r = np.linalg.qr(scaled(matrix, weights))
        r = summed(r, matrix)
        inverse = np.asarray(linalg.solve_triangular(r, np.eye(len(r))))
        if not noisy() and condition_number(r, inverse) > COLLINEAR:
            return cls(matrix, weights, *orthonormal(matrix, weights, r, inverse))
        return cls(matrix, weights, q, r, inverse)

    def solve(self, y: FloatArray) -> FloatArray:
        """Coefficients of y (n,) or (n, m) on the columns."""
        moments = summed(self.q.T @ scaled(y, self.weights), y)
        return np.asarray(linalg.solve_triangular(self.r, moments))

    def fit(self, y: FloatArray) -> tuple[Extended, FloatArray]:
        """Coefficients (k, m) of y (n, m) on the columns and the residuals (n, m), refined unless sums are noisy."""
        if not y.shape[1]:
            return np.zeros((self.matrix.shape[1], 0), dtype=np.longdouble), y
        start = self.solve(y)
        if noisy():
            return start.astype(np.longdouble), y - self.matrix @ start
        x, weights = self.matrix, self.weights
        return converged(start, (self.r, self.inverse), x, lambda coef: left_over(y, x, coef, x, weights))

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
class Stages:
    """The first stages of two-stage least squares.

    Attributes
    ----------
    endog : tuple of int, length q
        Places of the regressors that are not among the instruments.
    coef : (l, k) extended array
        Π, with PX = ZΠ; an exogenous regressor has a column of the identity.
    residuals : (n, q) array
        Of the endogenous regressors.
    """

    endog: tuple[int, ...]
    coef: Extended
    residuals: FloatArray


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
    stages : Stages or None
        None for least squares.
    left : (n,) array or None
        Residuals, where refinement has found them to more digits than y − Xβ in double precision has.
    """

    names: tuple[str, ...]
    y: FloatArray
    x: FloatArray
    coef: FloatArray
    basis: Basis
    instruments: Basis | None = None
    k_class: KClass | None = None
    stages: Stages | None = field(default=None, kw_only=True)
    left: FloatArray | None = field(default=None, kw_only=True)

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
        return np.asarray(self.x @ self.coef if self.left is None else self.y - self.left)

    @cached_property
    def residuals(self) -> FloatArray:
        """y − Xβ, (n,)."""
        return np.asarray(self.y - self.fitted) if self.left is None else self.left

    @property
    def root(self) -> FloatArray:
        """Upper triangular factor of P'WP, or of X'W(I − κM)X for the k-class, (k, k)."""
        return self.basis.r if self.k_class is None else self.k_class.root

    @cached_property
    def inverse(self) -> FloatArray:
        """Inverse of the triangular factor, (k, k)."""
        if self.k_class is None:
            return self.basis.inverse
        return np.asarray(linalg.solve_triangular(self.root, np.eye(self.k)))

    @cached_property
    def bread(self) -> FloatArray:
        """(P'WP)⁻¹, or (X'W(I − κM)X)⁻¹ of the k-class, (k, k)."""
        return np.asarray(self.inverse @ self.inverse.T)

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

    def on_instruments(self, y: FloatArray, names: tuple[str, ...]) -> Linear:
        """Least squares of another column (n,) on the instruments."""
        assert self.instruments is not None
        return least_squares(y, self.instruments, names)

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
    """Weighted least squares of y (n,) on linearly independent columns, by QR, refined."""
    coef, left = basis.fit(y[:, None])
    return Linear(names, y, basis.matrix, coef[:, 0].astype(float), basis, left=None if noisy() else left[:, 0])


def two_stage(
    y: FloatArray, x: FloatArray, instruments: Basis, names: tuple[str, ...], z_names: tuple[str, ...]
) -> Linear:
    """Weighted two-stage least squares of y (n,) on x (n, k), by QR, not yet refined.

    Weights are those of the instruments' basis; a column of one name is the same in x and among the instruments.
    """
    endog = tuple(j for j, name in enumerate(names) if name not in z_names)
    coef = np.zeros((len(z_names), len(names)), dtype=np.longdouble)
    coef[:, endog], rest = instruments.fit(x[:, endog])
    for j, name in enumerate(names):
        if j not in endog:
            coef[z_names.index(name), j] = 1
    if noisy():
        projected = instruments.matrix @ instruments.solve(x)  # of every column, as AER does it
    elif endog:
        projected = x.copy(order="F")
        projected[:, endog] -= rest
    else:
        projected = x
    # least squares: the instruments are the regressors
    basis = instruments if names == z_names else Basis.of(projected, instruments.weights)
    return Linear(names, y, x, basis.solve(y), basis, instruments, stages=Stages(endog, coef, rest))


def refined(model: Linear, start: FloatArray | None = None) -> Linear:
    """Two-stage least squares or a k-class fit to the last digit; unchanged while sums are noisy.

    Parameters
    ----------
    model : Linear
        With its stages.
    start : (k,) array, optional
        Coefficients to start from; default: those of the model.
    """
    instruments, stages, k_class = model.instruments, model.stages, model.k_class
    if noisy() or instruments is None or stages is None:
        return model

    def remainder(coef: Extended) -> tuple[FloatArray, Extended]:
        rest, moments = left_over(model.y[:, None], model.x, coef, instruments.matrix, model.weights)
        left = stages.coef.T @ moments
        if k_class is not None:  # X'W(I − κM)e = (PX)'We − (κ − 1)(MX)'We
            weighted = rest if model.weights is None else rest * model.weights[:, None]
            unexplained = stages.residuals.T.astype(np.longdouble) @ weighted
            left[list(stages.endog)] -= (k_class.kappa - 1) * unexplained
        return rest, left

    coef, rest = converged(
        (model.coef if start is None else start)[:, None], (model.root, model.inverse), model.x, remainder
    )
    return replace(model, coef=coef[:, 0].astype(float), left=rest[:, 0])
