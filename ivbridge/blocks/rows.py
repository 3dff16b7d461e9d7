"""Blocks of rows, and who reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ivbridge.records import FloatArray

__all__ = ["Block", "Column", "Columns", "Part", "Rows", "Sum", "block_rows"]

#: Rows of a block, and numbers at most: enough for products at full speed, few enough for the processor's cache.
ROWS, NUMBERS = 4096, 2**20

#: Rows from which the pilot means are taken.
PILOT = 256


class Sum(Protocol):
    """What a pass adds up."""

    def __add__(self, other: Self) -> Self: ...


S = TypeVar("S", bound=Sum)


@dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive rows, b of them.

    Attributes
    ----------
    columns : sequence of (b,) arrays
        All columns but the constant: exogenous regressors, excluded instruments, endogenous regressors, dependent.
    weights : (b,) array or None
        Positive.
    codes : tuple of (b,) int arrays
        Cluster codes from 0, one array a grouping; only the second pass needs them.
    """

    columns: Sequence[NDArray[Any]]
    weights: FloatArray | None = None
    codes: tuple[NDArray[Any], ...] = ()


#: Turns blocks into their sum; can be pickled, and does the same wherever it runs.
Part = Callable[[Iterable[Block]], S]


class Rows(Protocol):
    """Rows that can be read more than once, always in the same order.

    Attributes
    ----------
    width : int
        Columns of a block.
    """

    @property
    def width(self) -> int: ...

    def pilot(self) -> FloatArray:
        """A number near the mean of each column, (width,): of some rows of it."""
        ...

    def reduce(self, part: Part[S]) -> S:
        """The sum over all rows, joined in their order."""
        ...


def block_rows(width: int) -> int:
    """Rows of a block of so many columns."""
    return max(512, min(ROWS, NUMBERS // max(width, 1)))


class Column(Protocol):
    """A column in memory: an array, or something that gives one for a slice."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> NDArray[Any]: ...


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows in memory: whole columns, read in place.

    Attributes
    ----------
    columns : tuple of Column, n rows
    weights : (n,) array or None
    codes : tuple of Column of integers, n rows
    """

    columns: tuple[Column, ...]
    weights: FloatArray | None = None
    codes: tuple[Column, ...] = ()

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.columns)

    def pilot(self) -> FloatArray:
        """Means of rows spread evenly over all of them."""
        step = max(1, len(self.columns[0]) // PILOT)
        some = np.array([column[::step] for column in self.columns], dtype=np.float64)
        return np.asarray(some @ np.full(some.shape[1], 1 / some.shape[1]))

    def reduce(self, part: Part[S]) -> S:
        """The sum over all rows."""
        return part(self.blocks())

    def blocks(self) -> Iterator[Block]:
        """Views of the columns."""
        n, step = len(self.columns[0]), block_rows(self.width)
        for start in range(0, n, step):
            rows = slice(start, start + step)
            weights = None if self.weights is None else self.weights[rows]
            yield Block([column[rows] for column in self.columns], weights, tuple(c[rows] for c in self.codes))
