"""How many digits of each number rounding leaves: what a later R may be asked to reproduce."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from ivbridge.asked import asked_vcov, seen_of
from ivbridge.design import Design
from ivbridge.gaps import MAX_DIGITS, Key, flatten, scales
from ivbridge.results import Estimate
from ivbridge.rounding import allowed_gaps

__all__ = ["digits_left"]


def digits_left(questions: Sequence[Design], answers: Mapping[str, Estimate]) -> dict[str, dict[str, list[float]]]:
    """Digits that rounding leaves of every number of an answer, by vcov and quantity.

    Parameters
    ----------
    questions : sequence of Design
        One design under each vcov.
    answers : mapping of str to Estimate
        R's, by vcov.

    Returns
    -------
    dict
        Numbers in the order of :func:`ivbridge.gaps.flatten`, rounded down to a tenth; 17 for a number that no
        rounding changes.
    """
    native = [seen_of(question) for question in questions]
    groups = {name: codes for seen in native for name, codes in seen.groups.items()}
    one = next(iter(answers.values()))
    both = [dataclasses.replace(seen, groups=groups) for seen in (one.seen, native[0])]
    vcovs = [asked_vcov(question.spec) for question in questions]
    bounds = allowed_gaps(both[0], both[1], vcovs, one.spec.inference, one.spec.method)
    return {
        vcov: _by_quantity(answer, allowed) for (vcov, answer), allowed in zip(answers.items(), bounds, strict=True)
    }


def _by_quantity(answer: Estimate, allowed: Mapping[Key, float]) -> dict[str, list[float]]:
    sizes, found = scales(answer), dict[str, list[float]]()
    for key, value in flatten(answer).items():
        scale = sizes.get(key, 1.0 if isinstance(value, np.ndarray) else abs(value)) or 1.0
        found.setdefault(key[0], []).append(_digits(allowed.get(key, 0.0) / scale))
    return found


def _digits(bound: float) -> float:
    if not bound > 0:
        return MAX_DIGITS
    return math.floor(10 * min(max(-math.log10(bound), 0.0), MAX_DIGITS)) / 10
