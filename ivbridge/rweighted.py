"""Drawing with unequal probabilities, R's ``sample(…, prob = )``.

Probabilities sum to one. With replacement R inverts the distribution function, or uses alias tables where there are
many values; without, it draws one after the other. The order of ties decides what is drawn, so the sort is R's heap
sort.
"""

from __future__ import annotations

import math

import numpy as np

from ivbridge.rdistributions import Uniforms
from ivbridge.records import FloatArray, IntArray

__all__ = ["with_replacement", "without_replacement"]

#: R makes alias tables where more values than this have a probability above a tenth of the mean.
_ALIAS_ABOVE = 200


def with_replacement(prob: FloatArray, size: int, uniforms: Uniforms, rejects: bool) -> IntArray:
    """Positions of the values drawn, (size,) integers below len(prob).

    ``rejects`` says how the alias method draws a column: as `sample` does without weights ("Rejection"), or together
    with the place in it from one uniform ("Rounding").
    """
    if int((len(prob) * prob > 0.1).sum()) > _ALIAS_ABOVE:
        return _by_alias(prob, *_places(len(prob), size, uniforms, rejects))
    order = _descending(prob)
    cumulative = np.cumsum(prob[order])
    return order[np.searchsorted(cumulative[:-1], uniforms(size), side="left")]


def without_replacement(prob: FloatArray, size: int, uniforms: Uniforms) -> IntArray:
    """Positions of the values drawn, (size,) different integers; each draw among what the earlier ones left."""
    order = _descending(prob)
    left, total = prob[order], 1.0
    out = np.empty(size, dtype=np.int64)
    for i, u in enumerate(uniforms(size).tolist()):
        j = int(np.searchsorted(np.cumsum(left[:-1]), total * u, side="left"))
        out[i] = order[j]
        total -= float(left[j])
        left, order = np.delete(left, j), np.delete(order, j)
    return out


def _places(n: int, size: int, uniforms: Uniforms, rejects: bool) -> tuple[IntArray, FloatArray]:
    """A column below n and a height in [0, 1) for each draw."""
    if not rejects:
        place = uniforms(size) * n
        return place.astype(np.int64), place - np.floor(place)
    bits = math.ceil(math.log2(n))
    parts, mask = bits // 16 + 1, (1 << bits) - 1
    columns: list[int] = []
    heights: list[float] = []
    taken: list[float] = []
    while len(columns) < size:
        # no less than this is still needed
        taken += uniforms((size - len(columns)) * (parts + 1) - len(taken)).tolist()
        at = 0
        while at + parts < len(taken):
            column = 0
            for part in taken[at : at + parts]:
                column = (column << 16) + int(part * 65536)
            at += parts
            if column & mask < n:
                columns.append(column & mask)
                heights.append(taken[at])
                at += 1
        taken = taken[at:]
    return np.array(columns, dtype=np.int64), np.array(heights)


def _by_alias(prob: FloatArray, column: IntArray, height: FloatArray) -> IntArray:
    """Source: A. J. Walker (1977), "An efficient method for generating discrete random variables with general
    distributions", ACM Transactions on Mathematical Software 3, 253-256; B. D. Ripley (1987), "Stochastic Simulation",
    algorithm 3.13B.
    """
    n = len(prob)
    filled: list[float] = (prob * n).tolist()
    alias = list(range(n))
    low = [i for i in range(n) if filled[i] < 1]
    high = [i for i in range(n) if filled[i] >= 1]
    # a tall column gives what a low one lacks; the last tall one is used first, and becomes low itself when it is spent
    at = 0
    while high and at < len(low):
        short, tall = low[at], high[-1]
        alias[short] = tall
        filled[tall] += filled[short] - 1
        if filled[tall] < 1:
            low.append(high.pop())
        at += 1
    own = column + height < (np.array(filled) + np.arange(n))[column]
    return np.where(own, column, np.array(alias, dtype=np.int64)[column])


def _descending(keys: FloatArray) -> IntArray:
    """Positions that sort the keys downwards, ties in the order of heap sort (J. W. J. Williams 1964; R. W. Floyd)."""
    heap: list[tuple[float, int]] = list(zip(keys.tolist(), range(len(keys)), strict=True))
    for root in range(len(heap) // 2 - 1, -1, -1):
        _sift(heap, root, len(heap), heap[root])
    for end in range(len(heap) - 1, 0, -1):
        last, heap[end] = heap[end], heap[0]
        _sift(heap, 0, end, last)
    return np.array([position for _, position in heap], dtype=np.int64)


def _sift(heap: list[tuple[float, int]], root: int, end: int, entry: tuple[float, int]) -> None:
    """Put the entry where it belongs below the root; the smallest key comes to the top."""
    child = 2 * root + 1
    while child < end:
        if child + 1 < end and heap[child][0] > heap[child + 1][0]:
            child += 1
        if entry[0] <= heap[child][0]:
            break
        heap[root] = heap[child]
        root, child = child, 2 * child + 1
    heap[root] = entry
