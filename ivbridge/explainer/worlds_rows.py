"""Which rows enter: missing values, duplicates, and rows lost at an edge of the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from ivbridge.errors import IvbridgeError
from ivbridge.explainer.matrices import independent, kept
from ivbridge.explainer.rebuild import Parts, parts_of
from ivbridge.explainer.records import Step, World

__all__ = ["complete_cases", "duplicates", "edges", "filled", "longer_edges", "rows_text"]

#: How many rows a header, a footer, or a lag may cost; and how many a preview keeps away.
EDGES = (2, 3, 4, 5, 10)
FEW = 4


def rows_text(rows: NDArray[np.int64]) -> str:
    """Positions in the data, counted from 1, as a sentence names them: ``rows 3 and 9``, ``212 rows (3, 9, 11, …)``."""
    numbers = [str(row + 1) for row in rows[: FEW + 1].tolist()]
    if len(rows) == 1:
        return f"row {numbers[0]}"
    if len(rows) <= FEW:
        return f"rows {', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"{len(rows)} rows ({', '.join(numbers[:FEW])}, …)"


def complete_cases(world: World) -> Iterator[World]:
    """Rows with a missing value in a column that the question does not use are left out, too."""
    if world.frame is None or world.spec is None:
        return
    rows = world.seen.rows
    used = set(world.spec.columns)
    present = {
        str(name): world.frame.iloc[:, j].notna().to_numpy()[rows]
        for j, name in enumerate(world.frame.columns)
        if name not in used
    }
    gaps = {name: mask for name, mask in present.items() if not mask.all()}
    for name, mask in gaps.items() if len(gaps) > 1 else ():
        lost = rows_text(rows[~mask])
        step = Step(
            "rows.other_column", f"{lost} are left out, where {name}, which is no part of the question, is missing"
        )
        yield from _without(world, mask, step)
    if gaps:
        mask = np.logical_and.reduce(list(gaps.values()))
        where = ", ".join(list(gaps)[:FEW]) + ", …" * (len(gaps) > FEW)
        text = f"{rows_text(rows[~mask])} are left out, where any column of the data is missing ({where})"
        yield from _without(world, mask, Step("rows.complete_cases", text))


def _without(world: World, mask: NDArray[np.bool_], step: Step) -> Iterator[World]:
    if mask.sum() > len(world.seen.x_names):
        yield world.after(step, independent(kept(world.seen, np.flatnonzero(mask))))


def duplicates(world: World) -> Iterator[World]:
    """A row that repeats an earlier one is left out: over all columns of the data, or over those of the question."""
    if world.frame is None or world.spec is None:
        return
    done = np.zeros(len(world.seen.rows), dtype=bool)
    for key, columns in (("rows.duplicates", None), ("rows.duplicates_used", list(world.spec.with_vcov(None).columns))):
        try:
            repeated = world.frame.duplicated(subset=columns).to_numpy()[world.seen.rows]
        except (TypeError, KeyError):  # a column of lists, or a column that the frame does not have
            continue
        if repeated.any() and not np.array_equal(repeated, done):
            what = "an earlier one" if columns is None else "an earlier one in the columns of the question"
            text = f"{rows_text(world.seen.rows[repeated])} are left out, which repeat {what}"
            yield from _without(world, ~repeated, Step(key, text))
            done = repeated


def edges(world: World) -> Iterator[World]:
    """The first or the last row is left out: a header read as data, reading off by one, a lag."""
    yield from _shortened(world, 1)


def longer_edges(world: World) -> Iterator[World]:
    """The first or the last few rows are left out."""
    for count in EDGES:
        yield from _shortened(world, count)


def _shortened(world: World, count: int) -> Iterator[World]:
    n = len(world.seen.rows)
    if n - count > len(world.seen.x_names):
        rows = f"{count} rows of those used are" if count > 1 else "row of those used is"
        for word, places in (("first", slice(count, n)), ("last", slice(0, n - count))):
            step = Step(f"rows.{word}", f"the {word} {rows} left out")
            yield world.after(step, independent(kept(world.seen, places)))


def filled(world: World) -> Iterator[World]:
    """Rows with missing values are kept, with zero or the column's mean in their place."""
    parts = parts_of(world)
    if parts is None or world.frame is None or len(parts.rows) == len(parts.frame):
        return
    numeric = {
        name: values
        for name in parts.frame.columns
        if parts.frame[name].dtype == np.float64 and name not in parts.groups and name != parts.spec.weights
        if np.isnan(values := parts.frame[name].to_numpy()).any()
    }
    some = [{name: values} for name, values in numeric.items()] if len(numeric) > 1 else []
    for columns in [*some, *([numeric] if numeric else [])]:
        for key, word, value in (
            ("zero", "0", lambda v: 0.0),
            ("mean", "its mean", np.nanmean),
            ("median", "its median", np.nanmedian),
        ):
            new = {name: np.where(np.isnan(v), value(v), v) for name, v in columns.items()}
            yield from _refilled(world, parts, new, f"rows.missing_as_{key}", word)


def _refilled(
    world: World, parts: Parts, columns: Mapping[str, NDArray[np.float64]], key: str, word: str
) -> Iterator[World]:
    assert world.frame is not None
    try:
        changed = parts.changed(columns)
        seen = independent(changed.seen())
    except IvbridgeError:
        return
    back = np.setdiff1d(seen.rows, world.seen.rows)
    if len(back):
        text = f"{rows_text(back)} are kept, with {word} for a missing {' or '.join(columns)}"
        yield world.after(Step(key, text), seen, frame=world.frame.assign(**columns))
