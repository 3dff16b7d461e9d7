"""Estimates from files in pieces equal those from the same rows in memory, whatever the files, and after any stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import ivbridge
from ivbridge import scale
from ivbridge.cli import app
from ivbridge.errors import DataError, DesignError, FormulaError, UnsupportedError
from ivbridge.records import Test as Tested
from ivbridge.results import Estimate
from ivbridge.scale import csvs, frames, parquet, resume, sources
from ivbridge.scale.fitting import LACKS
from ivbridge.scale.memory import allowed, parsed
from ivbridge.scale.opening import opened
from ivbridge.scale.packed import digest, packed, unpacked
from ivbridge.scale.sources import RawPiece
from tests.bad_data_base import Case
from tests.bad_data_cases import CASES, measured

#: The native engine refines to the last digit; sums over 6,000 rows in blocks leave a few units of 1e-15, times the
#: condition of the columns, which is below 100 here; standard errors and tests are functions of these.
DIGITS = 1e-12

ROWS = 6_000
QUESTION = "y ~ x + w | w + z1 + z2 + z3"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of 500 rows, tables of 350 in them, text in ranges of 2¹⁴ bytes: everything has several."""
    monkeypatch.setattr(sources, "LEAST_ROWS", 500)
    monkeypatch.setattr(frames, "BATCH", 350)
    monkeypatch.setattr(csvs, "CHUNK", 2**14)


def made() -> pd.DataFrame:
    """Columns of every kind; a few values are missing, some weights are zero."""
    rng = np.random.default_rng(7)
    z, e, w = rng.normal(size=(ROWS, 3)), rng.normal(size=ROWS), rng.normal(size=ROWS)
    g = rng.integers(0, 60, ROWS)
    frame = pd.DataFrame(
        {
            "x": z @ [0.6, 0.4, 0.2] + 0.5 * e + 0.3 * w + rng.normal(size=ROWS),
            "w": w, "z1": z[:, 0], "z2": z[:, 1], "z3": z[:, 2], "pos": np.exp(rng.normal(size=ROWS)),
            "neg": rng.normal(size=ROWS), "k": rng.integers(0, 5, ROWS), "g": g,
            "h": rng.integers(-9, 20, ROWS) * 10**12,
            "t": np.array(list("bcaé"))[rng.integers(0, 4, ROWS)], "firm.id": [f"f{code}" for code in g],
            "b": rng.random(ROWS) < 0.4, "off": rng.normal(size=ROWS), "wt": rng.uniform(0.2, 3, ROWS),
            "kbig": np.array([100000, 200000, 7])[rng.integers(0, 3, ROWS)],
            "day": pd.to_datetime("2024-01-01") + pd.to_timedelta(rng.integers(0, 50, ROWS), "D"),
        }
    )  # fmt: skip
    frame["y"] = 1 + 0.5 * frame["x"] + w + e * (1 + 0.3 * np.abs(z[:, 0])) + 0.1 * (g % 7)
    frame["kmiss"] = frame["kbig"].where(rng.random(ROWS) > 0.1)
    frame["cat"] = pd.Categorical(np.array(["lo", "mid", "hi"])[rng.integers(0, 3, ROWS)], ["lo", "mid", "hi"])
    frame["ord"] = frame["cat"].astype(pd.CategoricalDtype(["lo", "mid", "hi"], ordered=True))
    frame["rare"] = pd.Categorical(np.where(np.arange(ROWS) < ROWS - 40, "a", "b"), ["b", "a", "never"])
    for name, share in (("x", 0.01), ("w", 0.02), ("z1", 0.005), ("t", 0.01)):
        frame.loc[rng.random(ROWS) < share, name] = None if name == "t" else np.nan
    frame.loc[rng.random(ROWS) < 0.05, "wt"] = 0.0
    return frame


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return made()


@pytest.fixture(scope="module")
def files(data: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    for name, rows in (("a", slice(0, 2500)), ("b", slice(2500, None))):
        data.iloc[rows].to_parquet(folder / f"{name}.parquet", row_group_size=400)
    return folder


def numbers(estimate: Estimate) -> dict[str, np.ndarray]:
    found = {
        "coef": estimate.coefs.estimate, "se": estimate.coefs.std_error, "cov": np.sqrt(np.abs(np.diag(estimate.cov))),
        # what is left of one: R² itself may be zero
        "fit": np.array([estimate.sigma, 1 - estimate.r2, 1 - estimate.r2_adj, estimate.n, estimate.df_resid]),
    }  # fmt: skip
    for key, test in estimate.tests.items():
        found[key] = np.array([test.statistic, test.df1, test.df2] if isinstance(test, Tested) else [np.nan])
    for stage in estimate.first_stages:
        found[f"first stage {stage.endog}"] = np.concatenate([stage.coefs.estimate, stage.coefs.std_error])
    return found


def assert_same(streamed: Estimate, whole: Estimate, rtol: float = DIGITS) -> None:
    """Names, rows, notes and numbers; what linearmodels or a locale would do is said in memory only."""
    assert streamed.terms == whole.terms
    for name in ("x_names", "z_names", "aliased", "aliased_instruments", "exact"):
        assert getattr(streamed.seen, name) == getattr(whole.seen, name), name
    assert dict(streamed.seen.levels) == dict(whole.seen.levels)
    assert list(streamed.notes) == [n for n in whole.notes if "linearmodels" not in n and "baseline" not in n]
    ours, theirs = numbers(streamed), numbers(whole)
    assert ours.keys() == theirs.keys()
    for key in ours:
        np.testing.assert_allclose(ours[key], theirs[key], rtol=rtol, err_msg=key)


VCOVS = [
    "classical", "HC0", "HC1", "HC2", "HC3", "HC4", "HC4m", "HC5", "cluster(g)", "cluster(firm.id)", "cluster(h)",
    "cluster(day)", "cluster(b, type=HC1)", "cluster(g, h)", "cluster(g, firm.id, k, type=HC1)",
    "cluster(g, h, multi0=true)", "cluster(firm.id, type=HC0, cadjust=false)",
]  # fmt: skip
SPLINE = "bs(off, knots = c(-1, 1), Boundary.knots = c(-9, 9))"
QUESTIONS: list[tuple[str, dict[str, str]]] = [
    ("y ~ x + w", {}),
    ("y ~ x + w | w + z1", {}),
    ("y ~ x + w - 1 | w + z1 + z2 - 1", {}),
    (QUESTION, {"method": "liml"}),
    (QUESTION, {"method": "fuller(1)"}),
    (QUESTION, {"weights": "wt"}),
    (QUESTION, {"inference": "z"}),
    ("log(pos) ~ x + I(w^2) + x:w | I(w^2) + z1 + z2 + z1:w", {}),
    ("y ~ x + x:neg + pos | pos + z1 + z1:neg + z2", {}),
    ("y ~ x + log(neg) | log(neg) + z1", {}),
    ("y ~ x + w + offset(off) | w + z1 + z2", {}),
    ("y ~ x + factor(k) | factor(k) + z1 + z2", {}),
    ("y ~ x + factor(k):w | factor(k):w + z1", {"weights": "wt"}),
    ("y ~ x + t + b | t + b + z1 + z2", {}),
    ("y ~ x + cat*w | cat*w + z1 + z2", {}),
    ("y ~ x + ord | ord + z1", {}),
    ("y ~ x + rare | rare + z1", {}),
    ('y ~ x + relevel(factor(t), ref = "c") | relevel(factor(t), ref = "c") + z1', {}),
    ('y ~ x + relevel(rare, ref = "a") | relevel(rare, ref = "a") + z1', {}),
    ("y ~ x + C(k, contr.sum) | C(k, contr.sum) + z1 + z2", {}),
    ("y ~ x + factor(kbig) | factor(kbig) + z1", {}),
    ("y ~ x + factor(kmiss) | factor(kmiss) + z1", {}),
    ("y ~ x + w + I(2*w) | w + I(2*w) + z1 + z2 + z3", {}),
    ("y ~ x + w + k | w + k + z1 + I(3*z1)", {}),
    ("y ~ 1", {}),
    ("y ~ t - 1", {}),
    (f"y ~ x + {SPLINE} | {SPLINE} + z1", {}),
]


@pytest.mark.parametrize("vcov", VCOVS)
def test_a_streamed_vcov_is_that_in_memory(data: pd.DataFrame, files: Path, vcov: str) -> None:
    assert_same(scale.fit(QUESTION, files / "*.parquet", vcov), ivbridge.fit(QUESTION, data, vcov))


@pytest.mark.parametrize(("text", "options"), QUESTIONS)
def test_a_streamed_question_is_that_in_memory(data: pd.DataFrame, files: Path, text: str, options: Any) -> None:
    spec = ivbridge.IVSpec.from_formula(text, vcov="HC3" if "weights" in options else "cluster(g)", **options)
    assert_same(scale.fit(spec, files), ivbridge.fit(spec, data))


Maker = Callable[[pd.DataFrame, Path], Any]


def _duckdb(frame: pd.DataFrame, folder: Path, ending: str) -> str:
    with duckdb.connect(str(folder / "rows.db")) as connection:
        connection.register("given", frame)
        connection.execute('CREATE TABLE "some rows" AS SELECT * FROM given')
        connection.execute('CREATE VIEW seen AS SELECT * FROM "some rows"')
    return f"duckdb:{folder / 'rows.db'}?{ending}"


def _csv(frame: pd.DataFrame, folder: Path) -> list[Path]:
    frame.iloc[:30].to_csv(folder / "a.csv", index=False)
    frame.iloc[30:].to_csv(folder / "b.csv", index=False, na_rep="NA", lineterminator="\r\n")
    return [folder / "a.csv", folder / "b.csv"]


SOURCES: dict[str, Maker] = {
    "parquet by pyarrow": lambda frame, folder: (frame.to_parquet(folder / "p.parquet", row_group_size=450), folder)[1],
    "text": _csv,
    "table of DuckDB": lambda frame, folder: _duckdb(frame, folder, "table=some rows"),
    "view of DuckDB": lambda frame, folder: _duckdb(frame, folder, "table=main.seen"),
    "query of DuckDB": lambda frame, folder: _duckdb(frame, folder, "query=FROM seen WHERE true;"),
    "relation of DuckDB": lambda frame, folder: duckdb.from_df(frame),
    "pandas": lambda frame, folder: frame,
    "polars": lambda frame, folder: pl.from_pandas(frame),
    "lazy polars": lambda frame, folder: pl.from_pandas(frame).lazy(),
    "arrow": lambda frame, folder: pa.Table.from_pandas(frame),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same(
    data: pd.DataFrame, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind.endswith("pyarrow"):
        monkeypatch.setattr(parquet, "_has_polars", lambda: False)
    frame = data.drop(columns=["cat", "ord", "rare", "day"]).rename(columns={"w": "a w"})
    text = "y ~ x + `a w` + t + b + factor(k) | `a w` + t + b + factor(k) + z1 + z2"
    streamed = scale.fit(text, SOURCES[kind](frame, tmp_path), "cluster(firm.id)")
    assert_same(streamed, ivbridge.fit(text, frame, "cluster(firm.id)"))


def test_the_source_is_read_in_pieces(data: pd.DataFrame, files: Path, tmp_path: Path) -> None:
    frame = data[["y", "firm.id"]]
    for source in (files, frame, _csv(frame, tmp_path), _duckdb(frame, tmp_path, "table=some rows")):
        check_pieces(opened(source).pieces(["y", "firm.id"], 10**9))


def check_pieces(pieces: Sequence[RawPiece]) -> None:
    assert len(pieces) > 5
    assert [piece.start for piece in pieces] == np.cumsum([0, *(piece.rows for piece in pieces)]).tolist()[:-1]
    assert [sum(t.num_rows for t in piece.frames(["y"])) for piece in pieces] == [piece.rows for piece in pieces]
    assert [sum(t.num_rows for t in piece.frames(["y"], 7)) for piece in pieces] == [7] * len(pieces)


def test_records_of_text_hold_line_breaks_and_quotes(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"y": rng.normal(size=3000), "x": rng.normal(size=3000), "e": np.nan})
    frame["t"] = np.array(["a\n\n\nb", 'say ""no""', "c,\r\nd\n\ne", "plain", "7"])[rng.integers(0, 5, 3000)]
    frame.to_csv(tmp_path / "t.csv", index=False)
    with (tmp_path / "t.csv").open("a") as file:
        file.write("1.5,2.5,,7")  # no line break at the end
    frame.loc[len(frame)] = [1.5, 2.5, np.nan, "7"]
    source = opened(tmp_path / "t.csv")
    assert source.rows == 3001 and len(source.pieces(["y"], 10**9)) > 2
    assert [source.schema.field(name).type for name in ("x", "e")] == [pa.float64()] * 2
    assert_same(scale.fit("y ~ x + t", tmp_path / "t.csv", "HC1"), ivbridge.fit("y ~ x + t", frame, "HC1"))


def test_the_first_pass_is_read_again_only_where_values_are_missing(data: pd.DataFrame, tmp_path: Path) -> None:
    whole = data.dropna(subset=["x", "w", "z1"])
    for name, frame in (("whole", whole), ("holes", data)):
        frame[["y", "x", "w", "z1", "z2", "z3"]].to_parquet(tmp_path / f"{name}.parquet", row_group_size=400)
    told: list[str] = []
    estimate = scale.fit(QUESTION, tmp_path / "whole.parquet", "HC1", progress=lambda *now: told.append(now[2]))
    assert {text.partition(":")[0] for text in told} == {"pass 1, Cross", "pass 2, Scores"}
    assert estimate.notes == ()
    told.clear()
    estimate.tests  # noqa: B018
    assert told[-1].startswith("pass 3, ")
    told.clear()
    scale.fit(QUESTION, tmp_path / "holes.parquet", "HC1", progress=lambda *now: told.append(now[2]))
    names = list(dict.fromkeys(text.partition(":")[0].partition(", ")[2] for text in told))
    assert names == ["Cross", "Surveyor", "Scores"]


def test_sorted_data_keep_their_digits() -> None:
    """The beginnings of pieces are far from the mean of a trend; years squared are collinear with years."""
    n = 20_000
    rng = np.random.default_rng(5)
    year = np.repeat(np.arange(1950, 2050), n // 100).astype(float)
    frame = pd.DataFrame({"year": year, "trend": np.arange(n) + 1e7, "z": rng.normal(size=n)})
    frame["x"] = frame["z"] + year / 50 + rng.normal(size=n)
    frame["y"] = frame["x"] + year + 1e-4 * frame["trend"] + rng.normal(size=n)
    text = "y ~ x + year + I(year^2) | z + year + I(year^2)"
    # condition 4e4 of these columns at equal length: what double precision's 1e-16 becomes in refined answers
    assert_same(scale.fit(text, frame, "HC1"), ivbridge.fit(text, frame, "HC1"), rtol=1e-11)
    text = "y ~ x + trend | z + trend"
    assert_same(scale.fit(text, frame, "HC1"), ivbridge.fit(text, frame, "HC1"), rtol=1e-11)


def test_nothing_about_pieces_changes_a_bit(data: pd.DataFrame, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are cut at fixed rows of a piece, however a reader cuts its tables."""
    before = scale.fit(QUESTION, files, "HC1")
    read = parquet.ParquetPiece._with_polars

    def in_crumbs(self: parquet.ParquetPiece, columns: list[str], rows: int) -> Iterator[pa.Table]:
        for table in read(self, columns, rows):
            yield from (table.slice(start, 37) for start in range(0, table.num_rows, 37))

    monkeypatch.setattr(parquet.ParquetPiece, "_with_polars", in_crumbs)
    after = scale.fit(QUESTION, files, "HC1")
    assert before.to_json().split('"provenance"')[0] == after.to_json().split('"provenance"')[0]


def test_what_is_not_kept_is_said(files: Path) -> None:
    estimate = scale.fit(QUESTION, files, "HC1")
    assert estimate.lacks == LACKS and not len(estimate.residuals) and not len(estimate.seen.rows)
    assert "Residuals:\nnot kept" in estimate.summary()
    assert estimate.digits is not None and estimate.digits.coef > 10
    again = Estimate.from_json(estimate.to_json())
    np.testing.assert_array_equal(again.cov, estimate.cov)
    assert any("scale.fit" in call for call in estimate.provenance.calls)


BAD: list[tuple[str, str, type[Exception], str]] = [
    (QUESTION, "nw(4)", UnsupportedError, "no sum over blocks"),
    (QUESTION, "bootstrap(R=10)", UnsupportedError, "no sum over blocks"),
    ("y ~ scale(x) + w", "HC1", UnsupportedError, r"scale\(x\) depends on all rows at once"),
    ("y ~ poly(neg, 2)", "HC1", UnsupportedError, "raw = TRUE"),
    ("y ~ bs(neg, df = 5)", "HC1", UnsupportedError, "Boundary.knots"),
    ("y ~ factor(k + g)", "HC1", UnsupportedError, "several columns"),
    ("y ~ x + poss", "HC1", DataError, "no column 'poss'.*write 'pos'"),
    ("y ~ log(k)", "HC1", DataError, r"a\.parquet, rows 1 to .*: log\(k\) is infinite"),
    (QUESTION, "cluster(kmiss)", DataError, r"parquet, rows .*'kmiss' groups .* missing in"),
    (QUESTION, "cluster(one)", DataError, "'one' holds a single cluster"),
    ("one ~ x", "HC1", DesignError, "one is 1 in every row used"),
    ("y ~ x + factor(one)", "HC1", DataError, r"factor\(one\) has 1 level"),
    ("y ~ x + huge", "HC1", DataError, "huge .*range of doubles"),
    ("y ~ infinite", "HC1", DataError, r"Column 'infinite' holds 1 infinite value"),
    ("y ~ x | w + z9", "HC1", DataError, "'z9'"),
    ("y ~ x + z2 | w", "HC1", DesignError, "not identified"),
    ("y ~ empty", "HC1", DesignError, "No row can be used.*missing values in empty"),
    ("t ~ x", "HC1", DataError, "'t' holds texts"),
    ("y ~ x + w:b", "HC9", UnsupportedError, "HC9"),
    ("y x", "HC1", FormulaError, "no formula|not a formula"),
]


@pytest.mark.parametrize(("text", "vcov", "error", "words"), BAD)
def test_what_cannot_be_answered_is_refused_by_name(
    data: pd.DataFrame, tmp_path: Path, text: str, vcov: str, error: type[Exception], words: str
) -> None:
    frame = data.assign(one=1.0, huge=data["x"] * 1e60, infinite=data["neg"], empty=np.nan)
    frame.loc[5777, "infinite"] = np.inf
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=400)
    with pytest.raises(error, match=words):
        scale.fit(text, tmp_path / "a.parquet", vcov)


def test_no_vcov_is_no_silent_default(files: Path) -> None:
    with pytest.raises(UnsupportedError, match="names no vcov"):
        scale.fit(QUESTION, files)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{}/nothing*.parquet", "No file fits the pattern"),
        ("{}/nothing.parquet", "There is no file"),
        ("{}/a.txt", "ends in .txt"),
        (["{}/a.parquet", "{}/b.csv"], "several kinds"),
        (["{}/a.parquet", "{}/a.parquet"], "named twice"),
        ("{}/broken.parquet", "broken.parquet cannot be read"),
        (["{}/a.parquet", "{}/other.parquet"], "no column 'x'"),
        (["{}/a.parquet", "{}/text.parquet"], "Column 'x' is .* but"),
        ("{}/gaps.csv", "empty line"),
        ("duckdb:{}/a.db", "names no table"),
        ("duckdb:{}/a.db?table=t", "There is no database file"),
        ("duckdb:{}/rows.db?table=t", "Table with name t"),
        ("{}/empty", "holds no parquet file"),
        (7, "data is a int"),
    ],
)
def test_sources_that_cannot_be_read_are_named(tmp_path: Path, source: Any, words: str) -> None:
    whole = pl.DataFrame({"y": [1.0, 2.0, 4.0], "x": [1.0, 3.0, 2.0]})
    whole.write_parquet(tmp_path / "a.parquet")
    whole.drop("x").write_parquet(tmp_path / "other.parquet")
    whole.with_columns(pl.col("x").cast(pl.String)).write_parquet(tmp_path / "text.parquet")
    (tmp_path / "broken.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:-9])
    (tmp_path / "gaps.csv").write_text("y,x\n1,2\n\n2,3\n")
    (tmp_path / "empty").mkdir()
    for name in ("a.txt", "b.csv"):
        (tmp_path / name).write_text("y,x\n1,2\n")
    _duckdb(whole.to_pandas(), tmp_path, "")
    put = [one.format(tmp_path) for one in source] if isinstance(source, list) else source
    with pytest.raises(DataError, match=words):
        scale.fit("y ~ x", put.format(tmp_path) if isinstance(put, str) else put, "HC1")


def test_a_file_that_changes_between_passes_is_noticed(data: pd.DataFrame, tmp_path: Path) -> None:
    data.to_parquet(tmp_path / "a.parquet", row_group_size=400)
    estimate = scale.fit(QUESTION, tmp_path / "a.parquet", "HC1")
    data.iloc[:-900].to_parquet(tmp_path / "a.parquet", row_group_size=400)
    with pytest.raises(DataError, match=r"changed|cannot be read"):
        estimate.tests  # noqa: B018


#: Where rows in pieces are asked on purpose for more or for less than a design in memory: Arrow tables hold no repeated
#: names and no sparse columns, and clusters are compared as they are, not as R's doubles.
OTHERWISE = {"an unused column twice", "sparse columns", "clusters beyond 2**53"}


def in_pieces(case: Case) -> bool:
    """Whether pieces can answer it: sums over rows, terms of single rows, weights from a column."""
    whole = any(f"{function}(" in case.formula for function in ("scale", "poly", "bs", "ns"))
    weights = case.options.get("weights")
    plain = weights is None or isinstance(weights, str)
    sums = case.vcov.partition("(")[0].startswith(("classical", "HC", "cluster"))
    return plain and not whole and sums and case.name not in OTHERWISE


@pytest.mark.parametrize("case", list(filter(in_pieces, CASES)), ids=lambda case: f"{case.group}: {case.name}")
def test_bad_data_get_the_answer_or_the_error_that_they_get_in_memory(case: Case) -> None:
    def asked() -> Estimate:
        found = scale.fit(ivbridge.IVSpec.from_formula(case.formula, vcov=case.vcov, **case.options), case.data())
        return replace(found, tests=found.tests)

    if case.error:
        with pytest.raises(ivbridge.IvbridgeError) as caught:
            asked()
        assert type(caught.value).__name__ == case.error, caught.value
        return
    found = asked()
    assert any(case.note in note for note in found.notes) or not case.note, found.notes
    if case.unit is None:
        assert measured(case, found) >= case.digits


# ------------------------------------------------------------------------------------------------------------- memory
def test_amounts_of_memory() -> None:
    amounts = {"1GB": 10**9, "750 mb": 750 * 10**6, "2GiB": 2**31, 2 * 10**8: 2 * 10**8, "1.5G": 15 * 10**8}
    assert {text: parsed(text) for text in amounts} == amounts
    assert 10**8 < allowed(None) <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 4
    for text in ("much", "-1GB", "50MB", "1 PB"):
        with pytest.raises(DataError, match="memory="):
            parsed(text)


def test_row_groups_and_clusters_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    n = 700_000
    frame = pl.DataFrame(
        {"y": np.arange(n) % 7.0, "x": np.arange(n) % 11.0, "w": np.arange(n) % 5.0, "g": np.arange(n)}
    )
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=10**6)
    with pytest.raises(DataError, match=r"Row group 1 of .* takes 22 MB.*memory='114MB'.*row_group_size"):
        scale.fit("y ~ x + w", tmp_path / "a.parquet", "cluster(g)", memory="100MB")
    frame.write_parquet(tmp_path / "a.parquet", row_group_size=10**5)
    with pytest.raises(DataError, match=r"cluster\(g\): the clusters take .* more than fits into memory=100 MB"):
        scale.fit("y ~ x + w + I(w^2) + I(x^2) + I(x^3) + I(w^3)", tmp_path / "a.parquet", "cluster(g)", memory="100MB")


PEAK = """
import sys, polars as pl
from ivbridge.scale import fit
peak = lambda: int(next(l for l in open("/proc/self/status") if l.startswith("VmHWM")).split()[1]) * 1024
columns = {name: [float(j * k % 17) for j in range(400)] for k, name in enumerate("yxwzvg", 3)}
pl.DataFrame(columns).write_parquet(sys.argv[2])
fit("y ~ x + w | w + z + v", sys.argv[2], sys.argv[3]).tests  # what the libraries take themselves
before = peak()
fit("y ~ x + w | w + z + v", sys.argv[1], sys.argv[3], memory=150_000_000).tests
print(peak() - before)
whole = pl.read_parquet(sys.argv[1]) if sys.argv[1].endswith("parquet") else pl.read_csv(sys.argv[1])
copies = whole.to_numpy(), whole.to_numpy(order="c")
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "vcov"), [("parquet", "HC1"), ("parquet", "cluster(g)"), ("csv", "HC1")])
def test_the_peak_of_memory_stays_below_the_bound(tmp_path: Path, kind: str, vcov: str) -> None:
    rng = np.random.default_rng(1)
    n = 6_000_000 if kind == "parquet" else 1_500_000  # 290 MB of numbers, 160 MB of text
    frame = pl.DataFrame({name: rng.normal(size=n) for name in "yxwzv"} | {"g": rng.integers(0, 10_000, n)})
    path = tmp_path / f"rows.{kind}"
    frame.write_parquet(path, row_group_size=500_000) if kind == "parquet" else frame.write_csv(path)
    assert path.stat().st_size > 150e6
    run = [sys.executable, "-c", PEAK, str(path), str(tmp_path / "small.parquet"), vcov]
    grown, noticed = map(int, subprocess.run(run, capture_output=True, text=True, check=True).stdout.split())
    assert 0 < grown < 150_000_000
    assert noticed > 150_000_000  # rows in memory show


# ------------------------------------------------------------------------------------------------------------- resume
KILLED = textwrap.dedent("""
    import os, signal, sys
    from ivbridge.scale import fit, frames, resume, sources
    sources.LEAST_ROWS, frames.BATCH, resume.PAUSE, resume.SHARE = 500, 350, 0.0, 1e9
    files, sums, vcov, pieces = *sys.argv[1:4], int(sys.argv[4])
    told = []
    def progress(done, total, what):
        told.append(what)
        if len(told) == pieces:
            os.kill(os.getpid(), signal.SIGKILL)
    estimate = fit("y ~ x + w | w + z1 + z2 + z3", files, vcov, resume=sums, progress=progress)
    estimate.tests
    print(len(told))
    print(estimate.to_json().split('"provenance"')[0])
""")


#: Pieces after which it is killed, in each run.
STEP = 25


def run_killed(files: Path, sums: Path, vcov: str, pieces: int) -> subprocess.CompletedProcess[str]:
    asked = [sys.executable, "-c", KILLED, str(files), str(sums), vcov, str(pieces)]
    return subprocess.run(asked, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("vcov", ["HC1", pytest.param("cluster(firm.id)", marks=pytest.mark.slow)])
def test_a_killed_job_goes_on_to_the_same_bits(files: Path, tmp_path: Path, vcov: str) -> None:
    """Killed in every pass it makes; each time it goes on with the piece after the last one that was kept."""
    whole = run_killed(files, tmp_path / "never", vcov, 10**9)
    steps, text = whole.stdout.split("\n", 1)
    sums, stops, left = tmp_path / "sums", 0, int(steps)
    while True:
        found = run_killed(files, sums, vcov, STEP)
        if found.returncode == 0:
            break
        assert found.returncode == -signal.SIGKILL, found.stderr
        stops, left = stops + 1, left - STEP
    assert stops >= 2
    rest, again = found.stdout.split("\n", 1)
    assert again == text
    assert int(rest) == left  # no piece was read twice


def test_sums_of_other_data_are_refused(data: pd.DataFrame, tmp_path: Path) -> None:
    data.to_parquet(tmp_path / "a.parquet", row_group_size=400)
    first = scale.fit(QUESTION, tmp_path / "a.parquet", "HC1", resume=tmp_path / "sums")
    told: list[int] = []
    again = scale.fit(
        QUESTION, tmp_path / "a.parquet", "HC1", resume=tmp_path / "sums", progress=lambda *a: told.append(1)
    )
    assert told == [] and np.array_equal(first.cov, again.cov)
    other = scale.fit("y ~ x | z1", tmp_path / "a.parquet", "HC1", resume=tmp_path / "sums")
    assert_same(other, ivbridge.fit("y ~ x | z1", data, "HC1"))  # another question about the same data has its own sums
    data.assign(y=data["y"] + 1).to_parquet(tmp_path / "a.parquet", row_group_size=400)
    with pytest.raises(DataError, match=r"sums of other data.*changed since"):
        scale.fit(QUESTION, tmp_path / "a.parquet", "HC1", resume=tmp_path / "sums")
    (tmp_path / "sums").write_bytes(b"PK junk")
    with pytest.raises(DataError, match="no file of sums"):
        scale.fit(QUESTION, tmp_path / "a.parquet", "HC1", resume=tmp_path / "sums")
    assert not list(tmp_path.glob("*.part"))


def test_a_file_of_sums_holds_no_code() -> None:
    survey = pa.table({"a.b": ["x", None]})
    thing = {"t": (1, 2.5, None, np.float64(0.1), np.arange(3, dtype=np.longdouble)), "s": survey, "a": pa.array([3])}
    arrays: list[np.ndarray] = []
    back = unpacked(packed(thing, arrays), arrays)
    assert back["s"].equals(survey) and back["a"].equals(pa.array([3])) and back["t"][:4] == thing["t"][:4]  # type: ignore[index]
    assert back["t"][4].dtype == np.longdouble
    for name in ("os:system", "subprocess:Popen", "ivbridge.scale.resume:json", "ivbridge.data:read"):
        with pytest.raises(ValueError, match="no record"):
            unpacked({"record": name, "fields": {}}, [])
    with pytest.raises(TypeError, match="cannot be kept"):
        packed(open, [])
    assert digest(1.0) != digest(1) != digest("1") and digest(np.zeros(2)) != digest(np.zeros((2, 1)))


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = resume.SumsFile(tmp_path / "sums", "the data")
    kept.put("pass", 3, np.arange(3.0), last=True)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(DataError, match="No space left"):
        kept.put("pass", 4, np.arange(4.0), last=True)
    assert resume.SumsFile(tmp_path / "sums", "the data").get("pass")[0] == 3
    assert [path.name for path in tmp_path.iterdir()] == ["sums"]


# ------------------------------------------------------------------------------------------------------- command line
def test_the_command_line(data: pd.DataFrame, files: Path, tmp_path: Path) -> None:
    asked = ["scale", QUESTION, str(files / "*.parquet"), "--vcov", "HC1", "--memory", "1GB"]
    shown = CliRunner().invoke(app, [*asked, "--resume", str(tmp_path / "sums")])
    assert shown.exit_code == 0 and "Weak instruments" in shown.output and (tmp_path / "sums").exists()
    found = CliRunner().invoke(app, [*asked, "--json", "--weights", "wt", "--method", "liml", "--inference", "z"])
    spec = replace(ivbridge.IVSpec.from_formula(QUESTION, method="liml", inference="z"), weights="wt")
    assert_same(Estimate.from_json(found.output), ivbridge.fit(spec, data, "HC1"))
    table = CliRunner().invoke(app, ["scale", QUESTION, *map(str, sorted(files.iterdir())), "--vcov", "HC1", "--tidy"])
    assert table.output.startswith("term,estimate") and len(table.output.splitlines()) == 4
    assert CliRunner().invoke(app, [*asked, "--json", "--tidy"]).exit_code == 2
