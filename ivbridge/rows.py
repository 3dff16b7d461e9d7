"""Decide once which rows a question can use, and say why the others are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge.errors import DesignError
from ivbridge.spec import IVSpec
from ivbridge.variables import Variable

__all__ = ["choose_rows"]


def choose_rows(
    spec: IVSpec,
    frame: pd.DataFrame,
    variables: Mapping[str, Variable],
    response: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
) -> tuple[NDArray[np.int64], list[str]]:
    """Keep the rows in which everything is present.

    A value that a function leaves undefined (``log`` of a negative number) counts as missing, as in R. Rows of weight
    zero are left out. Missing values in columns that only group rows do not matter here.

    Parameters
    ----------
    spec : IVSpec
    frame : DataFrame
        Normalised, all rows.
    variables : mapping of str to Variable
        The variables of all terms, all rows.
    response : ndarray, shape (N,)
        Dependent variable minus offset.
    weights : ndarray, shape (N,), optional

    Returns
    -------
    rows : ndarray of int64, shape (n,)
        Positions, ascending.
    notes : list of str
        One sentence for each reason.

    Raises
    ------
    DesignError
        If no row remains.
    """
    total = len(frame)
    reasons = _reasons(spec, frame, variables, response, weights)
    notes = [f"{int(mask.sum())} of {total} rows left out: {why}" for mask, why in reasons if mask.any()]
    rows = np.flatnonzero(~_any((mask for mask, _ in reasons), total)).astype(np.int64)
    if not len(rows):
        why = "; ".join(notes) or "the data has no rows"
        raise DesignError(f"No row can be used: {why}.", do="look at the columns named here.")
    return rows, notes


def _reasons(
    spec: IVSpec,
    frame: pd.DataFrame,
    variables: Mapping[str, Variable],
    response: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
) -> tuple[tuple[NDArray[np.bool_], str], ...]:
    """Rows that go, and why; each row counts for the first reason only."""
    total = len(frame)
    grouping = set(() if spec.vcov is None else spec.vcov.columns) - set(spec.with_vcov(None).columns)
    missing = {name: _missing(frame[name]) for name in spec.columns if name not in grouping}
    gone = _any(missing.values(), total)
    label = spec.dependent if spec.offset is None else f"{spec.dependent} - ({spec.offset})"
    undefined = {label: np.isnan(response) & ~gone}
    undefined |= {name: variable.missing & ~gone for name, variable in variables.items()}
    broken = _any(undefined.values(), total)
    idle = np.zeros(total, dtype=bool) if weights is None else (weights == 0) & ~gone & ~broken
    return (
        (gone, f"missing values in {_counts(missing)}"),
        (broken, f"undefined values of {_counts(undefined)}"),
        (idle, f"weight zero in {spec.weights}"),
    )


def _missing(column: pd.Series[Any]) -> NDArray[np.bool_]:
    return np.isnan(column.to_numpy()) if column.dtype == np.float64 else column.isna().to_numpy()


def _any(masks: Iterable[NDArray[np.bool_]], total: int) -> NDArray[np.bool_]:
    found = np.zeros(total, dtype=bool)
    for mask in masks:
        found |= mask
    return found


def _counts(masks: Mapping[str, NDArray[np.bool_]]) -> str:
    counts = {name: int(mask.sum()) for name, mask in masks.items() if mask.any()}
    return ", ".join(name if len(counts) == 1 else f"{name} ({count})" for name, count in counts.items())
