"""The data-fusion worlds follow their equations, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ivbridge.errors import DataError
from ivbridge.iv_ml.scenarios import rules
from ivbridge.iv_ml.scenarios.fusion import Fusion

#: Sums of a few dozen products of numbers near 1 in another order: some 1e-16 each.
ROUNDING = 1e-12


@pytest.mark.parametrize("reading", ["code", "paper"])
@pytest.mark.parametrize("shape", list(rules.SHAPES))
def test_a_world_follows_its_equations(shape: Any, reading: Any) -> None:
    """Treatment and outcome again, row by row, from Eqs. 14 and 16; what is left are the two noises, with sd .1."""
    draw = Fusion(shape, groups=3, covariates=4, reading=reading).draw(n=3000, seed=2)
    f = {"linear": lambda v: v, "poly": lambda v: v * v, "sin": np.sin, "abs": abs,
         "sigmoid": lambda v: 1 / (1 + np.exp(-v))}[shape]  # fmt: skip
    sample = draw.test
    y, t, x, z = sample.data.arrays
    assert z[:, 0].tolist() == sample.labels.tolist()
    left_t, left_y, wrong = [], [], 0.0
    for i in range(300):
        g, e, row = sample.labels[i], sample.confounder[i], x[i]
        moved = [v if (shape, reading) == ("linear", "code") else v + f(v) for v in row]
        base = (0, 1, 0, -0.2, -0.8)[g] if reading == "code" else 0
        left_t.append(t[i] - base - sum(w * v for w, v in zip(draw.weights[g], moved, strict=True)) - 0.2 * e)
        if reading == "code":
            effect = 2 * row.mean() - abs(row[0] * row[1]) - np.sin(10 + row[2] ** 2)
        else:
            effect = row.mean() + abs(row[0] * row[1]) - np.sin(10 + row[1] * row[2])
        g_of = -1.5 * t[i] + 0.9 * t[i] ** 2 + effect
        left_y.append(y[i] * draw.spread + draw.center - g_of - 2 * e)
        wrong = max(wrong, abs(sample.truth[i] - (g_of - draw.center) / draw.spread))
    assert wrong < ROUNDING
    for left in (left_t, left_y):
        # 300 draws from N(0, .1): standard errors .006 of the mean and .004 of the standard deviation; five of them
        assert np.mean(left) == pytest.approx(0, abs=0.03)
        assert np.std(left) == pytest.approx(0.1, abs=0.02)
    assert draw.structural(t, x) == pytest.approx(sample.truth, abs=ROUNDING)


def test_a_world_has_the_moments_of_eq_13() -> None:
    draw = Fusion("linear", groups=5, covariates=3).draw(n=20_000, seed=1)
    moments = np.cov(np.column_stack([draw.train.data.exog, draw.train.confounder]).T)
    expected = np.eye(4)
    expected[3, :3] = expected[:3, 3] = 0.1
    assert moments == pytest.approx(expected, abs=0.05)  # standard errors: .01 on the diagonal, .007 beside it
    assert np.bincount(draw.train.labels) / 20_000 == pytest.approx(np.full(5, 0.2), abs=0.015)  # five times .003
    assert (draw.train.data.dependent.mean(), draw.train.data.dependent.std()) == (
        pytest.approx(0, abs=1e-9), pytest.approx(1)
    )  # fmt: skip


def test_weights_of_the_released_program() -> None:
    """The published program's table, first three columns of five sources."""
    expected = [[0.8, -0.2, -0.2], [0.2, -0.9, 0.8], [-0.8, 0, 0.8], [-0.2, -0.8, 0.7], [-1, -0.2, -0.5]]
    found = rules.weights(5, 3, "code", np.random.default_rng(0))
    assert found == pytest.approx(np.array(expected), abs=1e-12)
    drawn = [rules.weights(3, 4, "paper", np.random.default_rng(seed)) for seed in (0, 1)]
    assert np.abs(drawn).max() <= 1
    assert drawn[0].tolist() != drawn[1].tolist()


def test_draws_follow_from_their_seed() -> None:
    world = Fusion("sin", 2, 5)
    one, same, other = world.draw(50, 1), world.draw(50, 1), world.draw(50, 2)
    assert one.train.data.sha256 == same.train.data.sha256
    assert one.train.data.sha256 != other.train.data.sha256
    assert len({part.data.sha256 for part in (one.train, one.valid, one.test)}) == 3
    assert world.name == "Sin-2-5"


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": "cube"}, {"reading": "mine"}, {"groups": 6}, {"groups": 0}, {"covariates": 2}, {"covariates": 11},
        {"groups": 101, "reading": "paper"},
    ],
)  # fmt: skip
def test_worlds_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="Available"):
        Fusion(**wrong)
    with pytest.raises(DataError, match="9 rows"):
        Fusion().draw(9)
