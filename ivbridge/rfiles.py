"""R's ``.rds``, ``.rda`` and ``.RData``: data frames of plain columns, and nothing else.

A file of R's may hold functions, environments, promises, compiled code and pointers. The rdata package parses them to
records and evaluates nothing; of these records only data frames are taken, of a data frame only its columns, and of a
column only the few attributes that say what its numbers mean.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.errors import DataError, MissingExtraError
from ivbridge.unpack import READING_FAILURES, allowed_bytes, unpacked

__all__ = ["read_r"]

#: classes that R puts on a whole table, not on a column: without them the columns are the same
_TABLE_CLASSES = frozenset({"tbl_df", "tbl", "spec_tbl_df", "grouped_df", "rowwise_df", "data.table", "pdata.frame"})
_HEADERS = (b"RDX2\n", b"RDX3\n", b"RDA2\n", b"RDA3\n", b"RDB2\n", b"RDB3\n")
_TABLE_ATTRIBUTES = frozenset({"names", "row.names", "class"})
_COLUMN_ATTRIBUTES = frozenset({"class", "levels", "tzone", "units", "labels"})
_ATOMS = frozenset({"LGL", "INT", "REAL", "CPLX", "STR"})
#: What a file may hold beside data frames, as R calls it.
_KINDS = {"CLO": "function", "ENV": "environment", "PROM": "promise", "LANG": "call", "SYM": "symbol", "VEC": "list",
          "EXPR": "expression", "BCODE": "compiled code", "EXTPTR": "pointer", "S4": "S4 object", "STR": "character",
          "LGL": "logical", "INT": "integer", "REAL": "numeric", "CPLX": "complex", "BUILTIN": "function",
          "SPECIAL": "function", "GLOBALENV": "environment", "BASEENV": "environment", "LIST": "pairlist",
          "NILVALUE": "NULL", "NAMESPACE": "namespace"}  # fmt: skip


def read_r(path: Path, wanted: str | None = None) -> pd.DataFrame:
    """A data frame from R's ``.rds``, ``.rda`` or ``.RData``, through rdata.

    Factors become categories (ordered ones ordered), ``Date`` and ``POSIXct`` become datetimes; row names are left
    out, as a model formula cannot use them. Nothing in the file is evaluated.

    Parameters
    ----------
    path : Path
    wanted : str, optional
        Which object of an ``.rda``; needed where it holds several data frames.

    Raises
    ------
    DataError
        No or several data frames, a column of a class that is not carried over, a column that is a list, or a file
        that is damaged or unpacks to far more than its size.
    MissingExtraError
        If rdata is not installed.
    """
    objects, encoding = _objects(path)
    frames = {name: found for name, found in objects.items() if "data.frame" in _texts(_attributes(found).get("class"))}
    listing = ", ".join(f"{path}::{name}" for name in frames)
    chosen = next(iter(frames)) if wanted is None and len(frames) == 1 else wanted
    if chosen is not None and chosen in frames:
        return _converted(path, frames[chosen], encoding)
    if not frames:
        kinds = ", ".join(f"{name} ({_KINDS.get(found.info.type.name, 'object')})" for name, found in objects.items())
        raise DataError(f"{path} holds no data frame; it has {kinds}.", do="save one: saveRDS(as.data.frame(x), …).")
    found_instead = f"has no data frame {wanted!r}" if wanted else f"holds {len(frames)} data frames: choose one"
    raise DataError(f"{path} {found_instead}.", available=listing, do=f"write '{path}::{next(iter(frames))}'.")


def _objects(path: Path) -> tuple[dict[str, Any], str | None]:
    """The objects of a file as rdata's records, by name, and the encoding of their texts."""
    try:
        import rdata  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"Reading {path} needs the package rdata.", do='pip install "ivbridge[files]"'
        ) from error
    content = unpacked(path)
    header = content[:5] in _HEADERS
    if header == (path.suffix.lower() == ".rds"):
        made = "save(), whose files end in .rda" if header else "saveRDS() or of no R at all; save() makes .rda"
        raise DataError(f"{path} cannot be read: it is a file of {made}.", do="give it the ending that fits.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a tag of a compiled constant, which no column has
            whole, encoding = _parse(content[5 * header :])
        return dict(_pairs(whole)) if header else {path.stem: whole}, encoding
    except READING_FAILURES as error:
        raise _unreadable(path, error) from error


def _parse(content: bytes) -> tuple[Any, str | None]:
    """The record of one serialized object, and the encoding of its texts."""
    from rdata.parser import DEFAULT_ALTREP_MAP
    from rdata.parser._ascii import ParserASCII
    from rdata.parser._binary import ParserBinary
    from rdata.parser._xdr import ParserXDR

    budget = [allowed_bytes(len(content)) // 8]

    def counted(name: bytes) -> Any:
        def build(state: Any) -> Any:
            budget[0] -= int(state.value[0])
            if budget[0] < 0 or state.value[0] < 0:
                raise ValueError(f"a sequence of {state.value[0]:.3g} numbers in a file of {len(content)} bytes")
            return DEFAULT_ALTREP_MAP[name](state)

        return build

    sequences = {name: counted(name) for name in (b"compact_intseq", b"compact_realseq")}
    formats: dict[bytes, Any] = {b"X\n": ParserXDR, b"B\n": ParserBinary, b"A\n": ParserASCII, b"A\r\n": ParserASCII}
    for mark, parser_class in formats.items():
        if content.startswith(mark):
            body = memoryview(content)[len(mark) :]
            known = {**DEFAULT_ALTREP_MAP, **sequences}
            parser = parser_class(body, expand_altrep=True, altrep_constructor_dict=known)
            vars(parser)["_parse_bytecode"] = _guarded(parser, len(content))
            found = parser.parse_all()
            parser.check_complete()
            return found.object, found.extra.encoding
    raise NotImplementedError("the first bytes are not R's")


def _guarded(parser: Any, size: int) -> Any:
    """Compiled code begins with a number, and rdata makes a list of that length before it reads on."""
    parse = parser._parse_bytecode

    def guarded(references: Any, repeated: Any = None) -> Any:
        if repeated is None:
            start = parser.file.tell()
            if not 0 <= parser.parse_int() <= size:
                raise ValueError("compiled code of an impossible length")
            parser.file.seek(start)
        return parse(references, repeated)

    return guarded


# ------------------------------------------------------------------------------------------------- rdata's records
def _pairs(record: Any) -> Iterator[tuple[str, Any]]:
    """Names and values of a pairlist: the objects of a file, or the attributes of an object."""
    while record is not None and record.info.type.name == "LIST":
        value, rest = record.value
        yield _symbol(record.tag), value
        record = rest


def _symbol(record: Any) -> str:
    if record is not None and record.info.type.name == "REF":
        record = record.referenced_object
    if record is None or record.info.type.name != "SYM":
        raise ValueError("a name is no symbol")
    return (record.value.value or b"").decode("utf-8", "replace")


def _attributes(record: Any) -> dict[str, Any]:
    return dict(_pairs(record.attributes))


def _texts(record: Any) -> list[str]:
    if record is None or record.info.type.name != "STR":
        return []
    return [(item.value or b"NA").decode("utf-8", "replace") for item in record.value]


def _with_attributes(record: Any, wanted: Mapping[str, Any]) -> Any:
    """The record with these of its attributes alone."""
    kept = [node for node in _nodes(record.attributes) if _symbol(node.tag) in wanted]
    rest: Any = next(iter(_nodes(record.attributes, end=True)), None)
    for node in reversed(kept):
        rest = dataclasses.replace(node, value=(wanted[_symbol(node.tag)], rest))
    info = dataclasses.replace(record.info, attributes=bool(kept), object="class" in wanted)
    return dataclasses.replace(record, info=info, attributes=rest if kept else None)


def _nodes(record: Any, *, end: bool = False) -> Iterator[Any]:
    """The links of a pairlist, or what stands behind the last one."""
    while record is not None and record.info.type.name == "LIST":
        if not end:
            yield record
        record = record.value[1]
    if end and record is not None:
        yield record


def _converted(path: Path, record: Any, encoding: str | None) -> pd.DataFrame:
    from rdata.conversion import DEFAULT_CLASS_MAP, convert

    try:
        frame = _plain_table(path, record)
        known: dict[str | bytes, Any] = {name: DEFAULT_CLASS_MAP[name] for name in ("data.frame", "factor", "ordered")}
        known |= {"Date": _date, "POSIXct": _instant, "haven_labelled": _labelled}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = convert(frame, known, default_encoding=encoding)
    except READING_FAILURES as error:
        if isinstance(error, DataError):
            raise
        raise _unreadable(path, error) from error
    _refuse_unknown_classes(path, [str(item.message) for item in caught])
    if not isinstance(found, pd.DataFrame):
        raise DataError(f"{path} holds a damaged data frame.", do="save it again.")
    return found.reset_index(drop=True)


def _plain_table(path: Path, record: Any) -> Any:
    """The data frame with plain columns and the attributes that they need; everything else of it is left behind."""
    about = {name: value for name, value in _attributes(record).items() if name in _TABLE_ATTRIBUTES}
    names = _texts(about.get("names"))
    if record.info.type.name != "VEC" or len(names) != len(record.value):
        raise DataError(f"{path} holds a damaged data frame.", do="save it again.")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        what = f"{path} has columns with the same name: {', '.join(map(repr, twice))}."
        raise DataError(what, do="give every column its own name.")
    columns = [_plain_column(path, name, column) for name, column in zip(names, record.value, strict=True)]
    return dataclasses.replace(_with_attributes(record, about), value=columns)


def _plain_column(path: Path, name: str, record: Any) -> Any:
    kind, about = record.info.type.name, _attributes(record)
    width = [int(size) for size in about["dim"].value][1:] if "dim" in about else []
    if kind not in _ATOMS or any(size != 1 for size in width):
        what = "matrix" if kind in _ATOMS else _KINDS.get(kind, "value that is no column")
        raise DataError(
            f"The column {name!r} of {path} is a {what}, which cannot be carried over.",
            available="logical, integer, double, character, factor, Date and POSIXct columns",
            do="make it plain columns in R, and save again.",
        )
    kept = {key: value for key, value in about.items() if key in _COLUMN_ATTRIBUTES and value.info.type.name in _ATOMS}
    for key, value in kept.items():  # of attributes only value labels have an attribute that means something
        names = {"names": _attributes(value)["names"]} if key == "labels" and "names" in _attributes(value) else {}
        kept[key] = _with_attributes(value, names)
    return _with_attributes(record, kept)


def _unreadable(path: Path, error: Exception) -> DataError:
    said = f"{type(error).__name__}: {error}"
    return DataError(
        f"{path} cannot be read: the rdata package stops with {said if len(said) < 300 else said[:297] + '…'}.",
        do="write the table from R with write.csv(x, 'x.csv', row.names = FALSE) and read that.",
    )


def _refuse_unknown_classes(path: Path, messages: list[str]) -> None:
    """rdata returns the bare numbers of a class it does not know; for integer64 or difftime those mean nothing."""
    classes = {text.split('"')[1] for text in messages if text.startswith("Missing constructor for R class")}
    if unknown := sorted(classes - _TABLE_CLASSES):
        raise DataError(
            f"{path} holds values of the R class {', '.join(unknown)}, which cannot be carried over faithfully.",
            available="logical, integer, double, character, factor, Date and POSIXct columns",
            do="convert the column in R, for example with as.numeric(), and save again.",
        )


def _date(values: Any, attrs: Mapping[str, Any]) -> Any:
    return pd.to_datetime(np.asarray(values, dtype=float), unit="D")


def _instant(values: Any, attrs: Mapping[str, Any]) -> Any:
    return pd.to_datetime(np.asarray(values, dtype=float), unit="s", utc=True)


def _labelled(values: Any, attrs: Mapping[str, Any]) -> Any:
    """A labelled vector of the haven package: a category where every value has a label, else the numbers."""
    numbers, labels = np.asarray(values, dtype=float), attrs.get("labels")
    if labels is None:
        return numbers
    codes, names = np.asarray(labels.values), [str(name) for name in np.asarray(labels.coords["dim_0"])]
    if len(set(names)) < len(names) or not np.isin(numbers[~np.isnan(numbers)], codes).all():
        return numbers
    order = np.argsort(codes)
    position = {float(codes[i]): rank for rank, i in enumerate(order)}
    return pd.Categorical.from_codes([position.get(x, -1) for x in numbers], pd.Index([names[i] for i in order]))
