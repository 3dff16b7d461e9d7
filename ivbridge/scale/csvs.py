"""Delimited text: ranges of bytes that end where a record does, each read by itself."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from ivbridge.errors import DataError
from ivbridge.readers import table_columns
from ivbridge.scale.parquet import changed, check_intact, reading
from ivbridge.scale.sources import RawPiece, extra, most_rows

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["CsvFiles", "CsvPiece", "separator"]

#: As :func:`ivbridge.readers.read_table` reads them.
MISSING = ["", "NA", "NaN", "nan"]
#: Bytes that are looked through together for the ends of records.
CHUNK = 2**24
#: What a column is called whose texts are numbers to other readers.
ODD = "odd"
#: What a byte of text takes in memory at most, beside itself, while it is read.
SWELL = 3


@dataclass(frozen=True, slots=True)
class CsvPiece:
    """Whole records of one file.

    Attributes
    ----------
    path : str
    first, last : int
        Bytes: where the first record starts, where the last one ends.
    start, rows : int
    names : tuple of str
        Of all columns.
    kinds : tuple of str
        Polars' names of their types.
    """

    path: str
    first: int
    last: int
    start: int
    rows: int
    names: tuple[str, ...]
    kinds: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.path}, rows {self.start + 1:,} to {self.start + self.rows:,}"

    def frames(self, columns: Sequence[str], limit: int | None = None) -> Iterator[pa.Table]:
        """Read the records.

        Raises
        ------
        DataError
            If the file cannot be read, or has changed.
        """
        import polars as pl

        wanted = self.rows if limit is None else min(limit, self.rows)
        size = self.last - self.first
        if limit is not None:
            size = min(size, 2**16 + size * limit // max(self.rows, 1))
        with reading(self.path), Path(self.path).open("rb") as file:
            file.seek(self.first)
            content = file.read(size)
            if limit is not None and size < self.last - self.first:
                content = content[: content.rfind(b"\n") + 1]
            kinds = {name: getattr(pl, kind) for name, kind in zip(self.names, self.kinds, strict=True)}
            frame = pl.read_csv(content, has_header=False, schema=kinds, n_rows=limit, **_options(self.path))
        if frame.height != wanted and limit is None:
            raise DataError(
                f"{self} gave {frame.height:,} rows: the file changed while it was read.", do="start again."
            )
        yield frame.select(pl.col(name) for name in columns).to_arrow(compat_level=pl.CompatLevel.oldest())


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    size: int
    changed: int


@dataclass(frozen=True, slots=True, eq=False)
class CsvFiles:
    """Files with the same header line; a :class:`~ivbridge.scale.sources.Source`.

    The types of columns are those that fit all their fields; finding them takes a pass over the files when the source
    is opened. Fields that are empty, ``NA`` or ``NaN`` are missing.
    """

    files: tuple[_File, ...]
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    odd: tuple[str, ...]
    records: tuple[tuple[tuple[int, int, int], ...], ...]

    @classmethod
    def opened(cls, paths: Sequence[Path]) -> Self:
        """Look through the files for the types of columns and the ends of records.

        Raises
        ------
        DataError
            If a file is no table, is packed, or differs from the first one in its columns.
        """
        extra("polars", "Reading text files in pieces")
        extra("pyarrow", "Reading text files in pieces")
        names: tuple[str, ...] | None = None
        kinds: dict[str, str] = {}
        files, records = [], []
        for path in paths:
            here = table_columns(path, separator(path))
            if names is not None and here != names:
                raise DataError(f"{path} has other columns than {paths[0]}.", do="name files of one kind.")
            names, seen = here, changed(path)
            found = []
            for first, last in _ranges(path):
                frame = _parsed(path, first, last, here)
                kinds = _wider(kinds, _kinds(frame))
                found.append((first, last, frame.height))
            records.append(tuple(found))
            files.append(_File(str(path), *seen))
        assert names is not None
        odd = tuple(name for name in names if kinds.get(name) == ODD)
        chosen = tuple("String" if name in odd else kinds.get(name) or "Float64" for name in names)
        return cls(tuple(files), names, chosen, odd, tuple(records))

    def intact(self) -> None:
        """Raise a DataError if a file is another one than it was when it was looked through."""
        check_intact((file.path, file.size, file.changed) for file in self.files)

    @property
    def schema(self) -> pa.Schema:
        """Names and types."""
        import polars as pl

        kinds = {name: getattr(pl, kind) for name, kind in zip(self.names, self.kinds, strict=True)}
        return pl.DataFrame(schema=kinds).to_arrow(compat_level=pl.CompatLevel.oldest()).schema

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(rows for one in self.records for _, _, rows in one)

    @property
    def state(self) -> str:
        """Names, sizes, times of change and types."""
        listed = "; ".join(f"{Path(f.path).name} {f.size} {f.changed}" for f in self.files)
        digest = hashlib.sha256(f"{listed}\0{self.names}\0{self.kinds}".encode()).hexdigest()
        return f"{len(self.files)} text files, {self.rows} rows, {digest}"

    def pieces(self, columns: Sequence[str], room: int) -> tuple[RawPiece, ...]:
        """Ranges of records; the text of all columns is read.

        Raises
        ------
        DataError
            If all texts of a column that is wanted are numbers but for blanks or their size.
        """
        if odd := [name for name in columns if name in self.odd]:
            raise DataError(
                f"Column {odd[0]!r} holds numbers that some readers take for texts: with blanks around them, infinite, "
                "or whole and beyond 2**63.",
                do="write plain numbers.",
            )
        found: list[RawPiece] = []
        start = 0
        for file, records in zip(self.files, self.records, strict=True):
            for first, last, rows in _joined(records, room // SWELL, most_rows(self.rows)):
                found.append(CsvPiece(file.path, first, last, start, rows, self.names, self.kinds))
                start += rows
        return tuple(found)


def _joined(records: Sequence[tuple[int, int, int]], size: int, most: int) -> Iterator[tuple[int, int, int]]:
    """Neighbouring ranges together, as long as they have at most so many bytes and records."""
    held: tuple[int, int, int] | None = None
    for first, last, rows in records:
        if held is not None and (last - held[0] > size or held[2] + rows > most):
            yield held
            held = None
        held = (first, last, rows) if held is None else (held[0], last, held[2] + rows)
    if held is not None and held[2]:
        yield held


def separator(path: Path | str) -> str:
    """What stands between the fields of a file of this name."""
    return "," if str(path).lower().endswith(".csv") else "\t"


def _options(path: Path | str) -> dict[str, Any]:
    return {"separator": separator(path), "null_values": MISSING}


def _parsed(path: Path, first: int, last: int, names: Sequence[str]) -> Any:
    """Records as a Polars table whose types fit all of them."""
    import polars as pl

    with reading(path), path.open("rb") as file:
        file.seek(first)
        content = file.read(last - first)
        return pl.read_csv(
            content, has_header=False, new_columns=list(names), infer_schema_length=None, **_options(path)
        )


def _kinds(frame: Any) -> dict[str, str]:
    """Polars' name of each column's type, or no text where all values are missing."""
    return {column.name: "" if column.null_count() == len(column) else _kind(column) for column in frame}


def _kind(column: Any) -> str:
    if (kind := str(column.dtype)) in ("Int64", "Float64", "Boolean"):
        return kind
    return ODD if _are_numbers(column.head(100)) and _are_numbers(column) else "String"


def _are_numbers(column: Any) -> bool:
    import polars as pl

    found = column.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
    return bool(found.null_count() == column.null_count())


def _wider(known: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Types that fit two files."""
    if not known:
        return dict(found)
    joined = {}
    for name, kind in found.items():
        both = {kind, known[name]} - {""}
        if not both:
            joined[name] = ""
            continue
        wider = "Float64" if both == {"Int64", "Float64"} else ODD if both <= {"Int64", "Float64", ODD} else "String"
        joined[name] = max(both) if len(both) == 1 else wider
    return joined


def _ranges(path: Path) -> Iterator[tuple[int, int]]:
    """First byte, and the one after the last, of ranges of about :data:`CHUNK` bytes that end with a record.

    Raises
    ------
    DataError
        If a line between records is empty: readers do not agree whether it is a record.
    """
    with path.open("rb") as file:
        first = place = _header_end(file)
        file.seek(0)
        if b"\r" in file.read(first).rstrip(b"\r\n"):
            raise DataError(f"{path} has carriage returns in its first line.", do="end lines with line feeds.")
        file.seek(place)
        size = _without_end(file, path.stat().st_size)
        file.seek(place)
        before, quoted = b"\n", False
        while place < size:
            chunk = file.read(min(CHUNK, size - place))
            breaks, quoted = _ends(chunk, quoted)
            _check_empty(path, before + chunk, breaks + len(before))
            before, place = chunk[-2:], place + len(chunk)
            if len(breaks):
                last = place - len(chunk) + int(breaks[-1]) + 1
                yield first, last
                first = last
        if first < size:
            yield first, size


def _check_empty(path: Path, content: bytes, breaks: NDArray[np.int64]) -> None:
    """Refuse a line without a field between two ends of records."""
    letters = np.frombuffer(content, dtype=np.uint8)
    before = letters[breaks - 1]
    if ((before == 10) | ((before == 13) & (letters[breaks - 2] == 10))).any():
        raise DataError(f"{path} has an empty line.", do="delete empty lines: readers do not agree on them.")


def _without_end(file: io.BufferedReader, size: int) -> int:
    """Bytes without the line breaks at the end of the file."""
    while size:
        file.seek(max(0, size - 4096))
        tail = file.read(min(4096, size))
        rest = tail.rstrip(b"\r\n")
        size -= len(tail) - len(rest)
        if rest:
            break
    return size


def _header_end(file: io.BufferedReader) -> int:
    quoted = False
    place = 0
    for line in file:
        place += len(line)
        quoted ^= line.count(b'"') % 2 == 1
        if not quoted:
            break
    return place


def _ends(chunk: bytes, quoted: bool) -> tuple[NDArray[np.int64], bool]:
    """Places of the ends of records in a chunk, and whether a quotation is open after it."""
    content = np.frombuffer(chunk, dtype=np.uint8)
    breaks = np.flatnonzero(content == 10)
    quotes = content == 34
    if quoted or quotes.any():
        breaks = breaks[(np.cumsum(quotes)[breaks] + quoted) % 2 == 0]
        quoted = bool((np.count_nonzero(quotes) + quoted) % 2)
    return breaks, quoted
