"""Inverse probability weighting: units stand for those who look like them and had the other treatment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ivbridge.causal.least_squares import chosen, clusters_of, regress, std_error
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.overlap import describe, refuse
from ivbridge.causal.question import CausalData
from ivbridge.causal.r_side import r_answer
from ivbridge.causal.records import Answer
from ivbridge.causal.stacked import Stacked, solve
from ivbridge.causal.weights import Weighted, checked_limits, weigh
from ivbridge.errors import DataError
from ivbridge.progress import Progress

__all__ = ["IPW"]

#: The default first; a variance that takes the errors' variances for equal makes no sense with such weights.
OFFERED = ("stacked", "HC0", "HC1", "HC2", "HC3", "CR1")


@dataclass(frozen=True, kw_only=True)
class IPW(CausalMethod):
    """Weighted means of the two arms, with a logit for the propensity score e.

    Weights for the ATE are 1/e and 1/(1 - e), those for the ATT 1 and e/(1 - e). See Lunceford & Davidian (2004,
    Statistics in Medicine 23(19), 2937–2960).

    Parameters
    ----------
    normalised : bool, default True
        Divide by the sum of the weights (Hájek), so that adding a constant to the outcome changes nothing; otherwise
        by n, or by the number of the treated for the ATT (Horvitz & Thompson 1952). Stata's ``teffects ipw``
        normalises.
    vcov : {"auto", "stacked", "HC0", "HC1", "HC2", "HC3", "CR1"}, default "auto"
        ``"auto"`` is ``"stacked"``: the score is estimated, which often makes the standard error smaller. The others
        take the weights for given, as ``lm(weights=)`` and ``survey::svyglm`` do.
    trim : float, optional
        Drop units with scores outside [trim, 1 - trim], for the ATT only those above 1 - trim, and estimate the score
        anew from the others. The effect is then one on the units that are left; the standard error takes them for
        given.
    clip : float, optional
        Move scores outside [clip, 1 - clip] to these limits, for the ATT only those above. Biased, and steadier.

    Raises
    ------
    DataError
        If trim or clip does not lie between 0 and 0.5, or both are given, or normalised is no truth value.
    """

    name: ClassVar[str] = "ipw"
    title: ClassVar[str] = "Inverse probability weighting"
    estimands: ClassVar[tuple[str, ...]] = ("ATE", "ATT")
    packages: ClassVar[tuple[str, ...]] = ("numpy", "statsmodels")
    extra: ClassVar[str] = "causal"
    takes_clusters: ClassVar[bool] = True
    r_call: ClassVar[str] = "glm + lm(weights=) + sandwich"
    relative: ClassVar[float] = 1e-9
    why_relative: ClassVar[str] = (
        "the logit is solved to 1e-13 in each mean score, and weights of 100 multiply its error"
    )
    normalised: bool = True
    vcov: str = "auto"
    trim: float | None = None
    clip: float | None = None

    def __post_init__(self) -> None:
        checked_limits(self.trim, self.clip)
        if not isinstance(self.normalised, bool):
            raise DataError(f"normalised={self.normalised!r} was asked.", available="True, False")

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """See :meth:`CausalMethod.answer`."""
        vcov, weighted = chosen(self.vcov, data, OFFERED), weigh(data, self.trim, self.clip)
        overlap = describe(weighted.score, weighted.data.t, weighted.weights, data.question.estimand)
        refuse(overlap)
        made: dict[str, Any] = {
            "used": weighted.data.n, "overlap": overlap, "notes": weighted.notes, "warnings": weighted.warnings(),
            "calls": ("statsmodels.api.GLM(t, X, family=Binomial())", "statsmodels.api.WLS(y, np.c_[1, t], weights=w)"),
        }  # fmt: skip
        if vcov == "stacked":
            estimate, error, influence = _stacked(weighted, self.normalised).combine(1.0, -1.0)
            parts = {"largest score": float(weighted.score.max()), "smallest score": float(weighted.score.min())}
            whole = influence if weighted.data.n == data.n else None
            return Answer(estimate, error, "stacked estimating equations", influence=whole, parts=parts, **made)
        return replace(_fixed(weighted, vcov, self.normalised), **made)

    def reference(self, data: CausalData, seed: int) -> Answer:
        """See :meth:`CausalMethod.reference`."""
        vcov = chosen(self.vcov, data, OFFERED)
        kept = weigh(data, self.trim, self.clip).data
        return r_answer(
            "ipw", ("sandwich", "survey"), y=kept.y, t=kept.t, x=kept.x, vcov=vcov, normalised=self.normalised,
            att=data.question.estimand == "ATT", clip=self.clip, groups=clusters_of(kept),
        )  # fmt: skip


def _fixed(weighted: Weighted, vcov: str, normalised: bool) -> Answer:
    """Weights taken for given: a regression on the treatment, or the mean of weighted outcomes."""
    data, weights = weighted.data, weighted.weights
    if normalised:
        design = np.column_stack([np.ones(data.n), data.t])
        model = regress(data.y, design, ("(Intercept)", data.question.treatment), weights)
    else:
        of = data.t.sum() if data.question.estimand == "ATT" else data.n
        signed = (2 * data.t - 1) * weights * data.y * (data.n / of)
        model = regress(signed, np.ones((data.n, 1)), ("(Intercept)",))
    error, df = std_error(model, vcov, data, model.k - 1)
    parts = {"df": df}
    if normalised and vcov == "HC0":
        parts["svyglm std.error"] = error * (data.n / (data.n - 1)) ** 0.5
    return Answer(float(model.coef[-1]), error, f"{vcov}, weights taken for given", df, parts=parts)


def _stacked(weighted: Weighted, normalised: bool) -> Stacked:
    """Parameters: the logit, the mean outcome with and without the treatment."""
    data, att = weighted.data, weighted.data.question.estimand == "ATT"
    y, t = data.y, data.t
    one = np.ones(data.n)

    def equations(theta: Any) -> Any:
        fitted, used = weighted.scores(theta[:-2])
        with_, without = (t, (1 - t) * used / (1 - used)) if att else (t / used, (1 - t) / (1 - used))
        whole = t if att else one
        means = [weight * y - (weight if normalised else whole) * mean
                 for weight, mean in ((with_, theta[-2]), (without, theta[-1]))]  # fmt: skip
        return np.column_stack([(t - fitted)[:, None] * weighted.design, *means])

    w = weighted.weights
    start = [np.average(y[t == arm], weights=w[t == arm]) for arm in (1, 0)]
    return solve(equations, np.r_[weighted.coef, start], clusters_of(data))
