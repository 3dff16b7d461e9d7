"""Regression adjustment: least squares of the outcome on the treatment and the covariates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ivbridge.causal.least_squares import VCOVS, chosen, clusters_of, regress, std_error
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.overlap import look
from ivbridge.causal.question import CausalData
from ivbridge.causal.r_side import r_answer
from ivbridge.causal.records import Answer
from ivbridge.progress import Progress

__all__ = ["Regression"]


@dataclass(frozen=True, kw_only=True)
class Regression(CausalMethod):
    """Coefficient of the treatment in a linear regression with covariates.

    It is the ATE where effects are equal and the outcome is linear in the covariates. Where effects differ it is an
    average of them that weights units by the variance of their treatment given the covariates (Angrist 1998,
    Econometrica 66(2), 249–288): :class:`~ivbridge.causal.methods.lin.Lin` has the ATE then.

    Parameters
    ----------
    vcov : {"auto", "HC2", "classical", "HC0", "HC1", "HC3", "CR2", "CR1"}, default "auto"
        ``"auto"`` is HC2, or CR2 where the question names clusters, as in ``estimatr::lm_robust``. R's ``lm`` and
        Stata's ``regress`` have ``"classical"`` by default, and Stata has CR1 for clusters. Degrees of freedom: n - k,
        Satterthwaite's for CR2, G - 1 for CR1.
    """

    name: ClassVar[str] = "regression"
    title: ClassVar[str] = "Regression adjustment"
    packages: ClassVar[tuple[str, ...]] = ("numpy", "statsmodels")
    extra: ClassVar[str] = "causal"
    takes_clusters: ClassVar[bool] = True
    r_call: ClassVar[str] = "lm + sandwich"
    relative: ClassVar[float] = 1e-10
    why_relative: ClassVar[str] = "R's QR loses the condition number of unscaled columns, up to 1e6, times 1e-16"
    vcov: str = "auto"

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """See :meth:`CausalMethod.answer`."""
        vcov = chosen(self.vcov, data, VCOVS)
        names = ("(Intercept)", data.question.treatment, *data.x_names)
        model = regress(data.y, np.column_stack([np.ones(data.n), data.t, data.x]), names)
        error, df = std_error(model, vcov, data, 1)
        parts = {"r.squared": model.r2(intercept=True)[0], "sigma": model.sigma, "df": df}
        for place, name in enumerate(names):
            if place != 1:
                own = std_error(model, vcov, data, place)[0]
                parts |= {f"coef {name}": float(model.coef[place]), f"coef {name} std.error": own}
        overlap, warnings = look(data)
        note = "Where effects differ, this is their average weighted by the variance of the treatment: see lin."
        return Answer(
            float(model.coef[1]), error, vcov, df, overlap=overlap, parts=parts, notes=(note,),
            warnings=warnings, calls=("statsmodels.api.OLS(y, np.c_[1, t, x])",),
        )  # fmt: skip

    def reference(self, data: CausalData, seed: int) -> Answer:
        """See :meth:`CausalMethod.reference`."""
        vcov, names = chosen(self.vcov, data, VCOVS), [data.question.treatment, *data.x_names]
        return r_answer("regression", ("sandwich",), y=data.y, t=data.t, x=data.x, names=names, vcov=vcov,
                        groups=clusters_of(data))  # fmt: skip
