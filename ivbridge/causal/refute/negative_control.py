"""Negative controls: effects that cannot exist. Found all the same, they are the mark of hidden causes.

Lipsitch, Tchetgen Tchetgen and Cohen (2010, Epidemiology 21, 383-388). Unlike a placebo that is drawn by chance, a
negative control has the causes that may confound the effect, so it can betray them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.causal.records import EffectEstimate
from ivbridge.causal.refute.protocol import Found, Refuter, verdict_of
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.progress import Progress
from ivbridge.tabular import as_pandas

__all__ = ["NegativeExposure", "NegativeOutcome"]

LEVEL = 0.05
#: A correlation at which two columns are one.
SAME = 0.999
#: Standard errors that an effect needs to be found at 5 % in 80 of 100 samples: 1.960 + 0.842.
POWER = 2.8


@dataclass(frozen=True, kw_only=True)
class NegativeOutcome(Refuter):
    """Estimate the effect on an outcome that the treatment cannot change.

    Parameters
    ----------
    column : str
        Measured before the treatment, or known to be out of its reach; with the causes of the dependent variable.
    """

    name: ClassVar[str] = "negative_outcome"
    title: ClassVar[str] = "Negative-control outcome"
    shows: ClassVar[str] = (
        "that causes are left which the covariates do not hold: the treatment seems to change what it cannot change."
    )
    cannot: ClassVar[str] = (
        "that no hidden cause is left: one that acts on the dependent variable but not on the control stays unseen."
    )
    column: str = ""

    def attempt(
        self, method: CausalMethod, effect: EffectEstimate, data: CausalData, frame: Any, progress: Progress | None
    ) -> Found:
        """Estimate the effect on the control; see :meth:`Refuter.refute`."""
        question = data.question
        _check(self.column, question, frame, question.dependent)
        control = _fit(method, replace(question, dependent=self.column), frame, effect.seed)
        return _judge(f"the effect of {question.treatment} on {self.column}", control)


@dataclass(frozen=True, kw_only=True)
class NegativeExposure(Refuter):
    """Estimate the effect of a treatment that cannot act on the dependent variable.

    The real treatment is one of the covariates then: what causes both may tie the control to the dependent variable
    by way of the treatment's own effect.

    Parameters
    ----------
    column : str
        0 or 1, with the causes of the treatment.
    """

    name: ClassVar[str] = "negative_exposure"
    title: ClassVar[str] = "Negative-control exposure"
    shows: ClassVar[str] = (
        "that causes are left which the covariates do not hold: what cannot act on the outcome seems to act on it."
    )
    cannot: ClassVar[str] = (
        "that no hidden cause is left: one that acts on the treatment but not on the control stays unseen."
    )
    column: str = ""

    def attempt(
        self, method: CausalMethod, effect: EffectEstimate, data: CausalData, frame: Any, progress: Progress | None
    ) -> Found:
        """Estimate the effect of the control; see :meth:`Refuter.refute`."""
        question = data.question
        if question.estimand == "LATE":
            raise UnsupportedError("The instruments do not move the negative control.", available="ATE, ATT")
        _check(self.column, question, frame, question.treatment)
        covariates = (*question.covariates, question.treatment)
        control = _fit(method, replace(question, treatment=self.column, covariates=covariates), frame, effect.seed)
        return _judge(f"the effect of {self.column} on {question.dependent}, given {question.treatment}", control)


def _check(column: str, question: CausalQuestion, frame: Any, like: str) -> None:
    if not column:
        raise DataError("No negative control was named.", do="name a column: column=…")
    if column in (*question.columns, question.clusters):
        raise DataError(f"The negative control {column!r} has a role in the question already.")
    table = as_pandas(frame)
    if column not in table.columns:
        raise DataError(f"The data have no column {column!r}.", available=", ".join(map(str, table.columns[:30])))
    if not (pd.api.types.is_numeric_dtype(table[column]) or pd.api.types.is_bool_dtype(table[column])):
        raise DataError(f"The column {column!r} holds {table[column].dtype}, not numbers.")
    both = table[[column, like]].dropna().to_numpy(dtype=np.float64)
    if both[:, 0].std() == 0:
        raise DataError(f"The negative control {column!r} does not vary.")
    if abs(float(np.corrcoef(both.T)[0, 1])) > SAME:
        raise DataError(f"The negative control {column!r} is {like!r} itself: their correlation is above {SAME:g}.")


def _fit(method: CausalMethod, question: CausalQuestion, frame: Any, seed: int) -> EffectEstimate:
    return method.fit(question, build(question, frame), seed)


def _judge(what: str, control: EffectEstimate) -> Found:
    low, high = control.conf_int()
    parts = {"effect": control.estimate, "std.error": control.std_error, "low": low, "high": high,
             "detectable": POWER * control.std_error}  # fmt: skip
    done = (
        f"The same method estimated {what}, which is none: {control.estimate:.5g}, standard error "
        f"{control.std_error:.4g}, 95 % interval [{low:.5g}, {high:.5g}]."
    )
    p = control.p_value
    if np.isnan(p):
        reasons: tuple[str, ...] = ("The method reports no standard error, so nothing can be judged.",)
        return Found(done, what, control.estimate, p, "not done", parts=parts, reasons=reasons)
    if p < LEVEL:
        reasons = ("Hidden causes, a wrong model, or a control that is none.",)
    else:
        reasons = (f"A bias below {parts['detectable']:.3g}, in units of the control, would often pass.",)
    return Found(done, what, control.estimate, p, verdict_of(p < LEVEL), parts=parts, reasons=reasons)
