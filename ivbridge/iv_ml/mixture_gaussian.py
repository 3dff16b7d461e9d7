"""A mixture of joint Gaussians of (T, R): the distribution step as the paper has it, Eqs. 5-12.

Source: Wu et al. (2023), Learning instrumental variable from data fusion for treatment effect estimation, AAAI.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import solve_triangular

from ivbridge.errors import DesignError
from ivbridge.iv_ml.clusters import kmeans
from ivbridge.iv_ml.mixtures import Family, Mixture, Parameters, Search, climb
from ivbridge.records import FloatArray

__all__ = ["PROGRAM", "GaussianMixture", "Start", "gaussian_mixture"]

Start = Literal["moments", "kmeans"]

#: One start, 100 steps, 1e-3: what the paper's program does, by the defaults of scikit-learn.
PROGRAM = Search(starts=1, short=0, kept=1, steps=100, tolerance=1e-3)
#: Added to the variances in each step, scikit-learn's ``reg_covar``.
_ADDED = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class GaussianMixture(Mixture):
    """A fitted one.

    Attributes
    ----------
    means : (K, d) array
        Of T and R, in this order; d is 1 + columns of R.
    covariances : (K, d, d) array
    """

    means: FloatArray
    covariances: FloatArray

    def log_joint(self, r: FloatArray, t: FloatArray) -> FloatArray:
        """log π_k p_k(t, r), (n, K)."""
        return _log_joint(np.column_stack([t, r]), self.means, self.covariances, self.shares).T


def gaussian_mixture(
    r: FloatArray,
    t: FloatArray,
    groups: int,
    seed: int = 0,
    *,
    start: Start = "moments",
    search: Search | None = None,
    weights: FloatArray | None = None,
) -> GaussianMixture:
    """Fit one; nothing is shared by the groups after the start.

    Parameters
    ----------
    r : (n, columns) array
    t : (n,) array
    groups : int
    seed : int
    start : {"moments", "kmeans"}, default "moments"
        Eq. 6: mean and covariance of R as they are in all rows, those of T with R random. Or the groups of K-means of
        (R, T), one start, as the paper's program has it.
    search : Search, optional
        Default: the usual one for "moments", :data:`PROGRAM` for "kmeans".
    weights : (n, K) array, optional
        Of the groups, to start from in place of ``start``.

    Raises
    ------
    DesignError
        If there are fewer rows than parameters.
    """
    values = np.column_stack([t, r])
    n, d = values.shape
    free = groups * (d + d * (d + 1) // 2) + groups - 1
    if n < free:
        raise DesignError(f"{n} rows are too few for {groups} Gaussians in {d} dimensions.", do="ask for fewer groups.")
    family = _Gaussians(values)
    search = search or (PROGRAM if start == "kmeans" else Search())
    if weights is None and start == "kmeans":
        weights = np.eye(groups)[kmeans(values, groups, seed, starts=1)[0]]
    if weights is None:
        first = _moments(values, groups, np.random.default_rng([seed, groups, 0x6]), search.starts)
    else:
        first = family.maximize(weights.T[None])
    found = climb(family, first, search)
    means, covariances, shares = found.parameters
    return GaussianMixture(shares, found.loglik, free, means, covariances)


def _moments(values: FloatArray, groups: int, random: np.random.Generator, starts: int) -> Parameters:
    """Eq. 6: for each group a random regression of T on R, with the mean and the covariance of R in all rows."""
    center, spread = values.mean(axis=0), np.cov(values.T, bias=True).reshape(values.shape[1], -1)
    spread = spread + _ADDED * np.eye(len(spread))
    inner = np.linalg.cholesky(spread[1:, 1:])
    pooled = solve_triangular(inner, spread[1:, 0], lower=True)
    left = max(float(spread[0, 0] - pooled @ pooled), _ADDED)
    moves = random.standard_normal((starts, groups, values.shape[1]))
    moves *= math.sqrt(left) / np.linalg.norm(moves, axis=2, keepdims=True)
    slopes = pooled + moves[..., 1:]
    means = np.broadcast_to(center, moves.shape).copy()
    means[..., 0] += moves[..., 0]
    covariances = np.broadcast_to(spread, (starts, groups, *spread.shape)).copy()
    covariances[..., 1:, 0] = covariances[..., 0, 1:] = slopes @ inner.T
    covariances[..., 0, 0] = (slopes**2).sum(axis=2) + left / 2
    return means, covariances, np.full((starts, groups), 1 / groups)


class _Gaussians(Family):
    def __init__(self, values: FloatArray) -> None:
        self._values = values

    def log_joint(self, parameters: Parameters) -> FloatArray:
        return np.stack([_log_joint(self._values, *one) for one in zip(*parameters, strict=True)])

    def maximize(self, weights: FloatArray) -> Parameters:
        """Eqs. 10-12."""
        d = self._values.shape[1]
        sizes = weights.sum(axis=2) + 10 * np.finfo(float).eps
        means = weights @ self._values / sizes[..., None]
        covariances = np.empty((*sizes.shape, d, d))
        for place in np.ndindex(*sizes.shape):
            apart = self._values - means[place]
            covariances[place] = (apart.T * weights[place]) @ apart / sizes[place] + _ADDED * np.eye(d)
        return means, covariances, sizes / sizes.sum(axis=1, keepdims=True)


def _log_joint(values: FloatArray, means: FloatArray, covariances: FloatArray, shares: FloatArray) -> FloatArray:
    """(K, n)."""
    found = np.empty((len(means), len(values)))
    for k, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        root = np.linalg.cholesky(covariance)
        scaled = solve_triangular(root, (values - mean).T, lower=True, check_finite=False)
        logs = values.shape[1] * math.log(2 * math.pi) + 2 * np.log(np.diag(root)).sum()
        found[k] = math.log(shares[k]) - 0.5 * (logs + (scaled**2).sum(axis=0))
    return found
