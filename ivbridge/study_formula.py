"""A formula as a method of a study: :func:`ivbridge.fit` about one draw, :mod:`ivbridge.batch` about many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ivbridge import batch
from ivbridge.api import fit
from ivbridge.errors import DesignError, UnsupportedError
from ivbridge.expr import Name, parse, r_label
from ivbridge.method import parse_method
from ivbridge.spec import IVSpec
from ivbridge.study_records import Method, Outcome
from ivbridge.vcov import T

__all__ = ["by_formula"]


@dataclass(frozen=True, slots=True, eq=False)
class _Arrays:
    """Columns of one draw: (n,), (n, p) with the constant last, (n, q), (n, e), and clusters, (n,) or None."""

    y: np.ndarray
    exog: np.ndarray
    endog: np.ndarray
    instruments: np.ndarray
    clusters: np.ndarray | None

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(part.shape for part in (self.y, self.exog, self.endog, self.instruments))


@dataclass(frozen=True, slots=True)
class _Fit:
    """What `by_formula` runs."""

    formula: str
    term: str
    vcov: str
    engine: str
    method: str | None

    def __call__(self, draw: Any, _seed: int) -> tuple[Outcome]:
        found = fit(self.formula, draw.frame, self.vcov, self.engine, method=self.method)
        if self.term in found.seen.aliased:
            raise DesignError(f"{self.term} depends linearly on other columns.")
        if self.term not in found.terms:
            raise UnsupportedError(f"There is no coefficient {self.term!r}.", available=", ".join(found.terms))
        table, i = found.coefs, found.terms.index(self.term)
        low, high = float(table.conf_low[i]), float(table.conf_high[i])
        return (Outcome(float(table.estimate[i]), float(table.std_error[i]), low, high),)

    def many(self, draws: Sequence[Any], seeds: Sequence[int]) -> list[tuple[Outcome, ...]]:
        """Draws with plain columns as batches, the others one by one."""
        method = parse_method(self.method or "2sls")
        spec = IVSpec.from_formula(self.formula, vcov=self.vcov, method=method)
        said: dict[int, tuple[Outcome, ...]] = {}
        roles = _roles(spec) if spec.vcov is not None and batch.offers(spec.vcov, method) else None
        if roles is not None and self.term in _names(spec):
            alike: dict[object, dict[int, _Arrays]] = {}
            for i, draw in enumerate(draws):
                if (arrays := _arrays(roles, draw.frame, intercept=spec.intercept)) is not None:
                    alike.setdefault(arrays.shapes, {})[i] = arrays
            for group in alike.values():
                outcomes = self._batch(spec, list(group.values()))
                said |= {i: (one,) for i, one in zip(group, outcomes, strict=True) if one is not None}
        alone = Method(("",), self)
        return [
            said[i] if i in said else alone.attempt(draw, seed)
            for i, (draw, seed) in enumerate(zip(draws, seeds, strict=True))
        ]

    def _batch(self, spec: IVSpec, data: Sequence[_Arrays]) -> list[Outcome | None]:
        """One outcome a draw; None for a draw that is not answered with the others."""
        assert spec.vcov is not None
        y, exog, endog, instruments = (
            np.stack([getattr(one, part) for one in data]) for part in ("y", "exog", "endog", "instruments")
        )
        clusters = np.stack([one.clusters for one in data if one.clusters is not None]) if spec.vcov.columns else None
        try:
            found = batch.fit(y, exog, endog, instruments, spec.vcov, spec.method, clusters)
        except DesignError:  # which every draw will say by itself
            return [None] * len(data)
        j, columns = _names(spec).index(self.term), (found.coef, found.std_error, *found.conf_int())
        numbers = zip(*(column[:, j].tolist() for column in columns), strict=True)
        return [None if b in found.notes else Outcome(*four) for b, four in enumerate(numbers)]


def by_formula(
    name: str, formula: str, term: str, vcov: str, *, engine: str = "native", method: str | None = None
) -> Method:
    """A method that asks :func:`ivbridge.fit` about every draw's ``frame``.

    Parameters
    ----------
    name : str
        In the table.
    formula, vcov, engine, method
        As for :func:`ivbridge.fit`; with ``engine="r"`` every process has an R of its own.
    term : str
        The coefficient that estimates the draw's ``truth``; its 95 % confidence interval is the engine's. With
        ``engine="native"`` draws whose terms are numeric columns as they are, without missing values, are answered many
        at once where :func:`ivbridge.batch.fit` offers it, which changes the numbers by rounding only.

    Returns
    -------
    Method
    """
    asked = _Fit(formula, term, vcov, engine, method)
    return Method((name,), asked, asked.many if engine == "native" else None)


def _names(spec: IVSpec) -> tuple[str, ...]:
    """Of the coefficients, in the order of batches: the constant, exogenous, endogenous."""
    return (*["(Intercept)"] * spec.intercept, *map(r_label, (*spec.exog, *spec.endog)))


def _roles(spec: IVSpec) -> tuple[tuple[str, ...], ...] | None:
    """Columns of the dependent variable, exogenous, endogenous, instruments, clusters; None if a term is no column."""
    if spec.offset or spec.weights or spec.absorb or spec.inference != T():
        return None
    found = []
    for terms in ((spec.dependent,), spec.exog, spec.endog, spec.instruments):
        trees = [parse(term) for term in terms]
        found.append(tuple(tree.id for tree in trees if isinstance(tree, Name)))
        if len(found[-1]) < len(terms):
            return None
    return (*found, () if spec.vcov is None else spec.vcov.columns)


def _arrays(roles: tuple[tuple[str, ...], ...], frame: pd.DataFrame, *, intercept: bool) -> _Arrays | None:
    """The columns of a question; None if one is not simply numbers (whole numbers for clusters)."""
    if not frame.columns.is_unique:
        return None
    parts = []
    for names, kinds in zip(roles, ("fiu", "fiu", "fiu", "fiu", "iu"), strict=True):
        columns = [frame[name] for name in names if name in frame.columns]
        plain = all(isinstance(one.dtype, np.dtype) and one.dtype.kind in kinds for one in columns)
        if len(columns) < len(names) or not plain:
            return None
        parts.append(np.array([one.to_numpy() for one in columns]).reshape(len(columns), len(frame)).T)
    y, exog, endog, instruments, clusters = parts
    if intercept:
        exog = np.column_stack([exog, np.ones(len(frame))])
    return _Arrays(y[:, 0], exog, endog, instruments, clusters[:, 0] if clusters.shape[1] else None)
