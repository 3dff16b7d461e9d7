"""Dual instrumental variable regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from ivbridge.errors import DataError
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.kernels import KernelFeatures
from ivbridge.iv_ml.predictors.kernel import KernelExpansion
from ivbridge.iv_ml.regression.halves import Halves, first_stage, second_stage
from ivbridge.records import FloatArray

__all__ = ["DualIV"]


@final
@dataclass(frozen=True, kw_only=True)
class DualIV(Halves):
    """min over f, max over u of E[(f(T, X) - Y) u - u²/2], both in the space of a Gaussian kernel, in closed form.

    With K the kernel matrix of (T, X) and L that of the arguments of u, on n rows,

        M = K (L + n λ₁)⁻¹ L,        β = (M K + n λ₂ K)⁻¹ M Y,        f = Σ βᵢ k(·, (tᵢ, xᵢ)).

    Source: Muandet, Mehrjou, Lee, Raj (2020), Dual instrumental variable regression, NeurIPS, Algorithm 1. λ₁ has the
    smallest error of what u's features predict of f's features on the other half, λ₂ of Y. Their program takes both by
    the square of u on held-out rows, which the largest λ₁ makes 0; the curve is then learnt from all rows, as there.

    Parameters
    ----------
    dual : {"instruments", "outcome"}, default "instruments"
        What u depends on: (Z, X), or (Y, Z, X) as in the paper.
    rows, landmarks, penalties_first, penalties_second
        See :class:`~ivbridge.iv_ml.regression.halves.Halves`; λ₁ is the first penalty, λ₂ the second. The program of Wu
        et al. (2023) uses 100 rows (``rows=100``).

    Notes
    -----
    **Known failure.** With ``dual="outcome"`` the best u is E[f(T, X) | Y, Z, X] - Y, not E[f(T, X) | Z, X] - Y. Y says
    what the confounder is, so that nothing is left of what Z is for: where everything is linear the slope is, given X,
    Cov(T, Y) / Var(E[T | Y, Z]), that of ordinary regression or a larger one. The program of Wu et al. has moreover a
    kernel of (Y, Z) that is constant up to the fourth digit: no instrument acts, and its published errors are not those
    of the method.
    """

    name: ClassVar[str] = "dual_iv"
    dual: Literal["instruments", "outcome"] = "instruments"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dual not in ("instruments", "outcome"):
            raise DataError(f"dual={self.dual!r} was asked.", available="instruments, outcome")

    def curve(self, first: IVData, second: IVData, landmarks: int) -> tuple[KernelExpansion, tuple[float, float]]:
        """The curve from two halves, with so many landmarks of each, and both penalties."""
        of_dual, of_treatment = self._features([first], landmarks)
        learn, judge = ((of_dual(self._arguments(d)), of_treatment(_treatments(d))) for d in (first, second))
        _, ridge = first_stage(learn, judge, self.penalties_first)
        sums = _sums(learn, first.dependent, ridge)
        _, then = second_stage(sums, (judge[1], second.dependent), self.penalties_second)
        halves = [first, second]
        of_dual, of_treatment = self._features(halves, landmarks)
        phi = np.vstack([of_dual(self._arguments(d)) for d in halves])
        psi = np.vstack([of_treatment(_treatments(d)) for d in halves])
        squares, products, n = _sums((phi, psi), np.concatenate([d.dependent for d in halves]), ridge)
        coordinates = np.linalg.solve(squares + n * then * np.eye(len(squares)), products)
        return of_treatment.expansion(np.asarray(coordinates, dtype=np.float64)), (ridge, then)

    def _features(self, halves: list[IVData], landmarks: int) -> tuple[KernelFeatures, KernelFeatures]:
        """Of the arguments of u and of f, with so many landmarks of each half."""
        of_dual = np.vstack([self._arguments(d)[:landmarks] for d in halves])
        of_treatment = np.vstack([_treatments(d)[:landmarks] for d in halves])
        return KernelFeatures.of(of_dual), KernelFeatures.of(of_treatment)

    def _arguments(self, data: IVData) -> FloatArray:
        own = [data.dependent] if self.dual == "outcome" else []
        return np.column_stack([*own, data.instruments, data.exog])


def _treatments(data: IVData) -> FloatArray:
    return np.column_stack([data.endog, data.exog])


def _sums(
    features: tuple[FloatArray, FloatArray], dependent: FloatArray, ridge: float
) -> tuple[FloatArray, FloatArray, int]:
    """ψ'Pψ, ψ'PY and n, where P = (L + nλ₁)⁻¹ L is the smoother that L = φφ' makes."""
    phi, psi = features
    cross, target = phi.T @ psi, phi.T @ dependent
    solved = np.linalg.solve(phi.T @ phi + len(phi) * ridge * np.eye(phi.shape[1]), np.column_stack([cross, target]))
    return cross.T @ solved[:, :-1], cross.T @ solved[:, -1], len(phi)
