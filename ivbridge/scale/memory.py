"""How much memory a job may take."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from ivbridge.errors import DataError

__all__ = ["allowed", "parsed", "shown"]

_UNITS = {"": 1, "B": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}
#: Less is taken by the program itself.
LEAST = 100e6


def allowed(memory: int | str | None) -> int:
    """Bytes: what is given, or a quarter of the machine's (or the container's) memory.

    Raises
    ------
    DataError
        If the text is no amount, or it is below 100 MB.
    """
    if memory is None:
        return int(_physical() / 4)
    return parsed(memory)


def parsed(memory: int | str) -> int:
    """Bytes of a number or of a text such as ``"1GB"``, ``"750 MB"`` or ``"2GiB"``.

    Raises
    ------
    DataError
        If the text is no amount, or it is below 100 MB.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([KMGT]?I?)B?\s*", str(memory).upper())
    if match is None:
        raise DataError(f"memory={memory!r} is no amount of memory.", do='write "1GB" or a number of bytes.')
    amount = float(match[1]) * _UNITS[match[2]]
    if amount < LEAST:
        raise DataError(f"memory={memory!r} is less than the {shown(LEAST)} that a job needs.", do='write "1GB".')
    return int(amount)


def shown(amount: float) -> str:
    """``"1.5 GB"``."""
    return f"{amount / 1e9:.3g} GB" if amount >= 1e9 else f"{amount / 1e6:.3g} MB"


def _physical() -> float:
    total = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            total = min(total, float(Path(limit).read_text(encoding="ascii")))
    return total
