"""What must be true of any two-stage least squares, on invented data; our covariances against linearmodels'."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linearmodels.iv import IV2SLS

import ivbridge
from ivbridge.diagnostics import numbers
from ivbridge.engines.native import linearmodels_options
from ivbridge.linear import Basis, least_squares, two_stage
from ivbridge.sandwich import covariance
from ivbridge.vcov import Clustered, NeweyWest
from ivbridge.vcov_text import parse_vcov
from tests.cases import VCOVS, frame

SEEDS = st.integers(0, 2**32 - 1)
SCALES = st.floats(1e-3, 1e3)
FORMULA = "y ~ x1 + x2 + w1 | w1 + z1 + z2 + z3"
#: Random designs of 60 rows have condition numbers below 10³; linearmodels solves normal equations, which squares it.
RTOL = 1e-8


def _bse(data: pd.DataFrame, vcov: str = "HC1", formula: str = FORMULA) -> tuple[pd.Series, pd.Series]:
    estimate = ivbridge.fit(formula, data, vcov)
    return estimate.params, estimate.bse


@settings(deadline=None, max_examples=15)
@given(SEEDS, SCALES, SCALES)
def test_scaling(seed: int, a: float, b: float) -> None:
    data = frame(60, seed)
    params, bse = _bse(data)
    scaled, scaled_bse = _bse(data.assign(y=a * data.y, x1=b * data.x1))
    factor = pd.Series(a, index=params.index)
    factor["x1"] /= b
    np.testing.assert_allclose(scaled, params * factor, rtol=RTOL, atol=RTOL * (bse * factor).max())
    np.testing.assert_allclose(scaled_bse, bse * factor, rtol=RTOL)


@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_rotating_instruments_changes_nothing(seed: int) -> None:
    data = frame(60, seed)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    turned = data.assign(**dict(zip(("z1", "z2", "z3"), (data[["z1", "z2", "z3"]] @ turn).to_numpy().T, strict=True)))
    for one, two in zip(_bse(data, "HC3"), _bse(turned, "HC3"), strict=True):
        np.testing.assert_allclose(one, two, rtol=RTOL, atol=RTOL)


@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_frisch_waugh_lovell(seed: int) -> None:
    data = frame(60, seed)
    exogenous = Basis.of(np.column_stack([np.ones(60), data.w1]), None)
    columns = ["y", "x1", "x2", "z1", "z2", "z3"]
    partialled = {name: data[name] - exogenous.matrix @ exogenous.solve(data[name].to_numpy()) for name in columns}
    short, _ = _bse(pd.DataFrame(partialled), formula="y ~ x1 + x2 - 1 | z1 + z2 + z3 - 1")
    full, bse = _bse(data)
    np.testing.assert_allclose(short, full[["x1", "x2"]], rtol=RTOL, atol=RTOL * bse.max())


@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_exactly_identified_is_one_solve(seed: int) -> None:
    data = frame(60, seed)
    x = np.column_stack([np.ones(60), data.w1, data.x1])
    z = np.column_stack([np.ones(60), data.w1, data.z1])
    params, bse = _bse(data, formula="y ~ x1 + w1 | w1 + z1")
    solved = np.linalg.solve(z.T @ x, z.T @ data.y)
    np.testing.assert_allclose(params[["(Intercept)", "w1", "x1"]], solved, rtol=RTOL, atol=RTOL * bse.max())


@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_repeating_every_row_leaves_hc0_by_root_two(seed: int) -> None:
    data = frame(60, seed)
    _, once = _bse(data, "HC0")
    _, twice = _bse(pd.concat([data, data], ignore_index=True), "HC0")
    np.testing.assert_allclose(twice * np.sqrt(2), once, rtol=RTOL)


@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_clusters_of_one_row_are_hc(seed: int) -> None:
    data = frame(60, seed).assign(row=range(60))
    _, clustered = _bse(data, "cluster(row, type=HC0, cadjust=False)")
    _, robust = _bse(data, "HC0")
    np.testing.assert_allclose(clustered, robust, rtol=RTOL)


def test_two_stages_by_hand() -> None:
    data = frame()
    z = Basis.of(np.column_stack([np.ones(60), data[["w1", "z1", "z2", "z3"]]]), None)
    x = np.column_stack([np.ones(60), data[["w1", "x1", "x2"]]])
    names = ("(Intercept)", "w1", "x1", "x2")
    one = two_stage(data.y.to_numpy(), x, z, names, ("(Intercept)", "w1", "z1", "z2", "z3"))
    second = least_squares(data.y.to_numpy(), Basis.of(z.matrix @ z.solve(x), None), names)
    np.testing.assert_allclose(one.coef, second.coef, rtol=1e-12)
    assert one.sigma != pytest.approx(second.sigma)  # residuals come from X, not from its projection


@pytest.mark.parametrize("weights", [None, "wt"])
@pytest.mark.parametrize("text", [text for text in VCOVS if linearmodels_options(parse_vcov(text)) is not None])
def test_bread_and_meat_equal_linearmodels(text: str, weights: str | None) -> None:
    """Where linearmodels has an estimator the native engine calls it; our own construction gives the same matrix."""
    estimate = ivbridge.fit(FORMULA, frame(), text, weights=weights)
    seen, vcov = estimate.seen, parse_vcov(text)
    model = two_stage(seen.y, seen.x, Basis.of(seen.z, seen.weights), seen.x_names, seen.z_names)
    np.testing.assert_allclose(covariance(model, vcov, seen.groups), estimate.cov, rtol=1e-9, atol=1e-14)


def test_native_calls_linearmodels_where_it_can() -> None:
    served = {str(parse_vcov(text)) for text in VCOVS if linearmodels_options(parse_vcov(text)) is not None}
    assert {"classical", "HC0", "HC1", "cluster(g, type=HC1)", "cluster(g, h, type=HC1)", "nw(2, prewhite=0)"} <= served
    assert linearmodels_options(Clustered(("a", "b", "c"), type="HC1")) is None
    assert linearmodels_options(NeweyWest(2)) is None


def test_diagnostics_equal_linearmodels_where_it_has_them() -> None:
    data = frame()
    constant = data.assign(const=1.0)[["const", "w1"]]
    fitted = IV2SLS(data.y, constant, data[["x1"]], data[["z1", "z2"]]).fit(cov_type="unadjusted", debiased=True)
    mine = ivbridge.fit("y ~ x1 + w1 | w1 + z1 + z2", data, "classical").tests
    pairs = {
        "wu_hausman": (fitted.wu_hausman().stat, fitted.wu_hausman().pval),
        "sargan": (fitted.sargan.stat, fitted.sargan.pval),
        "weak_instruments:x1": tuple(fitted.first_stage.diagnostics.loc["x1", ["f.stat", "f.pval"]]),
    }
    for key, (statistic, p_value) in pairs.items():
        test = mine[key]
        assert isinstance(test, ivbridge.Test)
        np.testing.assert_allclose([test.statistic, test.p_value], [statistic, p_value], rtol=1e-9)


def test_wald_form_of_classical_f_is_the_rss_form() -> None:
    data = frame()
    estimate = ivbridge.fit(FORMULA, data, "classical")
    seen = estimate.seen
    model = two_stage(seen.y, seen.x, Basis.of(seen.z, None), seen.x_names, seen.z_names)
    found = numbers(seen, model, estimate.cov, parse_vcov("classical"), ivbridge.T()).tests["weak_instruments:x1"]
    short = least_squares(seen.x[:, 2], Basis.of(seen.z[:, :2], None), ("a", "b"))
    full = least_squares(seen.x[:, 2], Basis.of(seen.z, None), seen.z_names)
    assert seen.x_names[2] == "x1"
    assert isinstance(found, ivbridge.Test)
    f = (short.rss - full.rss) / 3 / (full.rss / full.df_resid)
    assert found.statistic == pytest.approx(f, rel=1e-11)
