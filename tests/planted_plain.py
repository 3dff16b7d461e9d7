"""Plain numpy for the planted differences: matrices, estimators, covariances and tests, each from its textbook formula.

Nothing of ivbridge is used here. What the explainer names is judged with these numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

HOW: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "": lambda v: v,
    "log": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "log1p": np.log1p,
    "square": np.square,
}


@dataclass(frozen=True)
class Term:
    """A column of a regression: its printed name, the column of the data, and what is done to it."""

    name: str
    column: str
    how: str = ""

    def values(self, frame: pd.DataFrame) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return HOW[self.how](frame[self.column].to_numpy(float))


@dataclass(frozen=True)
class Factor:
    """A categorical regressor: dummies for all levels but the first, or other contrasts."""

    column: str
    levels: tuple[str, ...]
    contrast: str = "treatment"
    missing_level: bool = False

    def coded(self, frame: pd.DataFrame) -> dict[str, np.ndarray]:
        text = frame[self.column].astype(object)
        codes = np.array([self.levels.index(v) if v in self.levels else -1 for v in text])
        g = len(self.levels)
        if self.contrast == "numeric":
            return {self.column: codes + 1.0}
        table, names = _contrasts(self.contrast, self.levels)
        rows = np.where((codes >= 0)[:, None], table[np.clip(codes, 0, g - 1)], 0.0)
        found = {self.column + name: rows[:, j] for j, name in enumerate(names)}
        if self.missing_level:
            found[self.column + "NA"] = (codes < 0).astype(float)
        return found


def _contrasts(kind: str, levels: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
    g = len(levels)
    if kind == "treatment":
        return np.eye(g)[:, 1:], list(levels[1:])
    if kind == "sum":
        return np.vstack([np.eye(g - 1), -np.ones(g - 1)]), [str(j + 1) for j in range(g - 1)]
    if kind == "helmert":
        table = np.array(
            [[-1.0 if i <= j else (j + 1.0 if i == j + 1 else 0.0) for j in range(g - 1)] for i in range(g)]
        )
        return table, [str(j + 1) for j in range(g - 1)]
    assert kind == "poly"
    x = np.arange(1.0, g + 1) - (g + 1) / 2
    q, r = np.linalg.qr(np.vander(x, g, increasing=True))
    table = (q * np.sign(np.diag(r)))[:, 1:]
    return table, [".L", ".Q", ".C", *(f"^{j}" for j in range(4, g))][: g - 1]


@dataclass(frozen=True, eq=False)
class Plan:
    """How the numbers come about; a planted cause changes some of it."""

    frame: pd.DataFrame
    y: Term
    exog: tuple[Term, ...]
    endog: tuple[Term, ...]
    instruments: tuple[Term, ...]
    factor: Factor | None = None
    intercept: bool = True
    weights: str | None = None
    estimator: str = "2sls"
    complete: tuple[str, ...] = ()
    keep_missing: bool = False

    @property
    def terms(self) -> tuple[Term, ...]:
        return (self.y, *self.exog, *self.endog, *self.instruments)

    @property
    def columns(self) -> list[str]:
        extra = [self.factor.column] if self.factor and not self.factor.missing_level else []
        return list(dict.fromkeys([t.column for t in self.terms] + extra + ([self.weights] if self.weights else [])))

    def but(self, **changes: Any) -> Plan:
        return replace(self, **changes)


@dataclass(frozen=True)
class Arrays:
    y: np.ndarray
    x: np.ndarray
    z: np.ndarray
    x_names: list[str]
    z_names: list[str]
    w: np.ndarray
    n: float
    rows: np.ndarray
    frame: pd.DataFrame


def arrays(plan: Plan) -> Arrays:
    """Listwise deletion over the columns in use, then the columns."""
    needed = [c for c in plan.columns if c in plan.frame] + list(plan.complete)
    ok = plan.frame[needed].notna().all(axis=1).to_numpy().copy()
    for t in plan.terms:
        ok &= np.isfinite(t.values(plan.frame))
    frame = plan.frame[ok]
    exog: dict[str, np.ndarray] = {"(Intercept)": np.ones(len(frame))} if plan.intercept else {}
    exog |= {t.name: t.values(frame) for t in plan.exog}
    if plan.factor:
        exog |= plan.factor.coded(frame)
    x = exog | {t.name: t.values(frame) for t in plan.endog}
    z = exog | {t.name: t.values(frame) for t in plan.instruments}
    if plan.estimator == "exog not in the first stage":
        z = {k: v for k, v in z.items() if k == "(Intercept)" or k in {t.name for t in plan.instruments}}
    w = frame[plan.weights].to_numpy(float) if plan.weights else np.ones(len(frame))
    if plan.weights:
        keep = w > 0
        frame, w = frame[keep], w[keep]
        x, z = ({k: v[keep] for k, v in m.items()} for m in (x, z))
    y = plan.y.values(frame)
    n = float(len(y))
    stack = lambda m: np.column_stack(list(m.values()))  # noqa: E731
    return Arrays(y, stack(x), stack(z), list(x), list(z), w, n, np.flatnonzero(ok), frame)


@dataclass(frozen=True)
class Fit:
    """Coefficients and what a sandwich needs; all scaled by the root of the weights."""

    a: Arrays
    b: np.ndarray
    e: np.ndarray
    h: np.ndarray
    bread: np.ndarray
    y: np.ndarray
    x: np.ndarray
    z: np.ndarray
    raw: np.ndarray
    kappa: float = 1.0
    k: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n(self) -> float:
        return self.a.n

    @property
    def rss(self) -> float:
        return float(self.e @ self.e)


def inverse(h: np.ndarray) -> np.ndarray:
    r = np.linalg.qr(h, mode="r")
    ri = np.linalg.inv(r)
    return ri @ ri.T


def project(z: np.ndarray, x: np.ndarray) -> np.ndarray:
    q = np.linalg.qr(z)[0]
    return q @ (q.T @ x)


def ls(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    q, r = np.linalg.qr(x)
    return np.linalg.solve(r, q.T @ y)


def fit(plan: Plan) -> Fit:
    a = arrays(plan)
    s = np.sqrt(a.w)
    y, x, z = s * a.y, s[:, None] * a.x, s[:, None] * a.z
    endog = [j for j, name in enumerate(a.x_names) if name not in a.z_names]
    kind = plan.estimator
    done = lambda b, h, bread, kappa=1.0, **extra: Fit(  # noqa: E731
        a, b, y - x @ b, h, bread, y, x, z, s, kappa, x.shape[1], extra
    )
    if kind in ("2sls", "manual"):
        h = project(z, x)
        b = ls(h, y)
        found = done(b, h, inverse(h))
        return replace(found, e=y - h @ b) if kind == "manual" else found
    if kind == "exog not in the first stage":
        h = x.copy()
        keep = {t.name for t in plan.endog}
        for j, name in enumerate(a.x_names):
            if name in keep:
                h[:, j] = project(z, x[:, j])
        b = ls(h, y)
        by_hand = replace(a, x=h / s[:, None], z=h / s[:, None], z_names=a.x_names)
        return Fit(by_hand, b, y - h @ b, h, inverse(h), y, h, h, s, k=h.shape[1])  # least squares of y on X̂
    if kind == "ols":
        b = ls(x, y)
        return Fit(replace(a, z=a.x, z_names=a.x_names), b, y - x @ b, x, inverse(x), y, x, x, s, k=x.shape[1])
    if kind == "gmm":
        h = project(z, x)
        e = y - x @ ls(h, y)
        weight = np.linalg.inv((z * (e**2)[:, None]).T @ z)
        bread = np.linalg.inv(x.T @ z @ weight @ z.T @ x)
        b = bread @ (x.T @ z @ weight @ (z.T @ y))
        return done(b, z @ weight @ (z.T @ x), bread)
    inside = [j for j, name in enumerate(a.x_names) if name in a.z_names]
    both = np.column_stack([y, x[:, endog]])
    m_all, m_exog = both - project(z, both), both - project(x[:, inside], both) if inside else both
    values = np.linalg.eigvals(np.linalg.solve(m_all.T @ m_all, m_exog.T @ m_exog))
    kappa = float(np.min(values.real))
    if kind.startswith("fuller"):
        kappa -= float(kind.removeprefix("fuller")) / (a.n - z.shape[1])
    else:
        assert kind == "liml", kind
    h = project(z, x)
    mixed = (1 - kappa) * x + kappa * h
    bread = np.linalg.inv(x.T @ mixed)
    return done(bread @ (mixed.T @ y), h, bread, kappa, mixed=mixed)


# --- covariances -----------------------------------------------------------------------------------------------------


def classical(f: Fit, divisor: str = "n-k") -> np.ndarray:
    return f.bread * f.rss / {"n-k": f.n - f.k, "n": f.n, "n-1": f.n - 1}[divisor]


def hat(f: Fit, kind: str = "AER") -> np.ndarray:
    """AER: the diagonal of X(X̂'X̂)⁻¹X'Z(Z'Z)⁻¹Z', of unweighted columns; ivreg: of X̂(X̂'X̂)⁻¹X̂'."""
    if kind == "AER":
        return np.einsum("ij,jk,ik->i", f.a.x, inverse(f.h / f.raw[:, None]), project(f.a.z, f.a.x))
    return np.einsum("ij,jk,ik->i", f.h, f.bread, f.h)


def hc(f: Fit, kind: str, which: str = "AER", scores: np.ndarray | None = None) -> np.ndarray:
    n, k = f.n, f.k
    h = hat(f, which) if kind not in ("HC0", "HC1") else np.zeros(len(f.e))
    delta = {"HC2": 1.0, "HC3": 2.0}.get(kind, 0.0)
    if kind == "HC4":
        power = np.minimum(4, len(f.e) * h / round(h.sum()))
    elif kind == "HC4m":
        power = np.minimum(1, len(f.e) * h / round(h.sum())) + np.minimum(1.5, len(f.e) * h / round(h.sum()))
    else:
        power = np.full(len(h), delta)
    regressors = f.h if scores is None else scores
    u = regressors * (f.e / (1 - h) ** (power / 2))[:, None]
    v = f.bread @ (u.T @ u) @ f.bread
    return v * (n / (n - k) if kind == "HC1" else 1.0)


def grouped(u: np.ndarray, codes: np.ndarray) -> np.ndarray:
    sums = pd.DataFrame(u).groupby(np.asarray(codes)).sum().to_numpy()
    return sums.T @ sums


def codes(f: Fit, columns: tuple[str, ...]) -> np.ndarray:
    return f.a.frame.groupby([f.a.frame[c].astype(str) for c in columns], sort=True).ngroup().to_numpy()


def cluster(
    f: Fit, by: tuple[str, ...], *, hc1: bool = False, cadjust: bool = True, multi0: bool = False, g_rule: str = "each"
) -> np.ndarray:
    u = f.h * f.e[:, None]
    n, k = f.n, f.k
    parts = [((c,), 1) for c in by] + ([(by, -1)] if len(by) == 2 else [])
    counts = [codes(f, part).max() + 1 for part, _ in parts]
    meat = np.zeros((k, k))
    for (part, sign), g in zip(parts, counts, strict=True):
        if len(part) == 2 and multi0:
            piece, factor = u.T @ u, 1.0
        else:
            piece = grouped(u, codes(f, part))
            size = min(counts[: len(by)]) if g_rule == "min" else g
            factor = size / (size - 1) if cadjust else 1.0
        meat += sign * factor * piece
    return f.bread @ meat @ f.bread * ((n - 1) / (n - k) if hc1 else 1.0)


def hac(f: Fit, lag: int, kernel: str = "bartlett", *, adjust: bool = False, order: str | None = None) -> np.ndarray:
    u = f.h * f.e[:, None]
    if order:
        u = u[np.argsort(f.a.frame[order].to_numpy(), kind="stable")]
    meat = u.T @ u
    for j in range(1, lag + 1):
        x = j / (lag + 1)
        weight = {
            "bartlett": 1 - x,
            "truncated": 1.0,
            "parzen": 1 - 6 * x**2 + 6 * x**3 if x <= 0.5 else 2 * (1 - x) ** 3,
        }[kernel]
        gamma = u[j:].T @ u[:-j]
        meat = meat + weight * (gamma + gamma.T)
    return f.bread @ meat @ f.bread * (f.n / (f.n - f.k) if adjust else 1.0)


def bekker(f: Fit) -> np.ndarray:
    """Bekker (1994): σ̂²((1 − α)²X̃'PX̃ + α²X̃'MX̃) between inverses of X'PX − αX'X."""
    u = f.e
    rss = float(u @ u)
    alpha = float(u @ project(f.z, u)) / rss
    tilde = f.x - np.outer(u, u @ f.x) / rss
    p = project(f.z, tilde)
    s2 = rss / (f.n - f.k)
    meat = s2 * ((1 - alpha) ** 2 * tilde.T @ p + alpha**2 * tilde.T @ (tilde - p))
    h = np.linalg.inv(f.x.T @ project(f.z, f.x) - alpha * f.x.T @ f.x)
    return h @ meat @ h


# --- inference and tests ---------------------------------------------------------------------------------------------


def table(
    f: Fit, v: np.ndarray, df: float, level: float = 0.95, sided: int = 2, *, variances: bool = False
) -> dict[tuple[str, str], float]:
    se = np.sqrt(np.diag(v))
    t = f.b / se
    law = stats.norm() if np.isinf(df) else stats.t(df)
    p = 2 * law.sf(np.abs(t)) if sided == 2 else law.sf(t)
    half = law.isf((1 - level) / 2) * se
    shown = se**2 if variances else se
    columns = {
        "estimate": f.b, "std.error": shown, "statistic": t, "p.value": p, "conf.low": f.b - half,
        "conf.high": f.b + half,
    }  # fmt: skip
    found = {(q, name): float(v) for q, values in columns.items() for name, v in zip(f.a.x_names, values, strict=True)}
    for i, first in enumerate(f.a.x_names):
        for j, second in enumerate(f.a.x_names[: i + 1]):
            found[("cov", f"{second}, {first}")] = float(v[i, j])
    return found


def _law(statistic: float, df1: float, df2: float) -> float:
    return float(stats.chi2.sf(statistic, df1) if np.isinf(df2) else stats.f.sf(statistic, df1, df2))


def entry(key: str, statistic: float, df1: float, df2: float = np.inf) -> dict[tuple[str, str], float]:
    found = {
        ("test statistic", key): statistic,
        ("test p.value", key): _law(statistic, df1, df2),
        ("test df1", key): df1,
    }
    return found | ({} if np.isinf(df2) else {("test df2", key): df2})


def added_f(y: np.ndarray, x: np.ndarray, more: np.ndarray, kind: str = "classical") -> tuple[float, int, int]:
    """F of added columns in least squares: classical, HC0 or HC1."""
    full = np.column_stack([x, more])
    b = ls(full, y)
    e = y - full @ b
    n, k, q = *full.shape, more.shape[1]
    bread = inverse(full)
    if kind == "classical":
        v = bread * (e @ e) / (n - k)
    else:
        u = full * e[:, None]
        v = bread @ (u.T @ u) @ bread * (n / (n - k) if kind == "HC1" else 1.0)
    tested = np.arange(k - q, k)
    return float(b[tested] @ np.linalg.solve(v[np.ix_(tested, tested)], b[tested])) / q, q, n - k


def first_stage(f: Fit, kind: str = "classical") -> dict[str, tuple[float, int, int]]:
    """F of the excluded instruments for every endogenous regressor."""
    inside = [j for j, name in enumerate(f.a.z_names) if name in f.a.x_names]
    outside = [j for j in range(f.z.shape[1]) if j not in inside]
    return {
        name: added_f(f.x[:, j], f.z[:, inside], f.z[:, outside], kind)
        for j, name in enumerate(f.a.x_names)
        if name not in f.a.z_names
    }


def wu_hausman(f: Fit, kind: str = "classical") -> tuple[float, int, int]:
    endog = [j for j, name in enumerate(f.a.x_names) if name not in f.a.z_names]
    return added_f(f.y, f.x, f.h[:, endog], kind)


def durbin(f: Fit) -> tuple[float, int]:
    """Durbin's χ²: (e_ols'P e_ols − …) over the residual variance of least squares."""
    endog = [j for j, name in enumerate(f.a.x_names) if name not in f.a.z_names]
    e0 = f.y - f.x @ ls(f.x, f.y)
    full = np.column_stack([f.x, f.h[:, endog]])
    e1 = f.y - full @ ls(full, f.y)
    return float((e0 @ e0 - e1 @ e1) / (e0 @ e0 / f.n)), len(endog)


def wu_hausman_excluded(f: Fit) -> tuple[float, int, int]:
    """linearmodels 7.0: the IV residual is projected on the excluded instruments only."""
    endog = [j for j, name in enumerate(f.a.x_names) if name not in f.a.z_names]
    excluded = [j for j, name in enumerate(f.a.z_names) if name not in f.a.x_names]
    e0 = f.y - f.x @ ls(f.x, f.y)
    e2 = f.e
    z1 = np.column_stack([f.z, f.x[:, endog]])
    d = project(z1, e0)
    first = float(e0 @ d) - float(e2 @ project(f.z[:, excluded], e2))
    q, n, k = len(endog), f.n, f.k
    return first / q / ((float(e0 @ e0) - first) / (n - k - q)), q, int(n - k - q)


def sargan(f: Fit, kind: str = "sargan") -> tuple[float, int]:
    l, m = f.z.shape[1], f.k  # noqa: E741
    e = f.e
    explained = float(e @ project(f.z, e))
    statistic = f.n * explained / f.rss
    if kind == "n-k":
        statistic *= (f.n - m) / f.n
    if kind == "basmann":
        statistic = statistic * (f.n - l) / (f.n - statistic)
    if kind == "J":
        raise NotImplementedError
    return statistic, l - m


def wald(f: Fit, v: np.ndarray) -> tuple[float, int, int]:
    slopes = [j for j, name in enumerate(f.a.x_names) if name != "(Intercept)"]
    chi2 = float(f.b[slopes] @ np.linalg.solve(v[np.ix_(slopes, slopes)], f.b[slopes]))
    return chi2, len(slopes), int(f.n - f.k)
