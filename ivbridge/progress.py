"""A progress bar on stderr for everything that takes ``progress=``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

__all__ = ["PATIENCE", "Progress", "progress_bar"]

Progress = Callable[[int, int, str], None]

#: Seconds of work before a progress bar appears.
PATIENCE = 1.0


@contextmanager
def progress_bar() -> Iterator[Progress | None]:
    """A callback that draws a bar on stderr after a second of work; None where stderr is no terminal or notebook.

    Yields
    ------
    callable (done, total, what) or None
        What :func:`ivbridge.crosscheck`, :func:`ivbridge.crosscheck_many`, :meth:`ivbridge.RPool.map` and
        :func:`ivbridge.study.run` take as ``progress``.

    Examples
    --------
    >>> import ivbridge
    >>> with ivbridge.progress_bar() as progress:
    ...     pass  # ivbridge.crosscheck_many("questions.toml", progress=progress)
    """
    screen = Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)
    if not (screen.is_terminal or screen.is_jupyter):
        yield None
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Bar(*columns, console=screen, transient=True)
    task = bar.add_task("", total=None)
    timer = threading.Timer(PATIENCE, bar.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda done, total, what: bar.update(task, completed=done, total=total, description=what)
    finally:
        timer.cancel()
        bar.stop()
