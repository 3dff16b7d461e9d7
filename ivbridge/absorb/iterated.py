"""The solution of the normal equations by iteration, where two factors or more have many levels.

Conjugate gradients on Sγ = r, S applied by its factors C and Λ. Where the graph of levels is well connected the
diagonal is preconditioner enough. Where it is not, S has few nonzero cells and an incomplete triangular decomposition
is nearly a complete one, so that a few steps do; conjugate gradients are then the flexible ones of Notay (2000), since
that preconditioner is not quite symmetric. Where S is small, or has many cells, it is decomposed after all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import spilu

from ivbridge.absorb.graph import heaviest
from ivbridge.absorb.normal import Normal
from ivbridge.absorb.schur import EXACT, LARGEST, Schur, decomposed
from ivbridge.errors import DesignError
from ivbridge.records import FloatArray

__all__ = ["Iterated", "StalledError", "well_linked"]

#: Size of the residual at which a solution is good, relative to the right-hand side (a next one corrects it), and to
#: the terms of the first one, which is what rounding leaves of any.
TOLERANCE, ROUNDING = 1e-10, 1e-14

#: Levels that a level meets from which a graph counts as well linked; weighted by themselves.
LINKS = 4

#: Steps with the diagonal, after which the graph counts as poorly connected, and with the incomplete decomposition.
EASY, HARD = 60, 500

#: Most cells of S that are written down, and how much larger its incomplete decomposition may be.
CELLS, FILL = 5 * 10**7, 20

#: What the decomposition leaves out, relative to its column, and what keeps it from dividing by zero.
DROPPED, RIDGE = 1e-5, 1e-9

Preconditioner = Callable[[FloatArray], FloatArray]


class StalledError(DesignError):
    """Conjugate gradients did not end."""


class Iterated:
    """Solves the normal equations of one set of factors.

    Parameters
    ----------
    normal : Normal
    """

    def __init__(self, normal: Normal) -> None:
        self.normal = normal
        self.hard = False
        self.exact: Schur | None = None
        self._first: FloatArray | None = None
        self._precondition: Preconditioner = lambda rest: rest / normal.lengths[1][:, None]

    def solve(self, big: FloatArray, small: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Effects α, (G₁, p), and γ, (m, p), from sums of columns by level.

        Raises
        ------
        StalledError
            If neither preconditioner leads to a solution.
        """
        if self.exact is not None:
            return self.exact.solve(big, small)
        moments, lengths = self.normal.reduced(big, small), self.normal.lengths[1][:, None]
        if self._first is None:
            self._first = _dot(small, small / lengths) + _dot(small - moments, (small - moments) / lengths)
        gamma, good = self._iterate(moments, np.zeros(moments.shape), HARD if self.hard else EASY)
        if not good and not self.hard:
            self.hard = True
            many = _pairs(self.normal) > CELLS
            if self.normal.m <= (LARGEST if many else EXACT):
                self.exact = decomposed(self.normal)
                return self.exact.solve(big, small)
            if many:
                raise StalledError(
                    f"The fixed effects were not found by iteration: {self.normal.m} levels of the smaller factors are "
                    "linked by too many pairs to be written down."
                )
            self._precondition = _incomplete(self.normal)
            gamma, good = self._iterate(moments, gamma, HARD)
        if not good:
            raise StalledError("The fixed effects were not found by iteration: their graph is too poorly connected.")
        return self.normal.back(big, gamma), gamma

    def _times(self, gamma: FloatArray) -> FloatArray:
        """Sγ."""
        return np.asarray(self.normal.inner @ gamma - self.normal.table.T @ (self.normal.share @ gamma))

    def _iterate(self, moments: FloatArray, gamma: FloatArray, most: int) -> tuple[FloatArray, bool]:
        """Flexible conjugate gradients from γ, every column with its own steps; whether they ended."""
        rest = moments - self._times(gamma) if gamma.any() else moments.copy()
        turned = self._precondition(rest)
        direction = turned.copy()
        size = _dot(rest, turned)
        scale = _dot(moments, moments / self.normal.lengths[1][:, None])
        assert self._first is not None
        enough = np.maximum(TOLERANCE**2 * scale, ROUNDING**2 * self._first)
        for _ in range(most):
            open_ = _dot(rest, rest / self.normal.lengths[1][:, None]) > enough
            if not open_.any():
                return gamma, True
            image = self._times(direction)
            # a column that is solved stays as it is: further steps would be ratios of rounding errors
            length = np.where(open_, _ratio(_dot(direction, rest), _dot(direction, image)), 0.0)
            gamma = gamma + length * direction
            before, rest = rest, rest - length * image
            turned = self._precondition(rest)
            old, size = size, _dot(rest, turned)
            direction = turned + _ratio(size - _dot(before, turned), old) * direction
        return gamma, False


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("ij,ij->j", a, b))


def _ratio(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


def _pairs(normal: Normal) -> float:
    """At most so many cells of S are not zero, each being a pair of levels that meet the same level."""
    links = np.diff(normal.table.indptr).astype(float)
    return float(links @ links)


def well_linked(normal: Normal) -> bool:
    """Whether levels of the largest factor meet several of the others, so that few steps are to be expected."""
    return bool(_pairs(normal) > LINKS * normal.table.nnz)


def _incomplete(normal: Normal) -> Preconditioner:
    """An incomplete triangular decomposition of S at unit lengths.

    Raises
    ------
    StalledError
        If a level cannot be divided by.
    """
    product = sparse.csr_array(normal.table.T.tocsr() @ normal.share)
    lengths = normal.lengths[1]
    scale = np.sqrt(lengths)
    unit = sparse.diags_array(1 / scale)
    kept = np.full(normal.m, RIDGE)
    kept[heaviest(product, lengths)] += 1.0  # one level in each component: its effect may be zero
    s = sparse.csc_array(unit @ (normal.inner - product) @ unit + sparse.diags_array(kept))
    try:
        factors = spilu(
            s, drop_tol=DROPPED, fill_factor=FILL, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )  # fmt: skip
    except RuntimeError as error:
        raise StalledError(f"The fixed effects' normal equations cannot be decomposed: {error}.") from error
    return lambda rest: np.asarray(factors.solve(rest / scale[:, None]) / scale[:, None])
