"""The check can fail: every way of getting an answer slightly wrong is caught, and named where it has a name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

import ivbridge
from ivbridge import Estimate
from ivbridge.agreement import Agreement
from ivbridge.handshake import COLUMN_TOLERANCE

FORMULA = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
DATA = ivbridge.load("cigarettes_sw").frame


@pytest.fixture(scope="module")
def pair() -> tuple[Estimate, Estimate]:
    return ivbridge.fit(FORMULA, DATA, "HC1", "r"), ivbridge.fit(FORMULA, DATA, "HC1", "native")


def _coefs(estimate: Estimate, /, **changes: np.ndarray) -> Estimate:
    return dataclasses.replace(estimate, coefs=dataclasses.replace(estimate.coefs, **changes))


def _part_per_million(estimate: Estimate) -> Estimate:
    changed = estimate.coefs.estimate.copy()
    changed[1] *= 1 + 1e-6
    return _coefs(estimate, estimate=changed)


def _one_part_in_1e9_of_a_standard_error(estimate: Estimate) -> Estimate:
    return _coefs(estimate, std_error=estimate.coefs.std_error * (1 + 1e-9))


def _off_diagonal(estimate: Estimate) -> Estimate:
    cov = estimate.cov.copy()
    cov[1, 2] = cov[2, 1] = cov[1, 2] * (1 + 1e-6)
    return dataclasses.replace(estimate, cov=cov)


def _one_residual(estimate: Estimate) -> Estimate:
    residuals = estimate.residuals.copy()
    residuals[17] += 1e-7
    return dataclasses.replace(estimate, residuals=residuals)


def _nan_p_value(estimate: Estimate) -> Estimate:
    p = estimate.coefs.p_value.copy()
    p[0] = np.nan
    return _coefs(estimate, p_value=p)


def _lost_test(estimate: Estimate) -> Estimate:
    tests = {**estimate.tests, "sargan": ivbridge.NotApplicable("Sargan", "forgotten")}
    return dataclasses.replace(estimate, tests=tests)


def _degrees_of_freedom(estimate: Estimate) -> Estimate:
    test = estimate.tests["wu_hausman"]
    assert isinstance(test, ivbridge.Test)
    return dataclasses.replace(estimate, tests={**estimate.tests, "wu_hausman": dataclasses.replace(test, df2=93.0)})


def _first_stage(estimate: Estimate) -> Estimate:
    stage = dataclasses.replace(estimate.first_stages[0], r2=estimate.first_stages[0].r2 + 1e-8)
    return dataclasses.replace(estimate, first_stages=(stage,))


SABOTAGE = (
    (_part_per_million, "estimate"),
    (_one_part_in_1e9_of_a_standard_error, "std.error"),
    (_off_diagonal, "cov"),
    (_one_residual, "resid"),
    (_nan_p_value, "p.value"),
    (_lost_test, "test statistic"),
    (_degrees_of_freedom, "test df2"),
    (_first_stage, "first stage r.squared"),
)


def test_untouched_pair_agrees(pair: tuple[Estimate, Estimate]) -> None:
    assert ivbridge.agree(*pair).verdict == "rounding"


@pytest.mark.parametrize(("damage", "quantity"), SABOTAGE, ids=[case[0].__name__[1:] for case in SABOTAGE])
def test_damaged_numbers(
    pair: tuple[Estimate, Estimate], damage: Callable[[Estimate], Estimate], quantity: str
) -> None:
    comparison = ivbridge.agree(pair[0], damage(pair[1]))
    assert comparison.verdict == "substantive"
    assert quantity in {gap.quantity for gap in comparison.gaps if not gap.ok}


def test_same_estimate_is_identical(pair: tuple[Estimate, Estimate]) -> None:
    assert ivbridge.agree(pair[0], pair[0]).verdict == "identical"


def test_hc0_for_hc1_is_named(pair: tuple[Estimate, Estimate]) -> None:
    comparison = ivbridge.agree(pair[0], ivbridge.fit(FORMULA, DATA, "HC0", "native"))
    assert comparison.verdict == "convention"
    assert "1/√(n/(n−k))" in comparison.reason and "HC0" in comparison.reason
    agreement = Agreement(pair[0].spec, (comparison,))
    assert not agreement.ok
    with pytest.raises(ivbridge.DisagreementError, match="CONVENTION") as caught:
        agreement.assert_ok()
    assert "Do this" in str(caught.value)


def test_hc2_for_hc1_is_named(pair: tuple[Estimate, Estimate]) -> None:
    comparison = ivbridge.agree(pair[0], ivbridge.fit(FORMULA, DATA, "HC2", "native"))
    assert comparison.verdict == "convention"
    assert "HC2 instead of HC1" in comparison.reason


def test_cluster_correction_is_named() -> None:
    one = ivbridge.fit(FORMULA, DATA, "cluster(state, type=HC0)", "r")
    two = ivbridge.fit(FORMULA, DATA, "cluster(state, type=HC0, cadjust=False)", "native")
    comparison = ivbridge.agree(one, two)
    assert comparison.verdict == "convention"
    assert "G/(G−1) of state" in comparison.reason


def test_normal_for_t_is_named(pair: tuple[Estimate, Estimate]) -> None:
    comparison = ivbridge.agree(pair[0], ivbridge.fit(FORMULA, DATA, "HC1", "native", inference="z"))
    assert comparison.verdict == "convention"
    assert "normal distribution" in comparison.reason and "93" in comparison.reason


def test_dropped_row_is_not_comparable(pair: tuple[Estimate, Estimate]) -> None:
    comparison = ivbridge.agree(pair[0], ivbridge.fit(FORMULA, DATA.drop(index=5), "HC1"))
    assert comparison.verdict == "not comparable"
    assert {"data", "rows"} <= {check.name for check in comparison.handshake if not check.ok}
    assert not comparison.gaps


def test_swapped_column_is_not_comparable(pair: tuple[Estimate, Estimate]) -> None:
    swapped = DATA.assign(tdiff=DATA.rtax, rtax=DATA.tdiff)
    assert ivbridge.agree(pair[0], ivbridge.fit(FORMULA, swapped, "HC1")).verdict == "not comparable"


def test_other_term_is_not_comparable(pair: tuple[Estimate, Estimate]) -> None:
    other = ivbridge.fit(FORMULA.replace("rtax", "log(rtax)"), DATA, "HC1")
    comparison = ivbridge.agree(pair[0], other)
    assert comparison.verdict == "not comparable"
    assert any("log(rtax)" in check.candidate for check in comparison.handshake if not check.ok)


@pytest.mark.parametrize("size", [1e-6, 3 * COLUMN_TOLERANCE])
def test_wrong_value_in_a_column_is_not_comparable(pair: tuple[Estimate, Estimate], size: float) -> None:
    z = pair[1].seen.z.copy()
    z[3, 2] += size * np.abs(z[:, 2]).max()
    changed = dataclasses.replace(pair[1], seen=dataclasses.replace(pair[1].seen, z=z))
    assert ivbridge.agree(pair[0], changed).verdict == "not comparable"


def test_other_levels_are_not_comparable() -> None:
    formula = "log(packs) ~ log(rprice) + factor(year) | factor(year) + tdiff"
    one = ivbridge.fit(formula, DATA, "HC1")
    seen = dataclasses.replace(one.seen, levels={"factor(year)": ("1995", "1985")})
    comparison = ivbridge.agree(one, dataclasses.replace(one, seen=seen))
    assert comparison.verdict == "not comparable" and "levels" in comparison.reason


def test_nothing_compared_is_no_agreement() -> None:
    empty = Agreement(ivbridge.IVSpec.from_formula(FORMULA), ())
    assert empty.verdict == "not comparable" and not empty.ok
    with pytest.raises(ivbridge.DisagreementError, match="nothing was compared"):
        empty.assert_ok()


def test_error_text_is_enough_to_act(pair: tuple[Estimate, Estimate]) -> None:
    agreement = Agreement(pair[0].spec, (ivbridge.agree(pair[0], _part_per_million(pair[1])),))
    with pytest.raises(ivbridge.DisagreementError) as caught:
        agreement.assert_ok()
    text = str(caught.value)
    for word in ("SUBSTANTIVE", "log(packs) ~", "log(rincome)", "HC1", "digits", "r 0.2568", "native 0.2568"):
        assert word in text
