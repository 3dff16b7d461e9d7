"""The frozen records of an encouragement report: one for each thing that it says."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ivbridge.records import NotApplicable, Test

__all__ = ["Difference", "Effect", "Experiment", "Profile", "Selected", "Set", "Shares"]


@dataclass(frozen=True, slots=True)
class Effect:
    """A number with its standard error, two-sided p-value and 95 % confidence limits.

    Attributes
    ----------
    estimate, std_error, statistic, p_value, conf_low, conf_high : float
    df : float
        Degrees of freedom of the t distribution.
    """

    estimate: float
    std_error: float
    statistic: float
    p_value: float
    conf_low: float
    conf_high: float
    df: float


@dataclass(frozen=True, slots=True)
class Set:
    """A confidence set that weak instruments cannot mislead, by inverting the Anderson–Rubin test.

    Attributes
    ----------
    intervals : tuple of (low, high)
        From left to right, infinite ends where the set is unbounded; none where it is empty.
    """

    intervals: tuple[tuple[float, float], ...]

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest value; NaN where the set is empty."""
        return (self.intervals[0][0], self.intervals[-1][1]) if self.intervals else (math.nan, math.nan)

    def __contains__(self, value: float) -> bool:
        return any(low <= value <= high for low, high in self.intervals)

    def __str__(self) -> str:
        return " ∪ ".join(map(_interval, self.intervals)) or "empty"


def _interval(ends: tuple[float, float]) -> str:
    low, high = ends
    left = f"[{low:.4g}" if math.isfinite(low) else "(-inf"
    return f"{left}, {high:.4g}]" if math.isfinite(high) else f"{left}, inf)"


@dataclass(frozen=True, slots=True)
class Difference:
    """A control in the two arms of an experiment.

    Attributes
    ----------
    control : str
    treated_mean, control_mean : float
    smd : float
        Standardised mean difference: the difference over √((s₁² + s₀²)/2).
    p_value : float
        Of Welch's t test, R's ``t.test``.
    """

    control: str
    treated_mean: float
    control_mean: float
    smd: float
    p_value: float


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of the users under monotonicity: nobody does the opposite of what the experiment encourages.

    Attributes
    ----------
    compliers, always_takers, never_takers : Effect
        They sum to 1.
    discouraged : bool
        Whether treatment lowers the behavior; then compliers are those whom treatment keeps from it.
    """

    compliers: Effect
    always_takers: Effect
    never_takers: Effect
    discouraged: bool


@dataclass(frozen=True, slots=True)
class Profile:
    """Mean of a control among compliers, by Abadie's (2003, Journal of Econometrics 113(2)) kappa weights.

    Attributes
    ----------
    control : str
    compliers : Effect
        Tested against the mean of all users in the experiment: ``statistic`` and ``p_value`` are about the difference.
    everyone : float
        Mean of all users in the experiment.
    """

    control: str
    compliers: Effect
    everyone: float


@dataclass(frozen=True, slots=True)
class Experiment:
    """Everything about one experiment by itself.

    Attributes
    ----------
    name : str
    users, treated, missing : int
        Users in the experiment, those treated, and users who are not in it.
    designed : float
        Share that was to be treated.
    sample_ratio : Test
        Sample-ratio test of the treated share.
    sample_ratio_holm : float
        Its p-value after Holm's correction over the experiments.
    attrition : Test or NotApplicable
        Test that users with a missing outcome, behavior or control are equally frequent in both arms.
    attrition_holm : float
        Its p-value after Holm's correction; NaN where nobody is missing.
    balance : Test or NotApplicable
        F test that no control predicts treatment.
    balance_holm : float
        Its p-value after Holm's correction; NaN without controls.
    differences : tuple of Difference
    control_outcome, control_behavior : float
        Means of the control arm.
    itt : Effect
        Intention to treat: treated minus control, outcome.
    first_stage : Effect
        Compliance: treated minus control, behavior.
    weak : Test
        F of the first stage.
    wald : Effect or NotApplicable
        Ratio of the two: the local average treatment effect.
    anderson_rubin : Set
        95 % confidence set of that effect.
    shares : Shares or NotApplicable
    profile : tuple of Profile, or NotApplicable
    warnings : tuple of str
    """

    name: str
    users: int
    treated: int
    missing: int
    designed: float
    sample_ratio: Test
    sample_ratio_holm: float
    attrition: Test | NotApplicable
    attrition_holm: float
    balance: Test | NotApplicable
    balance_holm: float
    differences: tuple[Difference, ...]
    control_outcome: float
    control_behavior: float
    itt: Effect
    first_stage: Effect
    weak: Test
    wald: Effect | NotApplicable
    anderson_rubin: Set
    shares: Shares | NotApplicable
    profile: tuple[Profile, ...] | NotApplicable
    warnings: tuple[str, ...] = ()

    @property
    def share(self) -> float:
        """Share of users in the experiment who were treated."""
        return self.treated / self.users


@dataclass(frozen=True, slots=True)
class Selected:
    """Which experiments the pooled answer uses, and how they were chosen.

    Attributes
    ----------
    rule : str
        Empty where there was nothing to choose.
    candidates : int
    experiments : tuple of str
    penalty : float
        λ of the rule; NaN without one.
    ties : tuple of str
        What the set hangs on, where that is a thread: see :mod:`ivbridge.selection.fragility`.
    """

    rule: str
    candidates: int
    experiments: tuple[str, ...]
    penalty: float = float("nan")
    ties: tuple[str, ...] = ()
