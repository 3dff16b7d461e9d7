"""What the engines must answer to bad data: classical, HC0, HC1 and one-way clustered covariances, with weights.

In exact rational arithmetic (:mod:`tests.rational`), with the small-sample factors that R's sandwich documents.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from tests.rational import fitted, fractions_of, root, sandwich

__all__ = ["two_stage"]


def two_stage(
    y: np.ndarray, x: np.ndarray, z: np.ndarray, weights: np.ndarray, vcov: str, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Coefficients (k,) and standard errors (k,) of 2SLS of y (n,) on x (n, k) with instruments z (n, l).

    The standard errors are None for a covariance other than ``classical``, ``HC0``, ``HC1`` and ``cluster``.
    """
    n, k = x.shape
    y_, w = ([row[0] for row in fractions_of(column)] for column in (y, weights))
    fit = fitted(y_, fractions_of(x), fractions_of(z), w)
    found = np.array([float(value) for value in fit.coef])
    if vcov == "classical":
        cov = [[fit.variance * value for value in row] for row in fit.bread]
    elif vcov in ("HC0", "HC1"):
        cov = sandwich(fit.bread, fit.scores, Fraction(n, n - k) if vcov == "HC1" else Fraction(1))
    elif vcov == "cluster" and groups is not None:
        members = {g: [row for row, h in zip(fit.scores, groups, strict=True) if h == g] for g in set(groups.tolist())}
        sums = [[sum(column, Fraction()) for column in zip(*rows, strict=True)] for rows in members.values()]
        cov = sandwich(fit.bread, sums, Fraction(len(sums), len(sums) - 1))
    else:
        return found, None
    return found, np.array([float(root(cov[j][j])) for j in range(k)])
