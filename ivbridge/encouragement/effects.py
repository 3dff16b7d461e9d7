"""Each experiment by itself: intention to treat, compliance, Wald ratio, shares and profile of compliers.

Everything comes from sums over the two arms. With one 0/1 instrument the Wald ratio *is* two-stage least squares, and
its residuals sum to zero in each arm; the delta-method variance of the ratio and the sandwich of two-stage least
squares are then the same number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from ivbridge.encouragement.moments import ArmMoments
from ivbridge.encouragement.records import Effect, Profile, Set, Shares
from ivbridge.encouragement.users import Users
from ivbridge.records import FloatArray, NotApplicable, Test
from ivbridge.vcov import HC0, Classical, Vcov
from ivbridge.weak_native import quadratic_set

__all__ = ["Contrasts", "contrasts", "effect", "profile_of", "shares_of"]

LEVEL = 0.95


def effect(estimate: float, std_error: float, df: float, null: float = 0.0) -> Effect:
    """An estimate with t statistic, p-value and 95 % limits."""
    half = float(stats.t.ppf(0.5 + LEVEL / 2, df)) * std_error
    statistic = _ratio(estimate - null, std_error)
    p_value = float(2 * stats.t.sf(abs(statistic), df))
    return Effect(float(estimate), float(std_error), statistic, p_value, estimate - half, estimate + half, float(df))


def _ratio(difference: float, std_error: float) -> float:
    if std_error > 0:
        return float(difference / std_error)
    return float("nan") if difference == 0 else float(np.copysign(np.inf, difference))


@dataclass(frozen=True, slots=True, eq=False)
class Contrasts:
    """Differences between the arms of every experiment, all (J,) arrays.

    Attributes
    ----------
    outcome, behavior : array
        Treated minus control.
    var_outcome, var_behavior, cov : array
        Covariance matrix of the two differences under the asked vcov.
    wald_var : array
        Variance of the ratio.
    df : array
        Users in the experiment minus two.
    """

    outcome: FloatArray
    behavior: FloatArray
    var_outcome: FloatArray
    var_behavior: FloatArray
    cov: FloatArray
    wald_var: FloatArray
    df: FloatArray

    def itt(self, j: int) -> Effect:
        """Intention to treat."""
        return effect(float(self.outcome[j]), float(np.sqrt(self.var_outcome[j])), float(self.df[j]))

    def first_stage(self, j: int) -> Effect:
        """Compliance."""
        return effect(float(self.behavior[j]), float(np.sqrt(self.var_behavior[j])), float(self.df[j]))

    def weak(self, j: int) -> Test:
        """F of the first stage with 1 and n − 2 degrees of freedom."""
        f = self.first_stage(j).statistic ** 2
        df = float(self.df[j])
        return Test("First-stage F", f, float(stats.f.sf(f, 1, df)), 1.0, df, "F")

    def wald(self, j: int) -> Effect | NotApplicable:
        """Ratio of the two differences."""
        if self.behavior[j] == 0:
            return NotApplicable("Wald", "the behavior is equally frequent in both arms: the ratio has no denominator")
        ratio = self.outcome[j] / self.behavior[j]
        return effect(float(ratio), float(np.sqrt(self.wald_var[j])), float(self.df[j]))

    def anderson_rubin(self, j: int) -> Set:
        """Effects β at which the difference of y − βx between the arms does not differ from zero."""
        limit = float(stats.f.ppf(LEVEL, 1, self.df[j]))
        square = self.behavior[j] ** 2 - limit * self.var_behavior[j]
        linear = self.outcome[j] * self.behavior[j] - limit * self.cov[j]
        constant = self.outcome[j] ** 2 - limit * self.var_outcome[j]
        return Set(tuple(quadratic_set(float(square), float(linear), float(constant))))


def contrasts(moments: ArmMoments, vcov: Vcov) -> Contrasts:
    """Differences of the arms with variances, as ``lm(y ~ z)`` and ``ivreg(y ~ x | z)`` have them."""
    control, treated = moments.size(0), moments.size(1)
    outcome = moments.mean(1, "y") - moments.mean(0, "y")
    behavior = moments.mean(1, "x") - moments.mean(0, "x")
    yy, xy, xx = (_variance(moments, vcov, *pair) for pair in (("y", "y"), ("x", "y"), ("x", "x")))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = outcome / behavior
        wald_var = (yy - 2 * ratio * xy + ratio**2 * xx) / behavior**2
    return Contrasts(outcome, behavior, yy, xx, xy, np.maximum(wald_var, 0), control + treated - 2)


def _variance(moments: ArmMoments, vcov: Vcov, first: str, second: str) -> FloatArray:
    """Covariance of two differences of means."""
    sizes = np.stack([moments.size(0), moments.size(1)])
    scatter = np.stack([moments.scatter(arm, first, second) for arm in (0, 1)])
    n = sizes.sum(axis=0)
    if isinstance(vcov, Classical):
        return np.asarray(scatter.sum(axis=0) / (n - 2) * (1 / sizes).sum(axis=0))
    factor = 1.0 if isinstance(vcov, HC0) else n / (n - 2)
    return np.asarray((scatter / sizes**2).sum(axis=0) * factor)


def shares_of(users: Users, moments: ArmMoments, found: Contrasts, j: int) -> Shares | NotApplicable:
    """Shares of compliers, always-takers and never-takers."""
    if not users.binary:
        return NotApplicable(
            "Complier shares", f"{users.behavior} is not 0/1, so users do not fall into compliers and others"
        )
    discouraged = bool(found.behavior[j] < 0)
    n = float(moments.size(0)[j] + moments.size(1)[j])
    rates, errors = [], []
    for arm in (0, 1):
        rates.append(float(moments.mean(arm, "x")[j]) + moments.means["x"])
        errors.append(float(np.sqrt(moments.scatter(arm, "x", "x")[j]) / moments.size(arm)[j] * np.sqrt(n / (n - 2))))
    # who does it in the arm that is not pushed towards it does it always; who does not in the other never does it
    low, high = (1, 0) if discouraged else (0, 1)
    df = float(found.df[j])
    first = found.first_stage(j)
    return Shares(
        compliers=effect(abs(first.estimate), first.std_error, df),
        always_takers=effect(rates[low], errors[low], df),
        never_takers=effect(1 - rates[high], errors[high], df),
        discouraged=discouraged,
    )


def profile_of(users: Users, moments: ArmMoments, found: Contrasts, j: int) -> tuple[Profile, ...] | NotApplicable:
    """Means of the controls among compliers, and their influence-function standard errors.

    κ = 1 − D(1 − Z)/(1 − p) − (1 − D)Z/p with p the treated share in the data; the mean is E[κx]/E[κ].
    """
    name = "Complier profile"
    if not users.controls:
        return NotApplicable(name, "no controls were named")
    if not users.binary:
        return NotApplicable(name, f"{users.behavior} is not 0/1, and kappa weights need that")
    if found.behavior[j] == 0:
        return NotApplicable(name, "there are no compliers in these data")
    return tuple(_profile(users, moments, a, j, float(found.df[j])) for a in range(len(users.controls)))


def _profile(users: Users, moments: ArmMoments, a: int, j: int, df: float) -> Profile:
    k = f"k{a}"
    sizes = [float(moments.size(arm)[j]) for arm in (0, 1)]
    n = sum(sizes)
    share = sizes[1] / n
    products: list[tuple[str, ...]] = [(k,), ("d",), ("d", k), (k, k), ("d", k, k)]
    sums = [{product: float(moments.total(arm, *product)[j]) for product in products} for arm in (0, 1)]
    mean = (sums[0][(k,)] + sums[1][(k,)]) / n
    kappa = sums[1][("d",)] / sizes[1] - sums[0][("d",)] / sizes[0]
    # without the behavior the control-arm term is the always-takers', the treated-arm term the never-takers'
    weighted = mean - sums[0][("d", k)] / sizes[0] - (sums[1][(k,)] - sums[1][("d", k)]) / sizes[1]
    theta = weighted / kappa
    # influence: x in both arms; in the control arm (D = 0, 1) and treated arm linear in (x, d, dx) around its mean
    coefficients = [
        {"x": 1.0, "dx": -1 / (1 - share), "d": theta / (1 - share)},
        {"x": 1 - 1 / share, "dx": 1 / share, "d": -theta / share},
    ]
    squares = [_squares(sums[arm], sizes[arm], k, coefficients[arm], mean) for arm in (0, 1)]
    error = float(np.sqrt(sum(squares))) / n / abs(kappa)
    shift = moments.means[k]
    against = effect(theta, error, df, null=mean)
    shown = effect(theta + shift, error, df)
    about = Effect(shown.estimate, error, against.statistic, against.p_value, shown.conf_low, shown.conf_high, df)
    return Profile(users.controls[a], about, mean + shift)


def _squares(
    sums: dict[tuple[str, ...], float], size: float, k: str, coefficients: dict[str, float], mean: float
) -> float:
    """Σψ² over an arm: scatter of the linear combination, and the arm's own distance from the common mean."""
    totals = {"x": sums[(k,)], "dx": sums[("d", k)], "d": sums[("d",)]}
    products = {
        ("x", "x"): sums[(k, k)], ("dx", "x"): sums[("d", k, k)], ("d", "x"): sums[("d", k)],
        ("dx", "dx"): sums[("d", k, k)], ("d", "dx"): sums[("d", k)], ("d", "d"): sums[("d",)],
    }  # fmt: skip
    inner = 0.0
    for first, c1 in coefficients.items():
        for second, c2 in coefficients.items():
            pair = (min(first, second), max(first, second))
            inner += c1 * c2 * (products[pair] - totals[first] * totals[second] / size)
    return inner + size * (totals["x"] / size - mean) ** 2
