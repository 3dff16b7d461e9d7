"""Ridge regression on a polynomial, its degree and its penalty chosen by cross-validation.

It gives what scikit-learn's ``GridSearchCV`` finds for a pipeline of ``PolynomialFeatures`` and ``Ridge`` with folds of
neighbouring rows and the mean R² of the folds. It takes a small part of the time: the cross-products of all degrees and
folds come from one product of each fold, and one eigen-decomposition serves all penalties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ivbridge.errors import DataError
from ivbridge.iv_ml.predictors.polynomial import Polynomial, monomials, number_of_monomials
from ivbridge.iv_ml.settings import check_sizes, numbers_of
from ivbridge.records import FloatArray

__all__ = ["PolynomialGrid", "PolynomialRidge"]

#: Most monomials of one polynomial: their cross-products are a full matrix, decomposed once for each fold.
MONOMIALS = 2000
#: Most of the lowest degree, for which there is no other: a matrix of 0.8 GB.
_MOST = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class PolynomialRidge:
    """A fitted polynomial.

    Attributes
    ----------
    polynomial : Polynomial
    penalty : float
        On the squared coefficients, without the intercept; it adds to sums over rows, not to means.
    score : float
        Mean R² over the folds, at the degree and penalty chosen.
    """

    polynomial: Polynomial
    penalty: float
    score: float


@dataclass(frozen=True, slots=True)
class PolynomialGrid:
    """What is tried.

    Parameters
    ----------
    degrees : tuple of int, default (1, 2, 3)
        A degree with more than 2000 monomials is left out where there is a lower one.
    penalties : tuple of float, default 1e-5, 1e-4, … 1e5
    folds : int, default 5
        Of neighbouring rows.

    Raises
    ------
    DataError
        If there is no such grid.
    """

    degrees: tuple[int, ...] = (1, 2, 3)
    penalties: tuple[float, ...] = tuple(10.0**k for k in range(-5, 6))
    folds: int = 5

    def __post_init__(self) -> None:
        object.__setattr__(self, "degrees", numbers_of(self.degrees, int, "degrees"))
        object.__setattr__(self, "penalties", numbers_of(self.penalties, float, "penalties"))
        check_sizes(folds=self.folds)
        fine = self.degrees and self.penalties and self.folds >= 2
        if not fine or min(self.degrees) < 1 or not all(0 < p < np.inf for p in self.penalties):
            raise DataError(
                f"degrees={self.degrees}, penalties={self.penalties}, folds={self.folds} was asked.",
                available="degrees from 1, penalties above 0, folds from 2",
            )

    def possible(self, columns: int) -> tuple[int, ...]:
        """The degrees that are tried for so many columns; the lowest one always is.

        Raises
        ------
        DataError
            If the lowest degree is not 1 and has more than 10,000 monomials.
        """
        lowest = min(self.degrees)
        found = tuple(d for d in self.degrees if number_of_monomials(columns, d) <= MONOMIALS) or (lowest,)
        if (most := number_of_monomials(columns, found[0])) > _MOST and lowest > 1:
            raise DataError(
                f"Polynomials of degree {lowest} in {columns} columns have {most} monomials.",
                available=f"at most {_MOST}", do="ask for a lower degree.",
            )  # fmt: skip
        return found

    def fit(self, columns: FloatArray, target: FloatArray) -> PolynomialRidge:
        """Choose degree and penalty, and fit all rows with them; of equal scores the first one wins.

        Parameters
        ----------
        columns : (n, k) array
        target : (n,) array

        Raises
        ------
        DataError
            If there are fewer than two rows for each fold, or no degree is possible.
        """
        if len(target) < 2 * self.folds:
            raise DataError(f"{len(target)} rows do not make {self.folds} folds of two or more.", do="ask fewer folds.")
        degrees = self.possible(columns.shape[1])
        features = monomials(columns, max(degrees))
        center, level = features.mean(axis=0), float(target.mean())
        sums = _Sums(features - center, target - level, self.folds)
        widths = [number_of_monomials(columns.shape[1], d) for d in degrees]
        scores = np.array([sums.scores(width, self.penalties) for width in widths])
        best, which = np.unravel_index(int(np.argmax(scores)), scores.shape)
        width, penalty = widths[best], self.penalties[which]
        coefficients = sums.coefficients(width, penalty)
        intercept = level - float(center[:width] @ coefficients)
        return PolynomialRidge(Polynomial(degrees[best], intercept, coefficients), penalty, float(scores[best, which]))


class _Sums:
    """Cross-products of centred features and target, for each fold and for all rows."""

    def __init__(self, features: FloatArray, target: FloatArray, folds: int) -> None:
        self._folds = list(zip(np.array_split(features, folds), np.array_split(target, folds), strict=True))
        self._squares = [f.T @ f for f, _ in self._folds]
        self._products = [f.T @ y for f, y in self._folds]
        self._all = sum(self._squares[1:], self._squares[0]), sum(self._products[1:], self._products[0])

    def scores(self, width: int, penalties: Sequence[float]) -> FloatArray:
        """Mean R² over the folds for each penalty, with the first ``width`` features."""
        found = [self._held_out(i, width, np.array(penalties)) for i in range(len(self._folds))]
        return np.asarray(np.mean(found, axis=0))

    def _held_out(self, fold: int, width: int, penalties: FloatArray) -> FloatArray:
        features, target = self._folds[fold][0][:, :width], self._folds[fold][1]
        kept = sum(len(y) for _, y in self._folds) - len(target)
        # the other rows' means: sums over all rows are zero
        mean, level = -features.sum(axis=0) / kept, -float(target.sum()) / kept
        square = (self._all[0] - self._squares[fold])[:width, :width] - kept * np.outer(mean, mean)
        product = (self._all[1] - self._products[fold])[:width] - kept * level * mean
        values, vectors = np.linalg.eigh(square)
        shrunk = (vectors.T @ product)[:, None] / (np.maximum(values, 0)[:, None] + penalties)
        errors = (target - level)[:, None] - ((features - mean) @ vectors) @ shrunk
        around = float(np.sum((target - target.mean()) ** 2))
        left = np.asarray(np.sum(errors**2, axis=0))
        return 1 - left / around if around > 0 else -left

    def coefficients(self, width: int, penalty: float) -> FloatArray:
        """Of the fit to all rows."""
        square = self._all[0][:width, :width] + penalty * np.eye(width)
        return np.asarray(np.linalg.solve(square, self._all[1][:width]))
