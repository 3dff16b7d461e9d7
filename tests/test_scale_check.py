"""The check at scale: which rows are chosen, what is compared, and that it notices what is wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ivbridge import scale
from ivbridge.errors import DataError, DisagreementError
from ivbridge.scale import checking
from ivbridge.scale.checking import ScaleCheck, check
from ivbridge.scale.opening import opened
from ivbridge.scale.parquet import ParquetFiles
from ivbridge.scale.sampling import Picked, consecutive, sampled
from ivbridge.scale.totals import Relation, compared_totals, usable

N = 40_000
FORMULA = "y ~ x + w | w + z1 + z2"
#: Quick where R has nothing to add.
OWN = ("native", "fast")


@pytest.fixture(scope="module")
def frame() -> pl.DataFrame:
    random = np.random.default_rng(5)
    w, z1, z2, v, e = random.standard_normal((5, N))
    x = w + z1 - z2 + v
    return pl.DataFrame({
        "y": 1 + x - w + v + e, "x": x, "w": w + 3, "z1": z1, "z2": z2, "size": random.uniform(1, 4, N),
        "firm": random.integers(0, 90, N), "region": random.choice(["north", "south", "west"], N),
    })  # fmt: skip


@pytest.fixture(scope="module")
def files(frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three files of five row groups or so."""
    folder = tmp_path_factory.mktemp("rows")
    for j, (a, b) in enumerate([(0, 13_000), (13_000, 20_001), (20_001, N)]):
        frame[a:b].write_parquet(folder / f"part{j}.parquet", row_group_size=3_000)
    return str(folder / "*.parquet")


class Small(ParquetFiles):
    """A piece for each row group."""

    def pieces(self, columns: Sequence[str], room: int) -> tuple[Any, ...]:
        return super().pieces(columns, 200_000)


def small(files: str) -> Small:
    found = opened(files)
    return Small(found.schema, found.files)  # type: ignore[attr-defined]


# which rows


def test_the_sample_can_be_drawn_again() -> None:
    """A change here would mean that no earlier check can be repeated."""
    assert sampled(10**11, 4, seed=1).tolist() == [37815857887, 81542357666, 91573394738, 98571550255]
    assert consecutive(1000, 10, 3, seed=1) == ((173, 183), (631, 641), (775, 785))


@given(st.integers(1, 300), st.integers(1, 400), st.integers(0, 2**60))
def test_a_sample_has_no_row_twice(total: int, rows: int, seed: int) -> None:
    found = sampled(total, rows, seed)
    assert len(found) == min(total, rows)
    assert (np.diff(found) > 0).all()
    assert found[0] >= 0 and found[-1] < total


@pytest.mark.parametrize("rows", [3, 15])
def test_every_row_has_the_same_chance(rows: int) -> None:
    """Of 20 rows, in 4000 samples; χ² with 19 degrees of freedom, corrected for sampling without replacement."""
    counts = np.bincount(np.concatenate([sampled(20, rows, seed) for seed in range(4000)]), minlength=20)
    expected = 4000 * rows / 20
    statistic = ((counts - expected) ** 2 / expected).sum() / (1 - rows / 20) * 19 / 20
    assert 1e-4 < stats.chi2.sf(statistic, 19) < 1 - 1e-4


@given(st.integers(1, 500), st.integers(1, 200), st.integers(0, 6), st.integers(0, 2**60))
def test_blocks_lie_apart(total: int, rows: int, blocks: int, seed: int) -> None:
    found = consecutive(total, rows, blocks, seed)
    places = [row for first, last in found for row in range(first, last)]
    assert places == sorted(set(places))
    assert not places or (places[0] >= 0 and places[-1] < total)
    assert len(found) == min(blocks, total) or blocks > total
    assert all(last - first <= rows for first, last in found)


def rows_of(source: Any, columns: list[str], limit: int | None = None) -> pa.Table:
    return pa.concat_tables([t for piece in source.pieces(columns, 10**9) for t in piece.frames(columns, limit)])


@pytest.mark.parametrize("numbers", [sampled(N, 700, 3), np.arange(12_990, 13_020), np.array([0, N - 1]), np.arange(N)])
def test_picked_rows_are_those_rows(numbers: np.ndarray, files: str, frame: pl.DataFrame) -> None:
    columns = ["x", "region", "firm"]
    want = frame.select(columns)[numbers]
    for source in (opened(files), small(files), opened(frame)):
        picked = Picked(source, numbers)
        found = pl.from_arrow(rows_of(picked, columns))
        assert isinstance(found, pl.DataFrame)
        assert found.with_columns(pl.col("region").cast(pl.String)).equals(want)
        assert picked.rows == len(numbers)
        pieces = picked.pieces(columns, 10**9)
        assert [piece.start for piece in pieces] == np.cumsum([0, *(p.rows for p in pieces[:-1])]).tolist()
        for piece in pieces:
            assert sum(t.num_rows for t in piece.frames(columns, 2)) == min(2, piece.rows)


# the check


def test_what_was_compared_is_said(files: str) -> None:
    found = check(FORMULA, files, "HC1", rows=1000, blocks=2, seed=4)
    assert found.ok and found.verdict == "rounding"
    found.assert_ok(strict=True)
    text = found.summary()
    said = "R saw 1,000 of 40,000 rows, drawn at random with seed 4, and 2 blocks of 1,000 consecutive rows"
    assert f"{said}; streamed, the same rows give the answer in memory" in text
    assert "all 40,000 rows: the number of rows used and 15 sums of columns, by two readers" in text
    assert "not compared: coefficients and standard errors from all rows" in text
    frame = found.to_frame()
    assert set(frame["candidate_engine"]) == {"native", "fast", "streamed"}
    assert set(frame["part"]) == {"sample", *(part.name for part in found.parts)} and len(found.parts) == 3
    streamed = frame[frame["candidate_engine"] == "streamed"]
    assert {"estimate", "std.error", "test statistic", "first stage estimate"} <= set(streamed["quantity"])
    assert not {"resid", "fitted"} & set(streamed["quantity"])


def test_the_rows_do_not_depend_on_pieces(files: str, frame: pl.DataFrame) -> None:
    """The same numbers in the part that is in memory, from files in large and small pieces and from a table."""
    answers = [check(FORMULA, source, "HC1", rows=900, blocks=1, engines=OWN) for source in
               (files, small(files), frame)]  # fmt: skip
    first, *others = [
        [c.reference.params.to_numpy().tobytes() for part in one.parts for c in part.comparisons] for one in answers
    ]
    assert first == others[0] == others[1]
    assert first != [
        c.reference.params.to_numpy().tobytes()
        for part in check(FORMULA, files, "HC1", rows=900, blocks=1, seed=2, engines=OWN).parts
        for c in part.comparisons
    ]


@pytest.mark.parametrize(
    ("formula", "vcov"),
    [
        ("log(size) ~ x + region | region + z1 + z2", "cluster(firm)"),
        ("y ~ [x ~ z1 + z2] + w:region", "cluster(firm, region, type=HC1)"),
    ],
)
def test_terms_and_clusters(formula: str, vcov: str, files: str) -> None:
    found = check(formula, files, vcov, rows=1500, blocks=1, engines=OWN)
    assert found.ok, found.summary()
    assert any("made of other columns" in why for why in found.not_summed.values())


def test_few_rows_are_all_seen(frame: pl.DataFrame) -> None:
    found = check(FORMULA, frame.head(300), "classical", rows=300, engines=OWN)
    assert [part.name for part in found.parts] == ["all rows"]
    assert found.seen == "native saw 300 of 300 rows"


def test_missing_and_undefined_values(frame: pl.DataFrame) -> None:
    """The other reader knows the first, and not the second: log(w) of what is not positive."""
    holes = frame.with_columns(pl.when(pl.col("x") > 2).then(None).otherwise(pl.col("x")).alias("x"))
    plain = check(FORMULA, holes, "HC1", rows=800, blocks=0, engines=OWN)
    assert plain.ok and plain.totals[0].read == holes["x"].count()
    nan = holes.with_columns(pl.col("x").fill_null(np.nan))
    again = check(FORMULA, nan, "HC1", rows=800, blocks=0, engines=OWN)
    assert again.ok and [t.independent for t in again.totals] == [t.independent for t in plain.totals]
    logs = check("y ~ x + log(w) | log(w) + z1 + z2", holes, "HC1", rows=800, blocks=0, engines=OWN)
    assert logs.ok and len(logs.totals) == 1
    assert logs.totals[0].read == holes["x"].count()
    assert "undefined" in logs.not_summed["z1"]


def test_weights(frame: pl.DataFrame) -> None:
    spec = dataclasses.replace(ivb_spec(), weights="size")
    found = check(spec, frame.with_columns(size=pl.col("size").clip(2) - 2), "HC1", rows=800, blocks=1, engines=OWN)
    assert found.ok, found.summary()
    assert found.totals[0].read == (frame["size"] > 2).sum()


def ivb_spec() -> Any:
    from ivbridge import IVSpec

    return IVSpec.from_formula(FORMULA)


def test_a_block_that_cannot_be_asked_is_said(frame: pl.DataFrame) -> None:
    """The dependent variable does not vary in the last third."""
    odd = frame.with_columns(y=pl.when(pl.int_range(pl.len()) > 2 * N // 3).then(1.0).otherwise(pl.col("y")))
    found = check(FORMULA, odd, "HC1", rows=500, blocks=3, engines=OWN)
    assert found.ok
    (name,) = (part.name for part in found.parts if part.agreement is None)
    assert "nothing to explain" in found.skipped[name]
    assert f"{name}: not asked" in found.summary() and "2 blocks of 500" in found.summary()
    with pytest.raises(DisagreementError, match="STRICT"):
        found.assert_ok(strict=True)


def test_where_the_sample_cannot_be_asked(frame: pl.DataFrame) -> None:
    """Rank deficient in the sample only: too few rows."""
    found = check(FORMULA, frame, "HC1", rows=3, blocks=1, engines=OWN)
    assert found.verdict == "not comparable" and not found.ok
    assert "cannot be asked of the sample" in found.reason
    good = check(FORMULA, frame, "HC1", rows=500, blocks=1, engines=OWN)
    assert good.verdict == "rounding"
    without = dataclasses.replace(good, parts=(found.parts[0], good.parts[1]))
    assert without.verdict == "not comparable" and "saw none of the 40,000 rows" in without.seen


def test_senseless_numbers(frame: pl.DataFrame) -> None:
    with pytest.raises(DataError, match="rows=0"):
        check(FORMULA, frame, "HC1", rows=0)


# that it notices


Change = Callable[[tuple[Any, ...]], tuple[Any, ...]]


@dataclasses.dataclass(frozen=True)
class Mixed:
    """Rows of one piece, but for one column, which is another one's."""

    piece: Any
    other: Any
    column: str

    @property
    def start(self) -> int:
        return int(self.piece.start)

    @property
    def rows(self) -> int:
        return int(self.piece.rows)

    def frames(self, columns: Sequence[str], limit: int | None = None) -> Iterator[pa.Table]:
        own, other = (pa.concat_tables(one.frames(columns, limit)) for one in (self.piece, self.other))
        if self.column in columns:
            own = own.set_column(own.column_names.index(self.column), self.column, other[self.column])
        yield own


SABOTAGE: dict[str, Change] = {
    "dropped": lambda p: (*p[:3], *p[4:]),
    "read twice": lambda p: (*p[:3], p[3], *p[3:]),
    "one in place of another": lambda p: (*p[:2], p[1], *p[3:]),
    "the last row missing": lambda p: (*p[:-1], dataclasses.replace(p[-1], rows=p[-1].rows - 1)),
    "a column of other rows": lambda p: (*p[:2], Mixed(p[2], p[1], "z1"), *p[3:]),
}


class Wrong(Small):
    """Row groups, of which something is wrong."""

    how = ""

    def pieces(self, columns: Sequence[str], room: int) -> tuple[Any, ...]:
        return SABOTAGE[self.how](super().pieces(columns, room))


@pytest.mark.parametrize("how", SABOTAGE)
def test_a_wrong_piece_is_found(how: str, files: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wrong, "how", how)
    good = opened(files)
    found = scale.plan(FORMULA, Wrong(good.schema, good.files), "HC1")  # type: ignore[attr-defined]
    columns = ["w", "z1", "z2", "x", "y"]
    with Relation.of(good) as relation:
        totals = compared_totals(found.rows(), relation, columns, range(5), usable(columns, (), None))
    wrong = {total.what for total in totals if not total.ok}
    assert wrong
    counts = how in ("dropped", "read twice", "the last row missing")
    assert ("rows" in wrong) == counts
    if how == "a column of other rows":
        assert {"sum of w × z1", "sum of z1 × z2"} <= wrong and "sum of w × y" not in wrong


def test_wrong_totals_fail_the_check(files: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Wrong, "how", "one in place of another")
    good = opened(files)
    found = check(FORMULA, Wrong(good.schema, good.files), "HC1", rows=500, blocks=1, engines=OWN)  # type: ignore[attr-defined]
    assert found.verdict == "substantive" and not found.ok
    assert "not every row was read once" in found.reason
    with pytest.raises(DisagreementError, match="sum of"):
        found.assert_ok()
    assert not found.totals_frame()["ok"].all()


@dataclasses.dataclass(frozen=True)
class Forgetful:
    """A runner that gives the sum of the first piece for that of the second."""

    def sums(self, part: Any, pieces: Sequence[Any]) -> Iterator[Any]:
        for piece in (pieces[0], *pieces[:1], *pieces[2:]):
            yield part(piece.blocks())


def test_a_wrong_runner_is_found(files: str) -> None:
    found = check(FORMULA, small(files), "HC1", rows=2000, blocks=1, engines=OWN, runner=Forgetful())
    assert not found.ok and found.wrong_totals
    (sample, *_) = found.parts
    assert sample.streamed is not None and sample.streamed.verdict == "not comparable"  # rows
    assert "streamed, the same rows give" not in found.summary()


@pytest.mark.parametrize("quantity", ["estimate", "std_error"])
def test_a_streamed_answer_that_is_off_is_found(
    quantity: str, frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a millionth, in one number."""
    honest = scale.fit

    def off(*args: Any, **options: Any) -> Any:
        answer = honest(*args, **options)
        values = getattr(answer.coefs, quantity).copy()
        values[1] *= 1 + 1e-6
        return dataclasses.replace(answer, coefs=dataclasses.replace(answer.coefs, **{quantity: values}))

    monkeypatch.setattr(checking, "fit", off)
    found = check(FORMULA, frame, "HC1", rows=600, blocks=0, engines=OWN)
    assert found.verdict == "substantive"


# other sources


@pytest.fixture(scope="module")
def others(frame: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    import duckdb

    folder = tmp_path_factory.mktemp("others")
    few = frame.head(6000).with_columns(x=pl.when(pl.col("x") > 2).then(None).otherwise(pl.col("x")))
    few.write_csv(folder / "rows.csv", null_value="NA")
    database = str(folder / "rows.db")
    with duckdb.connect(database) as connection:
        connection.register("few", few.to_arrow())
        connection.execute("CREATE TABLE kept AS SELECT * FROM few")
    connection = duckdb.connect()
    connection.register("few", few.to_arrow())
    yield {
        "csv": str(folder / "rows.csv"), "table": f"duckdb:{database}?table=kept",
        "query": f"duckdb:{database}?query=SELECT * FROM kept WHERE z1 > 0", "relation": connection.sql("FROM few"),
        "pandas": few.to_pandas(), "polars": few,
    }  # fmt: skip
    connection.close()


@pytest.mark.parametrize("kind", ["csv", "table", "query", "relation", "pandas", "polars"])
def test_every_kind_of_source(kind: str, others: dict[str, Any]) -> None:
    found = check(FORMULA, others[kind], "HC1", rows=500, blocks=1, engines=OWN)
    assert found.ok, found.summary()
    assert len(found.totals) == 16
    used = others["polars"].drop_nulls("x")
    used = used.filter(pl.col("z1") > 0) if kind == "query" else used
    assert found.totals[0].read == found.totals[0].independent == len(used)


class Own:
    """A source of a kind of its own."""

    def __init__(self, table: Any) -> None:
        self.inner = opened(table)
        self.schema, self.rows, self.state = self.inner.schema, self.inner.rows, self.inner.state
        self.pieces = self.inner.pieces


def test_a_source_that_no_other_reader_knows(frame: pl.DataFrame) -> None:
    found = check(FORMULA, Own(frame), "HC1", rows=500, blocks=1, engines=OWN)
    assert found.ok and not found.totals
    assert "A Own has no reader but its own pieces" in found.summary()
    assert isinstance(found, ScaleCheck) and repr(found).startswith("<ScaleCheck rounding")


def test_paths_with_quotes(frame: pl.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "it's.parquet"
    frame.head(2000).rename({"w": 'w "1"'}).write_parquet(path)
    found = check('y ~ x + `w "1"` | `w "1"` + z1 + z2', str(path), "HC1", rows=500, blocks=0, engines=OWN)
    assert found.ok and len(found.totals) == 16
