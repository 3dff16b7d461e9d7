"""The rounding bound: it holds, it is tight enough to catch mistakes, and it follows conditioning."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

import ivbridge
from ivbridge.gaps import MAX_DIGITS, compare_numbers
from tests.cases import frame

FORMULA = "y ~ x1 + w1 | w1 + z1 + z2"


def _bounds(data: pd.DataFrame, formula: str = FORMULA, vcov: str = "HC1") -> dict[str, float]:
    comparison = ivbridge.crosscheck(formula, data, [vcov]).comparisons[0]
    assert comparison.verdict in ("rounding", "identical")
    return {
        gap.quantity: max(g.bound for g in comparison.gaps if g.quantity == gap.quantity) for gap in comparison.gaps
    }


def test_well_conditioned_bound_catches_one_part_in_1e11() -> None:
    bounds = _bounds(frame())
    # unit roundoff 1e-16, n = 60, condition number about 3: nothing here may explain a gap of 1e-11
    assert max(bounds[name] for name in ("estimate", "std.error", "cov", "resid")) < 1e-11


def test_bound_grows_with_collinearity() -> None:
    data, rng = frame(), np.random.default_rng(5)
    noise = rng.normal(size=len(data))
    found = [_bounds(data.assign(near=data.w1 + size * noise), "y ~ x1 + w1 + near | w1 + near + z1 + z2")["estimate"]
             for size in (1.0, 1e-2, 1e-4)]  # fmt: skip
    assert found[0] * 10 < found[1] and found[1] * 10 < found[2]


def test_bound_grows_when_instruments_weaken() -> None:
    data, rng = frame(600), np.random.default_rng(6)
    found = []
    for strength in (1.0, 1e-3):
        x = 10 + strength * data.z1 + data.u + rng.normal(size=len(data))
        found.append(_bounds(data.assign(x1=x), "y ~ x1 | z1")["std.error"])
    # the projected regressor turns parallel to the intercept
    assert found[0] * 10 < found[1]


def test_bound_is_the_same_every_time() -> None:
    assert _bounds(frame()) == _bounds(frame())


@pytest.mark.parametrize("vcov", ["HC1", "cluster(g)"])
def test_a_bound_does_not_depend_on_what_else_is_asked(vcov: str) -> None:
    together = ivbridge.crosscheck(FORMULA, frame(), ["classical", "HC1", "cluster(g)"]).comparisons
    several = next(comparison.gaps for comparison in together if comparison.vcov == vcov)
    alone = ivbridge.crosscheck(FORMULA, frame(), [vcov]).comparisons[0].gaps
    assert [(gap.quantity, gap.term, gap.bound) for gap in several] == [
        (gap.quantity, gap.term, gap.bound) for gap in alone
    ]


def test_exact_quantities_have_no_allowance() -> None:
    bounds = _bounds(frame())
    assert bounds["df.residual"] == bounds["test df1"] == bounds["test df2"] == 0.0


def test_digits_are_log_relative_errors() -> None:
    estimate = ivbridge.fit(FORMULA, frame(), "HC1")
    same = compare_numbers(estimate, estimate, {})
    assert {gap.digits for gap in same} == {MAX_DIGITS}
    moved = ivbridge.Coefficients(
        estimate.terms, estimate.coefs.estimate * (1 + 1e-5), *(getattr(estimate.coefs, name) for name in
        ("std_error", "statistic", "p_value", "conf_low", "conf_high")),
    )  # fmt: skip
    gaps = compare_numbers(estimate, dataclasses.replace(estimate, coefs=moved), {})
    found = [gap for gap in gaps if gap.quantity == "estimate"]
    # 1 + 1e-5 is itself rounded to 2e-16, which leaves the fifth digit exact to ten places
    assert [gap.digits for gap in found] == pytest.approx([5.0] * 3, abs=1e-9)
    assert [gap.in_se for gap in found] == pytest.approx(
        np.abs(estimate.coefs.estimate) * 1e-5 / estimate.coefs.std_error, rel=1e-9
    )


def test_numbers_that_arithmetic_does_not_determine_are_named() -> None:
    data = frame()
    year = 2000 + data["w1"]
    data["year"], data["squared"] = year, year**2
    agreement = ivbridge.crosscheck("y ~ x1 + year + squared | year + squared + z1 + z2", data, ["HC3"])
    assert agreement.verdict == "rounding"
    few = [gap for gap in agreement.gaps if gap.digits < 3]
    assert few
    said = f"{len(few)} of them to fewer than 3 digits: arithmetic does not determine these, worst "
    assert f"{said}{agreement.worst.label} ({agreement.worst.reference:.6g} and " in agreement.reason
    assert agreement.comparisons[0].reason == agreement.reason
    assert ivbridge.crosscheck(FORMULA, data, ["HC3"]).reason.endswith("rounding explains every gap")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_bound_holds_on_random_designs(seed: int) -> None:
    data = frame(60 + 40 * seed, seed + 100)
    vcovs = ["classical", "HC1", "HC3", "cluster(g)", "cluster(g, h)", "nw", "andrews"]
    ivbridge.crosscheck("y ~ x1 + x2 + g * w1 | g * w1 + z1 + z2 + z3", data, vcovs).assert_ok()


LARGE = (
    ("ak80", "lwage ~ education + factor(yob) | factor(yob) + factor(qob)", "education"),
    ("fertility", "work ~ morekids + age | I(age^2) + age + factor(gender1):factor(gender2)", "morekidsyes"),
)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "formula", "endog"), LARGE)
def test_large_weak_designs_agree_to_seven_digits(name: str, formula: str, endog: str) -> None:
    agreement = ivbridge.crosscheck(formula, ivbridge.load(name), ["classical", "HC1"])
    agreement.assert_ok()
    assert agreement.n > 250_000
    # n = 330,000 and instruments that move the regressor by a hundredth of its spread leave no twelve digits …
    assert 7 < agreement.digits < 12
    # … but a part in a million of the coefficient in question is still found
    bounds = [gap.bound for gap in agreement.gaps if (gap.quantity, gap.term) == ("estimate", endog)]
    assert bounds
    assert max(bounds) < 1e-6


def test_a_tail_that_r_does_not_have_is_no_difference() -> None:
    """Here the intercept of the first stage has z = 37.54, and pnorm() is zero from 37.5193 on."""
    formula = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
    agreement = ivbridge.crosscheck(formula, ivbridge.load("cigarettes_sw"), ["HC0"], inference="z")
    (tail,) = [gap for gap in agreement.gaps if gap.label == "first stage p.value of log(rprice) ~ (Intercept)"]
    assert tail.reference == 0 < tail.candidate < 1e-307
    assert agreement.verdict == "rounding"
