"""The matrices of a question again, after something in its data or in the coding of its factors has changed.

:func:`ivbridge.design.build` does the same once and with all its checks and messages; here it happens dozens of times
in a search, variables that did not change are evaluated once, and a world that cannot be estimated is no error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge.canonical import columns_of
from ivbridge.coding import codings
from ivbridge.errors import DataError, IvbridgeError
from ivbridge.explainer.matrices import DEPENDENT, replaced
from ivbridge.explainer.records import World
from ivbridge.expr import Name, parse, quote_name, r_label
from ivbridge.formula import Term, parse_term
from ivbridge.frame import normalise
from ivbridge.modelmatrix import drop_unused, model_matrix
from ivbridge.records import FloatArray, Seen
from ivbridge.rows import choose_rows
from ivbridge.spec import IVSpec
from ivbridge.variables import Factor, Numeric, Variable, evaluate, evaluate_numeric

__all__ = ["Parts", "parts_of"]

#: Conventions that change the data themselves: the matrices follow from them as before.
OF_THE_DATA = ("rows.missing_as_",)


@dataclass(frozen=True, eq=False)
class Parts:
    """A question's variables on all rows of its data.

    Attributes
    ----------
    spec : IVSpec
    frame : DataFrame, N rows
        Normalised (:mod:`ivbridge.frame`); its columns are those of the question and those that group rows.
    variables : mapping of str to Variable
    y : (N,) array
        Dependent variable minus offset.
    weights : (N,) array or None
    groups : tuple of str
    """

    spec: IVSpec
    frame: pd.DataFrame
    variables: Mapping[str, Variable]
    y: FloatArray
    weights: FloatArray | None
    groups: tuple[str, ...] = ()

    @cached_property
    def terms(self) -> tuple[list[Term], list[Term]]:
        """Those of X and those of Z, in R's order."""
        x, z = (sorted(map(parse_term, texts), key=len) for texts in (self.spec.regressors, self.spec.all_instruments))
        return x, z

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """Rows in which nothing is missing."""
        return choose_rows(self.spec, self.frame, self.variables, self.y, self.weights)[0]

    def changed(self, columns: Mapping[str, FloatArray]) -> Parts:
        """The same question about data in which some numeric columns (N,) hold other numbers."""
        fresh, y, weights = self._moved(columns)
        frame = self.frame.assign(**columns)
        return replace(self, frame=frame, variables={**self.variables, **fresh}, y=y, weights=weights)

    def _moved(self, columns: Mapping[str, FloatArray]) -> tuple[dict[str, Variable], FloatArray, FloatArray | None]:
        """The variables that these columns enter, the dependent variable and the weights, all rows."""
        plain = {quote_name(name): values for name, values in columns.items()}
        touched = [name for name in self.variables if not columns.keys().isdisjoint(columns_of(name))]
        texts = [self.spec.dependent, self.spec.offset or "1"]
        again = not columns.keys().isdisjoint(name for text in texts for name in columns_of(text))
        texts = [*(name for name in touched if name not in plain), *(texts if again else ())]
        used = dict.fromkeys(name for text in texts for name in columns_of(text))
        frame = pd.DataFrame({name: columns.get(name, self.frame[name]) for name in used}) if used else self.frame
        fresh = {name: Numeric(plain[name]) if name in plain else evaluate(name, frame) for name in touched}
        return (
            fresh,
            _response(self.spec, frame) if again else self.y,
            columns.get(self.spec.weights or "", self.weights),
        )

    def moved(self, columns: Mapping[str, FloatArray], seen: Seen) -> Seen:
        """Put what follows from other numbers in some columns (N,) into matrices of the same question.

        Raises
        ------
        DataError
            If a changed column of the model is not finite.
        """
        fresh, y, weights = self._moved(columns)
        rows = seen.rows
        new = {
            r_label(name): variable.values[rows]
            for name, variable in fresh.items()
            if isinstance(variable, Numeric) and variable.values.ndim == 1
        }
        for terms in self.terms:
            touched = [j for j, term in enumerate(terms) if not fresh.keys().isdisjoint(term)]
            rest = [j for j in touched if len(terms[j]) > 1 or r_label(terms[j][0]) not in new]
            new |= self._columns(terms, rest, fresh, rows) if rest else {}
        new = {name: values for name, values in new.items() if name in seen.x_names or name in seen.z_names}
        if y is not self.y:
            new[DEPENDENT] = np.array(y[rows])
        if not all(np.isfinite(values).all() for values in new.values()):
            raise DataError("A column of the model is not finite.")
        return replace(replaced(seen, new), weights=None if weights is None else np.asarray(weights[rows]))

    def _columns(
        self, terms: list[Term], some: list[int], fresh: Mapping[str, Variable], rows: NDArray[np.int64]
    ) -> dict[str, FloatArray]:
        """The columns of some of the terms, on some rows."""
        used = {name: _used(name, v.take(rows)) for name, v in {**self.variables, **fresh}.items()}
        factors = {name for name, variable in used.items() if isinstance(variable, Factor)}
        coding = codings(terms, factors, intercept=self.spec.intercept)
        own, how = [terms[j] for j in some], tuple(coding[j] for j in some)
        built = model_matrix(own, used, intercept=False, rows=len(rows), coding=how)
        return dict(zip(built.names, built.columns, strict=True))

    def seen(self, rows: NDArray[np.int64] | None = None, *, intercept: bool | None = None) -> Seen:
        """Build the matrices, linearly dependent columns included, on some rows, by default on all without gaps.

        Parameters
        ----------
        rows : (n,) int array, optional
        intercept : bool, optional
            Default: as the question has it.

        Raises
        ------
        DataError
            If the matrices hold a value that is not finite.
        """
        use = self.rows if rows is None else rows
        constant = self.spec.intercept if intercept is None else intercept
        used = {name: _used(name, variable.take(use)) for name, variable in self.variables.items()}
        factors = {name for name, variable in used.items() if isinstance(variable, Factor)}
        x, z = (
            model_matrix(
                terms, used, intercept=constant, rows=len(use), coding=codings(terms, factors, intercept=constant)
            )
            for terms in self.terms
        )
        y, stacked_x, stacked_z = np.array(self.y[use]), x.stacked(), z.stacked()
        if not (np.isfinite(stacked_x).all() and np.isfinite(stacked_z).all() and np.isfinite(y).all()):
            raise DataError("A column of the model is not finite.")
        levels = {_label(name): v.levels for name, v in used.items() if isinstance(v, Factor) and not v.logical}
        weights = None if self.weights is None else self.weights[use]
        groups = {name: _codes(self.frame[name].iloc[use]) for name in self.groups}
        return Seen(use, x.names, z.names, levels=levels, y=y, x=stacked_x, z=stacked_z, weights=weights, groups=groups)


def parts_of(world: World, after: tuple[str, ...] = OF_THE_DATA) -> Parts | None:
    """The variables of a world's question on its data.

    Parameters
    ----------
    world : World
    after : tuple of str, optional
        How the keys of earlier steps may begin; default: those after which the matrices follow from the data as before.

    Returns
    -------
    Parts or None
        None where the data are not known or cannot be used, or where another step was taken before.
    """
    if world.spec is None or world.frame is None or not all(step.key.startswith(after) for step in world.steps):
        return None
    spec, groups = world.spec, tuple(world.seen.groups)
    texts = dict.fromkeys(n for text in (*spec.regressors, *spec.instruments) for n in parse_term(text))
    factors = {c for text in texts if "factor(" in text for c in columns_of(text)} | set(groups)
    columns = dict.fromkeys([*spec.columns, *groups])
    try:
        frame = normalise(world.frame, columns, factors=factors, labels=set(groups) - set(spec.with_vcov(None).columns))
        weights = None if spec.weights is None else evaluate_numeric(parse(quote_name(spec.weights)), frame)
        return Parts(
            spec, frame, {name: evaluate(name, frame) for name in texts}, _response(spec, frame), weights, groups
        )
    except IvbridgeError:
        return None


def _response(spec: IVSpec, frame: pd.DataFrame) -> FloatArray:
    y = evaluate_numeric(parse(spec.dependent), frame)
    return y if spec.offset is None else y - evaluate_numeric(parse(spec.offset), frame)


def _used(name: str, variable: Variable) -> Variable:
    return drop_unused(name, variable) if isinstance(variable, Factor) else variable


def _label(name: str) -> str:
    tree = parse(name)
    return tree.id if isinstance(tree, Name) else name


def _codes(column: pd.Series) -> NDArray[np.int64]:
    raw = column.cat.codes if isinstance(column.dtype, pd.CategoricalDtype) else column
    return np.unique(raw.to_numpy(), return_inverse=True)[1].astype(np.int64)
