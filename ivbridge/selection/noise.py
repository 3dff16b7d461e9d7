"""How large a gap can rounding explain between two runs of one algorithm at one threshold? Measured, not assumed.

The fit is repeated on data that are changed as little as summation changes them. Coordinate descent is a chain of inner
products, and n terms added in floating point carry an error that grows like √n·u, u = 2⁻⁵³ (Higham & Mary 2019, SIAM J.
Sci. Comput. 41(5)); of terms that are equal, such as those of a dummy, the last doubling alone leaves u·m/√12
(:func:`ivbridge.linear.noisy_sums`). The solver's own sums cannot be reached, so the terms are moved instead: n
independent errors of √n times that size have such a sum. What the threshold leaves undecided is no rounding: at the
same threshold the same algorithm stops at the same step, and where it does not, one of the repetitions shows it.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import sparse

from ivbridge.linear import UNIT, most_equal
from ivbridge.records import FloatArray
from ivbridge.selection.design import LassoDesign, Matrix
from ivbridge.selection.distances import DISCRETE, compare_fits, scales_of
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.moments import Moments

__all__ = ["LAST_BITS", "REPETITIONS", "SAFETY", "allowed_gaps", "perturbed", "stored_column"]

#: Refits. Each quantity pools its gaps over the whole path, a hundred numbers or more, so two repetitions leave no
#: quantity unmoved by luck. The check so costs R's fit and four native ones.
REPETITIONS = 2
#: Multiple of the largest deviation, as in :mod:`ivbridge.rounding`.
SAFETY = 10.0
#: For the operations after the solver: unscaling coefficients, interpolating and averaging losses.
LAST_BITS = 64 * UNIT


def allowed_gaps(design: LassoDesign, engine: str, found: Moments) -> dict[str, float]:
    """The largest relative gap that rounding explains, by quantity.

    Parameters
    ----------
    design : LassoDesign
    engine : str
        The engine that repeats. It also answers the question as it stands, so that an answer under test has no part in
        its own bound.
    found : Moments

    Returns
    -------
    dict
        For λ index, selected sets and the length of the path: how far the repetitions moved them, without a safety
        factor, 0 if they did not.
    """
    random = np.random.default_rng(20261122)  # any fixed seed: the verdict must not change from run to run
    solver = lasso_engine(engine)
    base = solver.cv(design)
    scales = scales_of(base, found)
    widest: dict[str, float] = {}
    for _ in range(REPETITIONS):
        again = solver.cv(perturbed(design, random, found.spreads))
        for gap in compare_fits(base, again, scales, {}):
            widest[gap.quantity] = max(widest.get(gap.quantity, 0.0), gap.relative)
    return {quantity: size if quantity in DISCRETE else SAFETY * size + LAST_BITS for quantity, size in widest.items()}


def perturbed(design: LassoDesign, random: np.random.Generator, spreads: FloatArray) -> LassoDesign:
    """The question with every number of y and of the candidates off by what their sums are.

    Columns with the same values stay equal and constant ones constant: both engines see the same bits, so a tie between
    duplicates is no question of rounding. A binomial y stays 0 and 1.
    """
    y = design.y
    if design.spec.family == "gaussian":
        y = y * _noise(y, design.n, random)
    x: Matrix = (
        design.x.astype(np.float64) if sparse.issparse(design.x) else np.array(design.x, dtype=np.float64, order="F")
    )
    first: dict[int, int] = {}
    for j in map(int, np.flatnonzero(spreads > 0)):
        column, key = stored_column(x, j)
        if key in first:
            column[:] = stored_column(x, first[key])[0]
        else:
            first[key] = j
            column *= _noise(column, design.n, random)
    return dataclasses.replace(design, x=x, y=y)


def _noise(column: FloatArray, n: int, random: np.random.Generator) -> FloatArray:
    """Factors 1 + √terms·level, where the level is that of an inner product with this column."""
    level = max(math.sqrt(n), most_equal(column) / math.sqrt(12))
    terms = max(1, int(np.count_nonzero(column)))
    return np.asarray(1 + math.sqrt(terms) * level * UNIT * random.standard_normal(len(column)))


def stored_column(x: Matrix, j: int) -> tuple[FloatArray, int]:
    """The stored numbers of a column, not a copy, and a hash of the column."""
    if not sparse.issparse(x):
        return x[:, j], hash(x[:, j].tobytes())
    where = slice(x.indptr[j], x.indptr[j + 1])
    return x.data[where], hash((x.data[where].tobytes(), x.indices[where].tobytes()))
