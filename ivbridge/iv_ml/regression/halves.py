"""What the two kernel methods share: two halves of the rows, landmarks, and penalties chosen on the other half."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ivbridge.errors import DataError
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.predictors.kernel import KernelExpansion
from ivbridge.iv_ml.settings import check_range, check_sizes, numbers_of
from ivbridge.progress import Progress
from ivbridge.records import FloatArray

__all__ = ["Halves", "first_stage", "second_stage"]

#: Fewest rows: each half is a data set.
_ROWS = 8
#: 50 penalties from 1e-2 to 1e-10.
_PENALTIES = tuple(float(p) for p in np.logspace(-2, -10, 50))


@dataclass(frozen=True, kw_only=True)
class Halves(IVRegression):
    """A method with Gaussian kernels, exp(-d²/median d²), and two ridge penalties.

    Parameters
    ----------
    rows : int, optional
        Use so many rows, 8 or more, drawn at random; by default all.
    landmarks : int, default 1000
        Where a half has more rows than this, functions are sums of bumps at so many of its rows, drawn at random
        (Nyström).
        Time goes with rows · landmarks², memory with rows · landmarks. The notes of the curve say how far it is from
        the one with half as many landmarks.
    penalties_first, penalties_second : tuple of float
        To choose from; 50 values from 1e-2 to 1e-10.

    Raises
    ------
    DataError
        If there are no such numbers of rows and landmarks, or a penalty is not above 0. From ``fit``: if there are
        fewer than 8 rows.
    """

    rows: int | None = None
    landmarks: int = 1000
    penalties_first: tuple[float, ...] = _PENALTIES
    penalties_second: tuple[float, ...] = _PENALTIES

    def __post_init__(self) -> None:
        for name in ("penalties_first", "penalties_second"):
            object.__setattr__(self, name, numbers_of(getattr(self, name), float, name))
            check_range(0, math.inf, **{name: getattr(self, name)})
        check_sizes(landmarks=self.landmarks, rows=_ROWS if self.rows is None else self.rows)
        if self.landmarks < 2 or (self.rows is not None and self.rows < _ROWS):
            raise DataError(
                f"rows={self.rows}, landmarks={self.landmarks} were asked.",
                available=f"{_ROWS} rows or more, 2 landmarks or more",
            )

    @abstractmethod
    def curve(self, first: IVData, second: IVData, landmarks: int) -> tuple[KernelExpansion, tuple[float, float]]:
        """The curve from two halves, with so many landmarks of each, and both penalties."""

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """Learn from each data set; its seed draws the halves and the landmarks."""
        found = []
        for done, (one, seed) in enumerate(zip(data, seeds, strict=True), 1):
            found.append(self._learn(one, seed))
            if progress:
                progress(done, len(data), "kernels")
        return found

    def _learn(self, data: IVData, seed: int) -> Learnt:
        if data.n < _ROWS:
            raise DataError(f"{data.n} rows are too few to be halved.", available=f"{_ROWS} or more")
        order = np.random.default_rng([seed, 0x4B1]).permutation(data.n)[: self.rows]
        first, second = data.rows(order[: len(order) // 2]), data.rows(order[len(order) // 2 :])
        curve, chosen = self.curve(first, second, self.landmarks)
        notes = [
            _note("First", chosen[0], self.penalties_first),
            _note("Second", chosen[1], self.penalties_second),
        ]
        if first.n > self.landmarks:
            rough, _ = self.curve(first, second, self.landmarks // 2)
            t, x = second.endog, second.exog
            apart = float(np.sqrt(np.mean((curve(t, x) - rough(t, x)) ** 2)) / second.dependent.std())
            notes.append(
                f"{self.landmarks} of {first.n} rows are landmarks. With half as many the curve differs by {apart:.2g} "
                "standard deviations of Y (root mean square)."
            )
        return Learnt(curve, notes=tuple(notes))


def _note(stage: str, chosen: float, penalties: Sequence[float]) -> str:
    edge = len(penalties) > 1 and chosen in (min(penalties), max(penalties))
    return f"{stage} stage: penalty {chosen:.3g}{', at the edge of its grid' if edge else ''}."


def first_stage(
    learn: tuple[FloatArray, FloatArray], judge: tuple[FloatArray, FloatArray], penalties: Sequence[float]
) -> tuple[FloatArray, float]:
    """Ridge regression of features ψ (n, r) on features φ (n, s), the penalty chosen on other rows.

    In the eigenvectors of φ'φ every penalty is a diagonal, so that the losses of all of them need one product of each
    kind.

    Parameters
    ----------
    learn, judge : pairs (φ, ψ)
    penalties : sequence of float
        λ of the mean squared error + λ · squared coefficients.

    Returns
    -------
    ((m, r) array, float)
        What φ predicts of ψ on the rows to judge by, and the penalty chosen.
    """
    phi, psi = learn
    values, vectors = np.linalg.eigh(phi.T @ phi)
    outcome, inputs = vectors.T @ (phi.T @ psi), judge[0] @ vectors
    quadratic = (inputs.T @ inputs) * (outcome @ outcome.T)
    linear = np.einsum("ij,ij->i", inputs.T @ judge[1], outcome)
    shrinking = 1 / (np.maximum(values, 0) + len(phi) * np.array(penalties)[:, None])
    losses = np.sum((shrinking @ quadratic) * shrinking, axis=1) - 2 * shrinking @ linear
    best = int(np.argmin(losses))
    return (inputs * shrinking[best]) @ outcome, penalties[best]


def second_stage(
    sums: tuple[FloatArray, FloatArray, int], judge: tuple[FloatArray, FloatArray], penalties: Sequence[float]
) -> tuple[FloatArray, float]:
    """Coordinates b (r,) with (squares + n · penalty) b = products, the penalty chosen by the squared error of Y.

    Parameters
    ----------
    sums : ((r, r) array, (r,) array, int)
        Squares, products and n.
    judge : ((n, r) array, (n,) array)
        ψ and Y of the rows to judge by.
    penalties : sequence of float
    """
    squares, products, n = sums
    values, vectors = np.linalg.eigh(squares)
    shrinking = np.maximum(values, 0)[:, None] + n * np.array(penalties)
    found = vectors @ ((vectors.T @ products)[:, None] / shrinking)
    errors = judge[1][:, None] - judge[0] @ found
    best = int(np.argmin(np.sum(errors**2, axis=0)))
    return found[:, best], penalties[best]
