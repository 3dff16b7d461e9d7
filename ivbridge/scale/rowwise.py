"""Rows of one table: which can be used, and the numbers of the model's variables in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge.canonical import columns_of
from ivbridge.design import check_finite, frame_of, response_of, weights_of
from ivbridge.errors import DataError
from ivbridge.expr import deparse, parse
from ivbridge.frame import counted
from ivbridge.records import FloatArray
from ivbridge.rows import Tally, sifted, usable
from ivbridge.scale.frames import is_text, numbers, plain_types
from ivbridge.scale.terms import Question, base_of, is_factor
from ivbridge.variables import Factor, Variable, evaluate

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Levels", "Look", "look", "on_levels"]


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Values of the factor columns.

    Attributes
    ----------
    table : pa.Table
        Rows that show every one: each column begins with its distinct values.
    orders : mapping of column name to (values, ordered)
        Of categorical columns.
    """

    table: pa.Table
    orders: Mapping[str, tuple[tuple[Any, ...], bool]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What was found in a table of N rows.

    Attributes
    ----------
    rows : (n,) int array or slice
        Rows that can be used.
    tally : Tally
    numbers : mapping of str to (n,) array
        The columns of a plain question.
    variables : mapping of str to Variable
        The variables of any other one, n rows.
    y : (n,) array
        Dependent variable minus offset.
    weights : (n,) array or None
    """

    rows: NDArray[np.int64] | slice
    tally: Tally
    y: FloatArray
    weights: FloatArray | None
    numbers: Mapping[str, FloatArray] = field(default_factory=dict)
    variables: Mapping[str, Variable] = field(default_factory=dict)


def look(question: Question, table: pa.Table, levels: Levels | None = None) -> Look:
    """Decide which rows can be used, and evaluate them.

    Parameters
    ----------
    question : Question
    table : pa.Table, N ≥ 1 rows
    levels : Levels, optional
        All levels of the factors; without them, factors are looked at only for missing values.

    Raises
    ------
    DataError
        If a value is infinite, a weight negative, or a column of a kind that cannot be used.
    """
    if question.plain:
        return _plain(question, table)
    spec, count = question.spec.with_vcov(None), table.num_rows
    frame = frame_of(spec, _with_levels(question, table, levels))
    variables = _variables(question, frame, table.schema, bare=levels is None)
    label, y = response_of(spec, frame)
    weights = None if spec.weights is None else weights_of(spec.weights, frame)
    first = slice(count)
    variables = {name: variable.take(first) for name, variable in variables.items()}
    weights = None if weights is None else weights[first]
    rows, tally = usable(spec, frame.iloc[first], variables, y[first], weights)
    kept: NDArray[np.int64] | slice = slice(None) if len(rows) == count else rows
    variables = {name: variable.take(kept) for name, variable in variables.items()}
    for name, variable in variables.items():
        if not isinstance(variable, Factor):
            check_finite(name, variable.values)
    y = y[first][kept]
    check_finite(label, y)
    return Look(kept, tally, y, None if weights is None else weights[kept], variables=variables)


def on_levels(question: Question, levels: Levels) -> dict[str, Variable]:
    """Every variable on the rows that show all levels."""
    frame = frame_of(question.spec.with_vcov(None), _with_levels(question, levels.table.slice(0, 0), levels))
    return _variables(question, frame, levels.table.schema, bare=False)


def _variables(question: Question, frame: pd.DataFrame, schema: pa.Schema, *, bare: bool) -> dict[str, Variable]:
    """Evaluate every variable; `bare`: factors without their baseline, which the rows may lack."""
    kinds = {column.name: column.type for column in schema}
    found = {}
    for name in question.variables:
        node = parse(name)
        text = deparse(base_of(node)) if bare and is_factor(node, kinds) else name
        found[name] = evaluate(text, frame)
    return found


def _with_levels(question: Question, table: pa.Table, levels: Levels | None) -> pd.DataFrame:
    """The table for pandas, followed by rows that show every level of every factor."""
    import pyarrow as pa

    table = plain_types(table.select(list(question.model_columns)))
    orders: Mapping[str, tuple[tuple[Any, ...], bool]] = {}
    if levels is not None:
        orders = levels.orders
        table = pa.concat_tables([table, levels.table.select(table.column_names).cast(table.schema)])
    for name in table.column_names:  # pandas would round integers beside missing values
        if pa.types.is_integer(table[name].type) and table[name].null_count:
            numbers(name, table[name])
    texts = [n for n in question.factors if n not in orders and is_text(table.schema.field(n).type)]
    frame: pd.DataFrame = table.drop_columns(texts).to_pandas()
    for name, (values, ordered) in orders.items():
        frame[name] = pd.Categorical(frame[name], categories=list(values), ordered=ordered)
    for name in texts:
        frame[name] = _encoded(table[name])
    return frame


def _encoded(column: pa.ChunkedArray) -> Any:
    """Texts as a categorical with sorted levels, which is what a frame makes of them, too, but slowly."""
    import pyarrow.compute as pc

    found = pc.dictionary_encode(column.combine_chunks())
    levels = found.dictionary.to_pylist()
    order = sorted(range(len(levels)), key=levels.__getitem__)
    place = np.empty(len(levels) + 1, dtype=np.int64)
    place[order], place[-1] = np.arange(len(levels)), -1
    codes: Any = place[found.indices.fill_null(len(levels)).to_numpy(zero_copy_only=False)]
    return pd.Categorical.from_codes(codes, categories=pd.Index([levels[j] for j in order], dtype=object))


def _plain(question: Question, table: pa.Table) -> Look:
    """The same for numeric columns as they are."""
    spec = question.spec
    arrays = {name: numbers(name, table[name]) for name in question.model_columns}
    for name, values in arrays.items():
        if count := int(np.isinf(values).sum()):
            raise DataError(
                f"Column {name!r} holds {counted(count, 'infinite value')}.", do="replace them by missing values."
            )
    missing = {name: np.isnan(values) for name, values in arrays.items()}
    weights = None
    if spec.weights is not None:
        weights = weights_of(spec.weights, pd.DataFrame({spec.weights: arrays[spec.weights]}, copy=False))
    rows, tally = sifted(table.num_rows, missing, {}, None if weights is None else weights == 0, spec.weights)
    if len(rows) == table.num_rows:
        return Look(slice(None), tally, arrays[_column(spec.dependent)], weights, arrays)
    arrays = {name: values[rows] for name, values in arrays.items()}
    return Look(rows, tally, arrays[_column(spec.dependent)], None if weights is None else weights[rows], arrays)


def _column(text: str) -> str:
    return columns_of(text)[0]
