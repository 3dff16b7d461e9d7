"""Two-stage and one-stage least squares on given matrices, and what every covariance estimator needs of them.

A covariance is bread · meat · bread. With W the diagonal matrix of weights, X the regressors and P their projection on
the instruments (P = X for least squares), the bread is (P'WP)⁻¹ and the rows of the scores are wᵢeᵢPᵢ; every meat is a
sum over products of scores. This is the contract between AER's fits and R's sandwich package (Zeileis 2006, Journal of
Statistical Software 16(9)), which is why one implementation serves the fit and the auxiliary regressions of its tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import linalg

from ivbridge.rank import independent_columns, triangle
from ivbridge.records import FloatArray

__all__ = ["Linear", "independent", "least_squares", "two_stage"]


@dataclass(frozen=True, eq=False)
class Linear:
    """A fitted linear regression.

    Attributes
    ----------
    names : tuple of str, length k
    y : (n,) array
    x : (n, k) array
        Regressors, linearly independent.
    projected : (n, k) array
        Their projection on the instruments; the same object as ``x`` for least squares.
    weights : (n,) array or None
    coef : (k,) array
    instruments : (n, l) array or None
        None for least squares. R's class is ``ivreg`` with and ``lm`` without, which some of its defaults look at.
    """

    names: tuple[str, ...]
    y: FloatArray
    x: FloatArray
    projected: FloatArray
    weights: FloatArray | None
    coef: FloatArray
    instruments: FloatArray | None = None

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
    def root(self) -> FloatArray:
        """R of the QR decomposition of √w·P, (k, k): the bread is R⁻¹R⁻ᵀ."""
        return np.asarray(np.linalg.qr(_scaled(self.projected, self.weights), mode="r"))

    @cached_property
    def bread(self) -> FloatArray:
        """(P'WP)⁻¹, (k, k)."""
        inverse = linalg.solve_triangular(self.root, np.eye(self.k))
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
        if self.instruments is not None:
            basis = np.linalg.qr(self.instruments)[0]
            inverse = linalg.solve_triangular(np.linalg.qr(self.projected, mode="r"), np.eye(self.k))
            plain = basis @ (basis.T @ self.x)
            return np.asarray(np.sum((self.x @ inverse) * (plain @ inverse), axis=1))
        scaled = _scaled(self.x, self.weights)
        return np.asarray(np.sum(linalg.solve_triangular(self.root, scaled.T, trans="T") ** 2, axis=0))

    def r2(self, *, intercept: bool) -> tuple[float, float]:
        """R² and adjusted R² as ``summary.ivreg`` and ``summary.lm`` give them; centred only with an intercept."""
        w = np.ones(self.n) if self.weights is None else self.weights
        centre = np.average(self.y, weights=w) if intercept else 0.0
        r2 = 1 - self.rss / float(w @ (self.y - centre) ** 2)
        return r2, 1 - (1 - r2) * (self.n - intercept) / self.df_resid


def _scaled(matrix: FloatArray, weights: FloatArray | None) -> FloatArray:
    if weights is None:
        return matrix
    root = np.sqrt(weights)
    return matrix * (root if matrix.ndim == 1 else root[:, None])


def independent(matrix: FloatArray, weights: FloatArray | None = None) -> list[int]:
    """Columns that do not depend linearly on earlier ones, by R's rule (:mod:`ivbridge.rank`).

    Parameters
    ----------
    matrix : (n, k) array
    weights : (n,) array, optional
    """
    return independent_columns(triangle(_scaled(matrix, weights)))


def least_squares(y: FloatArray, x: FloatArray, names: tuple[str, ...], weights: FloatArray | None) -> Linear:
    """Weighted least squares of y (n,) on linearly independent columns x (n, k), by QR."""
    return Linear(names, y, x, x, weights, _solve(y, x, weights))


def two_stage(
    y: FloatArray, x: FloatArray, z: FloatArray, names: tuple[str, ...], weights: FloatArray | None
) -> Linear:
    """Weighted two-stage least squares of y (n,) on x (n, k) with instruments z (n, l), by QR."""
    projected = z @ _solve(x, z, weights)
    return Linear(names, y, x, projected, weights, _solve(y, projected, weights), z)


def _solve(y: FloatArray, x: FloatArray, weights: FloatArray | None) -> FloatArray:
    q, r = np.linalg.qr(_scaled(x, weights))
    return np.asarray(linalg.solve_triangular(r, q.T @ _scaled(y, weights)))
