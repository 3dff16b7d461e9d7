"""Numbers typed from a paper or another program: which convention do they follow?

A typed number keeps its digits: 0.0549 stands for everything between 0.05485 and 0.05495. Few digits can be reached by
accident, the more so the more combinations there are, so a reason has to be less likely than that.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import pandas as pd

from ivbridge.api import design_for
from ivbridge.data import Dataset
from ivbridge.design import Design
from ivbridge.engines import engine
from ivbridge.errors import IvbridgeError
from ivbridge.explainer.catalogue import catalogue
from ivbridge.explainer.defaults import Default, defaults
from ivbridge.explainer.observed import asked_world, grouping_columns
from ivbridge.explainer.records import Explanation, Observed, Step, World
from ivbridge.explainer.typed import Typed, observed
from ivbridge.explainer.vcovs import FAR, estimators
from ivbridge.explainer.why import explain_observed, on_purpose
from ivbridge.gaps import Key, flatten
from ivbridge.method import Method
from ivbridge.spec import IVSpec
from ivbridge.vcov import Inference, Vcov

__all__ = ["explain_numbers"]

#: How many conventions of a stage a search tries, roughly: what a chance hit is counted with.
CHOICES = {"world": 700, "covariance": 60, "inference": 10, "test": 30}
#: A reason that so many wrong numbers out of one would have as well is none.
CHANCE = 0.1
#: From here on the reader is told how many.
TOLD = 0.005
#: Numbers that conventions lead to lie within a factor of two of each other, so in an interval of this relative width.
SPREAD = 0.7


def explain_numbers(
    spec_or_formula: IVSpec | str,
    data: pd.DataFrame | Dataset,
    numbers: Mapping[str, Mapping[str, Typed] | Typed],
    vcov: str | Vcov | None = None,
    weights: str | None = None,
    inference: str | Inference | None = None,
    method: str | Method | None = None,
) -> Explanation:
    """Say which convention the numbers of a paper, or of another program, follow.

    Parameters
    ----------
    spec_or_formula : IVSpec or str
        The question that the numbers should answer.
    data : DataFrame or Dataset, n rows
    numbers : mapping
        By kind: ``coef``, ``se``, ``t``, ``p``, ``ci``, ``f`` (first stage), ``wu_hausman``, ``sargan``, ``wald``,
        ``r2``, ``adj_r2``, ``sigma`` or ``n``; a number, or a mapping of term to number. Half a unit of the last digit
        is allowed, so write text where a trailing zero counts: ``{"se": {"educ": "0.0550"}}``.
    vcov : str or Vcov, optional
        What is expected, and conventions are counted from; default: that of the spec, or classical, as R's
        ``summary(fit)``.
    weights, inference, method : optional
        As for :func:`ivbridge.fit`.

    Returns
    -------
    Explanation
        ``rounding``: the numbers are those of the question as asked. Where programs print these numbers by default,
        the reason names them.

    Raises
    ------
    DataError
        If a number or its name cannot be read.
    IvbridgeError
        As :func:`ivbridge.fit`.
    """
    frame = data.frame if isinstance(data, Dataset) else data
    design = design_for(spec_or_formula, frame, (vcov,), weights, inference, method)
    if design.spec.vcov is None:
        design = dataclasses.replace(design, spec=design.spec.with_vcov("classical"))
    typed = observed(numbers, design.x_names, design.endog_names, "the paper")
    world, windows = asked_world(design.spec, frame), _windows(typed, _numbers(None, design))
    furthest = _furthest(typed, windows, world)
    found = explain_observed(world, typed, f"{design.spec.vcov} standard errors", steps=furthest)
    if found.ok:
        return _told(_preferred(found), typed, design, _by_chance(found.steps, windows, world))
    return found if furthest else dataclasses.replace(found, reason=f"{found.reason}{_COEFFICIENTS}")


_COEFFICIENTS = (
    ". Other coefficients than the question's were not looked at: these numbers would fit some of them by chance; "
    "give the coefficients, too"
)


def _told(found: Explanation, typed: Observed, design: Design, chance: float) -> Explanation:
    """The explanation with a sentence of its own, unless it may be chance."""
    programs = _programs(design, typed)
    if found.steps and not programs and chance > CHANCE:
        return _undecided(found, typed)
    reason = _reason(found, typed, programs, str(design.spec.vcov))
    if found.steps and not programs and chance > TOLD:
        reason += f"; of a hundred wrong numbers about {max(1, round(100 * chance))} would fit some convention, too"
    return dataclasses.replace(found, reason=reason)


def _preferred(found: Explanation) -> Explanation:
    """Of combinations of one length the most ordinary one first: no mistakes, and the question's own coefficients."""

    def oddity(steps: tuple[Step, ...]) -> int:
        entries = [catalogue()[step.key] for step in steps]
        return sum((entry.stage == "world") + 2 * entry.mistake for entry in entries)

    listed = sorted((found.steps, *found.alternatives), key=oddity)
    return dataclasses.replace(found, steps=listed[0], alternatives=tuple(listed[1:]))


def _windows(typed: Observed, asked: Mapping[Key, object]) -> dict[Key, float]:
    """How likely a number that means nothing would be as close, for each number that is evidence.

    Numbers that the question gives as it was asked are no evidence for a step. Nor are the statistic, the p-value and
    the interval beside a standard error: they follow from it, so that of these the most telling one counts. The key of
    a p-value or an interval is kept apart, since the distribution hangs on it.
    """
    found: dict[Key, float] = {}
    for key, value in typed.values.items():
        if key[0] == "n" or _close(asked.get(key), value, typed.within[key]):
            continue
        window = min(1.0, 2 * typed.within[key] / (SPREAD * abs(value))) if value else 1.0
        same = ("spread", key[1]) if key[0] in _SPREAD_OUT else key
        found[same] = min(window, found.get(same, 1.0))
        if key[0] in _DISTRIBUTED:
            found["distribution", ""] = window * found.get(("distribution", ""), 1.0)
    return found


_DISTRIBUTED = ("p.value", "conf.low", "conf.high")
_SPREAD_OUT = ("std.error", "statistic", *_DISTRIBUTED)


def _furthest(typed: Observed, windows: Mapping[Key, float], world: World) -> int:
    """How many steps to other coefficients the numbers can tell from chance; one where coefficients or n are typed."""
    least = typed.values.get(("n", ""), len(world.seen.y)) != len(world.seen.y)
    least |= any(quantity == "estimate" for quantity, _ in typed.values)
    told = [steps for steps in (1, 2) if CHOICES["world"] ** steps * _product(windows) <= CHANCE]
    return max([int(least), *told])


def _product(windows: Mapping[Key, float]) -> float:
    return math.prod(window for key, window in windows.items() if key[0] != "distribution")


def _by_chance(steps: Sequence[Step], windows: Mapping[Key, float], world: World) -> float:
    """How many combinations as long as this one would reproduce numbers that mean nothing.

    The distribution is judged by itself, given the standard errors.
    """
    by_stage = [(catalogue()[step.key].stage, step) for step in steps]
    others = [_choices(stage, step, world) for stage, step in by_stage if stage != "inference"]
    distributions = [CHOICES[stage] for stage, _ in by_stage if stage == "inference"]
    chance = math.prod(others) * _product(windows) if others else 0.0
    by_itself = math.prod(distributions) * windows.get(("distribution", ""), _product(windows))
    return max(chance, by_itself if distributions else 0.0)


def _choices(stage: str, step: Step, world: World) -> int:
    """Conventions that are tried until this one; clusters and kernels are many."""
    if stage != "covariance" or world.spec is None or world.spec.vcov is None:
        return CHOICES[stage]
    groups = grouping_columns(world.seen, world.frame)
    for place, estimator in enumerate(estimators(world.spec.vcov, k_class=False, groups=groups, kinds=FAR), 1):
        if step in estimator.steps:
            return max(CHOICES[stage], place)
    return CHOICES[stage]


def _undecided(found: Explanation, typed: Observed) -> Explanation:
    text = " and ".join(dict.fromkeys(step.text for step in found.steps))
    reason = (
        f"{typed.name} gives too few digits for a reason: its numbers fit if {text}, but wrong numbers would fit some "
        "combination of that length as well; give more numbers"
    )
    return dataclasses.replace(
        found, verdict="none", steps=(), reason=reason, alternatives=(found.steps, *found.alternatives)
    )


def _reason(found: Explanation, typed: Observed, programs: Sequence[str], vcov: str) -> str:
    """What the numbers are, who prints them, and how they differ from what was expected."""
    key, value = next(iter(typed.values.items()))
    one = f"{_WORDS.get(key[0], key[0])}{f' of {key[1]}' if key[1] else ''}, {value:g},"
    what = f"{typed.name}'s {one}" if len(typed.values) == 1 else f"{typed.name}'s {len(typed.values)} numbers"
    verb = "is" if len(typed.values) == 1 else "are"
    who = f"what {_listed(programs)} give{'s' * (len(programs) == 1)}" if programs else ""
    steps = " and ".join(dict.fromkeys(step.text for step in found.steps))
    if not found.steps:
        return f"{what} {verb} {who or 'what the question gives as asked'}: {vcov} standard errors"
    if not programs:
        return f"{what} {verb} the question's, with {vcov} standard errors, if {steps}{on_purpose(found.steps)}"
    return f"{what} {verb} {who}: {steps}"


_WORDS = {
    "std.error": "standard error", "estimate": "coefficient", "statistic": "t statistic", "p.value": "p-value",
    "conf.low": "lower limit", "conf.high": "upper limit", "test statistic": "test statistic", "r.squared": "R²",
}  # fmt: skip


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _programs(design: Design, typed: Observed) -> list[str]:
    """Programs that print all the typed numbers by default; none if all do, or if more than a table was typed."""
    if not all(quantity in _TABLE for quantity, _ in typed.values):
        return []
    answers: dict[tuple[str, str, str], Mapping[Key, object]] = {}
    found = []
    for entry in defaults().values():
        convention = (entry.vcov, entry.divisor, entry.inference)
        if convention not in answers:
            answers[convention] = _numbers(dataclasses.replace(entry, engine="native"), design)
        if all(_close(answers[convention].get(key), value, typed.within[key]) for key, value in typed.values.items()):
            found.append(entry.says)
    return found if len(found) < len(defaults()) else []


_TABLE = ("estimate", *_SPREAD_OUT, "n")


def _numbers(who: Default | None, design: Design) -> Mapping[Key, object]:
    """All numbers of a program, or of the question as asked; none where it has no answer."""
    try:
        answer = who.answer(design) if who else engine("native").fit(design)
    except IvbridgeError:
        return {}
    return {**flatten(answer), ("n", ""): float(answer.n)}


def _close(number: object, value: float, within: float) -> bool:
    return isinstance(number, float) and abs(number - value) <= within * (1 + 1e-9)
