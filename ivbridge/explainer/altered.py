"""A fit with other residuals, regressors or leverages than AER's, the ones that covariance formulas are then fed with.

The coefficients stay as they are; only what their covariance matrix is computed from changes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ivbridge.linear import Basis, Linear
from ivbridge.records import FloatArray
from ivbridge.vcov import HC2, HC3, HC4, HC5, Bekker, Classical, HC4m, Vcov

__all__ = ["ALTERED", "PLAIN", "Altered"]

#: Estimators that use leverages.
LEVERAGED = (HC2, HC3, HC4, HC4m, HC5)


def _always(model: Linear, vcov: Vcov) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Altered:
    """One such change.

    Attributes
    ----------
    key : str
        Of the catalogue; empty for no change.
    text : str
    change : callable
        From a fit to the changed fit; one without instruments comes back as it is.
    matters : callable (Linear, Vcov) -> bool
        Whether it makes a difference to this estimator.
    """

    key: str
    text: str
    change: Callable[[Linear], Linear]
    matters: Callable[[Linear, Vcov], bool] = _always


def _with(model: Linear, **values: FloatArray) -> Linear:
    """A copy whose derived arrays are given instead of derived."""
    copy = replace(model)
    copy.__dict__.update(values)
    return copy


def _leverages(model: Linear, combine: Callable[[FloatArray, FloatArray], FloatArray]) -> Linear:
    if model.instruments is None:
        return model
    second, first = (np.sum(basis.q**2, axis=1) for basis in (model.basis, model.instruments))
    return _with(model, hat=combine(second, first))


def _geometric(second: FloatArray, first: FloatArray) -> FloatArray:
    return np.asarray(np.sqrt(second * first * second.sum() / first.sum()))


def _largest(second: FloatArray, first: FloatArray) -> FloatArray:
    return np.asarray(np.maximum(second, first * second.sum() / first.sum()))


def _second_stage(model: Linear) -> Linear:
    return model if model.instruments is None else replace(model, left=model.y - model.projected @ model.coef)


def _k_class_regressors(model: Linear) -> Linear:
    """Scores with (I − κM)X in place of PX."""
    if model.k_class is None:
        return model
    regressors = model.x - model.k_class.kappa * (model.x - model.projected)
    return replace(model, basis=Basis.of(regressors, model.weights))


def _own_regressors(model: Linear) -> Linear:
    """Bread and scores with X in place of PX: the formulas of least squares with the residuals of the IV fit."""
    if model.instruments is None:
        return model
    basis = Basis.of(model.x, model.weights)
    return replace(model, basis=basis, instruments=None, k_class=None, stages=None, left=model.residuals)


def _weighted_once(model: Linear) -> Linear:
    if model.weights is None:
        return model
    return _with(model, working=model.residuals * np.sqrt(model.weights))


def _unweighted(model: Linear) -> Linear:
    return model if model.weights is None else _with(model, working=model.residuals)


def _instrumented(model: Linear, vcov: Vcov) -> bool:
    return model.instruments is not None and not isinstance(vcov, Bekker)


def _leveraged(model: Linear, vcov: Vcov) -> bool:
    return model.instruments is not None and isinstance(vcov, LEVERAGED)


def _k_class(model: Linear, vcov: Vcov) -> bool:
    return model.k_class is not None and not isinstance(vcov, Classical | Bekker)


def _weighted(model: Linear, vcov: Vcov) -> bool:
    return model.weights is not None and not isinstance(vcov, Classical | Bekker)


PLAIN = Altered("", "", lambda model: model)

ALTERED = (
    PLAIN,
    Altered(
        "hat.second_stage",
        "the leverages are those of the second stage, diag(P(P'P)⁻¹P') with P the projected regressors",
        lambda model: _leverages(model, lambda second, first: second),
        _leveraged,
    ),
    Altered(
        "hat.both",
        "the leverages are the geometric mean of those of both stages",
        lambda model: _leverages(model, _geometric),
        _leveraged,
    ),
    Altered(
        "hat.maximum",
        "the leverages are the larger of those of the two stages",
        lambda model: _leverages(model, _largest),
        _leveraged,
    ),
    Altered(
        "residuals.second_stage",
        "the standard errors use the residuals of the second stage run by hand, y − X̂β, in place of y − Xβ",
        _second_stage,
        _instrumented,
    ),
    Altered(
        "scores.k_class",
        "the scores use the k-class regressors (I − κM)X in place of the projected ones",
        _k_class_regressors,
        _k_class,
    ),
    Altered(
        "bread.ols",
        "the standard errors use the formulas of least squares, X in place of its projection on the instruments",
        _own_regressors,
        _instrumented,
    ),
    Altered(
        "weights.once_in_meat",
        "squared residuals are weighted once in the meat, not by the squared weights",
        _weighted_once,
        _weighted,
    ),
    Altered("weights.not_in_meat", "the weights are left out of the meat", _unweighted, _weighted),
)
