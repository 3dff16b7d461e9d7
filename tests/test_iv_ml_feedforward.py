"""NN2SLS, OneSIV and DeepIV against closed forms: with no hidden layer they are linear methods with known answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from ivbridge.errors import DataError
from ivbridge.iv_ml import minimising
from ivbridge.iv_ml.computing import Computing, Streams
from ivbridge.iv_ml.criterion import moment_kernel, moment_violation
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.method import IVRegression
from ivbridge.iv_ml.mixture_density import draws, negative_log_density
from ivbridge.iv_ml.regression.deep_iv import DeepIV, counterfactual_loss
from ivbridge.iv_ml.regression.nn2sls import NN2SLS
from ivbridge.iv_ml.regression.one_siv import OneSIV
from ivbridge.iv_ml.scenarios.fusion import Fusion
from ivbridge.iv_ml.training import Schedule, Stopping
from ivbridge.records import FloatArray

EXACT = Computing(precision="float64")
FULL = Schedule(600)
LINEAR_NN = NN2SLS(widths=(), normalised=(), first=FULL, schedule=FULL, rate=0.05, computing=EXACT)
LINEAR_ONE = OneSIV(widths=(), dropout=0, outcome_weight=0.5, schedule=FULL, rate=0.05, computing=EXACT)
SMALL = Schedule(3, 40)
QUICK: tuple[IVRegression, ...] = (
    NN2SLS(widths=(8, 6), first=SMALL, schedule=SMALL, computing=EXACT),
    OneSIV(widths=(8, 6), schedule=SMALL, computing=EXACT),
    DeepIV(widths=(8, 6), schedule=SMALL, computing=EXACT),
)


def _linear(n: int, instruments: int, seed: int, noise: float = 1.0) -> IVData:
    """Y = 2T + X + ε, with an ε that is in T as well."""
    random = np.random.default_rng(seed)
    z, x, e = random.normal(size=(n, instruments)), random.normal(size=(n, 1)), random.normal(size=n)
    t = z.sum(1) + 0.5 * x[:, 0] + noise * (0.6 * e + 0.8 * random.normal(size=n))
    return IVData(2 * t + x[:, 0] + e, t, x, z)


def _two_stages(data: IVData) -> FloatArray:
    """Two-stage least squares by its formula: constant, T, X."""
    one = np.ones((data.n, 1))
    z = np.hstack([one, data.exog, data.instruments])
    w = np.hstack([one, data.endog[:, None], data.exog])
    fitted = z @ np.linalg.lstsq(z, w, rcond=None)[0]
    return np.asarray(np.linalg.lstsq(fitted, data.dependent, rcond=None)[0])


def _coefficients(method: IVRegression, data: IVData) -> FloatArray:
    """Constant, T, X of a fitted linear curve."""
    found = method.fit(data, 1).predict([0.0, 1.0, 0.0], [[0.0], [0.0], [1.0]])
    return found - [0, found[0], found[0]]


@pytest.mark.parametrize("standardize", [True, False])
def test_without_hidden_layers_nn2sls_is_two_stage_least_squares(standardize: bool) -> None:
    data = _linear(200, 3, 1)
    found = _coefficients(replace(LINEAR_NN, standardize=standardize), data)
    # Adam on a convex quadratic: after these epochs nothing but rounding is left
    np.testing.assert_allclose(found, _two_stages(data), atol=1e-10)


@pytest.mark.parametrize("weight", [0.1, 1.0])
def test_without_hidden_layers_one_siv_is_two_stage_least_squares_if_just_identified(weight: float) -> None:
    # with one instrument for one treatment both errors can be smallest at once, whatever their weights
    data = _linear(200, 1, 2)
    found = _coefficients(replace(LINEAR_ONE, outcome_weight=weight), data)
    np.testing.assert_allclose(found, _two_stages(data), atol=1e-10)


def test_without_hidden_layers_one_siv_is_regression_of_rank_one_if_over_identified() -> None:
    # min w_T‖T - Zπ‖² + w_Y‖Y - bZπ‖²: b is the ratio in the first right singular vector of the fitted (√w_T·T, √w_Y·Y)
    data = _linear(200, 3, 3)
    data = IVData(data.dependent, data.endog, np.empty((200, 0)), data.instruments)
    both = np.column_stack([data.endog, data.dependent * np.sqrt(0.5)])
    both -= both.mean(0)
    z = data.instruments - data.instruments.mean(0)
    leading = np.linalg.svd(z @ np.linalg.lstsq(z, both, rcond=None)[0])[2][0]
    wanted = leading[1] / leading[0] / np.sqrt(0.5)
    found = replace(LINEAR_ONE, standardize=False).fit(data, 1).effect(1.0, 0.0)
    np.testing.assert_allclose(found, wanted, atol=1e-10)


@pytest.mark.parametrize(("loss", "share"), [("unbiased", 1.0), ("bound", 0.5)])
def test_without_hidden_layers_deep_iv_has_the_slope_of_its_loss(loss: str, share: float) -> None:
    # Var(E[T|Z, X] | X) = 1 and Var(T | X) = 2: the bound's slope is half of the true one
    data = _linear(4000, 1, 4)
    method = DeepIV(
        widths=(), components=1, loss=loss, samples=8, schedule=Schedule(80, 400), rate=0.02, computing=EXACT,
        standardize=False,
    )  # fmt: skip
    found = method.fit(data, 1).effect(1.0, 0.0, np.zeros((1, 1)))[0]
    # standard error of the slope about .016 by sampling, and the last Adam steps wander by about .02
    assert found == pytest.approx(2 * share, abs=0.08)


def test_the_density_is_that_of_a_mixture_of_normals() -> None:
    random = np.random.default_rng(5)
    outputs, values = random.normal(size=(2, 7, 9)), random.normal(size=(2, 7, 1))
    weights = np.exp(outputs[..., :3]) / np.exp(outputs[..., :3]).sum(-1, keepdims=True)
    wanted = (weights * stats.norm.pdf(values, outputs[..., 3:6], np.exp(outputs[..., 6:]))).sum(-1)
    found = negative_log_density(torch.tensor(outputs), torch.tensor(values))
    np.testing.assert_allclose(found.numpy(), -np.log(wanted), rtol=1e-12)  # rounding of some sums


def test_draws_come_from_the_mixture() -> None:
    weights, means, spreads = np.array([0.2, 0.5, 0.3]), np.array([-3.0, 0.0, 4.0]), np.array([0.5, 1.0, 2.0])
    outputs = torch.tensor(np.concatenate([np.log(weights), means, np.log(spreads)]))[None, None].expand(2, 1, -1)
    found = draws(outputs, 20_000, Streams([1, 2], EXACT))[:, 0].numpy()
    for member in found:
        law = stats.kstest(member, lambda v: weights @ stats.norm.cdf(v, means[:, None], spreads[:, None]))
        assert law.pvalue > 0.001  # the seeds are fixed: it cannot fail by chance tomorrow
    assert abs(np.corrcoef(found)[0, 1]) < 0.03  # four standard errors: members are independent


def test_a_treatment_with_few_values_has_a_finite_density() -> None:
    outputs = torch.tensor([[[0.0, 1.0, -100.0]]], requires_grad=True)
    loss = negative_log_density(outputs, torch.tensor([[[1.0]]])).sum()
    loss.backward()
    assert -8 < loss.item() < 0 and torch.isfinite(outputs.grad).all()


def test_the_product_of_two_draws_is_the_loss_on_average_and_the_bound_adds_the_variance() -> None:
    # f(t) is 1 or 4 with equal chances, y = 3: (3 - 2.5)² = .25, and the variance is 2.25
    pairs = torch.tensor([[[1.0, 1.0], [1.0, 4.0], [4.0, 1.0], [4.0, 4.0]]])
    y = torch.full((1, 4, 1), 3.0)
    assert counterfactual_loss(y, pairs, "unbiased").item() == pytest.approx(0.25)
    assert counterfactual_loss(y, pairs, "bound").item() == pytest.approx(0.25 + 2.25)


def test_fitted_values_in_a_parabola_add_the_variance_and_draws_do_not() -> None:
    # T = Z + V, Y = T² + ε: E[Y|T̂] = T̂² + Var(V), and Var(V) is 1
    random = np.random.default_rng(6)
    z, v = random.uniform(-2, 2, 3000), random.normal(size=3000)
    data = IVData((z + v) ** 2 + v, z + v, np.empty((3000, 0)), z)
    first, second = Schedule(15, 100), Schedule(30, 100)
    plugged = NN2SLS(widths=(32,), normalised=(), first=first, schedule=second, rate=0.005).fit(data, 1)
    drawn = DeepIV(widths=(32,), schedule=second, rate=0.005, dropout=0, samples=8, penalties=(0, 0)).fit(data, 1)
    inside = np.linspace(-1, 1, 9)
    # networks of this size are within .25 of the curve; the two answers are 1 apart
    assert np.mean(plugged.predict(inside) - inside**2) == pytest.approx(1, abs=0.25)
    assert np.mean(drawn.predict(inside) - inside**2) == pytest.approx(0, abs=0.25)


@pytest.mark.parametrize("method", QUICK, ids=lambda m: m.name)
def test_members_of_a_batch_learn_what_they_learn_alone(method: IVRegression) -> None:
    data = [_linear(100, 2, seed) for seed in (7, 8, 9)]
    together = method.fit_many(data, [1, 2, 3])
    for curve, one, seed in zip(together, data, (1, 2, 3), strict=True):
        alone = method.fit(one, seed)
        # sums in another order, over a few dozen steps
        np.testing.assert_allclose(curve.predict(one.endog, one.exog), alone.predict(one.endog, one.exog), rtol=1e-8)
        np.testing.assert_allclose(curve.history["loss"], alone.history["loss"], rtol=1e-8)


@pytest.mark.parametrize("method", QUICK[:2], ids=lambda m: m.name)
def test_wide_networks_are_trained_in_groups_and_come_back_in_order(
    method: IVRegression, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [_linear(100, 2, seed) for seed in (7, 8, 9)]
    together = method.fit_many(data, [1, 2, 3])
    monkeypatch.setattr(minimising, "_OUTPUTS", 2 * 40 * 8)  # two members with batches of 40 and 8 outputs
    assert minimising.grouped(3, 40, (8, 6)) == [slice(0, 2), slice(2, 4)]
    for curve, other, one in zip(method.fit_many(data, [1, 2, 3]), together, data, strict=True):
        np.testing.assert_allclose(curve.predict(one.endog, one.exog), other.predict(one.endog, one.exog), rtol=1e-8)


@pytest.mark.parametrize("method", QUICK, ids=lambda m: m.name)
def test_the_seed_decides(method: IVRegression) -> None:
    data = _linear(100, 2, 10)
    first, again, other = (method.fit(data, seed).predict(data.endog, data.exog) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.allclose(first, other)


@pytest.mark.parametrize("method", QUICK, ids=lambda m: m.name)
def test_early_stopping_keeps_the_curve_with_the_best_criterion(method: IVRegression) -> None:
    data, stopping = _linear(120, 2, 11), Stopping(share=0.3, patience=3)
    longer = Schedule(12, 20)
    curve = replace(method, stopping=stopping, schedule=longer, standardize=False).fit(data, 1)  # type: ignore[call-arg]
    structural = curve.history[curve.history["stage"] == curve.history["stage"].iloc[-1]]
    assert structural["criterion"].notna().all()
    held = data.split(0.3, 1)[1]
    kernel = moment_kernel(held.instruments, held.exog)
    wanted = moment_violation(held.dependent - curve.predict(held.endog, held.exog), kernel)
    assert structural["criterion"].min() == pytest.approx(wanted, rel=1e-9)  # float64 in both, in another order


@pytest.mark.parametrize("method", [QUICK[0], QUICK[2]], ids=lambda m: m.name)
def test_the_first_stage_is_judged_by_its_own_held_out_loss(method: IVRegression) -> None:
    curve = replace(method, stopping=Stopping(patience=2)).fit(_linear(120, 2, 12), 1)  # type: ignore[call-arg]
    assert curve.history.query("stage == 'first'")["criterion"].notna().all()


@pytest.mark.parametrize("method", QUICK, ids=lambda m: m.name)
def test_a_constant_instrument_and_no_covariates_are_learnt_from(method: IVRegression) -> None:
    data = _linear(60, 1, 13)
    plain = IVData(data.dependent, data.endog, np.empty((60, 0)), np.zeros(60))
    assert np.isfinite(method.fit(plain).predict(data.endog)).all()


def test_deep_iv_chooses_its_dropout_by_the_number_of_rows() -> None:
    data = _linear(3000, 1, 14)
    method = replace(QUICK[2], schedule=Schedule(1, 1000))  # type: ignore[call-arg]
    chosen, quarter = method.fit(data), replace(method, dropout=0.25).fit(data)  # type: ignore[call-arg]
    assert np.array_equal(chosen.predict(0, data.exog), quarter.predict(0, data.exog))


@pytest.mark.parametrize("method", [DeepIV, NN2SLS, OneSIV])
@pytest.mark.parametrize(
    "wrong", [{"rate": 0.0}, {"rate": -1}, {"rate": float("nan")}, {"rate": "fast"}, {"widths": (8.5, 8)},
              {"widths": (8, 0)}, {"widths": 8}],
)  # fmt: skip
def test_settings_that_train_nothing_are_refused(method: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(wrong))}=.* was asked"):
        method(**wrong)


@pytest.mark.parametrize("method", [DeepIV, OneSIV])
@pytest.mark.parametrize("share", [1.0, 1.5, -0.1, float("nan")])
def test_dropout_is_a_share(method: Any, share: float) -> None:
    """With a share above 1 or below 0 every output was kept, or none, and a curve came out."""
    with pytest.raises(DataError, match=r"dropout=.*from 0, below 1"):
        method(dropout=share)


@pytest.mark.parametrize(
    "wrong", [{"components": 0}, {"samples": 3}, {"samples": 0, "loss": "bound"}, {"loss": "squared"},
              {"penalties": (-1.0, 0.0)}],
)  # fmt: skip
def test_deep_iv_refuses_what_it_cannot_do(wrong: dict[str, Any]) -> None:
    with pytest.raises(DataError, match=f"{next(iter(wrong))}=.* was asked"):
        DeepIV(**wrong)


def test_nn2sls_normalises_hidden_layers_only() -> None:
    with pytest.raises(DataError, match="of 1 hidden layers"):
        NN2SLS(widths=(8,))


def test_one_siv_needs_both_weights() -> None:
    with pytest.raises(DataError, match=r"outcome_weight=0 .*above 0"):
        OneSIV(outcome_weight=0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "none", "true"),
    [
        (DeepIV(standardize=False), 0.37, 0.08),
        (DeepIV(standardize=False, loss="bound"), 0.37, 0.08),
        (OneSIV(standardize=False), 0.31, 0.11),
    ],
    ids=["unbiased", "bound", "one_siv"],
)
def test_the_published_cells(method: IVRegression, none: float, true: float) -> None:
    # Wu et al. (2023), Table 1, rows NoneIV and TrueIV; a quarter is twice the spread of a mean over three draws
    assert _error(method, 3, blind=True) == pytest.approx(none, rel=0.25)
    assert _error(method, 3, blind=False) == pytest.approx(true, rel=0.25)


@pytest.mark.slow
def test_nn2sls_has_its_published_cell_and_is_lost_without_an_instrument() -> None:
    # the same table: .08, and 1.90 with a standard deviation of 1.25, of which only the order can be asked
    method = NN2SLS(standardize=False)
    true = _error(method, 2, blind=False)
    assert true == pytest.approx(0.08, rel=0.3)
    assert _error(method, 2, blind=True) > 5 * true


def _error(method: IVRegression, replications: int, *, blind: bool) -> float:
    """Mean squared error of the curve in Linear-3-3, with the true label or a constant as the instrument."""
    seeds = range(1, replications + 1)
    worlds = [Fusion("linear", 3, 3).draw(seed=seed) for seed in seeds]
    data = [world.train.data for world in worlds]
    if blind:
        data = [one.with_instruments(np.zeros(one.n)) for one in data]
    curves = method.fit_many(data, list(seeds))
    judged = [(curve, world.test.data, world.test.truth) for curve, world in zip(curves, worlds, strict=True)]
    return float(np.mean([(curve.predict(one.endog, one.exog) - truth) ** 2 for curve, one, truth in judged]))
