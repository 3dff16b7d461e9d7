"""Processes that answer calls: started, asked, watched and stopped."""

from __future__ import annotations

import dataclasses
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from tests.benchmarks.peers import answers
from tests.benchmarks.peers.worlds import Size

ROOT = Path(__file__).resolve().parents[3]
HERE = Path(__file__).resolve().parent
#: Variables that the BLAS libraries of Python and of R, OpenMP and Polars read when they start.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON")}
ONE_THREAD["POLARS_MAX_THREADS"] = "1"
R_PEERS = ("AER", "AER, vcovHC", "ivreg", "estimatr", "fixest")
#: Why a call was ended, where it is time.
STOPPED_BEFORE = "not asked: it was stopped in the comparison before"
TOO_SLOW = "stopped: it takes too long"
#: What the machine keeps for others, in bytes.
SPARE = 1.5e9


class StoppedError(Exception):
    """A call was ended, or ended by itself, without an answer."""


class Worker:
    """One package in a process of its own.

    Parameters
    ----------
    name : str
        A key of `answers.CALLS`, or one of `R_PEERS`.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.r = name in R_PEERS
        command = [sys.executable, "-m", "tests.benchmarks.peers.worker", name]
        if self.r:
            command = [shutil.which("Rscript") or "Rscript", "--vanilla", str(HERE / "worker.R"), name]
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed with the worker
        self._process: subprocess.Popen[str] | None = None
        if shutil.which(command[0]) is not None:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env={**os.environ, **ONE_THREAD, "PYTHONPATH": path}, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, bufsize=1,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def version(self) -> str:
        """Of the package; empty where it is not installed."""
        if self._process is None:
            return ""
        return str(self._reply(120, 0).get("version", ""))

    def load(self, size: Size, folder: Path) -> None:
        """Read data."""
        asked = json.dumps({"load": dataclasses.asdict(size), "folder": str(folder)})
        if self.r:
            asked = "\t".join(["load", str(folder), str(size.n), size.formula, *size.columns])
        self._ask(asked, 300, 0)

    def run(self, task: str, inner: int = 1, seconds: float = 600, megabytes: float = 0) -> dict[str, Any]:
        """Make the call `inner` times; `extra` in the reply is what the memory grew by at its peak, in MB.

        Parameters
        ----------
        task : str
        inner : int
        seconds : float
            The process is killed after them.
        megabytes : float
            The process is killed when its memory has grown by more; 0 for no limit.

        Raises
        ------
        StoppedError
            If it was, or if the package cannot answer.
        """
        if self._process is None:
            raise StoppedError(STOPPED_BEFORE)
        pid = self._process.pid
        self._reset_peak(pid)
        before = status(pid, "VmRSS")
        asked = f"run\t{task}\t{inner}" if self.r else json.dumps({"run": task, "inner": inner})
        reply = self._ask(asked, seconds, before + 1e6 * megabytes if megabytes else 0)
        reply["extra"] = max(0.0, status(pid, "VmHWM") - before) / 1e6
        return reply

    def end(self) -> None:
        """Stop the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        self._said.close()

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process is not None and self._process.poll() is None

    def _ask(self, line: str, seconds: float, most: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        if not self.alive:
            raise StoppedError(STOPPED_BEFORE)
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        reply = self._reply(seconds, most)
        if "failed" in reply:
            raise StoppedError(f"failed: {reply['failed']}")
        return reply

    def _reply(self, seconds: float, most: float) -> dict[str, Any]:
        """The next line; the process is killed where time or memory runs out."""
        assert self._process is not None
        assert self._process.stdout is not None
        until = time.monotonic() + seconds
        while not select.select([self._process.stdout], [], [], 0.2)[0]:
            reason = ""
            if time.monotonic() > until:
                reason = TOO_SLOW
            elif most and status(self._process.pid, "VmRSS") > most:
                reason = "stopped: it takes too much memory"
            elif available() < SPARE:
                reason = "stopped: the machine had no memory left"
            if reason:
                self.end()
                raise StoppedError(reason)
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            last = self._said.read().strip().splitlines()[-1:]
            self.end()
            raise StoppedError(f"its process ended: {' '.join(last)[:150]}")
        return dict(json.loads(line))

    def _reset_peak(self, pid: int) -> None:
        """Let the kernel forget the peak so far; where it does not, the peak of reading the data stays."""
        try:
            Path(f"/proc/{pid}/clear_refs").write_text("5", encoding="ascii")
        except OSError:
            return


def status(pid: int, key: str) -> float:
    """A line of /proc/PID/status, in bytes; 0 where there is none."""
    return _kilobytes(Path(f"/proc/{pid}/status"), key)


def available() -> float:
    """Bytes that the machine has left."""
    return _kilobytes(Path("/proc/meminfo"), "MemAvailable")


def _kilobytes(path: Path, key: str) -> float:
    try:
        lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return 0.0
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), 0.0)


def names() -> Sequence[str]:
    """All peers, ivbridge and the limit first."""
    return (*answers.CALLS, *R_PEERS)
