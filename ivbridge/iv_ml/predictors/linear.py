"""A curve that is linear in t."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ivbridge.iv_ml.predictors import Parts
from ivbridge.iv_ml.predictors.polynomial import Polynomial
from ivbridge.records import FloatArray

__all__ = ["PartiallyLinear"]


@dataclass(frozen=True, slots=True, eq=False)
class PartiallyLinear:
    """slope · t + g(x), with a polynomial g.

    Attributes
    ----------
    slope : float
    rest : Polynomial
        g, in the columns of x alone.
    """

    slope: float
    rest: Polynomial
    kind: ClassVar[str] = "partially_linear"

    def __call__(self, t: FloatArray, x: FloatArray) -> FloatArray:
        """Predict for t (n,) and x (n, m): (n,)."""
        return self.slope * t + self.rest.at(x)

    def parts(self) -> dict[str, npt.NDArray[Any]]:
        """The slope, and everything about g."""
        return {"slope": np.array(self.slope)} | self.rest.parts()

    @classmethod
    def of(cls, parts: Parts) -> PartiallyLinear:
        """Make it again."""
        return cls(float(parts["slope"]), Polynomial.of(parts))
