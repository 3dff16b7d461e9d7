"""Double machine learning of the partially linear model with instruments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ivbridge.causal.dml import CrossFitted, Nuisance, Seen, weak
from ivbridge.causal.question import CausalData
from ivbridge.records import FloatArray

__all__ = ["PLIV"]


@dataclass(frozen=True, kw_only=True)
class PLIV(CrossFitted):
    """Y = θT + g(X) + ζ, E[ζ | X, Z] = 0: the "partialling out" score of DoubleMLPLIV.

    ψ = (Y - l(X) - θ(T - r(X)))·(Z - m(X)), section 4.2 of Chernozhukov et al. (2018). With several instruments
    Z - m(X) is replaced by its best linear prediction of T - r(X). Where effects differ, θ is a weighted mean of LATEs.
    Parameters are those of :class:`~ivbridge.causal.dml.CrossFitted`.
    """

    name: ClassVar[str] = "pliv"
    title: ClassVar[str] = "Double machine learning, partially linear with instruments"
    estimands: ClassVar[tuple[str, ...]] = ("LATE",)
    needs: ClassVar[tuple[str, ...]] = ("covariates", "instruments")
    packages: ClassVar[tuple[str, ...]] = ("doubleml", "sklearn")
    extra: ClassVar[str] = "doubleml"
    r_call: ClassVar[str] = "lm.fit, glm.fit, glmnet on the same folds"

    def nuisances(self, data: CausalData) -> tuple[Nuisance, ...]:
        """E[Y | X], E[T | X] and E[Z | X]."""
        count = data.z.shape[1]
        instruments = [Nuisance(f"ml_m_z{j + 1}" if count > 1 else "ml_m", data.z[:, j]) for j in range(count)]
        return Nuisance("ml_l", data.y, outcome=True), Nuisance("ml_r", data.t), *instruments

    def model(self, doubleml: Any, data: Any, estimand: str) -> Any:
        """DoubleMLPLIV."""
        from doubleml.utils import DMLDummyRegressor

        dummies = (DMLDummyRegressor(), DMLDummyRegressor(), DMLDummyRegressor())
        return doubleml.DoubleMLPLIV(data, *dummies, draw_sample_splitting=False)

    def looked_at(self, data: CausalData, predictions: Mapping[str, FloatArray]) -> Seen:
        """Whether the instruments move the treatment: F of the residuals' first stage."""
        found = [name for name in predictions if name.startswith("ml_m")]
        v = data.z - np.column_stack([predictions[name] for name in found])
        return Seen(warnings=weak(data.t - predictions["ml_r"], v))
