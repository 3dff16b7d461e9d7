"""Double machine learning of the interactive model: doubly robust, cross-fitted ATE and ATT."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ivbridge.causal.dml import Clipped, Nuisance, Seen
from ivbridge.causal.overlap import describe, refuse
from ivbridge.causal.question import CausalData
from ivbridge.records import FloatArray

__all__ = ["IRM"]


@dataclass(frozen=True, kw_only=True)
class IRM(Clipped):
    """Y = g(T, X) + U, P(T = 1 | X) = m(X): effects may differ in any way; the score of DoubleMLIRM.

    ATE: θ = E[g(1,X) - g(0,X) + T(Y - g(1,X))/m(X) - (1 - T)(Y - g(0,X))/(1 - m(X))], section 5.1 of Chernozhukov et
    al. (2018), where the ATT's is, too. Parameters are those of :class:`~ivbridge.causal.dml.Clipped`.
    """

    name: ClassVar[str] = "irm"
    title: ClassVar[str] = "Double machine learning, interactive"
    estimands: ClassVar[tuple[str, ...]] = ("ATE", "ATT")
    packages: ClassVar[tuple[str, ...]] = ("doubleml", "sklearn")
    extra: ClassVar[str] = "doubleml"
    r_call: ClassVar[str] = "lm.fit, glm.fit, glmnet on the same folds"

    def nuisances(self, data: CausalData) -> tuple[Nuisance, ...]:
        """E[Y | X] in each arm and P(T = 1 | X)."""
        return (
            Nuisance("ml_g0", data.y, ~data.treated, outcome=True),
            Nuisance("ml_g1", data.y, data.treated, outcome=True),
            Nuisance("ml_m", data.t),
        )

    def model(self, doubleml: Any, data: Any, estimand: str) -> Any:
        """DoubleMLIRM with the score "ATE" or "ATTE"."""
        from doubleml.utils import DMLDummyClassifier, DMLDummyRegressor, PSProcessorConfig

        return doubleml.DoubleMLIRM(
            data, DMLDummyRegressor(), DMLDummyClassifier(), score="ATTE" if estimand == "ATT" else "ATE",
            ps_processor_config=PSProcessorConfig(clipping_threshold=self.clip), draw_sample_splitting=False,
        )  # fmt: skip

    def looked_at(self, data: CausalData, predictions: Mapping[str, FloatArray]) -> Seen:
        """Overlap under the weights of the score; stops where next to nothing is left."""
        raw = predictions["ml_m"]
        score = np.clip(raw, self.clip, 1 - self.clip)
        odds = score / (1 - score)
        weights = np.where(data.treated, 1.0, odds)
        if data.question.estimand == "ATE":
            weights = np.where(data.treated, 1 / score, 1 / (1 - score))
        overlap = describe(raw, data.t, weights, data.question.estimand)
        refuse(overlap)
        return Seen(overlap, warnings=self.clipped(raw, "treatment"))
