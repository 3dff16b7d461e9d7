"""What two answers to one LASSO question are compared on, and how far apart they are.

A coefficient of zero is an ordinary value, and candidates have units of their own. So a coefficient is measured by what
it does to the fit: its gap, times the spread of its column, over the largest such product along the reference's path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ivbridge.gaps import Gap, Key, gap_of
from ivbridge.records import FloatArray
from ivbridge.selection.moments import Moments
from ivbridge.selection.records import LassoFit

__all__ = ["DISCRETE", "RULES", "Scales", "compare_fits", "scales_of", "set_differences"]

#: Rules whose λ and selected set are compared.
RULES = ("min", "1se")
#: Quantities that are equal or not: rounding moves them only by way of a tie.
DISCRETE = ("path length", "index", "selected")


@dataclass(frozen=True, slots=True, eq=False)
class Scales:
    """What gaps are measured against.

    Attributes
    ----------
    coefs : (p,) array
    intercept : float
    """

    coefs: FloatArray
    intercept: float


def scales_of(fit: LassoFit, found: Moments) -> Scales:
    """Scales of a reference fit."""
    spreads = np.where(found.spreads > 0, found.spreads, 1.0)
    largest = float(np.abs(fit.path.coefs * spreads).max(initial=0.0))
    level = np.abs(fit.path.intercepts).max(initial=0.0)
    # of log odds, 1 is a step that matters
    intercept = abs(found.y_mean) + found.y_spread if fit.spec.family == "gaussian" else 1.0 + float(level)
    return Scales((largest or 1.0) / spreads, intercept)


def compare_fits(
    reference: LassoFit, candidate: LassoFit, scales: Scales, allowed: Mapping[str, float]
) -> tuple[Gap, ...]:
    """Compare everything that two fits hold.

    Parameters
    ----------
    reference, candidate : LassoFit
        With the same candidates in the same order.
    scales : Scales
    allowed : mapping
        The largest relative gap that rounding explains, by quantity; 0 where it is absent.

    Returns
    -------
    tuple of Gap
        One for each λ; for coefficients one a candidate, at the λ where they are furthest apart. Where one path is
        longer, its end has nothing to be compared with, and ``path length`` fails.
    """
    found = [*_numbers(reference, candidate, scales), *_choices(reference, candidate)]
    return tuple(
        gap_of(key, pair, scale or 1.0, allowed.get(key[0], 0.0))
        for key, pair, scale in found
        if not (np.isnan(pair[0]) and np.isnan(pair[1]))
    )


Pair = tuple[Key, tuple[float, float], float]


def _numbers(a: LassoFit, b: LassoFit, scales: Scales) -> Iterator[Pair]:
    first, second = a.path, b.path
    lengths = len(first.lambdas), len(second.lambdas)
    shared = min(lengths)
    yield ("path length", ""), (float(lengths[0]), float(lengths[1])), float(lengths[0])
    of_lambda: tuple[tuple[str, FloatArray, FloatArray, float | None], ...] = (
        ("lambda", first.lambdas, second.lambdas, None),
        ("intercept", first.intercepts, second.intercepts, scales.intercept),
        ("dev.ratio", first.dev_ratio, second.dev_ratio, 1.0),
        ("cvm", a.cvm, b.cvm, None),
        ("cvsd", a.cvsd, b.cvsd, None),
    )
    for quantity, one, two, scale in of_lambda:
        for i in range(shared):
            pair = float(one[i]), float(two[i])
            yield (quantity, f"lambda {i + 1}"), pair, abs(pair[0]) if scale is None else scale
    furthest = np.argmax(np.abs(first.coefs[:shared] - second.coefs[:shared]), axis=0)
    for j, (name, i) in enumerate(zip(a.names, furthest, strict=True)):
        pair = float(first.coefs[i, j]), float(second.coefs[i, j])
        yield ("coef", f"{name} at lambda {i + 1}"), pair, float(scales.coefs[j])


def _choices(a: LassoFit, b: LassoFit) -> Iterator[Pair]:
    for rule in RULES:
        at = a.index(rule), b.index(rule)
        pair = float(a.path.lambdas[at[0]]), float(b.path.lambdas[at[1]])
        yield (f"lambda.{rule}", ""), pair, abs(pair[0])
        yield ("index", f"lambda.{rule}"), (at[0] + 1.0, at[1] + 1.0), at[0] + 1.0
        one, two = set(a.selected(rule)), set(b.selected(rule))
        for name in [name for name in a.names if name in one | two]:
            yield ("selected", f"{name} at lambda.{rule}"), (float(name in one), float(name in two)), 1.0


def set_differences(gaps: tuple[Gap, ...]) -> tuple[str, ...]:
    """``z3 at lambda.min`` for every candidate that only one side selects."""
    return tuple(gap.term for gap in gaps if gap.quantity == "selected" and gap.absolute > 0)
