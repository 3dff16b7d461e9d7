"""What a question reads like in R, linearmodels and Stata; the linearmodels text is fitted and compared."""

from __future__ import annotations

import linearmodels
import numpy as np
import pandas as pd
import pytest

from ivbridge.design import build
from ivbridge.errors import UnsupportedError
from ivbridge.spec import IVSpec

QUESTIONS = """
y ~ x + w | w + z
y ~ x | z
y ~ w + v
y ~ x - 1 | z - 1
y ~ x + w - 1 | w + z + v - 1
log(p) ~ x + log(q) | log(q) + z + sqrt(p)
I(y / p) ~ x + w | w + z
y ~ x + w + offset(v) | w + z
log(p) ~ x + offset(log(q)) + offset(v) | z
y ~ x + log2(p) + log10(q) + log1p(p) + exp(v) + abs(w) | log2(p) + log10(q) + log1p(p) + exp(v) + abs(w) + z
y ~ x + I(w^2) + I(-w * (v - 2) / p) + I(2^-w) | I(w^2) + I(-w * (v - 2) / p) + I(2^-w) + z
y ~ x + w:v | w:v + z
y ~ x * w | z * w
y ~ x + poly(w, 3) | poly(w, 3) + z
y ~ x + poly(w, 3, raw = TRUE) | poly(w, 3, raw = TRUE) + z
y ~ x + w | w + poly(z, 2)
y ~ x + scale(w) + scale(v, scale = FALSE) | scale(w) + scale(v, scale = FALSE) + z
y ~ x + scale(w, center = FALSE) | scale(w, center = FALSE) + z
y ~ x + bs(w, df = 5) | bs(w, df = 5) + z
y ~ x + bs(w, knots = c(-0.5, 0.5), degree = 2) | bs(w, knots = c(-0.5, 0.5), degree = 2) + z
y ~ x + bs(w, df = 4, Boundary.knots = c(-5, 6)) | bs(w, df = 4, Boundary.knots = c(-5, 6)) + z
y ~ x + factor(g) | factor(g) + z
y ~ x + g | g + z
y ~ x + factor(k) + w | factor(k) + w + z
y ~ x + factor(g) - 1 | factor(g) + z - 1
y ~ x + relevel(factor(g), ref = "c") | relevel(factor(g), ref = "c") + z
y ~ x + relevel(factor(k), ref = "2") | relevel(factor(k), ref = "2") + z
y ~ x + C(g, Sum) | C(g, Sum) + z
y ~ x + factor(g) * w | factor(g) * w + z
y ~ x + g:w + g | g:w + g + z
y ~ x + factor(g) * factor(k) | factor(g) * factor(k) + z
y ~ x + b | b + z
y ~ x + w | w + factor(g)
y ~ x + w | w + g
y ~ x + w | w + factor(k):z + z
y ~ x + factor(k) | factor(k) + factor(k):factor(g)
y ~ x + w | w + relevel(factor(k), ref = "3") * factor(g)
y ~ factor(k) + w | w + factor(g) * z
y ~ x + `my col` + größe + `_u` + `a.b` + `if` | `my col` + größe + `_u` + `a.b` + `if` + z
"""


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    n = 120
    frame = pd.DataFrame({name: rng.normal(size=n) for name in ("z", "w", "v", "my col", "größe", "_u", "a.b", "if")})
    frame["x"] = frame["z"] + rng.normal(size=n)
    frame["p"], frame["q"] = np.exp(frame["v"]), np.exp(rng.normal(size=n))
    frame["g"] = rng.choice(["a", "b", "c"], size=n)
    frame["k"] = rng.integers(1, 4, size=n)
    frame["b"] = rng.random(n) < 0.5
    frame["y"] = frame["x"] + frame["w"] + rng.normal(size=n)
    return frame


def assert_same_space(ours: np.ndarray, theirs: np.ndarray) -> None:
    """Equal numbers of independent columns, and each of ours is a combination of theirs."""
    assert ours.shape == theirs.shape
    if not ours.size:
        return
    basis = np.linalg.qr(theirs).Q
    # 1e-10: rounding of a projection, times condition numbers of up to 1e4 of these bases
    assert np.abs(ours - basis @ (basis.T @ ours)).max() <= 1e-10 * np.abs(ours).max()


@pytest.mark.parametrize("question", [line for line in QUESTIONS.split("\n") if line])
def test_linearmodels_fits_the_same_model(question: str, data: pd.DataFrame) -> None:
    spec = IVSpec.from_formula(question)
    design = build(spec, data)
    model = linearmodels.IV2SLS.from_formula(spec.to_linearmodels(design.levels), data)
    exog = [name for name in design.x_names if name not in design.endog_names]
    x = pd.DataFrame(design.x, columns=design.x_names)
    z = pd.DataFrame(design.z, columns=design.z_names)
    # the C libraries behind NumPy and pandas may differ in the last bits
    np.testing.assert_allclose(model.dependent.ndarray[:, 0], design.y, rtol=1e-13)
    assert_same_space(x[exog].to_numpy(), model.exog.ndarray)
    if design.endog_names:
        # endogenous columns and excluded instruments correspond one to one
        for ours, theirs in (
            (x[list(design.endog_names)], model.endog.ndarray),
            (z[list(design.instrument_names)], model.instruments.ndarray),
        ):
            np.testing.assert_allclose(theirs, ours.to_numpy(), rtol=1e-10, atol=1e-12)
        fitted = model.fit()
        projected = np.linalg.qr(design.z).Q
        projected = projected @ (projected.T @ design.x)
        coefficients = np.linalg.lstsq(projected, design.y, rcond=None)[0]
        names = list(design.x_names)
        ours_endog = [coefficients[names.index(name)] for name in design.endog_names]
        # two least-squares algorithms on the same well-conditioned matrices
        np.testing.assert_allclose(fitted.params.to_numpy()[-len(ours_endog) :], ours_endog, rtol=1e-9)


def test_the_columns_of_linearmodels_stand_in_our_order(data: pd.DataFrame) -> None:
    text = "y ~ x + poly(w, 2) + relevel(factor(g), ref = 'b') | poly(w, 2) + C(g, Treatment('b')) + z"
    spec = IVSpec.from_formula(text)
    design = build(spec, data)
    model = linearmodels.IV2SLS.from_formula(spec.to_linearmodels(), data)
    np.testing.assert_allclose(model.exog.ndarray, design.x[:, :-1], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("y ~ x + ns(w, df = 3) | ns(w, df = 3) + z", "ns"),
        ("y ~ x | factor(g)", "factor(g)"),
        ("y ~ x | C(factor(g), contr.sum)", "contr.sum"),
        ("y ~ w | w + z", "instruments"),
    ],
)
def test_linearmodels_refuses_by_name(question: str, named: str) -> None:
    with pytest.raises(UnsupportedError, match=named.replace("(", r"\(").replace(")", r"\)")):
        IVSpec.from_formula(question).to_linearmodels()


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("y ~ x + w | w + z", "y ~ w + x | w + z"),
        ("y ~ w", "y ~ w | w"),
        ("y ~ 1", "y ~ 1 | 1"),
        ("y ~ x - 1 | z - 1", "y ~ x - 1 | z - 1"),
        ("y ~ 0 + w + [x ~ z]", "y ~ w + x - 1 | w + z - 1"),
        ("y ~ [x ~ z]", "y ~ x - 1 | z - 1"),
        ("y ~ x + offset(log(q)) + offset(v) | z", "y ~ x + offset(log(q) + v) | z"),
        ("y - v ~ x | z", "I(y - v) ~ x | z"),
        ("np.log(y) ~ 1 + C(g, Treatment('b')) + [`my x` ~ z**1]",
         'log(y) ~ relevel(factor(g), ref = "b") + `my x` | relevel(factor(g), ref = "b") + z'),
    ],
)  # fmt: skip
def test_text_for_r(question: str, text: str) -> None:
    spec = IVSpec.from_formula(question)
    assert spec.to_r() == text
    assert IVSpec.from_formula(text) == spec


@pytest.mark.parametrize(
    ("question", "options", "lines"),
    [
        ("y ~ x + w | w + z", {}, ["ivregress 2sls y w (x = z)"]),
        ("y ~ x + w | w + z", {"vcov": "HC1"}, ["ivregress 2sls y w (x = z), vce(robust) small"]),
        ("y ~ x + w | w + z", {"vcov": "HC0", "inference": "z"}, ["ivregress 2sls y w (x = z), vce(robust)"]),
        ("y ~ x | z", {"vcov": "classical", "weights": "p"}, ["ivregress 2sls y (x = z) [aweight=p], small"]),
        ("y ~ x | z", {"vcov": "cluster(g, type=HC1)"}, ["ivregress 2sls y (x = z), vce(cluster g) small"]),
        ("y ~ w", {"vcov": "HC1"}, ["regress y w, vce(robust)"]),
        ("y ~ x - 1 | z - 1", {}, ["ivregress 2sls y (x = z), noconstant"]),
        ("log(y) ~ x + I(w^2) | I(w^2) + log10(z)", {},
         ["generate double log_y = ln(y)", "generate double w_p_2 = (w ^ 2)", "generate double log10_z = log10(z)",
          "ivregress 2sls log_y w_p_2 (x = log10_z)"]),
        ("y ~ x + factor(k) + factor(k):w | factor(k) + factor(k):w + z", {},
         ["ivregress 2sls y i.k i.k#c.w (x = z)"]),
        ("y ~ x + relevel(factor(k), ref = '2') | relevel(factor(k), ref = '2') + z", {},
         ["ivregress 2sls y ib2.k (x = z)"]),
        ("y ~ factor(k) + w - 1", {}, ["regress y ibn.k w, noconstant"]),
        ("y ~ x + poly(w, 2, raw = TRUE) + scale(v) | poly(w, 2, raw = TRUE) + scale(v) + z", {},
         ["generate double w_p_2 = (w ^ 2)", "egen double scale_v = std(v)",
          "ivregress 2sls y w w_p_2 scale_v (x = z)"]),
        ("y ~ x + offset(v) | z", {}, ["generate double y_v = (y - v)", "ivregress 2sls y_v (x = z)"]),
        ("y ~ I(-w^2) + I((-w)^2) + log2(w) + log_w + log(w)", {},
         ["generate double w_p_2 = (-(w ^ 2))", "generate double w_p_2_1 = ((-w) ^ 2)",
          "generate double log2_w = ln(w)/ln(2)", "generate double log_w_1 = ln(w)",
          "regress y w_p_2 w_p_2_1 log2_w log_w log_w_1"]),
    ],
)  # fmt: skip
def test_text_for_stata(question: str, options: dict[str, str], lines: list[str]) -> None:
    assert IVSpec.from_formula(question, **options).to_stata().split("\n") == lines


@pytest.mark.parametrize(
    ("question", "options", "named"),
    [
        ("y ~ poly(x, 2)", {}, "poly"),
        ("y ~ bs(x, df = 4)", {}, "bs"),
        ("y ~ ns(x, df = 4)", {}, "ns"),
        ("y ~ C(g, Sum)", {}, "sum contrasts"),
        ("y ~ relevel(factor(g), ref = 'b')", {}, "baseline"),
        ("y ~ `my col`", {}, "my col"),
        ("y ~ scale(x, center = FALSE)", {}, "scale"),
        ("y ~ poly(x, 2, raw = TRUE):w", {}, "poly"),
        ("y ~ x | z", {"vcov": "HC3"}, "HC3"),
        ("y ~ x | z", {"vcov": "HC0"}, "HC0"),
        ("y ~ x | z", {"vcov": "nw(4)"}, "nw"),
    ],
)
def test_stata_refuses_by_name(question: str, options: dict[str, str], named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        IVSpec.from_formula(question, **options).to_stata()
