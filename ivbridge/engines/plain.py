"""From the records of `ivbridge.engines.wire` to plain Python values: arrays, lists and dicts."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ivbridge.engines.wire import NA_INTEGER, Factor, Frame, Items, Node, Text, Times, Vector

__all__ = ["plain"]


def plain(node: Node) -> Any:
    """Turn one record into plain values; double arrays share the record's memory.

    Parameters
    ----------
    node : Node
        A record as the R process sends it.

    Returns
    -------
    None, numpy.ndarray, list or dict
        NULL is None; logical, integer and double are bool, int64 and float64 arrays (float64 with NaN if a logical or
        integer is missing), shaped by their ``dim``; dates, times and durations are float64 arrays of R's own numbers;
        character and factor are lists of str or None; a list is a dict if it has names, otherwise a list; a
        data.frame is a dict of its columns.
    """
    match node:
        case None:
            return None
        case Vector(kind, values, dim):
            found = _numbers(kind, values)
            return found if dim is None else found.reshape(dim, order="F")
        case Times(values=values):
            return values
        case Text(codes, labels) | Factor(codes, labels):
            return labelled(codes, labels).tolist()
        case Items(values, None):
            return [plain(value) for value in values]
        case Items(values, names) | Frame(names, values):
            return {name: plain(value) for name, value in zip(names or (), values, strict=True)}


def labelled(codes: npt.NDArray[np.int32], labels: list[str]) -> npt.NDArray[np.object_]:
    """The texts (n,) that codes from 1 stand for; None where the code is `NA_INTEGER`."""
    table = np.array([None, *labels], dtype=object)
    return table[np.where(codes == NA_INTEGER, 0, codes)]


def _numbers(kind: str, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if kind == "double":
        return values
    missing = values == NA_INTEGER
    if missing.any():
        return np.where(missing, np.nan, values.astype(np.float64))
    return values.astype(bool if kind == "logical" else np.int64)
