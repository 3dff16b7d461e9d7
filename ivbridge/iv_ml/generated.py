"""What every maker of instruments is, and what it returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from ivbridge.errors import DataError
from ivbridge.iv_ml.data import IVData
from ivbridge.progress import Progress
from ivbridge.records import FloatArray, IntArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Coding", "Generated", "Generator", "coded"]

Coding = Literal["onehot", "label"]


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """An instrument that was made from (T, X), never from Y unless the maker says so.

    Attributes
    ----------
    generator : str
        Name, as in :data:`ivbridge.iv_ml.GENERATORS`.
    values : (n, q) array
        The instrument of each row.
    assign : callable (t (n,), x (n, m)) -> (n, q)
        The instrument of other rows.
    labels : (n,) int array, optional
        The group of each row, 0 … K-1, where the instrument is a group.
    probabilities : (n, K) array, optional
        Of each group in each row.
    history : DataFrame
        How it was learnt: empty for closed forms.
    notes : tuple of str
        What a reader should know.
    """

    generator: str
    values: FloatArray
    assign: Callable[[FloatArray, FloatArray], FloatArray]
    labels: IntArray | None = None
    probabilities: FloatArray | None = None
    history: pd.DataFrame | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Generator(ABC):
    """A maker with its hyper-parameters; each one is a final frozen dataclass."""

    #: Name in :data:`ivbridge.iv_ml.GENERATORS`.
    name: ClassVar[str]

    @abstractmethod
    def generate(self, data: IVData, seed: int = 0) -> Generated:
        """Make an instrument for the rows; the instruments that ``data`` has are not looked at."""

    def generate_many(
        self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None = None
    ) -> list[Generated]:
        """One instrument for each data set, in their order; makers with networks train them together.

        Raises
        ------
        DataError
            If there are not as many seeds as data sets, or as for :meth:`generate`.
        """
        if len(data) != len(seeds):
            raise DataError(f"{len(data)} data sets came with {len(seeds)} seeds.", do="give one seed for each.")
        return [self.generate(one, seed) for one, seed in zip(data, seeds, strict=True)]

    def applied(self, data: IVData, seed: int = 0) -> IVData:
        """The same rows with the instrument that was made."""
        return data.with_instruments(self.generate(data, seed).values)


def coded(labels: IntArray, groups: int, coding: Coding) -> FloatArray:
    """Groups as an instrument: (n, groups) zeros and ones, or (n, 1) numbers 0 … groups-1.

    The number is what the paper's program uses; it makes neighbours of groups 1 and 2, which they are not.
    """
    if labels.size and not 0 <= labels.min() <= labels.max() < groups:
        raise DataError(f"Labels from {labels.min()} to {labels.max()} were given.", available=f"0 … {groups - 1}")
    if coding == "label":
        return labels[:, None].astype(np.float64)
    return np.eye(groups)[labels]
