"""Which columns are linearly dependent, decided as R decides it.

R's ``lm.fit`` walks through the columns from left to right and drops a column when what is left of it, after
projecting on the columns kept before, is shorter than 1e-7 times the column itself (LINPACK's ``dqrdc2`` with
``tol = 1e-7``). The rule depends only on lengths and angles, so it may be applied to the small triangular factor of
the tall matrix instead of the matrix.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["TOLERANCE", "independent_columns", "triangle"]

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
    if matrix.shape[1] == 0:
        return np.zeros((0, 0))
    return np.asarray(np.linalg.qr(matrix, mode="r"))


def independent_columns(matrix: Matrix, tolerance: float = TOLERANCE) -> list[int]:
    """Return the positions of the columns that R would keep, ascending.

    Parameters
    ----------
    matrix : ndarray, shape (n, k)
        Only lengths and angles of its columns matter: :func:`triangle` may be applied first.
    tolerance : float, default 1e-7
        As ``tol`` of R's ``lm.fit``.
    """
    work = np.array(matrix, dtype=np.float64, order="F")
    original = np.linalg.norm(work, axis=0)
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
