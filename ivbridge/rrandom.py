"""R's random numbers in Python: the same seed gives the same numbers, bit for bit, in any sequence of calls.

>>> random = RRandom(1)
>>> random.rnorm(3).round(7).tolist()
[-0.6264538, 0.1836433, -0.8356286]
>>> random.sample(5).tolist()
[3, 2, 4, 1, 5]

R's default generator is reproduced: Mersenne Twister (Matsumoto & Nishimura 1998), normal numbers by inversion, and
both ways in which ``sample()`` turns bits into integers. ``set.seed`` scrambles its seed with the congruential
generator 69069·s + 1. Sources: R's documentation of ``RNGkind`` and ``sample``, and the papers named at each
distribution.
"""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ivbridge.errors import DataError, UnsupportedError
from ivbridge.rdistributions import normal_quantile
from ivbridge.records import FloatArray, IntArray

__all__ = ["RRandom", "SampleKind"]

SampleKind = Literal["Rejection", "Rounding"]

_BIT = 2.3283064365386963e-10  # 2^-32 as R writes it: turns 32 bits into [0, 1)
_NEVER_ZERO = 0.5 * 2.328306437080797e-10  # what R gives where all bits are 0: half of 1/(2^32 - 1)
_BIG = 134217728.0  # 2^27: a normal number takes 27 bits of one uniform and all of the next
_WIDE = 33554432.0  # 2^25: a "Rounding" integer above 2^31 - 1 likewise
_LARGEST_INT = 2**31 - 1
_LARGEST_EXACT = 2**53
_HASHED_ABOVE = 10_000_000


class RRandom:
    """A stream of random numbers equal to R's after ``set.seed(seed)``.

    Parameters
    ----------
    seed : int
        As for ``set.seed``: -(2³¹ - 1) to 2³¹ - 1.
    sample_kind : {"Rejection", "Rounding"}, default "Rejection"
        How `sample` draws integers. ``"Rejection"`` is the default of R 3.6 and later; ``"Rounding"`` is what R did
        before, and does after ``RNGkind(sample.kind = "Rounding")``.

    Raises
    ------
    DataError
        If the seed is no such integer.
    UnsupportedError
        If there is no such kind.

    Notes
    -----
    R and this class use the C library's logarithm; draws are equal bit for bit where both use the same one, and R is
    compiled without fused multiplication (x86-64).
    """

    def __init__(self, seed: int, sample_kind: SampleKind = "Rejection") -> None:
        if sample_kind not in get_args(SampleKind):
            raise UnsupportedError(f"sample_kind={sample_kind!r} was asked.", available=", ".join(get_args(SampleKind)))
        if not _is_integer(seed) or abs(seed) > _LARGEST_INT:
            raise DataError(f"The seed {seed!r} is not an integer from -{_LARGEST_INT} to {_LARGEST_INT}.")
        self.seed, self.sample_kind = int(seed), sample_kind
        self._rejects = sample_kind == "Rejection"
        self._words = _Words(self.seed)

    def __repr__(self) -> str:
        return f"RRandom({self.seed}, {self.sample_kind!r})"

    def runif(self, n: int, min: npt.ArrayLike = 0.0, max: npt.ArrayLike = 1.0) -> FloatArray:
        """``runif(n, min, max)``, (n,) floats strictly between the limits; where they are equal, nothing is drawn.

        Raises
        ------
        DataError
            If a limit is not finite or ``min`` is above ``max``.
        """
        low, high = _recycled(n, min=min, max=max)
        if (low > high).any():
            raise DataError("runif: min is above max.")
        out, drawn = low.copy(), low < high
        out[drawn] += (high - low)[drawn] * self._uniform(int(drawn.sum()))
        return out

    def rnorm(self, n: int, mean: npt.ArrayLike = 0.0, sd: npt.ArrayLike = 1.0) -> FloatArray:
        """``rnorm(n, mean, sd)``, (n,) floats, by inversion (R's default normal.kind); nothing is drawn where sd is 0.

        Raises
        ------
        DataError
            If a mean is not finite, or an sd is negative or not finite.
        """
        centre, scale = _recycled(n, mean=mean, sd=sd)
        if (scale < 0).any():
            raise DataError("rnorm: an sd is negative.")
        out, drawn = centre.copy(), scale > 0
        u = self._uniform(2 * int(drawn.sum()))
        out[drawn] += scale[drawn] * normal_quantile((np.floor(_BIG * u[::2]) + u[1::2]) / _BIG)
        return out

    def sample(self, x: int | npt.ArrayLike, size: int | None = None, replace: bool = False) -> npt.NDArray[Any]:
        """``sample(x, size, replace)``, (size,) values.

        Parameters
        ----------
        x : int or (m,) array
            A whole number m ≥ 1 stands for 1 … m, as in R. An array stands for its values, also one of length 1, where
            R would count up to it.
        size : int, optional
            Default: m.
        replace : bool, default False

        Raises
        ------
        DataError
            If there is nothing to draw from, or, without replacement, not enough.
        """
        values = None if _is_integer(x) else np.asarray(x)
        m = _count(x, "x") if values is None else len(np.atleast_1d(values))
        k = m if size is None else _count(size, "size")
        if m < 1 and k > 0:
            raise DataError(f"sample: {k} of {m} values were asked.")
        if k > m and not replace:
            raise DataError(f"sample: {k} of {m} values were asked without replacement.", do="use replace=True.")
        if replace or k < 2:
            index = self._below(m, k)
        elif m > _HASHED_ABOVE and size is not None and k <= m / 2:
            index = self._distinct(m, k)
        else:
            index = self._shuffled(m, k)
        return index + 1 if values is None else np.atleast_1d(values)[index]

    def permutations(self, x: npt.ArrayLike, times: int) -> npt.NDArray[Any]:
        """``replicate(times, sample(x))``: (m, times), each column another order of the m values.

        Raises
        ------
        DataError
            If there are no values.
        """
        values, count = np.asarray(x), _count(times, "times")
        if values.ndim != 1 or len(values) == 0:
            raise DataError("permutations: x must be a row of values.")
        m = len(values)
        if self._rejects or m < 2:
            places = np.array([self._places(m, m) for _ in range(count)], dtype=np.int64).reshape(count, m)
        else:
            places = self._rounded(np.tile(np.arange(m, 0, -1), count)).reshape(count, m)
        left, out = np.repeat(values[:, None], count, axis=1), np.empty((m, count), dtype=values.dtype)
        columns = np.arange(count)
        for i, j in enumerate(np.ascontiguousarray(places.T)):
            out[i] = left[j, columns]
            left[j, columns] = left[m - 1 - i]
        return out

    def _uniform(self, n: int) -> FloatArray:
        words = self._words.take(n)
        u = words * _BIT
        u[words == 0] = _NEVER_ZERO
        return np.asarray(u, dtype=np.float64)

    def _below(self, bound: int, size: int) -> IntArray:
        """(size,) integers in [0, bound)."""
        if not self._rejects:
            return self._rounded(np.full(size, bound))
        found: list[IntArray] = []
        missing = size
        while missing:
            # asking for exactly the missing number keeps the stream aligned with R's one-by-one rejection
            candidates = self._bits(_bits_below(bound), missing)
            found.append(candidates[candidates < bound])
            missing -= len(found[-1])
        return np.concatenate(found) if found else np.empty(0, dtype=np.int64)

    def _rounded(self, bounds: IntArray) -> IntArray:
        """One integer in [0, bound) for each bound, by multiplying and rounding down."""
        wide = bounds > _LARGEST_INT  # one uniform has too few bits; R then spends two
        first = np.cumsum(1 + wide) - (1 + wide)
        u = self._uniform(len(bounds) + int(wide.sum()))
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

    def _shuffled(self, m: int, size: int) -> IntArray:
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
        if not self._rejects:
            places: list[int] = self._rounded(np.arange(m, m - size, -1)).tolist()
            return places
        places = []
        while len(places) < size:
            bound = m - len(places)
            bits = _bits_below(bound)
            lowest = max((1 << bits) >> 1, m - size)  # down to here the same number of bits is drawn
            while bound > lowest:
                # no candidate is left over: at most as many are drawn as are missing
                for candidate in self._bits(bits, bound - lowest).tolist():
                    if candidate < bound:
                        places.append(candidate)
                        bound -= 1
        return places

    def _distinct(self, m: int, size: int) -> IntArray:
        """R's way for few of very many: draw, and draw again what came before."""
        out = np.empty(0, dtype=np.int64)
        while len(out) < size:
            drawn = np.concatenate([out, self._below(m, size - len(out))])
            out = drawn[np.sort(np.unique(drawn, return_index=True)[1])]
        return out


class _Words:
    """The 32-bit words of a Mersenne Twister seeded as by ``set.seed``."""

    def __init__(self, seed: int) -> None:
        value = seed & 0xFFFFFFFF
        for _ in range(51):  # 50 times to scramble; one more for a word that R replaces by its position counter
            value = (69069 * value + 1) & 0xFFFFFFFF
        key = np.empty(624, dtype=np.uint32)
        for i in range(624):
            value = (69069 * value + 1) & 0xFFFFFFFF
            key[i] = value
        self._bits = np.random.MT19937()
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": 624}}

    def take(self, n: int) -> npt.NDArray[np.uint64]:
        """The next n words, (n,) unsigned integers below 2³²."""
        return np.asarray(self._bits.random_raw(n))


def _bits_below(bound: int) -> int:
    """Bits of a candidate for an integer below the bound; computed in floating point, as R does."""
    return math.ceil(math.log2(bound))


def _is_integer(x: object) -> bool:
    return isinstance(x, int | np.integer) and not isinstance(x, bool)


def _count(x: Any, name: str) -> int:
    if not _is_integer(x) or not 0 <= x < _LARGEST_EXACT:
        raise DataError(f"{name}={x!r} is not a whole number from 0 to 2^53 - 1.")
    return int(x)


def _recycled(n: int, **parameters: npt.ArrayLike) -> list[FloatArray]:
    """Parameters repeated to length n, as R repeats them."""
    size, out = _count(n, "n"), []
    for name, value in parameters.items():
        given = np.atleast_1d(np.asarray(value, dtype=np.float64))
        if given.ndim != 1 or len(given) == 0 or not np.isfinite(given).all():
            raise DataError(f"{name} must be one finite number or a row of them.")
        out.append(np.resize(given, size))
    return out
