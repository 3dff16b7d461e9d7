"""The R process: whatever R does, the caller gets an answer or a clear error, and the next call works."""

from __future__ import annotations

import asyncio
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
from typer.testing import CliRunner

import ivbridge
from ivbridge.cli import app
from ivbridge.engines import process
from ivbridge.engines.console import KEPT_BYTES
from ivbridge.engines.limits import MINIMUM_BYTES, memory_now, r_limits
from ivbridge.engines.process import RWorker, default_worker
from ivbridge.engines.tasks import to_thread
from ivbridge.errors import DataError, RDiedError, RError, RMemoryError, RTimeoutError, UnsupportedError

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


# ---- what R prints ------------------------------------------------------------------------------------------------


def test_output_is_captured_in_order_and_goes_nowhere_else(r: RWorker, capfd: pytest.CaptureFixture[str]) -> None:
    reply = r.call("ivb_chatter", lines=1000)
    lines = reply.output.splitlines()
    assert lines[:1000] == [f"line {i}" for i in range(1, 1001)]
    assert lines[1000:] == ['[1] "printed"', "from a subprocess", "to its standard error", "at the end"]
    assert capfd.readouterr() == ("", "")
    assert r.call("ivb_pid").output == ""


def test_output_of_c_code_belongs_to_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    with RWorker(scripts=[FAULTS]) as worker:
        assert worker.call("ivb_printf_c").output == "first\nsecond"


def test_output_is_any_bytes(r: RWorker) -> None:
    assert r.call("ivb_print", x="Zürich ≤ 数\0".rstrip("\0")).output == "Zürich ≤ 数"
    assert r.call("ivb_print_bytes").output == "not \N{REPLACEMENT CHARACTER} valid"


def test_a_flood_of_output_is_bounded(r: RWorker) -> None:
    output = r.call("ivb_flood", bytes=5_000_000).output
    assert output.startswith("begin\n")
    assert output.endswith("end\n")
    left_out = 5_000_000 + len("begin\n") + len("end\n") - KEPT_BYTES
    assert f"\n... {left_out} bytes left out ...\n" in output
    assert len(output) < KEPT_BYTES + 100


def test_errors_tell_what_was_printed(r: RWorker) -> None:
    with pytest.raises(RError) as failed:
        r.call("ivb_print_and", what="stop")
    assert failed.value.output == "so far\n"
    with pytest.raises(RTimeoutError) as late:
        r.call("ivb_print_and", timeout=0.5, what="loop")
    assert late.value.output == "so far\n"
    with pytest.raises(RDiedError, match="its last lines were: so far") as dead:
        r.call("ivb_print_and", what="quit")
    assert dead.value.output == "so far\n"


def test_remarks_are_warnings_and_the_end_of_the_output(r: RWorker) -> None:
    assert r.call("ivb_print", x="one\n\ntwo\n").remarks == ("R printed: one /  / two",)
    assert r.call("ivb_warn", text="mind").remarks == ("mind",)
    assert r.call("ivb_pid").remarks == ()


def test_a_sink_that_was_left_open_is_closed(r: RWorker) -> None:
    assert r.call("ivb_sink").output == ""
    assert r.call("ivb_print", x="heard").output == "heard"


def test_a_background_process_does_not_hold_the_answer(r: RWorker) -> None:
    begun = time.monotonic()
    r.call("ivb_background", seconds=8764)
    assert time.monotonic() - begun < 20  # far below 8764
    assert until(lambda: started("sleep", "8764"))
    r.close()
    assert until(lambda: not started("sleep", "8764"))


# ---- limits ------------------------------------------------------------------------------------------------------


def loop(worker: RWorker) -> str:
    """What the message of a timeout says of the limit."""
    with pytest.raises(RTimeoutError) as caught:
        worker.call("ivb_loop")
    return caught.value.message


def test_limits_of_a_block_reach_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IVBRIDGE_R_TIMEOUT", "0.3")
    with RWorker(scripts=[FAULTS]) as worker:
        assert "longer than 0.3 s" in loop(worker)
        with r_limits(timeout=0.2):
            assert "longer than 0.2 s" in loop(worker)
            with r_limits(memory_bytes=math.inf), r_limits(timeout=0.1):
                assert "longer than 0.1 s" in loop(worker)
            with ThreadPoolExecutor(1) as pool:  # another thread is outside the block
                assert "longer than 0.3 s" in pool.submit(loop, worker).result()
            assert "longer than 0.2 s" in asyncio.run(asyncio.to_thread(loop, worker))
        worker.timeout = 0.15
        with r_limits(timeout=60):
            assert "longer than 0.15 s" in loop(worker)


def test_a_limit_of_memory_starts_r_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with RWorker(scripts=[FAULTS]) as worker:
        free = worker.call("ivb_pid").value[0]
        with r_limits(memory_bytes=2e9):
            limited = worker.call("ivb_pid").value[0]
            with pytest.raises(RMemoryError, match=r"R ran out of memory: cannot allocate .*\. Do this: .*r_limits"):
                worker.call("ivb_allocate", n=4e8)
            assert worker.call("ivb_pid").value[0] == limited != free
            with pytest.raises(RDiedError, match=r"its memory limit was 2e\+09 bytes"):
                worker.call("ivb_quit", status=1)
        assert worker.call("ivb_allocate", n=4e8).value[0] == 4e8
    monkeypatch.setenv("IVBRIDGE_R_MEMORY", "2e9")
    with RWorker(scripts=[FAULTS]) as worker, pytest.raises(RMemoryError):
        worker.call("ivb_allocate", n=4e8)
    with RWorker(scripts=[FAULTS], memory_bytes=math.inf) as worker:
        assert worker.call("ivb_allocate", n=4e8).value[0] == 4e8


def test_an_error_without_a_message(r: RWorker) -> None:
    with pytest.raises(RError, match=r"R raised an error without a message\."):
        r.call("ivb_stop", text="")


def test_more_memory_than_can_be_counted_is_no_limit() -> None:
    with r_limits(memory_bytes=1e30):
        assert memory_now() is None
        with RWorker(scripts=[FAULTS]) as worker:
            assert worker.call("ivb_echo", x=1.5).value[0] == 1.5


def test_r_with_its_packages_starts_within_the_smallest_limit() -> None:
    with RWorker(memory_bytes=MINIMUM_BYTES) as worker:
        assert worker.call("ivb_provenance").value["r"][0]


def test_bad_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for seconds in (0, -1, math.nan):
        with pytest.raises(UnsupportedError, match="seconds above 0"):
            RWorker(scripts=[FAULTS], timeout=seconds)
        with pytest.raises(UnsupportedError, match="seconds above 0"), r_limits(timeout=seconds):
            pass
    for size in (0, -1, 1e8, math.nan):
        with pytest.raises(UnsupportedError, match=r"at least 1e\+09 bytes"):
            RWorker(scripts=[FAULTS], memory_bytes=size)
        with pytest.raises(UnsupportedError, match=r"at least 1e\+09 bytes"), r_limits(memory_bytes=size):
            pass
    for name, value, message in (
        ("IVBRIDGE_R_TIMEOUT", "soon", "IVBRIDGE_R_TIMEOUT is 'soon'.*a number"),
        ("IVBRIDGE_R_TIMEOUT", "0", "IVBRIDGE_R_TIMEOUT=0 was asked.*seconds above 0"),
        ("IVBRIDGE_R_MEMORY", "1000", "IVBRIDGE_R_MEMORY=1000 was asked.*at least"),
    ):
        monkeypatch.setenv(name, value)
        with RWorker(scripts=[FAULTS]) as worker, pytest.raises(UnsupportedError, match=message):
            worker.call("ivb_pid")
        monkeypatch.delenv(name)


def test_no_limit() -> None:
    with RWorker(scripts=[FAULTS], timeout=math.inf) as worker, r_limits(timeout=0.001):
        assert worker.call("ivb_sleep", seconds=0.1).value is None


def test_limits_reach_fit_and_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    data = ivbridge.load("kmenta").frame
    with r_limits(timeout=1e-4), pytest.raises(RTimeoutError, match=r"longer than 0.0001 s.*r_limits"):
        ivbridge.fit("Q ~ P + D | D + F + A", data, "classical", "r")
    command = ["fit", "Q ~ P + D | D + F + A", "--data", "kmenta", "--vcov", "HC1", "--engine", "r"]
    late = CliRunner().invoke(app, [*command, "--timeout", "1e-4"])
    assert (late.exit_code, "took longer than 0.0001 s" in late.output) == (2, True)
    refused = CliRunner().invoke(app, [*command, "--timeout", "0"])
    assert (refused.exit_code, "timeout=0.0 was asked" in refused.output) == (2, True)
    assert CliRunner().invoke(app, command).exit_code == 0


# ---- stopping it -------------------------------------------------------------------------------------------------


def test_the_next_r_starts_while_the_error_is_read(r: RWorker) -> None:
    r.call("ivb_pid")
    with pytest.raises(RDiedError):
        r.call("ivb_quit", status=1)
    replacement = r.pid
    assert replacement is not None
    assert r.call("ivb_pid").value[0] == replacement


def test_a_closed_worker_starts_nothing(r: RWorker) -> None:
    r.call("ivb_pid")
    closing = threading.Timer(0.3, r.close)
    closing.start()
    with pytest.raises(RDiedError, match=r"stopped during ivb_loop\(\): the worker was closed"):
        r.call("ivb_loop")
    closing.join()
    assert r.pid is None


def test_somebody_elses_timeout_is_not_ours(r: RWorker) -> None:
    def late(number: int, frame: object) -> None:
        raise TimeoutError("of the caller's own alarm")

    r.call("ivb_pid")
    previous = signal.signal(signal.SIGALRM, late)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        with pytest.raises(TimeoutError, match="own alarm"):
            r.call("ivb_loop")
    finally:
        signal.signal(signal.SIGALRM, previous)
    assert r.call("ivb_echo", x=2.5).value[0] == 2.5


def test_a_cancelled_task_asks_nothing_more(r: RWorker) -> None:
    asked: list[str] = []

    def stubborn() -> None:
        for name in ("ivb_loop", "ivb_pid"):
            try:
                r.call(name)
            except RDiedError as error:
                asked.append(error.message)

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await to_thread(stubborn)
        assert await to_thread(r.call, "ivb_echo", x=1.5)

    asyncio.run(main())
    assert asked[0].startswith("The R process was stopped during ivb_loop()")
    assert asked[1] == "R was not asked: the task that wanted to was cancelled."


def test_tasks_answer_and_fail_as_their_functions(r: RWorker) -> None:
    async def main() -> list[float]:
        with pytest.raises(RError, match="boom"):
            await to_thread(r.call, "ivb_stop", text="boom")
        replies = await asyncio.gather(*(to_thread(r.call, "ivb_echo", x=float(i)) for i in range(5)))
        return [reply.value[0] for reply in replies]

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


def test_r_is_to_end_first_where_memory_runs_out(r: RWorker) -> None:
    r.call("ivb_pid")
    assert Path(f"/proc/{r.pid}/oom_score_adj").read_text() == "500\n"


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
