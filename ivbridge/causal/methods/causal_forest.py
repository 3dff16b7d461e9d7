"""Causal forest: honest trees on cross-fitted residuals, and out-of-bag effects of units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ivbridge.causal.arms import Arms
from ivbridge.causal.crossfit import Learner, draw_folds, out_of_fold
from ivbridge.causal.meta import answer_of
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData
from ivbridge.causal.records import Answer
from ivbridge.errors import DataError, DesignError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray

__all__ = ["CausalForest"]

#: Of the outcome; and of the treatment, with leaves large enough for probabilities.
FOREST, CALM = Learner("forest"), Learner("forest", leaf=20)


@dataclass(frozen=True, kw_only=True)
class CausalForest(CausalMethod):
    """Generalized random forest of effects (Athey, Tibshirani and Wager 2019, Annals of Statistics 47).

    econml grows it; with the same folds and learners it is econml's ``CausalForestDML`` without its intervals.

    Outcome and treatment are first centred by predictions of other folds: a forest on the raw columns takes differences
    of outcomes for differences of effects. Trees are honest. A unit's effect comes from the trees that have not seen
    it, and the average effect from doubly robust scores of these.

    Parameters
    ----------
    learner : Learner, default a random forest
        Of the outcome given the covariates.
    propensity : Learner, default a random forest with leaves of 20
        Of the treatment given the covariates; small leaves give probabilities of 0.
    trees : int, default 400
    leaf : int, default 5
        Smallest leaf, as in R's grf.
    folds : int, default 5
        Of the residuals; drawn within each arm.
    clip : float, default 0.01
        Propensity scores are kept within [clip, 1 - clip] in the doubly robust scores; a warning says how many moved.

    Raises
    ------
    DataError
        If `clip` does not lie in [0, 0.5).
    """

    name: ClassVar[str] = "causal_forest"
    title: ClassVar[str] = "causal forest"
    estimands: ClassVar[tuple[str, ...]] = ("ATE", "ATT")
    packages: ClassVar[tuple[str, ...]] = ("econml", "sklearn")
    extra: ClassVar[str] = "econml"
    why_no_r: ClassVar[str] = (
        "R's grf is not among Debian's packages, and grows other trees: given the same residuals, its effects of units "
        "had a correlation of .55 with econml's."
    )

    learner: Learner = FOREST
    propensity: Learner = CALM
    trees: int = 400
    leaf: int = 5
    folds: int = 5
    clip: float = 0.01

    def __post_init__(self) -> None:
        if not 0 <= self.clip < 0.5:
            raise DataError(f"clip={self.clip!r} was asked.", do="give a number from 0 to below 0.5, such as 0.01.")

    def grown(self, data: CausalData, seed: int) -> tuple[Any, FloatArray, FloatArray]:
        """econml's forest, fitted to residuals, and the (n,) out-of-fold means and propensity scores."""
        from econml.grf import CausalForest as Grown

        folds = draw_folds(data.n, self.folds, seed, data.t)
        mean = out_of_fold(self.learner.regressor(seed), data.x, data.y, folds)
        score = out_of_fold(self.propensity.classifier(seed), data.x, data.t, folds)
        forest = Grown(n_estimators=self.trees, min_samples_leaf=self.leaf, honest=True, inference=False, n_jobs=1,
                       random_state=seed)  # fmt: skip
        return forest.fit(data.x, data.t - score, data.y - mean), mean, score

    def arms(self, data: CausalData, seed: int) -> Arms:
        """Cross-fitted means and scores, out-of-bag effects.

        Raises
        ------
        DesignError
            If every tree has seen some unit, which more trees cure.
        """
        forest, mean, score = self.grown(data, seed)
        effect = forest.oob_predict(data.x)[:, 0]
        if np.isnan(effect).any():
            raise DesignError(f"{self.trees} trees leave a unit without a tree that has not seen it.",
                              do="ask for more trees.")  # fmt: skip
        score = np.clip(score, self.clip, 1 - self.clip)
        return Arms(data.y, data.t, score, mean - score * effect, effect)

    def effects(self, learn: CausalData, judge: CausalData, seed: int = 0) -> FloatArray:
        """(m,) effects of the units of `judge`, by a forest grown on the units of `learn`."""
        return np.asarray(self.grown(learn, seed)[0].predict(judge.x), dtype=np.float64).reshape(-1)

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """Grow the forest, and average doubly robust scores."""
        import econml

        arms = self.arms(data, seed)
        if progress is not None:
            progress(1, 1, self.title)
        notes = (
            f"{self.trees} honest trees on residuals of {self.folds} folds; effects of units are out of bag.",
            "Ranks of units are worth no more than a test on held-out units says.",
        )
        calls = ("econml.dml.CausalForestDML(discrete_treatment=True, inference=False)",)
        return answer_of(arms, data, self.clip, notes=notes, calls=calls, versions={"econml": econml.__version__})
