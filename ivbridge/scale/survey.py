"""A first look at all rows: how many can be used, which levels the factors have, which clusters there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ivbridge.canonical import columns_of
from ivbridge.errors import DataError, DesignError
from ivbridge.frame import counted
from ivbridge.modelmatrix import drop_unused
from ivbridge.rows import Tally
from ivbridge.scale.codes import distinct, keys_of
from ivbridge.scale.frames import plain_types, regrouped
from ivbridge.scale.rowwise import Levels, look
from ivbridge.scale.sources import RawPiece
from ivbridge.scale.terms import Question
from ivbridge.variables import Factor

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["RawTables", "Survey", "Surveyor", "named"]

#: Levels of one factor, beyond which its dummies are out of the question.
MOST_LEVELS = 100_000

#: Tables that are looked at before their findings are joined, if they found as much as is known already.
WAITING = 8

USED = ".ivb_used"


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What some rows showed; two of them can be added.

    Attributes
    ----------
    tally : Tally
    levels : mapping of column name to pa.Table
        Distinct values of a factor column, and whether a row that can be used has them.
    orders : mapping of column name to pa.Array
        Categories of a categorical column in the order in which dictionaries hold them.
    ordered : tuple of str
        Categorical columns whose levels are ordered.
    clusters : tuple of pa.Table
        Distinct combinations of cluster columns.
    """

    tally: Tally = field(default_factory=Tally)
    levels: Mapping[str, Any] = field(default_factory=dict)
    orders: Mapping[str, Any] = field(default_factory=dict)
    ordered: tuple[str, ...] = ()
    clusters: tuple[Any, ...] = ()

    def __add__(self, other: Survey) -> Survey:
        return _joined([self, other])

    def all_levels(self, head: pa.Table) -> Levels:
        """Every level of every factor column, in rows that can be appended to others.

        Parameters
        ----------
        head : pa.Table, at least one row
            Rows of the data, which other columns are taken from.
        """
        import pyarrow as pa

        size = max([head.num_rows, *(table.num_rows for table in self.levels.values())])
        rows = plain_types(head).take(np.arange(size) % head.num_rows)
        for name, table in self.levels.items():
            places = np.arange(size)
            places[table.num_rows :] = 0
            place = rows.column_names.index(name)
            rows = rows.set_column(place, name, table[name].take(pa.array(places)).cast(rows.schema.field(name).type))
        orders = {name: (tuple(values.to_pylist()), name in self.ordered) for name, values in self.orders.items()}
        return Levels(rows, orders)

    def used_levels(self, name: str, factor: Factor) -> Factor:
        """A factor evaluated on the rows of :meth:`all_levels` without the levels that no row in use has.

        Raises
        ------
        DataError
            If fewer than two levels are left, or the baseline is not.
        """
        (column,) = columns_of(name)
        table = self.levels[column]
        used = np.flatnonzero(table[USED].to_numpy())
        kept = factor.take(used.astype(np.int64))
        present = kept.codes >= 0
        return drop_unused(name, kept.take(np.flatnonzero(present)))


def _joined(surveys: Sequence[Survey]) -> Survey:
    """The survey of all rows together."""
    import pyarrow as pa
    import pyarrow.compute as pc

    seen = [one for one in surveys if one.tally.total]
    if len(seen) < 2:
        return seen[0] if seen else Survey()
    first = seen[0]
    levels = {name: _distinct_levels(pa.concat_tables([one.levels[name] for one in seen])) for name in first.levels}
    orders = {name: pc.unique(pa.concat_arrays([one.orders[name] for one in seen])) for name in first.orders}
    clusters = tuple(
        distinct(pa.concat_tables([one.clusters[j].cast(table.schema) for one in seen]))
        for j, table in enumerate(first.clusters)
    )
    tally = first.tally
    for one in seen[1:]:
        tally = tally + one.tally
    return Survey(tally, levels, orders, first.ordered, clusters)


def _distinct_levels(table: pa.Table) -> pa.Table:
    """Of a column of values and one that says whether they are used."""
    names = table.column_names  # Arrow would read a dot in a name as the way to a nested field
    found = table.rename_columns(["level", "used"]).group_by(["level"], use_threads=False).aggregate([("used", "max")])
    return found.select(["level", "used_max"]).rename_columns(names)


@dataclass(frozen=True, slots=True, eq=False)
class RawTables:
    """A raw piece as a :class:`~ivbridge.scale.pieces.Piece` whose blocks are tables of the columns of a question."""

    raw: RawPiece
    columns: tuple[str, ...]

    def __str__(self) -> str:
        return str(self.raw)

    def blocks(self) -> Iterator[Any]:
        """Tables of a fixed number of rows, each with the piece's name."""
        for table in regrouped(self.raw.frames(self.columns)):
            yield str(self.raw), table


@dataclass(frozen=True, slots=True, eq=False)
class Surveyor:
    """The pass that makes a :class:`Survey` of the tables of :class:`RawTables`."""

    question: Question

    def __call__(self, tables: Iterable[Any]) -> Survey:
        total, waiting, held = Survey(), list[Survey](), 0
        for where, table in tables:
            with named(where):
                waiting.append(self._one(table))
            held += sum(keys.num_rows for keys in waiting[-1].clusters)
            if len(waiting) >= WAITING and held >= sum(keys.num_rows for keys in total.clusters):
                total, waiting, held = _joined([total, *waiting]), [], 0
        total = _joined([total, *waiting])
        for name, table in total.levels.items():
            if table.num_rows > MOST_LEVELS:
                raise DesignError(
                    f"The factor {name} has more than {counted(MOST_LEVELS, 'level')}, each of which needs a column.",
                    do="absorb it (engine='fast' in memory), or make fewer levels of it.",
                )
        return total

    def _one(self, table: pa.Table) -> Survey:
        import pyarrow as pa

        question = self.question
        found = look(question, table)
        used = np.zeros(table.num_rows, dtype=bool)
        used[found.rows] = True
        plain = plain_types(table.select(list(question.factors)))
        levels = {
            name: _distinct_levels(plain.select([name]).append_column(USED, pa.array(used)))
            for name in question.factors
        }
        categorical = [n for n in question.factors if pa.types.is_dictionary(table.schema.field(n).type)]
        orders = {name: table[name].unify_dictionaries().chunk(0).dictionary for name in categorical}
        ordered = tuple(name for name in categorical if table.schema.field(name).type.ordered)
        clusters: tuple[Any, ...] = ()
        if question.groups:
            keys = keys_of(table, question.vcov.columns).filter(pa.array(used))
            clusters = tuple(distinct(keys.select(list(members))) for members in question.groups)
        return Survey(found.tally, levels, orders, ordered, clusters)


class named:  # noqa: N801
    """Put the name of a piece before the message of a DataError."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DataError) and not error.message.startswith(self._where):
            raise DataError(f"{self._where}: {error.message}", available=error.available, do=error.do) from error
