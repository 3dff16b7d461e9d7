"""Did randomisation work? Treated share against the design, controls between the arms, corrected for many tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import linalg, stats

from ivbridge.encouragement.moments import ArmMoments
from ivbridge.encouragement.records import Difference
from ivbridge.encouragement.users import Users
from ivbridge.records import FloatArray, NotApplicable, Test

__all__ = ["attrition", "differences", "holm", "joint_balance", "sample_ratio"]

#: Below this expected number of users in an arm the χ² approximation gives way to the exact test, as R warns at.
_SMALL = 5.0


def sample_ratio(treated: int, users: int, designed: float) -> Test:
    """Test that the treated share is the designed one.

    R: ``chisq.test(c(treated, users - treated), p = c(designed, 1 - designed))``; where an arm was to have fewer than
    five users, the p-value is that of ``binom.test(treated, users, designed)``.

    Parameters
    ----------
    treated, users : int
    designed : float
    """
    expected = users * designed
    statistic = (treated - expected) ** 2 / expected + (treated - expected) ** 2 / (users - expected)
    if min(expected, users - expected) < _SMALL:
        p_value = float(stats.binomtest(treated, users, designed).pvalue)
        return Test("Sample ratio (exact)", float(statistic), p_value, 1.0, np.inf, "chi2")
    return Test("Sample ratio", float(statistic), float(stats.chi2.sf(statistic, 1)), 1.0, np.inf, "chi2")


def attrition(sizes: tuple[int, int], lost: tuple[int, int]) -> Test | NotApplicable:
    """Test that users left out for missing values are equally frequent in both arms.

    R: ``prop.test(lost, sizes + lost, correct = FALSE)``.

    Parameters
    ----------
    sizes, lost : (control, treated)
        Users kept, and users left out.
    """
    n, gone = sum(sizes) + sum(lost), sum(lost)
    if gone == 0:
        return NotApplicable("Attrition", "no value is missing")
    cross = lost[1] * sizes[0] - lost[0] * sizes[1]
    statistic = n * cross**2 / (gone * sum(sizes) * (sizes[0] + lost[0]) * (sizes[1] + lost[1]))
    return Test("Attrition", float(statistic), float(stats.chi2.sf(statistic, 1)), 1.0, np.inf, "chi2")


def holm(p_values: Sequence[float]) -> FloatArray:
    """Holm's (1979) step-down correction, R's ``p.adjust(p, "holm")``; NaN stays NaN and does not count.

    Parameters
    ----------
    p_values : (J,) sequence

    Returns
    -------
    (J,) array
    """
    given = np.asarray(p_values, dtype=np.float64)
    adjusted = np.full(len(given), np.nan)
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    steps = given[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(order) else steps
    return adjusted


def differences(users: Users, moments: ArmMoments, j: int) -> tuple[Difference, ...]:
    """Each control in the two arms of experiment j."""
    found = []
    for a, name in enumerate(users.controls):
        k = f"k{a}"
        sizes = [float(moments.size(arm)[j]) for arm in (0, 1)]
        means = [float(moments.mean(arm, k)[j]) for arm in (0, 1)]
        variances = [float(moments.scatter(arm, k, k)[j]) / (sizes[arm] - 1) for arm in (0, 1)]
        spread = float(np.sqrt(sum(variances) / 2))
        smd = (means[1] - means[0]) / spread if spread > 0 else float("nan")
        p_value = _welch(means, variances, sizes)
        shift = moments.means[k]
        found.append(Difference(name, means[1] + shift, means[0] + shift, smd, p_value))
    return tuple(found)


def _welch(means: list[float], variances: list[float], sizes: list[float]) -> float:
    parts = [variances[arm] / sizes[arm] for arm in (0, 1)]
    if sum(parts) == 0:
        return float("nan")
    df = sum(parts) ** 2 / sum(parts[arm] ** 2 / (sizes[arm] - 1) for arm in (0, 1))
    return float(2 * stats.t.sf(abs(means[1] - means[0]) / np.sqrt(sum(parts)), df))


def joint_balance(users: Users, moments: ArmMoments, j: int) -> Test | NotApplicable:
    """F test that no control predicts treatment: R's ``anova(lm(z ~ 1), lm(z ~ controls))``.

    With treatment drawn independently of the controls the variance is the same for all users, so the classical F is
    the right one.
    """
    if not users.controls:
        return NotApplicable("Balance of controls", "no controls were named")
    names = [f"k{a}" for a in range(len(users.controls))]
    sizes = np.array([float(moments.size(arm)[j]) for arm in (0, 1)])
    n = float(sizes.sum())
    sums = np.array([[float(moments.total(arm, name)[j]) for name in names] for arm in (0, 1)])
    square = np.array([[sum(float(moments.total(arm, a, b)[j]) for arm in (0, 1)) for b in names] for a in names])
    scatter = square - np.outer(sums.sum(axis=0), sums.sum(axis=0)) / n
    with_z = sums[1] - sums.sum(axis=0) * sizes[1] / n
    scale = np.sqrt(np.diag(scatter))
    usable = np.flatnonzero(scale > 0)
    if not len(usable):
        return NotApplicable("Balance of controls", "no control varies among the users of this experiment")
    unit = scatter[np.ix_(usable, usable)] / np.outer(scale[usable], scale[usable])
    kept = _independent(unit)
    target = (with_z[usable] / scale[usable])[kept]
    explained = float(target @ linalg.solve(unit[np.ix_(kept, kept)], target, assume_a="pos"))
    total, rank = float(sizes[0] * sizes[1] / n), len(kept)
    df = n - rank - 1
    if df < 1:
        return NotApplicable("Balance of controls", f"{n:.0f} users are too few for {rank} controls")
    f = (explained / rank) / ((total - explained) / df)
    return Test("Balance of controls", f, float(stats.f.sf(f, rank, df)), float(rank), df, "F")


def _independent(unit: FloatArray) -> np.ndarray:
    """Columns of a correlation matrix that do not depend linearly on earlier ones."""
    kept: list[int] = []
    for a in range(len(unit)):
        left = unit[a, a]
        if kept:
            block = unit[np.ix_(kept, kept)]
            left -= unit[a, kept] @ linalg.solve(block, unit[kept, a], assume_a="pos")
        # R's lm leaves out a column of which less than 1e-7 of its length is its own; here lengths are squared, and
        # sums of products resolve no less than about 1e-12 of them
        if left > 1e-12:
            kept.append(a)
    return np.array(kept)
