"""A polynomial of (t, x)."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ivbridge.iv_ml.predictors import Parts
from ivbridge.records import FloatArray

__all__ = ["Polynomial", "monomials", "number_of_monomials"]


def number_of_monomials(columns: int, degree: int) -> int:
    """How many there are of degree 1 to ``degree``."""
    return comb(columns + degree, degree) - 1


def monomials(columns: FloatArray, degree: int) -> FloatArray:
    """All products of 1 to ``degree`` columns, (n, number of monomials); the constant is not among them.

    Those of a lower degree stand first; within a degree the order is that of combinations with replacement, as in
    scikit-learn's ``PolynomialFeatures``.
    """
    n, width = columns.shape
    found = np.empty((n, number_of_monomials(width, degree)))
    found[:, :width] = columns
    # starts[j]: where, among the products of one degree fewer, those begin whose first factor is column j or later
    end, starts = width, list(range(width))
    for _ in range(1, degree):
        place, following = end, []
        for j, start in enumerate(starts):
            following.append(place)
            np.multiply(found[:, start:end], columns[:, [j]], out=found[:, place : place + end - start])
            place += end - start
        end, starts = place, following
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Polynomial:
    """intercept + monomials · coefficients, in the columns t, x₁, x₂, …

    Attributes
    ----------
    degree : int
    intercept : float
    coefficients : (p,) array
        In the order of :func:`monomials`.
    """

    degree: int
    intercept: float
    coefficients: FloatArray
    kind: ClassVar[str] = "polynomial"

    def __post_init__(self) -> None:
        if self.degree < 1 or self.coefficients.ndim != 1:
            raise ValueError(f"a polynomial of degree {self.degree} with coefficients {self.coefficients.shape}")

    def __call__(self, t: FloatArray, x: FloatArray) -> FloatArray:
        """Predict for t (n,) and x (n, m): (n,)."""
        return self.at(np.column_stack([t, x]))

    def at(self, columns: FloatArray) -> FloatArray:
        """Predict for columns (n, k), whatever they are: (n,)."""
        return self.intercept + monomials(columns, self.degree) @ self.coefficients

    def parts(self) -> dict[str, npt.NDArray[Any]]:
        """Degree, intercept and coefficients."""
        return {
            "degree": np.array(self.degree), "intercept": np.array(self.intercept), "coefficients": self.coefficients,
        }  # fmt: skip

    @classmethod
    def of(cls, parts: Parts) -> Polynomial:
        """Make it again."""
        return cls(int(parts["degree"]), float(parts["intercept"]), parts["coefficients"])
