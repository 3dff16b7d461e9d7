"""A corrected step: the second pass tells what the factor's rounding left of the normal equations, and it is taken off.

Corrected seminormal equations (Björck 1987, Linear Algebra and its Applications 88/89), for the coefficients and the
first stages at once. A factor of cross-products is off by E = O(κ²u), its coefficients by about κ²u√n standard errors;
one step leaves the square of that, less than a rounding error wherever such a factor is used (κ ≤ 20: κ⁴u² < 1e-26),
so there is never a second one. A factor in extended precision is off by u, as the second pass is: then a step is taken
only in a nearly perfect fit, whose residuals the pass has to more digits.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ivbridge.blocks.factor import Factor
from ivbridge.blocks.regression import Layout, Regression
from ivbridge.blocks.scores import ScoreSums
from ivbridge.blocks.small import Matrix, inverted, is_wide, qr
from ivbridge.records import FloatArray

__all__ = ["corrected", "stage_residuals"]

#: What neglected errors of first stages may move coefficients by, in units of u√n standard errors: as much as the
#: rounding errors of n residuals do at worst.
NEGLIGIBLE = 16.0


def stage_residuals(layout: Layout, model: Regression, factor: Factor | None = None) -> FloatArray | None:
    """Coordinates V, (m, q), of the first-stage residuals; None where their rounding errors do not matter.

    The factor's error E moves PX by N_v = O(E‖V‖) and coefficients, in standard errors, by ‖X'PX‖^(-1/2)·‖N_v‖·√J with
    Sargan's J = ‖Pe‖²/σ², and in the k-class by that of (κ − 1)V'e, too. Below 16u√n that is neglected.
    Without a factor nothing is.
    """
    identified = len(layout.z) == len(layout.x) and model.kappa is None  # then J is zero
    if not layout.endog or identified or is_wide(model.left):
        return None
    if factor is None:
        return _unexplained(layout, model)
    inverse = model.root_inverse[[layout.x.index(place) for place in layout.endog]]
    scale = factor.loss * np.sqrt((inverse * inverse).sum())
    excess = abs(model.kappa - 1) if model.kappa is not None else 0.0
    columns = factor.r[:, layout.endog]
    if scale * np.sqrt((columns * columns).sum()) * (1 + excess) <= NEGLIGIBLE:  # V is shorter, and J ≤ n
        return None
    rest = _unexplained(layout, model)
    lengths = factor.r @ rest
    weak = scale * np.sqrt((lengths * lengths).sum())
    if weak * (1 + excess) <= NEGLIGIBLE:
        return None
    left = factor.r @ model.left
    projected = qr(factor.r[:, layout.z])[0].T @ left
    share = np.linalg.norm(projected) / np.linalg.norm(left)  # √(J/n)
    return None if weak * (share + excess) <= NEGLIGIBLE else rest


def corrected(layout: Layout, model: Regression, sums: ScoreSums, factor: Factor | None = None) -> Regression:
    """The model after one step.

    With V and e the computed residuals, N_v = Q_z'V and N_e = Q_z'e, the exact (PX)'e is that of the computed PX plus
    N_v'N_e, and X'(I − κM)e is (PX)'e − (κ − 1)(V'e − N_v'N_e).

    Parameters
    ----------
    layout : Layout
    model : Regression
    sums : ScoreSums
        Of the second pass, with `cross` where :func:`stage_residuals` asked for it.
    factor : Factor, optional
        Needed for models with endogenous regressors, and in extended precision.
    """
    if is_wide(model.left) and not _nearly_perfect(model, sums, factor):
        return model
    step: Matrix = sums.moments
    if factor is not None and layout.endog and (model.kappa is not None or sums.cross.size):
        step = model.root.T @ step
        step[[layout.x.index(place) for place in layout.endog]] += _of_stages(layout, model, sums, factor)
        step = model.root_inverse.T @ step
    step = model.root_inverse @ step
    return dataclasses.replace(model, coef=model.coef + step, left=model.left - model.regressors @ step)


def _nearly_perfect(model: Regression, sums: ScoreSums, factor: Factor | None) -> bool:
    """Whether u‖e‖, what the pass leaves of e, is less than what extended precision leaves of its terms."""
    if factor is None:
        return False
    terms = np.sqrt((factor.r * factor.r).sum(axis=0)) @ np.abs(model.left)
    ratio = np.finfo(model.left.dtype).eps / np.finfo(float).eps
    return bool(np.sqrt(sums.rss) < ratio * terms)


def _of_stages(layout: Layout, model: Regression, sums: ScoreSums, factor: Factor) -> Matrix:
    """What first stages add to the normal equations of endogenous regressors, (q,)."""
    excess = 0.0 if model.kappa is None else model.kappa - 1
    if not sums.cross.size:
        return np.asarray(-excess * (factor.r @ _unexplained(layout, model)).T @ (factor.r @ model.left))
    found = inverted(qr(factor.r[:, layout.z])[1]).T @ sums.cross[list(layout.z)]
    both = found[:, 1:].T @ found[:, 0]
    return np.asarray((1 + excess) * both - excess * (_unexplained(layout, model).T @ sums.cross[:, 0]))


def _unexplained(layout: Layout, model: Regression) -> Matrix:
    """V, (m, q)."""
    places = [layout.x.index(place) for place in layout.endog]
    return np.asarray(model.regressors[:, places] - model.basis @ model.root[:, places])
