"""The search for the shortest combination of conventions that reproduces every observed number.

Coefficients depend on the world alone, the covariance matrix on the world and the estimator, and everything else on
these two. So worlds are sorted out by their coefficients, covariance options by the standard errors, and the remaining
numbers are each explained on their own: costs add up instead of multiplying.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from ivbridge.errors import IvbridgeError
from ivbridge.explainer.bounds import LOOSE, Bounds, Tolerance, measured
from ivbridge.explainer.covariances import Option, matching
from ivbridge.explainer.observed import grouping_columns
from ivbridge.explainer.reach import Reached, reach
from ivbridge.explainer.records import Observed, Step, World
from ivbridge.explainer.rest import Rest, explained
from ivbridge.explainer.table import apart, wanted
from ivbridge.explainer.vcovs import ASKED, FAR, NEAR
from ivbridge.gaps import Key
from ivbridge.kclass import estimated
from ivbridge.linear import Linear
from ivbridge.records import FloatArray, IntArray, Seen
from ivbridge.vcov import Classical, Clustered, Vcov

__all__ = ["Found", "Target", "search"]

#: A longer chain of conventions explains nothing.
MOST_STEPS = 8
#: How far, relatively, coefficients may be off for a world to be looked at, and how much more than rounding explains.
CLOSE, OTHERS = 1e-9, 1e3
#: Relative difference up to which two fits are the same.
SAME = 1e-11
#: Where more fits than these have the typed coefficients, estimators of another kind are tried in the question's only.
FEW = 4
VARIANCES = Step("variance.reported", "variances stand in the place of standard errors")
#: Columns of the coefficient table.
TABLE = ("estimate", "std.error", "statistic", "p.value", "conf.low", "conf.high", "cov")


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What has to be reproduced.

    Attributes
    ----------
    observed : Observed
    arrays : mapping of Key to (n,) array
        Residuals and fitted values.
    complete : bool
        Whether a number that follows from a combination and was not observed counts against it.
    lacks : mapping of str to str
        What is not reported, as in :attr:`ivbridge.results.Estimate.lacks`.
    twin : Seen or None
        The matrices of the observed side.
    """

    observed: Observed
    arrays: Mapping[Key, FloatArray] = field(default_factory=dict)
    complete: bool = False
    lacks: Mapping[str, str] = field(default_factory=dict)
    twin: Seen | None = None

    @property
    def exact(self) -> bool:
        """Whether it is said of every number how far the true one may be."""
        return self.observed.values.keys() <= self.observed.within.keys() and not self.arrays

    @property
    def terms(self) -> tuple[str, ...]:
        """Terms with a coefficient."""
        return tuple(term for quantity, term in self.observed.values if quantity == "estimate")


#: An option, the reading of the target that it comes close to, and the step that this reading takes.
Candidate = tuple[Option, Target, tuple[Step, ...]]


@dataclass(slots=True)
class Fit:
    """A fit that several worlds share, such as those that differ in the units of an instrument only.

    Attributes
    ----------
    names : tuple of str
    signature : (m,) array
    candidates : list of list of Candidate
        By kind of estimator, as far as these were looked at.
    complete : bool
        Whether all kinds were looked at.
    dead : set of Option
        Those that leave a number of the coefficient table apart, which no world with this fit can mend.
    bounds : mapping of Vcov to Bounds
        What rounding explains, as measured in the first world with this fit.
    """

    names: tuple[str, ...]
    signature: FloatArray
    candidates: list[list[Candidate]] = field(default_factory=list)
    complete: bool = False
    dead: set[Option] = field(default_factory=set)
    bounds: dict[Vcov, Bounds] = field(default_factory=dict)

    @property
    def hopeless(self) -> bool:
        """Whether no option is left that another world with this fit could go with."""
        return self.complete and all(option in self.dead for kind in self.candidates for option, _, _ in kind)


@dataclass(slots=True)
class Found:
    """What the search has come to.

    Attributes
    ----------
    solutions : list of tuple of Step
        The shortest combinations that reproduce everything, in the order in which they were found.
    missed : mapping of Key to float
        Of the combination that came closest, the numbers that it leaves apart.
    tried : int
        Combinations that were looked at in full.
    worlds : int
        Worlds that have the coefficients.
    level : int
        Steps of the world of the solutions.
    fits : list of Fit
    """

    solutions: list[tuple[Step, ...]] = field(default_factory=list)
    missed: Mapping[Key, float] | None = None
    tried: int = 0
    worlds: int = 0
    level: int = 0
    fits: list[Fit] = field(default_factory=list)

    def like(self, model: Linear) -> Fit:
        """What is known of fits with the same coefficients, bread and scores."""
        moments = model.scores.T @ np.arange(1.0, model.n + 1)
        signature = np.concatenate([[model.n, model.rss], model.coef, np.diag(model.bread), moments])
        for fit in self.fits:
            if fit.names == model.names and np.allclose(fit.signature, signature, rtol=SAME, atol=0):
                return fit
        self.fits.append(Fit(model.names, signature))
        return self.fits[-1]

    @property
    def steps(self) -> int:
        """Length of the solutions; more than any solution has where there is none."""
        return len(self.solutions[0]) if self.solutions else MOST_STEPS + 1

    def most(self, level: int) -> int:
        """The largest number of steps that is still of interest in worlds with `level` steps."""
        return min(MOST_STEPS, self.steps - (level > self.level))

    def solved(self, steps: tuple[Step, ...], level: int) -> None:
        """Keep a combination, unless there is a shorter one."""
        if len(steps) < self.steps:
            self.solutions, self.level = [steps], level
        elif len(steps) == self.steps and steps not in self.solutions:
            self.solutions.append(steps)

    def failed(self, missed: Mapping[Key, float]) -> None:
        """Remember the combination that leaves the fewest numbers apart."""
        if self.missed is None or len(missed) < len(self.missed):
            self.missed = missed


def search(world: World, target: Target, furthest: int = 2) -> Found:
    """Try worlds in order of their number of steps until nothing shorter is left.

    Parameters
    ----------
    world : World
        The question's own; its spec names the vcov and the inference that conventions depart from.
    target : Target
    furthest : int, default 2
        Steps from the question's world, at most.
    """
    found = Found()
    asked = (world.spec.vcov if world.spec else None) or Classical()
    values = {term: target.observed.values["estimate", term] for term in target.terms}

    def left() -> int:
        """No pair of steps where fewer already give the coefficients; no step where the answer is as short."""
        return min(furthest, 1 if found.worlds else 2, found.steps - 1)

    near, sure = _near(world, target, asked)
    for reached in reach(world, values, near, complete=target.complete, steps=left):
        if len(reached.world.steps) > left():
            break
        if _sure(reached, values, sure):
            found.worlds += 1
        elif found.worlds:
            continue  # another world has these coefficients exactly
        _within(_renamed(reached), target, found, asked)
    if not found.solutions and found.missed is None:
        found.failed(_coefficient_gaps(world, values, sure))
    return found


def _coefficient_gaps(world: World, values: Mapping[str, float], within: Mapping[str, float]) -> dict[Key, float]:
    """What the question's own world leaves apart where no world has the coefficients."""
    with suppress(IvbridgeError, np.linalg.LinAlgError, ValueError):
        model = estimated(world.seen, world.method)
        own = dict(zip(model.names, model.coef.tolist(), strict=True))
        gaps = {term: abs(own.get(term, np.nan) - value) for term, value in values.items()}
        return {("estimate", term): gap for term, gap in gaps.items() if not gap <= within[term]}
    return {}


def _near(world: World, target: Target, asked: Vcov) -> tuple[dict[str, float], dict[str, float]]:
    """How far coefficients may be off for a world to be looked at, and for it to be taken as the right one."""
    values, within = target.observed.values, target.observed.within
    near: dict[str, float] = {}
    sure: dict[str, float] = {}
    absolute = {} if target.exact else _question_bounds(world, asked)
    for term in target.terms:
        key = ("estimate", term)
        error = abs(values.get(("std.error", term), 0.0))
        size = abs(values[key]) + (error if np.isfinite(error) else 0.0)
        bound = absolute.get(key, LOOSE * LOOSE * size)
        # another world may be worse conditioned than the question's
        near[term], sure[term] = within.get(key, max(CLOSE * size, OTHERS * bound)), within.get(key, bound)
    return near, sure


def _sure(reached: Reached, values: Mapping[str, float], within: Mapping[str, float]) -> bool:
    places = [reached.model.names.index(name) for name in reached.names.values()]
    gaps = np.abs(reached.model.coef[places] - np.array(list(values.values()), dtype=float))
    return bool((gaps <= np.array(list(within.values()), dtype=float)).all())


def _question_bounds(world: World, asked: Vcov) -> Mapping[Key, float]:
    with suppress(IvbridgeError, np.linalg.LinAlgError, ValueError):
        groups = grouping_columns(world.seen, world.frame)
        return measured(world, estimated(world.seen, world.method), asked, groups, None).absolute
    return {}


def _renamed(reached: Reached) -> Reached:
    """The world with the names under which its columns were observed."""
    new = {column: term for term, column in reached.names.items() if column != term}
    if not new:
        return reached
    seen = reached.world.seen
    x, z = (tuple(new.get(name, name) for name in names) for names in (seen.x_names, seen.z_names))
    return dataclasses.replace(
        reached,
        world=dataclasses.replace(reached.world, seen=dataclasses.replace(seen, x_names=x, z_names=z)),
        model=dataclasses.replace(reached.model, names=x),
    )


def _within(reached: Reached, target: Target, found: Found, asked: Vcov) -> None:
    """Everything but the coefficients, in one world: estimator by estimator, until one of the nearer kind will do."""
    world, model = reached.world, reached.model
    target = _in_order(target, world.seen)
    fit, level = found.like(model), len(world.steps)
    if fit.hopeless:
        return
    groups, loose = grouping_columns(world.seen, world.frame), Tolerance(target.observed.within)
    few = not target.exact or len(found.fits) <= FEW
    far = not level or (bool(target.terms) and few)
    for kinds in (ASKED, NEAR, FAR) if far else (ASKED, NEAR):
        if kinds == len(fit.candidates):
            most = found.most(level) - level
            near: list[Candidate] = [(o, target, ()) for o in _options(model, asked, groups, target, most, kinds)]
            if not near and (other := _as_variances(target)) is not None:
                options = _options(model, asked, groups, other, most - 1, kinds)
                near = [(option, other, (VARIANCES,)) for option in options]
            fit.candidates.append(near)
        for option, read, extra in fit.candidates[kinds]:
            if option not in fit.dead and level + len(extra) + option.cost <= found.most(level):
                rest = Rest(world, model, option, asked, groups, loose)
                _judge(rest, read, extra, found, fit.bounds)
        if found.solutions and not target.exact:
            return
    fit.complete = True
    if found.missed is None:
        found.failed(apart(model, None, target.observed.values, loose))


def _judge(rest: Rest, target: Target, extra: tuple[Step, ...], found: Found, bounds: dict[Vcov, Bounds]) -> None:
    """Whether one option reproduces the rest, at first loosely, then to rounding."""
    found.tried += 1
    level = len(rest.world.steps)
    steps, missed = _tried(rest, target)
    if not missed and not target.exact:
        steps, missed = _tried(dataclasses.replace(rest, tolerance=_tight(rest, target, bounds)), target)
    total = (*rest.world.steps, *rest.option.steps(), *extra, *steps)
    if any(quantity in TABLE for quantity, _ in missed):
        found.like(rest.model).dead.add(rest.option)
    if missed:
        found.failed(missed)
    elif len(total) <= found.most(level):
        found.solved(total, level)


def _as_variances(target: Target) -> Target | None:
    """The target read as if variances stood where standard errors should; None where it has none, or one below zero."""
    values, within = dict(target.observed.values), dict(target.observed.within)
    keys = [key for key in values if key[0] == "std.error"]
    if not keys or not all(values[key] > 0 for key in keys):
        return None
    for key in keys:
        values[key] **= 0.5
        if key in within:
            within[key] /= 2 * values[key]
    return dataclasses.replace(target, observed=dataclasses.replace(target.observed, values=values, within=within))


def _in_order(target: Target, seen: Seen) -> Target:
    """The target with covariances keyed in the order of a world's columns."""
    swapped: dict[Key, Key] = {}
    tables = [("cov", "", seen.x_names)]
    tables += [("first stage cov", f"{endog} ~ ", seen.z_names) for endog in seen.endog_names]
    for quantity, prefix, names in tables:
        for i, first in enumerate(names):
            for second in names[:i]:
                swapped[quantity, f"{prefix}{first}, {second}"] = (quantity, f"{prefix}{second}, {first}")
    if swapped.keys().isdisjoint(target.observed.values):
        return target
    values, within = (
        {swapped.get(key, key): value for key, value in numbers.items()}
        for numbers in (target.observed.values, target.observed.within)
    )
    return dataclasses.replace(target, observed=dataclasses.replace(target.observed, values=values, within=within))


def _tried(rest: Rest, target: Target) -> tuple[tuple[Step, ...], dict[Key, float]]:
    missed = apart(rest.model, rest.option, target.observed.values, rest.tolerance)
    steps, more = explained(rest, target.observed, target.arrays, target.complete, target.lacks)
    return steps, {**missed, **more}


def _options(
    model: Linear, asked: Vcov, groups: Mapping[str, IntArray], target: Target, most: int, kinds: int
) -> Iterator[Option]:
    """Options that come close; of those with the same matrix only the first and shortest."""
    sought = wanted(model, target.observed.values, Tolerance(target.observed.within))
    kept: list[Option] = []
    for option in sorted(matching(model, asked, groups, sought, most, kinds), key=_plainest):
        size = np.sqrt(np.abs(np.diag(option.matrix)))
        scale = np.outer(size, size)
        like = option.estimator.like
        same = [one for one in kept if (np.abs(option.matrix - one.matrix) <= 1e-13 * scale).all()]
        if not same or (_by_fit(like) and not any(_by_fit(one.estimator.like) for one in same)):
            kept.append(option)
            yield option


def _plainest(option: Option) -> tuple[int, int, bool]:
    """Short ones first; of two that are as short, the one with a name of its own."""
    return option.cost, len(option.factor.names), bool(option.altered.key)


def _by_fit(vcov: Vcov) -> bool:
    """Whether auxiliary regressions get another estimator than the fit: sandwich's default for clusters."""
    return isinstance(vcov, Clustered) and vcov.type is None


def _tight(rest: Rest, target: Target, bounds: dict[Vcov, Bounds]) -> Tolerance:
    """What counts as reproduced in this world under this estimator."""
    like, twin, seen = rest.option.estimator.like, target.twin, rest.world.seen
    if like not in bounds:
        usable = twin is not None and not rest.world.steps and _same_shape(twin, seen)
        bounds[like] = measured(rest.world, rest.model, like, rest.groups, twin if usable else None)
    return Tolerance(target.observed.within, bounds[like])


def _same_shape(twin: Seen, seen: Seen) -> bool:
    return (twin.x_names, twin.z_names, len(twin.y)) == (seen.x_names, seen.z_names, len(seen.y))
