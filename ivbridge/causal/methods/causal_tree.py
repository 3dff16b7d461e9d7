"""Honest causal tree: groups found in one half of the units, their effects measured in the other half."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import stats

from ivbridge.causal.crossfit import Learner, draw_folds
from ivbridge.causal.meta import LINEAR, answer_of
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.methods.t_learner import TLearner
from ivbridge.causal.question import CausalData
from ivbridge.causal.r_side import ask_r, r_versions
from ivbridge.causal.records import Answer
from ivbridge.errors import DesignError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray, IntArray

__all__ = ["CausalTree"]


@dataclass(frozen=True, kw_only=True)
class CausalTree(CausalMethod):
    """A small regression tree of doubly robust scores, honest as in Athey and Imbens (2016, PNAS 113, 7353-7360).

    One half of the units grows the tree, the other half measures the effect in each leaf, so that the leaves' standard
    errors and the test of equal effects hold although the tree was chosen from data. Athey and Imbens split on the
    difference of arm means; scores carry the adjustment for covariates with them, and the trees are scikit-learn's.

    Parameters
    ----------
    depth : int, default 3
        Of the tree; 8 leaves at most.
    leaf : int, default 50
        Smallest leaf in the half that grows it.
    learner, propensity, folds, clip
        Of the scores, as :class:`~ivbridge.causal.meta.MetaLearner` has them.
    """

    name: ClassVar[str] = "causal_tree"
    title: ClassVar[str] = "honest causal tree"
    packages: ClassVar[tuple[str, ...]] = ("sklearn",)
    extra: ClassVar[str] = "causal"
    r_call: ClassVar[str] = "rpart::rpart"
    why_relative: ClassVar[str] = "as the learners; scikit-learn splits on float32, a unit at a split may differ"

    depth: int = 3
    leaf: int = 50
    learner: Learner = LINEAR
    propensity: Learner = LINEAR
    folds: int = 5
    clip: float = 0.01

    def scored(self) -> TLearner:
        """The learner whose scores the tree grows on."""
        return TLearner(learner=self.learner, propensity=self.propensity, folds=self.folds, clip=self.clip)

    def effects(self, learn: CausalData, judge: CausalData, seed: int = 0) -> FloatArray:
        """(m,) effects of the leaves of the units of `judge`, learned from the units of `learn`."""
        score = self.scored().arms(learn, seed).scores() @ np.array([-1.0, 1.0])
        tree, leaves = _grown(self, learn, score, seed)
        found = leaves.set_index("leaf")["estimate"].loc[tree.apply(judge.x)]
        return np.asarray(found, dtype=np.float64)

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """Average effect, the leaves with their effects, and a test that these are equal."""
        import sklearn

        arms = self.scored().arms(data, seed, progress)
        tree, leaves = _grown(self, data, arms.scores() @ np.array([-1.0, 1.0]), seed)
        leaves["group"] = [_rule(tree, int(leaf), data.x_names) for leaf in leaves["leaf"]]
        folds, effect = draw_folds(data.n, self.folds, seed, data.t), np.empty(data.n)
        for fold in range(self.folds):
            rest, here = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            effect[here] = self.effects(data.take(rest), data.take(here), seed)
        parts = _equal(leaves["estimate"].to_numpy(), leaves["std_error"].to_numpy())
        chance = float(stats.chi2.sf(parts["chi2 of equal effects"], len(leaves) - 1)) if len(leaves) > 1 else 1.0
        note = f"{len(leaves)} leaves; equal effects in all of them: p = {chance:.3g}."
        found = answer_of(arms, data, self.clip, notes=(note,), versions={"scikit-learn": sklearn.__version__})
        table = leaves[["group", "n", "estimate", "std_error"]]
        return replace(found, unit_effects=effect, table=table, parts=parts | {"p of equal effects": chance})

    def reference(self, data: CausalData, seed: int) -> Answer:
        """The same scores by ``lm`` and ``glm``, and the tree by ``rpart``.

        Raises
        ------
        UnsupportedError
            If a learner is not linear.
        """
        found = self.scored().reference(data, seed)
        value = ask_r(
            "tree", score=found.estimate + np.asarray(found.influence), x=data.x, half=_halves(data, seed),
            depth=self.depth, leaf=self.leaf,
        ).value  # fmt: skip
        parts = _equal(np.atleast_1d(value["estimate"]), np.atleast_1d(value["std_error"]))
        parts |= {"chi2 of equal effects": float(value["statistic"][0])}
        return replace(found, parts=parts, versions=r_versions("rpart"))


def _halves(data: CausalData, seed: int) -> IntArray:
    """0 for units that grow the tree, 1 for those that measure."""
    return draw_folds(data.n, 2, seed, data.t)


def _grown(method: CausalTree, data: CausalData, score: FloatArray, seed: int) -> tuple[Any, pd.DataFrame]:
    """The tree, and its leaves by rising effect: leaf, n, estimate, std_error."""
    from sklearn.tree import DecisionTreeRegressor

    half = _halves(data, seed)
    tree = DecisionTreeRegressor(max_depth=method.depth, min_samples_leaf=method.leaf, random_state=seed)
    tree.fit(data.x[half == 0], score[half == 0])
    measured = pd.Series(score[half == 1]).groupby(tree.apply(data.x[half == 1]))
    leaves = measured.agg(n="size", estimate="mean", std_error="sem").rename_axis("leaf").reset_index()
    grown = int((tree.tree_.children_left == -1).sum())
    if len(leaves) < grown or int(leaves["n"].min()) < 2:
        raise DesignError("A leaf of the tree has fewer than two units of the half that measures.",
                          do="ask for a larger leaf or a smaller depth.")  # fmt: skip
    return tree, leaves.sort_values("estimate", ignore_index=True)


def _equal(estimates: FloatArray, errors: FloatArray) -> dict[str, float]:
    """Numbers of leaves that share no unit, with Cochran's statistic of equal effects."""
    weights = errors**-2
    statistic = float(weights @ (estimates - np.average(estimates, weights=weights)) ** 2)
    low, high = estimates.argmin(), estimates.argmax()
    return {
        "leaves": float(len(estimates)), "lowest leaf": float(estimates[low]), "highest leaf": float(estimates[high]),
        "lowest leaf's std.error": float(errors[low]), "highest leaf's std.error": float(errors[high]),
        "chi2 of equal effects": statistic if len(estimates) > 1 else 0.0,
    }  # fmt: skip


def _rule(tree: Any, leaf: int, names: tuple[str, ...]) -> str:
    """The splits that lead to a leaf, in words; of several on one side of a column the nearest to the leaf."""
    nodes, steps = tree.tree_, dict[tuple[str, str], float]()
    while leaf:
        above = int(np.flatnonzero((nodes.children_left == leaf) | (nodes.children_right == leaf))[0])
        sign = "≤" if nodes.children_left[above] == leaf else ">"
        steps.setdefault((names[nodes.feature[above]], sign), nodes.threshold[above])
        leaf = above
    return " and ".join(f"{name} {sign} {limit:.6g}" for (name, sign), limit in reversed(steps.items())) or "all units"
