"""Rosenbaum's bounds: R's tests at Γ = 1, enumeration and published tables elsewhere."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from ivbridge.causal.agreement import crosscheck
from ivbridge.causal.methods.difference import Difference
from ivbridge.causal.methods.propensity_matching import PropensityMatching
from ivbridge.causal.r_side import ask_r
from ivbridge.causal.scenarios import TWINS
from ivbridge.causal.sensitivity.rosenbaum import binary, of_estimate, signed_rank
from ivbridge.errors import DataError

#: Blood lead of children whose parents worked in a battery factory, and of neighbours' children of the same age: Morton
#: et al. (1982, American Journal of Epidemiology 115); Rosenbaum (2002, Observational Studies).
EXPOSED = [38, 23, 41, 18, 37, 36, 23, 62, 31, 34, 24, 14, 21, 17, 16, 20, 15, 10, 45, 39, 22, 35, 49, 48, 44, 35, 43,
           39, 34, 13, 73, 25, 27]  # fmt: skip
CONTROL = [16, 18, 18, 24, 19, 11, 10, 15, 16, 18, 18, 13, 19, 10, 16, 16, 24, 13, 9, 14, 21, 19, 7, 18, 19, 12, 11, 22,
           25, 16, 13, 11, 13]  # fmt: skip
LEAD = np.array(EXPOSED, dtype=float) - np.array(CONTROL)
FEW = np.array([2.1, 0.3, 1.7, -0.2, 0.9, 1.1, -2.4, 0.8, 3.3])
GAMMAS = (1.0, 1.5, 2.0, 5.0)
#: Both sides evaluate the same tail probability; pnorm and pbinom have about 14 digits.
CLOSE = 1e-12


@pytest.fixture(scope="module")
def r() -> dict[str, np.ndarray]:
    reply = ask_r("rosenbaum", differences=LEAD, treated_only=110, control_only=12, gammas=np.array(GAMMAS), few=FEW)
    return dict(reply.value)


def test_without_a_hidden_cause_the_signed_rank_bounds_are_wilcoxons_test(r: dict[str, np.ndarray]) -> None:
    for side in ("greater", "less"):
        row = signed_rank(LEAD, (1.0,), alternative=side).table.iloc[0]
        assert row["p.low"] == row["p.high"] == pytest.approx(r[side][0], rel=CLOSE)


def test_the_exact_distribution_is_rs_at_one_and_an_enumeration_elsewhere(r: dict[str, np.ndarray]) -> None:
    table = signed_rank(FEW, GAMMAS, exact=True).table
    assert table["p.high"][0] == pytest.approx(r["exact"][0], rel=CLOSE)
    np.testing.assert_allclose(table["p.high"], r["high"], rtol=CLOSE)
    np.testing.assert_allclose(table["p.low"], r["low"], rtol=CLOSE)


def test_shared_ranks_are_exact_too() -> None:
    """Four differences of one size: ranks of 2.5, so the sum is 2.5 times a binomial count of 4."""
    row = signed_rank([1.0, 1.0, 1.0, -1.0], (2.0,), exact=True).table.iloc[0]
    chance = 2 / 3
    assert row["p.high"] == pytest.approx(chance**4 + 4 * chance**3 * (1 - chance), rel=CLOSE)


def test_the_published_table_of_lead_in_childrens_blood() -> None:
    """Rosenbaum (2002, section 4.3), which ranks the pair without a difference before it is left out."""
    found = signed_rank(LEAD, (1.0, 2.0, 3.0, 4.0, 4.25, 5.0), zeros="rank")
    assert found.statistic == 527
    # printed with four decimals
    assert found.table["p.high"].round(4).tolist() == [0.0, 0.0018, 0.0136, 0.0388, 0.0468, 0.0740]
    assert 4.25 < found.tipping < 5


def test_binary_bounds_are_binomial_tests(r: dict[str, np.ndarray]) -> None:
    """122 pairs with one event, in 110 of them the treated unit's: ``binom.test`` at the bounds' chances."""
    table = binary(110, 12, GAMMAS).table
    np.testing.assert_allclose(table["p.high"], r["binary_high"], rtol=CLOSE)
    np.testing.assert_allclose(table["p.low"], r["binary_low"], rtol=CLOSE)


def test_events_that_are_rarer_with_treatment_are_the_mirror_image() -> None:
    up, down = binary(9, 2).table, binary(2, 9, alternative="less").table
    pd.testing.assert_frame_equal(up, down)
    up, down = signed_rank(FEW).table, signed_rank(-FEW, alternative="less").table
    pd.testing.assert_frame_equal(up[["gamma", "p.low", "p.high"]], down[["gamma", "p.low", "p.high"]])


def test_effects_are_the_median_of_walsh_averages_without_a_hidden_cause(r: dict[str, np.ndarray]) -> None:
    row = signed_rank(LEAD, (1.0,)).table.iloc[0]
    assert row["effect.low"] == row["effect.high"] == r["median"][0]


def test_between_two_averages_the_effect_is_their_mean() -> None:
    """Walsh averages of 1, 2, 4, 8: 1, 1.5, 2, 2.5, 3, 4, 4.5, 5, 6, 8."""
    table = signed_rank([1.0, 2.0, 4.0, 8.0], (1.0, 4.0)).table
    assert table["effect.high"].tolist() == [3.5, 5.5]  # 5 and 8 of the 10 averages lie below
    assert table["effect.low"].tolist() == [3.5, 1.75]


def test_a_shift_by_the_greatest_effect_makes_the_rank_sum_what_the_bound_expects() -> None:
    """The definition of Hodges and Lehmann's estimate, on differences without equal sizes."""
    values = np.random.default_rng(5).normal(1, 2, 40)
    for gamma in (1.0, 1.7, 3.0):
        row = signed_rank(values, (gamma,)).table.iloc[0]
        for column, chance in (("effect.high", 1 / (1 + gamma)), ("effect.low", gamma / (1 + gamma))):
            around = []
            for nudge in (-1e-9, 1e-9):
                shifted = values - row[column] - nudge
                ranks = np.argsort(np.argsort(np.abs(shifted))) + 1
                around.append(ranks[shifted > 0].sum())
            assert around[0] >= chance * 40 * 41 / 2 >= around[1]


def test_bounds_widen_and_the_tipping_point_is_where_p_reaches_the_level() -> None:
    for found in (signed_rank(LEAD), signed_rank(LEAD, exact=True), binary(110, 12)):
        high, low = found.table["p.high"], found.table["p.low"]
        assert (np.diff(high) > 0).all()
        assert (np.diff(low) < 0).all()
        assert (low <= high).all()
    # brentq stops 1e-13 from the chance, at which the slope of p is below 10
    at = signed_rank(LEAD, (signed_rank(LEAD).tipping,)).table["p.high"][0]
    assert at == pytest.approx(0.05, abs=1e-10)


def test_nothing_found_has_no_tipping_point() -> None:
    found = signed_rank([1.0, -1.1, 0.9, -1.2])
    assert math.isnan(found.tipping)
    assert "no finding" in found.summary()


def test_pairs_of_a_matching_are_read_in_the_direction_of_the_effect() -> None:
    draw = TWINS["confounded"].draw(600, 4)
    question = dataclasses.replace(draw.question, estimand="ATT")
    effect = PropensityMatching(replace=False, caliper=0.2).fit(question, draw.frame)
    found = of_estimate(effect)
    assert found.pairs == len(effect.answer.table)
    assert found.alternative == "greater"
    assert found.tipping > 2
    said = json.loads(found.to_json())
    assert said["rows"][0]["gamma"] == 1.0
    assert f"{found.tipping:.2f}" in found.summary()
    events = draw.frame.assign(Y_obs=(draw.frame["Y_obs"] > 105).astype(int))
    fewer = events.assign(Y_obs=1 - events["Y_obs"])
    up, down = (of_estimate(PropensityMatching(replace=False).fit(question, one)) for one in (events, fewer))
    assert up.test == down.test == "McNemar's test, exact"
    assert (up.alternative, down.alternative) == ("greater", "less")
    assert up.tipping == down.tipping


def test_pairs_that_are_not_alike_are_said_to_be() -> None:
    """Forty per cent are treated: without a caliper the alike controls run out."""
    draw = TWINS["different-att"].draw(1000, 1)
    loose, close = (
        of_estimate(PropensityMatching(replace=False, caliper=caliper).fit(draw.question, draw.frame))
        for caliper in (None, 0.1)
    )
    assert "still differs by" in loose.summary().splitlines()[-1] and json.loads(loose.to_json())["warnings"]
    assert "still differs" not in close.summary()


def test_the_differences_of_matching_are_what_its_estimate_averages() -> None:
    draw = TWINS["confounded"].draw(600, 4)
    question = dataclasses.replace(draw.question, estimand="ATT")
    agreed = crosscheck(PropensityMatching(replace=False, adjust=True), question, draw.frame)
    table = agreed.candidate.answer.table
    # a mean of 200 differences of size 10: 200 roundings of 1e-15
    assert table["difference"].mean() == pytest.approx(agreed.reference.estimate, rel=1e-11)


def test_pairs_that_share_units_are_refused() -> None:
    draw = TWINS["confounded"].draw(600, 4)
    question = dataclasses.replace(draw.question, estimand="ATT")
    with pytest.raises(DataError, match="more than one pair"):
        of_estimate(PropensityMatching().fit(question, draw.frame))
    with pytest.raises(DataError, match="no matched pairs"):
        of_estimate(Difference().fit(draw.question, draw.frame))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signed_rank([0.0, 0.0]), "No pair has a difference"),
        (lambda: signed_rank([1.0, math.nan]), "not finite"),
        (lambda: signed_rank(FEW, (0.5,)), "1 or more"),
        (lambda: signed_rank(FEW, ()), "1 or more"),
        (lambda: signed_rank(FEW, alternative="both"), "greater, less"),
        (lambda: signed_rank(FEW, level=1.0), "level"),
        (lambda: signed_rank(FEW, zeros="keep"), "drop, rank"),
        (lambda: signed_rank(np.arange(1.0, 502.0), exact=True), "too many"),
        (lambda: binary(0, 0), "two counts"),
        (lambda: binary(-1, 5), "two counts"),
    ],
)
def test_wrong_arguments_are_named(call: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        call()  # type: ignore[operator]


def test_many_pairs_have_bounds_without_effects() -> None:
    table = signed_rank(np.linspace(-1, 2, 5001)).table
    assert table["effect.low"].isna().all()
    assert table["p.high"].notna().all()
