"""Two-stage least squares by hand: the coefficient is right and the standard error of the second regression is not.

The second regression's residual is Y - T̂θ - X'β, which holds θ(T - T̂) beside the error. Its variance is
σ² + 2θ·Cov(ζ, T - T̂) + θ²·Var(T - T̂): right where θ = 0, otherwise too large or too small.

>>> from ivbridge.causal.scenarios import notebook
>>> from ivbridge.causal.question import CausalQuestion
>>> question = CausalQuestion("Y_obs", "T_iv", ("age", "income", "prior_engagement"), ("Z",), "LATE")
>>> found = compare(question, notebook().frame)
>>> print(f"{found.estimate:.4f}: {found.manual:.6f} by hand, {found.correct:.6f} right")
0.2548: 0.196566 by hand, 0.196622 right
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ivbridge.api import fit
from ivbridge.causal.iv_question import numeric_frame, spec_of
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.errors import DataError
from ivbridge.expr import r_label
from ivbridge.spec import IVSpec
from ivbridge.threads import one_thread

__all__ = ["TwoStep", "compare"]

#: Column of the predicted treatment; a name that no table has.
_HAT = "`predicted treatment (two_step)`"


@dataclass(frozen=True, slots=True)
class TwoStep:
    """One coefficient with two standard errors.

    Attributes
    ----------
    estimate : float
        Of both ways, which agree but for rounding.
    manual : float
        Standard error that the second regression prints.
    correct : float
        That of two-stage least squares, with residuals of the treatment itself.
    sd_manual, sd_correct : float
        Residual standard errors.
    vcov : str
    """

    estimate: float
    manual: float
    correct: float
    sd_manual: float
    sd_correct: float
    vcov: str

    @property
    def ratio(self) -> float:
        """Manual over correct."""
        return self.manual / self.correct

    def summary(self) -> str:
        """Two sentences."""
        way = "too wide" if self.ratio > 1 else "too narrow"
        return (
            f"The second regression prints a standard error of {self.manual:.4g}; that of two-stage least squares is "
            f"{self.correct:.4g} ({self.vcov}). The interval by hand is {abs(self.ratio - 1):.2%} {way}, because its "
            f"residuals (sd {self.sd_manual:.4g}, not {self.sd_correct:.4g}) are those of the predicted treatment."
        )


@one_thread()
def compare(question: CausalQuestion, data: Any, vcov: str = "classical") -> TwoStep:
    """Do two-stage least squares by hand and as it should be done.

    Parameters
    ----------
    question : CausalQuestion
        With instruments.
    data : table of n rows, or CausalData
    vcov : str, default "classical"
        What statsmodels' and R's summaries print; any vcov of ivbridge without clusters.

    Raises
    ------
    DataError
        If the question has no instruments.
    DesignError
        As :func:`ivbridge.fit`.
    """
    if not question.instruments:
        raise DataError("Two-stage least squares needs instruments, and the question names none.")
    built = data if isinstance(data, CausalData) else build(question, data)
    frame, spec = numeric_frame(built), spec_of(question, vcov)
    first = fit(IVSpec(spec.endog[0], (*spec.exog, *spec.instruments), vcov=spec.vcov), frame)
    second = fit(IVSpec(spec.dependent, (*spec.exog, _HAT), vcov=spec.vcov), frame.assign(**{_HAT[1:-1]: first.fitted}))
    right = fit(spec, frame)
    place, hand = right.terms.index(r_label(spec.endog[0])), second.terms.index(_HAT)
    return TwoStep(
        float(right.coefs.estimate[place]), float(second.coefs.std_error[hand]), float(right.coefs.std_error[place]),
        second.sigma, right.sigma, str(spec.vcov),
    )  # fmt: skip
