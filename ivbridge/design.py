"""One design for every engine: rows dropped once, columns ordered and named once, rank checked once.

R still builds its own matrices from :attr:`Design.frame` and the formula; comparing the two designs is the first
thing that a cross-check does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge.canonical import columns_of
from ivbridge.coding import Coding, codings
from ivbridge.effects import INSTEAD, ONLY_FAST
from ivbridge.errors import DataError, DesignError, FormulaError, UnsupportedError
from ivbridge.expr import Name, parse, quote_name
from ivbridge.formula import Term, parse_term
from ivbridge.frame import counted, fingerprint, normalise
from ivbridge.kept import kept_of
from ivbridge.magnitude import check_magnitude, check_magnitudes
from ivbridge.modelmatrix import Columns, drop_unused, model_matrix
from ivbridge.rank import decide_rank
from ivbridge.rows import choose_rows
from ivbridge.spec import IVSpec
from ivbridge.variables import Factor, Variable, evaluate, evaluate_numeric

__all__ = [
    "Design", "Prepared", "build", "check_finite", "coded", "designed", "frame_of", "group_values", "levels_of",
    "prepare", "response_of", "weights_of",
]  # fmt: skip

#: What ``model.frame`` calls the columns that it adds to those of the formula.
RESERVED = frozenset({"(weights)", "(offset)", "(subset)"})

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Design:
    """The matrices of a question.

    Attributes
    ----------
    spec : IVSpec
        The question.
    frame : DataFrame
        The columns that it uses, all rows, in types that R and Python share (:mod:`ivbridge.frame`).
    rows : ndarray of int64, shape (n,)
        Positions in `frame` of the rows used, ascending.
    y : ndarray, shape (n,)
        Dependent variable minus offset.
    x, x_names : ndarray, shape (n, k), and its column names
        Regressors in R's order, without `aliased`.
    z, z_names : ndarray, shape (n, l), and its column names
        All instruments in R's order, without `aliased_instruments`.
    weights : ndarray, shape (n,), or None
        Positive weights.
    aliased, aliased_instruments : tuple of str
        Columns left out because they depend linearly on earlier ones (R's rule and tolerance).
    notes : tuple of str
        What a reader should know: rows left out and why, columns left out.
    sha256 : str
        Fingerprint of `frame`.
    levels : mapping of str to tuple of str
        Levels of every factor of the formula that the rows used have, the baseline first (R's ``.getXlevels``).
    exact : bool
        Whether the regressors reproduce `y`, so that residuals are rounding errors.
    """

    spec: IVSpec
    frame: pd.DataFrame
    rows: NDArray[np.int64]
    y: Vector
    x: Matrix
    x_names: tuple[str, ...]
    z: Matrix
    z_names: tuple[str, ...]
    weights: Vector | None
    aliased: tuple[str, ...]
    aliased_instruments: tuple[str, ...]
    notes: tuple[str, ...]
    sha256: str
    levels: Mapping[str, tuple[str, ...]]
    exact: bool

    @property
    def endog_names(self) -> tuple[str, ...]:
        """Columns of `x` that are not among the instruments, by name, as AER decides it."""
        known = {*self.z_names, *self.aliased_instruments}
        return tuple(name for name in self.x_names if name not in known)

    @property
    def instrument_names(self) -> tuple[str, ...]:
        """Columns of `z` that are not among the regressors, by name, as AER decides it."""
        known = {*self.x_names, *self.aliased}
        return tuple(name for name in self.z_names if name not in known)

    def __repr__(self) -> str:
        return f"<Design n={len(self.rows)} x={list(self.x_names)} z={list(self.z_names)}: {self.spec}>"

    def groups(self, column: str) -> NDArray[np.int64]:
        """Return codes 0 … G−1 of a cluster or time column on the rows used, in sorted order of its levels.

        Raises
        ------
        DataError
            If the column is not part of the question, or is missing in a row that is used.
        """
        values = group_values(self.frame, self.rows, column)
        return np.unique(values, return_inverse=True)[1].astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """The columns of a question, linearly dependent ones included; fields as in :class:`Design`.

    Attributes
    ----------
    label : str
        What messages call the dependent variable.
    x, z : Columns
        All regressors and all instruments; a column of both is in memory once.
    """

    spec: IVSpec
    frame: pd.DataFrame
    rows: NDArray[np.int64]
    label: str
    y: Vector
    x: Columns
    z: Columns
    weights: Vector | None
    notes: tuple[str, ...]
    levels: Mapping[str, tuple[str, ...]]


def build(spec: IVSpec, data: pd.DataFrame, grouping: Sequence[str] = ()) -> Design:
    """Make the design of a question about a data frame.

    Parameters
    ----------
    spec : IVSpec
        The question.
    data : DataFrame
        Needs the columns ``spec.columns`` and `grouping`.
    grouping : sequence of str, optional
        Columns that group or order rows for vcovs that will be asked of this design later; one frame then serves all.

    Returns
    -------
    Design

    Raises
    ------
    DataError
        If the columns cannot be used: missing, duplicated, infinite, of a type without a meaning here, a factor with
        one level, …
    FormulaError
        If an exogenous term is coded differently among the regressors and among the instruments.
    DesignError
        If the model cannot be estimated: no rows, n ≤ k, not enough independent instruments, or nothing to explain.
    UnsupportedError
        If the question has absorbed fixed effects, which no design holds.
    """
    if spec.absorb is not None:
        raise UnsupportedError(f"{spec}: {ONLY_FAST}", do=INSTEAD)
    return designed(prepare(spec, data, grouping))


def prepare(spec: IVSpec, data: pd.DataFrame, grouping: Sequence[str] = ()) -> Prepared:
    """The columns of a question, before anything is asked of their rank.

    Parameters and errors are those of :func:`build`, but for what has to do with dependent columns and too few rows.
    """
    frame = frame_of(spec, data, grouping)
    # terms of one degree keep their order, as in R: exogenous ones come first
    parts = [sorted(map(parse_term, texts), key=len) for texts in (spec.regressors, spec.all_instruments)]
    names = dict.fromkeys(name for part in parts for term in part for name in term)
    variables = {name: evaluate(name, frame) for name in names}
    label, y = response_of(spec, frame)
    weights = None if spec.weights is None else weights_of(spec.weights, frame)
    rows, notes = choose_rows(spec, frame, variables, y, weights)
    kept = slice(None) if len(rows) == len(frame) else rows  # views where nothing is left out
    used = {name: _use(name, variable.take(kept)) for name, variable in variables.items()}
    y = _checked(spec, label, y[kept])
    x, z = _matrices(parts, used, intercept=spec.intercept, rows=len(rows))
    w = None if weights is None else weights[kept]
    columns = {name: column for part in (x, z) for name, column in zip(part.names, part.columns, strict=True)}
    check_magnitudes({label: y, **columns}, None if w is None else (str(spec.weights), w))
    return Prepared(spec, frame, rows, label, y, x, z, w, (*notes, *_order_notes(data, frame, used)), levels_of(used))


def designed(prepared: Prepared) -> Design:
    """The design of a question whose columns are known.

    Raises
    ------
    DesignError
        As for :func:`build`.
    """
    x, z = prepared.x, prepared.z
    rank = decide_rank(prepared.y, x, z, prepared.weights)
    names = kept_of(prepared.spec.method, prepared.label, (x.names, z.names), rank)
    return Design(
        prepared.spec, prepared.frame, prepared.rows, np.array(prepared.y), x.stacked(rank.x), names.x,
        z.stacked(rank.z), names.z, prepared.weights, names.aliased, names.aliased_instruments,
        (*prepared.notes, *names.notes), fingerprint(prepared.frame), prepared.levels, rank.exact,
    )  # fmt: skip


def group_values(frame: pd.DataFrame, rows: NDArray[np.int64], column: str) -> NDArray[Any]:
    """Numbers that tell the levels of a cluster or time column apart and order them, on some rows.

    Raises
    ------
    DataError
        As for :meth:`Design.groups`.
    """
    if column not in frame.columns:
        known = ", ".join(frame.columns)
        raise DataError(f"The question does not use the column {column!r}.", available=known)
    values = frame[column] if len(rows) == len(frame) else frame[column].iloc[rows]
    if count := int(values.isna().sum()):
        what = f"Column {column!r} groups or orders the rows, but is missing in {count} of the {len(values)} used."
        raise DataError(what, do="drop these rows first.")
    raw = values.cat.codes if isinstance(values.dtype, pd.CategoricalDtype) else values
    return raw.to_numpy(dtype=None if isinstance(raw.dtype, np.dtype) else np.float64)


def frame_of(spec: IVSpec, data: pd.DataFrame, grouping: Sequence[str] = ()) -> pd.DataFrame:
    """The columns that a question uses, all rows, in types that R and Python share (:mod:`ivbridge.frame`).

    Raises
    ------
    DataError
        If a column cannot be used.
    """
    variables = [name for text in (*spec.regressors, *spec.instruments) for name in parse_term(text)]
    factors = {c for text in variables if "factor(" in text for c in columns_of(text)}
    groups = {*grouping, *(() if spec.vcov is None else spec.vcov.columns)}
    groups |= set(() if spec.absorb is None else spec.absorb.columns)
    plain = {c for text in (*variables, spec.dependent, spec.offset or "1") for c in columns_of(text)}
    if "contr.sum" in plain and any("contr.sum)" in text for text in variables):
        raise DataError("A column called 'contr.sum' hides R's contrast of that name.", do="rename the column.")
    columns = tuple(dict.fromkeys([*spec.columns, *grouping]))
    if taken := sorted(plain & RESERVED | {name for name in columns if name.startswith(".ivb_")}):
        raise DataError(f"R's model frames keep the column name {taken[0]!r} for themselves.", do="rename the column.")
    return normalise(data, columns, factors=factors | groups, labels=groups - plain - {spec.weights})


def response_of(spec: IVSpec, frame: pd.DataFrame) -> tuple[str, Vector]:
    """The dependent variable minus the offset, on all rows, and what messages call it."""
    y = evaluate_numeric(parse(spec.dependent), frame)
    if spec.offset is None:
        return spec.dependent, y
    return f"{spec.dependent} - ({spec.offset})", y - evaluate_numeric(parse(spec.offset), frame)


def _checked(spec: IVSpec, label: str, y: Vector) -> Vector:
    check_finite(label, y)
    check_magnitude(label, y)
    _check_varies(spec, y)
    return y


def weights_of(name: str, frame: pd.DataFrame) -> Vector:
    """The weights on all rows.

    Raises
    ------
    DataError
        If some are negative.
    """
    weights = evaluate_numeric(parse(quote_name(name)), frame)
    if count := int((weights < 0).sum()):
        raise DataError(
            f"The weights {name!r} are negative in {counted(count, 'row')}.", do="use weights of zero or more."
        )
    return weights


def _use(name: str, variable: Variable) -> Variable:
    if isinstance(variable, Factor):
        return drop_unused(name, variable)
    check_finite(name, variable.values)
    return variable


def check_finite(name: str, values: NDArray[np.float64]) -> None:
    """Refuse infinite values of a variable on the rows used.

    Raises
    ------
    DataError
    """
    if count := int(np.isinf(values).sum()):
        raise DataError(
            f"{name} is infinite for {counted(count, 'value')} of the rows used.",
            do="drop these rows, or change the transformation (the logarithm of 0 and a division by 0 are infinite).",
        )


def _check_varies(spec: IVSpec, y: NDArray[np.float64]) -> None:
    if len(y) > 1 and not np.ptp(y) and (spec.intercept or not y[0]):
        raise DesignError(
            f"The dependent variable {spec.dependent} is {y[0]:g} in every row used: there is nothing to explain.",
            do="choose a column that varies.",
        )


def _matrices(
    parts: Sequence[Sequence[Term]], used: dict[str, Variable], *, intercept: bool, rows: int
) -> tuple[Columns, Columns]:
    coding = coded(parts, used, intercept=intercept)
    x, z = (
        model_matrix(terms, used, intercept=intercept, rows=rows, coding=code)
        for terms, code in zip(parts, coding, strict=True)
    )
    for columns in (x, z):
        if twice := sorted(name for name, count in Counter(columns.names).items() if count > 1):
            raise DataError(f"Two columns of the model are called {twice[0]!r}.", do="rename a column of the data.")
        if not all(np.isfinite(column).all() for column in columns.columns):
            raise DataError("A product of columns is too large for a number.", do="rescale the columns.")
    return x, z.sharing(x)


def coded(parts: Sequence[Sequence[Term]], used: Mapping[str, Variable], *, intercept: bool) -> list[Coding]:
    """Which factors get contrasts, among the regressors and among the instruments.

    Raises
    ------
    FormulaError
        If an exogenous term is coded differently in the two.
    """
    factors = frozenset(name for name, variable in used.items() if isinstance(variable, Factor))
    coding = [codings(terms, factors, intercept=intercept) for terms in parts]
    first, second = (
        {t: [d for n, d in zip(t, row, strict=True) if n in factors] for t, row in zip(terms, code, strict=True)}
        for terms, code in zip(parts, coding, strict=True)
    )
    for term in first:
        if term in second and first[term] != second[term]:
            raise FormulaError(
                f"The exogenous term {':'.join(term)} gets one set of dummies among the regressors and another one "
                "among the instruments, because a lower-order term stands in only one of the two parts.",
                do=f"name the main effects of {':'.join(term)} in both parts, or in neither.",
            )
    return coding


def _order_notes(data: pd.DataFrame, frame: pd.DataFrame, used: Mapping[str, Variable]) -> list[str]:
    """Say where the locale of somebody's own R session would choose another baseline of a text column."""
    if not any(isinstance(variable, Factor) for variable in used.values()):
        return []
    texts = {c for c in frame.columns if frame[c].dtype == "category" and data[c].dtype != "category"}
    notes = []
    for name, variable in used.items():
        if not isinstance(variable, Factor) or variable.coding != "treatment" or variable.reference:
            continue
        first = min(variable.levels, key=lambda level: (level.casefold(), level.swapcase()))
        if first != variable.levels[0] and texts.issuperset(columns_of(name)):
            notes.append(
                f"the baseline of {name} is {variable.levels[0]!r}: texts are sorted by code point, but R in an "
                f"English locale would start with {first!r}"
            )
    return notes


def levels_of(used: Mapping[str, Variable]) -> dict[str, tuple[str, ...]]:
    """Levels of each factor by the name that R gives it."""
    factors = {name: v.levels for name, v in used.items() if isinstance(v, Factor) and not v.logical}
    trees = {name: parse(name) for name in factors}
    # R calls a plain column by its bare name here, even where the name needs backticks elsewhere
    return {tree.id if isinstance(tree, Name) else name: factors[name] for name, tree in trees.items()}
