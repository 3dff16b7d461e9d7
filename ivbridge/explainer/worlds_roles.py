"""Who plays which part: least squares, instruments and regressors left out, variables in each other's place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ivbridge.errors import IvbridgeError
from ivbridge.explainer.matrices import DEPENDENT, INTERCEPT, added, chosen, column, independent, replaced
from ivbridge.explainer.rebuild import parts_of
from ivbridge.explainer.records import Step, World
from ivbridge.linear import scaled
from ivbridge.method import TwoStage
from ivbridge.records import FloatArray
from ivbridge.spec import IVSpec

__all__ = [
    "instruments_as_regressors",
    "instruments_left_out",
    "intercept",
    "least_squares",
    "manual_first_stage",
    "reduced_form",
    "regressors_left_out",
    "reversed_regression",
    "rows_recovered",
    "taken_as_exogenous",
]


def least_squares(world: World) -> Iterator[World]:
    """Ordinary least squares comes back where instruments were named."""
    seen = world.seen
    if seen.endog_names:
        yield world.after(
            Step("estimator.ols", f"{_and(seen.endog_names)} is not instrumented: these are least squares"),
            replace(seen, z=seen.x, z_names=seen.x_names), method=TwoStage(),
        )  # fmt: skip


def taken_as_exogenous(world: World) -> Iterator[World]:
    """One of several endogenous regressors is taken as exogenous."""
    seen = world.seen
    for name in seen.endog_names if len(seen.endog_names) > 1 else ():
        step = Step("roles.endog_as_exog", f"{name} is taken as exogenous")
        yield world.after(step, added(seen, {name: column(seen, name)}, x=False, z=True))


def instruments_left_out(world: World) -> Iterator[World]:
    """An excluded instrument, or an exogenous regressor or all of them, is missing among the instruments."""
    seen = world.seen
    spare = len(seen.z_names) - len(seen.x_names)
    if spare > 0:
        for name in seen.instrument_names:
            step = Step("roles.instrument_left_out", f"the instrument {name} is left out")
            yield world.after(step, chosen(seen, z=[z for z in seen.z_names if z != name]))
    exog = tuple(name for name in seen.x_names if name in seen.z_names)
    if not seen.endog_names:
        return
    groups: list[tuple[str, ...]] = [(name,) for name in exog] if spare > 0 else []
    groups += [g for g in (tuple(n for n in exog if n != INTERCEPT), exog) if 1 < len(g) <= spare]
    for names in groups:
        step = Step("roles.exog_not_instrument", f"{_and(names)} is missing among the instruments")
        yield world.after(step, chosen(seen, z=[z for z in seen.z_names if z not in names]))


def regressors_left_out(world: World) -> Iterator[World]:
    """An exogenous regressor is left out, or serves as an instrument only."""
    seen = world.seen
    for name in seen.x_names if len(seen.x_names) > 1 else ():
        if name == INTERCEPT:
            continue
        x = [other for other in seen.x_names if other != name]
        step = Step("roles.regressor_left_out", f"{name} is left out")
        yield world.after(step, chosen(seen, x=x, z=[z for z in seen.z_names if z != name]))
        if name in seen.z_names and seen.endog_names:
            step = Step("roles.exog_as_instrument", f"{name} is an instrument, but no regressor")
            yield world.after(step, chosen(seen, x=x))


def rows_recovered(world: World) -> Iterator[World]:
    """What is left out takes its missing values along: rows come back in which nothing else is missing."""
    spec = world.spec
    if spec is None or world.frame is None or len(world.seen.rows) == len(world.frame):
        return
    texts = [*spec.instruments, *spec.exog] if spec.endog else list(spec.exog)
    for name in texts:
        instruments, exog = (tuple(t for t in some if t != name) for some in (spec.instruments, spec.exog))
        if len(instruments) >= len(spec.endog) and (exog or instruments or spec.intercept):
            role = "instrument" if name in spec.instruments else "regressor"
            word = "the instrument " if name in spec.instruments else ""
            step = Step(f"roles.{role}_left_out", f"{word}{name} is left out, and rows in which it is missing are kept")
            yield from _fewer(world, replace(spec, instruments=instruments, exog=exog), step)
    if spec.endog:
        what = f"{_and(spec.endog)} is not instrumented: these are least squares, on rows without instruments, too"
        plain = replace(spec, instruments=(), endog=(), exog=spec.exog + spec.endog, method=TwoStage())
        yield from _fewer(world, plain, Step("estimator.ols", what))


def _fewer(world: World, spec: IVSpec, step: Step) -> Iterator[World]:
    parts = parts_of(replace(world, spec=spec))
    try:
        seen = None if parts is None else independent(parts.seen())
    except IvbridgeError:
        return
    if seen is not None and len(seen.rows) != len(world.seen.rows):
        yield world.after(step, seen, method=spec.method)


def instruments_as_regressors(world: World) -> Iterator[World]:
    """An excluded instrument is a regressor as well."""
    seen = world.seen
    for name in seen.instrument_names if len(seen.z_names) > len(seen.x_names) else ():
        step = Step("roles.instrument_as_exog", f"the instrument {name} is a regressor, too")
        yield world.after(step, added(seen, {name: column(seen, name)}, x=True, z=False))


def reversed_regression(world: World) -> Iterator[World]:
    """The dependent variable and a regressor have changed places."""
    seen = world.seen
    dependent = world.spec.dependent if world.spec else "the dependent variable"
    for name in seen.x_names:
        if name != INTERCEPT:
            swapped = replaced(seen, {DEPENDENT: column(seen, name), name: seen.y}, {name: dependent})
            yield world.after(
                Step("roles.reversed", f"{name} is explained by {dependent}, not the other way round"), swapped
            )


def manual_first_stage(world: World) -> Iterator[World]:
    """Two-stage least squares by hand whose first stage leaves the exogenous regressors out."""
    seen = world.seen
    exog = [name for name in seen.x_names if name in seen.z_names and name != INTERCEPT]
    excluded = (*(name for name in seen.z_names if name == INTERCEPT), *seen.instrument_names)
    if not (exog and seen.endog_names) or len(seen.instrument_names) < len(seen.endog_names):
        return
    q = np.linalg.qr(scaled(chosen(seen, z=excluded).z, seen.weights)).Q
    hats = {name: _projected(q, column(seen, name), seen.weights) for name in seen.endog_names}
    without = f"the first stage leaves out {_and(exog)}"
    by_hand = replaced(seen, hats)
    yield world.after(
        Step("estimator.short_first_stage", f"{without}, and its fitted values stand for {_and(seen.endog_names)}"),
        replace(by_hand, z=by_hand.x, z_names=by_hand.x_names), method=TwoStage(),
    )  # fmt: skip
    named = {f"fitted {name}": values for name, values in hats.items()}
    yield world.after(
        Step("estimator.short_instruments", f"{without}, and its fitted values are the instruments"),
        added(chosen(seen, z=[n for n in seen.z_names if n in seen.x_names]), named, x=False, z=True),
        method=TwoStage(),
    )  # fmt: skip


def _projected(q: FloatArray, values: FloatArray, weights: FloatArray | None) -> FloatArray:
    fitted = q @ (q.T @ scaled(values, weights))
    return np.asarray(fitted if weights is None else fitted / np.sqrt(weights))


def reduced_form(world: World) -> Iterator[World]:
    """The reduced form or a first stage is reported instead of the second stage."""
    seen = world.seen
    if not seen.endog_names:
        return
    whole = replace(seen, x=seen.z, x_names=seen.z_names)
    yield world.after(
        Step("estimator.reduced_form", "the dependent variable is regressed on the instruments"),
        whole,
        method=TwoStage(),
    )
    for name in seen.endog_names:
        step = Step("estimator.first_stage", f"the first stage of {name} stands for the second")
        yield world.after(step, replace(whole, y=np.ascontiguousarray(column(seen, name))), method=TwoStage())


def intercept(world: World) -> Iterator[World]:
    """The constant is missing, was added, stands twice, or is missing among the instruments."""
    seen = world.seen
    inside = INTERCEPT in seen.x_names
    if not inside:
        ones = np.ones(len(seen.y))
        both = added(seen, {INTERCEPT: ones}, x=True, z=True)
        yield world.after(Step("intercept.added", "there is an intercept"), both)
        return
    x, z = ([n for n in names if n != INTERCEPT] for names in (seen.x_names, seen.z_names))
    if x:
        yield world.after(Step("intercept.missing", "there is no intercept"), chosen(seen, x=x, z=z))
    two = np.full(len(seen.y), 2.0)
    step = Step("intercept.doubled", "there are two constants, which share the intercept equally")
    yield world.after(step, replaced(seen, {INTERCEPT: two}))


def _and(names: tuple[str, ...] | list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
