"""Blocks of rows, and who reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ivbridge.records import FloatArray

__all__ = ["Block", "Columns", "Part", "Rows", "Sum", "block_rows"]

#: Numbers in a block of rows: one that the processor's cache holds, with what is made of it.
NUMBERS = 2**17

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
    return max(512, min(8192, NUMBERS // max(width, 1)))


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows in memory: whole columns, read in place.

    Attributes
    ----------
    columns : tuple of (n,) arrays
    weights : (n,) array or None
    codes : tuple of (n,) int arrays
    """

    columns: tuple[NDArray[Any], ...]
    weights: FloatArray | None = None
    codes: tuple[NDArray[Any], ...] = ()

    @property
    def width(self) -> int:
        """Columns."""
        return len(self.columns)

    def pilot(self) -> FloatArray:
        """Means of rows spread evenly over all of them."""
        step = max(1, len(self.columns[0]) // PILOT)
        return np.array([column[::step].mean(dtype=np.float64) for column in self.columns])

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
