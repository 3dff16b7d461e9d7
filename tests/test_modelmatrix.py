"""The native design matrices equal those of R: names exactly, values to rounding."""

from __future__ import annotations

import random
from itertools import chain

import numpy as np
import pandas as pd
import pytest
from oracle import Answer, ask_r

from ivbridge.design import build
from ivbridge.errors import IvbridgeError
from ivbridge.spec import IVSpec


def make_data() -> pd.DataFrame:
    """Sixty rows with every type that a formula may meet, missing values included."""
    rng = np.random.default_rng(7)
    n = 60
    data = pd.DataFrame({name: rng.normal(size=n) for name in ("y", "x", "w", "z", "v")})
    data["p"] = np.exp(rng.normal(size=n))
    data["m"] = np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n))
    data["k"] = rng.integers(0, 5, size=n)
    data["year"] = rng.choice([1990, 1995, 100000, 200000], size=n)
    data["wide"] = rng.choice([0.1, 1 / 3, 1e5, 2.5e-7, 123456.7, -2.0], size=n)
    data["tied"] = np.where(rng.random(n) < 0.3, 0.0, rng.normal(size=n) + 4)
    data["g"] = rng.choice(["u", "v", "w"], size=n)
    data["h"] = rng.choice(["b", "B", "a", "Z", "_", "é", "ß", "10", "9"], size=n)
    texts = zip(rng.random(n), rng.choice(["p", "q", "r"], size=n), strict=True)
    data["gm"] = [None if r < 0.1 else text for r, text in texts]
    data["f"] = pd.Categorical(rng.choice(["lo", "hi", "mid"], size=n), categories=["mid", "none", "lo", "hi"])
    data["o"] = pd.Categorical(
        rng.choice(["l", "m", "h", "z", "y"], size=n), categories=["l", "m", "h", "z", "y", "q"], ordered=True
    )
    data["rare"] = pd.Categorical(np.where(np.isnan(data["m"]), "gone", rng.choice(["s", "t"], size=n)))
    data["b"] = rng.random(n) < 0.4
    data["always"] = True
    data["bm"] = pd.array([None if r < 0.1 else r < 0.5 for r in rng.random(n)], dtype="boolean")
    data["two"] = rng.choice(["no", "yes"], size=n)
    for name in ("my col", "größe", "_u", "a.b", "if", "TRUE", "x:w", "na me`"[:-1] + "'q\"", "日本", "T", "2nd", "😀"):
        data[name] = rng.normal(size=n)
    data["g h"] = data["g"]
    return data


NUMERIC = """
x
x + w
w + x + z
-1 + x
x + 0
x - 1
1
m
log(p)
log(p) + exp(x) + sqrt(p) + abs(x)
log2(p) + log10(p) + log1p(p)
log(x)
sqrt(w) + x
I(x^2)
I(x**2 + 1) + I((x + w) * 2) + I(-x) + I(x/p) + I(x - (w - z)) + I(2^-x)
I(p^0.5) + I(-x^2) + I((-x)^2) + I(1e5 * x) + I(x * 0.1)
I(k^2) + k + I(k * 100000 * 3)
x:w
x * w
x * w * z
(x + w + z)^2
(x + w + z)^3 - x:w:z
x * w - x
x / w
(x + w) / z
w:x + x
x:w:z + w
poly(x, 1)
poly(x, 2)
poly(x, 4)
poly(x, 3, raw = TRUE)
poly(x, 1, raw = TRUE)
poly(log(p), 2) * w
poly(k, 3)
poly(x, 2):poly(w, 2)
scale(x)
scale(m) + scale(x, center = FALSE) + scale(w, scale = FALSE)
I(scale(x)^2)
scale(log(p))
bs(x, df = 4)
bs(x)
bs(x, df = 5, degree = 2)
bs(x, knots = c(-0.5, 0.5))
bs(m, df = 6)
bs(x, df = 5, intercept = TRUE) - 1
bs(x, degree = 1)
bs(x, df = 4, Boundary.knots = c(-1, 1))
bs(tied, df = 5)
bs(k, df = 4)
ns(x, df = 3)
ns(x)
ns(m, df = 4)
ns(x, knots = 0)
ns(x, df = 3, intercept = TRUE) - 1
ns(x, df = 4, Boundary.knots = c(-1, 1))
ns(p, df = 4) + bs(log(p), df = 4)
ns(x, df = 2):w
x + offset(w)
x + offset(log(p)) + offset(w)
`my col` + größe + `_u` + a.b
log(abs(`my col`)) + `my col`:größe + `if` + `TRUE` + T
`x:w` + x:w
`na me'q"` + 日本 + `2nd` + poly(`2nd`, 2)
`😀` + x
x + I(2 * x) + w
w + I(x + w) + x
"""

FACTORS = """
g
-1 + g
g + x
x + g - 1
g + f
g + f - 1
factor(g)
factor(g) + factor(f)
f
factor(k)
factor(year)
factor(wide)
factor(year) - 1
factor(k) * x
factor(k + 1)
factor(log(k + 1))
factor(b) + x
factor(m > 0)
h
h:x
gm
gm + m
rare + m
rare
o
o - 1
factor(o)
o + x:o
o * x
o:g
o:x
b
b - 1
b + x
b:x
b * x
always + x
bm
bm + bm:x
factor(bm)
I(b)
I(g)
I(b * 2)
I(b + k)
abs(b)
g:x
x:g
g * x
g / x
x / g
g:f
g * f
g:f + x
x + g:f
g:f - 1
g:f + f
f:g + f
x:g - 1
x:g + b:g - 1
b:g
b:g - 1
x + b:g
g:x + g:w - 1
g * b * x
g:b:x
g:b:x + g
g + g:b:x
g:b + g:x + b
x:g:f + g:f
x + g %in% x
(g + f + b)^2
(g + b + x)^3
g * x - g
g * f - f
g * x - x
two * b
two:b:x - 1
C(g)
C(g) * x
C(factor(g), contr.sum)
C(g, contr.sum)
C(g, Sum) - 1
C(factor(g), contr.sum):x
C(factor(g), contr.sum):x - 1
C(factor(g), contr.sum) * b
C(factor(f), contr.sum) + o
C(o, contr.sum)
C(o)
relevel(factor(g), ref = "v")
relevel(factor(f), ref = "hi") + g
relevel(f, "lo")
relevel(factor(g), ref = "w") * x
relevel(factor(k), ref = "3") - 1
relevel(factor(year), ref = "100000")
C(g, Treatment("w"))
C(g, Treatment(reference="v")):x
C(g, contr.treatment(base="v"))
poly(x, 2) * g
poly(x, 2):g
g:poly(x, 2)
bs(x, df = 4):two
ns(x, df = 2) * b
`g h`
`g h`:größe
`g h` + relevel(factor(`g h`), ref = "v")
g + g:b + I(x^2):g - 1
o:b - 1
k:g + k
"""

TWO_PART = """
y ~ x + w | w + z
y ~ x + g | g + z + v
y ~ x * g | z * g
y ~ x:g + g | z:g + g
log(p) ~ x + factor(year) | factor(year) + poly(z, 2)
y ~ x + o | o + z
y ~ x - 1 | z - 1
y ~ x + g - 1 | g + z - 1
y ~ x + m | m + z + gm
I(y / p) ~ x + w + offset(v) | w + z
y + x ~ w | w + z
y ~ w * x | w * z
y ~ b + x | b + z + v:z
b ~ x | z
k ~ x | z + I(2 * z) + w
y ~ x + I(2 * w) + w | w + I(2 * w) + z
y ~ w | x | z
y ~ g + m | x + x:w | z + v + ns(z, df = 3)
y ~ 1 + w + [x ~ z]
y ~ 1 + C(g) + [x + np.log(p) ~ z + v + C(f)]
y ~ C(g) + [x ~ z + v]
y ~ relevel(factor(g), ref = "w") + x | relevel(factor(g), ref = "w") + bs(z, df = 4)
"""


def random_terms(count: int) -> list[str]:
    """Random sums of random interactions of numbers, factors, booleans, ordered factors and basis columns."""
    draw = random.Random(5)
    pool = ["x", "w", "g", "two", "b", "f", "o", "factor(k)", "C(g, Sum)", 'relevel(f, "hi")', "poly(z, 2)", "gm", "m"]
    found = []
    for _ in range(count):
        terms = [":".join(draw.sample(pool, draw.choice([1, 1, 2, 2, 3]))) for _ in range(draw.choice([1, 2, 3]))]
        found.append(" + ".join(terms) + draw.choice(["", "", " - 1"]))
    return list(dict.fromkeys(found))


REFUSED = ("factor(m > 0)", "x + g %in% x", "factor(log(k + 1))")


def questions() -> list[str]:
    """All formulas that R is asked about, in the spelling of the tables above."""
    one_part = [line for line in (NUMERIC + FACTORS).split("\n") if line and line not in REFUSED]
    two_part = [line for line in TWO_PART.split("\n") if line]
    return [*dict.fromkeys(f"y ~ {line}" for line in (*one_part, *random_terms(150))), *two_part]


QUESTIONS = questions()
DATA = make_data()


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    texts = [IVSpec.from_formula(question).to_r() for question in QUESTIONS]
    found = ask_r(DATA, texts, tmp_path_factory.mktemp("oracle"))
    return dict(zip(QUESTIONS, found, strict=True))


@pytest.mark.parametrize("question", QUESTIONS)
def test_matrices_equal_those_of_r(question: str, answers: dict[str, Answer]) -> None:
    answer = answers[question]
    assert answer.status == "ok"
    design = build(IVSpec.from_formula(question), DATA)
    np.testing.assert_array_equal(design.rows, answer.rows)
    # elementary functions of two C libraries may differ in the last bits
    np.testing.assert_allclose(design.y, answer.y, rtol=1e-14, atol=1e-15)
    sides = (
        (design.x, design.x_names, design.aliased, answer.x),
        (design.z, design.z_names, design.aliased_instruments, answer.z),
    )
    for values, names, aliased, part in sides:
        assert [name for name in part.names if name not in part.aliased] == list(names)
        assert [name for name in part.names if name in part.aliased] == list(aliased)
        kept = part.values[:, [name not in part.aliased for name in part.names]]
        # QR, splines and quantiles: a few hundred roundings of numbers below the column's largest
        largest = np.abs(kept).max(axis=0)
        assert np.all(np.abs(values - kept) <= 1e-12 * largest), np.abs(values - kept).max(axis=0) / largest


@pytest.mark.parametrize("term", REFUSED[:2])
def test_what_the_grammar_lacks_is_refused(term: str) -> None:
    with pytest.raises(IvbridgeError):
        IVSpec.from_formula(f"y ~ {term}")


def test_there_are_enough_questions() -> None:
    assert len(set(QUESTIONS)) == len(QUESTIONS) >= 300
    assert len(set(chain.from_iterable(IVSpec.from_formula(q).columns for q in QUESTIONS))) >= 30
