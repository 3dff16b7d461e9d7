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
from ivbridge.explainer.matrices import chosen, independent
from ivbridge.explainer.records import World
from ivbridge.expr import Name, parse, quote_name
from ivbridge.formula import Term, parse_term
from ivbridge.frame import normalise
from ivbridge.modelmatrix import drop_unused, model_matrix
from ivbridge.records import FloatArray, Seen
from ivbridge.rows import choose_rows
from ivbridge.spec import IVSpec
from ivbridge.variables import Factor, Variable, evaluate, evaluate_numeric

__all__ = ["Parts", "parts_of"]

#: Conventions that leave a world with data that its matrices follow from; after any other one they no longer do.
OF_THE_DATA = ("storage.", "rows.missing_as_")


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
        frame = self.frame.assign(**columns)
        fresh = {
            name: evaluate(name, frame) if not columns.keys().isdisjoint(columns_of(name)) else variable
            for name, variable in self.variables.items()
        }
        plain = {*columns_of(self.spec.dependent), *columns_of(self.spec.offset or "1")}
        y = self.y if columns.keys().isdisjoint(plain) else _response(self.spec, frame)
        weights = self.weights if self.spec.weights not in columns else np.asarray(columns[self.spec.weights or ""])
        return replace(self, frame=frame, variables=fresh, y=y, weights=weights)

    def seen(
        self, rows: NDArray[np.int64] | None = None, *, intercept: bool | None = None, like: Seen | None = None
    ) -> Seen:
        """Build the matrices on some rows, by default on all that have no missing value.

        Parameters
        ----------
        rows : (n,) int array, optional
        intercept : bool, optional
            Default: as the question has it.
        like : Seen, optional
            Whose columns to keep; by default those that do not depend linearly on earlier ones.

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
        y = np.array(self.y[use])
        if not (np.isfinite(x.values).all() and np.isfinite(z.values).all() and np.isfinite(y).all()):
            raise DataError("A column of the model is not finite.")
        levels = {_label(name): v.levels for name, v in used.items() if isinstance(v, Factor) and not v.logical}
        weights = None if self.weights is None else self.weights[use]
        groups = {name: _codes(self.frame[name].iloc[use]) for name in self.groups}
        seen = Seen(use, x.names, z.names, levels=levels, y=y, x=x.values, z=z.values, weights=weights, groups=groups)
        return independent(seen) if like is None else chosen(seen, x=like.x_names, z=like.z_names)


def parts_of(world: World) -> Parts | None:
    """The variables of a world's question; None where its data are not known, or no longer those of its matrices."""
    if world.spec is None or world.frame is None or not all(step.key.startswith(OF_THE_DATA) for step in world.steps):
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
