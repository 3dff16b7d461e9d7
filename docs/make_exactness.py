"""Print the table "which side is closer" of docs/explanation/rounding.md: engines against exact rational arithmetic.

Run ``python docs/make_exactness.py``; it needs R. The model matrices are taken as they are, bit for bit, and the two-stage
least-squares coefficients are then computed in fractions, so the only error left is the engines' own.
"""

from __future__ import annotations

import sys
from fractions import Fraction
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from make_reliability import part  # noqa: E402

import ivbridge  # noqa: E402
from ivbridge.records import Seen  # noqa: E402
from tests.digits_cases import correct_digits  # noqa: E402
from tests.rational import cross, solve  # noqa: E402

MODELS = (
    ("cigarettes_sw", "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax", "the demand model above"),
    ("card", "lwage ~ educ + exper | nearc4 + exper", "wages on schooling, instrument nearc4"),
    ("mroz", "log(wage) ~ educ + exper + expersq | motheduc + fatheduc + exper + expersq",
     "wages on schooling, parents' education"),
)  # fmt: skip


def coefficients(seen: Seen) -> list[Fraction]:
    """(X'Z (Z'Z)⁻¹ Z'X)⁻¹ X'Z (Z'Z)⁻¹ Z'y, exactly."""
    x, y, z = ([[Fraction(v) for v in row] for row in m.tolist()] for m in (seen.x, seen.y[:, None], seen.z))
    zx, zy = cross(z, x), cross(z, y)
    first = solve(cross(z, z), [[*a, *b] for a, b in zip(zx, zy, strict=True)])
    k = len(zx[0])
    projected = cross(zx, first)
    return [row[0] for row in solve([row[:k] for row in projected], [row[k:] for row in projected])]


def main() -> None:
    """Print the table."""
    linearmodels = part("digits").by_linearmodels
    print("| data and model | condition number of X | AER | native | linearmodels called directly |")
    print("| --- | --- | --- | --- | --- |")
    for name, formula, words in MODELS:
        data = ivbridge.load(name).frame
        data = data[data.inlf == 1] if name == "mroz" else data
        r, native = (ivbridge.fit(formula, data, "classical", engine) for engine in ("r", "native"))
        assert r.terms == native.terms
        exact = coefficients(native.seen)
        found = (r.coefs.estimate, native.coefs.estimate, linearmodels(native.seen).estimate)
        scaled = native.seen.x / np.linalg.norm(native.seen.x, axis=0)
        digits = " | ".join(f"{correct_digits(values, exact):.1f}" for values in found)
        print(f"| `{name}`, {words} | {np.linalg.cond(scaled):.1e} | {digits} |")


if __name__ == "__main__":
    main()
