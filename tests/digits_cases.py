"""How many digits are right: NIST's reference regressions, IV designs of known condition, and exact arithmetic.

Observations and certified values are those of NIST's Statistical Reference Datasets, linear regression
(https://www.itl.nist.gov/div898/strd/lls/lls.shtml); tests/test_digits.py solves each of them in fractions and compares
all certified digits, so that no slip of typing survives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd

from tests.rational import Rows, fitted, fractions_of, root, sandwich

__all__ = [
    "CASES",
    "CERTIFIED_DIGITS",
    "DESIGNS",
    "NIST",
    "ORDERED",
    "Case",
    "Exact",
    "correct_digits",
    "exact",
    "exact_solution",
    "polynomial",
]

#: Digits to which NIST certifies; no more can be scored against them.
CERTIFIED_DIGITS = 15
#: Digits of double precision, −log₁₀ of the unit roundoff 2⁻⁵³: no more can be scored against exact arithmetic.
DOUBLE_DIGITS = 53 * math.log10(2)


@dataclass(frozen=True)
class Case:
    """A regression and what is known of it.

    Attributes
    ----------
    name, formula : str
    make : callable
        Gives the data frame.
    certified : tuple of (str, str)
        Coefficient and standard error of each term in NIST's words; empty where NIST certifies nothing.
    sigma : str
        NIST's residual standard deviation.
    condition : float
        What the design was made for; NaN for NIST's sets.
    degree : int
        Of the polynomial in x; 0 where the columns are named.
    """

    name: str
    formula: str
    make: Callable[[], pd.DataFrame] = field(repr=False)
    certified: tuple[tuple[str, str], ...] = ()
    sigma: str = ""
    condition: float = math.nan
    degree: int = 0


def polynomial(degree: int) -> str:
    """``y ~ x + I(x^2) + … | x + I(x^2) + …``: least squares as an instrumental-variable question."""
    part = " + ".join(["x", *(f"I(x^{power})" for power in range(2, degree + 1))])
    return f"y ~ {part} | {part}"


def _pairs(text: str) -> Callable[[], pd.DataFrame]:
    """Numbers y x y x … as a frame."""
    values = np.array(text.split(), dtype=float).reshape(-1, 2)
    return lambda: pd.DataFrame(values, columns=["y", "x"])


NORRIS = """
0.1 0.2 338.8 337.4 118.1 118.2 888.0 884.6 9.2 10.1 228.1 226.5 668.5 666.3 998.5 996.3 449.1 448.6 778.9 777.0
559.2 558.2 0.3 0.4 0.1 0.6 778.1 775.5 668.8 666.9 339.3 338.0 448.9 447.5 10.8 11.6 557.7 556.0 228.3 228.1
998.0 995.8 888.8 887.6 119.6 120.2 0.3 0.3 0.6 0.3 557.6 556.8 339.3 339.1 888.0 887.2 998.5 999.0 778.9 779.0
10.2 11.1 117.6 118.3 228.9 229.2 668.4 669.1 449.2 448.9 0.2 0.5
"""

PONTIUS = """
.11019 150000 .21956 300000 .32949 450000 .43899 600000 .54803 750000 .65694 900000 .76562 1050000 .87487 1200000
.98292 1350000 1.09146 1500000 1.20001 1650000 1.30822 1800000 1.41599 1950000 1.52399 2100000 1.63194 2250000
1.73947 2400000 1.84646 2550000 1.95392 2700000 2.06128 2850000 2.16844 3000000 .11052 150000 .22018 300000
.32939 450000 .43886 600000 .54798 750000 .65739 900000 .76596 1050000 .87474 1200000 .98300 1350000 1.09150 1500000
1.20004 1650000 1.30818 1800000 1.41613 1950000 1.52408 2100000 1.63159 2250000 1.73965 2400000 1.84696 2550000
1.95445 2700000 2.06177 2850000 2.16829 3000000
"""

FILIP = """
0.8116 -6.860120914 0.9072 -4.324130045 0.9052 -4.358625055 0.9039 -4.358426747 0.8053 -6.955852379
0.8377 -6.661145254 0.8667 -6.355462942 0.8809 -6.118102026 0.7975 -7.115148017 0.8162 -6.815308569
0.8515 -6.519993057 0.8766 -6.204119983 0.8885 -5.853871964 0.8859 -6.109523091 0.8959 -5.79832982
0.8913 -5.482672118 0.8959 -5.171791386 0.8971 -4.851705903 0.9021 -4.517126416 0.909 -4.143573228
0.9139 -3.709075441 0.9199 -3.499489089 0.8692 -6.300769497 0.8872 -5.953504836 0.89 -5.642065153
0.891 -5.031376979 0.8977 -4.680685696 0.9035 -4.329846955 0.9078 -3.928486195 0.7675 -8.56735134
0.7705 -8.363211311 0.7713 -8.107682739 0.7736 -7.823908741 0.7775 -7.522878745 0.7841 -7.218819279
0.7971 -6.920818754 0.8329 -6.628932138 0.8641 -6.323946875 0.8804 -5.991399828 0.7668 -8.781464495
0.7633 -8.663140179 0.7678 -8.473531488 0.7697 -8.247337057 0.77 -7.971428747 0.7749 -7.676129393
0.7796 -7.352812702 0.7897 -7.072065318 0.8131 -6.774174009 0.8498 -6.478861916 0.8741 -6.159517513
0.8061 -6.835647144 0.846 -6.53165267 0.8751 -6.224098421 0.8856 -5.910094889 0.8919 -5.598599459
0.8934 -5.290645224 0.894 -4.974284616 0.8957 -4.64454848 0.9047 -4.290560426 0.9129 -3.885055584
0.9209 -3.408378962 0.9219 -3.13200249 0.7739 -8.726767166 0.7681 -8.66695597 0.7665 -8.511026475
0.7703 -8.165388579 0.7702 -7.886056648 0.7761 -7.588043762 0.7809 -7.283412422 0.7961 -6.995678626
0.8253 -6.691862621 0.8602 -6.392544977 0.8809 -6.067374056 0.8301 -6.684029655 0.8664 -6.378719832
0.8834 -6.065855188 0.8898 -5.752272167 0.8964 -5.132414673 0.8963 -4.811352704 0.9074 -4.098269308
0.9119 -3.66174277 0.9228 -3.2644011
"""

LONGLEY = """
60323 83.0 234289 2356 1590 107608 1947 61122 88.5 259426 2325 1456 108632 1948
60171 88.2 258054 3682 1616 109773 1949 61187 89.5 284599 3351 1650 110929 1950
63221 96.2 328975 2099 3099 112075 1951 63639 98.1 346999 1932 3594 113270 1952
64989 99.0 365385 1870 3547 115094 1953 63761 100.0 363112 3578 3350 116219 1954
66019 101.2 397469 2904 3048 117388 1955 67857 104.6 419180 2822 2857 118734 1956
68169 108.4 442769 2936 2798 120445 1957 66513 110.8 444546 4681 2637 121950 1958
68655 112.6 482704 3813 2552 123366 1959 69564 114.2 502601 3931 2514 125368 1960
69331 115.7 518173 4806 2572 127852 1961 70551 116.9 554894 4007 2827 130081 1962
"""

WAMPLER2 = """
1.00000 0 1.11111 1 1.24992 2 1.42753 3 1.65984 4 1.96875 5 2.38336 6 2.94117 7 3.68928 8 4.68559 9 6.00000 10
7.71561 11 9.92992 12 12.75603 13 16.32384 14 20.78125 15 26.29536 16 33.05367 17 41.26528 18 51.16209 19 63.00000 20
"""

#: What Wampler3 adds to 1 + x + … + x⁵ at x = 0, 1, …, 20; Wampler4 adds 100 times, Wampler5 10,000 times as much.
WAMPLER_NOISE = (759, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 1838, -2048, 2048,
                 -2048, 1838, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 759)  # fmt: skip


def _wampler(times: int) -> Callable[[], pd.DataFrame]:
    y = [sum(x**power for power in range(6)) + times * noise for x, noise in enumerate(WAMPLER_NOISE)]
    return lambda: pd.DataFrame({"y": np.array(y, dtype=float), "x": np.arange(21.0)})


def _longley() -> pd.DataFrame:
    values = np.array(LONGLEY.split(), dtype=float).reshape(-1, 7)
    return pd.DataFrame(values, columns=["y", *(f"x{j}" for j in range(1, 7))])


def _ones(errors: str) -> tuple[tuple[str, str], ...]:
    return tuple(("1.00000000000000", error) for error in errors.split())


_LONGLEY_PART = " + ".join(f"x{j}" for j in range(1, 7))

NIST = (
    Case("Norris", "y ~ x | x", _pairs(NORRIS), (
        ("-0.262323073774029", "0.232818234301152"), ("1.00211681802045", "0.429796848199937E-03"),
    ), "0.884796396144373", degree=1),
    Case("Pontius", polynomial(2), _pairs(PONTIUS), (
        ("0.673565789473684E-03", "0.107938612033077E-03"), ("0.732059160401003E-06", "0.157817399981659E-09"),
        ("-0.316081871345029E-14", "0.486652849992036E-16"),
    ), "0.205177424076185E-03", degree=2),
    Case("NoInt1", "y ~ x - 1 | x - 1", lambda: pd.DataFrame({"y": np.arange(130.0, 141), "x": np.arange(60.0, 71)}), (
        ("2.07438016528926", "0.165289256198347E-01"),
    ), "3.56753034006338"),
    Case("NoInt2", "y ~ x - 1 | x - 1", lambda: pd.DataFrame({"y": [3.0, 4.0, 4.0], "x": [4.0, 5.0, 6.0]}), (
        ("0.727272727272727", "0.420827318078432E-01"),
    ), "0.369274472937998"),
    Case("Filip", polynomial(10), _pairs(FILIP), (
        ("-1467.48961422980", "298.084530995537"), ("-2772.17959193342", "559.779865474950"),
        ("-2316.37108160893", "466.477572127796"), ("-1127.97394098372", "227.204274477751"),
        ("-354.478233703349", "71.6478660875927"), ("-75.1242017393757", "15.2897178747400"),
        ("-10.8753180355343", "2.23691159816033"), ("-1.06221498588947", "0.221624321934227"),
        ("-0.670191154593408E-01", "0.142363763154724E-01"), ("-0.246781078275479E-02", "0.535617408889821E-03"),
        ("-0.402962525080404E-04", "0.896632837373868E-05"),
    ), "0.334801051324544E-02", degree=10),
    # the same model in other coordinates: NIST's coefficients are others, its residual standard deviation is the same
    Case("Filip, orthogonal", "y ~ poly(x, 10) | poly(x, 10)", _pairs(FILIP), (), "0.334801051324544E-02"),
    Case("Longley", f"y ~ {_LONGLEY_PART} | {_LONGLEY_PART}", _longley, (
        ("-3482258.63459582", "890420.383607373"), ("15.0618722713733", "84.9149257747669"),
        ("-0.358191792925910E-01", "0.334910077722432E-01"), ("-2.02022980381683", "0.488399681651699"),
        ("-1.03322686717359", "0.214274163161675"), ("-0.511041056535807E-01", "0.226073200069370"),
        ("1829.15146461355", "455.478499142212"),
    ), "304.854073561965"),
    Case("Wampler1", polynomial(5), _wampler(0), _ones("0 0 0 0 0 0"), "0", degree=5),
    Case("Wampler2", polynomial(5), _pairs(WAMPLER2), (
        ("1.00000000000000", "0"), ("0.100000000000000", "0"), ("0.100000000000000E-01", "0"),
        ("0.100000000000000E-02", "0"), ("0.100000000000000E-03", "0"), ("0.100000000000000E-04", "0"),
    ), "0", degree=5),
    Case("Wampler3", polynomial(5), _wampler(1), _ones(
        "2152.32624678170 2363.55173469681 779.343524331583 101.475507550350 5.64566512170752 0.112324854679312"
    ), "2360.14502379268", degree=5),
    Case("Wampler4", polynomial(5), _wampler(100), _ones(
        "215232.624678170 236355.173469681 77934.3524331583 10147.5507550350 564.566512170752 11.2324854679312"
    ), "236014.502379268", degree=5),
    Case("Wampler5", polynomial(5), _wampler(10_000), _ones(
        "21523262.4678170 23635517.3469681 7793435.24331583 1014755.07550350 56456.6512170752 1123.24854679312"
    ), "23601450.2379268", degree=5),
)  # fmt: skip


def _design(kind: str, condition: float) -> Callable[[], pd.DataFrame]:
    """60 rows of an overidentified model with one endogenous regressor.

    Collinear: w2 leaves w1 by 1/condition of its size. Units: columns differ in size by the condition. Offset: the mean
    of w1 is the condition times its spread.
    """

    def make() -> pd.DataFrame:
        rng = np.random.default_rng(20261122)
        w1, w2, z1, z2, u, v = rng.normal(size=(6, 60))
        x = z1 + 0.5 * z2 + 0.3 * w1 + u + v
        y = 1 + x - w1 + 0.5 * w2 + u
        if kind == "collinear":
            w2 = w1 + w2 / condition
        elif kind == "units":
            w1, z1, x = w1 * math.sqrt(condition), z1 * math.sqrt(condition), x / math.sqrt(condition)
        else:
            w1 = w1 + condition
        return pd.DataFrame({"y": y, "x": x, "w1": w1, "w2": w2, "z1": z1, "z2": z2})

    return make


DESIGNS = tuple(
    Case(f"{kind} 1e{power}", "y ~ x + w1 + w2 | z1 + z2 + w1 + w2", _design(kind, 10.0**power), condition=10.0**power)
    for kind in ("collinear", "units", "offset")
    for power in range(2, 15, 2)
)


def _ordered(kind: str) -> Callable[[], pd.DataFrame]:
    """120 rows of the same model, which the first rows tell little of: their order is not chance.

    Sorted: by a regressor whose logarithm is normal. Trending: every column grows. Outlier first: the first row is a
    million times as large as the others. Years: three powers of 1961, 1962, …; half years: of two powers, repeated.
    """

    def make() -> pd.DataFrame:
        rng = np.random.default_rng(20261123)
        w1, w2, z1, z2, u, v = rng.normal(size=(6, 120))
        t = np.arange(120.0)
        if kind == "sorted":
            w1 = np.sort(np.exp(3 * w1))
        if kind == "trending":
            w1, w2, z1, z2 = 1000 + 50 * t + w1, np.exp(t / 10) + w2, 20 * t + z1, t**2 / 100 + z2
        if kind == "outlier first":
            w1[0] = 1e6
        if kind.endswith("years"):
            w1 = 1961 + t / 2 if kind == "half years" else 1961 + t
        x = z1 + 0.5 * z2 + 0.3 * w1 + u + v
        return pd.DataFrame({"y": 1 + x - w1 + 0.5 * w2 + u, "x": x, "w1": w1, "w2": w2, "z1": z1, "z2": z2})

    return make


def _powers(most: int) -> str:
    part = " + ".join(["w1", *(f"I(w1^{power})" for power in range(2, most + 1))])
    return f"y ~ x + {part} | z1 + z2 + {part}"


ORDERED = tuple(
    Case(kind, formula, _ordered(kind))
    for kind, formula in (
        *((kind, "y ~ x + w1 + w2 | z1 + z2 + w1 + w2") for kind in ("sorted", "trending", "outlier first")),
        ("half years", _powers(2)),
        ("years", _powers(3)),
    )
)

CASES = (*NIST, *DESIGNS, *ORDERED)


@dataclass(frozen=True)
class Exact:
    """Two-stage least squares without rounding: coefficients, classical and HC1 standard errors, σ."""

    coef: list[Fraction]
    classical: list[Fraction]
    hc1: list[Fraction]
    sigma: Fraction


def exact(y: Any, x: Any, z: Any) -> Exact:
    """The exact answer for float matrices y (n,), x (n, k), z (n, l), every float taken as the number that it is."""
    return exact_solution([row[0] for row in fractions_of(y)], fractions_of(x), fractions_of(z))


def exact_solution(y: list[Fraction], x: Rows, z: Rows) -> Exact:
    """(X'Z(Z'Z)⁻¹Z'X)⁻¹X'Z(Z'Z)⁻¹Z'y and what follows, in fractions."""
    n, k = len(x), len(x[0])
    fit = fitted(y, x, z)
    hc1 = sandwich(fit.bread, fit.scores, Fraction(n, n - k))
    return Exact(
        fit.coef,
        [root(fit.variance * fit.bread[j][j]) for j in range(k)],
        [root(hc1[j][j]) for j in range(k)],
        root(fit.variance),
    )


def correct_digits(found: Any, true: list[Fraction], most: float = DOUBLE_DIGITS) -> float:
    """−log₁₀ of the largest relative error, between 0 and ``most``; where the truth is 0, of the absolute error."""
    values = [float(value) for value in np.atleast_1d(np.asarray(found, dtype=float))]
    if len(values) != len(true) or not all(map(math.isfinite, values)):
        return 0.0
    errors = [abs((Fraction(v) - t) / (t or 1)) for v, t in zip(values, true, strict=True)]
    worst = max(errors)
    return float(min(max(0.0, -math.log10(worst)), most)) if worst else most
