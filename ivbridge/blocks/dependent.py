"""A solved question with its rows in memory, for covariances that are no sums over rows.

They look at rows in order (HAC, panels), draw rows (bootstrap), or weight rows by the instruments' leverages (Bekker).
"""

from __future__ import annotations

import numpy as np

from ivbridge.blocks.correct import corrected
from ivbridge.blocks.regression import Regression, least_squares, units, unshifted
from ivbridge.blocks.residuals import Residuals
from ivbridge.blocks.rows import Rows
from ivbridge.blocks.scores import Scored, Scores
from ivbridge.blocks.solve import Solved
from ivbridge.linear import Basis, KClass, Linear, Stages
from ivbridge.records import FloatArray, Seen

__all__ = ["materialised"]


def materialised(rows: Rows, solved: Solved, seen: Seen) -> Linear:
    """The same fit with orthonormal columns and residuals of every row, at the cost of (n, k + l) numbers.

    Parameters
    ----------
    rows : Rows
        In memory.
    solved : Solved
    seen : Seen
        The matrices that the rows are made of.
    """
    model, layout, shift = solved.model, solved.layout, solved.factor.shift
    stages = _first_stages(rows, solved)
    z = units(len(solved.factor.r), layout.z)
    on_z = least_squares(solved.factor, z, z[:, 0], layout.z_names)
    lefts = np.column_stack([model.left, *(one.left for one in stages)])
    found = rows.reduce(Residuals(shift, rows.width, np.hstack([lefts, model.basis, on_z.basis]))).joined()
    ends = np.cumsum([1, len(stages), len(layout.x)])
    residuals, first, q, q_z = np.split(found.T, ends, axis=1)
    if seen.weights is not None:
        root = np.sqrt(seen.weights)[:, None]
        q, q_z = q * root, q_z * root
    side, side_z = unshifted(shift, layout.x), unshifted(shift, layout.z)
    inverse = side @ model.inverse
    projected = seen.x.copy(order="F")
    endog = tuple(layout.x.index(place) for place in layout.endog)
    projected[:, endog] -= first
    coef = np.zeros((len(layout.z), len(layout.x)), dtype=np.longdouble)
    for j, place in enumerate(layout.x):
        if place in layout.z:
            coef[layout.z.index(place), j] = 1
        else:
            coef[:, j] = side_z @ stages[endog.index(j)].coef
            if shift is not None:
                coef[layout.z.index(0), j] += shift[place - 1]
    inverse, inverse_z = inverse.astype(float), (side_z @ on_z.inverse).astype(float)
    basis = Basis(projected, seen.weights, q, _inverse(inverse), inverse)
    instruments = Basis(seen.z, seen.weights, q_z, _inverse(inverse_z), inverse_z)
    k_class = None
    if model.kappa is not None and model.liml is not None:
        k_class = KClass(model.kappa, model.liml, _inverse((side @ model.root_inverse).astype(float)))
    return Linear(
        layout.x_names, seen.y, seen.x, solved.coef, basis, instruments, k_class,
        stages=Stages(endog, coef, first), left=residuals[:, 0],
    )  # fmt: skip


def _inverse(matrix: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.inv(matrix))


def _first_stages(rows: Rows, solved: Solved) -> list[Regression]:
    """Corrected by one more pass."""
    layout, factor = solved.layout, solved.factor
    m = len(factor.r)
    z = units(m, layout.z)
    models = [least_squares(factor, z, units(m, (place,))[:, 0], layout.z_names) for place in layout.endog]
    if not models:
        return []
    scored = tuple(Scored(one.basis, one.left) for one in models)
    sums = rows.reduce(Scores(factor.shift, rows.width, scored, meat=False)).each
    return [corrected(layout, one, its) for one, its in zip(models, sums, strict=True)]
