"""Monte Carlo studies: the same table however it was made, nothing lost when it is killed, coverage that is right."""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ivbridge import study
from ivbridge.errors import DataError, DesignError
from ivbridge.journal import Journal, described
from ivbridge.study import Method, Outcome

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Mean:
    """n draws from N(truth, 1)."""

    name: str = "mean"
    truth: float = 3.0

    def draw(self, n: int, seed: int) -> Sample:
        """Independent values."""
        return Sample(self.truth + np.random.default_rng(seed).standard_normal(n), self.truth)


@dataclass(frozen=True)
class Sample:
    values: np.ndarray
    truth: float


def mean_and_median(draw: Sample, seed: int) -> tuple[Outcome, Outcome]:
    """The mean with its standard error; the median with the same one, which is too small by √(π/2)."""
    se = draw.values.std(ddof=1) / np.sqrt(len(draw.values))
    return study.outcome(draw.values.mean(), se, selected=1), study.outcome(np.median(draw.values), se, selected=seed)


def sometimes(draw: Sample, seed: int) -> tuple[Outcome]:
    """No estimate for every third seed."""
    if seed % 3 == 0:
        raise DesignError("nothing was selected")
    return (Outcome(float(draw.values[0]), covers=True),)


def whole_matrix(draw: Sample, _seed: int) -> tuple[Outcome]:
    """A number whose last bits depend on how many threads add it up."""
    matrix = np.outer(draw.values, draw.values[::-1]) + np.eye(len(draw.values))
    return (Outcome(float(np.linalg.slogdet(matrix @ matrix.T)[1])),)


def threads(_draw: Sample, _seed: int) -> tuple[Outcome]:
    return (Outcome(float(os.environ["OMP_NUM_THREADS"]), float(os.environ["OPENBLAS_NUM_THREADS"])),)


def dies(_draw: Sample, seed: int) -> tuple[Outcome]:
    if seed == 4:
        os._exit(1)
    return (Outcome(1.0),)


def dies_once(path: str, _draw: Sample, seed: int) -> tuple[Outcome]:
    if seed == 4 and not Path(path).exists():
        Path(path).touch()
        os._exit(1)
    return (Outcome(1.0),)


def faulty(_draw: Sample, _seed: int) -> tuple[Outcome]:
    raise ZeroDivisionError("a fault of the method")


def slow(draw: Sample, _seed: int) -> tuple[Outcome]:
    time.sleep(0.1)
    return (Outcome(float(draw.values[0])),)


def patient(_draw: Sample, seed: int) -> tuple[Outcome]:
    time.sleep(0 if seed < 3 else 300)
    return (Outcome(1.0),)


BOTH = Method(("mean", "median"), mean_and_median)


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """The table without the one column that differs from run to run."""
    return table.drop(columns="seconds")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return study.run(Mean(), (BOTH, Method(("sometimes",), sometimes)), 600, n=50, workers=1)


def test_one_row_for_each_scenario_method_and_seed_in_that_order(table: pd.DataFrame) -> None:
    assert list(table["method"].unique()) == ["mean", "median", "sometimes"]
    assert table["seed"].tolist() == [*range(1, 601)] * 3
    assert (table["truth"] == 3.0).all()
    expected = Mean().draw(50, 17).values
    row = table.query("method == 'mean' and seed == 17").iloc[0]
    assert row["estimate"] == expected.mean()
    # 1.959963984540054 is qnorm(0.975) as R prints it with 16 digits
    half = 1.959963984540054 * expected.std(ddof=1) / np.sqrt(50)
    assert row["conf.high"] - row["estimate"] == pytest.approx(half, rel=1e-12)  # one multiplication, one subtraction


def test_coverage_of_a_known_estimator(table: pd.DataFrame) -> None:
    """The mean covers 95 %; the median with the mean's standard error covers P(|N(0, π/2)| < 1.96) = 88.2 %."""
    found = study.summary(table).set_index("method")
    # a t(49) statistic lies within ±1.96 with probability 0.9443; the median's 0.875 is of the same kind: three
    # Monte Carlo standard errors of 600 draws
    assert found.loc["mean", "coverage"] == pytest.approx(0.944, abs=3 * 0.0094)
    assert found.loc["median", "coverage"] == pytest.approx(0.878, abs=3 * 0.0135)
    share = found.loc["mean", "coverage"]
    assert found.loc["mean", "coverage.se"] == pytest.approx(np.sqrt(share * (1 - share) / 600), rel=1e-12)
    assert abs(found.loc["mean", "bias"]) < 3 / np.sqrt(50 * 600)
    # the median of 600 means has the standard error 1.253/√50/√600 = 0.0072: four of them
    assert found.loc["mean", "median"] == pytest.approx(3.0, abs=0.03)
    assert found.loc[["mean", "median"], "selected"].tolist() == [1.0, 300.5]


def test_draws_without_an_estimate_are_counted_and_say_why(table: pd.DataFrame) -> None:
    found = study.summary(table).set_index("method").loc["sometimes"]
    assert found["missing"] == pytest.approx(1 / 3)
    assert found["coverage"] == 1.0  # of the 400 draws that have an answer
    assert np.isnan(found["selected"])
    notes = table.query("method == 'sometimes'")["note"]
    assert notes.unique().tolist() == ["", "DesignError: nothing was selected"]


def test_the_number_of_processes_changes_no_bit() -> None:
    methods = (BOTH, Method(("whole",), whole_matrix))
    one, two = (study.run([Mean(), Mean("far", 9.0)], methods, range(5, 11), 300, workers=w) for w in (1, 2))
    pd.testing.assert_frame_equal(numbers(one), numbers(two), check_exact=True)


def test_processes_compute_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    found = study.run(Mean(), [Method(("threads",), threads)], 2, 50, workers=1)
    assert found[["estimate", "std.error"]].to_numpy().tolist() == [[1.0, 1.0]] * 2
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "OPENBLAS_NUM_THREADS" not in os.environ


def test_a_study_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    path, calls = tmp_path / "study.jsonl", []
    study.run(Mean(), [BOTH], range(1, 5), 50, path, 1)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]) + lines[-1][:20])  # the last line was being written
    found = study.run(Mean(), [BOTH], range(1, 7), 50, path, 1, lambda *now: calls.append(now[:2]))
    assert calls[0] == (3, 6)  # seed 4 lacks one of its two answers
    assert calls[-1] == (6, 6)
    whole = study.run(Mean(), [BOTH], range(1, 7), 50, workers=1)
    pd.testing.assert_frame_equal(numbers(found), numbers(whole), check_exact=True)
    before = path.read_bytes()
    study.run(Mean(), [BOTH], range(1, 7), 50, path, 1)
    assert path.read_bytes() == before


def test_methods_can_be_added_to_a_file(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    study.run(Mean(), [BOTH], 3, 50, path, 1)
    size = len(path.read_text())
    found = study.run(Mean(), [BOTH, Method(("sometimes",), sometimes)], 3, 50, path, 1)
    assert found["method"].value_counts().to_dict() == {"mean": 3, "median": 3, "sometimes": 3}
    added = path.read_text()[size:]
    assert "median" not in added


def test_nothing_is_lost_when_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    code = (
        "from pathlib import Path\nfrom ivbridge import study\nimport test_study as t\n"
        "if __name__ == '__main__':\n"
        f"    study.run(t.Mean(), [study.Method(('slow',), t.slow)], 600, 50, Path({str(path)!r}), 2)\n"
    )
    script = tmp_path / "killed.py"
    script.write_text(code)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    running = subprocess.Popen([sys.executable, str(script)], env=env, start_new_session=True)
    deadline = time.monotonic() + 60
    while (not path.exists() or path.read_bytes().count(b"\n") < 5) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.kill()
    running.wait()
    kept = path.read_bytes().count(b"\n") - 1
    assert kept >= 4
    assert no_process_left(running.pid)
    calls: list[tuple[int, int]] = []
    study.run(Mean(), [Method(("slow",), slow)], kept + 2, 50, path, 2, lambda *now: calls.append(now[:2]))
    assert calls[0][0] >= kept - 2  # two processes: at most two of the seeds that were done lie beyond the ones asked


def test_an_interrupt_does_not_wait_for_what_is_being_computed(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"

    def interrupted(done: int, _total: int, _what: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        study.run(Mean(), [Method(("patient",), patient)], 9, 50, path, 2, interrupted)
    assert time.monotonic() - start < 150  # the computation would take 300 seconds
    assert path.read_bytes().count(b"\n") == 3


def no_process_left(session: int) -> bool:
    """Whether the processes that the killed one had started end within ten seconds."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    os.killpg(session, signal.SIGKILL)
    return False


def test_another_study_in_the_same_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    study.run(Mean(), [BOTH], 2, 50, path, 1)
    with pytest.raises(DataError, match="another scenario mean"):
        study.run(Mean(truth=4.0), [BOTH], 2, 50, path, 1)
    with pytest.raises(DataError, match="another scenario mean"):
        study.run(Mean(), [BOTH], 2, 60, path, 1)
    with pytest.raises(DataError, match="another method mean; median"):
        study.run(Mean(), [Method(("mean", "median"), functools.partial(mean_and_median))], 2, 50, path, 1)


def test_a_file_that_is_no_study_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    for content in ("my notes\nand more\n", "[1, 2]\n"):
        path.write_text(content)
        with pytest.raises(DataError, match=r"notes\.txt is no file of a study"):
            study.run(Mean(), [BOTH], 2, 50, path, 1)
        assert path.read_text() == content
    study.run(Mean(), [BOTH], 1, 50, tmp_path / "study.jsonl", 1)
    whole = (tmp_path / "study.jsonl").read_text()
    for line, message in (("and more", r"Line 4 of .*notes\.txt cannot be read"), ("[1, 2]", "Line 4 .* no row")):
        path.write_text(f"{whole}{line}\n")
        with pytest.raises(DataError, match=message):
            study.run(Mean(), [BOTH], 2, 50, path, 1)


def test_two_studies_cannot_write_to_one_file(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    with Journal.opened(path, {}), pytest.raises(DataError, match="Another process writes"):
        study.run(Mean(), [BOTH], 2, 50, path, 1)


def test_numbers_survive_the_file(tmp_path: Path) -> None:
    rows = [{"seed": 1, "a": 0.1 + 0.2, "b": float("nan"), "c": float("-inf"), "d": None, "e": "é\n"}]
    with Journal.opened(tmp_path / "j", {"x": "1"}) as journal:
        journal.append(rows)
    with Journal.opened(tmp_path / "j", {"x": "1"}) as journal:
        assert json.dumps(journal.rows) == json.dumps(rows)


def test_a_process_that_dies_is_replaced_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "study.jsonl"
    found = study.run(Mean(), [Method(("dies",), dies), BOTH], 6, 50, path, 2).set_index(["method", "seed"])
    notes = found["note"]
    assert notes[notes != ""].index.tolist() == [("dies", 4), ("mean", 4), ("median", 4)]
    assert notes["dies", 4].startswith("EngineError: The Python process died over it.")
    assert found.query("seed != 4")["estimate"].notna().all()
    assert study.summary(found.reset_index())["missing"].tolist() == pytest.approx([1 / 6] * 3)
    assert '"seed": 4' not in path.read_text()


def test_a_process_that_dies_once_has_a_second_try(tmp_path: Path) -> None:
    once = functools.partial(dies_once, str(tmp_path / "died"))
    found = study.run(Mean(), [Method(("once",), once)], 6, 50, workers=2)
    assert (tmp_path / "died").exists()
    assert found["estimate"].tolist() == [1.0] * 6


def test_a_fault_of_a_method_is_no_missing_estimate() -> None:
    with pytest.raises(ZeroDivisionError, match="fault of the method"):
        study.run(Mean(), [Method(("faulty",), faulty)], 2, 50, workers=1)


def test_empty_and_repeated_names_are_refused() -> None:
    with pytest.raises(DataError, match="0 methods"):
        study.run(Mean(), [], 2)
    with pytest.raises(DataError, match="'mean' is named twice"):
        study.run(Mean(), [BOTH, Method(("mean",), sometimes)], 2)


def test_descriptions_tell_things_apart() -> None:
    assert described(Mean()) == "Mean(name='mean', truth=3.0)"
    assert described(functools.partial(sometimes, seed=3)) == f"{__name__}.sometimes(seed=3)"
    assert described(("a", 1)) == "('a', 1)"


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal.opened(path, {}) as journal:
        journal.append([{"row": 1}])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 5, hard))  # bytes: room for half of the next row
    try:
        with Journal.opened(path, {}) as journal, pytest.raises(DataError, match=r"j cannot be written: .*make room"):
            journal.append([{"row": 2}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    with Journal.opened(path, {}) as journal:
        assert journal.rows == [{"row": 1}]
        journal.append([{"row": 2}])
    with Journal.opened(path, {}) as journal:
        assert journal.rows == [{"row": 1}, {"row": 2}]
