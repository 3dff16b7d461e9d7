"""LASSO designs made from other designs: other folds, some rows, some columns, columns freed of controls.

Whatever loops over candidates does so in blocks, so that a matrix of 0/1 columns in int8 never becomes floating point
as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from scipy import sparse

from ivbridge.errors import DataError
from ivbridge.records import FloatArray, IntArray
from ivbridge.selection.design import LassoDesign, Matrix
from ivbridge.selection.spec import FoldColumn, Folds

__all__ = [
    "blocks",
    "dense_columns",
    "forced",
    "projector",
    "residualised",
    "scales",
    "shrinkage",
    "with_columns",
    "with_rows",
    "with_seed",
]

#: Numbers in one block: 64 MB.
BLOCK = 2**23


def dense_columns(x: Matrix, columns: Sequence[int] | np.ndarray | slice) -> FloatArray:
    """Some columns of a candidates' matrix as (n, m) float64."""
    part = x[:, columns]
    return np.asarray(part.toarray() if sparse.issparse(part) else part, dtype=np.float64)


def blocks(x: Matrix) -> Iterator[tuple[slice, FloatArray]]:
    """The columns of a matrix, some at a time, as float64 with the slice that they come from."""
    width = max(1, BLOCK // max(1, x.shape[0]))
    for start in range(0, x.shape[1], width):
        at = slice(start, min(start + width, x.shape[1]))
        yield at, dense_columns(x, at)


def scales(design: LassoDesign) -> FloatArray:
    """(p,) standard deviations of the candidates as glmnet standardises: weighted, with 1/n."""
    w = np.full(design.n, 1 / design.n) if design.weights is None else design.weights / design.weights.sum()
    found = np.empty(design.p)
    for at, block in blocks(design.x):
        found[at] = np.sqrt(w @ (block - w @ block) ** 2)
    return found


def forced(design: LassoDesign) -> np.ndarray:
    """(p,) logical: columns without a penalty."""
    return np.asarray(design.penalty == 0)


def with_seed(design: LassoDesign, seed: int) -> LassoDesign:
    """The same design with folds drawn from another seed.

    Raises
    ------
    DataError
        If the folds are given by a column.
    """
    folds = design.spec.folds
    if not isinstance(folds, Folds):
        raise DataError("Folds given by a column have no seed.")
    drawn = replace(folds, seed=seed)
    return replace(design, spec=replace(design.spec, folds=drawn), foldid=drawn.draw(design.n))


def with_rows(design: LassoDesign, rows: IntArray) -> LassoDesign:
    """Some rows of a design; random folds are drawn anew for their number, given ones are kept.

    Raises
    ------
    DataError
        If the rows lack a given fold, or the dependent variable does not vary in them.
    """
    folds = design.spec.folds
    foldid = folds.draw(len(rows)) if isinstance(folds, Folds) else design.foldid[rows]
    if isinstance(folds, FoldColumn) and len(np.unique(foldid)) < design.foldid.max():
        raise DataError(f"A part of the rows lacks a fold of {folds.column!r}.", do="use folds=Folds(k).")
    y = design.y[rows]
    if np.ptp(y) == 0:
        raise DataError(f"{design.spec.dependent!r} does not vary in {len(rows)} of the rows.")
    x = design.x[rows] if sparse.issparse(design.x) else np.asfortranarray(design.x[rows])
    weights = None if design.weights is None else design.weights[rows]
    return replace(design, y=y, x=x, weights=weights, foldid=foldid, rows=design.rows[rows])


def with_columns(design: LassoDesign, kept: np.ndarray, penalty: FloatArray | None = None) -> LassoDesign:
    """Some columns of a design (positions or a logical mask), with new penalty factors (of these columns) if given."""
    at = np.flatnonzero(kept) if kept.dtype == bool else kept
    names = tuple(design.names[j] for j in at)
    factors = design.penalty[at] if penalty is None else penalty
    spec = replace(design.spec, candidates=names, penalty_factor=tuple(map(float, factors)))
    x = design.x if len(at) == design.p else design.x[:, at]
    return replace(design, spec=spec, x=x, names=names, penalty=np.asarray(factors, dtype=np.float64))


class projector:  # noqa: N801
    """Takes an intercept and columns (n, q) out of other columns by (weighted) least squares."""

    def __init__(self, columns: FloatArray, weights: FloatArray | None = None) -> None:
        matrix = np.column_stack([np.ones(len(columns)), columns])
        self._root = None if weights is None else np.sqrt(weights)[:, None]
        scaled = matrix if self._root is None else matrix * self._root
        size = np.linalg.norm(scaled, axis=0)
        u, singular, vt = np.linalg.svd(scaled / np.where(size > 0, size, 1), full_matrices=False)
        rank = singular > 1e-11 * singular[0]  # columns that depend on others take nothing more out
        self._u = u[:, rank]
        self._matrix = matrix / np.where(size > 0, size, 1)
        self._inverse = (vt[rank] / singular[rank, None]).T

    def residuals(self, y: FloatArray) -> FloatArray:
        """y (n,) or (n, m) less its fit."""
        y = np.asarray(y, dtype=np.float64)
        flat = y.reshape(len(y), -1)
        coef = self._inverse @ (self._u.T @ (flat if self._root is None else flat * self._root))
        return np.asarray((flat - self._matrix @ coef).reshape(y.shape))


def residualised(design: LassoDesign) -> LassoDesign:
    """The design of the penalised columns, with the unpenalised ones and an intercept taken out of everything.

    Frisch and Waugh (1933); Lovell (1963). Without unpenalised columns the design itself.
    """
    fixed = forced(design)
    if not fixed.any():
        return design
    take_out = projector(dense_columns(design.x, np.flatnonzero(fixed)), design.weights)
    rest = with_columns(design, ~fixed)
    x = np.empty((design.n, rest.p), order="F")
    for at, block in blocks(rest.x):
        x[:, at] = take_out.residuals(block)
    x[:, scales(replace(rest, x=x)) <= 1e-10 * scales(rest)] = 0.0  # what rounding leaves of an exact fit
    y = take_out.residuals(design.y)
    if np.ptp(y) <= 1e-10 * np.ptp(design.y):
        raise DataError(f"The controls explain {design.spec.dependent!r} without error; nothing is left to select for.")
    return replace(rest, y=y, x=x)


def shrinkage(design: LassoDesign) -> FloatArray:
    """Standard deviations of the penalised columns without the unpenalised ones, over those with them; (m,) array."""
    fixed = forced(design)
    take_out = projector(dense_columns(design.x, np.flatnonzero(fixed)), design.weights)
    rest = with_columns(design, ~fixed)
    before, after = scales(rest), np.empty(rest.p)
    w = np.full(design.n, 1 / design.n) if design.weights is None else design.weights / design.weights.sum()
    for at, block in blocks(rest.x):
        after[at] = np.sqrt(w @ take_out.residuals(block) ** 2)
    return np.asarray(after[before > 0] / before[before > 0])
