"""Passes over pieces: joined in order, watched, kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from ivbridge.blocks.rows import Part, Sum
from ivbridge.progress import Progress
from ivbridge.records import FloatArray
from ivbridge.scale.packed import digest
from ivbridge.scale.pieces import Piece, Runner
from ivbridge.scale.resume import SumsFile

__all__ = ["Passes", "Watch"]

S = TypeVar("S", bound=Sum)


@dataclass(slots=True)
class Watch:
    """Tells how far the passes of a job are.

    Attributes
    ----------
    progress : callable (done, total, what) or None
    total : int
        Rows of the source; −1 where it is not known, and pieces are counted.
    number : int
        Passes begun.
    """

    progress: Progress | None
    total: int
    number: int = 0

    def begin(self, name: str, done: int, pieces: int) -> Callable[[int, int], None]:
        """Start a pass that goes on after `done` rows; what it returns is called with rows and pieces done."""
        self.number += 1
        started, first = time.monotonic(), done
        title = f"pass {self.number}, {name}"

        def tell(rows: int, joined: int) -> None:
            if self.progress is None:
                return
            if self.total < 0:
                self.progress(joined, pieces, title)
                return
            speed = (rows - first) / max(time.monotonic() - started, 1e-6)
            left = (self.total - rows) / max(speed, 1e-6)
            self.progress(rows, self.total, f"{title}: {_rate(speed)} rows/s, {_clock(left)} left")

        return tell


def _rate(speed: float) -> str:
    return f"{speed / 1e6:.1f} million" if speed >= 1e6 else f"{speed:,.0f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Rows in pieces, as :class:`~ivbridge.scale.pieces.Pieces`; every sum so far is kept.

    Attributes
    ----------
    pieces : tuple of Piece
    width : int
    start : (width,) array
    runner : Runner
    kept : SumsFile
    watch : Watch
    key : str
        What tells the rows from others of the same source: the question, and how rows become blocks.
    check : callable (part, sum, complete) or None
        Looks at the sum after each piece, and may raise.
    """

    pieces: tuple[Piece, ...]
    width: int
    start: FloatArray
    runner: Runner
    kept: SumsFile
    watch: Watch
    key: str
    check: Callable[[Any, Any, bool], None] | None = field(default=None)

    def pilot(self) -> FloatArray:
        """`start`."""
        return self.start

    def reduce(self, part: Part[S]) -> S:
        """The sum over all pieces, joined in their order."""
        rows = np.cumsum([0, *(getattr(getattr(piece, "raw", None), "rows", 0) for piece in self.pieces)])
        key = digest(self.key, len(self.pieces), part)
        done, total = self.kept.get(key)
        tell = self.watch.begin(type(part).__name__, int(rows[done]), len(self.pieces))
        for found in self.runner.sums(part, self.pieces[done:]):
            total = found if total is None else total + found
            done += 1
            if self.check is not None:
                self.check(part, total, done == len(self.pieces))
            self.kept.put(key, done, total, last=done == len(self.pieces))
            tell(int(rows[done]), done)
        assert total is not None
        joined: S = total
        return joined
