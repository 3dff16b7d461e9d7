"""Doubly robust scores: for each unit a number whose mean over units is the average effect.

With cross-fitted m₀, m₁, e: Γ₁ = m₁ + t(y - m₁)/e, Γ₀ = m₀ + (1-t)(y - m₀)/(1-e), Γ = Γ₁ - Γ₀ (Robins, Rotnitzky and
Zhao 1994, JASA 89). The mean of Γ over any group that was not chosen by looking at y and t is the group's effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ivbridge.causal.crossfit import Learner, draw_folds, out_of_fold
from ivbridge.causal.question import CausalData
from ivbridge.errors import UnsupportedError
from ivbridge.records import FloatArray, IntArray
from ivbridge.threads import one_thread

__all__ = ["LEARNERS", "Scores", "scores"]

#: Candidates for each nuisance function; the one that predicts units of other folds best is taken.
LEARNERS = (Learner("linear"), Learner("boosting", trees=100, leaf=20))
#: Estimated probabilities of treatment are moved into this range, and how many were is reported.
CLIP = (0.01, 0.99)


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of n units.

    Attributes
    ----------
    treated, control : (n,) arrays
        Γ₁ and Γ₀, in units of the dependent variable.
    y, t : (n,) arrays
        Dependent variable and treatment.
    mean : (n,) array
        Cross-fitted E[Y | X] = e m₁ + (1-e) m₀.
    chance : (n,) array
        Cross-fitted P(T = 1 | X), clipped to :data:`CLIP`.
    clipped : int
        Units whose probability was clipped.
    learners : tuple of str
        What was taken for m₀, m₁ and e.
    """

    treated: FloatArray
    control: FloatArray
    y: FloatArray
    t: FloatArray
    mean: FloatArray
    chance: FloatArray
    clipped: int = 0
    learners: tuple[str, ...] = ()

    @property
    def effect(self) -> FloatArray:
        """(n,) Γ."""
        return self.treated - self.control

    @property
    def n(self) -> int:
        """Units."""
        return len(self.y)

    def take(self, rows: IntArray) -> Scores:
        """The scores of some units."""
        return Scores(
            self.treated[rows], self.control[rows], self.y[rows], self.t[rows], self.mean[rows], self.chance[rows],
            self.clipped, self.learners,
        )  # fmt: skip


@one_thread()
def scores(data: CausalData, learners: Sequence[Learner] = LEARNERS, folds: int = 5, seed: int = 0) -> Scores:
    """Doubly robust scores by cross-fitting.

    Parameters
    ----------
    data : CausalData
        With the estimand "ATE" or "ATT"; the scores are those of the ATE.
    learners : sequence of Learner
        Default: least squares or a logit, and boosting. Each nuisance function has the one whose predictions for
        units of other folds have the smallest mean squared error.
    folds : int, default 5
        Drawn within the treated and within the others.
    seed : int, default 0

    Raises
    ------
    UnsupportedError
        If the estimand is "LATE", where these scores are not those of the effect, or there are no covariates.
    DataError
        If an arm has fewer units than folds.
    MissingExtraError
        If scikit-learn is missing.
    """
    if data.question.estimand == "LATE" or not data.x_names:
        raise UnsupportedError("Scores of the effect of each unit need covariates that close every back door.",
                               available="the estimands ATE and ATT, with covariates")  # fmt: skip
    drawn = draw_folds(data.n, folds, seed, data.t)
    m0, name0 = _best(data, data.y, drawn, learners, seed, among=~data.treated)
    m1, name1 = _best(data, data.y, drawn, learners, seed, among=data.treated)
    raw, name_e = _best(data, data.t, drawn, learners, seed)
    e = np.clip(raw, *CLIP)
    treated = m1 + data.t * (data.y - m1) / e
    control = m0 + (1 - data.t) * (data.y - m0) / (1 - e)
    mean = e * m1 + (1 - e) * m0
    return Scores(treated, control, data.y, data.t, mean, e, int((raw != e).sum()), (name0, name1, name_e))


def _best(
    data: CausalData,
    target: FloatArray,
    folds: IntArray,
    learners: Sequence[Learner],
    seed: int,
    among: np.ndarray | None = None,
) -> tuple[FloatArray, str]:
    """Cross-fitted predictions of the learner with the smallest squared error on the units it may learn from."""
    chance = target is data.t
    judged = np.ones(data.n, dtype=bool) if among is None else among
    tried = []
    for learner in learners:
        model = learner.classifier(seed) if chance else learner.regressor(seed)
        found = out_of_fold(model, data.x, target, folds, among)
        tried.append((float(((target - found)[judged] ** 2).mean()), found, str(learner)))
    _, found, name = min(tried, key=lambda one: one[0])
    return found, name
