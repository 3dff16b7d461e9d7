"""Terms to columns, by the rules of R's ``model.matrix``; :mod:`ivbridge.coding` has the rule for factors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ivbridge.coding import Coding
from ivbridge.errors import DataError, DesignError
from ivbridge.expr import r_label
from ivbridge.formula import Term
from ivbridge.frame import counted
from ivbridge.variables import Factor, Numeric, Variable

__all__ = ["Columns", "drop_unused", "model_matrix"]

Matrix = NDArray[np.float64]

#: With as many columns as rows, so many cells may be looked through for those that are not needed.
MANY_CELLS = 10**7
#: LINPACK, in R, takes matrices of fewer cells.
MOST_CELLS = 2**31


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """A model matrix (n, k), column by column.

    Attributes
    ----------
    columns : tuple of (n,) arrays
        Views of the data where a term is a column of it.
    names : tuple of str
    terms : tuple of int
        Which term each column came from; −1 is the intercept.
    rows : int
    """

    columns: tuple[NDArray[np.float64], ...]
    names: tuple[str, ...]
    terms: tuple[int, ...]
    rows: int

    def stacked(self, kept: Sequence[int] | None = None) -> Matrix:
        """The columns, or those at some places, side by side in a new matrix, (n, k)."""
        chosen = self.columns if kept is None else [self.columns[j] for j in kept]
        matrix = np.empty((self.rows, len(chosen)), order="F")
        for j, column in enumerate(chosen):
            matrix[:, j] = column
        return matrix

    def sharing(self, other: Columns) -> Columns:
        """The same columns, in the memory of another matrix where that has one of the same name."""
        known = dict(zip(other.names, other.columns, strict=True))
        columns = tuple(known.get(name, column) for name, column in zip(self.names, self.columns, strict=True))
        return replace(self, columns=columns)


def drop_unused(name: str, factor: Factor) -> Factor:
    """Drop the levels that have no row, as AER does (``drop.unused.levels = TRUE``).

    Raises
    ------
    DataError
        If fewer than two levels remain, or the reference level or a level of a sum contrast lost all its rows: R would
        silently use another coding.
    """
    counts = np.bincount(factor.codes, minlength=len(factor.levels))
    used = counts > 0
    if factor.logical:
        return factor
    lost = [level for level, there in zip(factor.levels, used, strict=True) if not there]
    if factor.reference in lost or (lost and factor.coding == "sum"):
        level = factor.reference if factor.reference in lost else lost[0]
        raise DataError(f"{name}: no row of level {level!r} is left, so this coding has no meaning.", do="recode it.")
    levels = tuple(level for level, there in zip(factor.levels, used, strict=True) if there)
    if len(levels) < 2:
        raise DataError(
            f"{name} has {counted(len(levels), 'level')} in the rows used; a factor needs two.",
            do="leave it out.",
        )
    return factor if not lost else replace(factor, codes=(np.cumsum(used) - 1)[factor.codes], levels=levels)


def model_matrix(
    terms: Sequence[Term], variables: Mapping[str, Variable], *, intercept: bool, rows: int, coding: Coding
) -> Columns:
    """Build the columns of a list of terms.

    Parameters
    ----------
    terms : sequence of Term
        Sorted by degree.
    variables : mapping of str to Variable
        Every variable of the terms, on the rows used, unused levels dropped.
    intercept : bool
        Whether the first column is ``(Intercept)``.
    rows : int
        Number of rows.
    coding : Coding
        From :func:`ivbridge.coding.codings`.

    Returns
    -------
    Columns
        With R's column names; in an interaction the first variable varies fastest.

    Raises
    ------
    DesignError
        If there would be as many columns as rows and too many of both to look which of them are needed, or more cells
        than R's decompositions take.
    """
    _check_size(terms, variables, coding, rows)
    pieces: list[tuple[str, NDArray[np.float64]]] = []
    if intercept:
        pieces.append(("(Intercept)", np.broadcast_to(np.float64(1.0), rows)))
    owners = [-1] * len(pieces)
    for position, (term, full) in enumerate(zip(terms, coding, strict=True)):
        blocks = [_block(r_label(name), variables[name], dummies) for name, dummies in zip(term, full, strict=True)]
        columns = blocks[0]
        with np.errstate(over="ignore", invalid="ignore"):  # the caller looks for infinite values
            for block in blocks[1:]:
                columns = [(f"{a}:{b}", x * y) for b, y in block for a, x in columns]
        pieces += columns
        owners += [position] * len(columns)
    return Columns(tuple(column for _, column in pieces), tuple(name for name, _ in pieces), tuple(owners), rows)


def _check_size(terms: Sequence[Term], variables: Mapping[str, Variable], coding: Coding, rows: int) -> None:
    widths = [
        math.prod(_width(variables[name], dummies) for name, dummies in zip(term, full, strict=True))
        for term, full in zip(terms, coding, strict=True)
    ]
    count = sum(widths)
    if (count >= rows and count * rows > MANY_CELLS) or count * rows >= MOST_CELLS:
        widest = ":".join(terms[widths.index(max(widths))])
        raise DesignError(
            f"The question has {count} columns for {counted(rows, 'row')}: {widest} alone makes {max(widths)}.",
            do="use fewer levels, or make one column of the combinations that occur.",
        )


def _width(variable: Variable, dummies: bool) -> int:
    return len(variable.suffixes) if isinstance(variable, Numeric) else len(variable.levels) - (not dummies)


def _block(name: str, variable: Variable, dummies: bool) -> list[tuple[str, NDArray[np.float64]]]:
    if isinstance(variable, Numeric):
        values = variable.values[:, None] if variable.values.ndim == 1 else variable.values
        return [(name + suffix, values[:, j]) for j, suffix in enumerate(variable.suffixes)]
    if dummies or variable.coding == "treatment":
        shown = range(0 if dummies else 1, len(variable.levels))
        return [(name + variable.levels[j], (variable.codes == j).astype(np.float64)) for j in shown]
    suffixes, table = _contrasts(variable)
    return [(name + suffix, table[variable.codes, j]) for j, suffix in enumerate(suffixes)]


def _contrasts(factor: Factor) -> tuple[list[str], Matrix]:
    """R's ``contr.sum`` or ``contr.poly``, shape (levels, levels − 1)."""
    size = len(factor.levels)
    if factor.coding == "sum":
        return [str(j + 1) for j in range(size - 1)], np.vstack([np.eye(size - 1), -np.ones(size - 1)])
    if size > 95:
        raise DataError(f"An ordered factor has {size} levels; R's contr.poly stops at 95.", do="make it unordered.")
    scores = np.arange(1.0, size + 1) - (size + 1) / 2
    q, r = np.linalg.qr(np.vander(scores, size, increasing=True))
    names = [".L", ".Q", ".C", *(f"^{power}" for power in range(4, size))]
    return names[: size - 1], (q * np.sign(np.diagonal(r)))[:, 1:]
