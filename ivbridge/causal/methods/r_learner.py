"""R-learner: the effect is what relates the residual of the outcome to the residual of the treatment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ivbridge.causal.crossfit import fitted, out_of_fold, predict
from ivbridge.causal.meta import MetaLearner
from ivbridge.causal.question import CausalData
from ivbridge.records import FloatArray, IntArray

__all__ = ["RLearner"]


@dataclass(frozen=True, kw_only=True)
class RLearner(MetaLearner):
    """Effect function with the smallest Σ (Ỹ - τ(X)·T̃)², Ỹ = Y - m(X) and T̃ = T - e(X).

    The residuals are cross-fitted within the units that τ is learned from, and τ is the regression of Ỹ/T̃ with
    weights T̃² (Nie and Wager 2021, Biometrika 108, 299-319, without their penalty). Parameters:
    :class:`~ivbridge.causal.meta.MetaLearner`.
    """

    name: ClassVar[str] = "r_learner"
    title: ClassVar[str] = "R-learner"
    r_call: ClassVar[str] = "stats::lm"

    def stage(
        self, learn: CausalData, judge: CausalData, score: FloatArray, folds: IntArray, seed: int
    ) -> tuple[FloatArray, FloatArray]:
        """Mean without treatment, and effect."""
        regressor = self.learner.regressor(seed)
        inner = out_of_fold(self.propensity.classifier(seed), learn.x, learn.t, folds)
        taken = learn.t - np.clip(inner, self.clip, 1 - self.clip)
        left = learn.y - out_of_fold(regressor, learn.x, learn.y, folds)
        mean = predict(fitted(regressor, learn.x, learn.y), judge.x)
        effect = predict(fitted(self.learner.regressor(seed), learn.x, left / taken, taken**2), judge.x)
        return mean - score * effect, effect
