"""Recorded cases: a case and R's answer to it as JSON that can be reviewed, and replayed without R."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.errors import DataError
from ivbridge.place import replace_file
from ivbridge.ports.r_side import RAnswer
from ivbridge.ports.records import Failure
from ivbridge.ports.values import Leaf

__all__ = [
    "FORMAT",
    "answer_from",
    "answer_plain",
    "case_from",
    "case_plain",
    "file_name",
    "read_record",
    "write_record",
]

FORMAT = "ivbridge-port/1"
_KINDS = ("number", "text", "none", "left out")


def case_plain(value: Any) -> Any:
    """A value of a case as JSON values from which `case_from` makes it again, with its type and every bit but a NaN's.

    Raises
    ------
    DataError
        The value has a type that is not kept.
    """
    match value:
        case None | str() | bool():
            return value
        case np.generic():
            return {"scalar": _plain(value.item()), "dtype": str(value.dtype)}
        case int() | float():
            return _plain(value)
        case np.ndarray():
            return {"array": _plain(value.tolist()), "dtype": str(value.dtype), "shape": list(value.shape)}
        case pd.Series():
            return {"series": _column(value)}
        case pd.DataFrame():
            return {"frame": {str(name): _column(column) for name, column in value.items()}, "rows": len(value)}
        case list() | tuple():
            return {"list": [case_plain(item) for item in value]}
        case Mapping():
            return {"dict": {str(name): case_plain(item) for name, item in value.items()}}
    raise DataError(f"A case holds a {type(value).__qualname__}, which is not kept in a file.")


def _column(series: pd.Series[Any]) -> dict[str, Any]:
    dtype = series.dtype
    values = [None if item is pd.NA or item is pd.NaT else item for item in series.tolist()]
    if isinstance(dtype, pd.CategoricalDtype):
        values = [None if isinstance(item, float) and math.isnan(item) else item for item in values]
        levels = {"levels": list(dtype.categories), "ordered": bool(dtype.ordered)}
        return {"values": values, "dtype": "category", **levels}
    return {"values": _plain([item if isinstance(item, _JSON) else str(item) for item in values]), "dtype": str(dtype)}


_JSON = (str, bool, int, float, type(None))


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def case_from(plain: Any) -> Any:
    """Undo `case_plain`.

    Raises
    ------
    DataError
        These are not such values.
    """
    try:
        return _case_from(plain)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(f"A recorded case cannot be read: {error}.") from error


def _case_from(plain: Any) -> Any:
    if not isinstance(plain, dict):
        return _numbers(plain, float) if isinstance(plain, str) and plain in _NOT_FINITE else plain
    match plain:
        case {"scalar": value, "dtype": str(dtype)}:
            return np.dtype(_dtype(dtype)).type(_numbers(value, dtype))
        case {"array": values, "dtype": str(dtype), "shape": list(shape)}:
            return np.array(_numbers(values, dtype), dtype=_dtype(dtype)).reshape(shape)
        case {"series": dict(column)}:
            return _series(column)
        case {"frame": dict(columns), "rows": int(rows)}:
            return pd.DataFrame({name: _series(column) for name, column in columns.items()}, index=range(rows))
        case {"list": list(items)}:
            return [_case_from(item) for item in items]
        case {"dict": dict(items)}:
            return {name: _case_from(item) for name, item in items.items()}
    raise ValueError(f"unknown value with the keys {', '.join(map(str, plain))[:100]}")


_NOT_FINITE = ("NaN", "Infinity", "-Infinity")
_DTYPE = re.compile(r"(?:bool|object|str|string|boolean|u?int(?:8|16|32|64)|float(?:16|32|64)|U?Int(?:8|16|32|64)|"
                    r"Float(?:32|64)|<U\d{1,4}|datetime64\[\w+\]|timedelta64\[\w+\])")  # fmt: skip


def _dtype(name: str) -> str:
    if not _DTYPE.fullmatch(name):
        raise ValueError(f"the type {name!r} is not known")
    return name


def _numbers(value: Any, dtype: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(item, dtype) for item in value]
    is_text = isinstance(dtype, str) and not dtype.lower().startswith("float")
    return float(value) if isinstance(value, str) and value in _NOT_FINITE and not is_text else value


def _series(column: dict[str, Any]) -> pd.Series[Any]:
    values, dtype = column["values"], column["dtype"]
    if dtype == "category":
        return pd.Series(pd.Categorical(values, column["levels"], ordered=column["ordered"]))
    return pd.Series(_numbers(values, dtype), dtype=_dtype(dtype))


def answer_plain(answer: RAnswer) -> dict[str, Any]:
    """R's answer as JSON values, numbers with every digit."""
    if isinstance(answer.found, Failure):
        return {"raises": {"classes": list(answer.found.classes), "message": answer.found.message}}
    return {
        output: {
            path: {
                "kind": leaf.kind,
                "values": _plain(leaf.values.ravel().tolist()),
                "shape": list(leaf.values.shape),
                **({"names": [None if one is None else list(one) for one in leaf.labels]} if any(leaf.labels) else {}),
            }
            for path, leaf in leaves.items()
        }
        for output, leaves in answer.found.items()
    }


def answer_from(plain: Any) -> RAnswer:
    """Undo `answer_plain`.

    Raises
    ------
    DataError
        These are not such values.
    """
    try:
        if "raises" in plain:
            return RAnswer(Failure(tuple(plain["raises"]["classes"]), str(plain["raises"]["message"])))
        return RAnswer({output: {path: _leaf(one) for path, one in leaves.items()} for output, leaves in plain.items()})
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DataError(f"A recorded answer cannot be read: {error}.") from error


def _leaf(plain: dict[str, Any]) -> Leaf:
    if plain["kind"] not in _KINDS:
        raise ValueError(f"unknown kind {plain['kind']!r}")
    number = plain["kind"] == "number"
    values = np.array(_numbers(plain["values"], float) if number else None, dtype=np.float64 if number else object)
    if not number:
        values = np.empty(len(plain["values"]), dtype=object)
        values[:] = plain["values"]
    shape = tuple(plain["shape"])
    labels = tuple(None if one is None else tuple(one) for one in plain.get("names", [None] * max(len(shape), 1)))
    return Leaf(plain["kind"], values.reshape(shape), labels)


def file_name(r: str, plain: Mapping[str, Any]) -> str:
    """Name of the file of one recorded case: R's function and the beginning of the hash of case and answer."""
    content = json.dumps([plain["case"], plain["answer"]], sort_keys=True, ensure_ascii=False)
    stem = re.sub(r"[^A-Za-z0-9]+", "-", r).strip("-")
    return f"{stem}-{hashlib.sha256(content.encode()).hexdigest()[:10]}.json"


def write_record(folder: Path, r: str, plain: Mapping[str, Any]) -> Path:
    """Write one recorded case, wholly or not at all; return its path."""
    path = folder / file_name(r, plain)
    text = json.dumps({"format": FORMAT, **plain}, ensure_ascii=False, allow_nan=False, indent=1)
    replace_file(path, f"{text}\n".encode())
    return path


def read_record(path: Path) -> dict[str, Any]:
    """Read one recorded case.

    Raises
    ------
    DataError
        The file is not one.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    if not isinstance(plain, dict) or plain.get("format") != FORMAT:
        raise DataError(f"{path} is no recorded case of a port ({FORMAT}).")
    missing = [name for name in ("r", "python", "case", "answer", "outputs") if name not in plain]
    if missing or not isinstance(plain["case"], dict):
        raise DataError(f"{path} is no whole recorded case: {', '.join(missing) or 'case'} is missing.")
    return plain
