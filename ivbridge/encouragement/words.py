"""The findings in plain sentences, and what to look at before believing them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ivbridge.encouragement.choice import Seeds
from ivbridge.encouragement.pooled import Pooled
from ivbridge.encouragement.records import Effect, Experiment, Selected, Set
from ivbridge.records import NotApplicable, Test

__all__ = [
    "estimate_and_error",
    "experiment_warnings",
    "interval",
    "p_text",
    "robust_to",
    "rounded",
    "sentences",
    "set_text",
    "share_text",
    "warnings",
]

#: Below these p-values after Holm's correction a check of randomisation counts as failed.
SAMPLE_RATIO_LIMIT, BALANCE_LIMIT = 0.01, 0.05
#: Standardised differences beyond this are large whatever their p-value (Austin 2009, Statistics in Medicine 28(25)).
SMD_LIMIT = 0.1
#: Rule of thumb of Staiger and Stock (1997) for one instrument.
WEAK = 10.0


def p_text(p: float) -> str:
    """``p = 0.034`` or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def rounded(value: float, error: float) -> str:
    """A number with as many decimals as two digits of its standard error have; thousands stay whole."""
    if not (math.isfinite(value) and math.isfinite(error) and error > 0):
        return f"{value:.4g}"
    return f"{value:.{min(max(1 - math.floor(math.log10(error)), 0), 12)}f}"


def set_text(found: Set, error: float) -> str:
    """A confidence set with ends as :func:`rounded`."""
    parts = []
    for low, high in found.intervals:
        left = f"[{rounded(low, error)}" if math.isfinite(low) else "(-∞"
        parts.append(f"{left}, {rounded(high, error)}]" if math.isfinite(high) else f"{left}, ∞)")
    return " ∪ ".join(parts) or "empty"


def interval(one: Effect) -> str:
    """``0.103 (standard error 0.021, 95 % interval 0.062 to 0.144)``."""
    shown = [rounded(value, one.std_error) for value in (one.estimate, one.std_error, one.conf_low, one.conf_high)]
    return f"{shown[0]} (standard error {shown[1]}, 95 % interval {shown[2]} to {shown[3]})"


def estimate_and_error(one: Effect) -> tuple[str, str]:
    """Estimate and standard error with the same decimals."""
    return rounded(one.estimate, one.std_error), rounded(one.std_error, one.std_error)


def robust_to(selected: Selected) -> str:
    """What cannot mislead the Anderson–Rubin set of these experiments."""
    return (
        "allows for weak instruments but not for their selection"
        if selected.rule
        else "weak instruments cannot mislead"
    )


def share_text(share: float) -> str:
    """A share in per cent."""
    return f"{100 * share:.1f} %"


def experiment_warnings(one: Experiment) -> tuple[str, ...]:
    """What is wrong with one experiment."""
    found = []
    if one.sample_ratio_holm < SAMPLE_RATIO_LIMIT:
        found.append(
            f"{share_text(one.share)} of its users were treated instead of {share_text(one.designed)} "
            f"({p_text(one.sample_ratio_holm)} after Holm's correction): find out why before using it"
        )
    if one.attrition_holm < SAMPLE_RATIO_LIMIT:
        found.append(
            f"missing values are not equally frequent in both arms ({p_text(one.attrition_holm)} after Holm's "
            "correction): the users who are left may not be comparable"
        )
    if one.balance_holm < BALANCE_LIMIT:
        found.append(f"the controls predict treatment ({p_text(one.balance_holm)} after Holm's correction)")
    far = [d for d in one.differences if abs(d.smd) > SMD_LIMIT]
    if far:
        found.append("standardised differences above 0.1: " + ", ".join(f"{d.control} {d.smd:+.2f}" for d in far))
    if one.weak.statistic < WEAK:
        found.append(
            f"weak first stage (F = {one.weak.statistic:.3g}): read the Anderson–Rubin set instead of the interval"
        )
    return tuple(found)


def sentences(
    outcome: str,
    behavior: str,
    experiments: Sequence[Experiment],
    selected: Selected,
    pooled: Pooled | NotApplicable,
    *,
    binary: bool,
) -> tuple[str, ...]:
    """The answer first, then what stands behind it; ``binary`` says whether the behavior is 0/1."""
    found = _answer(outcome, behavior, selected, pooled, binary=binary)
    found += _strength(experiments, pooled)
    found += _randomisation(experiments)
    found += _overidentification(pooled)
    return tuple(found)


def _answer(
    outcome: str, behavior: str, selected: Selected, pooled: Pooled | NotApplicable, *, binary: bool
) -> list[str]:
    if isinstance(pooled, NotApplicable):
        return [f"There is no pooled estimate: {pooled.reason}. Each experiment by itself stands below."]
    how = f"{len(selected.experiments)} of {selected.candidates} experiments"
    how = f"{how}, chosen by the rule {selected.rule}" if selected.rule else selected.experiments[0]
    error = pooled.two_stage.std_error
    liml, ols = estimate_and_error(pooled.bekker), estimate_and_error(pooled.ols)
    what = behavior if binary else f"One more unit of {behavior}"
    moved = f"{what} changes {outcome} by {interval(pooled.two_stage)} among the users whom the experiments move"
    return [
        f"{moved}: two-stage least squares with {how}.",
        f"The 95 % Anderson–Rubin set, which {robust_to(selected)}, is {_set(pooled, error)}.",
        f"LIML, which many instruments bias less, says {liml[0]} (Bekker standard error {liml[1]}).",
        f"Least squares without experiments says {ols[0]} (standard error {ols[1]}); {_against_ols(pooled)}",
    ]


def _set(pooled: Pooled, error: float) -> str:
    if not pooled.anderson_rubin.intervals:
        return "empty: no effect is compatible with all experiments at once"
    return set_text(pooled.anderson_rubin, error)


def _against_ols(pooled: Pooled) -> str:
    p = pooled.wu_hausman.p_value
    if p < 0.05:
        return (
            f"the two differ by more than chance (Wu–Hausman {p_text(p)}): confounding, if the experiments are valid, "
            "or an effect on compliers that is not everybody's."
        )
    return f"the two do not differ by more than chance (Wu–Hausman {p_text(p)})."


def _strength(experiments: Sequence[Experiment], pooled: Pooled | NotApplicable) -> list[str]:
    best = max(experiments, key=lambda one: one.weak.statistic)
    lines = []
    if not isinstance(pooled, NotApplicable):
        lines.append(
            f"Together they are {_strong(pooled)} instruments: first-stage F {pooled.weak.statistic:.4g}, effective F "
            f"{pooled.effective_f:.4g} ({pooled.effective_critical:.3g} or more bounds the bias at 10 %)."
        )
    change = estimate_and_error(best.first_stage)
    lines.append(
        f"The experiment that moves the behavior most clearly is {best.name}: by {change[0]} (standard error "
        f"{change[1]}), F {best.weak.statistic:.4g}."
    )
    return lines


def _strong(pooled: Pooled) -> str:
    f = pooled.effective_f
    return "strong" if f > pooled.effective_critical else "moderate" if f > WEAK else "weak"


def _randomisation(experiments: Sequence[Experiment]) -> list[str]:
    ratio = [one.name for one in experiments if one.sample_ratio_holm < SAMPLE_RATIO_LIMIT]
    lost = [one.name for one in experiments if one.attrition_holm < SAMPLE_RATIO_LIMIT]
    shifted = [one.name for one in experiments if one.balance_holm < BALANCE_LIMIT]
    count = f"{len(experiments)} experiments" if len(experiments) > 1 else "The experiment"
    if not (ratio or lost or shifted):
        checked = "treated shares" if all(math.isnan(one.balance_holm) for one in experiments) else (
            "treated shares and controls"
        )  # fmt: skip
        return [f"Randomisation: {count} checked, {checked} as designed (Holm's correction)."]
    lines = []
    if ratio:
        lines.append(f"Randomisation: treated shares are not as designed in {_listed(ratio)}.")
    if lost:
        lines.append(f"Attrition: missing values are not equally frequent in both arms of {_listed(lost)}.")
    if shifted:
        lines.append(f"Randomisation: controls predict treatment in {_listed(shifted)}.")
    return lines


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _overidentification(pooled: Pooled | NotApplicable) -> list[str]:
    if isinstance(pooled, NotApplicable) or not isinstance(pooled.sargan, Test):
        return []
    p = pooled.sargan.p_value
    head = f"Overidentification: Sargan's test has {p_text(p)}"
    if p < 0.05:
        why = (
            "one of them may change the outcome by another way than the behavior, or they move different users with "
            "different effects"
        )
        return [f"{head}, so the experiments disagree about the effect: {why}."]
    return [f"{head}, so the experiments do not disagree about the effect; that does not prove any of them valid."]


def warnings(
    experiments: Sequence[Experiment], selected: Selected, pooled: Pooled | NotApplicable, seeds: Seeds | NotApplicable
) -> tuple[str, ...]:
    """What to look at before believing the sentences."""
    found = []
    if selected.rule and not isinstance(pooled, NotApplicable):
        found.append(
            "The experiments were selected on the same users that the estimate uses: intervals, the Anderson–Rubin set "
            'and the p-value of Sargan\'s test are optimistic. ivbridge.select_instruments(rule="crossfit") selects on '
            "other users."
        )
    found += [f"The selection hangs on a thread: {tie}." for tie in selected.ties]
    if isinstance(seeds, Seeds) and seeds.same < len(seeds.draws):
        (fewest, most), error = (
            seeds.sizes,
            math.nan if isinstance(pooled, NotApplicable) else pooled.two_stage.std_error,
        )
        low, high = (rounded(value, error) for value in seeds.range)
        found.append(
            f"Over {len(seeds.draws)} draws of folds the rule selects {fewest} to {most} experiments, the reported set "
            f"in {seeds.same}, and the estimate moves from {low} to {high}."
        )
    if not isinstance(pooled, NotApplicable):
        if pooled.effective_f < WEAK:
            crossed = 'select on other users, with ivbridge.select_instruments(rule="crossfit"), and '
            found.append(
                f"The instruments are weak together: {crossed if selected.rule else ''}read the Anderson–Rubin set."
            )
        if pooled.dropped:
            found.append(f"Left out because of linear dependence: {_listed(pooled.dropped)}.")
    for one in experiments:
        found += [f"{one.name}: {text}." for text in one.warnings if not text.startswith("weak")]
    weak = [one.name for one in experiments if one.weak.statistic < WEAK]
    if weak:
        found.append(f"Weak by themselves (F below 10): {_listed(weak)}.")
    partial = [one for one in experiments if one.missing]
    if partial:
        found.append(
            f"Not every user was in {_listed([one.name for one in partial])}; treated users are compared with users of "
            "the same experiment only."
        )
    return tuple(found)
