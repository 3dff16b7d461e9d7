"""Users and their assignments: columns checked, rows dropped once, experiments held in one byte a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from ivbridge.errors import DataError
from ivbridge.frame import check_whole
from ivbridge.magnitude import check_magnitude
from ivbridge.records import FloatArray, IntArray
from ivbridge.selection.spec import check_columns, matching, text_columns

__all__ = ["Experiments", "Users", "arms", "gather", "with_sparse"]

#: Experiments, or controls, as a user names them.
Experiments = str | Sequence[str]


@dataclass(frozen=True, slots=True, eq=False)
class Users:
    """What the analysis is about: n users, J experiments, q controls.

    Attributes
    ----------
    outcome, behavior : str
    experiments : tuple of str, length J
    controls : tuple of str, length q
    y, x : (n,) arrays
        Outcome and behavior.
    k : (n, q) array
        Controls, in column order.
    assignment : (n, J) int8 array in column order, or ``csc_array``
        1 treated; 0 control, or not in the experiment.
    enrolled : dict of str to (n,) bool array
        Who is in the experiment, for experiments that not every user is in.
    lost : (2, J) array
        Users of each arm, control first, who were left out because a value is missing.
    notes : tuple of str
        What was left out.
    """

    outcome: str
    behavior: str
    experiments: tuple[str, ...]
    controls: tuple[str, ...]
    y: FloatArray
    x: FloatArray
    k: FloatArray
    assignment: np.ndarray | sparse.csc_array
    enrolled: dict[str, np.ndarray]
    lost: IntArray
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Users."""
        return len(self.y)

    @property
    def binary(self) -> bool:
        """Whether the behavior is 0/1."""
        return bool(((self.x == 0) | (self.x == 1)).all())

    @property
    def indicators(self) -> dict[str, tuple[str, ...]]:
        """Experiments that share one set of enrolled users, by the name of the column that marks these."""
        by_users: dict[bytes, list[str]] = {}
        for name, mask in self.enrolled.items():
            by_users.setdefault(np.packbits(mask).tobytes(), []).append(name)
        return {f"in_{members[0]}": tuple(members) for members in by_users.values()}

    def experiments_frame(self) -> pd.DataFrame:
        """Experiments and columns that mark enrolment; the experiments are not copied."""
        if isinstance(self.assignment, np.ndarray):
            tests = pd.DataFrame(self.assignment, columns=list(self.experiments), copy=False)
        else:
            tests = _sparse_frame(self.assignment, list(self.experiments))
        marks = {name: self.enrolled[members[0]].astype(np.int8) for name, members in self.indicators.items()}
        taken = {self.outcome, self.behavior, *self.controls, *self.experiments}
        if repeated := sorted(set(marks) & taken):
            raise DataError(
                f"The column that marks who is in the experiment {repeated[0][3:]!r} would be called {repeated[0]!r}, "
                "and there is such a column.",
                do="rename it.",
            )
        return pd.concat([pd.DataFrame(marks), tests], axis=1) if marks else tests

    def frame(self) -> pd.DataFrame:
        """Everything: outcome, behavior, controls, and :meth:`experiments_frame`."""
        own = {self.outcome: self.y, self.behavior: self.x, **dict(zip(self.controls, self.k.T, strict=True))}
        return pd.concat([pd.DataFrame(own), self.experiments_frame()], axis=1)


def with_sparse(data: pd.DataFrame, matrix: sparse.sparray | sparse.spmatrix) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The data with the columns of a sparse matrix appended as ``test_1, test_2, …``, and these names.

    Raises
    ------
    DataError
        If the numbers of rows differ or a name is taken.
    """
    if matrix.shape[0] != len(data):
        raise DataError(f"The sparse matrix of experiments has {matrix.shape[0]} rows, the data {len(data)}.")
    names = tuple(f"test_{j + 1}" for j in range(matrix.shape[1]))
    if taken := [name for name in names if name in data.columns]:
        raise DataError(
            f"The data already has a column {taken[0]!r}.", do="rename it, or name the experiments' columns."
        )
    return pd.concat([data, _sparse_frame(matrix, list(names), data.index)], axis=1), names


def _sparse_frame(
    matrix: sparse.sparray | sparse.spmatrix, names: list[str], index: pd.Index | None = None
) -> pd.DataFrame:
    accessor: Any = pd.DataFrame.sparse  # pandas-stubs has no type for it
    frame: pd.DataFrame = accessor.from_spmatrix(sparse.csc_matrix(matrix), index=index, columns=names)
    return frame


def gather(
    data: pd.DataFrame, outcome: str, behavior: str, experiments: Experiments, controls: Experiments = ()
) -> Users:
    """Check the columns and keep the users whose outcome, behavior and controls are all known.

    A missing value of an experiment means that the user is not in it; such users stay.

    Raises
    ------
    DataError
        If a column is missing, plays two roles or holds something else than numbers; if the behavior or the outcome
        does not vary; if no experiment matches, or one has other values than 0, 1, true, false and missing, or one
        arm only.
    """
    columns = text_columns(data)
    controls = matching(controls, columns) if controls else ()
    names = tuple(name for name in matching(experiments, columns) if name not in (outcome, behavior, *controls))
    _check_roles(columns, outcome, behavior, names, controls)
    check_columns((outcome, behavior, *controls, *names), data)
    numbers = {name: _numbers(data[name]) for name in (outcome, behavior, *controls)}
    known, notes = _known(numbers, len(data))
    kept = {name: values if known.all() else values[known] for name, values in numbers.items()}
    _check_varies(kept, outcome, behavior)
    matrix, enrolled, lost = _assignment(data, names, known)
    return Users(
        outcome=outcome,
        behavior=behavior,
        experiments=names,
        controls=controls,
        y=kept[outcome],
        x=kept[behavior],
        k=np.column_stack([kept[name] for name in controls]) if controls else np.empty((int(known.sum()), 0)),
        assignment=matrix,
        enrolled=enrolled,
        lost=lost,
        notes=notes,
    )


def _check_roles(
    columns: Sequence[str], outcome: str, behavior: str, names: tuple[str, ...], controls: tuple[str, ...]
) -> None:
    for role, name in (("outcome", outcome), ("behavior", behavior)):
        if name not in columns:
            shown = ", ".join(columns[:20]) + (", …" if len(columns) > 20 else "")
            raise DataError(f"The data has no column {name!r} for the {role}.", available=shown)
    roles = (outcome, behavior, *controls)
    if twice := [name for name in dict.fromkeys(roles) if roles.count(name) > 1]:
        raise DataError(
            f"The column {twice[0]!r} plays two roles.", do="give outcome, behavior and controls their own."
        )
    if not names:
        raise DataError("No column is left for the experiments: outcome, behavior and controls are none.")


def _numbers(column: pd.Series) -> FloatArray:
    kind = column.dtype
    if not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
        raise DataError(
            f"Column {column.name!r} holds {kind}, not numbers.", do="turn it into 0/1 columns, one for each value."
        )
    values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(values).any():
        raise DataError(f"Column {column.name!r} holds infinite values.", do="replace or drop them first.")
    if column.dtype.kind in "iu" and column.notna().any():
        check_whole(str(column.name), column.dropna())
    check_magnitude(str(column.name), values)
    return np.asarray(values)


def _known(numbers: dict[str, FloatArray], n: int) -> tuple[np.ndarray, tuple[str, ...]]:
    known = np.ones(n, dtype=bool)
    culprits = []
    for name, values in numbers.items():
        missing = np.isnan(values)
        if missing.all():
            raise DataError(f"Column {name!r} has no value at all.")
        if missing.any():
            known &= ~missing
            culprits.append(f"{name} ({int(missing.sum())})")
    if known.all():
        return known, ()
    return known, (f"{int((~known).sum())} of {n} users left out: missing values in {', '.join(culprits)}",)


def _check_varies(kept: dict[str, FloatArray], outcome: str, behavior: str) -> None:
    for name, role in ((behavior, "behavior"), (outcome, "outcome")):
        values = kept[name]
        if len(values) < 4:
            raise DataError(f"{len(values)} users are left: too few.")
        if np.ptp(values) == 0:
            raise DataError(
                f"The {role} {name!r} is {values[0]:g} for every user, so nothing can be learnt about it.",
                do="choose a column that varies.",
            )


def _assignment(
    data: pd.DataFrame, names: tuple[str, ...], known: np.ndarray
) -> tuple[np.ndarray | sparse.csc_array, dict[str, np.ndarray], IntArray]:
    if all(_is_sparse(data[name].dtype) for name in names):
        thin, gone = _sparse_assignment(data, names, known)
        return thin, {}, gone
    lost = np.zeros((2, len(names)), dtype=np.int64)
    everyone = bool(known.all())
    matrix = np.empty((int(known.sum()), len(names)), dtype=np.int8, order="F")
    enrolled = {}
    for j, name in enumerate(names):
        treated, missing = arms(data[name])
        matrix[:, j] = treated if everyone else treated[known]
        if not everyone:
            there = ~known if missing is None else ~known & ~missing
            lost[1, j] = treated[there].sum(dtype=np.int64)
            lost[0, j] = there.sum() - lost[1, j]
        inside = None if missing is None else ~missing[known]
        if inside is not None and not inside.all():
            enrolled[name] = inside
        size = len(matrix) if inside is None else int(inside.sum())
        _check_arms(name, size, int(matrix[:, j].sum(dtype=np.int64)))
    return matrix, enrolled, lost


def _is_sparse(kind: object) -> bool:
    return isinstance(kind, pd.SparseDtype) and kind.fill_value == 0


def _sparse_assignment(
    data: pd.DataFrame, names: tuple[str, ...], known: np.ndarray
) -> tuple[sparse.csc_array, IntArray]:
    accessor: Any = data[list(names)].sparse  # pandas-stubs has no type for it
    matrix = sparse.csc_array(accessor.to_coo())
    matrix.eliminate_zeros()
    if not (
        matrix.data == 1
    ).all():  # before it is narrowed to int8: 0.5 and missing would become 0, 257 would become 1
        raise DataError(
            "A sparse experiment holds other values than 0 and 1, or missing values.",
            do="make one 0/1 column for each arm; where users are missing from an experiment use dense columns.",
        )
    matrix = matrix.astype(np.int8)
    everyone = np.diff(matrix.indptr)
    if not known.all():
        matrix = sparse.csc_array(matrix[np.flatnonzero(known)])
    gone = everyone - np.diff(matrix.indptr)
    for name, treated in zip(names, np.diff(matrix.indptr), strict=True):
        _check_arms(name, matrix.shape[0], int(treated))
    return matrix, np.stack([(~known).sum() - gone, gone]).astype(np.int64)


def arms(column: pd.Series) -> tuple[np.ndarray, np.ndarray | None]:
    """Treated as int8, and who is not in the experiment (None: everybody is), for one column.

    Raises
    ------
    DataError
        If a value is not 0, 1, true, false or missing.
    """
    kind = column.dtype
    if isinstance(kind, np.dtype) and kind.kind in "biu":
        values = column.to_numpy()
        _check_binary(column, values)
        return values.astype(np.int8, copy=False), None
    missing = column.isna().to_numpy()
    if isinstance(kind, np.dtype) and kind.kind == "O":
        found = set(column[~missing].unique())
        if not found <= {True, False}:
            raise _not_binary(column, sorted(map(str, found)))
    elif not (pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind)):
        raise _not_binary(column, sorted(map(str, column[~missing].unique())))
    values = np.where(missing, 0.0, column.to_numpy(dtype=np.float64, na_value=np.nan))
    _check_binary(column, values)
    return values.astype(np.int8), missing


def _check_binary(column: pd.Series, values: np.ndarray) -> None:
    if not ((values == 0) | (values == 1)).all():
        raise _not_binary(column, [f"{value:g}" for value in np.unique(values)[:6]])


def _not_binary(column: pd.Series, found: Sequence[str]) -> DataError:
    shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
    return DataError(
        f"The experiment {column.name!r} holds {shown}, not 0 and 1.",
        available="0, 1, true, false, and missing for users who were not in the experiment",
        do="make one 0/1 column for each treated arm, missing for users of the other treated arms.",
    )


def _check_arms(name: str, users: int, treated: int) -> None:
    if treated == 0 or treated == users:
        arm = "control" if treated == 0 else "treatment"
        raise DataError(
            f"Every user of the experiment {name!r} is in its {arm} arm ({users} users), so it compares nobody.",
            do="leave it out.",
        )
    if min(treated, users - treated) < 2:
        raise DataError(f"The experiment {name!r} has an arm with one user.", do="leave it out.")
