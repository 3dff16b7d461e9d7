"""One operating system process with R in it: start, exchange one message, end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import ivbridge
from ivbridge.engines.r_gate import r_home
from ivbridge.engines.wire import receive, send
from ivbridge.errors import RDiedError, RNotAvailableError, RTimeoutError
from ivbridge.rfind import library_path

__all__ = ["Bridge", "Child"]

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
_EXIT_SECONDS = 5.0
_TAIL_BYTES = 4096
_TAIL_LINES = 5


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
        self.directory = Path(tempfile.mkdtemp(prefix="ivbridge-r-"))
        for name in ("tmp", "work"):
            (self.directory / name).mkdir()
        self._socket, theirs = socket.socketpair()
        config = {
            "descriptor": theirs.fileno(),
            "parent": self.owner,
            "directory": str(self.directory),
            "scripts": list(scripts),
            "memory_bytes": memory_bytes,
        }
        with theirs:
            self.process = _popen([_MAINS[bridge], json.dumps(config)], theirs.fileno(), self.directory, environment)
        self._tail = _Tail(self.process)
        self._end = weakref.finalize(self, _end, self.process, self._socket, self.directory, self.owner)

    @property
    def alive(self) -> bool:
        """Whether this process may still be talked to: running, and not inherited through a fork."""
        if self.owner != os.getpid() or not self._end.alive:
            return False
        hang_up = select.poll()
        hang_up.register(self._socket, 0)
        return not hang_up.poll(0) and self.process.poll() is None

    def exchange(self, message: object | None, seconds: float | None, what: str) -> Any:
        """Send `message` (nothing if None) and return the answer; end the process if that fails in any way.

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
            answer = receive(self._socket, copy=True, deadline=deadline)
            answered = True
        except TimeoutError:
            raise RTimeoutError(
                f"R was stopped: {what} took longer than {seconds:g} s.",
                do="pass a larger timeout=, or a smaller problem; the next call starts a fresh R process.",
            ) from None
        except (EOFError, ConnectionError):
            raise RDiedError(
                f"The R process ended during {what}: {self._how_it_ended()}.",
                do="try again: the next call starts a fresh R process.",
            ) from None
        finally:
            if not answered:
                self.stop()
        return answer

    def wait_until_ready(self, seconds: float) -> Any:
        """Return the first message; a process that ends or hangs before it means that R cannot be used."""
        try:
            return self.exchange(None, seconds, "its start")
        except (RDiedError, RTimeoutError) as error:
            do = "run `ivbridge doctor`"
            raise RNotAvailableError(f"R could not be started. {error.message}", do=do) from error

    def stop(self) -> None:
        """Kill the process and all that it started, and delete its directory. Harmless when repeated."""
        self._end()

    def _how_it_ended(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(_EXIT_SECONDS)
        self.stop()
        code = self.process.returncode
        how = f"exit code {code}" if code >= 0 else f"killed by signal {-code} ({_signal_name(-code)})"
        if -code == signal.SIGKILL:
            how += ", as the system does when memory runs out"
        said = self._tail.text()
        return f"{how}; its last lines were: {said}" if said else how


class _Tail:
    """Reads a process's standard error in a thread, so that it never blocks, and keeps the end."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._kept = bytearray()
        self._thread = threading.Thread(target=self._read, args=(process.stderr,), daemon=True, name="ivbridge-stderr")
        self._thread.start()

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while chunk := os.read(stream.fileno(), 1 << 16):
                self._kept += chunk
                del self._kept[:-_TAIL_BYTES]

    def text(self) -> str:
        """The last lines, joined by slashes."""
        self._thread.join(1.0)
        lines = bytes(self._kept).decode("utf-8", "replace").strip().splitlines()
        return " / ".join(lines[-_TAIL_LINES:])


def _popen(main: list[str], descriptor: int, directory: Path, extra: dict[str, str]) -> subprocess.Popen[bytes]:
    if not sys.executable:
        raise RNotAvailableError("This Python does not know its own executable, which runs the R process.")
    package = str(Path(ivbridge.__file__).resolve().parent)
    paths = [str(Path(one).resolve()) for one in sys.path if one]
    return subprocess.Popen(
        [sys.executable, "-c", _BOOT, package, *main, *paths],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
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
        "R_PROFILE_USER": os.devnull,
        "R_ENVIRON_USER": os.devnull,
        "TMPDIR": temporary,
        "TMP": temporary,
        "TEMP": temporary,
    }


def _end(process: subprocess.Popen[bytes], sock: socket.socket, directory: Path, owner: int) -> None:
    sock.close()
    if os.getpid() != owner:  # a forked copy must leave its parent's process alone
        process.returncode = 0  # nor may Popen report it as forgotten
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    shutil.rmtree(directory, ignore_errors=True)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "unknown"
