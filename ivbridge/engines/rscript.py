"""The R process where rpy2 cannot be loaded: R's own program ``Rscript``, and beside it a relay that speaks for it.

The process that `ivbridge.engines.child` started becomes R, so its number and the way it ends are R's. The relay is a
copy of it made before: it holds the connection to the parent, translates each request into R's serialization and each
answer back (`ivbridge.engines.rserial`), and ends the process group if the parent is gone. It loads neither rpy2 nor
R's library.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from ivbridge.engines.r_gate import r_home
from ivbridge.engines.r_values import UnsendableError
from ivbridge.engines.r_worker import failed, finished, prepare
from ivbridge.engines.rserial import Chunk, read_value, record, serialized
from ivbridge.engines.wire import FILE_BYTES, Items, Node, Request, Text, receive, send
from ivbridge.resources import scripts_dir

__all__ = ["main"]

_WATCH_MILLISECONDS = 200
#: This long is left for what is under way: an answer to be passed on, R to end after it has closed its pipe.
_LAST_SECONDS = 0.2
#: Some systems write less than 2 GiB in one call.
_CHUNK = 1 << 30


def main(text: str) -> None:
    """Become R, and leave a relay; `text` is the JSON configuration that the parent passes."""
    config = json.loads(text)
    program = r_home() / "bin" / "Rscript"
    if not program.is_file():
        with socket.socket(fileno=config["descriptor"]) as sock:
            send(sock, failed("ivb_missing", f"There is no {program}.", do="reinstall R"), Path(config["directory"]))
        return
    prepare(config["memory_bytes"])
    (r_reads, requests), (answers, r_writes) = os.pipe(), os.pipe()
    r = os.getpid()
    if not os.fork():
        os.close(r_reads)
        os.close(r_writes)
        _relay(config, r, requests, answers)
    for descriptor in (r_reads, r_writes):
        os.set_inheritable(descriptor, True)
    os.set_inheritable(config["descriptor"], False)
    pipes = [f"/dev/fd/{descriptor}" for descriptor in (r_reads, r_writes)]
    scripts = scripts_dir()
    arguments = ["--vanilla", str(scripts / "worker.R"), str(scripts), *pipes]
    os.execv(program, [str(program), *arguments])  # nosec B606  # R itself, no shell, no word of it from data


def _relay(config: dict[str, Any], r: int, requests: int, answers: int) -> NoReturn:
    """Serve until the connection or R ends; never return."""
    directory = Path(config["directory"])
    sock = socket.socket(fileno=config["descriptor"])
    watch = threading.Thread(target=_watch, args=(config["parent"], r, sock.fileno(), directory), daemon=True)
    watch.start()
    session = _Session(requests, answers, directory)
    with contextlib.suppress(EOFError, ConnectionError):
        send(sock, session.source(config["scripts"]), directory)
        while True:
            try:
                session.ask(receive(sock, copy=False))
            except (MemoryError, OSError) as error:
                if not isinstance(error, MemoryError) and error.errno != errno.ENOMEM:
                    raise
                send(sock, failed("ivb_memory", "memory ran out while values went to R"), directory)
            else:
                send(sock, session.answer(), directory)
    _end(r, directory)


def _watch(parent: int, r: int, descriptor: int, directory: Path) -> None:
    """End what is left when the parent or R has ended, even in the middle of an R loop."""
    poll = select.poll()
    poll.register(descriptor, 0)  # only hang-ups
    while os.getppid() == r and not poll.poll(_WATCH_MILLISECONDS) and _exists(parent):
        pass
    time.sleep(_LAST_SECONDS)
    _end(r, directory)


def _end(r: int, directory: Path) -> NoReturn:
    """End this process; R too, if it is not about to end by itself, for then nobody is left who asks it."""
    give_up = time.monotonic() + _LAST_SECONDS
    while os.getppid() == r and time.monotonic() < give_up:
        time.sleep(0.002)
    if os.getppid() == r:
        shutil.rmtree(directory, ignore_errors=True)
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


class _Session:
    """R behind two pipes: turns a `Request` into an answer, a dictionary of plain values and one record."""

    def __init__(self, requests: int, answers: int, directory: Path) -> None:
        self.requests, self.answers, self.directory = requests, os.fdopen(answers, "rb"), directory

    def source(self, scripts: list[str]) -> dict[str, Any]:
        """Load the scripts, `provenance.R` always among them; the answer of the first that fails, or of the last."""
        answer: dict[str, Any] = {}
        for path in (str(scripts_dir() / "provenance.R"), *scripts):
            self._send([_text("source"), _text(path)])
            answer = self.answer()
            if answer["failure"] is not None:
                break
        return answer

    def ask(self, request: Request) -> None:
        """Call one function."""
        arguments = Items(list(request.arguments.values()), list(request.arguments))
        request.arguments.clear()  # R has its copy soon; give the mapped file back before the work begins
        self._send([_text("call"), _text(request.function), arguments])

    def answer(self) -> dict[str, Any]:
        """Wait for the answer: a dictionary of ``value`` (a record), ``failure``, ``warnings`` and ``messages``."""
        found: Any = read_value(self.answers)
        names = found.attributes["names"].data
        try:
            return finished({name: record(part, name) for name, part in zip(names, found.data, strict=True)})
        except UnsendableError as error:
            return failed("ivb_unsendable", str(error))

    def _send(self, parts: list[Node]) -> None:
        chunks = serialized(Items(parts, None))
        parts.clear()
        if sum(map(len, chunks)) < FILE_BYTES:
            _write(self.requests, chunks)
            return
        with _passed_file(self.directory) as (descriptor, path):
            _write(descriptor, chunks)
            chunks.clear()
            _write(self.requests, serialized(Items([_text(path)], None)))
            read_value(self.answers)  # R has read the file


def _text(value: str) -> Text:
    return Text(np.ones(1, dtype=np.int32), [value])


def _write(descriptor: int, chunks: list[Chunk]) -> None:
    for chunk in chunks:
        rest = memoryview(chunk)
        while rest.nbytes:
            rest = rest[os.write(descriptor, rest[:_CHUNK]) :]


@contextlib.contextmanager
def _passed_file(directory: Path) -> Iterator[tuple[int, str]]:
    """A file that R can open by name: in memory where the system offers that, otherwise in the private directory."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("ivbridge", os.MFD_CLOEXEC)
        path = f"/proc/{os.getpid()}/fd/{descriptor}"
    else:
        descriptor, path = tempfile.mkstemp(dir=directory)
    try:
        yield descriptor, path
    finally:
        os.close(descriptor)
        if not path.startswith("/proc/"):
            Path(path).unlink()
