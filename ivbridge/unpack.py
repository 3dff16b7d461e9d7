"""Packed files, up to a limit: a few kilobytes must not become a disk full of zeros in memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ivbridge.errors import DataError

__all__ = [
    "FLOOR",
    "RATIO",
    "READING_FAILURES",
    "UNPACKING_FAILURES",
    "allowed_bytes",
    "is_packed",
    "opened",
    "unpacked",
]

#: Up to this many bytes, anything may unpack; beyond it, to at most :data:`RATIO` times the bytes of the file. Tables
#: of numbers and text shrink to a third or a tenth, 0/1 columns to a fiftieth; gzip ends at a thousandth, xz far lower.
FLOOR, RATIO = 1 << 25, 250
#: What the standard library raises for damaged packed files.
UNPACKING_FAILURES = (OSError, EOFError, lzma.LZMAError, zlib.error)
#: What the packages that read files raise for damaged ones: found by changing bytes of good files.
READING_FAILURES = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, NameError, OSError,
    RuntimeError, StopIteration, TypeError, ValueError, struct.error,
)  # fmt: skip
_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_MAGIC = {b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz"}
_CHUNK = 1 << 20


def allowed_bytes(packed: int) -> int:
    """How large the content of a file of ``packed`` bytes may be."""
    return max(FLOOR, RATIO * packed)


def is_packed(path: Path) -> bool:
    """Whether a name ends in ``.gz``, ``.bz2`` or ``.xz``."""
    return path.suffix.lower() in _OPENERS


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The content of a file, unpacked as its name says.

    Raises
    ------
    DataError
        While it is read: it unpacks to more than :func:`allowed_bytes`.
    """
    opener = _OPENERS.get(path.suffix.lower())
    if opener is None:
        with path.open("rb") as plain:
            yield plain
        return
    with opener(path, "rb") as packed, io.BufferedReader(_Counted(packed, path), _CHUNK) as content:
        yield content


class _Counted(io.RawIOBase):
    """Counts what comes out of a packed file."""

    def __init__(self, packed: IO[bytes], path: Path) -> None:
        self._packed, self._path = packed, path
        self._left = allowed_bytes(path.stat().st_size)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes."""
        found = self._packed.read(len(buffer))
        buffer[: len(found)] = found
        self._left -= len(found)
        if self._left < 0:
            raise _too_large(self._path)
        return len(found)


def unpacked(path: Path) -> bytes:
    """All of a file, unpacked as its first bytes say, which is how R tells.

    Raises
    ------
    DataError
        It is damaged, packed more than once, or unpacks to more than :func:`allowed_bytes`.
    """
    raw = path.read_bytes()
    ending = _ending(raw)
    if ending is None:
        return raw
    limit = allowed_bytes(len(raw))
    try:
        with _OPENERS[ending](io.BytesIO(raw), "rb") as packed:
            content: bytes = packed.read(limit + 1)
    except UNPACKING_FAILURES as error:
        raise DataError(f"{path} is damaged: {error}.") from error
    if len(content) > limit:
        raise _too_large(path)
    if _ending(content):
        raise DataError(f"{path} is packed more than once.", do="unpack it, and read what comes out.")
    return content


def _ending(raw: bytes) -> str | None:
    return next((ending for magic, ending in _MAGIC.items() if raw.startswith(magic)), None)


def _too_large(path: Path) -> DataError:
    return DataError(
        f"{path} unpacks to more than {RATIO} times its size, which tables do not.",
        do="if you trust the file, unpack it yourself and read the result.",
    )
