"""AGMM, DeepGMM and DFIV: their losses by hand, their games, and worlds where ordinary regression is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ivbridge.errors import DataError, EngineError
from ivbridge.iv_ml.computing import Computing, Streams, torch_module
from ivbridge.iv_ml.criterion import moment_kernel, moment_violation
from ivbridge.iv_ml.curves import Curve
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.optimistic import Moments, OptimisticAdam
from ivbridge.iv_ml.predictors import restored
from ivbridge.iv_ml.predictors.features import FeatureProduct
from ivbridge.iv_ml.predictors.feedforward import Dense
from ivbridge.iv_ml.regression import agmm, deep_gmm
from ivbridge.iv_ml.regression.agmm import AGMM
from ivbridge.iv_ml.regression.deep_gmm import DeepGMM
from ivbridge.iv_ml.regression.dfiv import DFIV, Players, ridge, ridge_loss
from ivbridge.iv_ml.scenarios.fusion import Fusion, Sample
from ivbridge.iv_ml.sides import Tensors
from ivbridge.iv_ml.training import Schedule, Stopping, descend

torch = torch_module()
EXACT = Computing("float64")
#: Sums of a few hundred products of numbers near 1, and one solved system, in another order.
ROUNDING = 1e-10
#: Central differences with steps of 1e-6 of smooth losses near 1: truncation 1e-12, cancellation 1e-16 / 1e-6.
DIFFERENCES = 1e-7

#: Each method, small enough for a second.
SMALL: dict[str, IVRegression] = {
    "agmm": AGMM(hidden=16, rate=1e-3, schedule=Schedule(60, 100)),
    "deep_gmm": DeepGMM(hidden=(64, 32), critic_hidden=(32,), rate=1e-3),
    "dfiv": DFIV(
        instrument_hidden=(16, 8), covariate_hidden=(8, 4, 2), ridge1=1e-3, ridge2=1e-3, instrument_steps=5,
        covariate_steps=1, treatment_steps=2, schedule=Schedule(60),
    ),
}  # fmt: skip
each = pytest.mark.parametrize("method", SMALL.values(), ids=SMALL)


def confounded(n: int = 600, seed: int = 0, m: int = 1) -> IVData:
    """Y = T + u, T = Z + u/2: the effect is 1, and ordinary regression says 1 + .5/1.25 = 1.4."""
    random = np.random.default_rng(seed)
    z, u, x = random.normal(size=n), random.normal(size=n), random.normal(size=(n, m))
    t = z + 0.5 * u
    return IVData(t + u + 0.1 * random.normal(size=n), t, x, z)


# ---- losses ----------------------------------------------------------------------------------------------------------


def differences(loss: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    found = np.empty_like(at)
    for place in np.ndindex(at.shape):
        up, down = at.copy(), at.copy()
        up[place] += 1e-6
        down[place] -= 1e-6
        found[place] = (loss(up) - loss(down)) / 2e-6
    return found


def gradient(loss: Callable[[Any], Any], at: np.ndarray) -> np.ndarray:
    point = torch.tensor(at, requires_grad=True)
    return np.asarray(torch.autograd.grad(loss(point).sum(), point)[0])


def test_best_critics() -> None:
    """Where E[residual | Z, X] is known, each game has a critic that is known: half of it, or GMM's weighted one."""
    residual = torch.tensor(np.random.default_rng(0).normal(size=(2, 50, 1)))
    quarter = -0.25 * (residual**2).mean((1, 2))
    torch.testing.assert_close(agmm.critic_loss(residual / 2, residual), quarter, rtol=0, atol=ROUNDING)
    ones = -torch.ones(2, dtype=torch.float64)  # h = 2/residual makes every weighted moment 2, and the value -2 + 1
    torch.testing.assert_close(deep_gmm.critic_loss(2 / residual, residual), ones, rtol=0, atol=ROUNDING)
    for loss, best in ((agmm.critic_loss, residual / 2), (deep_gmm.critic_loss, 2 / residual)):
        slope = gradient(lambda h, loss=loss: loss(h, residual), best.numpy())
        np.testing.assert_allclose(slope, 0, atol=ROUNDING)


@pytest.mark.parametrize("loss", [agmm.critic_loss, deep_gmm.critic_loss])
def test_gradients_of_critics(loss: Callable[..., Any]) -> None:
    random = np.random.default_rng(1)
    critic, residual = random.normal(size=(2, 7, 1)), torch.tensor(random.normal(size=(2, 7, 1)))
    by_hand = differences(lambda h: float(loss(torch.tensor(h), residual).sum()), critic)
    np.testing.assert_allclose(gradient(lambda h: loss(h, residual), critic), by_hand, atol=DIFFERENCES)


def test_ridge_is_least_squares_with_more_rows() -> None:
    """Penalised coefficients are those of rows √(n·penalty)·I with target 0 added."""
    random = np.random.default_rng(2)
    target, features = random.normal(size=(3, 30, 2)), random.normal(size=(3, 30, 4))
    found = ridge(torch.tensor(target), torch.tensor(features), 0.2).numpy()
    losses = ridge_loss(torch.tensor(target), torch.tensor(features), 0.2).numpy()
    for b in range(3):
        rows = np.vstack([features[b], np.sqrt(30 * 0.2) * np.eye(4)])
        wanted, squares, *_ = np.linalg.lstsq(rows, np.vstack([target[b], np.zeros((4, 2))]), rcond=None)
        np.testing.assert_allclose(found[b], wanted, atol=ROUNDING)
        np.testing.assert_allclose(losses[b], squares.sum(), atol=ROUNDING)


def test_gradient_of_ridge_loss() -> None:
    """Coefficients count as constants in the code, and move in the differences."""
    random = np.random.default_rng(3)
    target, features = torch.tensor(random.normal(size=(2, 9, 1))), random.normal(size=(2, 9, 3))
    by_hand = differences(lambda f: float(ridge_loss(target, torch.tensor(f), 0.1).sum()), features)
    slope = gradient(lambda f: ridge_loss(target, f, 0.1), features)
    np.testing.assert_allclose(slope, by_hand, atol=DIFFERENCES * 10)  # a sum over rows, not a mean


def test_gradient_through_both_stages() -> None:
    """Stage 2's loss as a function of ψ at the first half: it acts through stage 1's coefficients alone."""
    random = np.random.default_rng(4)
    psi, phi1, phi2 = (random.normal(size=(1, 9, width)) for width in (2, 3, 3))
    y = torch.tensor(random.normal(size=(1, 9, 1)))

    def loss(values: Any) -> Any:
        predicted = torch.tensor(phi2) @ ridge(values, torch.tensor(phi1), 0.1)
        return ridge_loss(y, predicted, 0.1)

    by_hand = differences(lambda values: float(loss(torch.tensor(values)).sum()), psi)
    np.testing.assert_allclose(gradient(loss, psi), by_hand, atol=DIFFERENCES * 10)
    assert np.abs(by_hand).max() > 0.1


# ---- optimistic Adam -------------------------------------------------------------------------------------------------


def scalar(value: float) -> Networks:
    """A network whose output for 1 is its one weight (its bias is 0 and is not looked at)."""
    one = Networks(1, Layout((1,), start="glorot"), Streams([0], EXACT))
    with torch.no_grad():
        one.weights[0].fill_(value)
    return one


def value(part: Any) -> float:
    return float(part.detach())


def test_optimistic_adam_is_algorithm_1() -> None:
    one, wanted = scalar(0.7), 0.7
    beta, gamma, rate, decay = 0.5, 0.9, 0.1, 0.01
    moves = OptimisticAdam(one, rate, Moments(beta, gamma), decay)
    mean = square = before = 0.0
    for step in range(1, 6):
        weight = one.weights[0]
        moves.descend((weight**4).sum((1, 2)) + 0 * one.parameters[1].sum())
        slope = 4 * wanted**3 + decay * wanted
        mean, square = beta * mean + (1 - beta) * slope, gamma * square + (1 - gamma) * slope**2
        now = mean / (1 - beta**step) / (np.sqrt(square / (1 - gamma**step)) + 1e-8)
        wanted = wanted - 2 * rate * now + rate * before
        before = now
        assert value(weight) == pytest.approx(wanted, abs=ROUNDING)


def test_only_weights_decay() -> None:
    one = scalar(0.7)
    with torch.no_grad():
        one.parameters[1].fill_(0.3)
    moves = OptimisticAdam(one, 0.1, Moments(0.0, 0.01), 1.0)
    moves.descend(0 * one.weights[0].sum((1, 2)) + 0 * one.parameters[1].sum((1, 2)))
    assert value(one.weights[0]) < 0.7
    assert value(one.parameters[1]) == pytest.approx(0.3)


def test_a_bilinear_game_ends_where_nobody_gains() -> None:
    """min over a, max over b of a·b: optimism ends at (0, 0), and Adam circles round it.

    The running square is a plain mean of all squares, since the theorem is about gradients and not about their signs.
    """
    for optimistic in (True, False):
        players = [scalar(0.5), scalar(0.5)]
        adam = [torch.optim.Adam(player.parameters, lr=0.05, betas=(0.0, 0.9999)) for player in players]
        ours = [OptimisticAdam(player, 0.05, Moments(0.0, 0.9999)) for player in players]
        for _ in range(1000):
            for me, sign in ((0, 1), (1, -1)):
                losses = sign * (players[me].weights[0] * players[1 - me].weights[0].detach()).sum((1, 2))
                losses = losses + 0 * players[me].parameters[1].sum((1, 2))
                if optimistic:
                    ours[me].descend(losses)
                else:
                    descend(adam[me], losses)
        away = max(abs(value(player.weights[0])) for player in players)
        assert away < 0.01 if optimistic else away > 0.3


# ---- the curve of features -------------------------------------------------------------------------------------------


def features(covariates: int = 2) -> FeatureProduct:
    random = np.random.default_rng(5)
    psi = (Dense(random.normal(size=(1, 3)), random.normal(size=3), "relu"),)
    xi = (Dense(random.normal(size=(covariates, 2)), random.normal(size=2), "tanh"),) if covariates else ()
    return FeatureProduct(psi, xi, random.normal(size=(4, 3 if covariates else 1)))


def test_feature_product_row_by_row() -> None:
    curve, random = features(), np.random.default_rng(6)
    t, x = random.normal(size=5), random.normal(size=(5, 2))
    for row, found in enumerate(curve(t, x)):
        psi = [*np.maximum(t[row] * curve.treatment[0].weight[0] + curve.treatment[0].bias, 0), 1]
        xi = [*np.tanh(x[row] @ curve.covariate[0].weight + curve.covariate[0].bias), 1]
        wanted = sum(psi[i] * curve.weight[i, j] * xi[j] for i in range(4) for j in range(3))
        assert found == pytest.approx(wanted, abs=ROUNDING)


@pytest.mark.parametrize("covariates", [0, 2])
def test_feature_product_is_restored(covariates: int) -> None:
    curve = features(covariates)
    again = restored("features", curve.parts())
    t, x = np.linspace(-1, 1, 4), np.ones((4, covariates))
    np.testing.assert_array_equal(again(t, x), curve(t, x))


def test_a_damaged_feature_product() -> None:
    with pytest.raises(DataError, match="do not make a curve"):
        restored("features", features().parts() | {"weight": np.ones((3, 3))})


# ---- the methods -----------------------------------------------------------------------------------------------------


@each
def test_confounded_slope(method: IVRegression) -> None:
    """Ordinary regression says 1.4; the instrument says 1.

    2SLS has a standard error of .026 here, of three of them .015; a curve that is free to bend has a larger one.
    """
    slopes = [
        float(np.mean(curve.effect(1.0, -1.0, np.zeros((1, 1))))) / 2
        for curve in method.fit_many([confounded(1500, s) for s in range(3)], [0, 1, 2])
    ]
    assert np.mean(slopes) == pytest.approx(1, abs=0.15), slopes


@each
def test_members_are_as_alone(method: IVRegression) -> None:
    """Float64; what remains is the order of sums, which training makes larger step by step."""
    exact = replace(method, computing=EXACT, schedule=Schedule(3, method.schedule.batch))
    data = [confounded(120, seed) for seed in range(3)]
    together = exact.fit_many(data, [4, 5, 6])
    t, x = np.linspace(-2, 2, 9), np.zeros((9, 1))
    for i, curve in enumerate(together):
        np.testing.assert_allclose(curve.predict(t, x), exact.fit(data[i], 4 + i).predict(t, x), rtol=0, atol=1e-7)
    same = replace(exact).fit_many(data, [4, 5, 6])
    assert all(np.array_equal(a.predict(t, x), b.predict(t, x)) for a, b in zip(together, same, strict=True))
    assert not np.allclose(together[0].predict(t, x), exact.fit(data[0], 9).predict(t, x))


@each
def test_no_covariates_groups_and_an_odd_row(method: IVRegression, tmp_path: Path) -> None:
    random = np.random.default_rng(7)
    z = np.eye(3)[random.integers(0, 3, 61)]
    t = z @ [0.0, 1, 2] + random.normal(size=61)
    brief = replace(method, schedule=Schedule(2, method.schedule.batch and 30))
    curve = brief.fit(IVData(t**2, t, np.empty((61, 0)), z))
    assert np.isfinite(curve.predict([0.0, 1])).all()
    curve.save(tmp_path / "curve.npz")
    np.testing.assert_array_equal(Curve.load(tmp_path / "curve.npz").predict([0.0, 1]), curve.predict([0.0, 1]))


@each
def test_early_stopping_keeps_the_best_look(method: IVRegression) -> None:
    """The state that is kept has the smallest criterion in the history, measured again on the rows held out."""
    stopping = Stopping(share=0.25, patience=2, every=2)
    exact = replace(method, computing=EXACT, stopping=stopping, standardize=False, schedule=Schedule(40, 50))
    data = confounded(200)
    curve = exact.fit(data, 3)
    looks = curve.history["criterion"].dropna()
    assert 1 <= len(looks) <= 20
    held = data.split(0.25, 3)[1]
    residuals = held.dependent - curve.predict(held.endog, held.exog)
    again = moment_violation(residuals, moment_kernel(held.instruments, held.exog))
    assert again == pytest.approx(looks.min(), rel=1e-6)  # the curve is float64, its kernel is the same one


@each
def test_history_and_provenance(method: IVRegression) -> None:
    seen = []
    brief = replace(method, schedule=Schedule(3))
    curve = brief.fit(confounded(50), progress=lambda *told: seen.append(told))
    assert list(curve.history["epoch"]) == [1, 2, 3]
    assert curve.history["criterion"].isna().all()
    assert [told[:2] for told in seen] == [(1, 3), (2, 3), (3, 3)]
    assert "torch" in curve.provenance.versions


def test_halves_share_no_row() -> None:
    """Each row is in one half, with its own t, x and z; of 11 rows one is left out."""
    y = np.arange(11.0)
    rows = Tensors.of([IVData(y, 2 * y, 3 * y, 4 * y), IVData(y, 2 * y, 3 * y, 4 * y)], EXACT)
    halves = [part[..., 0] for part in Players(DFIV(), rows, Streams([0, 1], EXACT)).halves]
    for b in range(2):
        both = [*halves[0][b].tolist(), *halves[4][b].tolist()]
        assert len(set(both)) == 10
    for half in (halves[:4], halves[4:]):
        for factor, part in enumerate(half, start=1):
            torch.testing.assert_close(part, factor * half[0])


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: AGMM(dropout=1.0), r"dropout=1.0 .*from 0, below 1"),
        (lambda: AGMM(moments=Moments(0.0, float("nan"))), "moments"),
        (lambda: AGMM(hidden=0), "hidden=0"),
        (lambda: AGMM(hidden=(8,)), r"hidden=\(8,\)"),  # type: ignore[arg-type]
        (lambda: DeepGMM(hidden=()), r"hidden=\(\)"),
        (lambda: DeepGMM(hidden=8), r"hidden=8"),  # type: ignore[arg-type]
        (lambda: DFIV(instrument_hidden=(8.5,)), "instrument_hidden"),  # type: ignore[arg-type]
        (lambda: DeepGMM(critic_rate=-1.0), r"critic_rate=-1.0 .*above 0"),
        (lambda: DFIV(ridge1=0.0), "ridge1"),
        (lambda: DFIV.balanced(treatment_steps=0), "treatment_steps"),
        (lambda: DFIV(covariate_decay=float("inf")), "covariate_decay"),
    ],
)
def test_settings_out_of_range(made: Callable[[], object], said: str) -> None:
    with pytest.raises(DataError, match=f"(?s){said}"):
        made()


def test_divergence_is_told() -> None:
    wild = DeepGMM(rate=1e30, schedule=Schedule(20))
    with pytest.raises(EngineError, match="not finite"):
        wild.fit(confounded(60))


# ---- the paper's world -----------------------------------------------------------------------------------------------


def squared_errors(method: IVRegression, groups: Callable[[Sample], np.ndarray]) -> float:
    """Mean over two replications of Linear-3-3, at the test rows."""
    draws = [Fusion("linear", 3, 3).draw(seed=seed) for seed in (1, 2)]
    curves = method.fit_many([draw.train.data.with_instruments(groups(draw.train)) for draw in draws], [1, 2])
    tests = [draw.test for draw in draws]
    found = [c.predict(test.data.endog, test.data.exog) - test.truth for c, test in zip(curves, tests, strict=True)]
    return float(np.mean(np.square(found)))


def label(sample: Sample) -> np.ndarray:
    return sample.labels.astype(float)


def nothing(sample: Sample) -> np.ndarray:
    return np.zeros(len(sample.labels))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "most", "times"),
    [(AGMM(standardize=False), 0.085, 3.0), (DeepGMM(standardize=False), 0.085, 1.2)],
    ids=["agmm", "deep_gmm"],
)
def test_published_cells(method: IVRegression, most: float, times: float) -> None:
    """Table 1 of Wu et al. (2023): TrueIV .06 for both; NoneIV .21 (AGMM) and .33 (DeepGMM, which ours betters).

    Two replications; over replications TrueIV has a standard deviation of about .01.
    """
    true = squared_errors(method, label)
    assert true < most
    assert squared_errors(method, nothing) > times * true


@pytest.mark.slow
def test_steps_and_not_groups_fail_dfiv() -> None:
    """Table 1: .79 with the true label as instrument. With the steps turned round, the same label does."""
    published = squared_errors(DFIV(standardize=False), label)
    balanced = squared_errors(DFIV.balanced(standardize=False), label)
    assert 0.5 < published < 1.1
    assert balanced < 0.12
    assert squared_errors(DFIV.balanced(standardize=False), nothing) > 3 * balanced
