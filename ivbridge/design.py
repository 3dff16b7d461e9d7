"""One design for every engine: rows dropped once, columns ordered and named once, rank checked once.

R still builds its own matrices from :attr:`Design.frame` and the formula; comparing the two designs is the first
thing that a cross-check does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge.canonical import columns_of
from ivbridge.errors import DataError, DesignError, FormulaError
from ivbridge.expr import parse
from ivbridge.formula import Term, parse_term
from ivbridge.frame import fingerprint, normalise
from ivbridge.modelmatrix import Coding, Columns, codings, drop_unused, model_matrix
from ivbridge.rank import independent_columns, triangle
from ivbridge.spec import IVSpec
from ivbridge.variables import Factor, Numeric, Variable, evaluate, evaluate_numeric

__all__ = ["Design", "build"]

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
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

    @property
    def endog_names(self) -> tuple[str, ...]:
        """Columns of `x` that are not in `z`."""
        return tuple(name for name in self.x_names if name not in self.z_names)

    @property
    def instrument_names(self) -> tuple[str, ...]:
        """Columns of `z` that are not in `x`."""
        return tuple(name for name in self.z_names if name not in self.x_names)

    def groups(self, column: str) -> NDArray[np.int64]:
        """Return codes 0 … G−1 of a cluster or time column on the rows used, in sorted order of its levels.

        Raises
        ------
        DataError
            If the column is not part of the question, or is missing in a row that is used.
        """
        if column not in self.frame.columns:
            raise DataError(f"The question does not use the column {column!r}.", available=", ".join(self.frame.columns))
        values = self.frame[column].iloc[self.rows]
        if count := int(values.isna().sum()):
            raise DataError(
                f"Column {column!r} groups or orders the rows, but is missing in {count} of the {len(values)} rows used.",
                do="drop these rows first.",
            )
        raw = values.cat.codes if isinstance(values.dtype, pd.CategoricalDtype) else values
        return np.unique(raw.to_numpy(), return_inverse=True)[1].astype(np.int64)


def build(spec: IVSpec, data: pd.DataFrame) -> Design:
    """Make the design of a question about a data frame.

    Parameters
    ----------
    spec : IVSpec
        The question.
    data : DataFrame
        Needs the columns ``spec.columns``.

    Returns
    -------
    Design

    Raises
    ------
    DataError
        If the columns cannot be used: missing, duplicated, infinite, of a type without a meaning here, …
    FormulaError
        If an exogenous term is coded differently among the regressors and among the instruments.
    DesignError
        If the model cannot be estimated: no rows, n ≤ k, or not enough independent instruments.
    """
    frame = _frame(spec, data)
    terms_x, terms_z = ([parse_term(text) for text in texts] for texts in (spec.regressors, spec.all_instruments))
    terms_x.sort(key=len)
    terms_z.sort(key=len)
    names = dict.fromkeys(name for term in (*terms_x, *terms_z) for name in term)
    everything = {name: evaluate(name, frame) for name in names}
    y = evaluate_numeric(parse(spec.dependent), frame)
    if spec.offset is not None:
        y = y - evaluate_numeric(parse(spec.offset), frame)
    weights = None if spec.weights is None else _weights(spec.weights, frame)
    rows, notes = _rows(spec, frame, everything, y, weights)
    used = {name: _use(name, variable.take(rows)) for name, variable in everything.items()}
    y = y[rows]
    if np.isinf(y).any():
        raise DataError(f"{spec.dependent} is infinite in {int(np.isinf(y).sum())} rows.")
    x, z = _matrices(spec, terms_x, terms_z, used, len(rows))
    w = None if weights is None else weights[rows]
    return _ranked(spec, frame, rows, y, x, z, w, notes)


def _frame(spec: IVSpec, data: pd.DataFrame) -> pd.DataFrame:
    texts = [name for text in (*spec.regressors, *spec.instruments) for name in parse_term(text)]
    factors = {c for text in texts if "factor(" in text for c in columns_of(text)}
    groups = set(() if spec.vcov is None else spec.vcov.columns)
    plain = {c for text in (*texts, spec.dependent, spec.offset or "1") for c in columns_of(text)}
    return normalise(data, spec.columns, factors=factors | groups, labels=groups - plain)


def _weights(name: str, frame: pd.DataFrame) -> Vector:
    weights = evaluate_numeric(parse(f"`{name}`"), frame)
    if count := int((weights < 0).sum()):
        raise DataError(f"The weights {name!r} are negative in {count} rows.", do="use weights of zero or more.")
    return weights


def _rows(
    spec: IVSpec, frame: pd.DataFrame, variables: Mapping[str, Variable], y: Vector, weights: Vector | None
) -> tuple[NDArray[np.int64], list[str]]:
    drop = np.isnan(y)
    for variable in variables.values():
        drop = drop | variable.missing
    if weights is not None:
        drop = drop | np.isnan(weights) | (weights == 0)
    rows = np.flatnonzero(~drop).astype(np.int64)
    notes = [f"{int(drop.sum())} of {len(drop)} rows left out: missing values"] if drop.any() else []
    if not len(rows):
        raise DesignError(f"No row of the {len(frame)} is complete.")
    return rows, notes


def _use(name: str, variable: Variable) -> Variable:
    if isinstance(variable, Factor):
        return drop_unused(name, variable)
    if count := int(np.isinf(variable.values).sum()):
        raise DataError(f"{name} is infinite in {count} row{'s' * (count > 1)}.", do="check it for zeros.")
    return variable


def _matrices(
    spec: IVSpec, terms_x: list[Term], terms_z: list[Term], used: Mapping[str, Variable], rows: int
) -> tuple[Columns, Columns]:
    factors = frozenset(name for name, variable in used.items() if isinstance(variable, Factor))
    coding = [codings(terms, factors, intercept=spec.intercept) for terms in (terms_x, terms_z)]
    seen: list[dict[Term, tuple[bool, ...]]] = []
    for terms, rows_of in zip((terms_x, terms_z), coding, strict=True):
        seen.append({t: tuple(d for n, d in zip(t, r, strict=True) if n in factors) for t, r in zip(terms, rows_of, strict=True)})
    for term in seen[0].keys() & seen[1].keys():
        if seen[0][term] != seen[1][term]:
            raise FormulaError(
                f"The term {':'.join(term)} gets different dummies among the regressors and among the instruments.",
                do="name the main effects in both parts.",
            )
    built = [
        model_matrix(terms, used, intercept=spec.intercept, rows=rows, coding=code)
        for terms, code in zip((terms_x, terms_z), coding, strict=True)
    ]
    return built[0], built[1]


def _ranked(
    spec: IVSpec, frame: pd.DataFrame, rows: NDArray[np.int64], y: Vector, x: Columns, z: Columns,
    weights: Vector | None, notes: list[str],
) -> Design:  # fmt: skip
    root = 1.0 if weights is None else np.sqrt(weights)[:, None]
    keep_x = independent_columns(triangle(x.values * root))
    keep_z = independent_columns(triangle(z.values * root))
    n, k = len(rows), len(keep_x)
    if n <= k:
        raise DesignError(f"The model has {k} coefficients but only {n} rows.")
    if len(keep_z) < k:
        raise DesignError(f"There are {k} regressors but only {len(keep_z)} independent instruments.")
    return Design(
        spec, frame, rows, y,
        np.asfortranarray(x.values[:, keep_x]), tuple(x.names[j] for j in keep_x),
        np.asfortranarray(z.values[:, keep_z]), tuple(z.names[j] for j in keep_z),
        weights,
        tuple(name for j, name in enumerate(x.names) if j not in keep_x),
        tuple(name for j, name in enumerate(z.names) if j not in keep_z),
        tuple(notes), fingerprint(frame),
    )  # fmt: skip
