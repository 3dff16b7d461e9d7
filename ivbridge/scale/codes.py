"""Cluster codes that mean the same in every piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge.errors import DataError
from ivbridge.frame import counted
from ivbridge.scale.frames import plain_types

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Codebook", "distinct", "keys_of"]


def keys_of(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """Cluster columns with one spelling of each value: no dictionaries, zero without a sign, NaN as missing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    table = plain_types(table.select(list(dict.fromkeys(columns))))
    for j, field in enumerate(table.schema):
        if pa.types.is_floating(field.type):
            column = table.column(j)
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, field.type), pc.add(column, 0))
            table = table.set_column(j, field.name, column)
    return table


def distinct(keys: pa.Table) -> pa.Table:
    """The combinations that occur, in the order in which they first do.

    Raises
    ------
    DataError
        If a column is missing or infinite in some row.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for name in keys.column_names:
        if pa.types.is_floating(keys[name].type) and (count := pc.sum(pc.is_inf(keys[name])).as_py() or 0):
            what = f"Column {name!r} holds {counted(count, 'infinite value')}."
            raise DataError(what, do="replace them by missing values.")
        if count := keys[name].null_count:
            what = f"Column {name!r} groups or orders the rows, but is missing in {count} of the {keys.num_rows} used."
            raise DataError(what, do="drop these rows first.")
    names = keys.column_names  # Arrow would read a dot in a name as the way to a nested field
    places = [str(j) for j in range(len(names))]
    found = keys.rename_columns(places).group_by(places, use_threads=False).aggregate([]).rename_columns(names)
    return found.combine_chunks()  # its chunks share one run of memory, of which each would be pickled with a copy


#: Entries of a table that translates whole numbers into codes: so many for each value, and at least so many.
SPARSE, SMALL = 4, 2**16


@dataclass(frozen=True, eq=False)
class Codebook:
    """Codes 0 … G−1 of the combinations of some columns.

    Attributes
    ----------
    columns : tuple of str
    values : tuple of pa.Array
        The values of each column, sorted.
    joint : (G,) int array or None
        Sorted numbers of the combinations that occur; None for a single column.
    """

    columns: tuple[str, ...]
    values: tuple[Any, ...]
    joint: NDArray[np.int64] | None

    def __reduce__(self) -> tuple[object, ...]:
        return Codebook, (self.columns, self.values, self.joint)

    @classmethod
    def of(cls, found: pa.Table) -> Codebook:
        """From what :func:`distinct` gives.

        Raises
        ------
        DataError
            If the product of the numbers of values leaves the integers.
        """
        import pyarrow.compute as pc

        columns = tuple(found.column_names)
        values = tuple(_one(pc.unique(found[name])) for name in columns)
        values = tuple(array.take(pc.sort_indices(array)) for array in values)
        book = cls(columns, values, None)
        if len(columns) == 1:
            return book
        if float(np.prod([float(len(array)) for array in values])) >= 2.0**62:
            raise DataError(f"{' × '.join(columns)} has too many combinations to number them.", do="cluster by fewer.")
        return cls(columns, values, np.unique(book._numbers(found)))

    @property
    def count(self) -> int:
        """G."""
        return len(self.values[0]) if self.joint is None else len(self.joint)

    def codes(self, keys: pa.Table) -> NDArray[np.int64]:
        """The code of each row, (n,).

        Parameters
        ----------
        keys : pa.Table
            From :func:`keys_of`.

        Raises
        ------
        DataError
            If a row has a value that was not there when the codes were made.
        """
        found = self._numbers(keys)
        if self.joint is not None:
            places = np.minimum(np.searchsorted(self.joint, found), len(self.joint) - 1)
            found = np.where(self.joint[places] == found, places, -1)
        if len(found) and int(found.min()) < 0:
            raise DataError(f"{' × '.join(self.columns)} has a value that was not there before.", do="start again.")
        return found

    def _numbers(self, keys: pa.Table) -> NDArray[np.int64]:
        total = np.zeros(keys.num_rows, dtype=np.int64)
        for name, lookup, values in zip(self.columns, self._lookups, self.values, strict=True):
            code = lookup(_one(keys[name]))
            total = np.where((code < 0) | (total < 0), -1, total * len(values) + code)
        return total

    @cached_property
    def _lookups(self) -> tuple[Callable[[Any], NDArray[np.int64]], ...]:
        return tuple(map(_lookup, self.values))


def _lookup(values: pa.Array) -> Callable[[Any], NDArray[np.int64]]:
    """From an array without missing values to places among sorted values, −1 where it is none of them."""
    import pyarrow as pa

    if pa.types.is_integer(values.type):
        known = values.to_numpy()
        low, high = int(known[0]), int(known[-1])
        if high - low < max(SPARSE * len(known), SMALL):
            table = np.full(high - low + 1, -1, dtype=np.int64)
            table[known - known[0]] = np.arange(len(known))
            return lambda column: _from_table(table, low, column.to_numpy())
    index = pd.Index(values.to_pandas())
    return lambda column: np.asarray(index.get_indexer(column.to_pandas()), dtype=np.int64)


def _from_table(table: NDArray[np.int64], low: int, values: NDArray[Any]) -> NDArray[np.int64]:
    inside = (values >= low) & (values <= low + len(table) - 1)
    if inside.all():
        return np.asarray(table[values - values.dtype.type(low)])
    return np.where(inside, table[np.where(inside, values, low) - values.dtype.type(low)], -1)


def _one(array: Any) -> Any:
    import pyarrow as pa

    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
