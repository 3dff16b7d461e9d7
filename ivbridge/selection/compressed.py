"""Paths of many rows from cross-products: the solver sees p + 1 rows instead of n.

With fewer than 500 columns glmnet's gaussian solver uses the data only through means and cross-products ("covariance
updates"). So a small matrix with the same cross-products has the same path. One pass over the rows, in blocks, adds up
the cross-products of each fold; those of a training part are the sum over the other folds (a sum, not a difference
from the total, which would cancel). The Cholesky factor of a training part's matrix is the small matrix.

Held-out losses are quadratic forms in the fold's cross-products. A bound on their rounding is checked, and where it is
not small enough the fold's rows are predicted one by one.

Where a matrix is nearly singular (duplicates, a column that the others add up to, a perfect fit) the rows themselves
are given to the solver: which of two equal columns enters is decided by the last bits of sums over rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg, sparse

from ivbridge.records import FloatArray
from ivbridge.selection import cv
from ivbridge.selection.design import LassoDesign, Matrix
from ivbridge.selection.records import LassoPath

__all__ = ["Compressed", "FoldProducts", "fold_products", "worthwhile"]

#: glmnet switches from covariance updates to residual updates at this number of columns.
COVARIANCE_COLUMNS = 500
#: Below so many numbers in the matrix nothing is gained, and giving the solver the rows repeats R to the bit.
WORTHWHILE_CELLS = 500_000
#: Bytes of one block of rows as float64.
BLOCK_BYTES = 32_000_000
#: Smallest squared pivot of a correlation matrix: the share of a column that the ones before it leave unexplained.
SMALLEST_PIVOT = 1e-10
#: Largest squared distance of a part's mean from the shift, over its variance: digits lost in centring. Only columns
#: whose variance comes from a few rows of another fold are beyond it.
LARGEST_LOSS = 100.0
#: Standard deviation over mean below which a column may be constant and needs to be looked at.
CONSTANT = 1e-10
#: Rounding of a quadratic form, as a share of the sum of its terms' magnitudes. Errors of the blocked sums behind
#: a cross-product were at most 4 units in the last place for 1,000,000 rows; this is 32 units.
FORM_ROUNDING = 32 * np.finfo(float).eps
#: Largest relative error of a held-out loss that is accepted from a quadratic form.
LOSS_ERROR = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class FoldProducts:
    """Weighted cross-products of the columns (x, y, 1), fold by fold.

    Attributes
    ----------
    shift : (p + 1,) array
        Subtracted from x and y before; their means, so that centring later does not cancel.
    products : (k, p + 2, p + 2) array
    """

    shift: FloatArray
    products: FloatArray

    def without(self, fold: int | None) -> FloatArray:
        """(p + 2, p + 2) cross-products of all folds but one (1 … k)."""
        if fold is None:
            return np.asarray(self.products.sum(axis=0))
        return np.asarray(np.delete(self.products, fold - 1, axis=0).sum(axis=0))


def worthwhile(design: LassoDesign) -> bool:
    """Whether cross-products are the same problem as the rows, and less work."""
    folds = int(design.foldid.max())
    return (
        design.spec.family == "gaussian"
        and design.p < COVARIANCE_COLUMNS
        and design.n * design.p >= WORTHWHILE_CELLS
        and design.n >= max(10 * design.p, folds * (design.p + 2))
    )


def fold_products(design: LassoDesign) -> FoldProducts:
    """One pass over the rows.

    Parameters
    ----------
    design : LassoDesign
        The matrix may be int8, float64 or sparse; only blocks of rows become float64.
    """
    n, p = design.n, design.p
    x = design.x.tocsr() if sparse.issparse(design.x) else design.x
    shift = np.append(_column_means(x), design.y.mean())
    root = None if design.weights is None else np.sqrt(design.weights)
    products = np.zeros((int(design.foldid.max()), p + 2, p + 2))
    size = max(1, BLOCK_BYTES // (8 * (p + 2)))
    for start in range(0, n, size):
        rows = slice(start, min(start + size, n))
        fold = design.foldid[rows]
        order = np.argsort(fold, kind="stable")
        block = np.empty((len(order), p + 2))
        block[:, :p] = _block(x, rows)[order]
        block[:, p] = design.y[rows][order]
        block[:, : p + 1] -= shift
        block[:, p + 1] = 1.0
        if root is not None:
            block *= root[rows][order, None]
        present, first = np.unique(fold[order], return_index=True)
        for at, part in zip(present, np.split(block, first[1:]), strict=True):
            products[at - 1] += part.T @ part
    return FoldProducts(shift, products)


def _column_means(x: Matrix) -> FloatArray:
    total = x.sum(axis=0) if sparse.issparse(x) else np.add.reduce(x, axis=0, dtype=np.float64)
    return np.asarray(np.asarray(total, dtype=np.float64).ravel() / x.shape[0])


def _block(x: Matrix, rows: slice) -> np.ndarray:
    return np.asarray(x[rows].toarray() if sparse.issparse(x) else x[rows])


class Compressed:
    """A gaussian question whose solver is given p + 1 rows.

    Parameters
    ----------
    design : LassoDesign
    solve : Solver
        With p + 1 rows for p columns it takes the same smallest λ as with more rows; fewer rows than columns have
        singular cross-products.
    rows : Rows
        Where cross-products do not suffice.
    """

    def __init__(self, design: LassoDesign, solve: cv.Solver, rows: cv.Rows) -> None:
        self.design, self.solve, self.rows = design, solve, rows
        self.products = fold_products(design)

    def fit(self, fold: int | None, lambdas: FloatArray | None) -> LassoPath:
        """Solutions without the rows of ``fold``, or on all rows."""
        small = self._small(fold)
        if small is None:
            return self.rows.fit(fold, lambdas)
        x, y, scale, means = small
        spec, p = self.design.spec, self.design.p
        alone = replace(spec, standardize=False, intercept=False)
        found = self.solve(cv.Problem(x, y, None, self.design.penalty, lambdas, alone))
        coefs = found.coefs / scale
        intercepts = means[p] - coefs @ means[:p] if spec.intercept else np.zeros(len(coefs))
        return LassoPath(found.lambdas, intercepts, coefs, found.dev_ratio)

    def mean_losses(self, fold: int, path: LassoPath, measure: str) -> FloatArray:
        """(L,) weighted mean losses of a fold's rows under a path."""
        products, shift, p = self.products.products[fold - 1], self.products.shift, self.design.p
        if measure == "mae" or not products[-1, -1] > 0:
            return self.rows.mean_losses(fold, path, measure)
        moved = path.intercepts + path.coefs @ shift[:p] - shift[p]
        residual = np.column_stack([-path.coefs, np.ones(len(moved)), -moved])
        sums = np.einsum("lj,lj->l", residual @ products, residual)
        terms = np.einsum("lj,lj->l", np.abs(residual) @ np.abs(products), np.abs(residual))
        if not (FORM_ROUNDING * terms <= LOSS_ERROR * sums).all():
            return self.rows.mean_losses(fold, path, measure)
        return np.asarray(sums / products[-1, -1])

    def each_loss(self, fold: int, path: LassoPath, measure: str) -> FloatArray:
        """(m, L) losses of a fold's rows."""
        return self.rows.each_loss(fold, path, measure)

    def _small(self, fold: int | None) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray] | None:
        """Small x and y with the cross-products of a training part, scales of x, means; None if nearly singular."""
        spec, p = self.design.spec, self.design.p
        total = self.products.without(fold)
        weight = total[-1, -1]
        if not weight > 0:
            return None
        means = total[:-1, -1] / weight
        centred = total[:-1, :-1] / weight - np.outer(means, means)
        spread, lost = np.diag(centred), means**2
        means = means + self.products.shift
        constant = (spread <= lost / LARGEST_LOSS) | (spread <= (CONSTANT * means) ** 2)
        if constant[p] or not all(self._is_constant(j, fold) for j in np.flatnonzero(constant).tolist()):
            return None
        used = np.append(np.flatnonzero(~constant[:p]), p)
        matrix = centred if spec.intercept else centred + np.outer(means, means)
        size = np.sqrt(np.diag(matrix)[used])
        try:
            root = linalg.cholesky((matrix[np.ix_(used, used)] / size).T / size, check_finite=False)
        except linalg.LinAlgError:
            return None
        if np.diag(root).min() ** 2 < SMALLEST_PIVOT:
            return None
        scale = np.sqrt(np.where(constant, 1.0, spread))[:p] if spec.standardize else np.ones(p)
        small = np.zeros((p + 1, p), order="F")
        rows = len(used)
        small[:rows, used[:-1]] = root[:, :-1] * (size[:-1] / scale[used[:-1]]) * np.sqrt(p + 1)
        y = np.zeros(p + 1)
        y[:rows] = root[:, -1] * (size[-1] * np.sqrt(p + 1))
        return small, y, scale, means

    def _is_constant(self, column: int, fold: int | None) -> bool:
        """Whether a candidate has one value throughout a training part; glmnet leaves such columns out."""
        x = self.design.x
        values = x[:, [column]].toarray().ravel() if sparse.issparse(x) else x[:, column]
        inside = values if fold is None else values[self.design.foldid != fold]
        return bool((inside == inside[0]).all())
