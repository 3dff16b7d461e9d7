"""Users from a file, block by block: experiments are narrowed to one byte a cell before the next block is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pandas as pd

from ivbridge.data import read
from ivbridge.encouragement.users import arms
from ivbridge.errors import DataError, MissingExtraError
from ivbridge.readers import table_blocks, table_columns
from ivbridge.selection.spec import matching

__all__ = ["read_users"]

#: Cells of one block: 32 MiB in eight bytes each.
_CELLS = 1 << 22
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}


def read_users(
    path_or_name: str | Path, experiments: str | Sequence[str], others: Sequence[str], *, rows: int | None = None
) -> pd.DataFrame:
    """Read the columns that an encouragement design needs, and no others.

    Delimited text (also compressed) and parquet are read in blocks; every other format that :func:`ivbridge.read`
    knows, and bundled sets, are read whole.

    Parameters
    ----------
    path_or_name : str or Path
    experiments : str or sequence of str
        Names or patterns; their columns become int8, or pandas ``Int8`` where values are missing.
    others : sequence of str
        Outcome, behavior, controls, by name or pattern.
    rows : int, optional
        Rows of a block; default: as many as fill 32 MiB.

    Raises
    ------
    DataError
        If there is no such file or column, or an experiment holds other values than 0, 1, true, false and missing.
    MissingExtraError
        If parquet is read without pyarrow.
    """
    try:
        path = Path(path_or_name).expanduser()
        exists = path.is_file()
    except (OSError, RuntimeError):  # a name that no file can have, a home that nobody has: read() says so
        return read(path_or_name).frame
    endings = [ending.lower() for ending in path.suffixes]
    kind = endings[-2] if len(endings) > 1 and endings[-1] in (".gz", ".bz2", ".xz") else endings[-1] if endings else ""
    if not exists or kind not in (*_SEPARATORS, ".parquet"):
        return read(path_or_name).frame
    text = kind in _SEPARATORS
    columns = table_columns(path, _SEPARATORS[kind]) if text else _parquet_columns(path)
    # a name that no column has is left to the analysis, which knows its role
    known = [one for one in others if any(fnmatchcase(name, one) or name == one for name in columns)]
    beside = matching(known, columns)
    names = tuple(name for name in matching(experiments, columns) if name not in beside)
    wanted = (*beside, *names)
    size = rows or max(_CELLS // max(len(wanted), 1), 256)
    blocks = table_blocks(path, _SEPARATORS[kind], wanted, size) if text else _parquet_blocks(path, wanted, size)
    return _joined(blocks, wanted, names, path)


def _joined(blocks: Iterator[pd.DataFrame], wanted: Sequence[str], names: Sequence[str], path: Path) -> pd.DataFrame:
    others = [name for name in wanted if name not in set(names)]
    kept: list[pd.DataFrame] = []
    cells: list[np.ndarray] = []
    for block in blocks:
        narrow = np.empty((len(block), len(names)), dtype=np.int8, order="F")
        for j, name in enumerate(names):
            treated, missing = arms(block[name])
            narrow[:, j] = treated
            if missing is not None:
                narrow[missing, j] = -1
        cells.append(narrow)
        kept.append(pd.DataFrame({name: _logical_as_number(block[name]) for name in others}, index=block.index))
    if not sum(map(len, cells)):
        raise DataError(f"{path} has no rows.")
    whole = np.empty((sum(map(len, cells)), len(names)), dtype=np.int8, order="F")
    np.concatenate(cells, out=whole)
    cells.clear()
    plain = pd.concat(kept, ignore_index=True)
    return pd.concat([plain, _experiments(whole, names)], axis=1)[list(wanted)]


def _experiments(whole: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    missing = whole == -1
    if not missing.any():
        return pd.DataFrame(whole, columns=list(names), copy=False)
    columns = {}
    for j, name in enumerate(names):
        column = whole[:, j]
        columns[name] = pd.arrays.IntegerArray(column, missing[:, j]) if missing[:, j].any() else column
    return pd.DataFrame(columns)


def _logical_as_number(column: pd.Series) -> pd.Series:
    """True, false and missing together are read as objects."""
    if column.dtype != object or not set(column.dropna().unique()) <= {True, False}:
        return column
    return column.astype(np.float64)


def _parquet_columns(path: Path) -> tuple[str, ...]:
    return tuple(map(str, _parquet(path).schema_arrow.names))


def _parquet_blocks(path: Path, columns: Sequence[str], rows: int) -> Iterator[pd.DataFrame]:
    for batch in _parquet(path).iter_batches(batch_size=rows, columns=list(columns)):
        yield batch.to_pandas()


def _parquet(path: Path):  # type: ignore[no-untyped-def]
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise MissingExtraError(
            f"Reading {path} needs the package pyarrow.", do='pip install "ivbridge[files]"'
        ) from error
    try:
        return parquet.ParquetFile(path)
    except (pa.ArrowException, ValueError, OSError) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}.") from error
