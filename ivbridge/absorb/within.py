"""What fixed effects leave of columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ivbridge.absorb.codes import Codes
from ivbridge.absorb.demeaner import demeaned
from ivbridge.absorb.iterated import Iterated, StalledError, well_linked
from ivbridge.absorb.normal import Normal
from ivbridge.absorb.schur import EXACT, LARGEST, Schur, decomposed
from ivbridge.errors import DesignError
from ivbridge.records import FloatArray

__all__ = ["ABSORBED", "Within", "within"]

#: Levels of all factors but the largest up to which S is decomposed, however well the graph is linked.
FEW = 100

#: Rows of a block, which a processor's cache holds with what is subtracted from it.
BLOCK = 8192

#: What is left of a column that the effects absorb, relative to the column: R's tolerance of linear dependence.
ABSORBED = 1e-7

#: Size of a correction that is not made; after which no other is needed; and that must not be left, for eight digits.
ENOUGH, LAST, WORST = 1e-13, 1e-9, 1e-6

#: Most corrections.
STEPS = 6


class Solver(Protocol):
    """Solves the normal equations of all dummies."""

    def solve(self, big: FloatArray, small: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Effects of the largest factor, (G₁, p), and of the others, (m, p), from sums of columns by level."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Within:
    """What is left of p columns.

    Attributes
    ----------
    values : (n, p) array
        Row by row in memory.
    lengths : (p,) array
        Of the columns before: √Σwᵢvᵢ².
    remains : (p,) array
        Of the columns now.
    step : float
        Largest effect, relative to the root mean square of what is left of its column, that the last correction found:
        at least as large as what rounding or iteration has left. Cross-products are wrong by its square.
    rank : int or None
        Linearly independent dummies; None where iteration does not tell.
    path : {"means", "schur", "iteration", "pyfixest"}
    """

    values: FloatArray
    lengths: FloatArray
    remains: FloatArray
    step: float
    rank: int | None
    path: str

    @property
    def absorbed(self) -> npt.NDArray[np.bool_]:
        """Columns that are linear combinations of the dummies, by R's rule, (p,)."""
        return self.remains < ABSORBED * self.lengths


def within(
    columns: Sequence[npt.NDArray[Any]],
    factors: Sequence[tuple[Codes, int]],
    weights: FloatArray | None = None,
    *,
    rank: bool = False,
) -> Within:
    """Subtract the fixed effects of one or more factors from columns.

    Parameters
    ----------
    columns : sequence of (n,) arrays, p of them
    factors : sequence of ((n,) codes, number of levels)
    weights : (n,) array, optional
        Positive; the effects are those of weighted least squares.
    rank : bool, default False
        Whether to take a way that tells the rank, where there is one.

    Raises
    ------
    MissingExtraError
        If two factors are large, their graph is poorly connected, and pyfixest is not installed.
    DesignError
        If the effects cannot be told apart in double precision, or iteration does not end.
    """
    normal = Normal(tuple(factors), weights)
    values, lengths = _loaded(columns, weights)
    solver = _solver(normal, rank=rank)
    path = "schur" if normal.m else "means"
    try:
        step, remains = _corrected(normal, solver, values, lengths)
        path = "iteration" if isinstance(solver, Iterated) and solver.exact is None else path
    except StalledError:
        values, path = demeaned(normal, values), "pyfixest"
        remains = _lengths(values, weights)
        means = tuple(part / size[:, None] for part, size in zip(normal.sums(values), normal.lengths, strict=True))
        step = _size((means[0], means[1]), normal, remains, lengths)
    if step > WORST:
        raise DesignError(
            f"The fixed effects are known to {step:.0e} of what they leave of a column, which is not enough.",
            do="leave out rows that are alone in a level (singletons=drop), or absorb a coarser factor.",
        )
    exact = solver.exact if isinstance(solver, Iterated) else solver
    return Within(values, lengths, remains, step, None if exact is None else exact.rank, path)


def _solver(normal: Normal, *, rank: bool) -> Schur | Iterated:
    """Who solves: decomposing S costs the cube of its order, iterating some passes over the table of pairs."""
    exact = normal.m <= FEW or normal.m <= (LARGEST if rank else EXACT)
    return decomposed(normal) if exact and (rank or normal.m <= FEW or not well_linked(normal)) else Iterated(normal)


def _corrected(normal: Normal, solver: Solver, values: FloatArray, lengths: FloatArray) -> tuple[float, FloatArray]:
    """Take the effects off, in place, and again what is left of them; the last step's size and the lengths."""
    _subtract(normal, values, *solver.solve(*normal.sums(values)))
    remains = _lengths(values, normal.weights)
    step = np.inf
    for _ in range(STEPS):
        effects = solver.solve(*normal.sums(values))
        before, step = step, _size(effects, normal, remains, lengths)
        if step <= ENOUGH or step > before / 2:
            break
        _subtract(normal, values, *effects)
        if step <= LAST:
            break
        remains = _lengths(values, normal.weights)
    return step, remains


def _loaded(columns: Sequence[npt.NDArray[Any]], weights: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """The columns side by side, (n, p), with their means taken off, and their lengths before that, (p,)."""
    n = len(columns[0])
    values = np.empty((n, len(columns)))
    means = np.array([column.mean(dtype=np.float64) for column in columns])
    for start in range(0, n, BLOCK):
        rows = slice(start, start + BLOCK)
        block = values[rows]
        for j, column in enumerate(columns):
            np.subtract(column[rows], means[j], out=block[:, j], casting="unsafe")
    # with weights the mean is not the weighted one, and the length right to a factor of √2
    return values, np.hypot(_lengths(values, weights), means * np.sqrt(n if weights is None else weights.sum()))


def _lengths(values: FloatArray, weights: FloatArray | None) -> FloatArray:
    """√Σwᵢvᵢ² of each column, by a product of matrices, which is the fastest way to add up short rows."""
    if weights is None:
        return np.sqrt(np.diag(values.T @ values))
    total = np.zeros((values.shape[1],) * 2)
    for start in range(0, len(values), BLOCK):
        block = values[start : start + BLOCK]
        total += block.T @ (block * weights[start : start + BLOCK, None])
    return np.sqrt(np.diag(total))


def _size(effects: tuple[FloatArray, FloatArray], normal: Normal, remains: FloatArray, lengths: FloatArray) -> float:
    """Largest effect relative to the root mean square of its column, or of R's tolerance of it."""
    total = float(normal.n if normal.weights is None else normal.weights.sum())
    scale = np.maximum(remains, ABSORBED * lengths) / np.sqrt(total)
    largest = np.maximum(*(np.abs(part).max(axis=0, initial=0.0) for part in effects))
    return float(np.divide(largest, scale, out=np.zeros_like(scale), where=scale > 0).max(initial=0.0))


def _subtract(normal: Normal, values: FloatArray, alpha: FloatArray, gamma: FloatArray) -> None:
    """V − D₁α − Bγ, in place."""
    codes, side = normal.first[0], normal.side
    for start in range(0, len(values), BLOCK):
        rows = slice(start, start + BLOCK)
        block = values[rows]
        block -= alpha.take(codes[rows], axis=0)
        for q in range(side.shape[1]):
            block -= gamma.take(side[rows, q], axis=0)
