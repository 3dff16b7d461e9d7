"""The matrices of one LASSO question: rows dropped once, columns ordered and named once, folds drawn once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from scipy import sparse

from ivbridge.errors import DataError
from ivbridge.frame import check_whole
from ivbridge.magnitude import check_magnitude
from ivbridge.records import FloatArray, IntArray
from ivbridge.selection.spec import FoldColumn, LassoSpec, check_columns

__all__ = ["LassoDesign", "Matrix", "build_lasso"]

#: Candidates: numpy float64 or int8 (columns of 0/1, an eighth of the memory), or scipy's compressed sparse columns
#: (scipy has no types that a checker could use).
Matrix: TypeAlias = Any


@dataclass(frozen=True, slots=True, eq=False)
class LassoDesign:
    """What every LASSO engine gets.

    Attributes
    ----------
    spec : LassoSpec
    y : (n,) array
        For binomial: 0 and 1.
    x : (n, p) array, float64 or int8 in column order, or scipy ``csc_array``
    names : tuple of str, length p
    penalty : (p,) array
        Penalty factors as asked; engines rescale them to sum to p, as glmnet does.
    weights : (n,) array or None
    foldid : (n,) int array
        1 … k.
    rows : (n,) int array
        Positions of the kept rows in the data.
    levels : tuple of str
        For binomial the two values of the dependent variable, the event last; else empty.
    notes : tuple of str
        What was left out.
    """

    spec: LassoSpec
    y: FloatArray
    x: Matrix
    names: tuple[str, ...]
    penalty: FloatArray
    weights: FloatArray | None
    foldid: IntArray
    rows: IntArray
    levels: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.y)

    @property
    def p(self) -> int:
        """Candidates."""
        return len(self.names)

    @property
    def dense(self) -> FloatArray:
        """The candidates as (n, p) float64 in column order; a copy unless they are that already."""
        x = self.x.toarray(order="F") if sparse.issparse(self.x) else self.x
        return np.asfortranarray(x, dtype=np.float64)

    @property
    def sha256(self) -> str:
        """Hash of the numbers and names."""
        digest = hashlib.sha256(repr(self.names).encode())
        parts = (self.x.data, self.x.indices, self.x.indptr) if sparse.issparse(self.x) else (self.x.T,)
        for part in (self.y, self.penalty, self.foldid, *parts, *(() if self.weights is None else (self.weights,))):
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()


def build_lasso(spec: LassoSpec, data: pd.DataFrame) -> LassoDesign:
    """Make the matrices.

    Rows with a missing value in any column of the question are left out, and the design says so. Columns of pandas
    sparse dtype, if all candidates have one, become a sparse matrix; columns of 0/1 are kept as int8.

    Raises
    ------
    DataError
        If a column is missing from the data, is not numeric or logical, or holds an infinite value; if the dependent
        variable does not fit the family or does not vary; if weights are negative; if folds are not 1 … k, k ≥ 3.
    """
    check_columns(spec.columns, data)
    rows, notes = _complete_rows(spec, data)
    kept = data if len(rows) == len(data) else data.iloc[rows]
    y, levels = _response(spec, kept[spec.dependent])
    return LassoDesign(
        spec=spec,
        y=y,
        x=_matrix(kept, spec.candidates),
        names=spec.candidates,
        penalty=np.ones(len(spec.candidates)) if spec.penalty_factor is None else np.array(spec.penalty_factor),
        weights=_weights(kept[spec.weights]) if spec.weights else None,
        foldid=_folds(spec, kept),
        rows=rows,
        levels=levels,
        notes=notes,
    )


def _complete_rows(spec: LassoSpec, data: pd.DataFrame) -> tuple[IntArray, tuple[str, ...]]:
    incomplete = np.zeros(len(data), dtype=bool)
    culprits = []
    for name in spec.columns:
        missing = data[name].isna().to_numpy()
        if missing.any():
            incomplete |= missing
            culprits.append(name)
    rows = np.flatnonzero(~incomplete).astype(np.int64)
    if len(rows) == len(data):
        return rows, ()
    shown = ", ".join(culprits[:5]) + (", …" if len(culprits) > 5 else "")
    return rows, (f"{len(data) - len(rows)} of {len(data)} rows left out: missing values in {shown}",)


def _numbers(column: pd.Series, name: str) -> np.ndarray:
    kind = column.dtype
    numeric = pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_complex_dtype(kind)
    if not (numeric or pd.api.types.is_bool_dtype(kind)):
        raise DataError(
            f"Column {name!r} holds {column.dtype}, not numbers.", do="turn it into 0/1 columns, one for each value."
        )
    if kind.kind in "iu":
        check_whole(name, column)
    values = column.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"Column {name!r} holds infinite values.", do="replace or drop them first.")
    check_magnitude(name, values)
    return values


def _matrix(data: pd.DataFrame, names: Sequence[str]) -> Matrix:
    columns = [data[name] for name in names]
    if all(isinstance(column.dtype, pd.SparseDtype) and column.dtype.fill_value == 0 for column in columns):
        frame: Any = data[list(names)]
        for name in names:
            _numbers(pd.Series(frame[name].array.sp_values), name)
        return sparse.csc_array(frame.sparse.to_coo(), dtype=np.float64)
    if all(_is_small(column) for column in columns):
        small = np.empty((len(data), len(names)), dtype=np.int8, order="F")
        for j, column in enumerate(columns):
            small[:, j] = column.to_numpy()
        return small
    x = np.empty((len(data), len(names)), order="F")
    for j, (name, column) in enumerate(zip(names, columns, strict=True)):
        x[:, j] = _numbers(column, name)
    return x


def _is_small(column: pd.Series) -> bool:
    """Whether int8 holds the column: logical, int8, or 0/1 in a wider integer type."""
    if column.dtype in (np.dtype(bool), np.dtype(np.int8)):
        return True
    return bool(isinstance(column.dtype, np.dtype) and column.dtype.kind in "iu" and column.isin((0, 1)).all())


def _response(spec: LassoSpec, column: pd.Series) -> tuple[FloatArray, tuple[str, ...]]:
    if spec.family == "gaussian":
        y = _numbers(column, spec.dependent)
        if len(y) == 0 or np.ptp(y) == 0:
            raise DataError(f"The dependent variable {spec.dependent!r} does not vary.")
        return np.asarray(y), ()
    values = sorted(column.unique().tolist())
    if len(values) != 2:
        raise DataError(f"family=binomial needs two values, {spec.dependent!r} has {len(values)}.")
    return (column == values[1]).to_numpy(dtype=np.float64), tuple(map(str, values))


def _weights(column: pd.Series) -> FloatArray:
    values = _numbers(column, str(column.name))
    if (values < 0).any() or not values.any():
        raise DataError(f"Weights in {column.name!r} must not be negative, and not all zero.")
    return np.asarray(values)


def _folds(spec: LassoSpec, data: pd.DataFrame) -> IntArray:
    if not isinstance(spec.folds, FoldColumn):
        return spec.folds.draw(len(data))
    values = _numbers(data[spec.folds.column], spec.folds.column)
    found = np.unique(values)
    if len(found) < 3 or not np.array_equal(found, np.arange(1, len(found) + 1)):
        raise DataError(f"Folds in {spec.folds.column!r} must be the whole numbers 1 … k, k at least 3.")
    return values.astype(np.int64)
