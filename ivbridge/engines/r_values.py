"""R values in the R process: built from the records of `ivbridge.engines.wire`, and copied out again.

The module ``rpy2.rinterface`` is passed in; nothing here imports it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ivbridge.engines.wire import NA_INTEGER, NA_REAL, Factor, Frame, Items, Node, Text, Times, Vector

__all__ = ["Builder", "UnsendableError", "checked_names", "decode"]

_KINDS: dict[str, Literal["logical", "integer", "double"]] = {
    "LGLSXP": "logical",
    "INTSXP": "integer",
    "REALSXP": "double",
}


class UnsendableError(Exception):
    """R returned something that has no counterpart in Python."""


class Builder:
    """Makes R objects of records; ``helpers`` is the environment of ``call.R``."""

    def __init__(self, rinterface: Any, helpers: Any) -> None:
        self.r, self.helpers = rinterface, helpers
        self.vector = rinterface.baseenv["vector"]

    def strings(self, values: list[str]) -> Any:
        """A character vector."""
        return self.r.StrSexpVector(values)

    def build(self, node: Node) -> Any:
        """Make the R object that `node` describes."""
        match node:
            case None:
                return self.r.NULL
            case Vector(kind, values, dim):
                made = self._vector(kind, values)
                return made if dim is None else self.helpers["call_dim"](made, self.r.IntSexpVector(dim))
            case Times(kind, values, unit):
                made = self._vector("double", values)
                return self.helpers["call_times"](made, self.strings([kind]), self.strings([unit]))
            case Text(codes, labels):
                return self.helpers["call_subset"](self.strings(labels), self._vector("integer", codes))
            case Factor(codes, levels, ordered):
                flag = self.r.BoolSexpVector([ordered])
                return self.helpers["call_factor"](self._vector("integer", codes), self.strings(levels), flag)
            case Items(values, names):
                made = self._list(values)
                return made if names is None else self.helpers["call_named"](made, self.strings(names))
            case Frame(names, columns, rows):
                count = self.r.IntSexpVector([rows])
                return self.helpers["call_frame"](self._list(columns), self.strings(names), count)

    def _vector(self, kind: str, values: npt.NDArray[Any]) -> Any:
        # allocated by R code: when memory is short that is an R error, where the C function would jump out of Python
        made = self.vector(kind, float(values.size))
        if values.size:
            np.frombuffer(made.memoryview(), dtype=values.dtype)[:] = values
        return made

    def _list(self, nodes: list[Node]) -> Any:
        made = self.vector("list", float(len(nodes)))
        for position, node in enumerate(nodes):
            made[position] = self.build(node)
        return made


def decode(value: Any, r: Any, path: str = "value") -> Node:
    """Copy an R value into a record.

    Attributes other than dimensions, names, levels and the classes that the records know are left out; a POSIXlt is
    the list that it is.

    Raises
    ------
    UnsendableError
        For functions, environments, S4 objects and everything else that no record holds; for lists named in part or
        twice; for text that is not valid in its encoding. `path` is how the message calls the value.
    """
    kind = r.RTYPES(value.typeof)
    if kind == r.RTYPES.NILSXP:
        return None
    attributes = set(value.list_attrs())
    classes = set(value.do_slot("class")) if "class" in attributes else set()
    if kind in (r.RTYPES.LGLSXP, r.RTYPES.INTSXP, r.RTYPES.REALSXP):
        values = _values(value, kind, r)
        if "levels" in attributes:
            return Factor(values, list(value.do_slot("levels")), "ordered" in classes)
        for name in ("Date", "POSIXct", "difftime"):
            if name in classes:
                return Times(name, _doubles(values), _unit(value, attributes))
        dim = tuple(value.do_slot("dim")) if "dim" in attributes else None
        return Vector(_KINDS[kind.name], values, dim)
    if kind == r.RTYPES.STRSXP:
        return _text(value, r, path)
    if kind == r.RTYPES.VECSXP:
        if "names" not in attributes:
            return Items([decode(item, r, f"{path}[[{i}]]") for i, item in enumerate(value, 1)], None)
        names = checked_names(list(value.do_slot("names")), path)
        items = [decode(item, r, f"{path}${name}") for name, item in zip(names, value, strict=True)]
        return _frame(names, items, value, r) if "data.frame" in classes else Items(items, names)
    raise UnsendableError(f"{path} is of R's type {kind.name}, which cannot be sent to Python")


def checked_names(names: list[str], path: str) -> list[str]:
    """Return `names`, unless one is empty or there twice.

    Raises
    ------
    UnsendableError
        So it is; `path` is how the message calls the list.
    """
    if len(set(names)) < len(names) or "" in names:
        raise UnsendableError(f"{path} is a list whose names are empty or duplicated: {names}")
    return names


def _values(value: Any, kind: Any, r: Any) -> npt.NDArray[Any]:
    """The numbers (n,), column by column."""
    if not len(value):
        return np.empty(0, np.float64 if kind == r.RTYPES.REALSXP else np.int32)
    return np.array(value.memoryview()).ravel(order="F")  # a copy: R frees the memory under a view


def _doubles(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    return values if values.dtype == np.float64 else np.where(values == NA_INTEGER, NA_REAL, values)


def _unit(value: Any, attributes: set[str]) -> str:
    for name in ("tzone", "units"):
        if name in attributes:
            return str(value.do_slot(name)[0])
    return ""


def _text(value: Any, r: Any, path: str) -> Text:
    labels: dict[str, int] = {}
    try:
        codes = [NA_INTEGER if item is r.NA_Character else labels.setdefault(item, len(labels) + 1) for item in value]
    except UnicodeDecodeError as error:
        raise UnsendableError(f"{path} holds text that is not valid in its encoding: {error}") from None
    return Text(np.array(codes, dtype=np.int32), list(labels))


def _frame(names: list[str], columns: list[Node], value: Any, r: Any) -> Frame:
    row_names = decode(value.do_slot("row.names"), r, "row.names")
    if isinstance(row_names, Text):
        return Frame(names, columns, row_names.codes.size, row_names)
    if not isinstance(row_names, Vector):
        raise UnsendableError("a data.frame has no row names")
    rows = row_names.values.size
    automatic = np.array_equal(row_names.values, np.arange(1, rows + 1))
    return Frame(names, columns, rows, None if automatic else row_names)
