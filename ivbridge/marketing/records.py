"""The frozen records of the marketing build: one for each thing that it measures. Numbers only, no words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ivbridge.marketing.worlds import TRUTH
from ivbridge.records import FloatArray, NotApplicable

__all__ = [
    "Average", "Confounded", "Drift", "Encoded", "Estimated", "FirstStageRow", "Gate", "Ranked",
    "Sample", "Scatter", "Served", "Serving", "Share", "Squared", "Stacked", "Suspected", "Weak",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Average:
    """What many draws of one world give.

    Attributes
    ----------
    mean, error : float
        Mean and its Monte Carlo standard error; read the median where single draws can be anything.
    sd : float
        Standard deviation of a draw.
    low, median, high : float
        Quantiles: 5 %, 50 %, 95 %.
    draws : int
    """

    mean: float
    error: float
    sd: float
    low: float
    median: float
    high: float
    draws: int

    @classmethod
    def of(cls, values: FloatArray) -> Average:
        """Of one number a draw; two draws or more."""
        sd = float(values.std(ddof=1))
        low, median, high = map(float, np.quantile(values, [0.05, 0.5, 0.95]))
        return cls(float(values.mean()), sd / math.sqrt(len(values)), sd, low, median, high, len(values))


@dataclass(frozen=True, slots=True)
class Share:
    """How often something happened in ``draws`` draws."""

    share: float
    draws: int

    @classmethod
    def of(cls, happened: npt.NDArray[np.bool_] | Sequence[bool]) -> Share:
        """Of one truth value a draw."""
        found = np.asarray(happened, dtype=bool)
        return cls(float(found.mean()), len(found))

    def far_from(self, expected: float) -> float:
        """How many binomial standard errors the share is from an expected one."""
        return abs(self.share - expected) / math.sqrt(expected * (1 - expected) / self.draws)


@dataclass(frozen=True, slots=True)
class Gate:
    """A claim about the numbers that can fail: what, what was measured, what was wanted, and whether it holds."""

    what: str
    measured: str
    wanted: str
    ok: bool


@dataclass(frozen=True, slots=True)
class Estimated:
    """One way to estimate the effect in one sample; ``how`` says with what."""

    name: str
    how: str
    estimate: float
    std_error: float

    @property
    def off(self) -> float:
        """Bias: the estimate minus the truth."""
        return self.estimate - TRUTH


@dataclass(frozen=True, slots=True)
class Scatter:
    """Some users of a sample as points, after the controls were taken out of both axes; ``slope`` is that of all."""

    title: str
    across: FloatArray
    up: FloatArray
    slope: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One data set with a confounder, of the size that the recipe has.

    Attributes
    ----------
    n : int
    rows : tuple of Estimated
    digits : mapping of engine to float
        Agreeing digits of torch's estimate and standard error, the worse of the two.
    verdict, reason : str
        Of R against Python over all numbers that they report; empty where R cannot be used.
    f, f_hc1 : float
        First-stage F of the email given the covariates.
    scatters : tuple of Scatter
    absent : tuple of NotApplicable
        Engines that cannot be used here.
    """

    n: int
    rows: tuple[Estimated, ...]
    digits: Mapping[str, float]
    verdict: str
    reason: str
    f: float
    f_hc1: float
    scatters: tuple[Scatter, ...]
    absent: tuple[NotApplicable, ...] = ()

    def __getitem__(self, name: str) -> Estimated:
        """The row of that name."""
        return next(row for row in self.rows if row.name == name)


@dataclass(frozen=True, slots=True)
class Confounded:
    """Least squares and 2SLS in one world, beside their limits; ``by_hand`` is the coverage of second-stage intervals.

    ``coverage`` and ``by_hand`` are shares of 95 % intervals that hold the truth: with standard errors from y − τd, and
    from the second regression as it is.
    """

    world: str
    ols: Average
    ols_limit: float
    iv: Average
    coverage: Share
    by_hand: Share


@dataclass(frozen=True, slots=True)
class FirstStageRow:
    """One first stage in one world.

    Attributes
    ----------
    name, world : str
    fit : float
        Mean R² of fitted exposure in users who were not learnt from.
    slope : Average
        Of exposure on fitted exposure, given x: 1 for least squares.
    plugged, instrument, crossed, randomised : Average
        The fitted values in place of exposure; as an instrument; learnt from the other half of the users, as an
        instrument; only what the email changes in them, times the centred email, as an instrument.
    gap : float
        The largest |plugged − slope·instrument|: zero but for rounding.
    """

    name: str
    world: str
    fit: float
    slope: Average
    plugged: Average
    instrument: Average
    crossed: Average
    randomised: Average
    gap: float


@dataclass(frozen=True, slots=True)
class Squared:
    """Conversions that depend on d²: (fitted d)² in place of d², and 2SLS with d and d² both instrumented."""

    truth: float
    plugged: Average
    instrumented: Average


@dataclass(frozen=True, slots=True)
class Drift:
    """2SLS against violations, for one π: means over draws, theory 2 + γ/π, and the slope."""

    relevance: float
    violations: tuple[float, ...]
    estimates: tuple[Average, ...]
    theory: tuple[float, ...]
    slope: Average


@dataclass(frozen=True, slots=True)
class Weak:
    """One strength of the instrument: median F, quantiles of the estimate, and which intervals hold the truth."""

    relevance: float
    f: float
    estimate: Average
    coverage: Share
    anderson_rubin: Share


@dataclass(frozen=True, slots=True)
class Stacked:
    """Two instruments against one: variance of 2SLS over draws; ``ratio`` with its jackknife standard error."""

    one: Average
    both: Average
    ratio: float
    ratio_error: float
    theory: float


@dataclass(frozen=True, slots=True)
class Suspected:
    """A world with or without a violation, and who notices.

    Attributes
    ----------
    world : str
    violated : bool
    estimate : Average
        2SLS with the email.
    correlation : float
        The largest |corr(z, residual)|, given x, over all draws.
    sargan, negative_control : Share
        Rejections at 5 %.
    """

    world: str
    violated: bool
    estimate: Average
    correlation: float
    sargan: Share
    negative_control: Share


@dataclass(frozen=True, slots=True)
class Encoded:
    """2SLS with learnt features among the controls: without and with a violation of 0.5."""

    name: str
    leak: float
    valid: Average
    violated: Average
    slope: Average
    f: float
    correlation: float
    sargan: Share


@dataclass(frozen=True, slots=True)
class Served:
    """One way to answer a request: milliseconds of the network alone, and of a whole HTTP request."""

    name: str
    forward: tuple[float, float]
    http: tuple[float, float, float]
    difference: float
    estimate: float


@dataclass(frozen=True, slots=True)
class Serving:
    """The served first stage: float32, int8, NumPy; and the balance that the server logged.

    ``forward`` are p50 and p99, ``http`` p50, p95 and p99; ``ratio`` is int8 over float32 of the forward medians.
    """

    rows: tuple[Served, ...]
    std_error: float
    ratio: float
    requests: int
    share_treated: float
    largest_smd: float
    absent: tuple[NotApplicable, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranked:
    """Whom to expose first: the mean true uplift among the top fifth, by one way of ranking."""

    name: str
    uplift: Average
    share: float
