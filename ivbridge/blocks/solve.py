"""The two passes of one question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivbridge.blocks.correct import corrected, stage_residuals
from ivbridge.blocks.factor import Factor, factored
from ivbridge.blocks.regression import Layout, Regression, two_stage
from ivbridge.blocks.rows import Rows
from ivbridge.blocks.scores import Scored, Scores, ScoreSums
from ivbridge.records import FloatArray
from ivbridge.vcov import HC1, Classical, Clustered, Vcov

__all__ = ["Solved", "solved"]


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """Coefficients and covariance of the columns as they are, not shifted.

    Attributes
    ----------
    coef, cov : (k,), (k, k) arrays
    rss : float
    n : int
    model : Regression
    factor : Factor
    """

    coef: FloatArray
    cov: FloatArray
    rss: float
    n: int
    model: Regression
    factor: Factor

    @property
    def df_resid(self) -> int:
        """n − k."""
        return self.n - len(self.coef)


def solved(rows: Rows, layout: Layout, vcov: Vcov, groups: tuple[int, ...] = ()) -> Solved:
    """Two-stage least squares with a corrected step, and its covariance."""
    factor = factored(rows, constant=layout.constant)
    model = two_stage(factor, layout)
    stages = stage_residuals(layout, model)
    part = Scores(factor.shift, rows.width, (Scored(model.basis, model.left),), groups, stages)
    sums = rows.reduce(part).each[0]
    model = corrected(layout, model, sums)
    side = _unshifted(factor.shift, layout, len(model.coef))
    turned = side @ model.root_inverse
    coef = side @ model.coef
    if layout.constant and factor.shift is not None:
        coef[layout.x.index(0)] += factor.shift[-1]
    cov = turned @ _middle(sums, vcov, factor.n, len(coef)) @ turned.T
    return Solved(coef, cov, sums.rss, factor.n, model, factor)


def _unshifted(shift: FloatArray | None, layout: Layout, k: int) -> FloatArray:
    """J with β = Jβ̃ + the dependent variable's shift in the constant, for coefficients β̃ of shifted columns, (k, k)."""
    side = np.eye(k)
    if shift is not None:
        row = layout.x.index(0)
        for j, place in enumerate(layout.x):
            if place:
                side[row, j] = -shift[place - 1]
    return side


def _middle(sums: ScoreSums, vcov: Vcov, n: int, k: int) -> FloatArray:
    """What stands between R⁻¹ and its transpose."""
    if isinstance(vcov, Classical):
        return sums.rss / (n - k) * np.eye(k)
    if isinstance(vcov, Clustered):
        by = sums.clusters[0]
        count = by.shape[1]
        factor = count / (count - 1) if vcov.cadjust else 1.0
        return factor * by @ by.T * ((n - 1) / (n - k) if vcov.type == "HC1" else 1.0)
    return sums.meat * (n / (n - k) if isinstance(vcov, HC1) else 1.0)
