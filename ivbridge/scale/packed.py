"""Sums as arrays and text, to be kept in a file: nothing that is read back can run code."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["digest", "packed", "unpacked"]

Arrays = list[NDArray[Any]]


def packed(thing: Any, arrays: Arrays) -> Any:
    """A record of numbers, texts, arrays and tables as what JSON holds; arrays are appended to `arrays`.

    Raises
    ------
    TypeError
        If it holds anything else.
    """
    if thing is None or isinstance(thing, bool | str) or type(thing) in (int, float):
        return thing
    if isinstance(thing, np.ndarray | np.generic):
        arrays.append(np.asarray(thing))
        return {"array": len(arrays) - 1, "scalar": isinstance(thing, np.generic)}
    if isinstance(thing, list | tuple):
        return {"many": [packed(one, arrays) for one in thing]}
    if isinstance(thing, Mapping):
        return {"pairs": [[packed(key, arrays), packed(value, arrays)] for key, value in thing.items()]}
    if isinstance(thing, type):
        return {"class": f"{thing.__module__}:{thing.__qualname__}"}
    if dataclasses.is_dataclass(thing):
        values = {field.name: packed(getattr(thing, field.name), arrays) for field in dataclasses.fields(thing)}
        return {"record": f"{type(thing).__module__}:{type(thing).__qualname__}", "fields": values}
    if type(thing).__module__.partition(".")[0] == "pyarrow":
        arrays.append(_from_arrow(thing))
        return {"arrow": len(arrays) - 1, "table": hasattr(thing, "column_names")}
    raise TypeError(f"{type(thing).__name__} cannot be kept")


def unpacked(tree: Any, arrays: Mapping[int, NDArray[Any]] | Arrays) -> Any:
    """What :func:`packed` took; lists come back as tuples.

    Raises
    ------
    ValueError
        If it names a class that is no record of this package.
    """
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        array = arrays[tree["array"]]
        return array[()] if tree["scalar"] else array
    if "many" in tree:
        return tuple(unpacked(one, arrays) for one in tree["many"])
    if "pairs" in tree:
        return {unpacked(key, arrays): unpacked(value, arrays) for key, value in tree["pairs"]}
    if "arrow" in tree:
        return _to_arrow(arrays[tree["arrow"]], table=tree["table"])
    if "class" in tree:
        raise ValueError(f"{tree['class']} is no number")
    values = {name: unpacked(value, arrays) for name, value in tree["fields"].items()}
    return _record(tree["record"])(**values)


def _record(name: str) -> Any:
    module, _, qualname = name.partition(":")
    found = getattr(importlib.import_module(module), qualname, None) if module.startswith("ivbridge.") else None
    if not (isinstance(found, type) and dataclasses.is_dataclass(found)):
        raise ValueError(f"{name} is no record of this package")
    return found


def _from_arrow(thing: Any) -> NDArray[np.uint8]:
    import pyarrow as pa

    table = thing if isinstance(thing, pa.Table) else pa.table({"": thing})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), dtype=np.uint8)


def _to_arrow(content: NDArray[np.uint8], *, table: bool) -> Any:
    import pyarrow as pa

    with pa.ipc.open_stream(pa.py_buffer(content.tobytes())) as reader:
        found = reader.read_all()
    return found if table else found.column(0).combine_chunks()


def digest(*things: Any) -> str:
    """SHA-256 of what :func:`packed` makes of the things."""
    arrays: Arrays = []
    found = hashlib.sha256(json.dumps(packed(things, arrays)).encode())
    for array in arrays:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
