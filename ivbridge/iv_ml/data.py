"""What a nonlinear IV method learns from: four arrays, checked once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ivbridge.errors import DataError, DesignError
from ivbridge.iv_ml.settings import seed_of
from ivbridge.magnitude import check_magnitude
from ivbridge.records import FloatArray, IntArray
from ivbridge.tabular import as_pandas

__all__ = ["IVData", "check_treatment", "matrix", "vector"]

#: What rounding leaves of the spread of a constant column, relative to its largest value.
_CONSTANT = 1e-12
#: Fewest rows from which anything can be learnt or judged.
_ROWS = 4


@dataclass(frozen=True, slots=True, eq=False)
class IVData:
    """Rows of Y = g(T, X) + ε, with instruments Z that ε does not depend on given X.

    Parameters
    ----------
    dependent : (n,) array
        Y.
    endog : (n,) array
        T, one treatment, which ε may act on.
    exog : (n, m) array
        X, the observed covariates; m may be 0. One column may be given as (n,).
    instruments : (n, q) array
        Z; q is 1 or more. A column may be constant: that is how "no instrument" is asked. One column may be given as
        (n,).

    Raises
    ------
    DataError
        If lengths differ, there are fewer than 4 rows, a value is no number or not finite, the largest value of a
        column is above 1e35, or above 0 and below 1e-35, or there is no instrument.
    """

    dependent: FloatArray
    endog: FloatArray
    exog: FloatArray
    instruments: FloatArray

    def __post_init__(self) -> None:
        for name in ("dependent", "endog"):
            object.__setattr__(self, name, vector(getattr(self, name), name))
        for name in ("exog", "instruments"):
            object.__setattr__(self, name, matrix(getattr(self, name), name))
        lengths = {name: len(getattr(self, name)) for name in ("dependent", "endog", "exog", "instruments")}
        if len(set(lengths.values())) > 1:
            found = ", ".join(f"{name} {length}" for name, length in lengths.items())
            raise DataError(f"The arrays have unequal numbers of rows: {found}.", do="give one row for each unit.")
        if self.n < _ROWS:
            raise DataError(f"{self.n} rows are too few to learn a curve from.", available=f"{_ROWS} or more")
        if not self.instruments.shape[1]:
            raise DataError("There is no instrument.", do="give one column or more; a constant one stands for none.")
        for name in lengths:
            columns = np.atleast_2d(getattr(self, name).T)
            for j, column in enumerate(columns):
                check_magnitude(name if len(columns) == 1 else f"column {j} of {name}", column)

    @classmethod
    def of(
        cls, frame: Any, dependent: str, endog: str, exog: str | Sequence[str], instruments: str | Sequence[str]
    ) -> IVData:
        """Columns of a table.

        Parameters
        ----------
        frame : pandas or Polars DataFrame, Arrow table, or mapping of names to arrays
        dependent, endog : str
        exog, instruments : str or sequence of str
            ``exog`` may be empty.

        Raises
        ------
        DataError
            If a column is missing, stands twice in the table or has two parts to play, or as for the arrays.
        """
        left, right = ([names] if isinstance(names, str) else list(names) for names in (exog, instruments))
        wanted = [dependent, endog, *left, *right]
        if twice := next((name for i, name in enumerate(wanted) if name in wanted[:i]), None):
            raise DataError(f"The column {twice!r} is named twice.", do="give each column one part to play.")
        table = as_pandas(frame, wanted)
        columns = list(table.columns)
        for name in wanted:
            if name not in columns:
                raise DataError(f"There is no column {name!r}.", available=", ".join(map(str, columns[:20])))
            if columns.count(name) > 1:
                raise DataError(f"The data has {columns.count(name)} columns called {name!r}.", do="rename them.")
        y, t, *others = (vector(table[name].to_numpy(), str(name)) for name in wanted)
        rest = np.column_stack(others) if others else np.empty((len(y), 0))
        return cls(y, t, rest[:, : len(left)], rest[:, len(left) :])

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.dependent)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Rows, covariates, instruments."""
        return self.n, self.exog.shape[1], self.instruments.shape[1]

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """y (n,), t (n,), x (n, m), z (n, q)."""
        return self.dependent, self.endog, self.exog, self.instruments

    @property
    def sha256(self) -> str:
        """Hash of all values and shapes."""
        found = hashlib.sha256(repr(self.shape).encode())
        for part in self.arrays:
            found.update(np.ascontiguousarray(part).tobytes())
        return found.hexdigest()

    def rows(self, which: IntArray | slice) -> IVData:
        """Some rows, by number, in the order given."""
        return IVData(*(part[which] for part in self.arrays))

    def with_instruments(self, instruments: FloatArray) -> IVData:
        """The same rows with other instruments, (n, q) or (n,)."""
        return replace(self, instruments=instruments)

    def split(self, share: float, seed: int) -> tuple[IVData, IVData]:
        """Rows to learn from, and a random share of all rows to judge by; the draw depends on the seed alone."""
        held = max(_ROWS, round(share * self.n))
        if not 0 < share < 1 or self.n - held < _ROWS:
            raise DataError(
                f"A share of {share} of {self.n} rows cannot be held out.",
                available=f"0 < share < 1, with {_ROWS} rows or more on either side",
            )
        order = np.random.default_rng([seed_of(seed), 0x5711]).permutation(self.n)
        return self.rows(np.sort(order[held:])), self.rows(np.sort(order[:held]))


def check_treatment(data: IVData) -> None:
    """Raise `DesignError` if the treatment does not vary."""
    if np.ptp(data.endog) <= _CONSTANT * np.abs(data.endog).max():
        raise DesignError("The treatment is constant.", do="give a treatment that varies.")


def vector(values: npt.ArrayLike, name: str) -> FloatArray:
    """(n,) floats, checked; (n, 1) is taken as (n,).

    Raises
    ------
    DataError
        If the values are no finite numbers or have another shape.
    """
    found = _numbers(values, name)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1:
        raise DataError(f"{name} has the shape {found.shape}.", available="(n,)")
    return found


def matrix(values: npt.ArrayLike, name: str) -> FloatArray:
    """(n, columns) floats, checked; (n,) is taken as (n, 1).

    Raises
    ------
    DataError
        If the values are no finite numbers or have another shape.
    """
    found = _numbers(values, name)
    if found.ndim == 1:
        found = found[:, None]
    if found.ndim != 2:
        raise DataError(f"{name} has the shape {found.shape}.", available="(n, columns) or (n,)")
    return found


def _numbers(values: npt.ArrayLike, name: str) -> FloatArray:
    try:
        given = np.asarray(values)
        if isinstance(values, np.ma.MaskedArray):
            given = np.ma.filled(values.astype(np.float64), np.nan)
        if given.dtype == object:
            given = np.where(pd.isna(given), np.nan, given)
        if strange := _strange(given):
            raise TypeError(strange)
        with np.errstate(over="ignore"):
            found = np.array(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:  # RuntimeError: torch, of a gradient
        raise DataError(f"{name} cannot be read as numbers: {error}.", do="give real numbers.") from None
    if not np.isfinite(found).all():
        row = int(np.argwhere(~np.isfinite(np.atleast_1d(found)))[0][0])
        raise DataError(f"{name} has a value that is missing or infinite, first in row {row}.", do="drop such rows.")
    found.setflags(write=False)
    return found


def _strange(given: npt.NDArray[Any]) -> str:
    """What in an array is no real number, though NumPy would make one of it: text, dates, complex numbers."""
    if given.dtype != object:
        return "" if given.dtype.kind in "biuf" else f"the type is {given.dtype}"
    kinds = (Real, Decimal, np.bool_)
    return next(
        (f"there is a value of the type {type(one).__name__}" for one in given.flat if not isinstance(one, kinds)), ""
    )
