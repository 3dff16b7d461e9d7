"""Equally likely integers as R's ``sample()`` draws them, in both of its kinds.

Every method takes from the stream exactly the words that R would: what is rejected is drawn again one by one, so no
more candidates may be taken at once than integers are still missing.
"""

from __future__ import annotations

import math

import numpy as np

from ivbridge.records import IntArray
from ivbridge.rwords import Words

__all__ = ["Integers"]

_ONE_UNIFORM = 2**31 - 1  # above this bound one uniform has too few bits, and R spends two
_WIDE = 33554432.0  # 2^25: bits that it takes from the first of them


class Integers:
    """Integers from a stream of words, by rejection (R 3.6 and later) or by rounding (before)."""

    def __init__(self, words: Words, rejects: bool) -> None:
        self._words, self.rejects = words, rejects

    def below(self, bound: int, size: int) -> IntArray:
        """(size,) integers in [0, bound)."""
        if not self.rejects:
            return self._rounded(np.full(size, bound))
        found: list[IntArray] = []
        missing = size
        while missing:
            candidates = self._bits(_bits_below(bound), missing)
            found.append(candidates[candidates < bound])
            missing -= len(found[-1])
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def _rounded(self, bounds: IntArray) -> IntArray:
        """One integer in [0, bound) for each bound, by multiplying and rounding down."""
        wide = bounds > _ONE_UNIFORM
        first = np.cumsum(1 + wide) - (1 + wide)
        u = self._words.uniform(len(bounds) + int(wide.sum()))
        share = u[first]
        share[wide] = (np.floor(_WIDE * share[wide]) + u[first[wide] + 1]) / _WIDE
        return np.asarray(np.floor(bounds * share), dtype=np.int64)

    def _bits(self, bits: int, size: int) -> IntArray:
        """(size,) integers of so many bits: the upper 16 bits of each of ⌊bits/16⌋ + 1 words, then the low ``bits``."""
        parts = bits // 16 + 1
        upper = (self._words.take(size * parts) >> 16).astype(np.int64).reshape(size, parts)
        out = upper[:, 0]
        for j in range(1, parts):
            out = (out << 16) + upper[:, j]
        return out & ((1 << bits) - 1)

    def shuffled(self, m: int, size: int) -> IntArray:
        """Fisher-Yates: each draw takes a place among those left, and the last one left moves into it."""
        left, out = list(range(m)), [0] * size
        places = self._places(m, size)
        for i in range(size):
            j = places[i]
            out[i] = left[j]
            m -= 1
            left[j] = left[m]
        return np.array(out, dtype=np.int64)

    def _places(self, m: int, size: int) -> list[int]:
        """One integer below each of m, m - 1, …, m - size + 1."""
        if not self.rejects:
            places: list[int] = self._rounded(np.arange(m, m - size, -1)).tolist()
            return places
        places = []
        while len(places) < size:
            bound = m - len(places)
            bits = _bits_below(bound)
            lowest = max((1 << bits) >> 1, m - size)  # down to here the same number of bits is drawn
            while bound > lowest:
                for candidate in self._bits(bits, bound - lowest).tolist():
                    if candidate < bound:
                        places.append(candidate)
                        bound -= 1
        return places

    def distinct(self, m: int, size: int) -> IntArray:
        """R's way for few of very many: draw, and draw again what came before."""
        out = np.empty(0, dtype=np.int64)
        while len(out) < size:
            drawn = np.concatenate([out, self.below(m, size - len(out))])
            out = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
        return out

    def permutations(self, m: int, times: int) -> IntArray:
        """(m, times), each column another order of 0 … m - 1."""
        if self.rejects:
            places = np.array([self._places(m, m) for _ in range(times)], dtype=np.int64).reshape(times, m)
        else:
            places = self._rounded(np.tile(np.arange(m, 0, -1), times)).reshape(times, m)
        left, out = np.repeat(np.arange(m)[:, None], times, axis=1), np.empty((m, times), dtype=np.int64)
        columns = np.arange(times)
        for i, j in enumerate(np.ascontiguousarray(places.T)):
            out[i] = left[j, columns]
            left[j, columns] = left[m - 1 - i]
        return out


def _bits_below(bound: int) -> int:
    """Bits of a candidate for an integer below the bound; computed in floating point, as R does."""
    return math.ceil(math.log2(bound))
