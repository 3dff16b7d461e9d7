"""R in a process of its own: start it, call a function, survive whatever it does.

One `RWorker` holds one R. It starts with the first call (about three seconds) and is reused. If R dies or is stopped,
the call raises and the next call starts a fresh R, so a worker is never broken for good. R sees a private working
directory and temporary directory, which are deleted with it, and no start-up file of the user.
"""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from ivbridge.engines.child import Bridge, Child
from ivbridge.engines.plain import plain
from ivbridge.engines.transfer import encode
from ivbridge.engines.wire import Node, Request
from ivbridge.errors import RError, RNotAvailableError, UnsupportedError
from ivbridge.resources import scripts_dir

__all__ = ["RReply", "RWorker", "default_worker"]

#: Seconds that R may take to start; measured 1 to 5 on a busy machine.
START_SECONDS = 120.0


@dataclass(frozen=True)  # without slots: `value` is kept once it has been asked for
class RReply:
    """What an R function returned.

    ``record`` is the value as `ivbridge.engines.wire` records it; ``warnings`` and ``messages`` are the texts of R's
    conditions in order, at most 1000 each.
    """

    record: Node = field(repr=False)
    warnings: tuple[str, ...]
    messages: tuple[str, ...]

    @functools.cached_property
    def value(self) -> Any:
        """None, arrays, lists and dicts as `RWorker.call` describes."""
        return plain(self.record)


class RWorker:
    """One R process that runs functions of R scripts.

    Parameters
    ----------
    scripts : sequence of str or Path, default ("ivreg.R", "kclass.R", "weakiv.R", "cv_glmnet.R")
        R scripts to load: names of files in `ivbridge.resources.scripts_dir()`, or paths. ``provenance.R`` is always
        loaded too.
    timeout : float, default 300.0
        Seconds that a call may take unless it says otherwise; ``math.inf`` for no limit.
    memory_bytes : int, optional
        Limit of the process's address space; beyond it R raises "cannot allocate". Default: no limit.
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
    """

    def __init__(
        self,
        *,
        scripts: Sequence[str | Path] = ("ivreg.R", "kclass.R", "weakiv.R", "cv_glmnet.R"),
        timeout: float = 300.0,
        memory_bytes: int | None = None,
        bridge: str | None = None,
    ) -> None:
        self.scripts = tuple(_find_script(script) for script in scripts)
        self.timeout = _checked_timeout(timeout)
        self.memory_bytes = memory_bytes
        self.bridge = _checked_bridge(bridge or os.environ.get("IVBRIDGE_R_BRIDGE") or "auto")
        self.no_rpy2 = ""
        self._child: Child | None = None
        self._lock = threading.RLock()

    def call(self, function: str, /, *, timeout: float | None = None, **arguments: object) -> RReply:
        """Call an R function by name and wait for its value.

        Parameters
        ----------
        function : str
            A function of the loaded scripts whose name starts with ``ivb_``.
        timeout : float, optional
            Seconds that the call may take, without the start of R; default: the worker's.
        **arguments : object
            Named arguments of the R function; `ivbridge.engines.transfer` lists what each becomes in R.

        Returns
        -------
        RReply
            NULL is None; logical, integer and double vectors are 1-D arrays of bool, int64 and float64 (also those of
            length 1; float64 with NaN where a logical or integer is missing), matrices 2-D ones; character vectors
            and factors are lists of str or None; lists are dicts if named, otherwise lists; a data.frame is a dict of
            its columns.

        Raises
        ------
        RError
            R raised; ``classes`` and ``call`` are kept.
        RTimeoutError
            The call took too long; R was stopped.
        RDiedError
            R ended: a crash, ``quit()``, or killed by the system.
        RNotAvailableError
            R, rpy2 or an R package that the scripts load is missing or does not fit.
        DataError
            An argument has no exact counterpart in R; R was not asked.
        UnsupportedError
            There is no such public function; the message lists those there are.
        """
        seconds = self.timeout if timeout is None else _checked_timeout(timeout)
        request = Request(function, {name: encode(value, name) for name, value in arguments.items()})
        with self._lock:
            child = self._running()
            answer = child.exchange(request, seconds if math.isfinite(seconds) else None, f"{function}()")
            return self._reply(answer)

    @property
    def pid(self) -> int | None:
        """Process id of the R that is running, or None."""
        return self._child.process.pid if self._child is not None and self._child.alive else None

    def close(self) -> None:
        """End R and delete its directory. A later call starts it again."""
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

    def _running(self) -> Child:
        if self._child is None or not self._child.alive:
            self.close()
            return self._chosen() if self.bridge == "auto" else self._started(self.bridge)
        return self._child

    def _chosen(self) -> Child:
        try:
            return self._started("rpy2")
        except RNotAvailableError as error:
            self.close()
            child = self._started("rscript")
            self.no_rpy2 = error.message
            return child

    def _started(self, bridge: Bridge) -> Child:
        self._child = child = Child(self.scripts, self.memory_bytes, bridge)
        self._reply(child.wait_until_ready(START_SECONDS), starting=True)
        self.bridge = bridge
        return child

    def _reply(self, answer: Mapping[str, Any], *, starting: bool = False) -> RReply:
        failure = answer["failure"]
        if failure is not None:
            if starting or "ivb_package_clash" in failure["classes"]:
                self.close()
            error = _error(failure)
            if answer["warnings"]:
                error.add_note("R warned before: " + "; ".join(answer["warnings"][:5]))
            raise error
        return RReply(answer["value"], tuple(answer["warnings"]), tuple(answer["messages"]))


_of_thread = threading.local()


def default_worker() -> RWorker:
    """The calling thread's own worker with the default scripts; it ends with the thread or with Python."""
    worker: RWorker | None = getattr(_of_thread, "worker", None)
    if worker is None:
        worker = _of_thread.worker = RWorker()
    return worker


def _error(failure: Mapping[str, Any]) -> Exception:
    """The exception for a failure that the R process reported."""
    classes, message = failure["classes"], failure["message"]
    if "ivb_missing" in classes:
        return RNotAvailableError(message, do=failure["do"])
    if "ivb_unknown_function" in classes:
        return UnsupportedError(message)
    if "packageNotFoundError" in classes:
        package = failure["package"]
        do = f"run `ivbridge setup-r`, or in R: install.packages({package!r})."
        return RNotAvailableError(f"The R package {package!r} is not installed.", do=do)
    do = "use one RWorker for each of the two packages." if "ivb_package_clash" in classes else ""
    return RError(message, classes=classes, call=failure["call"], do=do)


def _checked_timeout(seconds: float) -> float:
    if not seconds > 0:
        raise UnsupportedError(f"timeout={seconds!r} was asked.", available="seconds above 0, math.inf for no limit")
    return float(seconds)


def _checked_bridge(name: str) -> Bridge | Literal["auto"]:
    match name:
        case "auto" | "rpy2" | "rscript":
            return name
    raise UnsupportedError(f"There is no bridge {name!r} to R.", available="auto, rpy2, rscript")


def _find_script(script: str | Path) -> str:
    path = Path(script)
    found = path if path.is_absolute() or len(path.parts) > 1 else scripts_dir() / path
    if not found.is_file():
        available = ", ".join(sorted(one.name for one in scripts_dir().glob("*.R")))
        raise UnsupportedError(f"There is no R script {script!s}.", available=f"{available}, or the path of a file")
    return str(found.resolve())
