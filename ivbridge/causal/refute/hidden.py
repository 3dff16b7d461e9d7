"""A simulated hidden confounder: what the estimate becomes if a cause of stated strength had been measured.

A number drawn by chance and added to the outcome is no confounder: it is independent of the treatment, so it biases
nothing. Nor is a column that equals a covariate hidden. Here the variable is drawn from what the data leave open:
independent of the covariates, and tied to treatment and outcome as strongly as the sensitivity model says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from scipy import stats

from ivbridge.causal.least_squares import regress
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData, build
from ivbridge.causal.records import EffectEstimate
from ivbridge.causal.refute.protocol import Found, Refuter, verdict_of
from ivbridge.causal.refute.repeat import repeat
from ivbridge.causal.sensitivity.ovb import benchmark, explained_share
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray
from ivbridge.tabular import as_pandas

__all__ = ["HiddenConfounder"]

#: Share of a simulated column that the covariates may explain: 1 - .99 is what is left of it as news.
KNOWN = 0.99
#: Name of the simulated column.
COLUMN = "simulated hidden cause"
LEVEL = 0.05


@dataclass(frozen=True, kw_only=True)
class HiddenConfounder(Refuter):
    """Add a hidden cause of stated strength to the covariates, and estimate again.

    The cause is u = √a·t + √(1-a)·(±√b·y + √(1-b)·e), where t is what the covariates leave of the treatment, y what
    covariates and treatment leave of the outcome, e noise without relation to any of them, all of length 1. So u is
    uncorrelated with the covariates, its partial R² with the treatment is a, and that with the outcome is b, exactly
    (the model of Cinelli and Hazlett 2020; Imbens 2003, American Economic Review 93(2), 126-132, has a binary one). The
    sign is that of a cause whose omission pulled the estimate away from zero. For a linear regression the result equals
    :func:`ivbridge.causal.sensitivity.ovb.adjust`; other methods answer for themselves.

    Parameters
    ----------
    r2_treatment, r2_outcome : float, default 0.05
        a and b.
    like : str, optional
        A covariate; a and b are then those of a cause `times` as strong as it.
    times : float, default 1
    column : str, optional
        A simulated cause that is in the data already, instead of all this.
    draws : int, default 20
        Causes drawn.
    """

    name: ClassVar[str] = "hidden"
    title: ClassVar[str] = "Simulated hidden confounder"
    shows: ClassVar[str] = "what the effect would be if a cause of this strength were missing among the covariates."
    cannot: ClassVar[str] = "whether there is such a cause. Compare its strength with that of known covariates."
    r2_treatment: float = 0.05
    r2_outcome: float = 0.05
    like: str | None = None
    times: float = 1.0
    column: str | None = None
    draws: int = 20

    def attempt(
        self, method: CausalMethod, effect: EffectEstimate, data: CausalData, frame: Any, progress: Progress | None
    ) -> Found:
        """Draw causes and adjust for them; see :meth:`Refuter.refute`."""
        if data.question.estimand == "LATE":
            raise UnsupportedError("A hidden cause of treatment and outcome is what instruments are for.",
                                   available="ATE, ATT")  # fmt: skip
        if self.column is not None:
            return _given(self.column, method, effect, data, frame)
        strength = self._strength(data)
        if self.draws < 2:
            raise DataError(f"{self.draws} causes were asked.", available="2 or more")
        causes = _causes(data, strength, effect, self.draws)
        found = repeat(method, (_with(data, u) for u in causes), effect.seed, self.draws, progress)
        return _judge(effect, found.estimates, float(found.std_errors.mean()), strength, found.reasons)

    def _strength(self, data: CausalData) -> tuple[float, float]:
        strength = (self.r2_treatment, self.r2_outcome)
        if self.like is not None:
            if self.like not in data.question.covariates:
                raise DataError(f"{self.like!r} is no covariate.", available=", ".join(data.question.covariates))
            strength = benchmark(data, self.like).times(self.times)
        if not all(0 <= one < 1 for one in strength):
            raise DataError(
                f"A hidden cause with partial R² {strength[0]:.4g} and {strength[1]:.4g} was asked.",
                available="0 or more and below 1", do="ask for a weaker one.",
            )  # fmt: skip
        return strength


def _left(target: FloatArray, design: FloatArray) -> FloatArray:
    """What least squares on the columns leaves, of length 1."""
    names = tuple(f"column {i + 1}" for i in range(design.shape[1]))
    rest = regress(target, design, names).residuals
    return rest / np.sqrt(rest @ rest)


def _causes(
    data: CausalData, strength: tuple[float, float], effect: EffectEstimate, draws: int
) -> Iterator[FloatArray]:
    random = np.random.default_rng([effect.seed, 0x41DD])
    constant = np.column_stack([np.ones(data.n), data.x])
    of_t = _left(data.t, constant)
    of_y = math.copysign(1.0, effect.estimate) * _left(data.y, np.column_stack([constant, data.t]))
    (a, b), whole = strength, np.column_stack([constant, data.t, data.y])
    for _ in range(draws):
        noise = _left(random.normal(size=data.n), whole)
        yield math.sqrt(data.n) * (
            math.sqrt(a) * of_t + math.sqrt(1 - a) * (math.sqrt(b) * of_y + math.sqrt(1 - b) * noise)
        )


def _with(data: CausalData, cause: FloatArray) -> CausalData:
    """The same units with the cause among the covariates."""
    question = replace(data.question, covariates=(*data.question.covariates, COLUMN))
    return replace(
        data, question=question, x=np.column_stack([data.x, cause]), x_names=(*data.x_names, COLUMN),
        frame=data.frame.assign(**{COLUMN: cause}),
    )  # fmt: skip


def _judge(
    effect: EffectEstimate, estimates: FloatArray, error: float, strength: tuple[float, float], notes: tuple[str, ...]
) -> Found:
    moved = float(estimates.mean())
    half = float(stats.t.isf(LEVEL / 2, effect.answer.df)) * error
    parts = {"r2 treatment": strength[0], "r2 outcome": strength[1], "estimate": effect.estimate, "adjusted": moved,
             "std.error": error, "low": moved - half, "high": moved + half}  # fmt: skip
    done = (
        f"{len(estimates)} hidden causes were drawn with partial R² {strength[0]:.4g} with the treatment and "
        f"{strength[1]:.4g} with the outcome, and taken among the covariates."
    )
    reasons = [f"The estimate goes from {effect.estimate:.5g} to {moved:.5g} (standard error {error:.4g}).", *notes]
    if np.abs(estimates - effect.estimate).max() < 1e-9 * abs(effect.estimate) and min(strength) > 0:
        reasons.append("The method takes no notice of another covariate, so this shows nothing.")
        return Found(done, "estimate with the hidden cause", moved, math.nan, "not done", estimates, parts,
                     tuple(reasons))  # fmt: skip
    gone = math.copysign(1, moved) != math.copysign(1, effect.estimate)
    if gone:
        reasons.append("A hidden cause this strong would turn the sign of the estimate.")
    elif moved - half <= 0 <= moved + half:
        gone = True
        reasons.append("With a hidden cause this strong the 95 % interval holds zero.")
    return Found(done, "estimate with the hidden cause", moved, math.nan, verdict_of(gone), estimates,
                 parts, tuple(reasons))  # fmt: skip


def _given(column: str, method: CausalMethod, effect: EffectEstimate, data: CausalData, frame: Any) -> Found:
    """A simulated column that the user brings: refused if it is known, set aside if it moves nothing."""
    u = _column(column, data, frame)
    constant = np.column_stack([np.ones(data.n), data.x])
    given = np.column_stack([constant, data.t])
    with_treatment = explained_share(data.t, constant, u[:, None])
    with_outcome = explained_share(data.y, given, u[:, None])
    p_treatment, p_outcome = (
        float(stats.f.sf(share / (1 - share) * df, 1, df))
        for share, df in ((with_treatment, data.n - constant.shape[1] - 1), (with_outcome, data.n - given.shape[1] - 1))
    )
    again = _with(data, u)
    adjusted = method.fit(again.question, again, effect.seed)
    strength = (with_treatment, with_outcome)
    judged = _judge(effect, np.array([adjusted.estimate]), adjusted.std_error, strength, ())
    parts = {**judged.parts, "p treatment": p_treatment, "p outcome": p_outcome}
    done = (
        f"{column} was taken among the covariates; its partial R² is {with_treatment:.4g} with the treatment "
        f"(p = {p_treatment:.3g}) and {with_outcome:.4g} with the outcome (p = {p_outcome:.3g})."
    )
    idle = [what for what, p in (("treatment", p_treatment), ("outcome", p_outcome)) if p > LEVEL]
    if idle:
        why = f"{column!r} is not seen to move the {' or the '.join(idle)}: it confounds nothing and shows nothing."
        return replace(judged, done=done, verdict="not done", parts=parts, reasons=(*judged.reasons, why))
    return replace(judged, done=done, parts=parts)


def _column(column: str, data: CausalData, frame: Any) -> FloatArray:
    """(n,) values of the column in the kept rows."""
    if column in data.question.columns:
        raise DataError(f"The column {column!r} has a role in the question already, so it is not hidden.")
    whole = build(replace(data.question, covariates=(column,), instruments=(), clusters=None), as_pandas(frame))
    if whole.x.shape[1] != 1:
        raise DataError(f"The column {column!r} holds text, not numbers.")
    values = pd.Series(whole.x[:, 0], index=whole.rows).reindex(data.rows).to_numpy()
    if not np.isfinite(values).all():
        raise DataError(f"The column {column!r} has missing values in the rows that are used.")
    if values.std() == 0:
        raise DataError(f"The column {column!r} does not vary.")
    for name, covariate in zip(data.x_names, data.x.T, strict=True):
        if abs(float(np.corrcoef(values, covariate)[0, 1])) > math.sqrt(KNOWN):
            raise DataError(
                f"The column {column!r} is the covariate {name!r} in other units, so it is not hidden.",
                do="draw it with a generator of its own; a seed that was used before repeats old draws.",
            )
    u = np.asarray(values, dtype=np.float64)
    known = explained_share(u, np.ones((data.n, 1)), data.x) if data.x.shape[1] else 0.0
    if known > KNOWN:
        raise DataError(f"The covariates explain {known:.1%} of the column {column!r}, so it is not hidden.")
    return u
