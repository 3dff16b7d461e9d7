"""The fast engine's direct way from a table to an estimate: no design, no copies of columns, nothing of n rows unasked.

A question whose terms are plain columns of numbers is answered from the columns as they lie in memory. A missing or
infinite value, a number too large, dependent columns and everything else that needs a closer look show in the
cross-products of the first pass; then, and for every other question, :mod:`ivbridge.design` looks at the data, and says
what is wrong in the same words for all engines.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge.asked import asked_vcov
from ivbridge.blocks.answer import Answer
from ivbridge.blocks.factor import Factor, factored
from ivbridge.blocks.meats import group_codes, summable
from ivbridge.blocks.regression import Layout
from ivbridge.blocks.rows import Columns
from ivbridge.blocks.solve import Solved, solved
from ivbridge.clustering import Codes
from ivbridge.design import RESERVED, Design, build, frame_of
from ivbridge.engines.grouping import grouped
from ivbridge.engines.postponed import alone, answered
from ivbridge.errors import DesignError
from ivbridge.expr import Name, parse, r_label
from ivbridge.frame import EXACT
from ivbridge.later import later
from ivbridge.rank import decided
from ivbridge.records import Seen
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.vcov import Vcov

__all__ = ["direct"]

#: Columns whose entries are certain to lie within these are not looked at (:mod:`ivbridge.magnitude` has 1e±35).
LARGEST, SMALLEST = 1e30, 1e-30

#: What is left of a column, relative to its length, from which on R certainly keeps it (R's tolerance is 1e-7).
REMAINDER = 1e-6

#: Residuals smaller than this part of the terms of y − Xβ may be rounding.
RESIDUAL = 1e-9


@dataclass(frozen=True, slots=True)
class Plan:
    """A question whose terms are columns.

    Attributes
    ----------
    columns : tuple of str
        The columns of the data in the order of W, without the constant.
    layout : Layout
    """

    columns: tuple[str, ...]
    layout: Layout


@lru_cache(maxsize=256)
def planned(spec: IVSpec) -> Plan | None:
    """The plan of a question; None where a term is something else than the name of a column."""
    groups = (spec.exog, spec.instruments, spec.endog, (spec.dependent,))
    trees = [parse(text) for group in groups for text in group]
    names = [tree.id for tree in trees if isinstance(tree, Name)]
    odd = RESERVED.intersection(names) or any(name.startswith(".ivb_") for name in spec.columns)
    if len(names) < len(trees) or len(set(names)) < len(names) or odd or spec.offset is not None:
        return None
    if len(spec.instruments) < len(spec.endog):
        return None
    exog, excluded, endog = ([r_label(text) for text in group] for group in groups[:3])
    first = int(spec.intercept)
    place = {name: j + first for j, name in enumerate([*exog, *excluded, *endog])}
    constant = ("(Intercept)",) * first
    x, z = (*constant, *exog, *endog), (*constant, *exog, *excluded)
    at = [tuple(place.get(name, 0) for name in part) for part in (x, z)]
    layout = Layout(spec.intercept, x, z, at[0], at[1], len(names) - 1 + first, weighted=spec.weights is not None)
    return Plan(tuple(names), layout)


def direct(spec: IVSpec, read: Callable[[str], Any], frame: Callable[[], pd.DataFrame]) -> Estimate | None:
    """Answer a question from the columns as they lie in memory.

    Parameters
    ----------
    spec : IVSpec
    read : callable
        Gives a column by its name, as :func:`ivbridge.tabular.reader` does.
    frame : callable
        Gives the data for a design, which is made when the estimate is asked for its matrices or fingerprint.

    Returns
    -------
    Estimate or None
        None where the design has to be made first.

    Raises
    ------
    UnsupportedError
        If the question names no vcov, or one that the method cannot have.
    DesignError
        If LIML or Fuller is not defined for the data.
    """
    vcov = asked_vcov(spec)
    plan = planned(spec)
    if plan is None or not summable(vcov):
        return None
    found = _rows(spec, plan, read)
    if found is None:
        return None
    rows, whole = found
    groups = _groups(vcov, read, len(rows.columns[0])) if vcov.columns else ((), ())
    if groups is None:
        return None
    rows = Columns(rows.columns, rows.weights, groups[0])
    layout = plan.layout
    with np.errstate(all="ignore"):  # what is not finite shows in the factor
        factor = factored(rows, constant=layout.constant)
        lengths = _lengths(rows, whole, layout, factor)
    if lengths is None:
        return None
    far = factor.path == "cholesky" and not (factor.r.diagonal() < REMAINDER * lengths)[:-1].any()
    if not (far or _all_kept(layout, factor)):
        return None
    solution = solved(rows, layout, vcov, groups[1], method=spec.method, factor=factor)
    if far and not _usual(solution, lengths):
        return None
    seen = _seen(rows, layout, vcov, cache(lambda: build(spec, frame())))
    return answered(Answer(rows, solution, spec.inference, exact=False), spec, seen, lambda: frame_of(spec, frame()))


def _seen(rows: Columns, layout: Layout, vcov: Vcov, design: Callable[[], Design]) -> Seen:
    """Names; matrices and codes, those of the design, when they are looked at."""
    return Seen(
        rows=later(lambda: np.arange(len(rows.columns[0]))), x_names=layout.x_names, z_names=layout.z_names,
        y=later(lambda: np.array(rows.columns[-1][:], dtype=np.float64)),
        x=alone(lambda: design().x), z=alone(lambda: design().z),
        weights=None if rows.weights is None else alone(lambda: design().weights),
        groups=alone(lambda: {name: design().groups(name) for name in vcov.columns}),
    )  # fmt: skip


def _rows(spec: IVSpec, plan: Plan, read: Callable[[str], Any]) -> tuple[Columns, list[int]] | None:
    """The columns and weights, and which columns are whole numbers.

    None where one is not a column of numbers, or there are too few rows.
    """
    columns = tuple([read(name) for name in plan.columns])
    kinds = [_kind(column) for column in columns]
    if "" in kinds:
        return None
    n = len(columns[0])
    if n <= len(columns) + 1 or any(len(column) != n for column in columns):
        return None
    w = None
    if spec.weights is not None:
        w = read(spec.weights)
        if not _kind(w) or len(w) != n or not isinstance(w, np.ndarray) or not w.min() > 0:
            return None
        w = w.astype(np.float64, copy=False)
    return Columns(columns, w), [j for j, kind in enumerate(kinds) if kind != "f"]


def _kind(column: Any) -> str:
    """``"f"``, ``"i"`` or ``"u"`` for numbers that doubles hold or may hold; empty for everything else."""
    dtype = getattr(column, "dtype", None)
    usual = isinstance(dtype, np.dtype) and dtype.kind in "fiu" and dtype.itemsize <= 8
    return dtype.kind if usual else ""  # type: ignore[union-attr]


def _groups(vcov: Vcov, read: Callable[[str], Any], n: int) -> tuple[tuple[Codes, ...], tuple[int, ...]] | None:
    """Codes of every subset of the cluster columns and how many there are; None where a column needs a closer look."""
    single = {name: grouped(read(name), n) for name in vcov.columns}
    known = {name: one for name, one in single.items() if one is not None and one[1] > 1}
    return group_codes(vcov, known) if len(known) == len(single) else None


def _lengths(rows: Columns, whole: list[int], layout: Layout, factor: Factor) -> NDArray[np.float64] | None:
    """Lengths of the columns as they are, (m,); None where a value may not be finite, or be too large or too small."""
    if factor.path == "none":
        return None
    first, r, shift = int(layout.constant), factor.r, factor.shift
    squares = (r * r).sum(axis=0)
    spread = squares[first:].copy()
    if shift is not None:
        squares[1:] += (2 * r[0, 1:] + r[0, 0] * shift) * (r[0, 0] * shift)
    lengths = np.sqrt(squares)
    low, high = (1.0, 1.0) if rows.weights is None else (float(rows.weights.min()), float(rows.weights.max()))
    largest = np.sqrt(spread / low) if shift is None else np.sqrt(spread / low) + np.abs(shift)
    smallest = lengths[first:].min() / np.sqrt(factor.n * high)
    if not largest.max() * max(1.0, high) < LARGEST or not smallest * min(1.0, low) > SMALLEST:
        return None
    return lengths if not whole or largest[whole].max() <= EXACT else None


def _all_kept(layout: Layout, factor: Factor) -> bool:
    """Whether R would leave out no column, the model is identified, and the regressors do not reproduce y."""
    try:
        rank = decided(factor.raw.astype(float), layout.x_names, layout.z_names, factor.n)
    except DesignError:
        return False
    return len(rank.x) == len(layout.x) and len(rank.z) == len(layout.z) and not rank.exact


def _usual(found: Solved, lengths: NDArray[np.float64]) -> bool:
    """Whether the projected regressors are certainly independent by R's rule, and residuals more than rounding."""
    x = list(found.layout.x)
    left = 1 / np.abs(np.diagonal(found.model.inverse))
    terms = lengths[-1] + lengths[x] @ np.abs(found.coef)
    return bool((left >= REMAINDER * lengths[x]).all() and found.rss**0.5 > RESIDUAL * terms)
