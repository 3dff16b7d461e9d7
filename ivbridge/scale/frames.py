"""Arrow tables as arrays: views where the layout allows, copies elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ivbridge.frame import check_whole
from ivbridge.records import FloatArray

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["BATCH", "is_number", "is_text", "numbers", "plain_types", "regrouped"]

#: Rows that are looked at together; pieces are cut here, wherever their file is.
BATCH = 2**17


def regrouped(tables: Iterable[pa.Table], rows: int = BATCH) -> Iterator[pa.Table]:
    """The same rows in tables of exactly `rows` rows, but for the last one: how a reader cuts them changes no bit."""
    import pyarrow as pa

    waiting: list[Any] = []
    held = 0
    for table in tables:
        start = 0
        while table.num_rows - start >= rows - held:
            waiting.append(table.slice(start, rows - held))
            start += rows - held
            yield waiting[0] if len(waiting) == 1 else pa.concat_tables(waiting)
            waiting, held = [], 0
        if start < table.num_rows:
            waiting.append(table.slice(start))
            held += table.num_rows - start
    if waiting:
        yield pa.concat_tables(waiting)


def numbers(name: str, column: pa.ChunkedArray) -> FloatArray:
    """A numeric column as float64, (n,), missing values as NaN.

    Raises
    ------
    DataError
        If it holds integers beyond 2**53.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(column.type) and column.type.bit_width == 64 and len(column) > column.null_count:
        limits = pc.min_max(column).as_py()
        check_whole(name, np.array([limits["min"], limits["max"]], dtype=object))
    if column.type != pa.float64():
        column = pc.cast(column, pa.float64(), safe=False)
    if column.null_count:
        column = pc.fill_null(column, float("nan"))
    chunk = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    values: NDArray[np.float64] = chunk.to_numpy(zero_copy_only=False)
    return values


def is_number(kind: Any) -> bool:
    """Whether an Arrow type is a floating-point or whole number."""
    import pyarrow as pa

    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def is_text(kind: Any) -> bool:
    """Whether an Arrow type is text."""
    import pyarrow as pa

    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def plain_types(table: pa.Table) -> pa.Table:
    """Without dictionaries: their values in place of the codes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for j, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(j, field.name, pc.cast(table.column(j), field.type.value_type))
    return table
