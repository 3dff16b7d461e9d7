"""Regressions as small algebra on the triangular factor of all columns.

A column that is a combination Wc of the columns of W has the coordinates Rc in the basis Q; lengths, angles and
projections of such columns are those of their coordinates. A model is therefore a QR decomposition of a few m-vectors.
Below, "direction" is such a c: W·c is the column meant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from ivbridge.blocks.factor import Factor
from ivbridge.blocks.small import Matrix, inverted, qr
from ivbridge.records import FloatArray

__all__ = ["Layout", "Regression", "least_squares", "two_stage", "units", "unshifted"]


@dataclass(frozen=True)
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
    weighted : bool, default False
        Whether rows have weights.
    """

    constant: bool
    x_names: tuple[str, ...]
    z_names: tuple[str, ...]
    x: tuple[int, ...]
    z: tuple[int, ...]
    y: int
    absorbed: int = 0
    nested: int = 0
    weighted: bool = False

    @cached_property
    def endog(self) -> tuple[int, ...]:
        """Places in W of the regressors that are not among the instruments."""
        return tuple(place for place in self.x if place not in self.z)

    @cached_property
    def excluded(self) -> tuple[int, ...]:
        """Places in W of the instruments that are not among the regressors."""
        return tuple(place for place in self.z if place not in self.x)

    @property
    def endog_names(self) -> tuple[str, ...]:
        """Names of the regressors that are not among the instruments."""
        return tuple(name for name, place in zip(self.x_names, self.x, strict=True) if place not in self.z)


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """A linear regression in terms of W; its matrices have the precision of the factor.

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
        W·instruments are the columns Z; None for least squares. R's class is ``ivreg`` with and ``lm`` without, which
        some of its defaults look at.
    kappa, liml : float or None
        Of the k-class, and LIML's κ; None for least squares, one-stage or two-stage.
    """

    names: tuple[str, ...]
    regressors: FloatArray
    left: Matrix
    coef: Matrix
    basis: Matrix
    inverse: Matrix
    root_inverse: Matrix
    instruments: FloatArray | None = None
    kappa: float | None = None
    liml: float | None = None

    @property
    def root(self) -> Matrix:
        """Triangular factor of (PX)'PX, (k, k)."""
        return inverted(self.inverse)


@lru_cache(maxsize=32)
def units(m: int, places: tuple[int, ...]) -> FloatArray:
    """Columns of the identity, (m, len(places)), which nobody may change."""
    out = np.zeros((m, len(places)))
    out[places, range(len(places))] = 1.0
    out.flags.writeable = False
    return out


def unshifted(shift: FloatArray | None, places: tuple[int, ...]) -> FloatArray:
    """J with β = Jβ̃ + the dependent variable's shift in the constant, for coefficients β̃ of shifted columns, (k, k)."""
    side = np.eye(len(places))
    if shift is not None:
        side[places.index(0)] = [-shift[place - 1] if place else 1.0 for place in places]
    return side


def least_squares(factor: Factor, columns: Matrix, response: FloatArray, names: tuple[str, ...]) -> Regression:
    """Least squares of the column W·response, (m,), on the columns W·columns, (m, k)."""
    q, r = qr(factor.r @ columns)
    inverse = inverted(r)
    coef = inverse @ (q.T @ (factor.r @ response))
    return Regression(names, columns, response - columns @ coef, coef, columns @ inverse, inverse, inverse)


def two_stage(factor: Factor, layout: Layout) -> Regression:
    """Two-stage least squares, or least squares where every regressor is its own instrument."""
    m = len(factor.r)
    x, z, y = units(m, layout.x), units(m, layout.z), units(m, (layout.y,))[:, 0]
    if not layout.endog:
        return replace(least_squares(factor, x, y, layout.x_names), instruments=z)
    turn, on_z = _on_instruments(factor, layout)
    inside, root = qr(on_z[:, layout.x])
    inverse = inverted(root)
    coef = inverse @ (inside.T @ on_z[:, layout.y])
    basis = np.zeros((m, len(coef)), dtype=inside.dtype)
    basis[list(layout.z)] = turn @ inside
    return Regression(layout.x_names, x, y - x @ coef, coef, basis, inverse, inverse, z)


def _on_instruments(factor: Factor, layout: Layout) -> tuple[Matrix, Matrix]:
    """T (l, l), with ZT orthonormal, and the coordinates of all columns on ZT, (l, m)."""
    count = len(layout.z)
    if max(layout.z) == count - 1:  # the leading columns: their factor is that of all
        turn = inverted(factor.r[:count, :count])
        return turn[list(layout.z)], factor.r[:count]
    q, r = qr(factor.r[:, layout.z])
    return inverted(r), q.T @ factor.r
