"""Stacked estimating equations: standard errors that know that the weights and the models were estimated, too.

An estimator in several steps is the root θ of (1/n) Σ ψᵢ(θ) = 0 once the equations of all steps stand under each
other. Its covariance is A⁻¹ B A⁻ᵀ / n with A = (1/n) Σ ∂ψᵢ/∂θ' and B = (1/n) Σ ψᵢψᵢ' (Stefanski & Boos 2002, The
American Statistician 56(1), 29–38). The derivative is taken by a complex step, which rounds but does not truncate
(Squire & Trapp 1998, SIAM Review 40(1), 110–112), so no derivative is written by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ivbridge.errors import DesignError
from ivbridge.records import FloatArray, IntArray

__all__ = ["Equations", "Stacked", "by_group", "derivative", "solve"]

#: ψ(θ), an (n, q) array; θ arrives as (q,) complex numbers, so ψ has to be analytic: no abs, no comparison with θ.
Equations = Callable[[Any], npt.NDArray[Any]]

#: Of the complex step: its square vanishes beside 1.
STEP = 1e-30
#: Mean of an equation over its root mean square at which iterations end, and the largest with which it counts as
#: solved: a hundred-millionth of √n standard errors. Rounding leaves more than the first where outcomes are far from 0.
SOLVED, ACCEPTED = 1e-13, 1e-8
#: Newton steps; the callers start from closed forms, where none or one is needed.
STEPS = 25


@dataclass(frozen=True, slots=True, eq=False)
class Stacked:
    """A root of stacked estimating equations.

    Attributes
    ----------
    theta : (q,) array
    influence : (n, q) array
        Influence function values -A⁻¹ψᵢ.
    groups : (n,) int array, optional
        Clusters 0 … G-1 of the units.
    """

    theta: FloatArray
    influence: FloatArray
    groups: IntArray | None = None

    def combine(self, *weights: float) -> tuple[float, float, FloatArray]:
        """A linear combination of the last parameters, its standard error, and its (n,) influence values.

        Without clusters the squared standard error is Σφᵢ²/n² (HC0, as ``statsmodels`` and Stata's ``teffects`` have
        it); with clusters φ is summed in each of them first, and the square is multiplied by G/(G - 1).
        """
        last = np.array(weights)
        phi = self.influence[:, -len(last) :] @ last
        n = len(phi)
        value = float(self.theta[-len(last) :] @ last)
        if self.groups is None:
            return value, float(np.sqrt(phi @ phi)) / n, phi
        sums = by_group(phi, self.groups)
        return value, float(np.sqrt(sums @ sums * len(sums) / (len(sums) - 1))) / n, phi


def by_group(values: FloatArray, groups: IntArray) -> FloatArray:
    """(G,) sums of (n,) values in each of the groups 0 … G-1."""
    return np.asarray(np.bincount(groups, weights=values), dtype=np.float64)


def derivative(equations: Equations, theta: FloatArray) -> FloatArray:
    """A, the (q, q) mean derivative of ψ; column j belongs to θⱼ."""
    steps = STEP * np.eye(len(theta))
    return np.column_stack([equations(theta + 1j * step).imag.mean(axis=0) / STEP for step in steps])


def solve(equations: Equations, start: FloatArray, groups: IntArray | None = None) -> Stacked:
    """Solve stacked estimating equations by Newton's method.

    Parameters
    ----------
    equations : callable
        ψ, see :data:`Equations`.
    start : (q,) array
    groups : (n,) int array, optional
        Clusters 0 … G-1, for standard errors.

    Raises
    ------
    DesignError
        If the equations have no single root near the start.
    """
    theta = best = np.asarray(start, dtype=np.float64)
    smallest = np.inf
    for _ in range(STEPS):
        psi = equations(theta + 0j).real
        size = _sizes(psi)
        left = float(np.abs(psi.mean(axis=0) / size).max())
        if not left < smallest:
            break
        best, smallest = theta, left
        if left <= SOLVED:
            break
        theta = theta - _divided(psi.mean(axis=0)[:, None], derivative(equations, theta), size)[:, 0]
    if not smallest < ACCEPTED:
        raise DesignError(f"The stacked estimating equations have no root: {smallest:.2g} is left of one of them.")
    psi = equations(best + 0j).real
    return Stacked(best, -_divided(psi.T, derivative(equations, best), _sizes(psi)).T, groups)


def _sizes(psi: FloatArray) -> FloatArray:
    size = np.sqrt((psi**2).mean(axis=0))
    return np.asarray(np.where(size > 0, size, 1.0))


def _divided(right: FloatArray, slope: FloatArray, size: FloatArray) -> FloatArray:
    """slope⁻¹ right, with rows and columns brought to one size first: the units of y and of θ mean nothing."""
    rows = slope / size[:, None]
    columns = np.abs(rows).max(axis=0)
    if not (np.isfinite(columns).all() and columns.all()) or np.linalg.matrix_rank(rows / columns) < len(size):
        raise DesignError("The stacked estimating equations do not determine every parameter.")
    return np.asarray(np.linalg.solve(rows / columns, right / size[:, None]) / columns[:, None])
