"""E-values: how strongly a hidden cause would have to be tied to treatment and outcome to explain an effect away.

VanderWeele and Ding (2017, Annals of Internal Medicine 167, 268-274); the bound is Ding and VanderWeele's (2016,
Epidemiology 27, 368-377). Both ties are risk ratios, given the covariates. R's ``EValue`` computes the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ivbridge import serial
from ivbridge.causal.least_squares import regress
from ivbridge.causal.question import CausalData
from ivbridge.causal.records import EffectEstimate
from ivbridge.errors import DataError, UnsupportedError

__all__ = ["EValue", "bias_factor", "mean_difference", "of_effect", "ratio"]

Kind = Literal["RR", "OR", "HR"]
#: Of a standardised difference d, log risk ratio ≈ .91 d, its limits ± 1.78 standard errors (1.78 is .91 times 1.96).
SLOPE, HALF_WIDTH = 0.91, 1.78


@dataclass(frozen=True, slots=True)
class EValue:
    """An effect on the risk-ratio scale, and its E-values.

    Attributes
    ----------
    scale : str
        What the effect was before it became a risk ratio.
    risk_ratio, low, high : float
        Point and 95 % limits as risk ratios, exact or approximate; NaN for limits that were not given.
    true : float
        The risk ratio to which a hidden cause shall move the effect; 1 is none.
    """

    scale: str
    risk_ratio: float
    low: float = math.nan
    high: float = math.nan
    true: float = 1.0

    @property
    def point(self) -> float:
        """E-value of the point estimate: least risk ratio, with treatment and outcome alike, that explains it away."""
        return _evalue(self.risk_ratio, self.true)

    @property
    def limit(self) -> float:
        """E-value of the confidence limit that is nearer to `true`; 1 where the interval holds it."""
        near = self.low if self.risk_ratio > self.true else self.high
        if math.isnan(near):
            return math.nan
        beyond = near <= self.true if self.risk_ratio > self.true else near >= self.true
        return 1.0 if beyond else _evalue(near, self.true)

    def summary(self) -> str:
        """Text: the risk ratio and what the E-values mean."""
        limit = "" if math.isnan(self.limit) else f"; for the interval to hold {self.true:g}, {self.limit:.4g}"
        return (
            f"E-value {self.point:.4g}{limit}.\n"
            f"As a risk ratio the effect ({self.scale}) is {self.risk_ratio:.4g} [{self.low:.4g}, {self.high:.4g}]. "
            f"A hidden cause explains it away only if it is tied to treatment and outcome by risk ratios of "
            f"{self.point:.4g} each, beyond the covariates; a weaker tie to one needs a stronger tie to the other.\n"
            "It does not say how strong hidden causes are; compare with what the covariates do."
        )

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON of all numbers."""
        record = {
            "type": "EValue", "scale": self.scale, "risk_ratio": self.risk_ratio, "low": self.low, "high": self.high,
            "true": self.true, "point": self.point, "limit": self.limit,
        }  # fmt: skip
        return serial.dumps(record, indent=indent)


def _evalue(risk_ratio: float, true: float) -> float:
    away = max(risk_ratio / true, true / risk_ratio)
    return away + math.sqrt(away * (away - 1))


def bias_factor(with_treatment: float, with_outcome: float) -> float:
    """Largest factor by which a hidden cause of these risk ratios can move a risk ratio.

    Ding and VanderWeele (2016). The E-value is the number that, given twice, returns the observed risk ratio.

    Parameters
    ----------
    with_treatment, with_outcome : float
        Risk ratios of the hidden cause with treatment and outcome, 1 or more.

    Raises
    ------
    DataError
        If one is below 1.
    """
    if not min(with_treatment, with_outcome) >= 1:
        raise DataError(f"Risk ratios of {with_treatment!r} and {with_outcome!r} were given.",
                        available="1 or more", do="turn smaller ones over.")  # fmt: skip
    return with_treatment * with_outcome / (with_treatment + with_outcome - 1)


def ratio(
    estimate: float,
    low: float = math.nan,
    high: float = math.nan,
    kind: Kind = "RR",
    rare: bool | None = None,
    true: float = 1.0,
) -> EValue:
    """E-value of a ratio.

    Parameters
    ----------
    estimate, low, high : float
        A ratio and its 95 % limits.
    kind : {"RR", "OR", "HR"}, default "RR"
        Risk, odds or hazard ratio.
    rare : bool, optional
        Whether fewer than 15 % have the outcome at the end; has to be said for odds and hazard ratios. Ratios of a rare
        outcome are taken as risk ratios; else an odds ratio becomes its root, and a hazard ratio h becomes
        (1 - .5^√h)/(1 - .5^√(1/h)).
    true : float, default 1
        Ratio, of the same kind, to which a hidden cause shall move the estimate.

    Raises
    ------
    DataError
        If a ratio is not positive, limits do not enclose the estimate, or `rare` is not said where it matters.
    """
    if not (estimate > 0 and true > 0) or not (math.isnan(low) or 0 < low <= estimate) or estimate > high:
        raise DataError(f"The ratio {estimate!r} with limits {low!r} and {high!r} was given.",
                        available="positive numbers, the estimate between its limits")  # fmt: skip
    if kind not in ("RR", "OR", "HR"):
        raise DataError(f"There is no ratio {kind!r}.", available="RR, OR, HR")
    if kind != "RR" and rare is None:
        raise DataError(f"An {kind} is near a risk ratio only where the outcome is rare.",
                        do="say rare=True (below 15 % at the end) or rare=False.")  # fmt: skip
    name = {"RR": "risk ratio", "OR": "odds ratio", "HR": "hazard ratio"}[kind]
    if kind == "RR" or rare:
        return EValue(name, estimate, low, high, true)
    turned = math.sqrt if kind == "OR" else _from_hazard
    return EValue(f"{name} of a common outcome", *(turned(one) for one in (estimate, low, high, true)))


def _from_hazard(hazard: float) -> float:
    return (1 - math.pow(0.5, math.sqrt(hazard))) / (1 - math.pow(0.5, math.sqrt(1 / hazard)))


def mean_difference(estimate: float, std_error: float, sd: float, true: float = 0.0) -> EValue:
    """E-value of a difference of means, by way of an approximate risk ratio exp(.91 d) of its standardised size d.

    Parameters
    ----------
    estimate, std_error : float
        In units of the outcome.
    sd : float
        Standard deviation of the outcome given treatment and covariates; that of the outcome alone is larger and
        gives a smaller, cautious E-value.
    true : float, default 0
        Difference to which a hidden cause shall move the estimate.

    Raises
    ------
    DataError
        If `sd` is not positive or the standard error is negative.
    """
    if not sd > 0 or std_error < 0:
        raise DataError(f"sd={sd!r}, std_error={std_error!r}", available="sd above 0, a standard error of 0 or more")
    size, half = SLOPE * estimate / sd, HALF_WIDTH * std_error / sd
    return EValue(
        f"{estimate / sd:.4g} standard deviations", math.exp(size), math.exp(size - half), math.exp(size + half),
        math.exp(SLOPE * true / sd),
    )  # fmt: skip


def of_effect(
    effect: EffectEstimate, data: CausalData, given: Literal["covariates", "nothing"] = "covariates"
) -> EValue:
    """E-value of an estimated effect on a continuous outcome.

    Parameters
    ----------
    effect : EffectEstimate
    data : CausalData
        The rows that it was estimated from.
    given : {"covariates", "nothing"}, default "covariates"
        Standardise by the outcome's standard deviation within treatment and covariates (of a linear regression), or by
        the plain one. They differ much where covariates explain much of the outcome.

    Raises
    ------
    UnsupportedError
        If the outcome is 0/1: a difference of risks alone gives no risk ratio; use :func:`ratio`.
    """
    if np.isin(data.y, (0.0, 1.0)).all():
        raise UnsupportedError("An outcome of 0 and 1 has a risk ratio of its own.",
                               do="give that and its limits to evalue.ratio.")  # fmt: skip
    return mean_difference(effect.estimate, effect.std_error, _spread(data, given))


def _spread(data: CausalData, given: str) -> float:
    if given == "nothing":
        return float(data.y.std(ddof=1))
    if given != "covariates":
        raise DataError(f"given={given!r} was asked.", available="covariates, nothing")
    design = np.column_stack([np.ones(data.n), data.x, data.t])
    return regress(data.y, design, ("constant", *data.x_names, data.question.treatment)).sigma
