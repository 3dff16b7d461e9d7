"""How far a reproduced number may be from an observed one: half a printed unit, or what rounding explains there.

What rounding explains is measured at the world that is tried, for the covariance estimator that is tried
(:mod:`ivbridge.rounding`), and carried over to first order to a distribution, a factor or a definition of a test that
the engines do not have.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ivbridge.diagnostics import numbers
from ivbridge.explainer.records import World
from ivbridge.gaps import SMALLEST, Key, flatten, scales
from ivbridge.linear import UNIT, Linear
from ivbridge.records import Numbers, Seen
from ivbridge.rounding import allowed_gaps
from ivbridge.sandwich import Groups, covariance
from ivbridge.vcov import T, Vcov

__all__ = ["LOOSE", "Bounds", "Tolerance", "measured"]

#: Relative gap up to which a number is worth a closer look; closer than a part per million nothing is explained by it.
LOOSE = 1e-6
#: A combination takes a few operations more than the engine's own formula.
SPARE = 4.0
LAST_BITS = 64 * UNIT
#: Largest relative bound of these numbers that a world other than the question's may claim.
MOST = 1e-8
SHARED = ("std.error", "sigma", "r.squared", "first stage std.error", "first stage sigma")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What rounding explains in one world under one covariance estimator, relative to the size of each number."""

    relative: Mapping[Key, float]
    absolute: Mapping[Key, float]
    tests: float
    errors: Mapping[str, float]


def measured(world: World, model: Linear, vcov: Vcov, groups: Groups, other: Seen | None) -> Bounds:
    """Measure them.

    Parameters
    ----------
    world : World
    model : Linear
        Its fit.
    vcov : Vcov
    groups : mapping of column name to (n,) codes
    other : Seen, optional
        The same matrices as another engine built them; what their last bits do is part of the bound.
    """
    seen = _grouped(world.seen, vcov, groups)
    twin = seen if other is None else _grouped(other, vcov, groups)
    allowed = allowed_gaps(seen, twin, [vcov], T(), world.method)[0]
    base: Numbers = numbers(seen, model, covariance(model, vcov, seen.groups), vcov, T())
    flat, sizes = flatten(base), scales(base)
    relative = {}
    for key, value in flat.items():
        size = sizes.get(key) or float(np.max(np.abs(value), initial=0.0))
        if size > 0 and math.isfinite(size) and math.isfinite(allowed[key]):
            relative[key] = SPARE * allowed[key] / size
    excess = 1.0
    if world.steps:  # nobody's convention may hide a difference because it makes columns hard to compute with
        excess = max(1.0, max((relative.get(key, 0.0) for key in flat if key[0] in SHARED), default=0.0) / MOST)
    relative = {key: size / excess for key, size in relative.items()}
    absolute = {key: SPARE * size / excess for key, size in allowed.items() if math.isfinite(size)}
    tests = max((size for key, size in relative.items() if key[0] == "test statistic"), default=0.0)
    errors = {
        stage: max((size for key, size in relative.items() if key[0] in _spreads(stage)), default=0.0)
        for stage in ("", "first stage ")
    }
    return Bounds(relative, absolute, tests, errors)


def _spreads(stage: str) -> tuple[str, str]:
    return f"{stage}std.error", f"{stage}cov"


def _grouped(seen: Seen, vcov: Vcov, groups: Groups) -> Seen:
    return replace(seen, groups={name: groups[name] for name in vcov.columns})


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far apart observed and reproduced numbers may be.

    Attributes
    ----------
    within : mapping of Key to float
        Given with the observed numbers.
    bounds : Bounds or None
        For numbers without a ``within``; None for the first, loose look.
    """

    within: Mapping[Key, float]
    bounds: Bounds | None = None

    def of_estimate(self, key: Key, size: float) -> float:
        """Of a coefficient of that size (its standard error included), or another number with a scale of its own."""
        if key in self.within:
            return self.within[key]
        if self.bounds is None:
            return LOOSE * size
        if key[0].startswith("first stage"):  # its unit may be another one than that of the fit that was measured
            return (self.bounds.relative.get(key, 0.0) + LAST_BITS) * size
        return self.bounds.absolute.get(key, 0.0) + LAST_BITS * size

    def of_error(self, key: Key, size: float) -> float:
        """Of a standard error of that size."""
        if key in self.within:
            return self.within[key]
        if not math.isfinite(size):
            return 0.0
        stage = "first stage " if key[0].startswith("first stage") else ""
        return size * (LOOSE if self.bounds is None else self.bounds.errors[stage] + LAST_BITS)

    def of_statistic(self, key: Key, value: float, error: float) -> float:
        """Of a ratio of a coefficient to its standard error."""
        if key in self.within:
            return self.within[key]
        if self.bounds is None:
            return LOOSE * abs(value)
        stage, term = ("first stage " if key[0].startswith("first stage") else ""), key[1]
        moved = self.bounds.absolute.get((f"{stage}estimate", term), 0.0) / error if error > 0 else 0.0
        return moved + abs(value) * (self.bounds.errors[stage] + LAST_BITS)

    def of_p_value(self, key: Key, p: float, df: float, statistic: float, error: float) -> float:
        """Of a p-value of a t or z statistic."""
        if key in self.within:
            return self.within[key]
        size = p * max(1.0, -math.log(p)) if p > 0 else 0.0
        if self.bounds is None:
            return LOOSE * size + SMALLEST
        moved = self.of_statistic((key[0].replace("p.value", "statistic"), key[1]), statistic, error)
        # the density of a squared t, times the derivative of the square
        density = 2 * abs(statistic) * _density(statistic**2, 1.0, df)
        return density * moved + LAST_BITS * size + SMALLEST

    def of_limit(self, key: Key, half: float, size: float) -> float:
        """Of a confidence limit that lies `half` from a coefficient of size `size`."""
        if key in self.within:
            return self.within[key]
        stage = "first stage " if key[0].startswith("first stage") else ""
        moved = self.of_estimate((f"{stage}estimate", key[1]), size)
        return moved + self.of_error((f"{stage}std.error", key[1]), half)

    def of_test(self, key: str, values: Mapping[str, float], lost: float) -> dict[str, float]:
        """Of the numbers of a test, by part."""
        statistic = values["statistic"]
        if self.bounds is None:
            relative = LOOSE
        else:
            own = self.bounds.relative.get(("test statistic", key), self.bounds.tests)
            relative = own + lost + LAST_BITS
        moved, p = relative * abs(statistic), values["p.value"]
        size = p * max(1.0, -math.log(p)) if p > 0 else 0.0
        spread = _density(statistic, values["df1"], values.get("df2", math.inf)) * moved
        found = {"statistic": moved, "p.value": spread + LAST_BITS * size + SMALLEST}
        found["p.value"] += LOOSE * size if self.bounds is None else 0.0
        return {part: self.within.get((f"test {part}", key), found.get(part, 0.0)) for part in values}


def _density(x: float, df1: float, df2: float) -> float:
    """Density of F, or of χ² where `df2` is infinite."""
    if not (x > 0 and math.isfinite(x)):
        return 0.0
    half = df1 / 2
    if math.isinf(df2):
        return math.exp((half - 1) * math.log(x) - x / 2 - half * math.log(2) - math.lgamma(half))
    log = half * math.log(df1 / df2) + (half - 1) * math.log(x) - (half + df2 / 2) * math.log1p(df1 * x / df2)
    return math.exp(log + math.lgamma(half + df2 / 2) - math.lgamma(half) - math.lgamma(df2 / 2))
