"""The exact solution of the normal equations, where all factors but the largest have few levels.

S, of the order of those levels, is decomposed once by Cholesky. Levels whose dummies depend on others are left out:
with two factors one in each component, which needs no tolerance; with more those whose pivot is nothing but rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import lapack

from ivbridge.absorb.graph import heaviest
from ivbridge.absorb.normal import Normal
from ivbridge.errors import DesignError
from ivbridge.records import FloatArray, IntArray

__all__ = ["EXACT", "LARGEST", "Schur", "decomposed"]

#: Levels, of all factors but the largest, up to which S is decomposed rather than iterated with where graphs are poorly
#: connected (measured: docs/decisions/0015-fixed-effects.md), and up to which it can be at all: 200 MB, some seconds.
EXACT, LARGEST = 2000, 5000

#: A squared pivot, relative to the level's own length, that is taken for zero. Rounding leaves about 1e-15; a level
#: that is tied to the rest by a chain of a million rows still has 1e-6 of its length.
PIVOT = 1e-11

#: Share of nonzero cells from which the table of pairs is multiplied as a dense matrix.
DENSE = 0.08


@dataclass(frozen=True, slots=True, eq=False)
class Schur:
    """The decomposition of S.

    Attributes
    ----------
    normal : Normal
    kept : (m,) bool array
        Levels of the other factors that are solved for; the effects of the rest are zero.
    order : (m,) int array or None
        Order of the levels in the decomposition; None where it is theirs.
    root : (m, m) array
        Upper triangular, of S at unit lengths; its rows beyond the rank do not count where there is an order.
    scale : (m,) array
        Lengths of the dummies.
    """

    normal: Normal
    kept: npt.NDArray[np.bool_]
    order: IntArray | None
    root: FloatArray
    scale: FloatArray

    @property
    def rank(self) -> int:
        """Linearly independent dummies of all factors."""
        return self.normal.first[1] + int(self.kept.sum())

    def solve(self, big: FloatArray, small: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Effects α, (G₁, p), and γ, (m, p), from sums of columns by level."""
        gamma = self.normal.reduced(big, small) / self.scale[:, None]
        gamma[~self.kept] = 0.0
        if self.order is None:
            gamma = lapack.dpotrs(self.root, gamma, lower=0)[0] if len(gamma) else gamma
        elif len(places := self.order[: int(self.kept.sum())]):
            gamma[places] = lapack.dpotrs(self.root[: len(places), : len(places)], gamma[places], lower=0)[0]
        gamma /= self.scale[:, None]
        return self.normal.back(big, gamma), gamma


def decomposed(normal: Normal) -> Schur:
    """Form S and decompose it.

    Raises
    ------
    DesignError
        If weights of very different sizes leave no correct digit.
    """
    scale = np.sqrt(normal.lengths[1])
    kept = np.ones(normal.m, dtype=bool)
    if not normal.m:
        return Schur(normal, kept, None, np.zeros((0, 0)), scale)
    product = _product(normal)
    s = product.toarray(order="F") if isinstance(product, sparse.csr_array) else np.asfortranarray(product)
    np.negative(s, out=s)
    inner = normal.inner.tocoo()
    s[inner.coords] += inner.data
    s /= scale
    s /= scale[:, None]
    if len(normal.others) > 1:
        rounding = s.diagonal().max() <= PIVOT  # of which dpstrf would take one pivot, since it never tests the first
        root, pivots, rank, _ = lapack.dpstrf(s, tol=PIVOT, lower=0, overwrite_a=1)
        rank = 0 if rounding else rank
        order = pivots.astype(np.int64) - 1
        kept[order[rank:]] = False
        return Schur(normal, kept, order, root, scale)
    left_out = heaviest(sparse.csr_array(product), normal.lengths[1])
    kept[left_out] = False
    s[left_out] = 0.0
    s[:, left_out] = 0.0
    s[left_out, left_out] = 1.0
    root, info = lapack.dpotrf(s, lower=0, clean=0, overwrite_a=1)
    if info:
        raise DesignError(
            "The weights differ so much in size that the fixed effects cannot be told apart in double precision.",
            do="look at the smallest weights.",
        )
    return Schur(normal, kept, None, root, scale)


def _product(normal: Normal) -> sparse.csr_array | FloatArray:
    """C'Λ⁻¹C, (m, m): sparse where the table of pairs is."""
    table, share = normal.table, normal.share
    if table.nnz < DENSE * table.shape[0] * table.shape[1]:
        return sparse.csr_array(table.T.tocsr() @ share)
    total = np.zeros((normal.m, normal.m))
    for start in range(0, table.shape[0], 1024):
        rows = slice(start, start + 1024)
        total += table[rows].toarray().T @ share[rows].toarray()
    return total
