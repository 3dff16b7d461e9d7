"""Records as lines of a journal: JSON in which every array keeps its bits and is written once.

An array is ``[dtype, shape, base64 of its bytes]``, little-endian and row by row, so that the payload of a NaN (R's NA)
and the sign of a zero survive; :mod:`ivbridge.serial` writes what is around them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import numpy as np

from ivbridge import serial
from ivbridge.errors import DataError

__all__ = ["digest", "pack", "unpack"]

#: The only key of a mapping that stands for an array; its value is the array's place in the table of arrays.
_PLACE = "an array of ivbridge"


def pack(value: object) -> dict[str, Any]:
    """A record, as :func:`ivbridge.serial.encode` takes it, as JSON values ``arrays`` and ``value``.

    Raises
    ------
    DataError
        If an array holds objects.
    """
    places: dict[bytes, int] = {}
    arrays: list[list[Any]] = []

    def packed(values: np.ndarray) -> dict[str, int]:
        if values.dtype.hasobject:
            raise DataError(f"An array of dtype {values.dtype} cannot be kept in a file.")
        little = values.astype(values.dtype.newbyteorder("<"), copy=False)
        content = little.tobytes()
        key = hashlib.sha256(f"{little.dtype.str} {little.shape} ".encode() + content).digest()
        if key not in places:
            places[key] = len(arrays)
            arrays.append([little.dtype.str, list(little.shape), base64.b64encode(content).decode()])
        return {_PLACE: places[key]}

    return {"value": serial.encode(value, packed), "arrays": arrays}


def unpack(kind: Any, packed: Any) -> Any:
    """The record of the annotated type ``kind`` that :func:`pack` was given, without the fields in ``json_skip``.

    Raises
    ------
    DataError
        If these are not the JSON values of such a record.
    """
    try:
        arrays = [
            np.frombuffer(base64.b64decode(content, validate=True), np.dtype(dtype)).reshape(shape).copy()
            for dtype, shape, content in packed["arrays"]
        ]
        return serial.decode(kind, _filled(packed["value"], arrays))
    except (AttributeError, LookupError, StopIteration, TypeError, ValueError) as error:
        raise DataError(f"This is no packed {kind.__name__}: {type(error).__name__}: {error}.") from error


def _filled(plain: Any, arrays: list[np.ndarray]) -> Any:
    """The values with arrays where their places stood."""
    if isinstance(plain, list):
        return [_filled(item, arrays) for item in plain]
    if not isinstance(plain, dict):
        return plain
    if plain.keys() == {_PLACE}:
        return arrays[plain[_PLACE]]
    return {key: _filled(item, arrays) for key, item in plain.items()}


def digest(value: object) -> str:
    """SHA-256 that tells one record from another and is the same in every process."""
    return hashlib.sha256(json.dumps(pack(value), sort_keys=True).encode()).hexdigest()
