"""What must not give a number: data that change, queries that give other rows each time, numbers that were rounded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest

import ivbridge
from ivbridge import scale
from ivbridge.blocks.rows import Block
from ivbridge.errors import DataError
from ivbridge.scale import csvs, resume, sources
from ivbridge.scale.pieces import Here

QUESTION = "y ~ x + w | w + z"
#: Sums over 1,200 rows, condition below 100.
DIGITS = 1e-12


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LEAST_ROWS", 300)
    monkeypatch.setattr(csvs, "CHUNK", 2**13)


@pytest.fixture
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    w, z, v, e = rng.standard_normal((4, 1200))
    x = z + w + v
    return pd.DataFrame({"y": x - w + v + e, "x": x, "w": w, "z": z, "g": rng.integers(0, 30, 1200)})


def same(found: Any, frame: pd.DataFrame, formula: str, vcov: str) -> None:
    asked = ivbridge.fit(formula, frame, vcov, engine="native")
    assert list(found.params.index) == list(asked.params.index)
    np.testing.assert_allclose(found.params, asked.params, rtol=DIGITS)
    np.testing.assert_allclose(found.cov, asked.cov, rtol=10 * DIGITS, atol=DIGITS * np.max(np.abs(asked.cov)))


@pytest.mark.parametrize(("first", "second"), [("int8", "int64"), ("int64", "float64"), ("float64", "int32"),
                                               ("uint64", "int16"), ("uint8", "uint32")])  # fmt: skip
@pytest.mark.parametrize(
    ("formula", "vcov"), [("y ~ x + g | g + z", "HC1"), ("y ~ x + factor(g) | factor(g) + z", "HC1"),
                          (QUESTION, "cluster(g)")]
)  # fmt: skip
def test_files_whose_numbers_have_other_types(
    first: str, second: str, formula: str, vcov: str, frame: pd.DataFrame, tmp_path: Path
) -> None:
    low = frame[:500].assign(g=frame.g % 5).astype({"g": first})
    high = frame[500:].assign(g=frame.g % 9 - (second[0] != "u") + (second == "float64") / 2).astype({"g": second})
    low.to_parquet(tmp_path / "a.parquet")
    high.to_parquet(tmp_path / "b.parquet")
    whole = pd.concat([low.astype({"g": "float64"}), high.astype({"g": "float64"})])
    if "factor" in formula and "float64" not in (first, second):
        whole = whole.astype({"g": "int64"})
    same(scale.fit(formula, tmp_path, vcov), whole, formula, vcov)


def test_numbers_that_no_common_type_holds(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame[:500].assign(g=frame.g[:500].astype("uint64") + np.uint64(2**63)).to_parquet(tmp_path / "a.parquet")
    frame[500:].to_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="not in range"):
        scale.fit(QUESTION, tmp_path, "cluster(g)")


def test_integers_beside_missing_values_are_not_rounded(frame: pd.DataFrame, tmp_path: Path) -> None:
    big = pd.Series(np.arange(len(frame)) + 2**60, dtype="Int64").where(frame.g > 2)
    frame.assign(big=big).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"beyond 2\*\*53"):
        scale.fit("y ~ x + log(big) | log(big) + z", tmp_path, "HC1")


@pytest.mark.parametrize("query", ["FROM t USING SAMPLE 600", "FROM t ORDER BY random() LIMIT 600",
                                   "SELECT y + random() AS y, x, w, z, g FROM t"])  # fmt: skip
@pytest.mark.parametrize("vcov", ["HC1", "HC3", "cluster(g)"])
def test_queries_that_give_other_rows_each_time(query: str, vcov: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "a.db")) as connection:
        connection.execute("CREATE TABLE t AS FROM frame")
    with pytest.raises(DataError, match="read different rows"):
        scale.fit(QUESTION, f"duckdb:{tmp_path / 'a.db'}?query={query}", vcov)
    shuffled = scale.fit(QUESTION, f"duckdb:{tmp_path / 'a.db'}?query=FROM t ORDER BY random()", vcov)
    same(shuffled, frame, QUESTION, vcov)


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_files_that_change_while_they_are_read(ending: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"

    def write(table: pd.DataFrame) -> None:
        getattr(table, f"to_{ending}")(path, index=False)

    write(frame)
    with pytest.raises(DataError, match=r"changed while|cannot be read"):
        scale.fit(QUESTION, path, "HC1", progress=lambda *_: write(frame.assign(y=frame.y + frame.z)))
    write(frame)
    kept = scale.fit(QUESTION, path, "HC1")
    write(frame.assign(y=frame.y + frame.z))
    with pytest.raises(DataError, match="changed while"):
        _ = kept.tests


def test_sums_of_other_values_are_not_gone_on_from(frame: pd.DataFrame, tmp_path: Path) -> None:
    path, sums = tmp_path / "a.parquet", tmp_path / "sums"
    frame.to_parquet(path)
    with duckdb.connect() as connection:
        for j, source in enumerate((pl.scan_parquet(path), connection.sql(f"FROM '{path}'"))):
            frame.to_parquet(path)
            first = scale.fit(QUESTION, source, "HC1", resume=f"{sums}{j}")
            again = scale.fit(QUESTION, source, "HC1", resume=f"{sums}{j}")
            assert (first.cov == again.cov).all()
            other = frame.assign(y=np.where(frame.index == 7, 0.5, frame.y))
            other.to_parquet(path)
            with pytest.raises(DataError, match="sums of other data"):
                scale.fit(QUESTION, source, "HC1", resume=f"{sums}{j}")


def test_changes_in_the_log_of_a_database_are_seen(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE t AS FROM frame")
    source = f"duckdb:{path}?table=t"
    scale.fit(QUESTION, source, "HC1", resume=tmp_path / "sums")
    known = path.stat()
    with duckdb.connect(str(path)) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown")
        connection.execute("UPDATE t SET y = y + z WHERE g = 3")
    assert path.with_name("a.db.wal").exists()
    os.utime(path, ns=(known.st_atime_ns, known.st_mtime_ns))
    with pytest.raises(DataError, match="sums of other data"):
        scale.fit(QUESTION, source, "HC1", resume=tmp_path / "sums")


def test_damaged_sums_give_an_error_or_the_same_bits(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_parquet(tmp_path / "a.parquet")
    sums = tmp_path / "sums"
    whole = scale.fit(QUESTION, tmp_path / "a.parquet", "cluster(g)", resume=sums)
    content, rng = sums.read_bytes(), np.random.default_rng(0)
    damaged = [content[:cut] for cut in (0, 10, len(content) // 2, len(content) - 1)]
    flips = zip(rng.integers(0, len(content), 60).tolist(), rng.integers(0, 8, 60).tolist(), strict=True)
    damaged += [content[:j] + bytes([content[j] ^ (1 << bit)]) + content[j + 1 :] for j, bit in flips]
    for one in damaged:
        sums.write_bytes(one)
        try:
            kept = resume.SumsFile(sums, "")
        except DataError:
            pass
        else:
            assert kept.get("") == (0, None)
        sums.write_bytes(one)
        try:
            found = scale.fit(QUESTION, tmp_path / "a.parquet", "cluster(g)", resume=sums)
        except DataError:
            continue
        assert (found.cov == whole.cov).all()


def test_a_folder_is_read_without_hidden_files_and_no_file_twice(frame: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "data" / "_old").mkdir(parents=True)
    for name in ("a.parquet", ".a.parquet", "_old/a.parquet"):
        frame.to_parquet(tmp_path / "data" / name)
    assert scale.fit(QUESTION, tmp_path / "data", "HC1").n == len(frame)
    (tmp_path / "link.parquet").symlink_to(tmp_path / "data" / "a.parquet")
    with pytest.raises(DataError, match="named twice"):
        scale.fit(QUESTION, [tmp_path / "data" / "a.parquet", tmp_path / "link.parquet"], "HC1")


@pytest.mark.parametrize("text", [" {}", "{} ", "-Inf", "18446744073709551614"])
def test_numbers_that_are_written_oddly_are_no_factor(text: str, frame: pd.DataFrame, tmp_path: Path) -> None:
    odd = frame.assign(g=[text.format(g) for g in frame.g])
    odd.to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(DataError, match="'g' holds numbers that some readers take for texts"):
        scale.fit("y ~ x + g | g + z", tmp_path / "a.csv", "HC1")
    same(scale.fit(QUESTION, tmp_path / "a.csv", "HC1"), frame, QUESTION, "HC1")
    odd["g"] = np.where(frame.g > 20, "k", odd.g)
    odd.to_csv(tmp_path / "a.csv", index=False)
    same(scale.fit("y ~ x + g | g + z", tmp_path / "a.csv", "HC1"), odd, "y ~ x + g | g + z", "HC1")


def test_lines_that_end_with_carriage_returns(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_csv(tmp_path / "a.csv", index=False, lineterminator="\r")
    with pytest.raises(DataError, match="carriage returns"):
        scale.fit(QUESTION, tmp_path / "a.csv", "HC1")
    frame.to_csv(tmp_path / "a.csv", index=False, lineterminator="\r\n")
    same(scale.fit(QUESTION, tmp_path / "a.csv", "HC1"), frame, QUESTION, "HC1")


def test_a_thread_begins_to_read_one_piece_ahead_and_no_more() -> None:
    begun: list[int] = []

    @dataclass(frozen=True)
    class Numbered:
        number: int

        def blocks(self) -> Iterator[Block]:
            begun.append(self.number)
            if self.number == 3:
                raise DataError("the fourth piece cannot be read")
            yield Block([np.full(2, float(self.number))])

    def part(blocks: Iterable[Block]) -> float:
        return float(sum(block.columns[0].sum() for block in blocks))

    sums = Here().sums(part, [Numbered(number) for number in range(5)])
    assert next(sums) == 0.0
    assert begun in ([0], [0, 1])
    assert [next(sums), next(sums)] == [2.0, 4.0]
    with pytest.raises(DataError, match="fourth"):
        next(sums)
    assert 4 not in begun
