"""Difference in means: right in an experiment, and the naive comparison everywhere else."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ivbridge.causal.least_squares import clusters_of, regress, std_error
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData
from ivbridge.causal.r_side import r_answer
from ivbridge.causal.records import Answer
from ivbridge.progress import Progress
from ivbridge.records import FloatArray

__all__ = ["Difference", "neyman"]


@dataclass(frozen=True, kw_only=True)
class Difference(CausalMethod):
    """Mean of the treated minus mean of the others; covariates are not used.

    The squared standard error is s₁²/n₁ + s₀²/n₀ (Neyman 1923; Statistical Science 5(4), 1990, 465–472), which equals
    HC2 of the regression on the treatment (Samii & Aronow 2012, Statistics & Probability Letters 82(2)). Degrees of
    freedom are Welch's (1947, Biometrika 34). R: ``estimatr::difference_in_means``, ``t.test``; Stata:
    ``ttest, unequal``. With clusters: CR2 and its degrees of freedom (:func:`ivbridge.causal.few_clusters.cr2`), as
    ``estimatr::lm_robust(clusters =)``.
    """

    name: ClassVar[str] = "difference"
    title: ClassVar[str] = "Difference in means"
    estimands: ClassVar[tuple[str, ...]] = ("ATE", "ATT")
    needs: ClassVar[tuple[str, ...]] = ()
    takes_clusters: ClassVar[bool] = True
    r_call: ClassVar[str] = "estimatr::difference_in_means"
    relative: ClassVar[float] = 1e-11
    why_relative: ClassVar[str] = (
        "sums of n numbers round n times by 1e-16, and the difference of two means cancels digits"
    )

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """See :meth:`CausalMethod.answer`."""
        arms = data.y[data.treated], data.y[~data.treated]
        estimate, error, df = neyman(*arms)
        vcov = "HC2, which is Neyman's"
        if (groups := clusters_of(data)) is not None:
            model = regress(
                data.y, np.column_stack([np.ones(data.n), data.t]), ("(Intercept)", data.question.treatment)
            )
            (error, df), vcov = std_error(model, "CR2", data, 1), f"CR2, {groups.max() + 1} clusters"
        names = ", ".join(data.question.covariates)
        notes = (f"Not adjusted for {names}: right where chance assigned the treatment, naive elsewhere.",)
        return Answer(
            estimate, error, vcov, df, notes=notes if names else (),
            parts={"mean treated": float(arms[0].mean()), "mean control": float(arms[1].mean()), "df": df},
            calls=("scipy.stats.ttest_ind(y[t == 1], y[t == 0], equal_var=False)",),
        )  # fmt: skip

    def reference(self, data: CausalData, seed: int) -> Answer:
        """See :meth:`CausalMethod.reference`."""
        return r_answer("difference", ("estimatr",), y=data.y, t=data.t, groups=clusters_of(data))


def neyman(treated: FloatArray, control: FloatArray) -> tuple[float, float, float]:
    """Difference of two means, its standard error, and Welch's degrees of freedom (NaN without variance)."""
    sizes = np.array([len(treated), len(control)])
    squares = np.array([treated.var(ddof=1), control.var(ddof=1)]) / sizes
    total = float(squares.sum())
    df = total**2 / float((squares**2 / (sizes - 1)).sum()) if total else math.nan
    return float(treated.mean() - control.mean()), math.sqrt(total), df
