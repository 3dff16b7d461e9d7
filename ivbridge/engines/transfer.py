"""From Python values to the records of `ivbridge.engines.wire`: strict, typed, and nothing silently changed.

=====================================================  =====================================================
Python                                                 R
=====================================================  =====================================================
None                                                   NULL
bool, int, float, str (and NumPy's scalars)            vector of length 1
list or tuple of one of these (None: missing)          logical, integer, double or character vector; empty:
                                                       character(0)
list or tuple of anything else                         unnamed list
dict with text keys                                    named list
array of bool, int8 … int32, uint8, uint16             logical, integer
array of int64, uint32, uint64                         double; beyond ±2**53 a DataError
array of float16, float32, float64                     double, bit for bit; NaN stays NaN
2-D array                                              matrix
pandas Series or column: the above, and nullable       as above; missing becomes R's NA
pandas strings, object columns of str / bool           character (not factor), logical
pandas Categorical                                     factor with exactly these levels, ordered or not
pandas DataFrame (index ignored)                       data.frame; names kept as they are
datetime.date, NumPy's datetime64[D], Arrow's dates    Date
datetime64, datetimes; with a time zone                POSIXct without, with the zone (R runs in UTC)
timedelta64, timedeltas                                difftime in seconds
periods, intervals, complex, decimals, mixed           DataError
=====================================================  =====================================================

An integer column with missing values follows the same rule: Int8 … Int32 become integer, Int64 double. R's times are
doubles: what one of these cannot hold, so that it would come back as another moment, is a DataError. To about the
year 2242 every microsecond can be held.
"""

from __future__ import annotations

import datetime as dt
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ivbridge.engines.times import from_double, to_double
from ivbridge.engines.times import zone as known_zone
from ivbridge.engines.wire import EXACT, MANY, NA_INTEGER, NA_REAL, Factor, Frame, Items, Node, Text, Times, Vector
from ivbridge.errors import DataError

__all__ = ["encode", "encode_frame"]

_SMALL_INTEGERS = {"int8", "int16", "int32", "uint8", "uint16"}
_UNITS = ("D", "h", "m", "s", "ms", "us", "ns")
_ACCEPTED = "bool, integers, floats, text, categoricals, dates, times, and pandas' nullable versions of these"


def encode(value: object, name: str = "the value") -> Node:
    """Translate one Python value; `name` is how messages call it.

    Parameters
    ----------
    value : object
        Anything in the table of this module.
    name : str, default "the value"
        Used in messages.

    Returns
    -------
    Node
        The record; arrays inside are contiguous, and share memory with `value` where no conversion was needed.

    Raises
    ------
    DataError
        The value has no exact counterpart in R.
    """
    match value:
        case None:
            return None
        case pd.DataFrame():
            return encode_frame(value)
        case pd.Series():
            return _column(value, name)
        case pd.Categorical() | pd.Index() | pd.api.extensions.ExtensionArray():
            return _column(pd.Series(value), name)
        case np.ndarray():
            return _array(value, name)
        case dt.date() | dt.timedelta() | np.datetime64() | np.timedelta64():
            return _object(np.array([value], dtype=object), name)
        case str() | bool() | numbers.Number() | np.generic():
            return _scalars([value], name)
        case Mapping():
            return _mapping(value, name)
        case Sequence() if not isinstance(value, bytes | bytearray | memoryview):
            if all(item is None or isinstance(item, str | bool | numbers.Number | np.generic) for item in value):
                return _scalars(list(value), name)
            if all(item is None or isinstance(item, dt.date | dt.timedelta) for item in value):
                return _object(np.array([*value, None], dtype=object)[:-1], name)
            return Items([encode(item, f"{name}[{i}]") for i, item in enumerate(value)], None)
    raise DataError(f"{name} is a {_type_name(value)}, which cannot be sent to R.", available=_ACCEPTED)


def encode_frame(data: pd.DataFrame) -> Frame:
    """Translate a table; its index is left out.

    Parameters
    ----------
    data : pandas.DataFrame
        Columns with unique, non-empty text names.

    Raises
    ------
    DataError
        A name is empty, duplicated or not text, or a column has a type that R cannot hold exactly.
    """
    names = list(data.columns)
    for name in names:
        if not isinstance(name, str):
            raise DataError(f"The column name {name!r} is not text.", do="rename it: data.rename(columns=str)")
        if not name:
            raise DataError("A column name is empty.", do="rename the column.")
        _check_text(name, "a column name")
    duplicated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if duplicated:
        shown = ", ".join(map(repr, duplicated))
        raise DataError(f"Column names are duplicated: {shown}.", do="rename or drop the extra columns.")
    return Frame(names, _columns(data), len(data))


def _columns(data: pd.DataFrame) -> list[Node]:
    types = set(data.dtypes)
    if data.shape[1] >= MANY and types == {np.dtype(np.float64)}:  # pandas takes long to hand out one after the other
        return [Vector("double", column) for column in np.ascontiguousarray(data.to_numpy().T)]
    return [_column(series, f"the column {name!r}") for name, series in data.items()]


def _mapping(value: Mapping[Any, object], name: str) -> Items:
    for key in value:
        if not isinstance(key, str) or not key:
            raise DataError(f"{name} has the key {key!r}; R lists take non-empty text names.")
        _check_text(key, f"a key of {name}")
    return Items([encode(item, f"{name}[{key!r}]") for key, item in value.items()], list(value))


def _scalars(values: list[Any], name: str) -> Node:
    """Python scalars of one kind, None where missing."""
    values = [item.item() if isinstance(item, np.generic) else item for item in values]
    present = [item for item in values if item is not None]
    if all(isinstance(item, str) for item in present):
        return _text(np.array(values, dtype=object), name)
    if all(isinstance(item, bool) for item in present):
        codes = [NA_INTEGER if item is None else int(item) for item in values]
        return Vector("logical", np.array(codes, dtype=np.int32))
    if all(isinstance(item, int) and not isinstance(item, bool) for item in present):
        fits = all(-(2**31) < item < 2**31 for item in present)
        if fits:
            codes = [NA_INTEGER if item is None else item for item in values]
            return Vector("integer", np.array(codes, dtype=np.int32))
        if any(abs(item) > EXACT for item in present):
            raise DataError(f"{name} holds an integer beyond ±2**53, which R cannot hold exactly.")
    if all(isinstance(item, int | float) and not isinstance(item, bool) for item in present):
        return Vector("double", np.array([NA_REAL if item is None else float(item) for item in values]))
    kinds = ", ".join(sorted({type(item).__name__ for item in present}))
    raise DataError(f"{name} holds {kinds}, which cannot be sent to R together.", available=_ACCEPTED)


def _array(values: npt.NDArray[Any], name: str) -> Node:
    if values.ndim not in (1, 2):
        raise DataError(f"{name} has {values.ndim} dimensions; 1 or 2 can be sent to R.")
    dim = values.shape if values.ndim == 2 else None
    flat = values.ravel(order="F")
    node = _object(flat, name) if values.dtype.kind in "OU" else _numbers(flat, None, name)
    if dim is None:
        return node
    if not isinstance(node, Vector):
        raise DataError(f"{name} is a 2-D array of text; only numbers and logicals form matrices.")
    return Vector(node.kind, node.values, dim)


def _column(series: pd.Series[Any], name: str) -> Node:
    """One pandas column of any supported type."""
    dtype = series.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _factor(series, name)
    if isinstance(dtype, pd.StringDtype):
        return _text(series, name)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return _moments(series.dt.tz_convert(None).to_numpy(), name, _zone(dtype, name))
    if isinstance(dtype, np.dtype):
        values = series.to_numpy()
        return _object(values, name) if dtype.kind == "O" else _numbers(values, None, name)
    if getattr(dtype, "type", None) is dt.date:
        return _object(np.array(series.tolist(), dtype=object), name)
    if isinstance(dtype, pd.ArrowDtype) and dtype.kind in "Mm":
        return _arrow_times(series, dtype, name)
    if dtype.kind in "biuf" and not isinstance(dtype, pd.SparseDtype):
        return _nullable(series, dtype.kind, name)
    if getattr(dtype, "type", None) is str:
        return _text(series, name)
    raise _unknown(name, str(dtype))


def _nullable(series: pd.Series[Any], kind: str, name: str) -> Node:
    if kind == "f":
        return Vector("double", np.ascontiguousarray(series.to_numpy(dtype=np.float64, na_value=NA_REAL)))
    missing = series.isna().to_numpy()
    filled = series.fillna(False if kind == "b" else 0)
    target = "bool" if kind == "b" else str(series.dtype).split("[")[0].lower()
    return _numbers(filled.to_numpy(dtype=target), missing if missing.any() else None, name)


def _numbers(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None, name: str) -> Node:
    """A 1-D array of bool, integer or float; `missing` marks what becomes NA."""
    kind = values.dtype.kind
    if kind == "f" and values.dtype.itemsize <= 8:
        return Vector("double", np.ascontiguousarray(values, dtype=np.float64))
    if kind == "b" or values.dtype.name in _SMALL_INTEGERS:
        if values.dtype.name == "int32" and values.size and values.min() == NA_INTEGER:
            return _wide(values, missing, name)
        whole = np.ascontiguousarray(values, dtype=np.int32)
        if missing is not None:
            whole = np.where(missing, np.int32(NA_INTEGER), whole)
        return Vector("logical" if kind == "b" else "integer", whole)
    if kind in "iu":
        return _wide(values, missing, name)
    if kind in "Mm":
        return _moments(values, name)
    raise _unknown(name, str(values.dtype))


def _moments(values: npt.NDArray[Any], name: str, zone: str = "") -> Times:
    """A 1-D array of datetime64 or timedelta64, in UTC if it has a `zone`."""
    unit, step = np.datetime_data(values.dtype)
    if unit not in _UNITS:
        raise _unknown(name, str(values.dtype))
    moment = values.dtype.kind == "M"
    if moment and unit == "D":
        return Times("Date", np.where(np.isnat(values), NA_REAL, values.view(np.int64) * step))
    held = values if unit in _UNITS[3:] and step == 1 else values.astype(f"{values.dtype.kind}8[s]")
    double = to_double(held.view(np.int64), np.datetime_data(held.dtype)[0])
    back = from_double(double)
    if back is None or not np.array_equal(back[0].view(f"{values.dtype.kind}8[{back[1]}]"), values, equal_nan=True):
        raise DataError(
            f"{name} holds a time that R's double cannot hold exactly.", do="round it: data[column].dt.round('us')."
        )
    return Times("POSIXct", double, zone) if moment else Times("difftime", double, "secs")


def _zone(dtype: pd.DatetimeTZDtype, name: str) -> str:
    zone = str(dtype.tz)
    if known_zone(zone) is None:
        raise DataError(
            f"{name} is in the time zone {zone}, which R does not know.", do="data[column].dt.tz_convert('UTC')."
        )
    return zone


def _arrow_times(series: pd.Series[Any], dtype: pd.ArrowDtype, name: str) -> Node:
    stored = dtype.pyarrow_dtype
    zone = getattr(stored, "tz", None)
    plain: Any = f"{dtype.kind}8[{stored.unit}]" if zone is None else pd.DatetimeTZDtype(stored.unit, zone)
    return _column(series.astype(plain), name)


def _wide(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None, name: str) -> Vector:
    """Integers that R's 32-bit type cannot hold: doubles, if that is exact."""
    if values.size and (int(values.max()) > EXACT or int(values.min()) < -EXACT):
        raise DataError(
            f"{name} holds integers beyond ±2**53, which R's double cannot hold exactly.",
            do="send identifiers as text: data[column].astype(str).",
        )
    double = values.astype(np.float64)
    return Vector("double", double if missing is None else np.where(missing, NA_REAL, double))


def _object(values: npt.NDArray[Any], name: str) -> Node:
    """An object array that holds only text or only truth values, besides missing ones."""
    kind = pd.api.types.infer_dtype(values, skipna=True)
    if kind in {"string", "empty"}:
        return _text(values, name)
    if kind == "boolean":
        missing = np.asarray(pd.isna(values))
        whole = np.array([NA_INTEGER if gone else int(item) for item, gone in zip(values, missing, strict=True)])
        return Vector("logical", whole.astype(np.int32))
    if kind == "date":
        return _moments(np.array([None if pd.isna(item) else item for item in values], dtype="M8[D]"), name)
    if kind in {"datetime", "datetime64", "timedelta", "timedelta64"}:
        found = pd.Series(values).infer_objects()
        if found.dtype.kind in "Mm":
            return _column(found, name)
    raise _unknown(name, f"object ({kind})")


def _text(values: Any, name: str) -> Text:
    codes, labels = pd.factorize(values)
    found = [str(label) for label in np.asarray(labels, dtype=object)]  # Arrow hands out one after the other slowly
    _check_texts(found, name)
    return Text(_codes(codes), found)


def _factor(series: pd.Series[Any], name: str) -> Factor:
    levels = []
    for level in series.cat.categories:
        if isinstance(level, bool | np.bool_):
            levels.append("TRUE" if level else "FALSE")
        elif isinstance(level, str | int | np.integer):
            levels.append(str(level))
        else:
            raise DataError(
                f"{name} is a categorical with the category {level!r} ({_type_name(level)}).",
                available="categories that are text, integers or booleans",
                do="data[column].cat.rename_categories(str).",
            )
    _check_texts(levels, name)
    if len(set(levels)) < len(levels):
        raise DataError(f"{name} is a categorical whose categories are equal as text.", do="rename the categories.")
    return Factor(_codes(series.cat.codes.to_numpy()), levels, bool(series.cat.ordered))


def _codes(codes: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """From pandas' codes (from 0, missing -1) to R's (from 1, missing `NA_INTEGER`)."""
    shifted = codes.astype(np.int32) + np.int32(1)
    shifted[shifted == 0] = NA_INTEGER
    return shifted


def _check_texts(texts: list[str], name: str) -> None:
    joined = "".join(texts)
    if "\0" in joined or not joined.isascii():
        for text in texts:
            _check_text(text, name)


def _check_text(text: str, name: str) -> None:
    if "\0" in text:
        raise DataError(f"{name} holds text with a NUL character: {text!r}; R cannot hold it.", do="remove it.")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise DataError(
                f"{name} holds text with a lone surrogate: {text!r}; it is not Unicode.",
                do="read the data again with the right encoding.",
            ) from None


def _unknown(name: str, dtype: str) -> DataError:
    do = "convert it: numbers with astype(float), labels with astype(str)."
    return DataError(f"{name} has the type {dtype}, which cannot be sent to R exactly.", available=_ACCEPTED, do=do)


def _type_name(value: object) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
