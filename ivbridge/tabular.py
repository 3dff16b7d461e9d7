"""Tables of any kind as pandas data frames, and their columns of numbers without a copy.

pandas, Polars and Arrow (pyarrow) tables, mappings of names to arrays, and :class:`~ivbridge.data.Dataset`. Neither
Polars nor pyarrow is imported: an object of theirs brings its own methods.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge.data import Dataset
from ivbridge.errors import DataError, MissingExtraError

__all__ = ["Chunked", "as_pandas", "plain", "reader", "table_kind"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Chunked:
    """A column in several runs of memory; a slice that lies within one of them is not copied.

    Attributes
    ----------
    chunks : tuple of arrays
    stops : (number of chunks,) int array
        Rows up to the end of each.
    """

    chunks: tuple[Array, ...]
    stops: NDArray[np.int64]

    @classmethod
    def of(cls, chunks: Iterable[Array]) -> Array | Chunked:
        """The column; an array where there is one chunk."""
        kept = tuple(chunk for chunk in chunks if len(chunk))
        if len(kept) == 1:
            return kept[0]
        return cls(kept, np.cumsum([len(chunk) for chunk in kept])) if kept else np.empty(0)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the chunks."""
        return self.chunks[0].dtype

    def __len__(self) -> int:
        return int(self.stops[-1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.concatenate(self.chunks).astype(dtype or self.dtype, copy=False)

    def __getitem__(self, rows: slice) -> Array:
        start, stop, step = rows.indices(len(self))
        parts = []
        for j in range(int(np.searchsorted(self.stops, start, side="right")), len(self.chunks)):
            first = int(self.stops[j]) - len(self.chunks[j])
            if first >= stop:
                break
            skipped = start - first if start >= first else -(first - start) % step
            parts.append(self.chunks[j][skipped : stop - first : step])
        return parts[0] if len(parts) == 1 else np.concatenate(parts or [self.chunks[0][:0]])


def table_kind(data: object) -> str:
    """``"pandas"``, ``"polars"``, ``"lazy"`` (a LazyFrame of Polars), ``"arrow"``, ``"mapping"``, or empty."""
    if isinstance(data, pd.DataFrame):
        return "pandas"
    for kind in type(data).__mro__:
        package = kind.__module__.partition(".")[0]
        if package == "polars" and kind.__name__ in ("DataFrame", "LazyFrame"):
            return "polars" if kind.__name__ == "DataFrame" else "lazy"
        if package == "pyarrow" and kind.__name__ in ("Table", "RecordBatch"):
            return "arrow"
    return "mapping" if isinstance(data, Mapping) else ""


def as_pandas(data: Any, columns: Iterable[str] | None = None) -> pd.DataFrame:
    """The table as a pandas data frame.

    Parameters
    ----------
    data : DataFrame, Dataset, Polars DataFrame, pyarrow Table or RecordBatch, or mapping of str to (n,) arrays
    columns : iterable of str, optional
        What is needed of it; only these columns of mappings, Polars and Arrow tables are converted. Where one of them
        is not there, the frame has all columns (of Polars and Arrow no rows), for whoever tells the caller so.
        Default: all.

    Raises
    ------
    DataError
        If it is something else, the arrays of a mapping do not make a table, or a column has a type that pandas lacks.
    MissingExtraError
        If Polars needs pyarrow for the conversion, and it is not installed.
    """
    if isinstance(data, Dataset):
        return data.frame
    kind = table_kind(data)
    if kind == "pandas":
        frame: pd.DataFrame = data
        return frame
    if kind == "mapping":
        wanted = set(data if columns is None else columns)
        used = {name: values for name, values in data.items() if name in wanted} if wanted <= set(data) else dict(data)
        try:
            return pd.DataFrame(used)
        except (ValueError, TypeError) as error:
            raise DataError(
                f"The mapping is no table: {error}.", do="give one-dimensional arrays of one length."
            ) from error
    if kind in ("polars", "arrow"):
        return _converted(data, kind, columns)
    raise DataError(
        f"data is a {'Polars LazyFrame' if kind == 'lazy' else type(data).__name__}, not a pandas DataFrame.",
        available="pandas and Polars data frames, Arrow tables, mappings of names to arrays",
        do="call its collect() first."
        if kind == "lazy"
        else "pass a DataFrame, read a file with ivbridge.read(path), or start from ivbridge.from_arrays(…).",
    )


def _converted(data: Any, kind: str, columns: Iterable[str] | None) -> pd.DataFrame:
    known = data.columns if kind == "polars" else data.schema.names
    if columns is not None:
        wanted = list(dict.fromkeys(columns))
        if twice := [name for name in wanted if known.count(name) > 1]:
            raise DataError(f"The data has {known.count(twice[0])} columns called {twice[0]!r}.", do="rename them.")
        if set(wanted) <= set(known):
            data = data.select(wanted)
        else:
            data = data.head(0) if kind == "polars" else data.slice(0, 0)
    try:
        frame: pd.DataFrame = data.to_pandas()
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Turning a Polars data frame into a pandas one needs the package pyarrow.",
            do='pip install "ivbridge[files]"',
        ) from error
    except (ValueError, NotImplementedError) as error:  # pyarrow's errors of types are these
        what = f"A column cannot be turned into one of pandas: {str(error).splitlines()[0]}."
        raise DataError(what, do="convert it to floating point numbers or texts.") from error
    return frame


def plain(column: object) -> bool:
    """Whether a column is an (n,) array of numpy, and no kind of array with a meaning of its own, as a mask is."""
    return isinstance(column, np.ndarray) and column.ndim == 1 and type(column) in (np.ndarray, np.memmap)


def reader(data: Any) -> Callable[[str], Any]:
    """A function that gives a column as it lies in memory, by name.

    Parameters
    ----------
    data : a table as for :func:`as_pandas`

    Returns
    -------
    callable
        Its result is an (n,) array or :class:`Chunked` where the column is a run of numbers or booleans without missing
        integers (floating point numbers may be NaN); for pandas an extension array where that is what the column is;
        otherwise None.
    """
    kind = table_kind(data)
    if kind == "pandas":
        return _pandas_reader(data)
    if kind == "polars":
        return lambda name: _chunked(data.get_column(name).get_chunks()) if name in data.columns else None
    if kind == "arrow":
        return lambda name: _chunked(_chunks(data.column(name))) if data.schema.names.count(name) == 1 else None
    return lambda name: data[name] if name in data and plain(data[name]) else None


def _pandas_reader(data: pd.DataFrame) -> Callable[[str], Any]:
    place = data.columns.get_loc
    stored = getattr(data, "_get_column_array", None)  # not public; saves most of the time that a Series takes

    def read(name: str) -> Any:
        try:
            at = place(name)
        except (KeyError, TypeError, ValueError):
            return None
        if type(at) is not int:
            return None
        return data.iloc[:, at].array.to_numpy() if stored is None else stored(at)

    return read


def _chunks(column: Any) -> Sequence[Any]:
    """Of a column of a pyarrow Table, which has several, or of a RecordBatch, which has one."""
    return column.chunks if hasattr(column, "chunks") else [column]


def _chunked(chunks: Sequence[Any]) -> Array | Chunked | None:
    """Runs of numbers of Polars or Arrow; None where a value is missing, or they are stored in another way."""
    arrays = []
    for chunk in chunks:
        polars = callable(chunk.null_count)
        try:
            arrays.append(chunk.to_numpy(**({"allow_copy": False} if polars else {"zero_copy_only": True})))
        except (RuntimeError, ValueError):  # pyarrow's ArrowInvalid is a ValueError
            return None
    if any(array.dtype.kind not in "fiu" or array.ndim > 1 for array in arrays):
        return None
    return Chunked.of(arrays)
