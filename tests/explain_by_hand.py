"""Conventions about covariances, distributions and tests, each carried out without ivbridge.

R's AER and sandwich answer where they can (explain_catalogue.R), linearmodels for statistics that it has, and the
textbook formulas of planted_plain.py for the rest. Of each plant one number is named that the convention moves.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import planted_plain as plain
from linearmodels.iv import IV2SLS, IVGMM, IVLIML
from planted_plain import Fit, Plan, Term
from scipy import stats

Numbers = dict[tuple[str, str], float]
FORMULA = "y ~ w + x | w + z1 + z2 + z3"
SE = ("std.error", "x")
WALD, HAUSMAN, SARGAN, WEAK, RUBIN = "wald", "wu_hausman", "sargan", "weak_instruments:x", "anderson_rubin"


@cache
def data() -> pd.DataFrame:
    """24 firms in 8 years; binary fractions, which a text file keeps exactly; the same object each time."""
    rng, n = np.random.default_rng(1), 192
    d = pd.DataFrame({"firm": np.repeat(np.arange(24), 8), "year": np.tile(np.arange(8), 24) + 2001})
    d["time"] = rng.permutation(n)
    d["a"], d["b"] = rng.integers(0, 5, n), rng.integers(0, 4, n)
    u = rng.standard_normal(n) + np.repeat(rng.standard_normal(24), 8) / 2
    for name in ("w", "z1", "z2", "z3"):
        d[name] = np.round(64 * rng.standard_normal(n)) / 64
    x = 0.6 * d.z1 + 0.5 * d.z2 + 0.3 * d.z3 + 0.3 * d.w + 0.7 * u + rng.standard_normal(n)
    d["x"] = np.round(64 * x) / 64
    d["y"] = np.round(64 * (1 + d.x - d.w / 2 + u + 0.3 * rng.standard_normal(n) * (1 + d.z1**2))) / 64
    d["wt"] = np.round(64 * rng.uniform(0.5, 3, n)) / 64
    return d


@cache
def of_r() -> Mapping[str, Numbers]:
    """Every case of explain_catalogue.R."""
    script = Path(__file__).with_name("explain_catalogue.R")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "data.csv")
        data().to_csv(path, index=False)
        command = ["Rscript", "--vanilla", str(script), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Numbers] = {}
    for line in done.stdout.splitlines():
        case, quantity, term, value = line.split("\t")
        found.setdefault(case, {})[quantity, term] = float(value)
    return found


@cache
def fit(estimator: str = "2sls", weights: str | None = None) -> Fit:
    one = lambda names: tuple(Term(name, name) for name in names.split())  # noqa: E731
    return plain.fit(Plan(data(), Term("y", "y"), one("w"), one("x"), one("z1 z2 z3"), None, True, weights, estimator))


def table(v: np.ndarray, df: float | None = None, f: Fit | None = None, **how: float) -> Numbers:
    """The coefficient table of a covariance matrix, (k, k)."""
    f = f or fit()
    return plain.table(f, v, f.n - f.k if df is None else df, **how)  # type: ignore[arg-type]


def sandwich(f: Fit, scores: np.ndarray) -> np.ndarray:
    return f.bread @ scores.T @ scores @ f.bread


def cse() -> np.ndarray:
    """Hansen, Hausman & Newey (2008): Bekker's covariance with third and fourth moments."""
    f = fit("liml")
    n, l, u, x = f.n, f.z.shape[1], f.e, f.x  # noqa: E741
    p = np.einsum("ij,ij->i", np.linalg.qr(f.z)[0], np.linalg.qr(f.z)[0])
    s2, alpha = u @ u / (n - f.k), u @ plain.project(f.z, u) / (u @ u)
    tau, kappa = l / n, p @ p / l
    tilde = x - np.outer(u, u @ x) / (u @ u)
    v = tilde - plain.project(f.z, tilde)
    h = x.T @ plain.project(f.z, x) - alpha * x.T @ x
    b = s2 * ((1 - alpha) ** 2 * tilde.T @ (tilde - v) + alpha**2 * v.T @ v)
    third = np.outer((p - tau) @ plain.project(f.z, x), (u**2) @ v / n)
    fourth = l * (kappa - tau) * (v.T * (u**2 - s2)) @ v / (n * (1 - 2 * tau + kappa * tau))
    return np.linalg.inv(h) @ (b + third + third.T + fourth) @ np.linalg.inv(h)


def leverages(combine: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> np.ndarray:
    """HC3 with leverages of both stages in units of their means, times the mean of the second."""
    f = fit()
    first = plain.inverse(f.z)
    one, two = np.einsum("ij,jk,ik->i", f.z, first, f.z), plain.hat(f, "ivreg")
    h = combine(one / one.mean(), two / two.mean()) * two.mean()
    return sandwich(f, f.h * (f.e / (1 - h))[:, None])


def by_least_squares() -> np.ndarray:
    f = fit()
    return f.rss / (f.n - f.k) * np.linalg.inv(f.x.T @ f.x)


def package(cls: type, **options: str) -> object:
    """A model of linearmodels, not yet fitted."""
    d = data().assign(one=1.0)
    return cls(d.y, d[["one", "w"]], d[["x"]], d[["z1", "z2", "z3"]], **options)


def entry(key: str, statistic: float, df1: float, df2: float = np.inf, p: float | None = None) -> Numbers:
    """A test, with another p-value than that of its F or χ² if need be."""
    found = plain.entry(key, float(statistic), df1, df2)
    return found if p is None else found | {("test p.value", key): p}


def hausman_as_chi2() -> Numbers:
    f, q, _ = plain.wu_hausman(fit())
    return entry(HAUSMAN, f * q, q)


def chi2_under_f() -> Numbers:
    f, q, df2 = plain.first_stage(fit())["x"]
    return entry(WEAK, f, q, df2, p=float(stats.chi2.sf(q * f, q)))


def robust_first_stage() -> Numbers:
    """linearmodels: the χ² of the excluded instruments under HC1."""
    found = package(IV2SLS).fit(cov_type="robust", debiased=True).first_stage.diagnostics.loc["x"]  # type: ignore[attr-defined]
    return {("test statistic", WEAK): float(found["f.stat"]), ("test p.value", WEAK): float(found["f.pval"])}


def clustered_first_stage() -> Numbers:
    """F of the excluded instruments, clustered by firm as Stata does, on 23 denominator degrees of freedom."""
    f = fit()
    b = plain.ls(f.z, f.x[:, 2])
    e, inverse = f.x[:, 2] - f.z @ b, plain.inverse(f.z)
    v = inverse @ plain.grouped(f.z * e[:, None], data().firm.to_numpy()) @ inverse
    v = v * 24 / 23 * (f.n - 1) / (f.n - f.z.shape[1])
    return entry(WEAK, b[2:] @ np.linalg.solve(v[2:, 2:], b[2:]) / 3, 3, 23)


def sargan(kind: str) -> Numbers:
    s, q = plain.sargan(fit())
    n, k, l = fit().n, fit().k, fit().z.shape[1]  # noqa: E741
    if kind == "Basmann's F":
        return entry(SARGAN, s * (n - l) / (n - s) / q, q, n - l)
    if kind == "pseudo-F":
        return entry(SARGAN, s * (n - k) / n / q, q, n - k)
    return entry(SARGAN, s * {"n-k": n - k, "n-l": n - l, "n-1": n - 1}[kind] / n, q)


def hansen(*, centred: bool) -> Numbers:
    """J of linearmodels' two-step GMM."""
    j = package(IVGMM, weight_type="robust", center=centred).fit().j_stat  # type: ignore[attr-defined]
    return entry(SARGAN, j.stat, j.df, p=float(j.pval))


def wald(v: np.ndarray, *, df2: float) -> Numbers:
    chi2, q, _ = plain.wald(fit(), v)
    return entry(WALD, chi2 if np.isinf(df2) else chi2 / q, q, df2)


def of_liml(kind: str) -> Numbers:
    found = package(IVLIML).fit()  # type: ignore[attr-defined]
    if kind == "basmann":
        f = found.basmann_f
        return entry(RUBIN, f.stat, f.df, f.df_denom, p=float(f.pval))
    return entry(RUBIN, 192 * (found.kappa - 1), 2)


def scalar(name: str, value: float) -> Numbers:
    return table(plain.classical(fit())) | {(name, ""): float(value)}


def r_squared(*, centred: bool = True) -> float:
    y = fit().y
    return 1 - fit().rss / float(np.sum((y - y.mean() * centred) ** 2))


def second_stage() -> Mapping[str, np.ndarray]:
    predicted = fit().h @ fit().b
    return {"fitted": predicted, "residuals": fit().y - predicted}


def weighted_residuals() -> Mapping[str, np.ndarray]:
    found = of_r()["weighted residuals"]
    column = lambda name: np.array([found[name, str(i)] for i in range(1, 193)])  # noqa: E731
    return {"fitted": column("fitted"), "residuals": column("resid")}


@dataclass(frozen=True)
class Plant:
    """A convention, carried out.

    Attributes
    ----------
    key : str
        Of the catalogue.
    numbers : callable, optional
        What somebody gets who follows it.
    spoiled : (str, str), optional
        The number that a millionth is added to.
    also : tuple of str
        Other conventions that were followed, too.
    options : mapping of str to str
        Of the question; classical where it names no vcov.
    arrays : callable, optional
        Residuals and fitted values in place of numbers.
    """

    key: str
    numbers: Callable[[], Numbers] = dict
    spoiled: tuple[str, str] = SE
    also: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    arrays: Callable[[], Mapping[str, np.ndarray]] | None = None
    note: str = ""

    @property
    def keys(self) -> list[str]:
        """All conventions that were followed."""
        return sorted((self.key, *self.also))


def _r(key: str, case: str, vcov: str, *also: str) -> Plant:
    return Plant(key, lambda: of_r()[case], SE, also, {"vcov": vcov}, note=case)


def _asked(options: Mapping[str, str]) -> Numbers:
    """The coefficient table of a question."""
    f = fit(options.get("method", "2sls"))
    makers = {"HC1": lambda: plain.hc(f, "HC1"), FIRM: _of_firm, "classical": lambda: plain.classical(f)}
    return table(makers[options.get("vcov", "classical")](), np.inf if options.get("inference") == "z" else None, f)


def _test(key: str, numbers: Callable[[], Numbers], name: str, *also: str, note: str = "", **options: str) -> Plant:
    return Plant(key, lambda: _asked(options) | numbers(), ("test statistic", name), also, options, note=note)


def _scalar(key: str, name: str, value: Callable[[], float], vcov: str = "classical") -> Plant:
    v = lambda: plain.cluster(fit(), ("firm",), hc1=True)  # noqa: E731
    if vcov == "classical":
        return Plant(key, lambda: scalar(name, value()), (name, ""))
    return Plant(key, lambda: table(v()) | {(name, ""): value()}, (name, ""), (), {"vcov": vcov})


FIRM = "cluster(firm, type=HC1)"
BOTH = "cluster(firm, year, type=HC1)"
LIML = {"method": "liml"}
WEIGHTED = {"weights": "wt", "vcov": "HC0"}


def _of_firm() -> np.ndarray:
    return plain.cluster(fit(), ("firm",), hc1=True)


def _liml(key: str, v: Callable[[], np.ndarray], vcov: str) -> Plant:
    return Plant(key, lambda: table(v(), f=fit("liml")), SE, (), {**LIML, "vcov": vcov})


def _weighted(key: str, scores: Callable[[Fit], np.ndarray]) -> Plant:
    f = lambda: fit("2sls", "wt")  # noqa: E731
    return Plant(key, lambda: table(sandwich(f(), scores(f())), f=f()), SE, (), WEIGHTED)


def _hc0(f: Fit) -> np.ndarray:
    return plain.hc(f, "HC0")


COVARIANCES = (
    _r("vcov.andrews", "kernHAC", "classical"),
    _r("vcov.andrews", "vcovHAC", "classical"),
    _r("andrews.prewhite", "kernHAC bw 3", "andrews(bw=3)"),
    _r("andrews.order_by", "kernHAC bw 3", "andrews(bw=3, prewhite=0, order_by=time)"),
    _r("andrews.bw", "kernHAC bw 4", "andrews(bw=3, prewhite=0)"),
    _r("andrews.bw", "kernHAC automatic", "andrews(bw=3, prewhite=0)"),
    _r("nw.order_by", "NeweyWest lag 3", "nw(3, prewhite=0, order_by=time)"),
    _r("dk.lag", "vcovPL lag 3", "dk(firm, year)"),
    _r("dk.aggregate", "vcovPL not aggregated", "dk(firm, year)"),
    _r("dk.adjust", "vcovPL not adjusted", "dk(firm, year)"),
    _r("factor.groups", "vcovPL units", "dk(firm, year)"),
    _r("factor.groups", "vcovPL periods", "dk(firm, year)"),
    _r("cluster.positive", "vcovCL fix", "classical", "vcov.cluster"),
    Plant("cluster.smallest_g", lambda: table(plain.cluster(fit(), ("firm", "year"), hc1=True, g_rule="min")),
          options={"vcov": BOTH}),
    Plant("cluster.no_intersection", lambda: table(
        sum(plain.cluster(fit(), (by,), hc1=True) for by in ("firm", "year"))
    ), options={"vcov": BOTH}),
    _liml("vcov.bekker", lambda: plain.bekker(fit("liml")), "classical"),
    _liml("bekker.cse", cse, "bekker"),
    _liml("scores.k_class", lambda: plain.hc(fit("liml"), "HC0", scores=fit("liml").extra["mixed"]), "HC0"),
    Plant("hat.both", lambda: table(leverages(lambda one, two: np.sqrt(one * two))), options={"vcov": "HC3"}),
    Plant("hat.maximum", lambda: table(leverages(np.maximum)), options={"vcov": "HC3"}),
    Plant("bread.ols", lambda: table(by_least_squares())),
    _weighted("weights.once_in_meat", lambda f: f.h * (f.e / f.raw)[:, None]),
    _weighted("weights.not_in_meat", lambda f: f.h / f.raw[:, None] * (f.e / f.raw)[:, None]),
    Plant("factor.n1_nk", lambda: table(_hc0(fit()) * 191 / 189), options={"vcov": "HC0"}),
    Plant("factor.n_n1", lambda: table(_hc0(fit()) * 192 / 191), options={"vcov": "HC0"}),
    Plant("variance.reported", lambda: table(_hc0(fit()), variances=True), options={"vcov": "HC0"}),
)  # fmt: skip

INFERENCE = (
    Plant("p.one_sided", lambda: table(plain.classical(fit()), sided=1), ("p.value", "x")),
    Plant("interval.level", lambda: table(plain.classical(fit()), level=0.99), ("conf.low", "x")),
    # confint has no method for AER's fits, and the default one takes the normal distribution
    Plant("interval.level", lambda: of_r()["confint 90"] | of_r()["summary"], ("conf.low", "x"), ("inference.z",),
          note="confint"),
    Plant("statistic.squared", lambda: {
        key: value**2 if key[0] == "statistic" else value for key, value in of_r()["summary"].items()
    }, ("statistic", "x")),
    _scalar("sigma.n", "sigma", lambda: np.sqrt(fit().rss / 192)),
    _scalar("sigma.squared", "sigma", lambda: fit().rss / 189),
    _scalar("r2.centring", "r.squared", lambda: r_squared(centred=False)),
    _scalar("r2.adjustment", "adj.r.squared", lambda: 1 - (1 - r_squared()) * 192 / 189),
    _scalar("r2.not_adjusted", "adj.r.squared", r_squared),
    _scalar("df.n", "df.residual", lambda: 192.0),
    _scalar("df.groups", "df.residual", lambda: 23.0, FIRM),
    Plant("residuals.reported", arrays=second_stage),
    Plant("residuals.weighted", arrays=weighted_residuals, options={"weights": "wt"}),
)  # fmt: skip

TESTS = (
    _test("test.vcov", lambda: of_r()["classical tests"], HAUSMAN, vcov="HC1"),
    _test("test.chi2", hausman_as_chi2, HAUSMAN),
    _test("test.chi2", robust_first_stage, WEAK, note="linearmodels", vcov="HC1"),
    _test("test.p_chi2", chi2_under_f, WEAK),
    _test("test.df_groups", clustered_first_stage, WEAK, vcov=FIRM),
    Plant("first_stage.vcov", lambda: _asked({"vcov": "HC1"}) | of_r()["first stage"],
          ("first stage std.error", "x ~ z1"), (), {"vcov": "HC1"}),
    _test("sargan.basmann_f", lambda: sargan("Basmann's F"), SARGAN),
    *(_test("sargan.divisor", lambda kind=kind: sargan(kind), SARGAN, note=kind) for kind in ("n-k", "n-l", "n-1")),
    _test("sargan.f", lambda: sargan("pseudo-F"), SARGAN),
    _test("sargan.wooldridge", lambda: hansen(centred=False), SARGAN, note="Hansen's J"),
    _test("sargan.j", lambda: hansen(centred=True), SARGAN),
    _test("wald.chi2", lambda: of_r()["wald Inf"], WALD, vcov="HC1"),
    _test("wald.f", lambda: of_r()["wald n - k"], WALD, vcov="HC1", inference="z"),
    _test("wald.df", lambda: table(_of_firm(), 23) | wald(_of_firm(), df2=23), WALD, "inference.groups", vcov=FIRM),
    _test("wald.intercept", lambda: of_r()["wald intercept"], WALD),
    _test("anderson_rubin.basmann", lambda: of_liml("basmann"), RUBIN, method="liml"),
    _test("anderson_rubin.linear", lambda: of_liml("linear"), RUBIN, method="liml"),
)  # fmt: skip

PLANTS = (*COVARIANCES, *INFERENCE, *TESTS)
