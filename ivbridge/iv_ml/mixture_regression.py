"""A mixture of linear regressions: T | R, k ~ N(a_k + b_k'R, s²).

This is what the joint Gaussian of Meta-EM becomes when the distribution of R is the same in every group, as the paper
says it is before Eq. 6: the factor P(R) leaves the likelihood ratio of the groups, whatever its shape. A joint Gaussian
that is free in the maximisation step can instead split the rows by the shape of P(R), and does where R is not Gaussian.

Source: DeSarbo, Cron (1988), A maximum likelihood methodology for clusterwise linear regression, Eqs. 6-12.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ivbridge.errors import DesignError
from ivbridge.iv_ml.mixtures import Family, Mixture, Parameters, Search, climb
from ivbridge.records import FloatArray

__all__ = ["RegressionMixture", "regression_mixture", "weighted_regression", "whitened"]

#: Of the mean square of T: what keeps a weighted regression solvable when a group has lost its rows.
_RIDGE = 1e-8
#: Of the variance that one regression leaves: the least that a group's variance may be, where each has its own.
_FLOOR = 1e-3
#: Singular values below this share of the largest one are collinear columns.
_RANK = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class RegressionMixture(Mixture):
    """A fitted one.

    Attributes
    ----------
    coefficients : (K, 1 + columns of R) array
        a_k and b_k.
    variances : (K,) array
        s².
    """

    coefficients: FloatArray
    variances: FloatArray

    def log_joint(self, r: FloatArray, t: FloatArray) -> FloatArray:
        """log π_k p_k(t | r), (n, K)."""
        residuals = t[:, None] - self.coefficients[:, 0] - r @ self.coefficients[:, 1:].T
        return _logs(residuals, self.variances, self.shares)


def regression_mixture(
    r: FloatArray,
    t: FloatArray,
    groups: int,
    seed: int = 0,
    *,
    equal: bool = True,
    search: Search | None = None,
    weights: FloatArray | None = None,
) -> RegressionMixture:
    """Fit one.

    Parameters
    ----------
    r : (n, columns) array
        Collinear columns do no harm.
    t : (n,) array
    groups : int
        K, 1 or more.
    seed : int
    equal : bool, default True
        One variance for all groups, as the paper's "Pr(ε) should be fixed among all groups"; the likelihood is bounded
        then. Else each group has its own one, at least 0.1% of the variance around a single regression.
    search : Search, optional
    weights : (n, K) array, optional
        Of the groups, to start from; nothing is random then.

    Raises
    ------
    DesignError
        If there are fewer than two rows for each parameter.
    """
    design, back = whitened(r)
    n, p = design.shape
    free = groups * p + (1 if equal else groups) + groups - 1
    if n < 2 * free:
        raise DesignError(f"{n} rows are too few for {groups} groups with {p} coefficients each.", do="ask for fewer.")
    family = _Regressions(design, t, equal=equal)
    search = search or Search()
    first = family.starts(groups, seed, search) if weights is None else family.maximize(weights.T[None])
    found = climb(family, first, search)
    coefficients, variances, shares = found.parameters
    return RegressionMixture(shares, found.loglik, free, coefficients @ back, variances)


def whitened(r: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Orthonormal columns (mean square 1) that span (1, r), (n, p), and the map back: coefficients @ map is for (1, r).

    Returns
    -------
    design : (n, p) array
    back : (p, 1 + columns of r) array
    """
    columns = np.column_stack([np.ones(len(r)), r])
    scale = np.sqrt((columns**2).mean(axis=0))
    scale[scale == 0] = 1.0
    left, sizes, right = np.linalg.svd(columns / scale, full_matrices=False)
    kept = sizes > _RANK * sizes[0]
    root = math.sqrt(len(r))
    return left[:, kept] * root, (right[kept] / sizes[kept, None] / scale) * root


def weighted_regression(design: FloatArray, t: FloatArray, weights: FloatArray) -> FloatArray:
    """Coefficients (p,) of T on a whitened design (n, p), rows weighted by (n,)."""
    weighted = design.T * weights
    gram = weighted @ design
    gram.flat[:: len(gram) + 1] += _RIDGE * len(t)
    return np.asarray(np.linalg.solve(gram, weighted @ t))


class _Regressions(Family):
    def __init__(self, design: FloatArray, t: FloatArray, *, equal: bool) -> None:
        self._design, self._t, self._equal = design, t, equal
        self._pooled = design.T @ t / len(t)
        self._left = float(np.mean((t - design @ self._pooled) ** 2))

    def starts(self, groups: int, seed: int, search: Search) -> Parameters:
        """The single regression plus random directions, each as long as the residual's standard deviation."""
        p = self._design.shape[1]
        if groups == 1:
            moves = np.zeros((1, 1, p))
        else:
            moves = np.random.default_rng([seed, groups, 0xE]).standard_normal((search.starts, groups, p))
            moves *= math.sqrt(self._left) / np.linalg.norm(moves, axis=2, keepdims=True)
        shape = moves.shape[:2]
        return self._pooled + moves, np.full(shape, self._left / 2), np.full(shape, 1 / groups)

    def log_joint(self, parameters: Parameters) -> FloatArray:
        coefficients, variances, shares = parameters
        residuals = self._t - coefficients @ self._design.T
        return np.swapaxes(_logs(np.swapaxes(residuals, 1, 2), variances[:, None], shares[:, None]), 1, 2)

    def maximize(self, weights: FloatArray) -> Parameters:
        starts, groups, n = weights.shape
        p = self._design.shape[1]
        coefficients, variances = np.empty((starts, groups, p)), np.empty((starts, groups))
        for place in np.ndindex(starts, groups):
            coefficients[place] = weighted_regression(self._design, self._t, weights[place])
            variances[place] = weights[place] @ (self._t - self._design @ coefficients[place]) ** 2
        sizes = weights.sum(axis=2)
        if self._equal:
            variances[:] = variances.sum(axis=1, keepdims=True) / n
        else:
            variances /= np.maximum(sizes, 1e-12)
        return coefficients, np.maximum(variances, self._least()), np.maximum(sizes / n, 1e-12)

    def _least(self) -> float:
        return max((1e-12 if self._equal else _FLOOR) * self._left, 1e-300)


def _logs(residuals: FloatArray, variances: FloatArray, shares: FloatArray) -> FloatArray:
    return np.asarray(np.log(shares) - 0.5 * (np.log(2 * np.pi * variances) + residuals**2 / variances))
