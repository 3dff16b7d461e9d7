"""Tables in memory, of Polars, pandas or Arrow, read in pieces as files are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivbridge.errors import DataError
from ivbridge.scale.sources import RawPiece, extra, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["TableInMemory", "TablePiece", "from_table"]


@dataclass(frozen=True, slots=True, eq=False)
class TablePiece:
    """Some rows of a table, which go with it wherever it is sent.

    Attributes
    ----------
    table : pa.Table
    start : int
    """

    table: pa.Table
    start: int

    @property
    def rows(self) -> int:
        """Rows."""
        return int(self.table.num_rows)

    def __str__(self) -> str:
        return f"the table, rows {self.start + 1:,} to {self.start + self.rows:,}"

    def frames(self, columns: Sequence[str], limit: int | None = None) -> Iterator[pa.Table]:
        """The rows, as one table."""
        yield self.table.select(list(columns)).slice(0, limit)


@dataclass(frozen=True, slots=True, eq=False)
class TableInMemory:
    """A table; a :class:`~ivbridge.scale.sources.Source`."""

    table: pa.Table

    @property
    def schema(self) -> pa.Schema:
        """Names and types."""
        return self.table.schema

    @property
    def rows(self) -> int:
        """All rows."""
        return int(self.table.num_rows)

    @property
    def state(self) -> str:
        """A fingerprint of all values."""
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        digest = hashlib.sha256(str(self.schema.remove_metadata()).encode())
        for batch in self.table.combine_chunks().to_batches(2**20):
            with pa.ipc.new_stream(sink, batch.schema) as writer:
                writer.write_batch(batch)
            digest.update(sink.getvalue())
            sink = pa.BufferOutputStream()
        return f"a table in memory, {self.rows} rows, {digest.hexdigest()}"

    def pieces(self, columns: Sequence[str], room: int) -> tuple[RawPiece, ...]:
        """Slices of the columns that are wanted."""
        wanted = self.table.select(list(columns))
        step = rows_of(wanted.nbytes / max(wanted.num_rows, 1), room)
        return tuple(TablePiece(wanted.slice(first, step), first) for first in range(0, wanted.num_rows, step))


def from_table(table: Any) -> TableInMemory:
    """The source of a table of Polars (also lazy), pandas or Arrow.

    Raises
    ------
    DataError
        If two columns have one name, or a column holds values that Arrow cannot hold.
    """
    extra("pyarrow", "Reading a table in pieces")
    import pyarrow as pa

    if hasattr(table, "collect"):
        table = table.collect()
    try:
        if isinstance(table, pa.Table):
            found = table
        elif hasattr(table, "to_arrow"):
            found = table.to_arrow()
        elif hasattr(table, "read_all"):
            found = table.read_all()
        else:
            found = pa.Table.from_pandas(table, preserve_index=False)
    except (pa.ArrowException, ValueError, TypeError, AttributeError) as error:
        text = " ".join(str(error).split())[:200]
        raise DataError(f"The table cannot be read: {text}.", do="convert the column to one type.") from error
    names = found.column_names
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"The data has {names.count(twice)} columns called {twice!r}.", do="rename them.")
    return TableInMemory(found)
