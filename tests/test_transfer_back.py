"""What comes back from R is what R holds, and what went to R is what comes back: every row of the page about it
through both bridges, and round trips of anything that Hypothesis can think of."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
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
from ivbridge.engines.times import from_double, to_double
from ivbridge.engines.transfer import encode
from ivbridge.errors import DataError, RError

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reference" / "transfer.md"


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below one heading."""
    section = PAGE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in line.strip("| ").split(" | ")] for line in lines]


THERE_AND_BACK, R_ALONE, REFUSED = map(rows, ("There and back", "What R alone has", "Refused on the way to R"))


def python(text: str) -> Any:
    space = {"np": np, "pd": pd, "dt": dt, "zoneinfo": zoneinfo}
    exec(f"value = {text}", space)
    return space["value"]


@pytest.fixture(scope="module", params=["rpy2", "rscript"])
def r(request: pytest.FixtureRequest) -> Iterator[RWorker]:
    with RWorker(scripts=[HERE / "transfer.R"], timeout=120, bridge=request.param) as worker:
        yield worker


def assert_same(found: Any, expected: Any) -> None:
    """Equal in every bit and type."""
    assert type(found) is type(expected)
    match expected:
        case dict():
            assert list(found) == list(expected)
            for key in expected:
                assert_same(found[key], expected[key])
        case list():
            assert len(found) == len(expected)
            for one, other in zip(found, expected, strict=True):
                assert_same(one, other)
        case pd.DataFrame():
            pd.testing.assert_frame_equal(found, expected, check_exact=True)
            assert_same([found[name] for name in found], [expected[name] for name in expected])
        case pd.Series():
            pd.testing.assert_series_equal(found, expected, check_exact=True, check_names=False)
            if expected.dtype == np.float64:
                assert np.array_equal(np.signbit(found[found == 0]), np.signbit(expected[expected == 0]))
        case np.ndarray():
            np.testing.assert_array_equal(found, expected, strict=True)
        case _:
            assert found == expected


def test_the_page_has_its_tables() -> None:
    assert (len(THERE_AND_BACK), len(R_ALONE), len(REFUSED)) == (32, 16, 13)
    assert {len(row) for row in THERE_AND_BACK} == {3}


@pytest.mark.parametrize(("there", "in_r", "back"), THERE_AND_BACK, ids=[row[1] for row in THERE_AND_BACK])
def test_there_and_back(r: RWorker, there: str, in_r: str, back: str) -> None:
    value = python(there)
    same, shown = r.call("ivb_same", x=value, text=in_r).value
    assert same == "TRUE", shown
    expected = value if back == "the same" else python(back)
    assert_same(r.call("ivb_echo", x=value).to_pandas(), expected)
    assert_same(r.call("ivb_made", text=in_r).to_pandas(), expected)


@pytest.mark.parametrize(("in_r", "back"), R_ALONE, ids=[row[0] for row in R_ALONE])
def test_what_r_alone_has(r: RWorker, in_r: str, back: str) -> None:
    assert_same(r.call("ivb_made", text=in_r).to_pandas(), python(back))


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=[row[0] for row in REFUSED])
def test_refused(value: str, reason: str) -> None:
    with pytest.raises(DataError, match=re.escape(reason)):
        encode(python(value))


# ---- anything ----------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=8)
KINDS = ["double", "logical", "integer", "text", "factor", "date", "moment", "zoned", "span"]
#: Microseconds since 1970 that a double of seconds tells apart: to the year 2242.
MICROSECONDS = st.integers(-(2**33) * 10**6, 2**33 * 10**6)
ANYTHING = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def several(values: st.SearchStrategy[Any], rows: int) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=rows, max_size=rows)


def complete(column: pd.Series, plain: str) -> pd.Series:
    """What comes back of a nullable column: NumPy's type where nothing is missing."""
    return column if column.hasnans else column.astype(plain)


@st.composite
def columns(draw: st.DrawFn, rows: int) -> tuple[pd.Series, pd.Series]:
    """A column, and what it must be when it comes back."""
    kind = draw(st.sampled_from(KINDS))
    if kind == "double":
        column = pd.Series(np.array(draw(several(st.integers(0, 2**64 - 1), rows)), np.uint64).view(np.float64))
        return column, column
    if kind == "logical":
        column = pd.Series(draw(several(st.none() | st.booleans(), rows)), dtype="boolean")
        return column, complete(column, "bool")
    if kind == "integer":
        column = pd.Series(draw(several(st.none() | st.integers(1 - 2**31, 2**31 - 1), rows)), dtype="Int32")
        return column, complete(column, "int32")
    if kind == "text":
        column = pd.Series(draw(several(st.none() | TEXT, rows)), dtype="string")
        return draw(st.sampled_from([column, column.astype(object)])), column
    if kind == "factor":
        levels = draw(st.lists(TEXT, max_size=5, unique=True))
        codes = draw(several(st.integers(-1, len(levels) - 1), rows))
        column = pd.Series(pd.Categorical.from_codes(codes, pd.Index(levels, dtype=str), ordered=draw(st.booleans())))
        return column, column
    if kind == "date":
        days = draw(several(st.none() | st.dates(), rows))
        if any(days):
            return pd.Series(days, dtype=object), pd.Series(np.array(days, "M8[D]").astype("M8[s]"))
        return pd.Series(days, dtype=object), pd.Series(days, dtype="string")  # no value says that it holds dates
    ticks = np.array(draw(several(MICROSECONDS, rows)), np.int64)
    ticks[draw(several(st.booleans(), rows))] = np.iinfo(np.int64).min
    column = pd.Series(ticks.view("m8[us]" if kind == "span" else "M8[us]"))
    if kind == "zoned":
        column = column.dt.tz_localize("UTC").dt.tz_convert(zoneinfo.ZoneInfo("America/New_York"))
    return column, column


@st.composite
def frames(draw: st.DrawFn) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = draw(st.integers(0, 6) | st.integers(60, 70))  # from 64 texts on they cross in one piece
    names = draw(st.lists(TEXT.filter(bool), max_size=5, unique=True))
    pairs = [draw(columns(rows)) for _ in names]
    index, header = pd.RangeIndex(rows), pd.Index(names, dtype=str)
    both = [pd.DataFrame(dict(zip(names, one, strict=True)), index, header) for one in ([], []) if not pairs]
    both = both or [pd.DataFrame(dict(zip(names, one, strict=True))) for one in zip(*pairs, strict=True)]
    return both[0], both[1]


@given(frames())
@ANYTHING
def test_any_frame_comes_back(r: RWorker, pair: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    sent, expected = pair
    found = r.call("ivb_echo", x=sent).frame()
    assert_same(found, expected)
    for name in expected:
        if expected[name].dtype == np.float64:
            assert found[name].to_numpy().view(np.uint64).tolist() == expected[name].to_numpy().view(np.uint64).tolist()
            seen = r.call("ivb_bits", x=sent[name]).value
            assert [int(text, 16) for text in seen] == expected[name].to_numpy().view(np.uint64).tolist()


@given(st.lists(st.none() | TEXT, max_size=80))
@ANYTHING
def test_any_text_has_the_same_bytes_in_r(r: RWorker, texts: list[str | None]) -> None:
    seen = r.call("ivb_bytes", x=pd.Series(texts, dtype=object)).value
    assert [None if one is None else bytes(one.tolist()).decode() for one in seen] == texts


@given(st.lists(st.none() | st.integers(-(2**54), 2**54), min_size=1, max_size=5))
@ANYTHING
def test_whole_numbers_are_exact_or_refused(r: RWorker, values: list[int | None]) -> None:
    column = pd.Series(values, dtype="Int64")
    if any(value is not None and abs(value) > 2**53 for value in values):
        with pytest.raises(DataError, match="beyond"):
            encode(column)
        return
    found = r.call("ivb_echo", x=column).to_pandas()
    assert [None if np.isnan(value) else int(value) for value in found] == values


@given(st.lists(MICROSECONDS, max_size=5), st.sampled_from([1, 60, 3600, 86400]))
def test_microseconds_survive_as_doubles(ticks: list[int], seconds: int) -> None:
    found = from_double(to_double(np.array(ticks, np.int64), "us", seconds), seconds)
    # in days or hours the quotient may be the double of several nanosecond counts; it never changes the double
    if seconds == 1:
        assert found is not None
        assert (found[0].tolist(), found[1]) == (ticks, "us")


@given(st.floats(width=64), st.sampled_from([1, 60, 3600, 86400, 604800]))
def test_a_double_is_a_time_exactly_or_not_at_all(value: float, seconds: int) -> None:
    found = from_double(np.array([value]), seconds)
    if found is not None:
        assert np.array_equal(to_double(*found, seconds), [value], equal_nan=True)


# ---- particular values -------------------------------------------------------------------------------------------


def test_clocks_agree(r: RWorker) -> None:
    naive = pd.Series(pd.to_datetime(["2020-07-01 12:00:30", "1969-12-31 23:59:59"])).dt.as_unit("us")
    assert r.call("ivb_clock", x=naive).value == ["2020-07-01 12:00:30 UTC", "1969-12-31 23:59:59 UTC"]
    zoned = naive.dt.tz_localize("Europe/Paris")
    assert r.call("ivb_clock", x=zoned).value == ["2020-07-01 12:00:30 CEST", "1969-12-31 23:59:59 CET"]
    assert r.call("ivb_clock", x=dt.datetime(2020, 7, 1, 12, tzinfo=dt.UTC)).value == ["2020-07-01 12:00:00 UTC"]


NOON = pd.Timestamp("2020-02-29 12:00")
MOMENTS = pd.Series([NOON]).dt.as_unit("us")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (NOON, MOMENTS),
        (NOON.to_pydatetime(), MOMENTS),
        ([NOON, None], pd.Series([NOON, pd.NaT]).dt.as_unit("us")),
        (np.datetime64("2020-02-29T12"), MOMENTS),
        (np.array(["2020-02-29T12"], "M8[h]"), MOMENTS),
        (pd.DatetimeIndex([NOON]), MOMENTS),
        (pd.Series([NOON], dtype=object), MOMENTS),
        (pd.Series([NOON], dtype=pd.ArrowDtype(pa.timestamp("ns"))), MOMENTS),
        (pd.Series([NOON], dtype=pd.ArrowDtype(pa.timestamp("s", "UTC"))), MOMENTS.dt.tz_localize("UTC")),
        (NOON.tz_localize("UTC"), MOMENTS.dt.tz_localize("UTC")),
        (np.array(["2020-02-29"], "M8[D]"), pd.Series(["2020-02-29"], dtype="datetime64[s]")),
        (pd.Series([NOON.date()], dtype=pd.ArrowDtype(pa.date32())), pd.Series(["2020-02-29"], dtype="datetime64[s]")),
        (pd.Series([NOON.date(), None], dtype=object), pd.Series(["2020-02-29", None], dtype="datetime64[s]")),
        (dt.timedelta(hours=2), pd.Series([7200 * 10**6], dtype="timedelta64[us]")),
        (pd.Timedelta(5, "ns"), pd.Series([5], dtype="timedelta64[ns]")),
        (np.array([2], "m8[h]"), pd.Series([7200 * 10**6], dtype="timedelta64[us]")),
        (pd.Series([2], dtype=pd.ArrowDtype(pa.duration("s"))), pd.Series([2 * 10**6], dtype="timedelta64[us]")),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_times_of_every_type(r: RWorker, value: object, expected: pd.Series) -> None:
    assert_same(r.call("ivb_echo", x=value).to_pandas(), expected)


def test_values_of_times_are_r_s_own_numbers(r: RWorker) -> None:
    assert r.call("ivb_echo", x=dt.date(2020, 2, 29)).value.tolist() == [18321.0]
    assert r.call("ivb_made", text='as.difftime(1.5, units = "hours")').value.tolist() == [1.5]


def test_r_runs_in_utc_wherever_python_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    with RWorker(scripts=[HERE / "transfer.R"], timeout=120) as worker:
        noon = worker.call("ivb_made", text='as.POSIXct("2020-07-01 12:00")').to_pandas()
    assert noon.tolist() == [pd.Timestamp("2020-07-01 12:00")]


def test_missing_doubles_stay_r_s_own(r: RWorker) -> None:
    found = r.call("ivb_made", text="c(NA, NaN, 1)").to_pandas()
    assert r.call("ivb_same", x=found, text="c(NA, NaN, 1)").value[0] == "TRUE"


@pytest.mark.parametrize("count", [1, 100])
def test_text_in_other_encodings(r: RWorker, count: int) -> None:
    latin = 'iconv("fa\\u00e7ade", "UTF-8", "latin1")'
    assert r.call("ivb_made", text=f"rep({latin}, {count})").value == ["façade"] * count
    mixed = f'c(rep({latin}, {count}), "fa\\u00e7ade", NA, "")'
    assert r.call("ivb_made", text=mixed).value == [*["façade"] * (count + 1), None, ""]
    assert r.call("ivb_made", text=f'rep("<ff>", {count})').value == ["<ff>"] * count
    with pytest.raises(RError, match="not valid in its encoding"):
        r.call("ivb_made", text=f'rep("\\xff", {count})')
    with pytest.raises(RError, match="not valid in its encoding"):
        r.call("ivb_made", text=f'`Encoding<-`(rep(c("\\xe7", "\\u00e7"), {count}), "bytes")')


def test_many_texts_are_the_same_texts_in_r(r: RWorker) -> None:
    texts = pd.Series([f"ä{j}数" for j in range(100)])
    in_r = 'sprintf("\\u00e4%d\\u6570", 0:99)'
    same, shown = r.call("ivb_same", x=texts, text=in_r).value
    assert same == "TRUE", shown
    assert r.call("ivb_made", text=in_r).value == texts.tolist()
    assert r.call("ivb_made", text=f"nchar({in_r})").value.tolist() == [len(text) for text in texts]
    assert r.call("ivb_echo", x=texts).value == texts.tolist()


def test_enormous_text(r: RWorker) -> None:
    texts = ["é" * 4_000_000, "x", None] * 30
    assert r.call("ivb_echo", x=pd.Series(texts, dtype=object)).value == texts


def test_frames_wider_than_long(r: RWorker) -> None:
    # an expression matrix of 48 samples; rpy2's converter ends Python on it
    wide = pd.DataFrame(np.random.default_rng(1).normal(size=(48, 61_114))).rename(columns=lambda j: f"g{j}")
    width, length, first, last, name, found = r.call("ivb_ends", x=wide).to_pandas()
    assert (width[0], length[0], name[0]) == (61_114, 48, "g61113")
    assert (first.tolist(), last.tolist()) == (wide["g0"].tolist(), wide["g61113"].tolist())
    assert found.columns.equals(wide.columns)
    np.testing.assert_array_equal(found, wide, strict=True)


def test_wide_frames_of_every_kind(r: RWorker) -> None:
    kinds = [
        pd.Series([1.5, -0.0]), pd.Series([True, False]), pd.Series([1, None], dtype="Int32"),
        pd.Series([True, None], dtype="boolean"), pd.Series(["a", None], dtype="string"),
        pd.Series(pd.Categorical(["u", None])), pd.Series([1, 2], dtype="int32"),
        pd.Series([0, 1]).astype("M8[us]"),
    ]  # fmt: skip
    wide = pd.concat({f"v{j}": kinds[j % len(kinds)] for j in range(20 * len(kinds))}, axis=1)
    assert_same(r.call("ivb_echo", x=wide).frame(), wide)
    items: list[Any] = [[1.5], [], [True], [1], ["x"], [2.5, 3.5], None] * 20
    found = r.call("ivb_echo", x=items).to_pandas()
    none = pd.Series([], dtype="string")
    assert_same(found, [pd.Series([1.5]), none, pd.Series([True]), pd.Series([1], dtype="int32"),
                        pd.Series(["x"], dtype="string"), pd.Series([2.5, 3.5]), None] * 20)  # fmt: skip
    matrices = [np.arange(6.0).reshape(2, 3) + j for j in range(70)]
    assert_same(r.call("ivb_echo", x=matrices).to_pandas(), matrices)


def test_answers_do_not_share_memory(r: RWorker) -> None:
    values = np.arange(500_000.0)
    first, second = (r.call("ivb_echo", x=values).value for _ in range(2))
    first += 1
    r.call("ivb_made", text="sum(numeric(1e7))")
    assert np.array_equal(second, values)
    assert np.array_equal(first, values + 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('structure(3L, levels = "a", class = "factor")', "do not belong together"),
        ('structure(1L, levels = c("a", "a"), class = "factor")', "do not belong together"),
        ("data.frame(a = 1, a = 2, check.names = FALSE)", "empty or duplicated"),
        ("setNames(data.frame(1), NA)", "empty or duplicated"),
        ('list(a = 1, b = list(1, u = 2))', r"value\$b is a list whose names"),
        ("rep(list(quote(x)), 100)", r"value\[\[1\]\]"),
        ('structure(1L, levels = "\\xff", class = "factor")', "value holds text that is not valid"),
        ('list(setNames(list(1), "\\xff"))', r"value\[\[1\]\] holds text that is not valid"),
        ('list(structure(1, class = "integer64"))', r"value\[\[1\]\] holds integers beyond ±2\*\*53"),
        ("1i", "CPLXSXP|complex"),
    ],
)  # fmt: skip
def test_unsendable(r: RWorker, text: str, message: str) -> None:
    with pytest.raises(RError, match=message) as caught:
        r.call("ivb_made", text=text)
    assert "ivb_unsendable" in caught.value.classes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1:3", "not an R data.frame but: vector"),
        ("NULL", "not an R data.frame but: NULL"),
        ("cbind(data.frame(x = 1), I(list(2)))", "is a list; a column"),
        ("model.frame(~ poly(x, 2), data.frame(x = 1:9))", "is a matrix; a column"),
        ('data.frame(t = .POSIXct(1e9, "Mars/Base"))', "time zone 'Mars/Base', which is not known"),
        ("data.frame(t = .POSIXct(Inf))", "a POSIXct with a fraction or a size"),
        ("data.frame(t = as.Date(1e-5, '1970-01-01'))", "a Date with a fraction"),
    ],
)
def test_no_frame(r: RWorker, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        r.call("ivb_made", text=text).frame()
