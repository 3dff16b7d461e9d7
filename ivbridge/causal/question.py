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
        If a column is missing or there twice, not finite, not numeric where it has to be, or the treatment is not 0/1.
    DesignError
        If there are not two units in each arm, or the dependent variable, a covariate or an instrument does not vary.
    """
    frame = as_pandas(data)
    wanted = [*question.columns, *([question.clusters] if question.clusters else [])]
    if missing := [name for name in wanted if name not in frame.columns]:
        raise DataError(f"The data have no column {missing[0]!r}.", available=", ".join(map(str, frame.columns[:30])))
    used = frame[list(dict.fromkeys(wanted))]
    if used.columns.has_duplicates:
        raise DataError(f"The data have two columns {used.columns[used.columns.duplicated()][0]!r}.", do="rename one.")
    complete = used.notna().all(axis=1).to_numpy()
    gaps = used.isna().sum()
    used = used[complete].reset_index(drop=True).infer_objects()  # truth values with gaps came as objects
    dropped = int((~complete).sum())
    notes = (f"{dropped} rows with missing values were left out.",) if dropped else ()
    if dropped == len(frame):
        most = f" {gaps.idxmax()!r} is missing in {gaps.max()}." if dropped else ""
        raise DesignError(f"None of {len(frame)} rows is complete.{most}", do="leave out columns with many gaps.")
    y, t = _numbers(used[question.dependent]), _treatment(used[question.treatment])
    arms = (int((t == 1).sum()), int((t == 0).sum()))
    if min(arms) < 2:
        raise DesignError(" ".join([f"{arms[0]} units are treated and {arms[1]} are not; each arm needs two.", *notes]))
    if np.ptp(y) == 0:
        raise DesignError(f"The dependent variable {question.dependent!r} does not vary.", do="name another one.")
    x, x_names = _matrix(used, question.covariates)
    z, z_names = _matrix(used, question.instruments)
    return CausalData(question, y, t, x, z, x_names, z_names, used, np.flatnonzero(complete), notes)


def _treatment(column: pd.Series) -> FloatArray:
    """Zeros and ones, from numbers or truth values: which of two other values is the treatment, nobody has said."""
    values = column.drop_duplicates().tolist()
    if not set(values) <= {0, 1}:
        shown = ", ".join(map(repr, values[:3])) + (", …" if len(values) > 3 else "")
        do = "make it 0 and 1" + (
            f", for example: 1 where it is {max(values, key=str)!r}." if len(values) == 2 else "."
        )
        raise DataError(f"The treatment {column.name!r} has the values {shown}; these methods compare 1 with 0.", do=do)
    return _numbers(column)


def _numbers(column: pd.Series) -> FloatArray:
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        raise DataError(f"The column {column.name!r} holds {column.dtype}, not numbers.", do="turn it into numbers.")
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
            if np.ptp(columns[-1]) == 0:
                raise DesignError(f"The column {name!r} does not vary.", do="leave it out.")
            continue
        values = column.astype(str)
        levels = sorted(values.unique())
        if isinstance(column.dtype, pd.CategoricalDtype):  # as R's factors: the first level is compared with
            levels = [str(level) for level in column.cat.remove_unused_categories().cat.categories]
        if len(levels) < 2:
            raise DesignError(f"The column {name!r} does not vary.", do="leave it out.")
        if len(levels) > LEVELS:
            raise DataError(f"The column {name!r} has {len(levels)} levels.", available=f"{LEVELS} at most",
                            do="group them, or leave it out.")  # fmt: skip
        for level in levels[1:]:
            columns.append((values == level).to_numpy(dtype=np.float64))
            titles.append(f"{name}{level}")
    matrix = np.column_stack(columns) if columns else np.empty((len(frame), 0))
    return np.ascontiguousarray(matrix), tuple(titles)
