"""A curve that is bilinear in learnt features of t and of x."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ivbridge.iv_ml.predictors import Parts
from ivbridge.iv_ml.predictors.feedforward import Dense, layer_parts, layers_of, run_layers
from ivbridge.records import FloatArray

__all__ = ["FeatureProduct"]


@dataclass(frozen=True, slots=True, eq=False)
class FeatureProduct:
    """(ψ(t), 1)·W·(ξ(x), 1)'.

    Attributes
    ----------
    treatment : layers
        ψ: a features of t.
    covariate : layers
        ξ: c features of x; none where there are no covariates.
    weight : (a + 1, c + 1) array
        W.
    """

    treatment: tuple[Dense, ...]
    covariate: tuple[Dense, ...]
    weight: FloatArray
    kind: ClassVar[str] = "features"

    def __post_init__(self) -> None:
        inner = self.covariate[-1].bias.size if self.covariate else 0
        if self.weight.shape != (self.treatment[-1].bias.size + 1, inner + 1):
            raise ValueError(f"weights {self.weight.shape} for these features")

    def __call__(self, t: FloatArray, x: FloatArray) -> FloatArray:
        """Predict for t (n,) and x (n, m): (n,)."""
        one = np.ones((len(t), 1))
        left = np.column_stack([run_layers(self.treatment, t[:, None]), one])
        right = np.column_stack([run_layers(self.covariate, x), one]) if self.covariate else one
        return np.asarray(np.einsum("ij,ij->i", left @ self.weight, right), dtype=np.float64)

    def parts(self) -> dict[str, npt.NDArray[Any]]:
        """The layers of both, and W."""
        layers = layer_parts(self.treatment, "treatment") | layer_parts(self.covariate, "covariate")
        return layers | {"weight": self.weight}

    @classmethod
    def of(cls, parts: Parts) -> FeatureProduct:
        """Make it again."""
        return cls(layers_of(parts, "treatment"), layers_of(parts, "covariate"), parts["weight"])
