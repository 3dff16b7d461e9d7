"""One question, three engines or more, one vote a number: who stands alone, and by which convention.

Two engines that differ do not say which of them is unusual. With three or more, each number is put to the vote: the
largest group of engines whose values agree to rounding is the majority if it is more than half of those that report the
number. An engine is an outlier if the majority contradicts it on any number, and the explainer is asked why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ivbridge.agreement import Comparison
from ivbridge.explainer import explain
from ivbridge.gaps import Gap, Key, flatten, gap_of, is_lacking, scales
from ivbridge.records import FloatArray
from ivbridge.results import Estimate
from ivbridge.vote_records import Outlier, Vote

__all__ = ["ENOUGH", "vote"]

#: Voters that a majority needs: of two, neither is more than half.
ENOUGH = 3

_Value = float | FloatArray


def vote(comparisons: Sequence[Comparison], data: pd.DataFrame | None = None) -> Vote | None:
    """Let the engines of one vcov vote.

    Parameters
    ----------
    comparisons : sequence of Comparison
        All with the same reference; their bounds say what rounding explains.
    data : DataFrame, optional
        The data as given, for conventions about rows, levels and storage.

    Returns
    -------
    Vote or None
        None where fewer than three engines answered.
    """
    if len(comparisons) < ENOUGH - 1:
        return None
    reference = comparisons[0].reference
    estimates = {reference.engine: reference, **{c.candidate.engine: c.candidate for c in comparisons}}
    strangers = {c.candidate.engine: c.reason for c in comparisons if c.gaps == ()}
    voters = {name: answer for name, answer in estimates.items() if name not in strangers}
    ballots = _ballots(voters)
    bounds, sizes = _bounds(comparisons), scales(reference)
    against: dict[str, list[Gap]] = {name: [] for name in voters}
    voted: dict[str, int] = defaultdict(int)
    undecided: dict[str, tuple[tuple[str, ...], ...]] = {}
    for key, values in ballots.items():
        camps = _camps(values, bounds.get(key, 0.0))
        for name in values:
            voted[name] += 1
        if 2 * len(camps[0]) <= len(values):
            undecided[" of ".join(part for part in key if part)] = tuple(camps)
            continue
        for name in values:
            if name not in camps[0]:
                against[name].append(_gap(key, values[camps[0][0]], values[name], sizes, bounds))
    majority = tuple(name for name, lost in against.items() if not lost)
    model = estimates[min(voters, key=lambda name: len(against[name]))]
    outliers = [_outlier(estimates[name], lost, voted[name], model, data) for name, lost in against.items() if lost]
    outliers += [Outlier(name, 0, 0, None, "", reason) for name, reason in strangers.items()]
    outliers.sort(key=lambda one: -one.outvoted)
    return Vote(comparisons[0].vcov, tuple(estimates), len(ballots), majority, tuple(outliers), undecided)


def _ballots(voters: Mapping[str, Estimate]) -> dict[Key, dict[str, _Value]]:
    """The values of every number that enough engines report."""
    found: dict[Key, dict[str, _Value]] = defaultdict(dict)
    for name, answer in voters.items():
        for key, value in flatten(answer).items():
            if not is_lacking(key, answer.lacks) and not np.isnan(value).any():
                found[key][name] = value
    return {key: values for key, values in found.items() if len(values) >= ENOUGH}


def _bounds(comparisons: Sequence[Comparison]) -> dict[Key, float]:
    """The largest absolute gap that rounding explains, by number."""
    sizes, found = scales(comparisons[0].reference), dict[Key, float]()
    for gap in (gap for comparison in comparisons for gap in comparison.gaps):
        key = (gap.quantity, gap.term)
        scale = sizes.get(key, abs(gap.reference)) or 1.0
        found[key] = max(found.get(key, 0.0), gap.bound * scale)
    return found


def _camps(values: Mapping[str, _Value], within: float) -> list[tuple[str, ...]]:
    """Engines whose values agree, the largest camp first; an engine stands in one camp only."""
    left, camps = dict(values), []
    while left:
        around = {name: [other for other in left if _apart(left[name], left[other]) <= within] for name in left}
        camp = max(around.values(), key=len)
        camps.append(tuple(camp))
        left = {name: value for name, value in left.items() if name not in camp}
    return camps


def _apart(first: _Value, second: _Value) -> float:
    return float(np.max(np.abs(np.subtract(first, second)), initial=0.0))


def _gap(key: Key, majority: _Value, own: _Value, sizes: Mapping[Key, float], bounds: Mapping[Key, float]) -> Gap:
    if isinstance(majority, np.ndarray):
        furthest = int(np.argmax(np.abs(np.subtract(majority, own))))
        majority, own = float(majority[furthest]), float(np.asarray(own)[furthest])
    scale = sizes.get(key, abs(float(majority))) or 1.0
    return gap_of(key, (float(majority), float(own)), scale, bounds.get(key, 0.0) / scale)


def _outlier(
    outvoted: Estimate, lost: Sequence[Gap], voted: int, model: Estimate, data: pd.DataFrame | None
) -> Outlier:
    """The engine with its worst number, and why it differs from the engine that fewest votes went against."""
    worst = min(lost, key=lambda gap: gap.digits)
    found = explain(model, outvoted, data)
    convention = found.reason if found.verdict == "convention" else ""
    reason = convention or "no known convention explains it"
    return Outlier(outvoted.engine, len(lost), voted, worst, convention, reason)
