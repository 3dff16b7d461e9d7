"""The 32-bit words behind every random number of R's default generator, and the uniforms that they give."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ivbridge.records import FloatArray, IntArray

__all__ = ["Words"]

_BIT = 2.3283064365386963e-10  # 2^-32 as R writes it: turns 32 bits into [0, 1)
_NEVER_ZERO = 0.5 * 2.328306437080797e-10  # what R gives where all bits are 0: half of 1/(2^32 - 1)


class Words:
    """The 32-bit words of a Mersenne Twister seeded as by ``set.seed``."""

    def __init__(self, seed: int) -> None:
        value = seed & 0xFFFFFFFF
        for _ in range(50):
            value = (69069 * value + 1) & 0xFFFFFFFF
        state = np.empty(625, dtype=np.int64)
        for i in range(625):
            value = (69069 * value + 1) & 0xFFFFFFFF
            state[i] = value
        state[0] = 624  # all words are used up: the first draw makes new ones
        self._bits = np.random.MT19937()
        self.go_to(state)

    @property
    def position(self) -> IntArray:
        """Number of words used, and the 624 words as R's signed integers."""
        state: Any = self._bits.state["state"]
        return np.concatenate([[state["pos"]], state["key"].view(np.int32)]).astype(np.int64)

    def go_to(self, values: npt.NDArray[Any]) -> None:
        """Go on from a :attr:`position`."""
        key = values[1:].astype(np.int64).astype(np.uint32)
        self._bits.state = {"bit_generator": "MT19937", "state": {"key": key, "pos": int(values[0])}}

    def take(self, n: int) -> npt.NDArray[np.uint64]:
        """The next n words, (n,) unsigned integers below 2³²."""
        return np.asarray(self._bits.random_raw(n))

    def uniform(self, n: int) -> FloatArray:
        """``runif(n)``, (n,) floats strictly between 0 and 1."""
        words = self.take(n)
        u = words * _BIT
        u[words == 0] = _NEVER_ZERO
        return np.asarray(u, dtype=np.float64)
