"""A sum of Gaussian bumps in (t, x)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ivbridge.iv_ml.predictors import Parts
from ivbridge.records import FloatArray

__all__ = ["KernelExpansion", "gaussian"]

#: Entries of the kernel matrix that are held at once while predicting: 80 MB.
_ENTRIES = 10_000_000


def gaussian(a: FloatArray, b: FloatArray, width: float) -> FloatArray:
    """exp(-‖aᵢ - bⱼ‖² / width), (rows of a, rows of b); ``width`` is in squared units of the columns."""
    middle = b.mean(axis=0)  # distances do not change, their rounding does
    a, b = a - middle, b - middle
    found = a @ b.T
    found *= -2
    found += np.sum(a**2, axis=1)[:, None]
    found += np.sum(b**2, axis=1)
    np.maximum(found, 0, out=found)
    found /= -width
    return np.exp(found, out=found)


@dataclass(frozen=True, slots=True, eq=False)
class KernelExpansion:
    """Σⱼ coefficientⱼ · exp(-‖(t, x) - pointⱼ‖² / width).

    Attributes
    ----------
    points : (s, 1 + m) array
    coefficients : (s,) array
    width : float
        In squared units of the columns.
    """

    points: FloatArray
    coefficients: FloatArray
    width: float
    kind: ClassVar[str] = "kernel"

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or self.coefficients.shape != self.points.shape[:1] or not self.width > 0:
            raise ValueError(f"points {self.points.shape}, coefficients {self.coefficients.shape}, width {self.width}")

    def __call__(self, t: FloatArray, x: FloatArray) -> FloatArray:
        """Predict for t (n,) and x (n, m): (n,)."""
        at = np.column_stack([t, x])
        step = max(1, _ENTRIES // len(self.points))
        some = [
            gaussian(at[i : i + step], self.points, self.width) @ self.coefficients for i in range(0, len(at), step)
        ]
        return np.concatenate(some) if some else np.empty(0)

    def parts(self) -> dict[str, npt.NDArray[Any]]:
        """Points, coefficients and width."""
        return {"points": self.points, "coefficients": self.coefficients, "width": np.array(self.width)}

    @classmethod
    def of(cls, parts: Parts) -> KernelExpansion:
        """Make it again."""
        return cls(parts["points"], parts["coefficients"], float(parts["width"]))
