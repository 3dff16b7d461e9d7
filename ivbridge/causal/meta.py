"""Learners of effects from learners of means: what the S-, T-, X- and R-learner have in common.

Every unit's mean and effect come from models that were learned on the other folds. The average effect is the mean of
doubly robust scores, so that its standard error and interval are honest whatever the learner makes of single units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ivbridge.causal.arms import Arms
from ivbridge.causal.crossfit import Learner, draw_folds, fitted, predict
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData
from ivbridge.causal.r_side import ask_r, r_versions
from ivbridge.causal.records import Answer
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray, IntArray

__all__ = ["LINEAR", "MetaLearner", "answer_of", "propensity"]

#: Least squares, or a logit without penalty.
LINEAR = Learner("linear")
VCOV = "doubly robust scores, cross-fitted"


def propensity(model: Any, learn: CausalData, x: FloatArray, clip: float) -> FloatArray:
    """(n,) propensity scores of other units, kept within [clip, 1 - clip]."""
    return np.clip(predict(fitted(model, learn.x, learn.t), x), clip, 1 - clip)


def answer_of(arms: Arms, data: CausalData, clip: float, **more: Any) -> Answer:
    """The average effect of cross-fitted arms, its standard error, and summaries of the effects of units.

    Parameters
    ----------
    arms : Arms
    data : CausalData
        What the arms are of; its question names the estimand.
    clip : float
        Limit that scores were kept within.
    **more
        Further attributes of the answer; ``parts`` are added to those made here.
    """
    estimand = data.question.estimand
    estimate, influence = arms.average(estimand)
    parts = {
        "mean of effects": float(arms.effect.mean()),
        "sd of effects": float(arms.effect.std()),
        "lowest effect": float(arms.effect.min()),
        "highest effect": float(arms.effect.max()),
        "mean without treatment": float(arms.mu0.mean()),
        "mean propensity": float(arms.score.mean()),
    }
    held = int(((arms.score <= clip) | (arms.score >= 1 - clip)).sum())
    warnings = (f"{held} propensity scores were moved to {clip:g} or {1 - clip:g}.",) if held else ()
    more["parts"] = parts | more.get("parts", {})
    more["warnings"] = warnings + more.get("warnings", ())
    more.setdefault("vcov", VCOV)
    error = float(np.sqrt((influence**2).mean() / data.n))
    overlap = arms.overlap(estimand)
    return Answer(estimate, error, overlap=overlap, unit_effects=arms.effect, influence=influence, **more)


@dataclass(frozen=True, kw_only=True)
class MetaLearner(CausalMethod):
    """A learner of effects; a subclass writes `stage`.

    Parameters
    ----------
    learner : Learner, default least squares
        Of outcomes, and of effects where they have a model of their own.
    propensity : Learner, default a logit without penalty
        Of the treatment.
    folds : int, default 5
        Each unit's numbers come from models of the other folds; drawn within each arm.
    clip : float, default 0.01
        Propensity scores are kept within [clip, 1 - clip], as DoubleML does by default; a warning says how many moved.

    Raises
    ------
    DataError
        If `clip` does not lie in [0, 0.5).
    """

    estimands: ClassVar[tuple[str, ...]] = ("ATE", "ATT")
    packages: ClassVar[tuple[str, ...]] = ("sklearn",)
    extra: ClassVar[str] = "causal"
    why_relative: ClassVar[str] = "least squares on columns of unequal scale, and logits at their maximum"

    learner: Learner = LINEAR
    propensity: Learner = LINEAR
    folds: int = 5
    clip: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.clip < 0.5:
            raise DataError(f"clip={self.clip!r} was asked.", do="give a number from 0 to below 0.5, such as 0.01.")

    def stage(
        self, learn: CausalData, judge: CausalData, score: FloatArray, folds: IntArray, seed: int
    ) -> tuple[FloatArray, FloatArray]:
        """Mean outcome without treatment and effect of the units of `judge`, learned from `learn` alone.

        Parameters
        ----------
        learn, judge : CausalData
            Units to learn from; m units to judge, of which only `x` may be used.
        score : (m,) array
            Propensity scores of the units of `judge`.
        folds : array
            Folds of the units of `learn`, for a learner that cross-fits within them.
        seed : int
        """
        raise NotImplementedError

    def effects(self, learn: CausalData, judge: CausalData, seed: int = 0) -> FloatArray:
        """(m,) effects of the units of `judge`, learned from the units of `learn`."""
        score = propensity(self.propensity.classifier(seed), learn, judge.x, self.clip)
        return self.stage(learn, judge, score, draw_folds(learn.n, self.folds, seed, learn.t), seed)[1]

    def arms(self, data: CausalData, seed: int, progress: Progress | None = None) -> Arms:
        """Cross-fitted means, effects and propensity scores of all units."""
        folds = draw_folds(data.n, self.folds, seed, data.t)
        score, mu0, effect = np.empty(data.n), np.empty(data.n), np.empty(data.n)
        for fold in range(self.folds):
            learn, judge = data.take(np.flatnonzero(folds != fold)), data.take(here := np.flatnonzero(folds == fold))
            score[here] = propensity(self.propensity.classifier(seed), learn, judge.x, self.clip)
            mu0[here], effect[here] = self.stage(learn, judge, score[here], folds[folds != fold], seed)
            if progress is not None:
                progress(fold + 1, self.folds, f"{self.title}: folds")
        return Arms(data.y, data.t, score, mu0, effect)

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """Cross-fit, and average the doubly robust scores."""
        import sklearn

        arms = self.arms(data, seed, progress)
        notes = (f"Learner {self.learner}, propensity {self.propensity}, {self.folds} folds.",)
        return answer_of(arms, data, self.clip, notes=notes, versions={"scikit-learn": sklearn.__version__})

    def reference(self, data: CausalData, seed: int) -> Answer:
        """The same by ``lm`` and ``glm`` on the same folds.

        Raises
        ------
        UnsupportedError
            If a learner is not linear: no two programs grow the same forest.
        """
        return self.by_hand(data, seed, self.name)

    def by_hand(self, data: CausalData, seed: int, kind: str) -> Answer:
        """R's answer; `kind` is the name of the learner in ``r_scripts/causal_learners.R``.

        Raises
        ------
        UnsupportedError
            If a learner is not linear.
        """
        if (self.learner.kind, self.propensity.kind) != ("linear", "linear"):
            raise UnsupportedError(
                f"{self.title} with a {self.learner} learner has no reference in R: no other program draws the same.",
                do="compare with linear learners, or against a world whose truth is known.",
            )
        folds = draw_folds(data.n, self.folds, seed, data.t)
        value = ask_r("meta_learner", kind=kind, y=data.y, t=data.t, x=data.x, folds=folds, clip=self.clip,
                      att=data.question.estimand == "ATT").value  # fmt: skip
        arms = Arms(data.y, data.t, value["score"], value["mu0"], value["effect"])
        summaries = answer_of(arms, data, self.clip, calls=tuple(map(str, value["calls"])), versions=r_versions())
        return replace(
            summaries, estimate=float(value["estimate"][0]), std_error=float(value["std_error"][0]),
            influence=value["influence"],
        )  # fmt: skip
