"""Weak-instrument inference: published values, both engines, the inversion against the test itself, coverage.

Stata's Anderson–Rubin tests are in test_stata.py.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ivbridge
from ivbridge import ConfidenceSet, EffectiveF, weakiv
from ivbridge.api import design_for
from ivbridge.data import load
from ivbridge.engines import ENGINES
from ivbridge.errors import IvbridgeError
from ivbridge.simulate import SCENARIOS
from tests.cases import frame

DATA = frame()
STRONG = "y ~ x1 + w1 | w1 + z1 + z2"
CARD = (
    "lwage ~ educ + exper + expersq + black + south | nearc2 + nearc4 + exper + expersq + black + south",
    load("card_stata").frame,
)
#: Each asks for another shape of the set: an interval, two half lines, the whole line, nothing.
SHAPES = (
    (CARD, "bounded"), ((STRONG.replace("z1 + z2", "w2:z1 + o:z2"), DATA), "unbounded"),
    (("y ~ x1 + w1 | w1 + o:w2 + o", DATA), "whole line"), (("y ~ x1 | u + z1 + z2", DATA), "empty"),
)  # fmt: skip
VCOVS = ("classical", "HC0", "HC1", "HC2", "HC3", "nw(2, prewhite=0)", "andrews(bw=3, prewhite=0)")
#: Ends are where F crosses its critical value; F is a quadratic form of well-conditioned fits. Measured: 3e-14.
ENDS = 1e-11


# --- the records -----------------------------------------------------------------------------------------------------


def _set(*intervals: tuple[float, float]) -> ConfidenceSet:
    return ConfidenceSet(intervals, 0.95, "x", "HC1", 100, 2.0, 97.0, 3.09, "native")


INF = math.inf


@pytest.mark.parametrize(("intervals", "text", "kind"), [
    (((1.8712, 2.1034),), "[1.87, 2.10]", "bounded"),
    (((-INF, 0.3), (2.1, INF)), "(-inf, 0.3] ∪ [2.1, inf)", "unbounded"),
    (((-INF, -12.345678),), "(-inf, -12.35]", "unbounded"),
    (((-INF, INF),), "(-inf, inf)", "whole line"),
    ((), "∅", "empty"),
    (((0.1, 0.2), (0.5, 0.6)), "[0.10, 0.20] ∪ [0.50, 0.60]", "bounded"),
    (((1234.5, 5678.9),), "[1234, 5679]", "bounded"),
    (((1.0, 1.0),), "[1.000, 1.000]", "bounded"),
    (((1e-9, 3e-9),), "[0.0000000010, 0.0000000030]", "bounded"),
])  # fmt: skip
def test_text(intervals, text, kind):
    found = _set(*intervals)
    assert (str(found), found.kind) == (text, kind)
    assert len(found.to_frame()) == len(intervals)


def test_membership():
    found = _set((-INF, 0.3), (2.1, INF))
    assert 0.3 in found and 2.1 in found and -1e9 in found
    assert 0.31 not in found and 2.0 not in found
    assert 0 not in _set()


def test_effective_f_says_when_it_is_large():
    found = EffectiveF(20.0, "x", "HC1", 100, 2, {0.05: 2.0, 0.1: 2.0}, {0.05: 30.0, 0.1: 19.0})
    assert found.strong() and not found.strong(0.05)
    assert str(found) == "effective F = 20.0; 5 % critical values 30.0 (τ = 5%), 19.0 (τ = 10%)"
    assert list(found.to_frame()["strong"]) == [False, True]
    with pytest.raises(ivbridge.UnsupportedError, match=r"0\.3"):
        found.strong(0.3)


# --- both engines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vcov", VCOVS)
@pytest.mark.parametrize(("question", "kind"), SHAPES, ids=[kind for _, kind in SHAPES])
def test_engines_agree_on_the_set(question: tuple[str, pd.DataFrame], kind: str, vcov: str) -> None:
    native, r = (weakiv.confidence_set(*question, vcov, engine=engine) for engine in ("native", "r"))
    assert native.kind == r.kind
    if vcov == "HC1":
        assert native.kind == kind
    np.testing.assert_allclose(native.intervals, r.intervals, rtol=ENDS, atol=ENDS)


@pytest.mark.parametrize("weights", [None, "wt"])
@pytest.mark.parametrize("inference", ["t", "z"])
@pytest.mark.parametrize(
    "vcov", ["classical", "HC1", "cluster(g)", "cluster(g, type=HC0, cadjust=False)", "dk(unit, t)"]
)
def test_engines_agree_under_weights_and_clusters(vcov: str, inference: str, weights: str | None) -> None:
    options = {"weights": weights, "inference": inference}
    native, r = (weakiv.confidence_set(STRONG, DATA, vcov, 0.9, engine, **options) for engine in ("native", "r"))
    np.testing.assert_allclose(native.intervals, r.intervals, rtol=ENDS, atol=ENDS)
    one, two = (weakiv.effective_f(STRONG, DATA, vcov, engine, weights) for engine in ("native", "r"))
    assert one.statistic == pytest.approx(two.statistic, rel=1e-12)
    assert one.df == pytest.approx(two.df, rel=1e-12)
    assert one.critical == pytest.approx(two.critical, rel=1e-9)  # R stops its search for a quantile at 1e-11


@pytest.mark.parametrize("inference", ["t", "z"])
@pytest.mark.parametrize("vcov", [*VCOVS, "nw", "andrews", "cluster(g, h)"])
def test_engines_agree_on_the_test(vcov: str, inference: str) -> None:
    design = design_for("y ~ x1 + x2 + w1 | w1 + z1 + z2 + z3", DATA, (vcov,), "wt", inference)
    native, r = (weakiv.anderson_rubin(design, [0.9, -1.1], engine=engine) for engine in ("native", "r"))
    assert (native.df1, native.df2, native.distribution) == (r.df1, r.df2, r.distribution)
    assert native.statistic == pytest.approx(r.statistic, rel=1e-11)
    assert native.p_value == pytest.approx(r.p_value, rel=1e-10)


# --- published -------------------------------------------------------------------------------------------------------

GEOGRAPHY = " + ".join(["exper", "expersq", "black", "south", "smsa", *(f"reg66{j}" for j in range(1, 9)), "smsa66"])
#: Card's data: instruments, exogenous part → ends of the 95 % set, F of a zero coefficient, df2. Numbers of R's package
#: ivmodel (Jiang, Kang & Small, CRAN), from its own tests, with 12 digits; `0` is the model without an intercept.
IVMODEL = (
    ("nearc4", "0", (0.462792094733, 0.470402558386), 6679.92118721, 3009),
    ("nearc4 + nearc2", "0", (0.465107588912, 0.470042589959), 4165.66455412, 3008),
    ("nearc4", "1", (0.143037504074, 0.250862634531), 82.7445324192, 3008),
    ("nearc4 + nearc2", "1", (0.166084633236, 0.260253933988), 51.3582485426, 3007),
    ("nearc4", f"0 + {GEOGRAPHY}", (0.280764970615, 0.346153931966), 113.307424185, 2995),
    ("nearc4 + nearc2", f"0 + {GEOGRAPHY}", (0.310404897446, 0.355337343207), 134.812593279, 2994),
    ("nearc4", GEOGRAPHY, (0.0248048359651, 0.284823593339), 5.41527923822, 2994),
    ("nearc4 + nearc2", GEOGRAPHY, (0.0536002610089, 0.361980791255), 5.24393512598, 2993),
)


@pytest.mark.parametrize("engine", sorted(ENGINES))
@pytest.mark.parametrize(("z", "exog", "ends", "f", "df2"), IVMODEL)
def test_sets_and_tests_of_ivmodel(
    z: str, exog: str, ends: tuple[float, float], f: float, df2: int, engine: str
) -> None:
    formula, data = f"lwage ~ educ + {exog} | {z} + {exog}", load("card").frame
    found = weakiv.confidence_set(formula, data, "classical", engine=engine)
    # ivmodel's quadratic formula cancels: 3e-11 in the second line, where both engines agree to 3e-16
    np.testing.assert_allclose(found.intervals, [ends], rtol=5e-11)
    test = weakiv.anderson_rubin(design_for(formula, data, ("classical",)), 0.0, engine=engine)
    assert test.statistic == pytest.approx(f, rel=1e-11)
    assert (test.df1, test.df2) == (found.df1, found.df2) == (1.0 + z.count("+"), df2)


# --- theorems --------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["classical", "HC0", "HC3", "cluster(unit)"]),
    st.sampled_from(["z1 + z2", "w2 + o", "z1 + w2 + o", "z3", "w2"]),
    st.sampled_from([0.5, 0.9, 0.99]),
)
def test_the_set_holds_exactly_what_the_test_does_not_reject(seed: int, vcov: str, z: str, level: float) -> None:
    data, formula = frame(60, seed), f"y ~ x1 + w1 | w1 + {z}"
    found = weakiv.confidence_set(formula, data, vcov, level)
    design = design_for(formula, data, (vcov,))
    estimate = float(ivbridge.fit(formula, data, "classical").params["x1"])
    grid = estimate + np.concatenate([np.linspace(-3, 3, 41), np.tan(np.linspace(-1.5, 1.5, 40)), [-1e4, 1e4]])
    for beta in grid:
        p = weakiv.anderson_rubin(design, beta).p_value
        assert (beta in found) == (p >= 1 - level) or abs(p - (1 - level)) < 1e-9
    for end in np.ravel(found.intervals):
        if math.isfinite(end):
            assert weakiv.anderson_rubin(design, end).p_value == pytest.approx(1 - level, rel=1e-6)


def test_classical_set_is_that_of_the_matrix_polynomial() -> None:
    """The closed form and the eigenvalue method, on one covariance: HC0 with residuals of one size would not do."""
    from ivbridge import weak_native
    from ivbridge.asked import seen_of

    for formula, data in (CARD, *(question for question, _ in SHAPES[1:])):
        design = design_for(formula, data, ("classical",))
        seen, vcov = seen_of(design), design.spec.vcov
        closed = weak_native.confidence_intervals(seen, vcov, design.spec.inference, 0.95)
        original = weak_native._classical
        weak_native._classical = weak_native._robust
        try:
            general = weak_native.confidence_intervals(seen, vcov, design.spec.inference, 0.95)
        finally:
            weak_native._classical = original
        np.testing.assert_allclose(closed, general, rtol=ENDS, atol=ENDS)


def test_one_instrument_is_bounded_exactly_when_it_is_significant() -> None:
    """Fieller: the set is unbounded if and only if the first stage does not reject at the same level."""
    for seed in range(30):
        data = frame(60, seed)
        weak = ivbridge.fit("y ~ x1 + w1 | w1 + z2", data, "HC1").tests["weak_instruments:x1"]
        found = weakiv.confidence_set("y ~ x1 + w1 | w1 + z2", data, "HC1")
        assert (found.kind == "bounded") == (weak.p_value < 0.05)


def test_the_two_stage_estimate_lies_inside_with_one_instrument() -> None:
    estimate = ivbridge.fit("y ~ x1 + w1 | w1 + z1", DATA, "HC1").params["x1"]
    for level in (0.01, 0.5, 0.999):
        assert estimate in weakiv.confidence_set("y ~ x1 + w1 | w1 + z1", DATA, "HC1", level)


@pytest.mark.parametrize("vcov", ["HC1", "classical"])
def test_the_set_follows_the_units(vcov: str) -> None:
    """y in thousands, x in hundredths and shifted instruments: the same set in other units."""
    one = weakiv.confidence_set(STRONG, DATA, vcov)
    moved = DATA.assign(y=DATA.y / 1e3 + 5 * DATA.w1, x1=100 * DATA.x1 - DATA.w1, z1=1e4 * DATA.z1 + 7)
    two = weakiv.confidence_set(STRONG, moved, vcov)
    np.testing.assert_allclose(np.array(two.intervals) * 1e5, one.intervals, rtol=1e-8)


@pytest.mark.parametrize("unit", [1e-12, 1e6, 1e12, 1e30])
@pytest.mark.parametrize("vcov", ["HC1", "classical"])
def test_a_small_unit_of_the_dependent_variable_empties_no_set(vcov: str, unit: float) -> None:
    one = weakiv.confidence_set(STRONG, DATA, vcov)
    two = weakiv.confidence_set(STRONG, DATA.assign(y=DATA.y * unit), vcov)
    np.testing.assert_allclose(np.array(two.intervals) / unit, one.intervals, rtol=1e-8)


# --- the effective F -------------------------------------------------------------------------------------------------


def test_effective_f_of_the_post() -> None:
    """Five instruments of the post's second world; computed once with R's sandwich by hand: 156.8."""
    draw = SCENARIOS["post-b"].draw()
    formula = f"Y ~ X | {' + '.join(draw.strong)}"
    for engine in ENGINES:
        found = weakiv.effective_f(formula, draw.frame, "HC1", engine)
        assert f"{found.statistic:.1f}" == "156.8"
        assert found.strong(0.05)
        assert f"{weakiv.effective_f(formula, draw.frame, 'classical', engine).statistic:.4f}" == "156.3768"


def test_effective_f_is_the_first_stage_f_where_both_mean_the_same() -> None:
    one = ivbridge.fit("y ~ x1 + w1 | w1 + z1", DATA, "HC1").tests["weak_instruments:x1"]
    assert weakiv.effective_f("y ~ x1 + w1 | w1 + z1", DATA, "HC1").statistic == pytest.approx(one.statistic, rel=1e-12)
    two = ivbridge.fit(STRONG, DATA, "classical").tests["weak_instruments:x1"]
    assert weakiv.effective_f(STRONG, DATA, "classical").statistic == pytest.approx(two.statistic, rel=1e-12)
    robust = ivbridge.fit(STRONG, DATA, "HC1").tests["weak_instruments:x1"]
    assert weakiv.effective_f(STRONG, DATA, "HC1").statistic != pytest.approx(robust.statistic, rel=1e-3)


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_critical_values_of_one_instrument(engine: str) -> None:
    """As Stata's weakivtest prints them for a single instrument, whatever the data; with its 1/τ = 3.33 for 30 % the
    last one is 12.039.
    """
    found = weakiv.effective_f("y ~ x1 + w1 | w1 + z1", DATA, "HC1", engine)
    assert found.df == pytest.approx(dict.fromkeys((0.05, 0.1, 0.2, 0.3), 1.0), rel=1e-12)
    assert [round(value, 3) for value in found.critical.values()] == [37.418, 23.109, 15.062, 12.045]


def test_effective_f_partials_out_constant_and_controls() -> None:
    centred = DATA.assign(z1=DATA.z1 + 1e3, z2=DATA.z2 - 50 * DATA.w1)
    one, two = (weakiv.effective_f(STRONG, data, "HC1").statistic for data in (DATA, centred))
    assert one == pytest.approx(two, rel=1e-8)


# --- coverage --------------------------------------------------------------------------------------------------------


def _weak(rng: np.random.Generator, n: int = 200) -> pd.DataFrame:
    """Three nearly irrelevant instruments, endogeneity 0.9, errors whose size depends on an instrument; β = 1."""
    z = rng.normal(size=(n, 3))
    u, v = rng.multivariate_normal([0, 0], [[1, 0.9], [0.9, 1]], size=n).T * np.sqrt(0.5 + z[:, 0] ** 2)
    x = 0.05 * z.sum(axis=1) + v
    return pd.DataFrame({"z1": z[:, 0], "z2": z[:, 1], "z3": z[:, 2], "x": x, "y": x + u})


@pytest.mark.slow
def test_the_robust_set_covers_and_the_others_do_not() -> None:
    """400 draws: a share of 95 % has a standard error of 1.1 points; HC1 sets exceed it a little in 200 rows."""
    rng = np.random.default_rng(1949)
    formula, draws = "y ~ x | z1 + z2 + z3", 400
    covered = {"robust": 0, "classical": 0, "wald": 0}
    for _ in range(draws):
        data = _weak(rng)
        covered["robust"] += 1 in weakiv.confidence_set(formula, data, "HC1")
        covered["classical"] += 1 in weakiv.confidence_set(formula, data, "classical")
        low, high = ivbridge.fit(formula, data, "HC1").conf_int().loc["x"]
        covered["wald"] += bool(low <= 1 <= high)
    share = {name: count / draws for name, count in covered.items()}
    assert 0.91 < share["robust"] < 0.985
    assert share["classical"] < 0.9
    assert share["wald"] < 0.8


# --- what is refused -------------------------------------------------------------------------------------------------


REFUSED = (
    ("y ~ x1 + x2 | z1 + z2", DATA, "HC1", "DesignError", "x1, x2"),
    ("y ~ x1", DATA, "HC1", "DesignError", "endogenous"),
    ("y ~ x1 | z1 + z2 + z3 + u", DATA.head(5), "HC1", "DesignError", "use fewer instruments"),
    ("y ~ x1 | z1 + z2 + z3 + u", DATA, "cluster(h)", "DesignError", "rank 3"),
    ("y ~ x1 | copy", DATA.assign(copy=DATA.x1), "HC1", "DesignError", "reproduce x1 exactly"),
    ("y ~ x1 | z1", DATA, "nw", "UnsupportedError", "adapts"),
    ("y ~ x1 | z1", DATA, "andrews", "UnsupportedError", "adapts"),
    ("y ~ x1 | z1", DATA, "cluster(g, h)", "UnsupportedError", "negative"),
    ("y ~ x1 | z1", DATA, "bekker", "UnsupportedError", "bekker"),
    ("y ~ x1 | z1", DATA, None, "UnsupportedError", "no vcov"),
    ("y ~ x1 | z1", DATA, "bootstrap", "UnsupportedError", "bootstrap"),
)  # fmt: skip


@pytest.mark.parametrize(("formula", "data", "vcov", "kind", "word"), REFUSED)
def test_impossible_questions_get_one_answer(formula, data, vcov, kind, word) -> None:
    texts = set()
    for engine in ENGINES:
        with pytest.raises(IvbridgeError) as caught:
            weakiv.confidence_set(formula, data, vcov, engine=engine)
        texts.add(f"{type(caught.value).__name__}: {caught.value}")
    assert len(texts) == 1
    (text,) = texts
    assert text.startswith(kind)
    assert word in text


def test_wrong_arguments() -> None:
    with pytest.raises(ivbridge.DataError, match="coverage"):
        weakiv.confidence_set(STRONG, DATA, "HC1", 95)
    with pytest.raises(ivbridge.UnsupportedError, match="native, r"):
        weakiv.effective_f(STRONG, DATA, "HC1", "stata")
    with pytest.raises(ivbridge.DataError, match="x1"):
        weakiv.anderson_rubin(design_for(STRONG, DATA, ("HC1",)), [1.0, 2.0])


def test_the_method_does_not_matter() -> None:
    one, two = (ivbridge.IVSpec.from_formula(STRONG, vcov="HC3", method=method) for method in ("2sls", "liml"))
    assert weakiv.confidence_set(one, DATA) == weakiv.confidence_set(two, DATA)
