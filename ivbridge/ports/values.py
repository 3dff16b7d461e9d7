"""Answers of both sides as the same thing: named leaves of numbers or text."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ivbridge.errors import UnsupportedError

__all__ = ["Leaf", "leaves_of", "leaves_of_r"]

Labels = tuple[tuple[str | None, ...] | None, ...]


@dataclass(frozen=True)
class Leaf:
    """Numbers (float64) or texts (object, None where missing) of one shape; ``labels`` has one entry a dimension."""

    kind: Literal["number", "text", "none", "left out"]
    values: npt.NDArray[Any]
    labels: Labels = (None,)

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions; a single number is a row of one, as R has no other."""
        return self.values.shape or (1,)


_NONE = Leaf("none", np.empty(0))


def leaves_of(value: Any, path: str = "") -> dict[str, Leaf]:
    """Take Python's answer apart: a DataFrame of numbers whose rows have text labels is a matrix, as in R.

    Parameters
    ----------
    value : object
        Numbers, text, NumPy and pandas objects, dataclasses and named tuples, and dicts and lists of these.
    path : str, default ""
        Name of the part.

    Raises
    ------
    UnsupportedError
        The answer holds something else; the message says where.
    """
    if value is None:
        return {path: _NONE}
    if isinstance(value, pd.DataFrame):
        rows, columns = _labels(value.index), _labels(value.columns)
        if rows is not None and all(dtype.kind in "biuf" for dtype in value.dtypes):  # R's counterpart is a matrix
            return {path: Leaf("number", value.to_numpy(dtype=np.float64), (rows, columns))}
        return _parts({str(name): column for name, column in value.items()}, path, leaves_of)
    if isinstance(value, Mapping):
        return _parts({str(name): item for name, item in value.items()}, path, leaves_of)
    if isinstance(value, tuple) and (fields := getattr(value, "_fields", ())):
        return _parts({name: getattr(value, name) for name in fields}, path, leaves_of)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _parts({f.name: getattr(value, f.name) for f in dataclasses.fields(value)}, path, leaves_of)
    if isinstance(value, pd.Series):
        return _array(value.array, path, (_labels(value.index),))
    if isinstance(value, pd.Index | pd.Categorical | pd.api.extensions.ExtensionArray):
        return _array(value, path)
    if isinstance(value, dt.date | dt.timedelta):
        kind = "timedelta64[us]" if isinstance(value, dt.timedelta) else "datetime64[us]"
        return _array(np.array(value, dtype=kind), path)
    if isinstance(value, np.ndarray | np.generic | str | bool | int | float | complex):
        return _array(np.asarray(value, dtype=object if isinstance(value, str) else None), path)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        scalars = [item for item in value if item is not None]
        if scalars and all(isinstance(item, str | bool | int | float | np.number | np.bool_) for item in scalars):
            texts = any(isinstance(item, str) for item in value)
            return _array(np.array(value, dtype=object if texts or len(scalars) < len(value) else None), path)
        return _parts({f"[{i}]": item for i, item in enumerate(value, 1)}, path, leaves_of)
    raise UnsupportedError(
        f"Python's answer holds a {type(value).__module__}.{type(value).__qualname__} at {path or 'its top'}, which is "
        "not compared by itself.",
        available="numbers, text, NumPy and pandas objects, dataclasses, named tuples, dicts and lists",
        do='name its parts: outputs=[Output("coef", py="params", r="stats::coef")].',
    )


def _parts(items: Mapping[str, Any], path: str, leaves: Any) -> dict[str, Leaf]:
    found: dict[str, Leaf] = {}
    for name, item in items.items():
        found |= leaves(item, f"{path}.{name}" if path else name)
    return found or {path: _NONE}


def _array(values: Any, path: str, labels: Labels | None = None) -> dict[str, Leaf]:
    """A leaf of an array; complex numbers are two."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype | pd.StringDtype):
        values = np.array([None if pd.isna(item) else str(item) for item in values], dtype=object)
    elif not isinstance(dtype, np.dtype):
        values = values.to_numpy(dtype=object)
    values = np.asarray(values)
    labels = labels if labels is not None else (None,) * max(values.ndim, 1)
    match values.dtype.kind:
        case "b" | "i" | "u" | "f":
            return {path: Leaf("number", values.astype(np.float64), labels)}
        case "c":
            return {f"{path}.re".lstrip("."): Leaf("number", values.real, labels),
                    f"{path}.im".lstrip("."): Leaf("number", values.imag, labels)}  # fmt: skip
        case "m":
            return {path: Leaf("number", np.asarray(values / np.timedelta64(1, "s")), labels)}
        case "M":
            texts = np.datetime_as_string(values.astype("M8[us]"))
            return {path: Leaf("text", np.array(np.where(np.isnat(values), None, texts.astype(object))), labels)}
    return {path: _object(values, labels)}


def _object(values: npt.NDArray[Any], labels: Labels) -> Leaf:
    flat = [None if item is None or item is pd.NA or item is pd.NaT else item for item in values.ravel()]
    if any(isinstance(item, str) for item in flat):
        texts = np.empty(len(flat), dtype=object)
        texts[:] = [item if item is None else str(item) for item in flat]
        return Leaf("text", texts.reshape(values.shape), labels)
    numbers = np.array([np.nan if item is None else float(item) for item in flat])
    return Leaf("number", numbers.reshape(values.shape), labels)


def _labels(index: pd.Index[Any]) -> tuple[str | None, ...] | None:
    return tuple(index) if len(index) and all(isinstance(one, str) for one in index) else None


def leaves_of_r(value: Mapping[str, Any], path: str = "") -> dict[str, Leaf]:
    """Take apart what ``port_describe`` of ``port.R`` says of R's answer.

    Parameters
    ----------
    value : mapping
        Its plain value.
    path : str, default ""
        Name of the part.
    """
    (kind,), names = value["kind"], value.get("names")
    found: Any = value.get("value")
    if kind == "none":
        return {path: _NONE}
    if kind == "left out":
        return {path: Leaf("left out", np.array(found, dtype=object))}
    if kind == "list":
        items = found or []
        texts = names or [""] * len(items)
        keys = [text or f"[{i}]" for i, text in enumerate(texts, 1)]
        return _parts(dict(zip(keys, items, strict=True)), path, leaves_of_r)
    if kind == "complex":
        return {f"{path}.re".lstrip("."): Leaf("number", np.asarray(found)),
                f"{path}.im".lstrip("."): Leaf("number", value["imaginary"])}  # fmt: skip
    if kind == "text":
        texts = np.empty(len(found), dtype=object)
        texts[:] = found
        dim = value.get("dim")
        shaped = texts if dim is None else texts.reshape([int(one) for one in dim], order="F")
        return {path: Leaf("text", shaped, _r_labels(names, shaped.ndim))}
    numbers = np.asarray(found, dtype=np.float64)
    return {path: Leaf("number", numbers, _r_labels(names, numbers.ndim))}


def _r_labels(names: Any, dimensions: int) -> Labels:
    if not names:
        return (None,) * max(dimensions, 1)
    if dimensions <= 1 and not isinstance(names[0], list):
        return (tuple(names),)
    return tuple(None if one is None else tuple(one) for one in names)
