"""Pairs of steps that replace different columns, screened without building them.

Two worlds that differ from a third one in columns of their own make a fourth, whose cross-products are all among those
of the columns that occur. So these are computed once, and the coefficients of all pairs follow by solving stacks of
small systems.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ivbridge.explainer.matrices import DEPENDENT, replaced
from ivbridge.explainer.records import World
from ivbridge.records import FloatArray, IntArray, Seen

__all__ = ["merged"]

#: Pairs whose systems are solved at once.
CHUNK = 2048
#: Keeps a singular system solvable; far below what is compared.
RIDGE = 1e-14


@dataclass(frozen=True, slots=True, eq=False)
class _Delta:
    """How a world differs from the one that it departs from.

    Attributes
    ----------
    world : World
    ids : (1 + k + l,) int array
        Columns of the pool that stand for y, X and Z.
    touched : (1 + k + l,) bool array
    """

    world: World
    ids: IntArray
    touched: np.ndarray


class _Pool:
    """All columns that occur, each once, in the order in which they came."""

    def __init__(self, base: World) -> None:
        self.base = base
        seen = base.seen
        self.columns: list[FloatArray] = [seen.y]
        self.place: dict[str, int] = {}
        for name in (*seen.x_names, *seen.z_names):
            if name not in self.place:
                self.place[name] = len(self.columns)
                matrix, names = (seen.x, seen.x_names) if name in seen.x_names else (seen.z, seen.z_names)
                self.columns.append(matrix[:, names.index(name)])
        self.own = np.array([0, *(self.place[name] for name in (*seen.x_names, *seen.z_names))], dtype=np.int64)

    def delta(self, world: World) -> _Delta | None:
        """The difference; None where there is none, or where it is not in some of the columns alone."""
        seen, base = world.seen, self.base.seen
        shapes = (seen.x.shape, seen.z.shape) == (base.x.shape, base.z.shape)
        roles = [n in seen.z_names for n in seen.x_names] == [n in base.z_names for n in base.x_names]
        if not (shapes and roles and world.method == self.base.method and _same(seen.rows, base.rows)):
            return None
        if (seen.weights is None) != (base.weights is None) or not _same(seen.weights, base.weights):
            return None
        changed = [not _same(seen.y, base.y)]
        for name in ("x", "z"):
            new, old = getattr(seen, name), getattr(base, name)
            changed += [False] * new.shape[1] if new is old else (~(new == old).all(axis=0)).tolist()
        touched = np.array(changed)
        if not touched.any():
            return None
        ids, names, fresh = self.own.copy(), ("", *seen.x_names, *seen.z_names), dict[str, int]()
        for slot in np.flatnonzero(touched).tolist():
            if names[slot] not in fresh:
                fresh[names[slot]] = len(self.columns)
                self.columns.append(_column(seen, slot))
            ids[slot] = fresh[names[slot]]
        return _Delta(world, ids, touched)


def _same(new: np.ndarray | None, old: np.ndarray | None) -> bool:
    return new is old or np.array_equal(new, old)  # type: ignore[arg-type]


def _column(seen: Seen, slot: int) -> FloatArray:
    k = len(seen.x_names)
    if slot == 0:
        return seen.y
    return np.asarray(seen.x[:, slot - 1] if slot <= k else seen.z[:, slot - 1 - k])


def merged(
    base: World, firsts: Sequence[World], seconds: Sequence[World], wanted: Mapping[str, tuple[float, float]]
) -> Iterator[World]:
    """Worlds with one step of each kind whose coefficients are close to those wanted.

    Parameters
    ----------
    base : World
        From which all others differ in some columns; those that differ in another way are left out.
    firsts, seconds : sequence of World
        Only their last steps count; the same list twice gives every pair once.
    wanted : mapping of str to (float, float)
        Observed coefficients by term, and how far each may be off. Names that no column has are not compared.
    """
    pool = _Pool(base)
    first = [delta for world in firsts if (delta := pool.delta(world))]
    second = first if firsts is seconds else [delta for world in seconds if (delta := pool.delta(world))]
    if not first or not second:
        return
    i, j = np.indices((len(first), len(second))).reshape(2, -1)
    if first is second:
        i, j = i[i < j], j[i < j]
    one, two = (np.array([d.touched for d in some]) for some in (first, second))
    apart = ~(one[i] & two[j]).any(axis=1)
    i, j = i[apart], j[apart]
    gram, length = _gram(pool.columns, base.seen.weights)
    ids = [np.array([d.ids for d in some]) for some in (first, second)]
    values = [np.array([_values(d.world, wanted) for d in some]) for some in (first, second)]
    k = len(base.seen.x_names)
    for start in range(0, len(i), CHUNK):
        a, b = i[start : start + CHUNK], j[start : start + CHUNK]
        own = ids[0][a] + ids[1][b] - pool.own
        target = np.where(two[b][:, 1 : k + 1, None], values[1][b], values[0][a])
        coef = _solved(gram, length, own, k)
        with np.errstate(invalid="ignore"):
            near = np.abs(coef - target[..., 0]) <= target[..., 1]
        fits = (near | np.isnan(target[..., 0])).all(axis=1) & near.any(axis=1)
        for at in np.flatnonzero(fits).tolist():
            yield _joined(first[a[at]], second[b[at]])


def _gram(columns: Sequence[FloatArray], weights: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Cross-products of the columns, each divided by its length, and the lengths."""
    matrix = np.column_stack(columns)
    if weights is not None:
        matrix *= np.sqrt(weights)[:, None]
    length = np.linalg.norm(matrix, axis=0)
    length[length == 0] = 1.0
    matrix /= length
    return matrix.T @ matrix, length


def _values(world: World, wanted: Mapping[str, tuple[float, float]]) -> FloatArray:
    """What is wanted of each column of X, (k, 2): value and distance; NaN where nothing is."""
    return np.array([wanted.get(name, (np.nan, np.nan)) for name in world.seen.x_names])


def _solved(gram: FloatArray, length: FloatArray, own: IntArray, k: int) -> FloatArray:
    """Two-stage least squares for every row of pool ids, (pairs, k)."""
    y, x, z = own[:, :1], own[:, 1 : k + 1], own[:, k + 1 :]
    zz = gram[z[:, :, None], z[:, None, :]] + RIDGE * np.eye(z.shape[1])
    zxy = gram[z[:, :, None], np.concatenate([x, y], axis=1)[:, None, :]]
    product = zxy[:, :, :k].transpose(0, 2, 1) @ np.linalg.solve(zz, zxy)
    coef = np.linalg.solve(product[:, :, :k] + RIDGE * np.eye(k), product[:, :, k:])[:, :, 0]
    return np.asarray(coef * length[y] / length[x])


def _joined(first: _Delta, second: _Delta) -> World:
    """The first world with the columns that the second one replaced."""
    one, two = first.world.seen, second.world.seen
    names = ("", *one.x_names, *one.z_names)
    others = ("", *two.x_names, *two.z_names)
    slots = np.flatnonzero(second.touched).tolist()
    columns = {names[slot] or DEPENDENT: _column(two, slot) for slot in slots}
    seen = replaced(one, columns, {names[slot]: others[slot] for slot in slots if slot})
    return replace(first.world, seen=seen, steps=(*first.world.steps, second.world.steps[-1]))
