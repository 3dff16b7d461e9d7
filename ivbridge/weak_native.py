"""Weak-instrument inference on given matrices: the Anderson–Rubin test, its exact inversion, and the effective F.

Everything is computed in orthonormal coordinates Q of the instruments with the exogenous regressors partialled out: the
reduced-form coefficients are Q'y and Q'x. For a tested value β the statistic is W(β) = g'V⁻¹g with g = Q'(y − βx), and
V(β), the covariance of g, is a quadratic in β for every estimator that sums products of residuals with fixed weights.
The ends of the confidence set are the real roots of det(c·V(β) − gg') = 0, a quadratic eigenvalue problem.
Sources: Anderson & Rubin (1949); Dufour & Taamouti (2005) for the classical set; Montiel Olea & Pflueger (2013).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import linalg, optimize, stats

from ivbridge.diagnostics import singular, untestable
from ivbridge.errors import DesignError, UnsupportedError
from ivbridge.kclass import exogenous_first
from ivbridge.linear import Basis, Linear, least_squares, scaled
from ivbridge.rank import TOLERANCE
from ivbridge.records import FloatArray, Seen, Test
from ivbridge.sandwich import covariance
from ivbridge.vcov import Andrews, Bekker, Bootstrap, Classical, Clustered, DriscollKraay, Inference, NeweyWest, Vcov, Z
from ivbridge.weak_records import BIAS_SHARES

__all__ = [
    "anderson_rubin",
    "check_question",
    "check_vcov",
    "confidence_intervals",
    "critical_value",
    "effective_f",
    "pieces",
    "quadratic_set",
    "strength",
]

#: An eigenvalue this near to the real line is a candidate for an end; a sign change decides.
NEARLY_REAL = 1e-3


def check_vcov(vcov: Vcov, *, invert: bool) -> None:
    """Refuse a covariance estimator that the test cannot have; every engine asks this first.

    Parameters
    ----------
    vcov : Vcov
    invert : bool
        Whether the test is to be inverted, which needs a covariance that is quadratic in the residuals.

    Raises
    ------
    UnsupportedError
        If it is a bootstrap, Bekker's, or, for a set, one whose bandwidth or prewhitening depends on the tested value,
        or that need not be positive (several cluster dimensions, two of the kernels).
    """
    if isinstance(vcov, Bootstrap | Bekker):
        raise UnsupportedError(
            f"vcov={vcov} has no meaning for weak-instrument inference, which rests on least-squares fits.",
            available="classical, HC0 … HC5, cluster(g), nw(4, prewhite=0)",
        )
    if invert and not _quadratic(vcov):
        raise UnsupportedError(
            f"With vcov={vcov}, which adapts to the tested value or may be negative, the test has no exact inverse.",
            available="classical, HC0 … HC5, cluster(g), nw(4, prewhite=0)",
        )


def check_question(seen: Seen, vcov: Vcov, *, single: bool) -> None:
    """Refuse a question that has no answer; every engine asks this first, so all say the same.

    Parameters
    ----------
    seen : Seen
    vcov : Vcov
    single : bool
        Whether there may be one endogenous regressor only.

    Raises
    ------
    DesignError
        Without endogenous regressor or excluded instrument, with more than one endogenous regressor where one is
        needed, with no more rows than instruments, with fewer clusters than instruments, or with a first stage whose
        covariance is singular.
    """
    n, instruments, excluded, endog = (
        len(seen.y), len(seen.z_names), len(seen.instrument_names), len(seen.endog_names),
    )  # fmt: skip
    if not (endog and excluded):
        raise DesignError("Weak-instrument inference needs an endogenous regressor and an instrument for it.")
    if single and endog > 1:
        raise DesignError(
            f"This needs a single endogenous regressor; the question has {endog}: {', '.join(seen.endog_names)}.",
            do="test all coefficients at once with weakiv.anderson_rubin.",
        )
    if n <= instruments:
        raise DesignError(
            f"Weak-instrument inference needs more rows than instruments; there are {n} rows and {instruments} "
            "instruments, the exogenous regressors among them.",
            do="select instruments first.",
        )
    if reason := untestable(excluded, vcov, seen):
        raise DesignError(f"The instruments cannot be tested jointly: {reason}.", do="use fewer instruments.")
    if single:
        at = _Coordinates.of(seen, vcov)
        x = scaled(at.endog[:, 0], seen.weights)
        left = x - at.basis.q @ (at.basis.q.T @ x)
        if left @ left < TOLERANCE**2 * (x @ x) or singular(at.covariance(at.endog[:, 0])):
            raise DesignError(
                f"The instruments reproduce {seen.endog_names[0]} exactly, or so nearly that the {vcov} covariance of "
                "its first stage is singular.",
                do="leave out the instruments that do this.",
            )


def _quadratic(vcov: Vcov) -> bool:
    """Whether the covariance is a positive semidefinite quadratic form of the residuals."""
    if isinstance(vcov, Clustered):
        return len(vcov.by) == 1
    if isinstance(vcov, NeweyWest):
        return vcov.lag is not None and not vcov.prewhite
    if isinstance(vcov, Andrews):
        return vcov.bw is not None and not vcov.prewhite and vcov.kernel not in ("Truncated", "Tukey-Hanning")
    return not (isinstance(vcov, DriscollKraay) and vcov.lag == "NW1994")


@dataclass(frozen=True, eq=False)
class _Coordinates:
    """Orthonormal instruments of a question, exogenous regressors first."""

    seen: Seen
    vcov: Vcov
    basis: Basis
    base: int

    @classmethod
    def of(cls, seen: Seen, vcov: Vcov) -> _Coordinates:
        z, base = exogenous_first(seen, Basis.of(seen.z, seen.weights))
        root = np.ones(len(seen.y)) if seen.weights is None else np.sqrt(seen.weights)
        unit = np.eye(z.q.shape[1])
        return cls(seen, vcov, Basis(z.q / root[:, None], seen.weights, z.q, unit, unit), base)

    @property
    def endog(self) -> FloatArray:
        """(n, m)."""
        return self.seen.x[:, [self.seen.x_names.index(name) for name in self.seen.endog_names]]

    def coefficients(self, y: FloatArray) -> FloatArray:
        """Reduced-form coefficients of a variable (n,) on the excluded instruments."""
        return np.asarray((self.basis.q.T @ scaled(y, self.seen.weights))[self.base :])

    def covariance(self, y: FloatArray) -> FloatArray:
        """Their covariance."""
        coef = self.basis.q.T @ scaled(y, self.seen.weights)
        names = tuple(f"q{j}" for j in range(len(coef)))
        if self.base and "(Intercept)" in self.seen.z_names:
            names = ("(Intercept)", *names[1:])
        model = Linear(names, y, self.basis.matrix, coef, self.basis)
        return covariance(model, self.vcov, self.seen.groups)[self.base :, self.base :]

    @property
    def df(self) -> tuple[int, int]:
        """Excluded instruments, and rows less all instruments."""
        n, instruments = self.basis.q.shape
        return instruments - self.base, n - instruments


def anderson_rubin(seen: Seen, beta0: Sequence[float], vcov: Vcov, inference: Inference) -> Test:
    """Test that the coefficients of the endogenous regressors are `beta0`; F, or χ² under z.

    Parameters
    ----------
    seen : Seen
        With its matrices.
    beta0 : sequence of m floats
    vcov, inference
    """
    endog = [seen.x_names.index(name) for name in seen.endog_names]
    e = seen.y - seen.x[:, endog] @ np.asarray(beta0, dtype=float)
    # on the instruments themselves, since automatic bandwidths depend on the coordinates
    z, base = exogenous_first(seen, Basis.of(seen.z, seen.weights))
    fit = least_squares(e, z, tuple(f"x{j}" for j in range(z.matrix.shape[1])))
    value, cov = fit.coef[base:], covariance(fit, vcov, seen.groups)[base:, base:]
    if singular(cov):
        raise DesignError("The vcov of the reduced form is singular, so that the test has no value.")
    chi2 = float(value @ np.linalg.solve(cov, value))
    df1, df2 = len(value), fit.df_resid
    if isinstance(inference, Z):
        return Test("Anderson-Rubin", chi2, float(stats.chi2.sf(chi2, df1)), float(df1), math.inf, "chi2")
    f = chi2 / df1
    return Test("Anderson-Rubin", f, float(stats.f.sf(f, df1, df2)), float(df1), float(df2), "F")


def critical_value(df1: float, df2: float, level: float) -> float:
    """The quantile of F, or of χ² where `df2` is infinite, that the statistic is compared with."""
    return float(stats.chi2.ppf(level, df1) if math.isinf(df2) else stats.f.ppf(level, df1, df2))


def confidence_intervals(seen: Seen, vcov: Vcov, inference: Inference, level: float) -> list[tuple[float, float]]:
    """All values of the one endogenous coefficient that the test does not reject.

    Parameters
    ----------
    seen, vcov, inference
        As for :func:`anderson_rubin`.
    level : float
        Coverage.
    """
    at = _Coordinates.of(seen, vcov)
    df1, df2 = at.df
    z = isinstance(inference, Z)
    limit = critical_value(df1, math.inf if z else df2, level) * (1 if z else df1)
    x = at.endog[:, 0]
    b = at.coefficients(x)
    # around the 2SLS estimate, in units of residuals, so that the coefficients of the quadratics have one size
    centre = float(b @ at.coefficients(seen.y) / (b @ b))
    e = seen.y - centre * x
    unit = float(np.linalg.norm(_outside(at, e)) / np.linalg.norm(_outside(at, x)))
    if not unit > 0:
        raise DesignError("The model fits without error, so that the test has no value.")
    found = (_classical if isinstance(vcov, Classical) else _robust)(at, e, unit * x, limit)
    return [(centre + unit * low, centre + unit * high) for low, high in found]


def _outside(at: _Coordinates, y: FloatArray) -> FloatArray:
    """What the exogenous regressors leave of a variable, with weights, (n,)."""
    q, weighted = at.basis.q[:, : at.base], scaled(y, at.seen.weights)
    return np.asarray(weighted - q @ (q.T @ weighted))


def _classical(at: _Coordinates, y: FloatArray, x: FloatArray, limit: float) -> list[tuple[float, float]]:
    """Solve g'g·(n − l) ≤ limit·RSS, a quadratic inequality."""
    a, b = at.coefficients(y), at.coefficients(x)
    q = at.basis.q
    rest = [scaled(v, at.seen.weights) for v in (y, x)]
    u, v = (part - q @ (q.T @ part) for part in rest)
    share = limit / at.df[1]
    square, linear, constant = b @ b - share * (v @ v), a @ b - share * (u @ v), a @ a - share * (u @ u)
    return quadratic_set(float(square), float(linear), float(constant))


def quadratic_set(square: float, linear: float, constant: float) -> list[tuple[float, float]]:
    """Intervals of the numbers t with ``square·t² − 2·linear·t + constant ≤ 0``; infinite ends where it has none."""
    if square == 0 and linear != 0:
        end = constant / (2 * linear)
        return [(end, math.inf)] if linear > 0 else [(-math.inf, end)]
    inside = linear**2 - square * constant
    if inside < 0 or square == 0:
        return [(-math.inf, math.inf)] if square < 0 or constant <= 0 else []
    # the root of larger size first: no difference of nearly equal numbers
    larger = linear + math.copysign(math.sqrt(inside), linear)
    low, high = sorted((larger / square, constant / larger if larger else 0.0))
    return [(low, high)] if square > 0 else [(-math.inf, low), (high, math.inf)]


def _robust(at: _Coordinates, y: FloatArray, x: FloatArray, limit: float) -> list[tuple[float, float]]:
    """Find the roots of det(limit·V(t) − g(t)g(t)'), and keep the pieces between them where W(t) ≤ limit."""
    vyy, vxx = at.covariance(y), at.covariance(x)
    cross = (at.covariance(y + x) - at.covariance(y - x)) / 2
    return pieces(at.coefficients(y), at.coefficients(x), (vyy, cross, vxx), limit)


def pieces(
    a: FloatArray, b: FloatArray, covariances: tuple[FloatArray, FloatArray, FloatArray], limit: float
) -> list[tuple[float, float]]:
    """Where W(t) = g'V⁻¹g ≤ limit, with g = a − t·b and V = Vyy − t·C + t²·Vxx.

    Parameters
    ----------
    a, b : (k,) arrays
        Coefficients of y and of x on k orthonormal instruments.
    covariances : three (k, k) arrays
        Vyy, C (covariance of a with b and its transpose, added) and Vxx.
    limit : float
    """
    vyy, cross, vxx = covariances

    def excess(t: float) -> float:
        g = a - t * b
        v = (vyy - t * cross + t**2 * vxx) / (1 + t**2)
        return float(g @ linalg.solve(v, g, assume_a="pos")) / (1 + t**2) - limit

    roots = _real_roots(
        limit * vyy - np.outer(a, a), np.outer(a, b) + np.outer(b, a) - limit * cross, limit * vxx - np.outer(b, b)
    )
    spread = max(1.0, float(np.ptp(roots))) if len(roots) else 1.0
    between = [*((roots[1:] + roots[:-1]) / 2)]
    points = [roots[0] - spread, *between, roots[-1] + spread] if len(roots) else [0.0]
    inside = [excess(t) <= 0 for t in points]
    ends = [-math.inf]
    for left, right, one, other in zip(points[:-1], points[1:], inside[:-1], inside[1:], strict=True):
        if one != other:
            # brentq stops when the bracket is a few units in the last place wide
            ends.append(float(optimize.brentq(excess, left, right, xtol=1e-300, rtol=4 * np.finfo(float).eps)))
    ends.append(math.inf)
    first = inside[0]
    return [piece for i, piece in enumerate(pairwise(ends)) if (i % 2 == 0) == first]


def _real_roots(m0: FloatArray, m1: FloatArray, m2: FloatArray) -> FloatArray:
    """Nearly real, finite eigenvalues t of m0 + t·m1 + t²·m2, ascending, by its companion form."""
    k = len(m0)
    zero, one = np.zeros((k, k)), np.eye(k)
    # the identity beside them loses its digits unless the matrices are of its size
    size = max(float(np.abs(m).max()) for m in (m0, m1, m2)) or 1.0
    m0, m1, m2 = m0 / size, m1 / size, m2 / size
    with np.errstate(divide="ignore", invalid="ignore"):
        values = linalg.eigvals(np.block([[zero, one], [-m0, -m1]]), np.block([[one, zero], [zero, m2]]))
    values = values[np.isfinite(values)]
    near = np.abs(values.imag) <= NEARLY_REAL * (1 + np.abs(values.real))
    return np.unique(values.real[near & (np.abs(values.real) < 1e12)])


def effective_f(seen: Seen, vcov: Vcov) -> tuple[float, dict[float, float], dict[float, float]]:
    """The effective F, b'b over the trace of the covariance W of b = Q'x, its degrees of freedom and critical values.

    The simplified procedure of Montiel Olea & Pflueger (2013, section 4.2): with x = 1/τ the statistic is compared with
    χ²(K_eff, noncentrality x·K_eff)/K_eff, Patnaik's approximation, where
    K_eff = tr(W)²(1 + 2x) / (tr(W'W) + 2x·tr(W)·max eigenvalue(W)).

    Parameters
    ----------
    seen : Seen
        With its matrices and one endogenous regressor.
    vcov : Vcov
    """
    at = _Coordinates.of(seen, vcov)
    x = at.endog[:, 0]
    return strength(at.coefficients(x), at.covariance(x))


def strength(b: FloatArray, cov: FloatArray) -> tuple[float, dict[float, float], dict[float, float]]:
    """The effective F of coefficients b (k,) on orthonormal instruments with covariance (k, k): :func:`effective_f`."""
    eigenvalues = np.linalg.eigvalsh(cov)
    total, largest = float(eigenvalues.sum()), float(eigenvalues[-1])
    squares = float(eigenvalues @ eigenvalues)
    df, critical = {}, {}
    for share in BIAS_SHARES:
        odds = 1 / share
        df[share] = total**2 * (1 + 2 * odds) / (squares + 2 * odds * total * largest)
        critical[share] = float(stats.ncx2.ppf(0.95, df[share], odds * df[share])) / df[share]
    return float(b @ b) / total, df, critical
