"""What rounding explains at one input: how far Python's own answer moves when the input moves by a hair.

Two correct programs may differ as much as their answers change when every number of the input changes by some units in
its last place: that is the conditioning of the question at this input. The change has to grow with the size of the
move. Where it does not, the input sits on a jump (a tie, a boundary of a quantile), and a difference is a difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.ports.calls import Port, call_python
from ivbridge.ports.differ import Pair
from ivbridge.ports.records import Case, Failure

__all__ = ["allowed"]

#: Units in the last place by which the input is moved, and the smaller move that tells a slope from a jump.
FAR, NEAR = 16, 2
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
        (m,) for each pair; zeros where the answer jumps, fails, or does not depend on floats.
    """
    far = _moves(port, case, pairs, FAR)
    near = _moves(port, case, pairs, NEAR)
    return [np.where(a >= 2 * b, a, 0.0) for a, b in zip(far, near, strict=True)]


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
    """The case with its floats moved up, down, in turn, and at random (with a fixed seed)."""
    random = np.random.default_rng(1)
    for signs in (
        np.ones,
        lambda n: -np.ones(n),
        lambda n: 1.0 - 2.0 * (np.arange(n) % 2),
        lambda n: random.choice([-1.0, 1.0], n),
        lambda n: random.choice([-1.0, 1.0], n),
    ):
        yield {name: _move(value, signs, ulps) for name, value in case.items()}


def _move(value: Any, signs: Any, ulps: int) -> Any:
    if isinstance(value, float):
        return value * (1 + float(signs(1)[0]) * ulps * _EPS)
    if isinstance(value, np.ndarray) and value.dtype == np.float64:
        with np.errstate(all="ignore"):
            return value * (1 + signs(value.size).reshape(value.shape) * ulps * _EPS)
    if isinstance(value, pd.Series) and value.dtype == np.float64:
        return pd.Series(_move(value.to_numpy(), signs, ulps), index=value.index, name=value.name)
    if isinstance(value, pd.DataFrame):
        return value.assign(**{str(name): _move(column, signs, ulps) for name, column in value.items()})
    return value
