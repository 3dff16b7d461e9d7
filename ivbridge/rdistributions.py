"""From uniforms to draws of other distributions, by the published algorithms that R names in its documentation.

Each function takes from the stream exactly the uniforms that R would use, in their order, so that the stream stays
aligned: a draw that is rejected or needs more is continued with what comes next, never with what was taken ahead.
Logarithms come from the C library, as in R: numpy's own differ in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ivbridge.records import FloatArray, IntArray

__all__ = ["Uniforms", "binomial", "exponential", "normal", "normal_quantile"]

#: The next n numbers of the stream.
Uniforms = Callable[[int], FloatArray]

# Wichura (1988), algorithm AS 241, routine PPND16: numerators and denominators of three rational functions,
# the coefficient of the highest power first.
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_MIDDLE = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip


_BIG = 134217728.0  # 2^27


def normal(n: int, uniforms: Uniforms) -> FloatArray:
    """Standard normal draws, (n,), R's ``rnorm(n)``: quantiles at 27 bits of one uniform and all of the next."""
    u = uniforms(2 * n)
    return normal_quantile((np.floor(_BIG * u[::2]) + u[1::2]) / _BIG)


def normal_quantile(p: FloatArray) -> FloatArray:
    """Quantiles of the standard normal distribution, R's ``qnorm(p)``, (n,) from probabilities in [0, 1].

    Source: M. J. Wichura (1988), "Algorithm AS 241: the percentage points of the normal distribution", Applied
    Statistics 37, 477-484.
    """
    q = p - 0.5
    out = np.empty_like(q)
    centre = np.abs(q) <= 0.425
    inner = q[centre]
    out[centre] = _rational(0.180625 - inner * inner, _CENTRE, inner)
    out[p == 0], out[p == 1] = -np.inf, np.inf
    sides = ~centre & (p > 0) & (p < 1)
    r = np.sqrt(-_log(np.minimum(p, 1 - p)[sides]))
    middle = r <= 5
    value = np.empty_like(r)
    value[middle] = _rational(r[middle] - 1.6, _MIDDLE)
    value[~middle] = _rational(r[~middle] - 5, _TAIL)
    out[sides] = np.where(q[sides] < 0, -value, value)
    return out


def _rational(
    r: FloatArray, coefficients: tuple[tuple[float, ...], tuple[float, ...]], factor: FloatArray | float = 1.0
) -> FloatArray:
    """factor · top(r) / bottom(r); the factor goes first into the numerator, which decides the last bit."""
    top, bottom = (_horner(r, one) for one in coefficients)
    return np.asarray(factor * top / bottom)


def _horner(r: FloatArray, coefficients: tuple[float, ...]) -> FloatArray:
    total = np.full_like(r, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= r
        total += coefficient
    return total


def _log(x: FloatArray) -> FloatArray:
    return np.fromiter(map(math.log, x.tolist()), dtype=np.float64, count=len(x))


#: Sums of (ln 2)^k / k!, k = 1 … 16: the distribution function of the number of uniforms that a draw compares.
_EXPONENTIAL = np.array(
    [0.6931471805599453, 0.933373687519046, 0.9888777961838676, 0.9984959252914961, 0.9998292811061389,
     0.9999833164100728, 0.9999985691438767, 0.9999998906925558, 0.9999999924734159, 0.9999999995283275,
     0.9999999999728814, 0.9999999999985598, 0.999999999999929, 0.9999999999999968, 0.9999999999999999, 1.0]
)  # fmt: skip
_LN2 = math.log(2)


def exponential(n: int, uniforms: Uniforms) -> FloatArray:
    """Standard exponential draws, (n,), R's ``rexp(n)``.

    Source: J. H. Ahrens & U. Dieter (1972), "Computer methods for sampling from the exponential and normal
    distributions", Communications of the ACM 15, 873-882, algorithm SA: the first uniform's leading zeros give the
    multiple of ln 2; the rest of it is the remainder, or decides of how many further uniforms the smallest is.
    """
    steps = np.cumsum(np.r_[0.0, np.full(64, _LN2)])
    pieces, taken, missing = [np.empty(0)], np.empty(0), n
    while missing:
        # every missing draw needs at least one uniform that is not there yet
        taken = np.concatenate([taken, uniforms(missing)])
        mantissa, exponent = np.frexp(taken)
        doublings = np.where(mantissa > 0.5, 1 - exponent, 2 - exponent)
        rest = np.ldexp(taken, doublings) - 1
        further = np.searchsorted(_EXPONENTIAL, rest, side="left")
        length = np.where(further > 0, further + 2, 1)
        starts, end = _starts(length)
        smallest = np.ones(len(starts))
        for j in range(1, int(length[starts].max(initial=1))):
            has = length[starts] > j
            smallest[has] = np.minimum(smallest[has], taken[starts[has] + j])
        remainder = np.where(further[starts] > 0, smallest * _LN2, rest[starts])
        pieces.append(steps[doublings[starts] - 1] + remainder)
        taken, missing = taken[end:], missing - len(starts)
    return np.concatenate(pieces)


def _starts(length: IntArray) -> tuple[IntArray, int]:
    """Where the draws begin if the first begins at 0 and each is so long as stands at its beginning, and their end."""
    lengths: list[int] = length.tolist()
    found, at = [], 0
    while at < len(lengths) and at + lengths[at] <= len(lengths):
        found.append(at)
        at += lengths[at]
    return np.array(found, dtype=np.int64), at


_INVERTED_BELOW = 30


def binomial(size: IntArray, prob: FloatArray, uniforms: Uniforms) -> IntArray:
    """One binomial draw for each size and probability, (n,), R's ``rbinom``; certain outcomes take no uniform.

    Where min(size·prob, size·(1 − prob)) is below 30 the distribution function is inverted, otherwise algorithm BTPE is
    used. Source: V. Kachitvichyanukul & B. W. Schmeiser (1988), "Binomial random variate generation", Communications of
    the ACM 31, 216-222.
    """
    p = np.minimum(prob, 1 - prob)
    successes = np.zeros(len(size), dtype=np.int64)
    uncertain = np.flatnonzero((size > 0) & (p > 0))
    large = size * p >= _INVERTED_BELOW
    for run in np.split(uncertain, np.flatnonzero(np.diff(large[uncertain])) + 1):
        if large[run].any():
            successes[run] = _many(size[run].tolist(), p[run].tolist(), uniforms)
        else:
            successes[run] = _few(size[run], p[run], uniforms)
    return np.where(prob > 0.5, size - successes, successes)


def _few(size: IntArray, p: FloatArray, uniforms: Uniforms) -> IntArray:
    """Inversion: take off one probability after the other until less is left than the next."""
    odds = p / (1 - p)
    growth = odds * (size + 1)
    probability, left = _power(1 - p, size), uniforms(len(size))
    out = np.zeros(len(size), dtype=np.int64)
    open_ = np.flatnonzero(left >= probability)
    k = 0
    while len(open_):
        left[open_] -= probability[open_]
        k += 1
        out[open_] = k
        probability[open_] *= growth[open_] / k - odds[open_]
        open_ = open_[left[open_] >= probability[open_]]
    return out


def _power(base: FloatArray, exponent: IntArray) -> FloatArray:
    """Squares and multiplies: not the C library's pow, whose last bit differs."""
    out, square, rest = np.ones_like(base), base.copy(), exponent.copy()
    while rest.any():
        out = np.where(rest & 1, out * square, out)
        square, rest = square * square, rest >> 1
    return out


def _many(size: list[int], p: list[float], uniforms: Uniforms) -> list[int]:
    """Rejection: every attempt takes two uniforms."""
    out: list[int] = []
    while len(out) < len(size):
        for u, v in uniforms(2 * (len(size) - len(out))).reshape(-1, 2).tolist():
            i = len(out)
            found = _hat(size[i], p[i]).attempt(u, v)
            if found is not None:
                out.append(found)
    return out


@dataclass(frozen=True, slots=True)
class _Hat:
    """BTPE's majorising function: triangle, parallelogram and two exponential tails, in the paper's letters."""

    n: int
    p: float
    q: float
    mode: int
    npq: float
    p1: float
    p2: float
    p3: float
    p4: float
    c: float
    x_l: float
    x_r: float
    lambda_l: float
    lambda_r: float

    def attempt(self, u: float, v: float) -> int | None:
        """The value that two uniforms give, or None where they are rejected."""
        u *= self.p4
        x_m = self.mode + 0.5
        if u <= self.p1:
            return int(x_m - self.p1 * v + u)
        if u <= self.p2:
            x = self.x_l + (u - self.p1) / self.c
            v = v * self.c + 1.0 - abs(x_m - x) / self.p1
            if v > 1.0 or v <= 0.0:
                return None
            y = int(x)
        elif u > self.p3:
            y = int(self.x_r - math.log(v) / self.lambda_r)
            if y > self.n:
                return None
            v *= (u - self.p3) * self.lambda_r
        else:
            y = int(self.x_l + math.log(v) / self.lambda_l)
            if y < 0:
                return None
            v *= (u - self.p2) * self.lambda_l
        return y if self._accepts(y, v) else None

    def _accepts(self, y: int, v: float) -> bool:
        """Whether v is at most f(y) / f(mode)."""
        k = abs(y - self.mode)
        if k <= 20 or k >= self.npq / 2 - 1:
            return v <= self._ratio(y)
        rho = (k / self.npq) * ((k * (k / 3.0 + 0.625) + 0.1666666666666) / self.npq + 0.5)
        t = -(float(k) * k) / (2.0 * self.npq)
        a = math.log(v)
        if a < t - rho:
            return True
        return a <= t + rho and a <= self._log_ratio(y)

    def _ratio(self, y: int) -> float:
        odds = self.p / self.q
        growth, f = odds * (self.n + 1), 1.0
        for i in range(self.mode + 1, y + 1):
            f *= growth / i - odds
        for i in range(y + 1, self.mode + 1):
            f /= growth / i - odds
        return f

    def _log_ratio(self, y: int) -> float:
        """By Stirling's formula."""
        x1, f1, z, w = y + 1.0, self.mode + 1.0, self.n + 1.0 - self.mode, self.n - y + 1.0
        return (
            (self.mode + 0.5) * math.log(f1 / x1)
            + (self.n - self.mode + 0.5) * math.log(z / w)
            + (y - self.mode) * math.log(w * self.p / (x1 * self.q))
            + _stirling(f1)
            + _stirling(z)
            + _stirling(x1)
            + _stirling(w)
        )


def _stirling(x: float) -> float:
    square = x * x
    return (13860.0 - (462.0 - (132.0 - (99.0 - 140.0 / square) / square) / square) / square) / x / 166320.0


@lru_cache(maxsize=1024)
def _hat(n: int, p: float) -> _Hat:
    q = 1 - p
    f_m = n * p + p
    mode = int(f_m)
    npq = n * p * q
    p1 = int(2.195 * math.sqrt(npq) - 4.6 * q) + 0.5
    x_l, x_r = mode + 0.5 - p1, mode + 0.5 + p1
    c = 0.134 + 20.5 / (15.3 + mode)
    left, right = (f_m - x_l) / (f_m - x_l * p), (x_r - f_m) / (x_r * q)
    lambda_l, lambda_r = left * (1.0 + 0.5 * left), right * (1.0 + 0.5 * right)
    p2 = p1 * (1.0 + c + c)
    p3 = p2 + c / lambda_l
    return _Hat(n, p, q, mode, npq, p1, p2, p3, p3 + c / lambda_r, c, x_l, x_r, lambda_l, lambda_r)
