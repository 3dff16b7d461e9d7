"""The estimators of a batch, from the factors of a chunk: the formulas of :mod:`ivbridge.kclass`, many at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivbridge.batch.factor import Factors, cholesky, inverted, products
from ivbridge.batch.records import KClass, Shape
from ivbridge.method import Fuller, Method
from ivbridge.records import FloatArray

__all__ = ["Closeness", "Model", "k_class", "two_stage"]


@dataclass(frozen=True, slots=True, eq=False)
class Closeness:
    """What sets k-class fits apart.

    Attributes
    ----------
    kappa : (c,) array
    left : (c, q, n) array
        Residuals MX of the endogenous regressors on the instruments.
    condition : (c,) array
        Growth of rounding errors in κ and in what is left of X̂'X̂ − (κ − 1)(MX)'MX.
    """

    kappa: FloatArray
    left: FloatArray
    condition: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Fits before the second pass.

    Attributes
    ----------
    coef : (c, k) array
    inverse : (c, k, k) array
        Of the triangular factor of X'(I − κM)X, κ = 1 for two-stage least squares.
    side : (c, k, k) array
        What the meat of the scores eQ is between, Q the orthonormal basis of X̂.
    closeness : Closeness or None
        None for two-stage least squares.
    """

    coef: FloatArray
    inverse: FloatArray
    side: FloatArray
    closeness: Closeness | None = None


def two_stage(factors: Factors, shape: Shape) -> Model:
    """Two-stage least squares, or least squares where every regressor is its own instrument."""
    inner = factors.turn.transpose(0, 2, 1) @ factors.moments[:, shape.p :, -1:]
    inverse = _inverse(factors, factors.root, shape)
    return Model(_coefficients(factors, inner, inverse, shape), inverse, inverse)


def k_class(w: FloatArray, factors: Factors, shape: Shape, method: Method) -> Model:
    """LIML, Fuller's estimator, or that of a given κ."""
    p, end, q = shape.p, shape.l, shape.q
    unexplained = np.zeros((len(w), q + 1, shape.m))
    unexplained[:, :, :end] = -(factors.moments.transpose(0, 2, 1) @ factors.inverse)
    unexplained[:, :, end:] = np.eye(q + 1)
    left = unexplained @ w
    square = products(left)
    relative = inverted(cholesky(square))
    if isinstance(method, KClass):
        kappa = np.full(len(w), method.kappa)
    else:
        kappa = np.ones(len(w))
        if end - p > q:  # otherwise exactly identified: LIML is two-stage least squares
            kappa += _least_singular(relative @ factors.moments[:, p:].transpose(0, 2, 1)) ** 2
        kappa -= method.a / (shape.n - end) if isinstance(method, Fuller) else 0.0
    beyond = (kappa - 1)[:, None, None]
    rooted = inverted(factors.root)
    turned = rooted.transpose(0, 2, 1) @ square[:, :q]
    lower = cholesky(np.eye(q) - beyond * (turned[:, :, :q] @ rooted))
    back = inverted(lower)
    inner = back @ (factors.turn.transpose(0, 2, 1) @ factors.moments[:, p:, -1:] - beyond * turned[:, :, q:])
    inverse = _inverse(factors, lower.transpose(0, 2, 1) @ factors.root, shape)
    side = inverse.copy()
    side[:, :, p:] = inverse[:, :, p:] @ back
    lengths = np.sqrt(np.diagonal(square, axis1=1, axis2=2))
    growth = np.linalg.norm(relative * lengths[:, None, :], axis=(1, 2)) / np.sqrt(q + 1)
    condition = growth * np.linalg.norm(back, axis=(1, 2)) ** 2 / q
    return Model(_coefficients(factors, inner, inverse, shape), inverse, side, Closeness(kappa, left[:, :q], condition))


def _coefficients(factors: Factors, inner: FloatArray, inverse: FloatArray, shape: Shape) -> FloatArray:
    """β, (c, k); `inner`, (c, q, 1), is what stands on the right for the endogenous regressors."""
    right = np.concatenate([factors.moments[:, : shape.p, -1:], inner], axis=1)
    return np.asarray((inverse @ right)[:, :, 0])


def _inverse(factors: Factors, root: FloatArray, shape: Shape) -> FloatArray:
    """Inverse of [[L₁', A₁], [0, root]], (c, k, k)."""
    p = shape.p
    inverse = np.zeros((len(root), shape.k, shape.k))
    inverse[:, :p, :p] = outer = factors.inverse[:, :p, :p].transpose(0, 2, 1)
    if shape.q:
        inverse[:, p:, p:] = inner = inverted(root)
        inverse[:, :p, p:] = -outer @ (factors.moments[:, :p, : shape.q] @ inner)
    return inverse


def _least_singular(matrices: FloatArray) -> FloatArray:
    """Smallest singular values of (c, q+1, j), NaN where a matrix is not finite."""
    good = np.isfinite(matrices).all(axis=(1, 2))
    found = np.full(len(matrices), np.nan)
    if good.any():
        found[good] = np.linalg.svd(matrices[good], compute_uv=False)[:, -1]
    return found
