"""What the estimation of the propensity score does to the standard error of matching on it.

Abadie and Imbens (2016, Econometrica 84(2), 781-807), theorems 1 and 2, for a logit: with score function x(T - F),
information I = E[f x x'] and f = F(1 - F), the variance of the effect on all units falls by c'I⁻¹c; that of the effect
on the treated falls by c'I⁻¹c and rises by d'I⁻¹d, where d is the derivative of the effect in the coefficients.
"""

from __future__ import annotations

import numpy as np

from ivbridge.causal.matched import nearest
from ivbridge.causal.question import CausalData
from ivbridge.records import FloatArray

__all__ = ["variance_change"]

#: Units of an arm around each score from which covariances given the score are estimated.
AROUND = 2


def variance_change(
    data: CausalData, design: FloatArray, score: FloatArray, on_score: FloatArray, on_covariates: FloatArray,
    estimate: float,
) -> float:  # fmt: skip
    """What is to be added to the squared standard error that takes the score as known.

    Parameters
    ----------
    data : CausalData
        Its estimand is ATE or ATT.
    design : (n, q) array
        Of the logit, with its constant.
    score : (n,) array
        Fitted.
    on_score, on_covariates : (n, k), (n, p) arrays
        Coordinates in which units are near with regard to the score, and to the covariates.
    estimate : float
        The effect.
    """
    slope = score * (1 - score)
    inverse = np.linalg.inv(design.T @ (design * slope[:, None]))
    one, zero = (_covariances(data, design, on_score, arm) for arm in (1.0, 0.0))
    if data.question.estimand == "ATE":
        c = ((one / score[:, None] + zero / (1 - score)[:, None]) * slope[:, None]).sum(axis=0)
        return -float(c @ inverse @ c) / data.n**2
    odds = score / (1 - score)
    weighted = design * slope[:, None]
    c = weighted.T @ (_differences(data, on_score) - estimate)
    c += ((one + zero * odds[:, None]) * slope[:, None]).sum(axis=0)
    d = weighted.T @ (_differences(data, on_covariates) - estimate)
    return float(d @ inverse @ d - c @ inverse @ c) / float(data.t.sum()) ** 2


def _covariances(data: CausalData, design: FloatArray, place: FloatArray, arm: float) -> FloatArray:
    """(n, q) covariances of design and dependent variable among the units of an arm that are nearest to each unit."""
    found = nearest(place, np.arange(data.n), np.flatnonzero(data.t == arm), AROUND)
    each = np.bincount(found.unit, minlength=data.n)

    def mean(values: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(found.unit, values[found.partner] * found.weight, data.n), dtype=np.float64)

    y = data.y - data.y.mean()
    center = mean(y)
    moments = [mean(column * y) - mean(column) * center for column in design.T]
    return np.column_stack(moments) * (each / (each - 1))[:, None]


def _differences(data: CausalData, place: FloatArray) -> FloatArray:
    """(n,) treated minus control: each unit against its nearest units of the other arm."""
    arms = [np.flatnonzero(data.t == arm) for arm in (1.0, 0.0)]
    other = np.empty(data.n)
    for units, donors in (arms, arms[::-1]):
        found = nearest(place, units, donors)
        other[units] = np.bincount(found.unit, data.y[found.partner] * found.weight, data.n)[units]
    return np.where(data.treated, data.y - other, other - data.y)
