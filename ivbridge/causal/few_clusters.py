"""Standard errors for few clusters: the bias-reduced CR2 covariance and its degrees of freedom.

Bell & McCaffrey (2002, Survey Methodology 28(2)) and Pustejovsky & Tipton (2018, Journal of Business & Economic
Statistics 36(4)), for least squares without weights and independent errors of equal variance as the working model; R:
``estimatr::lm_robust(clusters =)``, and ``clubSandwich::vcovCR(type = "CR2")`` with ``test = "Satterthwaite"``.
"""

from __future__ import annotations

import numpy as np

from ivbridge.linear import Linear
from ivbridge.records import IntArray

__all__ = ["cr2"]

#: A direction in which a cluster's leverage comes this close to 1 is one that the cluster fits alone; it adds nothing.
ALONE = 1e-8


def cr2(model: Linear, groups: IntArray, place: int) -> tuple[float, float]:
    """Standard error of one coefficient, and Satterthwaite's degrees of freedom for its t statistic.

    Parameters
    ----------
    model : Linear
        Least squares without weights.
    groups : (n,) int array
        Clusters 0 … G-1.
    place : int
        Of the coefficient.
    """
    q, towards = model.basis.q, model.inverse[place]  # X = QR; the coefficient is row `place` of R⁻¹Q'y
    sums, inside, across = [], [], []
    order = np.argsort(groups, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(groups))[:-1]):
        own = q[rows]
        # (I - Q_g Q_g')^(-1/2) moves Q_g's left singular vectors only
        left, leverage, _ = np.linalg.svd(own, full_matrices=False)
        rest = 1 - leverage**2
        factor = np.where(rest > ALONE, 1 / np.sqrt(np.maximum(rest, ALONE)), 0.0) - 1
        line = own @ towards
        line = line + left @ (factor * (left.T @ line))
        sums.append(line @ model.residuals[rows])
        inside.append(line @ line)
        across.append(own.T @ line)
    # covariances of the clusters' terms under the working model, whose eigenvalues set the degrees of freedom
    terms = np.diag(inside) - np.array(across) @ np.array(across).T
    df = np.trace(terms) ** 2 / np.sum(terms**2)
    return float(np.sqrt(np.sum(np.square(sums)))), float(df)
