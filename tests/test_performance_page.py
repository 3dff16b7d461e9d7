"""docs/performance.md is what its data say, and the data are what the benchmarks measure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from tests.scripts import script

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "docs" / "make_performance.py"


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """The script, as a module."""
    return script("docs/make_performance.py")


@pytest.fixture(scope="module")
def kept(page: ModuleType) -> pd.DataFrame:
    return pd.read_csv(ROOT / "docs" / page.DATA, keep_default_na=False, dtype={"item": str})


def _consistent(found: pd.DataFrame) -> None:
    """A row has met its target exactly if its ratio says so."""
    for row in found[found["target"] != ""].itertuples():
        sign, limit = row.target.split()
        assert row.ok == (row.ratio <= float(limit) if sign == "≤" else row.ratio >= float(limit)), row.what


def test_the_page_is_what_its_data_say(page: ModuleType) -> None:
    text = (ROOT / "docs" / page.PAGE).read_text(encoding="utf-8")
    assert page.render(ROOT / "docs") == text, "run: python docs/make_performance.py"


def test_every_benchmark_and_every_item_is_on_the_page(page: ModuleType, kept: pd.DataFrame) -> None:
    assert set(kept["benchmark"]) == set(page.benchmarks()), "run: make bench"
    assert set(kept["item"]) <= set(page.SECTIONS)


def test_a_target_is_met_where_the_ratio_says_so(kept: pd.DataFrame) -> None:
    _consistent(kept)


def test_the_page_counts_what_is_missed(page: ModuleType, kept: pd.DataFrame, tmp_path: Path) -> None:
    aims = kept["target"] != ""
    kept.assign(ok=False).to_csv(tmp_path / page.DATA, index=False)
    (tmp_path / page.MACHINE).write_text("what,value\nPython,3\n", encoding="utf-8")
    text = page.render(tmp_path)
    assert f"**0 of {aims.sum()} targets are met**; missed:\n" in text
    assert text.count("**no**") == aims.sum()
    assert all(f"- {what}" in text for what in kept.loc[aims, "what"])


def test_out_of_core_counts_among_the_targets(page: ModuleType, tmp_path: Path) -> None:
    runs = "who,round,rows,seconds,processor,peak\nours,0,5000,3.2,1,5e8\nbare,0,5000,2,1,2e9\nHC3,0,500,9,9,9e9\n"
    (tmp_path / "runs.csv").write_text(runs, encoding="utf-8")
    (rows,) = page.out_of_core(tmp_path / "runs.csv")
    assert rows["ratio"].tolist() == [1.6, 0.5]
    assert rows["ok"].tolist() == [False, True]
    assert page.out_of_core(tmp_path / "none.csv") == []


def test_fixed_effects_are_held_to_fixest_or_to_pyfixest_in_its_place() -> None:
    effects = script("tests/benchmarks/effects_speed.py")
    base = {"graph": "ring", "n": 10, "seconds": 2.0, "coef_gap": 1e-9, "note": ""}
    ours, theirs = {**base, "who": "fast", "seconds": 1.0, "ratio": 1.0}, {**base, "who": "pyfixest", "ratio": 9.0}
    broken = {**base, "who": "pyfixest LSMR", "seconds": float("nan"), "note": "ValueError"}
    (alone,) = effects.rows_of([ours, theirs, broken])
    assert (alone["target"], alone["ok"]) == ("≥ 10", False)
    assert "not installed" in alone["note"] and "LSMR fails" in alone["note"]
    rows = effects.rows_of([ours, theirs, {**base, "who": "fixest, 1 thread", "ratio": 11.0}])
    assert [(row["target"], row["ok"]) for row in rows] == [("", True), ("≥ 10", True)]


def test_profiles_are_tables_with_shares(page: ModuleType, kept: pd.DataFrame, tmp_path: Path) -> None:
    kept.to_csv(tmp_path / page.DATA, index=False)
    (tmp_path / page.MACHINE).write_text("what,value\nPython,3\n", encoding="utf-8")
    (tmp_path / page.PARTS).mkdir()
    profile = "engine,step,seconds,share\nfast,first pass,0.0301,0.62\nfast,second pass,1.5,0.38\nnative,copies,2,1\n"
    (tmp_path / page.PARTS / "profiles.csv").write_text(profile, encoding="utf-8")
    text = page.render(tmp_path)
    lines = ["### fast", "", "| step | seconds | share |", "|---|---|---|", "| first pass | 30.1 ms | 62% |"]
    assert "\n".join([*lines, "| second pass | 1.5 s | 38% |"]) in text
    assert "### native" in text


def test_machine_and_versions_are_named(page: ModuleType) -> None:
    named = pd.read_csv(ROOT / "docs" / page.MACHINE, dtype=str)
    assert {"processor", "memory", "Python", "R", "AER", "sandwich", "linearmodels"} <= set(named["what"])
    assert named["value"].str.len().gt(0).all()


@pytest.mark.slow
def test_all_benchmarks_run_at_a_small_size(page: ModuleType, tmp_path: Path) -> None:
    environment = {**os.environ, "IVBRIDGE_BENCH_ROWS": "2000", "IVBRIDGE_BENCH_FITS": "20"}
    command = [sys.executable, str(SCRIPT), "--measure", "--out", str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / page.DATA, keep_default_na=False, dtype={"item": str})
    _consistent(found)
    assert set(found["benchmark"]) == set(page.benchmarks())
    assert (tmp_path / page.PAGE).read_text(encoding="utf-8") == page.render(tmp_path)
