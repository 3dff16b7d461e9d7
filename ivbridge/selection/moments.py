"""Sums over the rows of a LASSO question that fit in memory: candidates are widened to float64 a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ivbridge.records import FloatArray
from ivbridge.selection.design import LassoDesign, Matrix

__all__ = ["Moments", "moments"]

#: Bytes of one widened block.
BLOCK_BYTES = 64_000_000


@dataclass(frozen=True, eq=False)
class Moments:
    """Weighted means and standard deviations (1/n) of the candidates and of y.

    Attributes
    ----------
    design : LassoDesign
    weights : (n,) array
        Scaled to sum to 1.
    means, spreads : (p,) arrays
        A spread is 0 where a candidate does not vary.
    y_mean, y_spread : float
    """

    design: LassoDesign
    weights: FloatArray
    means: FloatArray
    spreads: FloatArray
    y_mean: float
    y_spread: float

    @property
    def scales(self) -> FloatArray:
        """(p,) what glmnet divides each candidate by: its spread, or 1 without standardisation."""
        return np.where(self.spreads > 0, self.spreads, 1.0) if self.design.spec.standardize else np.ones(self.design.p)

    def predictor(self, intercept: float, coefs: FloatArray) -> FloatArray:
        """(n,) linear predictor of (p,) coefficients."""
        used = np.flatnonzero(coefs)
        total = np.full(self.design.n, intercept)
        for columns, block in blocks(self.design.x, used):
            total += block @ coefs[columns]
        return total

    def products(self, values: FloatArray, columns: np.ndarray, weights: FloatArray) -> FloatArray:
        """(p, k) weighted cross-products of all candidates with the given ones, both divided by their scales.

        Parameters
        ----------
        values : (n, k) array
            Whatever the candidates are multiplied with; with an intercept the candidates are centred at ``weights``.
        columns : (k,) int array
            Scales of these divide ``values``; empty for none.
        weights : (n,) array
        """
        weighted = values * weights[:, None]
        sums = np.empty((self.design.p, values.shape[1]))
        total, each = weighted.sum(axis=0), np.empty(self.design.p)
        for chosen, block in blocks(self.design.x, np.arange(self.design.p)):
            sums[chosen] = block.T @ weighted
            each[chosen] = block.T @ weights
        if self.design.spec.intercept:
            sums -= np.outer(each / weights.sum(), total)
        sums /= self.scales[:, None]
        return sums / self.scales[columns] if len(columns) else sums

    def gathered(self, columns: np.ndarray) -> FloatArray:
        """(n, k) the given candidates as float64."""
        found = np.empty((self.design.n, len(columns)), order="F")
        for i, (_, block) in enumerate(blocks(self.design.x, columns, width=1)):
            found[:, i] = block.toarray()[:, 0] if sparse.issparse(block) else block[:, 0]
        return found


def moments(design: LassoDesign) -> Moments:
    """Weighted means and standard deviations of one question's columns."""
    w = np.ones(design.n) if design.weights is None else design.weights
    w = w / w.sum()
    means, spreads = np.empty(design.p), np.empty(design.p)
    for columns, block in blocks(design.x, np.arange(design.p)):
        mean = np.asarray(block.T @ w)
        if sparse.issparse(block):
            variance = np.asarray(block.multiply(block).T @ w) - mean**2
        else:
            variance = w @ (block - mean) ** 2
        means[columns], spreads[columns] = mean, np.sqrt(np.clip(variance, 0, None))
    # a constant column leaves rounding errors of its mean
    spreads[spreads <= 1e-14 * np.abs(means)] = 0.0
    y_mean = float(w @ design.y)
    return Moments(design, w, means, spreads, y_mean, float(np.sqrt(w @ (design.y - y_mean) ** 2)))


def blocks(x: Matrix, columns: np.ndarray, width: int | None = None) -> Iterator[tuple[np.ndarray, Matrix]]:
    """The given columns in blocks of float64, with their numbers."""
    step = width or max(1, BLOCK_BYTES // (8 * x.shape[0]))
    for start in range(0, len(columns), step):
        chosen = columns[start : start + step]
        yield chosen, x[:, chosen].astype(np.float64)
