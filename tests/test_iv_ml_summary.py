"""Instruments made from covariates without groups: closed forms, their limits, and what AutoIV's bounds measure."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from ivbridge import iv_ml
from ivbridge.errors import DataError, DesignError, UnsupportedError
from ivbridge.iv_ml.computing import Computing, Streams
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generated import Generator
from ivbridge.iv_ml.generation.decomposition import Decomposition, Gaussian, Sizes, _Decaying
from ivbridge.iv_ml.generation.mode_iv import modal_window
from ivbridge.iv_ml.predictors import restored
from ivbridge.iv_ml.predictors.modal import venter_mode
from ivbridge.iv_ml.scenarios.fusion import Fusion
from ivbridge.iv_ml.training import Schedule
from ivbridge.records import FloatArray

#: Sums of a few thousand products in another order.
ROUNDING = 1e-12
SHORT = Schedule(30)


@pytest.fixture(scope="module")
def world() -> IVData:
    return Fusion().draw(n=400, seed=3).train.data


def candidates(effects: list[float], n: int = 4000, seed: int = 0) -> IVData:
    """Y = 2T + Xδ + 2u + noise, T = .6ΣX + u + noise: column j of X is valid where δ_j = 0."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, len(effects)))
    u = random.standard_normal(n)
    t = 0.6 * x.sum(axis=1) + u + 0.5 * random.standard_normal(n)
    y = 2 * t + x @ np.array(effects) + 2 * u + random.standard_normal(n)
    return IVData(y, t, x, np.zeros(n))


def with_exog(data: IVData, exog: FloatArray) -> IVData:
    return IVData(data.dependent, data.endog, exog, data.instruments)


# allele scores


def test_none_is_zeros_for_all_rows(world: IVData) -> None:
    made = iv_ml.NoneIV().generate(world)
    assert made.values.shape == (400, 1)
    assert not made.values.any()
    assert_array_equal(made.assign(np.ones(3), np.ones((3, 2))), np.zeros((3, 1)))


def test_unweighted_score_is_the_mean_of_the_row(world: IVData) -> None:
    made = iv_ml.UAS().generate(world)
    assert_allclose(made.values[:, 0], [math.fsum(row) / 3 for row in world.exog], rtol=ROUNDING, atol=ROUNDING)


def test_weighted_score_has_numpys_correlations_for_weights(world: IVData) -> None:
    weights = np.corrcoef(np.column_stack([world.exog, world.endog]).T)[-1, :-1]
    made = iv_ml.WAS().generate(world)
    # weights of both signs: their sum, and so the rounding, is a part of their sizes
    assert_allclose(made.values[:, 0], np.average(world.exog, axis=1, weights=weights), rtol=1e-10, atol=1e-10)


def test_weighted_score_ignores_a_constant_column(world: IVData) -> None:
    wider = with_exog(world, np.column_stack([world.exog, np.full(world.n, 0.1)]))
    assert_allclose(iv_ml.WAS().generate(wider).values, iv_ml.WAS().generate(world).values, rtol=ROUNDING)


def test_weights_that_cancel_are_divided_by_their_sizes() -> None:
    x = np.random.default_rng(0).standard_normal(50)
    data = IVData(np.zeros(50), x, np.column_stack([x, -x]), np.zeros(50))
    made = iv_ml.WAS().generate(data)
    # weights 1 and -1: (x·1 + (-x)·(-1)) / 2 = x
    assert_allclose(made.values[:, 0], x, rtol=ROUNDING)
    assert "cancel" in made.notes[0]


@pytest.mark.parametrize("name", ["uas", "was", "mode_iv", "auto_iv"])
def test_instruments_need_candidates_and_a_treatment_that_vary(name: str, world: IVData) -> None:
    maker = iv_ml.generator_class(name)()
    with pytest.raises(DesignError, match="covariates varies"):
        maker.generate(with_exog(world, np.empty((world.n, 0))))
    with pytest.raises(DesignError, match="covariates varies"):
        maker.generate(with_exog(world, np.full((world.n, 2), 0.1)))
    with pytest.raises(DesignError, match="treatment is constant"):
        maker.generate(IVData(world.dependent, np.full(world.n, 0.3), world.exog, world.instruments))


@pytest.mark.parametrize("name", ["none_iv", "uas", "was", "mode_iv", "auto_iv"])
def test_assignment_gives_the_same_instrument_again_and_can_be_kept(name: str, world: IVData) -> None:
    maker = iv_ml.AutoIV(schedule=SHORT) if name == "auto_iv" else iv_ml.generator_class(name)()
    made = maker.generate(world, seed=5)
    again = pickle.loads(pickle.dumps(made.assign))
    some = slice(10, 20)
    # BLAS may add in another order for ten rows
    assert_allclose(again(world.endog[some], world.exog[some]), made.values[some], rtol=1e-9, atol=1e-12)
    assert_array_equal(maker.applied(world, seed=5).instruments, made.values)


def test_none_of_the_makers_looks_at_given_instruments(world: IVData) -> None:
    other = world.with_instruments(np.random.default_rng(0).standard_normal((world.n, 2)))
    for maker in (iv_ml.UAS(), iv_ml.WAS(), iv_ml.ModeIV(), iv_ml.AutoIV(schedule=SHORT)):
        assert_array_equal(maker.generate(other).values, maker.generate(world).values)


@pytest.mark.parametrize("name", ["uas", "was", "mode_iv"])
def test_what_is_linear_in_the_covariates_moves_nothing_beside_them(name: str) -> None:
    """Wu et al. (2023), Table 1, Poly2SLS: NoneIV .33, UAS .33, WAS .31, ModeIV .33, TrueIV .05."""
    draw = Fusion().draw(n=1000, seed=1)
    train, test = draw.train.data, draw.test

    def error(maker: Generator | None) -> float:
        data = train if maker is None else maker.applied(train)
        curve = iv_ml.Poly2SLS(standardize=False).fit(data)
        return float(((curve.predict(test.data.endog, test.data.exog) - test.truth) ** 2).mean())

    nothing = error(iv_ml.NoneIV())
    # the same span of polynomials, but another ridge may be chosen
    assert error(iv_ml.generator_class(name)()) == pytest.approx(nothing, rel=0.05)
    assert error(None) < nothing / 3


# the mode


def test_modal_window_is_the_tightest() -> None:
    points = np.array([9.0, 2.0, 0.0, 2.1, 5.0, 2.3])
    assert modal_window(points, 3).tolist() == [1, 3, 5]
    assert modal_window(np.array([0.0, 1.0, 2.0, 3.0]), 2).tolist() == [0, 1]  # a tie: the first


def test_venter_mode_of_published_form() -> None:
    # by hand: the three closest of each row and their mean
    found = venter_mode(np.array([[1.0, 10.0, 2.0, 3.0, 20.0], [5.0, 5.0, -9.0, 0.0, 8.0]]), 3)
    assert_allclose(found, [2.0, 6.0], rtol=ROUNDING)
    assert_allclose(venter_mode(np.array([[1.0, 2.0, 6.0]]), 3), [3.0], rtol=ROUNDING)


def test_mode_picks_a_valid_candidate_and_the_window_holds_them_all() -> None:
    data = candidates([0.0, 1.5, 0.0, -1.0, 0.0])
    one = iv_ml.ModeIV().generate(data)
    assert one.values.shape == (4000, 1)
    assert any(np.array_equal(one.values[:, 0], data.exog[:, j]) for j in (0, 2, 4))
    window = iv_ml.ModeIV(keep="window").generate(data)
    assert sorted(window.values[0].tolist()) == sorted(data.exog[0, [0, 2, 4]].tolist())


def test_losses_do_not_tell_two_sides_of_least_squares_apart() -> None:
    # ordinary regression's slope is between 2 and the slopes of strongly invalid candidates: equal errors on both sides
    data = candidates([0.0, 1.5, 0.0, -1.0, 0.0])
    y, t = data.dependent - data.dependent.mean(), data.endog - data.endog.mean()
    slopes = np.array([(x @ y) / (x @ t) for x in (data.exog - data.exog.mean(axis=0)).T])
    errors = np.array([np.mean((y - slope * t) ** 2) for slope in slopes])
    expected = modal_window(errors, 3)[1]
    made = iv_ml.ModeIV(by="loss").generate(data)
    assert_array_equal(made.values[:, 0], data.exog[:, expected])


def test_two_candidates_have_no_mode() -> None:
    data = candidates([0.0, 0.0], n=100)
    made = iv_ml.ModeIV().generate(data)
    assert_allclose(made.values[:, 0], data.exog.mean(axis=1), rtol=ROUNDING)
    assert "no mode" in made.notes[0]


def test_wrong_words_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="by='slope'"):
        iv_ml.ModeIV(by="slope")
    with pytest.raises(DataError, match="dimension=0"):
        iv_ml.AutoIV(dimension=0)
    with pytest.raises(DataError, match="valid_share=0"):
        iv_ml.ModeEnsemble(valid_share=0)
    with pytest.raises(DataError, match="mode of modes"):
        iv_ml.ModeEnsemble(method=iv_ml.ModeEnsemble())


# the ensemble


def test_mode_of_curves_is_right_where_one_curve_with_all_is_not() -> None:
    data = candidates([0.0, 1.5, 0.0, -1.2, 0.0])
    data = with_exog(data.with_instruments(data.exog), np.empty((data.n, 0)))
    alone = iv_ml.Linear2SLS().fit(data).effect(1.0, 0.0)[0]
    found = iv_ml.ModeEnsemble(method="linear_2sls").fit(data)
    # each valid candidate's slope has the standard error sd(2u + noise + δX) / (.6 √4000) < .08; a mean of three
    assert abs(found.effect(1.0, 0.0)[0] - 2) < 0.2
    assert abs(alone - 2) > 0.08  # Σδ / (5 · .6) = .1 in the population
    columns = data.instruments - data.instruments.mean(axis=0)
    slopes = columns.T @ data.dependent / (columns.T @ data.endog)
    # a straight line's effect: the mode over candidates of slope (t1 - t0), here of t1 = 1 and of t0 = 0 apart
    assert_allclose(
        found.predict([3.0])[0] - found.predict([0.0])[0],
        venter_mode(_lines(data, slopes, 3.0), 3)[0] - venter_mode(_lines(data, slopes, 0.0), 3)[0],
        rtol=1e-9,  # another way to the same least squares
    )


def _lines(data: IVData, slopes: FloatArray, t: float) -> FloatArray:
    return (data.dependent.mean() + slopes * (t - data.endog.mean()))[None]


def test_ensemble_of_one_candidate_is_the_method_itself(world: IVData) -> None:
    found = iv_ml.ModeEnsemble().fit(world).predict(world.endog, world.exog)
    assert_allclose(found, iv_ml.Poly2SLS().fit(world).predict(world.endog, world.exog), rtol=ROUNDING)


def test_ensemble_is_saved_and_batched(world: IVData, tmp_path: pytest.TempPathFactory) -> None:
    pairs = [one.with_instruments(one.exog) for one in (world, Fusion().draw(n=400, seed=4).train.data)]
    curves = iv_ml.ModeEnsemble().fit_many(pairs, [1, 2])
    for data, curve in zip(pairs, curves, strict=True):
        alone = iv_ml.ModeEnsemble().fit(data, seed=1).predict(data.endog, data.exog)
        assert_allclose(curve.predict(data.endog, data.exog), alone, rtol=1e-9, atol=1e-12)  # sums in another order
    curves[0].save(tmp_path / "curve.npz")
    again = iv_ml.Curve.load(tmp_path / "curve.npz")
    assert_array_equal(again.predict(world.endog, world.exog), curves[0].predict(world.endog, world.exog))
    assert any(note.startswith("instrument 2:") for note in again.notes)


def test_a_damaged_mode_is_no_curve(world: IVData) -> None:
    parts = iv_ml.ModeEnsemble().fit(world).predictor.inner.parts()
    with pytest.raises(DataError, match="mode of 2 of 1"):
        restored("modal", parts | {"size": np.array(2)})
    with pytest.raises(DataError, match="mode inside a mode"):
        restored("modal", parts | {"kinds": np.array(["modal"])})


# AutoIV


def gaussian(inputs: int, hidden: int, outputs: int) -> Gaussian:
    return Gaussian(inputs, hidden, outputs, Streams([0, 1], Computing("float64")))


def test_surprise_is_the_gaussian_log_likelihood() -> None:
    q = gaussian(2, 3, 2)
    streams = Streams([3, 4], Computing("float64"))
    u, v = streams.normal(7, 2), streams.normal(7, 2)
    mean, spread = q._moments(u)
    likelihood = torch.distributions.Normal(mean, (spread / 2).exp()).log_prob(v).sum(2).mean(1)
    expected = -2 * likelihood - 2 * math.log(2 * math.pi)  # two columns' constants
    assert_allclose(q.surprise(u, v).detach(), expected.detach(), rtol=ROUNDING)
    assert spread.abs().max() < 1


def test_information_is_a_difference_of_log_likelihoods() -> None:
    q = gaussian(2, 3, 1)
    streams = Streams([3, 4], Computing("float64"))
    u, v, other = streams.normal(7, 2), streams.normal(7, 1), streams.normal(7, 1)
    mean, spread = q._moments(u)
    normal = torch.distributions.Normal(mean, (spread / 2).exp())
    gains = 2 * (normal.log_prob(v) - normal.log_prob(other))
    assert_allclose(q.information(u, v, other).detach(), gains.mean((1, 2)).detach(), rtol=1e-10)
    weights = streams.uniform(7, 1).softmax(1)
    assert_allclose(q.information(u, v, other, weights).detach(), (gains * weights).sum((1, 2)).detach(), rtol=1e-10)


def test_a_width_of_one_leaves_the_bounds_blind() -> None:
    q = gaussian(1, 0, 1)
    u, v = Streams([3, 4], Computing("float64")).normal(9, 1).requires_grad_(), torch.ones(2, 9, 1, dtype=torch.float64)
    (q.information(u, v, -v).sum() + q.surprise(u, v).sum()).backward()
    assert u.grad is None  # no way leads there


def by_hand(parts: Decomposition, perms: Streams, y: torch.Tensor, t: torch.Tensor, x: torch.Tensor) -> None:
    """Two rounds of the three aims as Yuan et al. (2022) and their program have them: member by member, row by row."""
    q, reps = parts._predicting, (parts.instrument, parts._confounder)
    regressing = (parts._treatment, parts._embedding, parts._outcome)
    tensors = [[p for one in q.values() for p in one.parameters], [p for one in reps for p in one.parameters]]
    tensors.append(tensors[1] + [p for one in regressing for p in one.parameters])
    opts = [torch.optim.Adam(some, lr=0.01) for some in tensors]

    def log_q(name: str, u: torch.Tensor, v: torch.Tensor) -> torch.Tensor:  # (B, n), without constants, doubled
        mean, spread = q[name]._moments(u)
        return (-((v - mean) ** 2) / torch.exp(spread) - spread).sum(2)

    def bound(name: str, u: torch.Tensor, v: torch.Tensor, order: torch.Tensor) -> torch.Tensor:  # (B, n)
        other = torch.stack([v[b, order[b]] for b in range(2)])
        return log_q(name, u, v) - log_q(name, u, other)

    def squares() -> torch.Tensor:
        return sum((w**2).sum() / 2 for one in (*reps, *regressing) for w in one.weights) / 5

    for _ in range(2):
        z, c = (one(x) for one in reps)
        ways = {"zt": (z, t), "zy": (z, y), "ct": (c, t), "cy": (c, y), "zc": (z, c)}
        orders = {name: perms.orders(x.shape[1]) for name in ("zy", "zt", "ct", "cy", "zc")}
        moved = torch.stack([t[b, orders["zy"][b]] for b in range(2)])
        near = torch.softmax(torch.exp(-((t - moved) ** 2) / (2 * 0.5**2)), dim=1)[..., 0]
        _step(opts[0], -sum(log_q(name, u.detach(), v.detach()).mean(1).sum() for name, (u, v) in ways.items()))
        bounds = {name: bound(name, u, v, orders[name]) for name, (u, v) in ways.items()}
        falling = (near * bounds["zy"]).sum() + bounds["zc"].mean(1).sum()
        _step(opts[1], falling - sum(bounds[name].mean(1).sum() for name in ("zt", "ct", "cy")) + 0.1 * squares())
        z, c = (one(x) for one in reps)
        treatment = parts._treatment(torch.cat([z, c], 2))
        outcome = parts._outcome(torch.cat([c, parts._embedding(treatment)], 2))
        wrong = ((t - treatment) ** 2).mean(1).sum() + ((y - outcome) ** 2).mean(1).sum()
        _step(opts[2], wrong + 0.1 * squares())


def _step(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def test_a_round_is_one_step_for_each_aim() -> None:
    computing = Computing("float64")
    draw = Streams([5, 6], computing)
    y, t, x = draw.normal(12, 1), draw.normal(12, 1), draw.normal(12, 3)
    ours, theirs = (Decomposition(Sizes(3, 2, 2), Streams([0, 1], computing), 0.5, 0.1) for _ in range(2))
    ours._streams = Streams([7, 8], computing)
    step = ours.steps(0.01)
    for _ in range(2):
        step(y, t, x)
    by_hand(theirs, Streams([7, 8], computing), y, t, x)
    for mine, other in zip(_all(ours), _all(theirs), strict=True):
        # four steps of Adam divide rounding by the size of small gradients
        assert_allclose(mine.detach(), other.detach(), rtol=1e-7, atol=1e-9)


def _all(parts: Decomposition) -> list[torch.Tensor]:
    networks = (parts.instrument, parts._confounder, parts._treatment, parts._embedding, parts._outcome)
    return [p for one in (*networks, *parts._predicting.values()) for p in one.parameters]


def test_the_rate_falls_after_every_hundred_steps() -> None:
    weight = torch.ones(1, requires_grad=True)
    adam = _Decaying([weight], 0.5)
    rates = []
    for _ in range(201):
        rates.append(adam._optimizer.param_groups[0]["lr"])
        adam(weight * 2)
    assert_allclose(rates, [0.5] * 100 + [0.5 * 0.95] * 100 + [0.5 * 0.95**2], rtol=ROUNDING)


def test_gradients_of_the_aims_by_finite_differences() -> None:
    streams = Streams([0, 1], Computing("float64"))
    parts = Decomposition(Sizes(3, 2, 2), streams, bandwidth=0.5, penalty=0.1)
    draw = Streams([5, 6], Computing("float64"))
    y, t, x = draw.normal(12, 1), draw.normal(12, 1), draw.normal(12, 3)

    def losses() -> torch.Tensor:
        parts._streams = Streams([7, 8], Computing("float64"))  # the same permutations at each call
        z, c = parts.instrument(x), parts._confounder(x)
        return parts._aims(z, c, t, y) + parts._errors(z, c, t, y) + parts._weight() + parts._surprises(z, c, t, y)

    weight = parts.instrument.weights[0]
    losses().sum().backward()
    step = 1e-6
    for place in [(0, 0, 0), (1, 2, 1), (0, 1, 1)]:
        with torch.no_grad():
            weight[place] += step
            up = losses()
            weight[place] -= 2 * step
            down = losses()
            weight[place] += step
        change = (up - down) / (2 * step)
        # central differences: step² ≈ 1e-12 against values of order 1, whose rounding is divided by the step
        assert_allclose(weight.grad[place], change[place[0]].detach(), rtol=1e-6, atol=1e-8)
        assert change[1 - place[0]] == 0  # members share nothing


def test_members_train_as_if_alone(world: IVData) -> None:
    other = Fusion().draw(n=400, seed=4).train.data
    maker = iv_ml.AutoIV(schedule=SHORT, computing=Computing("float64"))
    both = maker.generate_many([world, other], [1, 2])
    for made, data, seed in zip(both, (world, other), (1, 2), strict=True):
        alone = maker.generate(data, seed)
        # rounding of batched products, through 30 steps of Adam
        assert_allclose(made.values, alone.values, rtol=1e-6, atol=1e-8)
        assert len(made.history) == 30
    assert_array_equal(maker.generate(world, 1).values, maker.generate(world, 1).values)
    assert np.abs(maker.generate(world, 2).values - both[0].values).max() > 1e-3


def test_data_of_two_shapes_are_trained_apart(world: IVData) -> None:
    short = world.rows(slice(0, 200))
    made = iv_ml.AutoIV(schedule=Schedule(2)).generate_many([world, short, world], [1, 2, 1])
    assert [len(one.values) for one in made] == [400, 200, 400]
    assert_array_equal(made[0].values, made[2].values)
    with pytest.raises(DataError, match="1 data sets came with 2 seeds"):
        iv_ml.AutoIV().generate_many([world], [1, 2])
    with pytest.raises(DataError, match="1 data sets came with 2 seeds"):
        iv_ml.UAS().generate_many([world], [1, 2])


def test_units_do_not_matter_when_columns_are_standardised(world: IVData) -> None:
    maker = iv_ml.AutoIV(schedule=SHORT, computing=Computing("float64"))
    scaled = IVData(5 + 100 * world.dependent, 3 * world.endog - 1, 10 * world.exog + 7, world.instruments)
    # standardised columns differ in their last digit; 30 steps of Adam follow
    assert_allclose(maker.generate(scaled).values, maker.generate(world).values, rtol=1e-6, atol=1e-8)


def test_representation_goes_with_the_treatment_and_two_stages_learn() -> None:
    data = candidates([0.0, 1.0, 0.0], n=500)
    made = iv_ml.AutoIV(schedule=Schedule(400)).generate(data, seed=1)
    z = np.column_stack([np.ones(data.n), made.values])
    left = data.endog - z @ np.linalg.lstsq(z, data.endog, rcond=None)[0]
    share = 1 - left.var() / data.endog.var()
    # X explains 1.08 / 2.33 = .46 of T; a representation that does not see T explains next to nothing
    assert share > 0.25
    assert made.history["loss"].iloc[-1] < 0.8 * made.history["loss"].iloc[0]
