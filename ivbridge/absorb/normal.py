"""The normal equations of all dummies, without the dummies.

With D₁ the dummies of the largest factor and B those of all others, side by side, the effects (α, γ) of a column v
solve

    Λα + Cγ = D₁'Wv,   C'α + Aγ = B'Wv,   Λ = D₁'WD₁ (diagonal), A = B'WB, C = D₁'WB,

and with α eliminated Sγ = B'Wv − C'Λ⁻¹D₁'Wv, where S = A − C'Λ⁻¹C.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from ivbridge.absorb.codes import Codes
from ivbridge.records import FloatArray, IntArray

__all__ = ["Normal"]


@dataclass(frozen=True, eq=False)
class Normal:
    """The matrices of one set of factors.

    Attributes
    ----------
    factors : tuple of ((n,) codes, number of levels), Q of them
    weights : (n,) array or None
        Positive.
    """

    factors: tuple[tuple[Codes, int], ...]
    weights: FloatArray | None = None

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.factors[0][0])

    @cached_property
    def order(self) -> tuple[int, ...]:
        """Factors, the one with most levels first."""
        return tuple(sorted(range(len(self.factors)), key=lambda q: -self.factors[q][1]))

    @property
    def first(self) -> tuple[Codes, int]:
        """The largest factor."""
        return self.factors[self.order[0]]

    @property
    def others(self) -> Sequence[tuple[Codes, int]]:
        """The other factors, larger ones first."""
        return [self.factors[q] for q in self.order[1:]]

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each of the other factors begins among the columns of B, and their number m."""
        return tuple(int(start) for start in np.cumsum([0, *(count for _, count in self.others)]))

    @property
    def m(self) -> int:
        """Levels of the other factors in all."""
        return self.starts[-1]

    @cached_property
    def _each(self) -> FloatArray:
        return np.ones(self.n) if self.weights is None else self.weights

    @cached_property
    def side(self) -> Codes:
        """Columns of B in which each row has a one, (n, Q−1)."""
        shifted = [codes + np.int32(start) for (codes, _), start in zip(self.others, self.starts, strict=False)]
        return np.stack(shifted, axis=1) if shifted else np.empty((self.n, 0), dtype=np.int32)

    @cached_property
    def adders(self) -> tuple[sparse.csc_array, sparse.csc_array]:
        """D₁'W, (G₁, n), and B'W, (m, n)."""
        codes, count = self.first
        each, width = self._each, self.side.shape[1]
        pointers = np.arange(self.n + 1, dtype=np.int32 if self.n * max(width, 1) < 2**31 else np.int64)
        big = sparse.csc_array((each, codes, pointers), shape=(count, self.n))
        data = each if width == 1 else np.repeat(each, width)
        small = sparse.csc_array((data, self.side.ravel(), pointers * width), shape=(self.m, self.n))
        return big, small

    @cached_property
    def lengths(self) -> tuple[FloatArray, FloatArray]:
        """Sums of weights by level: the diagonals of Λ, (G₁,), and of A, (m,)."""
        codes, count = self.first
        big = np.bincount(codes, weights=self.weights, minlength=count).astype(float)
        each = self.weights if self.weights is None else np.repeat(self.weights, self.side.shape[1])
        return big, np.bincount(self.side.ravel(), weights=each, minlength=self.m).astype(float)

    @cached_property
    def table(self) -> sparse.csr_array:
        """C, (G₁, m): sums of weights by pairs of levels."""
        by_level = self.adders[0].tocsr()  # the rows of each level
        width = self.side.shape[1]
        indices = self.side.ravel()[by_level.indices] if width == 1 else self.side[by_level.indices].ravel()
        data = by_level.data if width == 1 else np.repeat(by_level.data, width)
        table = sparse.csr_array((data, indices, by_level.indptr * width), shape=(self.first[1], self.m))
        table.sum_duplicates()
        return table

    @cached_property
    def share(self) -> sparse.csr_array:
        """Λ⁻¹C, (G₁, m)."""
        data = self.table.data / np.repeat(self.lengths[0], np.diff(self.table.indptr))
        return sparse.csr_array((data, self.table.indices, self.table.indptr), shape=self.table.shape)

    @cached_property
    def inner(self) -> sparse.csr_array:
        """A, (m, m)."""
        whole = sparse.coo_array(sparse.diags_array(self.lengths[1]))
        rows, columns, data = [whole.row], [whole.col], [whole.data]
        for q, one in enumerate(self.others):
            for r in range(q + 1, len(self.others)):
                at, to, sums = _pairs(one, self.others[r], self.weights)
                at, to = at + self.starts[q], to + self.starts[r]
                rows += [at, to]
                columns += [to, at]
                data += [sums, sums]
        cells = (np.concatenate(data), (np.concatenate(rows), np.concatenate(columns)))
        return sparse.csr_array(sparse.coo_array(cells, shape=(self.m, self.m)))

    def sums(self, columns: FloatArray) -> tuple[FloatArray, FloatArray]:
        """D₁'WV, (G₁, p), and B'WV, (m, p), of the columns V, (n, p)."""
        big, small = self.adders
        return big @ columns, small @ columns

    def reduced(self, big: FloatArray, small: FloatArray) -> FloatArray:
        """B'Wv − C'Λ⁻¹D₁'Wv, (m, p), from the two sums."""
        return np.asarray(small - self.share.T @ big)

    def back(self, big: FloatArray, gamma: FloatArray) -> FloatArray:
        """α, (G₁, p), given γ."""
        return np.asarray(big / self.lengths[0][:, None] - self.share @ gamma)


def _pairs(
    one: tuple[Codes, int], other: tuple[Codes, int], weights: FloatArray | None
) -> tuple[IntArray, IntArray, FloatArray]:
    """Pairs of levels that occur together, and their sums of weights."""
    (codes, count), (others, levels) = one, other
    joint = codes.astype(np.int64) * levels + others
    if count * levels <= 4 * len(codes) + 1024:
        sums = np.bincount(joint, weights=weights)
        places = np.flatnonzero(sums)
        return places // levels, places % levels, sums[places].astype(float)
    places, back = np.unique(joint, return_inverse=True)
    return places // levels, places % levels, np.bincount(back, weights=weights).astype(float)
