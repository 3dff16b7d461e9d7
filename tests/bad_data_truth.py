"""Two-stage least squares in exact rational arithmetic: what any engine must find, to the last digit.

Every float is a fraction, so coefficients and variances of a small data set are computed without a rounding error:
classical, HC0, HC1 and one-way clustered covariances, with weights. The formulas are the textbook's (Wooldridge 2010,
sections 5.2 and 8.3), with the small-sample factors that R's sandwich documents.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np

Rows = list[list[Fraction]]


def exact(values: np.ndarray) -> Rows:
    """The floats of a matrix (n, k) or vector (n,) as fractions."""
    matrix = values[:, None] if values.ndim == 1 else values
    return [[Fraction(float(v)) for v in row] for row in matrix]


def times(a: Rows, b: Rows) -> Rows:
    """Matrix product."""
    columns = list(zip(*b, strict=True))
    return [[sum((p * q for p, q in zip(row, column, strict=True)), Fraction(0)) for column in columns] for row in a]


def turned(a: Rows) -> Rows:
    """Transpose."""
    return [list(column) for column in zip(*a, strict=True)]


def solved(a: Rows, b: Rows) -> Rows:
    """A⁻¹B by Gauss and Jordan; the pivot is the first entry that is not zero, which is enough without rounding."""
    size = len(a)
    work = [list(left) + list(right) for left, right in zip(a, b, strict=True)]
    for j in range(size):
        pivot = next(i for i in range(j, size) if work[i][j] != 0)
        work[j], work[pivot] = work[pivot], work[j]
        work[j] = [value / work[j][j] for value in work[j]]
        for i in range(size):
            if i != j and (factor := work[i][j]):
                work[i] = [value - factor * top for value, top in zip(work[i], work[j], strict=True)]
    return [row[size:] for row in work]


def identity(size: int) -> Rows:
    """The unit matrix."""
    return [[Fraction(int(i == j)) for j in range(size)] for i in range(size)]


def root(value: Fraction) -> float:
    """Square root, correctly rounded but for the last bit."""
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = 60, -(10**6), 10**6
        return float((Decimal(value.numerator) / Decimal(value.denominator)).sqrt())


def two_stage(
    y: np.ndarray, x: np.ndarray, z: np.ndarray, weights: np.ndarray, vcov: str, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Coefficients (k,) and standard errors (k,) of 2SLS of y (n,) on x (n, k) with instruments z (n, l).

    The standard errors are None for a covariance other than ``classical``, ``HC0``, ``HC1`` and ``cluster``.
    """
    y_, x_, z_, w = exact(y), exact(x), exact(z), [row[0] for row in exact(weights)]
    n, k = x.shape
    weighted = [[weight * value for value in row] for weight, row in zip(w, z_, strict=True)]
    zw = turned(weighted)
    projected = times(z_, solved(times(zw, z_), times(zw, x_)))
    pw = turned([[weight * value for value in row] for weight, row in zip(w, projected, strict=True)])
    coef = solved(times(pw, x_), times(pw, y_))
    rest = [row[0] - fit[0] for row, fit in zip(y_, times(x_, coef), strict=True)]
    found = np.array([float(row[0]) for row in coef])
    bread = solved(times(pw, projected), identity(k))
    scores = [[weight * e * p for p in row] for weight, e, row in zip(w, rest, projected, strict=True)]
    if vcov == "classical":
        s2 = sum((weight * e * e for weight, e in zip(w, rest, strict=True)), Fraction(0)) / (n - k)
        cov = [[s2 * value for value in row] for row in bread]
    elif vcov in ("HC0", "HC1"):
        factor = Fraction(n, n - k) if vcov == "HC1" else Fraction(1)
        cov = _sandwich(bread, scores, factor)
    elif vcov == "cluster" and groups is not None:
        members = {g: [row for row, h in zip(scores, groups, strict=True) if h == g] for g in set(groups.tolist())}
        sums = [[sum(column, Fraction(0)) for column in zip(*rows, strict=True)] for rows in members.values()]
        cov = _sandwich(bread, sums, Fraction(len(sums), len(sums) - 1))
    else:
        return found, None
    return found, np.array([root(cov[j][j]) for j in range(k)])


def _sandwich(bread: Rows, scores: Rows, factor: Fraction) -> Rows:
    meat = [[factor * value for value in row] for row in times(turned(scores), scores)]
    return times(times(bread, meat), bread)
