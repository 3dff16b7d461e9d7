"""Kernel instrumental variable regression."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ivbridge.errors import DataError
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.kernels import KernelFeatures
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.predictors.kernel import KernelExpansion
from ivbridge.progress import Progress
from ivbridge.records import FloatArray

__all__ = ["KernelIV"]

#: 50 penalties from 1e-2 to 1e-10.
_PENALTIES = tuple(float(p) for p in np.logspace(-2, -10, 50))


@dataclass(frozen=True, kw_only=True)
class KernelIV(IVRegression):
    """Ridge regression of the kernel features of (T, X) on (Z, X), then of Y on what this predicts of them.

    The rows are halved at random. With φ for (Z, X) and ψ for (T, X), rows 1 … n of the first half and 1 … m of the
    second, the stages are

        A = argmin Σᵢ ‖ψᵢ - A'φᵢ‖² / n + λ ‖A‖²,        h = argmin Σⱼ (Yⱼ - h·A'φⱼ)² / m + ξ ‖h‖².

    Each penalty is chosen on the half that its stage does not learn from: λ by the first stage's loss, ξ by the squared
    error of Y. Kernels are Gaussian, exp(-d²/median d²).

    Source: Singh, Sahani, Gretton (2019), Kernel instrumental variable regression, NeurIPS, Eqs. 3-5 and Algorithm 1,
    section A.5 for the penalties; widths and grids are those of the program of Wu et al. (2023), which uses the first
    1000 rows alone (``rows=1000``).

    Parameters
    ----------
    rows : int, optional
        Use so many rows, drawn at random; by default all.
    landmarks : int, default 1000
        A half with more rows than this has the functions of so many of them, drawn at random (Nyström). Time goes with
        rows · landmarks², memory with rows · landmarks. The notes of the curve say how far it is from the one with half
        as many landmarks.
    penalties_first, penalties_second : tuple of float
        λ and ξ to choose from; 50 values from 1e-2 to 1e-10.

    Notes
    -----
    **Known failure.** The squared error of Y that chooses ξ is smallest for ordinary regression, not for the structural
    curve; strong confounding makes ξ too small or too large.
    """

    name: ClassVar[str] = "kernel_iv"
    rows: int | None = None
    landmarks: int = 1000
    penalties_first: tuple[float, ...] = _PENALTIES
    penalties_second: tuple[float, ...] = _PENALTIES

    def __post_init__(self) -> None:
        penalties = (*self.penalties_first, *self.penalties_second)
        fine = self.penalties_first and self.penalties_second and min(penalties) > 0
        if not fine or self.landmarks < 2 or (self.rows is not None and self.rows < 4):
            raise DataError(
                f"rows={self.rows}, landmarks={self.landmarks}, penalties from {min(penalties, default=0)} were asked.",
                available="4 rows or more, 2 landmarks or more, penalties above 0",
            )

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """Learn from each data set; its seed draws the halves and the landmarks."""
        found = []
        for done, (one, seed) in enumerate(zip(data, seeds, strict=True), 1):
            found.append(self._learn(one, seed))
            if progress:
                progress(done, len(data), "kernels")
        return found

    def _learn(self, data: IVData, seed: int) -> Learnt:
        order = np.random.default_rng([seed, 0x4B1]).permutation(data.n)[: self.rows]
        halves = data.rows(order[: len(order) // 2]), data.rows(order[len(order) // 2 :])
        curve, notes = self._stages(*halves, self.landmarks)
        if halves[0].n > self.landmarks:
            rough, _ = self._stages(*halves, self.landmarks // 2)
            t, x = halves[1].endog, halves[1].exog
            apart = float(np.sqrt(np.mean((curve(t, x) - rough(t, x)) ** 2)))
            notes.append(
                f"{self.landmarks} of {halves[0].n} rows are landmarks. With half as many the curve differs by "
                f"{apart / halves[1].dependent.std():.2g} standard deviations of Y (root mean square)."
            )
        return Learnt(curve, notes=tuple(notes))

    def _stages(self, first: IVData, second: IVData, landmarks: int) -> tuple[KernelExpansion, list[str]]:
        sides = [
            (np.column_stack([d.instruments, d.exog]), np.column_stack([d.endog, d.exog])) for d in (first, second)
        ]
        of_instruments, of_treatment = (KernelFeatures.of(part[:landmarks]) for part in sides[0])
        (phi, psi), (phi_new, psi_new) = ((of_instruments(w), of_treatment(v)) for w, v in sides)
        predicted, chosen = _first_stage((phi, psi), (phi_new, psi_new), self.penalties_first)
        coordinates, then = _second_stage(predicted, second.dependent, (psi, first.dependent), self.penalties_second)
        notes = _note("First", chosen, self.penalties_first) + _note("Second", then, self.penalties_second)
        return of_treatment.expansion(coordinates), notes


def _first_stage(
    learn: tuple[FloatArray, FloatArray], judge: tuple[FloatArray, FloatArray], penalties: Sequence[float]
) -> tuple[FloatArray, float]:
    """What (Z, X) of the second half predicts of ψ, (m, r), and the penalty chosen.

    In the eigenvectors of φ'φ every penalty is a diagonal, so that the losses of all of them need one product of each
    kind.
    """
    phi, psi = learn
    values, vectors = np.linalg.eigh(phi.T @ phi)
    outcome, inputs = vectors.T @ (phi.T @ psi), judge[0] @ vectors
    quadratic = (inputs.T @ inputs) * (outcome @ outcome.T)
    linear = np.einsum("ij,ij->i", inputs.T @ judge[1], outcome)
    shrinking = 1 / (np.maximum(values, 0) + len(phi) * np.array(penalties)[:, None])
    losses = np.einsum("pi,ij,pj->p", shrinking, quadratic, shrinking, optimize=True) - 2 * shrinking @ linear
    best = int(np.argmin(losses))
    return (inputs * shrinking[best]) @ outcome, penalties[best]


def _second_stage(
    predicted: FloatArray, dependent: FloatArray, judge: tuple[FloatArray, FloatArray], penalties: Sequence[float]
) -> tuple[FloatArray, float]:
    """Coordinates of the curve, (r,), and the penalty chosen."""
    values, vectors = np.linalg.eigh(predicted.T @ predicted)
    shrinking = np.maximum(values, 0)[:, None] + len(predicted) * np.array(penalties)
    found = vectors @ ((vectors.T @ (predicted.T @ dependent))[:, None] / shrinking)
    errors = judge[1][:, None] - judge[0] @ found
    best = int(np.argmin(np.sum(errors**2, axis=0)))
    return found[:, best], penalties[best]


def _note(stage: str, chosen: float, penalties: Sequence[float]) -> list[str]:
    edge = len(penalties) > 1 and chosen in (min(penalties), max(penalties))
    return [f"{stage} stage: penalty {chosen:.3g}{', at the edge of its grid' if edge else ''}."]
