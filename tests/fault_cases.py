"""What can go wrong around an R process, provoked one by one and measured.

``tests/test_faults.py`` asserts the outcomes; ``docs/reliability/faults.py`` writes them down.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import re
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ivbridge.engines.limits import r_limits
from ivbridge.engines.process import RWorker
from ivbridge.engines.tasks import to_thread
from ivbridge.errors import EngineError

__all__ = ["FAULTS", "Fault", "Outcome", "Scene", "measured"]

SCRIPT = Path(__file__).with_name("worker_faults.R")
MARK = "IVBRIDGE_FAULT_MARK"
#: Seconds of a timeout, of a wait before a signal: long enough for R to be in the middle of its work.
SHORT = 0.4


@dataclass
class Scene:
    """A worker with R running, and the moment of the event (`time.monotonic`)."""

    worker: RWorker
    event: float = field(default_factory=time.monotonic)

    def call(self, function: str, /, **arguments: object) -> None:
        """Call R; the event is the call itself, or the last moment that R printed."""
        self.event = time.monotonic()
        try:
            self.worker.call(function, timeout=60, **arguments)
        except EngineError as error:
            if printed := re.findall(r"^\d+\.\d+$", error.output, flags=re.MULTILINE):
                self.event = time.monotonic() - (time.time() - float(printed[-1]))
            raise

    def full(self, function: str, /, **arguments: object) -> None:
        """Use up what memory there is but 60 MB, then call R."""
        self.worker.call("ivb_fill", spare=6)
        self.call(function, **arguments)

    def late(self, function: str, /, **arguments: object) -> None:
        """Call R with a timeout; the event is its end."""
        self.event = time.monotonic() + SHORT
        with r_limits(timeout=SHORT):
            self.worker.call(function, **arguments)

    def after(self, action: Callable[[], object], function: str, /, **arguments: object) -> None:
        """Call R and act from another thread meanwhile; the event is the act."""

        def act() -> None:
            time.sleep(SHORT)
            self.event = time.monotonic()
            action()

        actor = threading.Thread(target=act)
        actor.start()
        try:
            self.worker.call(function, timeout=60, **arguments)
        finally:
            actor.join()

    def signal(self, number: int) -> Callable[[], None]:
        """Sends R a signal."""
        pid = self.worker.pid
        assert pid is not None
        return lambda: os.kill(pid, number)

    def cancel(self) -> None:
        """Cancel an asyncio task in the middle of a call."""

        async def main() -> None:
            async with asyncio.timeout(SHORT):
                self.event = time.monotonic() + SHORT
                await to_thread(self.worker.call, "ivb_loop", timeout=60)

        asyncio.run(main())


@dataclass(frozen=True)
class Fault:
    """One thing that can go wrong: what, how it is provoked, what the caller gets, and whether R lives on.

    ``slow`` ones differ from another one only in how R comes to its end.
    """

    name: str
    how: str
    error: str
    message: str
    provoke: Callable[[Scene], None]
    lives: bool = False
    memory_bytes: float | None = None
    slow: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a fault; the last three count what is left of R afterwards."""

    error: str
    message: str
    seconds: float
    lives: bool
    next_seconds: float
    processes: int
    shared_memory: int
    directories: int


FAULTS = (
    Fault("R code raises", "stop()", "RError", "boom", lambda s: s.call("ivb_stop", text="boom"), lives=True),
    Fault("endless loop in R code", "repeat NULL", "RTimeoutError", "longer than 0.4 s", lambda s: s.late("ivb_loop")),
    Fault("endless loop in C code", "fft() of a prime number of values", "RTimeoutError", "longer than 0.4 s",
          lambda s: s.late("ivb_loop_c")),
    Fault("endless process", 'system("sleep 8765")', "RTimeoutError", "longer than 0.4 s",
          lambda s: s.late("ivb_system", seconds=8765)),
    Fault("endless output of R", "repeat cat(...)", "RTimeoutError", "longer than 0.4 s", lambda s: s.late("ivb_cat"),
          slow=True),
    Fault("endless output of a process", 'system("yes")', "RTimeoutError", "longer than 0.4 s",
          lambda s: s.late("ivb_yes")),
    Fault("R is stopped", "SIGSTOP from outside", "RTimeoutError", "longer than 0.4 s",
          lambda s: (s.signal(signal.SIGSTOP)(), s.late("ivb_pid"))[1]),
    Fault("R quits", "quit(status = 7)", "RDiedError", "exit code 7", lambda s: s.call("ivb_quit", status=7)),
    Fault("C code ends the process", "_exit()", "RDiedError", "exit code", lambda s: s.call("ivb_exit_c"), slow=True),
    Fault("abort in C code", "abort()", "RDiedError", "SIGABRT", lambda s: s.call("ivb_abort_c")),
    Fault("C code overwrites memory", "memset() of a wrong length", "RDiedError", "SIGSEGV",
          lambda s: s.call("ivb_overwrite")),
    Fault("a mapped file is cut off", "mmap, truncate, read", "RDiedError", "SIGBUS", lambda s: s.call("ivb_truncate"),
          slow=True),
    Fault("endless recursion in R code", "f <- function() f()", "RError", "infinite recursion|C stack usage",
          lambda s: s.call("ivb_recurse"), lives=True),
    Fault("C stack exhausted, noticed by R", "serialize() of a list a million deep", "RError", "C stack usage",
          lambda s: s.call("ivb_nested_checked"), lives=True),
    Fault("C stack exhausted, not noticed", "identical() of lists a million deep", "RDiedError", "SIGSEGV|segfault",
          lambda s: s.call("ivb_nested_unchecked")),
    Fault("more memory than there is", "numeric(1e13)", "RMemoryError", "cannot allocate",
          lambda s: s.call("ivb_allocate", n=1e13), lives=True),
    Fault("memory limit: R's work", "1 GB; a list that grows", "RMemoryError", "cannot allocate",
          lambda s: s.call("ivb_grow"), lives=True, memory_bytes=1e9),
    Fault("memory limit: arguments", "all but 60 MB of 1 GB in use; 80 MB sent", "RMemoryError",
          "memory ran out|cannot allocate", lambda s: s.full("ivb_echo", x=np.zeros(10_000_000)), lives=True,
          memory_bytes=1e9),
    Fault("R is killed at work", "SIGKILL from outside", "RDiedError", "SIGKILL.*memory runs out",
          lambda s: s.after(s.signal(signal.SIGKILL), "ivb_loop")),
    Fault("R is killed while a process of its own runs", 'SIGKILL during system("sleep 8765")', "RDiedError", "SIGKILL",
          lambda s: s.after(s.signal(signal.SIGKILL), "ivb_system", seconds=8765)),
    Fault("R is ended politely", "SIGTERM from outside", "RDiedError", "SIGTERM",
          lambda s: s.after(s.signal(signal.SIGTERM), "ivb_loop_c"), slow=True),
    Fault("Ctrl-C", "SIGINT to Python", "KeyboardInterrupt", "",
          lambda s: s.after(lambda: os.kill(os.getpid(), signal.SIGINT), "ivb_loop")),
    Fault("Ctrl-C in C code", "SIGINT to Python", "KeyboardInterrupt", "",
          lambda s: s.after(lambda: os.kill(os.getpid(), signal.SIGINT), "ivb_loop_c"), slow=True),
    Fault("the worker is closed", "close() in another thread", "RDiedError", "worker was closed",
          lambda s: s.after(s.worker.close, "ivb_loop")),
    Fault("an asyncio task is cancelled", "asyncio.timeout(0.4)", "TimeoutError", "", lambda s: s.cancel()),
)  # fmt: skip


def measured(fault: Fault, scripts: tuple[str | Path, ...] = (SCRIPT,)) -> Outcome:
    """Provoke `fault` in a worker with these scripts, ask R again, close it, and look at what is left."""
    with surroundings() as place:
        worker = RWorker(scripts=scripts, memory_bytes=fault.memory_bytes)
        before = worker.call("ivb_pid").value[0]
        scene = Scene(worker)
        error, message = "none", ""
        try:
            fault.provoke(scene)
        except (Exception, KeyboardInterrupt) as caught:  # noqa: BLE001 - whatever it is, it is what is measured
            error, message = type(caught).__name__, str(caught)
        seconds = time.monotonic() - scene.event
        begun = time.monotonic()
        lives = bool(worker.call("ivb_pid").value[0] == before)
        next_seconds = time.monotonic() - begun
        worker.close()
        return Outcome(error, message, seconds, lives, next_seconds, *place.left())


@dataclass(frozen=True)
class Place:
    """A directory for temporary files, and a word in the environment of every process that is started."""

    folder: Path
    mark: str
    shared: frozenset[str]

    def processes(self) -> list[int]:
        """Who has the mark in the environment that it started with; never this process, nor a zombie."""
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # ended meanwhile, or somebody else's
                if self.mark.encode() in path.read_bytes():
                    found.append(int(path.parent.name))
        return found

    def gone(self, seconds: float = 15.0) -> float:
        """The moment from which no such process is there; NaN if there still is one after `seconds`."""
        give_up = time.monotonic() + seconds
        while self.processes():
            if time.monotonic() > give_up:
                return math.nan
            time.sleep(0.01)
        return time.monotonic()

    def left(self) -> tuple[int, int, int]:
        """Processes, pieces of shared memory and directories that are left."""
        self.gone(2.0)  # the kernel takes a moment to end a process that was killed
        shared = len(shared_memory() - self.shared)
        return len(self.processes()), shared, len(list(self.folder.glob("ivbridge-r-*")))


@contextlib.contextmanager
def surroundings() -> Iterator[Place]:
    """A place of its own for a fault; Ctrl-C works as at a prompt."""
    mark = uuid.uuid4().hex
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    kept, os.environ[MARK] = tempfile.tempdir, mark
    try:
        with tempfile.TemporaryDirectory() as folder:
            tempfile.tempdir = folder
            yield Place(Path(folder), mark, frozenset(shared_memory()))
    finally:
        tempfile.tempdir = kept
        del os.environ[MARK]
        signal.signal(signal.SIGINT, previous)


def shared_memory() -> set[str]:
    """Files of shared memory, and anonymous ones that this process holds open."""
    found = {path.name for path in Path("/dev/shm").glob("*ivbridge*")}
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(f"{path.name} {path.readlink()}" if "memfd:ivbridge" in str(path.readlink()) else "")
    return found - {""}
