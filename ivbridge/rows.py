"""Decide once which rows a question can use, and say why the others are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ivbridge.errors import DesignError
from ivbridge.spec import IVSpec
from ivbridge.variables import Variable

__all__ = ["Tally", "choose_rows", "missing_in", "sifted", "usable"]

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows there are and how many go, each for the first reason only.

    Attributes
    ----------
    total : int
    gone, broken, idle : int
        Rows with a missing value, with an undefined one, of weight zero.
    missing, undefined : mapping of str to int
        Rows of each column and variable for which that is so.
    weights : str or None
        Name of the weights.
    """

    total: int = 0
    gone: int = 0
    broken: int = 0
    idle: int = 0
    missing: Mapping[str, int] = field(default_factory=dict)
    undefined: Mapping[str, int] = field(default_factory=dict)
    weights: str | None = None

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.total + other.total, self.gone + other.gone, self.broken + other.broken, self.idle + other.idle,
            _summed(self.missing, other.missing), _summed(self.undefined, other.undefined),
            self.weights or other.weights,
        )  # fmt: skip

    @property
    def kept(self) -> int:
        """Rows that can be used."""
        return self.total - self.gone - self.broken - self.idle

    @property
    def notes(self) -> list[str]:
        """One sentence for each reason."""
        reasons = (
            (self.gone, f"missing values in {_counts(self.missing)}"),
            (self.broken, f"undefined values of {_counts(self.undefined)}"),
            (self.idle, f"weight zero in {self.weights}"),
        )
        return [f"{count} of {self.total} rows left out: {why}" for count, why in reasons if count]

    def check(self) -> None:
        """Refuse data of which nothing remains.

        Raises
        ------
        DesignError
            If no row remains.
        """
        if not self.kept:
            why = "; ".join(self.notes) or "the data has no rows"
            raise DesignError(f"No row can be used: {why}.", do="look at the columns named here.")


def _summed(first: Mapping[str, int], second: Mapping[str, int]) -> dict[str, int]:
    return {name: first.get(name, 0) + second.get(name, 0) for name in {**first, **second}}


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
    rows, tally = usable(spec, frame, variables, response, weights)
    tally.check()
    return rows, tally.notes


def usable(
    spec: IVSpec,
    frame: pd.DataFrame,
    variables: Mapping[str, Variable],
    response: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
) -> tuple[NDArray[np.int64], Tally]:
    """The rows that :func:`choose_rows` keeps, and the counts of the others; there may be no row left."""
    grouping = set(() if spec.vcov is None else spec.vcov.columns) - set(spec.with_vcov(None).columns)
    missing = {name: missing_in(frame[name]) for name in spec.columns if name not in grouping}
    label = spec.dependent if spec.offset is None else f"{spec.dependent} - ({spec.offset})"
    undefined = {label: np.isnan(response), **{name: variable.missing for name, variable in variables.items()}}
    idle = None if weights is None else weights == 0
    return sifted(len(frame), missing, undefined, idle, spec.weights)


def sifted(
    total: int, missing: Mapping[str, Mask], undefined: Mapping[str, Mask], idle: Mask | None, weights: str | None
) -> tuple[NDArray[np.int64], Tally]:
    """Rows for which no mask, (total,), is true, and why the others go: each counts for the first reason only."""
    gone = _any(missing.values(), total)
    undefined = {name: mask & ~gone for name, mask in undefined.items()}
    broken = _any(undefined.values(), total)
    left = np.zeros(total, dtype=bool) if idle is None else idle & ~gone & ~broken
    tally = Tally(
        total, int(gone.sum()), int(broken.sum()), int(left.sum()),
        {name: int(mask.sum()) for name, mask in missing.items()},
        {name: int(mask.sum()) for name, mask in undefined.items()}, weights,
    )  # fmt: skip
    return np.flatnonzero(~(gone | broken | left)).astype(np.int64), tally


def missing_in(column: pd.Series[Any]) -> Mask:
    """Where a column of a normalised frame has no value, (n,)."""
    return np.isnan(column.to_numpy()) if column.dtype == np.float64 else column.isna().to_numpy()


def _any(masks: Iterable[Mask], total: int) -> Mask:
    found = np.zeros(total, dtype=bool)
    for mask in masks:
        found |= mask
    return found


def _counts(counts: Mapping[str, int]) -> str:
    shown = {name: count for name, count in counts.items() if count}
    return ", ".join(name if len(shown) == 1 else f"{name} ({count})" for name, count in shown.items())
