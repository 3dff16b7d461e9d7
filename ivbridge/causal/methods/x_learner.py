"""X-learner: each arm's units meet the other arm's regression, and the differences are learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ivbridge.causal.crossfit import fitted, predict
from ivbridge.causal.meta import MetaLearner
from ivbridge.causal.methods.t_learner import both_arms
from ivbridge.causal.question import CausalData
from ivbridge.records import FloatArray, IntArray

__all__ = ["XLearner"]


@dataclass(frozen=True, kw_only=True)
class XLearner(MetaLearner):
    """Effect of a unit: e·τ0 + (1 - e)·τ1.

    τ1 is learned from Y - μ0(X) of treated units, τ0 from μ1(X) - Y of the others, so that the small arm borrows the
    large arm's regression (Künzel, Sekhon, Bickel and Yu 2019, PNAS 116, 4156-4165). Parameters:
    :class:`~ivbridge.causal.meta.MetaLearner`.
    """

    name: ClassVar[str] = "x_learner"
    title: ClassVar[str] = "X-learner"
    r_call: ClassVar[str] = "stats::lm"

    def stage(
        self, learn: CausalData, judge: CausalData, score: FloatArray, folds: IntArray, seed: int
    ) -> tuple[FloatArray, FloatArray]:
        """Mean without treatment, and effect."""
        treated, control = learn.t == 1, learn.t == 0
        both0, both1 = both_arms(self, learn, np.vstack([learn.x, judge.x]), seed)
        mu0, mu1 = both0[learn.n :], both1[learn.n :]
        gained = fitted(self.learner.regressor(seed), learn.x[treated], (learn.y - both0[: learn.n])[treated])
        missed = fitted(self.learner.regressor(seed), learn.x[control], (both1[: learn.n] - learn.y)[control])
        effect = score * predict(missed, judge.x) + (1 - score) * predict(gained, judge.x)
        return mu0 + score * (mu1 - mu0) - score * effect, effect
