"""How many groups: by the balance of the covariates over them (the paper's MMD), or by BIC."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import numpy as np

from ivbridge.errors import DataError
from ivbridge.records import FloatArray, IntArray

__all__ = ["Criterion", "mmd"]

Criterion = Literal["bic", "mmd"]


def mmd(x: FloatArray, labels: IntArray, groups: int) -> float:
    """Mean squared distance between the groups' covariate means, over pairs of groups.

    The paper divides the sum by n(n-1)/2; as a mean over pairs, which is what its figures show, it is K(K-1)/2. Its
    text has R for one mean and X for the other; as in its program both are X.

    Parameters
    ----------
    x : (n, m) array
    labels : (n,) int array
    groups : int
        K, 2 or more. Infinite if one of them is empty: that is no grouping in K.

    Raises
    ------
    DataError
        If there are fewer than 2 groups.

    Notes
    -----
    Source: Wu et al. (2023), Learning instrumental variable from data fusion, section "Optimization and MMD".
    """
    if groups < 2:
        raise DataError(f"{groups} groups have no pairs.", available="2 or more")
    sizes = np.bincount(labels, minlength=groups)
    if not sizes.all():
        return float("inf")
    means = [x[labels == k].mean(axis=0) for k in range(groups)]
    return float(np.mean([((a - b) ** 2).sum() for a, b in combinations(means, 2)]))
