"""What rounding explains at one input: how far Python's own answer moves when the input moves by a hair.

Two correct programs may differ as much as their answers change when every number of the input changes by some units in
its last place (zeros by as much as the smallest other number): that is the conditioning of the question at this input.
The change has to grow with the size of the
move. Where it does not, the input sits on a jump (a tie, a boundary of a quantile), and a difference is a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.ports.calls import Port, call_python
from ivbridge.ports.differ import Pair
from ivbridge.ports.records import RTOL, Case, Failure

__all__ = ["allowed"]

#: Units in the last place by which the input is moved, and the larger move that tells a slope from a jump.
FAR, FARTHER = 16, 256
_EPS = float(np.finfo(np.float64).eps)


def allowed(port: Port, case: Case, pairs: list[Pair]) -> list[np.ndarray]:
    """For each pair the absolute difference that a move of the input by `FAR` units in the last place explains.

    Parameters
    ----------
    port : Port
    case : mapping
        The input.
    pairs : list of Pair
        The numbers in question.

    Returns
    -------
    list of numpy.ndarray
        (m,) for each pair; zeros where the answer fails or does not depend on floats. Where it does not grow with the
        move, it is a jump, or the noise of Python's own sums: at most 1e-12 of the largest number beside it counts.
    """
    far = _moves(port, case, pairs, FAR)
    if not any((one > 0).any() for one in far):
        return far
    farther = _moves(port, case, pairs, FARTHER)
    found = []
    for pair, a, b in zip(pairs, far, farther, strict=True):
        noise = RTOL * np.abs(pair.python[np.isfinite(pair.python)]).max(initial=0.0)
        found.append(np.where(b >= 2 * a, a, np.minimum(a, noise)))
    return found


def _moves(port: Port, case: Case, pairs: list[Pair], ulps: int) -> list[np.ndarray]:
    """The largest change of each number over a few moves; 0 where one of them changes more than numbers."""
    largest = [np.zeros(pair.gap.size) for pair in pairs]
    for moved in _moved(case, ulps):
        found = call_python(port, moved).found
        if isinstance(found, Failure):
            return [np.zeros(pair.gap.size) for pair in pairs]
        for i, pair in enumerate(pairs):
            leaf = found[pair.output.name].get(pair.path.removeprefix(pair.output.name).lstrip("."))
            if leaf is None or leaf.kind != "number" or leaf.values.size != pair.gap.size:
                return [np.zeros(one.gap.size) for one in pairs]
            with np.errstate(all="ignore"):
                change = np.abs(leaf.values.ravel() - pair.python)
            largest[i] = np.maximum(largest[i], np.where(np.isfinite(change), change, 0.0))
    return largest


def _moved(case: Case, ulps: int) -> Iterator[Case]:
    """The case with its floats moved up, down, and several times each by as much at random (with a fixed seed)."""
    random = np.random.default_rng(1)
    for moves in (lambda n: np.ones(n), lambda n: -np.ones(n), *[lambda n: random.uniform(-1, 1, n)] * 4):  # noqa: PLW0108
        yield {name: _move(value, moves, ulps) for name, value in case.items()}


def _move(value: Any, moves: Any, ulps: int) -> Any:
    if isinstance(value, float):
        return value * (1 + float(moves(1)[0]) * ulps * _EPS)
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        sizes = np.abs(value)
        present = sizes[np.isfinite(sizes) & (sizes > 0)]
        sizes = np.where(sizes == 0, present.min(initial=np.inf) if present.size else 0.0, sizes)
        with np.errstate(all="ignore"):
            moved = value + sizes * moves(value.size).reshape(value.shape) * ulps * _EPS
        return np.where(np.isfinite(value), moved, value)
    if isinstance(value, pd.Series) and value.dtype == np.float64:
        return pd.Series(_move(value.to_numpy(), moves, ulps), index=value.index, name=value.name)
    if isinstance(value, pd.DataFrame):
        return value.assign(**{str(name): _move(column, moves, ulps) for name, column in value.items()})
    return value
