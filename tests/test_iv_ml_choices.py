"""What is held out, what is minimised, and what is chosen from: each against the rule written down anew."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from ivbridge.iv_ml.alternating import Alternation, _Parts
from ivbridge.iv_ml.computing import Computing, deterministic
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generation.meta_em import MetaEM
from ivbridge.iv_ml.generation.mode_iv import ModeIV
from ivbridge.iv_ml.mixture_regression import whitened
from ivbridge.iv_ml.paper.answering import Making, answer
from ivbridge.iv_ml.paper.parts import GROUPS, INSTRUMENTS, world
from ivbridge.iv_ml.predictors.feedforward import run_layers
from ivbridge.iv_ml.representation import represented
from ivbridge.iv_ml.scenarios.fusion import Fusion
from ivbridge.iv_ml.sides import sides
from ivbridge.iv_ml.training import Schedule, Stopping
from ivbridge.records import FloatArray

EXACT = Computing("float64")


def test_no_row_is_learnt_from_and_held_out() -> None:
    one = Fusion().draw(n=50, seed=1).train.data
    rows, held = sides([one, one], [3, 4], Stopping(share=0.3), EXACT)
    assert held is not None
    for member in range(2):
        learnt, judged = (set(part.t[member].flatten().tolist()) for part in (rows, held.rows))
        assert len(judged) == 15
        assert learnt | judged == set(one.endog.tolist())
        assert not learnt & judged
    assert not np.array_equal(held.rows.t[0], held.rows.t[1])  # each has a split of its own
    everything, nothing = sides([one], [3], None, EXACT)
    assert nothing is None
    assert everything.t[0].flatten().tolist() == one.endog.tolist()


@pytest.mark.parametrize("reconstruction", [1.0, 0.1])
def test_the_network_descends_on_equation_4(reconstruction: float) -> None:
    """Squared errors of T by the coefficients of each group, weighted; plus λ times those of X, λ = share / m_X."""
    random = np.random.default_rng(0)
    x, t = random.standard_normal((80, 3)), random.standard_normal(80)
    weights = random.dirichlet([1, 1], 80)
    with deterministic():
        parts = _Parts(3, 2, Alternation(hidden=4, reconstruction=reconstruction, computing=EXACT), seed=5)
        r = run_layers(parts.layers, x)
        back = run_layers(parts._back.layers(0), r)
        parts.solve(x, t, weights)
        rows = [EXACT.tensor([part]) for part in (x, t[:, None])]
        found = parts.descend(rows, EXACT.tensor([weights]), Schedule(1))["loss"].tolist()
    design = np.column_stack([np.ones(80), r])
    total = 0.0
    for own in weights.T:
        alpha = np.linalg.lstsq(design * np.sqrt(own)[:, None], t * np.sqrt(own), rcond=None)[0]
        total += float(own @ (t - design @ alpha) ** 2)
    total += reconstruction / 3 * float(((back - x) ** 2).sum())
    assert found == [pytest.approx(total / 80, rel=1e-6)]  # a ridge of 1e-8 is in the coefficients


@pytest.mark.parametrize("criterion", ["bic", "mmd"])
def test_the_number_of_groups_is_the_best_by_the_criterion_that_was_asked(criterion: str) -> None:
    """In these 400 rows of Linear-3-5 BIC takes three groups and MMD two."""
    data = Fusion("linear", 3, 5).draw(400, 4).train.data
    maker = MetaEM(representation="identity", candidates=(2, 3, 4), criterion=criterion)  # type: ignore[arg-type]
    told = maker.generate(data).history.set_index("groups")
    assert told["chosen"].idxmax() == told[criterion].idxmin() == {"bic": 3, "mmd": 2}[criterion]


def test_the_study_takes_the_number_of_groups_with_the_smallest_mean_mmd(tmp_path: Path) -> None:
    rows = answer(Making(world("Stand-in"), INSTRUMENTS["GIV_KM"], (1, 2), tmp_path))
    means = {k: np.mean([r["value"] for r in rows if r["quantity"] == "mmd" and r["groups"] == k]) for k in GROUPS}
    chosen = {row["value"] for row in rows if row["quantity"] == "groups"}
    assert chosen == {min(means, key=lambda k: float(means[k]))}
    assert len(set(means.values())) == len(GROUPS)


def orthonormal(n: int, columns: int) -> FloatArray:
    """Centred columns that are orthogonal: each one's estimate is its own number."""
    drawn = np.random.default_rng(1).standard_normal((n, columns))
    return np.asarray(np.linalg.qr(drawn - drawn.mean(axis=0)).Q)


@pytest.mark.parametrize(("keep", "expected"), [("center", [3]), ("window", [1, 3, 2])])
def test_the_mode_is_the_middle_of_the_tightest_half(keep: str, expected: list[int]) -> None:
    x = orthonormal(40, 5)
    data = IVData(x @ [9.0, 1.0, 1.3, 1.1, -5.0], x.sum(axis=1), x, np.zeros(40))
    found = ModeIV(keep=keep).generate(data)  # type: ignore[arg-type]
    np.testing.assert_array_equal(found.values, x[:, expected])


@pytest.mark.parametrize("share", [0.25, 0.5, 0.75])
def test_lines_may_break_at_each_quartile_and_nowhere_else(share: float) -> None:
    x = np.random.default_rng(4).standard_normal((200, 1))
    design, _ = whitened(represented("splines", x, x[:, 0])(x))

    def left(knot: float) -> float:
        target = np.abs(x[:, 0] - knot)
        return float(np.abs(target - design @ (design.T @ target) / 200).max())

    assert left(float(np.quantile(x, share))) < 1e-10  # rounding
    knots = np.quantile(x, [0.25, 0.5, 0.75])
    assert min(left(float(a + b) / 2) for a, b in pairwise(knots)) > 0.01
