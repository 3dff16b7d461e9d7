"""S-learner: a single regression that has the treatment among its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ivbridge.causal.crossfit import fitted, predict
from ivbridge.causal.meta import MetaLearner
from ivbridge.causal.question import CausalData
from ivbridge.records import FloatArray, IntArray

__all__ = ["SLearner"]


@dataclass(frozen=True, kw_only=True)
class SLearner(MetaLearner):
    """Effect of a unit: the regression's prediction with treatment less that without.

    With a linear learner all units of a fold have the same effect, the treatment's coefficient. Name and comparison:
    Künzel, Sekhon, Bickel and Yu (2019, PNAS 116, 4156-4165). Parameters: :class:`~ivbridge.causal.meta.MetaLearner`.
    """

    name: ClassVar[str] = "s_learner"
    title: ClassVar[str] = "S-learner"
    r_call: ClassVar[str] = "stats::lm"

    def stage(
        self, learn: CausalData, judge: CausalData, score: FloatArray, folds: IntArray, seed: int
    ) -> tuple[FloatArray, FloatArray]:
        """Mean without treatment, and effect."""
        model = fitted(self.learner.regressor(seed), np.column_stack([learn.x, learn.t]), learn.y)
        mu0, mu1 = (predict(model, np.column_stack([judge.x, np.full(judge.n, arm)])) for arm in (0.0, 1.0))
        return mu0, mu1 - mu0
