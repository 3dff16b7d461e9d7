"""What is asked of a causal method, and the arrays that answer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from ivbridge.errors import DataError, DesignError
from ivbridge.records import FloatArray, IntArray
from ivbridge.tabular import as_pandas

__all__ = ["CausalData", "CausalQuestion", "Estimand", "build"]

Estimand = Literal["ATE", "ATT", "LATE"]
#: Levels of a text covariate that are turned into indicators; more than that is an identifier.
LEVELS = 50


@dataclass(frozen=True, slots=True)
class CausalQuestion:
    """The effect of a 0/1 treatment on a dependent variable.

    Parameters
    ----------
    dependent, treatment : str
        Columns; the treatment has the values 0 and 1.
    covariates : tuple of str
        Columns measured before the treatment, to be adjusted for. Text becomes indicators, as R's treatment coding.
    instruments : tuple of str
        Columns that move the treatment and nothing else; for ``"LATE"``.
    estimand : {"ATE", "ATT", "LATE"}, default "ATE"
        Average effect over all units, over the treated, or over those whom the instrument moves.
    clusters : str, optional
        Column of the clusters of units, for methods that take them.

    Raises
    ------
    DataError
        If the estimand is none, or a column has two roles.
    """

    dependent: str
    treatment: str
    covariates: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()
    estimand: Estimand = "ATE"
    clusters: str | None = None

    def __post_init__(self) -> None:
        if self.estimand not in get_args(Estimand):
            raise DataError(f"The estimand {self.estimand!r} was asked.", available="ATE, ATT, LATE")
        for name in ("covariates", "instruments"):
            given = getattr(self, name)
            if isinstance(given, str):
                raise DataError(f"{name}={given!r} is one text.", do=f"give a tuple: {name}=({given!r},).")
            object.__setattr__(self, name, tuple(given))
        if repeated := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise DataError(f"The column {repeated[0]!r} has two roles.", do="give each column one role.")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is used, clusters excepted."""
        return (self.dependent, self.treatment, *self.covariates, *self.instruments)


@dataclass(frozen=True, slots=True, eq=False)
class CausalData:
    """The kept rows of a question as arrays.

    Attributes
    ----------
    question : CausalQuestion
    y, t : (n,) arrays
        Dependent variable; treatment, 0.0 or 1.0.
    x : (n, p) array
        Covariates, text as indicators; no constant.
    z : (n, l) array
        Instruments.
    x_names, z_names : tuple of str
    frame : DataFrame (n rows)
        The kept rows of all used columns as they were given, index 0 … n-1.
    rows : (n,) int array
        Their positions in the data.
    notes : tuple of str
    """

    question: CausalQuestion
    y: FloatArray
    t: FloatArray
    x: FloatArray
    z: FloatArray
    x_names: tuple[str, ...]
    z_names: tuple[str, ...]
    frame: pd.DataFrame
    rows: IntArray
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Units."""
        return len(self.y)

    @property
    def treated(self) -> np.ndarray:
        """(n,) truth values."""
        arm: np.ndarray = self.t == 1
        return arm

    def take(self, rows: IntArray) -> CausalData:
        """Some units, repeated where they are named twice."""
        return CausalData(
            self.question, self.y[rows], self.t[rows], self.x[rows], self.z[rows], self.x_names, self.z_names,
            self.frame.iloc[rows].reset_index(drop=True), self.rows[rows], self.notes,
        )  # fmt: skip


def build(question: CausalQuestion, data: Any) -> CausalData:
    """Check the columns, drop rows with missing values once, and make arrays.

    Parameters
    ----------
    question : CausalQuestion
    data : table
        What :func:`ivbridge.fit` takes.

    Raises
    ------
    DataError
        If a column is missing, not finite, not numeric where it has to be, or the treatment is not 0/1.
    DesignError
        If there are not two units in each arm.
    """
    frame = as_pandas(data)
    wanted = [*question.columns, *([question.clusters] if question.clusters else [])]
    if missing := [name for name in wanted if name not in frame.columns]:
        raise DataError(f"The data have no column {missing[0]!r}.", available=", ".join(map(str, frame.columns[:30])))
    used = frame[list(dict.fromkeys(wanted))]
    complete = used.notna().all(axis=1).to_numpy()
    used = used[complete].reset_index(drop=True)
    dropped = int((~complete).sum())
    notes = (f"{dropped} rows with missing values were left out.",) if dropped else ()
    y, t = _numbers(used[question.dependent]), _numbers(used[question.treatment])
    if not np.isin(t, (0.0, 1.0)).all():
        odd = t[~np.isin(t, (0.0, 1.0))][0]
        raise DataError(
            f"The treatment {question.treatment!r} has the value {odd:g}; these methods compare 1 with 0.",
            do="give a column of 0 and 1.",
        )
    arms = (int((t == 1).sum()), int((t == 0).sum()))
    if min(arms) < 2:
        raise DesignError(f"{arms[0]} units are treated and {arms[1]} are not; each arm needs two.")
    x, x_names = _matrix(used, question.covariates)
    z, z_names = _matrix(used, question.instruments)
    return CausalData(question, y, t, x, z, x_names, z_names, used, np.flatnonzero(complete), notes)


def _numbers(column: pd.Series) -> FloatArray:
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        raise DataError(f"The column {column.name!r} holds {column.dtype}, not numbers.")
    values = column.to_numpy(dtype=np.float64)
    if not np.isfinite(values).all():
        raise DataError(f"The column {column.name!r} holds an infinite value.")
    return values


def _matrix(frame: pd.DataFrame, names: Sequence[str]) -> tuple[FloatArray, tuple[str, ...]]:
    columns: list[FloatArray] = []
    titles: list[str] = []
    for name in names:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            columns.append(_numbers(column))
            titles.append(name)
            continue
        values = column.astype(str)
        levels = sorted(values.unique())
        if len(levels) > LEVELS:
            raise DataError(f"The column {name!r} has {len(levels)} levels.", available=f"{LEVELS} at most")
        for level in levels[1:]:
            columns.append((values == level).to_numpy(dtype=np.float64))
            titles.append(f"{name}{level}")
    matrix = np.column_stack(columns) if columns else np.empty((len(frame), 0))
    return np.ascontiguousarray(matrix), tuple(titles)
