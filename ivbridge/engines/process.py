"""R in a process of its own: start it, call a function, survive whatever it does.

One `RWorker` holds one R. It starts with the first call (about three seconds) and is reused. If R dies or is stopped,
the call raises and the next call starts a fresh R, so a worker is never broken for good. R sees a private working
directory and temporary directory, which are deleted with it, and no start-up file of the user.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import re
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

import pandas as pd

from ivbridge.engines.child import Bridge, Child, last_lines
from ivbridge.engines.frames import to_frame, to_pandas
from ivbridge.engines.limits import checked_memory, checked_timeout, memory_now, timeout_now
from ivbridge.engines.plain import plain
from ivbridge.engines.tasks import stoppable
from ivbridge.engines.transfer import encode
from ivbridge.engines.wire import Node, Request
from ivbridge.errors import (
    EngineError,
    RDiedError,
    RError,
    RMemoryError,
    RNotAvailableError,
    RTimeoutError,
    UnsupportedError,
)
from ivbridge.resources import scripts_dir
from ivbridge.rfind import rpy2_version

__all__ = ["RReply", "RWorker", "default_worker"]

#: Seconds that R may take to start; measured 1 to 5 on a busy machine.
START_SECONDS = 120.0
#: How R, and what it runs, say that they got no memory.
_NO_MEMORY = re.compile(
    "cannot allocate (vector|memory|buffer)|memory exhausted|could not (re-)?allocate memory|std::bad_alloc",
    re.IGNORECASE,
)


@dataclass(frozen=True)  # without slots: `value` is kept once it has been asked for
class RReply:
    """What an R function returned.

    ``record`` is the value as `ivbridge.engines.wire` records it; ``warnings`` and ``messages`` are the texts of R's
    conditions in order, at most 1000 each. ``output`` is what R and the processes that it started printed during the
    call, in order; of more than a megabyte the first and the last half.
    """

    record: Node = field(repr=False)
    warnings: tuple[str, ...]
    messages: tuple[str, ...]
    output: str = ""

    @functools.cached_property
    def value(self) -> Any:
        """None, arrays, lists and dicts as `RWorker.call` describes."""
        return plain(self.record)

    def frame(self) -> pd.DataFrame:
        """The data.frame that R returned, with exactly its values and types: `ivbridge.engines.frames.to_frame`."""
        return to_frame(self.record)

    def to_pandas(self) -> Any:
        """Whatever R returned, vectors as Series and data.frames as DataFrames: `ivbridge.engines.frames.to_pandas`."""
        return to_pandas(self.record)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a reader of a result should see: the warnings, and the end of what R printed."""
        return (*self.warnings, *(f"R printed: {end}" for end in (last_lines(self.output),) if end))


class RWorker:
    """One R process that runs functions of R scripts.

    Parameters
    ----------
    scripts : sequence of str or Path, default those of all questions
        R scripts to load: names of files in `ivbridge.resources.scripts_dir()`, or paths. ``provenance.R`` is always
        loaded too.
    timeout : float, optional
        Seconds that a call may take unless it says otherwise; ``math.inf`` for no limit. Default: what `r_limits` or
        the environment says when the call is made, otherwise 300.
    memory_bytes : float, optional
        Address space that the R process may map, at least 1e9; ``math.inf`` for no limit. Beyond it R raises
        "cannot allocate". Default: what `r_limits` or the environment says, otherwise no limit.
    bridge : {"auto", "rpy2", "rscript"}, optional
        What connects Python and R: rpy2, or R's own program ``Rscript`` where rpy2 cannot be loaded, with the same
        answers. "auto" tries them in this order. Default: the environment variable ``IVBRIDGE_R_BRIDGE``, else "auto".

    Attributes
    ----------
    bridge : str
        As asked; once R has started, "rpy2" or "rscript".
    no_rpy2 : str
        Why "auto" did not take rpy2; empty if it did, or was not asked.

    Notes
    -----
    Nothing is started before the first call. Calls from several threads wait for each other; use one worker per
    thread, as `default_worker` does, to run them at the same time. After a fork the copy starts an R of its own.
    When R dies or is stopped, the next one starts in the background while the caller reads the error.
    """

    def __init__(
        self,
        *,
        scripts: Sequence[str | Path] = ("covariance.R", "ivreg.R", "kclass.R", "weakiv.R", "cv_glmnet.R"),
        timeout: float | None = None,
        memory_bytes: float | None = None,
        bridge: str | None = None,
    ) -> None:
        self.scripts = tuple(_find_script(script) for script in scripts)
        self.timeout = None if timeout is None else checked_timeout(timeout)
        self.memory_bytes = None if memory_bytes is None else checked_memory(memory_bytes)
        self.bridge = _checked_bridge(bridge, os.environ.get("IVBRIDGE_R_BRIDGE", ""))
        self.no_rpy2 = ""
        self._child: Child | None = None
        self._lock = threading.RLock()
        _workers.add(self)

    def call(self, function: str, /, *, timeout: float | None = None, **arguments: object) -> RReply:
        """Call an R function by name and wait for its value.

        Parameters
        ----------
        function : str
            A function of the loaded scripts whose name starts with ``ivb_``.
        timeout : float, optional
            Seconds that the call may take, without the start of R; default: the worker's, else as `r_limits` says.
        **arguments : object
            Named arguments of the R function; `ivbridge.engines.transfer` lists what each becomes in R.

        Returns
        -------
        RReply
            NULL is None; logical, integer and double vectors are 1-D arrays of bool, int64 and float64 (also those of
            length 1; float64 with NaN where a logical or integer is missing), matrices 2-D ones; dates, times and
            durations are float64 arrays of R's own numbers; character vectors and factors are lists of str or None;
            lists are dicts if named, otherwise lists; a data.frame is a dict of its columns. That is `RReply.value`;
            `RReply.frame` and `RReply.to_pandas` keep every type.

        Raises
        ------
        RError
            R raised; ``classes`` and ``call`` are kept.
        RMemoryError
            R got no more memory.
        RTimeoutError
            The call took too long; R was stopped.
        RDiedError
            R ended: a crash, ``quit()``, killed by the system, or `close` in another thread.
        RNotAvailableError
            R, rpy2 or an R package that the scripts load is missing or does not fit.
        DataError
            An argument has no exact counterpart in R; R was not asked.
        UnsupportedError
            There is no such public function; the message lists those there are.
        """
        seconds = self._seconds(timeout)
        request = Request(function, {name: encode(value, name) for name, value in arguments.items()})
        with self._lock:
            child = self._running()
            try:
                with stoppable(child):
                    answer = child.exchange(request, seconds, f"{function}()")
            except (RDiedError, RTimeoutError, KeyboardInterrupt):
                self._replace(child)
                raise
            return self._reply(answer)

    @property
    def pid(self) -> int | None:
        """Process id of the R that is running, or None."""
        return self._child.process.pid if self._child is not None and self._child.alive else None

    @property
    def connection(self) -> str:
        """The bridge in words for provenance, for example "rpy2 3.6.5"; what was asked before R has started."""
        if self.bridge == "rpy2":
            return f"rpy2 {rpy2_version()}"
        return "Rscript (rpy2 cannot be loaded)" if self.no_rpy2 else self.bridge.capitalize()

    def close(self) -> None:
        """End R and delete its directory. A later call starts it again.

        A call that another thread is waiting for ends at once with `RDiedError`.
        """
        child = self._child
        if child is not None:
            child.kill()
        with self._lock:
            if self._child is not None:
                self._child.stop()
                self._child = None

    def __enter__(self) -> RWorker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _seconds(self, asked: float | None) -> float | None:
        """The limit of a call; None for none."""
        seconds = checked_timeout(asked) if asked is not None else self.timeout
        if seconds is None:
            seconds = timeout_now()
        return seconds if math.isfinite(seconds) else None

    def _running(self) -> Child:
        """The process to ask: the present one, or a new one if that is gone or has another limit of memory."""
        limit = self.memory_bytes
        memory = memory_now() if limit is None else None if math.isinf(limit) else int(limit)
        if self._child is None or not self._child.alive or self._child.memory_bytes != memory:
            self.close()
            self._child = Child(self.scripts, memory, "rscript" if self.bridge == "rscript" else "rpy2")
        return self._child if self._child.ready else self._started(self._child)

    def _started(self, child: Child) -> Child:
        """A process that is ready; where rpy2 does not work and is not insisted on, one with the other bridge."""
        try:
            self._wait_until_ready(child)
        except RNotAvailableError as error:
            if self.bridge != "auto":
                raise
            self.close()
            self._child = child = Child(self.scripts, child.memory_bytes, "rscript")
            self._wait_until_ready(child)
            self.no_rpy2 = error.message
        self.bridge = child.bridge
        return child

    def _wait_until_ready(self, child: Child) -> None:
        with stoppable(child):
            self._reply(child.wait_until_ready(START_SECONDS), starting=True)

    def _replace(self, child: Child) -> None:
        """Start the next R now; whoever asks it will wait for what is left of its start."""
        self._child = None
        if not child.killed:
            with contextlib.suppress(RNotAvailableError, OSError):  # the next call will say so
                self._child = Child(self.scripts, child.memory_bytes, child.bridge)

    def _reply(self, answer: Mapping[str, Any], *, starting: bool = False) -> RReply:
        failure = answer["failure"]
        if failure is not None:
            if starting or "ivb_package_clash" in failure["classes"]:
                self.close()
            error = _error(failure)
            if answer["warnings"]:
                error.add_note("R warned before: " + "; ".join(answer["warnings"][:5]))
            if isinstance(error, EngineError):
                error.output = answer["output"]
            raise error
        return RReply(answer["value"], tuple(answer["warnings"]), tuple(answer["messages"]), answer["output"])


_workers: weakref.WeakSet[RWorker] = weakref.WeakSet()


def _forget_processes() -> None:
    """In a forked copy: the processes are the original's, and a lock may be held by a thread that is not here."""
    for worker in _workers:
        worker._child, worker._lock = None, threading.RLock()


os.register_at_fork(after_in_child=_forget_processes)

_of_thread = threading.local()


def default_worker() -> RWorker:
    """The calling thread's own worker with the default scripts; it ends with the thread or with Python."""
    worker: RWorker | None = getattr(_of_thread, "worker", None)
    if worker is None:
        worker = _of_thread.worker = RWorker()
    return worker


def _error(failure: Mapping[str, Any]) -> Exception:
    """The exception for a failure that the R process reported."""
    classes, message = failure["classes"], failure["message"] or "R raised an error without a message."
    if "ivb_missing" in classes:
        return RNotAvailableError(message, do=failure["do"])
    if "ivb_unknown_function" in classes:
        return UnsupportedError(message)
    if "packageNotFoundError" in classes:
        package = failure["package"]
        do = f"run `ivbridge setup-r`, or in R: install.packages({package!r})."
        return RNotAvailableError(f"The R package {package!r} is not installed.", do=do)
    if "ivb_memory" in classes or _NO_MEMORY.search(message):
        do = "allow more with `ivbridge.r_limits(memory_bytes=...)` if there is a limit, or ask something smaller."
        said = message.removeprefix("Error: ").strip().rstrip(".")
        return RMemoryError(f"R ran out of memory: {said}.", classes=classes, call=failure["call"], do=do)
    do = "use one RWorker for each of the two packages." if "ivb_package_clash" in classes else ""
    return RError(message, classes=classes, call=failure["call"], do=do)


def _checked_bridge(asked: str | None, set_outside: str) -> Bridge | Literal["auto"]:
    name = asked or set_outside or "auto"
    match name:
        case "auto" | "rpy2" | "rscript":
            return name
    do = "" if asked else "unset IVBRIDGE_R_BRIDGE, or set it to one of these"
    raise UnsupportedError(f"There is no bridge {name!r} to R.", available="auto, rpy2, rscript", do=do)


def _find_script(script: str | Path) -> str:
    path = Path(script)
    found = path if path.is_absolute() or len(path.parts) > 1 else scripts_dir() / path
    if not found.is_file():
        available = ", ".join(sorted(one.name for one in scripts_dir().glob("*.R")))
        raise UnsupportedError(f"There is no R script {script!s}.", available=f"{available}, or the path of a file")
    return str(found.resolve())
