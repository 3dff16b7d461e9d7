"""First half of a batch: cross-products of a chunk of replications, their factors, and whether these can be trusted.

The instruments' cross-products are LL', Z = QL' with orthonormal Q; then X̂ = Q·root with root = [[L₁', A₁], [0, r]]:
exogenous regressors are their own projections, and qr is a QR decomposition of what the excluded instruments add.

Rounding errors grow with κ² in a Cholesky decomposition, κ the condition number of the instruments at equal length.
Where that is too much the columns are replaced, in this replication alone: by deviations from their means, then Z by Q
(CholeskyQR2: Yamamoto, Nakatsukasa, Yanagisawa & Fukaya 2015, ETNA 44), which leaves κ, as a QR decomposition does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivbridge.batch.records import Shape
from ivbridge.records import FloatArray, IntArray

__all__ = ["LIMIT", "Factors", "Moved", "cholesky", "inverted", "products", "trusted"]

#: Largest growth of rounding errors in what is answered: 2048·2⁻⁵³ leaves twelve digits.
LIMIT = 2048.0

#: Largest growth that a Cholesky decomposition may cause, whose rounding errors are larger: up to ten times as much.
DIRECT = 256.0

#: Largest condition number that CholeskyQR2 is asked to mend.
REPLACEABLE = 1e6

#: Share of the mean in the sum of squares of y above which y is centred: a mean sixteen times the standard deviation.
FAR = 256 / 257


#: Up to so many rows products with one row after the other are quicker than a product of matrices.
FEW = 7


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Decompositions of c replications.

    Attributes
    ----------
    inverse : (c, l, l) array
        L⁻¹, lower triangular.
    moments : (c, l, q+1) array
        Q' times endogenous regressors and dependent variable.
    turn, root : (c, l−p, q), (c, q, q) arrays
        The QR decomposition of what the excluded instruments explain of the endogenous regressors.
    kappa : (c,) array
        Condition number of the instruments, in the Frobenius norm over √l; infinite where there is no factor.
    growth : (c,) array
        Condition number of the projected regressors, relative to the lengths of the regressors themselves.
    lengths : (c, m) array
        Of all columns.
    """

    inverse: FloatArray
    moments: FloatArray
    turn: FloatArray
    root: FloatArray
    kappa: FloatArray
    growth: FloatArray
    lengths: FloatArray


@dataclass(slots=True, eq=False)
class Moved:
    """How the coefficients of replaced columns give those of the given ones: β = side·β̃, and the mean of y."""

    side: FloatArray
    mean: FloatArray


def trusted(w: FloatArray, shape: Shape) -> tuple[Factors, Moved | None, FloatArray]:
    """Factor a chunk, replacing columns where digits need it; the chunk is changed in place there.

    Parameters
    ----------
    w : (c, m, n) array
    shape : Shape

    Returns
    -------
    Factors
    Moved or None
        None where nothing was replaced.
    (c,) array
        Growth of rounding errors; above `LIMIT` the replication is not to be answered from these factors.
    """
    gram = products(w)
    factors = factored(gram, shape)
    condition = factors.kappa**2 * factors.growth
    moved = None
    far = gram[:, 0, -1] ** 2 > FAR * gram[:, 0, 0] * gram[:, -1, -1]
    if shape.constant and len(hard := np.flatnonzero(~(condition <= DIRECT) | far)):
        moved = _nothing_moved(len(w), shape)
        _centre(w, hard, moved, shape)
        gram[hard] = products(w[hard])
        factors = factored(gram, shape)
        condition = factors.kappa**2 * factors.growth
    if len(hard := np.flatnonzero(~(condition <= DIRECT) & (factors.kappa <= REPLACEABLE))):
        moved = moved or _nothing_moved(len(w), shape)
        _replace(w, hard, factors.inverse[hard], moved, shape)
        gram[hard] = products(w[hard])
        kappa, factors = factors.kappa, factored(gram, shape)
        condition[hard] = np.where(factors.kappa < 2, kappa * factors.growth, np.inf)[hard]
    return factors, moved, condition


def factored(gram: FloatArray, shape: Shape) -> Factors:
    """Decompositions of cross-products (c, m, m)."""
    p, end, q = shape.p, shape.l, shape.q
    inverse = inverted(cholesky(gram[:, :end, :end]))
    moments = inverse @ gram[:, :end, end:]
    explained = moments[:, p:, :q]
    if q == 1:
        root = np.sqrt(np.einsum("cjq,cjq->cq", explained, explained))[:, :, None]
        turn = explained / root
    else:
        turn, root = np.linalg.qr(explained)
    lengths = np.sqrt(np.diagonal(gram, axis1=1, axis2=2))
    kappa = np.linalg.norm(inverse * lengths[:, None, :end], axis=(1, 2)) / np.sqrt(end)
    growth = np.ones(len(gram))
    if q:  # a small root beside the lengths of the regressors: instruments that explain little of them
        growth = np.linalg.norm(inverted(root) * lengths[:, end:-1, None], axis=(1, 2)) / np.sqrt(q)
    return Factors(inverse, moments, turn, root, kappa, growth, lengths)


def inverted(triangle: FloatArray) -> FloatArray:
    """Inverses of triangular (c, j, j); infinite where there is none."""
    if triangle.shape[1] == 1:
        return np.asarray(1 / triangle)
    smallest = np.abs(np.diagonal(triangle, axis1=1, axis2=2)).min(axis=1, initial=np.inf)
    if (smallest > 0).all():
        return np.asarray(np.linalg.inv(triangle))
    regular = (smallest > 0)[:, None, None]
    return np.asarray(np.where(regular, np.linalg.inv(np.where(regular, triangle, np.eye(triangle.shape[1]))), np.inf))


def cholesky(gram: FloatArray) -> FloatArray:
    """Lower factors of (c, l, l); NaN where a matrix has none."""
    try:
        return np.asarray(np.linalg.cholesky(gram))
    except np.linalg.LinAlgError:
        lower = np.full(gram.shape, np.nan)
        for one, into in zip(gram, lower, strict=True):
            try:
                into[:] = np.linalg.cholesky(one)
            except np.linalg.LinAlgError:
                continue
        return lower


def products(rows: FloatArray) -> FloatArray:
    """Products of all pairs of rows, (c, m, m), of (c, m, n)."""
    m = rows.shape[1]
    if m > FEW:
        return np.asarray(rows @ rows.transpose(0, 2, 1))
    found = np.empty((len(rows), m, m))
    for j in range(m):
        found[:, j:, j] = found[:, j, j:] = (rows[:, j:] @ rows[:, j, :, None])[:, :, 0]
    return found


def _nothing_moved(count: int, shape: Shape) -> Moved:
    side = np.zeros((count, shape.k, shape.k))
    side[:] = np.eye(shape.k)
    return Moved(side, np.zeros(count))


def _centre(w: FloatArray, hard: IntArray, moved: Moved, shape: Shape) -> None:
    """Take the means off the columns of some replications."""
    columns = w[hard, 1:]
    mean = columns.mean(axis=2)
    w[hard, 1:] = columns - mean[:, :, None]
    moved.side[hard, 0, 1 : shape.p] = -mean[:, : shape.p - 1]
    moved.side[hard, 0, shape.p :] = -mean[:, shape.l - 1 : -1]
    moved.mean[hard] = mean[:, -1]


def _replace(w: FloatArray, hard: IntArray, inverse: FloatArray, moved: Moved, shape: Shape) -> None:
    """Put Q into the place of the instruments of some replications."""
    w[hard, : shape.l] = inverse @ w[hard, : shape.l]
    p = shape.p
    moved.side[hard, :, :p] = moved.side[hard, :, :p] @ inverse[:, :p, :p].transpose(0, 2, 1)
