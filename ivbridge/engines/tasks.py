"""R and asyncio: run a blocking function in a thread, so that cancelling it stops R as well."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import ParamSpec, Protocol, TypeVar

from ivbridge.errors import RDiedError

__all__ = ["stoppable", "to_thread"]

P = ParamSpec("P")
V = TypeVar("V")


class _Killable(Protocol):
    def kill(self) -> None: ...


class _Scope:
    """What one `to_thread` has running, and whether it was cancelled."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cancelled = False
        self._process: _Killable | None = None

    def enter(self, process: _Killable) -> None:
        with self._lock:
            if self._cancelled:
                raise RDiedError("R was not asked: the task that wanted to was cancelled.")
            self._process = process

    def leave(self) -> None:
        with self._lock:
            self._process = None

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            if self._process is not None:
                self._process.kill()


_scope: ContextVar[_Scope | None] = ContextVar("ivbridge_scope", default=None)


@contextlib.contextmanager
def stoppable(process: _Killable) -> Iterator[None]:
    """Let a cancelled `to_thread` kill `process` while the block runs.

    Raises
    ------
    RDiedError
        The task was cancelled before.
    """
    scope = _scope.get()
    if scope is None:
        yield
        return
    scope.enter(process)
    try:
        yield
    finally:
        scope.leave()


async def to_thread(function: Callable[P, V], /, *args: P.args, **kwargs: P.kwargs) -> V:
    """Run a function that asks R in a thread and wait for it, as `asyncio.to_thread`; cancelling it stops R too.

    Parameters
    ----------
    function : callable
        `fit`, `crosscheck`, `RWorker.call`, or a function of your own that calls these.
    *args, **kwargs
        Its arguments.

    Returns
    -------
    object
        What `function` returned.

    Raises
    ------
    asyncio.CancelledError
        The task was cancelled, as `asyncio.timeout` does. The R process that the function was waiting for has been
        killed, and the function cannot ask R again: its next question raises `RDiedError` in its thread.

    Notes
    -----
    Functions that use the thread's own R (`fit`, `crosscheck`, …) start one for every thread that the event loop's
    executor uses; one after another they share one.

    Examples
    --------
    >>> import asyncio, ivbridge
    >>> asyncio.run(ivbridge.to_thread(len, "abc"))
    3
    """
    scope = _Scope()

    def run() -> V:
        _scope.set(scope)
        return function(*args, **kwargs)

    try:
        return await asyncio.to_thread(run)
    except asyncio.CancelledError:
        scope.cancel()
        raise
