"""Regressions as small algebra on the triangular factor of all columns.

A column that is a combination Wc of the columns of W has the coordinates Rc in the basis Q; lengths, angles and
projections of such columns are those of their coordinates. A model is therefore a QR decomposition of a few m-vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivbridge.blocks.factor import Factor, inverted
from ivbridge.records import FloatArray

__all__ = ["Layout", "Regression", "least_squares", "two_stage"]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column of W is what: places of X and Z in R's order of names, the dependent variable last.

    Attributes
    ----------
    constant : bool
    x_names, z_names : tuple of str, lengths k and l
    x, z : tuple of int
        Their places in W.
    y : int
    absorbed : int, default 0
        Coefficients of absorbed fixed effects, which count in n − k.
    nested : int, default 0
        Of these, those nested in clusters, which do not count in the factor (n − 1)/(n − k) of clusters.
    """

    constant: bool
    x_names: tuple[str, ...]
    z_names: tuple[str, ...]
    x: tuple[int, ...]
    z: tuple[int, ...]
    y: int
    absorbed: int = 0
    nested: int = 0

    @property
    def endog(self) -> tuple[int, ...]:
        """Places in W of the regressors that are not among the instruments."""
        return tuple(place for place in self.x if place not in self.z)


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """A linear regression in terms of W.

    Attributes
    ----------
    names : tuple of str, length k
    regressors, left : (m, k), (m,) arrays
        W·regressors are the columns X, W·left the residuals at `coef`.
    coef : (k,) array
        Of the shifted columns.
    basis : (m, k) array
        W·basis is an orthonormal basis Q of the projected regressors.
    inverse : (k, k) array
        Inverse of the triangular factor of (PX)'PX.
    root_inverse : (k, k) array
        The same, or for the k-class the inverse of a factor of X'(I − κM)X.
    instruments : (m, l) array or None
        W·instruments are the columns Z; None for least squares.
    """

    names: tuple[str, ...]
    regressors: FloatArray
    left: FloatArray
    coef: FloatArray
    basis: FloatArray
    inverse: FloatArray
    root_inverse: FloatArray
    instruments: FloatArray | None = None


def units(m: int, places: tuple[int, ...]) -> FloatArray:
    """Columns of the identity, (m, len(places))."""
    return np.eye(m)[:, list(places)]


def least_squares(factor: Factor, columns: FloatArray, response: FloatArray, names: tuple[str, ...]) -> Regression:
    """Least squares of the column W·response, (m,), on the columns W·columns, (m, k)."""
    q, r = np.linalg.qr(factor.r @ columns)
    inverse = inverted(r)
    coef = inverse @ (q.T @ (factor.r @ response))
    return Regression(names, columns, response - columns @ coef, coef, columns @ inverse, inverse, inverse)


def two_stage(factor: Factor, layout: Layout) -> Regression:
    """Two-stage least squares, or least squares where every regressor is its own instrument."""
    m = len(factor.r)
    x, z, y = units(m, layout.x), units(m, layout.z), units(m, (layout.y,))[:, 0]
    if not layout.endog:
        return least_squares(factor, x, y, layout.x_names)
    q, r = np.linalg.qr(factor.r @ z)
    inside, root = np.linalg.qr(q.T @ factor.r @ x)
    inverse = inverted(root)
    coef = inverse @ (inside.T @ (q.T @ factor.r @ y))
    basis = z @ (inverted(r) @ inside)
    return Regression(layout.x_names, x, y - x @ coef, coef, basis, inverse, inverse, z)
