"""Files that try to be more than data: what each one is, how it is made, and what reading it ends in."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import pickle
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import feather, parquet

__all__ = ["ANSWER", "R_FILES", "Made", "files"]

ANSWER = "answer"
#: A file: its name, what it is, how it ends, and what writes it (given its path and the sentinel's).
Made = tuple[str, str, str, Callable[[Path, Path], object]]

#: What tests/hostile.R writes: file, what it is, how reading it ends.
R_FILES = (
    ("closure.rds", "a function", "DataError"),
    ("bytecode.rds", "a compiled function", "DataError"),
    ("cycle.rds", "an environment that holds itself", "DataError"),
    ("call.rds", "a call", "DataError"),
    ("formula.rds", "a formula", "DataError"),
    ("expression.rds", "an expression", "DataError"),
    ("s4.rds", "an S4 object with code", "DataError"),
    ("class.rds", "the definition of a class", "DataError"),
    ("symbol.rds", "a symbol of R code", "DataError"),
    ("globalenv.rds", "the global environment", "DataError"),
    ("namespace.rds", "a namespace", "DataError"),
    ("builtin.rds", "a builtin", "DataError"),
    ("column_of_functions.rds", "a data frame of functions", "DataError"),
    ("column_of_environments.rds", "a data frame of environments", "DataError"),
    ("column_is_a_call.rds", "a column that is a call", "DataError"),
    ("column_is_a_frame.rds", "a column that is a data frame", "DataError"),
    ("column_is_a_matrix.rds", "a column that is a matrix", "DataError"),
    ("frame_is_a_vector.rds", "a vector that calls itself a data frame", "DataError"),
    ("columns_of_two_lengths.rds", "columns of two lengths", "DataError"),
    ("columns_without_names.rds", "columns without names", "DataError"),
    ("factor_beyond_its_levels.rds", "a factor beyond its levels", "DataError"),
    ("levels_that_are_no_text.rds", "levels that are numbers", ANSWER),
    ("deep.rds", "a list 2000 deep", "DataError"),
    ("deep_column.rds", "a column 2000 lists deep", "DataError"),
    ("promises.rda", "promises and active bindings", "DataError"),
    ("code_only.rda", "functions and environments", "DataError"),
    ("hostile_names.rda", "objects named like paths and code", "DataError"),
    ("attributes_of_code.rds", "a data frame with code in its attributes", ANSWER),
    ("frame_beside_code.rda", "a data frame beside functions and calls", ANSWER),
)


class _Payload:
    """Pickled, a call of ``os.system``."""

    def __init__(self, sentinel: Path) -> None:
        self.sentinel = sentinel

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.sentinel}",)


def _pickled(path: Path, sentinel: Path) -> None:
    path.write_bytes(pickle.dumps(_Payload(sentinel)))


def _packed_pickle(path: Path, sentinel: Path) -> None:
    path.write_bytes(gzip.compress(pickle.dumps(_Payload(sentinel))))


def _bytes(content: bytes) -> Callable[[Path, Path], object]:
    return lambda path, sentinel: path.write_bytes(content.replace(b"@S@", bytes(sentinel)))


# ---------------------------------------------------------------------------------------------- R's serialization
def _int(*values: int) -> bytes:
    return struct.pack(f">{len(values)}i", *values)


_HEAD = b"X\n" + _int(2, 0x040202, 0x020300)
_NAMES = _int(0x402, 1, 9 | 1 << 18, 5) + b"names"


def _char(text: str) -> bytes:
    raw = text.encode()
    return _int(9 | 1 << 18, len(raw)) + raw


def _frame(column: bytes) -> bytes:
    """A data frame with one column ``x`` of three rows."""
    names = _int(0x402, 1) + _char("names") + _int(16, 1) + _char("x")
    kind = _int(0x402, 1) + _char("class") + _int(16, 1) + _char("data.frame")
    rows = _int(0x402, 1) + _char("row.names") + _int(13, 2, -(2**31), -3)
    return _HEAD + _int(0x313, 1) + column + names + kind + rows + _int(254)


def _sequence(length: float) -> bytes:
    """A column that says: so many whole numbers from 1."""
    about = _int(2) + _int(1) + _char("compact_intseq") + _int(2, 1) + _char("base") + _int(2, 13, 1, 13) + _int(254)
    return _int(238) + about + _int(14, 3) + struct.pack(">3d", length, 1.0, 1.0) + _int(254)


def _repetitions(count: int) -> bytes:
    """A closure whose compiled code claims so many shared constants."""
    return _HEAD + _int(0x403, 253, 254, 21, count, 13, 1, 0, 0)


_R_BYTES = (
    ("nul.rds", "nothing but a header", _HEAD),
    ("empty.rds", "an empty file", b""),
    ("truncated.rds", "a file that ends in a column", _frame(_int(14, 3) + b"\0" * 24)[:80]),
    ("huge_vector.rds", "two billion numbers declared", _frame(_int(14, 2**31 - 1) + b"\0" * 24)),
    ("huge_text.rds", "two billion texts declared", _frame(_int(16, 2**31 - 1) + _char("a"))),
    ("huge_string.rds", "a text of two billion letters declared", _frame(_int(16, 1, 9 | 1 << 18, 2**31 - 1) + b"a")),
    ("huge_list.rds", "a list of two billion columns declared", _HEAD + _int(0x313, 2**31 - 1)),
    ("negative_vector.rds", "a negative length", _frame(_int(14, -5) + b"\0" * 24)),
    ("long_vector.rds", "a length beyond 2^31", _frame(_int(14, -1, 1 << 20, 0) + b"\0" * 24)),
    ("sequence.rds", "a sequence of 1e13 numbers in 300 bytes", _frame(_sequence(1e13))),
    ("sequence_nan.rds", "a sequence of NaN numbers", _frame(_sequence(float("nan")))),
    ("sequence_negative.rds", "a sequence of -1e9 numbers", _frame(_sequence(-1e9))),
    ("repetitions.rds", "compiled code with two billion constants", _repetitions(2**31 - 1)),
    ("reference.rds", "a reference to nothing", _HEAD + _int(255 | 9999 << 8)),
    ("unknown_type.rds", "a type that R does not have", _HEAD + _int(200)),
    ("unknown_version.rds", "version 99 of the format", b"X\n" + _int(99, 0, 0)),
    ("ascii_huge.rds", "two billion numbers declared, as text", b"A\n2\n262658\n131840\n14\n2147483647\n1\n"),
    ("ascii_deep.rds", "brackets of lists, as text", b"A\n2\n262658\n131840\n" + b"2\n" * 20_000),
    ("weak.rds", "a weak reference", _HEAD + _int(23)),
    ("script.rds", "a script", b"#!/bin/sh\ntouch @S@\n"),
    ("script.rda", "R code", b"RDX3\nsystem('touch @S@')\n"),
    ("old.rda", "R code in an old format", b"RDA1\nsystem('touch @S@')\n"),
)


# --------------------------------------------------------------------------------------------------------- bombs
def _bomb(pack: Callable[[bytes], bytes], head: bytes, megabytes: int) -> Callable[[Path, Path], object]:
    """Packed pieces one after the other unpack to the pieces one after the other."""

    def write(path: Path, sentinel: Path) -> None:
        path.write_bytes(pack(head + b"0\n") + pack(b"0\n" * (1 << 19)) * megabytes)

    return write


def _twice(path: Path, sentinel: Path) -> None:
    path.write_bytes(gzip.compress(gzip.compress(b"\0" * (64 << 20))))


def _tall_parquet(path: Path, sentinel: Path) -> None:
    """Rows of one value, of which the file keeps one: every page says the same."""
    table = pa.table({"x": pa.array(np.zeros(1 << 20))})
    with parquet.ParquetWriter(path, table.schema, compression="zstd") as writer:
        for _ in range(8):
            writer.write_table(table)


def _extension(path: Path, sentinel: Path) -> None:
    """An Arrow type whose metadata old versions of pyarrow unpickle."""
    about = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(_Payload(sentinel)),
    }
    field = pa.field("x", pa.int64(), metadata=about)
    table = pa.table([pa.array([1, 2, 3])], schema=pa.schema([field]))
    (feather.write_feather if path.suffix == ".feather" else parquet.write_table)(table, path)


def _pandas_metadata(path: Path, sentinel: Path) -> None:
    """What pandas keeps of a frame says that the index is code."""
    code = f"__import__('os').system('touch {sentinel}')"
    about = {
        "index_columns": [code],
        "columns": [{"name": code, "pandas_type": code, "numpy_type": code}],
        "pandas_version": code,
    }
    table = pa.table({"x": [1, 2, 3]}).replace_schema_metadata({b"pandas": json.dumps(about).encode()})
    parquet.write_table(table, path)


def _positions(path: Path, sentinel: Path) -> None:
    """Codes of a category that point far behind its texts, as numbers in the file."""
    codes = pa.array([77, 77, 77], type=pa.int32())
    frame = pa.table({"x": pa.DictionaryArray.from_arrays(codes, pa.array(["a", "b"]), safe=False)})
    feather.write_feather(frame, path, compression="uncompressed")


def _nested(path: Path, sentinel: Path) -> None:
    (feather.write_feather if path.suffix == ".feather" else parquet.write_table)(pa.table({"x": [[1], [2, 3]]}), path)


def _stata(path: Path, sentinel: Path) -> None:
    """A Stata file that claims two billion rows."""
    pd.DataFrame({"x": [1.0, 2.0]}).to_stata(path, write_index=False, version=117)
    raw = path.read_bytes()
    start = raw.index(b"<N>") + 3
    path.write_bytes(raw[:start] + struct.pack("<I", 2**31 - 1) + raw[start + 4 :])


def _cut(make: Callable[[Path], object]) -> Callable[[Path, Path], object]:
    def write(path: Path, sentinel: Path) -> None:
        make(path)
        path.write_bytes(path.read_bytes()[:-40])

    return write


def _special(make: Callable[[Path], object]) -> Callable[[Path, Path], object]:
    return lambda path, sentinel: make(path)


SMALL = pd.DataFrame({"y": [1.0, 2.0, 3.0], "x": [3.0, 1.0, 2.0]})


def files() -> Iterator[Made]:
    """Every file that Python makes."""
    for name in (
        "p.csv",
        "p.tsv",
        "p.parquet",
        "p.feather",
        "p.dta",
        "p.rds",
        "p.rda",
        "p.pkl",
        "p.pickle",
        "p.npy",
        "p.h5",
    ):
        yield name, f"a pickle called {name.partition('.')[2]}", "DataError", _pickled
    for name in ("q.csv.gz", "q.rds", "q.pkl.gz", "q.csv.bz2", "q.csv.xz"):
        yield name, f"a packed pickle called {name.partition('.')[2]}", "DataError", _packed_pickle
    for name, what, content in _R_BYTES:
        yield name, what, "DataError", _bytes(content)
    for ending, pack in ((".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)):
        yield f"bomb.csv{ending}", f"200 MB of zeros in a small csv{ending}", "DataError", _bomb(pack, b"x\n", 200)
    yield "bomb.rds", "200 MB of zeros in a small rds", "DataError", _bomb(gzip.compress, b"X\n", 200)
    yield "twice.rds", "a packed file in a packed file", "DataError", _twice
    yield (
        "wide.csv",
        "a header of 300000 names",
        "DataError",
        _bytes(",".join(f"v{j}" for j in range(300_000)).encode()),
    )
    yield "long_name.csv", "a name of a million letters", "DataError", _bytes(b"a" * 1_000_000 + b"\n1\n")
    yield "nul.csv", "NUL bytes", "DataError", _bytes(b"\0" * 5000)
    yield "quote.csv", "a quote that never closes", "DataError", _bytes(b'x\n"' + b"a,\n" * 200_000)
    yield "formula.csv", "a spreadsheet's formula", ANSWER, _bytes(b"y,x\n=cmd|'/c touch @S@'!A1,1\n")
    yield "latin.csv", "bytes that are no UTF-8", "DataError", _bytes(b"x\n\xff\xfe\n")
    yield (
        "code.csv",
        "names and values of code",
        ANSWER,
        _bytes(b"system('touch @S@'),__class__\n__import__('os'),{{7*7}}\n"),
    )
    yield "html.csv", "a web page", "DataError", _bytes(b"<html><script>alert(1)</script>\na,b,c\n")
    yield "ext.parquet", "an Arrow type that is a pickle, parquet", ANSWER, _extension
    yield "ext.feather", "an Arrow type that is a pickle, feather", ANSWER, _extension
    yield "positions.feather", "codes that point behind a category's texts", "DataError", _positions
    yield "meta.parquet", "pandas metadata of code", "DataError", _pandas_metadata
    yield "tall.parquet", "8 million rows in a small parquet", ANSWER, _tall_parquet
    yield "nested.parquet", "a column of lists, parquet", ANSWER, _nested
    yield "cut.parquet", "a parquet without its end", "DataError", _cut(SMALL.to_parquet)
    yield "cut.feather", "a feather without its end", "DataError", _cut(SMALL.to_feather)
    yield "cut.dta", "a Stata file without its end", "DataError", _cut(lambda p: SMALL.to_stata(p, write_index=False))
    yield "tall.dta", "two billion rows declared, Stata", "DataError", _stata
    yield "pipe.csv", "a pipe", "DataError", _special(os.mkfifo)
    yield "zero.csv", "a link to /dev/zero", "DataError", _special(lambda path: path.symlink_to("/dev/zero"))
    yield "loop.csv", "a link to itself", "DataError", _special(lambda path: path.symlink_to(path))
    yield "folder.csv", "a folder", "DataError", _special(Path.mkdir)
    yield (
        "memory.csv",
        "a link to this process's memory",
        "DataError",
        _special(lambda p: p.symlink_to("/proc/self/mem")),
    )
    yield (
        "tables.zip",
        "a zip",
        "DataError",
        _special(lambda p: shutil.make_archive(str(p)[:-4], "zip", p.parent, "data.csv")),
    )
    yield "sheet.xlsx", "a workbook", "DataError", _bytes(b"PK\x03\x04" + b"\0" * 100)
    yield "base.sqlite", "a database", "DataError", _bytes(b"SQLite format 3\0")
