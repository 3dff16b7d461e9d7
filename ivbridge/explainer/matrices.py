"""Edits of the matrices of a question that leave everything else as it is; what changes is copied, the rest shared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ivbridge.rank import independent_columns
from ivbridge.records import FloatArray, Seen

__all__ = ["DEPENDENT", "INTERCEPT", "added", "chosen", "column", "independent", "kept", "relabelled", "replaced"]

INTERCEPT = "(Intercept)"
#: Stands for the dependent variable among the columns of :func:`replaced`; no column of a model has this name.
DEPENDENT = ""


def column(seen: Seen, name: str) -> FloatArray:
    """One column (n,) of X or Z by its name, or the dependent variable."""
    if name == DEPENDENT:
        return seen.y
    if name in seen.x_names:
        return np.asarray(seen.x[:, seen.x_names.index(name)])
    return np.asarray(seen.z[:, seen.z_names.index(name)])


def replaced(seen: Seen, columns: Mapping[str, FloatArray], names: Mapping[str, str] | None = None) -> Seen:
    """Put other numbers (n,) in the place of columns, in X and in Z, and give some of them other names."""
    new = {} if names is None else names
    x, z = seen.x, seen.z
    if any(name in columns for name in seen.x_names):
        x = _with(x, seen.x_names, columns)
    if any(name in columns for name in seen.z_names):
        z = _with(z, seen.z_names, columns)
    return replace(
        seen, y=columns.get(DEPENDENT, seen.y), x=x, z=z, x_names=tuple(new.get(name, name) for name in seen.x_names),
        z_names=tuple(new.get(name, name) for name in seen.z_names),
    )  # fmt: skip


def _with(matrix: FloatArray, names: tuple[str, ...], columns: Mapping[str, FloatArray]) -> FloatArray:
    changed = matrix.copy(order="F")
    for j, name in enumerate(names):
        if name in columns:
            changed[:, j] = columns[name]
    return changed


def chosen(seen: Seen, *, x: Collection[str] | None = None, z: Collection[str] | None = None) -> Seen:
    """Keep some columns of X, of Z, or of both, in their order; all of them where nothing is said."""
    changes: dict[str, object] = {}
    for part, names, wanted in (("x", seen.x_names, x), ("z", seen.z_names, z)):
        if wanted is not None and not set(names) <= set(wanted):
            places = [j for j, name in enumerate(names) if name in wanted]
            changes[part] = np.asfortranarray(getattr(seen, part)[:, places])
            changes[f"{part}_names"] = tuple(names[j] for j in places)
    return replace(seen, **changes)  # type: ignore[arg-type]


def added(seen: Seen, columns: Mapping[str, FloatArray], *, x: bool, z: bool) -> Seen:
    """Append columns (n,) to X, to Z, or to both."""
    changes: dict[str, object] = {}
    for part, wanted in (("x", x), ("z", z)):
        if wanted:
            changes[part] = np.asfortranarray(np.column_stack([getattr(seen, part), *columns.values()]))
            changes[f"{part}_names"] = (*getattr(seen, f"{part}_names"), *columns)
    return replace(seen, **changes)  # type: ignore[arg-type]


def relabelled(seen: Seen, names: Mapping[str, str]) -> Seen:
    """Give columns other names; the numbers stay."""
    return replaced(seen, {}, names)


def kept(seen: Seen, places: NDArray[np.int64] | slice) -> Seen:
    """Keep some of the rows used, by their places among them; a place that stands twice counts twice."""
    groups = {name: np.unique(codes[places], return_inverse=True)[1] for name, codes in seen.groups.items()}
    return replace(
        seen, rows=seen.rows[places], y=seen.y[places], x=np.asfortranarray(seen.x[places]),
        z=np.asfortranarray(seen.z[places]), weights=None if seen.weights is None else seen.weights[places],
        groups=groups,
    )  # fmt: skip


def independent(seen: Seen) -> Seen:
    """Leave out the columns that depend linearly on earlier ones, by R's rule."""
    root = None if seen.weights is None else np.sqrt(seen.weights)[:, None]
    x, z = (
        independent_columns(np.asarray(np.linalg.qr(matrix if root is None else matrix * root, mode="r")))
        for matrix in (seen.x, seen.z)
    )
    if len(x) == len(seen.x_names) and len(z) == len(seen.z_names):
        return seen
    left = chosen(seen, x={seen.x_names[j] for j in x}, z={seen.z_names[j] for j in z})
    return replace(
        left,
        aliased=(*seen.aliased, *(name for name in seen.x_names if name not in left.x_names)),
        aliased_instruments=(*seen.aliased_instruments, *(n for n in seen.z_names if n not in left.z_names)),
    )
