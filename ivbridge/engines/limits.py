"""How long R may take and how much memory it may have: for a block of code, or for everything by the environment."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass

from ivbridge.errors import UnsupportedError

__all__ = ["MINIMUM_BYTES", "SECONDS", "checked_memory", "checked_timeout", "memory_now", "r_limits", "timeout_now"]

#: Seconds that one call of R may take where nobody says otherwise.
SECONDS = 300.0
#: The smallest memory limit. R with AER and glmnet maps half of it before it sees any data.
MINIMUM_BYTES = 1_000_000_000
#: The system counts bytes of address space with 63 bits.
_BEYOND = 2.0**63
_TIMEOUT, _MEMORY = "IVBRIDGE_R_TIMEOUT", "IVBRIDGE_R_MEMORY"


@dataclass(frozen=True, slots=True)
class _Limits:
    timeout: float | None = None
    memory_bytes: float | None = None


_NONE = _Limits()
_limits: ContextVar[_Limits] = ContextVar("ivbridge_r_limits", default=_NONE)


@contextlib.contextmanager
def r_limits(*, timeout: float | None = None, memory_bytes: float | None = None) -> Iterator[None]:
    """Limit everything that asks R inside a ``with`` block: `fit`, `crosscheck`, selection, encouragement, studies.

    Parameters
    ----------
    timeout : float, optional
        Seconds that each call of R may take, without the start of R; ``math.inf`` for no limit. Default: as outside
        the block, which is the environment variable ``IVBRIDGE_R_TIMEOUT``, otherwise 300 (3600 for a LASSO).
    memory_bytes : float, optional
        Address space that the R process may map, at least 1e9 (R with its packages takes half of that before it sees
        any data); ``math.inf`` for no limit. Default: as outside the block, which is the environment variable
        ``IVBRIDGE_R_MEMORY``, otherwise no limit. R is started again where its limit is another one.

    Raises
    ------
    UnsupportedError
        If a limit is not such a number.

    Notes
    -----
    Beyond the limits a call raises `RTimeoutError` or `RMemoryError`. A worker's own ``timeout=`` and
    ``memory_bytes=``, and those of a call, come before these. The block belongs to the thread or asyncio task that
    opens it; ``asyncio.to_thread`` hands it on, a new thread does not see it.

    Examples
    --------
    >>> import ivbridge
    >>> with ivbridge.r_limits(timeout=10, memory_bytes=4e9):
    ...     pass  # ivbridge.crosscheck(...)
    """
    outer = _limits.get()
    inner = _Limits(
        outer.timeout if timeout is None else checked_timeout(timeout),
        outer.memory_bytes if memory_bytes is None else checked_memory(memory_bytes),
    )
    token = _limits.set(inner)
    try:
        yield
    finally:
        _limits.reset(token)


def timeout_now(otherwise: float = SECONDS) -> float:
    """Seconds that a call may take here: of the innermost `r_limits`, else of the environment, else `otherwise`.

    Raises
    ------
    UnsupportedError
        If the environment variable is not a number above 0.
    """
    inner = _limits.get().timeout
    if inner is not None:
        return inner
    set_outside = _environment(_TIMEOUT)
    return otherwise if set_outside is None else checked_timeout(set_outside, f"{_TIMEOUT}={set_outside:g}")


def memory_now() -> int | None:
    """Bytes that R may map here, None for no limit: of the innermost `r_limits`, else of the environment.

    Raises
    ------
    UnsupportedError
        If the environment variable is not a number of at least 1e9.
    """
    found = _limits.get().memory_bytes
    if found is None and (set_outside := _environment(_MEMORY)) is not None:
        found = checked_memory(set_outside, f"{_MEMORY}={set_outside:g}")
    return None if found is None or math.isinf(found) else int(found)


def checked_timeout(seconds: float, asked: str = "") -> float:
    """Return `seconds` as a float.

    Raises
    ------
    UnsupportedError
        If they are not above 0; `asked` is how the message calls the setting.
    """
    if not seconds > 0:
        raise UnsupportedError(
            f"{asked or f'timeout={seconds!r}'} was asked.",
            available="seconds above 0, math.inf for no limit",
            do=f"unset {_TIMEOUT}, or set it to such a number" if asked else "",
        )
    return float(seconds)


def checked_memory(size: float, asked: str = "") -> float:
    """Return `size`, a number of bytes.

    Raises
    ------
    UnsupportedError
        If it is less than R needs to start; `asked` is how the message calls the setting.
    """
    if not size >= MINIMUM_BYTES:
        raise UnsupportedError(
            f"{asked or f'memory_bytes={size!r}'} was asked.",
            available=f"at least {MINIMUM_BYTES:.0e} bytes, of which R takes half before it sees any data; math.inf",
            do=f"unset {_MEMORY}, or set it to such a number" if asked else "",
        )
    return size if size < _BEYOND else math.inf


def _environment(name: str) -> float | None:
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise UnsupportedError(
            f"The environment variable {name} is {text!r}.",
            available="a number, as in 60 or 4e9; inf for no limit",
            do=f"unset {name}, or set it to a number",
        ) from None
