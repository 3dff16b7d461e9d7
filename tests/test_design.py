"""One design for every engine: rows, types, rank, refusals."""

from __future__ import annotations

import datetime as dt
import decimal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivbridge.design import Design, build
from ivbridge.errors import DataError, DesignError, FormulaError
from ivbridge.rank import independent_columns, triangle
from ivbridge.spec import IVSpec


def make_data(n: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({name: rng.normal(size=n) for name in ("y", "x", "x2", "w", "z", "z2", "v")})
    data["g"] = rng.choice(["a", "b", "c"], size=n)
    data["f"] = pd.Categorical(rng.choice(["lo", "hi"], size=n), categories=["lo", "none", "hi"])
    data["k"] = rng.integers(0, 4, size=n)
    data["p"] = rng.random(n) + 0.1
    return data


DATA = make_data()


def design(text: str, data: pd.DataFrame = DATA, **options: Any) -> Design:
    return build(IVSpec.from_formula(text, **options), data)


# ------------------------------------------------------------------------------------------------------------- columns
def test_parts_of_a_design() -> None:
    found = design("log(p) ~ x + w + g | w + g + z + z2", vcov="cluster(k)", weights="p")
    assert found.x_names == ("(Intercept)", "w", "gb", "gc", "x")
    assert found.z_names == ("(Intercept)", "w", "gb", "gc", "z", "z2")
    assert found.endog_names == ("x",)
    assert found.instrument_names == ("z", "z2")
    assert found.x.flags.f_contiguous
    assert found.z.flags.f_contiguous
    np.testing.assert_array_equal(found.y, np.log(DATA["p"]))
    np.testing.assert_array_equal(found.weights, DATA["p"])
    np.testing.assert_array_equal(found.rows, np.arange(40))
    assert list(found.frame.columns) == ["p", "w", "g", "x", "z", "z2", "k"]
    assert found.levels == {"g": ("a", "b", "c")}
    assert found.notes == ()
    assert repr(design("y ~ x | z")) == "<Design n=40 x=['(Intercept)', 'x'] z=['(Intercept)', 'z']: y ~ x | z>"


def test_least_squares_uses_one_matrix_twice() -> None:
    found = design("y ~ x + w")
    np.testing.assert_array_equal(found.x, found.z)
    assert found.x_names == found.z_names
    assert found.endog_names == found.instrument_names == ()


def test_interactions_stand_after_main_effects_of_both_kinds() -> None:
    assert design("y ~ w * x | w * z").x_names == ("(Intercept)", "w", "x", "w:x")


def test_offset_is_subtracted() -> None:
    found = design("y ~ x + offset(w) + offset(log(p)) | z")
    np.testing.assert_allclose(found.y, DATA["y"] - (DATA["w"] + np.log(DATA["p"])), rtol=1e-15)


def test_the_data_is_not_touched_and_the_index_does_not_matter() -> None:
    before = DATA.copy(deep=True)
    shuffled = DATA.set_index(pd.Index(np.arange(40)[::-1] * 10, name="odd"))
    np.testing.assert_array_equal(design("y ~ x + g | z + g").x, design("y ~ x + g | z + g", shuffled).x)
    pd.testing.assert_frame_equal(DATA, before)


# ---------------------------------------------------------------------------------------------------------------- rows
def test_rows_are_dropped_listwise_and_noted() -> None:
    data = DATA.copy()
    data.loc[[3, 5], "z"] = np.nan
    data.loc[5, "w"] = np.nan
    data.loc[7, "g"] = None
    data.loc[9, "y"] = np.nan
    data["pop"] = 1.0
    data.loc[11, "pop"] = np.nan
    data.loc[[13, 14, 15], "pop"] = 0.0
    data["q"] = np.where(np.arange(40) == 20, -1.0, 2.0)
    data["h"] = np.where(np.arange(40) == 21, "rare", "common")
    found = design("y ~ x + w + g | w + g + z + sqrt(q):v", data, weights="pop", vcov="cluster(h)")
    gone = {3, 5, 7, 9, 11, 13, 14, 15, 20}
    np.testing.assert_array_equal(found.rows, sorted(set(range(40)) - gone))
    assert found.notes == (
        "5 of 40 rows left out: missing values in y (1), w (1), g (1), z (2), pop (1)",
        "1 of 40 rows left out: undefined values of sqrt(q)",
        "3 of 40 rows left out: weight zero in pop",
    )
    assert len(found.frame) == 40
    np.testing.assert_array_equal(found.x[:, found.x_names.index("w")], data["w"][found.rows])


def test_missing_values_of_unused_columns_do_not_matter() -> None:
    data = DATA.assign(other=np.nan)
    assert len(design("y ~ x | z", data).rows) == 40


def test_a_missing_cluster_keeps_the_row_until_it_is_asked_for() -> None:
    data = DATA.assign(h=pd.Series([None, *["a", "b", "c"] * 13]))
    found = design("y ~ x | z", data, vcov="cluster(h)")
    assert len(found.rows) == 40
    with pytest.raises(DataError, match="missing in 1 of the 40"):
        found.groups("h")


def test_groups_are_codes_in_sorted_order() -> None:
    data = DATA.assign(
        day=pd.to_datetime("2020-12-30") + pd.to_timedelta(np.arange(40)[::-1], "D"),
        lag=pd.to_timedelta(np.arange(40)[::-1], "D"),
        month=pd.period_range("2020-10", periods=40, freq="M")[::-1],
        date=[dt.date(2020, 1, 31) - dt.timedelta(days=j) for j in range(40)],
        when=pd.Categorical(pd.to_datetime(["2021-01-01", "2020-01-01"] * 20)),
        text=[f"{j:02d}" for j in range(40)][::-1],
        number=np.arange(40.0)[::-1],
    )
    for name in ("day", "lag", "month", "date", "text", "number"):
        found = design("y ~ x | z", data, vcov=f"nw(4, order_by={name})")
        np.testing.assert_array_equal(found.groups(name), np.arange(40)[::-1])
    np.testing.assert_array_equal(design("y ~ x | z", data, vcov="cluster(when)").groups("when"), [1, 0] * 20)
    np.testing.assert_array_equal(design("y ~ x | z", vcov="cluster(f)").groups("f"), DATA["f"].cat.codes // 2)
    with pytest.raises(DataError, match="does not use the column 'g'"):
        design("y ~ x | z").groups("g")


def test_no_row_left() -> None:
    with pytest.raises(DesignError, match=r"No row can be used: 40 of 40 rows left out: missing values in z"):
        design("y ~ x | z", DATA.assign(z=np.nan))
    with pytest.raises(DesignError, match="the data has no rows"):
        design("y ~ x | z", DATA.iloc[:0])
    with pytest.raises(DesignError, match="weight zero in p"):
        design("y ~ x | z", DATA.assign(p=0.0), weights="p")


# --------------------------------------------------------------------------------------------------------------- types
TYPES: dict[str, Callable[[], Any]] = {
    "int8": lambda: np.arange(1, 7, dtype="i1"),
    "uint64": lambda: np.arange(1, 7, dtype="u8"),
    "float32": lambda: np.arange(1, 7, dtype="f4"),
    "Int64": lambda: pd.array([1, None, 3, 4, 5, 6], dtype="Int64"),
    "Float64": lambda: pd.array([1, None, 3, 4, 5, 6], dtype="Float64"),
    "arrow double": lambda: pd.Series([1.0, None, 3, 4, 5, 6], dtype=pd.ArrowDtype(pa.float64())),
    "arrow integer": lambda: pd.Series([1, None, 3, 4, 5, 6], dtype=pd.ArrowDtype(pa.int64())),
    "object numbers": lambda: pd.Series([1, None, 3, 4.0, 5, 6], dtype=object),
    "sparse": lambda: pd.arrays.SparseArray([1.0, np.nan, 3, 4, 5, 6]),
    "2**53": lambda: np.array([2**53, 2, 3, 4, 5, 6]),
}


@pytest.mark.parametrize("kind", TYPES)
def test_numbers_of_every_type(kind: str) -> None:
    column = TYPES[kind]()
    data = pd.DataFrame({"y": [1.0, 5, 2, 4, 3, 6], "c": column})
    expected = [float("nan") if pd.isna(value) else float(value) for value in column]
    found = design("y ~ c", data)
    assert found.frame["c"].dtype == np.float64
    np.testing.assert_array_equal(found.frame["c"], expected)
    bits = found.frame["c"].to_numpy().view(np.uint64)[np.isnan(expected)]
    assert set(bits & 0xFFFFFFFF) <= {1954}  # R's NA, not its NaN, which factor() makes a level of
    np.testing.assert_array_equal(found.x[:, 1], [value for value in expected if value == value])
    labels = design("y ~ factor(c)", data.iloc[1:].assign(y=[1.0, 2, 3, 4, 5], c=[1, 1, 2, 2, 2])).x_names
    assert labels == ("(Intercept)", "factor(c)2")


LABELS: dict[str, Callable[[], Any]] = {
    "object": lambda: pd.Series(["b", None, "a", "b", "a", "é"], dtype=object),
    "str": lambda: pd.Series(["b", None, "a", "b", "a", "é"]),
    "string": lambda: pd.array(["b", None, "a", "b", "a", "é"], dtype="string"),
    "string[pyarrow]": lambda: pd.array(["b", None, "a", "b", "a", "é"], dtype="string[pyarrow]"),
    "arrow string": lambda: pd.Series(["b", None, "a", "b", "a", "é"], dtype=pd.ArrowDtype(pa.string())),
    "arrow dictionary": lambda: pd.Series(
        ["b", None, "a", "b", "a", "é"], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))
    ),
    "category": lambda: pd.Categorical(["b", None, "a", "b", "a", "é"], categories=["a", "b", "zz", "é"]),
}


@pytest.mark.parametrize("kind", LABELS)
def test_texts_of_every_type(kind: str) -> None:
    found = design("y ~ c", pd.DataFrame({"y": [1.0, 5, 2, 4, 3, 6], "c": LABELS[kind]()}))
    assert found.x_names == ("(Intercept)", "cb", "cé")
    np.testing.assert_array_equal(found.rows, [0, 2, 3, 4, 5])
    assert isinstance(found.frame["c"].dtype, pd.CategoricalDtype)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([True, None, False, True, True, False], dtype=object),
        pd.array([True, None, False, True, True, False], dtype="boolean"),
        pd.Series([True, None, False, True, True, False], dtype=pd.ArrowDtype(pa.bool_())),
    ],
)
def test_booleans_of_every_type(column: Any) -> None:
    found = design("y ~ c", pd.DataFrame({"y": [1.0, 5, 2, 4, 3, 6], "c": column}))
    assert found.x_names == ("(Intercept)", "cTRUE")
    np.testing.assert_array_equal(found.x[:, 1], [1, 0, 1, 1, 0])
    assert found.frame["c"].dtype == "boolean"


def test_integers_stay_integers_where_labels_are_made_of_them() -> None:
    data = pd.DataFrame({"y": [1.0, 2, 4, 3], "k": [100000, 7, 7, 100000]})
    data["m"] = pd.array([1, 2, 2, None], dtype="Int64")
    assert design("y ~ factor(k)", data).x_names[1] == "factor(k)100000"
    assert design("y ~ factor(k)", data).frame["k"].dtype == np.int32
    assert design("y ~ factor(k)", data.assign(k=data["k"].astype(float))).x_names[1] == "factor(k)1e+05"
    assert design("y ~ factor(m)", data).frame["m"].dtype == "Int32"
    assert design("y ~ k", data, vcov="cluster(m)").frame["k"].dtype == np.float64


def test_categories_that_are_not_texts() -> None:
    data = pd.DataFrame({"y": np.arange(6.0) ** 2, "x": np.arange(6.0)})
    data["cut"] = pd.cut(data["x"], [-1, 2, 6])
    data["number"] = pd.Categorical([3, 1, 2, 3, 1, 2], categories=[3, 1, 2])
    data["flag"] = pd.Categorical([True, False] * 3)
    assert design("y ~ cut", data).x_names[1] == "cut.L"
    assert design("y ~ cut - 1", data).x_names == ("cut(-1, 2]", "cut(2, 6]")
    assert design("y ~ number", data).x_names[1:] == ("number1", "number2")
    assert design("y ~ flag", data).x_names[1:] == ("flagTRUE",)


BAD: dict[str, tuple[Any, str]] = {
    "datetime": (pd.date_range("2020", periods=6), "datetime64"),
    "timezone": (pd.date_range("2020", periods=6, tz="UTC"), "datetime64"),
    "timedelta": (pd.to_timedelta(range(6), unit="D"), "timedelta64"),
    "period": (pd.period_range("2020", periods=6, freq="M"), "period"),
    "date": ([dt.date(2020, 1, 1)] * 6, "date"),
    "complex": (np.arange(6) + 1j, "complex"),
    "mixed": (pd.Series([1, "a", 2, 3, 4, 5], dtype=object), "mixed"),
    "bool and int": (pd.Series([True, 1, 2, 3, 4, 5], dtype=object), "mixed"),
    "decimal": ([decimal.Decimal(1)] * 6, "decimal"),
    "bytes": ([b"a"] * 6, "bytes"),
    "list": ([[1]] * 6, "mixed"),
    "longdouble": (np.arange(6, dtype=np.longdouble), "float"),
    "infinite": ([1.0, np.inf, -np.inf, 2, 3, 4], "2 infinite values"),
    "beyond 2**53": ([2**53 + 1, 1, 2, 3, 4, 5], r"beyond 2\*\*53"),
    "NUL": (["a\0"] * 6, "NUL"),
    "surrogate": (pd.Series(["\ud800"] * 6, dtype=object), "surrogate"),
    "dates as categories": (pd.Categorical(pd.date_range("2020", periods=6)), "Timestamp"),
    "same label": (pd.Categorical([1, "1", 1, "1", 1, "1"]), "read the same"),
}


@pytest.mark.parametrize("kind", BAD)
def test_types_without_a_meaning_are_named(kind: str) -> None:
    column, words = BAD[kind]
    data = pd.DataFrame({"y": np.arange(6.0), "c d": column})
    with pytest.raises(DataError, match=words) as caught:
        design("y ~ `c d`", data)
    assert "c d" in str(caught.value)


def test_infinite_results_are_named_and_counted() -> None:
    data = DATA.assign(k=[0.0, 0.0] + [1.0, 2.0] * 19)
    with pytest.raises(DataError, match=r"log\(k\) is infinite for 2 values"):
        design("y ~ log(k) | z", data)
    with pytest.raises(DataError, match=r"I\(1/k\) is infinite for 2 values"):
        design("y ~ x + I(1/k) | z + I(1/k)", data)
    with pytest.raises(DataError, match=r"log\(k\) is infinite"):
        design("log(k) ~ x | z", data)
    with pytest.raises(DataError, match="infinite in 2 rows"):
        design("y ~ poly(log(k), 2)", data)
    with pytest.raises(DataError, match="too large"):
        design("y ~ x:w", data.assign(x=1e200, w=1e200))
    # a row that is left out anyway does not count
    data.loc[[0, 1], "w"] = np.nan
    assert len(design("y ~ log(k) + w", data).rows) == 38


def test_columns_that_are_missing_or_twice() -> None:
    with pytest.raises(DataError, match=r"no column 'zz'.*Available: y, x, x2.*write 'z2'|no column 'zz'.*write 'z'"):
        design("y ~ x | zz")
    with pytest.raises(DataError, match="no column 'region'"):
        design("y ~ x | z", vcov="cluster(region)")
    with pytest.raises(DataError, match="no column 'pop'"):
        design("y ~ x | z", weights="pop")
    twice = pd.concat([DATA, DATA[["z"]]], axis=1)
    with pytest.raises(DataError, match="2 columns called 'z'"):
        design("y ~ x | z", twice)
    assert design("y ~ x | z2", twice).x_names == ("(Intercept)", "x")
    with pytest.raises(DataError, match="list"):
        build(IVSpec("y", ("x",)), [1, 2])  # type: ignore[arg-type]


def test_numbers_are_needed_where_numbers_are_used() -> None:
    for text in ("g ~ x | z", "y ~ log(g)", "y ~ I(g + 1)", "y ~ x + offset(g)", "y ~ poly(g, 2)", "y ~ bs(g)"):
        with pytest.raises(DataError, match="'g' holds texts or categories"):
            design(text)
    with pytest.raises(DataError, match="'g' holds texts"):
        design("y ~ x", weights="g")
    with pytest.raises(DataError, match="negative in 40 rows"):
        design("y ~ x", DATA.assign(q=-1.0), weights="q")


def test_factors_that_lose_levels() -> None:
    data = DATA.assign(m=np.where(DATA["g"] == "b", np.nan, 1.0) * DATA["w"])
    assert design("y ~ g + m", data).x_names == ("(Intercept)", "gc", "m")
    assert design("y ~ factor(g) + m", data).levels == {"factor(g)": ("a", "c")}
    for term in ('relevel(factor(g), ref = "b")', "C(g, Sum)"):
        with pytest.raises(DataError, match="no row of level 'b' is left"):
            design(f"y ~ {term} + m", data)
    with pytest.raises(DataError, match=r"no level 'q'.*a, b, c"):
        design('y ~ relevel(factor(g), ref = "q")')
    with pytest.raises(DataError, match="g has 1 level in the rows used"):
        design("y ~ g", DATA.assign(g="only"))
    ordered = DATA.assign(g=pd.Categorical(DATA["g"], ordered=True))
    with pytest.raises(DataError, match="ordered"):
        design("y ~ relevel(g, 'b')", ordered)


def test_a_baseline_that_depends_on_the_locale_is_noted() -> None:
    mixed = DATA.assign(g=DATA["g"].replace({"b": "B"}))
    note = "the baseline of g is 'B': texts are sorted by code point, but R in an English locale would start with 'a'"
    assert design("y ~ g", mixed).notes == (note,)
    assert design("y ~ g", mixed.assign(g=pd.Categorical(mixed["g"]))).notes == ()
    assert design("y ~ relevel(g, 'B')", mixed).notes == ()


def test_transforms_that_cannot_be_computed() -> None:
    data = DATA.assign(m=[np.nan, *DATA["w"][1:]], one=1.0, two=[1.0, 2.0] * 20)
    with pytest.raises(DataError, match="missing values"):
        design("y ~ poly(m, 2)", data)
    with pytest.raises(DataError, match="distinct"):
        design("y ~ poly(two, 2)", data)
    with pytest.raises(DataError, match="standard deviation"):
        design("y ~ scale(one)", data)
    with pytest.raises(DataError, match="distinct"):
        design("y ~ ns(one, df = 2)", data)
    with pytest.raises(DataError, match="use df = 3 or more"):
        design("y ~ bs(x, df = 2)", data)
    with pytest.raises(DataError, match=r"factor\(sqrt\(q\)\) is undefined in 40 rows"):
        design("y ~ factor(sqrt(q))", data.assign(q=-1.0))
    with pytest.raises(DataError, match=r"contr\.sum"):
        design("y ~ C(g, Sum) + contr.sum", data.assign(**{"contr.sum": 1.0}))


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="Two columns of the model are called 'gb'"):
        design("y ~ g + gb", DATA.assign(gb=DATA["x"]))


# ---------------------------------------------------------------------------------------------------------------- rank
def test_dependent_regressors_are_left_out_and_noted() -> None:
    data = DATA.assign(sum=DATA["w"] + DATA["v"], one=1.0)
    found = design("y ~ x + w + v + sum + one | w + v + sum + one + z", data)
    assert found.x_names == ("(Intercept)", "w", "v", "x")
    assert found.aliased == found.aliased_instruments == ("sum", "one")
    assert found.notes == ("regressors left out, since they depend linearly on earlier ones: sum, one",)
    again = design("y ~ x | z + z2 + I(z - 2 * z2)", data)
    assert (again.aliased, again.aliased_instruments) == ((), ("I(z - 2 * z2)",))
    assert again.notes == ("instruments left out, since they depend linearly on earlier ones: I(z - 2 * z2)",)


def test_a_dependent_endogenous_regressor_is_left_out() -> None:
    found = design("y ~ x + w + I(x - w) | w + z + z2")
    assert found.aliased == ("I(x - w)",)
    assert found.endog_names == ("x",)


def test_zero_weights_and_weights_decide_about_rank() -> None:
    dummy = (np.arange(40) == 3).astype(float)
    found = design("y ~ x + d | z + d", DATA.assign(d=dummy, p=1.0 - dummy), weights="p")
    assert found.aliased == ("d",)
    assert len(found.rows) == 39


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("y ~ x + x2 | z", r"2 endogenous regressors \(x, x2\) but 1 independent excluded instrument \(z\); 2 "),
        ("y ~ x | 1", r"1 endogenous regressor \(x\) but 0 independent excluded instruments \(none\)"),
        ("y ~ x | one", "These are constant, like the intercept, and do not count: one"),
        ("y ~ x + w | w + I(2 * w)", r"These depend linearly on earlier columns and do not count: I\(2 \* w\)"),
        ("y ~ x + x2 | z + I(3 * z)", r"do not count: I\(3 \* z\)"),
        ("y ~ x - 1 | 0", "1 endogenous"),
    ],
)
def test_too_few_instruments(text: str, words: str) -> None:
    with pytest.raises(DesignError, match=words):
        design(text, DATA.assign(one=1.0))


def test_instruments_that_are_unrelated_to_the_regressor() -> None:
    z = DATA["z"] - DATA["z"].mean()
    x = DATA["x"] - DATA["x"].mean()
    data = DATA.assign(z=z, x=x - z * (x @ z) / (z @ z))
    with pytest.raises(DesignError, match=r"do not identify the coefficient of x.*rank of Z'X is 1, and 2 is needed"):
        design("y ~ x | z", data)
    base = np.column_stack([np.ones(40), DATA["z"], DATA["z2"]])
    unrelated = DATA["v"] - base @ np.linalg.lstsq(base, DATA["v"], rcond=None)[0]
    with pytest.raises(DesignError, match="do not identify the coefficient of x2"):
        design("y ~ x + x2 | z + z2", DATA.assign(x=DATA["z"], x2=2 * DATA["z"] + unrelated))


def test_a_dependent_variable_that_does_not_vary() -> None:
    with pytest.raises(DesignError, match="y is 3 in every row used"):
        design("y ~ x | z", DATA.assign(y=3.0))
    with pytest.raises(DesignError, match="y is 0 in every row used"):
        design("y ~ x - 1 | z - 1", DATA.assign(y=0.0))
    assert design("y ~ x - 1 | z - 1", DATA.assign(y=3.0)).x.shape[1] == 1


def test_more_coefficients_than_rows() -> None:
    with pytest.raises(DesignError, match=r"4 coefficients \(\(Intercept\), w, v, x\) but only 4 rows"):
        design("y ~ x + w + v | w + v + z", DATA.iloc[:4])
    assert design("y ~ x + w + v | w + v + z", DATA.iloc[:5]).x.shape == (5, 4)
    with pytest.raises(DesignError, match="coefficients"):
        design("y ~ x + w + v | w + v + z", DATA.iloc[:2])


def test_the_first_factor_without_an_intercept_is_the_exogenous_one() -> None:
    found = design("y ~ g + x - 1 | f + g + z - 1")
    assert found.x_names[:3] == ("ga", "gb", "gc")
    assert found.z_names == ("ga", "gb", "gc", "fhi", "z")


@pytest.mark.parametrize("text", ["y ~ g:w + x | g:w + w + z", "y ~ g:f + x | g + g:f + z"])
def test_terms_coded_differently_in_the_two_parts(text: str) -> None:
    with pytest.raises(FormulaError, match=r"exogenous term (g:w|g:f) gets one set of dummies"):
        design(text)


def test_the_rank_rule_is_that_of_linpack() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5000))
    noise = rng.normal(size=5000)
    noise -= np.column_stack([a, b]) @ np.linalg.lstsq(np.column_stack([a, b]), noise, rcond=None)[0]
    noise *= np.linalg.norm(a) / np.linalg.norm(noise)
    for size, kept in ((2e-7, [0, 1, 2]), (0.5e-7, [0, 1])):
        matrix = np.column_stack([a, b, a + size * noise])
        assert independent_columns(matrix) == kept
        assert independent_columns(triangle(matrix)) == kept
    assert independent_columns(np.column_stack([np.zeros(9), np.ones(9), np.arange(9.0) * 1e-200])) == [1, 2]
    assert independent_columns(np.ones((2, 4))) == [0]
    assert independent_columns(np.zeros((3, 0))) == []


# ------------------------------------------------------------------------------------------------------------ theorems
def test_the_fingerprint_sees_values_names_types_and_levels() -> None:
    base = design("y ~ x + g | z + g").sha256
    assert design("y ~ x + g | z + g", DATA.copy()).sha256 == base
    assert design("y ~ x + g | z + g", DATA.assign(unused=1)).sha256 == base
    changed = [
        DATA.assign(x=DATA["x"] + 1e-15),
        DATA.assign(g=pd.Categorical(DATA["g"], categories=["c", "b", "a"])),
        DATA.assign(g=DATA["g"].replace("a", "A")),
        DATA.iloc[::-1],
    ]
    assert base not in {design("y ~ x + g | z + g", data).sha256 for data in changed}
    assert len(base) == 64


@settings(deadline=None, max_examples=30)
@given(st.permutations(range(40)))
def test_permuting_the_rows_permutes_the_design(order: list[int]) -> None:
    data = DATA.copy()
    data.loc[[4, 8], "w"] = np.nan
    text = "y ~ x + w + g:v + factor(k) | w + g:v + factor(k) + scale(z) + f"
    first, second = design(text, data), design(text, data.iloc[order])
    position = {row: j for j, row in enumerate(first.rows)}
    index = [position[order[row]] for row in second.rows]
    assert first.x_names == second.x_names
    assert first.z_names == second.z_names
    np.testing.assert_array_equal(second.x, first.x[index])
    # the mean and standard deviation of scale() are sums in another order
    np.testing.assert_allclose(second.z, first.z[index], rtol=1e-13, atol=1e-14)


def test_a_large_design_is_built_without_loops_over_rows() -> None:
    rng = np.random.default_rng(2)
    n = 100_000
    data = pd.DataFrame(rng.normal(size=(n, 25)), columns=[f"c{j}" for j in range(25)])
    data["g"], data["s"] = rng.integers(0, 10, size=n), rng.choice(list("abcdef"), size=n)
    controls = " + ".join(f"c{j}" for j in range(3, 25)) + " + factor(g) + s"
    spec = IVSpec.from_formula(f"c0 ~ c1 + {controls} | c2 + {controls}", vcov="cluster(s)")
    start = time.process_time()
    assert build(spec, data).x.shape == (n, 38)
    # about 0.3 s of one core; a Python loop over the rows would take minutes
    assert time.process_time() - start < 15


def test_a_design_does_not_follow_later_changes_of_the_data() -> None:
    data = pd.DataFrame(np.random.default_rng(1).standard_normal((20, 3)), columns=["y", "x", "z"])
    made = build(IVSpec.from_formula("y ~ x | z"), data)
    before = made.frame.copy(deep=True)
    data.loc[3, "x"] = 99.0
    data.iloc[5] = 0.0
    data["z"] += 1.0
    pd.testing.assert_frame_equal(made.frame, before)
