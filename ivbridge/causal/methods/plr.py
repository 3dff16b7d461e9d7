"""Double machine learning of the partially linear model: residuals of Y on residuals of T."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ivbridge.causal.dml import CrossFitted, Nuisance, Seen
from ivbridge.causal.overlap import describe
from ivbridge.causal.question import CausalData
from ivbridge.records import FloatArray

__all__ = ["PLR"]


@dataclass(frozen=True, kw_only=True)
class PLR(CrossFitted):
    """Y = θT + g(X) + ζ, E[T | X] = m(X): the "partialling out" score of DoubleMLPLR.

    ψ = (Y - l(X) - θ(T - m(X)))·(T - m(X)) with l(X) = E[Y | X]; section 4.1 of Chernozhukov et al. (2018).
    Where effects differ, θ weights units by m(X)(1 - m(X)) and is not the ATE; :class:`~.irm.IRM` is. Parameters are
    those of :class:`~ivbridge.causal.dml.CrossFitted`.
    """

    name: ClassVar[str] = "plr"
    title: ClassVar[str] = "Double machine learning, partially linear"
    estimands: ClassVar[tuple[str, ...]] = ("ATE",)
    packages: ClassVar[tuple[str, ...]] = ("doubleml", "sklearn")
    extra: ClassVar[str] = "doubleml"
    r_call: ClassVar[str] = "lm.fit, glm.fit, glmnet on the same folds"

    def nuisances(self, data: CausalData) -> tuple[Nuisance, ...]:
        """E[Y | X] and P(T = 1 | X)."""
        return Nuisance("ml_l", data.y, outcome=True), Nuisance("ml_m", data.t)

    def model(self, doubleml: Any, data: Any, estimand: str) -> Any:
        """DoubleMLPLR."""
        from doubleml.utils import DMLDummyRegressor

        return doubleml.DoubleMLPLR(data, DMLDummyRegressor(), DMLDummyRegressor(), draw_sample_splitting=False)

    def looked_at(self, data: CausalData, predictions: Mapping[str, FloatArray]) -> Seen:
        """Overlap of the predicted treatment; and what θ is where effects differ."""
        note = "Where effects differ, units count by m(X)(1 - m(X)); this is the ATE only where they do not."
        return Seen(describe(predictions["ml_m"], data.t), (note,))
