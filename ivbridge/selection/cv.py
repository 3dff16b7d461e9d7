"""Cross-validation as R's ``cv.glmnet`` does it, around any solver of LASSO paths.

What is easily done otherwise, and gives other numbers: every fold is fitted on its **own** sequence of λ, whose length
and smallest value follow from the rows of that fold, and its coefficients are then interpolated linearly at the λ of
the whole path; means over folds are weighted by the folds' weights; with fewer than three rows a fold, losses are
averaged over rows instead of folds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy import sparse

from ivbridge.errors import DataError, UnsupportedError
from ivbridge.frame import counted
from ivbridge.records import FloatArray
from ivbridge.selection import losses
from ivbridge.selection.design import LassoDesign, Matrix
from ivbridge.selection.records import LassoPath
from ivbridge.selection.spec import LassoSpec

__all__ = [
    "MAX_PASSES", "NLAMBDA", "CrossValidated", "Problem", "Rows", "Solver", "Source", "cross_validate",
    "interpolate", "smallest_ratio", "take_rows",
]  # fmt: skip

#: Passes of coordinate descent over a whole path: glmnet's default at its default threshold, more below that.
MAX_PASSES = {"default": 100_000, "tight": 100_000_000}
#: Length of a path, as ``nlambda``.
NLAMBDA = 100
#: Bytes that predictions of one block of rows may take.
BLOCK_BYTES = 64_000_000

UNGROUPED = "Option grouped=FALSE enforced in cv.glmnet, since < 3 observations per fold"
FEW_FOR_AUC = (
    "Too few (< 10) observations per fold for type.measure='auc' in cv.lognet; changed to type.measure='deviance'. "
    "Alternatively, use smaller value for nfolds"
)
RARE = "one multinomial or binomial class has fewer than 8  observations; dangerous ground"

#: What least squares leaves of the length of a column that it reproduces is far below, what it leaves of others above.
NOTHING = 1e-10


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """One path to solve.

    Attributes
    ----------
    x : (m, p) float64 array in column order, or csc_array of float64
    y : (m,) array
    weights : (m,) array or None
    penalty : (p,) array
    lambdas : (L,) array or None
        Falling; None for glmnet's own sequence.
    spec : LassoSpec
        For alpha, standardize, intercept, family and threshold.
    asked : int, optional
        Rows before those of weight 0 were dropped; default all rows.
    """

    x: Matrix
    y: FloatArray
    weights: FloatArray | None
    penalty: FloatArray
    lambdas: FloatArray | None
    spec: LassoSpec
    asked: int | None = None

    @property
    def smallest(self) -> float:
        """Smallest λ over the largest, R's ``lambda.min.ratio``."""
        return smallest_ratio(self.asked or len(self.y), self.x.shape[1])

    @property
    def max_passes(self) -> int:
        """Limit of passes over the columns, R's ``maxit``."""
        return MAX_PASSES["default" if self.spec.threshold >= 1e-7 else "tight"]


class Solver(Protocol):
    """Solves one path."""

    def __call__(self, problem: Problem) -> LassoPath:
        """The solutions, from the largest λ to the smallest."""
        ...


class Source(Protocol):
    """The data of one question, whole and by fold."""

    def fit(self, fold: int | None, lambdas: FloatArray | None) -> LassoPath:
        """Solutions without the rows of ``fold`` (1 … k), or on all rows."""
        ...

    def mean_losses(self, fold: int, path: LassoPath, measure: str) -> FloatArray:
        """(L,) weighted mean losses of a fold's rows under a path."""
        ...

    def each_loss(self, fold: int, path: LassoPath, measure: str) -> FloatArray:
        """(m, L) losses of a fold's rows."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class CrossValidated:
    """What ``cv.glmnet`` finds; :class:`~ivbridge.selection.records.LassoFit` explains the fields."""

    path: LassoPath
    curve: losses.Curve
    index_min: int
    index_1se: int
    warnings: tuple[str, ...]


def smallest_ratio(rows: int, columns: int) -> float:
    """Smallest λ over the largest: R's ``lambda.min.ratio``."""
    return 1e-2 if rows < columns else 1e-4


def interpolate(path: LassoPath, lambdas: FloatArray) -> LassoPath:
    """A path at other penalties, linearly between its own and constant beyond: R's ``predict(…, s = )``."""
    left, right, share = losses.interpolated(path.lambdas, lambdas)

    def at(values: FloatArray) -> FloatArray:
        part = share.reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray(values[left] * part + values[right] * (1 - part))

    return LassoPath(lambdas, at(path.intercepts), at(path.coefs), at(path.dev_ratio))


def take_rows(x: Matrix, chosen: np.ndarray) -> Matrix:
    """Rows as float64: in column order if dense, as csc_array if sparse. One copy, none of the whole matrix."""
    if sparse.issparse(x):
        return sparse.csc_array(x.tocsr()[chosen], dtype=np.float64)
    taken = np.empty((len(chosen), x.shape[1]), order="F")
    if x.dtype == taken.dtype and x.flags.f_contiguous:
        np.take(x.T, chosen, axis=1, out=taken.T, mode="clip")  # other modes copy through a buffer
        return taken
    for j in range(x.shape[1]):
        taken[:, j] = x[chosen, j]
    return taken


class Rows:
    """A question whose solver is given the rows themselves.

    Parameters
    ----------
    design : LassoDesign
    solve : Solver
    """

    def __init__(self, design: LassoDesign, solve: Solver) -> None:
        self.design, self.solve = design, solve
        # rows of a csc_array cannot be taken without a search through every column
        self._x = design.x.tocsr() if sparse.issparse(design.x) else design.x

    def fit(self, fold: int | None, lambdas: FloatArray | None) -> LassoPath:
        """Solutions without the rows of ``fold``, or on all rows."""
        design = self.design
        inside = np.ones(design.n, dtype=bool) if fold is None else design.foldid != fold
        asked = int(np.count_nonzero(inside))
        if design.spec.family == "binomial":  # glmnet drops such rows, but only for this family
            inside &= self._weights > 0
        chosen = np.flatnonzero(inside)
        whole = len(chosen) == design.n and not sparse.issparse(design.x)
        x = design.dense if whole else take_rows(self._x, chosen)
        weights = None if design.weights is None else design.weights[chosen]
        return self.solve(Problem(x, design.y[chosen], weights, design.penalty, lambdas, design.spec, asked))

    def mean_losses(self, fold: int, path: LassoPath, measure: str) -> FloatArray:
        """(L,) weighted mean losses of a fold's rows under a path."""
        if measure == "auc":
            rows, weights, predictor = next(self._blocks(fold, path, whole=True))
            columns = [losses.auc(self.design.y[rows], column, weights) for column in predictor.T]
            return np.array(columns)
        sums, total = np.zeros(len(path.lambdas)), 0.0
        for rows, weights, predictor in self._blocks(fold, path):
            sums += weights @ losses.losses(measure, self.design.spec.family, self.design.y[rows], predictor)
            total += float(weights.sum())
        return np.asarray(sums / total) if total > 0 else np.full(len(sums), np.nan)

    def each_loss(self, fold: int, path: LassoPath, measure: str) -> FloatArray:
        """(m, L) losses of a fold's rows."""
        rows, _, predictor = next(self._blocks(fold, path, whole=True))
        return losses.losses(measure, self.design.spec.family, self.design.y[rows], predictor)

    @property
    def _weights(self) -> FloatArray:
        return np.ones(self.design.n) if self.design.weights is None else self.design.weights

    def _blocks(
        self, fold: int, path: LassoPath, *, whole: bool = False
    ) -> Iterator[tuple[np.ndarray, FloatArray, FloatArray]]:
        held = np.flatnonzero(self.design.foldid == fold)
        size = len(held) if whole else max(1, BLOCK_BYTES // (8 * max(len(path.lambdas), self.design.p)))
        for start in range(0, len(held), size):
            rows = held[start : start + size]
            x = self._x[rows]
            ties = self.design.spec.family == "binomial"  # ranks and the cut at one half see the last bit
            yield rows, self._weights[rows], losses.linear_predictor(x, path.intercepts, path.coefs, ties=ties)


def cross_validate(design: LassoDesign, source: Source) -> CrossValidated:
    """The mirror of ``cv.glmnet``.

    Parameters
    ----------
    design : LassoDesign
    source : Source
        Solves paths and computes losses.

    Raises
    ------
    UnsupportedError
        If there are fewer than two candidates, or no penalty.
    DataError
        If a training part cannot be fitted.
    """
    check_design(design)
    spec = design.spec
    lambdas = None if spec.lambdas is None else np.array(spec.lambdas)
    folds = int(design.foldid.max())
    warned = _class_warnings(design, folds)
    measure = spec.measure
    if measure == "auc" and design.n / folds < 10:
        warned.append(FEW_FOR_AUC)
        measure = "deviance"
    grouped = design.n / folds >= 3
    if not grouped:
        warned.append(UNGROUPED)
    path = source.fit(None, lambdas)
    paths = (interpolate(source.fit(fold, lambdas), path.lambdas) for fold in range(1, folds + 1))
    weights: FloatArray = np.ones(design.n) if design.weights is None else design.weights
    if grouped:
        values = np.array([source.mean_losses(fold, one, measure) for fold, one in enumerate(paths, 1)])
        weights = np.asarray(np.bincount(design.foldid, weights)[1:], dtype=np.float64)
    else:
        values = np.empty((design.n, len(path.lambdas)))
        for fold, one in enumerate(paths, 1):
            values[design.foldid == fold] = source.each_loss(fold, one, measure)
    found = losses.curve(values, weights)
    at_min, at_1se = losses.choose(path.lambdas, found, largest=measure == "auc")
    return CrossValidated(path, found, at_min, at_1se, tuple(warned))


def check_design(design: LassoDesign) -> None:
    """What glmnet refuses.

    Raises
    ------
    UnsupportedError
        If there are fewer than two candidates, or none has a penalty.
    DataError
        If no candidate with a penalty varies, if those without one reproduce the dependent variable, or if it does not
        vary where a path is fitted.
    """
    if design.p < 2:
        raise UnsupportedError(f"{counted(design.p, 'candidate')} with a value.", available="2 or more, as in glmnet")
    if not design.penalty.max() > 0:
        raise UnsupportedError("All penalty factors are 0: nothing is selected.", do="fit by least squares.")
    if not np.ptp(design.y) > 0:
        raise DataError(f"The dependent variable {design.spec.dependent!r} does not vary.")
    if not any(np.ptp(_column(design.x, j)) > 0 for j in np.flatnonzero(design.penalty).tolist()):
        raise DataError("No candidate with a penalty varies over the rows that are fitted.")
    if design.spec.family == "gaussian":
        _check_left(design)
        low, high = _extremes_without(design)
        for fold in np.flatnonzero(~(high > low)) + 1:
            name = design.spec.dependent
            raise DataError(
                f"The dependent variable {name!r} does not vary outside fold {fold}.", do="draw other folds."
            )


def _column(x: Matrix, j: int) -> FloatArray:
    return np.asarray(x[:, [j]].toarray()[:, 0] if sparse.issparse(x) else x[:, j], dtype=np.float64)


def _check_left(design: LassoDesign) -> None:
    """Refuse to look for instruments in what columns without a penalty leave, where they leave nothing."""
    root = np.ones(design.n) if design.weights is None else np.sqrt(design.weights)
    known = [np.ones(design.n)] if design.spec.intercept else []
    known += [_column(design.x, j) for j in np.flatnonzero(design.penalty == 0).tolist()]
    if len(known) <= design.spec.intercept:
        return
    matrix, y = np.column_stack(known) * root[:, None], design.y * root
    left = y - matrix @ np.linalg.lstsq(matrix, y)[0]
    if np.linalg.norm(left) <= NOTHING * np.linalg.norm(y):
        raise DataError(f"The controls explain {design.spec.dependent!r} without error; nothing is left to select for.")


def _extremes_without(design: LassoDesign) -> tuple[FloatArray, FloatArray]:
    """(k,) smallest and largest y outside each fold."""
    folds = int(design.foldid.max())
    low, high = np.full(folds, np.inf), np.full(folds, -np.inf)
    np.minimum.at(low, design.foldid - 1, design.y)
    np.maximum.at(high, design.foldid - 1, design.y)
    others = [np.arange(folds) != fold for fold in range(folds)]
    return np.array([low[rest].min() for rest in others]), np.array([high[rest].max() for rest in others])


def _class_warnings(design: LassoDesign, folds: int) -> list[str]:
    """R's warnings about rare classes, one for each fit; its refusal of a class with one row."""
    if design.spec.family == "gaussian":
        return []
    counts = np.array([np.bincount(design.foldid, design.y == value, folds + 1)[1:] for value in (0, 1)])
    total = counts.sum(axis=1)
    smallest = np.array([total.min(), *(total[:, None] - counts).min(axis=0)])
    if smallest.min() <= 1:
        found = f"A class of {design.spec.dependent!r} has one row or none in a training part"
        raise DataError(f"{found}, which glmnet does not allow.", do="ask for other folds.")
    return [RARE] * int((smallest < 8).sum())
