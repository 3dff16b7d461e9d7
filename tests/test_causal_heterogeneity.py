"""Scores, rank-weighted effects, the calibration test, policy values, and the gate before a ranking."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from econml.grf import CausalForest
from econml.validate.utils import calc_uplift
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ivbridge.causal.crossfit import Learner, draw_folds
from ivbridge.causal.heterogeneity.calibration import calibration, group_effects
from ivbridge.causal.heterogeneity.gate import GateOptions, judge, rank
from ivbridge.causal.heterogeneity.policy import treat_first
from ivbridge.causal.heterogeneity.rate import ranked, rate, toc
from ivbridge.causal.heterogeneity.scores import Scores, scores
from ivbridge.causal.heterogeneity.uplift_curve import chart, curve
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.causal.r_side import ask_r
from ivbridge.causal.records import Answer
from ivbridge.causal.scenarios import TWINS, CausalDraw, notebook
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray

LINEAR = (Learner(),)
#: Sums of a few hundred numbers of size 10 in another order: n·eps·10, with room.
SUMS = 1e-11


def oracle(draw: CausalDraw) -> Scores:
    """Scores with the world's own nuisance functions; the twins' noise has mean 0 and standard deviation 5."""
    m0 = draw.y0 - _noise(draw)
    m1, e = m0 + draw.effects, draw.propensity
    y, t = draw.frame["Y_obs"].to_numpy(float), draw.frame["T"].to_numpy(float)
    return Scores(m1 + t * (y - m1) / e, m0 + (1 - t) * (y - m0) / (1 - e), y, t, e * m1 + (1 - e) * m0, e)


def _noise(draw: CausalDraw) -> FloatArray:
    """Y(0) less its mean given the covariates, in a twin that is linear in them."""
    a, i = (draw.frame["age"] - 40) / 12, (draw.frame["income"] - 60000) / 15000
    e = (draw.frame["prior_engagement"] - 2 / 7) / math.sqrt(10 / 392)
    return np.asarray(draw.y0 - (100 + 6 * i + 3 * e - 3 * a), dtype=np.float64)


@dataclass(frozen=True, kw_only=True)
class Lines(CausalMethod):
    """Effects by two least-squares lines; remembers what it was given."""

    name: ClassVar[str] = "lines"
    title: ClassVar[str] = "Two lines"
    seen: list[tuple[CausalData, CausalData]] = field(default_factory=list)

    def effects(self, learn: CausalData, judge: CausalData, seed: int = 0) -> FloatArray:
        self.seen.append((learn, judge))
        found: list[FloatArray] = []
        for arm in (learn.treated, ~learn.treated):
            columns = np.column_stack([np.ones(int(arm.sum())), learn.x[arm]])
            coef = np.linalg.lstsq(columns, learn.y[arm], rcond=None)[0]
            found.append(coef[0] + judge.x @ coef[1:])
        return found[0] - found[1]

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        effects = self.effects(data, data, seed)
        return Answer(float(effects.mean()), math.nan, "none", unit_effects=effects)


@dataclass(frozen=True, kw_only=True)
class Forest(CausalMethod):
    """The notebook's forest: treatment and outcome as they are, nothing taken out."""

    title: ClassVar[str] = "Forest"

    def effects(self, learn: CausalData, judge: CausalData, seed: int = 0) -> FloatArray:
        forest = CausalForest(n_estimators=100, random_state=42).fit(learn.x, learn.t, learn.y)
        return np.asarray(forest.predict(judge.x)[:, 0])


class OneEffect(CausalMethod):
    """A method without effects of units."""

    title = "One effect"


@pytest.fixture(scope="module")
def different() -> CausalDraw:
    return TWINS["different"].draw(2000, 1)


@pytest.fixture(scope="module")
def fitted(different: CausalDraw) -> Scores:
    return scores(build(different.question, different.frame), LINEAR)


# rank-weighted effects


def test_three_units_by_hand() -> None:
    score, priority = np.array([0.0, 4.0, 2.0]), np.array([1.0, 3.0, 2.0])
    assert toc(score, priority).tolist() == [2.0, 1.0, 0.0]
    assert rate(np.r_[score, 2.0], np.r_[priority, 0.0]).estimate == pytest.approx((2 + 1 + 0 + 0) / 4, abs=SUMS)
    assert np.mean(toc(score, priority) * np.array([1, 2, 3]) / 3) == pytest.approx(4 / 9)


@given(st.integers(4, 60), st.integers(0, 10**6))
def test_the_cumulative_sum_is_a_weighted_mean(n: int, seed: int) -> None:
    """The k-th unit's weight in AUTOC is (1/k + … + 1/n - 1)/n, in the Qini coefficient (n + 1 - 2k + …)/2n²."""
    random = np.random.default_rng(seed)
    score, priority = random.normal(10, 5, n), random.normal(size=n)
    ordered = score[np.argsort(-priority)]
    tail = np.cumsum((1 / np.arange(1, n + 1))[::-1])[::-1]
    k = np.arange(1, n + 1)
    assert rate(score, priority, draws=2).estimate == pytest.approx(ordered @ (tail - 1) / n, abs=SUMS)
    weights = ((n - k + 1) - (n + 1) / 2) / n**2
    assert rate(score, priority, "Qini", draws=2).estimate == pytest.approx(ordered @ weights, abs=SUMS)


@pytest.mark.parametrize("levels", [0, 7])
def test_r_says_the_same(levels: int) -> None:
    random = np.random.default_rng(3)
    score, priority = random.normal(10, 5, 400), random.normal(size=400)
    if levels:
        priority = np.round(priority * levels / 4)
    theirs = ask_r("rate", score=score, priority=priority).value
    np.testing.assert_allclose(toc(score, priority), theirs["toc"], rtol=0, atol=SUMS)
    assert rate(score, priority).estimate == pytest.approx(theirs["autoc"][0], abs=SUMS)
    assert rate(score, priority, "Qini").estimate == pytest.approx(theirs["qini"][0], abs=SUMS)


def test_econml_has_the_same_curves_and_errors(different: CausalDraw, fitted: Scores) -> None:
    """Cuts at the 25, 50 and 75 % quantiles; the half samples' errors beside econml's influence functions.

    1000 half samples leave 2 % of an error open, and econml takes the cut for known: 6 % of it here at most.
    """
    cuts = np.array([25.0, 50.0, 75.0, 99.9])
    for metric, name in (("toc", "toc"), ("qini", "qini")):
        _, _, theirs = calc_uplift(different.effects, different.effects, fitted.effect, cuts, metric, 2)
        ours = curve(fitted.effect, different.effects, [0.75, 0.5, 0.25], draws=1000)
        taken_off = 0 if name == "toc" else np.array([0.75, 0.5, 0.25]) * fitted.effect.mean()
        np.testing.assert_allclose(ours[name] - taken_off, theirs["value"][:3], rtol=0, atol=1e-10)
    np.testing.assert_allclose(ours["qini"] - ours["share"] * ours["toc"], ours["random"], rtol=0, atol=1e-10)
    _, error, _ = calc_uplift(different.effects, different.effects, fitted.effect, np.arange(0.5, 100), "qini", 2)
    assert rate(fitted.effect, different.effects, "Qini", 1000).std_error == pytest.approx(error, rel=0.08)


def test_only_the_order_and_the_differences_matter(fitted: Scores, different: CausalDraw) -> None:
    first = rate(fitted.effect, different.effects)
    assert rate(fitted.effect, np.exp(different.effects / 9)) == first
    moved = rate(3 * fitted.effect - 100, different.effects)
    assert moved.estimate == pytest.approx(3 * first.estimate, rel=1e-10)
    assert moved.std_error == pytest.approx(3 * first.std_error, rel=1e-10)
    qini = rate(fitted.effect, different.effects, "Qini")
    assert rate(fitted.effect, -different.effects, "Qini").estimate < -0.9 * qini.estimate


def test_one_rank_for_all_says_nothing(fitted: Scores) -> None:
    same = rate(fitted.effect, np.zeros(fitted.n))
    assert (same.estimate, same.std_error, same.statistic, same.p_value) == (0, 0, 0, 0.5)
    np.testing.assert_allclose(ranked(np.array([1.0, 5.0, 3.0]), np.array([1.0, 1.0, 0.0])), [3, 3, 3])


def test_standard_errors_are_the_spread_over_worlds() -> None:
    """150 draws leave 6 % of a standard deviation open; twice that is allowed."""
    found = []
    for seed in range(150):
        draw = TWINS["different"].draw(600, 1000 + seed)
        score = oracle(draw).effect
        both = [rate(score, draw.effects, "AUTOC", 100), rate(score, draw.effects, "Qini", 100)]
        found.append([(one.estimate, one.std_error) for one in both])
    spread, told = np.std(found, axis=0)[:, 0], np.mean(found, axis=0)[:, 1]
    np.testing.assert_allclose(told, spread, rtol=0.12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: rate(np.ones(3), np.ones(3)),
        lambda: rate(np.ones(9), np.ones(9), "gini"),  # type: ignore[arg-type]
        lambda: rate(np.ones(9), np.ones(8)),
        lambda: rate(np.ones(9), np.full(9, np.nan)),
        lambda: curve(np.ones(9), np.ones(9), [0.0]),
        lambda: curve(np.ones(9), np.ones(9), [1.1]),
        lambda: GateOptions(by="luck"),  # type: ignore[arg-type]
        lambda: GateOptions(level=0.0),
        lambda: GateOptions(splits=0),
    ],
)
def test_what_makes_no_sense_is_refused(call: Any) -> None:
    with pytest.raises(DataError):
        call()


# scores


def test_the_mean_score_is_the_effect(fitted: Scores) -> None:
    error = fitted.effect.std() / math.sqrt(fitted.n)
    assert abs(fitted.effect.mean() - 10) < 3 * error
    assert fitted.learners == ("linear", "linear", "linear")
    assert fitted.clipped == 0


def test_no_unit_helps_to_predict_itself(different: CausalDraw) -> None:
    """One outcome larger by 100: its own score moves by 100/e, and no mean of its fold moves."""
    data = build(different.question, different.frame)
    unit = int(np.flatnonzero(data.treated)[0])
    y = data.y.copy()
    y[unit] += 100
    one, other = scores(data, LINEAR, seed=4), scores(replace(data, y=y), LINEAR, seed=4)
    own = draw_folds(data.n, 5, 4, data.t) == draw_folds(data.n, 5, 4, data.t)[unit]
    np.testing.assert_array_equal(one.mean[own], other.mean[own])
    assert (one.mean[~own] != other.mean[~own]).all()
    assert other.treated[unit] - one.treated[unit] == pytest.approx(100 / one.chance[unit], rel=1e-9)


def test_lines_without_noise_give_each_unit_its_effect() -> None:
    """Each arm is a line of its own; least squares find both, and every score is the unit's effect."""
    draw = TWINS["confounded"].draw(300, 3)
    data = build(draw.question, draw.frame)
    x = (data.x - data.x.mean(axis=0)) / data.x.std(axis=0)
    effect = 10 + x @ [1.0, -2.0, 3.0]
    exact = scores(replace(data, y=x @ [4.0, 5.0, 6.0] + data.t * effect), LINEAR)
    np.testing.assert_allclose(exact.effect, effect, atol=1e-9)  # least squares on 240 rows of size 10, over e > 0.01
    np.testing.assert_allclose(exact.mean, x @ [4.0, 5.0, 6.0] + exact.chance * effect, atol=1e-9)


def test_the_better_learner_is_taken() -> None:
    draw = TWINS["bent"].draw(3000, 1)
    found = scores(build(draw.question, draw.frame))
    assert found.learners == ("boosting", "boosting", "linear")
    assert scores(build(draw.question, draw.frame), LINEAR).effect.std() > found.effect.std()


def test_probabilities_near_0_are_clipped_and_counted() -> None:
    draw = TWINS["poor-overlap"].draw(2000, 1)
    found = scores(build(draw.question, draw.frame), LINEAR)
    assert found.clipped > 20
    assert found.chance.min() == 0.01


def test_compliers_have_no_scores() -> None:
    draw = TWINS["encouraged"].draw(200, 1)
    with pytest.raises(UnsupportedError):
        scores(build(draw.question, draw.frame))
    with pytest.raises(UnsupportedError):
        scores(build(CausalQuestion("Y_obs", "T"), draw.frame))


# calibration


def test_the_calibration_test_is_r_s(different: CausalDraw, fitted: Scores) -> None:
    """lm and vcovHC on 2000 rows of columns of size 10: the digits of a condition number below 100."""
    ours = calibration(fitted, different.effects)
    theirs = ask_r("calibration", y=fitted.y, mean=fitted.mean, t=fitted.t, chance=fitted.chance,
                   predicted=different.effects).value  # fmt: skip
    np.testing.assert_allclose([ours.mean, ours.differential], theirs["estimate"], rtol=1e-11)
    np.testing.assert_allclose([ours.mean_error, ours.differential_error], theirs["std_error"], rtol=1e-11)
    assert math.log(ours.p_value) == pytest.approx(math.log(theirs["p_value"][1]), rel=1e-9)
    assert abs(ours.differential - 1) < 3 * ours.differential_error
    doubled = calibration(fitted, 2 * different.effects)
    assert doubled.differential == pytest.approx(ours.differential / 2, rel=1e-9)
    backwards = calibration(fitted, -different.effects)
    assert backwards.p_value == pytest.approx(1 - ours.p_value, abs=1e-12)


def test_one_prediction_for_all_has_no_slope(fitted: Scores) -> None:
    found = calibration(fitted, np.full(fitted.n, 10.0))
    assert abs(found.mean - 1) < 3 * found.mean_error
    assert math.isnan(found.differential)
    assert found.p_value == 1.0
    assert math.isnan(calibration(fitted, np.zeros(fitted.n)).mean)
    with pytest.raises(DataError):
        calibration(fitted, np.zeros(3))


def test_groups_are_means_with_r_s_errors(different: CausalDraw, fitted: Scores) -> None:
    ours = group_effects(fitted, different.effects, 4)
    quarter = np.ceil(stats.rankdata(-different.effects) / (fitted.n / 4))
    theirs = ask_r("groups", score=fitted.effect, group=quarter).value
    np.testing.assert_allclose(ours["estimate"], theirs["estimate"], rtol=1e-11)
    np.testing.assert_allclose(ours["std.error"], theirs["std_error"], rtol=1e-11)
    assert ours["n"].tolist() == [500] * 4
    assert (ours["estimate"].diff().dropna() < 0).all()
    assert (abs(ours["estimate"] - ours["predicted"]) < 3.5 * ours["std.error"]).all()
    with pytest.raises(DataError):
        group_effects(fitted.take(np.arange(5)), different.effects[:5], 3)


# policy


def test_the_value_of_a_rule_is_the_world_s() -> None:
    """Known potential outcomes of 40 000 units; three standard errors."""
    draw = TWINS["different"].draw(40_000, 2)
    score = oracle(draw)
    found = treat_first(score, draw.effects, 0.2, cost=1.0, draws=100)
    first = draw.effects >= np.quantile(draw.effects, 0.8)
    truth = float((draw.effects - 1)[first].sum() / draw.y0.size)
    assert abs(found.gain - truth) < 3 * found.gain_error
    assert abs(found.over_random - (truth - 0.2 * 9)) < 3 * found.over_random_error
    assert abs(found.over_all - (truth - 9)) < 3 * found.over_all_error
    assert abs(found.effect - draw.effects[first].mean()) < 3 * found.effect_error
    everyone = np.where(first, draw.y1 - 1, draw.y0).mean()
    assert abs(found.mean - everyone) < 0.2  # both means have an error of about 0.04


def test_treating_everyone_is_the_mean_effect(fitted: Scores, different: CausalDraw) -> None:
    found = treat_first(fitted, different.effects, 1.0)
    assert found.gain == pytest.approx(fitted.effect.mean(), rel=1e-12)
    assert (found.over_random, found.over_all, found.over_all_error) == (0, 0, 0)
    assert found.gain_error == pytest.approx(fitted.effect.std() / math.sqrt(fitted.n), rel=0.1)  # 500 half samples
    assert found.mean == pytest.approx(fitted.treated.mean(), rel=1e-12)
    for share in (0.0, 1.2, 1e-9):
        with pytest.raises(DataError):
            treat_first(fitted, different.effects, share)


def test_intervals_of_policy_values_cover() -> None:
    """200 draws; a binomial of 95 % lies in 90 % to 98.5 % with probability 0.998."""
    truth = TWINS["different"].draw(400_000, 9).effects
    worth = 0.3 * truth[truth >= np.quantile(truth, 0.7)].mean()
    found = []
    for seed in range(200):
        draw = TWINS["different"].draw(500, 3000 + seed)
        value = treat_first(oracle(draw), draw.effects, 0.3, draws=100)
        found.append(abs(value.gain - worth) < 1.96 * value.gain_error)
    assert 0.90 <= np.mean(found) <= 0.985


# the gate


def test_the_halves_are_disjoint_and_whole(different: CausalDraw) -> None:
    method = Lines()
    found = judge(method, different.question, different.frame, GateOptions(learners=LINEAR, draws=50))
    ((learn, judged),) = method.seen
    assert sorted([*learn.rows, *judged.rows]) == list(range(2000))
    assert (found.learned, found.judged) == (1000, 1000)
    assert found.passed
    assert abs(found.calibration.differential - 1) < 3 * found.calibration.differential_error
    assert [value.share for value in found.values] == [0.1, 0.2, 0.5]
    assert "ranks units by effect" in found.statement


def test_a_ranking_comes_with_what_was_held_out(different: CausalDraw) -> None:
    found = rank(Lines(), different.question, different.frame, GateOptions(learners=LINEAR, draws=50))
    table = found.table
    assert table["predicted"].is_monotonic_decreasing
    assert sorted(table["row"]) == list(range(2000))
    held = ["group", "group.estimate", "group.std.error"]
    assert list(table) == ["rank", "row", "predicted", *different.question.covariates, *held]
    first = different.frame.iloc[table["row"].iloc[0]]
    assert table["age"].iloc[0] == first["age"]
    assert table.loc[table["group"] == 2, "group.estimate"].unique() == pytest.approx(
        found.judged.groups["estimate"].iloc[1]
    )
    assert "ranks units" in found.summary().splitlines()[0]


def test_noise_is_not_ranked() -> None:
    draw = TWINS["confounded"].draw(1000, 2)
    options = GateOptions(learners=LINEAR, draws=100)
    with pytest.raises(DataError, match="ranks noise"):
        rank(Lines(), draw.question, draw.frame, options)
    printed = rank(Lines(), draw.question, draw.frame, options, anyway=True).summary(3)
    assert "ranks noise" in printed.splitlines()[0]
    assert len(printed.splitlines()) == 5


def test_the_level_of_the_gate() -> None:
    """100 worlds in which all effects are 10. A binomial of 5 % exceeds 13 with probability 0.0005."""
    found = []
    for seed in range(100):
        draw = TWINS["confounded"].draw(400, 7000 + seed)
        options = GateOptions(learners=LINEAR, draws=60, shares=(), seed=seed)
        one = judge(Lines(), draw.question, draw.frame, options)
        assert one.p_value == one.autoc.p_value
        found.append([one.autoc.p_value < 0.05, one.qini.p_value < 0.05, one.calibration.p_value < 0.05])
    assert np.sum(found, axis=0).max() <= 13


@pytest.mark.parametrize("by", ["AUTOC", "Qini", "calibration"])
def test_the_test_that_was_chosen_decides(by: str, different: CausalDraw) -> None:
    options = GateOptions(by=by, learners=LINEAR, draws=50, shares=())  # type: ignore[arg-type]
    found = judge(Lines(), different.question, different.frame, options)
    test = {"AUTOC": found.autoc, "Qini": found.qini, "calibration": found.calibration}[by]
    assert found.p_value == test.p_value
    assert str(test) in found.statement


def test_several_splits_take_twice_the_median() -> None:
    draw = TWINS["confounded"].draw(1000, 5)
    options = GateOptions(learners=LINEAR, draws=50, splits=3)
    method = Lines()
    found = judge(method, draw.question, draw.frame, options)
    assert len({tuple(one.rows) for _, one in method.seen}) == 3
    alone = judge(method, draw.question, draw.frame, replace(options, splits=1))
    assert found.p_values[0] == alone.p_value
    assert found.autoc == alone.autoc
    assert found.p_value == min(1.0, 2 * sorted(found.p_values)[1])
    assert found.p_value > 1.5 * sorted(found.p_values)[1] > 0.05
    assert "over 3 splits" in found.statement


def test_the_notebook_s_forest_ranks_noise_and_only_held_out_units_show_it() -> None:
    """All effects are 10. On the units that the forest learned from, its order looks significant."""
    draw = notebook()
    data = build(draw.question, draw.frame)
    method = Forest()
    within = rate(scores(data).effect, method.effects(data, data))
    assert within.p_value < 0.001
    found = judge(method, draw.question, draw.frame, GateOptions(draws=200))
    assert not found.passed
    assert found.calibration.p_value > 0.05
    assert abs(found.calibration.differential) < 0.2


def test_a_method_with_one_effect_ranks_nothing(different: CausalDraw) -> None:
    with pytest.raises(UnsupportedError, match="one effect for all units"):
        rank(OneEffect(), different.question, different.frame)


def test_the_chart_shows_what_it_is_given(different: CausalDraw, fitted: Scores) -> None:
    points = curve(fitted.effect, different.effects, draws=20)
    left, right = chart(points, "A title", "A caption").axes
    np.testing.assert_array_equal(left.lines[0].get_ydata(), points["toc"])
    np.testing.assert_array_equal(right.lines[0].get_ydata(), points["qini"])
    assert (left.get_title("left"), right.get_title("left")) == ("TOC", "Qini curve")
