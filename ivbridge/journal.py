"""A file that a long computation appends to, one JSON object a line, and from which it goes on when it was stopped."""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from types import BuiltinFunctionType, FunctionType
from typing import Any

from ivbridge.errors import DataError

__all__ = ["Journal", "described"]

#: The key of a line that says what the names in the rows mean; every other line is a row.
_ABOUT = "about"
#: How a journal that has names to describe begins.
_HEAD = b'{"about": {'


class Journal:
    """Rows that are in the file, and those that come.

    Attributes
    ----------
    rows : list of dict
        In the order in which they came.
    """

    def __init__(self, stream: FileIO | None, rows: list[dict[str, Any]]) -> None:
        self._stream, self.rows = stream, rows

    @classmethod
    @contextmanager
    def opened(cls, path: Path | str | None, about: Mapping[str, str]) -> Iterator[Journal]:
        """A journal on a file, which is made or continued; without a path it is kept in memory.

        Parameters
        ----------
        path : path or None
        about : mapping
            What each name in the rows stands for.

        Raises
        ------
        DataError
            If the file says that a name stands for something else, if a line other than the last one cannot be read,
            if it is no journal at all, or if another process writes to the file. A file that is refused stays as it is.
        """
        if path is None:
            yield cls(None, [])
            return
        place = Path(path)
        with _opened(place) as stream:
            _lock(stream, place)
            known, rows = _read(stream, place, headed=bool(about))
            for name, meaning in about.items():
                if known.get(name, meaning) != meaning:
                    raise DataError(
                        f"{place} holds another {name}: {known[name]}; asked now: {meaning}.",
                        do="give this study a file of its own, or delete that one.",
                    )
            journal = cls(stream, rows)
            if new := {name: meaning for name, meaning in about.items() if name not in known}:
                journal._write([{_ABOUT: new}])
            yield journal

    def append(self, rows: Sequence[dict[str, Any]]) -> None:
        """Keep rows; they are in the file when this returns. NaN and infinity are kept."""
        self.rows.extend(rows)
        self._write(rows)

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._stream is None:
            return
        left = memoryview("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
        try:
            while left:
                left = left[self._stream.write(left) :]
        except OSError as error:
            raise DataError(
                f"{self._stream.name} cannot be written: {error.strerror}.",
                do="make room and run it again: what the file holds already is kept.",
            ) from error


def _opened(place: Path) -> FileIO:
    try:
        if place.exists() and not place.is_file():
            raise DataError(f"{place} is not a file.", do="choose another name.")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place.open("a+b", buffering=0)  # what does not fit on the disk is not tried again when it is closed
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{str(place)[:200]} cannot be written: {reason}.") from error


def _lock(stream: FileIO, place: Path) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DataError(f"Another process writes to {place}.", do="wait for it, or choose another file.") from None


def _read(stream: FileIO, place: Path, *, headed: bool) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Descriptions and rows; a last line without its end is cut off, once the rest is known to be a journal."""
    stream.seek(0)
    content = stream.read()
    whole = content.rfind(b"\n") + 1
    start = _HEAD if headed else _HEAD[:1]
    if content and not (content.startswith(start) or start.startswith(content)):
        raise DataError(f"{place} is no file of a study.", do="choose another file.")
    known: dict[str, str] = {}
    rows = []
    for number, line in enumerate(content[:whole].splitlines(), start=1):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            raise DataError(f"Line {number} of {place} cannot be read.", do="delete that line or the file.") from None
        about = entry.get(_ABOUT, {}) if isinstance(entry, dict) else None
        if not isinstance(about, dict):
            raise DataError(f"Line {number} of {place} is no row of a study.", do="choose another file.")
        if _ABOUT in entry:
            known |= about
        else:
            rows.append(entry)
    if whole < len(content):
        stream.truncate(whole)
    return known, rows


def described(thing: object) -> str:
    """Text that tells one function, record or value from another and is the same in every process.

    >>> described((described, 1))
    '(ivbridge.journal.described, 1)'
    """
    if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
        fields = (f"{field.name}={described(getattr(thing, field.name))}" for field in dataclasses.fields(thing))
        return f"{type(thing).__name__}({', '.join(fields)})"
    if isinstance(thing, functools.partial):
        parts = [*map(described, thing.args), *(f"{name}={described(value)}" for name, value in thing.keywords.items())]
        return f"{described(thing.func)}({', '.join(parts)})"
    if isinstance(thing, tuple | list):
        return f"({', '.join(map(described, thing))})"
    if isinstance(thing, FunctionType | BuiltinFunctionType | type):
        return f"{thing.__module__}.{thing.__qualname__}"
    return repr(thing)
