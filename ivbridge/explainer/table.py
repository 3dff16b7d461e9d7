"""Coefficients, standard errors and covariances: what is wanted of a covariance matrix, and what one leaves apart."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ivbridge.explainer.bounds import LOOSE, Tolerance
from ivbridge.explainer.covariances import Option, Wanted
from ivbridge.gaps import Key, cov_keys
from ivbridge.linear import Linear

__all__ = ["apart", "wanted"]


def wanted(model: Linear, values: Mapping[Key, float], tolerance: Tolerance) -> Wanted:
    """What a covariance matrix of these terms has to reproduce.

    Parameters
    ----------
    model : Linear
    values : mapping of Key to float
        Observed; where there is no standard error, a statistic with its coefficient gives one.
    tolerance : Tolerance
    """
    names = model.names
    k = len(names)
    error, error_within = np.full(k, np.nan), np.zeros(k)
    for j, name in enumerate(names):
        key = ("std.error", name)
        if key in values:
            error[j], error_within[j] = values[key], tolerance.of_error(key, abs(values[key]))
            continue
        ratio = ("statistic", name)
        if values.get(ratio) and ("estimate", name) in values:
            error[j] = abs(model.coef[j] / values[ratio])
            error_within[j] = error[j] * max(2 * tolerance.within.get(ratio, 0.0) / abs(values[ratio]), LOOSE)
    matrix, matrix_within = np.full((k, k), np.nan), np.zeros((k, k))
    keys = dict(zip(cov_keys("", names), zip(*(at.tolist() for at in np.tril_indices(k)), strict=True), strict=True))
    seen = {key: place for key, place in keys.items() if key in values}
    if seen:
        size = np.array([np.sqrt(abs(values.get(("cov", f"{name}, {name}"), np.nan))) for name in names])
        for key, (i, j) in seen.items():
            matrix[i, j] = values[key]
            scale = size[i] * size[j] if np.isfinite(size[i] * size[j]) else abs(values[key])
            matrix_within[i, j] = tolerance.within.get(key, 2 * tolerance.of_error(("std.error", ""), scale))
    return Wanted(error, error_within, matrix, matrix_within)


def apart(model: Linear, option: Option | None, values: Mapping[Key, float], tolerance: Tolerance) -> dict[Key, float]:
    """Coefficients, standard errors and covariances that are further from the observed ones than they may be.

    Parameters
    ----------
    model : Linear
    option : Option or None
        None where no covariance matrix comes close.
    values : mapping of Key to float
        Observed.
    tolerance : Tolerance
    """
    names = model.names
    found: dict[Key, float] = {}
    error = np.zeros(model.k) if option is None else np.sqrt(np.abs(np.diag(option.matrix)))
    for j, name in enumerate(names):
        key = ("estimate", name)
        if key in values:
            gap = abs(values[key] - model.coef[j])
            if not gap <= tolerance.of_estimate(key, abs(model.coef[j]) + error[j]):
                found[key] = float(gap)
    asked = wanted(model, values, tolerance)
    matrix = np.zeros((model.k, model.k)) if option is None else option.matrix
    with np.errstate(invalid="ignore"):
        exact = np.sqrt(np.diag(matrix))
    for j, name in enumerate(names):
        key = ("std.error", name)
        if key in values and not (np.isnan(values[key]) and np.isnan(exact[j])):
            gap = abs(values[key] - exact[j])
            if not gap <= asked.error_within[j]:
                found[key] = float(gap)
    for key, (i, j) in zip(
        cov_keys("", names), zip(*(at.tolist() for at in np.tril_indices(model.k)), strict=True), strict=True
    ):
        if key in values and not abs(values[key] - matrix[i, j]) <= asked.matrix_within[i, j]:
            found[key] = float(abs(values[key] - matrix[i, j]))
    return found
