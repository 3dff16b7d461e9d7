"""Tables and queries of DuckDB, read through Arrow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from ivbridge.errors import DataError
from ivbridge.scale.frames import is_number
from ivbridge.scale.parquet import changed
from ivbridge.scale.sources import RawPiece, extra, rows_of

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DuckPiece", "DuckTable", "RelationPiece", "from_address", "from_relation", "quoted"]

#: Rows of an Arrow batch.
ROWS = 2**17
#: Bytes without which DuckDB does not work.
LEAST_ROOM = 2**26


@contextmanager
def _asking(where: object) -> Iterator[None]:
    duckdb = extra("duckdb", "Reading a DuckDB database")
    try:
        yield
    except duckdb.Error as error:
        text = " ".join(str(error).split())[:300]
        raise DataError(f"{where}: {text}.", do="check the file, the table and the query.") from error


@dataclass(frozen=True, slots=True)
class DuckPiece:
    """Consecutive rows of a table in a database file, or the rows of a query.

    Attributes
    ----------
    path : str
    table : str
        What stands after FROM.
    start, rows : int
    first : int or None
        Row identifier of the first row; None for the whole of a query.
    room : int
        Bytes that DuckDB may take.
    """

    path: str
    table: str
    start: int
    rows: int
    first: int | None
    room: int = 2**30

    def __str__(self) -> str:
        return f"{self.path}, {self.table}, rows {self.start + 1:,} to {self.start + self.rows:,}"

    def frames(self, columns: Sequence[str], limit: int | None = None) -> Iterator[pa.Table]:
        """Read the rows.

        Raises
        ------
        DataError
            If the table cannot be read, or has changed.
        """
        wanted = self.rows if limit is None else min(limit, self.rows)
        text = f"SELECT {', '.join(map(quoted, columns))} FROM {self.table}"  # nosec B608  # read only, and names are quoted
        if self.first is not None:
            text += f" WHERE rowid >= {self.first} AND rowid < {self.first + self.rows}"
        if limit is not None:
            text += f" LIMIT {wanted}"
        seen = 0
        with _asking(self.path), _connected(self.path, self.room) as connection:
            for table in _tables(connection.sql(text)):
                seen += table.num_rows
                yield table
        if seen != wanted:
            raise DataError(f"{self} gave {seen:,} rows: the data changed while it was read.", do="start again.")


@dataclass(frozen=True, slots=True, eq=False)
class RelationPiece:
    """All rows of a relation of an open connection; cannot be sent to another process.

    Attributes
    ----------
    relation : duckdb.DuckDBPyRelation
    rows : int
    start : int
    """

    relation: Any
    rows: int
    start: int = 0

    def __str__(self) -> str:
        return "the DuckDB relation"

    def frames(self, columns: Sequence[str], limit: int | None = None) -> Iterator[pa.Table]:
        """Run the query.

        Raises
        ------
        DataError
            If it fails, or gives another number of rows.
        """
        wanted = self.rows if limit is None else min(limit, self.rows)
        seen = 0
        with _asking(self):
            chosen = self.relation.select(", ".join(map(quoted, columns)))
            for table in _tables(chosen if limit is None else chosen.limit(wanted)):
                seen += table.num_rows
                yield table
        if seen != wanted:
            raise DataError(f"{self} gave {seen:,} rows instead of {wanted:,}.", do="start again.")


@dataclass(frozen=True, slots=True, eq=False)
class DuckTable:
    """A table or a query; a :class:`~ivbridge.scale.sources.Source`.

    Attributes
    ----------
    schema : pa.Schema
    rows : int
    state : str
    whole : RawPiece
        All rows in one piece.
    path, table : str or None
        Where row identifiers cut the rows of a table into pieces.
    seen : tuple
        What :func:`_seen` said of the database when it was opened; nothing for a relation.
    """

    schema: pa.Schema
    rows: int
    state: str
    whole: RawPiece
    path: str | None = None
    table: str | None = None
    seen: tuple[int, ...] = ()

    def intact(self) -> None:
        """Raise a DataError if the database is another one than it was when it was opened."""
        if isinstance(self.whole, DuckPiece) and _seen(Path(self.whole.path)) != self.seen:
            raise DataError(f"{self.whole.path} changed while the job ran.", do="start again.")

    def fingerprint(self) -> str:
        """A sum of hashes of all rows of a query or a relation, which takes a run of it."""
        if self.table is not None:
            return ""
        text = "SELECT bit_xor(hash(all_rows))::VARCHAR || sum((hash(all_rows) >> 24)::HUGEINT)::VARCHAR FROM "
        if isinstance(self.whole, RelationPiece):
            with _asking(self.whole):
                return f", {self.whole.relation.query('all_rows', text + 'all_rows').fetchall()[0][0]}"
        assert isinstance(self.whole, DuckPiece)
        with _asking(self.whole.path), _connected(self.whole.path) as connection:
            return f", {connection.execute(f'{text}{self.whole.table} AS all_rows').fetchall()[0][0]}"

    def pieces(self, columns: Sequence[str], room: int) -> tuple[RawPiece, ...]:
        """Ranges of row identifiers of a table; the rows of a query are one piece, which is read as a stream."""
        if self.path is None or self.table is None:
            whole = replace(self.whole, room=room) if isinstance(self.whole, DuckPiece) else self.whole
            return (whole,) if self.rows else ()
        kinds = {field.name: field.type for field in self.schema}
        step = rows_of(sum(8 if is_number(kinds[name]) else 32 for name in columns), room, self.rows)
        return tuple(
            DuckPiece(self.path, self.table, first, min(step, self.rows - first), first, room)
            for first in range(0, self.rows, step)
        )


def from_address(address: str) -> DuckTable:
    """The source of ``duckdb:FILE?table=NAME`` or ``duckdb:FILE?query=SELECT …``.

    Raises
    ------
    DataError
        If the address has another form, or the file or the table cannot be read.
    """
    rest, mark, asked = address.removeprefix("duckdb:").partition("?")
    kind, equals, what = asked.partition("=")
    if not (mark and equals and kind in ("table", "query") and what.strip()):
        raise DataError(
            f"{address!r} names no table of a database.", available="duckdb:FILE?table=NAME, duckdb:FILE?query=SELECT …"
        )
    path = Path(rest).expanduser()
    if not path.is_file():
        raise DataError(f"There is no database file {path}.", do="check the path.")
    query = what if "%" not in what else unquote_plus(what)
    table = _quoted_table(what) if kind == "table" else f"({query.strip().rstrip(';')})"
    known = _seen(path)
    with _asking(path), _connected(str(path)) as connection:
        schema, rows = _described(connection, table)
        cut = kind == "table" and _has_row_numbers(connection, table, rows)
    seen = hashlib.sha256(f"{table}\0{schema.remove_metadata()}\0{known}".encode())
    state = f"{table} of {path.name}, {rows} rows, {seen.hexdigest()}"
    whole = DuckPiece(str(path), table, 0, rows, None)
    return DuckTable(schema, rows, state, whole, str(path) if cut else None, table if cut else None, known)


def _seen(path: Path) -> tuple[int, ...]:
    """Sizes and times of change of a database and of the log beside it that holds its latest changes."""
    files = (one for one in (path, path.with_name(f"{path.name}.wal")) if one.exists())
    return tuple(number for one in files for number in changed(one))


def from_relation(relation: Any) -> DuckTable:
    """The source of a relation of an open connection.

    Raises
    ------
    DataError
        If it is another object of DuckDB, or the query fails.
    """
    if not hasattr(relation, "aggregate"):
        raise DataError(f"data is a {type(relation).__name__}.", do="give a relation: connection.sql('SELECT …').")
    with _asking("the DuckDB relation"):
        schema = next(_tables(relation.limit(0), empty=True)).schema
        rows = int(relation.aggregate("count(*)").fetchall()[0][0])
        text = hashlib.sha256(f"{relation.sql_query()}\0{schema}".encode()).hexdigest()
    return DuckTable(schema, rows, f"a DuckDB relation, {rows} rows, {text}", RelationPiece(relation, rows))


@contextmanager
def _connected(path: str, room: int = 2**30) -> Iterator[Any]:
    import duckdb

    with duckdb.connect(path, read_only=True) as connection:
        connection.execute(f"SET memory_limit = '{max(room, LEAST_ROOM)}B'")
        yield connection


def _tables(result: Any, *, empty: bool = False) -> Iterator[pa.Table]:
    import pyarrow as pa

    reader = result.to_arrow_reader(ROWS) if hasattr(result, "to_arrow_reader") else result.fetch_record_batch(ROWS)
    if empty:
        yield reader.schema.empty_table()
        return
    for batch in reader:
        yield pa.Table.from_batches([batch])


def _described(connection: Any, table: str) -> tuple[pa.Schema, int]:
    head = f"SELECT * FROM {table} LIMIT 0"  # nosec B608  # read only, and names are quoted
    count = f"SELECT count(*) FROM {table}"  # nosec B608  # read only, and names are quoted
    schema = next(_tables(connection.sql(head), empty=True)).schema
    return schema, int(connection.execute(count).fetchone()[0])


def _has_row_numbers(connection: Any, table: str, rows: int) -> bool:
    """Whether rows are numbered from 0 without gaps: not in views, nor after deletions."""
    import duckdb

    ends = f"SELECT min(rowid), max(rowid) FROM {table}"  # nosec B608  # read only, and names are quoted
    try:
        low, high = connection.execute(ends).fetchone()
    except duckdb.Error:
        return False
    return rows > 0 and (low, high) == (0, rows - 1)


def quoted(name: str) -> str:
    """A name of a column as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def _quoted_table(name: str) -> str:
    """``main.t`` and ``"a table"`` are taken as they are written."""
    return name if '"' in name else ".".join(map(quoted, name.split(".")))
