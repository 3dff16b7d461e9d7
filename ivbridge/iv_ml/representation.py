"""Representations R of the covariates in which the treatment is linear, group by group.

``identity`` is X. ``polynomial`` is the paper's program: one ridge regression of T on a polynomial of X, and for each
covariate the sum of its own powers, one column each (so m_R = m_X). ``powers`` has the first three powers of each
covariate, ``splines`` a broken line of each with knots at its quartiles: each group then weighs these columns by
itself, so that nothing has to be known from the pooled regression, in which groups with opposite signs cancel.

Source: Wu et al. (2023), Learning instrumental variable from data fusion, Eqs. 2-3 and the program released with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ivbridge.errors import DesignError
from ivbridge.iv_ml.predictors.polynomial import Polynomial
from ivbridge.iv_ml.ridge import PolynomialGrid
from ivbridge.records import FloatArray

__all__ = ["FORMS", "Form", "Representation", "represented"]

Form = Literal["identity", "polynomial", "powers", "splines"]
FORMS: tuple[Form, ...] = ("identity", "polynomial", "powers", "splines")

#: x (n, m) -> R (n, m_R).
Representation = Callable[[FloatArray], FloatArray]

_POWERS = (1, 2, 3)
_KNOTS = (0.25, 0.5, 0.75)


def represented(form: Form, x: FloatArray, t: FloatArray) -> Representation:
    """What maps covariates to R; its columns have mean 0 and standard deviation 1 on these rows.

    Raises
    ------
    DesignError
        If no covariate varies.
    """
    if not (x.std(axis=0) > 0).any():
        raise DesignError("No covariate varies, so groups cannot differ in how they use them.", do="give covariates.")
    inner: Representation
    if form == "identity":
        inner = _identity
    elif form == "powers":
        inner = _powers
    elif form == "splines":
        inner = _Splines(np.quantile(x, _KNOTS, axis=0))
    else:
        inner = _OwnTerms(PolynomialGrid().fit(x, t).polynomial)
    columns = inner(x)
    spread = columns.std(axis=0)
    return _Scaled(inner, columns.mean(axis=0), np.where(spread > 0, spread, 1.0))


@dataclass(frozen=True, slots=True, eq=False)
class _Scaled:
    inner: Representation
    center: FloatArray
    spread: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        return (self.inner(x) - self.center) / self.spread


def _identity(x: FloatArray) -> FloatArray:
    return x


def _powers(x: FloatArray) -> FloatArray:
    return np.column_stack([x**power for power in _POWERS])


@dataclass(frozen=True, slots=True, eq=False)
class _Splines:
    knots: FloatArray  # (3, m)

    def __call__(self, x: FloatArray) -> FloatArray:
        return np.column_stack([x, *(np.maximum(x - knot, 0) for knot in self.knots)])


@dataclass(frozen=True, slots=True, eq=False)
class _OwnTerms:
    polynomial: Polynomial

    def __call__(self, x: FloatArray) -> FloatArray:
        """Where all other covariates are 0, a covariate's own powers are left, and a constant."""
        return np.column_stack([self.polynomial.at(x * own) for own in np.eye(x.shape[1])])
