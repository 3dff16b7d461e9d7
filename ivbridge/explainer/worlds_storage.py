"""How numbers are kept: single precision, few digits in a text file, whole numbers, too small integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import islice

import numpy as np

from ivbridge.errors import IvbridgeError
from ivbridge.explainer.matrices import DEPENDENT, column, replaced
from ivbridge.explainer.rebuild import Parts, parts_of
from ivbridge.explainer.records import Step, World
from ivbridge.records import FloatArray

__all__ = ["decimals", "significant", "single_matrices", "stored_apart", "stored_rarely", "stored_together"]

#: Significant digits that programs print or write: R's write.table 15, its print 7, and fewer.
DIGITS = (7, 6, 5, 4, 15, 10, 9, 8, 3)
USUAL = 4
DECIMALS = (6, 5, 4, 3, 2, 1)
#: Largest integers of one, two and four bytes.
INTEGERS = {"8 bits": 2**7, "16 bits": 2**15, "32 bits": 2**31}

#: Steps that leave numeric columns as they are in the data.
BEFORE = ("rows.",)

Change = Callable[[FloatArray], FloatArray]


def decimals(values: FloatArray, places: int) -> FloatArray:
    """Values (n,) as ``"%.<places>f"`` writes them and a program reads them back."""
    with np.errstate(all="ignore"):
        scaled = values * 10.0**places
        found = np.rint(scaled) / 10.0**places
        # what stands half-way may be on either side of it before the multiplication: text decides
        near = np.abs(np.abs(scaled - np.floor(scaled)) - 0.5) <= 1e-9 * (1 + np.abs(scaled))
    for i in np.flatnonzero(near):
        found[i] = float(f"{values[i]:.{places}f}")
    return np.where(np.isfinite(found), found, values)


def significant(values: FloatArray, digits: int) -> FloatArray:
    """Values (n,) as ``"%.<digits>g"`` writes them and a program reads them back."""
    size = np.abs(values)
    with np.errstate(all="ignore"):
        places = digits - 1 - np.floor(np.log10(size))
    places[~np.isfinite(places)] = 0
    found = values.copy()
    for place in np.unique(places):
        rows = places == place
        if abs(place) <= 22:
            found[rows] = _at_place(values[rows], int(place), digits)
        else:
            found[rows] = [float(f"{value:.{digits}g}") for value in values[rows]]
    return found


def _at_place(values: FloatArray, place: int, digits: int) -> FloatArray:
    power = 10.0 ** abs(place)
    scaled = values * power if place >= 0 else values / power
    whole = np.rint(scaled)
    found = whole / power if place >= 0 else whole * power
    near = np.abs(np.abs(scaled - np.floor(scaled)) - 0.5) <= 1e-15 * np.abs(scaled) + 1e-12
    for i in np.flatnonzero(near | (np.abs(scaled) >= 2.0**52)):
        found[i] = float(f"{values[i]:.{digits}g}")
    return np.asarray(found)


def stored_together(world: World) -> Iterator[World]:
    """All columns went through single precision, or through a text with four to seven digits."""
    yield from _together(world, 0, 1 + USUAL)


def stored_rarely(world: World) -> Iterator[World]:
    """All columns went through a text with another number of digits, or through whole numbers."""
    yield from _together(world, 1 + USUAL, None)


def _together(world: World, start: int, end: int | None) -> Iterator[World]:
    parts = parts_of(world, BEFORE)
    columns = _columns(parts, world)
    for key, text, new in _changes(columns, start, end):
        if parts is None or not new:
            continue
        if parts.spec.weights in new and len(new) > 1:
            own = {name: values for name, values in new.items() if name != parts.spec.weights}
            yield from _changed(world, parts, own, Step(key, f"every column but the weights {text}"))
        every = next(iter(new)) if len(new) == 1 else "every column"
        yield from _changed(world, parts, new, Step(key, f"{every} {text}"))


def stored_apart(world: World) -> Iterator[World]:
    """One of several columns did."""
    parts = parts_of(world, BEFORE)
    columns = _columns(parts, world)
    for key, text, new in _changes(columns):
        for name, values in new.items() if parts and len(new) > 1 else ():
            assert parts is not None
            yield from _changed(world, parts, {name: values}, Step(key, f"{name} {text}"))


def _columns(parts: Parts | None, world: World) -> dict[str, FloatArray]:
    """Numeric columns of the data, all rows, that are present in the rows used."""
    if parts is None:
        return {}
    plain = {n for n in parts.frame.columns if parts.frame[n].dtype == np.float64 and n not in parts.groups}
    values = {name: parts.frame[name].to_numpy() for name in parts.frame.columns if name in plain}
    return {name: v for name, v in values.items() if np.isfinite(v[world.seen.rows]).all()}


def _changes(
    columns: Mapping[str, FloatArray], start: int = 0, end: int | None = None
) -> Iterator[tuple[str, str, dict[str, FloatArray]]]:
    """Every way of keeping numbers, and the columns that it changes."""
    for key, text, change in islice(_ways(), start, end) if columns else ():
        with np.errstate(all="ignore"):
            new = {name: change(values) for name, values in columns.items()}
        yield key, text, {n: v for n, v in new.items() if not np.array_equal(v, columns[n], equal_nan=True)}


def _single(values: FloatArray) -> FloatArray:
    return values.astype(np.float32).astype(np.float64)


def _ways() -> Iterator[tuple[str, str, Change]]:
    yield "storage.float32", "is kept in single precision", _single
    for digits in DIGITS:
        change = partial(significant, digits=digits)
        yield "storage.digits", f"went through a text with {digits} significant digits", change
    for places in DECIMALS:
        yield "storage.decimals", f"is rounded to {places} decimals", partial(decimals, places=places)
    yield "storage.rounded", "is rounded to whole numbers", np.rint
    yield "storage.truncated", "is cut to whole numbers", np.trunc
    for bits, limit in INTEGERS.items():
        yield "storage.overflow", f"overflows whole numbers of {bits}", partial(_wrapped, limit=limit)


def _wrapped(values: FloatArray, limit: int) -> FloatArray:
    whole = np.array_equal(values, np.trunc(values), equal_nan=True)
    return np.mod(values + limit, 2.0 * limit) - limit if whole else values


def _changed(world: World, parts: Parts, columns: Mapping[str, FloatArray], step: Step) -> Iterator[World]:
    try:
        seen = parts.moved(columns, world.seen)
    except IvbridgeError:
        return
    if np.ptp(seen.y) > 0 and (seen.weights is None or seen.weights.min() > 0):
        yield world.after(step, seen)


def single_matrices(world: World) -> Iterator[World]:
    """The columns of the model, transformed already, are handed over in single precision."""
    seen = world.seen
    names = (DEPENDENT, *dict.fromkeys((*seen.x_names, *seen.z_names)))
    new = {name: _single(column(seen, name)) for name in names}
    if any(not np.array_equal(values, column(seen, name)) for name, values in new.items()):
        step = Step("matrices.float32", "the columns of the model are handed over in single precision")
        yield world.after(step, replaced(seen, new))
