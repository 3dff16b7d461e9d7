"""Kernel instrumental variable regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.kernels import KernelFeatures
from ivbridge.iv_ml.predictors.kernel import KernelExpansion
from ivbridge.iv_ml.regression.halves import Halves, first_stage, second_stage

__all__ = ["KernelIV"]


@final
@dataclass(frozen=True, kw_only=True)
class KernelIV(Halves):
    """Ridge regression of the kernel features of (T, X) on (Z, X), then of Y on what this predicts of them.

    The rows are halved at random. With φ for (Z, X) and ψ for (T, X), rows i = 1 … n of the first half and j = 1 … m of
    the second, the stages are

        A = argmin Σᵢ ‖ψᵢ - A'φᵢ‖² / n + λ ‖A‖²,        h = argmin Σⱼ (Yⱼ - h·A'φⱼ)² / m + ξ ‖h‖².

    Each penalty is chosen on the half that its stage does not learn from: λ by the first stage's loss, ξ by the squared
    error of Y.

    Source: Singh, Sahani, Gretton (2019), Kernel instrumental variable regression, NeurIPS, Algorithm 1; kernel widths
    and grids are those of the program of Wu et al. (2023), which uses the first 1000 rows alone (``rows=1000``).

    Parameters
    ----------
    rows, landmarks, penalties_first, penalties_second
        See :class:`~ivbridge.iv_ml.regression.halves.Halves`; λ is the first penalty, ξ the second.

    Notes
    -----
    **Known failure.** The squared error of Y, which chooses ξ, is smallest for ordinary regression and not for the
    structural curve. All columns share one width, so that a curve of many covariates needs many rows: with 1000 of them
    its error is twice that of Poly2SLS where the truth is nearly a polynomial.
    """

    name: ClassVar[str] = "kernel_iv"

    def curve(self, first: IVData, second: IVData, landmarks: int) -> tuple[KernelExpansion, tuple[float, float]]:
        """The curve from two halves, with so many landmarks, and both penalties."""
        sides = [
            (np.column_stack([d.instruments, d.exog]), np.column_stack([d.endog, d.exog])) for d in (first, second)
        ]
        of_instruments, of_treatment = (KernelFeatures.of(part[:landmarks]) for part in sides[0])
        learn, judge = ((of_instruments(w), of_treatment(v)) for w, v in sides)
        predicted, ridge = first_stage(learn, judge, self.penalties_first)
        sums = predicted.T @ predicted, predicted.T @ second.dependent, second.n
        coordinates, then = second_stage(sums, (learn[1], first.dependent), self.penalties_second)
        return of_treatment.expansion(coordinates), (ridge, then)
