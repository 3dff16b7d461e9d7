"""Linear two-stage least squares, through the bridge's own engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from ivbridge.errors import DesignError
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.predictors.linear import PartiallyLinear
from ivbridge.iv_ml.predictors.polynomial import Polynomial
from ivbridge.progress import Progress
from ivbridge.records import NotApplicable

__all__ = ["Linear2SLS"]


@final
@dataclass(frozen=True, kw_only=True)
class Linear2SLS(IVRegression):
    """Y = τ T + X γ + intercept + ε by two-stage least squares, as :func:`ivbridge.fit` answers it.

    The notes of the curve hold τ with its standard error, and the first stage's F.

    Parameters
    ----------
    engine : {"native", "fast", "r"}, default "native"
    vcov : str, default "HC1"
        Of the standard error and of F.
    standardize : bool, default False
        The answer does not depend on it, but the notes are in its units.

    Notes
    -----
    A treatment that depends linearly on the covariates is refused (``DesignError``).

    **Known failure.** A curve that bends, or whose slope depends on X, has no single τ: what is found is an average of
    slopes with the weights of the first stage.
    """

    name: ClassVar[str] = "linear_2sls"
    packages: ClassVar[tuple[str, ...]] = ("numpy", "linearmodels")
    standardize: bool = False
    engine: str = "native"
    vcov: str = "HC1"

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        """Learn from each data set; nothing here is random, so the seeds change nothing."""
        found = []
        for done, one in enumerate(data, 1):
            found.append(self._learn(one))
            if progress:
                progress(done, len(data), "2SLS")
        return found

    def _learn(self, data: IVData) -> Learnt:
        from ivbridge.api import fit
        from ivbridge.spec import from_arrays

        y, t, x, z = data.arrays
        spec, frame = from_arrays(y, np.column_stack([np.ones(data.n), x]), t, z)
        answer = fit(spec, frame, vcov=self.vcov, engine=self.engine)
        if not answer.first_stages:
            raise DesignError(
                "The treatment depends linearly on the covariates, or varies too little beside its mean.",
                do="leave out covariates that hold the treatment; take the mean off a treatment far from zero.",
            )
        slopes = answer.params
        (treatment,) = spec.endog
        left_out = [name for name in spec.exog if name not in slopes.index]
        coefficients = np.array([0.0 if name in left_out else slopes[name] for name in spec.exog])
        rest = Polynomial(1, float(slopes["(Intercept)"]), coefficients)
        weak = answer.first_stages[0].weak
        strength = weak.reason if isinstance(weak, NotApplicable) else f"{weak.statistic:.4g}"
        note = (
            f"Effect of T {slopes[treatment]:.6g}, standard error {answer.bse[treatment]:.3g} ({self.vcov}); "
            f"first-stage F {strength}."
        )
        return Learnt(PartiallyLinear(float(slopes[treatment]), rest), notes=(note, *answer.notes, *answer.warnings))
