"""What kind of input a case is, measured on its data, so that a ledger can say what was tried and what was not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ivbridge.ports.records import Case

__all__ = ["KINDS", "columns_of_case", "kinds_of", "possible_kinds"]

#: Every kind, in the order of the ledger.
KINDS = (
    "ordinary",
    "empty",
    "one row",
    "tiny (2 to 4 rows)",
    "ties",
    "zero variance",
    "missing",
    "all missing",
    "infinite",
    "extreme scale",
    "mixed scale",
    "collinear",
    "more columns than rows",
    "unbalanced groups",
    "group of one",
    "unused levels",
)
_OF_GROUPS = {"unbalanced groups", "group of one", "unused levels"}
_OF_TABLES = {"collinear", "more columns than rows"}
_OF_NUMBERS = {"ties", "zero variance", "infinite", "extreme scale", "mixed scale"}
_LARGE, _SMALL, _WIDE = 1e100, 1e-100, 1e12
_UNBALANCED = 3


def kinds_of(case: Case) -> frozenset[str]:
    """Kinds of input that a case belongs to.

    Parameters
    ----------
    case : mapping
        The input; arrays, Series and DataFrames in it are looked at.

    Returns
    -------
    frozenset of str
        Some of `KINDS`; "ordinary" if there is data and no other kind applies.
    """
    numbers, groups = list(_numbers(case)), list(_groups(case))
    found = {kind for values in numbers for kind in _of_numbers(values)}
    found |= {kind for group in groups for kind in _of_groups(group)}
    for value in case.values():
        found |= set(_of_columns(value))
    return frozenset(found or ({"ordinary"} if numbers or groups else set()))


def columns_of_case(case: Case) -> Iterator[Any]:
    """Every column of every argument: Series and 1-D arrays themselves, columns of frames and matrices."""
    for value in case.values():
        if isinstance(value, pd.DataFrame):
            yield from (value[name] for name in value.columns)
        elif isinstance(value, np.ndarray) and value.ndim == 2:
            yield from value.T
        elif (isinstance(value, np.ndarray) and value.ndim == 1) or isinstance(value, pd.Series | pd.Categorical):
            yield value
        elif isinstance(value, list) and value and all(isinstance(item, int | float) for item in value):
            yield np.array(value)


def possible_kinds(case: Case) -> frozenset[str]:
    """Kinds that inputs of this shape can belong to: without groups none of groups, without a table none of tables."""
    kinds = set(KINDS)
    if not any(True for _ in _numbers(case)):
        kinds -= _OF_NUMBERS
    if not any(True for _ in _groups(case)):
        kinds -= _OF_GROUPS
    if not any(isinstance(value, pd.DataFrame) or getattr(value, "ndim", 0) == 2 for value in case.values()):
        kinds -= _OF_TABLES
    return frozenset(kinds)


def _rows(case: Case) -> list[Any]:
    """The columns that are as long as the first one; other arguments, such as probabilities, are no data."""
    columns = list(columns_of_case(case))
    return [column for column in columns if len(column) == len(columns[0])]


def _numbers(case: Case) -> Iterator[npt.NDArray[np.float64]]:
    for column in _rows(case):
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "iuf":
            yield np.asarray(column, dtype=np.float64)


def _groups(case: Case) -> Iterator[pd.Series[Any]]:
    for column in _rows(case):
        if isinstance(column.dtype, pd.CategoricalDtype | pd.StringDtype) or column.dtype.kind == "O":
            yield pd.Series(column)


def _of_numbers(values: npt.NDArray[np.float64]) -> Iterator[str]:
    finite = values[np.isfinite(values)]
    if values.size <= 1:
        yield "one row" if values.size else "empty"
    elif values.size <= 4:
        yield "tiny (2 to 4 rows)"
    if np.isnan(values).any():
        yield "all missing" if np.isnan(values).all() else "missing"
    if np.isinf(values).any():
        yield "infinite"
    if finite.size > 1:
        distinct = np.unique(finite).size
        if distinct == 1:
            yield "zero variance"
        elif distinct < finite.size:
            yield "ties"
    sizes = np.abs(finite[finite != 0])
    if sizes.size and (sizes.max() > _LARGE or sizes.min() < _SMALL):
        yield "extreme scale"
    elif sizes.size and sizes.max() / sizes.min() > _WIDE:
        yield "mixed scale"


def _of_groups(group: pd.Series[Any]) -> Iterator[str]:
    counts = group.value_counts()
    used = counts[counts > 0]
    if len(used) > 1 and used.max() >= _UNBALANCED * used.min():
        yield "unbalanced groups"
    if (used == 1).any():
        yield "group of one"
    if len(used) < len(counts):
        yield "unused levels"
    if group.isna().any():
        yield "all missing" if group.isna().all() else "missing"


def _of_columns(value: Any) -> Iterator[str]:
    """Kinds of a table: its numeric columns together, the first one left out of none."""
    if isinstance(value, pd.DataFrame):
        value = value.select_dtypes("number").to_numpy(dtype=np.float64)
    if not (isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype.kind in "iuf" and value.shape[1] > 1):
        return
    rows, columns = value.shape
    if rows < columns:
        yield "more columns than rows"
    whole = value[np.isfinite(value).all(axis=1)].astype(np.float64)
    largest = np.abs(whole).max(axis=0, initial=0.0)
    if len(whole) >= columns and (largest > 0).all():
        scaled = np.column_stack([np.ones(len(whole)), whole / largest])
        if np.linalg.matrix_rank(scaled) < min(scaled.shape):
            yield "collinear"
