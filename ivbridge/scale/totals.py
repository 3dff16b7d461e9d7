"""Were all rows read, each once? Counts and sums of what the passes read beside those of an independent reader.

The passes read pieces; DuckDB is asked for the same counts and sums of the whole source in one query, which knows
nothing of pieces. A piece that was left out, read twice or read in place of another changes a count or a sum; a column
that lost its place beside its neighbour changes the sum of their products. Sums are equal up to rounding: each side's
differs from the exact one by at most γₙ = nu/(1 − nu) of the sum of absolute values, u = 2⁻⁵³.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from ivbridge.blocks.rows import Block, Rows
from ivbridge.errors import UnsupportedError
from ivbridge.records import FloatArray
from ivbridge.scale.csvs import MISSING, CsvFiles, separator
from ivbridge.scale.duck import DuckPiece, DuckTable, RelationPiece, quoted
from ivbridge.scale.parquet import ParquetFiles
from ivbridge.scale.sources import Source, extra
from ivbridge.scale.tables import TableInMemory

__all__ = ["Relation", "Total", "compared_totals", "usable"]

UNIT = 2.0**-53


@dataclass(frozen=True, slots=True)
class Total:
    """One count or sum over all rows.

    Attributes
    ----------
    what : str
        ``"rows"``, ``"sum of x"``, ``"sum of x²"``, ``"sum of x × y"``.
    read, independent : float
        Of the passes' pieces, and DuckDB's.
    bound : float
        The largest difference that rounding explains.
    """

    what: str
    read: float
    independent: float
    bound: float

    @property
    def ok(self) -> bool:
        """Whether the difference is within the bound."""
        return self.read == self.independent or abs(self.read - self.independent) <= self.bound


@dataclass(frozen=True, slots=True)
class Relation:
    """A source as DuckDB sees it.

    Attributes
    ----------
    ask : callable (text of a query) -> row of its result
    text : str
        What stands after FROM.
    """

    ask: Callable[[str], tuple[Any, ...]]
    text: str

    @classmethod
    @contextmanager
    def of(cls, source: Source) -> Iterator[Relation]:
        """Open the source anew.

        Raises
        ------
        UnsupportedError
            If the source is of a kind of its own, which only its pieces can read.
        """
        duckdb = extra("duckdb", "The check of all rows")
        if isinstance(source, DuckTable) and isinstance(source.whole, RelationPiece):
            rows = source.whole.relation
            yield cls(lambda text: rows.query("all_rows", text).fetchall()[0], "all_rows")
            return
        path = (
            source.whole.path if isinstance(source, DuckTable) and isinstance(source.whole, DuckPiece) else ":memory:"
        )
        with duckdb.connect(path, read_only=path != ":memory:") as connection:
            yield cls(lambda text: connection.execute(text).fetchone(), _after_from(source, connection))

    def row(self, expressions: Sequence[str], where: str) -> tuple[float, ...]:
        """Aggregates of the rows for which a condition holds."""
        text = f"SELECT {', '.join(expressions)} FROM {self.text} WHERE {where}"  # nosec B608  # read only, and names are quoted
        found = self.ask(text)
        return tuple(0.0 if value is None else float(value) for value in found)


def _after_from(source: Source, connection: Any) -> str:
    if isinstance(source, ParquetFiles):
        return (
            f"read_parquet([{_texts(f.path for f in source.files)}], union_by_name = true, hive_partitioning = false)"
        )
    if isinstance(source, CsvFiles):
        between = separator(source.files[0].path)
        return (
            f"read_csv([{_texts(f.path for f in source.files)}], header = true, delim = '{between}', quote = '\"', "
            f"all_varchar = true, nullstr = [{_texts(MISSING)}])"
        )
    if isinstance(source, DuckTable) and isinstance(source.whole, DuckPiece):
        return source.whole.table
    if isinstance(source, TableInMemory):
        connection.register("all_rows", source.table)
        return "all_rows"
    raise UnsupportedError(f"A {type(source).__name__} has no reader but its own pieces.")


def _texts(texts: Iterable[str]) -> str:
    return ", ".join("'" + text.replace("'", "''") + "'" for text in texts)


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Rows; for c columns sums and sums of absolute values of the columns, their squares and neighbours' products."""

    rows: int
    sums: FloatArray
    sizes: FloatArray

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(self.rows + other.rows, self.sums + other.sums, self.sizes + other.sizes)


@dataclass(frozen=True, slots=True)
class _Adding:
    """The pass over the pieces; `places` are those of the columns in a block."""

    places: tuple[int, ...]

    def __call__(self, blocks: Iterable[Block]) -> _Sums:
        c = len(self.places)
        rows, sums, sizes = 0, np.zeros(3 * c), np.zeros(3 * c)
        for block in blocks:
            rows += len(block.columns[0])
            columns = [np.asarray(block.columns[j], dtype=np.float64) for j in self.places]
            for j, column in enumerate(columns):
                for k, other in enumerate((None, column, columns[(j + 1) % c])):
                    product = column if other is None else column * other
                    sums[3 * j + k] += product.sum()
                    sizes[3 * j + k] += np.abs(product).sum()
        return _Sums(rows, sums, sizes)


def compared_totals(
    rows: Rows, relation: Relation, names: Sequence[str], places: Sequence[int], where: str
) -> tuple[Total, ...]:
    """Counts and sums by two readers.

    Parameters
    ----------
    rows : Rows
        What the passes read.
    relation : Relation
    names : sequence of str, c of them
        Columns of the data that are columns of the blocks as they are.
    places : sequence of int, c of them
        Their places in a block.
    where : str
        What :func:`usable` says of the rows.
    """
    found = rows.reduce(_Adding(tuple(places)))
    values = [_double(quoted(name)) for name in names]
    expressions, labels = ["count(*)"], ["rows"]
    for j, value in enumerate(values):
        beside = (j + 1) % len(values)
        expressions += [f"sum({value})", f"sum({value} * {value})", f"sum({value} * {values[beside]})"]
        labels += [f"sum of {names[j]}", f"sum of {names[j]}²", f"sum of {names[j]} × {names[beside]}"]
    independent = relation.row(expressions, where)
    gamma = (found.rows + 2) * UNIT / (1 - (found.rows + 2) * UNIT)
    read = [float(found.rows), *found.sums.tolist()]
    bounds = [0.0, *(2 * gamma * found.sizes).tolist()]
    return tuple(
        Total(label, one, other, bound if math.isfinite(bound) else 0.0)
        for label, one, other, bound in zip(labels, read, independent, bounds, strict=True)
    )


def usable(numbers: Sequence[str], others: Sequence[str], weights: str | None) -> str:
    """SQL that holds for the rows of a model: a value in each of these columns, and no weight of zero."""
    conditions = [f"{column} IS NOT NULL" for column in map(quoted, (*numbers, *others))]
    conditions += [f"NOT isnan({_double(column)})" for column in map(quoted, numbers)]
    conditions += [] if weights is None else [f"{quoted(weights)} <> 0"]
    return " AND ".join(conditions) or "true"


def _double(column: str) -> str:
    return f"CAST({column} AS DOUBLE)"
