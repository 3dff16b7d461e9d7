"""The fast engine's way from a table to an estimate: any table, the same numbers, nothing before it is asked for."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import ivbridge
from ivbridge.api import design_for
from ivbridge.engines import careful, quick
from ivbridge.engines.fast import FastEngine
from ivbridge.errors import IvbridgeError
from ivbridge.records import Coefficients, FirstStage, Test
from ivbridge.results import Estimate

PLAIN = "y ~ w + x | w + z1 + z2"

#: Native refines to the last digit; two passes over well-conditioned columns (condition below 100) leave κ²u = 1e-12.
CLOSE = 1e-10


def table(n: int = 500, seed: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    w, z1, z2, u = rng.normal(size=(4, n))
    x = z1 - z2 / 2 + w / 3 + u + rng.normal(size=n)
    data = pd.DataFrame({"w": w + 5, "z1": z1, "z2": z2, "x": x, "y": 1 + w + x / 2 + u})
    data["n"] = rng.integers(-4, 9, n)
    data["single"] = (z2 + rng.normal(size=n)).astype(np.float32)
    data["b"] = rng.random(n) < 0.5
    data["a"] = rng.random(n) + 0.5
    data["g"] = rng.integers(3, 40, n)
    data["h"] = rng.choice(["u", "v", "w"], n)
    data["f"] = pd.Categorical(rng.choice(["one", "two", "three"], n))
    data["m"] = np.where(rng.random(n) < 0.05, np.nan, rng.normal(size=n))
    data["zero"] = np.where(rng.random(n) < 0.05, 0.0, data["a"])
    data["twice"] = 2 * data["w"]
    return data


DATA = table()


def close(left: Any, right: Any, within: float = CLOSE) -> None:
    np.testing.assert_allclose(
        np.asarray(left, dtype=float), np.asarray(right, dtype=float), rtol=within, atol=within, equal_nan=True
    )


def tables_close(left: Coefficients, right: Coefficients) -> None:
    assert left.terms == right.terms
    for name in ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"):
        close(getattr(left, name), getattr(right, name))


def same(left: Estimate, right: Estimate) -> None:
    """Everything that an estimate holds, matrices included."""
    tables_close(left.coefs, right.coefs)
    for name in ("cov", "residuals", "fitted", "sigma", "r2", "r2_adj"):
        close(getattr(left, name), getattr(right, name))
    for name in ("n", "df_resid", "data_sha256", "notes", "spec"):
        assert getattr(left, name) == getattr(right, name), name
    assert list(left.tests) == list(right.tests)
    for one, other in zip(left.tests.values(), right.tests.values(), strict=True):
        assert type(one) is type(other) and one.name == other.name
        if isinstance(one, Test) and isinstance(other, Test):
            close(
                [one.statistic, one.p_value, one.df1, one.df2], [other.statistic, other.p_value, other.df1, other.df2]
            )
    assert len(left.first_stages) == len(right.first_stages)
    for first, second in zip(left.first_stages, right.first_stages, strict=True):
        tables_close(first.coefs, second.coefs)
        close(first.cov, second.cov)
        for field in dataclasses.fields(FirstStage):
            if field.name in ("n", "df_resid", "r2", "r2_adj", "sigma"):
                close(getattr(first, field.name), getattr(second, field.name))
    for field in dataclasses.fields(left.seen):
        one, other = getattr(left.seen, field.name), getattr(right.seen, field.name)
        if isinstance(one, np.ndarray):
            assert np.array_equal(one, other), field.name
        elif field.name == "groups":
            assert list(one) == list(other) and all(np.array_equal(one[key], other[key]) for key in one)
        else:
            assert one == other, field.name


@pytest.fixture
def no_design(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the data were looked at")

    monkeypatch.setattr(careful, "careful", refuse)
    monkeypatch.setattr(quick, "build", refuse)
    monkeypatch.setattr(quick, "frame_of", refuse)


VCOVS = ["classical", "HC0", "HC1", "HC2", "HC5", "cluster(g)", "cluster(h)", "cluster(f, type=HC1)", "cluster(g, h)",
         "cluster(g, h, b, type=HC1, multi0=True)", "cluster(n)", "cluster(single)"]  # fmt: skip


# -------------------------------------------------------------------------------------------------------- plain columns
@pytest.mark.parametrize("vcov", VCOVS)
@pytest.mark.usefixtures("no_design")
def test_plain_columns_are_answered_without_a_design(vcov: str) -> None:
    estimate = ivbridge.fit(PLAIN, DATA, vcov, engine="fast")
    assert isinstance(estimate, Estimate)
    estimate.summary()


@pytest.mark.parametrize("vcov", VCOVS)
def test_the_direct_answer_is_that_of_the_design_and_of_the_native_engine(vcov: str) -> None:
    found = ivbridge.fit(PLAIN, DATA, vcov, engine="fast")
    same(found, FastEngine().fit(design_for(PLAIN, DATA, [vcov])))
    same(found, dataclasses.replace(ivbridge.fit(PLAIN, DATA, vcov), engine="fast"))


@pytest.mark.parametrize(
    ("formula", "options"),
    [
        ("y ~ w + x | w + z1", {}),
        ("y ~ w + z1", {}),
        ("y ~ 0 + w + x | 0 + w + z1 + z2", {}),
        ("y ~ 1", {}),
        ("y ~ x + n | z1 + single", {}),
        (PLAIN, {"weights": "a"}),
        (PLAIN, {"weights": DATA["a"].to_numpy()}),
        (PLAIN, {"weights": DATA["a"]}),
        (PLAIN, {"method": "liml"}),
        (PLAIN, {"method": "fuller(4)", "inference": "z"}),
        (PLAIN, {"inference": "t(7)"}),
    ],
)
def test_plain_questions_of_every_kind(formula: str, options: dict[str, Any]) -> None:
    same(ivbridge.fit(formula, DATA, "HC1", engine="fast", **options), ivbridge.fit(formula, DATA, "HC1", **options))


@pytest.mark.parametrize("near", [1e-3, 1e-5])
def test_nearly_collinear_columns_need_no_look_at_the_data(near: float, monkeypatch: pytest.MonkeyPatch) -> None:
    data = DATA.assign(twice=DATA["twice"] + near * DATA["z2"])
    formula = "y ~ w + twice + x | w + twice + z1 + n"
    expected = ivbridge.fit(formula, data, "HC1")
    monkeypatch.setattr(careful, "careful", None)
    found = ivbridge.fit(formula, data, "HC1", engine="fast")
    # the data are given with 16 digits, of which their condition leaves 16 + log10(near)
    close(found.params / expected.params, 1.0, 1e-14 / near)
    close(found.bse / expected.bse, 1.0, 1e-14 / near)


@pytest.mark.parametrize("start", [1e5, 1e9])
@pytest.mark.parametrize("name", ["w", "z1"])
def test_a_column_far_from_zero_is_left_out_where_r_does_it(name: str, start: float) -> None:
    data = DATA.assign(**{name: DATA[name].round(3) + start})
    expected, found = (ivbridge.fit(PLAIN, data, "HC1", engine=engine) for engine in ("native", "fast"))
    assert found.seen.aliased_instruments == expected.seen.aliased_instruments == ((name,) if start > 1e7 else ())
    assert found.seen.aliased == expected.seen.aliased
    # the constant and its error are start times those of w
    close(found.params / expected.params, 1.0)
    close(found.bse / expected.bse, 1.0)


@pytest.mark.parametrize("formula", [PLAIN, "y ~ f + w + x | f + w + z1 + z2"])
def test_a_perfect_fit_has_the_tests_that_other_engines_have(formula: str) -> None:
    data = DATA.assign(y=DATA["w"] + DATA["x"] / 2)
    expected, found = (ivbridge.fit(formula, data, "HC1", engine=engine) for engine in ("native", "fast"))
    assert {name: type(test) for name, test in found.tests.items()} == {
        name: type(test) for name, test in expected.tests.items()
    }
    assert found.tests["sargan"] == expected.tests["sargan"]


def test_a_dependent_variable_that_is_all_constant_but_for_rounding_is_noted() -> None:
    data = DATA.assign(y=2 * (50 * DATA["y"]).round() + 1e16)
    expected, found = (ivbridge.fit(PLAIN, data, "HC1", engine=engine) for engine in ("native", "fast"))
    assert found.notes[0] == expected.notes[0] and "reproduce" in found.notes[0]
    assert found.seen.exact and expected.seen.exact


def test_weights_of_single_precision_are_exact_doubles() -> None:
    single = DATA["a"].to_numpy().astype(np.float32)
    expected = ivbridge.fit(PLAIN, DATA, "HC1", weights=single.astype(np.float64), engine="fast")
    assert ivbridge.fit(PLAIN, DATA, "HC1", weights=single, engine="fast").params.equals(expected.params)


# ------------------------------------------------------------------------------------- questions that need a look
LOOKED_AT = [
    ("log(a) ~ log(a + 1) + x | log(a + 1) + z1 + z2", {}),
    ("y ~ f + x | f + z1 + z2", {}),
    ("y ~ b + x | b + z1 + z2", {}),
    ("y ~ w * h + x | w * h + z1 + z2", {}),
    ("y ~ factor(n) + x | factor(n) + z1:z2", {}),
    ("y ~ poly(w, 3) + x | poly(w, 3) + z1", {}),
    ("y ~ m + x | m + z1 + z2", {}),
    ("y ~ w + x + offset(z2) | w + z1", {}),
    (PLAIN, {"weights": "zero"}),
    (PLAIN, {"weights": DATA["zero"].to_numpy()}),
    ("y ~ w + twice + x | w + twice + z1 + z2", {}),
    ("y ~ w + x | w + twice + z1", {}),
    ("y ~ w + twice + x | w + twice + z1 + z2", {"method": "liml"}),
    ("y ~ m + x | m + z1 + z2", {"weights": "a"}),
]


@pytest.mark.parametrize("vcov", ["HC1", "cluster(g, h)"])
@pytest.mark.parametrize(("formula", "options"), LOOKED_AT)
def test_other_questions_equal_those_of_the_native_engine(formula: str, options: dict[str, Any], vcov: str) -> None:
    found = ivbridge.fit(formula, DATA, vcov, engine="fast", **options)
    same(found, FastEngine().fit(design_for(formula, DATA, [vcov], **options)))
    same(found, ivbridge.fit(formula, DATA, vcov, **options))


def test_vcovs_that_look_at_rows_in_order_are_answered_too() -> None:
    for vcov in ("nw(3)", "bootstrap(R=20)"):
        same(ivbridge.fit(PLAIN, DATA, vcov, engine="fast"), ivbridge.fit(PLAIN, DATA, vcov))


def changed(**columns: Any) -> pd.DataFrame:
    return DATA.assign(**columns)


def at(position: int, value: float) -> np.ndarray:
    column = DATA["w"].to_numpy().copy()
    column[position] = value
    return column


def unrelated() -> np.ndarray:
    """A column that the instruments z1 and z2 do not explain at all."""
    known = np.column_stack([np.ones(len(DATA)), DATA["z1"], DATA["z2"]])
    return np.asarray(DATA["w"] - known @ np.linalg.lstsq(known, DATA["w"], rcond=None)[0])


BAD = {
    "an infinite value": (PLAIN, changed(w=at(17, np.inf)), "HC1", {}),
    "a very large value": (PLAIN, changed(w=at(17, 1e40)), "HC1", {}),
    "very small values": (PLAIN, changed(w=DATA["w"] * 1e-40), "HC1", {}),
    "large whole numbers": (PLAIN, changed(w=DATA["n"].astype(np.int64) + 2**55), "HC1", {}),
    "whole numbers beyond doubles": (PLAIN, changed(w=DATA["n"].astype(np.int64) * 2**51), "HC1", {}),
    "no such column": ("y ~ wrong + x | wrong + z1", DATA, "HC1", {}),
    "a column twice": (PLAIN, pd.concat([DATA, DATA[["w"]]], axis=1), "HC1", {}),
    "text": (PLAIN, changed(y=DATA["h"]), "HC1", {}),
    "dates": ("y ~ w + x | w + z1", changed(w=pd.Timestamp("2020-01-01")), "HC1", {}),
    "complex numbers": ("y ~ w + x | w + z1", changed(w=DATA["w"] * 1j), "HC1", {}),
    "nothing to explain": (PLAIN, changed(y=0.1), "HC1", {}),
    "too few rows": (PLAIN, DATA.head(3), "HC1", {}),
    "no rows": (PLAIN, DATA.head(0), "HC1", {}),
    "as many instruments as rows": (PLAIN, DATA.head(4), "HC1", {}),
    "too few instruments": ("y ~ w + x | w", DATA, "HC1", {}),
    "constant instruments": ("y ~ w + x | w + z1", changed(z1=1.0), "HC1", {}),
    "an instrument without relation": ("y ~ w + x | w + z1", changed(z1=2 * DATA["w"]), "HC1", {}),
    "projections that depend": ("y ~ x + z | z1 + z2", changed(z=DATA["x"] + unrelated()), "HC1", {}),
    "no vcov": (PLAIN, DATA, None, {}),
    "an unknown vcov": (PLAIN, DATA, "HC9", {}),
    "no text": (PLAIN, DATA, ["HC1"], {}),
    "a vcov of another method": (PLAIN, DATA, "HC3", {"method": "liml"}),
    "one cluster": (PLAIN, changed(g=1), "cluster(g)", {}),
    "a cluster is missing": (PLAIN, changed(g=np.where(DATA["w"] < 4, np.nan, 1.0)), "cluster(g)", {}),
    "a text cluster is missing": (PLAIN, changed(h=DATA["h"].where(DATA["w"] < 4)), "cluster(h)", {}),
    "no cluster column": (PLAIN, DATA, "cluster(wrong)", {}),
    "large cluster numbers": (PLAIN, changed(g=DATA["g"] + 2**55), "cluster(g)", {}),
    "negative weights": (PLAIN, changed(a=DATA["a"] - 1), "HC1", {"weights": "a"}),
    "weights of another length": (PLAIN, DATA, "HC1", {"weights": np.ones(3)}),
    "a leverage of one": ("y ~ w + x | w + z1", changed(w=np.eye(500)[0]), "HC3", {}),
    "LIML without an endogenous regressor": ("y ~ w", DATA, "HC1", {"method": "liml"}),
    "a reserved name": ("y ~ .ivb_a + x | .ivb_a + z1", DATA.rename(columns={"w": ".ivb_a"}), "HC1", {}),
    "a formula that is none": ("y ~ ", DATA, "HC1", {}),
    "no table": (PLAIN, [1.0], "HC1", {}),
    "a ragged mapping": (PLAIN, {"y": np.ones(3), "w": np.ones(2)}, "HC1", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_is_wrong_is_told_in_the_words_of_the_other_engines(name: str) -> None:
    formula, data, vcov, options = BAD[name]
    told = []
    for engine in ("native", "fast"):
        with pytest.raises(IvbridgeError) as error:
            ivbridge.fit(formula, data, vcov, engine=engine, **options)
        told.append((type(error.value), str(error.value)))
    assert told[0] == told[1]


# ------------------------------------------------------------------------------------------------------------ any table
def one_block(data: pd.DataFrame) -> pd.DataFrame:
    """A frame whose columns lie in one array, row by row."""
    numeric = data[["w", "z1", "z2", "x", "y"]]
    frame = pd.DataFrame(np.ascontiguousarray(numeric.to_numpy()), columns=numeric.columns)
    return frame.assign(g=data["g"].to_numpy(), n=data["n"].to_numpy())


def in_chunks(data: pd.DataFrame) -> pl.DataFrame:
    parts = [pl.from_pandas(data.iloc[a:b]) for a, b in ((0, 100), (100, 101), (101, 500))]
    return pl.concat(parts, rechunk=False)


KEEP = ["w", "z1", "z2", "x", "y", "g", "n", "a", "h", "m", "b"]
TABLES: dict[str, Callable[[], Any]] = {
    "pandas": lambda: DATA,
    "one block": lambda: one_block(DATA),
    "every second row": lambda: pd.DataFrame(np.repeat(DATA[["w", "z1", "z2", "x", "y", "g"]].to_numpy(), 2, axis=0),
                                             columns=["w", "z1", "z2", "x", "y", "g"]).iloc[::2],
    "rows from the end": lambda: DATA.iloc[::-1].iloc[::-1].set_index("a"),
    "Arrow in pandas": lambda: DATA[KEEP].convert_dtypes(dtype_backend="pyarrow"),
    "nullable pandas": DATA[KEEP].convert_dtypes,
    "polars": lambda: pl.from_pandas(DATA[KEEP]),
    "polars in chunks": lambda: in_chunks(DATA[KEEP]),
    "arrow": lambda: pa.Table.from_pandas(DATA[KEEP]),
    "arrow in chunks": lambda: in_chunks(DATA[KEEP]).to_arrow(),
    "a record batch": lambda: pa.Table.from_pandas(DATA[KEEP]).to_batches()[0],
    "a mapping": lambda: {name: DATA[name].to_numpy() for name in KEEP},
    "a mapping of lists": lambda: {name: DATA[name].tolist() for name in KEEP},
}  # fmt: skip
STRIPPED = {"Arrow in pandas", "nullable pandas", "a mapping of lists"}


@pytest.mark.parametrize("vcov", ["HC1", "cluster(g)"])
@pytest.mark.parametrize("kind", TABLES)
def test_any_table_gives_the_same_bits(kind: str, vcov: str) -> None:
    expected = ivbridge.fit(PLAIN, DATA, vcov, engine="fast")
    found = ivbridge.fit(PLAIN, TABLES[kind](), vcov, engine="fast")
    # the memory of strided columns is read in another order by BLAS
    close(found.cov, expected.cov, 1e-14)
    close(found.coefs.estimate, expected.coefs.estimate, 1e-14)
    close(found.residuals, expected.residuals, 1e-13)
    assert found.seen.rows.tolist() == expected.seen.rows.tolist()
    assert np.array_equal(found.seen.x, expected.seen.x) and np.array_equal(found.seen.z, expected.seen.z)


@pytest.mark.parametrize("kind", sorted(set(TABLES) - STRIPPED))
@pytest.mark.usefixtures("no_design")
def test_columns_of_these_tables_are_read_where_they_are(kind: str) -> None:
    ivbridge.fit(PLAIN, TABLES[kind](), "HC1", engine="fast").coefs  # noqa: B018


@pytest.mark.parametrize("engine", ["native", "fast"])
@pytest.mark.parametrize("kind", ["polars", "polars in chunks", "arrow", "a mapping", "a record batch"])
def test_every_engine_takes_every_table(kind: str, engine: str) -> None:
    formula = "y ~ m + h + b + x | m + h + b + z1 + z2"
    expected, found = (ivbridge.fit(formula, data, "HC1", engine=engine) for data in (DATA, TABLES[kind]()))
    close(found.coefs.estimate, expected.coefs.estimate, 1e-14)
    assert found.data_sha256 == expected.data_sha256 and found.notes == expected.notes


@pytest.mark.parametrize("kind", ["polars", "arrow"])
def test_a_missing_column_of_another_table_is_told_with_those_that_are_there(kind: str) -> None:
    with pytest.raises(ivbridge.DataError, match=r"no column 'wx'.*z1"):
        ivbridge.fit("y ~ wx + x | wx + z1", TABLES[kind](), "HC1", engine="fast")


def test_a_lazy_frame_is_refused_with_what_to_do() -> None:
    with pytest.raises(ivbridge.DataError, match=r"LazyFrame.*collect"):
        ivbridge.fit(PLAIN, pl.LazyFrame({"y": [1.0]}), "HC1", engine="fast")


def test_missing_values_of_polars_and_arrow_are_rows_left_out() -> None:
    for kind in ("polars", "arrow"):
        data = TABLES[kind]() if kind == "arrow" else TABLES[kind]().with_columns(pl.col("m").fill_nan(None))
        assert ivbridge.fit("y ~ m + x | m + z1", data, "HC1", engine="fast").n == int(DATA["m"].notna().sum())


def test_fitting_loads_neither_polars_nor_pyarrow() -> None:
    code = (
        "import sys, numpy as np, pandas as pd, ivbridge\n"
        "before = set(sys.modules)\n"
        "r = np.random.default_rng(0).normal(size=(3, 50))\n"
        "ivbridge.fit('y ~ x | z', dict(zip('yxz', r)), 'HC1', engine='fast').coefs\n"
        "print(sorted({m.partition('.')[0] for m in set(sys.modules) - before} & {'polars', 'linearmodels', 'duckdb'}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]
    )
    assert done.stdout.strip() == "[]"


# ------------------------------------------------------------------------------------------------- nothing before asked
def test_a_change_of_the_data_in_place_does_not_reach_an_estimate() -> None:
    data = table()
    expected = ivbridge.fit(PLAIN, data.copy(), "HC1", engine="fast").residuals
    estimate = ivbridge.fit(PLAIN, data, "HC1", engine="fast")
    data.loc[:, "y"] = 0.0
    data.iloc[3, 0] = 7.0
    assert np.array_equal(estimate.residuals, expected)


def test_an_estimate_can_be_pickled_replaced_and_written() -> None:
    estimate = ivbridge.fit(PLAIN, DATA, "HC1", engine="fast")
    again = pickle.loads(pickle.dumps(estimate))
    same(again, estimate)
    same(dataclasses.replace(ivbridge.fit(PLAIN, DATA, "HC1", engine="fast"), warnings=("one",)), estimate)
    read = Estimate.from_json(ivbridge.fit(PLAIN, DATA, "HC1", engine="fast").to_json())
    assert read.to_json() == estimate.to_json() or read.provenance.recorded_on != estimate.provenance.recorded_on
    close(read.residuals, estimate.residuals, 0)


def test_the_estimate_can_be_augmented_and_read() -> None:
    estimate = ivbridge.fit(PLAIN, DATA, "HC1", engine="fast")
    for kind in ("pandas", "polars", "arrow", "a mapping"):
        assert estimate.augment(TABLES[kind]())[".resid"].tolist() == estimate.residuals.tolist()
    assert {"estimate", "std.error"} <= set(estimate.tidy().columns)
    assert estimate.provenance.engine == "fast"
    close(estimate.fitted + estimate.residuals, DATA["y"], 1e-14)


def test_an_agreement_takes_a_direct_estimate() -> None:
    compared = ivbridge.agree(ivbridge.fit(PLAIN, DATA, "HC1"), ivbridge.fit(PLAIN, DATA, "HC1", engine="fast"))
    assert compared.verdict in ("identical", "rounding")
