"""Parquet files, read by Polars' streaming engine, or by pyarrow where Polars would lose an order of levels."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ivbridge.errors import DataError
from ivbridge.scale.frames import is_number
from ivbridge.scale.sources import RawPiece, extra, most_rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ParquetFiles", "ParquetPiece", "changed", "check_intact", "reading"]


@contextmanager
def reading(where: object) -> Iterator[None]:
    """Turn what readers raise into an error that names the file."""
    import pyarrow as pa

    failures: tuple[type[BaseException], ...] = (pa.ArrowException, OSError)
    try:
        from polars.exceptions import PolarsError

        failures = (*failures, PolarsError)
    except ImportError:
        pass
    try:
        yield
    except failures as error:
        text = " ".join(str(error).split())[:300] or type(error).__name__
        do = "check that the file is whole and still there."
        raise DataError(f"{where} cannot be read: {text}.", do=do) from error


@dataclass(frozen=True, slots=True)
class ParquetPiece:
    """Whole row groups of one file.

    Attributes
    ----------
    path : str
    first : int
        Number in the file of its first row.
    rows, start : int
    groups : (int, int)
        First row group and the one after the last.
    dictionaries : tuple of str
        Columns whose levels have an order of their own, which only pyarrow keeps.
    types : tuple of (str, pa.DataType)
        Of columns of numbers that have another type in this file than in all files together.
    """

    path: str
    first: int
    rows: int
    start: int
    groups: tuple[int, int]
    dictionaries: tuple[str, ...] = ()
    types: tuple[tuple[str, pa.DataType], ...] = ()

    def __str__(self) -> str:
        return f"{self.path}, rows {self.first + 1:,} to {self.first + self.rows:,}"

    def frames(self, columns: Sequence[str], limit: int | None = None) -> Iterator[pa.Table]:
        """Read row groups.

        Raises
        ------
        DataError
            If the file cannot be read, or has changed.
        """
        wanted = self.rows if limit is None else min(limit, self.rows)
        read = self._with_pyarrow if {*columns} & {*self.dictionaries} or not _has_polars() else self._with_polars
        seen = 0
        with reading(self.path):
            for table in read(list(columns), wanted):
                seen += table.num_rows
                yield self._cast(table)
        if seen != wanted:
            raise DataError(f"{self} gave {seen:,} rows: the file changed while it was read.", do="start again.")

    def _cast(self, table: pa.Table) -> pa.Table:
        for name, kind in self.types:
            if name in table.column_names:
                table = table.set_column(table.column_names.index(name), name, table[name].cast(kind))
        return table

    def _with_polars(self, columns: list[str], rows: int) -> Iterator[pa.Table]:
        import polars as pl
        from polars import selectors

        scan = pl.scan_parquet(self.path, glob=False, hive_partitioning=False, low_memory=True)
        lazy = scan.select(selectors.by_name(*columns)).slice(self.first, rows)
        for frame in lazy.collect_batches(maintain_order=True, engine="streaming"):
            yield frame.to_arrow(compat_level=pl.CompatLevel.oldest()).select(columns)

    def _with_pyarrow(self, columns: list[str], rows: int) -> Iterator[pa.Table]:
        import pyarrow as pa
        from pyarrow import parquet

        left = rows
        with parquet.ParquetFile(self.path) as file:
            for batch in file.iter_batches(2**16, row_groups=list(range(*self.groups)), columns=columns):
                yield pa.Table.from_batches([batch.slice(0, left)]).select(columns)
                left -= min(left, batch.num_rows)
                if not left:
                    return


def _has_polars() -> bool:
    return importlib.util.find_spec("polars") is not None


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    size: int
    changed: int
    groups: tuple[tuple[int, dict[str, int]], ...]  # rows, and bytes of each column
    kinds: tuple[tuple[str, Any], ...]  # types of the columns of numbers


@dataclass(frozen=True, slots=True, eq=False)
class ParquetFiles:
    """Files of one schema, one after the other; a :class:`~ivbridge.scale.sources.Source`."""

    schema: pa.Schema
    files: tuple[_File, ...]

    @classmethod
    def opened(cls, paths: Sequence[Path]) -> Self:
        """Read the footers.

        Raises
        ------
        DataError
            If a file is damaged, or two differ in their columns.
        """
        extra("pyarrow.parquet", "Reading parquet files")
        from pyarrow import parquet

        files, schema = [], None
        for path in paths:
            with reading(path), parquet.ParquetFile(path) as file:
                found, meta = file.schema_arrow, file.metadata
                names = [meta.schema.column(j).path for j in range(meta.num_columns)]
                groups = []
                for g in range(meta.num_row_groups):
                    group = meta.row_group(g)
                    sizes = (group.column(j).total_uncompressed_size for j in range(meta.num_columns))
                    groups.append((group.num_rows, dict(zip(names, sizes, strict=True))))
            schema = found if schema is None else schema
            schema = _joined(paths[0], schema, path, found)
            kinds = tuple((field.name, field.type) for field in found if is_number(field.type))
            files.append(_File(str(path), *changed(path), tuple(groups), kinds))
        return cls(schema, tuple(files))

    def intact(self) -> None:
        """Raise a DataError if a file is another one than it was when the footers were read."""
        check_intact((file.path, file.size, file.changed) for file in self.files)

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(rows for file in self.files for rows, _ in file.groups)

    @property
    def state(self) -> str:
        """Names, sizes, times of change and types."""
        listed = "; ".join(f"{Path(f.path).name} {f.size} {f.changed}" for f in self.files)
        digest = hashlib.sha256(f"{listed}\0{self.schema.remove_metadata()}".encode()).hexdigest()
        return f"{len(self.files)} parquet files, {self.rows} rows, {digest}"

    def pieces(self, columns: Sequence[str], room: int) -> tuple[RawPiece, ...]:
        """As many row groups together as fit.

        Raises
        ------
        DataError
            If a single row group takes more than the room: a reader holds it about five times.
        """
        import pyarrow as pa

        kinds = {field.name: field.type for field in self.schema}
        dictionaries = tuple(c for c in columns if pa.types.is_dictionary(kinds[c]))
        found: list[RawPiece] = []
        start, most = 0, most_rows(self.rows)
        for file in self.files:
            first = place = held = 0
            taken = 0.0
            types = tuple((c, kinds[c]) for c, kind in file.kinds if c in columns and kind != kinds[c])
            for g, (rows, sizes) in enumerate(file.groups):
                size = float(sum(max(sizes.get(c, 0), rows * (8 if is_number(kinds[c]) else 16)) for c in columns))
                if size > room:
                    raise _too_large(f"Row group {g + 1} of {file.path}", size)
                if held and (taken + size > room or held + rows > most):
                    found.append(ParquetPiece(file.path, first, held, start, (place, g), dictionaries, types))
                    first, start, place, held, taken = first + held, start + held, g, 0, 0.0
                held, taken = held + rows, taken + size
            if held:
                last = len(file.groups)
                found.append(ParquetPiece(file.path, first, held, start, (place, last), dictionaries, types))
                start += held
        return tuple(found)


def _too_large(what: str, size: float) -> DataError:
    rewrite = "pl.scan_parquet(old).sink_parquet(new, row_group_size=500_000)"
    return DataError(
        f"{what} takes {size / 1e6:,.0f} MB, and a reader holds it up to five times: too much.",
        do=f"allow more (memory='{max(100.0, 5.1 * size / 1e6):.0f}MB'), or make the row groups smaller: {rewrite}.",
    )


def changed(path: Path) -> tuple[int, int]:
    """Size and time of change."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def check_intact(files: Iterable[tuple[str, int, int]]) -> None:
    """Raise a DataError if a file has another size or time of change than these."""
    for name, *known in files:
        with reading(name):
            found = changed(Path(name))
        if found != tuple(known):
            raise DataError(f"{name} changed while the job ran.", do="start again.")


def _joined(first: Path, schema: Any, path: Path, found: Any) -> Any:
    """The schema of both, whose numbers are as wide as either's; files that differ in more are refused."""
    known = {field.name: field.type for field in schema}
    here = {field.name: field.type for field in found}
    if missing := [name for name in known if name not in here]:
        raise DataError(f"{path} has no column {missing[0]!r}, which {first} has.", do="name files of one kind.")
    for name, kind in known.items():
        if here[name] != kind and not (is_number(here[name]) and is_number(kind)):
            what = f"Column {name!r} is {kind} in {first}, but {here[name]} in {path}."
            raise DataError(what, do="convert one of them.")
        if here[name] != kind:
            place = schema.get_field_index(name)
            schema = schema.set(place, schema.field(place).with_type(_wider(kind, here[name])))
    return schema


def _wider(one: Any, other: Any) -> Any:
    """A type for the numbers of both; what it cannot hold is an error when it is met."""
    import pyarrow as pa

    if pa.types.is_floating(one) or pa.types.is_floating(other):
        return pa.float64()
    unsigned = pa.types.is_unsigned_integer(one) and pa.types.is_unsigned_integer(other)
    return pa.uint64() if unsigned else pa.int64()
