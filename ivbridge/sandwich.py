"""Covariance matrices of a fitted regression: bread · meat · bread, by the conventions of R's sandwich package.

:func:`covariance` serves the IV fit and the auxiliary least-squares fits of its diagnostics alike. Sources: White
(1980), MacKinnon & White (1985), Cribari-Neto (2004), Cribari-Neto & da Silva (2011), Cribari-Neto, Souza &
Vasconcellos (2007) for HC0–HC5; Cameron, Gelbach & Miller (2011), Thompson (2011) and Ma (2014) for clusters; Zeileis,
Köll & Graham (2020) for sandwich's own conventions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np

from ivbridge import hac
from ivbridge.degenerate import check_discounts
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.kclass import many_instruments
from ivbridge.linear import Linear, independent, noisy, summed
from ivbridge.records import FloatArray, IntArray
from ivbridge.rrandom import RRandom
from ivbridge.vcov import (
    HC0,
    HC1,
    HC2,
    HC3,
    HC4,
    HC5,
    Andrews,
    Bekker,
    Bootstrap,
    Classical,
    Clustered,
    DriscollKraay,
    HC4m,
    NeweyWest,
    PanelCorrected,
    Vcov,
)

__all__ = ["Groups", "check_groups", "covariance", "joint_rank"]

#: Codes 0, 1, … of every column that a vcov needs, each of shape (n,), in sorted order of the column's values.
Groups = Mapping[str, IntArray]


def covariance(model: Linear, vcov: Vcov, groups: Groups) -> FloatArray:
    """The covariance matrix of a fitted regression.

    Parameters
    ----------
    model : Linear
    vcov : Vcov
    groups : mapping of column name to (n,) codes
        One entry for each of ``vcov.columns``.

    Returns
    -------
    (k, k) array

    Raises
    ------
    UnsupportedError
        If the estimator is not known here.
    DataError
        If HC2 to HC5 meet a leverage of one.
    DesignError
        If prewhitening fails, or Andrews' bandwidth.
    """
    if isinstance(vcov, Classical):
        return model.sigma**2 * model.bread
    if isinstance(vcov, Bootstrap):
        return _bootstrap(model, vcov, groups)
    if isinstance(vcov, Bekker):
        return many_instruments(model, vcov)
    if type(vcov) in _OMEGA or isinstance(vcov, Clustered):
        columns, side = _coordinates(model)
        meat = _rowwise_meat(model, vcov, groups, columns)
        return np.asarray(side @ (summed(meat, model.scores) if noisy() else meat) @ side.T)
    return np.asarray(model.bread @ summed(_meat(model, vcov, groups), model.scores) @ model.bread)


def check_groups(vcov: Vcov, groups: Groups) -> None:
    """Refuse groupings that cannot carry the estimator; both engines ask this first, so both say the same.

    Raises
    ------
    DataError
        A single cluster or period, a repeated (unit, period), or a panel that ``vcovPC`` would get wrong.
    """
    by = vcov.by if isinstance(vcov, Clustered) else (vcov.cluster,) if isinstance(vcov, Bootstrap) else ()
    for name in by:
        if name is not None and groups[name].max() < 1:
            raise DataError(
                f"{vcov}: the column {name!r} holds a single cluster in the rows used; at least two are needed.",
                do="cluster by another column, or use HC1.",
            )
    if isinstance(vcov, DriscollKraay | PanelCorrected):
        hac.check_panel(vcov, groups[vcov.cluster], groups[vcov.order_by])


def joint_rank(vcov: Vcov, groups: Groups) -> int | None:
    """The largest rank that the covariance can have; None where only k limits it.

    Scores sum to zero over all rows, so sums over G groups span G − 1 directions at most.
    """
    if isinstance(vcov, Clustered) and len(vcov.by) == 1:
        return int(groups[vcov.by[0]].max())
    if isinstance(vcov, DriscollKraay) and vcov.aggregate:
        return int(groups[vcov.order_by].max())
    return None


def _coordinates(model: Linear) -> tuple[FloatArray, FloatArray]:
    """Columns for the scores, (n, k), and what their meat is between, (k, k): P and the bread, in other coordinates.

    With √w·P = QR the bread of the meat of Q/√w is bread·R'. The product is the same, but the meat of collinear columns
    between two breads cancels digits that orthonormal columns keep. Noisy sums stay in R's coordinates.
    """
    if noisy():
        return model.projected, model.bread
    q = model.basis.q if model.weights is None else model.basis.q / np.sqrt(model.weights)[:, None]
    return q, model.inverse if model.k_class is None else model.bread @ model.basis.r.T


def _rowwise_meat(model: Linear, vcov: Vcov, groups: Groups, columns: FloatArray) -> FloatArray:
    """The meats that rows, alone or in clusters, add up to."""
    if isinstance(vcov, Clustered):
        return _clustered(model, vcov, [groups[name] for name in vcov.by], columns * model.working[:, None])
    with np.errstate(divide="ignore", invalid="ignore"):
        omega = _OMEGA[type(vcov)](model)
    check_discounts(vcov, model, omega)
    scaled = columns * np.sqrt(omega)[:, None]
    return np.asarray(scaled.T @ scaled)


def _meat(model: Linear, vcov: Vcov, groups: Groups) -> FloatArray:
    if isinstance(vcov, NeweyWest):
        return hac.newey_west(model, vcov, groups[vcov.order_by] if vcov.order_by else None)
    if isinstance(vcov, Andrews):
        return hac.andrews(model, vcov, groups[vcov.order_by] if vcov.order_by else None)
    if isinstance(vcov, DriscollKraay):
        return hac.driscoll_kraay(model, vcov, groups[vcov.cluster], groups[vcov.order_by])
    if isinstance(vcov, PanelCorrected):
        return hac.beck_katz(model, groups[vcov.cluster])
    raise UnsupportedError(f"The native engine has no covariance estimator {vcov}.")


def _discounted(model: Linear, exponent: FloatArray | float) -> FloatArray:
    return np.asarray(model.working**2 / (1 - model.hat) ** exponent)


def _relative_leverage(model: Linear) -> FloatArray:
    """n·h/p with sandwich's p, the rounded sum of the leverages."""
    return np.asarray(model.n * model.hat / np.round(model.hat.sum()))


def _hc5(model: Linear) -> FloatArray:
    leverage = _relative_leverage(model)
    return _discounted(model, np.minimum(leverage, max(4.0, 0.7 * leverage.max())) / 2)


_OMEGA: dict[type[Vcov], Callable[[Linear], FloatArray]] = {
    HC0: lambda m: m.working**2,
    HC1: lambda m: m.working**2 * (m.n / (m.n - m.k)),
    HC2: lambda m: _discounted(m, 1.0),
    HC3: lambda m: _discounted(m, 2.0),
    HC4: lambda m: _discounted(m, np.minimum(4.0, _relative_leverage(m))),
    HC4m: lambda m: _discounted(
        m, np.minimum(1.0, _relative_leverage(m)) + np.minimum(1.5, _relative_leverage(m))
    ),
    HC5: _hc5,
}  # fmt: skip


def _clustered(model: Linear, vcov: Clustered, by: list[IntArray], scores: FloatArray) -> FloatArray:
    """Inclusion–exclusion over all intersections of the cluster dimensions."""
    n, k = model.n, model.k
    # R's default type looks at the class of the fit: HC1 for lm, HC0 for everything else
    kind = vcov.type or ("HC1" if model.instruments is None else "HC0")
    total = np.zeros((k, k))
    for size in range(1, len(by) + 1):
        for members in combinations(by, size):
            single = vcov.multi0 and size == len(by) > 1
            codes = np.arange(n) if single else _intersect(members)
            count = int(codes.max()) + 1
            if single:
                factor = (n - k) / (n - 1) if kind == "HC1" else 1.0
            else:
                factor = count / (count - 1) if vcov.cadjust else 1.0
            sums = np.zeros((count, k))
            np.add.at(sums, codes, scores)
            total += (-1) ** (size + 1) * factor * (sums.T @ sums)
    return (n - 1) / (n - k) * total if kind == "HC1" else total


def _intersect(members: tuple[IntArray, ...]) -> IntArray:
    return np.asarray(np.unique(np.column_stack(members), axis=0, return_inverse=True)[1], dtype=np.int64).ravel()


def _bootstrap(model: Linear, vcov: Bootstrap, groups: Groups) -> FloatArray:
    """``vcovBS``: covariance of refits on resampled rows or clusters, with the draws that R makes from this seed."""
    codes = groups[vcov.cluster] if vcov.cluster else np.arange(model.n)
    count = int(codes.max()) + 1
    random = RRandom(vcov.seed)
    draws = np.empty((vcov.R, model.k))
    for b in range(vcov.R):
        copies = np.bincount(random.sample(count, count, replace=True) - 1, minlength=count)[codes]
        draws[b] = _refit(model, copies)
    return _pairwise_covariance(draws)


def _refit(model: Linear, copies: IntArray) -> FloatArray:
    """Coefficients when row i counts ``copies[i]`` times; NaN where the sample leaves a coefficient undetermined."""
    rows = np.flatnonzero(copies)
    weights = copies[rows] * (1.0 if model.weights is None else model.weights[rows])
    root = np.sqrt(weights)[:, None]
    x = model.x[rows] * root
    z = x if model.instruments is None else model.instruments.matrix[rows] * root
    basis = np.linalg.qr(z[:, independent(z)])[0]
    projected = basis @ (basis.T @ x)
    kept = independent(projected)
    q, r = np.linalg.qr(projected[:, kept])
    coef = np.full(model.k, np.nan)
    coef[kept] = np.linalg.solve(r, q.T @ (model.y[rows] * root[:, 0]))
    return coef


def _pairwise_covariance(draws: FloatArray) -> FloatArray:
    """Columnwise covariance with R's ``use = "pairwise.complete.obs"``."""
    present = ~np.isnan(draws)
    if present.all():
        return np.atleast_2d(np.cov(draws, rowvar=False))
    k = draws.shape[1]
    out = np.full((k, k), np.nan)
    for i in range(k):
        for j in range(i + 1):
            both = present[:, i] & present[:, j]
            if both.sum() > 1:
                out[i, j] = out[j, i] = np.cov(draws[both][:, [i, j]], rowvar=False)[0, 1]
    return out
