"""The propensity score is a maximum, separation is told from extremes, and weights that rest on few units are seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from ivbridge.causal.methods.aipw import AIPW
from ivbridge.causal.methods.ipw import IPW
from ivbridge.causal.methods.lin import Lin
from ivbridge.causal.methods.regression import Regression
from ivbridge.causal.overlap import describe, look, refuse
from ivbridge.causal.propensity import logit, separated, standardised
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.causal.scenarios import TWINS, notebook
from ivbridge.causal.weights import weigh
from ivbridge.errors import DataError, DesignError

NOTEBOOK = notebook()


# -- the propensity score ----------------------------------------------------------------------------------------------


def test_the_logit_is_the_maximum_and_a_penalty_is_not() -> None:
    data = build(NOTEBOOK.question, NOTEBOOK.frame)
    fit = logit(data)
    assert np.abs(fit.design.T @ (data.t - fit.score)).max() / data.n < 1e-13  # the first-order condition
    np.testing.assert_allclose(special.expit(fit.coef[0] + data.x @ fit.coef[1:]), fit.score, rtol=1e-10)
    other = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12).fit(fit.design[:, 1:], data.t)
    np.testing.assert_allclose(other.predict_proba(fit.design[:, 1:])[:, 1], fit.score, rtol=1e-9)
    assert fit.coef[2] == pytest.approx(5.838e-5, rel=1e-3)  # R's glm, to the digits written down
    penalised = LogisticRegression(C=1.0).fit(fit.design[:, 1:], data.t).predict_proba(fit.design[:, 1:])[:, 1]
    assert np.abs(penalised - fit.score).max() > 1e-3  # so that the comparison above is not one of any two logits


def table(t: list[int], **columns: list[float]) -> CausalData:
    frame = pd.DataFrame({"y": np.arange(len(t), dtype=float), "t": t, **columns})
    return build(CausalQuestion("y", "t", tuple(columns)), frame)


def test_separation_is_told_from_a_score_that_is_merely_extreme() -> None:
    random = np.random.default_rng(2)
    x = random.normal(size=400)
    complete = table([int(v > 0.1) for v in x], x=list(x))
    # a rare level that is always treated: the coefficient of the standardised column stays moderate
    rare = [1.0] * 4 + [0.0] * 396
    quasi = table([1] * 4 + list(random.binomial(1, 0.5, 396)), rare=rare, x=list(x))
    for data in (complete, quasi):
        with pytest.raises(DesignError, match="separate treated from untreated"):
            logit(data)
        assert separated(standardised(data), data.t)
        assert look(data)[0] is None and "No propensity score" in look(data)[1][0]
    wide = 10 * x
    far = table(list(random.binomial(1, special.expit(wide))), x=list(wide))
    assert logit(far).score.min() < 1e-7 and not separated(standardised(far), far.t)


def test_separation_by_brute_force() -> None:
    """One covariate and a constant: separated if, and only if, some cut leaves no unit on the wrong side."""
    random = np.random.default_rng(6)
    seen = set()
    for _ in range(150):
        x = random.integers(0, 4, 7).astype(float)
        t = random.integers(0, 2, 7).astype(float)
        if len(set(x)) < 2 or t.min() == t.max():
            continue
        signs = [np.where(x <= cut, -1, 1) for cut in range(3)]
        one, zero = x[t == 1], x[t == 0]
        expected = one.min() >= zero.max() or one.max() <= zero.min()
        design = np.column_stack([np.ones(7), (x - x.mean()) / x.std()])
        assert separated(design, t) == expected, (x, t, signs)
        seen.add(expected)
    assert seen == {True, False}


def test_covariates_that_no_logit_can_have() -> None:
    with pytest.raises(DesignError, match="'c' does not vary"):
        logit(table([0, 1, 0, 1], x=[1, 2, 4, 3], c=[0.1, 0.1, 0.1, 0.1]))
    with pytest.raises(DesignError, match="linearly dependent"):
        logit(table([0, 1, 0, 1, 1], x=[1, 2, 4, 3, 2], z=[2, 4, 8, 6, 4]))


# -- overlap -----------------------------------------------------------------------------------------------------------


def test_effective_sample_sizes_and_reasons() -> None:
    t = np.repeat([1.0, 0.0], 100)
    score = np.tile(np.linspace(0.3, 0.7, 100), 2)
    plain = describe(score, t)
    assert (plain.verdict, plain.reasons, plain.ess_treated, plain.ess_control) == ("fine", (), 100, 100)
    heavy = np.ones(200)
    heavy[0] = 99.0  # (99 + 99)² / (99² + 99) = 3.96
    found = describe(score, t, heavy)
    assert found.ess_treated == pytest.approx(198**2 / (99**2 + 99)) and found.max_weight == pytest.approx(99 / 1.98)
    assert found.verdict == "warn" and "leave 3.96 of 100 treated units" in found.reasons[0]
    assert "stands for 50 units" in found.reasons[1]
    refuse(found)
    heavy[0] = 1e4
    found = describe(score, t, heavy)
    assert found.verdict == "stop"  # 1.02 units are left
    with pytest.raises(DesignError, match=r"leave 1\.02 of 100 treated units.*What to do|ask for the ATT"):
        refuse(found)


@pytest.mark.parametrize(("left", "verdict"), [(15, "stop"), (25, "warn"), (499, "warn"), (501, "fine")])
def test_shares_of_a_large_arm(left: int, verdict: str) -> None:
    t = np.repeat([1.0, 0.0], 1000)
    weights = np.r_[np.ones(1000), np.ones(left), np.zeros(1000 - left)]
    found = describe(np.full(2000, 0.5), t, weights)
    assert found.ess_control == left and found.verdict == verdict


def test_extreme_scores_count_where_they_do_harm() -> None:
    t = np.repeat([1.0, 0.0], 100)
    score = np.r_[np.linspace(0.3, 0.7, 100), np.linspace(0.3, 0.7, 94), np.full(5, 0.001), 0.2]
    found = describe(score, t)
    assert found.beyond == 0.025 and found.verdict == "warn"
    assert found.reasons == ("2% of the scores lie outside 0.01 to 0.99.",
                             "6% of the control units have a score that no treated unit reaches.")  # fmt: skip
    assert describe(score, t, estimand="ATT").verdict == "fine"
    assert describe(1 - score, 1 - t, estimand="ATT").beyond == 0.025
    assert "no control unit reaches" in describe(1 - score, 1 - t, estimand="ATT").reasons[1]


@pytest.mark.parametrize("weights", [[1, 1, -1, 1], [0, 0, 1, 1], [1, np.inf, 1, 1], [1, np.nan, 1, 1]])
def test_weights_that_are_none(weights: list[float]) -> None:
    with pytest.raises(DataError, match="not negative"):
        describe(np.full(4, 0.5), np.array([1.0, 1, 0, 0]), np.array(weights, dtype=float))


def test_the_twin_with_poor_overlap_is_warned_of_and_the_good_ones_are_not() -> None:
    for name, verdict in (("experiment", "fine"), ("confounded", "fine"), ("poor-overlap", "warn")):
        draw = TWINS[name].draw(2000, 3)
        for method in (IPW(), AIPW(), Regression(), Lin()):
            assert method.fit(draw.question, draw.frame).overlap.verdict == verdict, (name, method)


def test_next_to_no_overlap_stops_until_units_are_trimmed() -> None:
    random = np.random.default_rng(12)
    x = random.normal(0, 6, 3000)
    t = random.binomial(1, special.expit(x))
    frame = pd.DataFrame({"y": x + 2 * t + random.normal(size=3000), "t": t, "x": x})
    question = CausalQuestion("y", "t", ("x",))
    for method in (IPW, AIPW):
        with pytest.raises(DesignError, match="effective sample size"):
            method().fit(question, frame)
        trimmed, clipped = method(trim=0.1).fit(question, frame), method(clip=0.05).fit(question, frame)
        score = logit(build(question, frame)).score
        kept = int(((score >= 0.1) & (score <= 0.9)).sum())
        assert trimmed.answer.used == kept and f"{3000 - kept} of 3000 units were dropped" in trimmed.summary()
        assert trimmed.answer.influence is None and trimmed.unit_effects is None and trimmed.n == 3000
        moved = int(((score < 0.05) | (score > 0.95)).sum())
        assert f"{moved} of 3000 scores were moved" in clipped.summary() and clipped.answer.used == 3000
        assert abs(trimmed.estimate - 2) < 4 * trimmed.std_error


def test_an_arm_of_one_unit_is_too_little_to_trim_to() -> None:
    draw = TWINS["poor-overlap"].draw(300, 3)
    data = build(draw.question, draw.frame)
    apart = np.sort(np.abs(logit(data).score[data.treated] - 0.5))
    with pytest.raises(DesignError, match="fewer than two units in an arm"):
        weigh(data, trim=float(0.5 - (apart[0] + apart[1]) / 2))
    assert weigh(data, trim=float(0.5 - (apart[2] + apart[3]) / 2)).data.t.sum() == 3


def test_a_score_that_leaves_covariates_apart_is_seen() -> None:
    """The notebook's treatment follows steps of income, which a logit of income misses; its twin's is a logit."""
    draw = TWINS["confounded"].draw(2000, 3)
    for method in (IPW(), AIPW()):
        (warning,) = method.fit(NOTEBOOK.question, NOTEBOOK.frame).answer.warnings
        assert "After weighting income still differs by -0.27 standard deviations" in warning
        assert method.fit(draw.question, draw.frame).answer.warnings == ()


def test_limits_for_the_treated_are_one_sided() -> None:
    draw = TWINS["poor-overlap"].draw(1500, 3)
    data = build(replace(draw.question, estimand="ATT"), draw.frame)
    plain, clipped, trimmed = weigh(data), weigh(data, clip=0.2), weigh(data, trim=0.2)
    assert clipped.score.max() == 0.8 and clipped.score.min() == plain.score.min() < 0.2
    assert trimmed.data.n == int((plain.score <= 0.8).sum()) < data.n
    np.testing.assert_allclose(plain.weights, np.where(data.treated, 1, plain.score / (1 - plain.score)), rtol=1e-14)
