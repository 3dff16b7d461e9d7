"""A corrected step: the second pass tells what the factor's rounding left of the normal equations, and it is taken off.

Corrected seminormal equations (Björck 1987, Linear Algebra and its Applications 88/89), for the coefficients and the
first stages at once.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ivbridge.blocks.regression import Layout, Regression
from ivbridge.blocks.scores import ScoreSums
from ivbridge.records import FloatArray

__all__ = ["corrected", "stage_residuals"]


def stage_residuals(layout: Layout, model: Regression) -> FloatArray | None:
    """Coordinates V, (m, q), of the first-stage residuals; None where they do not matter, being exactly identified."""
    if model.instruments is None or len(layout.z) == len(layout.x):
        return None
    places = [layout.x.index(place) for place in layout.endog]
    projected = model.basis @ np.linalg.inv(model.inverse)  # PX = Q·root
    return np.asarray((model.regressors - projected)[:, places])


def corrected(layout: Layout, model: Regression, sums: ScoreSums) -> Regression:
    """The model after one step.

    With V and e the computed residuals, N_v = Q_z'V and N_e = Q_z'e, the exact projection of X is PX + Q_z·N_v, and its
    product with e is (PX)'e + N_v'N_e.
    """
    step = model.root_inverse @ sums.moments
    return dataclasses.replace(model, coef=model.coef + step, left=model.left - model.regressors @ step)
