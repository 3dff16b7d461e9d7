"""Parquet files, read by Polars' streaming engine, or by pyarrow where Polars would lose an order of levels."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ivbridge.errors import DataError
from ivbridge.scale.frames import is_number
from ivbridge.scale.sources import RawPiece, extra, most_rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ParquetFiles", "ParquetPiece", "reading"]


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
    """

    path: str
    first: int
    rows: int
    start: int
    groups: tuple[int, int]
    dictionaries: tuple[str, ...] = ()

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
                yield table
        if seen != wanted:
            raise DataError(f"{self} gave {seen:,} rows: the file changed while it was read.", do="start again.")

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
            _same(paths[0], schema, path, found)
            status = path.stat()
            files.append(_File(str(path), status.st_size, status.st_mtime_ns, tuple(groups)))
        return cls(schema, tuple(files))

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
            for g, (rows, sizes) in enumerate(file.groups):
                size = float(sum(max(sizes.get(c, 0), rows * (8 if is_number(kinds[c]) else 16)) for c in columns))
                if size > room:
                    raise _too_large(f"Row group {g + 1} of {file.path}", size)
                if held and (taken + size > room or held + rows > most):
                    found.append(ParquetPiece(file.path, first, held, start, (place, g), dictionaries))
                    first, start, place, held, taken = first + held, start + held, g, 0, 0.0
                held, taken = held + rows, taken + size
            if held:
                found.append(ParquetPiece(file.path, first, held, start, (place, len(file.groups)), dictionaries))
                start += held
        return tuple(found)


def _too_large(what: str, size: float) -> DataError:
    rewrite = "pl.scan_parquet(old).sink_parquet(new, row_group_size=500_000)"
    return DataError(
        f"{what} takes {size / 1e6:,.0f} MB, and a reader holds it up to five times: too much.",
        do=f"allow more (memory='{max(100.0, 5.1 * size / 1e6):.0f}MB'), or make the row groups smaller: {rewrite}.",
    )


def _same(first: Path, schema: Any, path: Path, found: Any) -> None:
    """Refuse files whose columns differ in names, or in more than the width of numbers."""
    known = {field.name: field.type for field in schema}
    here = {field.name: field.type for field in found}
    if missing := [name for name in known if name not in here]:
        raise DataError(f"{path} has no column {missing[0]!r}, which {first} has.", do="name files of one kind.")
    for name, kind in known.items():
        if here[name] != kind and not (is_number(here[name]) and is_number(kind)):
            what = f"Column {name!r} is {kind} in {first}, but {here[name]} in {path}."
            raise DataError(what, do="convert one of them.")
