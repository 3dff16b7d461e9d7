"""What it is worth to treat the first q of a ranking, beside treating everyone, nobody, or q at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivbridge.causal.heterogeneity.rate import half_samples, ranked
from ivbridge.causal.heterogeneity.scores import Scores
from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["PolicyValue", "treat_first"]


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """Worth of a rule, per unit of the whole population and in units of the dependent variable.

    Attributes
    ----------
    share : float
        Part of the units that the rule treats.
    cost : float
        Of one treatment.
    gain, gain_error : float
        Over treating nobody: mean of (score - cost) of the treated, times their share.
    over_random, over_random_error : float
        Over treating as many units at random.
    over_all, over_all_error : float
        Over treating everyone.
    effect, effect_error : float
        Mean effect among those who are treated, cost not taken off.
    mean : float
        Mean outcome under the rule, cost taken off.
    """

    share: float
    cost: float
    gain: float
    gain_error: float
    over_random: float
    over_random_error: float
    over_all: float
    over_all_error: float
    effect: float
    effect_error: float
    mean: float


def treat_first(
    scores: Scores, priority: FloatArray, share: float, cost: float = 0.0, draws: int = 500, seed: int = 0
) -> PolicyValue:
    """Value of treating the units with the largest priority.

    Parameters
    ----------
    scores : Scores
        Of units that the priorities were not learned from.
    priority : (n,) array
    share : float
        Above 0, at most 1. Where units tie at the cut, each of them is treated with the same probability.
    cost : float, default 0
        Of one treatment, in units of the dependent variable.
    draws, seed : int
        Half samples behind the standard errors.

    Raises
    ------
    DataError
        If the share is not in that range, or nobody would be treated.
    """
    if not 0 < share <= 1 or round(share * scores.n) < 1:
        raise DataError(f"Treating {share:g} of {scores.n} units was asked.", available="shares above 0, up to 1")
    net = scores.effect - cost

    def values(score: FloatArray, rank: FloatArray) -> FloatArray:
        ordered = ranked(score, rank)
        first = max(round(share * len(ordered)), 1)
        treated, everyone = ordered[:first].mean(), ordered.mean()
        gain = share * treated
        return np.array([gain, gain - share * everyone, gain - everyone, treated + cost])

    found = values(net, priority)
    errors = half_samples(values, net, priority, draws, seed).std(axis=0, ddof=1)
    if share == 1:  # the differences to treating everyone, at random or not, are 0 and not roundings of it
        found[1:3] = errors[1:3] = 0.0
    gain, over_random, over_all, effect = map(float, found)
    gain_error, random_error, all_error, effect_error = map(float, errors)
    mean = float(scores.control.mean()) + gain
    return PolicyValue(
        share, cost, gain, gain_error, over_random, random_error, over_all, all_error, effect, effect_error, mean
    )
