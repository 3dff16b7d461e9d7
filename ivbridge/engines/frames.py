"""From the records of `ivbridge.engines.wire` to pandas objects that hold exactly what R holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ivbridge.engines.plain import labelled, plain
from ivbridge.engines.times import SECONDS, from_double, zone
from ivbridge.engines.wire import NA_INTEGER, Factor, Frame, Items, Node, Text, Times, Vector
from ivbridge.errors import DataError

__all__ = ["to_frame", "to_pandas"]

#: With more columns than this, pandas is let copy them into one block: a frame of many blocks is slow to work with.
_MANY = 100


def to_pandas(node: Node, name: str = "the value") -> Any:
    """Turn one record into pandas objects.

    Parameters
    ----------
    node : Node
        A record as the R process sends it.
    name : str, default "the value"
        Used in messages.

    Returns
    -------
    None, pandas.DataFrame, pandas.Series, numpy.ndarray, dict or list
        A data.frame is a DataFrame, a vector or factor a Series, a matrix or array a NumPy array, NULL None; a list
        is a dict of these if it has names, otherwise a list.

    Raises
    ------
    DataError
        A time has a fraction that pandas cannot hold, or a zone that is not known here; a data.frame has a column
        that is a list or a matrix.
    """
    match node:
        case None | Vector(dim=tuple()):
            return plain(node)
        case Frame():
            return to_frame(node)
        case Items(values, None):
            return [to_pandas(value, f"{name}[{i}]") for i, value in enumerate(values)]
        case Items(values, names):
            return {key: to_pandas(value, key) for key, value in zip(names or (), values, strict=True)}
        case _:
            return pd.Series(_array(node, name), copy=False)


def to_frame(node: Node) -> pd.DataFrame:
    """Turn the record of a data.frame into a DataFrame; see `to_pandas`.

    Automatic row names become a `pandas.RangeIndex` from 0, others an index of text or integers.

    Raises
    ------
    DataError
        The record is no data.frame, or a column cannot be held by a DataFrame.
    """
    if not isinstance(node, Frame):
        kind = "NULL" if node is None else type(node).__name__.lower()
        raise DataError(f"The value is not an R data.frame but: {kind}.", do="use `value`, or to_pandas().")
    columns = {
        name: _array(column, f"the column {name!r}") for name, column in zip(node.names, node.columns, strict=True)
    }
    return pd.DataFrame(columns, index=_index(node), columns=pd.Index(node.names, dtype=str), copy=len(columns) > _MANY)


def _index(node: Frame) -> pd.Index[Any]:
    if node.row_names is None:
        return pd.RangeIndex(node.rows)
    index: pd.Index[Any] = pd.Index(plain(node.row_names))
    return index


def _array(node: Node, name: str) -> Any:
    """One column's array."""
    match node:
        case Vector(kind, values, None):
            return _numbers(kind, values)
        case Times(kind, values, unit):
            return _times(kind, values, unit, name)
        case Text(codes, labels):
            return pd.array(labelled(codes, labels), dtype=pd.StringDtype())
        case Factor(codes, levels, ordered):
            shifted = np.where(codes == NA_INTEGER, 0, codes) - 1
            return pd.Categorical.from_codes(shifted, pd.Index(levels, dtype=str), ordered=ordered)
        case _:
            found = "matrix" if isinstance(node, Vector) else "list"
            raise DataError(f"{name} is a {found}; a column of a DataFrame cannot be one.", do="use `value` instead.")


def _numbers(kind: str, values: npt.NDArray[Any]) -> Any:
    if kind == "double":
        return values
    missing = values == NA_INTEGER
    if kind == "logical":
        truth = values == 1
        return pd.arrays.BooleanArray(truth, missing) if missing.any() else truth
    return pd.arrays.IntegerArray(values, missing) if missing.any() else values


def _times(kind: str, values: npt.NDArray[np.float64], unit: str, name: str) -> Any:
    seconds = {"Date": SECONDS["days"], "POSIXct": 1}.get(kind) or SECONDS[unit]
    found = from_double(values, seconds, ("s",) if kind == "Date" else ("us", "ns"))
    if found is None:
        raise DataError(
            f"{name} is a {kind} with a fraction or a size that pandas cannot hold exactly.",
            do="round it in R, or use `value`, which has R's own numbers.",
        )
    ticks, step = found
    if kind == "difftime":
        return ticks.view(f"m8[{step}]")
    moments = ticks.view(f"M8[{step}]")
    if not unit:
        return moments
    place = zone(unit)
    if place is None:
        raise DataError(f"{name} is in the time zone {unit!r}, which is not known here.", do="install tzdata.")
    return pd.DatetimeIndex(moments).tz_localize("UTC").tz_convert(place).array
