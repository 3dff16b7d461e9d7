"""Tables in memory, of Polars, pandas or Arrow, read in pieces as files are."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivbridge.errors import DataError
from ivbridge.scale.parquet import reading
from ivbridge.scale.sources import RawPiece, extra, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LazyTable", "TableInMemory", "TablePiece", "from_table"]


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
        step = rows_of(wanted.nbytes / max(wanted.num_rows, 1), room, self.rows)
        return tuple(TablePiece(wanted.slice(first, step), first) for first in range(0, wanted.num_rows, step))


@dataclass(frozen=True, slots=True, eq=False)
class LazyTable:
    """A query of Polars, run anew for each pass and read as a stream; a source, and its only piece.

    Attributes
    ----------
    frame : pl.LazyFrame
    schema : pa.Schema
    rows, start : int
    """

    frame: Any
    schema: pa.Schema
    rows: int
    start: int = 0

    def __str__(self) -> str:
        return "the lazy table"

    @property
    def state(self) -> str:
        """The query, and how many rows it gives."""
        plan = hashlib.sha256(f"{self.frame.explain()}\0{self.schema}".encode()).hexdigest()
        return f"a lazy table, {self.rows} rows, {plan}"

    def fingerprint(self) -> str:
        """A sum of hashes of all rows, which takes a run of the query."""
        import polars as pl

        with reading(self):
            found = self.frame.select(pl.struct(pl.all()).hash().sum()).collect(engine="streaming").item()
        return f", {found}"

    def pieces(self, columns: Sequence[str], room: int) -> tuple[RawPiece, ...]:
        """Itself."""
        return (self,) if self.rows else ()

    def frames(self, columns: Sequence[str], limit: int | None = None) -> Iterator[pa.Table]:
        """Run the query.

        Raises
        ------
        DataError
            If it fails, or gives another number of rows.
        """
        import polars as pl
        from polars import selectors

        wanted = self.rows if limit is None else min(limit, self.rows)
        seen = 0
        with reading(self):
            chosen = self.frame.select(selectors.by_name(*columns)).slice(0, limit)
            for batch in chosen.collect_batches(maintain_order=True, engine="streaming"):
                seen += batch.height
                yield batch.to_arrow(compat_level=pl.CompatLevel.oldest()).select(list(columns))
        if seen != wanted:
            raise DataError(f"{self} gave {seen:,} rows instead of {wanted:,}.", do="start again.")


def _lazy(frame: Any) -> LazyTable:
    import polars as pl

    with reading("the lazy table"):
        schema = frame.collect_schema().to_frame().to_arrow(compat_level=pl.CompatLevel.oldest()).schema
        rows = int(frame.select(pl.len()).collect(engine="streaming").item())
    return LazyTable(frame, schema, rows)


def from_table(table: Any) -> TableInMemory | LazyTable:
    """The source of a table of Polars (also lazy), pandas or Arrow.

    Raises
    ------
    DataError
        If two columns have one name, or a column holds values that Arrow cannot hold.
    """
    extra("pyarrow", "Reading a table in pieces")
    import pyarrow as pa

    if hasattr(table, "collect_schema") and hasattr(table, "collect"):
        return _lazy(table)
    try:
        if isinstance(table, pa.Table):
            found = table
        elif hasattr(table, "to_arrow"):
            found = table.to_arrow()
        elif hasattr(table, "read_all"):
            found = table.read_all()
        else:
            found = pa.Table.from_pandas(table, preserve_index=False)
    except (pa.ArrowException, OverflowError, ValueError, TypeError, AttributeError) as error:
        text = " ".join(str(error).split())[:200].rstrip(".")
        do = "give only the columns that are needed, each under one name and of one type."
        raise DataError(f"The table cannot be read: {text}.", do=do) from error
    names = found.column_names
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"The data has {names.count(twice)} columns called {twice!r}.", do="rename them.")
    return TableInMemory(found)
