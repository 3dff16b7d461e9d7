"""From uniforms to draws of other distributions, by the published algorithms that R names in its documentation.

Each function takes the uniforms that R would have used, in their order, so that the caller can keep the stream aligned.
Logarithms come from the C library, as in R: numpy's own differ in the last bit.
"""

from __future__ import annotations

import math

import numpy as np

from ivbridge.records import FloatArray

__all__ = ["normal_quantile"]

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


def normal_quantile(p: FloatArray) -> FloatArray:
    """Quantiles of the standard normal distribution, R's ``qnorm(p)``, (n,) from probabilities in (0, 1).

    Source: M. J. Wichura (1988), "Algorithm AS 241: the percentage points of the normal distribution", Applied
    Statistics 37, 477-484.
    """
    q = p - 0.5
    out = np.empty_like(q)
    centre = np.abs(q) <= 0.425
    inner = q[centre]
    out[centre] = _rational(0.180625 - inner * inner, _CENTRE, inner)
    sides = ~centre
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
