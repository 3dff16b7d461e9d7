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

from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ivbridge.errors import DataError, UnsupportedError
from ivbridge.rdistributions import binomial, exponential, normal
from ivbridge.records import FloatArray, IntArray
from ivbridge.rintegers import Integers
from ivbridge.rweighted import with_replacement, without_replacement
from ivbridge.rwords import Words

__all__ = ["RRandom", "SampleKind"]

SampleKind = Literal["Rejection", "Rounding"]

_LARGEST_INT = 2**31 - 1
_LARGEST_COUNT = 4_500_000_000_000_000  # R's sample() goes no further
_LARGEST_VARIANCE = 20_000_000
_CODES: dict[SampleKind, int] = {"Rejection": 10403, "Rounding": 403}
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
        self.sample_kind = sample_kind
        self._words = Words(int(seed))
        self._integers = Integers(self._words, rejects=sample_kind == "Rejection")

    @classmethod
    def resume(cls, random_seed: npt.ArrayLike) -> RRandom:
        """Go on where an R session is.

        Parameters
        ----------
        random_seed : (626,) array
            R's ``.Random.seed``, integers.

        Raises
        ------
        DataError
            If it is not the state of a Mersenne Twister with normal numbers by inversion.
        """
        state = np.asarray(random_seed)
        kinds = {code: kind for kind, code in _CODES.items()}
        whole = state.shape == (626,) and state.dtype.kind in "iu"
        if not whole or int(state[0]) not in kinds or not 1 <= state[1] <= 624:
            raise DataError(
                "This is no .Random.seed of R's default generator.",
                available="626 integers that begin with 10403 (Rejection) or 403 (Rounding)",
                do='in R: RNGkind("Mersenne-Twister", "Inversion").',
            )
        random = cls(0, kinds[int(state[0])])
        random._words.go_to(state[1:])
        return random

    @property
    def random_seed(self) -> IntArray:
        """R's ``.Random.seed`` after the same calls, (626,) integers; assign it in R to go on there."""
        return np.concatenate([[_CODES[self.sample_kind]], self._words.position])

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
        out[drawn] += (high - low)[drawn] * self._words.uniform(int(drawn.sum()))
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
        out[drawn] += scale[drawn] * normal(int(drawn.sum()), self._words.uniform)
        return out

    def rexp(self, n: int, rate: npt.ArrayLike = 1.0) -> FloatArray:
        """``rexp(n, rate)``, (n,) floats.

        Raises
        ------
        DataError
            If a rate is not above 0, or not finite.
        """
        (rates,) = _recycled(n, rate=rate)
        if (rates <= 0).any():
            raise DataError("rexp: a rate is not above 0.")
        return 1 / rates * exponential(len(rates), self._words.uniform)

    def rbinom(self, n: int, size: npt.ArrayLike, prob: npt.ArrayLike) -> IntArray:
        """``rbinom(n, size, prob)``, (n,) integers; nothing is drawn where the outcome is certain.

        Raises
        ------
        DataError
            If a size is not a whole number from 0 to 2³¹ - 2, or a probability not between 0 and 1.
        UnsupportedError
            If a variance size·prob·(1 - prob) is above 20 million: R's own integers overflow there.
        """
        sizes, probs = _recycled(n, size=size, prob=prob)
        if not ((sizes >= 0) & (sizes < _LARGEST_INT) & (sizes == np.floor(sizes))).all():
            raise DataError("rbinom: a size is not a whole number from 0 to 2^31 - 2.")
        if not ((probs >= 0) & (probs <= 1)).all():
            raise DataError("rbinom: a probability is not between 0 and 1.")
        if (sizes * probs * (1 - probs) > _LARGEST_VARIANCE).any():
            raise UnsupportedError(
                "rbinom: R's integers overflow for so large a size.", available="size*prob*(1 - prob) up to 20 million"
            )
        return binomial(sizes.astype(np.int64), probs, self._words.uniform)

    def sample(
        self,
        x: int | npt.ArrayLike,
        size: int | None = None,
        replace: bool = False,
        prob: npt.ArrayLike | None = None,
    ) -> npt.NDArray[Any]:
        """``sample(x, size, replace, prob)``, (size,) values.

        Parameters
        ----------
        x : int or (m,) array
            A whole number m ≥ 1 stands for 1 … m, as in R. An array stands for its values, also one of length 1, where
            R would count up to it.
        size : int, optional
            Default: m.
        replace : bool, default False
        prob : (m,) array, optional
            Weights, which need not sum to one. Default: all equal.

        Raises
        ------
        DataError
            If there is nothing to draw from, or, without replacement, not enough; if weights are negative or missing;
            if `x` is a single number that is not whole.
        """
        values = None if _is_integer(x) else np.asarray(x)
        if values is not None and values.ndim == 0:
            raise DataError(f"sample: x={x!r} is neither a whole number nor an array.")
        m = _count(x, "x") if values is None else len(np.atleast_1d(values))
        k = m if size is None else _count(size, "size")
        if m < 1 and k > 0:
            raise DataError(f"sample: {k} of {m} values were asked.")
        if k > m and not replace:
            raise DataError(f"sample: {k} of {m} values were asked without replacement.", do="use replace=True.")
        if prob is not None:
            weights = _probabilities(prob, m, 1 if replace else k)
            if replace:
                index = with_replacement(weights, k, self._words.uniform, self._integers.rejects)
            else:
                index = without_replacement(weights, k, self._words.uniform)
        elif replace or k < 2:
            index = self._integers.below(m, k)
        elif m > _HASHED_ABOVE and k <= m / 2:
            index = self._integers.distinct(m, k)
        else:
            index = self._integers.shuffled(m, k)
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
        return values[self._integers.permutations(len(values), count)]


def _is_integer(x: object) -> bool:
    return isinstance(x, int | np.integer) and not isinstance(x, bool)


def _count(x: Any, name: str) -> int:
    if not _is_integer(x) or not 0 <= x <= _LARGEST_COUNT:
        raise DataError(f"{name}={x!r} is not a whole number from 0 to 4.5e15.")
    return int(x)


def _probabilities(weights: npt.ArrayLike, m: int, needed: int) -> FloatArray:
    """Weights that sum to one; at least so many must be positive as are needed."""
    prob = np.asarray(weights, dtype=np.float64)
    if prob.shape != (m,) or not (np.isfinite(prob) & (prob >= 0)).all():
        raise DataError(f"sample: prob must hold {m} finite numbers that are not negative.")
    if int((prob > 0).sum()) < needed:
        raise DataError(f"sample: {needed} values were asked, {int((prob > 0).sum())} have a positive prob.")
    return np.asarray(prob / np.cumsum(prob)[-1])


def _recycled(n: int, **parameters: npt.ArrayLike) -> list[FloatArray]:
    """Parameters repeated to length n, as R repeats them."""
    size, out = _count(n, "n"), []
    for name, value in parameters.items():
        given = np.atleast_1d(np.asarray(value, dtype=np.float64))
        if given.ndim != 1 or len(given) == 0 or not np.isfinite(given).all():
            raise DataError(f"{name} must be one finite number or a row of them.")
        out.append(np.resize(given, size))
    return out
