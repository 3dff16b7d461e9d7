"""JSON that round-trips exactly: a record to plain values and back, guided by the record's own annotations.

Floats are written with the shortest text that reads back to the same bits (17 significant digits at most); NaN and
infinities, which JSON lacks, are the strings ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ivbridge.effects import Absorb, parse_absorb
from ivbridge.errors import DataError
from ivbridge.method import Method, parse_method
from ivbridge.vcov import T, Vcov, Z
from ivbridge.vcov_text import parse_inference, parse_vcov

__all__ = ["decode", "dumps", "encode", "loads"]

FORMAT = "ivbridge/1"


def encode(value: object, array: Callable[[np.ndarray], Any] = lambda values: encode(values.tolist())) -> Any:
    """A record as plain JSON values; fields listed in ``json_skip`` of its class are left out.

    ``array`` says how an array is written; default: as a list, or lists in a list.
    """
    if isinstance(value, Vcov | Method | T | Z | Absorb):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        skip = getattr(value, "json_skip", ())
        shown = {f.name: encode(getattr(value, f.name), array) for f in dataclasses.fields(value) if f.name not in skip}
        return {"type": type(value).__name__, **shown}
    if isinstance(value, np.ndarray):
        return array(value)
    if isinstance(value, Mapping):
        return {str(key): encode(item, array) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item, array) for item in value]
    if isinstance(value, np.generic):
        return encode(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def dumps(value: object, *, indent: int | None = None) -> str:
    """The record as JSON text."""
    return json.dumps({"format": FORMAT, **encode(value)}, ensure_ascii=False, allow_nan=False, indent=indent)


def loads(kind: type, text: str) -> Any:
    """Read what :func:`dumps` wrote.

    Raises
    ------
    DataError
        If the text is not JSON of this format and type.
    """
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"This is not JSON: {error}.") from error
    found = plain.get("type") if isinstance(plain, dict) and plain.get("format") == FORMAT else None
    if found != kind.__name__:
        raise DataError(f"Expected JSON of an ivbridge {kind.__name__} ({FORMAT}), found {found or 'something else'}.")
    try:
        return decode(kind, plain)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, StopIteration) as error:
        raise DataError(f"This JSON is no whole {kind.__name__}: {error}.") from error


def decode(kind: Any, plain: Any) -> Any:
    """Rebuild a value of the annotated type ``kind`` from plain JSON values; an array may stand there as an array."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return _decode_union(typing.get_args(kind), plain)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(plain, np.ndarray):
        return plain
    if origin is np.ndarray:
        return np.asarray(_floats(plain), dtype=arguments[1].__args__[0])
    if origin in (tuple, list):
        return origin(decode(arguments[0], item) for item in plain)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: decode(arguments[1], item) for key, item in plain.items()}
    if kind is float:
        return float("nan" if plain == "NaN" else plain)
    if isinstance(kind, type) and issubclass(kind, Vcov):
        return parse_vcov(plain)
    if isinstance(kind, type) and issubclass(kind, Method):
        return parse_method(plain)
    if kind is Absorb:
        return parse_absorb(plain)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        names = [field.name for field in dataclasses.fields(kind) if field.name in plain]
        return kind(**{name: decode(hints[name], plain[name]) for name in names})
    return plain


def _decode_union(members: tuple[Any, ...], plain: Any) -> Any:
    if plain is None:
        return None
    if set(members) >= {T, Z}:
        return parse_inference(plain)
    if isinstance(plain, dict) and "type" in plain:
        members = tuple(member for member in members if member.__name__ == plain["type"])
        if not members:
            raise ValueError(f"there is no record {str(plain['type'])[:80]!r} here")
    return decode(next(member for member in members if member is not type(None)), plain)


def _floats(plain: Any) -> Any:
    if isinstance(plain, list):
        return [_floats(item) for item in plain]
    return float("nan") if plain == "NaN" else float(plain) if isinstance(plain, str) else plain
