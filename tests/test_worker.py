"""The R process: whatever R does, the caller gets an answer or a clear error, and the next call works."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ivbridge.engines import process
from ivbridge.engines.process import RWorker, default_worker
from ivbridge.errors import DataError, RDiedError, RError, RTimeoutError, UnsupportedError

FAULTS = Path(__file__).with_name("worker_faults.R")
ROOT = FAULTS.parent.parent


@pytest.fixture(scope="module")
def r() -> Iterator[RWorker]:
    with RWorker(scripts=[FAULTS], timeout=60) as worker:
        yield worker


def until(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether `condition` became true; the limit only bounds a failing test."""
    give_up = time.monotonic() + seconds
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.05)
    return condition()


def running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def started(*words: str) -> bool:
    """Whether some process has this command line."""
    wanted = "\0".join(words).encode()
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # ended meanwhile
            found.append(path.read_bytes().strip(b"\0"))
    return wanted in found


def directory_of(worker: RWorker) -> Path:
    return Path(worker.call("ivb_getwd").value[0]).parent


def script(text: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """A Python process of its own in which `R` is the worker class with the scripts of these tests."""
    start = f"from ivbridge.engines.process import RWorker\nfrom pathlib import Path\nFAULTS = Path({str(FAULTS)!r})\n"
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", start + textwrap.dedent(text), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


# ---- errors and conditions ---------------------------------------------------------------------------------------


def test_stop_keeps_class_message_and_call(r: RWorker) -> None:
    with pytest.raises(RError, match=r"^boom$") as caught:
        r.call("ivb_stop", text="boom")
    assert caught.value.classes == ("simpleError", "error", "condition")
    assert caught.value.call == "ivb_stop(text = text)"


def test_call_of_an_error_names_variables_not_their_values(r: RWorker) -> None:
    with pytest.raises(RError) as caught:
        r.call("ivb_stop_deep", data=np.zeros(1000))
    assert caught.value.call == "inner(data)"


def test_an_error_tells_the_warnings_before_it(r: RWorker) -> None:
    with pytest.raises(RError) as caught:
        r.call("ivb_warn_and_stop")
    assert caught.value.__notes__ == ["R warned before: look out"]


def test_custom_condition_class_is_kept(r: RWorker) -> None:
    with pytest.raises(RError, match="of its own class") as caught:
        r.call("ivb_stop_class")
    assert caught.value.classes == ("special", "error", "condition")
    assert caught.value.call == ""


def test_message_with_invalid_bytes(r: RWorker) -> None:
    with pytest.raises(RError, match="not <ff> valid"):
        r.call("ivb_stop_bytes")


def test_warnings_and_messages_come_back_in_order(r: RWorker) -> None:
    reply = r.call("ivb_signals")
    assert reply.value == ["done"]
    assert reply.warnings == ("first", "NAs introduced by coercion", "last")
    assert reply.messages == ("said\n",)


def test_a_flood_of_warnings_is_bounded(r: RWorker) -> None:
    assert len(r.call("ivb_many_warnings", n=20_000).warnings) == 1000


def test_warning_without_a_restart(r: RWorker) -> None:
    assert r.call("ivb_custom_warning").warnings == ("signalled",)


def test_jump_to_top_level_is_an_error(r: RWorker) -> None:
    with pytest.raises(RError, match="top level") as caught:
        r.call("ivb_abort")
    assert caught.value.classes[0] == "ivb_abort"
    assert r.call("ivb_echo", x="alive").value == ["alive"]


def test_only_public_functions_can_be_called(r: RWorker) -> None:
    for name in ("system", "not_public", "inner", "ivb_constant", "call_function", "quit", "ivb_nope", ""):
        with pytest.raises(UnsupportedError, match=r"is not a public function. Available: .*ivb_echo"):
            r.call(name)


def test_provenance_is_always_there(r: RWorker) -> None:
    found = r.call("ivb_provenance", packages=["AER", "no.such.package"]).value
    assert found["packages"]["AER"][0]
    assert found["packages"]["no.such.package"] == [None]
    assert found["utf8"][0]
    assert found["blas"][0]
    assert found["rng"] == ["Mersenne-Twister, Inversion, Rejection"]


def test_unsendable_values_name_the_place(r: RWorker) -> None:
    with pytest.raises(RError, match=r"value\$fit\$link is of R's type CLOSXP"):
        r.call("ivb_function_inside")
    with pytest.raises(RError, match="names are empty or duplicated"):
        r.call("ivb_bad_names")
    with pytest.raises(RError, match="not valid in its encoding"):
        r.call("ivb_bad_text")


def test_bad_argument_is_refused_before_r(r: RWorker) -> None:
    with pytest.raises(DataError, match="complex"):
        r.call("ivb_echo", x=1j)


# ---- faults ------------------------------------------------------------------------------------------------------


def test_readline_does_not_wait(r: RWorker) -> None:
    assert r.call("ivb_readline", timeout=20).value == [""]


def test_death_between_calls_goes_unnoticed(r: RWorker) -> None:
    r.call("ivb_pid")
    before = r.pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    assert until(lambda: r.pid is None)
    assert r.call("ivb_pid").value[0] == r.pid != before


def test_stopped_process_cannot_block_the_sender(r: RWorker) -> None:
    r.call("ivb_pid")
    assert r.pid is not None
    os.kill(r.pid, signal.SIGSTOP)
    # more than a socket's buffer holds, less than goes through a file
    with pytest.raises(RTimeoutError):
        r.call("ivb_echo", timeout=0.5, x=np.zeros(120_000))
    assert r.call("ivb_echo", x=2.5).value[0] == 2.5


def test_aer_and_ivreg_together_are_refused() -> None:
    with RWorker(scripts=[FAULTS]) as worker:
        with pytest.raises(RError, match="AER and ivreg are both loaded") as caught:
            worker.call("ivb_pretend_loaded", packages=["AER", "ivreg"])
        assert "one RWorker for each" in str(caught.value)
        assert not worker.call("ivb_provenance").value["clash"][0]


# ---- isolation ---------------------------------------------------------------------------------------------------


def test_hostile_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numpy", "json", "ivbridge", "rpy2"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(5)\n")
    monkeypatch.chdir(tmp_path)
    for name, value in {"LC_ALL": "C", "LANG": "xx", "LANGUAGE": "de", "R_DEFAULT_PACKAGES": "NULL"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    monkeypatch.setenv("PYTHONINSPECT", "1")
    with RWorker(scripts=[FAULTS]) as worker:
        assert worker.call("ivb_echo", x="Zürich ≤ 数").value == ["Zürich ≤ 数"]
        words = ["b", "A", "ä", "_", "a", "Z", "1", "数"]
        assert worker.call("ivb_sort", x=words).value == sorted(words)
        assert worker.call("ivb_signals").warnings[1] == "NAs introduced by coercion"
        names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"]
        assert worker.call("ivb_getenv", names=names).value == ["1", "1", "1"]


def test_directories_are_private(r: RWorker, tmp_path: Path) -> None:
    mine = Path.cwd()
    directory = directory_of(r)
    assert Path(r.call("ivb_tempdir").value[0]).is_relative_to(directory)
    r.call("ivb_setwd", path=str(tmp_path))
    assert r.call("ivb_getwd").value == [str(tmp_path)]
    assert Path.cwd() == mine
    r.close()
    assert not directory.exists()


def test_nothing_stays_in_shared_memory(r: RWorker) -> None:
    r.call("ivb_pid")
    assert r.pid is not None

    def open_files() -> list[int]:
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (os.getpid(), r.pid)]

    before = open_files()
    big = np.arange(500_000.0)
    assert np.array_equal(r.call("ivb_echo", x=big).value, big)
    assert until(lambda: open_files() == before)
    with pytest.raises(RDiedError):
        r.call("ivb_quit_after", x=big)
    assert not list(Path("/dev/shm").glob("*ivbridge*"))


def test_leaving_a_worker_open_at_exit() -> None:
    left = script("""
        worker = RWorker(scripts=[FAULTS])
        print(worker.call("ivb_pid").value[0], worker.call("ivb_getwd").value[0])
    """)
    out, err = left.communicate(timeout=60)
    pid, directory = out.split()
    assert (left.returncode, err) == (0, "")
    assert not running(int(pid))
    assert not Path(directory).exists()


# ---- use ---------------------------------------------------------------------------------------------------------


def test_nothing_starts_before_the_first_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    worker = RWorker(scripts=[FAULTS])
    assert worker.pid is None
    assert not list(tmp_path.iterdir())
    assert worker.call("ivb_getwd").value[0].startswith(str(tmp_path))
    worker.close()
    assert not list(tmp_path.iterdir())


def test_the_r_process_stays_small(r: RWorker) -> None:
    r.call("ivb_pid")
    mapped = Path(f"/proc/{r.pid}/maps").read_text()
    assert "libR.so" in mapped
    assert "/pandas/" not in mapped
    assert "/scipy/" not in mapped


def test_close_twice_and_use_again(r: RWorker) -> None:
    r.call("ivb_pid")
    r.close()
    r.close()
    assert r.pid is None
    assert r.call("ivb_echo", x=1.5).value[0] == 1.5


def test_each_thread_has_a_default_worker() -> None:
    with ThreadPoolExecutor(2, initializer=threading.Barrier(2).wait) as pool:
        workers = list(pool.map(lambda _: (time.sleep(0.1), default_worker())[1], range(2)))
    assert default_worker() is default_worker()
    assert len({id(worker) for worker in (*workers, default_worker())}) == 3


def test_default_worker_ends_with_its_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "RWorker", lambda: RWorker(scripts=[FAULTS]))
    pids: list[int] = []
    thread = threading.Thread(target=lambda: pids.append(int(default_worker().call("ivb_pid").value[0])))
    thread.start()
    thread.join()
    assert until(lambda: not running(pids[0]))


def test_one_worker_serves_many_threads(r: RWorker) -> None:
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda i: r.call("ivb_echo", x=float(i)).value[0], range(200)))
    assert values == [float(i) for i in range(200)]


def test_bad_timeouts() -> None:
    for seconds in (0, -1, math.nan):
        with pytest.raises(UnsupportedError, match="seconds above 0"):
            RWorker(scripts=[FAULTS], timeout=seconds)
    with RWorker(scripts=[FAULTS], timeout=math.inf) as worker:
        assert worker.call("ivb_echo", x=1.5).value[0] == 1.5


def test_missing_and_broken_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnsupportedError, match=r"no R script nope.R. Available: .*provenance.R"):
        RWorker(scripts=["nope.R"])
    broken = tmp_path / "broken.R"
    broken.write_text("ivb_f <- function( {\n")
    private = tmp_path / "private"
    private.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    worker = RWorker(scripts=[broken])
    for _ in range(2):
        with pytest.raises(RError, match="unexpected"):
            worker.call("ivb_f")
        assert not list(private.iterdir())
