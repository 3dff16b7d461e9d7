"""R's own binary serialization, written from and read into the records of `ivbridge.engines.wire`.

The format is version 2 in native byte order ("B"), which every R since 2.4 reads and writes and which moves numbers as
they lie in memory, so that each bit of a double survives. R marks text that it sends as codes and labels with the
attribute `LABELS` (see ``worker.R``), so that a column is not sent string by string.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ivbridge.engines.r_values import checked_factor, checked_integer64, checked_names, coded
from ivbridge.engines.wire import NA_INTEGER, NA_REAL, Factor, Frame, Items, Node, Text, Times, Vector

__all__ = ["LABELS", "Chunk", "Value", "read_value", "record", "serialized"]

#: Attribute of an integer vector that stands for text: its labels.
LABELS = "ivb_labels"

_HEADER = b"B\n" + struct.pack("=3i", 2, 0x030500, 0x020300)
_NULL, _SYMBOL, _PAIRS, _CHAR, _TEXT, _LIST = 0, 1, 2, 9, 16, 19
_REFERENCE, _END = 255, 254
_OBJECT, _HAS_ATTRIBUTES, _HAS_TAG = 1 << 8, 1 << 9, 1 << 10
_UTF8 = 1 << 15
#: Lengths of more than this are written as -1 and two halves.
_LONG = 2**31 - 1
_KINDS: dict[str, int] = {"logical": 10, "integer": 13, "double": 14}
_KIND_OF: dict[int, Literal["logical", "integer", "double"]] = {10: "logical", 13: "integer", 14: "double"}

Chunk: TypeAlias = bytes | memoryview


@dataclass(slots=True)
class Value:
    """An R value as it is written: ``data`` is None, an array, texts (None where missing) or a list of values."""

    data: npt.NDArray[Any] | list[Any] | None
    attributes: dict[str, Value] = field(default_factory=dict)
    kind: int = _NULL


def serialized(node: Node) -> list[Chunk]:
    """What R's ``unserialize()`` makes this record of, in pieces; arrays are not copied.

    Parameters
    ----------
    node : Node
        A record as `ivbridge.engines.transfer.encode` makes it.
    """
    chunks: list[Chunk] = [_HEADER]
    _write(node, chunks)
    return chunks


def _write(node: Node, out: list[Chunk]) -> None:
    match node:
        case None:
            out.append(_int(_END))
        case Vector(kind, values, dim):
            _numbers(_KINDS[kind], values, {} if dim is None else {"dim": _integers(dim)}, out)
        case Times("Date", values):
            _numbers(_KINDS["double"], values, {"class": _texts(["Date"])}, out)
        case Times("POSIXct", values, zone):
            zones = {"tzone": _texts([zone])} if zone else {}
            _numbers(_KINDS["double"], values, {"class": _texts(["POSIXct", "POSIXt"]), **zones}, out)
        case Times(kind, values, unit):
            _numbers(_KINDS["double"], values, {"class": _texts([kind]), "units": _texts([unit])}, out)
        case Text(codes, labels):
            strings = [_char(None), *map(_char, labels)]
            out += [_int(_TEXT), _length(codes.size)]
            out.append(b"".join([strings[code] for code in np.where(codes == NA_INTEGER, 0, codes).tolist()]))
        case Factor(codes, levels, ordered):
            classes = ["ordered", "factor"] if ordered else ["factor"]
            _numbers(_KINDS["integer"], codes, {"levels": _texts(levels), "class": _texts(classes)}, out)
        case Items(values, names):
            _list(values, {} if names is None else {"names": _texts(names)}, out)
        case Frame(names, columns, rows, row_names):
            automatic = _integers((NA_INTEGER, -rows))
            about: dict[str, Node] = {
                "names": _texts(names),
                "class": _texts(["data.frame"]),
                "row.names": row_names or automatic,
            }
            _list(columns, about, out)


def _numbers(kind: int, values: npt.NDArray[Any], attributes: dict[str, Node], out: list[Chunk]) -> None:
    out += [_flags(kind, attributes), _length(values.size), np.ascontiguousarray(values).view(np.uint8).data]
    _attributes(attributes, out)


def _list(nodes: list[Node], attributes: dict[str, Node], out: list[Chunk]) -> None:
    out += [_flags(_LIST, attributes), _length(len(nodes))]
    for node in nodes:
        _write(node, out)
    _attributes(attributes, out)


def _attributes(attributes: dict[str, Node], out: list[Chunk]) -> None:
    for name, node in attributes.items():
        out += [_int(_PAIRS | _HAS_TAG), _int(_SYMBOL), _char(name)]
        _write(node, out)
    if attributes:
        out.append(_int(_END))


def _flags(kind: int, attributes: dict[str, Node]) -> bytes:
    return _int(kind | (_HAS_ATTRIBUTES if attributes else 0) | (_OBJECT if "class" in attributes else 0))


def _integers(values: tuple[int, ...]) -> Vector:
    return Vector("integer", np.array(values, dtype=np.int32))


def _texts(values: list[str]) -> Text:
    return Text(np.arange(1, len(values) + 1, dtype=np.int32), values)


def _int(value: int) -> bytes:
    return struct.pack("=i", value)


def _length(size: int) -> bytes:
    return _int(size) if size <= _LONG else struct.pack("=iII", -1, size >> 32, size & 0xFFFFFFFF)


def _char(text: str | None) -> bytes:
    if text is None:
        return struct.pack("=ii", _CHAR, -1)
    raw = text.encode()
    return struct.pack("=ii", _CHAR | _UTF8, len(raw)) + raw


def read_value(stream: BufferedReader) -> Value:
    """Read one value that R's ``serialize(…, xdr = FALSE, version = 2)`` wrote.

    Parameters
    ----------
    stream : io.BufferedReader
        Exactly one value is taken from it.

    Raises
    ------
    EOFError
        The stream ended.
    ValueError
        The bytes are no such value, or of a type that ``worker.R`` does not send.
    """
    reader = _Reader(stream)
    if (start := reader.take(len(_HEADER)))[:6] != _HEADER[:6]:
        raise ValueError(f"not R's binary serialization: {bytes(start)!r}")
    return reader.value()


class _Reader:
    """One value; symbols are numbered as they first appear."""

    def __init__(self, stream: BufferedReader) -> None:
        self.stream = stream
        self.symbols: list[str] = []

    def take(self, size: int) -> bytes:
        found = self.stream.read(size)
        if len(found) < size:
            raise EOFError("the stream ended in the middle of a value")
        return found

    def integer(self) -> int:
        found: int = struct.unpack("=i", self.take(4))[0]
        return found

    def length(self) -> int:
        size = self.integer()
        if size >= 0:
            return size
        high, low = struct.unpack("=II", self.take(8))
        return int(high) << 32 | int(low)

    def value(self) -> Value:
        flags = self.integer()
        kind = flags & 0xFF
        if kind in (_END, _NULL):
            return Value(None)
        if kind in _KIND_OF:
            data: Any = self.numbers(np.float64 if kind == _KINDS["double"] else np.int32)
        elif kind == _TEXT:
            data = [self.text() for _ in range(self.length())]
        elif kind == _LIST:
            data = [self.value() for _ in range(self.length())]
        else:
            raise ValueError(f"R's type {kind} is not expected here")
        return Value(data, self.attributes() if flags & _HAS_ATTRIBUTES else {}, kind)

    def numbers(self, dtype: type[np.generic]) -> npt.NDArray[Any]:
        size = self.length()
        try:
            values = np.empty(size, dtype)
        except MemoryError as error:  # bytes that are no value can announce any length
            raise ValueError(f"there is no memory for a vector of {size} values") from error
        if values.size and self.stream.readinto(values.view(np.uint8).data) < values.nbytes:
            raise EOFError("the stream ended in the middle of a vector")
        return values

    def text(self) -> str | None:
        flags, size = struct.unpack("=ii", self.take(8))
        if flags & 0xFF != _CHAR:
            raise ValueError(f"R's type {flags & 0xFF} is not a string")
        return None if size < 0 else self.take(size).decode()

    def attributes(self) -> dict[str, Value]:
        found = {}
        while (flags := self.integer()) != _END:
            if flags & 0xFF != _PAIRS:
                raise ValueError(f"R's type {flags & 0xFF} is not a list of attributes")
            name = self.symbol()
            found[name] = self.value()
        return found

    def symbol(self) -> str:
        flags = self.integer()
        if flags & 0xFF == _REFERENCE:
            return self.symbols[(flags >> 8 or self.integer()) - 1]
        if flags & 0xFF != _SYMBOL:
            raise ValueError(f"R's type {flags & 0xFF} is not a name")
        self.symbols.append(self.text() or "")
        return self.symbols[-1]


def record(value: Value, path: str = "value") -> Node:
    """Turn an R value into a record, as `ivbridge.engines.r_values.Reader` does.

    Raises
    ------
    UnsendableError
        A list is named in part or twice; `path` is how the message calls the value.
    """
    about = value.attributes
    data: Any = value.data
    if data is None:
        return None
    classes = _strings(about, "class")
    if value.kind == _TEXT:
        return coded(data)
    if value.kind == _LIST:
        if "names" not in about:
            return Items([record(item, f"{path}[[{i}]]") for i, item in enumerate(data, 1)], None)
        names = checked_names(_strings(about, "names"), path)
        items = [record(item, f"{path}${name}") for name, item in zip(names, data, strict=True)]
        return _frame(names, items, about["row.names"]) if "data.frame" in classes else Items(items, names)
    if LABELS in about:
        return Text(data, _strings(about, LABELS))
    if "factor" in classes and value.kind == _KINDS["integer"]:
        return checked_factor(data, _strings(about, "levels"), "ordered" in classes, path)
    for name in ("Date", "POSIXct", "difftime"):
        if name in classes:
            doubles = data if data.dtype == np.float64 else np.where(data == NA_INTEGER, NA_REAL, data)
            return Times(name, doubles, "".join((_strings(about, "tzone") or _strings(about, "units"))[:1]))
    if "integer64" in classes and value.kind == _KINDS["double"]:
        data = checked_integer64(data, path)
    dim: Any = about["dim"].data.tolist() if "dim" in about else None  # type: ignore[union-attr]
    return Vector(_KIND_OF[value.kind], data, None if dim is None else tuple(dim))


def _strings(attributes: dict[str, Value], name: str) -> list[str]:
    found: Any = attributes[name].data if name in attributes else []
    return list(found or [])


def _frame(names: list[str], columns: list[Node], found: Value) -> Frame:
    row_names = record(found, "row.names")
    if isinstance(row_names, Text):
        return Frame(names, columns, row_names.codes.size, row_names)
    numbers: Any = found.data
    if numbers.size == 2 and numbers[0] == NA_INTEGER:  # R's short form of 1, 2, …, n
        return Frame(names, columns, abs(int(numbers[1])))
    automatic = np.array_equal(numbers, np.arange(1, numbers.size + 1))
    return Frame(names, columns, numbers.size, None if automatic else row_names)  # type: ignore[arg-type]
