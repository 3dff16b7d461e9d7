"""Questions on eight data sets, and the causes that are planted in their answers: each one a change of plain numpy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from ivbridge.data import load
from tests import planted_plain as plain
from tests.planted_plain import Factor, Fit, Plan, Term


@dataclass(frozen=True, eq=False)
class Question:
    """One question in ivbridge's words and as a plain plan."""

    name: str
    formula: str
    plan: Plan
    groups: tuple[str, ...] = ()
    order: bool = False


def _terms(text: str) -> tuple[Term, ...]:
    found = []
    for word in text.split():
        how, _, rest = word.partition("(")
        found.append(Term(word, rest.rstrip(")"), how) if rest else Term(word, word))
    return tuple(found)


def _question(
    name: str, frame: pd.DataFrame, y: str, parts: tuple[str, str, str], groups: tuple[str, ...] = (),
    factor: Factor | None = None, *, order: bool = False, weights: str | None = None,
) -> Question:  # fmt: skip
    exog, endog, instruments = parts
    both = exog.split() + ([factor.column] if factor else [])
    formula = f"{y} ~ {' + '.join(both + endog.split())} | {' + '.join(both + instruments.split())}"
    plan = Plan(frame, _terms(y)[0], _terms(exog), _terms(endog), _terms(instruments), factor, weights=weights)
    return Question(name, formula, plan, groups, order)


def panel(n: int = 240, seed: int = 20261122) -> pd.DataFrame:
    """A made-up panel with everything: gaps, groups, whole-number weights, repeated rows, positive columns."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({name: rng.normal(size=n) for name in ("w", "z1", "z2", "z3", "u")})
    data["firm"], data["period"] = np.repeat(np.arange(n // 12), 12), np.tile(np.arange(12), n // 12)
    data["area"] = rng.choice(["north", "east", "south", "west"], n, p=[0.4, 0.3, 0.2, 0.1])
    effect = rng.normal(size=n // 12)[data["firm"]]
    data["x1"] = data.z1 + 0.5 * data.z2 + data.u + 0.5 * effect + rng.normal(size=n)
    data["x2"] = data.z2 - data.z3 + 0.3 * data.u + rng.normal(size=n)
    data["y"] = 2 + data.x1 - data.x2 + 0.7 * data.w + effect + (data.area == "south") + data.u * (1 + data.w**2) / 2
    data["size"], data["price"] = np.exp(data.w + 1), np.exp(0.3 * data.x1 + rng.normal(size=n) / 3)
    data["twice"] = 2 * data.w + 1
    data["times"] = rng.integers(1, 6, n)
    data["gap"] = (data.w + rng.normal(size=n)).where(rng.uniform(size=n) > 0.1)
    data["elsewhere"] = rng.normal(size=n)
    data.loc[rng.choice(n, 15, replace=False), "elsewhere"] = np.nan
    data["region"] = data.area.where(rng.uniform(size=n) > 0.07, None)
    data.loc[n - 5 :, :] = data.loc[:4, :].to_numpy()
    kinds = dict.fromkeys(("firm", "period", "times"), int) | dict.fromkeys(("area", "region"), object)
    return data.astype({c: kinds.get(c, float) for c in data.columns})


AREAS = Factor("area", ("east", "north", "south", "west"))


@cache
def questions() -> tuple[Question, ...]:
    """All questions, the reference of every planted difference."""
    cig, kmenta, card = (load(name).frame for name in ("cigarettes_sw", "kmenta", "card"))
    mroz, hsng, wage2 = (load(name).frame for name in ("mroz", "hsng2", "wage2"))
    klein, data = load("klein_i").frame, panel()
    regions = Factor("region", tuple(hsng["region"].cat.categories))
    return (
        _question("cigarettes", cig, "log(packs)", ("log(rincome)", "log(rprice)", "tdiff rtax"), ("state", "year")),
        _question("kmenta", kmenta, "Q", ("D", "P", "F A"), order=True),
        _question("card", card, "lwage", ("exper expersq black", "educ", "nearc2 nearc4"), ("age",)),
        _question("card weighted", card, "lwage", ("exper black", "educ", "nearc2 nearc4"), weights="weight"),
        _question("mroz", mroz, "log(wage)", ("exper expersq", "educ", "motheduc fatheduc"), ("kidsge6",)),
        _question("housing", hsng, "rent", ("pcturban", "hsngval", "faminc popgrow"), ("division",), regions),
        _question("wage2", wage2, "lwage", ("exper married", "educ", "meduc feduc sibs"), ("tenure",)),
        _question(
            "klein", klein, "consump", ("corpProfLag", "corpProf wages", "govExp taxes trend gnpLag"), order=True
        ),
        _question("panel", data, "y", ("w", "x1 x2", "z1 z2 z3"), ("firm", "period"), AREAS),
        _question("panel gaps", data, "y", ("gap log(size)", "x1", "z1 z2"), ("firm",)),
        _question("panel weighted", data, "y", ("w", "x1", "z1 z2"), ("firm",), weights="times"),
        _question("panel regions", data, "y", ("w", "x1", "z1 z3"), (), replace(AREAS, column="region")),
        _question("panel aliased", data, "y", ("w twice", "x1", "z1 z2"), ("firm",)),
    )


Plans = Iterator[tuple[str, Plan]]


def _column(plan: Plan, column: str, values: object) -> Plan:
    return plan.but(frame=plan.frame.assign(**{column: values}))


def _replaced(plan: Plan, old: Term, new: Term) -> Plan:
    swap = lambda terms: tuple(new if t.name == old.name else t for t in terms)  # noqa: E731
    return plan.but(
        y=swap((plan.y,))[0], exog=swap(plan.exog), endog=swap(plan.endog), instruments=swap(plan.instruments)
    )


def _numeric(plan: Plan) -> list[Term]:
    """One term for every numeric column, y first; a column that enters twice is left out."""
    names = [t.column for t in plan.terms]
    return [t for t in plan.terms if names.count(t.column) == 1 and plan.frame[t.column].dtype != object]


def _on_values(plan: Plan, change: Callable[[np.ndarray], np.ndarray], *, instruments: bool = False) -> Plans:
    """Change the values that enter the regression, one term at a time; of an instrument only where it matters."""
    skip = () if instruments else plan.instruments
    for t in _numeric(plan):
        if t not in skip and not t.how:
            yield t.name, _column(plan, t.column, change(plan.frame[t.column].to_numpy(float)))


def _scaled(factor: float) -> Callable[[Plan], Plans]:
    return lambda plan: _on_values(plan, lambda v: v * factor)


def _form(old: str, how: str, printed: str = "") -> Callable[[Plan], Plans]:
    """A column enters in another form, under its old name, or under the one that is printed then."""

    def changed(plan: Plan) -> Plans:
        for t in _numeric(plan):
            kept = plain.HOW[how](plan.frame[t.column].to_numpy(float)) if t.how == old else np.zeros(0)
            if t.how == old and not np.array_equal(kept, t.values(plan.frame), equal_nan=True):
                name = printed.format(t.column) if printed and t != plan.y else t.name
                yield t.column, _replaced(plan, t, Term(name, t.column, how))

    return changed


def _digits(count: int) -> Callable[[Plan], Plans]:
    def written(plan: Plan) -> Plans:
        used = [t.column for t in plan.terms]
        rounded = {c: plan.frame[c].map(lambda v: float(f"{v:.{count}g}")) for c in used}
        yield "", plan.but(frame=plan.frame.assign(**rounded))

    return written


def _single_precision(plan: Plan) -> Plans:
    used = [t.column for t in plan.terms]
    yield "", plan.but(frame=plan.frame.assign(**{c: plan.frame[c].astype("float32").astype(float) for c in used}))
    for t in _numeric(plan):
        yield t.column, _column(plan, t.column, plan.frame[t.column].astype("float32").astype(float))


def _missing(fill: Callable[[pd.Series], float]) -> Callable[[Plan], Plans]:
    def filled(plan: Plan) -> Plans:
        holes = {t.column: plan.frame[t.column] for t in plan.terms if plan.frame[t.column].isna().any() and not t.how}
        for name, column in holes.items():
            yield name, _column(plan, name, column.fillna(fill(column)))

    return filled


def _rows(frame: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Plan], Plans]:
    return lambda plan: iter([("", plan.but(frame=frame(plan.frame)))])


def _kept(plan: Plan) -> pd.DataFrame:
    return plan.frame.iloc[plain.arrays(plan).rows]


def _coding(**changes: object) -> Callable[[Plan], Plans]:
    def recoded(plan: Plan) -> Plans:
        if plan.factor:
            yield plan.factor.column, plan.but(factor=replace(plan.factor, **changes))  # type: ignore[arg-type]

    return recoded


def _baseline(plan: Plan) -> Plans:
    levels = plan.factor.levels if plan.factor else ()
    for level in levels[1:]:
        others = tuple(name for name in levels if name != level)
        yield level, plan.but(factor=replace(plan.factor, levels=(level, *others)))  # type: ignore[type-var]


def _without_instrument(plan: Plan) -> Plans:
    if len(plan.instruments) > len(plan.endog):
        for t in plan.instruments:
            yield t.name, plan.but(instruments=tuple(s for s in plan.instruments if s != t))


def _not_an_instrument(plan: Plan) -> Plans:
    if len(plan.instruments) > len(plan.endog):
        for t in plan.exog:
            yield t.name, plan.but(exog=tuple(s for s in plan.exog if s != t), endog=(*plan.endog, t))


def _exogenous(plan: Plan) -> Plans:
    for t in plan.endog if len(plan.endog) > 1 else ():
        yield t.name, plan.but(exog=(*plan.exog, t), endog=tuple(s for s in plan.endog if s != t))


def _instrument_only(plan: Plan) -> Plans:
    for t in plan.exog:
        yield t.name, plan.but(exog=tuple(s for s in plan.exog if s != t), instruments=(*plan.instruments, t))


def _reverse(plan: Plan) -> Plans:
    for t in plan.endog:
        yield t.name, plan.but(y=t, endog=tuple(plan.y if s == t else s for s in plan.endog))


def _estimator(name: str) -> Callable[[Plan], Plans]:
    return lambda plan: iter([("", plan.but(estimator=name))])


def _no_exog_in_first_stage(plan: Plan) -> Plans:
    if plan.exog:
        yield "", plan.but(estimator="exog not in the first stage")


def _aliased(plan: Plan) -> Plans:
    if "twice" in {t.name for t in plan.exog}:
        yield "twice", plan.but(exog=tuple(t for t in plan.exog if t.name != "w"))


def _weights(change: Callable[[pd.Series], pd.Series] | None) -> Callable[[Plan], Plans]:
    def weighted(plan: Plan) -> Plans:
        if plan.weights and change is None:
            yield plan.weights, plan.but(weights=None)
        elif plan.weights and change is not None:
            yield plan.weights, _column(plan, plan.weights, change(plan.frame[plan.weights].astype(float)))

    return weighted


def _frequency(plan: Plan) -> Plans:
    if plan.weights and plan.frame[plan.weights].sum() < 5000:
        frame = plan.frame.loc[plan.frame.index.repeat(plan.frame[plan.weights].astype(int))]
        yield plan.weights, plan.but(frame=frame.reset_index(drop=True), weights=None)


def _complete(plan: Plan) -> Plans:
    yield "", plan.but(complete=tuple(plan.frame.columns))


def _shifted(by: int) -> Callable[[Plan], Plans]:
    return lambda plan: ((t.column, _column(plan, t.column, plan.frame[t.column].shift(by))) for t in _numeric(plan))


def _standardised(ddof: int) -> Callable[[Plan], Plans]:
    def standardised(plan: Plan) -> Plans:
        kept = _kept(plan)
        for t in (*plan.exog, *plan.endog):
            if not t.how:
                v = kept[t.column].astype(float)
                yield t.name, _column(plan, t.column, (plan.frame[t.column] - v.mean()) / v.std(ddof=ddof))

    return standardised


def _centred(plan: Plan) -> Plans:
    kept = _kept(plan)
    for t in (*plan.exog, *plan.endog):
        if not t.how:
            yield t.name, _column(plan, t.column, plan.frame[t.column] - kept[t.column].mean())


def _truncated(plan: Plan) -> Plans:
    return _on_values(plan, np.trunc)


#: What changes the coefficients.
WORLDS: Mapping[str, Callable[[Plan], Plans]] = {
    "first row lost": _rows(lambda d: d.iloc[1:]),
    "last row lost": _rows(lambda d: d.iloc[:-1]),
    "repeated rows removed": _rows(lambda d: d.drop_duplicates()),
    "rows with any gap dropped": _complete,
    "gap as zero": _missing(lambda c: 0.0),
    "gap as mean": _missing(lambda c: float(c.mean())),
    "weights ignored": _weights(None),
    "root of the weights": _weights(np.sqrt),
    "squared weights": _weights(np.square),
    "inverse weights": _weights(lambda w: 1 / w),
    "frequency weights": _frequency,
    "other baseline": _baseline,
    "sum contrasts": _coding(contrast="sum"),
    "helmert contrasts": _coding(contrast="helmert"),
    "polynomial contrasts": _coding(contrast="poly"),
    "factor as number": _coding(contrast="numeric"),
    "gap as a level": _coding(missing_level=True),
    "no intercept": lambda plan: iter([("", plan.but(intercept=False))]),
    "other aliased column": _aliased,
    "sign": _scaled(-1.0),
    "per cent": _scaled(100.0),
    "thousands": _scaled(0.001),
    "times thousand": _scaled(1000.0),
    "log10": _form("log", "log10"),
    "log2": _form("log", "log2"),
    "log forgotten": _form("log", "", "{}"),
    "log forgotten, name kept": _form("log", ""),
    "log1p": _form("log", "log1p", "log1p({})"),
    "log1p, name kept": _form("log", "log1p"),
    "squared": _form("", "square", "I({}^2)"),
    "squared, name kept": _form("", "square"),
    "centred": _centred,
    "standardised": _standardised(1),
    "standardised, ddof 0": _standardised(0),
    "truncated": _truncated,
    "lag": _shifted(1),
    "lead": _shifted(-1),
    "single precision": _single_precision,
    "7 digits": _digits(7),
    "6 digits": _digits(6),
    "5 digits": _digits(5),
    "4 digits": _digits(4),
    "least squares": _estimator("ols"),
    "LIML": _estimator("liml"),
    "Fuller(1)": _estimator("fuller1"),
    "Fuller(4)": _estimator("fuller4"),
    "two-step GMM": _estimator("gmm"),
    "instrument left out": _without_instrument,
    "regressor left out of the instruments": _not_an_instrument,
    "no exogenous regressors in the first stage": _no_exog_in_first_stage,
    "endogenous taken as exogenous": _exogenous,
    "regressor as instrument only": _instrument_only,
    "reverse regression": _reverse,
}


@dataclass(frozen=True)
class Cov:
    """A planted covariance matrix."""

    text: str
    make: Callable[[Fit], np.ndarray]
    vcov: str = ""


def covs(q: Question) -> dict[str, Cov]:
    """Covariance estimators by label; `vcov` is the text that asks ivbridge for the same one."""
    found = {
        "classical": Cov("", plain.classical, "classical"),
        "classical, divisor n": Cov("", lambda f: plain.classical(f, "n")),
        "classical, divisor n-1": Cov("", lambda f: plain.classical(f, "n-1")),
    }
    for kind in ("HC0", "HC1", "HC2", "HC3", "HC4", "HC4m"):
        found[kind] = Cov("", lambda f, kind=kind: plain.hc(f, kind), kind)
    for kind in ("HC2", "HC3"):
        found[f"{kind} with ivreg's hat values"] = Cov("", lambda f, kind=kind: plain.hc(f, kind, "ivreg"))
    if q.plan.weights is None:
        found["HC0 × n/(n-1)"] = Cov("", lambda f: plain.hc(f, "HC0") * f.n / (f.n - 1))
    for g in q.groups:
        add = {
            f"cluster({g})": ({}, f"cluster({g})"),
            f"cluster({g}), HC1": ({"hc1": True}, f"cluster({g}, type=HC1)"),
            f"cluster({g}), no G/(G-1)": ({"cadjust": False}, f"cluster({g}, type=HC0, cadjust=False)"),
        }
        for label, (options, text) in add.items():
            found[label] = Cov(g, lambda f, g=g, options=options: plain.cluster(f, (g,), **options), text)
    if len(q.groups) == 2:
        g, h = q.groups
        add = {
            f"cluster({g}, {h})": ({}, f"cluster({g}, {h})"),
            f"cluster({g}, {h}), HC1": ({"hc1": True}, f"cluster({g}, {h}, type=HC1)"),
            f"cluster({g}, {h}), multi0": ({"multi0": True}, f"cluster({g}, {h}, multi0=True)"),
            f"cluster({g}, {h}), least G": ({"g_rule": "min", "hc1": True}, ""),
            f"cluster({g}, {h}), no G/(G-1)": ({"cadjust": False}, f"cluster({g}, {h}, type=HC0, cadjust=False)"),
        }
        for label, (options, text) in add.items():
            found[label] = Cov(g, lambda f, options=options: plain.cluster(f, (g, h), **options), text)
    if q.order:
        for lag in (1, 2, 3):
            found[f"nw({lag})"] = Cov("", lambda f, lag=lag: plain.hac(f, lag), f"nw({lag}, prewhite=0)")
        found["nw(2), adjusted"] = Cov("", lambda f: plain.hac(f, 2, adjust=True), "nw(2, prewhite=0, adjust=True)")
        found["parzen(2)"] = Cov("", lambda f: plain.hac(f, 2, "parzen"))
        found["truncated(2)"] = Cov("", lambda f: plain.hac(f, 2, "truncated"))
    return found


#: What changes statistics, p-values and intervals: degrees of freedom, coverage, sides.
def inferences(q: Question) -> dict[str, tuple[Callable[[Fit], float], float, int]]:
    """Reference distributions by label."""
    found: dict[str, tuple[Callable[[Fit], float], float, int]] = {
        "t(n-k)": (lambda f: f.n - f.k, 0.95, 2),
        "z": (lambda f: math.inf, 0.95, 2),
        "t(n)": (lambda f: f.n, 0.95, 2),
        "t(n-1)": (lambda f: f.n - 1, 0.95, 2),
        "90 % interval": (lambda f: f.n - f.k, 0.90, 2),
        "99 % interval": (lambda f: f.n - f.k, 0.99, 2),
        "one-sided p": (lambda f: f.n - f.k, 0.95, 1),
    }
    for g in q.groups[:1]:
        found["t(G-1)"] = (lambda f, g=g: float(plain.codes(f, (g,)).max()), 0.95, 2)
    return found


Entries = dict[tuple[str, str], float]


def aer_tests(f: Fit, kind: str = "classical") -> Entries:
    """The three tests of summary(fit, diagnostics = TRUE) for classical, HC0 or HC1."""
    found: Entries = {}
    for name, (statistic, q, df) in plain.first_stage(f, kind).items():
        found |= plain.entry(f"weak_instruments:{name}", statistic, q, df)
    found |= plain.entry("wu_hausman", *plain.wu_hausman(f, kind))
    statistic, df1 = plain.sargan(f)
    return found | (plain.entry("sargan", statistic, df1) if df1 > 0 else {})


def _first_stage_n(f: Fit) -> Entries:
    return {
        key: value
        for name, (statistic, q, df) in plain.first_stage(f).items()
        for key, value in plain.entry(f"weak_instruments:{name}", statistic * f.n / df, q, df).items()
    }


def _first_stage_chi2(f: Fit, kind: str = "classical") -> Entries:
    return {
        key: value
        for name, (statistic, q, _) in plain.first_stage(f, kind).items()
        for key, value in plain.entry(f"weak_instruments:{name}", statistic * q, q).items()
    }


def _robust(part: str, kind: str) -> Callable[[Fit], Entries]:
    return lambda f: {key: value for key, value in aer_tests(f, kind).items() if key[1].startswith(part)}


#: Tests that another program computes by another rule; the reference is classical.
TESTS: Mapping[str, Callable[[Fit], Entries]] = {
    "Sargan with n-k": lambda f: plain.entry("sargan", *plain.sargan(f, "n-k")),
    "Basmann": lambda f: plain.entry("sargan", *plain.sargan(f, "basmann")),
    "Wu-Hausman of linearmodels 7.0": lambda f: plain.entry("wu_hausman", *plain.wu_hausman_excluded(f)),
    "Durbin": lambda f: plain.entry("wu_hausman", *plain.durbin(f)),
    "robust Wu-Hausman, HC0": _robust("wu_hausman", "HC0"),
    "robust Wu-Hausman, HC1": _robust("wu_hausman", "HC1"),
    "robust first stage, HC0": _robust("weak", "HC0"),
    "robust first stage, HC1": _robust("weak", "HC1"),
    "first stage with n": _first_stage_n,
    "first stage as chi2": _first_stage_chi2,
}
