"""What a recorded reference keeps of the data: a hash of every column, and sums that identify R's matrices."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.data import Dataset, datasets
from ivbridge.design import Design
from ivbridge.handshake import COLUMN_TOLERANCE
from ivbridge.records import FloatArray, Seen

__all__ = [
    "ColumnFacts",
    "DataFacts",
    "changed_columns",
    "column_facts",
    "column_sums",
    "data_facts",
    "other_columns",
    "same_data",
    "same_sums",
    "sums",
    "uneven",
]

MOST_KNOWN = 4096
_known: dict[tuple[str, str], ColumnFacts] = {}
_BASE = {"number": "number", "integer": "number", "boolean": "boolean", "category": "category"}
#: Golden section: its multiples modulo 1 are spread evenly and never repeat.
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column of the data.

    Attributes
    ----------
    kind : {"number", "integer", "boolean", "category"}
        R's type: double, integer, logical or factor.
    sha256 : str
        Of its values, missing ones included, on all rows; of a category also of its levels. Whole numbers have the
        same hash whether they are stored as integers or not.
    levels : tuple of str
        Of a category, in order; the first is the baseline.
    ordered : bool
    """

    kind: str
    sha256: str
    levels: tuple[str, ...] = ()
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class DataFacts:
    """The data that a reference is about.

    Attributes
    ----------
    name : str
        Of the dataset; empty for a data frame.
    source : str
        What ``--data`` takes: a bundled name or a path; empty for a data frame.
    sha256 : str
        Of the file; empty for a data frame.
    rows : int
    columns : mapping of str to ColumnFacts
        Every column that the question and its vcovs use.
    """

    name: str
    source: str
    sha256: str
    rows: int
    columns: Mapping[str, ColumnFacts]


def column_facts(column: Any) -> ColumnFacts:
    """Kind, levels and hash of a column of a normalised frame (:mod:`ivbridge.frame`)."""
    digest = hashlib.sha256()
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = tuple(map(str, column.cat.categories))
        digest.update(f"category\0{column.cat.ordered}\0{len(levels)}\0".encode())
        digest.update("\0".join(levels).encode())
        digest.update(column.cat.codes.to_numpy(dtype="<i8").tobytes())
        return ColumnFacts("category", digest.hexdigest(), levels, bool(column.cat.ordered))
    boolean = pd.api.types.is_bool_dtype(column.dtype)
    kind = "boolean" if boolean else "integer" if pd.api.types.is_integer_dtype(column.dtype) else "number"
    values = column.to_numpy(dtype="<f8", na_value=np.nan)
    missing = np.isnan(values)
    digest.update(b"boolean\0" if boolean else b"number\0")
    digest.update(missing.tobytes())
    digest.update(np.where(missing, 0.0, values + 0.0).astype("<f8").tobytes())
    return ColumnFacts(kind, digest.hexdigest())


def data_facts(data: pd.DataFrame | Dataset, design: Design, columns: Iterable[str]) -> DataFacts:
    """What is kept of the data.

    Parameters
    ----------
    data : DataFrame or Dataset
        As the caller gave it.
    design : Design
    columns : iterable of str
        Columns of the design's frame.
    """
    found = {name: column_facts(design.frame[name]) for name in columns}
    if not isinstance(data, Dataset):
        return DataFacts("", "", "", len(design.frame), found)
    bundled = bool(data.citation) and data.name in set(datasets()["name"])
    return DataFacts(data.name, data.name if bundled else data.source, data.sha256, len(design.frame), found)


def changed_columns(facts: DataFacts, design: Design) -> list[str]:
    """How the columns that a question uses differ from those that were recorded, one clause each."""
    rows = len(design.frame)
    if rows != facts.rows:
        return [f"the data have {rows} rows instead of {facts.rows}"]
    changes = []
    for name in design.spec.columns:
        known = facts.columns.get(name)
        if known is None:
            changes.append(f"the column {name!r} was not recorded")
        elif (found := _facts_of(design, name)).sha256 != known.sha256:
            same = (found.levels, found.ordered, _BASE[found.kind]) == (known.levels, known.ordered, _BASE[known.kind])
            changes.append(f"the {'values' if same else 'type or levels'} of the column {name!r} changed")
    return changes


def same_data(facts: DataFacts, design: Design) -> bool:
    """Whether the columns that a reference and a design share, one at least, have the same values."""
    shared = [name for name in facts.columns if name in design.frame.columns]
    same = all(_facts_of(design, name).sha256 == facts.columns[name].sha256 for name in shared)
    return len(design.frame) == facts.rows and bool(shared) and same


def _facts_of(design: Design, name: str) -> ColumnFacts:
    """Facts of a column; hashing a large one takes a moment, and every vcov asks again."""
    key = (design.sha256, name)
    if key not in _known:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[key] = column_facts(design.frame[name])
    return _known[key]


def column_sums(seen: Seen) -> dict[str, dict[str, list[float]]]:
    """The :func:`sums` of every column of y, X and Z."""
    return {
        "y": {"y": sums(seen.y)},
        "x": {name: sums(column) for name, column in zip(seen.x_names, seen.x.T, strict=True)},
        "z": {name: sums(column) for name, column in zip(seen.z_names, seen.z.T, strict=True)},
    }


def sums(values: FloatArray) -> list[float]:
    """The sum of a vector, its sum with uneven weights, and its largest size.

    A changed or exchanged entry changes the first or the second sum; numbers that differ by rounding alone do not.
    """
    return [float(values.sum()), float((values * uneven(len(values))).sum()), float(np.abs(values).max(initial=0.0))]


def uneven(n: int) -> FloatArray:
    """The weights of the second sum, between 0 and 1, (n,)."""
    return np.asarray((np.arange(1, n + 1) * _GOLDEN) % 1.0)


def same_sums(known: list[float], found: list[float], n: int) -> bool:
    """Whether two vectors of length n have the same sums, to 1e-10 of the largest entry times the root of n."""
    allowed = COLUMN_TOLERANCE * max(n, 1) ** 0.5 * max(found[2], 1e-300)
    return len(known) == 3 and all(abs(a - b) <= allowed for a, b in zip(known, found, strict=True))


def other_columns(recorded: Mapping[str, Mapping[str, list[float]]], design: Design) -> list[str]:
    """Columns of the design whose sums are not those of R's.

    Parameters
    ----------
    recorded : mapping
        What :func:`column_sums` gave for R's matrices.
    design : Design
        Its columns are matched by name.
    """
    shared = {field.name for field in dataclasses.fields(Seen)} & {*Design.__slots__}
    seen = Seen(**{name: getattr(design, name) for name in shared})
    found = column_sums(seen)
    return [
        name if part != "y" else design.spec.dependent
        for part, columns in found.items()
        for name, values in columns.items()
        if not same_sums(recorded.get(part, {}).get(name, []), values, len(seen.rows))
    ]
