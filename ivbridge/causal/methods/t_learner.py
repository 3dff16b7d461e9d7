"""T-learner: two regressions, one in each arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ivbridge.causal.crossfit import fitted, predict
from ivbridge.causal.meta import MetaLearner
from ivbridge.causal.question import CausalData
from ivbridge.records import FloatArray, IntArray

__all__ = ["TLearner", "both_arms"]


@dataclass(frozen=True, kw_only=True)
class TLearner(MetaLearner):
    """Effect of a unit: what treated units predict for it less what untreated units predict.

    Its average effect is DoubleML's interactive regression model with the same folds and learners. Name and
    comparison: Künzel, Sekhon, Bickel and Yu (2019, PNAS 116, 4156-4165). Parameters:
    :class:`~ivbridge.causal.meta.MetaLearner`.
    """

    name: ClassVar[str] = "t_learner"
    title: ClassVar[str] = "T-learner"
    r_call: ClassVar[str] = "stats::lm"

    def stage(
        self, learn: CausalData, judge: CausalData, score: FloatArray, folds: IntArray, seed: int
    ) -> tuple[FloatArray, FloatArray]:
        """Mean without treatment, and effect."""
        mu0, mu1 = both_arms(self, learn, judge.x, seed)
        return mu0, mu1 - mu0


def both_arms(
    method: MetaLearner, learn: CausalData, x: FloatArray, seed: int, *, classify: bool = False
) -> tuple[FloatArray, FloatArray]:
    """(m,) mean outcomes without and with treatment at rows `x`, each learned from its arm alone."""
    made = method.learner.classifier if classify else method.learner.regressor
    control, treated = (fitted(made(seed), learn.x[learn.t == arm], learn.y[learn.t == arm]) for arm in (0.0, 1.0))
    return predict(control, x), predict(treated, x)
