"""Which worlds have the coefficients that were observed: the question's own, those one step away, and pairs of steps.

A search looks at thousands of worlds, so coefficients are first computed from cross-products, which takes a tenth of
the time of a decomposition; what comes close is fitted to the last digit. Units of columns are not tried one by one
in a pair: they are read off the ratios of the coefficients.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from scipy import linalg

from ivbridge.errors import IvbridgeError
from ivbridge.explainer import worlds_columns as columns
from ivbridge.explainer.matrices import DEPENDENT, INTERCEPT
from ivbridge.explainer.merge import merged
from ivbridge.explainer.records import World
from ivbridge.explainer.worlds import EDGES, FORMS, SHIFTS, WORLDS, Convention, may_follow
from ivbridge.explainer.worlds_columns import FACTORS, may_scale, rescaled
from ivbridge.kclass import correction, decomposed, estimated
from ivbridge.linear import Linear
from ivbridge.method import TwoStage
from ivbridge.records import FloatArray, Seen

__all__ = ["Reached", "coefficients", "reach"]

#: How far, relative to their size, coefficients from cross-products may be from those of a decomposition.
SCREEN = 1e-6
#: Sines of angles between columns below which cross-products are not used.
FLAT = 1e-4
#: What cannot be estimated is no candidate.
UNDEFINED = (IvbridgeError, np.linalg.LinAlgError, linalg.LinAlgError, ValueError, ZeroDivisionError)
#: Names of the constant in other programs.
CONSTANTS = (INTERCEPT, "Intercept", "const", "_cons", "Constant", "constant", "cons")


#: A world one step away, its coefficients, and the place of its convention.
_Single = tuple[World, FloatArray, int]


@dataclass(frozen=True, slots=True, eq=False)
class Reached:
    """A world whose coefficients are the observed ones.

    Attributes
    ----------
    world : World
    model : Linear
        Its fit, refined.
    names : mapping of str to str
        Of an observed term, the column of the world that it is.
    """

    world: World
    model: Linear
    names: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """Observed coefficients: values (m,) of terms, how far each may be off, and whether these are all there are."""

    terms: tuple[str, ...]
    values: FloatArray
    within: FloatArray
    complete: bool


def coefficients(world: World) -> FloatArray:
    """Coefficients of a world, (k,), from cross-products of its columns: six digits at least, relative to the largest.

    Raises
    ------
    LinAlgError
        If columns depend linearly on each other.
    DesignError
        If κ is not defined.
    """
    seen = world.seen
    own = [j for j, name in enumerate(seen.x_names) if name not in seen.z_names]
    inside = len(seen.z_names)
    stack = np.empty((len(seen.y), inside + len(own) + 1), order="F")
    stack[:, :inside], stack[:, inside:-1], stack[:, -1] = seen.z, seen.x[:, own], seen.y
    if seen.weights is not None:
        stack *= np.sqrt(seen.weights)[:, None]
    gram = stack.T @ stack
    length = np.sqrt(gram.diagonal())
    angles = gram / length / length[:, None]
    place = {name: j for j, name in enumerate(seen.z_names)}
    place |= {seen.x_names[j]: inside + i for i, j in enumerate(own)}
    columns = [place[name] for name in seen.x_names]
    root = np.linalg.cholesky(angles[:inside, :inside])
    first = np.linalg.solve(root, angles[:inside])  # (l, l + q + 1): the columns in coordinates of the instruments
    used = first[:, columns]
    product, moments = used.T @ used, used.T @ first[:, -1]
    lower = np.linalg.cholesky(product)
    if not min(root.diagonal().min(), lower.diagonal().min()) > FLAT:
        return decomposed(seen, world.method).coef
    if not isinstance(world.method, TwoStage):
        both = list(range(inside, len(angles)))
        rest = angles[np.ix_(both, both)] - first[:, both].T @ first[:, both]  # of y and the endogenous regressors
        exog = [j for j in columns if j < inside]
        inner = np.linalg.solve(np.linalg.cholesky(angles[np.ix_(exog, exog)]), angles[np.ix_(exog, both)])
        on_exog = angles[np.ix_(both, both)] - inner.T @ inner
        kappa = float(linalg.eigh(on_exog, rest, eigvals_only=True)[0]) - correction(seen, world.method)
        left = [i for i, j in enumerate(columns) if j >= inside]
        product[np.ix_(left, left)] -= (kappa - 1) * rest[:-1, :-1]
        moments[left] -= (kappa - 1) * rest[:-1, -1]
    return np.asarray(np.linalg.solve(product, moments) * length[-1] / length[columns])


def reach(
    world: World,
    wanted: Mapping[str, float],
    within: Mapping[str, float],
    *,
    complete: bool,
    steps: Callable[[], int] = lambda: 2,
) -> Iterator[Reached]:
    """Find worlds that have the observed coefficients, shortest first.

    Parameters
    ----------
    world : World
        The question's own.
    wanted : mapping of str to float
        Observed coefficients by term; none makes every world match.
    within : mapping of str to float
        How far each may be off.
    complete : bool
        Whether the observed table has all its terms, so that a world with more of them is no match.
    steps : callable () -> int, default 2
        Longest combination that is still of interest; asked again as the search goes on.

    Yields
    ------
    Reached
        The question's own world first, then those one step away, then pairs.
    """
    if world.frame is not None and len(world.frame) <= world.seen.rows.max(initial=-1):
        world = replace(world, frame=None)  # other data than those of the matrices
    values = np.array(list(wanted.values()), dtype=float)
    asked = _Wanted(tuple(wanted), values, np.array([within.get(t, 0.0) for t in wanted], dtype=float), complete)
    yield from _matched(world, asked)
    if steps() < 1:
        return
    singles: list[_Single] = []
    for place, convention in enumerate(WORLDS):
        for one in _worlds(convention, world):
            coef = _screened(one)
            if coef is not None:
                singles.append((one, coef, place))
                yield from _matched(one, asked, coef)
    if steps() >= 2 and asked.terms:
        for other in _pairs(world, singles, asked, steps):
            yield from _matched(other, asked)


def _pairs(world: World, singles: Sequence[_Single], asked: _Wanted, steps: Callable[[], int]) -> Iterator[World]:
    """Worlds two steps away that are worth a look."""
    own = _screened(world)
    for one, coef in [*([] if own is None else [(world, own)]), *((one, coef) for one, coef, _ in singles)]:
        yield from _units(one, coef, asked, 2 - len(one.steps))
    for one, _, place in singles:
        if steps() < 2:
            return
        for convention in WORLDS[place + 1 :]:
            if may_follow(WORLDS[place], one.steps[-1], convention):
                yield from _worlds(convention, one)
    yield from _merged(world, singles, asked)


def _merged(world: World, singles: Sequence[_Single], asked: _Wanted) -> Iterator[World]:
    """Pairs of steps that replace different columns; shifted columns on the rows that a shift leaves."""
    close = np.maximum(asked.within, SCREEN * np.abs(asked.values))
    wanted = dict(zip(asked.terms, zip(asked.values.tolist(), close.tolist(), strict=True), strict=True))
    forms, shifts, edges = (
        [one for one, _, place in singles if WORLDS[place] in some] for some in (FORMS, SHIFTS, EDGES)
    )
    with suppress(*UNDEFINED):
        yield from merged(world, forms, forms, wanted)
        for edge in edges:
            others = [other for form in (columns.forms, columns.centred) for other in _worlds(form, edge)]
            yield from merged(edge, shifts, others, wanted)


def _worlds(convention: Convention, world: World) -> Iterator[World]:
    """What a convention yields until it cannot go on."""
    try:
        yield from convention(world)
    except UNDEFINED:
        return


def _screened(world: World) -> FloatArray | None:
    with np.errstate(all="ignore"):
        try:
            coef = coefficients(world)
        except UNDEFINED:
            return None
    return coef if np.isfinite(coef).all() else None


def _matched(world: World, asked: _Wanted, coef: FloatArray | None = None) -> Iterator[Reached]:
    names = _columns(world, asked)
    if names is None or (coef is None and not _balanced(world.seen, names, asked)):
        return
    quick = _screened(world) if coef is None else coef
    if quick is None:
        return
    places = [world.seen.x_names.index(name) for name in names.values()]
    apart = np.abs(quick[places] - asked.values)
    if not (apart <= np.maximum(asked.within, SCREEN * np.abs(asked.values)) + np.finfo(float).tiny).all():
        return
    try:
        model = estimated(world.seen, world.method)
    except UNDEFINED:
        return
    if (np.abs(model.coef[places] - asked.values) <= asked.within).all():
        yield Reached(world, model, names)


def _balanced(seen: Seen, names: Mapping[str, str], asked: _Wanted) -> bool:
    """Whether the residuals of the observed coefficients can be orthogonal to the exogenous regressors.

    Every k-class estimator makes them so. It takes two products to see, and nearly every wrong world fails.
    """
    exog = [name in seen.z_names for name in seen.x_names]
    if len(names) < len(exog) or not any(exog):
        return True
    values, off = np.empty(len(exog)), np.empty(len(exog))
    places = [seen.x_names.index(name) for name in names.values()]
    values[places], off[places] = asked.values, np.maximum(asked.within, SCREEN * np.abs(asked.values))
    rest = seen.y - seen.x @ values
    largest = 1.0
    if seen.weights is not None:
        rest *= seen.weights
        largest = float(seen.weights.max())
    length = np.sqrt(np.einsum("ij,ij->j", seen.x, seen.x))
    bound = largest * length * float(length @ off + 1e-9 * np.sqrt(seen.y @ seen.y))
    return bool((np.abs(seen.x.T @ rest) <= bound)[exog].all())


def _columns(world: World, asked: _Wanted) -> dict[str, str] | None:
    """Which column of the world each observed term is: by name, what is left by position; None where none fits."""
    names = world.seen.x_names
    if asked.complete and len(asked.terms) != len(names):
        return None
    found = {term: term for term in asked.terms if term in names}
    left = [term for term in asked.terms if term not in found]
    rest = [name for name in names if name not in found]
    if left and INTERCEPT in rest and (constant := [term for term in left if term in CONSTANTS]):
        found[constant[0]] = INTERCEPT
        left.remove(constant[0])
        rest.remove(INTERCEPT)
    if left and (len(left) != len(rest) or (INTERCEPT in rest) or not set(left).isdisjoint(CONSTANTS)):
        return None
    both = {**found, **dict(zip(left, rest, strict=True))} if left else found
    return {term: both[term] for term in asked.terms}


def _units(world: World, coef: FloatArray, asked: _Wanted, steps: int) -> Iterator[World]:
    """Worlds that differ from this one in the units of columns, one for each step left, as the ratios say."""
    names = _columns(world, asked)
    if names is None or not asked.values.all():
        return
    terms = list(names.values())
    ratios = coef[[world.seen.x_names.index(name) for name in terms]] / asked.values
    known = np.array([1.0, *FACTORS])
    close = np.maximum(asked.within / np.abs(asked.values), SCREEN)
    distance = np.abs(ratios[:, None] * known / known[:, None, None] - 1)  # column's factor, term, dependent's factor
    fits = (distance <= close[:, None]).any(axis=0).all(axis=0)
    for j in np.flatnonzero(fits):
        nearest = known[distance[:, :, j].argmin(axis=0)].tolist()
        changed = {DEPENDENT: float(known[j])} | dict(zip(terms, nearest, strict=True))
        changed = {name: factor for name, factor in changed.items() if factor != 1}
        if INTERCEPT in changed or len(changed) != steps:
            continue
        if all(may_scale(world, name, factor) for name, factor in changed.items()):
            other = world
            for name, factor in changed.items():
                other = rescaled(other, name, factor)
            yield other
