"""A file that keeps the sum so far of each pass, so that a job goes on where it was stopped.

The sums of pieces are joined from the first to the last. What is kept is the sum of the first j pieces: a job that goes
on from there adds the same numbers in the same order as one that was never stopped.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivbridge.errors import DataError
from ivbridge.scale.packed import Arrays, packed, unpacked

__all__ = ["SumsFile"]

_FORMAT = "ivbridge sums 1"
#: What numpy, zipfile, zlib, json and the classes that are built raise of a file that is damaged.
_UNREADABLE = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ImportError, EOFError, RuntimeError, ArithmeticError,
    MemoryError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip
#: A file is written at most so often, seconds, and takes at most this share of the time.
PAUSE, SHARE = 0.5, 0.05


@dataclass(slots=True)
class _Pass:
    pieces: int
    total: Any


class SumsFile:
    """Sums of passes that are in the file, and those that come.

    Parameters
    ----------
    path : path or None
        The file, made or continued; None keeps nothing.
    state : str
        What says that the data are the same (:attr:`ivbridge.scale.sources.Source.state`).

    Raises
    ------
    DataError
        If the file holds sums of other data, or is no file of sums.
    """

    def __init__(self, path: Path | str | None, state: str) -> None:
        self._path = None if path is None else Path(path).expanduser()
        self._state, self._passes = state, dict[str, _Pass]()
        self._next = 0.0
        if self._path is not None:
            self._read(self._path)

    def get(self, key: str) -> tuple[int, Any]:
        """How many pieces the pass has added up, and their sum (None for no piece)."""
        found = self._passes.get(key)
        return (0, None) if found is None else (found.pieces, found.total)

    def put(self, key: str, pieces: int, total: Any, *, last: bool) -> None:
        """Keep a sum; it is in the file when this returns, unless the file was written a moment ago.

        Parameters
        ----------
        key : str
        pieces : int
        total : Sum
        last : bool
            Whether the pass is complete, which is written at once.

        Raises
        ------
        DataError
            If the file cannot be written.
        """
        if self._path is None:
            return
        self._passes[key] = _Pass(pieces, total)
        started = time.monotonic()
        if last or started >= self._next:
            self._write(self._path)
            now = time.monotonic()
            self._next = now + max(PAUSE, (now - started) / SHARE)

    def _write(self, path: Path) -> None:
        arrays: Arrays = []
        passes = {key: {"pieces": p.pieces, "total": packed(p.total, arrays)} for key, p in self._passes.items()}
        head = json.dumps({"format": _FORMAT, "state": self._state, "passes": passes}).encode()
        draft = path.with_name(f"{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with draft.open("wb") as file:
                names = {f"a{j}": array for j, array in enumerate(arrays)}
                np.savez(file, allow_pickle=False, head=np.frombuffer(head, dtype=np.uint8), **names)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except OSError as error:
            draft.unlink(missing_ok=True)
            do = "make room or choose another file: what it holds already is kept."
            raise DataError(f"{path} cannot be written: {error.strerror}.", do=do) from error

    def _read(self, path: Path) -> None:
        if not path.exists():
            return
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
                head = json.loads(content["head"].tobytes())
                if head["format"] != _FORMAT:
                    raise ValueError(head["format"])
                if head["state"] == self._state:
                    arrays = [content[f"a{j}"] for j in range(len(content.files) - 1)]
                    self._passes = {
                        key: _Pass(one["pieces"], unpacked(one["total"], arrays)) for key, one in head["passes"].items()
                    }
        except _UNREADABLE as error:
            raise DataError(f"{path} is no file of sums: {error}.", do="choose another file, or delete it.") from error
        if head["state"] != self._state:
            raise DataError(
                f"{path} holds sums of other data: {head['state']}; asked now: {self._state}. A file of the data has "
                "changed since, or others are named.",
                do="delete it to start again, or choose another file.",
            )
