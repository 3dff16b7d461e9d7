"""The columns of many replications, read in place and loaded a few replications at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge.batch.records import Shape
from ivbridge.errors import DataError, DesignError
from ivbridge.records import FloatArray, IntArray

__all__ = ["Replications", "arranged", "check_counts"]

#: Bytes of the columns that are worked on together: they stay in the cache.
CACHE = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class Replications:
    """B data sets of one shape.

    Attributes
    ----------
    count : int
        B.
    shape : Shape
    columns : tuple of (B, n) or (n,) arrays
        [exogenous, excluded instruments, endogenous, dependent] without the constant; (n,) where all share it.
    names : tuple of str
        Of the k regressors.
    codes : (B, n) or (n,) int array or None
        Clusters, from 0.
    """

    count: int
    shape: Shape
    columns: tuple[NDArray[Any], ...]
    names: tuple[str, ...]
    codes: IntArray | None

    def chunks(self) -> Iterator[tuple[slice, FloatArray]]:
        """A few replications at a time: which, and their columns (c, m, n), which the next chunk overwrites."""
        size = max(1, min(self.count, 64, CACHE // (8 * self.shape.n * self.shape.m)))
        buffer = np.empty((size, self.shape.m, self.shape.n))
        for start in range(0, self.count, size):
            which = slice(start, min(start + size, self.count))
            piece = buffer[: which.stop - which.start]
            self.load(which, piece)
            yield which, piece

    def all_exogenous(self) -> Replications:
        """The same for least squares of y on all regressors: no instruments."""
        shape, first = self.shape, int(self.shape.constant)
        w, x = self.columns[: shape.p - first], self.columns[shape.l - first :]
        plain = Shape(shape.n, shape.k, shape.k, 0, shape.constant)
        return replace(self, shape=plain, columns=(*w, *x))

    def one(self, b: int) -> FloatArray:
        """Columns of one replication, (m, n)."""
        buffer = np.empty((1, self.shape.m, self.shape.n))
        self.load(slice(b, b + 1), buffer)
        return np.asarray(buffer[0])

    def load(self, which: slice, piece: FloatArray) -> None:
        """Copy replications into an array (c, m, n)."""
        first = int(self.shape.constant)
        if first:
            piece[:, 0] = 1.0
        for j, column in enumerate(self.columns, start=first):
            piece[:, j] = column if column.ndim == 1 else column[which]

    def clusters(self, which: slice) -> IntArray:
        """Codes of a chunk, (c, n)."""
        assert self.codes is not None
        count = which.stop - which.start
        return np.asarray(
            self.codes[which] if self.codes.ndim == 2 else np.broadcast_to(self.codes, (count, len(self.codes)))
        )


def arranged(y: Any, exog: Any, endog: Any, instruments: Any, clusters: Any) -> Replications:
    """Look at the arrays, find the constant, count.

    Raises
    ------
    DataError
        If the arrays do not fit together.
    """
    dependent = _numbers("y", y)
    if dependent.ndim != 2:
        raise DataError(f"y has the shape {dependent.shape}.", do="give (B, n): a row for each replication.")
    count, n = dependent.shape
    if not count or not n:
        raise DataError(f"y has the shape {dependent.shape}: there is nothing to fit.", do="give at least one row.")
    parts = [
        _columns(role, given, dependent.shape)
        for role, given in (("exog", exog), ("endog", endog), ("instruments", instruments))
    ]
    at = next((j for j, column in enumerate(parts[0]) if _is_constant(column)), None)
    constant = at is not None
    w, x, z = parts
    names = (
        ["(Intercept)"] * constant
        + [f"w{j + 1}" for j in range(len(w)) if j != at]
        + [f"x{j + 1}" for j in range(len(x))]
    )
    w = [column for j, column in enumerate(w) if j != at]
    p = len(w) + constant
    shape = Shape(n, p, p + len(z), len(x), constant)
    codes = None if clusters is None else _coded(clusters, dependent.shape)
    return Replications(count, shape, (*w, *z, *x, dependent), tuple(names), codes)


def _numbers(role: str, given: Any) -> NDArray[Any]:
    try:
        array = np.asarray(given)
    except ValueError as error:
        raise DataError(f"{role} is no array: {error}.", do="give an array of numbers.") from error
    if isinstance(given, np.ma.MaskedArray) and array.dtype.kind in "fiub":  # masked values are missing
        array = np.ma.filled(given.astype(np.float64), np.nan)
    if array.dtype.kind not in "fiub":
        raise DataError(f"{role} holds {array.dtype.name}, not numbers.", do="give numeric arrays.")
    return array


def _columns(role: str, given: Any, like: tuple[int, ...]) -> list[NDArray[Any]]:
    """Columns, (B, n) or (n,) each, of an array (B, n, j), of one (n, j) that all share, or of endog (B, n)."""
    if given is None:
        return []
    array, (count, n) = _numbers(role, given), like
    if role == "endog" and array.shape == (count, n):
        return [array]
    shared = array.ndim == 2 and array.shape[0] == n
    if not shared and not (array.ndim == 3 and array.shape[:2] == (count, n)):
        one = ", or (B, n) for a single one" if role == "endog" else ""
        raise DataError(
            f"{role} has the shape {array.shape}; y has {count} replications of {n} rows.",
            available=f"(B, n, columns){one}, or (n, columns), which all replications share",
            do=f"write {role}[:, :, None] if it is one column." if array.shape == (count, n) else "",
        )
    return [array[..., j] for j in range(array.shape[-1])]


def _is_constant(column: NDArray[Any]) -> bool:
    """Whether a column is one in every row of every replication; most are ruled out by their first value."""
    return bool(column.flat[0] == 1 and (column.reshape(-1, column.shape[-1])[0] == 1).all() and (column == 1).all())


def check_counts(shape: Shape) -> None:
    """Refuse sizes with which no replication can have an answer.

    Raises
    ------
    DataError
        If there are no regressors.
    DesignError
        If there are not more rows than columns, or fewer instruments than endogenous regressors.
    """
    if shape.k == 0:
        raise DataError("There are no regressors.", do="give exog, endog or both.")
    if shape.l < shape.k:
        raise DesignError(
            f"The model is not identified: {shape.q} endogenous regressors but {shape.l - shape.p} instruments.",
            do="give at least as many instruments as endogenous regressors, or ask for method='ols'.",
        )
    if shape.n <= shape.l:
        raise DesignError(
            f"Each replication has {shape.n} rows, but there are {shape.l} instruments (the exogenous regressors and "
            "the constant among them).",
            do="use fewer columns or more rows.",
        )


def _coded(clusters: Any, like: tuple[int, ...]) -> IntArray:
    """Codes 0, 1, … of clusters (n,) or (B, n)."""
    values = np.asarray(clusters)
    if values.shape not in (like, like[1:]):
        raise DataError(f"clusters have the shape {values.shape}.", available=f"{like} or {like[1:]}")
    try:
        codes, _ = pd.factorize(values.ravel(), sort=True)  # the order in which they are added up is of no other rows
    except TypeError:  # names that have no order
        codes, _ = pd.factorize(values.ravel())
    if (codes < 0).any() or np.ma.is_masked(clusters):
        raise DataError("clusters have missing values.", do="give each row a cluster.")
    return codes.reshape(values.shape).astype(np.int64)
