"""R values in the R process: built from the records of `ivbridge.engines.wire`, and read into them.

The module ``rpy2.rinterface`` is passed in; nothing here imports it. Every call from Python into R costs some tens of
microseconds, so what comes in many small pieces (texts, the columns of a wide frame) crosses in one piece.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ivbridge.engines.wire import (
    EXACT,
    MANY,
    NA_INTEGER,
    NA_REAL,
    SMALL,
    Block,
    Factor,
    Frame,
    Items,
    Node,
    Pack,
    Text,
    Times,
    Vector,
    pack,
    unpack,
)
from ivbridge.resources import scripts_dir

__all__ = ["Builder", "Reader", "UnsendableError", "checked_factor", "checked_integer64", "checked_names", "coded"]

_KINDS: dict[str, Literal["logical", "integer", "double"]] = {
    "LGLSXP": "logical",
    "INTSXP": "integer",
    "REALSXP": "double",
}


class UnsendableError(Exception):
    """R returned something that has no counterpart in Python."""


class Builder:
    """Makes R objects of records; ``helpers`` is the R environment into which ``values.R`` is loaded."""

    def __init__(self, rinterface: Any, helpers: Any) -> None:
        self.r, self.helpers = rinterface, helpers
        self.vector = rinterface.baseenv["vector"]
        rinterface.baseenv["sys.source"](self.strings([str(scripts_dir() / "values.R")]), helpers)

    def strings(self, values: list[str]) -> Any:
        """A character vector."""
        if len(values) < MANY:
            return self.r.StrSexpVector(values)
        data = "".join(f"{value}\0" for value in values).encode()
        padded = np.frombuffer(data + b"\0" * (-len(data) % 4), np.int32)
        return self.helpers["value_strings"](self._vector("integer", padded), self._integers([len(values)]))

    def build(self, node: Node) -> Any:
        """Make the R object that `node` describes."""
        match node:
            case None:
                return self.r.NULL
            case Vector(kind, values, dim):
                made = self._vector(kind, values)
                return made if dim is None else self.helpers["value_dim"](made, self._integers(dim))
            case Times(kind, values, unit):
                made = self._vector("double", values)
                return self.helpers["value_times"](made, self.strings([kind]), self.strings([unit]))
            case Text(codes, labels):
                return self.helpers["value_subset"](self.strings(labels), self._vector("integer", codes))
            case Factor(codes, levels, ordered):
                flag = self.r.BoolSexpVector([ordered])
                return self.helpers["value_factor"](self._vector("integer", codes), self.strings(levels), flag)
            case Items(values, names):
                made = self._list(values)
                return made if names is None else self.helpers["value_named"](made, self.strings(names))
            case Frame(names, columns, rows):
                return self.helpers["value_frame"](self._list(columns), self.strings(names), self._integers([rows]))

    def _integers(self, values: Sequence[int]) -> Any:
        return self.r.IntSexpVector(values)

    def _vector(self, kind: str, values: npt.NDArray[Any]) -> Any:
        # allocated by R code: when memory is short that is an R error, where the C function would jump out of Python
        made = self.vector(kind, float(values.size))
        if values.size:
            np.frombuffer(made.memoryview(), dtype=values.dtype)[:] = values
        return made

    def _list(self, nodes: list[Node]) -> Any:
        made = self.vector("list", float(len(nodes)))
        packed = pack(nodes)
        for kind, places, lengths, values in packed.blocks:
            made = self.helpers["value_unpack"](
                made, self._vector("integer", places + 1), self._vector(kind, values), self._vector("integer", lengths)
            )
        for position, node in enumerate(packed.others):
            if node is not None:  # NULL is what an element is already
                made[position] = self.build(node)
        return made


class Reader:
    """Reads R objects into records whose large arrays are views of R's memory until `release`."""

    def __init__(self, rinterface: Any, helpers: Any) -> None:
        self.r, self.helpers = rinterface, helpers
        self._held: list[Any] = []

    def release(self) -> None:
        """Let R have its memory back: the records read so far must not be used any more."""
        self._held.clear()

    def read(self, value: Any, path: str = "value") -> Node:
        """Read an R value whose texts are valid in their encodings, as ``call.R`` sees to.

        Attributes other than dimensions, names, levels, row names and the classes that the records know are left out;
        a POSIXlt is the list that it is.

        Raises
        ------
        UnsendableError
            For functions, environments, S4 objects and everything else that no record holds; for lists named in part
            or twice. `path` is how the message calls the value.
        """
        kind = self.r.RTYPES(value.typeof)
        if kind == self.r.RTYPES.NILSXP:
            return None
        attributes = set(value.list_attrs())
        if kind.name in _KINDS:
            return self._numbers(value, _KINDS[kind.name], attributes, path)
        if kind == self.r.RTYPES.STRSXP:
            return self._text(value)
        if kind != self.r.RTYPES.VECSXP:
            raise UnsendableError(f"{path} is of R's type {kind.name}, which cannot be sent to Python")
        if "names" not in attributes:
            return Items(self._elements(value, [f"{path}[[{i}]]" for i in range(1, len(value) + 1)]), None)
        names = checked_names(self._texts(value.do_slot("names")), path)
        items = self._elements(value, [f"{path}${name}" for name in names])
        if "data.frame" in _classes(value, attributes):
            return self._frame(names, items, value.do_slot("row.names"))
        return Items(items, names)

    def _numbers(
        self, value: Any, kind: Literal["logical", "integer", "double"], attributes: set[str], path: str
    ) -> Node:
        values = self._values(value, np.float64 if kind == "double" else np.int32)
        classes = _classes(value, attributes)
        if "factor" in classes and kind == "integer":
            levels = value.do_slot("levels") if "levels" in attributes else self.r.StrSexpVector([])
            return checked_factor(values, self._texts(levels), "ordered" in classes, path)
        for name in ("Date", "POSIXct", "difftime"):
            if name in classes:
                return Times(name, _doubles(values), _unit(value, attributes))
        if "integer64" in classes and kind == "double":
            values = checked_integer64(values, path)
        return Vector(kind, values, tuple(value.do_slot("dim")) if "dim" in attributes else None)

    def _values(self, value: Any, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """The numbers (n,), column by column."""
        if not len(value):
            return np.empty(0, dtype)
        self._held.append(value)
        return np.asarray(value.memoryview()).ravel(order="F")

    def _text(self, value: Any) -> Text:
        if len(value) < MANY:
            missing = self.r.NA_Character
            return coded([None if item is missing else item for item in value])
        codes, (count,), data = self.helpers["value_text"](value)
        labels = bytes(self._values(data, np.int32)).decode().split("\0")[:count]
        return Text(self._values(codes, np.int32), labels)

    def _texts(self, value: Any) -> list[str | None]:
        text = self._text(value)
        labels = [None, *text.labels]
        return [labels[max(code, 0)] for code in text.codes.tolist()]

    def _elements(self, value: Any, paths: list[str]) -> list[Node]:
        if len(paths) < MANY:
            return [self.read(item, path) for item, path in zip(value, paths, strict=True)]
        kinds, lengths, *values = self.helpers["value_pack"](value, self.r.IntSexpVector([SMALL]))
        kind_of, length_of = self._values(kinds, np.int32), self._values(lengths, np.int32)
        others = [None if kind else self.read(value[i], paths[i]) for i, kind in enumerate(kind_of.tolist())]
        blocks: list[Block] = []
        for code, (kind, found) in enumerate(zip(_KINDS.values(), values, strict=True), 1):
            places = np.flatnonzero(kind_of == code).astype(np.int32)
            if places.size:
                dtype = np.float64 if kind == "double" else np.int32
                blocks.append((kind, places, length_of[places], self._values(found, dtype)))
        return unpack(Pack(others, blocks))

    def _frame(self, names: list[str], columns: list[Node], row_names: Any) -> Frame:
        labels = self.read(row_names, "row.names")
        if isinstance(labels, Text):
            return Frame(names, columns, labels.codes.size, labels)
        if not isinstance(labels, Vector):
            raise UnsendableError("a data.frame has no row names")
        rows = labels.values.size
        automatic = np.array_equal(labels.values, np.arange(1, rows + 1))
        return Frame(names, columns, rows, None if automatic else labels)


def checked_names(names: Sequence[str | None], path: str) -> list[str]:
    """Return `names`, unless one is missing, empty or there twice.

    Raises
    ------
    UnsendableError
        So it is; `path` is how the message calls the list.
    """
    found = [name for name in names if name]
    if len(set(found)) < len(names):
        raise UnsendableError(f"{path} is a list whose names are empty or duplicated: {[*names[:20]]}")
    return found


def checked_factor(codes: npt.NDArray[np.int32], levels: Sequence[str | None], ordered: bool, path: str) -> Factor:
    """Return the record of a factor; a level that is NA marks missing values, as NA codes do.

    Raises
    ------
    UnsendableError
        A code has no level, or a level is there twice; `path` is how the message calls the factor.
    """
    kept = [level for level in levels if level is not None]
    missing = codes == NA_INTEGER
    if ((codes < 1) | (codes > len(levels)))[~missing].any() or len(set(levels)) < len(levels):
        raise UnsendableError(f"{path} is a factor whose codes and levels do not belong together")
    if len(kept) < len(levels):
        renumbered = np.cumsum([level is not None for level in levels], dtype=np.int32)
        renumbered[[level is None for level in levels]] = NA_INTEGER
        codes = np.where(missing, NA_INTEGER, renumbered[np.where(missing, 1, codes) - 1]).astype(np.int32)
    return Factor(codes, kept, ordered)


def checked_integer64(values: npt.NDArray[np.float64], path: str) -> npt.NDArray[np.float64]:
    """Return what the bits of an integer64 of the package bit64 mean.

    Raises
    ------
    UnsendableError
        A number is beyond ±2**53, so that no double is exactly it; `path` is how the message calls the vector.
    """
    whole = values.view(np.int64)
    missing = whole == np.iinfo(np.int64).min
    if ((whole > EXACT) | (whole < -EXACT))[~missing].any():
        raise UnsendableError(f"{path} holds integers beyond ±2**53")
    return np.where(missing, NA_REAL, whole)


def coded(texts: Sequence[str | None]) -> Text:
    """Return the record of these texts."""
    labels: dict[str, int] = {}
    codes = [NA_INTEGER if text is None else labels.setdefault(text, len(labels) + 1) for text in texts]
    return Text(np.array(codes, dtype=np.int32), list(labels))


def _classes(value: Any, attributes: set[str]) -> set[str]:
    return set(value.do_slot("class")) if "class" in attributes else set()


def _doubles(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return values if values.dtype == np.float64 else np.where(values == NA_INTEGER, NA_REAL, values)


def _unit(value: Any, attributes: set[str]) -> str:
    for name in ("tzone", "units"):
        if name in attributes:
            return str(value.do_slot(name)[0])
    return ""
