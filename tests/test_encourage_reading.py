"""Users from files: every format gives the same columns in one byte a cell, and clear errors; the command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import ivbridge
from ivbridge import cli_encourage
from ivbridge.cli import app
from ivbridge.encouragement.report import EncourageReport
from ivbridge.errors import DataError, UnsupportedError

OTHERS = ("retained", "reviewed", "tenure")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """As a csv gives them back: test_3 has missing values, test_2 is logical, test_4 both."""
    frame = ivbridge.simulated_users(900, 4, seed=2).frame
    frame["test_2"] = frame["test_2"] == 1
    frame["test_3"] = frame["test_3"].astype("Int8").mask(frame.index < 400)
    frame["test_4"] = (frame["test_4"] == 1).astype("boolean").mask(frame.index % 7 == 0)
    frame["retained"] = (frame["retained"] == 1).astype("boolean").mask(frame.index == 5)
    return frame.assign(unused="text")


def write(frame: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=200)
    elif path.suffix == ".feather":
        frame.to_feather(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in path.name else ",")
    return path


@pytest.mark.parametrize("name", ["users.csv", "users.tsv", "users.csv.gz", "users.parquet"])
@pytest.mark.parametrize("rows", [None, 97, 1])
def test_every_format_and_block_gives_the_same(
    frame: pd.DataFrame, tmp_path: Path, name: str, rows: int | None
) -> None:
    some = frame.head(300) if rows == 1 else frame
    read = ivbridge.read_users(write(some, tmp_path / name), "test_*", OTHERS, rows=rows)
    assert list(read.columns) == [*OTHERS, "test_1", "test_2", "test_3", "test_4"]
    assert [str(read[f"test_{j}"].dtype) for j in (1, 2, 3, 4)] == ["int8", "int8", "Int8", "Int8"]
    for j in (1, 2, 3, 4):
        given = some[f"test_{j}"].astype("Int8").reset_index(drop=True)
        pd.testing.assert_series_equal(read[f"test_{j}"].astype("Int8"), given, check_index_type=False)
    np.testing.assert_array_equal(read["tenure"], some["tenure"])
    np.testing.assert_array_equal(
        read["retained"].astype(float), some["retained"].astype("Float64").to_numpy(float, np.nan)
    )


def test_other_formats_are_read_whole(frame: pd.DataFrame, tmp_path: Path) -> None:
    a = ivbridge.read_users(write(frame, tmp_path / "users.feather"), "test_*", OTHERS)
    b = ivbridge.read_users(write(frame, tmp_path / "users.csv"), "test_*", OTHERS)
    found = [ivbridge.encourage(one, "retained", "reviewed", "test_[12]").to_frame() for one in (a, b)]
    pd.testing.assert_frame_equal(*found)
    assert ivbridge.read_users("card", "nearc*", ("lwage", "educ"))["nearc4"].isin((0, 1)).all()


def test_other_columns_by_pattern(frame: pd.DataFrame, tmp_path: Path) -> None:
    read = ivbridge.read_users(write(frame, tmp_path / "users.csv"), "t*", ("retained", "reviewed", "ten*", "nothing"))
    assert set(read) == {"retained", "reviewed", "tenure", "test_1", "test_2", "test_3", "test_4"}


def test_experiments_take_one_byte_a_cell(frame: pd.DataFrame, tmp_path: Path) -> None:
    read = ivbridge.read_users(write(frame, tmp_path / "users.csv"), ["test_1", "test_2"], ("reviewed",))
    assert read[["test_1", "test_2"]].memory_usage(index=False).tolist() == [900, 900]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        ("exp_*", "No column matches 'exp_\\*'"), ("unused", "'unused' holds text, not 0 and 1"),
        ("tenure", "'tenure' holds .*, not 0 and 1"),
    ],
)  # fmt: skip
def test_what_is_no_experiment(frame: pd.DataFrame, tmp_path: Path, suffix: str, patterns: str, message: str) -> None:
    path = write(frame, tmp_path / f"users.{suffix}")
    with pytest.raises(DataError, match=message):
        ivbridge.read_users(path, patterns, ("retained", "reviewed"))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no file"):
        ivbridge.read_users(tmp_path / "users.csv", "test_*", OTHERS)
    (tmp_path / "empty.csv").write_text("retained,test_1\n", encoding="utf-8")
    with pytest.raises(DataError, match="has no rows"):
        ivbridge.read_users(tmp_path / "empty.csv", "test_*", OTHERS)
    (tmp_path / "bad.parquet").write_text("no", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        ivbridge.read_users(tmp_path / "bad.parquet", "test_*", OTHERS)
    (tmp_path / "twice.csv").write_text("test_1,test_1\n0,1\n", encoding="utf-8")
    with pytest.raises(DataError, match="columns with the same name"):
        ivbridge.read_users(tmp_path / "twice.csv", "test_*", OTHERS)
    (tmp_path / "latin.csv").write_bytes(b"test_1,caf\xe9\n0,1\n")
    with pytest.raises(DataError, match="not UTF-8"):
        ivbridge.read_users(tmp_path / "latin.csv", "test_*", OTHERS)


@pytest.fixture(scope="module")
def csv(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(frame, tmp_path_factory.mktemp("users") / "users.csv")


class TestCommand:
    def invoke(self, *arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["encourage", *arguments], env={"COLUMNS": "80"})
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    def test_it_prints_the_summary_and_writes_reports(self, csv: Path, tmp_path: Path) -> None:
        reports = [tmp_path / f"r.{suffix}" for suffix in ("html", "md", "json")]
        written = [part for report in reports for part in ("--report", str(report))]
        code, out, err = self.invoke(
            str(csv), "--outcome", "retained", "--behavior", "reviewed", "--controls", "mobile,tenure", *written
        )
        assert (code, err) == (0, "")
        names = ("retained", "reviewed", "mobile", "tenure")
        users = ivbridge.read_users(csv, "test_*", names)
        report = ivbridge.encourage(users, "retained", "reviewed", controls=["mobile", "tenure"])
        assert out.startswith(report.summary())
        assert max(map(len, report.summary().splitlines())) <= 80
        assert EncourageReport.from_json(reports[2].read_text(encoding="utf-8")).to_json() == report.to_json()
        assert reports[0].read_text(encoding="utf-8") == report.to_html()
        assert reports[1].read_text(encoding="utf-8") == report.to_markdown()
        assert out.count("report: ") == 3

    def test_json_is_one_object(self, csv: Path) -> None:
        code, out, _ = self.invoke(str(csv), "-y", "retained", "-x", "reviewed", "-z", "test_1", "--json")
        tree = json.loads(out)
        assert (code, tree["type"], len(tree["experiments"])) == (0, "EncourageReport", 1)

    def test_check_asks_r(self, csv: Path) -> None:
        asked = ("-y", "retained", "-x", "reviewed", "-z", "test_1", "-z", "test_2", "--check", "--seeds", "0")
        code, out, _ = self.invoke(str(csv), *asked)
        assert code == 0
        assert "R and Python, LASSO: ROUNDING" in out
        assert "R and Python, pooled estimate: ROUNDING" in out

    def test_shares(self, csv: Path) -> None:
        asked = (str(csv), "-y", "retained", "-x", "reviewed", "-z", "test_1", "--json")
        _, out, _ = self.invoke(*asked, "--share", "test_1=0.9")
        one = json.loads(out)["experiments"][0]
        assert one["designed"] == 0.9 and one["sample_ratio"]["p_value"] < 1e-10
        assert cli_encourage.share_of(["0.4"]) == 0.4
        assert cli_encourage.share_of([]) == 0.5
        assert cli_encourage.share_of(["a=b=0.4", "c=.1"]) == {"a=b": 0.4, "c": 0.1}
        for wrong in (["half"], ["0.4", "0.5"], ["a=half"]):
            with pytest.raises(UnsupportedError, match="--share"):
                cli_encourage.share_of(wrong)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (("-y", "kept"), "no column 'kept'"), (("-z", "exp_*"), "No column matches"),
            (("--report", "r.pdf"), "A report cannot be r.pdf"), (("--report", "/nowhere/r.html"), "no folder"),
            (("--vcov", "HC4"), "cannot compute HC4"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_run_ends_with_2(self, csv: Path, changes: tuple[str, str], message: str) -> None:
        code, out, err = self.invoke(
            str(csv), "-x", "reviewed", *(() if "-y" in changes else ("-y", "retained")), *changes
        )
        assert (code, out) == (2, "")
        assert message in err
