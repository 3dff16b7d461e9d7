"""Meats for dependent observations by sandwich's conventions: Newey–West, Andrews, Driscoll–Kraay, Beck–Katz.

Every function takes a :class:`~ivbridge.linear.Linear` and returns the meat as a (k, k) sum over observations.
Sources: Newey & West (1987, 1994), Andrews (1991), Andrews & Monahan (1992, prewhitening), Driscoll & Kraay (1998),
Beck & Katz (1995); the conventions are those documented for ``NeweyWest``, ``kernHAC``, ``vcovPL`` and ``vcovPC`` in
R's sandwich 3.0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ivbridge.degenerate import check_scores
from ivbridge.errors import DataError, DesignError
from ivbridge.linear import Linear, independent
from ivbridge.records import FloatArray, IntArray
from ivbridge.vcov import Andrews, DriscollKraay, NeweyWest, PanelCorrected

__all__ = ["andrews", "beck_katz", "check_panel", "driscoll_kraay", "kernel_weights", "newey_west"]


def _quadratic_spectral(x: FloatArray) -> FloatArray:
    def exact(v: FloatArray) -> FloatArray:
        y = 6 * np.pi * v / 5
        return np.asarray(3 / y**2 * (np.sin(y) / y - np.cos(y)))

    # near zero sandwich replaces the cancelling formula by a Gaussian through its value at 0.001
    near = np.abs(x) < 1e-3
    curvature = 1e6 * np.log(exact(np.array([1e-3]))[0])
    return np.where(near, np.exp(curvature * x**2), exact(np.where(near, 1.0, x)))


_KERNELS: dict[str, Callable[[FloatArray], FloatArray]] = {
    "Truncated": lambda x: np.where(np.abs(x) > 1, 0.0, 1.0),
    "Bartlett": lambda x: np.where(np.abs(x) > 1, 0.0, 1 - np.abs(x)),
    "Parzen": lambda x: np.where(
        np.abs(x) > 1, 0.0, np.where(np.abs(x) < 0.5, 1 - 6 * x**2 + 6 * np.abs(x) ** 3, 2 * (1 - np.abs(x)) ** 3)
    ),
    "Tukey-Hanning": lambda x: np.where(np.abs(x) > 1, 0.0, (1 + np.cos(np.pi * x)) / 2),
    "Quadratic Spectral": _quadratic_spectral,
}


def kernel_weights(kernel: str, lags: int, bandwidth: float) -> FloatArray:
    """Kernel weights at 0, 1, …, lags−1 over the bandwidth; sandwich's ``kweights``. Shape (lags,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.arange(lags) / bandwidth
    return _KERNELS[kernel](np.nan_to_num(steps, nan=0.0, posinf=np.inf))


def _lagged_sum(u: FloatArray, weights: FloatArray) -> FloatArray:
    """Σ over lags of weight × (cross-product + its transpose), lag zero once."""
    total = 0.5 * weights[0] * (u.T @ u)
    for lag in range(1, len(weights)):
        total += weights[lag] * (u[: len(u) - lag].T @ u[lag:])
    return np.asarray(total + total.T)


def _prewhiten(u: FloatArray, order: int) -> tuple[FloatArray, FloatArray]:
    """Residuals of a VAR(order) without constant, and (I − ΣA)⁻¹."""
    n, k = u.shape
    if n - order <= order * k:
        raise DesignError(
            f"VAR({order}) prewhitening of {k} estimating functions needs more than {order * (k + 1)} rows; found {n}.",
            do="ask with prewhite=0.",
        )
    lengths = np.std(u, axis=0, ddof=1)
    scaled = u / np.where(lengths == 0, 1.0, lengths)
    past = np.hstack([scaled[order - j - 1 : n - j - 1] for j in range(order)])
    # normal equations, as R's ar.ols solves and refuses them: a steadier method would hide how few digits they leave
    gram = past.T @ past
    if len(independent(gram)) < len(gram):
        raise DesignError(
            f"VAR({order}) prewhitening fails: the estimating functions are too collinear.", do="ask with prewhite=0."
        )
    steps = np.linalg.solve(gram, past.T @ scaled[order:])
    residuals = (scaled[order:] - past @ steps) * lengths
    total = steps.reshape(order, k, k).sum(axis=0).T * np.outer(lengths, 1 / np.where(lengths == 0, 1.0, lengths))
    return residuals, np.linalg.inv(np.eye(k) - total)


def _hac(
    model: Linear, u: FloatArray, vcov: NeweyWest | Andrews, weights_for: Callable[[int], FloatArray]
) -> FloatArray:
    """The part that Newey–West and Andrews share; ``weights_for(n)`` gives the lag weights after prewhitening."""
    whitened, recolour = (u, None) if vcov.prewhite == 0 else _prewhiten(u, vcov.prewhite)
    weights = weights_for(len(whitened))[: len(whitened)]
    meat = _lagged_sum(whitened, weights)
    if vcov.adjust:
        meat = model.n / (model.n - model.k) * meat
    return meat if recolour is None else recolour @ meat @ recolour.T


def _in_time(model: Linear, order: IntArray | None) -> FloatArray:
    return model.scores if order is None else model.scores[np.argsort(order, kind="stable")]


def _selection(model: Linear, u: FloatArray) -> FloatArray:
    """Which scores guide the automatic bandwidth: all but the constant's.

    Without a column of that name (AER's auxiliary fits) sandwich looks for scores equal to the residuals; it has put
    the scores u in time order by then, but not the residuals, so with an ``order.by`` it finds none.
    """
    if "(Intercept)" in model.names:
        chosen = np.array([name != "(Intercept)" for name in model.names], dtype=float)
    else:
        chosen = (np.sum((u - model.working[:, None]) ** 2, axis=0) >= 1e-16).astype(float)
    return chosen if chosen.any() and len(chosen) > 1 else np.ones(len(chosen))


def newey_west(model: Linear, vcov: NeweyWest, order: IntArray | None) -> FloatArray:
    """Meat of ``NeweyWest``; ``order`` holds the time order of the rows, (n,) or None."""
    if vcov.prewhite or vcov.lag is None:
        check_scores(vcov, model)
    u = _in_time(model, order)
    lag = vcov.lag if vcov.lag is not None else int(np.floor(_bandwidth_newey_west(model, u, vcov.prewhite)))
    return _hac(model, u, vcov, lambda n: 1 - np.arange(lag + 1) / (lag + 1))


def _bandwidth_newey_west(model: Linear, u: FloatArray, prewhite: int) -> float:
    """Newey & West (1994) for the Bartlett kernel: sandwich's ``bwNeweyWest``."""
    n = len(u)
    depth = int(np.floor((3 if prewhite else 4) * (n / 100) ** (2 / 9)))
    whitened = _prewhiten(u, prewhite)[0] if prewhite else u
    h = whitened @ _selection(model, u)
    sigma = np.array([h[: len(h) - j] @ h[j:] for j in range(depth + 1)]) / len(h)
    s0 = sigma[0] + 2 * sigma[1:].sum()
    s1 = 2 * (np.arange(1, depth + 1) * sigma[1:]).sum()
    return float(1.1447 * ((s1 / s0) ** 2) ** (1 / 3) * n ** (1 / 3))


def andrews(model: Linear, vcov: Andrews, order: IntArray | None) -> FloatArray:
    """Meat of ``kernHAC``; ``order`` as in :func:`newey_west`."""
    if vcov.prewhite or vcov.bw is None:
        check_scores(vcov, model)
    u = _in_time(model, order)
    width = vcov.bw if vcov.bw is not None else _bandwidth_andrews(model, u, vcov)

    def weights_for(n: int) -> FloatArray:
        weights = kernel_weights(vcov.kernel, n, width)
        return weights[: np.flatnonzero(np.abs(weights) > 1e-7)[-1] + 1]  # sandwich's tol

    return _hac(model, u, vcov, weights_for)


def _bandwidth_andrews(model: Linear, u: FloatArray, vcov: Andrews) -> float:
    """Andrews (1991), univariate AR(1) approximations: sandwich's ``bwAndrews``."""
    whitened = _prewhiten(u, vcov.prewhite)[0] if vcov.prewhite else u
    now, past = whitened[1:], whitened[:-1]
    centred = past - past.mean(axis=0)
    rho = (centred * now).sum(axis=0) / (centred**2).sum(axis=0)
    errors = (now - now.mean(axis=0)) - centred * rho
    s4 = np.mean(errors**2, axis=0) ** 2
    w = _selection(model, u)
    denominator = np.sum(w * s4 / (1 - rho) ** 4)
    alpha2 = np.sum(w * 4 * rho**2 * s4 / (1 - rho) ** 8) / denominator
    alpha1 = np.sum(w * 4 * rho**2 * s4 / ((1 - rho) ** 6 * (1 + rho) ** 2)) / denominator
    n = len(whitened)
    constants = {"Truncated": 0.6611, "Parzen": 2.6614, "Tukey-Hanning": 1.7462, "Quadratic Spectral": 1.3221}
    if vcov.kernel == "Bartlett":
        return float(1.1447 * (n * alpha1) ** (1 / 3))
    return float(constants[vcov.kernel] * (n * alpha2) ** (1 / 5))


def driscoll_kraay(model: Linear, vcov: DriscollKraay, unit: IntArray, period: IntArray) -> FloatArray:
    """Meat of ``vcovPL``; unit and period are codes 0, 1, … of shape (n,)."""
    periods = int(period.max()) + 1
    rules = {"max": periods - 1, "NW1987": np.floor(periods**0.25), "NW1994": np.floor(4 * (periods / 100) ** (2 / 9))}
    lag = rules[vcov.lag] if isinstance(vcov.lag, str) else vcov.lag
    weights = kernel_weights("Bartlett", periods, float(lag) + 1)
    weights = weights[: np.flatnonzero(np.abs(weights) > 0)[-1] + 1]
    if vcov.aggregate:
        sums = np.zeros((periods, model.k))
        np.add.at(sums, period, model.scores)
        meat = _lagged_sum(sums, weights)
    else:
        meat = _panel_sum(model.scores, unit, period, weights)
    return model.n / (model.n - model.k) * meat if vcov.adjust else meat


def _panel_sum(scores: FloatArray, unit: IntArray, period: IntArray, weights: FloatArray) -> FloatArray:
    """Lagged products within units; a pair counts where both of its periods are present."""
    position = np.full((int(unit.max()) + 1, int(period.max()) + 1), -1, dtype=np.int64)
    position[unit, period] = np.arange(len(scores))
    total = 0.5 * weights[0] * (scores.T @ scores)
    for lag in range(1, len(weights)):
        first, later = position[:, : position.shape[1] - lag].ravel(), position[:, lag:].ravel()
        both = (first >= 0) & (later >= 0)
        total += weights[lag] * (scores[first[both]].T @ scores[later[both]])
    return np.asarray(total + total.T)


def beck_katz(model: Linear, unit: IntArray) -> FloatArray:
    """Meat of ``vcovPC`` for a balanced panel sorted by unit and period: Σᵢⱼ σᵢⱼ Pᵢ'Pⱼ."""
    units = int(unit.max()) + 1
    t = model.n // units
    residuals = model.working.reshape(units, t)
    sigma = residuals @ residuals.T / t
    blocks = model.projected.reshape(units, t * model.k)
    mixed = (sigma @ blocks).reshape(model.n, model.k)
    return np.asarray(model.projected.T @ mixed)


def check_panel(vcov: DriscollKraay | PanelCorrected, unit: IntArray, period: IntArray) -> None:
    """Refuse panels that the estimator, or R's version of it, would get wrong.

    Raises
    ------
    DataError
        A single period; repeated (unit, period) pairs without aggregation; for pc() anything but a balanced, sorted
        panel.
    """
    units, periods = int(unit.max()) + 1, int(period.max()) + 1
    if periods < 2:
        raise DataError(
            f"{vcov}: the column {vcov.order_by!r} holds a single period in the rows used; at least two are needed.",
            do="order by another column, or use HC1.",
        )
    distinct = len(np.unique(unit * periods + period))
    if isinstance(vcov, DriscollKraay):
        if not vcov.aggregate and distinct < len(unit):
            raise DataError(
                f"{vcov}: {len(unit) - distinct} rows repeat a pair of {vcov.cluster!r} and {vcov.order_by!r}.",
                do="keep one row a pair, or use aggregate=True.",
            )
        return
    in_order = len(unit) == units * periods and np.array_equal(unit * periods + period, np.arange(len(unit)))
    if not in_order:
        raise DataError(
            f"{vcov} needs a balanced panel whose rows are sorted by {vcov.cluster!r}, then {vcov.order_by!r}: R's "
            "vcovPC takes that order for granted and is silently wrong without it.",
            do="sort the rows, or use dk(unit, period).",
        )
