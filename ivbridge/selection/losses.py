"""Losses of cross-validation, their mean and standard error, and the two λ, as ``cv.glmnet`` computes them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ivbridge.records import FloatArray
from ivbridge.selection.design import Matrix

__all__ = ["Curve", "auc", "choose", "curve", "interpolated", "linear_predictor", "losses"]

#: Where the binomial deviance cuts fitted probabilities off, as in R.
CLIP = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Mean cross-validated loss and its standard error along the path, both (L,)."""

    cvm: FloatArray
    cvsd: FloatArray


def interpolated(own: FloatArray, wanted: FloatArray) -> tuple[np.ndarray, np.ndarray, FloatArray]:
    """Where the wanted penalties lie in a fold's own path; R's ``lambda.interp``.

    Parameters
    ----------
    own : (K,) array
        The fold's penalties, falling.
    wanted : (L,) array

    Returns
    -------
    left, right : (L,) int arrays
        Positions in ``own``.
    share : (L,) array
        Weight of ``left``; that of ``right`` is one less this. Penalties beyond the fold's path take its ends.
    """
    if len(own) == 1:
        zero = np.zeros(len(wanted), dtype=np.int64)
        return zero, zero, np.ones(len(wanted))
    span = own[0] - own[-1]
    grid, at = (own[0] - own) / span, (own[0] - wanted) / span
    place = np.interp(at, grid, np.arange(len(own), dtype=np.float64))
    left, right = np.floor(place).astype(np.int64), np.ceil(place).astype(np.int64)
    gap = grid[left] - grid[right]
    close = np.abs(gap) < np.finfo(float).eps
    share = np.where(close, 1.0, (at - grid[right]) / np.where(close, 1.0, gap))
    return left, right, share


def linear_predictor(x: Matrix, intercepts: FloatArray, coefs: FloatArray, *, ties: bool = False) -> FloatArray:
    """Predictions ``a + x b`` for every λ.

    Parameters
    ----------
    x : (m, p) array or sparse array
    intercepts : (L,) array
    coefs : (L, p) array
    ties : bool, default False
        Whether rows that agree in the columns with a coefficient must get the same bits, as in R.

    Returns
    -------
    (m, L) array
    """
    if sparse.issparse(x):
        product = np.asarray(x @ coefs.T)
    elif ties:  # a sparse product adds every row's terms in one order, a dense one need not
        product = np.asarray((sparse.csr_array(coefs) @ x.T).T)
    else:
        product = x.astype(np.float64, copy=False) @ coefs.T
    return np.asarray(product + intercepts)


def losses(measure: str, family: str, y: FloatArray, predictor: FloatArray) -> FloatArray:
    """Loss of each observation.

    Parameters
    ----------
    measure : {"mse", "deviance", "mae", "class"}
    family : {"gaussian", "binomial"}
    y : (m,) array
    predictor : (m, L) array
        The linear predictor.

    Returns
    -------
    (m, L) array
        For ``binomial`` mse and mae are sums over both classes, as in R.
    """
    y = y[:, None]
    if family == "gaussian":
        return np.asarray(np.abs(y - predictor) if measure == "mae" else (y - predictor) ** 2)
    # exp overflows to inf where the probability is 0 to machine precision, and 1/inf is that 0
    with np.errstate(over="ignore"):
        chance = 1.0 / (1.0 + np.exp(-predictor))
    if measure == "mse":
        return np.asarray(((1 - y) - (1 - chance)) ** 2 + (y - chance) ** 2)
    if measure == "mae":
        return np.asarray(np.abs((1 - y) - (1 - chance)) + np.abs(y - chance))
    if measure == "class":
        return np.asarray((1 - y) * (chance > 0.5) + y * (chance <= 0.5))
    chance = np.clip(chance, CLIP, 1 - CLIP)
    return np.asarray(-2 * ((1 - y) * np.log(1 - chance) + y * np.log(chance)))


def auc(y: FloatArray, predictor: FloatArray, weights: FloatArray) -> float:
    """Area under the ROC curve: the weighted share of pairs (event, other) in the right order, ties counting half.

    Parameters
    ----------
    y : (m,) array of 0 and 1
    predictor : (m,) array
    weights : (m,) array

    Returns
    -------
    float
        NaN where there is only one class.
    """
    # glmnet ranks the probabilities, in which distinct predictors can coincide
    with np.errstate(over="ignore"):
        chance = 1.0 / (1.0 + np.exp(-predictor))
    _, place = np.unique(chance, return_inverse=True)
    event = np.bincount(place, weights * y)
    other = np.bincount(place, weights * (1 - y), minlength=len(event))
    pairs = event.sum() * other.sum()
    below = np.cumsum(other) - other
    return float(event @ (below + other / 2) / pairs) if pairs > 0 else float("nan")


def curve(values: FloatArray, weights: FloatArray) -> Curve:
    """Weighted mean of losses and its standard error.

    Parameters
    ----------
    values : (m, L) array
        One row a fold, or, ungrouped, an observation; NaN where there is none.
    weights : (m,) array
        Sums of the observation weights by fold, or the observation weights.
    """
    known = ~np.isnan(values)
    total = weights @ known
    with np.errstate(invalid="ignore", divide="ignore"):
        cvm = weights @ np.where(known, values, 0.0) / total
        spread = weights @ np.where(known, (values - cvm) ** 2, 0.0) / total
    return Curve(cvm, np.sqrt(spread / (len(values) - 1)))


def choose(lambdas: FloatArray, found: Curve, *, largest: bool = False) -> tuple[int, int]:
    """Positions of λ.min and λ.1se.

    Parameters
    ----------
    lambdas : (L,) array
        Falling.
    found : Curve
    largest : bool, default False
        Whether large values are good, as for the AUC.

    Returns
    -------
    tuple of int
        λ.min is the largest λ with the best mean; λ.1se the largest whose mean is within one standard error of it.
    """
    cvm = np.where(np.isnan(found.cvsd), np.inf, -found.cvm if largest else found.cvm)
    at_min = int(np.argmax(cvm <= cvm.min()))
    return at_min, int(np.argmax(cvm <= cvm[at_min] + found.cvsd[at_min]))
