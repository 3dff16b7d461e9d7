"""Augmented inverse probability weighting: right if either the propensity score or the outcome model is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ivbridge.causal.least_squares import clusters_of, lines
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.overlap import describe, refuse
from ivbridge.causal.question import CausalData
from ivbridge.causal.r_side import r_answer
from ivbridge.causal.records import Answer
from ivbridge.causal.stacked import Stacked, solve
from ivbridge.causal.weights import Weighted, checked_limits, weigh
from ivbridge.progress import Progress

__all__ = ["AIPW"]


@dataclass(frozen=True, kw_only=True)
class AIPW(CausalMethod):
    """A regression in each arm, whose residuals are weighted by a logit for the propensity score e.

    With lines m₁ and m₀ the ATE is the mean of m₁ - m₀ + t(y - m₁)/e - (1 - t)(y - m₀)/(1 - e), and the ATT that of
    t(y - m₀) - (1 - t)(y - m₀)·e/(1 - e) over the share of the treated (Robins, Rotnitzky & Zhao 1994, Journal of the
    American Statistical Association 89(427), 846–866; Bang & Robins 2005, Biometrics 61(4)). The standard error stacks
    the equations of all three models; it stays right when one of them is wrong. Stata: ``teffects aipw``.

    Parameters
    ----------
    trim, clip : float, optional
        As :class:`~ivbridge.causal.methods.ipw.IPW`.

    Raises
    ------
    DataError
        If trim or clip does not lie between 0 and 0.5, or both are given.
    """

    name: ClassVar[str] = "aipw"
    title: ClassVar[str] = "Augmented inverse probability weighting"
    estimands: ClassVar[tuple[str, ...]] = ("ATE", "ATT")
    packages: ClassVar[tuple[str, ...]] = ("numpy", "statsmodels")
    extra: ClassVar[str] = "causal"
    takes_clusters: ClassVar[bool] = True
    r_call: ClassVar[str] = "glm + lm + estimating equations in base R"
    relative: ClassVar[float] = 1e-9
    why_relative: ClassVar[str] = (
        "the logit is solved to 1e-13 in each mean score, and weights of 100 multiply its error"
    )
    trim: float | None = None
    clip: float | None = None

    def __post_init__(self) -> None:
        checked_limits(self.trim, self.clip)

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """See :meth:`CausalMethod.answer`."""
        weighted = weigh(data, self.trim, self.clip)
        kept = weighted.data
        overlap = describe(weighted.score, kept.t, weighted.weights, data.question.estimand)
        refuse(overlap)
        stacked = _stacked(weighted)
        estimate, error, influence = stacked.combine(1.0)
        k = weighted.design.shape[1]
        effects = weighted.design @ (stacked.theta[k : 2 * k] - stacked.theta[2 * k : -1])
        whole = kept.n == data.n
        whose = kept.t if data.question.estimand == "ATT" else np.ones(kept.n)
        given = Stacked(stacked.theta, (_effect(weighted, stacked.theta) / whose.mean())[:, None], stacked.groups)
        parts = {
            "regression alone": float(np.average(effects, weights=whose)),
            "std.error, models given": given.combine(1.0)[1],
        }
        return Answer(
            estimate, error, "stacked estimating equations", used=kept.n, overlap=overlap, parts=parts,
            notes=weighted.notes, warnings=weighted.warnings(),
            unit_effects=effects if whole else None, influence=influence if whole else None,
            calls=("statsmodels.api.GLM(t, X, family=Binomial())", "statsmodels.api.OLS(y[t == arm], X[t == arm])"),
        )  # fmt: skip

    def reference(self, data: CausalData, seed: int) -> Answer:
        """See :meth:`CausalMethod.reference`."""
        kept = weigh(data, self.trim, self.clip).data
        return r_answer("aipw", ("stats",), y=kept.y, t=kept.t, x=kept.x, att=data.question.estimand == "ATT",
                        clip=self.clip, groups=clusters_of(kept))  # fmt: skip


def _stacked(weighted: Weighted) -> Stacked:
    """Parameters: the logit, the line of the treated, the line of the others, the effect."""
    data, design = weighted.data, weighted.design
    y, t, k = data.y, data.t, design.shape[1]

    def equations(theta: Any) -> Any:
        return np.column_stack([
            (t - weighted.scores(theta[:k])[0])[:, None] * design,
            (t * (y - design @ theta[k : 2 * k]))[:, None] * design,
            ((1 - t) * (y - design @ theta[2 * k : -1]))[:, None] * design,
            _effect(weighted, theta),
        ])  # fmt: skip

    return solve(equations, np.r_[weighted.coef, lines(data, design).ravel(), 0.0], clusters_of(data))


def _effect(weighted: Weighted, theta: Any) -> Any:
    """(n,) equation of the effect, the last parameter."""
    y, t, design = weighted.data.y, weighted.data.t, weighted.design
    k = design.shape[1]
    score = weighted.scores(theta[:k])[1]
    with_, without = design @ theta[k : 2 * k], design @ theta[2 * k : -1]
    if weighted.data.question.estimand == "ATT":
        return (t - (1 - t) * score / (1 - score)) * (y - without) - t * theta[-1]
    return with_ - without + t * (y - with_) / score - (1 - t) * (y - without) / (1 - score) - theta[-1]
