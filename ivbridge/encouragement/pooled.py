"""All chosen experiments in one estimate: least squares, two-stage least squares, LIML, and the tests beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, stats

from ivbridge.encouragement.effects import LEVEL, effect, quadratic_set
from ivbridge.encouragement.records import Effect, Set
from ivbridge.encouragement.sums import Cross
from ivbridge.records import FloatArray, NotApplicable, Test
from ivbridge.vcov import HC0, Classical, Vcov

__all__ = ["Pooled", "anderson_rubin", "pooled"]

#: Points at which the Anderson–Rubin statistic is looked at before its crossings are located.
_ANGLES = 801


@dataclass(frozen=True, slots=True)
class Pooled:
    """The pooled answer.

    Attributes
    ----------
    experiments, controls : tuple of str
        Instruments and controls that were used.
    dropped : tuple of str
        Left out because of linear dependence.
    ols : Effect
        Least squares of outcome on behavior: what confounding does.
    two_stage : Effect
    liml : Effect
    kappa : float
        Of LIML.
    bekker : Effect
        LIML with the standard error of Bekker (1994), which many instruments do not mislead.
    weak : Test
        First-stage F of all chosen experiments under the asked vcov.
    effective_f : float
        Montiel Olea and Pflueger (2013).
    wu_hausman : Test
        Classical, as ``summary.ivreg`` computes it without ``vcov.``.
    sargan : Test or NotApplicable
    anderson_rubin : Set
        95 % confidence set.
    n, df_resid : int
    """

    experiments: tuple[str, ...]
    controls: tuple[str, ...]
    dropped: tuple[str, ...]
    ols: Effect
    two_stage: Effect
    liml: Effect
    kappa: float
    bekker: Effect
    weak: Test
    effective_f: float
    wu_hausman: Test
    sargan: Test | NotApplicable
    anderson_rubin: Set
    n: int
    df_resid: int


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """First stage and reduced form, and κ of LIML."""

    inverse: FloatArray
    first: FloatArray
    reduced: FloatArray
    fitted: float
    kappa: float
    two_stage: float
    liml: float
    ols: float


@dataclass(frozen=True, slots=True, eq=False)
class _Meats:
    """Sums over users that robust covariances need; v and u are residuals of first stage and reduced form."""

    vv: FloatArray
    uv: FloatArray
    uu: FloatArray
    two_stage: float
    liml: float
    ols: float


def pooled(cross: Cross, vcov: Vcov) -> Pooled:
    """Estimate and test.

    Parameters
    ----------
    cross : Cross
    vcov : Classical, HC0 or HC1
    """
    solved = _solve(cross)
    meats = None if isinstance(vcov, Classical) else _meats(cross, solved)
    factor = 1.0 if isinstance(vcov, HC0) else cross.n / cross.df_second
    left = cross.xx - solved.fitted
    liml_bread = cross.xx - solved.kappa * left

    def of(estimate: float, bread: float, meat: float | None) -> Effect:
        variance = _rss(cross, estimate) / cross.df_second / bread if meat is None else meat / bread**2 * factor
        return effect(estimate, float(np.sqrt(variance)), cross.df_second)

    return Pooled(
        cross.instruments,
        cross.controls,
        cross.dropped,
        ols=of(solved.ols, cross.xx, meats and meats.ols),
        two_stage=of(solved.two_stage, solved.fitted, meats and meats.two_stage),
        liml=of(solved.liml, liml_bread, meats and meats.liml),
        kappa=solved.kappa,
        bekker=effect(solved.liml, _bekker(cross, solved), cross.df_second),
        weak=_weak(cross, solved, meats, vcov),
        effective_f=_effective_f(cross, solved, meats, vcov),
        wu_hausman=_wu_hausman(cross, solved),
        sargan=_sargan(cross, solved),
        anderson_rubin=anderson_rubin(*_reduced_form(cross, solved, meats, vcov)),
        n=cross.n,
        df_resid=cross.df_second,
    )


def _solve(cross: Cross) -> _Solved:
    factor = linalg.cho_factor(cross.zz)
    first, reduced = linalg.cho_solve(factor, cross.zx), linalg.cho_solve(factor, cross.zy)
    both = np.array([[cross.yy, cross.xy], [cross.xy, cross.xx]])
    sides = np.column_stack([cross.zy, cross.zx])
    explained = sides.T @ np.column_stack([reduced, first])
    fitted = float(cross.zx @ first)
    # κ − 1 is the smallest root of |explained − λ (both − explained)|: one instrument leaves exactly zero
    excess = float(linalg.eigh(explained, both - explained, eigvals_only=True)[0]) if cross.width > 1 else 0.0
    kappa = 1 + max(excess, 0.0)
    left = both - explained
    return _Solved(
        inverse=linalg.cho_solve(factor, np.eye(cross.width)),
        first=first,
        reduced=reduced,
        fitted=fitted,
        kappa=kappa,
        two_stage=float(cross.zy @ first) / fitted,
        liml=float((cross.xy - kappa * left[0, 1]) / (cross.xx - kappa * left[1, 1])),
        ols=cross.xy / cross.xx,
    )


def _meats(cross: Cross, solved: _Solved) -> _Meats:
    shape = (cross.width, cross.width)
    vv, uv, uu = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    sums = np.zeros(3)
    for z, x, y in cross.blocks():
        projected = z @ solved.first
        v, u = x - projected, y - z @ solved.reduced
        vv += z.T @ (z * (v * v)[:, None])
        uv += z.T @ (z * (u * v)[:, None])
        uu += z.T @ (z * (u * u)[:, None])
        scores = (projected * (y - solved.two_stage * x), projected * (y - solved.liml * x), x * (y - solved.ols * x))
        sums += [score @ score for score in scores]
    return _Meats(vv, uv, uu, *map(float, sums))


def _rss(cross: Cross, estimate: float) -> float:
    return cross.yy - 2 * estimate * cross.xy + estimate**2 * cross.xx


def _bekker(cross: Cross, solved: _Solved) -> float:
    """Standard error; X̃ = X − û(û'X)/û'û, α = û'Pû/û'û (Hansen, Hausman & Newey 2008, section 2)."""
    b, rss = solved.liml, _rss(cross, solved.liml)
    explained_uu = float((cross.zy - b * cross.zx) @ (solved.reduced - b * solved.first))
    explained_ux = float((cross.zy - b * cross.zx) @ solved.first)
    alpha, slope = explained_uu / rss, (cross.xy - b * cross.xx) / rss
    h = solved.fitted - alpha * cross.xx
    explained = solved.fitted - 2 * slope * explained_ux + slope**2 * explained_uu
    rest = (cross.xx - slope**2 * rss) - explained
    meat = rss / cross.df_second * ((1 - alpha) ** 2 * explained + alpha**2 * rest)
    return float(np.sqrt(meat) / abs(h))


def _reduced_form(
    cross: Cross, solved: _Solved, meats: _Meats | None, vcov: Vcov
) -> tuple[FloatArray, FloatArray, tuple[FloatArray, FloatArray, FloatArray], int]:
    """Moments z'y and z'x, their covariance matrices (uu, uv, vv), and the denominator's degrees of freedom."""
    if meats is not None:
        factor = 1.0 if isinstance(vcov, HC0) else cross.n / cross.df_first
        return cross.zy, cross.zx, (factor * meats.uu, factor * meats.uv, factor * meats.vv), cross.df_first
    left = [
        cross.yy - float(cross.zy @ solved.reduced), cross.xy - float(cross.zy @ solved.first), cross.xx - solved.fitted
    ]  # fmt: skip
    uu, uv, vv = (cross.zz * one / cross.df_first for one in left)
    return cross.zy, cross.zx, (uu, uv, vv), cross.df_first


def _weak(cross: Cross, solved: _Solved, meats: _Meats | None, vcov: Vcov) -> Test:
    _, zx, (_, _, vv), df = _reduced_form(cross, solved, meats, vcov)
    f = float(zx @ linalg.solve(vv, zx, assume_a="pos")) / cross.width
    return Test("First-stage F", f, float(stats.f.sf(f, cross.width, df)), float(cross.width), float(df), "F")


def _effective_f(cross: Cross, solved: _Solved, meats: _Meats | None, vcov: Vcov) -> float:
    _, _, (_, _, vv), _ = _reduced_form(cross, solved, meats, vcov)
    return solved.fitted / float(np.sum(solved.inverse * vv))


def _wu_hausman(cross: Cross, solved: _Solved) -> Test:
    """F of the first-stage residual added to least squares; fitted part and residual are orthogonal."""
    left, cross_left = cross.xx - solved.fitted, cross.xy - float(cross.zy @ solved.first)
    both = float(cross.zy @ solved.first) ** 2 / solved.fitted + cross_left**2 / left
    df = cross.df_second - 1
    gain = both - cross.xy**2 / cross.xx
    f = gain / ((cross.yy - both) / df)
    return Test("Wu-Hausman", float(f), float(stats.f.sf(f, 1, df)), 1.0, float(df), "F")


def _sargan(cross: Cross, solved: _Solved) -> Test | NotApplicable:
    if cross.width == 1:
        return NotApplicable("Sargan", "one experiment is exactly enough, so there is nothing to compare it with")
    b = solved.two_stage
    gap, deviation = cross.zy - b * cross.zx, solved.reduced - b * solved.first
    statistic = cross.n * float(gap @ deviation) / _rss(cross, b)
    df = float(cross.width - 1)
    return Test("Sargan", statistic, float(stats.chi2.sf(statistic, df)), df, float("inf"), "chi2")


def anderson_rubin(
    zy: FloatArray, zx: FloatArray, covariance: tuple[FloatArray, FloatArray, FloatArray], df: int
) -> Set:
    """Confidence set of the effect by inverting the Anderson–Rubin F test.

    The statistic is a ratio of polynomials in β; it is followed along β = c + s tan θ over the whole line, and every
    crossing of its limit is then located to rounding.

    Parameters
    ----------
    zy, zx : (l,) arrays
        Moments of outcome and behavior with the instruments.
    covariance : three (l, l) arrays
        Covariance matrices of zy, of zy with zx, and of zx.
    df : int
        Degrees of freedom of the denominator.
    """
    uu, uv, vv = covariance
    limit = float(stats.f.ppf(LEVEL, len(zy), df)) * len(zy)
    if len(zy) == 1:
        parts = (zx[0] ** 2 - limit * vv[0, 0], zx[0] * zy[0] - limit * uv[0, 0], zy[0] ** 2 - limit * uu[0, 0])
        return quadratic_set(*map(float, parts))

    def spread(beta: float) -> FloatArray:
        return uu - beta * (uv + uv.T) + beta**2 * vv

    weight = linalg.solve(vv, zx, assume_a="pos")
    centre = float(zy @ weight) / float(zx @ weight)
    scale = float(np.sqrt(limit / (zx @ linalg.solve(spread(centre), zx, assume_a="pos"))))

    def excess(angle: float) -> float:
        cos, sin = np.cos(angle), np.sin(angle)
        # both sides divided by (1 + tan²): finite at ±π/2, where β is infinite
        gap = cos * (zy - centre * zx) - sin * scale * zx
        turned = cos**2 * spread(centre) - cos * sin * scale * (uv + uv.T - 2 * centre * vv) + (sin * scale) ** 2 * vv
        return float(gap @ linalg.solve(turned, gap, assume_a="pos")) - limit

    def value(angle: float) -> float:
        return float(np.copysign(np.inf, angle)) if abs(angle) == np.pi / 2 else float(centre + scale * np.tan(angle))

    return Set(tuple((value(low), value(high)) for low, high in _below(excess)))


def _below(excess: Callable[[float], float]) -> list[tuple[float, float]]:
    """Intervals of angles in [−π/2, π/2] where a function is not positive; its ends count as infinite."""
    angles = np.linspace(-np.pi / 2, np.pi / 2, _ANGLES)
    values = np.array([excess(angle) for angle in angles])
    lowest = int(np.argmin(values))
    if values[lowest] > 0:  # a set narrower than the grid
        around = (angles[max(lowest - 1, 0)], angles[min(lowest + 1, _ANGLES - 1)])
        found = optimize.minimize_scalar(excess, bounds=around, method="bounded", options={"xatol": 1e-12})
        if found.fun > 0:
            return []
        place = int(np.searchsorted(angles, found.x))
        angles, values = np.insert(angles, place, found.x), np.insert(values, place, found.fun)
    inside = values <= 0
    edges = [float(angles[0])] if inside[0] else []
    for k in np.flatnonzero(inside[1:] != inside[:-1]):
        edges.append(float(optimize.brentq(excess, angles[k], angles[k + 1], xtol=1e-15, rtol=1e-14)))
    edges += [float(angles[-1])] if inside[-1] else []
    return list(zip(edges[::2], edges[1::2], strict=True))
