"""LIML and Fuller from the triangular factor: κ − 1 is the square of a singular value, so that no digit of it cancels.

The same decompositions as in :mod:`ivbridge.kclass`, of coordinates instead of rows.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ivbridge.blocks.factor import Factor
from ivbridge.blocks.regression import Layout, Regression, two_stage, units
from ivbridge.blocks.small import Matrix, cholesky, inverted, least_singular, qr
from ivbridge.kclass import check_defined, check_enough_rows, undetermined
from ivbridge.method import Fuller, Method, TwoStage

__all__ = ["estimated"]


def estimated(factor: Factor, layout: Layout, method: Method) -> Regression:
    """The model that a method fits.

    Raises
    ------
    DesignError
        If κ is not defined: too few rows for the instruments, or a variable that they reproduce exactly.
    """
    model = two_stage(factor, layout)
    return model if isinstance(method, TwoStage) else _k_class(factor, layout, model, method)


def _k_class(factor: Factor, layout: Layout, model: Regression, method: Method) -> Regression:
    endog, count, n = layout.endog, len(layout.z), factor.n - layout.absorbed
    check_enough_rows(n, count, len(endog), method)
    exogenous = tuple(place for place in layout.z if place in layout.x)
    q, _ = qr(factor.r[:, (*exogenous, *layout.excluded)])
    both = factor.r[:, (layout.y, *endog)]
    explained = q.T @ both
    _, triangle = qr(both - q @ explained)
    lengths = np.sqrt(np.sum(factor.raw[:, (layout.y, *endog)].astype(float) ** 2, axis=0))
    check_defined(triangle.astype(float), lengths, ("the dependent variable", *layout.endog_names), method)
    inverse, excess = inverted(triangle), 0.0
    if len(layout.excluded) > len(endog):  # otherwise exactly identified: LIML is two-stage least squares
        excess = least_singular(explained[len(exogenous) :] @ inverse) ** 2
    kappa = 1 + excess
    if isinstance(method, Fuller):
        kappa -= method.a / (n - count)
    return _at(factor, layout, dataclasses.replace(model, kappa=kappa, liml=1 + excess), triangle, method)


def _at(factor: Factor, layout: Layout, model: Regression, triangle: Matrix, method: Method) -> Regression:
    """The fit at a given κ; `triangle` is a factor of the residuals of y and the endogenous regressors on Z."""
    assert model.kappa is not None
    unexplained = np.zeros((len(triangle), len(layout.x)), dtype=triangle.dtype)
    unexplained[:, [layout.x.index(place) for place in layout.endog]] = triangle[:, 1:]
    relative = unexplained @ model.inverse
    try:
        lower = cholesky(np.eye(len(layout.x)) - (model.kappa - 1) * (relative.T @ relative))
    except np.linalg.LinAlgError as error:
        raise undetermined(model.kappa, method) from error
    upper = inverted(np.ascontiguousarray(lower.T))
    root_inverse = model.inverse @ upper
    inner = (factor.r @ model.basis).T @ factor.r[:, layout.y] - (model.kappa - 1) * (relative.T @ triangle[:, 0])
    coef = root_inverse @ (upper.T @ inner)
    left = units(len(factor.r), (layout.y,))[:, 0] - model.regressors @ coef
    return dataclasses.replace(model, coef=coef, left=left, root_inverse=root_inverse)
