"""One thread of linear algebra at a time.

Tall, thin matrices gain nothing from a second BLAS thread: threads that wait for one another make a fit of 1000 rows
twenty times slower when the machine has other work. With one thread the last bits of an answer do not depend on the
number of processors either. R's process computes with one thread, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

__all__ = ["one_thread"]

_limited = Lock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Within the block, or the decorated function, the BLAS of numpy and scipy compute with one thread.

    The number of threads is the whole process's. Where several threads of Python come here at the same time, the first
    one decides, and sets it back when it leaves.
    """
    if not _limited.acquire(blocking=False):
        yield
        return
    try:
        with _libraries().limit(limits=1, user_api="blas"):
            yield
    finally:
        _limited.release()


@cache
def _libraries() -> Any:
    import scipy.linalg  # noqa: F401  # brings a BLAS of its own, which must be loaded to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
