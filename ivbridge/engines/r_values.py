"""R values in the R process: built from the records of `ivbridge.engines.wire`, and copied out again.

The module ``rpy2.rinterface`` is passed in; nothing here imports it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ivbridge.engines.wire import NA_INTEGER, Factor, Frame, Items, Node, Text, Vector

__all__ = ["Builder", "UnsendableError", "decode"]


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


def decode(value: Any, r: Any, path: str = "value") -> Any:
    """Copy an R value into Python.

    NULL becomes None; logical, integer and double become bool, int64 and float64 arrays (float64 with NaN if a
    logical or integer is missing), shaped by their ``dim``; character and factor become lists of str or None; a list
    becomes a dict if it has names, otherwise a list; a data.frame is a dict of its columns.

    Raises
    ------
    UnsendableError
        For functions, environments, S4 objects and everything else; for lists named in part or twice; for text that
        is not valid in its encoding. `path` is how the message calls the value.
    """
    kind = r.RTYPES(value.typeof)
    if kind == r.RTYPES.NILSXP:
        return None
    attributes = set(value.list_attrs())
    if kind in (r.RTYPES.LGLSXP, r.RTYPES.INTSXP, r.RTYPES.REALSXP):
        if "levels" in attributes:
            return _factor_labels(value)
        return _array(value, tuple(value.do_slot("dim")) if "dim" in attributes else (len(value),), kind, r)
    if kind == r.RTYPES.STRSXP:
        try:
            return [None if item is r.NA_Character else item for item in value]
        except UnicodeDecodeError as error:
            raise UnsendableError(f"{path} holds text that is not valid in its encoding: {error}") from None
    if kind == r.RTYPES.VECSXP:
        if "names" not in attributes:
            return [decode(item, r, f"{path}[[{i}]]") for i, item in enumerate(value, 1)]
        names = list(value.do_slot("names"))
        if len(set(names)) < len(names) or "" in names:
            raise UnsendableError(f"{path} is a list whose names are empty or duplicated: {names}")
        return {name: decode(item, r, f"{path}${name}") for name, item in zip(names, value, strict=True)}
    raise UnsendableError(f"{path} is of R's type {kind.name}, which cannot be sent to Python")


def _array(value: Any, shape: tuple[int, ...], kind: Any, r: Any) -> npt.NDArray[Any]:
    logical, double = kind == r.RTYPES.LGLSXP, kind == r.RTYPES.REALSXP
    if not len(value):
        return np.empty(shape, np.float64 if double else bool if logical else np.int64)
    array = np.array(value.memoryview())  # a copy: R frees the memory under a view
    if double:
        return array
    missing = array == NA_INTEGER
    if missing.any():
        return np.where(missing, np.nan, array.astype(np.float64))
    return array.astype(bool if logical else np.int64)


def _factor_labels(value: Any) -> list[str | None]:
    levels = list(value.do_slot("levels"))
    codes = np.array(value.memoryview()) if len(value) else ()
    return [None if code == NA_INTEGER else levels[code - 1] for code in codes]
