"""Least squares with a treatment among the regressors, and the covariance estimators that methods offer."""

from __future__ import annotations

import numpy as np

from ivbridge.causal.question import CausalData
from ivbridge.errors import DataError, DesignError, UnsupportedError
from ivbridge.linear import Basis, Linear, least_squares
from ivbridge.records import FloatArray, IntArray
from ivbridge.sandwich import check_groups, covariance
from ivbridge.vcov import Clustered
from ivbridge.vcov_text import parse_vcov

__all__ = ["VCOVS", "chosen", "clusters_of", "regress", "std_errors"]

#: Names of :mod:`ivbridge.vcov`, the default of a regression first, and ``"cluster"`` for the question's clusters.
VCOVS = ("HC2", "classical", "HC0", "HC1", "HC3", "cluster")


def regress(y: FloatArray, design: FloatArray, names: tuple[str, ...], weights: FloatArray | None = None) -> Linear:
    """Weighted least squares of y (n,) on the columns of (n, k); R's ``lm``, to the last digit.

    Raises
    ------
    DesignError
        If columns are linearly dependent, or leave no degree of freedom.
    """
    if len(y) <= design.shape[1]:
        raise DesignError(f"{design.shape[1]} coefficients were asked of {len(y)} units.", do="take fewer covariates.")
    basis = Basis.of(design, weights)
    if basis.independent() is not basis:
        raise DesignError(
            f"The regressors {', '.join(names)} are linearly dependent.", do="leave out a covariate that others imply."
        )
    return least_squares(y, basis, names)


def clusters_of(data: CausalData) -> IntArray | None:
    """(n,) numbers 0 … G-1 of the question's clusters, in sorted order; None without clusters.

    Raises
    ------
    DataError
        If there is only one cluster.
    """
    name = data.question.clusters
    if name is None:
        return None
    codes = np.unique(data.frame[name].to_numpy(), return_inverse=True)[1].astype(np.int64)
    check_groups(Clustered(by=(name,)), {name: codes})
    return codes


def chosen(vcov: str, data: CausalData, offered: tuple[str, ...]) -> str:
    """The covariance estimator that is meant.

    Parameters
    ----------
    vcov : str
        ``"auto"`` is the first that is offered, or ``"cluster"`` where the question names clusters and the first one
        ignores them.
    data : CausalData
    offered : tuple of str
        Of :data:`VCOVS`, and ``"stacked"``, which takes clusters by itself.

    Raises
    ------
    DataError
        If the question names clusters and the estimator ignores them, or the other way round.
    UnsupportedError
        If the method does not offer it.
    """
    clusters = data.question.clusters
    if vcov == "auto":
        return offered[0] if clusters is None or offered[0] == "stacked" else "cluster"
    if vcov not in offered:
        raise UnsupportedError(f"vcov={vcov!r} was asked.", available=", ".join(("auto", *offered)))
    if vcov == "cluster" and clusters is None:
        raise DataError('vcov="cluster" was asked, and the question names no clusters.', do="name the clusters.")
    if clusters is not None and vcov not in ("cluster", "stacked"):
        raise DataError(f"The question names the clusters {clusters!r}; {vcov} ignores them.", do='take vcov="auto".')
    return vcov


def std_errors(model: Linear, vcov: str, data: CausalData) -> tuple[FloatArray, float]:
    """(k,) standard errors and degrees of freedom.

    n - k degrees of freedom, as R's ``lm`` and estimatr. With clusters G - 1 of them and the factor
    (n - 1)/(n - k)·G/(G - 1), as Stata and ``estimatr::lm_robust(se_type = "stata")``; R's ``sandwich::vcovCL(fit)``.
    """
    groups = clusters_of(data)
    if vcov == "cluster" and groups is not None:
        name = str(data.question.clusters)
        found = covariance(model, Clustered(by=(name,)), {name: groups})
        return np.sqrt(np.diag(found)), float(groups.max())
    found = covariance(model, parse_vcov(vcov), {})
    return np.sqrt(np.diag(found)), float(model.df_resid)
