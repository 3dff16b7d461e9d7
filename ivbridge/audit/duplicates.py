"""Columns that hold the same numbers in other units, or moved by some rows, as restarted random streams do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ivbridge.records import FloatArray

__all__ = ["Duplicate", "duplicates"]

#: Columns that are compared, and rows of them; 40 columns of 20,000 rows take a second.
MOST_COLUMNS, MOST_ROWS = 60, 20_000
#: |correlation| from which two columns are the same numbers, rounding of files included.
SAME = 1 - 1e-9
#: The same, for columns that are moved against each other and share most rows.
MOVED = 1 - 1e-6
#: Rows that must overlap, and different values that a column must have, before a shift means anything.
OVERLAP, VALUES = 50, 20


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two columns with the same numbers: second = shift + factor · first, `lag` rows later."""

    first: str
    second: str
    correlation: float
    factor: float
    shift: float
    lag: int = 0

    @property
    def sentence(self) -> str:
        """The relation in words."""
        sign = "-" if self.shift < 0 else "+"
        moved = f", moved by {self.lag} rows" if self.lag else ""
        return (
            f"{self.second} = {self.factor:.6g} × {self.first} {sign} {abs(self.shift):.6g}{moved} "
            f"(correlation {self.correlation:.12g})."
        )


def duplicates(frame: pd.DataFrame) -> Iterator[Duplicate]:
    """Pairs of numeric columns that are the same numbers up to shift, scale and a move along the rows.

    Columns of fewer than 20 different values are compared row by row only. The first 60 columns and 20,000 rows count.
    """
    complete = frame.head(MOST_ROWS).select_dtypes("number")
    names = [str(one) for one in complete.columns]
    arrays = [complete.iloc[:, j].to_numpy(dtype=np.float64) for j in range(min(len(names), MOST_COLUMNS))]
    kept = [
        (names[j], one) for j, one in enumerate(arrays) if np.isfinite(one).all() and len(one) > 2 and np.ptp(one) > 0
    ]
    for j, (second, b) in enumerate(kept):
        for first, a in kept[:j]:
            found = _same(first, a, second, b) or _moved(first, a, second, b)
            if found is not None:
                yield found


def _same(first: str, a: FloatArray, second: str, b: FloatArray) -> Duplicate | None:
    correlation = float(np.corrcoef(a, b)[0, 1])
    if abs(correlation) < SAME:
        return None
    factor = float(np.sign(correlation) * b.std() / a.std())
    return Duplicate(first, second, correlation, factor, float(b.mean() - factor * a.mean()))


def _moved(first: str, a: FloatArray, second: str, b: FloatArray) -> Duplicate | None:
    """The shift with the largest cross-correlation, if there the columns are the same numbers."""
    n = len(a)
    if n < 2 * OVERLAP or min(len(np.unique(a)), len(np.unique(b))) < VALUES:
        return None
    size = 1 << (2 * n - 1).bit_length()
    left, right = (np.fft.rfft((one - one.mean()) / one.std(), size) for one in (a, b))
    cross = np.fft.irfft(left * np.conj(right), size)
    at = int(np.argmax(np.abs(cross)))
    lag = at if at < n else at - size  # a[i + lag] goes with b[i]
    if n - abs(lag) < OVERLAP or lag == 0:
        return None
    head, tail = (a[lag:], b[: n - lag]) if lag > 0 else (a[:lag], b[-lag:])
    if np.ptp(head) == 0 or np.ptp(tail) == 0:
        return None
    correlation = float(np.corrcoef(head, tail)[0, 1])
    if abs(correlation) < MOVED:
        return None
    factor = float(np.sign(correlation) * tail.std() / head.std())
    return Duplicate(first, second, correlation, factor, float(tail.mean() - factor * head.mean()), lag)
