"""The R process. The only module that imports rpy2, and of rpy2 only ``rinterface``.

`ivbridge.engines.process` starts it, sends `~ivbridge.engines.wire.Request` records and reads the answers. It serves
one connection from its main thread and ends with it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import json
import locale
import os
import resource
import select
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ivbridge.engines.plain import plain
from ivbridge.engines.r_gate import IMPORT_FAILURES, check_before_import, import_failure
from ivbridge.engines.r_values import Builder, Reader, UnsendableError
from ivbridge.engines.wire import Items, Node, Request, receive, send
from ivbridge.errors import RNotAvailableError
from ivbridge.resources import scripts_dir

__all__ = ["failed", "finished", "main", "prepare"]

#: Bytes of C stack that R may use before it raises "C stack usage is too close to the limit". rpy2 switches the check
#: off by default, and deep recursion then crashes the process. 7 MB leaves 1 MB of the usual 8 MB for Python.
STACK_BYTES = 7_000_000
_LOCALES = ("C.UTF-8", "C.utf8", "en_US.UTF-8", "UTF-8")
_WATCH_MILLISECONDS = 500


def main(text: str) -> None:
    """Serve until the connection closes; `text` is the JSON configuration that the parent passes."""
    config = json.loads(text)
    directory = Path(config["directory"])
    os.set_inheritable(config["descriptor"], False)  # what R starts must not keep the connection open after R
    sock = socket.socket(fileno=config["descriptor"])
    watch = threading.Thread(target=_watch_parent, args=(config["parent"], sock.fileno(), directory), daemon=True)
    watch.start()
    prepare(config["memory_bytes"])
    try:
        _serve(sock, config["scripts"], directory)
    except (EOFError, ConnectionError):
        watch.join()  # it sees the hang-up too, and cleans up before it ends this process


def _serve(sock: socket.socket, scripts: list[str], directory: Path) -> None:
    try:
        session = Session(_start_r())
    except RNotAvailableError as error:
        send(sock, failed("ivb_missing", error.message, do=error.do), directory)
        return
    send(sock, session.source(scripts), directory)
    while True:
        try:
            request: Request = receive(sock, copy=False)
            send(sock, session.answer(request), directory)
        except (MemoryError, OSError) as error:
            if not isinstance(error, MemoryError) and error.errno != errno.ENOMEM:
                raise
            send(sock, failed("ivb_memory", "memory ran out while values went to or came from R"), directory)
        session.reader.release()


def prepare(memory_bytes: int | None) -> None:
    """Locale, limits and signals; R reads them when it starts."""
    with contextlib.suppress(OSError):  # only Linux; where memory runs out, R is to end and not what asked it
        Path("/proc/self/oom_score_adj").write_text("500")
    for name in _LOCALES:
        try:
            locale.setlocale(locale.LC_CTYPE, name)
        except locale.Error:
            continue
        os.environ["LANG"] = os.environ["LC_CTYPE"] = name
        break
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _watch_parent(parent: int, descriptor: int, directory: Path) -> None:
    """End this process and everything it started when the parent is gone, even in the middle of an R loop."""
    poll = select.poll()
    poll.register(descriptor, 0)  # only hang-ups
    while not poll.poll(_WATCH_MILLISECONDS) and os.getppid() == parent:
        pass
    shutil.rmtree(directory, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)


def _start_r() -> Any:
    """Import rpy2 and start R; return the module ``rpy2.rinterface``."""
    check_before_import()
    failures = (*IMPORT_FAILURES, importlib.import_module("_cffi_backend").FFI.error)
    try:
        embedded = importlib.import_module("rpy2.rinterface_lib.embedded")
        # rpy2 looks for this helper at every read of a vector; without it, it takes NumPy, in both of its modes
        sys.modules["rpy2.rinterface_lib._bufferprotocol"] = None  # type: ignore[assignment]
        rinterface = importlib.import_module("rpy2.rinterface")
        embedded.set_initoptions(("rpy2", "--quiet", "--vanilla", "--no-save"))
        # without rpy2's callbacks R prints to standard output itself: in order with its children, and any bytes
        rinterface.initr(interactive=False, _want_setcallbacks=False, _c_stack_limit=_stack_limit())
    except failures as error:
        raise import_failure(error) from error
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return rinterface


def _stack_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return STACK_BYTES if soft == resource.RLIM_INFINITY else min(STACK_BYTES, soft * 7 // 8)


class Session:
    """R with the scripts loaded: turns a `Request` into an answer, a dictionary of plain values."""

    def __init__(self, rinterface: Any) -> None:
        self.r = rinterface
        self.base = rinterface.baseenv
        # UnicodeDecodeError: rpy2 reads R's last message to build its own exception, and that may hold any bytes
        raised = importlib.import_module("rpy2.rinterface_lib.embedded").RRuntimeError
        self.failures = (raised, MemoryError, UnicodeDecodeError)
        self.helpers = self.base["new.env"](parent=rinterface.globalenv)
        self.builder = Builder(rinterface, self.helpers)
        self.reader = Reader(rinterface, self.helpers)
        self.public = self.base["new.env"](parent=rinterface.globalenv)
        self.base["sys.source"](self.builder.strings([str(scripts_dir() / "call.R")]), self.helpers)

    def source(self, scripts: list[str]) -> dict[str, Any]:
        """Load the scripts, `provenance.R` always among them; the answer of the first that fails, or of the last."""
        answer: dict[str, Any] = {}
        for path in (str(scripts_dir() / "provenance.R"), *scripts):
            answer = self._guard(
                functools.partial(self.helpers["call_source"], self.builder.strings([path]), self.public)
            )
            if answer["failure"] is not None:
                break
        return answer

    def answer(self, request: Request) -> dict[str, Any]:
        """Call one function: a dictionary of ``value`` (a record), ``failure``, ``warnings`` and ``messages``."""

        def call() -> Any:
            arguments = self.builder.build(Items(list(request.arguments.values()), list(request.arguments)))
            request.arguments.clear()  # R has its copy; give the mapped file back before the work begins
            return self.helpers["call_function"](self.public, self.builder.strings([request.function]), arguments)

        return self._guard(call)

    def _guard(self, call: Callable[[], Any]) -> dict[str, Any]:
        try:
            found = call()
            names = found.do_slot("names")
            parts = {name: self.reader.read(part, name) for name, part in zip(names, found, strict=True)}
        except self.failures as error:  # not from the called function: memory ran out while values were built or read
            kind = "ivb_memory" if isinstance(error, MemoryError) else type(error).__name__
            return failed(kind, str(error) or "memory ran out")
        except UnsendableError as error:
            return failed("ivb_unsendable", str(error))
        return finished(parts)


def finished(parts: dict[str, Node]) -> dict[str, Any]:
    """The answer of which R gave these parts: ``value`` stays a record, the others become plain values."""
    value = parts.pop("value")
    outcome: dict[str, Any] = {"value": value, **{name: plain(part) for name, part in parts.items()}}
    failure = outcome["failure"]
    if failure is not None:
        outcome["failure"] = {
            "classes": tuple(failure["classes"]),
            **{key: failure[key][0] for key in ("message", "call", "package")},
        }
    return outcome


def failed(kind: str, message: str, do: str = "") -> dict[str, Any]:
    """An answer without a value: why there is none."""
    failure = {"classes": (kind, "error", "condition"), "message": message, "call": "", "package": "", "do": do}
    return {"value": None, "failure": failure, "warnings": [], "messages": []}
