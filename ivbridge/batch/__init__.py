"""Thousands of replications of one question as one computation.

>>> import numpy as np
>>> from ivbridge import batch
>>> random = np.random.default_rng(1)
>>> z, u, v = random.standard_normal((3, 2000, 500))
>>> x = z + u + v
>>> found = batch.fit(2 * x + u, np.ones((500, 1)), x, z[:, :, None], "HC1")
>>> found
<Fits 2000 × 2sls, HC1, n=500: (Intercept), x1>
>>> estimate, std_error = found.of("x1")
>>> bool(abs(estimate.mean() - 2) < 0.01)
True

Every replication is answered as :func:`ivbridge.fit` would answer it, to twelve digits and more, and its numbers do
not depend on which others there are. Where columns are too nearly dependent for that, the replication is computed by
itself, as the native engine does it; where it has no answer it has NaN. `Fits.notes` names both kinds.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ivbridge.batch.algebra import answered
from ivbridge.batch.data import Replications, arranged, check_counts
from ivbridge.batch.factor import LIMIT
from ivbridge.batch.ordinary import ordinary
from ivbridge.batch.records import Fits, KClass, Question
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.method import LIML, Fuller, Method, TwoStage, check_vcov, parse_method
from ivbridge.threads import one_thread
from ivbridge.vcov import HC0, HC1, Classical, Clustered, Vcov
from ivbridge.vcov_text import parse_vcov

__all__ = ["Fits", "KClass", "fit", "offers"]

_VCOVS = "classical, HC0, HC1, cluster(g)"
_METHODS = "2sls, liml, fuller(1), kclass(0.5), ols"


@one_thread()
def fit(
    y: Any,
    exog: Any,
    endog: Any,
    instruments: Any,
    vcov: str | Vcov = "HC1",
    method: str | Method = "2sls",
    clusters: Any = None,
) -> Fits:
    """Answer one question about each of B replications.

    Parameters
    ----------
    y : (B, n) array
    exog : (B, n, j) array, (n, j) array or None
        Exogenous regressors, and a column of ones for a model with a constant. What has two dimensions is the same in
        all replications, and is not copied for each.
    endog : (B, n, j), (B, n) or (n, j) array, or None
        Endogenous regressors; (B, n) is one of them.
    instruments : (B, n, j) array, (n, j) array or None
        Excluded instruments.
    vcov : str or Vcov, default "HC1"
        ``"classical"``, ``"HC0"``, ``"HC1"`` or ``"cluster(g)"`` with any name g and the options of
        :class:`~ivbridge.vcov.Clustered`.
    method : str or Method, default "2sls"
        ``"2sls"``, ``"liml"``, ``"fuller(1)"``, ``"kclass(0.5)"`` with any κ, or ``"ols"``: least squares on exog and
        endog, as R's ``lm``, for which the instruments do not matter. As of an ``lm``, too, ``"cluster(g)"`` is then of
        type HC1; of :func:`ivbridge.fit`, whose least squares are AER's ``ivreg``, it is ``"cluster(g, type=HC0)"``.
    clusters : (n,) or (B, n) array, optional
        The cluster of each row.

    Returns
    -------
    Fits

    Raises
    ------
    DataError
        If the arrays do not fit together.
    DesignError
        If no replication can have an answer: too few rows or instruments.
    UnsupportedError
        If the vcov or the method is not offered here.
    """
    question = _asked(vcov, method, clusters)
    data = arranged(y, exog, endog, instruments, clusters)
    if question.method is None:
        data = data.all_exogenous()
    check_counts(data.shape)
    return _answers(data, question)


def offers(vcov: Vcov, method: Method) -> bool:
    """Whether :func:`fit` answers such questions."""
    kinds = type(vcov) in (Classical, HC0, HC1) or (isinstance(vcov, Clustered) and len(vcov.by) == 1)
    return kinds and isinstance(method, TwoStage | LIML | Fuller | KClass)


def _asked(vcov: str | Vcov, method: str | Method, clusters: Any) -> Question:
    estimator = parse_vcov(vcov)
    chosen = _method(method)
    if not offers(estimator, TwoStage()):
        raise UnsupportedError(
            f"vcov={estimator} is not offered for batches.",
            available=_VCOVS,
            do="ask ivbridge.fit about one replication after the other.",
        )
    if chosen is not None:
        if not offers(estimator, chosen):
            raise UnsupportedError(f"method={chosen} is not offered for batches.", available=_METHODS)
        check_vcov(chosen, estimator)
    if isinstance(estimator, Clustered) != (clusters is not None):
        raise DataError(
            f"vcov={estimator}, and clusters are {'not ' if clusters is None else ''}given.",
            do='give both vcov="cluster(g)" and clusters, or neither.',
        )
    return Question(chosen, estimator)


def _method(method: str | Method) -> Method | None:
    text = method.strip().lower() if isinstance(method, str) else ""
    if text == "ols":
        return None
    if found := re.fullmatch(r"kclass\((.{1,40})\)", text):
        try:
            return KClass(float(found.group(1)))
        except ValueError:
            raise UnsupportedError(f"method={method!r} was asked.", available=_METHODS) from None
    return parse_method(method)


def _answers(data: Replications, question: Question) -> Fits:
    shape, clustered = data.shape, isinstance(question.vcov, Clustered)
    coef, cov = np.empty((data.count, shape.k)), np.empty((data.count, shape.k, shape.k))
    condition, kappa = np.empty(data.count), np.full(data.count, np.nan)
    notes: dict[int, str] = {}
    for which, piece in data.chunks():
        found = answered(piece, shape, question, data.clusters(which) if clustered else None)
        coef[which], cov[which], condition[which] = found.coef, found.cov, found.condition
        kappa[which] = np.nan if found.kappa is None else found.kappa
    for b in map(int, np.flatnonzero(~(condition <= LIMIT))):
        codes = data.clusters(slice(b, b + 1))[0] if clustered else None
        one = ordinary(data.one(b), shape, data.names, question, codes)
        coef[b], cov[b], kappa[b], notes[b] = one.coef, one.cov, one.kappa, one.note
    plain = question.method is None or isinstance(question.method, TwoStage)
    return Fits(
        names=data.names, coef=coef, cov=cov, n=shape.n, df_resid=shape.n - shape.k,
        method="ols" if question.method is None else str(question.method), vcov=str(question.vcov),
        condition=condition, kappa=None if plain else kappa, notes=notes,
    )  # fmt: skip
