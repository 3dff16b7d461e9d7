"""Print the table "which side is closer" of docs/explanation/rounding.md: engines against exact rational arithmetic.

Run ``python docs/make_exactness.py``; it needs R. The model matrices are taken as they are, bit for bit, and the two-stage
least-squares coefficients are then computed in fractions, so the only error left is the engines' own.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

import ivbridge
from ivbridge.records import Seen

MODELS = (
    ("cigarettes_sw", "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax", "the demand model above"),
    ("card", "lwage ~ educ + exper | nearc4 + exper", "wages on schooling, instrument nearc4"),
    ("mroz", "log(wage) ~ educ + exper + expersq | motheduc + fatheduc + exper + expersq",
     "wages on schooling, parents' education"),
)  # fmt: skip

Matrix = list[list[Fraction]]


def _exact(values: np.ndarray) -> Matrix:
    return [[Fraction(float(value)) for value in row] for row in np.atleast_2d(values.T).T]


def _cross(a: Matrix, b: Matrix) -> Matrix:
    rows = list(zip(a, b, strict=True))
    return [[sum((x[i] * y[j] for x, y in rows), Fraction()) for j in range(len(b[0]))] for i in range(len(a[0]))]


def _solve(a: Matrix, b: Matrix) -> Matrix:
    """Gauss–Jordan elimination in fractions."""
    work = [[*row, *right] for row, right in zip(a, b, strict=True)]
    for i in range(len(work)):
        pivot = next(j for j in range(i, len(work)) if work[j][i] != 0)
        work[i], work[pivot] = work[pivot], work[i]
        work[i] = [value / work[i][i] for value in work[i]]
        for j, row in enumerate(work):
            if j != i:
                work[j] = [value - row[i] * top for value, top in zip(row, work[i], strict=True)]
    return [row[len(a) :] for row in work]


def coefficients(seen: Seen) -> list[Fraction]:
    """(X'Z (Z'Z)⁻¹ Z'X)⁻¹ X'Z (Z'Z)⁻¹ Z'y, exactly."""
    x, y, z = _exact(seen.x), _exact(seen.y[:, None]), _exact(seen.z)
    zx, zy = _cross(z, x), _cross(z, y)
    first = _solve(_cross(z, z), [[*a, *b] for a, b in zip(zx, zy, strict=True)])
    k = len(zx[0])
    projected = _cross(zx, first)
    return [row[0] for row in _solve([row[:k] for row in projected], [row[k:] for row in projected])]


def digits(estimate: ivbridge.Estimate, exact: list[Fraction]) -> float:
    """Correct digits of the worst coefficient."""
    pairs = zip(estimate.coefs.estimate, exact, strict=True)
    return -math.log10(max(abs(float((Fraction(float(found)) - true) / true)) for found, true in pairs) + 1e-17)


def main() -> None:
    """Print the table."""
    print("| data and model | condition number of X | AER | linearmodels |\n| --- | --- | --- | --- |")
    for name, formula, words in MODELS:
        data = ivbridge.load(name).frame
        data = data[data.inlf == 1] if name == "mroz" else data
        r, native = (ivbridge.fit(formula, data, "classical", engine) for engine in ("r", "native"))
        exact = coefficients(native.seen)
        by_name = dict(zip(native.terms, exact, strict=True))
        scaled = native.seen.x / np.linalg.norm(native.seen.x, axis=0)
        aer = digits(r, [by_name[term] for term in r.terms])
        print(f"| `{name}`, {words} | {np.linalg.cond(scaled):.1e} | {aer:.1f} | {digits(native, exact):.1f} |")


if __name__ == "__main__":
    main()
