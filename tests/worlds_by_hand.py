"""Conventions that change coefficients, each carried out by hand with numpy, pandas, formulaic or linearmodels.

Nothing of the explainer is used here. A plant is a question in ivbridge's words, the key of the convention, and the
coefficients that somebody gets who follows it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from formulaic import model_matrix
from linearmodels.iv import IVGMM, IVJIVE, IVLIML

Columns = Mapping[str, Any]
Coefs = dict[str, float]
ONE = "(Intercept)"


@cache
def data(n: int = 160, seed: int = 5) -> pd.DataFrame:
    """Columns of every kind; the same object each time, so never write to it."""
    rng = np.random.default_rng(seed)
    d = pd.DataFrame({name: rng.normal(size=n) for name in ("w1", "w2", "z1", "z2", "z3", "u")})
    d["x1"] = d.z1 + 0.6 * d.z2 + d.u + rng.normal(size=n)
    d["x2"] = d.z2 - d.z3 + 0.4 * d.u + rng.normal(size=n)
    d["p"], d["q"] = np.exp(0.4 * d.x1), np.exp(0.3 * d.w1 + 2)
    d["month"] = rng.integers(1, 6, n).astype(float)
    d["g"] = rng.choice(["ash", "birch", "cedar", "elm"], n, p=[0.2, 0.4, 0.3, 0.1])
    d["h"] = rng.choice([1, 3, 7], n)
    d["y"] = 1 + d.x1 - d.x2 + d.w1 + (d.g == "elm") + d.u + rng.normal(size=n)
    d["income"] = np.rint(30_000 + 9_000 * d.w1)
    d["wt"], d["times"] = rng.uniform(0.4, 3, n), rng.integers(1, 5, n)
    d["gap"] = (d.w2 + 1).where(rng.uniform(size=n) > 0.1)
    d["hole"] = d.g.where(rng.uniform(size=n) > 0.08, None)
    d["elsewhere"] = d.u.where(rng.uniform(size=n) > 0.07)
    d["nowhere"] = d.u.where(rng.uniform(size=n) > 0.05)
    d["x15"] = d.w1 + d.w2
    d["copy"] = 2 * d.w1 - 3
    d["area"] = np.arange(n) % 20
    d.loc[n - 4 :, :] = d.loc[:3, :].to_numpy()
    d.loc[n - 6 : n - 5, [c for c in d.columns if c != "area"]] = d.loc[
        4:5, [c for c in d.columns if c != "area"]
    ].to_numpy()
    kinds = {"g": object, "hole": object, "h": int, "times": int, "area": int}
    return d.astype({c: kinds.get(c, float) for c in d.columns})


def iv(y: Any, x: Columns, z: Columns | None = None, w: Any = None) -> Coefs:
    """Two-stage least squares, weighted rows; least squares without instruments."""
    root = np.ones(len(y)) if w is None else np.sqrt(np.asarray(w, dtype=float))
    xs, ys = np.column_stack([np.asarray(c, dtype=float) for c in x.values()]) * root[:, None], np.asarray(y) * root
    if z is not None:
        zs = np.column_stack([np.asarray(c, dtype=float) for c in z.values()]) * root[:, None]
        xs = zs @ np.linalg.lstsq(zs, xs, rcond=None)[0]
    return dict(zip(x, np.linalg.lstsq(xs, ys, rcond=None)[0].tolist(), strict=True))


def pick(d: pd.DataFrame, names: str, *, constant: bool = True) -> dict[str, Any]:
    """Columns by their names, an intercept first."""
    return ({ONE: np.ones(len(d))} if constant else {}) | {name: d[name].to_numpy() for name in names.split()}


def standard(d: pd.DataFrame, w: Any = None, **changed: Any) -> Coefs:
    """``y ~ x1 + w1 | w1 + z1 + z2 + z3`` with some columns replaced."""
    e = d.assign(**changed)
    return iv(e["y"], pick(e, "w1 x1"), pick(e, "w1 z1 z2 z3"), w)


@dataclass(frozen=True)
class Plant:
    """A convention, carried out."""

    key: str
    formula: str
    coefs: Callable[[pd.DataFrame], Coefs]
    options: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    text: str = ""


Q = "y ~ x1 + w1 | w1 + z1 + z2 + z3"
TWO = "y ~ x1 + x2 + w1 | w1 + z1 + z2 + z3"
GAP = "y ~ x1 + gap | gap + z1 + z2"
LOGS = "y ~ log(p) + log(q) | log(q) + z1 + z2"
WEIGHTED = {"weights": "wt"}


def _gap(fill: Callable[[pd.Series], float]) -> Callable[[pd.DataFrame], Coefs]:
    return lambda d: iv(
        d["y"], pick(e := d.assign(gap=d["gap"].fillna(fill(d["gap"]))), "gap x1"), pick(e, "gap z1 z2")
    )


def _some(rows: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[pd.DataFrame], Coefs]:
    return lambda d: standard(rows(d))


ROWS = (
    Plant("rows.complete_cases", Q, _some(lambda d: d.dropna())),
    Plant("rows.other_column", Q, _some(lambda d: d.dropna(subset=["elsewhere"]))),
    Plant("rows.missing_as_zero", GAP, _gap(lambda c: 0.0)),
    Plant("rows.missing_as_mean", GAP, _gap(lambda c: float(c.mean()))),
    Plant("rows.missing_as_median", GAP, _gap(lambda c: float(c.median()))),
    Plant("rows.duplicates", Q, _some(lambda d: d.drop_duplicates())),
    Plant("rows.duplicates_used", Q, _some(lambda d: d.drop_duplicates(subset=["y", "x1", "w1", "z1", "z2", "z3"]))),
    Plant("rows.first", Q, _some(lambda d: d.iloc[1:])),
    Plant("rows.first", Q, _some(lambda d: d.iloc[5:]), note="five"),
    Plant("rows.last", Q, _some(lambda d: d.iloc[:-1])),
    Plant("rows.last", Q, _some(lambda d: d.head(150)), note="ten"),
)


def through_text(d: pd.DataFrame, columns: list[str], pattern: str) -> pd.DataFrame:
    written = io.StringIO(d[columns].to_csv(index=False, float_format=pattern))
    rows = list(csv.DictReader(written))
    return d.assign(**{name: [float(row[name]) for row in rows] for name in columns})


USED = ["y", "x1", "w1", "z1", "z2", "z3"]


def _texts(pattern: str, columns: list[str]) -> Callable[[pd.DataFrame], Coefs]:
    return lambda d: standard(through_text(d, columns, pattern))


def _single(d: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    return d.assign(**{c: d[c].astype("float32").astype("float64") for c in columns})


def _logs(d: pd.DataFrame, *, single: bool = False, **new: Any) -> Coefs:
    e = pd.DataFrame({"y": d["y"], "log(p)": np.log(d["p"]), "log(q)": np.log(d["q"]), "z1": d["z1"], "z2": d["z2"]})
    e = e.assign(**new)
    e = _single(e, list(e.columns)) if single else e
    return iv(e["y"], pick(e, "log(q) log(p)"), pick(e, "log(q) z1 z2"))


INCOME = "y ~ x1 + income | income + z1 + z2"


def _income(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[pd.DataFrame], Coefs]:
    return lambda d: iv(
        d["y"], pick(e := d.assign(income=change(d["income"].to_numpy())), "income x1"), pick(e, "income z1 z2")
    )


STORAGE = (
    Plant("storage.float32", Q, lambda d: standard(_single(d, USED))),
    Plant("storage.float32", Q, lambda d: standard(_single(d, ["x1"])), note="one column"),
    Plant(
        "storage.float32",
        LOGS,
        lambda d: _logs(_single(d, ["y", "p", "q", "z1", "z2"])),
        note="before the logarithm",
    ),
    Plant("matrices.float32", LOGS, lambda d: _logs(d, single=True)),
    *(Plant("storage.digits", Q, _texts(f"%.{k}g", USED), note=f"{k}") for k in (7, 6, 4, 3)),
    Plant("storage.digits", Q, _texts("%.5g", ["z2"]), note="one column"),
    Plant(
        "storage.digits",
        Q,
        lambda d: standard(through_text(d, USED, "%.4g"), w=d["wt"]),
        WEIGHTED,
        "not the weights",
    ),
    *(Plant("storage.decimals", Q, _texts(f"%.{k}f", USED), note=f"{k}") for k in (4, 2)),
    Plant("storage.rounded", Q, lambda d: standard(d, w1=[float(round(v)) for v in d["w1"]])),
    Plant("storage.truncated", Q, lambda d: standard(d, **{c: d[c].astype(int).astype(float) for c in USED})),
    Plant("storage.overflow", INCOME, _income(lambda v: v.astype(np.int64).astype(np.int16).astype(float))),
)


FACTOR = "y ~ x1 + g | g + z1 + z2"
LEVELS = ("ash", "birch", "cedar", "elm")


def _coded(d: pd.DataFrame, columns: Columns, *, constant: bool = True) -> Coefs:
    one = pick(d, "", constant=constant)
    return iv(
        d["y"],
        one | dict(columns) | pick(d, "x1", constant=False),
        one | dict(columns) | pick(d, "z1 z2", constant=False),
    )


def _dummies(column: pd.Series, levels: tuple[str, ...], prefix: str = "g") -> dict[str, Any]:
    return {prefix + level: (column == level).to_numpy(float) for level in levels}


def _contrast(text: str, names: tuple[str, ...]) -> Callable[[pd.DataFrame], Coefs]:
    """formulaic's contrasts under the names that R gives them."""

    def coefs(d: pd.DataFrame) -> Coefs:
        table = model_matrix(f"C(g, {text})", d).iloc[:, 1:]
        return _coded(d, dict(zip(names, table.to_numpy(float).T, strict=True)))

    return coefs


NUMBERED = ("g1", "g2", "g3")
CODING = (
    Plant("coding.last_level", FACTOR, lambda d: _coded(d, _dummies(d["g"], LEVELS[:3]))),
    Plant("coding.baseline", FACTOR, lambda d: _coded(d, _dummies(d["g"], ("ash", "cedar", "elm")))),
    Plant(
        "coding.baseline",
        "y ~ x1 + w1 * g | w1 * g + z1 + z2",
        lambda d: _coded(
            d,
            {"w1": d["w1"]}
            | (b := _dummies(d["g"], ("ash", "birch", "elm")))
            | {f"w1:{name}": d["w1"] * v for name, v in b.items()},
        ),
        note="in an interaction",
    ),
    Plant(
        "coding.treatment",
        "y ~ x1 + C(g, Sum) | C(g, Sum) + z1 + z2",
        lambda d: _coded(d, _dummies(d["g"], LEVELS[1:], "C(factor(g), contr.sum)")),
    ),
    Plant("coding.sum", FACTOR, _contrast("contr.sum", NUMBERED)),
    Plant("coding.poly", FACTOR, _contrast("contr.poly", ("g.L", "g.Q", "g.C"))),
    Plant("coding.helmert", FACTOR, _contrast("contr.helmert", NUMBERED)),
    Plant("coding.helmert_scaled", FACTOR, _contrast("contr.helmert(scale=True)", NUMBERED)),
    Plant("coding.difference", FACTOR, _contrast("contr.diff", NUMBERED)),
    Plant("coding.as_number", FACTOR, lambda d: _coded(d, {"g": pd.Categorical(d["g"]).codes + 1.0}), note="from one"),
    Plant(
        "coding.as_number",
        FACTOR,
        lambda d: _coded(d, {"g": pd.Categorical(d["g"]).codes.astype(float)}),
        note="from zero",
    ),
    Plant(
        "coding.as_number",
        "y ~ x1 + factor(h) | factor(h) + z1 + z2",
        lambda d: _coded(d, {"factor(h)": d["h"].astype(float)}),
        note="values",
    ),
    Plant(
        "coding.as_factor",
        "y ~ x1 + month | month + z1 + z2",
        lambda d: _coded(d, {f"month{v}": (d["month"] == v).astype(float) for v in (2, 3, 4, 5)}),
    ),
    Plant(
        "coding.missing_level",
        "y ~ x1 + hole | hole + z1 + z2",
        lambda d: _coded(d, _dummies(d["hole"].fillna("NA"), (*LEVELS[1:], "NA"), "hole")),
    ),
    Plant("coding.full_dummies", FACTOR, lambda d: _coded(d, _dummies(d["g"], LEVELS), constant=False)),
    Plant(
        "coding.aliased",
        "y ~ x1 + w1 + copy | w1 + copy + z1 + z2",
        lambda d: iv(d["y"], pick(d, "copy x1"), pick(d, "copy z1 z2")),
    ),
)


def _weighted(change: Callable[[pd.Series], Any]) -> Callable[[pd.DataFrame], Coefs]:
    return lambda d: standard(d, w=change(d["wt"]))


WEIGHTS = (
    Plant("weights.ignored", Q, standard, WEIGHTED),
    Plant("weights.squared", Q, _weighted(np.square), WEIGHTED),
    Plant("weights.root", Q, _weighted(np.sqrt), WEIGHTED),
    Plant("weights.inverse", Q, _weighted(lambda w: 1 / w), WEIGHTED),
    Plant("weights.inverse_square", Q, _weighted(lambda w: w**-2.0), WEIGHTED),
    Plant("weights.mean_inverse", Q, _weighted(lambda w: (1 / w) / (1 / w).mean()), WEIGHTED),
    Plant("weights.normalised", Q, _weighted(lambda w: w / w.mean()), WEIGHTED),
    Plant("weights.sum_one", Q, _weighted(lambda w: w / w.sum()), WEIGHTED),
    Plant("weights.frequency", Q, lambda d: standard(d.loc[d.index.repeat(d["times"])]), {"weights": "times"}),
)


def _by(name: str, factor: float) -> Callable[[pd.DataFrame], Coefs]:
    return lambda d: standard(d, **{name: d[name] * factor})


def _formed(name: str, change: Callable[[Any], Any], label: str) -> Callable[[pd.DataFrame], Coefs]:
    def coefs(d: pd.DataFrame) -> Coefs:
        e = d.assign(**{label: change(d[name])})
        return iv(e["y"], pick(e, f"{label} x1"), pick(e, f"{label} z1 z2"))

    return coefs


def _own(name: str) -> str:
    return f"y ~ x1 + {name} | {name} + z1 + z2"


FORMS = (
    Plant("unit.sign", Q, _by("w1", -1.0)),
    Plant("unit.sign", Q, _by("y", -1.0), note="dependent"),
    Plant("unit.percent", Q, _by("x1", 100.0)),
    Plant("unit.percent", Q, _by("y", 0.01), note="dependent"),
    Plant("unit.thousands", Q, _by("x1", 0.001)),
    Plant("unit.millions", Q, _by("w1", 1e-6)),
    Plant("unit.tens", Q, _by("w1", 10.0)),
    Plant("unit.year", Q, _by("w1", 12.0)),
    Plant("unit.time", Q, _by("w1", 60.0)),
    Plant("unit.log_base", LOGS, lambda d: _logs(d, **{"log(p)": np.log10(d["p"])})),
    Plant("unit.log_base", LOGS, lambda d: _logs(d, **{"log(q)": np.log2(d["q"])}), note="base 2"),
    Plant("form.log_forgotten", LOGS, lambda d: _logs(d, **{"log(q)": d["q"]}), note="old name"),
    Plant("form.log1p", LOGS, lambda d: _logs(d, **{"log(q)": np.log1p(d["q"])})),
    Plant("form.asinh", LOGS, lambda d: _logs(d, **{"log(p)": np.arcsinh(d["p"])})),
    Plant("form.log_taken", _own("q"), _formed("q", np.log, "log(q)")),
    Plant("form.root", _own("q"), _formed("q", np.sqrt, "sqrt(q)")),
    Plant("form.exponential", _own("w2"), _formed("w2", np.exp, "exp(w2)")),
    Plant("form.square", _own("q"), _formed("q", np.square, "I(q^2)")),
    Plant("form.square", Q, lambda d: standard(d, z1=d["z1"] ** 2), note="instrument"),
    Plant(
        "form.square_added",
        Q,
        lambda d: iv(
            d["y"], pick(e := d.assign(**{"I(w1^2)": d["w1"] ** 2}), "w1 x1 I(w1^2)"), pick(e, "w1 z1 z2 z3 I(w1^2)")
        ),
    ),
    Plant("form.centred", Q, lambda d: standard(d, x1=d["x1"] - d["x1"].mean())),
    Plant("form.standardised", Q, lambda d: standard(d, w1=(d["w1"] - d["w1"].mean()) / d["w1"].std())),
    Plant(
        "form.standardised_n",
        Q,
        lambda d: standard(d, **{c: (d[c] - d[c].mean()) / np.std(d[c]) for c in ("y", "x1", "w1")}),
        note="all",
    ),
    Plant(
        "form.scale_n",
        "y ~ x1 + scale(gap) | scale(gap) + z1 + z2",
        lambda d: iv(
            (
                e := d.assign(**{"scale(gap)": (d["gap"] - d["gap"].mean()) / d["gap"].std(ddof=0)}).dropna(
                    subset=["gap"]
                )
            )["y"],
            {ONE: np.ones(len(e)), "scale(gap)": e["scale(gap)"], "x1": e["x1"]},
            {ONE: np.ones(len(e)), "scale(gap)": e["scale(gap)"], "z1": e["z1"], "z2": e["z2"]},
        ),
    ),
    Plant("form.lag", Q, lambda d: standard(d.assign(w1=d["w1"].shift(1)).dropna(subset=["w1"]))),
    Plant("form.lead", Q, lambda d: standard(d.assign(z2=d["z2"].shift(-1)).dropna(subset=["z2"]))),
    Plant(
        "form.lag",
        GAP,
        lambda d: iv(
            (e := d.assign(x1=d["x1"].shift(1)).dropna(subset=["x1", "gap"]))["y"],
            pick(e, "gap x1"),
            pick(e, "gap z1 z2"),
        ),
        note="before rows are dropped",
    ),
)


def _shuffled(order: tuple[str, ...]) -> Callable[[pd.DataFrame], Coefs]:
    return lambda d: dict(zip(order, standard(d).values(), strict=True))


def _two(d: pd.DataFrame, x: str, z: str) -> Coefs:
    return iv(d["y"], pick(d, x), pick(d, z))


ROLES = (
    Plant(
        "intercept.missing",
        Q,
        lambda d: iv(d["y"], pick(d, "w1 x1", constant=False), pick(d, "w1 z1 z2 z3", constant=False)),
    ),
    Plant("intercept.added", "y ~ x1 + w1 - 1 | w1 + z1 + z2 + z3 - 1", standard),
    Plant(
        "intercept.doubled",
        Q,
        lambda d: {
            n: v
            for n, v in iv(d["y"], {**pick(d, "w1 x1"), "const": np.ones(len(d))}, pick(d, "w1 z1 z2 z3")).items()
            if n != "const"
        },
    ),
    Plant("roles.endog_as_exog", TWO, lambda d: _two(d, "w1 x1 x2", "w1 x2 z1 z2 z3")),
    Plant("roles.instrument_left_out", Q, lambda d: _two(d, "w1 x1", "w1 z1 z3")),
    Plant("roles.exog_not_instrument", Q, lambda d: _two(d, "w1 x1", "z1 z2 z3")),
    Plant("roles.regressor_left_out", Q, lambda d: _two(d, "x1", "z1 z2 z3")),
    Plant("roles.exog_as_instrument", Q, lambda d: _two(d, "x1", "w1 z1 z2 z3")),
    Plant("roles.instrument_as_exog", Q, lambda d: _two(d, "w1 x1 z2", "w1 z1 z2 z3")),
    Plant("roles.reversed", Q, lambda d: iv(d["x1"], pick(d, "w1 y"), pick(d, "w1 z1 z2 z3"))),
    Plant("order.endog_first", Q, _shuffled((ONE, "x1", "w1"))),
    Plant("order.constant_last", Q, _shuffled(("w1", "x1", ONE))),
    Plant(
        "order.alphabet",
        "y ~ x1 + x2 + x15 | x15 + z1 + z2 + z3",
        lambda d: dict(zip((ONE, "x1", "x15", "x2"), _two(d, "x15 x1 x2", "x15 z1 z2 z3").values(), strict=True)),
    ),
)


def _by_linearmodels(
    kind: Any, fit: Mapping[str, Any] | None = None, **options: Any
) -> Callable[[pd.DataFrame], Coefs]:
    def coefs(d: pd.DataFrame) -> Coefs:
        exog = d[["w1"]].assign(**{ONE: 1.0})[[ONE, "w1"]]
        given = {name: value(d) if callable(value) else value for name, value in options.items()}
        found = kind(d["y"], exog, d[["x1"]], d[["z1", "z2", "z3"]], **given).fit(**(fit or {}))
        return {str(name): float(value) for name, value in found.params.items()}

    return coefs


def _by_hand(d: pd.DataFrame) -> tuple[dict[str, Any], Any]:
    first = iv(d["x1"], pick(d, "z1 z2 z3"))
    hat = sum(value * d.assign(**{ONE: 1.0})[name] for name, value in first.items())
    return pick(d, "w1"), hat


CLUSTERED = {"vcov": "cluster(area)"}
ESTIMATORS = (
    Plant("estimator.ols", Q, lambda d: iv(d["y"], pick(d, "w1 x1"))),
    Plant("estimator.2sls", Q, standard, {"method": "liml"}),
    Plant("estimator.liml", Q, _by_linearmodels(IVLIML)),
    Plant("estimator.fuller", Q, _by_linearmodels(IVLIML, fuller=1.0), note="1"),
    Plant("estimator.fuller", Q, _by_linearmodels(IVLIML, fuller=4.0), note="4"),
    Plant("estimator.gmm", Q, _by_linearmodels(IVGMM)),
    Plant("estimator.gmm", Q, _by_linearmodels(IVGMM, weights=lambda d: d["wt"]), WEIGHTED, "weighted"),
    Plant("estimator.gmm_centred", Q, _by_linearmodels(IVGMM, center=True)),
    Plant(
        "estimator.gmm_clustered",
        Q,
        _by_linearmodels(IVGMM, weight_type="clustered", clusters=lambda d: d["area"]),
        CLUSTERED,
    ),
    Plant("estimator.gmm_identity", Q, _by_linearmodels(IVGMM, {"iter_limit": 1, "initial_weight": np.eye(5)})),
    Plant("estimator.jive", Q, _by_linearmodels(IVJIVE)),
    Plant("estimator.jive", Q, _by_linearmodels(IVJIVE, weights=lambda d: d["wt"]), WEIGHTED, "weighted"),
    Plant("estimator.short_first_stage", Q, lambda d: iv(d["y"], (f := _by_hand(d))[0] | {"x1": f[1]})),
    Plant(
        "estimator.short_instruments", Q, lambda d: iv(d["y"], pick(d, "w1 x1"), (f := _by_hand(d))[0] | {"hat": f[1]})
    ),
    Plant("estimator.reduced_form", Q, lambda d: iv(d["y"], pick(d, "w1 z1 z2 z3"))),
    Plant("estimator.first_stage", Q, lambda d: iv(d["x1"], pick(d, "w1 z1 z2 z3"))),
)

PLANTS = (*ROWS, *STORAGE, *CODING, *WEIGHTS, *FORMS, *ROLES, *ESTIMATORS)
