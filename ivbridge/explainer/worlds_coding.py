"""How factors become columns: baseline, contrasts, missing and unused levels, factors read as numbers and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ivbridge.errors import IvbridgeError
from ivbridge.explainer.matrices import INTERCEPT, chosen, column, independent
from ivbridge.explainer.rebuild import Parts, parts_of
from ivbridge.explainer.records import Step, World
from ivbridge.explainer.worlds_rows import rows_text
from ivbridge.expr import r_label
from ivbridge.modelmatrix import drop_unused
from ivbridge.records import FloatArray, Seen
from ivbridge.variables import Factor, Numeric, Variable

__all__ = [
    "aliased",
    "baselines",
    "contrasts",
    "full_dummies",
    "levels_as_numbers",
    "missing_level",
    "numbers_as_levels",
]

#: Factors with more levels get the first, the last and the most frequent as baseline only.
EVERY_LEVEL = 12
#: Steps after which factors stand as they did in the rows that are left.
BEFORE = ("rows.",)
#: A numeric variable with more distinct values is not read as a factor.
MOST_LEVELS = 30


def baselines(world: World) -> Iterator[World]:
    """Another level is the baseline of a factor, for example the last one (SAS, SPSS) or the most frequent one."""
    if not world.seen.levels:
        return
    parts = parts_of(world, BEFORE)
    for name, factor in _factors(parts, world):
        counts = np.bincount(factor.codes, minlength=len(factor.levels))
        last = len(factor.levels) - 1
        some = range(last + 1) if last < EVERY_LEVEL else {0, last, int(np.argmax(counts))}
        for j in sorted(some, key=lambda level: level != last):
            if j == (0 if factor.coding == "treatment" else -1):
                continue
            order = [j, *(i for i in range(last + 1) if i != j)]
            moved = replace(
                factor, codes=np.argsort(order)[factor.codes].astype(np.int64), coding="treatment", reference=None,
                levels=tuple(factor.levels[i] for i in order),
            )  # fmt: skip
            key = "coding.last_level" if j == last else "coding.baseline"
            text = f"the baseline of {r_label(name)} is {factor.levels[j]!r}"
            yield from _recoded(world, parts, {name: moved}, Step(key, text))


def contrasts(world: World) -> Iterator[World]:
    """A factor has treatment, sum, Helmert or polynomial contrasts instead of its own."""
    if not world.seen.levels:
        return
    parts = parts_of(world, BEFORE)
    for name, factor in _factors(parts, world):
        size = len(factor.levels)
        if factor.coding != "treatment":
            step = Step("coding.treatment", f"{r_label(name)} has treatment contrasts")
            yield from _recoded(world, parts, {name: replace(factor, coding="treatment")}, step)
        if factor.coding != "sum":
            step = Step("coding.sum", f"{r_label(name)} has sum contrasts")
            yield from _recoded(world, parts, {name: replace(factor, coding="sum")}, step)
        if factor.coding != "poly" and size <= EVERY_LEVEL:
            step = Step("coding.poly", f"{r_label(name)} has polynomial contrasts")
            yield from _recoded(world, parts, {name: replace(factor, coding="poly")}, step)
        for key, what, table in (
            ("coding.helmert", "Helmert contrasts", _helmert(size)),
            (
                "coding.helmert_scaled",
                "Helmert contrasts divided by the number of their levels",
                _helmert(size, divided=True),
            ),
            ("coding.difference", "backward differences between neighbouring levels", _differences(size)),
        ):
            suffixes = tuple(str(j + 1) for j in range(size - 1))
            step = Step(key, f"{r_label(name)} has {what}")
            yield from _recoded(world, parts, {name: Numeric(table[factor.codes], suffixes)}, step)


def _helmert(size: int, *, divided: bool = False) -> FloatArray:
    """R's ``contr.helmert``, (size, size − 1); divided as patsy's Helmert is."""
    table = np.zeros((size, size - 1))
    for j in range(size - 1):
        table[: j + 1, j], table[j + 1, j] = -1.0, j + 1.0
        if divided:
            table[:, j] /= j + 2
    return table


def _differences(size: int) -> FloatArray:
    """Coefficients are differences of neighbouring level means: ``MASS::contr.sdif``, (size, size − 1)."""
    rows, columns = np.indices((size, size - 1))
    return np.where(rows > columns, columns + 1 - 0.0, columns + 1.0 - size) / size


def full_dummies(world: World) -> Iterator[World]:
    """No intercept, but one dummy for every level of the first factor."""
    if not world.seen.levels:
        return
    parts = parts_of(world, BEFORE)
    if parts is None or not parts.spec.intercept or not any(isinstance(v, Factor) for v in parts.variables.values()):
        return
    try:
        seen = independent(parts.seen(world.seen.rows, intercept=False))
    except IvbridgeError:
        return
    step = Step("coding.full_dummies", "there is no intercept, but a dummy for every level of the first factor")
    yield world.after(step, seen)


def missing_level(world: World) -> Iterator[World]:
    """Rows in which a factor is missing are kept; missing is a level of its own."""
    if not world.seen.levels:
        return
    parts = parts_of(world)
    if parts is None:
        return
    for name, variable in parts.variables.items():
        if not isinstance(variable, Factor) or variable.coding != "treatment" or not variable.missing.any():
            continue
        codes = np.where(variable.codes < 0, len(variable.levels), variable.codes)
        there = replace(variable, codes=codes, levels=(*variable.levels, "NA"), logical=False)
        other = {**parts.variables, name: there}
        rest = _complete(parts, other, name)
        try:
            seen = independent(replace(parts, variables=other).seen(rest))
        except IvbridgeError:
            continue
        back = np.setdiff1d(rest, world.seen.rows)
        if len(back):
            text = f"{rows_text(back)} are kept, with a level of its own where {r_label(name)} is missing"
            yield world.after(Step("coding.missing_level", text), seen)


def _complete(parts: Parts, variables: dict[str, Variable], name: str) -> NDArray[np.int64]:
    """Rows in which everything but the columns of one factor is present."""
    masks = [variable.missing for variable in variables.values()]
    gone = np.logical_or.reduce([*masks, np.isnan(parts.y)])
    if parts.weights is not None:
        gone |= ~(parts.weights > 0)
    return np.flatnonzero(~gone).astype(np.int64)


def levels_as_numbers(world: World) -> Iterator[World]:
    """A factor is taken as a number: its values where these are numbers, or the positions of its levels."""
    if not world.seen.levels:
        return
    parts = parts_of(world, BEFORE)
    for name, factor in _factors(parts, world):
        if len(factor.levels) < 3:
            continue
        positions = np.arange(1.0, len(factor.levels) + 1)
        found = {"its levels count 1, 2, …": positions, "its levels count 0, 1, …": positions - 1}
        with suppress(ValueError):
            found["not a factor"] = np.array([float(level) for level in factor.levels])
        for what, values in found.items():
            step = Step("coding.as_number", f"{r_label(name)} is a number: {what}")
            yield from _recoded(world, parts, {name: Numeric(values[factor.codes])}, step)


def aliased(world: World) -> Iterator[World]:
    """Of columns that depend linearly on each other, another one is left out."""
    parts = parts_of(world, BEFORE)
    if parts is None or not world.seen.aliased:
        return
    try:
        whole = parts.seen(world.seen.rows)
    except IvbridgeError:
        return
    for left_out in world.seen.aliased:
        coef = np.linalg.lstsq(world.seen.x, column(whole, left_out), rcond=None)[0]
        size = np.abs(coef) * np.linalg.norm(world.seen.x, axis=0)
        for j in np.flatnonzero(size > 1e-6 * size.max()):
            other = world.seen.x_names[j]
            names = {left_out, *world.seen.x_names} - {other}
            x = [name for name in whole.x_names if name in names]
            z = [n for n in whole.z_names if n in {left_out, *world.seen.z_names} - {other}]
            seen = chosen(whole, x=x, z=z)
            step = Step("coding.aliased", f"{other} is left out, not {left_out}, on which it depends linearly")
            yield world.after(step, replace(seen, aliased=tuple(n for n in whole.x_names if n not in names)))


def numbers_as_levels(world: World) -> Iterator[World]:
    """A number is taken as a factor."""
    parts = parts_of(world)
    if parts is None:
        return
    for name, variable in parts.variables.items():
        if not isinstance(variable, Numeric) or variable.values.ndim > 1:
            continue
        values = variable.values[world.seen.rows]
        distinct = np.unique(values[: 50 * MOST_LEVELS])
        if not 2 < len(distinct) <= MOST_LEVELS or len(distinct := np.unique(values)) > MOST_LEVELS:
            continue
        codes = np.searchsorted(distinct, values).astype(np.int64)
        factor = Factor(codes, tuple(f"{value:g}" for value in distinct))
        if len(set(factor.levels)) == len(distinct):
            step = Step("coding.as_factor", f"{r_label(name)} is a factor with {len(distinct)} levels, not a number")
            yield from _recoded(world, parts, {name: factor}, step)


def _factors(parts: Parts | None, world: World) -> Iterator[tuple[str, Factor]]:
    """Every factor on the rows used, its unused levels dropped."""
    for name, variable in parts.variables.items() if parts else ():
        if isinstance(variable, Factor):
            used = drop_unused(name, variable.take(world.seen.rows))
            yield name, replace(used, logical=False)


def _recoded(world: World, parts: Parts | None, changed: dict[str, Variable], step: Step) -> Iterator[World]:
    """The same rows with other columns for some variables, given on these rows."""
    assert parts is not None
    rows = world.seen.rows
    taken = {name: variable.take(rows) for name, variable in parts.variables.items()} | changed
    here = replace(
        parts, variables=taken, frame=parts.frame.iloc[rows], y=parts.y[rows],
        weights=None if parts.weights is None else parts.weights[rows],
    )  # fmt: skip
    try:
        seen = independent(here.seen(np.arange(len(rows))))
    except IvbridgeError:
        return
    if INTERCEPT not in seen.x_names and INTERCEPT in world.seen.x_names:
        return
    if not _same(seen, world.seen):
        yield world.after(step, replace(seen, rows=rows))


def _same(seen: Seen, other: Seen) -> bool:
    return seen.x_names == other.x_names and np.array_equal(seen.x, other.x)
