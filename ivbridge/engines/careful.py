"""The fast engine's way from a table to an estimate where the data have to be looked at first.

Transformations, factors, missing values, dependent columns: :func:`ivbridge.design.prepare` makes the columns, which
exist once; R's rule for dependent columns is applied to the small factor of all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from ivbridge import sandwich
from ivbridge.asked import asked_vcov
from ivbridge.blocks.answer import Answer
from ivbridge.blocks.factor import factored
from ivbridge.blocks.meats import group_codes, summable
from ivbridge.blocks.regression import Layout
from ivbridge.blocks.rows import Columns
from ivbridge.blocks.solve import solved
from ivbridge.clustering import Codes, numbered
from ivbridge.design import Design, Prepared, designed, group_values, prepare
from ivbridge.engines.absorbed import absorbed
from ivbridge.engines.postponed import alone, answered
from ivbridge.engines.quick import direct
from ivbridge.kept import Kept, kept_of
from ivbridge.later import later
from ivbridge.rank import decided
from ivbridge.records import Seen
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.vcov import Vcov

__all__ = ["answer", "careful"]

INTERCEPT = "(Intercept)"


def answer(spec: IVSpec, read: Callable[[str], Any], frame: Callable[[], pd.DataFrame]) -> Estimate | None:
    """Answer a question directly or, where that cannot be, carefully; parameters as of :func:`direct`."""
    if spec.absorb is not None:
        return absorbed(spec, frame())
    return direct(spec, read, frame) or careful(spec, frame())


def careful(spec: IVSpec, data: pd.DataFrame) -> Estimate | None:
    """Answer a question.

    Parameters
    ----------
    spec : IVSpec
    data : DataFrame

    Returns
    -------
    Estimate or None
        None for a vcov that looks at rows in order, or draws them.

    Raises
    ------
    FormulaError, DataError, DesignError
        As :func:`ivbridge.design.build`, and if the data cannot carry the vcov or the method.
    UnsupportedError
        If the question names no vcov, or one that the method cannot have.
    """
    vcov = asked_vcov(spec)
    if not summable(vcov):
        return None
    prepared = prepare(spec, data)
    x, z = prepared.x, prepared.z
    rows, layout = _arranged(prepared, x.names, z.names)
    factor = factored(rows, constant=layout.constant)
    rank = decided(factor.raw.astype(float), x.names, z.names, factor.n)
    names = kept_of(spec.method, prepared.label, (x.names, z.names), rank)
    if names.aliased or names.aliased_instruments:
        rows, layout = _arranged(prepared, names.x, names.z)
        factor = factored(rows, constant=layout.constant)
    codes, groups = _groups(prepared, vcov)
    rows = Columns(rows.columns, rows.weights, codes)
    found = solved(rows, layout, vcov, groups, method=spec.method, factor=factor)
    solution = Answer(rows, found, spec.inference, exact=rank.exact)
    seen = _seen(prepared, names, vcov, exact=rank.exact)
    return answered(solution, spec, seen, lambda: prepared.frame, (*prepared.notes, *names.notes))


def _arranged(prepared: Prepared, x_names: tuple[str, ...], z_names: tuple[str, ...]) -> tuple[Columns, Layout]:
    """The columns of these names in the order of W: instruments, the other regressors, the dependent variable."""
    x, z = prepared.x, prepared.z
    known = {**dict(zip(x.names, x.columns, strict=True)), **dict(zip(z.names, z.columns, strict=True))}
    constant = INTERCEPT in x_names and INTERCEPT in z_names
    place = {name: j for j, name in enumerate(dict.fromkeys((*z_names, *x_names)))}
    columns = (*[known[name] for name in place][int(constant) :], prepared.y)
    at = [tuple(place[name] for name in names) for names in (x_names, z_names)]
    layout = Layout(constant, x_names, z_names, at[0], at[1], len(place), weighted=prepared.weights is not None)
    return Columns(columns, prepared.weights), layout


def _groups(prepared: Prepared, vcov: Vcov) -> tuple[tuple[Codes, ...], tuple[int, ...]]:
    """Codes of every subset of the cluster columns, and how many there are."""
    single = {name: numbered(_whole(group_values(prepared.frame, prepared.rows, name))) for name in vcov.columns}
    sandwich.check_groups(vcov, {name: np.array([count - 1]) for name, (_, count) in single.items()})
    return group_codes(vcov, single)


def _whole(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind in "iub" else pd.factorize(values)[0]


def _seen(prepared: Prepared, names: Kept, vcov: Vcov, *, exact: bool) -> Seen:
    @cache
    def design() -> Design:
        return designed(prepared)

    return Seen(
        rows=prepared.rows, x_names=names.x, z_names=names.z, aliased=names.aliased,
        aliased_instruments=names.aliased_instruments, levels=prepared.levels,
        y=later(lambda: np.array(prepared.y)), x=alone(lambda: design().x), z=alone(lambda: design().z),
        weights=prepared.weights, groups=alone(lambda: {name: design().groups(name) for name in vcov.columns}),
        exact=exact,
    )  # fmt: skip
