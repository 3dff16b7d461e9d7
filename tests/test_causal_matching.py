"""Matching: R's pairs, effects and errors; brute force; what must not change anything; coverage in known worlds."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from ivbridge.causal.agreement import crosscheck
from ivbridge.causal.matched import Matches, greedy, matched_effect, nearest, nearest_spread, whitened
from ivbridge.causal.methods.mahalanobis_matching import MahalanobisMatching
from ivbridge.causal.methods.propensity_matching import PropensityMatching
from ivbridge.causal.propensity import logit
from ivbridge.causal.question import CausalQuestion, build
from ivbridge.causal.r_side import ask_r
from ivbridge.causal.scenarios import TWINS, CausalDraw, notebook
from ivbridge.errors import DataError, DesignError, UnsupportedError

Mahalanobis, Propensity = MahalanobisMatching, PropensityMatching


def asked(draw: CausalDraw, estimand: str) -> CausalQuestion:
    return dataclasses.replace(draw.question, estimand=estimand)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "estimate", "error"),
    [
        # MatchIt 4.5.1 with a matrix of distances, Matching 4.10-8 with Var.calc = 1; errors to the digits noted
        (Propensity(known_score=True), 13.842546517, 9.65950881),
        (Propensity(replace=False), 13.841736960, None),
        (Mahalanobis(), 12.1299000626, None),
        (Mahalanobis(metric="overall"), 12.8125137569, 1.83861531337),
        (Mahalanobis(metric="overall", adjust=True), 10.211001010687, 0.910875886022),
        (Propensity(adjust=True), 10.19516221149, 4.41975145141),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Propensity | Mahalanobis) else "",
)
def test_the_notebooks_effect_on_the_treated_is_rs(method: Any, estimate: float, error: float | None) -> None:
    draw = notebook()
    found = method.fit(asked(draw, "ATT"), draw.frame)
    # written with 9 decimals
    assert found.estimate == pytest.approx(estimate, abs=6e-10)
    assert error is None or found.std_error == pytest.approx(error, rel=1e-9)


CASES = [
    (estimand, method)
    for estimand in ("ATT", "ATE")
    for method in (
        Propensity(), Propensity(on="logit", neighbours=2), Propensity(adjust=True, variance_neighbours=3),
        Mahalanobis(neighbours=3), Mahalanobis(metric="overall", adjust=True),
    )
] + [
    ("ATT", method)
    for method in (
        Propensity(replace=False), Propensity(replace=False, adjust=True, on="logit"),
        Propensity(replace=False, caliper=0.05), Propensity(caliper=0.02), Propensity(caliper=0.02, neighbours=2),
        Mahalanobis(replace=False, adjust=True), Mahalanobis(caliper=0.5), Mahalanobis(replace=False, caliper=0.5),
    )
]  # fmt: skip


@pytest.mark.parametrize(("estimand", "method"), CASES, ids=str)
def test_r_makes_the_same_pairs_and_the_same_numbers(estimand: str, method: Any) -> None:
    draw = TWINS["different"].draw(400, 3)
    agreed = crosscheck(method, asked(draw, estimand), draw.frame)
    agreed.assert_ok()
    assert agreed.alone == ()
    if method.caliper is not None:
        assert agreed.candidate.answer.parts["units dropped"] > 0


def test_equally_near_units_all_count_and_r_counts_the_same() -> None:
    """Whole years and a 0/1 column: hundreds of ties, at distances of zero and above."""
    draw = TWINS["different"].draw(400, 3)
    frame = draw.frame.assign(age=draw.frame["age"].round(-1), rich=(draw.frame["income"] > 60000).astype(int))
    for estimand in ("ATT", "ATE"):
        question = CausalQuestion("Y_obs", "T", ("age", "rich"), estimand=estimand)  # type: ignore[arg-type]
        for method in (Propensity(), Mahalanobis(adjust=True), Mahalanobis(metric="overall", neighbours=2)):
            agreed = crosscheck(method, question, frame)
            agreed.assert_ok()
            assert agreed.candidate.answer.parts["matches"] > 2000


def test_matching_on_cells_is_the_difference_within_cells() -> None:
    """With one 0/1 covariate each unit's matches are the other arm of its cell: stratification, in closed form."""
    draw = TWINS["different"].draw(400, 3)
    frame = draw.frame.assign(rich=(draw.frame["income"] > 60000).astype(int))
    cells = frame.groupby("rich").apply(
        lambda cell: pd.Series({
            "gap": cell.loc[cell["T"] == 1, "Y_obs"].mean() - cell.loc[cell["T"] == 0, "Y_obs"].mean(),
            "ATT": cell["T"].sum(), "ATE": len(cell),
        })
    )  # fmt: skip
    for estimand in ("ATT", "ATE"):
        question = CausalQuestion("Y_obs", "T", ("rich",), estimand=estimand)  # type: ignore[arg-type]
        expected = np.average(cells["gap"], weights=cells[estimand])
        for method in (Mahalanobis(), Propensity(), Mahalanobis(adjust=True)):
            # means of 400 numbers near 100, by two routes
            assert method.fit(question, frame).estimate == pytest.approx(expected, rel=1e-11)


def test_a_plain_call_of_matchit_is_wrong_and_the_check_of_pairs_says_so() -> None:
    """MatchIt before 4.5.4 truncates distances to integers: with scores it takes any unit, without a word."""
    draw = notebook()
    data = build(asked(draw, "ATT"), draw.frame)
    score = logit(data).score

    def plain_call(times: float) -> dict[str, float]:
        value = ask_r("match_plain", y=data.y, t=data.t, score=score, times=times).value
        return {name: float(number[0]) for name, number in value.items()}

    plain, scaled_up = plain_call(1.0), plain_call(1e9)
    assert (plain["wrong"], plain["pairs"]) == (326, 646)
    assert plain["estimate"] == pytest.approx(6.418, abs=5e-4)  # written with 3 decimals
    assert scaled_up["wrong"] == 0
    assert scaled_up["estimate"] == pytest.approx(13.842546517, abs=6e-10)
    # Matching calls scores equal that are not: at its default tolerance thousands, at tolerance 0 still one
    assert (plain["by_default"], plain["matching"]) == (4797, 647)


def brute(place: np.ndarray, units: np.ndarray, donors: np.ndarray, neighbours: int) -> dict[int, set[int]]:
    apart = cdist(place[units], place[donors])
    last = np.sort(apart, axis=1)[:, [neighbours - 1]]
    return {int(u): set(donors[row <= limit + 1e-9]) for u, row, limit in zip(units, apart, last, strict=True)}


@pytest.mark.parametrize("neighbours", [1, 4])
@pytest.mark.parametrize("grid", [False, True], ids=["apart", "tied"])
def test_nearest_units_are_those_of_brute_force(neighbours: int, grid: bool) -> None:
    random = np.random.default_rng(8)
    place = random.integers(0, 4, (300, 2)).astype(float) if grid else random.normal(size=(300, 3))
    units, donors = np.arange(100), np.arange(100, 300)
    found = nearest(place, units, donors, neighbours)
    assert {u: set(found.partner[found.unit == u]) for u in units} == brute(place, units, donors, neighbours)
    np.testing.assert_allclose(np.bincount(found.unit, found.weight), 1, rtol=1e-14)
    limit = float(np.quantile(found.distance, 0.5)) + 1e-12
    kept = nearest(place, units, donors, neighbours, caliper=limit)
    everyone = brute(place, units, donors, neighbours)
    near = {u for u in units if max(np.linalg.norm(place[list(everyone[u])] - place[u], axis=1)) <= limit}
    assert set(kept.unit) == near
    assert set(kept.dropped) == set(units) - near


def test_a_tie_that_rounding_breaks_is_a_tie() -> None:
    place = np.array([[0.0], [0.1 + 0.2], [-0.3], [0.3 + 1e-9]])
    assert nearest(place, np.array([0]), np.array([1, 2, 3])).partner.tolist() == [2, 1]


def test_a_score_that_says_nothing_leaves_all_equally_near() -> None:
    """Both arms have the same shares, so that the logit is flat and matching is the difference in means."""
    frame = pd.DataFrame({"x": [0, 1] * 20, "t": [1, 1, 0, 0] * 10, "y": np.arange(40.0) ** 2})
    found = Propensity(known_score=True).fit(CausalQuestion("y", "t", ("x",)), frame)
    means = frame.groupby("t")["y"].mean()
    assert found.estimate == pytest.approx(means[1] - means[0], rel=1e-12)
    assert found.answer.parts["matches"] == 800


def test_cells_with_too_many_equals_are_sent_to_stratification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ivbridge.causal.matched.MOST", 1000)
    with pytest.raises(DesignError, match="few cells"):
        nearest(np.zeros((200, 1)), np.arange(100), np.arange(100, 200))


def test_greedy_pairs_take_the_nearest_free_unit_in_turn() -> None:
    place = np.array([[0.0], [1.0], [0.4], [5.0], [-0.7]])
    found = greedy(place, [0, 1], np.array([2, 3, 4]))
    assert found.partner.tolist() == [2, 4]  # 2 is nearer to unit 1 as well, but gone
    assert greedy(place, [1, 0], np.array([2, 3, 4])).partner.tolist() == [2, 4]
    short = greedy(place, [0, 1], np.array([2, 3]), caliper=2.0)
    assert (short.partner.tolist(), short.dropped.tolist()) == ([2], [1])
    few = greedy(place, [0, 1, 4], np.array([2]))
    assert (few.unit.tolist(), few.dropped.tolist()) == ([0], [1, 4])


def test_the_variance_formula_in_a_case_that_can_be_done_by_hand() -> None:
    """Two treated share one control: tau = ((5 - 1) + (9 - 1))/2 = 6, K = 2, k2 = 2, s² = 8."""
    y, t = np.array([5.0, 9.0, 1.0, 5.0]), np.array([1.0, 1.0, 0.0, 0.0])
    matches = Matches(*(np.array(v) for v in ([0, 1], [2, 2], [1.0, 1.0], [0.0, 0.0], [])))
    spread = nearest_spread(y, t, np.array([[0.0], [0.1], [0.0], [3.0]]))
    assert spread.tolist() == [8.0, 8.0, 8.0, 8.0]  # (5 - 9)²/2 and (1 - 5)²/2
    found = matched_effect(y, t, matches, spread)
    assert found.estimate == 6
    assert found.std_error**2 == pytest.approx(((4 - 6) ** 2 + (8 - 6) ** 2 + 8 * (4 - 2)) / 4, rel=1e-15)


def test_pairs_without_replacement_have_the_paired_t_test() -> None:
    draw = TWINS["confounded"].draw(400, 3)
    found = Propensity(replace=False).fit(asked(draw, "ATT"), draw.frame)
    test = stats.ttest_1samp(found.answer.table["difference"], 0.0)
    assert found.statistic == pytest.approx(test.statistic, rel=1e-11)
    assert found.p_value == pytest.approx(test.pvalue, rel=1e-9)  # a power of 150 of what agrees to 1e-11
    assert found.answer.df == len(found.answer.table) - 1
    assert not found.answer.table["match"].duplicated().any()


@pytest.mark.parametrize("within", [True, False])
def test_whitened_coordinates_have_mahalanobis_distances(within: bool) -> None:
    draw = TWINS["confounded"].draw(200, 1)
    data = build(draw.question, draw.frame)
    x = (data.x - data.x.mean(axis=0)) / data.x.std(axis=0)
    parts = [x[data.treated], x[~data.treated]] if within else [x]
    pooled = sum((len(p) - 1) * np.cov(p.T) for p in parts) / (data.n - len(parts))
    expected = cdist(x, x, "mahalanobis", VI=np.linalg.inv(pooled))
    place = whitened(x, data.t, within=within)
    np.testing.assert_allclose(cdist(place, place), expected, rtol=1e-10, atol=1e-12)  # inverse of a 3 x 3 matrix


@pytest.mark.parametrize("method", [Propensity(), Propensity(replace=False), Mahalanobis(adjust=True)], ids=str)
def test_neither_the_order_of_rows_nor_the_units_of_covariates_matter(method: Any) -> None:
    draw = TWINS["different"].draw(400, 3)
    question = asked(draw, "ATT")
    first = method.fit(question, draw.frame)
    other = draw.frame.assign(income=draw.frame["income"] / 1e4, age=7 - draw.frame["age"] * 12).iloc[::-1]
    second = method.fit(question, other)
    # the score is solved to 1e-13; no pair changes
    assert second.estimate == pytest.approx(first.estimate, rel=1e-11)
    assert second.std_error == pytest.approx(first.std_error, rel=1e-9)


def test_a_caliper_drops_units_says_so_and_narrows_the_distances() -> None:
    draw = notebook()
    found = Propensity(caliper=0.05).fit(asked(draw, "ATT"), draw.frame)
    assert found.answer.parts["units dropped"] == 8  # R's count, asked by matrix of distances
    assert "8 of 646 treated units have no match within the caliper" in found.summary()
    assert found.answer.table["distance"].max() <= 0.05


def test_the_imbalance_that_is_left_is_warned_of() -> None:
    """40 % are treated: controls run out, and the last treated get whoever is left."""
    draw = TWINS["confounded"].draw(1000, 3)
    question = asked(draw, "ATT")
    left = Propensity(replace=False).fit(question, draw.frame)
    assert "still differs by" in left.answer.warnings[0]
    assert "adjust=True" in left.answer.warnings[0]
    assert left.conf_int()[0] > draw.truth
    assert Mahalanobis(adjust=True).fit(question, draw.frame).answer.warnings == ()
    repaired = Propensity(replace=False, adjust=True).fit(question, draw.frame)
    assert "adjust=True" not in repaired.answer.warnings[0]
    assert repaired.conf_int()[0] < draw.truth < repaired.conf_int()[1]


def test_the_correction_for_the_score_that_leaves_no_variance_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ivbridge.causal.methods.propensity_matching.variance_change", lambda *_: -1e6)
    draw = TWINS["confounded"].draw(400, 3)
    found, known = (Propensity(known_score=k).fit(draw.question, draw.frame) for k in (False, True))
    assert found.std_error == known.std_error
    assert "leaves no variance" in found.answer.warnings[0]


def test_covariates_that_decide_the_treatment_can_be_matched_on_but_not_silently() -> None:
    frame = pd.DataFrame({"x": np.arange(40.0), "t": np.repeat([0, 1], 20), "y": np.arange(40.0) ** 1.5})
    question = CausalQuestion("y", "t", ("x",), estimand="ATT")
    found = Mahalanobis().fit(question, frame)
    assert found.overlap is None
    assert "separate treated from untreated" in found.answer.warnings[-1]
    with pytest.raises(DesignError, match="separate"):
        Propensity().fit(question, frame)
    draw = notebook()
    overlap = Mahalanobis().fit(asked(draw, "ATT"), draw.frame).overlap
    assert overlap is not None
    assert overlap.n_treated == overlap.ess_treated == 646
    assert overlap.ess_control < overlap.n_control < 646  # controls in use, some of them twice


def test_no_correction_is_made_where_none_is_known() -> None:
    """Abadie and Imbens (2016) have it for the plain estimate, not after the bias adjustment."""
    draw = TWINS["experiment"].draw(400, 3)
    plain, adjusted = (Propensity(adjust=a).fit(draw.question, draw.frame) for a in (False, True))
    known = Propensity(adjust=True, known_score=True).fit(draw.question, draw.frame)
    assert plain.std_error < plain.answer.parts["std.error, score known"]
    assert adjusted.std_error == known.std_error
    assert adjusted.answer.vcov == "Abadie and Imbens (2006)"


DRAW = TWINS["confounded"].draw(60, 3)
TWICE = DRAW.frame.assign(again=DRAW.frame["age"] * 2)
ALIKE = dataclasses.replace(DRAW.question, covariates=(*DRAW.question.covariates, "again"))


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Propensity(neighbours=0), DataError, "count units"),
        (lambda: Mahalanobis(variance_neighbours=0), DataError, "count units"),
        (lambda: Propensity(caliper=0.0), DataError, "caliper"),
        (lambda: Propensity(replace=False, neighbours=2), DataError, "makes pairs"),
        (lambda: Propensity(on="odds"), DataError, "score, logit"),  # type: ignore[arg-type]
        (lambda: Mahalanobis(metric="city"), DataError, "within, overall"),  # type: ignore[arg-type]
        (lambda: Propensity(replace=False).fit(DRAW.question, DRAW.frame), UnsupportedError, "no longer the ATE"),
        (lambda: Mahalanobis(caliper=1.0).fit(DRAW.question, DRAW.frame), UnsupportedError, "no longer the ATE"),
        (lambda: Mahalanobis(replace=False).reference(build(DRAW.question, DRAW.frame), 0), UnsupportedError, "ATE"),
        (lambda: Mahalanobis().fit(ALIKE, TWICE), DesignError, "linearly dependent"),
        (lambda: Mahalanobis(caliper=1e-9).fit(asked(DRAW, "ATT"), DRAW.frame), DesignError, "within the caliper"),
        (lambda: Mahalanobis(caliper=1e-9, replace=False).fit(asked(DRAW, "ATT"), DRAW.frame), DesignError, "caliper"),
        (lambda: Mahalanobis(neighbours=50).fit(DRAW.question, DRAW.frame), DesignError, "fewer neighbours"),
        (lambda: Mahalanobis(variance_neighbours=50).fit(DRAW.question, DRAW.frame), DesignError, "in each arm"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_by_name(make: Callable[[], object], kind: type, message: str) -> None:
    with pytest.raises(kind, match=message):
        make()


def test_an_adjustment_needs_covariates_that_differ_among_the_matches() -> None:
    """Only treated units and controls out of reach have the value 1."""
    x = np.r_[np.arange(20.0), np.arange(20.0) + 0.1, 500.0, 501.0]
    frame = pd.DataFrame(
        {"x": x, "odd": np.r_[np.ones(3), np.zeros(37), 1.0, 1.0], "t": np.r_[np.ones(20), np.zeros(22)]}
    )
    frame["y"] = frame["x"] * 2
    question = CausalQuestion("y", "t", ("x", "odd"), estimand="ATT")
    data = build(question, frame)
    found = nearest(data.x[:, :1], np.arange(20), np.arange(20, 42))
    with pytest.raises(DesignError, match="among the units in use as matches"):
        matched_effect(data.y, data.t, found, np.ones(42), data.x)


def covered(method: Any, world: str, draws: int) -> float:
    twin, inside = TWINS[world], 0
    for seed in range(1, draws + 1):
        draw = twin.draw(1000, seed)
        low, high = method.fit(draw.question, draw.frame).conf_int()
        inside += low <= draw.truth <= high
    return inside / draws


#: Limits that the share of 300 intervals of true coverage .95 leaves once in a thousand times.
BAND = tuple(stats.binom.ppf([0.0005, 0.9995], 300, 0.95) / 300)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("world", "method"),
    [
        ("experiment", Propensity()), ("confounded", Propensity()), ("bent-different-att", Propensity()),
        ("bent", Propensity(on="logit")), ("different", Mahalanobis(adjust=True)), ("experiment", Mahalanobis()),
        ("confounded", Propensity(adjust=True)),
    ],
    ids=str,
)  # fmt: skip
def test_intervals_cover_the_truth_as_often_as_they_say(world: str, method: Any) -> None:
    low, high = BAND
    assert low <= covered(method, world, 300) <= high


@pytest.mark.slow
def test_the_correction_brings_the_error_down_to_the_spread_of_the_estimates() -> None:
    """Abadie and Imbens (2016): what the estimated score explains by chance in an experiment is no error."""
    estimates, corrected, known = [], [], []
    for seed in range(1, 301):
        draw = TWINS["experiment"].draw(1000, seed)
        found = Propensity().fit(draw.question, draw.frame)
        estimates.append(found.estimate)
        corrected.append(found.std_error)
        known.append(found.answer.parts["std.error, score known"])
    spread = np.std(estimates, ddof=1)
    # the standard deviation of 300 draws has an error of 4 %; 15 % is more than three of them
    assert np.mean(corrected) == pytest.approx(spread, rel=0.15)
    assert np.mean(known) > 1.2 * spread
