"""Cluster codes 0 … G−1 without sorting a column.

The order of the codes has no meaning. Whole numbers of a small range, which most identifiers are, are codes already but
for a start and for gaps; they are recoded block by block and never copied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Codes", "Recoded", "intersected", "numbered"]

#: Rows that are looked at together.
ROWS = 2**15

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Recoded:
    """Codes of a column of whole numbers, made where they are read: ``recoded[start:stop]``.

    Attributes
    ----------
    values : (n,) int array
    low : int
        The smallest value.
    table : (range,) int array or None
        The code of each value minus `low`; None where no value of the range is missing.
    """

    values: NDArray[Any]
    low: int
    table: IntArray | None

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        values = self.values[rows]
        if self.low:
            values = np.subtract(values, self.low, dtype=np.int64, casting="unsafe")
        return values if self.table is None else self.table[values]


#: An array, or something that gives one for a slice.
Codes = NDArray[Any] | Recoded


def numbered(values: NDArray[Any]) -> tuple[Codes, int]:
    """Codes of whole numbers, and how many there are.

    Parameters
    ----------
    values : (n,) array of integers or booleans, n ≥ 1

    Returns
    -------
    Codes, int
        The column itself where it holds 0 … G−1.
    """
    if values.dtype.kind == "b":
        values = values.view(np.int8)
    low, high = int(values.min()), int(values.max())
    width = high - low + 1
    if width > max(4 * len(values), ROWS) or high > np.iinfo(np.int64).max:
        import pandas as pd

        codes, levels = pd.factorize(values)
        return codes, len(levels)
    there = np.zeros(width, dtype=bool)
    shifted = Recoded(values, low, None)
    for start in range(0, len(values), ROWS):
        there[shifted[start : start + ROWS]] = True
    count = int(np.count_nonzero(there))
    if count == width:
        return (values if low == 0 else shifted), count
    return Recoded(values, low, np.cumsum(there) - 1), count


def intersected(members: Sequence[tuple[Codes, int]]) -> tuple[Codes, int]:
    """Codes of the combinations of several groupings that occur.

    Parameters
    ----------
    members : sequence of (Codes, int)
        Codes 0 … G−1 of each grouping and its G.
    """
    codes, count = members[0]
    for other, more in members[1:]:
        joint = np.asarray(codes[:], dtype=np.int64) * more
        joint += other[:]
        codes, count = numbered(joint)
    return codes, count
