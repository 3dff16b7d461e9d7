"""R's default random integers: Mersenne Twister with rejection sampling (R ≥ 3.6), reproduced from a seed.

Both engines can so use the same draws without moving them between processes. Source: R's documentation of
``RNGkind`` and ``sample`` (``set.seed`` scrambles the seed with the congruential generator 69069·s + 1).
"""

from __future__ import annotations

import numpy as np

from ivbridge.records import FloatArray, IntArray

__all__ = ["RRandom"]

_TWO32 = 2.3283064365386963e-10  # R's constant for turning 32 bits into (0, 1)
_WORD_BITS = 16


class RRandom:
    """A stream equal to R's after ``set.seed(seed)``.

    Parameters
    ----------
    seed : int
        As for ``set.seed``; a 32-bit integer.
    """

    def __init__(self, seed: int) -> None:
        state = np.empty(625, dtype=np.uint64)
        value = seed & 0xFFFFFFFF
        for _ in range(50):
            value = (69069 * value + 1) & 0xFFFFFFFF
        for i in range(625):
            value = (69069 * value + 1) & 0xFFFFFFFF
            state[i] = value
        self._bits = np.random.RandomState()
        # the first word is R's position counter, which set.seed resets to 624: "all used up"
        self._bits.set_state(("MT19937", state[1:].astype(np.uint32), 624, 0, 0.0))

    def uniform(self, size: int) -> FloatArray:
        """``runif(size)``, (size,) floats strictly inside (0, 1)."""
        words = self._bits.randint(0, 2**32, size=size, dtype=np.uint32)
        return np.asarray(np.clip(words * _TWO32, 0.5 * _TWO32, 1 - 0.5 * _TWO32))

    def indices(self, bound: int, size: int) -> IntArray:
        """``sample.int(bound, size, replace = TRUE) - 1``, (size,) integers in [0, bound).

        Each candidate takes ⌊bits/16⌋ + 1 uniforms of 16 bits, keeps the low ``bits`` bits, and is drawn again while it
        is not below ``bound``.
        """
        bits = int(np.ceil(np.log2(bound)))
        words = bits // _WORD_BITS + 1
        found: list[IntArray] = []
        count = 0
        while count < size:
            # asking for exactly the missing number keeps the stream aligned with R's one-by-one rejection
            parts = np.floor(self.uniform((size - count) * words) * 65536).astype(np.int64).reshape(-1, words)
            candidate = np.zeros(len(parts), dtype=np.int64)
            for j in range(words):
                candidate = candidate * 65536 + parts[:, j]
            candidate &= (1 << bits) - 1
            accepted = candidate[candidate < bound]
            found.append(accepted)
            count += len(accepted)
        return np.concatenate(found)
