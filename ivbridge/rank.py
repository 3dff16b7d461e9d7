"""Which columns are linearly dependent, decided as R decides it.

R's ``lm.fit`` walks through the columns from left to right and drops a column when what is left of it, after
projecting on the columns kept before, is shorter than 1e-7 times the column itself (LINPACK's ``dqrdc2`` with
``tol = 1e-7``). The rule depends only on lengths and angles, so it may be applied to the small triangular factor of
the tall matrix instead of the matrix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ivbridge.errors import DesignError
from ivbridge.modelmatrix import Columns

__all__ = ["TOLERANCE", "Rank", "decide_rank", "independent_columns", "triangle"]

#: R's default in ``lm.fit(tol = 1e-7)``
TOLERANCE = 1e-7

Matrix = NDArray[np.float64]


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
    """Positions of the regressors and of the instruments that are kept."""

    x: tuple[int, ...]
    z: tuple[int, ...]


def decide_rank(x: Columns, z: Columns, weights: NDArray[np.float64] | None) -> Rank:
    """Find the columns to keep, and refuse a model that the rest cannot identify.

    Parameters
    ----------
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
        If there are not more rows than coefficients, fewer independent instruments than regressors, or the regressors'
        projections on the instruments are linearly dependent.
    """
    own = [j for j, name in enumerate(x.names) if name not in set(z.names)]
    stacked = np.empty((x.values.shape[0], len(z.names) + len(own)), order="F")
    stacked[:, : len(z.names)] = z.values
    stacked[:, len(z.names) :] = x.values[:, own]
    if weights is not None:
        stacked *= np.sqrt(weights)[:, None]
    small = triangle(stacked)
    place = {name: j for j, name in enumerate((*z.names, *(x.names[j] for j in own)))}
    small_x, small_z = small[:, [place[name] for name in x.names]], small[:, : len(z.names)]
    keep_x, keep_z = independent_columns(small_x), independent_columns(small_z)
    _check_rows(x.values.shape[0], [x.names[j] for j in keep_x])
    _check_count(x, z, keep_x, keep_z)
    basis = np.linalg.qr(small_z[:, keep_z]).Q
    projected = independent_columns(basis.T @ small_x[:, keep_x], lengths=np.linalg.norm(small_x[:, keep_x], axis=0))
    if lost := [x.names[keep_x[j]] for j in range(len(keep_x)) if j not in projected]:
        raise DesignError(
            f"The instruments do not identify the coefficient of {', '.join(lost)}: projected on the instruments it "
            "depends linearly on the other regressors (the rank of Z'X is "
            f"{len(projected)}, and {len(keep_x)} is needed).",
            do="use instruments that are related to it.",
        )
    return Rank(tuple(keep_x), tuple(keep_z))


def _check_rows(rows: int, names: list[str]) -> None:
    if rows <= len(names):
        raise DesignError(
            f"The model has {len(names)} coefficients ({', '.join(names[:12])}{' …' * (len(names) > 12)}) but only "
            f"{rows} rows can be used.",
            do="use fewer regressors or more rows.",
        )


def _check_count(x: Columns, z: Columns, keep_x: list[int], keep_z: list[int]) -> None:
    if len(keep_z) >= len(keep_x):
        return
    endogenous = [x.names[j] for j in keep_x if x.names[j] not in z.names]
    excluded = [z.names[j] for j in keep_z if z.names[j] not in x.names]
    useless = [j for j in range(len(z.names)) if j not in keep_z and z.names[j] not in x.names]
    constant = [z.names[j] for j in useless if np.ptp(z.values[:, j]) == 0]
    because = f" {', '.join(z.names[j] for j in useless)} cannot count, since it depends linearly on earlier columns."
    if constant:
        because = f" {', '.join(constant)} cannot count, since it is constant, like the intercept."
    raise DesignError(
        f"The model is not identified: {len(endogenous)} endogenous regressors ({', '.join(endogenous) or 'none'}) but "
        f"{len(excluded)} independent excluded instruments ({', '.join(excluded) or 'none'}); {len(keep_z)} instrument "
        f"columns for {len(keep_x)} regressors." + (because if useless else ""),
        do="name at least as many instruments as endogenous regressors.",
    )
