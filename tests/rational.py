"""Two-stage least squares in exact rational arithmetic: what any engine must find, to the last digit.

Every float is a fraction, so coefficients and variances of a small data set are computed without a rounding error. The
formulas are the textbook's (Wooldridge 2010, sections 5.2 and 8.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

__all__ = ["Fit", "Rows", "cross", "fitted", "fractions_of", "root", "sandwich", "solve", "times"]

Rows = list[list[Fraction]]


@dataclass(frozen=True)
class Fit:
    """Coefficients, residual variance s² = Σwe²/(n − k), (P'WP)⁻¹ and the scores wᵢeᵢPᵢ, P the projected regressors."""

    coef: list[Fraction]
    variance: Fraction
    bread: Rows
    scores: Rows


def fitted(y: list[Fraction], x: Rows, z: Rows, weights: list[Fraction] | None = None) -> Fit:
    """Two-stage least squares of y (n,) on x (n, k) with instruments z (n, l), weights (n,) or all one."""
    n, k = len(x), len(x[0])
    w = weights or [Fraction(1)] * n
    weighted = [[weight * value for value in row] for weight, row in zip(w, z, strict=True)]
    projected = times(z, solve(cross(weighted, z), cross(weighted, x)))
    p = [[weight * value for value in row] for weight, row in zip(w, projected, strict=True)]
    coef = [row[0] for row in solve(cross(p, x), cross(p, [[value] for value in y]))]
    rest = [value - sum(a * b for a, b in zip(row, coef, strict=True)) for value, row in zip(y, x, strict=True)]
    return Fit(
        coef,
        sum((weight * e * e for weight, e in zip(w, rest, strict=True)), Fraction()) / (n - k),
        solve(cross(p, projected), [[Fraction(int(i == j)) for j in range(k)] for i in range(k)]),
        [[e * value for value in row] for e, row in zip(rest, p, strict=True)],
    )


def sandwich(bread: Rows, scores: Rows, factor: Fraction) -> Rows:
    """The factor times bread · scores'scores · bread."""
    return times(times(bread, [[factor * value for value in row] for row in cross(scores, scores)]), bread)


def fractions_of(values: Any) -> Rows:
    """The floats of a matrix (n, k) or vector (n,) as fractions; a vector becomes one column."""
    matrix = np.asarray(values, dtype=float)
    return [[Fraction(v) for v in row] for row in (matrix[:, None] if matrix.ndim == 1 else matrix).tolist()]


def cross(a: Rows, b: Rows) -> Rows:
    """A'B."""
    return times([list(column) for column in zip(*a, strict=True)], b)


def times(a: Rows, b: Rows) -> Rows:
    """AB."""
    columns = list(zip(*b, strict=True))
    return [[sum((p * q for p, q in zip(row, column, strict=True)), Fraction()) for column in columns] for row in a]


def solve(a: Rows, b: Rows) -> Rows:
    """A⁻¹B by Gauss and Jordan; the pivot is the first entry that is not zero, which is enough without rounding."""
    size = len(a)
    work = [[*left, *right] for left, right in zip(a, b, strict=True)]
    for j in range(size):
        pivot = next(i for i in range(j, size) if work[i][j] != 0)
        work[j], work[pivot] = work[pivot], work[j]
        work[j] = [value / work[j][j] for value in work[j]]
        for i in range(size):
            if i != j and (factor := work[i][j]):
                work[i] = [value - factor * top for value, top in zip(work[i], work[j], strict=True)]
    return [row[size:] for row in work]


def root(value: Fraction) -> Fraction:
    """Square root to 60 digits."""
    scale = 10**60
    # both parts scaled so that the integer root keeps its digits whatever the size
    shift = max(0, value.denominator.bit_length() - value.numerator.bit_length()) // 2 + 200
    inside = value.numerator * 4**shift * scale**2 // value.denominator
    return Fraction(math.isqrt(inside), 2**shift * scale)
