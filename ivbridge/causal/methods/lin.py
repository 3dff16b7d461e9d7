"""Lin's regression: a line for each arm, so that the treated may respond to covariates in their own way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ivbridge.causal.least_squares import VCOVS, chosen, clusters_of, lines, regress, std_error
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.overlap import look
from ivbridge.causal.propensity import standardised
from ivbridge.causal.question import CausalData
from ivbridge.causal.r_side import r_answer
from ivbridge.causal.records import Answer
from ivbridge.causal.stacked import Stacked, solve
from ivbridge.progress import Progress

__all__ = ["Lin"]

OFFERED = (*VCOVS, "stacked")


@dataclass(frozen=True, kw_only=True)
class Lin(CausalMethod):
    """Regression on the treatment, centred covariates, and their products.

    See Lin (2013, Annals of Applied Statistics 7(1), 295–318). Centred at the means of all units the coefficient of
    the treatment is the ATE, at those of the treated it is the ATT. It equals the mean difference of two predictions,
    one from a regression in each arm.

    Parameters
    ----------
    vcov : {"auto", "HC2", "classical", "HC0", "HC1", "HC3", "CR2", "CR1", "stacked"}, default "auto"
        ``"auto"`` is HC2, or CR2 where the question names clusters, as in ``estimatr::lm_lin``. All but the last take
        the covariates' means for given, so that the interval is about the effect on these units. ``"stacked"`` adds
        that the means are estimated, for the effect in the population they come from; Stata's ``teffects ra``.
    """

    name: ClassVar[str] = "lin"
    title: ClassVar[str] = "Regression with interactions (Lin)"
    estimands: ClassVar[tuple[str, ...]] = ("ATE", "ATT")
    packages: ClassVar[tuple[str, ...]] = ("numpy", "statsmodels")
    extra: ClassVar[str] = "causal"
    takes_clusters: ClassVar[bool] = True
    r_call: ClassVar[str] = "estimatr::lm_lin"
    relative: ClassVar[float] = 1e-9
    why_relative: ClassVar[str] = "estimatr solves normal equations: the squared condition number times 1e-16"
    vcov: str = "auto"

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """See :meth:`CausalMethod.answer`."""
        vcov = chosen(self.vcov, data, OFFERED)
        centred = data.x - (data.x[data.treated] if data.question.estimand == "ATT" else data.x).mean(axis=0)
        design = np.column_stack([np.ones(data.n), data.t, centred, data.t[:, None] * centred])
        model = regress(data.y, design, _names(data))
        p = data.x.shape[1]
        overlap, warnings = look(data)
        made: dict[str, Any] = {
            "overlap": overlap, "warnings": warnings, "unit_effects": model.coef[1] + centred @ model.coef[2 + p :],
            "calls": ("statsmodels.api.OLS(y, np.c_[1, t, x - mean, t * (x - mean)])",),
        }  # fmt: skip
        if vcov == "stacked":
            estimate, error, influence = _stacked(data).combine(1.0)
            return Answer(estimate, error, "stacked estimating equations", influence=influence, **made)
        error, df = std_error(model, vcov, data, 1)
        own = std_error(model, vcov, data, 0)[0]
        parts = {"coef (Intercept)": float(model.coef[0]), "coef (Intercept) std.error": own, "df": df}
        return Answer(float(model.coef[1]), error, vcov, df, parts=parts, **made)

    def reference(self, data: CausalData, seed: int) -> Answer:
        """See :meth:`CausalMethod.reference`."""
        vcov, att = chosen(self.vcov, data, OFFERED), data.question.estimand == "ATT"
        return r_answer("lin", ("estimatr", "sandwich"), y=data.y, t=data.t, x=data.x, vcov=vcov, att=att,
                        groups=clusters_of(data))  # fmt: skip


def _names(data: CausalData) -> tuple[str, ...]:
    treatment = data.question.treatment
    return ("(Intercept)", treatment, *data.x_names, *(f"{treatment}:{name}" for name in data.x_names))


def _stacked(data: CausalData) -> Stacked:
    """Parameters: the line of the treated, the line of the others, the effect."""
    design = standardised(data)
    t, k = data.t, design.shape[1]
    whose = t if data.question.estimand == "ATT" else np.ones(data.n)

    def equations(theta: Any) -> Any:
        with_, without = design @ theta[:k], design @ theta[k:-1]
        return np.column_stack([
            (t * (data.y - with_))[:, None] * design,
            ((1 - t) * (data.y - without))[:, None] * design,
            whose * (with_ - without - theta[-1]),
        ])  # fmt: skip

    return solve(equations, np.r_[lines(data, design).ravel(), 0.0], clusters_of(data))
