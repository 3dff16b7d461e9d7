"""One thread of linear algebra at a time.

Tall, thin matrices gain nothing from a second BLAS thread: threads that wait for one another make a fit of 1000 rows
twenty times slower when the machine has other work. With one thread the last bits of an answer do not depend on the
number of processors either. R's process computes with one thread, too.
"""

from __future__ import annotations

from contextlib import ContextDecorator
from functools import cache
from threading import Lock
from typing import Any

__all__ = ["blas_text", "one_thread"]

_limited = Lock()


def one_thread() -> _OneThread:
    """Within the block, or the decorated function, the BLAS of numpy and scipy compute with one thread.

    The number of threads is the whole process's. Where several threads of Python come here at the same time, the first
    one decides, and sets it back when it leaves.
    """
    return _OneThread()


class _OneThread(ContextDecorator):
    """Remembers how many threads there were; threadpoolctl's own context takes four times as long to enter."""

    def __init__(self) -> None:
        self.before: list[int] | None = None

    def _recreate_cm(self) -> _OneThread:
        return _OneThread()

    def __enter__(self) -> None:
        if _limited.acquire(blocking=False):
            self.before = [library.num_threads for library in _libraries()]
            for library, before in zip(_libraries(), self.before, strict=True):
                if before != 1:
                    library.set_num_threads(1)

    def __exit__(self, *_: object) -> None:
        if self.before is None:
            return
        try:
            for library, before in zip(_libraries(), self.before, strict=True):
                if before != 1:
                    library.set_num_threads(before)
        finally:
            self.before = None
            _limited.release()


@cache
def blas_text() -> str:
    """Name and version of numpy's BLAS."""
    import numpy as np

    config: Any = np.show_config(mode="dicts") or {}
    found = config.get("Build Dependencies", {}).get("blas", {})
    return f"{found.get('name', 'unknown')} {found.get('version', '')}".strip()


@cache
def _libraries() -> list[Any]:
    import scipy.linalg  # noqa: F401  # brings a BLAS of its own, which must be loaded to be found
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)
