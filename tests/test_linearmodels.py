"""linearmodels called by hand: what it reports, what it has in another form, and that it agrees with R."""

from __future__ import annotations

import numpy as np
import pytest
from linearmodels.iv import IV2SLS

import ivbridge
from ivbridge.engines import Unsupported, engine
from tests.cases import frame

FORMULA = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
BY_HAND = "np.log(packs) ~ 1 + np.log(rincome) + [np.log(rprice) ~ tdiff + rtax]"


@pytest.fixture
def cigarettes() -> ivbridge.Dataset:
    return ivbridge.load("cigarettes_sw")


@pytest.mark.parametrize("weights", [None, "population"])
def test_numbers_are_those_of_a_call_by_hand(cigarettes: ivbridge.Dataset, weights: str | None) -> None:
    estimate = ivbridge.fit(FORMULA, cigarettes, "classical", "linearmodels", weights=weights)
    column = None if weights is None else cigarettes.frame[weights]
    fit = IV2SLS.from_formula(BY_HAND, cigarettes.frame, weights=column).fit(cov_type="unadjusted", debiased=True)
    named = dict(zip(("Intercept", "np.log(rincome)", "np.log(rprice)"), ("(Intercept)", "log(rincome)", "log(rprice)"),
                     strict=True))  # fmt: skip
    for mine, theirs in ((estimate.params, fit.params), (estimate.bse, fit.std_errors), (estimate.tvalues, fit.tstats)):
        np.testing.assert_allclose(mine[list(named.values())], theirs[list(named)], rtol=1e-11)
    for key, theirs in (("wu_hausman", fit.wu_hausman()), ("sargan", fit.sargan), ("wald", fit.f_statistic)):
        test = estimate.tests[key]
        assert isinstance(test, ivbridge.Test)
        assert (test.statistic, test.p_value) == pytest.approx((theirs.stat, theirs.pval), rel=1e-9)


@pytest.mark.parametrize("method", ["2sls", "liml", "fuller(1)"])
@pytest.mark.parametrize("weights", [None, "wt"])
@pytest.mark.parametrize(
    ("vcov", "inference"),
    [("classical", "t"), ("HC0", "z"), ("HC0", "t"), ("HC1", "t"), ("cluster(g, h, type=HC1)", "t"),
     ("nw(2, prewhite=0, adjust=True)", "t")],
)  # fmt: skip
def test_agrees_with_r(vcov: str, inference: str, weights: str | None, method: str) -> None:
    agreement = ivbridge.crosscheck(
        "y ~ x1 + x2 + w1 | w1 + z1 + z2 + z3", frame(), [vcov], ("r", "linearmodels"),
        weights=weights, inference=inference, method=method,
    )  # fmt: skip
    agreement.assert_ok()
    quantities = {gap.quantity for gap in agreement.gaps}
    assert {"estimate", "std.error", "cov", "statistic", "resid", "fitted", "first stage estimate"} <= quantities
    assert ("p.value" in quantities) == ((vcov, inference) != ("HC0", "t"))
    tests = {gap.term for gap in agreement.gaps if gap.quantity == "test statistic"}
    assert "sargan" in tests
    assert ("wu_hausman" in tests) == (vcov == "classical" and method == "2sls")


def test_what_it_has_in_another_form_is_named_and_not_shown_as_an_answer(cigarettes: ivbridge.Dataset) -> None:
    estimate = ivbridge.fit(FORMULA, cigarettes, "HC0", "linearmodels", weights="population")
    assert "normal" in estimate.lacks["p.value"] and estimate.pvalues.isna().all()
    assert "mean 1" in estimate.lacks["sigma"]
    assert "classical" in estimate.lacks["test wu_hausman"]
    assert "χ²" in estimate.lacks["test weak_instruments:log(rprice)"]


def test_a_vcov_that_it_does_not_have_is_refused(cigarettes: ivbridge.Dataset) -> None:
    spec = ivbridge.IVSpec.from_formula(FORMULA, vcov="HC3")
    assert engine("linearmodels").supports(spec) == Unsupported("linearmodels has no equal of HC3")
    with pytest.raises(ivbridge.UnsupportedError, match="HC3"):
        ivbridge.fit(spec, cigarettes, engine="linearmodels")


def test_what_linearmodels_raises_is_quoted() -> None:
    formula = "y ~ x1 + I(1e-16 * w1) | I(1e-16 * w1) + z1 + z2"  # a unit that its rank test takes for nothing
    assert ivbridge.crosscheck(formula, frame(), ["HC1"]).ok
    with pytest.raises(ivbridge.EngineError, match="linearmodels raised ValueError"):
        ivbridge.fit(formula, frame(), "HC1", "linearmodels")
