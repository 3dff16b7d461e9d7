"""Certainty equivalents and rankings under risk aversion: closed forms, base R, invariants, known worlds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ivbridge.causal.crossfit import Learner, draw_folds
from ivbridge.causal.methods.s_learner import SLearner
from ivbridge.causal.methods.t_learner import TLearner
from ivbridge.causal.question import CausalQuestion, build
from ivbridge.causal.r_side import ask_r
from ivbridge.causal.risk import (
    Attitude,
    ConstantAbsolute,
    ConstantRelative,
    MeanVariance,
    compare_arms,
    rank_units,
)
from ivbridge.causal.scenarios import TWINS
from ivbridge.errors import DataError, DesignError

#: Some thousand roundings of sums whose terms are of size 1e2, and a logarithm.
SUMS = 1e-10
ATTITUDES: tuple[Attitude, ...] = (MeanVariance(), MeanVariance(0.1), ConstantAbsolute(0.05), ConstantRelative(1.0),
                                   ConstantRelative(3.0))  # fmt: skip
MIXED = CausalQuestion("y", "t", ("x",))


def gamble(n: int, seed: int = 1) -> pd.DataFrame:
    """Outcomes N(20, 1 + 1) without treatment and N(21, 1 + 9) with it; x acts on the outcome and on the choice."""
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    t = (random.uniform(size=n) < 1 / (1 + np.exp(-x))).astype(float)
    return pd.DataFrame({"y": 20 + x + t + (1 + 2 * t) * random.normal(size=n), "t": t, "x": x})


@pytest.mark.parametrize(
    ("kind", "attitude"),
    [("absolute", ConstantAbsolute(0.05)), ("absolute", ConstantAbsolute(0.2)), ("relative", ConstantRelative(3.0)),
     ("relative", ConstantRelative(0.5))],
)  # fmt: skip
def test_base_r_has_the_same(kind: str, attitude: Any) -> None:
    draw = TWINS["bent-different"].draw(800, 3)
    data = build(draw.question, draw.frame)
    found = compare_arms(draw.question, data, attitude, seed=2)
    folds = draw_folds(data.n, 5, 2, data.t)
    theirs = ask_r("certainty", kind=kind, aversion=attitude.aversion, y=data.y, t=data.t, x=data.x, folds=folds,
                   clip=0.01).value  # fmt: skip
    assert [found.without, found.treated] == pytest.approx(list(theirs["value"]), rel=SUMS)
    # utilities of another scale, whose errors a derivative of 1e-2 to 1e2 brings back
    assert [found.without_error, found.treated_error, found.gain_error] == pytest.approx(
        list(theirs["std_error"]), rel=1e-8
    )
    assert found.gain == pytest.approx(found.treated - found.without, rel=1e-12)


@pytest.mark.parametrize("attitude", [ConstantAbsolute(0.3), MeanVariance(0.3)], ids=str)
def test_normal_outcomes_in_closed_form(attitude: Attitude) -> None:
    """Both attitudes give mean - a·variance/2: 20 - .15·2 and 21 - .15·10; the gain of 1 on average is lost."""
    found = compare_arms(MIXED, gamble(40_000), attitude)
    assert abs(found.without - 19.7) < 4 * found.without_error  # 1 in 16,000 for each
    assert abs(found.treated - 19.5) < 4 * found.treated_error
    assert abs(found.gain + 0.2) < 4 * found.gain_error
    assert found.gain_error < 0.06
    neutral = compare_arms(MIXED, gamble(40_000), MeanVariance())
    assert abs(neutral.gain - 1) < 4 * neutral.gain_error and neutral.gain > 0.8
    assert "no treatment is preferred" in found.summary() and ": treatment is preferred" in neutral.summary()


def test_lognormal_outcomes_in_closed_form() -> None:
    """With log Y ~ N(m, s²), relative aversion g makes the certainty equivalent exp(m + (1 - g) s²/2)."""
    frame = gamble(40_000, seed=4)
    frame["y"] = np.exp(frame["y"] / 10)
    for g in (1.0, 2.0, 4.0):
        found = compare_arms(MIXED, frame, ConstantRelative(g))
        exact = [math.exp(2.0 + (1 - g) * 0.02 / 2), math.exp(2.1 + (1 - g) * 0.1 / 2)]
        assert abs(found.without - exact[0]) < 4 * found.without_error
        assert abs(found.treated - exact[1]) < 4 * found.treated_error
        assert found.treated_error < 0.05


def test_neutral_is_the_average_effect() -> None:
    draw = TWINS["different"].draw(700, 1)
    found = compare_arms(draw.question, draw.frame, MeanVariance(), seed=5)
    effect = TLearner().fit(draw.question, draw.frame, seed=5)
    assert found.gain == pytest.approx(effect.estimate, rel=SUMS)
    assert found.gain_error == pytest.approx(effect.std_error, rel=SUMS)
    assert found.p_value == pytest.approx(effect.p_value, rel=1e-6, abs=1e-300)


def test_a_little_aversion_is_nearly_none() -> None:
    """CE = mean - a·var/2 + O(a²): the distance shrinks with the aversion, and relative aversion goes through 1."""
    draw = TWINS["different"].draw(700, 1)
    neutral = compare_arms(draw.question, draw.frame, MeanVariance()).gain
    gaps = [abs(compare_arms(draw.question, draw.frame, ConstantAbsolute(a)).gain - neutral) for a in (1e-2, 1e-4)]
    assert gaps[1] < gaps[0] / 50
    one = compare_arms(draw.question, draw.frame, ConstantRelative(1.0))
    near = compare_arms(draw.question, draw.frame, ConstantRelative(1 + 1e-6))
    assert near.gain == pytest.approx(one.gain, abs=1e-4)
    assert near.gain_error == pytest.approx(one.gain_error, rel=1e-4)


def test_levels_and_units() -> None:
    """Absolute aversion does not mind the level of outcomes, relative aversion not their unit."""
    draw = TWINS["different"].draw(700, 1)
    higher = draw.frame.assign(Y_obs=draw.frame["Y_obs"] + 1000)
    larger = draw.frame.assign(Y_obs=draw.frame["Y_obs"] * 1000)
    absolute = [compare_arms(draw.question, frame, ConstantAbsolute(0.1)) for frame in (draw.frame, higher)]
    relative = [compare_arms(draw.question, frame, ConstantRelative(3.0)) for frame in (draw.frame, larger)]
    assert absolute[1].treated == pytest.approx(absolute[0].treated + 1000, rel=SUMS)
    assert absolute[1].gain_error == pytest.approx(absolute[0].gain_error, rel=1e-8)
    assert relative[1].without == pytest.approx(1000 * relative[0].without, rel=SUMS)
    assert relative[1].gain_error == pytest.approx(1000 * relative[0].gain_error, rel=1e-8)


@pytest.mark.parametrize("attitude", ATTITUDES, ids=str)
def test_derivatives(attitude: Attitude) -> None:
    """Central differences, whose error is about step² = 1e-10; and utility has the derivative 1 at its unit."""
    y = np.array([90.0, 100.0, 125.0])
    unit = attitude.unit(y)
    means = attitude.moments(y, unit).mean(axis=0)
    _, slopes = attitude.equivalent(means, unit)
    for j, slope in enumerate(slopes):
        step = np.zeros_like(means)
        step[j] = 1e-5
        rise = attitude.equivalent(means + step, unit)[0] - attitude.equivalent(means - step, unit)[0]
        assert slope == pytest.approx(rise / 2e-5, rel=1e-6)
    near = attitude.moments(np.array([unit - 1e-4, unit + 1e-4]), unit)[:, 0]
    assert (near[1] - near[0]) / 2e-4 == pytest.approx(1, rel=1e-6)
    alone = attitude.equivalent(attitude.moments(np.array([115.0]), unit)[0], unit)[0]
    assert alone == pytest.approx(115.0, rel=1e-12)  # a sure outcome is worth itself


@pytest.mark.parametrize("attitude", [ConstantAbsolute(0.1), ConstantRelative(4.0)], ids=str)
def test_groups_gain_what_they_are_said_to_gain(attitude: Any) -> None:
    draw = TWINS["different"].draw(8000, 2)
    found = rank_units(draw.question, draw.frame, attitude, groups=4, method=TLearner(folds=4))
    unit = attitude.unit(draw.frame["Y_obs"].to_numpy())
    gained = (attitude.moments(draw.y1, unit) - attitude.moments(draw.y0, unit))[:, 0]
    assert found.table["group"].tolist() == [3, 2, 1, 0] and set(found.table["n"]) <= {999, 1000}
    order = []
    for row in found.table.itertuples():
        here = found.held[found.group == row.group]
        assert abs(row.gain - gained[here].mean()) < 4 * row.std_error + 4 * gained[here].std() / math.sqrt(1000)
        order.append(row.predicted)
    assert order == sorted(order, reverse=True)
    assert found.informative and "noise" not in found.summary()
    gains, errors = found.table["gain"].to_numpy(), found.table["std_error"].to_numpy()
    assert found.contrast == pytest.approx(gains[0] - gains[-1], rel=1e-12)
    assert found.contrast_error == pytest.approx(math.sqrt(errors[0] ** 2 + errors[-1] ** 2), rel=1e-12)
    best, worst = (found.held[found.group == one] for one in (3, 0))
    assert gained[best].mean() > gained[worst].mean() + 2
    assert len(found.gain) == 8000 and found.gain[best].mean() > found.gain[worst].mean() + 2


def test_groups_are_measured_by_units_that_their_predictions_have_not_seen() -> None:
    """Other outcomes in the half that judges leave who is in which group as it was."""
    draw = TWINS["different"].draw(400, 2)
    first = rank_units(draw.question, draw.frame, MeanVariance(), groups=4)
    random, moved = np.random.default_rng(0), draw.frame.copy()
    moved.loc[first.held, "Y_obs"] += random.normal(0, 50, len(first.held))
    moved.loc[first.held, "Y_obs"] -= moved["Y_obs"].mean() - draw.frame["Y_obs"].mean()  # the unit is the mean
    again = rank_units(draw.question, moved, MeanVariance(), groups=4)
    assert np.array_equal(again.held, first.held) and np.array_equal(again.group, first.group)
    assert again.contrast != first.contrast


def test_order_without_differences_is_called_noise() -> None:
    """One effect for all, no aversion: the contrast over its error is standard normal, and 5 % are informative."""
    informative, sizes = 0, []
    for seed in range(60):
        draw = TWINS["confounded"].draw(300, seed)
        found = rank_units(draw.question, draw.frame, MeanVariance(), seed=seed)
        informative += found.informative
        assert found.informative == ("noise" not in found.summary())
        sizes.append(found.contrast / found.contrast_error)
    assert informative <= 9  # P(Binomial(60, .05) > 9) = .001
    assert abs(np.mean(sizes)) < 3.3 / math.sqrt(60)  # 3.3 standard errors, 1 in 1000; so the next
    assert abs(np.std(sizes) - 1) < 3.3 / math.sqrt(120)


def test_other_learners_and_seeds() -> None:
    draw = TWINS["different"].draw(600, 2)
    forest = TLearner(learner=Learner("forest", trees=8, leaf=10), folds=2)
    found = [
        rank_units(draw.question, draw.frame, ConstantAbsolute(0.05), method=method, seed=seed)
        for method, seed in ((forest, 1), (SLearner(folds=2), 1), (forest, 2))
    ]
    assert not np.array_equal(found[0].gain, found[1].gain) and not np.array_equal(found[0].gain, found[2].gain)


def test_refusals() -> None:
    draw = TWINS["different"].draw(400, 1)
    question, frame = draw.question, draw.frame
    for made in (ConstantAbsolute, ConstantRelative):
        for aversion in (0.0, -1.0, math.inf, math.nan):
            with pytest.raises(DataError, match="aversion"):
                made(aversion)
    with pytest.raises(DataError, match="at least 0"):
        MeanVariance(-0.1)
    with pytest.raises(DataError, match="lowest is"):
        compare_arms(question, frame.assign(Y_obs=frame["Y_obs"] - 120), ConstantRelative(2.0))
    with pytest.raises(DataError, match="overflow"):
        compare_arms(question, frame, ConstantAbsolute(50.0))
    with pytest.raises(DataError, match="do not add up"):
        rank_units(question, frame, MeanVariance(0.1))
    with pytest.raises(DataError, match="1 groups"):
        rank_units(question, frame, MeanVariance(), groups=1)
    with pytest.raises(DataError, match="ATT"):
        compare_arms(replace(question, estimand="ATT"), frame, MeanVariance())
    with pytest.raises(DesignError, match="none that an outcome has"):
        compare_arms(MIXED, lopsided(), ConstantAbsolute(1.0))


def lopsided() -> pd.DataFrame:
    """A line through utilities that fall steeply says more than any outcome has where no untreated unit is."""
    random = np.random.default_rng(0)
    x = np.linspace(-1, 3, 400)
    t = (random.uniform(size=400) < 1 / (1 + np.exp(-4 * x))).astype(float)
    return pd.DataFrame({"y": 4 * x + 0.1 * random.normal(size=400), "t": t, "x": x})


@pytest.mark.slow
def test_intervals_of_certainty_equivalents_cover() -> None:
    """200 draws of the normal world; 95 % intervals of the gain cover -0.2 within the binomial band."""
    hit = 0
    for seed in range(200):
        found = compare_arms(MIXED, gamble(1500, seed=100 + seed), ConstantAbsolute(0.3), seed=seed)
        hit += abs(found.gain + 0.2) < 1.96 * found.gain_error
    assert 179 <= hit <= 199  # .95 ± 3.3 standard errors of √(.95·.05/200): 1 in 1000 outside
