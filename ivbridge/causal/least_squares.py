"""Least squares with a treatment among the regressors, and the covariance estimators that methods offer."""

from __future__ import annotations

import numpy as np

from ivbridge.causal.few_clusters import cr2
from ivbridge.causal.question import CausalData
from ivbridge.errors import DataError, DesignError, UnsupportedError
from ivbridge.linear import Basis, Linear, least_squares
from ivbridge.records import FloatArray, IntArray
from ivbridge.sandwich import check_groups, covariance
from ivbridge.vcov import Clustered
from ivbridge.vcov_text import parse_vcov

__all__ = ["VCOVS", "chosen", "clusters_of", "lines", "regress", "std_error"]

#: Names of :mod:`ivbridge.vcov`, the default of a regression first; for the question's clusters CR2 and CR1.
VCOVS = ("HC2", "classical", "HC0", "HC1", "HC3", "CR2", "CR1")
#: Those that allow for clusters.
CLUSTERED = ("CR2", "CR1", "stacked")


def regress(y: FloatArray, design: FloatArray, names: tuple[str, ...], weights: FloatArray | None = None) -> Linear:
    """Weighted least squares of y (n,) on the columns of (n, k); R's ``lm``, to the last digit.

    Raises
    ------
    DesignError
        If columns are linearly dependent, or leave no degree of freedom.
    """
    if len(y) <= design.shape[1]:
        raise DesignError(f"{design.shape[1]} coefficients were asked of {len(y)} units.", do="take fewer covariates.")
    dependent = DesignError(
        f"The regressors {', '.join(names)} are linearly dependent.", do="leave out a covariate that others imply."
    )
    try:
        basis = Basis.of(design, weights)
    except np.linalg.LinAlgError:  # dependent to the last bit, such as a column of zeros
        raise dependent from None
    if basis.independent() is not basis:
        raise dependent
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
        ``"auto"`` is the first that is offered, or the first one that takes clusters where the question names them.
    data : CausalData
    offered : tuple of str
        Of :data:`VCOVS`, and ``"stacked"``, which takes clusters where there are any.

    Raises
    ------
    DataError
        If the question names clusters and the estimator ignores them, or the other way round.
    UnsupportedError
        If the method does not offer it.
    """
    clusters = data.question.clusters
    if vcov == "auto":
        return offered[0] if clusters is None else next(one for one in offered if one in CLUSTERED)
    if vcov not in offered:
        raise UnsupportedError(f"vcov={vcov!r} was asked.", available=", ".join(("auto", *offered)))
    if vcov in ("CR1", "CR2") and clusters is None:
        raise DataError(f"vcov={vcov!r} was asked, and the question names no clusters.", do="name the clusters.")
    if clusters is not None and vcov not in CLUSTERED:
        raise DataError(f"The question names the clusters {clusters!r}; {vcov} ignores them.", do='take vcov="auto".')
    return vcov


def std_error(model: Linear, vcov: str, data: CausalData, place: int) -> tuple[float, float]:
    """Standard error of one coefficient and its degrees of freedom.

    HC0 to HC3 and classical: n - k degrees of freedom, as R's ``lm`` and estimatr. CR2:
    :func:`ivbridge.causal.few_clusters.cr2`. CR1: G - 1 and the factor (n - 1)/(n - k)·G/(G - 1), as Stata and
    ``estimatr::lm_robust(se_type = "stata")``; R's ``sandwich::vcovCL(fit)``.
    """
    groups = clusters_of(data)
    if groups is None:
        return _root(covariance(model, parse_vcov(vcov), {})[place, place]), float(model.df_resid)
    if vcov == "CR2":
        return cr2(model, groups, place)
    name = str(data.question.clusters)
    return _root(covariance(model, Clustered(by=(name,)), {name: groups})[place, place]), float(groups.max())


def _root(variance: float) -> float:
    """Of a variance that rounding may have left below zero, as of an arm whose outcomes are all alike."""
    return float(np.sqrt(max(variance, 0.0)))


def lines(data: CausalData, design: FloatArray) -> FloatArray:
    """(2, k) coefficients of a regression of the outcome on `design` in each arm, the treated first.

    Raises
    ------
    DesignError
        If an arm's columns are linearly dependent, or too many; the message names the arm.
    """
    found = []
    for arm, rows in (("treated", data.treated), ("untreated", ~data.treated)):
        try:
            found.append(regress(data.y[rows], design[rows], ("(Intercept)", *data.x_names)).coef)
        except DesignError as error:
            raise DesignError(f"Among the {arm} units: {error}") from error
    return np.array(found)
