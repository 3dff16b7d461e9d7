"""The comparison with other packages: measured, kept, compared and shown; and a slower engine is noticed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.benchmarks.peers import __main__ as command
from tests.benchmarks.peers import answers, check, processes, rounds, worlds
from tests.scripts import script

ROOT = Path(__file__).resolve().parents[1]
SMALL = worlds.Size("1e3", 1_000, 3, 4)
#: Every process that finds this on its path answers eight times for once.
SABOTAGE = """
import ivbridge
honest = ivbridge.fit
def fit(*arguments, **options):
    for _ in range(7):
        honest(*arguments, **options)
    return honest(*arguments, **options)
ivbridge.fit = fit
"""


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """The script that renders the comparison, as a module."""
    return script("docs/performance_peers.py")


def row(size: str, task: str, peer: str, **changes: Any) -> dict[str, Any]:
    """A row of the table."""
    base = {
        "size": size, "n": 1000, "k": 3, "l": 4, "task": task, "peer": peer, "version": "1", "status": "", "rounds": 5,
        "seconds": 1.0, "ratio": 40.0, "ratio_low": 38.0, "ratio_high": 42.0, "coef_gap": 1e-15, "se_gap": 1e-15,
        "test_gap": float("nan"), "extra_mb": 0.0, "data_mb": 100.0,
    }  # fmt: skip
    return {**base, **changes}


def kept(tmp_path: Path, rows: list[dict[str, Any]], page: ModuleType) -> pd.DataFrame:
    """The same rows, written and read."""
    pd.DataFrame(rows).reindex(columns=list(rounds.COLUMNS)).to_csv(tmp_path / page.TABLE, index=False)
    return page.read(tmp_path)


# ---- what is measured ------------------------------------------------------------------------------------------------


def test_data_written_are_the_data_read(tmp_path: Path) -> None:
    worlds.write(SMALL, tmp_path)
    frame = worlds.read(SMALL, tmp_path)
    assert list(frame) == ["w0", "z0", "z1", "x", "y", "g"]
    assert frame["g"].nunique() == SMALL.groups == 50
    assert not frame["g"].is_monotonic_increasing
    residual = frame["y"] - 1 - frame["w0"] - 0.5 * frame["x"]
    assert abs(np.corrcoef(residual, frame["x"])[0, 1]) > 0.3  # x is endogenous
    assert abs(np.corrcoef(residual, frame["z0"])[0, 1]) < 0.1


@pytest.mark.filterwarnings("ignore")  # of other packages, as in the comparison
@pytest.mark.parametrize("name", ["limit", "linearmodels", "pyfixest", "statsmodels", "ivmodels"])
def test_every_python_package_answers_the_same_question(name: str, tmp_path: Path) -> None:
    worlds.write(SMALL, tmp_path)
    frame = worlds.read(SMALL, tmp_path)
    from tests.benchmarks.peers.worker import run

    for task in rounds.ASKED.get(name, (worlds.HC1, worlds.CLUSTERED, worlds.DIAGNOSTICS)):
        ours, theirs = (run(answers.CALLS[one](frame, SMALL), task, 1) for one in ("ivbridge fast", name))
        for part in ("coef", "se", "tests"):
            gap = rounds._gap(theirs[part], ours[part])
            assert np.isnan(gap) or gap < rounds.AGREE, (task, part, gap)
        assert set(theirs["coef"]) == set(ours["coef"])
        assert (theirs["se"] is None) == (name in {"statsmodels", "ivmodels"})


@pytest.mark.parametrize("name", ["AER", "AER, vcovHC", "estimatr", "ivreg", "fixest"])
def test_r_answers_the_same_question_or_is_not_installed(name: str, tmp_path: Path) -> None:
    worlds.write(SMALL, tmp_path)
    frame = worlds.read(SMALL, tmp_path)
    from tests.benchmarks.peers.worker import run

    with processes.Worker(name) as worker:
        if not worker.version():
            assert name in {"ivreg", "fixest"}
            return
        worker.load(SMALL, tmp_path)
        for task in rounds.ASKED.get(name, (worlds.HC1, worlds.CLUSTERED)):
            ours, theirs = run(answers.ours(frame, SMALL), task, 1), worker.run(task)
            assert rounds._gap(theirs["coef"], ours["coef"]) < rounds.AGREE
            assert rounds._gap(theirs["se"], ours["se"]) < rounds.AGREE


def test_a_call_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    size = worlds.Size("1e5", 200_000, 10, 15)
    worlds.write(size, tmp_path)
    with processes.Worker("linearmodels") as worker:
        assert worker.version()
        worker.load(size, tmp_path)
        with pytest.raises(processes.StoppedError, match="too long"):
            worker.run(worlds.DIAGNOSTICS, seconds=0.2)
        assert not worker.alive


def test_memory_of_a_call_is_measured_over_the_data(tmp_path: Path) -> None:
    size = worlds.Size("1e5", 200_000, 10, 15)
    worlds.write(size, tmp_path)
    with processes.Worker("statsmodels") as worker:
        worker.version()
        worker.load(size, tmp_path)
        extra = worker.run(worlds.HC1)["extra"]
    matrices = 8 * size.n * (size.k + size.instruments) / 1e6  # X and Z at least, and not much more than ten of them
    assert matrices < extra < 10 * matrices


def test_gaps_are_relative_and_notice_missing_names() -> None:
    assert rounds._gap({"a": 1.0, "b": 2.02}, {"a": 1.0, "b": 2.0}) == pytest.approx(0.01)
    assert rounds._gap({"a": 1.0, "c": 2.0}, {"a": 1.0, "b": 2.0}) == float("inf")
    assert rounds._gap({"a": float("nan")}, {"a": 1.0}) == float("inf")
    assert np.isnan(rounds._gap(None, {"a": 1.0}))


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    turns = {
        "ivbridge fast": rounds.Turns({1: 1.0, 2: 2.0, 3: 4.0}, {"coef": {"x": 1.0}, "se": {"x": 1.0}}),
        "linearmodels": rounds.Turns({1: 30.0, 2: 20.0, 3: 80.0}, {"coef": {"x": 1.0}, "se": {"x": 1.1}}),
    }
    found = rounds._row(SMALL, "HC1", "linearmodels", turns, "7")
    assert (found["ratio"], found["ratio_low"], found["ratio_high"]) == (20.0, 10.0, 30.0)  # of medians: 15
    assert found["se_gap"] == pytest.approx(0.1)


# ---- a run that was stopped ------------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_with_the_same_options_only(tmp_path: Path) -> None:
    path, options = tmp_path / "unfinished.json", {"sizes": "tiny"}
    begun = command.Unfinished(path, options, fresh=False)
    begun.add([row("1e3", "HC1", "AER", n=1000, data_mb=0.04, seconds=0.012)])
    again = command.Unfinished(path, options, fresh=False)
    assert again.has("1e3", "HC1") and not again.has("1e3", "clustered")
    assert again.slow() == {("AER", "HC1"): pytest.approx(0.012 / 6000)}
    assert not command.Unfinished(path, {"sizes": "full"}, fresh=False).rows
    assert not command.Unfinished(path, options, fresh=True).rows
    os.utime(path, (0, 0))
    assert not command.Unfinished(path, options, fresh=False).rows


def test_data_of_a_killed_run_are_put_away(tmp_path: Path) -> None:
    place = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path
    left, used = (place / f"iv-peers-{pid}-test" for pid in (2**22 + 1, os.getpid()))  # no process has the one
    left.mkdir()
    used.mkdir()
    try:
        with rounds.data(SMALL) as folder:
            assert (folder / "columns").stat().st_size == 8 * SMALL.n * len(SMALL.columns)
        assert not left.exists() and not folder.exists() and used.exists()
    finally:
        used.rmdir()


def test_some_rows_measured_again_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    old = pd.DataFrame([row("1e3", "HC1", "AER"), row("1e5", "HC1", "AER")]).reindex(columns=list(rounds.COLUMNS))
    old.to_csv(tmp_path / "peers.csv", index=False)
    found = command.joined(tmp_path / "peers.csv", old.iloc[:1].assign(ratio=7.0))
    assert dict(zip(found["size"], found["ratio"], strict=True)) == {"1e5": 40.0, "1e3": 7.0}


# ---- the regression check --------------------------------------------------------------------------------------------


def test_a_ratio_is_worse_below_the_slack() -> None:
    stored = {("1e3", "HC1", "limit"): 0.5, ("1e3", "HC1", "linearmodels"): 20.0}
    assert check.slower({("1e3", "HC1", "limit"): 0.31, ("1e3", "HC1", "linearmodels"): 12.1}, stored, 0.6) == []
    (line,) = check.slower({("1e3", "HC1", "limit"): 0.29, ("1e3", "HC1", "linearmodels"): 40.0}, stored, 0.6)
    assert "limit" in line
    assert check.slower({("1e5", "HC1", "limit"): 0.001}, stored, 0.6) == []  # nothing kept


def test_a_benchmark_with_a_smallest_ratio_is_held_to_it() -> None:
    before = [{"what": "batch", "ratio": "200", "target": "≥ 150"}, {"what": "copy", "ratio": "1", "target": "≤ 1"}]
    assert check.worse([{"what": "batch", "ratio": 121.0}, {"what": "copy", "ratio": 0.1}], before, 0.6) == []
    assert check.worse([{"what": "batch", "ratio": 119.0}], before, 0.6) == ["batch: 119, kept is 200 (× 0.6)"]


def test_other_numbers_are_wrong_however_fast() -> None:
    assert check.disagreeing([row("1e3", "HC1", "AER"), row("1e3", "HC1", "limit", se_gap=float("nan"))]) == []
    (line,) = check.disagreeing([row("1e3", "HC1", "AER", se_gap=1e-3)])
    assert "AER has other numbers (se 1.0e-03)" in line


def checked(kept_at: Path, *more: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`make bench-check` at one small size."""
    places = [str(path)] if path else []
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*places, str(ROOT)])}
    arguments = ["--only", "1e3", "--kept", str(kept_at), "--budget", "0.3", "--slack", "0.35", *more]
    return subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.peers.check", *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.slow
def test_a_slower_engine_fails_the_check(tmp_path: Path) -> None:
    options = ["--only", "1e3", "--peers", "limit", "linearmodels", "--budget", "0.5", "--out", str(tmp_path)]
    assert command.main(options) == 0
    honest = checked(tmp_path / command.TABLE)
    assert honest.returncode == 0, honest.stdout + honest.stderr
    assert "4 ratios compared" in honest.stdout
    (tmp_path / "sabotage").mkdir()
    (tmp_path / "sabotage" / "sitecustomize.py").write_text(SABOTAGE, encoding="utf-8")
    slow = checked(tmp_path / command.TABLE, path=tmp_path / "sabotage")
    assert slow.returncode == 1, slow.stdout + slow.stderr
    assert "slower: 1e3, HC1: linearmodels takes" in slow.stdout


def test_the_check_fails_without_kept_ratios(tmp_path: Path) -> None:
    missing = checked(tmp_path / "none.csv")
    assert missing.returncode == 1
    assert "make bench-peers" in missing.stderr


@pytest.mark.slow
def test_the_whole_comparison_runs_at_small_sizes(tmp_path: Path, page: ModuleType) -> None:
    sizes = ["1e3", "many", "1e7"]
    assert command.main(["--sizes", "tiny", "--budget", "0.2", "--out", str(tmp_path), "--only", *sizes]) == 0
    table = page.read(tmp_path)
    assert list(dict.fromkeys(table["size"])) == sizes
    assert {size.name for size in worlds.SIZES} == {size.name for size in worlds.TINY} | {worlds.LOOP.name}
    assert set(table["peer"]) == set(processes.names())
    failed = table[(table["status"] != "") & (table["status"] != "not installed")]
    assert failed.empty, failed[["size", "task", "peer", "status"]]
    assert table[["coef_gap", "se_gap", "test_gap"]].max(axis=None) < rounds.AGREE
    assert not (tmp_path / "peers.unfinished.json").exists()


# ---- the page --------------------------------------------------------------------------------------------------------


def test_targets_are_met_missed_or_not_measured(page: ModuleType, tmp_path: Path) -> None:
    rows = [
        row("1e6", "HC1", "linearmodels", ratio=30.1),
        row("1e7", "HC1", "linearmodels", ratio=29.9),
        row("1e5", "HC1", "linearmodels", ratio=15.5),
        row("1e6", "HC1", "limit", ratio=1 / 1.51),
        row("1e7", "HC1", "limit", ratio=1 / 1.49),
        row("1e6", "HC1", "fixest", status="not installed", seconds=np.nan, ratio=np.nan, ratio_low=np.nan),
        row("1e6", "diagnostics", "linearmodels", status="stopped", seconds=np.nan, ratio=np.nan, ratio_low=151.0),
        row("1e7", "diagnostics", "linearmodels", status="stopped", seconds=np.nan, ratio=np.nan, ratio_low=149.0),
        row("1e7", "HC1", "ivbridge fast", extra_mb=5.1, data_mb=100.0),
    ]
    found = {(one.what, one.size): one.ok for one in page.results(kept(tmp_path, rows, page))}
    robust, bare = "linearmodels, HC1", "bare cross-products, HC1"
    assert [found[robust, size] for size in ("1e5", "1e6", "1e7", "many")] == [True, True, False, None]
    assert [found[bare, size] for size in ("1e6", "1e7")] == [False, True]
    assert found["fixest, 1 thread, HC1", "1e6"] is None
    diagnosed = [found["linearmodels, HC1 and full diagnostics", size] for size in ("1e6", "1e7")]
    assert diagnosed == [True, None]  # stopped later than the target, and earlier: the one says something
    assert found["extra memory over the columns used, HC1", "1e7"] is False


def test_the_exponent_is_the_slope_from_the_hundredth_part_on(page: ModuleType, tmp_path: Path) -> None:
    rows = [
        row(
            size, "HC1", "ivbridge fast", n=10**power, seconds=max(1e-9 * 10 ** (power * 1.2), 1e-2 if power < 5 else 0)
        )
        for size, power in (("growth 1e3", 3), ("growth 1e4", 4), ("growth 1e5", 5), ("growth 1e6", 6), ("1e7", 7))
    ]
    table = kept(tmp_path, rows, page)
    assert page.exponents(table) == {"ivbridge fast": pytest.approx(1.2)}
    (last,) = [one for one in page.results(table) if one.size == "growth"]
    assert last.ok is False


def test_the_table_and_the_text_show_what_is_missed(page: ModuleType, tmp_path: Path) -> None:
    rows = [
        row("1e6", "HC1", "linearmodels", ratio=12.0),
        row("1e6", "HC1", "AER", status="its process ended: error", seconds=np.nan, ratio=np.nan, ratio_low=np.nan),
        row("1e6", "HC1", "pyfixest", se_gap=1e-3),
    ]
    text = "\n".join(page.lines(kept(tmp_path, rows, page), tmp_path))
    assert "| linearmodels, HC1 | ≥ 30 (≥ 10 at 1,000; ≥ 15 at 1e5) |" in text
    assert "**12 no**" in text
    assert "its process ended: error" in text
    assert "**Other numbers than ours** have: pyfixest, 1e6 × (10, 15), HC1." in text


def test_every_line_of_a_chart_has_its_name(tmp_path: Path) -> None:
    plots = script("docs/performance_plots.py")
    n = [10**3, 10**5, 10**7]
    frames = {
        peer: pd.DataFrame(
            {"n": n, "seconds": [1e-3 * j, 1e-1 * j, 10.0 * j], "extra_mb": [0, j, 100 * j], "data_mb": n}
        )
        for j, peer in enumerate(processes.names(), start=1)
    }
    plots.draw(frames, tmp_path)
    for name in ("time.svg", "memory.svg"):
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert all(f">{plots.NAMES.get(peer, peer)}</text>" in text for peer in frames)
    before = (tmp_path / "time.svg").read_bytes()
    plots.draw(frames, tmp_path)
    assert (tmp_path / "time.svg").read_bytes() == before


def test_progress_is_one_line_a_row() -> None:
    line = command.shown(row("1e3", "HC1", "AER"))
    assert "1000.000 ms ×   40.000 (5 rounds)" in line and "\n" not in line
    assert json.dumps(row("1e3", "HC1", "AER"))
