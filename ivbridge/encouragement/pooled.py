"""All chosen experiments in one estimate: least squares, two-stage least squares, LIML, and the tests beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, stats

from ivbridge.encouragement.effects import LEVEL, effect
from ivbridge.encouragement.records import Effect, Set
from ivbridge.encouragement.sums import Cross
from ivbridge.records import FloatArray, NotApplicable, Test
from ivbridge.vcov import HC0, Classical, Vcov
from ivbridge.weak_native import pieces, quadratic_set, strength

__all__ = ["Pooled", "degenerate", "pooled"]

#: A share of a sum of squares that rounding alone can leave.
_NOTHING = 1e-12


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
    effective_f, effective_critical : float
        Montiel Olea and Pflueger (2013), and the value beyond which the bias is below 10 % of the worst case.
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
    effective_critical: float
    wu_hausman: Test
    sargan: Test | NotApplicable
    anderson_rubin: Set
    n: int
    df_resid: int


@dataclass(frozen=True, slots=True, eq=False)
class _Solved:
    """First stage and reduced form, and κ of LIML."""

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


@dataclass(frozen=True, slots=True, eq=False)
class _ReducedForm:
    """Coefficients a of y and b of x; covariances of a, of a with b (both triangles added), and of b."""

    a: FloatArray
    b: FloatArray
    covariances: tuple[FloatArray, FloatArray, FloatArray]


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
    form = _reduced_form(cross, solved, meats, vcov)
    effective, _, critical = strength(form.b, form.covariances[2])
    liml_bread = cross.xx - solved.kappa * left

    def of(estimate: float, bread: float, meat: float | None) -> Effect:
        variance = _rss(cross, estimate) / cross.df_second / bread if meat is None else meat / bread**2 * factor
        return effect(estimate, float(np.sqrt(variance)), cross.df_second)

    return Pooled(
        cross.instruments,
        cross.controls,
        cross.dropped,
        ols=of(solved.ols, cross.xx, meats.ols if meats else None),
        two_stage=of(solved.two_stage, solved.fitted, meats.two_stage if meats else None),
        liml=of(solved.liml, liml_bread, meats.liml if meats else None),
        kappa=solved.kappa,
        bekker=effect(solved.liml, _bekker(cross, solved), cross.df_second),
        weak=_weak(cross, form),
        effective_f=effective,
        effective_critical=critical[0.10],
        wu_hausman=_wu_hausman(cross, solved),
        sargan=_sargan(cross, solved),
        anderson_rubin=_anderson_rubin(cross, solved, form, vcov),
        n=cross.n,
        df_resid=cross.df_second,
    )


def degenerate(cross: Cross) -> str:
    """Why there is no pooled estimate for these sums; empty where there is one."""
    first, reduced = (linalg.solve(cross.zz, side, assume_a="pos") for side in (cross.zx, cross.zy))
    fitted = float(cross.zx @ first)
    left = np.array([[cross.yy - cross.zy @ reduced, cross.xy - cross.zy @ first], [0.0, cross.xx - fitted]])
    what = cross.users
    if fitted <= _NOTHING * cross.xx:
        return f"the chosen experiments leave {what.behavior} exactly as it is"
    if left[1, 1] <= _NOTHING * cross.xx:
        return f"the experiments determine {what.behavior} exactly, so that it needs no instrument: compare the arms"
    if left[0, 0] - left[0, 1] ** 2 / left[1, 1] <= _NOTHING * cross.yy:
        return f"{what.behavior} and the experiments reproduce {what.outcome} exactly"
    return ""


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


def _reduced_form(cross: Cross, solved: _Solved, meats: _Meats | None, vcov: Vcov) -> _ReducedForm:
    """Coefficients of y and x on orthonormal instruments, with the covariance matrices of regressions on these."""
    lower = linalg.cholesky(cross.zz, lower=True)
    a, b = (linalg.solve_triangular(lower, side, lower=True) for side in (cross.zy, cross.zx))
    if meats is None:
        left = [cross.yy - float(a @ a), cross.xy - float(a @ b), cross.xx - float(b @ b)]
        yy, xy, xx = (np.eye(cross.width) * one / cross.df_first for one in left)
    else:
        factor = 1.0 if isinstance(vcov, HC0) else cross.n / cross.df_first
        yy, xy, xx = (factor * _orthonormal(lower, meat) for meat in (meats.uu, meats.uv, meats.vv))
    return _ReducedForm(a, b, (yy, xy + xy.T, xx))


def _orthonormal(lower: FloatArray, meat: FloatArray) -> FloatArray:
    half = linalg.solve_triangular(lower, meat, lower=True)
    return np.asarray(linalg.solve_triangular(lower, half.T, lower=True).T)


def _weak(cross: Cross, form: _ReducedForm) -> Test:
    f = float(form.b @ linalg.solve(form.covariances[2], form.b, assume_a="pos")) / cross.width
    df = float(cross.df_first)
    return Test("First-stage F", f, float(stats.f.sf(f, cross.width, df)), float(cross.width), df, "F")


def _anderson_rubin(cross: Cross, solved: _Solved, form: _ReducedForm, vcov: Vcov) -> Set:
    """Values at which the F test of the instruments in the regression of y − βx does not reject."""
    limit = float(stats.f.ppf(LEVEL, cross.width, cross.df_first)) * cross.width
    yy, both, xx = form.covariances
    if isinstance(vcov, Classical) or cross.width == 1:  # the covariances are multiples of one matrix
        square = float(form.b @ form.b) - limit * xx[0, 0]
        linear = float(form.a @ form.b) - limit * both[0, 0] / 2
        constant = float(form.a @ form.a) - limit * yy[0, 0]
        return Set(tuple(quadratic_set(square, linear, float(constant))))
    # around the 2SLS estimate, in units of residuals, so that the coefficients of the polynomials have one size
    centre = solved.two_stage
    unit = float(np.sqrt(_rss(cross, centre) / cross.xx))
    shifted = (yy - centre * both + centre**2 * xx, unit * (both - 2 * centre * xx), unit**2 * xx)
    found = pieces(form.a - centre * form.b, unit * form.b, shifted, limit)
    return Set(tuple((centre + unit * low, centre + unit * high) for low, high in found))


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
