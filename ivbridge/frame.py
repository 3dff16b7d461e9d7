"""Bring the columns that a question uses into the few types that R and Python share exactly.

=========================================  =======================================================================
found                                      becomes
=========================================  =======================================================================
float, nullable float, Arrow float         float64, missing = the NaN that R calls NA (``factor(NaN)`` has a level)
integer (any), used as a number            float64; beyond 2**53 is an error, because R would round it
integer, used as a factor                  int32 if it fits (Int32 where values are missing), else float64
bool, nullable boolean                     bool, or nullable boolean where values are missing
text (object, str, string, Arrow)          categorical, levels sorted by code point (R with ``LC_ALL=C.UTF-8``)
categorical                                categorical with text levels in the same order; ordered stays ordered
anything else (dates, complex, mixed …)    an error; in columns that only group or order rows, dates become levels
=========================================  =======================================================================
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge.errors import DataError
from ivbridge.expr import format_number

__all__ = ["check_whole", "counted", "fingerprint", "level_text", "normalise"]

#: integers up to here survive the way through a double
EXACT = 2**53
#: R's NA among the doubles: a NaN (here a quiet one) whose low word is 1954
NA = np.array([0x7FF80000000007A2], dtype=np.uint64).view(np.float64)
Column = Any  # a pandas Series; the stubs make its parameter more trouble than help


def counted(number: int, noun: str) -> str:
    """``"1 row"``, ``"2 rows"``: for messages."""
    return f"{number} {noun}{'s' * (number != 1)}"


def normalise(
    data: object, columns: Iterable[str], *, factors: Collection[str] = (), labels: Collection[str] = ()
) -> pd.DataFrame:
    """Select and convert columns.

    Parameters
    ----------
    data : DataFrame
        Any index, which is dropped.
    columns : iterable of str
        Columns to keep, in this order.
    factors : collection of str
        Columns that the formula turns into factors: integers stay integers, so that R labels their levels alike.
    labels : collection of str
        Columns that only group or order rows: dates are allowed.

    Returns
    -------
    DataFrame
        All rows, with a RangeIndex and the types of the table above.

    Raises
    ------
    DataError
        If a column is missing, stands twice, has a type that R and Python do not share, or holds an infinite value.
    """
    if not isinstance(data, pd.DataFrame):
        raise DataError(f"data is a {type(data).__name__}.", do="pass a pandas DataFrame.")
    places: dict[str, list[int]] = {}
    for j, label in enumerate(data.columns):
        if isinstance(label, str):
            places.setdefault(label, []).append(j)
    converted: dict[str, Any] = {}
    for name in columns:
        column = _select(data, name, places)
        if column.dtype == np.float64:  # what most columns are; the general way takes ten times as long
            values = column.to_numpy()
            marked = _marked(name, values)
            # where nothing is missing the caller's own column, which pandas 3 copies only if somebody changes it
            converted[name] = column.reset_index(drop=True) if marked is values else marked
            continue
        if name in labels:
            column = _dates_as_levels(column)
        converted[name] = _convert(name, column.reset_index(drop=True), name in factors)
    return pd.DataFrame(converted, index=pd.RangeIndex(len(data)), copy=False)


def _select(data: pd.DataFrame, name: str, places: Mapping[str, Sequence[int]]) -> Column:
    positions = places.get(name, ())
    if not positions:
        labels = [str(label) for label in data.columns]
        close = difflib.get_close_matches(name, labels, n=1, cutoff=0.6)
        shown = ", ".join(labels[:30]) + (f" and {len(labels) - 30} more" if len(labels) > 30 else "")
        hint = f"write {close[0]!r} if that is what you mean." if close else ""
        raise DataError(f"The data has no column {name!r}.", available=shown or "no columns", do=hint)
    if len(positions) > 1:
        raise DataError(f"The data has {len(positions)} columns called {name!r}.", do="rename them.")
    return data.iloc[:, positions[0]]


def _dates_as_levels(column: Column) -> Column:
    """Turn dates, times and periods into a categorical whose levels are texts in the order of time."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = column.cat.categories
        return column.cat.rename_categories([str(c) for c in categories]) if _is_date(categories) else column
    if not _is_date(column):
        return column
    levels = sorted(column.dropna().unique())
    return column.astype(pd.CategoricalDtype(levels)).cat.rename_categories([str(level) for level in levels])


def _is_date(values: Any) -> bool:
    kinds = ("datetime64", "datetime", "date", "timedelta64", "timedelta", "period", "time")
    return pd.api.types.infer_dtype(values, skipna=True) in kinds


def _convert(name: str, column: Column, factor: bool) -> Column:
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categorical(name, column)
    if isinstance(dtype, pd.SparseDtype):
        column = column.sparse.to_dense()
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind == "unknown-array":
        column = column.astype(object)
        kind = pd.api.types.infer_dtype(column, skipna=True)
    if pd.api.types.is_bool_dtype(dtype) or kind == "boolean":
        nullable = column.astype("boolean")
        return nullable if nullable.isna().any() else nullable.astype(bool)
    if kind == "integer" or (kind == "mixed-integer-float" and pd.api.types.is_integer_dtype(dtype)):
        return _integer(name, column, factor)
    if kind in ("floating", "mixed-integer-float") and dtype.kind != "c" and dtype != np.longdouble:
        if kind != "floating" and not pd.api.types.is_float_dtype(dtype):
            _check_exact(name, max(abs(int(value)) for value in column if isinstance(value, int | np.integer)))
        return _finite(name, column.to_numpy(dtype=np.float64, na_value=np.nan))
    if kind == "string" or (kind == "empty" and isinstance(dtype, pd.StringDtype)):
        return _text(name, column)
    if kind == "empty":
        return _finite(name, np.full(len(column), np.nan))
    raise DataError(
        f"Column {name!r} holds {kind} values ({dtype}), which R and Python do not share.",
        available="numbers, texts, booleans and categoricals",
        do="convert the column first.",
    )


def _integer(name: str, column: Column, factor: bool) -> Column:
    missing = column.isna().to_numpy()
    values = np.where(missing, 0, column.to_numpy(dtype=object, na_value=0)) if missing.any() else column.to_numpy()
    largest = check_whole(name, values)
    if factor and largest < 2**31:
        whole = pd.Series(np.where(missing, 0, values).astype(np.int32))
        return whole.astype("Int32").mask(missing) if missing.any() else whole
    return _finite(name, np.where(missing, np.nan, values.astype(np.float64)))


def check_whole(name: str, values: Column) -> int:
    """Return the largest size of whole numbers, none of them missing.

    Raises
    ------
    DataError
        If it is beyond 2**53.
    """
    largest = max((abs(int(v)) for v in (values.min(), values.max())), default=0) if len(values) else 0
    _check_exact(name, largest)
    return largest


def _check_exact(name: str, largest: int) -> None:
    if largest > EXACT:
        raise DataError(
            f"Column {name!r} holds integers beyond 2**53 ({largest}), which R would round.",
            do="use it as a text, or divide it.",
        )


def _finite(name: str, values: NDArray[np.float64]) -> Column:
    return pd.Series(_marked(name, values))


def _marked(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The values themselves where none is missing, else a copy in which every missing value is R's NA."""
    if count := int(np.isinf(values).sum()):
        raise DataError(
            f"Column {name!r} holds {counted(count, 'infinite value')}.", do="replace them by missing values."
        )
    missing = np.isnan(values)
    return np.where(missing, NA, values) if missing.any() else values


def _text(name: str, column: Column) -> Column:
    present = column.dropna()
    levels = sorted(str(value) for value in present.unique())
    for level in levels:
        _check_text(name, level)
    texts = column.astype(object).where(column.notna(), None)
    return pd.Series(pd.Categorical(texts, categories=levels))


def _categorical(name: str, column: Column) -> Column:
    labels = [level_text(name, level) for level in column.cat.categories]
    if len(set(labels)) < len(labels):
        raise DataError(f"Two categories of {name!r} read the same in R.", do="rename the categories.")
    ordered = bool(column.cat.ordered)
    codes = column.cat.codes.to_numpy()
    return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(labels, dtype=object), ordered=ordered))


def level_text(name: str, level: object) -> str:
    """Return R's label of one category.

    Raises
    ------
    DataError
        If the category is not a text, a number, a boolean or an interval.
    """
    if isinstance(level, bool | np.bool_):
        return "TRUE" if level else "FALSE"
    if isinstance(level, int | np.integer):
        return str(int(level))
    if isinstance(level, float | np.floating):
        return ("-" if level < 0 else "") + format_number(abs(float(level)))
    if isinstance(level, str | pd.Interval):
        return _check_text(name, str(level))
    raise DataError(f"Column {name!r} has a category of type {type(level).__name__}.", do="use texts as categories.")


def _check_text(name: str, text: str) -> str:
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise DataError(f"Column {name!r} holds a text that R cannot hold (NUL or lone surrogate): {text!r}.")
    return text


def fingerprint(frame: pd.DataFrame) -> str:
    """Return a SHA-256 of the names, types and values of a normalised frame."""
    digest = hashlib.sha256()
    for name in frame.columns:
        column = frame[name]
        digest.update(f"{name}\0{column.dtype.name}\0".encode())
        if isinstance(column.dtype, pd.CategoricalDtype):
            levels = "\0".join(map(str, column.cat.categories))
            digest.update(f"{column.cat.ordered}\0{levels}\0".encode())
            digest.update(column.cat.codes.to_numpy(dtype=np.int64).tobytes())
        else:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
            missing = np.isnan(values)
            digest.update(missing.tobytes())
            digest.update(np.where(missing, 0.0, values + 0.0).tobytes())
    return digest.hexdigest()
