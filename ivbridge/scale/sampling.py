"""Some rows of a source, chosen by their number alone: the same ones however the data are cut and whoever reads them.

The choice comes from Philox, a counter-based generator (Salmon, Moraes, Dror & Shaw 2011, SC'11), whose numbers numpy
keeps the same in all its versions; it depends on the seed and on how many rows there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ivbridge.records import IntArray
from ivbridge.scale.sources import RawPiece, Source

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Picked", "consecutive", "sampled"]


def sampled(total: int, rows: int, seed: int) -> IntArray:
    """Numbers of a simple random sample without replacement, ascending, (min(rows, total),).

    Parameters
    ----------
    total : int
        Rows that there are.
    rows : int
        Rows wanted.
    seed : int
        Not negative.
    """
    rows = min(rows, total)
    if rows > total // 2:  # it is quicker to say which ones are left out
        return np.setdiff1d(np.arange(total), _drawn(total, total - rows, seed), assume_unique=True)
    return _drawn(total, rows, seed)


def _drawn(total: int, rows: int, seed: int) -> IntArray:
    """The first numbers below `total` that the generator gives, without repetitions."""
    generator = np.random.Philox(key=seed)
    found = np.empty(0, dtype=np.int64)
    while len(found) < rows:
        raw = generator.random_raw(2 * (rows - len(found)) + 16)
        both = np.concatenate([found, (raw % np.uint64(total)).astype(np.int64)])
        _, first = np.unique(both, return_index=True)
        found = both[np.sort(first)]
    return np.sort(found[:rows])


def consecutive(total: int, rows: int, blocks: int, seed: int) -> tuple[tuple[int, int], ...]:
    """First row, and the one after the last, of blocks at random places: one in each equal part of all rows.

    Parameters
    ----------
    total, rows, blocks, seed : int
        A block has at most `rows` rows, and at most as many as its part of all.
    """
    raw = np.random.Philox(key=seed + (1 << 64)).random_raw(blocks).tolist()
    edges = [total * j // max(blocks, 1) for j in range(blocks + 1)]
    found = []
    for j in range(blocks):
        size = min(rows, edges[j + 1] - edges[j])
        start = edges[j] + raw[j] % (edges[j + 1] - edges[j] - size + 1)
        found.append((start, start + size))
    return tuple(one for one in found if one[0] < one[1])


@dataclass(frozen=True, slots=True, eq=False)
class _PickedPiece:
    """Rows of a piece at these positions, ascending."""

    piece: RawPiece
    places: IntArray
    start: int

    @property
    def rows(self) -> int:
        """Rows."""
        return len(self.places)

    def __str__(self) -> str:
        return f"{len(self.places):,} rows of {self.piece}"

    def frames(self, columns: Sequence[str], limit: int | None = None) -> Iterator[pa.Table]:
        """Read the whole piece and keep the rows."""
        places = self.places if limit is None else self.places[:limit]
        seen = 0
        for table in self.piece.frames(columns):
            first, last = np.searchsorted(places, [seen, seen + table.num_rows])
            if last > first:
                here = places[first:last] - seen
                whole = here[-1] - here[0] + 1 == len(here)  # consecutive rows need no copy
                yield table.slice(int(here[0]), len(here)) if whole else table.take(here)
            seen += table.num_rows
            if last == len(places):
                return


@dataclass(frozen=True, slots=True, eq=False)
class Picked:
    """Some rows of a source; a :class:`~ivbridge.scale.sources.Source`.

    Attributes
    ----------
    source : Source
        One whose pieces know how many rows they have.
    numbers : (r,) int array
        Of the rows in the source, from 0, ascending.
    """

    source: Source
    numbers: IntArray

    @property
    def schema(self) -> Any:
        """The source's."""
        return self.source.schema

    @property
    def rows(self) -> int:
        """Rows that were picked."""
        return len(self.numbers)

    @property
    def state(self) -> str:
        """The source's, and which rows."""
        chosen = hashlib.sha256(self.numbers.astype("<i8").tobytes()).hexdigest()
        return f"{self.source.state}; {len(self.numbers)} rows of it, {chosen}"

    def pieces(self, columns: Sequence[str], room: int) -> tuple[RawPiece, ...]:
        """The source's pieces that hold any of the rows, each with those."""
        found: list[RawPiece] = []
        start = 0
        for piece in self.source.pieces(columns, room):
            first, last = np.searchsorted(self.numbers, [piece.start, piece.start + piece.rows])
            if last > first:
                found.append(_PickedPiece(piece, self.numbers[first:last] - piece.start, start))
                start += int(last - first)
        return tuple(found)
