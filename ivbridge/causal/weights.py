"""Weights from the propensity score, with scores that are trimmed or clipped only where that was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ivbridge.causal.balance import balance
from ivbridge.causal.propensity import logit
from ivbridge.causal.question import CausalData
from ivbridge.errors import DataError, DesignError
from ivbridge.records import FloatArray

__all__ = ["Weighted", "checked_limits", "weigh"]


@dataclass(frozen=True, slots=True, eq=False)
class Weighted:
    """The units that are used, with their scores and weights.

    Attributes
    ----------
    data : CausalData
        The n units that trimming leaves.
    design : (n, p + 1) array
        A constant and the standardised covariates.
    coef : (p + 1,) array
        Of the logit on `design`.
    limits : (low, high)
        Scores are moved to these.
    score, weights : (n,) arrays
        After clipping.
    notes : tuple of str
        What was trimmed or clipped.
    """

    data: CausalData
    design: FloatArray
    coef: FloatArray
    limits: tuple[float, float]
    score: FloatArray
    weights: FloatArray
    notes: tuple[str, ...]

    def scores(self, coef: Any) -> tuple[Any, Any]:
        """(n,) scores at other, also complex, coefficients: as the logit has them, and clipped where `score` is."""
        fitted = 1 / (1 + np.exp(-(self.design @ coef)))
        clipped = (self.score == self.limits[0]) | (self.score == self.limits[1])
        return fitted, np.where(clipped, self.score, fitted)

    def warnings(self) -> tuple[str, ...]:
        """What the weights leave undone: a covariate whose means still differ, which a right score would not leave."""
        found = balance(self.data, self.weights)
        if found.ok:
            return ()
        name, size = found.worst
        text = f"After weighting {name} still differs by {size:.2f} standard deviations: the logit does not describe "
        return (text + "who is treated, or the weights rest on too few units.",)


def checked_limits(trim: object, clip: object) -> None:
    """Refuse limits that are none.

    Raises
    ------
    DataError
    """
    for name, value in (("trim", trim), ("clip", clip)):
        if value is not None and not (isinstance(value, float) and 0 < value < 0.5):
            raise DataError(f"{name}={value!r} was asked.", available="numbers between 0 and 0.5, or None")
    if trim is not None and clip is not None:
        raise DataError("Both trim and clip were asked.", do="choose: trim drops units, clip moves their scores.")


def weigh(data: CausalData, trim: float | None = None, clip: float | None = None) -> Weighted:
    """Estimate propensity scores, and weight units so that both arms look like the population of the estimand.

    Parameters
    ----------
    data : CausalData
        For the ATE weights are 1/e and 1/(1 - e), for the ATT 1 and e/(1 - e).
    trim, clip : float, optional
        See :class:`ivbridge.causal.methods.ipw.IPW`.

    Raises
    ------
    DesignError
        If trimming leaves fewer than two units in an arm, or there is no logit; see
        :func:`ivbridge.causal.propensity.logit`.
    """
    att = data.question.estimand == "ATT"
    fit, notes = logit(data), list[str]()
    if trim is not None:
        low, high = _limits(trim, att)
        keep = np.flatnonzero((fit.score >= low) & (fit.score <= high))
        if min(data.t[keep].sum(), (1 - data.t[keep]).sum()) < 2:
            raise DesignError(f"trim={trim:g} leaves fewer than two units in an arm.", do="trim less.")
        notes.append(f"{data.n - len(keep)} of {data.n} units were dropped, with scores outside [{max(low, 0):g}, "
                     f"{high:g}]. The effect is one on the others.")  # fmt: skip
        data = data.take(keep)
        fit = logit(data)
    score, limits = fit.score, (-np.inf, np.inf)
    if clip is not None:
        limits = _limits(clip, att)
        score = np.clip(score, *limits)
        moved = int((score != fit.score).sum())
        notes.append(f"{moved} of {data.n} scores were moved into [{max(limits[0], 0):g}, {limits[1]:g}], which biases "
                     "the estimate.")  # fmt: skip
    odds = score / (1 - score)
    weights = np.where(data.treated, 1.0, odds) if att else np.where(data.treated, 1 / score, 1 / (1 - score))
    return Weighted(data, fit.design, fit.scaled, limits, score, weights, tuple(notes))


def _limits(share: float, att: bool) -> tuple[float, float]:
    return (-np.inf if att else share), 1 - share
