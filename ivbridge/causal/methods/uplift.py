"""Uplift: by how much the treatment raises the probability that a 0/1 outcome is 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np

from ivbridge.causal.arms import Arms
from ivbridge.causal.crossfit import fitted, out_of_fold, predict
from ivbridge.causal.meta import MetaLearner
from ivbridge.causal.methods.t_learner import both_arms
from ivbridge.causal.question import CausalData
from ivbridge.causal.records import Answer
from ivbridge.errors import DataError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray, IntArray

__all__ = ["Uplift"]

Way = Literal["two_model", "class", "transformed"]


@dataclass(frozen=True, kw_only=True)
class Uplift(MetaLearner):
    """Uplift of a 0/1 outcome, in one of three ways.

    ``"two_model"``: a classifier in each arm, and the difference of their probabilities. ``"class"``: one classifier of
    Z = 1(Y = T), units weighted by the inverse probability of their arm, and 2 P(Z = 1 | X) - 1 (Jaskowski and
    Jaroszewicz 2012, ICML workshop on clinical data analysis, who have equal arms; weights make other arms equal).
    ``"transformed"``: one regression of Y (T - e)/(e (1 - e)), whose conditional mean is the effect (Athey and Imbens
    2016, PNAS 113, 7353-7360); noisy where e is near 0 or 1, and not kept within [-1, 1].

    Parameters
    ----------
    way : {"two_model", "class", "transformed"}, default "two_model"
    learner, propensity, folds, clip
        As :class:`~ivbridge.causal.meta.MetaLearner` has them.

    Raises
    ------
    DataError
        If `way` is another, or, when it is fitted, if the dependent variable has values other than 0 and 1.
    """

    name: ClassVar[str] = "uplift"
    title: ClassVar[str] = "uplift"
    r_call: ClassVar[str] = "stats::glm"

    way: Way = "two_model"

    def __post_init__(self) -> None:
        MetaLearner.__post_init__(self)
        if self.way not in get_args(Way):
            raise DataError(f"way={self.way!r} was asked.", available=", ".join(get_args(Way)))

    def stage(
        self, learn: CausalData, judge: CausalData, score: FloatArray, folds: IntArray, seed: int
    ) -> tuple[FloatArray, FloatArray]:
        """Probability of 1 without treatment, and uplift."""
        _binary(learn)
        if self.way == "two_model":
            mu0, mu1 = both_arms(self, learn, judge.x, seed, classify=True)
            return mu0, mu1 - mu0
        e = out_of_fold(self.propensity.classifier(seed), learn.x, learn.t, folds)
        e = np.clip(e, self.clip, 1 - self.clip)
        if self.way == "class":
            same = (learn.y == learn.t).astype(np.float64)
            weights = 0.5 / np.where(learn.t == 1, e, 1 - e)
            effect = 2 * predict(fitted(self.learner.classifier(seed), learn.x, same, weights), judge.x) - 1
        else:
            target = learn.y * (learn.t - e) / (e * (1 - e))
            effect = predict(fitted(self.learner.regressor(seed), learn.x, target), judge.x)
        mean = predict(fitted(self.learner.classifier(seed), learn.x, learn.y), judge.x)
        return mean - score * effect, effect

    def arms(self, data: CausalData, seed: int, progress: Progress | None = None) -> Arms:
        """Cross-fitted probabilities, uplifts and propensity scores of all units."""
        _binary(data)
        return MetaLearner.arms(self, data, seed, progress)

    def reference(self, data: CausalData, seed: int) -> Answer:
        """The same by ``glm`` and ``lm`` on the same folds; see :meth:`ivbridge.causal.meta.MetaLearner.by_hand`."""
        return self.by_hand(data, seed, f"uplift_{self.way}")


def _binary(data: CausalData) -> None:
    if set(np.unique(data.y)) != {0.0, 1.0}:
        raise DataError(
            f"Uplift needs a dependent variable of 0 and 1; {data.question.dependent!r} has other values or only one.",
            do="make it 0/1, or take the t_learner or the causal_forest.",
        )
