"""How well a curve satisfies E[Y - f(T, X) | Z, X] = 0: what a validation split can judge without knowing the truth.

The squared error of an outcome cannot do it: ordinary regression has the smallest one. The statistic here is the kernel
form of the conditional moment restriction: the residuals, weighted by how near rows are in (Z, X). It is zero in the
population for the true curve, and positive for a curve that leaves anything in the residual that Z and X predict. In a
sample of r rows it is a V-statistic: the true curve has E[ε²]/r in expectation, so that numbers from samples of one
size alone can be compared.

Source: Muandet, Jitkrittum, Kübler (2020), Kernel conditional moment test via maximum moment restriction; Zhang,
Imaizumi, Schölkopf, Muandet (2023), Instrumental variable regression via kernel maximum moment loss, J. of Causal
Inference 11 (the V-statistic).
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist, pdist

from ivbridge.records import FloatArray

__all__ = ["moment_kernel", "moment_violation"]

#: Rows used, at most: the kernel is a full matrix.
ROWS = 1500


def moment_kernel(instruments: FloatArray, exog: FloatArray) -> FloatArray:
    """Gaussian kernel of the first 1500 rows of (Z, X), (r, r), at the median distance of standardised columns.

    Columns that are constant are left out; where nothing is left, all rows are alike.
    """
    both = np.column_stack([instruments, exog])[:ROWS]
    spread = both.std(axis=0)
    both = both[:, spread > 0] / spread[spread > 0]
    if not both.shape[1]:
        return np.ones((len(both), len(both)))
    between = pdist(both, "sqeuclidean")
    middle = float(np.median(between[between > 0]))
    return np.asarray(np.exp(-cdist(both, both, "sqeuclidean") / middle))


def moment_violation(residuals: FloatArray, kernel: FloatArray) -> float:
    """ε'Kε / r² over the kernel's rows, ≥ 0: about E[ε²]/r if nothing in (Z, X) predicts the residuals (n,)."""
    some = residuals[: len(kernel)]
    return float(some @ kernel @ some) / len(kernel) ** 2
