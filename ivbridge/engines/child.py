"""One operating system process with R in it: start, exchange one message, end."""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import ivbridge
from ivbridge.engines.console import Console
from ivbridge.engines.r_gate import r_home
from ivbridge.engines.wire import receive, send
from ivbridge.errors import RDiedError, RNotAvailableError, RTimeoutError
from ivbridge.rfind import library_path

__all__ = ["Bridge", "Child", "last_lines"]

Bridge: TypeAlias = Literal["rpy2", "rscript"]

# Loads the very ivbridge that the parent runs, whatever is installed or lies on the path, and appends what the
# parent's path has on top. Python's own "-m" would search the path again, and a script's folder would come first on it.
_BOOT = """
import importlib, importlib.util, sys
path = sys.argv[1]
spec = importlib.util.spec_from_file_location("ivbridge", path + "/__init__.py", submodule_search_locations=[path])
module = importlib.util.module_from_spec(spec)
sys.modules["ivbridge"] = module
spec.loader.exec_module(module)
sys.path += [one for one in sys.argv[4:] if one not in sys.path]
importlib.import_module(sys.argv[2]).main(sys.argv[3])
"""
_MAINS: dict[Bridge, str] = {"rpy2": "ivbridge.engines.r_worker", "rscript": "ivbridge.engines.rscript"}
_UNWANTED = {"LC_ALL", "R_DEFAULT_PACKAGES", "PYTHONWARNINGS", "PYTHONINSPECT"}
_THREADS = ("OMP", "OPENBLAS", "MKL", "BLIS", "GOTO")
#: A process that closed its connection is about to end; this long is waited for its exit code.
_EXIT_SECONDS = 0.5
#: Longest time between two looks at the clock; `poll` takes no more milliseconds than an int holds.
_POLL_SECONDS = 3600.0
_TAIL_LINES = 5
_TAIL_CHARACTERS = 500


class Child:
    """A started R process with a private directory, owned by the process that made it.

    Parameters
    ----------
    scripts : sequence of str
        Paths of the R scripts to load.
    memory_bytes : int or None
        Limit of the address space, or None.
    bridge : {"rpy2", "rscript"}, default "rpy2"
        What connects the process and R: rpy2, or R's own program ``Rscript``.

    Raises
    ------
    RNotAvailableError
        No R was found, or ``R_HOME`` is not an R.
    """

    def __init__(self, scripts: Sequence[str], memory_bytes: int | None, bridge: Bridge = "rpy2") -> None:
        environment = library_path(str(r_home()))
        self.owner = os.getpid()
        self.memory_bytes, self.bridge = memory_bytes, bridge
        self.ready = False
        self.killed = False
        self.directory = Path(tempfile.mkdtemp(prefix="ivbridge-r-"))
        self._socket, theirs = socket.socketpair()
        reading, writing = os.pipe()
        self._console = Console(reading)
        config = {
            "descriptor": theirs.fileno(),
            "parent": self.owner,
            "directory": str(self.directory),
            "scripts": list(scripts),
            "memory_bytes": memory_bytes,
        }
        try:
            with theirs, os.fdopen(writing, "wb") as printed:
                main = [_MAINS[bridge], json.dumps(config)]
                self.process = _popen(main, theirs.fileno(), printed, self.directory, environment)
        except BaseException:
            self._console.close()
            self._socket.close()
            shutil.rmtree(self.directory, ignore_errors=True)
            raise
        self._end = weakref.finalize(
            self, _end, self.process, (self._socket, self._console), self.directory, self.owner
        )

    @property
    def alive(self) -> bool:
        """Whether this process may still be talked to: running, and not inherited through a fork."""
        if self.owner != os.getpid() or not self._end.alive or self.process.poll() is not None:
            return False
        hang_up = select.poll()
        hang_up.register(self._socket, 0)
        return not hang_up.poll(0)

    def exchange(self, message: object | None, seconds: float | None, what: str) -> Any:
        """Send `message` (nothing if None) and return the answer; end the process if that fails in any way.

        An answer that is a dictionary gets the item ``output``, what the process and its children printed; the errors
        have it as their attribute.

        Raises
        ------
        RTimeoutError
            No answer within `seconds`.
        RDiedError
            The process ended first.
        """
        deadline = None if seconds is None else time.monotonic() + seconds
        answered = False
        try:
            if message is not None:
                send(self._socket, message, self.directory, deadline)
            self._wait(deadline)
            answer = receive(self._socket, copy=True, deadline=deadline)
            answered = True
        except TimeoutError:
            if seconds is None or deadline is None or time.monotonic() < deadline:
                raise  # somebody else's: a signal handler of the caller raised it
            raise self._timed_out(what, seconds) from None
        except (EOFError, ConnectionError):
            raise self._died(what) from None
        finally:
            if not answered:
                self.stop()
        if isinstance(answer, dict):
            answer["output"] = self._console.take()
        return answer

    def wait_until_ready(self, seconds: float) -> Any:
        """Return the first message; a process that ends or hangs before it means that R cannot be used."""
        try:
            answer = self.exchange(None, seconds, "its start")
        except (RDiedError, RTimeoutError) as error:
            if self.killed:
                raise
            raise RNotAvailableError(f"R could not be started. {error.message}", do="run `ivbridge doctor`") from error
        self.ready = True
        return answer

    def kill(self) -> None:
        """End the process now, from any thread; a thread that waits for an answer gets `RDiedError`."""
        if self.owner == os.getpid() and self._end.alive:
            self.killed = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Kill the process and all that it started, and delete its directory. Harmless when repeated."""
        self._end()

    def _wait(self, deadline: float | None) -> None:
        """Wait until there is an answer or the process is gone; meanwhile read what it prints, so that it can go on."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        poll.register(self._console.descriptor, select.POLLIN)
        while True:
            left = _POLL_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            ready = {descriptor for descriptor, _ in poll.poll(math.ceil(min(left, _POLL_SECONDS) * 1000))}
            if self._console.descriptor in ready:
                self._console.read()
                if not self._console.open:
                    poll.unregister(self._console.descriptor)
            if self._socket.fileno() in ready:
                self._console.read()
                return

    def _timed_out(self, what: str, seconds: float) -> RTimeoutError:
        error = RTimeoutError(
            f"R was stopped: {what} took longer than {seconds:g} s.",
            do="allow more with `ivbridge.r_limits(timeout=...)`, or ask something smaller; "
            "the next call starts a fresh R process.",
        )
        error.output = self._printed()
        return error

    def _died(self, what: str) -> RDiedError:
        if self.killed:
            return RDiedError(f"The R process was stopped during {what}: the worker was closed, or its task cancelled.")
        code = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(_EXIT_SECONDS)
        how = _ending(code)
        if self.memory_bytes is not None:
            how += f"; its memory limit was {self.memory_bytes:.3g} bytes"
        printed = self._printed()
        if said := last_lines(printed):
            how += f"; its last lines were: {said}"
        do = "try again: the next call starts a fresh R process."
        error = RDiedError(f"The R process ended during {what}: {how}.", do=do)
        error.output = printed
        return error

    def _printed(self) -> str:
        self._console.read()
        return self._console.take()


def last_lines(printed: str) -> str:
    """The end of what was printed, its lines joined by slashes."""
    return " / ".join(printed.strip().splitlines()[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]


def _ending(code: int | None) -> str:
    if code is None:
        return "it closed the connection"
    if code >= 0:
        return f"exit code {code}"
    how = f"killed by signal {-code} ({_signal_name(-code)})"
    return f"{how}, as the system does when memory runs out" if -code == signal.SIGKILL else how


def _popen(
    main: list[str], descriptor: int, printed: IO[bytes], directory: Path, extra: dict[str, str]
) -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise RNotAvailableError("This Python does not know its own executable, which runs the R process.")
    for name in ("tmp", "work"):
        (directory / name).mkdir()
    package = str(Path(ivbridge.__file__).resolve().parent)
    paths = [str(Path(one).resolve()) for one in sys.path if one]
    # -u: what C code prints is written at once, between what R and its children print
    return subprocess.Popen(
        [sys.executable, "-u", "-c", _BOOT, package, *main, *paths],
        stdin=subprocess.DEVNULL,
        stdout=printed,
        stderr=printed,
        cwd=directory / "work",
        env={**_environment(directory), **extra},
        pass_fds=(descriptor,),
        start_new_session=True,
    )


def _environment(directory: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in _UNWANTED}
    temporary = str(directory / "tmp")
    return {
        **kept,
        **{f"{library}_NUM_THREADS": "1" for library in _THREADS},
        "VECLIB_MAXIMUM_THREADS": "1",
        **dict.fromkeys(("LANG", "LC_CTYPE", "LC_MESSAGES", "LC_TIME", "LC_MONETARY"), "C.UTF-8"),
        "LC_COLLATE": "C",  # R then sorts text by code point, as Python does; in C.UTF-8 it would ask ICU
        "LANGUAGE": "en",
        "TZ": "UTC",  # R then shows the clock of pandas' times without a zone
        "R_PROFILE_USER": os.devnull,
        "R_ENVIRON_USER": os.devnull,
        "TMPDIR": temporary,
        "TMP": temporary,
        "TEMP": temporary,
    }


def _end(process: subprocess.Popen[bytes], ours: tuple[socket.socket, Console], directory: Path, owner: int) -> None:
    for one in ours:
        one.close()
    if os.getpid() != owner:  # a forked copy must leave its parent's process alone
        process.returncode = 0  # nor may Popen report it as forgotten
        return
    try:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finally:  # also where a second Ctrl-C interrupts the wait
        shutil.rmtree(directory, ignore_errors=True)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
