"""Which columns are linearly dependent, decided as R decides it.

R's ``lm.fit`` walks through the columns from left to right and drops a column when what is left of it, after
projecting on the columns kept before, is shorter than 1e-7 times the column itself (LINPACK's ``dqrdc2`` with
``tol = 1e-7``). The rule depends only on lengths and angles, so it may be applied to the small triangular factor of
the tall matrix instead of the matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ivbridge.errors import DesignError
from ivbridge.frame import counted
from ivbridge.modelmatrix import Columns

__all__ = ["NO_RESIDUAL", "TOLERANCE", "Rank", "decide_rank", "decided", "independent_columns", "triangle"]

#: R's default in ``lm.fit(tol = 1e-7)``
TOLERANCE = 1e-7

#: A QR decomposition leaves a residual of a few times k·2⁻⁵³ of the terms of y − Xβ where there is none.
NO_RESIDUAL = 1e-13

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


def triangle(matrix: Matrix) -> Matrix:
    """Return a small matrix with the same lengths of, and angles between, columns.

    Parameters
    ----------
    matrix : ndarray, shape (n, k)

    Returns
    -------
    ndarray, shape (min(n, k), k)
        The triangular factor of a QR decomposition without pivoting.
    """
    rows, columns = matrix.shape
    if columns == 0:
        return np.zeros((0, 0))
    size = max(4096, 8 * columns)
    while rows > 2 * size:  # block by block, so that each block stays in the cache; as stable as one QR
        matrix = np.vstack([np.linalg.qr(matrix[start : start + size], mode="r") for start in range(0, rows, size)])
        rows = len(matrix)
    return np.asarray(np.linalg.qr(matrix, mode="r"))


def independent_columns(
    matrix: Matrix, *, tolerance: float = TOLERANCE, lengths: NDArray[np.float64] | None = None
) -> list[int]:
    """Return the positions of the columns that R would keep, ascending.

    Parameters
    ----------
    matrix : ndarray, shape (n, k)
        Only lengths and angles of its columns matter: :func:`triangle` may be applied first.
    tolerance : float, default 1e-7
        As ``tol`` of R's ``lm.fit``.
    lengths : ndarray, shape (k,), optional
        What `tolerance` is relative to; default: the lengths of the columns.
    """
    work = np.array(matrix, dtype=np.float64, order="F")
    largest = np.abs(work).max(axis=0, initial=0.0)
    units = np.where(largest > 0, largest, 1.0)  # so that squares neither overflow nor underflow
    work /= units
    original = np.linalg.norm(work, axis=0) if lengths is None else lengths / units
    remainders = np.abs(np.diagonal(np.linalg.qr(work, mode="r"))) if work.size else np.zeros(0)
    if len(remainders) == work.shape[1] and np.all((remainders > 0) & (remainders >= original * tolerance)):
        return list(range(work.shape[1]))
    kept: list[int] = []
    basis = np.empty((work.shape[0], min(work.shape)), order="F")
    for j in range(work.shape[1]):
        column = work[:, j]
        for _ in range(2):  # a second projection removes what rounding left of the first one
            done = basis[:, : len(kept)]
            column = column - done @ (done.T @ column)
        length = float(np.linalg.norm(column))
        if len(kept) < basis.shape[1] and length > 0 and length >= original[j] * tolerance:
            basis[:, len(kept)] = column / length
            kept.append(j)
    return kept


@dataclass(frozen=True, slots=True)
class Rank:
    """Positions of the regressors and of the instruments that are kept; whether the regressors reproduce y."""

    x: tuple[int, ...]
    z: tuple[int, ...]
    exact: bool


def decide_rank(y: Vector, x: Columns, z: Columns, weights: Vector | None) -> Rank:
    """Find the columns to keep, and refuse a model that the rest cannot identify.

    Parameters
    ----------
    y : ndarray, shape (n,)
        Dependent variable.
    x, z : Columns
        All regressors, shape (n, k), and all instruments, shape (n, l); a column of one name is the same in both.
    weights : ndarray, shape (n,), optional
        Rows are scaled by the square roots of the weights, as in a weighted fit.

    Returns
    -------
    Rank

    Raises
    ------
    DesignError
        If there are not more rows than coefficients and than independent instruments, fewer independent instruments
        than regressors, or the regressors' projections on the instruments are linearly dependent.
    """
    own = [j for j, name in enumerate(x.names) if name not in set(z.names)]
    stacked = np.empty((z.rows, len(z.names) + len(own) + 1), order="F")
    for j, column in enumerate((*z.columns, *(x.columns[j] for j in own), y)):
        stacked[:, j] = column
    if weights is not None:
        stacked *= np.sqrt(weights)[:, None]
    return decided(triangle(stacked), x.names, z.names, x.rows, lambda j: bool(np.ptp(z.columns[j]) == 0))


def decided(
    small: Matrix,
    x_names: tuple[str, ...],
    z_names: tuple[str, ...],
    rows: int,
    constant: Callable[[int], bool] | None = None,
) -> Rank:
    """The same decision from a triangular factor.

    Parameters
    ----------
    small : ndarray, shape (m, l + q + 1)
        Lengths and angles of the instruments, of the regressors that are not among them, and of the dependent
        variable, in this order; weighted, not centred. :attr:`ivbridge.blocks.factor.Factor.raw` has such columns.
    x_names, z_names : tuple of str, lengths k and l
        A column of one name is the same in both.
    rows : int
        n.
    constant : callable, optional
        Whether an instrument, by its place, has one value only, for messages; default: whether it is a multiple of the
        intercept but for rounding.

    Raises
    ------
    DesignError
        As :func:`decide_rank`.
    """
    place = {name: j for j, name in enumerate((*z_names, *(name for name in x_names if name not in set(z_names))))}
    small_x, small_z = small[:, [place[name] for name in x_names]], small[:, : len(z_names)]
    keep_x, keep_z = independent_columns(small_x), independent_columns(small_z)
    _check_rows(rows, [x_names[j] for j in keep_x])
    _check_count((x_names, z_names), keep_x, keep_z, constant or (lambda j: _like_intercept(small_z, z_names, j)))
    _check_first_stage(rows, len(keep_z))
    basis = np.linalg.qr(small_z[:, keep_z]).Q
    projected = independent_columns(basis.T @ small_x[:, keep_x], lengths=np.linalg.norm(small_x[:, keep_x], axis=0))
    if lost := [x_names[keep_x[j]] for j in range(len(keep_x)) if j not in projected]:
        raise DesignError(
            f"The instruments do not identify the coefficient of {', '.join(lost)}: projected on the instruments it "
            "depends linearly on the other regressors (the rank of Z'X is "
            f"{len(projected)}, and {len(keep_x)} is needed).",
            do="use instruments that are related to it.",
        )
    return Rank(tuple(keep_x), tuple(keep_z), _reproduces(small_x[:, keep_x], small[:, -1]))


def _like_intercept(z: Matrix, names: tuple[str, ...], j: int) -> bool:
    """Whether a column (m,) is a multiple of the intercept's."""
    if "(Intercept)" not in names:
        return False
    one = z[:, names.index("(Intercept)")]
    rest = z[:, j] - one * (one @ z[:, j] / (one @ one))
    return bool(np.linalg.norm(rest) <= NO_RESIDUAL * np.linalg.norm(z[:, j]))


def _reproduces(x: Matrix, y: Vector) -> bool:
    """Whether what linearly independent columns (m, k) leave of y (m,) is no more than rounding."""
    q, r = np.linalg.qr(x)
    coef = np.linalg.solve(r, q.T @ y)
    terms = np.linalg.norm(y) + np.linalg.norm(x, axis=0) @ np.abs(coef)
    return bool(np.linalg.norm(y - x @ coef) <= NO_RESIDUAL * terms)


def _check_rows(rows: int, names: list[str]) -> None:
    if rows <= len(names):
        raise DesignError(
            f"The model has {counted(len(names), 'coefficient')} ({', '.join(names[:12])}{' …' * (len(names) > 12)}) "
            f"but only {counted(rows, 'row')} can be used.",
            do="use fewer regressors or more rows.",
        )


def _check_first_stage(rows: int, instruments: int) -> None:
    if rows <= instruments:
        raise DesignError(
            f"There are {instruments} independent instruments (the exogenous regressors and the constant among them), "
            f"but only {counted(rows, 'row')} can be used: they would reproduce every regressor.",
            do="use fewer instruments, for example selected ones, or more rows.",
        )


def _check_count(
    names: tuple[tuple[str, ...], tuple[str, ...]],
    keep_x: list[int],
    keep_z: list[int],
    is_constant: Callable[[int], bool],
) -> None:
    if len(keep_z) >= len(keep_x):
        return
    x, z = names
    endogenous = [x[j] for j in keep_x if x[j] not in z]
    excluded = [z[j] for j in keep_z if z[j] not in x]
    useless = [j for j in range(len(z)) if j not in keep_z and z[j] not in x]
    constant = [z[j] for j in useless if is_constant(j)]
    because = f" These depend linearly on earlier columns and do not count: {', '.join(z[j] for j in useless)}."
    if constant:
        because = f" These are constant, like the intercept, and do not count: {', '.join(constant)}."
    raise DesignError(
        f"The model is not identified: {counted(len(endogenous), 'endogenous regressor')} "
        f"({', '.join(endogenous) or 'none'}) but {counted(len(excluded), 'independent excluded instrument')} "
        f"({', '.join(excluded) or 'none'}); {counted(len(keep_z), 'instrument column')} for "
        f"{counted(len(keep_x), 'regressor')}." + (because if useless else ""),
        do="name at least as many instruments as endogenous regressors.",
    )
