"""What each assumption is worth: exclusion broken by degrees, a weak instrument, a second one, and who notices.

2SLS with one instrument is linear in y, so that a direct effect γ of the email shifts it by γ/π̂ in every sample: the
drift is a straight line whose slope is one over the first stage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ivbridge import batch
from ivbridge.marketing.checks import falsification, negative_control, sargan
from ivbridge.marketing.records import Average, Confounded, Drift, Share, Stacked, Suspected, Weak
from ivbridge.marketing.worlds import TRUTH, Campaign, Panel, panel
from ivbridge.records import FloatArray

__all__ = ["VIOLATIONS", "confounding", "drift", "stacking", "suspicion", "two_stage", "weakness"]

VIOLATIONS = tuple(np.round(np.linspace(-1, 1, 9), 2).tolist())
_Z95 = float(stats.norm.isf(0.025))
#: The share of draws in which a test at 5 % rejects a true hypothesis.
LEVEL = 0.05


def two_stage(data: Panel, instruments: FloatArray | None = None, vcov: str = "HC1") -> tuple[FloatArray, FloatArray]:
    """Estimates and standard errors, (B,) each; default instrument: the email."""
    chosen = data.email[:, :, None] if instruments is None else instruments
    found = batch.fit(data.conversions, data.controls, data.exposure, chosen, vcov)
    return found.coef[:, -1], np.sqrt(found.cov[:, -1, -1])


def confounding(name: str, world: Campaign, n: int, draws: int, seed: int = 1) -> Confounded:
    """Least squares and 2SLS; and the intervals of somebody who runs the second regression by hand."""
    data = panel(world, n, range(seed, seed + draws))
    ols = batch.fit(data.conversions, data.controls, data.exposure, None, "HC1", "ols").coef[:, -1]
    estimate, error = two_stage(data)
    by_hand = batch.fit(data.conversions, data.controls, _fitted(data), None, "HC1", "ols")
    hand_error = np.sqrt(by_hand.cov[:, -1, -1])
    off = np.abs(estimate - TRUTH)
    return Confounded(
        name, Average.of(ols), world.ols_limit, Average.of(estimate),
        Share.of(off <= _Z95 * error), Share.of(off <= _Z95 * hand_error),
    )  # fmt: skip


def _fitted(data: Panel) -> FloatArray:
    """Exposure as least squares on the email and the controls predict it, (B, n)."""
    columns = np.concatenate([data.controls, data.email[:, :, None]], axis=2)
    coef = batch.fit(data.exposure, columns, None, None, "HC1", "ols").coef
    return np.asarray(np.einsum("bnk,bk->bn", columns, coef))


def drift(relevance: float, n: int, draws: int, violations: Sequence[float] = VIOLATIONS, seed: int = 1) -> Drift:
    """2SLS over a grid of direct effects of the email, the same users each time."""
    found = []
    for violation in violations:
        world = Campaign(relevance=relevance, confounding=1.0, violation=violation)
        found.append(two_stage(panel(world, n, range(seed, seed + draws)))[0])
    grid, values = np.asarray(violations), np.stack(found)
    slopes = np.polyfit(grid, values, 1)[0]
    return Drift(
        relevance, tuple(map(float, violations)), tuple(Average.of(one) for one in values),
        tuple(TRUTH + one / relevance for one in map(float, violations)), Average.of(slopes),
    )  # fmt: skip


def weakness(relevance: float, n: int, draws: int, seed: int = 1) -> Weak:
    """An instrument of this strength: its F, the estimate, the usual interval and Anderson and Rubin's."""
    data = panel(Campaign(relevance=relevance, confounding=1.0), n, range(seed, seed + draws))
    estimate, error = two_stage(data)
    columns = np.concatenate([data.controls, data.email[:, :, None]], axis=2)
    first, reduced = (
        batch.fit(target, columns, None, None, "HC1", "ols")
        for target in (data.exposure, data.conversions - TRUTH * data.exposure)
    )
    t_first, t_reduced = (one.coef[:, -1] / np.sqrt(one.cov[:, -1, -1]) for one in (first, reduced))
    return Weak(
        relevance, float(np.median(t_first**2)), Average.of(estimate),
        Share.of(np.abs(estimate - TRUTH) <= _Z95 * error), Share.of(np.abs(t_reduced) <= _Z95),
    )  # fmt: skip


def stacking(n: int, draws: int, second: float = 0.6, seed: int = 1) -> Stacked:
    """Email alone against email and push message: the variance of 2SLS over fresh data sets.

    The variance is σ²/(n·Var(fitted d)), and the variances of independent campaigns add: theory says π²/(π² + π₂²).
    """
    data = panel(Campaign(confounding=1.0, second=second), n, range(seed, seed + draws))
    one, both = two_stage(data)[0], two_stage(data, data.campaigns)[0]
    left = [_ratio(np.delete(one, i), np.delete(both, i)) for i in range(draws)]
    error = float(np.sqrt((draws - 1) * np.var(left)))
    return Stacked(Average.of(one), Average.of(both), _ratio(one, both), error, 1 / (1 + second**2))


def _ratio(one: FloatArray, both: FloatArray) -> float:
    return float(both.var(ddof=1) / one.var(ddof=1))


def suspicion(name: str, world: Campaign, n: int, draws: int, seed: int = 1) -> Suspected:
    """Who notices a violation: corr(z, residual), Sargan's test with the push message, a negative control."""
    data = panel(world, n, range(seed, seed + draws))
    return Suspected(
        name, bool(world.violation or world.second_violation), Average.of(two_stage(data)[0]),
        float(np.abs(falsification(data)).max()), Share.of(sargan(data) < LEVEL),
        Share.of(negative_control(data) < LEVEL),
    )  # fmt: skip
