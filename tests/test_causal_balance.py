"""Balance: MatchIt's numbers, closed forms of weights that balance exactly, and the plot."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pandas as pd
import pytest

from ivbridge.causal.balance import SCORE, balance, love_plot
from ivbridge.causal.matched import unit_weights
from ivbridge.causal.methods.difference import Difference
from ivbridge.causal.methods.mahalanobis_matching import MahalanobisMatching
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.causal.r_side import ask_r
from ivbridge.causal.scenarios import TWINS, notebook
from ivbridge.errors import DataError, DesignError

NAMES = ["mean treated", "mean control", "difference", "variance ratio"]


def with_a_binary_covariate(estimand: str) -> CausalData:
    draw = TWINS["different"].draw(500, 2)
    frame = draw.frame.assign(urban=(draw.frame["income"] > 65000).astype(int))
    question = CausalQuestion("Y_obs", "T", (*draw.question.covariates, "urban"), estimand=estimand)  # type: ignore[arg-type]
    return build(question, frame)


@pytest.mark.parametrize("estimand", ["ATE", "ATT"])
def test_the_table_is_matchits(estimand: str) -> None:
    data = with_a_binary_covariate(estimand)
    weights = np.random.default_rng(3).uniform(0, 3, data.n) * (np.arange(data.n) % 5 > 0)
    found = balance(data, weights).table
    r = ask_r("balance", t=data.t, x=data.x, weights=weights, estimand=estimand).value
    assert list(r["names"]) == ["X1", "X2", "X3", "X4"]
    for when, suffix in (("before", ""), ("after", " after")):
        theirs = r[when]
        ours = found[[name + suffix for name in NAMES]].to_numpy()
        # means and variances of 500 numbers up to 1e5, by two routes
        np.testing.assert_allclose(ours, theirs[:, :4], rtol=1e-11)
        np.testing.assert_allclose(found["KS" + suffix], theirs[:, 5], rtol=1e-11)


def test_a_binary_covariate_has_no_variance_ratio_and_its_ks_is_the_difference_of_shares() -> None:
    row = balance(with_a_binary_covariate("ATE")).table.loc["urban"]
    assert math.isnan(row["variance ratio"])
    assert row["KS"] == pytest.approx(abs(row["mean treated"] - row["mean control"]), rel=1e-12)


def test_inverse_weights_of_cells_balance_their_indicators_exactly() -> None:
    """Each cell gets the weight n(cell)/n(cell, arm), after which both arms have the shares of all units."""
    data = with_a_binary_covariate("ATE")
    urban, weights = data.x[:, 3], np.empty(data.n)
    for level in (0.0, 1.0):
        for arm in (0.0, 1.0):
            cell = (urban == level) & (data.t == arm)
            weights[cell] = (urban == level).sum() / cell.sum()
    row = balance(data, weights).table.loc["urban"]
    # a sum of 500 weights
    assert abs(row["difference after"]) < 1e-12
    assert row["KS after"] < 1e-12
    assert row["mean treated after"] == pytest.approx(urban.mean(), rel=1e-12)
    assert abs(row["difference"]) > 0.3


def test_equal_weights_change_nothing_and_their_scale_does_not_matter() -> None:
    data = with_a_binary_covariate("ATT")
    found = balance(data, np.full(data.n, 7.0))
    for name in (*NAMES, "KS"):
        np.testing.assert_allclose(found.table[name + " after"], found.table[name], rtol=1e-12)
    assert (found.ess_treated, found.ess_control) == pytest.approx((data.t.sum(), data.n - data.t.sum()), rel=1e-12)


def test_weights_of_a_matching_count_each_treated_once_and_controls_by_use() -> None:
    draw = notebook()
    question = dataclasses.replace(draw.question, estimand="ATT")
    data = build(question, draw.frame)
    table = MahalanobisMatching().fit(question, data).answer.table
    weights = unit_weights(table, data.n)
    assert (weights[data.treated] == 1).all()
    assert weights[~data.treated].sum() == 646
    assert weights[~data.treated].max() == table["match"].value_counts().iloc[0]
    before, after = balance(data), balance(data, weights, score=data.x[:, 1] / 1e6)
    assert before.worst[0] == "income"
    assert not before.ok
    assert after.ok
    assert set(after.table.index) == {*draw.question.covariates, SCORE}


def test_text_and_json_name_the_worst_covariate() -> None:
    found = balance(with_a_binary_covariate("ATE"))
    assert found.worst[0] in found.summary()
    assert "At least one difference is large" in found.summary()
    draw = notebook()
    turned = balance(build(draw.question, draw.frame.assign(income=-draw.frame["income"])))
    assert turned.worst[0] == "income"
    assert turned.worst[1] < -0.7  # .79 of the treated's standard deviations, turned round
    said = json.loads(found.to_json())
    assert said["worst"] == found.worst[0]
    assert said["rows"][0]["covariate"] == "age"


def test_a_covariate_that_differs_without_spread_is_infinitely_far() -> None:
    frame = pd.DataFrame({"y": [1.0, 2.0, 3.0, 5.0], "t": [0, 0, 1, 1], "x": [2.0, 2.0, 3.0, 3.0]})
    data = build(CausalQuestion("y", "t", ("x",)), frame)
    constant = np.column_stack([data.x, np.full(4, 4.0)])  # as subsets of units can have it
    table = balance(dataclasses.replace(data, x=constant, x_names=("x", "c"))).table
    assert table["difference"].tolist() == [math.inf, 0.0]
    assert table["KS"].tolist() == [1.0, 0.0]


def test_wrong_weights_are_refused() -> None:
    data = with_a_binary_covariate("ATE")
    for weights, message in (
        (np.ones(3), "weights of shape"),
        (np.full(data.n, -1.0), "negative"),
        (np.full(data.n, math.nan), "not finite"),
    ):
        with pytest.raises(DataError, match=message):
            balance(data, weights)
    with pytest.raises(DesignError, match="No untreated unit"):
        balance(data, data.t)
    with pytest.raises(DesignError, match="names no covariates"):
        balance(build(CausalQuestion("Y_obs", "T"), notebook(n=50).frame))
    with pytest.raises(DataError, match="table of matches"):
        unit_weights(Difference().fit(data.question, data).answer.table, data.n)


def test_the_love_plot_shows_each_covariate_before_and_after_largest_on_top() -> None:
    data = with_a_binary_covariate("ATE")
    found = balance(data, np.ones(data.n))
    axes = love_plot(found).axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    sizes = found.table["difference"].abs()
    assert labels == list(sizes.sort_values(ascending=False).index)
    points = {line.get_label(): line.get_xdata() for line in axes.lines if line.get_marker() in ("o", "D")}
    np.testing.assert_array_equal(points["before"], sizes[labels])
    np.testing.assert_array_equal(points["after"], found.table["difference after"].abs()[labels])
    assert len([line for line in love_plot(balance(data)).axes[0].lines if line.get_marker() == "o"]) == 1
