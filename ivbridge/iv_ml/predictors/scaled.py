"""A curve that was learnt from standardised columns, in the units of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ivbridge.iv_ml.predictors import Parts, Predictor, restored
from ivbridge.records import FloatArray

__all__ = ["Scaled"]


@dataclass(frozen=True, slots=True, eq=False)
class Scaled:
    """shift + scale · inner((t - center₀) / spread₀, (x - center₁…) / spread₁…).

    Attributes
    ----------
    inner : Predictor
    center, spread : (1 + m,) arrays
        Of t and of the columns of x.
    shift, scale : float
        Of the dependent variable.
    """

    inner: Predictor
    center: FloatArray
    spread: FloatArray
    shift: float
    scale: float
    kind: ClassVar[str] = "scaled"

    def __call__(self, t: FloatArray, x: FloatArray) -> FloatArray:
        """Predict for t (n,) and x (n, m): (n,)."""
        if not self.center.shape == self.spread.shape == (1 + x.shape[1],):
            raise ValueError(f"centres {self.center.shape} and spreads {self.spread.shape} of {x.shape[1]} covariates")
        inside = self.inner((t - self.center[0]) / self.spread[0], (x - self.center[1:]) / self.spread[1:])
        return self.shift + self.scale * inside

    def parts(self) -> dict[str, npt.NDArray[Any]]:
        """Centres, spreads, and everything about the inner one."""
        own = {
            "center": self.center, "spread": self.spread, "outcome": np.array([self.shift, self.scale]),
            "inner_kind": np.array(self.inner.kind),
        }  # fmt: skip
        return own | {f"inner/{name}": part for name, part in self.inner.parts().items()}

    @classmethod
    def of(cls, parts: Parts) -> Scaled:
        """Make it again; a scaled curve has no scaled curve inside."""
        kind = str(parts["inner_kind"])
        if kind == cls.kind:
            raise ValueError("a scaled curve inside a scaled curve")
        inner = {name.removeprefix("inner/"): part for name, part in parts.items() if name.startswith("inner/")}
        shift, scale = map(float, parts["outcome"])
        return cls(restored(kind, inner), parts["center"], parts["spread"], shift, scale)
