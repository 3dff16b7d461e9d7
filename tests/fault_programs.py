"""Faults that end or interrupt Python itself, each in a Python of its own; as `fault_cases`, which has the others."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pty
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fault_cases import SCRIPT, SHORT, Outcome, Place, surroundings

__all__ = ["PROGRAMS", "Program", "ran"]

ROOT = Path(__file__).resolve().parent.parent
#: Bounds a failing run only.
PATIENCE = 30.0

START = """
import json, os, sys, threading, time
from ivbridge.engines.process import RWorker
worker = RWorker(scripts=[{script!r}])
def said(**facts): print(json.dumps(facts), flush=True)
said(r=worker.pid if worker.call("ivb_pid") else 0, python=os.getpid())
"""
#: Makes the terminal that is standard input the controlling one, as a shell does, so that Ctrl-C is a signal.
TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-q", "-i", "-c", sys.argv[1]])
"""


@dataclass(frozen=True)
class Program:
    """What happens to a Python that asks R, how, and what comes of it.

    ``slow`` ones take long, or differ little from another one.
    """

    name: str
    how: str
    error: str
    run: Callable[[Place], tuple[str, float, float]]  # error, seconds to it, seconds of the next call
    slow: bool = False


def ran(program: Program) -> Outcome:
    """Run `program`, and look at what is left."""
    with surroundings() as place:
        error, seconds, next_seconds = program.run(place)
        return Outcome(error, "", seconds, False, next_seconds, *place.left())


@contextlib.contextmanager
def python(place: Place, code: str, folder: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """A Python in `folder` with a worker called ``worker`` and R running, then `code`."""
    text = START.format(script=str(SCRIPT)) + textwrap.dedent(code)
    forks = "ignore:This process:DeprecationWarning"  # from 3.12 on Python dislikes what one of the programs does
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-W", forks, "-c", text], env=environment(place), cwd=folder,
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    ) as started:  # fmt: skip
        # copies of it too: they hold its output open
        patience = threading.Timer(PATIENCE, os.killpg, (started.pid, signal.SIGKILL))
        patience.start()
        try:
            yield started
        finally:
            patience.cancel()
            started.kill()


def environment(place: Place) -> dict[str, str]:
    """For a Python whose R leaves its traces in `place`."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "TMPDIR": str(place.folder)}


def facts(started: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line that the program says."""
    assert started.stdout is not None
    found: dict[str, Any] = json.loads(started.stdout.readline())
    return found


def killed(call: str) -> Callable[[Place], tuple[str, float, float]]:
    """Python is killed in the middle of `call`; "seconds" are those until everything that it started is gone."""

    def run(place: Place) -> tuple[str, float, float]:
        with python(place, call) as started:
            facts(started)
            time.sleep(SHORT)
            begun = time.monotonic()
            started.kill()
            return "none", place.gone() - begun, math.nan

    return run


def killed_at_start(place: Place) -> tuple[str, float, float]:
    """Python is killed while R starts."""
    with python(place, "said(); RWorker(scripts=[]).call('ivb_provenance')") as started:
        facts(started)
        facts(started)
        time.sleep(0.1)
        begun = time.monotonic()
        started.kill()
        return "none", place.gone() - begun, math.nan


def left(place: Place) -> tuple[str, float, float]:
    """The main thread ends while another one asks R."""
    code = f"""
        threading.Thread(target=worker.call, args=("ivb_loop",), daemon=True).start()
        time.sleep({SHORT})
        said(event=time.monotonic())
    """
    with python(place, code) as started:
        facts(started)
        event = facts(started)["event"]
        assert started.wait(PATIENCE) == 0
        return "none", place.gone() - event, math.nan


def forked(place: Place) -> tuple[str, float, float]:
    """A copy is made by fork() while another thread asks R; both go on asking, each its own R."""
    code = f"""
        waiting = threading.Thread(target=worker.call, args=("ivb_sleep",), kwargs=dict(seconds={3 * SHORT}))
        waiting.start()
        time.sleep({SHORT} / 4)
        mine, begun = worker._child.process.pid, time.monotonic()
        copy = os.fork()
        if copy == 0:
            other = int(worker.call("ivb_pid").value[0])
            said(other=other, seconds=time.monotonic() - begun)
            worker.close()
            os._exit(0)
        os.waitpid(copy, 0)
        waiting.join()
        said(mine=mine, still=int(worker.call("ivb_pid").value[0]))
    """
    with python(place, code) as started:
        facts(started)
        copy, original = facts(started), facts(started)
        assert original["mine"] == original["still"] != copy["other"]
        assert started.wait(PATIENCE) == 0
        return "none", math.nan, copy["seconds"]


def threads(place: Place) -> tuple[str, float, float]:
    """Four threads with an R each; one of them makes its R quit, the others do not notice."""
    code = """
        from concurrent.futures import ThreadPoolExecutor
        barrier = threading.Barrier(4)
        def ask(i):
            with RWorker(scripts=worker.scripts) as mine:
                pid = mine.call("ivb_pid").value[0]
                barrier.wait()
                try:
                    mine.call("ivb_quit" if i == 2 else "ivb_sleep", **{"status" if i == 2 else "seconds": 0.2})
                except Exception as error:
                    return type(error).__name__
                return str(mine.call("ivb_pid").value[0] == pid)
        with ThreadPoolExecutor(4) as pool:
            said(found=list(pool.map(ask, range(4))))
    """
    with python(place, code) as started:
        facts(started)
        assert facts(started)["found"] == ["True", "True", "RDiedError", "True"]
        assert started.wait(PATIENCE) == 0
        return "none", math.nan, math.nan


def start_up_files(place: Place) -> tuple[str, float, float]:
    """A .Rprofile, .Renviron and .RData in the working directory, none of which is read."""
    folder = place.folder / "work"
    folder.mkdir()
    sentinel = folder / "executed"
    (folder / ".Rprofile").write_text(f"file.create({str(sentinel)!r})\n")
    (folder / ".Renviron").write_text("IVBRIDGE_STRAY=1\n")
    code = f"""
        worker.call("ivb_save_image", path={str(folder / ".RData")!r}, sentinel={str(sentinel)!r})
        worker.close()
        loaded = worker.call("ivb_exists", name="loaded_from_image").value[0]
        said(loaded=bool(loaded), stray=worker.call("ivb_getenv", names=["IVBRIDGE_STRAY"]).value)
    """
    with python(place, code, folder) as started:
        facts(started)
        assert facts(started) == {"loaded": False, "stray": [""]}
        assert started.wait(PATIENCE) == 0
        assert (folder / ".RData").is_file()
        assert not sentinel.exists()
        return "none", math.nan, math.nan


def prompt(place: Place) -> tuple[str, float, float]:
    """Ctrl-C typed at Python's prompt in a terminal."""
    ours, theirs = pty.openpty()
    code = START.format(script=str(SCRIPT))
    with subprocess.Popen(
        [sys.executable, "-c", TERMINAL, code], env={**environment(place), "TERM": "dumb"},
        stdin=theirs, stdout=theirs, stderr=theirs,
    ) as started:  # fmt: skip
        os.close(theirs)
        try:
            until(ours, b'"python"', b">>> ")
            os.write(ours, b"worker.call('ivb_loop')\n")
            time.sleep(SHORT)
            event = time.monotonic()
            os.write(ours, b"\x03")
            until(ours, b"KeyboardInterrupt", b">>> ")
            seconds = time.monotonic() - event
            os.write(ours, b"print('next', worker.call('ivb_pid').value[0] > 0)\n")
            until(ours, b"next True")
            next_seconds = time.monotonic() - event - seconds
        finally:
            started.send_signal(signal.SIGKILL)
            started.wait()
            os.close(ours)
    return "KeyboardInterrupt", seconds, next_seconds


def until(terminal: int, *texts: bytes) -> None:
    """Read a terminal until it has shown these texts one after the other."""
    shown, give_up = b"", time.monotonic() + PATIENCE
    for text in texts:
        while text not in shown:
            assert time.monotonic() < give_up, shown
            shown += os.read(terminal, 4096)
        shown = shown.partition(text)[2]


def notebook(place: Place) -> tuple[str, float, float]:
    """The interrupt button of a notebook: a Jupyter kernel of its own, installed for this."""
    folder = place.folder / "jupyter"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    tool = folder / "bin" / "python"
    subprocess.run([tool, "-m", "pip", "install", "-qq", "ipykernel", "jupyter_client"], check=True)
    done = subprocess.run(
        [tool, Path(__file__).with_name("fault_notebook.py"), START.format(script=str(SCRIPT)), str(SHORT)],
        env={**environment(place), "PYTHONNOUSERSITE": "1"}, stdout=subprocess.PIPE, text=True, check=True,
        timeout=10 * PATIENCE,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return found["error"], found["seconds"], found["next"]


def xdist(place: Place) -> tuple[str, float, float]:
    """Two processes of pytest-xdist, each of which asks R."""
    test = place.folder / "test_r.py"
    test.write_text(
        textwrap.dedent(f"""
        import os, pytest
        from ivbridge.engines.process import RWorker
        worker = RWorker(scripts=[{str(SCRIPT)!r}])
        @pytest.mark.parametrize("i", range(6))
        def test_r(i, testrun_uid):
            assert worker.call("ivb_echo", x=float(i)).value[0] == i
    """)
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "2",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        place.folder,
        test,
    ]
    done = subprocess.run(
        command, env=environment(place), cwd=place.folder, capture_output=True, text=True, check=False
    )
    assert "6 passed" in done.stdout, done.stdout + done.stderr
    return "none", math.nan, math.nan


PROGRAMS = (
    Program("Ctrl-C at the prompt", "typed into a terminal while R loops", "KeyboardInterrupt", prompt),
    Program("Ctrl-C in a notebook", "interrupt of a Jupyter kernel while R loops", "KeyboardInterrupt", notebook, True),
    Program("Python ends", "while a thread waits for R", "none", left),
    Program("Python is killed", "SIGKILL while R loops", "none", killed('worker.call("ivb_loop")')),
    Program("Python is killed", "SIGKILL while C code loops", "none", killed('worker.call("ivb_loop_c")'), True),
    Program("Python is killed", 'SIGKILL during system("sleep 8765")', "none",
            killed('worker.call("ivb_system", seconds=8765)')),
    Program("Python is killed", "SIGKILL while R is idle", "none", killed("time.sleep(600)"), True),
    Program("Python is killed", "SIGKILL while R starts", "none", killed_at_start),
    Program("Python forks", "while another thread waits for R", "none", forked),
    Program("four threads", "one R each, one of which quits", "none", threads),
    Program("start-up files in the directory", ".Rprofile, .Renviron, .RData with .First", "none", start_up_files),
    Program("pytest-xdist", "two processes, six questions", "none", xdist),
)  # fmt: skip
