"""File formats: one function a format, each path in, one plain data frame out.

csv, tsv and Stata files need pandas alone; parquet and feather need pyarrow, R's files need rdata (extra ``files``).
Every reader keeps the row order, the level order of categories and every bit of a number, and raises rather than
guess when a column cannot be carried over faithfully.
"""

from __future__ import annotations

import csv
import io
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from ivbridge.errors import DataError, MissingExtraError
from ivbridge.rfiles import read_r
from ivbridge.unpack import READING_FAILURES, UNPACKING_FAILURES, is_packed, opened

__all__ = ["READERS", "plain", "read_table", "table_blocks", "table_columns"]

#: pandas needs a minute for a table of a hundred thousand columns and no row.
_WIDE = 10_000


def read_table(path: Path, separator: str, *, types: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Read delimited UTF-8 text with a header line; ``.gz``, ``.bz2`` and ``.xz`` are unpacked.

    Numbers are read to the nearest double. Empty fields, ``NA`` and ``NaN`` are missing, as in R's ``read.csv``.

    Parameters
    ----------
    path : Path
    separator : str
        One character.
    types : mapping of str to dtype, optional
        Columns that are not to be guessed.

    Raises
    ------
    DataError
        Not UTF-8, no header, a column name twice, or a line with more fields than the header.
    """
    with _table_errors(path, separator):
        _check_header(path, separator)
        with _source(path) as source:
            options = _table_options(separator)
            frame: pd.DataFrame = pd.read_csv(source, dtype=dict(types or {}), low_memory=False, **options)
        return frame


def table_columns(path: Path, separator: str) -> tuple[str, ...]:
    """Names in the header line; raises as :func:`read_table` does."""
    with _table_errors(path, separator):
        _check_header(path, separator)
        with _source(path) as source:
            return tuple(map(str, pd.read_csv(source, nrows=0, **_table_options(separator)).columns))


def table_blocks(path: Path, separator: str, columns: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    """The columns named, at most ``rows`` rows at a time, types guessed anew in each block; see :func:`read_table`."""
    with _table_errors(path, separator), _source(path) as source:
        options = _table_options(separator)
        with pd.read_csv(source, usecols=list(columns), chunksize=rows, low_memory=False, **options) as blocks:
            yield from blocks


@contextmanager
def _source(path: Path) -> Iterator[Path | IO[bytes]]:
    """What pandas reads: a plain file by its path, which is faster, and a packed one through a limit."""
    if is_packed(path):
        with opened(path) as content:
            yield content
    else:
        yield path


def _table_options(separator: str) -> dict[str, Any]:
    missing = {"keep_default_na": False, "na_values": ["", "NA", "NaN", "nan"]}
    return {"sep": separator, "encoding": "utf-8-sig", **missing, **_exact_floats()}


@contextmanager
def _table_errors(path: Path, separator: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8 text: {error}.",
            do=f"convert it, for example: iconv -f latin1 -t utf8 {shlex.quote(str(path))} > new.csv",
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, csv.Error, *UNPACKING_FAILURES) as error:
        raise DataError(f"{path} is not a table with the separator {separator!r}: {error}.") from error


def _exact_floats() -> dict[str, Any]:
    """Before 3.1, pandas' default parser may miss the nearest double by one unit in the last place."""
    version = tuple(int(part) for part in pd.__version__.split(".")[:2])
    return {} if version >= (3, 1) else {"float_precision": "round_trip"}


def _check_header(path: Path, separator: str) -> None:
    """Refuse what pandas would repair silently: repeated names, and lines with more fields than names."""
    with opened(path) as content:
        lines = io.TextIOWrapper(content, encoding="utf-8-sig", newline="")
        records = csv.reader(lines, delimiter=separator)
        names, first = next(records, []), next(records, [])
    if any("\0" in name for name in names):
        raise DataError(f"{path} is not text: it holds NUL.", do="save it again as UTF-8.")
    _refuse_repeated(str(path), names)
    if not first and len(names) > _WIDE:
        raise DataError(f"{path} names {len(names)} columns and has no rows.")
    if len(first) > len(names):
        raise DataError(
            f"{path} names {len(names)} columns, but its first row has {len(first)} fields.",
            do="name every column in the first line; R's write.csv() does so, write.table() with col.names = NA.",
        )


def _refuse_repeated(where: str, names: list[str]) -> None:
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DataError(
            f"{where} has columns with the same name: {', '.join(map(repr, twice))}.",
            do="give every column its own name.",
        )


def read_csv(path: Path) -> pd.DataFrame:
    """Comma-separated text."""
    return read_table(path, ",")


def read_tsv(path: Path) -> pd.DataFrame:
    """Tab-separated text."""
    return read_table(path, "\t")


def read_parquet(path: Path) -> pd.DataFrame:
    """Apache Parquet, through pyarrow; dictionary columns become categories."""
    return _with_pyarrow(path, pd.read_parquet)


def read_feather(path: Path) -> pd.DataFrame:
    """Apache Feather (Arrow IPC file), through pyarrow; dictionary columns become categories.

    The file holds positions in memory, which pyarrow believes unless it is asked to look.
    """

    def read(path: Path) -> pd.DataFrame:
        from pyarrow import feather

        feather.read_table(path).validate(full=True)
        return pd.read_feather(path)

    return _with_pyarrow(path, read)


def _with_pyarrow(path: Path, reader: Callable[[Path], pd.DataFrame]) -> pd.DataFrame:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise _missing(path, "pyarrow") from error
    try:
        frame = reader(path)
    except (pa.ArrowException, *READING_FAILURES) as error:
        raise DataError(f"{path} cannot be read as {path.suffix[1:]}: {str(error)[:500]}.") from error
    return frame.reset_index() if any(name is not None for name in frame.index.names) else frame


def read_stata(path: Path) -> pd.DataFrame:
    """Stata ``.dta``, formats 102 to 119.

    A column whose values all have a value label becomes an unordered category whose levels are those that occur, in
    the order of their codes; one with labels for some values only stays numeric. Stata's missing values, the
    extended ones too, are missing.

    Raises
    ------
    DataError
        Two codes of one column share a label, or the file is damaged.
    """
    try:
        frame = pd.read_stata(path, order_categoricals=False)
        partly = [str(name) for name in frame if _has_bare_codes(frame[name])]
        if partly:
            frame = frame.assign(**pd.read_stata(path, columns=partly, convert_categoricals=False))
    except READING_FAILURES as error:
        text = " ".join(str(error).split())
        repair = "drop the value label in Stata: label values NAME ." if "are not unique" in text else "save it again."
        raise DataError(
            f"{path} cannot be read as a Stata file: {text.split(' Either ')[0] or type(error).__name__}.",
            do=repair,
        ) from error
    return frame


def _has_bare_codes(column: pd.Series) -> bool:
    kind = column.dtype
    return isinstance(kind, pd.CategoricalDtype) and not all(isinstance(value, str) for value in kind.categories)


def _missing(path: Path, package: str) -> MissingExtraError:
    return MissingExtraError(f"Reading {path} needs the package {package}.", do='pip install "ivbridge[files]"')


def plain(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Widen single precision, and make nullable columns plain where no value changes; one row after the other."""
    names = [str(name) for name in frame]
    _refuse_repeated(str(path), names)
    if all(map(_is_plain, frame.dtypes)):
        return frame.set_axis(names, axis=1).reset_index(drop=True)  # quick where there are a hundred thousand columns
    columns = {name: _plain_column(frame[label]) for name, label in zip(names, frame, strict=True)}
    return pd.DataFrame(columns, index=frame.index).reset_index(drop=True)


def _is_plain(kind: Any) -> bool:
    return isinstance(kind, np.dtype) and (kind.kind != "f" or kind == np.float64)


def _plain_column(column: pd.Series) -> pd.Series:
    kind = column.dtype
    if isinstance(kind, np.dtype):
        return column.astype(np.float64) if kind.kind == "f" else column
    complete = not column.isna().any()
    if pd.api.types.is_integer_dtype(kind):
        exact = complete or column.abs().max() <= 2**53
        return column.astype(np.int64 if complete else np.float64) if exact else column
    if pd.api.types.is_float_dtype(kind):
        return column.astype(np.float64)
    return column.astype(bool) if isinstance(kind, pd.BooleanDtype) and complete else column


READERS: dict[str, Callable[[Path], pd.DataFrame]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".tab": read_tsv,
    ".parquet": read_parquet,
    ".feather": read_feather,
    ".dta": read_stata,
    ".rds": read_r,
    ".rda": read_r,
    ".rdata": read_r,
}
