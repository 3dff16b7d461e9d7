"""Values on their way to R and back: each type exactly, or a clear refusal."""

from __future__ import annotations

import datetime as dt
import decimal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivbridge.engines.process import RWorker
from ivbridge.engines.transfer import encode
from ivbridge.engines.wire import FILE_BYTES
from ivbridge.errors import DataError

FAULTS = Path(__file__).with_name("worker_faults.R")
NA_REAL_LOW_WORD = 1954
DOUBLES = [0.0, -0.0, 5e-324, -2.2250738585072014e-308, 1.7976931348623157e308, np.inf, -np.inf, np.nan, 2.0**53, 0.1]


@pytest.fixture(scope="module")
def r() -> Iterator[RWorker]:
    with RWorker(scripts=[FAULTS], timeout=120) as worker:
        yield worker


def bits(values: np.ndarray) -> list[int]:
    return np.ascontiguousarray(values, np.float64).view(np.uint64).tolist()


def echo(r: RWorker, value: object) -> Any:
    return r.call("ivb_echo", x=value).value


def describe(r: RWorker, value: object) -> dict[str, Any]:
    found: dict[str, Any] = r.call("ivb_describe", x=value).value
    return found


# ---- numbers -----------------------------------------------------------------------------------------------------


def test_doubles_keep_every_bit(r: RWorker) -> None:
    values = np.array(DOUBLES)
    assert bits(echo(r, values)) == bits(values)
    seen = r.call("ivb_double_bits", x=values).value
    assert [int(text, 16) for text in seen] == bits(values)


@given(st.lists(st.floats(width=64), min_size=1, max_size=50))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_doubles_keep_every_bit(r: RWorker, values: list[float]) -> None:
    array = np.array(values)
    assert bits(echo(r, array)) == bits(array)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([1.5, -2.5], np.float16), "double"),
        (np.array([0.1, 3.4e38], np.float32), "double"),
        (np.array([1.5, 2.5], ">f8"), "double"),
        (np.array([-128, 127], np.int8), "integer"),
        (np.array([-(2**15), 2**15 - 1], np.int16), "integer"),
        (np.array([1 - 2**31, 2**31 - 1], np.int32), "integer"),
        (np.array([0, 255], np.uint8), "integer"),
        (np.array([0, 2**16 - 1], np.uint16), "integer"),
        (np.array([-(2**31), 5], np.int32), "double"),  # R has no integer -2**31
        (np.array([0, 2**32 - 1], np.uint32), "double"),
        (np.array([-(2**53), 2**53], np.int64), "double"),
        (np.array([0, 2**53], np.uint64), "double"),
        (np.array([1, 2], ">i4"), "integer"),
        (np.array([True, False]), "logical"),
        (np.array([], np.float64), "double"),
        (np.array([], bool), "logical"),
        (np.array([], np.int32), "integer"),
        (np.arange(10.0)[::3], "double"),
        (np.arange(10, dtype=np.int32)[::-2], "integer"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{value.dtype.str}",
)
def test_arrays_arrive_exactly(r: RWorker, values: np.ndarray, kind: str) -> None:
    assert describe(r, values)["type"] == [kind]
    back = echo(r, values)
    assert back.dtype == {"double": np.float64, "integer": np.int64, "logical": np.bool_}[kind]
    assert back.tolist() == values.tolist()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.bool_])
def test_matrices_keep_their_layout(r: RWorker, dtype: type, order: Any) -> None:
    values = np.array([[0, 1, 2], [3, 4, 0]], order=order).astype(dtype)
    assert describe(r, values)["class"] == ["matrix", "array"]
    back = echo(r, values)
    assert back.shape == (2, 3)
    assert np.array_equal(back, values)
    assert echo(r, values[:, :0]).shape == (2, 0)


def test_results_own_their_memory(r: RWorker) -> None:
    back = echo(r, np.arange(300_000.0))
    r.call("ivb_allocate", n=1e7)
    back += 1
    assert back.sum() == 300_000 * 300_001 / 2
    assert back.flags.writeable


def test_scalars_and_lists(r: RWorker) -> None:
    for value, kind in [
        (True, "logical"), (1, "integer"), (-(2**31), "double"), (2**53, "double"), (1.5, "double"), ("ä", "character"),
        (np.float64(1.5), "double"), (np.int64(3), "integer"), (np.bool_(0), "logical"), (np.str_("s"), "character"),
        (["a", None], "character"), ((), "character"), ([True, None], "logical"), ([1, None], "integer"),
        ([1, 2.5], "double"), ([1, 2**40], "double"), ({"a": 1}, "list"), ([{"a": 1}, [1, 2]], "list"), ({}, "list"),
    ]:  # fmt: skip
        assert describe(r, value)["type"] == [kind], value
    assert describe(r, None)["type"] == ["NULL"]
    assert echo(r, None) is None
    assert echo(r, ["a", None, "NA", ""]) == ["a", None, "NA", ""]
    assert echo(r, {"a b": {"ü": [1, 2]}, "c": None})["a b"]["ü"].tolist() == [1, 2]
    assert echo(r, [{"a": ["x"]}, {}])[0] == {"a": ["x"]}
    assert describe(r, [1.5, None])["na"].tolist() == [False, True]
    assert describe(r, [1.5, None])["nan"].tolist() == [False, False]


def test_r_values_come_back_as_documented(r: RWorker) -> None:
    found = r.call("ivb_values").value
    assert found["null"] is None
    assert found["logical"].dtype == np.bool_
    assert np.array_equal(found["logical_na"], [1, np.nan], equal_nan=True)
    assert found["integer"].dtype == np.int64
    assert np.array_equal(found["integer_na"], [1, np.nan], equal_nan=True)
    assert np.array_equal(found["double"], [1.5, np.nan, np.nan, np.inf], equal_nan=True)
    assert found["matrix"].tolist() == [[1, 3, 5], [2, 4, 6]]
    assert found["array"][1, 2, 3] == 24
    assert found["empty_matrix"].shape == (0, 3)
    assert found["empty"].dtype == np.bool_
    assert found["none"] == []
    assert found["text"] == ["NA", None, "façile"]
    assert found["factor"] == ["b", None, "a"]
    assert found["list"][1] == ["a"]
    assert found["frame"]["b"] == ["x", "y"]


# ---- columns -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (pd.Series([1, None], dtype="Int8"), "integer", [1, None]),
        (pd.Series([1, None], dtype="Int32"), "integer", [1, None]),
        (pd.Series([2**53, None], dtype="Int64"), "double", [2.0**53, None]),
        (pd.Series([7, None], dtype="UInt64"), "double", [7.0, None]),
        (pd.Series([1.5, None], dtype="Float64"), "double", [1.5, None]),
        (pd.Series([1.5, None], dtype="Float32"), "double", [1.5, None]),
        (pd.Series([True, None], dtype="boolean"), "logical", [True, None]),
        (pd.Series([True, None, False], dtype=object), "logical", [True, None, False]),
        (pd.Series(["a", None, "a"], dtype=object), "character", ["a", None, "a"]),
        (pd.Series(["a", None], dtype="str"), "character", ["a", None]),
        (pd.Series(["a", None], dtype="string"), "character", ["a", None]),
        (pd.Series([None, None], dtype=object), "character", [None, None]),
        (pd.Series([], dtype=object), "character", []),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pd.Series) else "",
)
def test_missing_values_become_na(r: RWorker, column: pd.Series, kind: str, expected: list[object]) -> None:
    seen = describe(r, column)
    assert seen["type"] == [kind]
    assert seen["na"].tolist() == [item is None for item in expected]
    assert not seen["nan"].any()  # NA, not NaN
    back = echo(r, column)
    assert [None if item is None or item != item else item for item in back] == expected


def test_nan_stays_nan_and_na_is_r_s_own(r: RWorker) -> None:
    assert describe(r, pd.Series([np.nan, 1.0]))["nan"].tolist() == [True, False]
    missing = echo(r, pd.Series([None], dtype="Float64"))
    assert bits(missing)[0] & 0xFFFFFFFF == NA_REAL_LOW_WORD


def test_arrow_columns(r: RWorker) -> None:
    for kind, values, expected in [
        (pa.float64(), [1.5, None], "double"),
        (pa.int32(), [1, None], "integer"),
        (pa.int64(), [1, None], "double"),
        (pa.bool_(), [True, None], "logical"),
        (pa.string(), ["a", None], "character"),
    ]:
        column = pd.Series(values, dtype=pd.ArrowDtype(kind))
        seen = describe(r, column)
        assert (seen["type"], seen["na"].tolist()) == ([expected], [False, True]), kind
    with pytest.raises(DataError):
        encode(pd.Series([decimal.Decimal(1)], dtype=pd.ArrowDtype(pa.decimal128(5))))


def test_categoricals_become_factors_with_exactly_their_levels(r: RWorker) -> None:
    unordered = pd.Series(pd.Categorical(["b", None, "a"], categories=["b", "ü x", "a", ""]))
    seen = describe(r, unordered)
    assert (seen["class"], seen["levels"]) == (["factor"], ["b", "ü x", "a", ""])
    assert echo(r, unordered) == ["b", None, "a"]
    ordered = describe(r, pd.Series(pd.Categorical([2, 1], categories=[2, 10, 1], ordered=True)))
    assert (ordered["class"], ordered["levels"]) == (["ordered", "factor"], ["2", "10", "1"])
    assert describe(r, pd.Categorical([True, False]))["levels"] == ["FALSE", "TRUE"]
    assert describe(r, pd.Categorical([None, None], categories=[]))["levels"] == []


@given(st.lists(st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8")), max_size=30))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_survives(r: RWorker, values: list[str | None]) -> None:
    assert echo(r, pd.Series(values, dtype=object)) == values
    levels = list(dict.fromkeys(value for value in values if value is not None))
    assert echo(r, pd.Series(pd.Categorical(values, categories=levels))) == values


def test_frame_keeps_names_types_and_rows(r: RWorker) -> None:
    names = [
        "row.names", "check.names", "stringsAsFactors", "a b", "`tick`", 'quote"', "line\nbreak", "if", "ü 数", "1x",
        "TRUE", "class", "names", "...", "NA", "x",
    ]  # fmt: skip
    columns: list[Any] = [np.array([1.5, np.nan])] * 11 + [
        [1, 2], [True, False], ["u", "v"], pd.Categorical(["u", None]), pd.array([1, None], dtype="Int32"),
    ]  # fmt: skip
    data = pd.DataFrame(dict(zip(names, columns, strict=True)), index=[10, 10])
    seen = r.call("ivb_describe_frame", x=data).value
    assert seen["class"] == ["data.frame"]
    assert seen["names"] == names
    assert seen["rows"].tolist() == [2]
    assert seen["compact"].tolist() == [True]
    assert seen["types"] == ["double"] * 12 + ["logical", "character", "integer", "integer"]
    assert seen["classes"]["NA"] == ["factor"]
    assert list(echo(r, data)) == names


def test_frames_without_rows_or_columns(r: RWorker) -> None:
    assert r.call("ivb_describe_frame", x=pd.DataFrame(index=range(3))).value["rows"].tolist() == [3]
    none = r.call("ivb_describe_frame", x=pd.DataFrame({"a": [], "b": pd.Series([], dtype="str")})).value
    assert (none["rows"].tolist(), none["names"]) == ([0], ["a", "b"])


def test_very_wide_frame(r: RWorker) -> None:
    # more columns than R's stack of protected values has places (50,000)
    data = pd.DataFrame(np.arange(2.0 * 60_000).reshape(2, -1), columns=[f"v{j}" for j in range(60_000)])
    assert r.call("ivb_width_and_last", x=data).value.tolist() == [60_000, 59_999, 119_999]


def refused() -> Iterator[tuple[object, str]]:
    day = dt.date(2020, 1, 1)
    yield pd.DataFrame(np.zeros((1, 2)), columns=["a", "a"]), "duplicated: 'a'"
    yield pd.DataFrame({"": [1.0]}), "name is empty"
    yield pd.DataFrame({1: [1.0]}), "name 1 is not text"
    yield pd.DataFrame({"a\0b": [1.0]}), "NUL"
    yield pd.DataFrame([[1.0]], columns=pd.Index(["a\ud800"], dtype=object)), "surrogate"
    yield {"": 1}, "non-empty text names"
    yield {1: 1}, "non-empty text names"
    yield {"a\0": 1}, "NUL"
    yield "a\0b", "NUL"
    yield ["\udcff"], "surrogate"
    yield pd.Series(["a\0b"]), "NUL"
    yield pd.Categorical.from_codes([0], pd.Index(["\udcff"], dtype=object)), "surrogate"
    yield pd.Series(pd.Categorical([0.5])), r"category 0.5 \(float\)"
    yield pd.Series(pd.Categorical(["1", 1])), "equal as text"
    yield pd.Series(pd.period_range("2020", periods=1, freq="Y")), "period"
    yield pd.Series(pd.arrays.SparseArray([0.0, 1.0])), "Sparse"
    yield pd.Series([decimal.Decimal(1)]), r"object \(decimal\)"
    yield pd.Series([1, "a"], dtype=object), r"object \(mixed-integer\)"
    yield pd.Series([1.5, 2.5], dtype=object), r"object \(floating\)"
    yield np.array([1j]), "complex128"
    yield np.array([1.5], np.longdouble), "float128"
    yield np.array(["2020-01"], "M8[M]"), r"datetime64\[M\]"
    yield np.array([1], "m8[ps]"), r"timedelta64\[ps\]"
    yield pd.Series(["2020-01-01 00:00:00.123456789"], dtype="datetime64[ns]"), "cannot hold exactly"
    yield pd.Series(np.arange(2**54, 2**54 + 4)).astype("M8[us]"), "cannot hold exactly"
    yield pd.Series(np.arange(2**54, 2**54 + 4)).astype("m8[us]"), "cannot hold exactly"
    yield pd.Series(["2020-01-01"], dtype="datetime64[us, UTC+02:00]"), "zone UTC.02:00, which R does not know"
    yield [day, dt.timedelta(1)], "mixed"
    yield [dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)], "object"
    yield dt.time(1), "time"
    yield np.array([2**53 + 1]), r"beyond ±2\*\*53"
    yield np.array([2**64 - 1], np.uint64), r"beyond ±2\*\*53"
    yield pd.Series([2**53 + 1, None], dtype="Int64"), r"beyond ±2\*\*53"
    yield 2**53 + 1, r"beyond ±2\*\*53"
    yield [1, "a"], "int, str"
    yield [True, 1], "bool, int"
    yield 1j, "complex"
    yield decimal.Decimal(1), "Decimal"
    yield np.zeros((1, 1, 1)), "3 dimensions"
    yield np.array(1.5), "0 dimensions"
    yield np.array([["a"]]), "2-D array of text"
    yield {1, 2}, "set"
    yield object(), "object"
    yield b"bytes", "bytes"


@pytest.mark.parametrize(
    ("value", "message"), list(refused()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_refusals(value: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode(value)


def test_refusal_names_the_column() -> None:
    with pytest.raises(DataError, match=r"the column 'when' has the type period.*Available: bool.*convert it"):
        encode(pd.DataFrame({"x": [1.0], "when": pd.period_range("2020", periods=1, freq="Y")}))


# ---- size --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [FILE_BYTES // 8 - 100, FILE_BYTES // 8 + 100])
def test_both_ways_of_travelling(r: RWorker, size: int) -> None:
    values = np.random.default_rng(1).normal(size=size)
    assert np.array_equal(echo(r, values), values)


def test_a_million_rows_travel_as_fast_as_memory_is_copied(r: RWorker) -> None:
    rows, generator = 1_000_000, np.random.default_rng(1)
    data: dict[str, Any] = {f"x{j}": generator.normal(size=rows) for j in range(20)}
    for j in range(2):
        data[f"g{j}"] = pd.Categorical.from_codes(generator.integers(-1, 50, rows), [f"level {k}" for k in range(50)])
    frame = pd.DataFrame(data)
    r.call("ivb_describe_frame", x=frame.head())

    def seconds_of_a_copy() -> float:
        begun = time.perf_counter()
        copies = [np.array(frame[name]) if name[0] == "x" else np.array(frame[name].cat.codes) for name in frame]
        elapsed = time.perf_counter() - begun
        assert len(copies) == 22
        return elapsed

    def seconds_of_a_call() -> float:
        begun = time.perf_counter()
        seen = r.call("ivb_describe_frame", x=frame).value
        elapsed = time.perf_counter() - begun
        assert seen["rows"].tolist() == [rows]
        return elapsed

    pairs = [(seconds_of_a_call(), seconds_of_a_copy()) for _ in range(3)]
    # The data is copied twice (into the file, into R), and fresh memory is slower than warm: 1 to 4 copies were
    # measured. Element by element, the same transfer takes more than 100 copies.
    assert min(call / copy for call, copy in pairs) < 20
