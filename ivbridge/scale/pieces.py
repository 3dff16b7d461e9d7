"""Rows in pieces: each is read by itself, anywhere, and the sums of all are joined in order.

A piece is a description (a file and a range of its rows, say), not data: it can be pickled, sent to another machine and
read there. What a pass does with it is one of the part functions of :mod:`ivbridge.blocks`; a runner decides where.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import reduce
from itertools import chain, islice
from typing import Protocol, TypeVar

from ivbridge.blocks.rows import Block, Part, Sum
from ivbridge.records import FloatArray

__all__ = ["Here", "Piece", "Pieces", "Runner"]

S = TypeVar("S", bound=Sum)


class Piece(Protocol):
    """Some rows, described."""

    def blocks(self) -> Iterator[Block]:
        """Read them; the same blocks every time."""
        ...


class Runner(Protocol):
    """Who applies a part function to pieces: this process, a pool, a cluster."""

    def sums(self, part: Part[S], pieces: Sequence[Piece]) -> Iterator[S]:
        """The sum of each piece, in their order, as they become known."""
        ...


@dataclass(frozen=True, slots=True)
class Here:
    """One piece after the other, in this process; a thread begins to read the next one meanwhile."""

    def sums(self, part: Part[S], pieces: Sequence[Piece]) -> Iterator[S]:
        """The sum of each piece."""
        with ThreadPoolExecutor(1, "reader") as reader:
            waiting = reader.submit(_begun, pieces[0]) if pieces else None
            for following in (*pieces[1:], None):
                if waiting is None:
                    return
                blocks = waiting.result()
                waiting = None if following is None else reader.submit(_begun, following)
                yield part(blocks)


def _begun(piece: Piece) -> Iterator[Block]:
    """Its blocks, of which the first one is read."""
    blocks = iter(piece.blocks())
    first = list(islice(blocks, 1))
    return chain(first, blocks)


@dataclass(frozen=True, slots=True)
class Pieces:
    """Rows in pieces; a :class:`~ivbridge.blocks.rows.Rows`.

    Attributes
    ----------
    pieces : tuple of Piece
    width : int
        Columns of a block.
    start : (width,) array
        A number near the mean of each column, from rows of several pieces.
    runner : Runner
    """

    pieces: tuple[Piece, ...]
    width: int
    start: FloatArray
    runner: Runner = Here()

    def pilot(self) -> FloatArray:
        """`start`."""
        return self.start

    def reduce(self, part: Part[S]) -> S:
        """The sum over all pieces, joined in their order."""
        return reduce(lambda a, b: a + b, self.runner.sums(part, self.pieces))
