"""Workers that share out tasks: one task each at a time, a second try for what died, and nothing left running.

A worker is a `Member`: an R process (`ivbridge.engines.pool`) or a Python process (`ivbridge.processes`).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from contextvars import copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Protocol, TypeVar

from ivbridge.errors import EngineError, IvbridgeError, RDiedError, RNotAvailableError, UnsupportedError
from ivbridge.progress import Progress

__all__ = ["FailedTask", "Member", "answers", "complete", "number_of_workers"]

T_contra = TypeVar("T_contra", contravariant=True)
V_co = TypeVar("V_co", covariant=True)
T = TypeVar("T")
V = TypeVar("V")

#: Seconds between two looks at whether what was killed has ended.
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class FailedTask:
    """A task without an answer; the other tasks have theirs.

    Attributes
    ----------
    task : str
        Its name.
    error : IvbridgeError
        Why; of the second attempt where there was one.
    attempts : int
        2 if the worker died over it, was replaced, and died again or then failed; otherwise 1.
    """

    task: str
    error: IvbridgeError
    attempts: int

    def __str__(self) -> str:
        return f"{self.task}: {self.error}"


class Member(Protocol[T_contra, V_co]):
    """A worker, asked by one thread at a time."""

    def start(self) -> None:
        """Make ready what is not; an error here ends the work of all."""
        ...

    def ask(self, task: T_contra) -> V_co:
        """Do the task; a process that ends over it is `RDiedError` or `BrokenProcessPool`, and replaced when asked."""
        ...

    def kill(self) -> None:
        """Let what another thread is waiting for end at once; harmless when repeated."""
        ...


def number_of_workers(asked: int | None) -> int:
    """Return `asked`, or one for each processor that this process may use.

    Raises
    ------
    UnsupportedError
        Fewer than one worker is asked for.
    """
    if asked is None:
        return len(os.sched_getaffinity(0))
    if asked < 1:
        raise UnsupportedError(f"workers={asked} was asked.", available="1 and more; None for one a processor")
    return asked


def answers(
    members: Sequence[Member[T, V]], names: Sequence[str], tasks: Sequence[T]
) -> Generator[tuple[int, V | FailedTask], None, None]:
    """Let members do tasks; yield the place of each task and its answer, in the order in which they come.

    An answer is a `FailedTask` where the member raised an `IvbridgeError`, or died twice. `RNotAvailableError` and
    whatever else a member raises is raised here, and the other members are stopped. Close the iterator
    (``contextlib.closing``) when you stop early: members then give up what they do.

    Parameters
    ----------
    members : sequence of Member
        As many tasks are done at the same time.
    names, tasks : sequences of one length
    """
    idle: SimpleQueue[Member[T, V]] = SimpleQueue()
    for member in members:
        idle.put(member)
    stopped = threading.Event()

    def done(i: int) -> V | FailedTask:
        member = idle.get()
        try:
            return _asked(member, names[i], tasks[i], stopped)
        finally:
            idle.put(member)

    threads = ThreadPoolExecutor(len(members), "ivbridge-crew")
    # threads see the caller's `r_limits`
    pending: dict[Future[V | FailedTask], int] = {
        threads.submit(copy_context().run, done, i): i for i in range(len(tasks))
    }
    try:
        for future in as_completed(tuple(pending)):
            yield pending.pop(future), future.result()
    finally:
        stopped.set()
        running = [future for future in pending if not future.cancel()]
        threads.shutdown(wait=False)
        while wait(running, _LOOK_SECONDS).not_done:
            for member in members:
                member.kill()


def complete(
    found: dict[int, V | FailedTask],
    members: Sequence[Member[T, V]],
    names: Sequence[str],
    tasks: Sequence[T],
    keep: Callable[[int, V], None],
    progress: Progress | None = None,
) -> None:
    """Let members do the tasks that `found` lacks, and put the answers there.

    Parameters
    ----------
    found : dict of place to answer
        What is known already; it is completed.
    members, names, tasks
        As for `answers`; all tasks, those that are done too.
    keep : callable (place, answer)
        Called in this thread for each answer as it comes, not for a `FailedTask`.
    progress : callable, optional
        Called with (tasks done, total, what).
    """
    left = [i for i in range(len(tasks)) if i not in found]
    if progress:
        progress(len(found), len(tasks), f"{len(found)} answers were there" if found else "starting")
    if not left:
        return
    with closing(answers(members[: len(left)], [names[i] for i in left], [tasks[i] for i in left])) as arriving:
        for place, answer in arriving:
            i = left[place]
            found[i] = answer
            if not isinstance(answer, FailedTask):
                keep(i, answer)
            if progress:
                progress(len(found), len(tasks), names[i])


def _asked(member: Member[T, V], name: str, task: T, stopped: threading.Event) -> V | FailedTask:
    """The answer; one more attempt where the process behind the member ended."""
    attempts = 0
    while True:
        member.start()
        attempts += 1
        try:
            return member.ask(task)
        except RNotAvailableError:
            raise
        except (RDiedError, BrokenProcessPool) as error:
            if attempts == 2 or stopped.is_set():
                return FailedTask(name, _told(error), attempts)
        except IvbridgeError as error:
            return FailedTask(name, error, attempts)


def _told(error: RDiedError | BrokenProcessPool) -> IvbridgeError:
    if isinstance(error, RDiedError):
        return error
    return EngineError("The Python process died over it.", do="look for the reason (memory?) and try again.")
