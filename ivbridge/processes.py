"""Python processes that do one function's tasks, each with an R of its own where the function asks R."""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Event
from types import TracebackType
from typing import Generic, TypeVar

from ivbridge.engines.limits import memory_now, r_limits, timeout_now
from ivbridge.errors import EngineError

__all__ = ["PythonProcess", "python_processes"]

T = TypeVar("T")
V = TypeVar("V")

#: What limits the threads of every linear algebra library that numpy may use.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class PythonProcess(Generic[T, V]):
    """One Python process that computes with one thread; a `ivbridge.crew.Member`.

    Parameters
    ----------
    function : callable (task) -> answer
        A function of a module, or a record with such functions: it is sent to the process, as are task and answer.
    """

    def __init__(self, function: Callable[[T], V]) -> None:
        self._function = function
        self._context: SpawnContext = multiprocessing.get_context("spawn")
        self._stop: Event = self._context.Event()
        self._executor: ProcessPoolExecutor | None = None

    def start(self) -> None:
        """Start the process unless it runs, and wait until it does.

        Raises
        ------
        EngineError
            It ended while it started.
        """
        if self._executor is not None:
            return
        self._stop.clear()
        self._executor = ProcessPoolExecutor(1, self._context, initializer=_start, initargs=(self._stop,))
        try:
            self._executor.submit(os.getpid).result()
        except BrokenProcessPool:
            self.close()
            raise EngineError(
                "A Python process could not be started.",
                do='put the call below `if __name__ == "__main__":` if it stands in a script.',
            ) from None

    def ask(self, task: T) -> V:
        """Do the task in the process and return the answer; raise what the function raises.

        Raises
        ------
        BrokenProcessPool
            The process died; the next `start` replaces it.
        """
        self.start()
        assert self._executor is not None
        try:
            return self._executor.submit(self._function, task).result()
        except BrokenProcessPool:
            self.close()
            raise

    def kill(self) -> None:
        """Give up what is being done; the process ends, and R with it."""
        self._stop.set()

    def close(self) -> None:
        """End the process when it has nothing to do."""
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None

    def __enter__(self) -> PythonProcess[T, V]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def python_processes(function: Callable[[T], V], number: int) -> Iterator[list[PythonProcess[T, V]]]:
    """Processes for one function, ended with the block; the caller's `ivbridge.r_limits` hold in them."""
    seconds = timeout_now(otherwise=math.nan)  # NaN: nobody says, and what is asked has its own default
    limited = functools.partial(_limited, None if math.isnan(seconds) else seconds, memory_now() or math.inf, function)
    with _one_thread(), ExitStack() as stack:
        yield [stack.enter_context(PythonProcess(limited)) for _ in range(number)]


def _limited(seconds: float | None, memory_bytes: float, function: Callable[[T], V], task: T) -> V:
    with r_limits(timeout=seconds, memory_bytes=memory_bytes):
        return function(task)


def _start(stop: Event) -> None:
    """In a new process: the parent decides what an interrupt means, and no process outlives it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    for ended in (stop.wait, *(() if parent is None else (parent.join,))):
        threading.Thread(target=_leave_after, args=(ended,), daemon=True).start()


def _leave_after(wait: Callable[[], object]) -> None:
    wait()
    os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes started inside compute with one thread each."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
