"""Networks in a batch against torch's own modules, training and early stopping by hand, the criterion that judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ivbridge.errors import DataError, EngineError, UnsupportedError
from ivbridge.iv_ml.computing import Computing, Streams, deterministic, torch_module
from ivbridge.iv_ml.criterion import moment_kernel, moment_violation
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.predictors.feedforward import ACTIVATIONS, Feedforward
from ivbridge.iv_ml.training import Schedule, Stage, Stopping, descend, train
from ivbridge.progress import Progress

torch = torch_module()
#: Sums of a few dozen products of numbers near 1 in another order: some 1e-16 each.
ROUNDING = 1e-12


# ---- computing -------------------------------------------------------------------------------------------------------


def test_wrong_precision_and_device_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="Available: float32, float64"):
        Computing(precision="float16")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="device='tpu'"):
        Computing(device="tpu").tensor([np.zeros(2)])
    with pytest.raises(UnsupportedError, match="device='cuda:99'"):
        Streams([1], Computing(device=torch.device("cuda:99")))  # type: ignore[arg-type]
    assert Computing().tensor([np.zeros(2), np.ones(2)]).dtype == torch.float32
    assert Computing("float64").tensor([np.zeros((2, 3))] * 4).shape == (4, 2, 3)


@pytest.mark.parametrize("draw", ["uniform", "normal"])
def test_a_member_sees_the_numbers_that_it_would_see_alone(draw: str) -> None:
    together, alone = Streams([7, 8, 9], Computing()), Streams([8], Computing())
    for _ in range(2):
        assert torch.equal(getattr(together, draw)(5, 4)[1], getattr(alone, draw)(5, 4)[0])
        assert torch.equal(together.orders(6)[1], alone.orders(6)[0])
        assert torch.equal(together.integers(3, 8)[1], alone.integers(3, 8)[0])
    assert together.orders(6).sort(dim=1).values.tolist() == [list(range(6))] * 3
    assert set(together.integers(3, 200).flatten().tolist()) == {0, 1, 2}


def test_how_torch_computes_is_put_back() -> None:
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("warn")
    inside = []

    def failing() -> None:
        with deterministic():
            inside.append((torch.get_num_threads(), torch.get_deterministic_debug_mode()))
            raise KeyError

    try:
        with pytest.raises(KeyError):
            failing()
        assert inside == [(1, 2)]
        assert (torch.get_num_threads(), torch.get_deterministic_debug_mode()) == (threads, 1)
    finally:
        torch.set_deterministic_debug_mode(mode)


# ---- networks against torch.nn ---------------------------------------------------------------------------------------


def twin(networks: Networks, layout: Layout, member: int) -> Any:
    """One member as torch's own modules, with the same numbers."""
    parts: list[Any] = []
    found = networks.state()
    count = len(layout.widths)
    for i in range(count):
        weight, bias = found[i][member], found[count + i][member, 0]
        linear = torch.nn.Linear(*weight.shape, dtype=weight.dtype)
        with torch.no_grad():
            linear.weight.copy_(weight.T)
            linear.bias.copy_(bias)
        linear.bias.requires_grad_(i not in layout.normalised)  # what normalisation takes away is not learnt
        parts.append(linear)
        if i in layout.normalised:
            at = 2 * count + 4 * layout.normalised.index(i)
            norm = torch.nn.BatchNorm1d(len(bias), dtype=weight.dtype)
            with torch.no_grad():
                for own, number in zip(
                    (norm.weight, norm.bias, norm.running_mean, norm.running_var), range(4), strict=True
                ):
                    own.copy_(found[at + number][member, 0])
            parts.append(norm)
        if i < count - 1:
            parts.append(
                {
                    "relu": torch.nn.ReLU(),
                    "tanh": torch.nn.Tanh(),
                    "elu": torch.nn.ELU(),
                    "leaky_relu": torch.nn.LeakyReLU(),
                    "sigmoid": torch.nn.Sigmoid(),
                }[layout.activation]
            )
    return torch.nn.Sequential(*parts)


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "linear"])
@pytest.mark.parametrize("normalised", [(), (1,), (0, 1)])
def test_networks_are_torchs_own_modules(activation: str, normalised: tuple[int, ...]) -> None:
    """Outputs, three steps of Adam in training mode, and outputs as they are used afterwards, also in NumPy."""
    computing = Computing("float64")
    streams = Streams([1, 2], computing)
    layout = Layout((6, 5, 2), activation, normalised=normalised)
    networks = Networks(3, layout, streams)
    twins = [twin(networks, layout, b) for b in range(2)]
    inputs, target = streams.normal(20, 3), streams.normal(20, 2)
    ours = torch.optim.Adam(networks.parameters, lr=0.01, weight_decay=0.1)
    theirs = [torch.optim.Adam(one.parameters(), lr=0.01, weight_decay=0.1) for one in twins]
    for _ in range(3):
        losses = descend(ours, ((networks(inputs, streams) - target) ** 2).mean((1, 2)))
        for b, (one, optimizer) in enumerate(zip(twins, theirs, strict=True)):
            loss = ((one(inputs[b]) - target[b]) ** 2).mean()
            assert float(losses[b]) == pytest.approx(float(loss.detach()), rel=ROUNDING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        used = networks(inputs)
        for b, one in enumerate(twins):
            expected = one.eval()(inputs[b]).numpy()
            # Adam divides by the root of squared gradients: rounding of a gradient near 0 grows
            assert used[b].numpy() == pytest.approx(expected, abs=1e-9)
            feedforward = Feedforward(networks.layers(b))
            t, x = inputs[b, :, 0].numpy(), inputs[b, :, 1:].numpy()
            assert feedforward(t, x) == pytest.approx(expected[:, 0], abs=1e-9)


@pytest.mark.parametrize(("start", "limit"), [("torch", 1 / np.sqrt(4)), ("glorot", np.sqrt(6 / (4 + 600)))])
def test_starting_weights_are_uniform_within_the_limits_of_torch_and_keras(start: Any, limit: float) -> None:
    networks = Networks(4, Layout((600,), start=start), Streams([0], Computing()))
    weight, bias = (part[0].numpy() for part in networks.state())
    # of 2400 uniform numbers the largest is above .99 of the limit but for a chance of .99^2400 < 1e-10;
    # their standard deviation is limit/√3 with a standard error of 1 %
    assert 0.99 * limit < np.abs(weight).max() <= limit
    assert weight.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
    assert (np.abs(bias).max() <= limit) and (bool(bias.any()) == (start == "torch"))


def test_dropout_keeps_the_mean_and_is_off_afterwards() -> None:
    streams = Streams([0, 1], Computing("float64"))
    networks = Networks(2, Layout((4000, 1), dropout=0.4), streams)
    inputs = torch.ones(2, 1, 2, dtype=torch.float64)
    as_used = networks(inputs).detach()
    drawn = torch.stack([networks(inputs, streams).detach() for _ in range(200)])
    assert torch.equal(networks(inputs), networks(inputs))
    assert float(drawn.std(0).min()) > 0
    # the mean of 200 draws within five standard errors
    assert ((drawn.mean(0) - as_used).abs() < 5 * drawn.std(0) / 200**0.5).all()
    assert not torch.equal(drawn[0, 0], drawn[0, 1])


def test_a_state_is_a_copy_that_can_be_put_back() -> None:
    streams = Streams([0], Computing())
    networks = Networks(2, Layout((3, 1), normalised=(0,)), streams)
    kept, inputs = networks.state(), streams.normal(8, 2)
    before = networks(inputs).detach()
    optimizer = torch.optim.SGD(networks.parameters, lr=0.1)
    descend(optimizer, (networks(inputs, streams) ** 2).mean((1, 2)))
    assert not torch.equal(networks(inputs), before)
    networks.restore(kept)
    assert torch.equal(networks(inputs), before)


# ---- training --------------------------------------------------------------------------------------------------------


def test_every_row_comes_once_an_epoch_and_batches_are_no_smaller_than_half() -> None:
    streams = Streams([3, 4], Computing())
    seen: list[Any] = []

    def step(batch: Any, other: Any) -> Any:
        assert torch.equal(batch * 2, other)
        seen.append(batch)
        return torch.zeros(2)

    for n, size, sizes in ((10, 4, [4, 4, 2]), (9, 4, [4, 5]), (3, 4, [3]), (5, 3, [3, 2]), (10, None, [10])):
        rows = torch.arange(n, dtype=torch.float32).repeat(2, 1)
        seen.clear()
        train(step, [rows, rows * 2], Schedule(2, size), Stage("first", ()), streams)
        assert [batch.shape[1] for batch in seen] == sizes * 2
        for b in range(2):
            for epoch in (seen[: len(sizes)], seen[len(sizes) :]):
                assert sorted(torch.cat([batch[b] for batch in epoch]).tolist()) == list(range(n))
    rows = torch.arange(50, dtype=torch.float32).repeat(2, 1)
    seen.clear()
    train(step, [rows, rows * 2], Schedule(2, 50), Stage("first", ()), streams)
    orders = [batch[b].tolist() for batch in seen for b in range(2)]
    assert len({tuple(order) for order in orders}) == 4  # each epoch and each member has its own


class Counted:
    """Two members whose one weight counts the steps, and criteria that are written down beforehand."""

    def __init__(self, criteria: Sequence[Sequence[float]], stopping: Stopping) -> None:
        self.streams = Streams(range(len(criteria)), Computing("float64"))
        self.networks = Networks(1, Layout((1,)), self.streams)
        self.criteria, self.looks, self.steps = criteria, 0, 0
        self.networks.restore([part * 0 for part in self.networks.state()])
        self.stage = Stage("second", (self.networks,), self.check, stopping)

    def step(self, _: Any) -> Any:
        self.steps += 1
        self.networks.restore([part + 1 for part in self.networks.state()])
        return torch.full((len(self.criteria),), float(self.steps))

    def check(self) -> Any:
        self.looks += 1
        return torch.tensor([row[self.looks - 1] for row in self.criteria])

    def train(self, epochs: int, progress: Progress | None = None) -> list[pd.DataFrame]:
        rows = torch.zeros(len(self.criteria), 4, 1)
        return train(self.step, [rows], Schedule(epochs), self.stage, self.streams, progress)

    @property
    def kept(self) -> list[float]:
        return [float(value) for value in self.networks.state()[1].flatten()]


def test_the_best_state_of_each_member_is_kept() -> None:
    nan = float("nan")
    run = Counted([[5, 3, 4, 1, 0], [1, 2, 3, nan, 0], [9, 8, 7, 6, 5]], Stopping(patience=3))
    histories = run.train(5)
    assert run.kept == [5, 1, 5]  # the second one waited for three looks, so that its 0 came too late
    assert histories[0]["criterion"].tolist() == [5, 3, 4, 1, 0]
    assert histories[1]["epoch"].tolist() == [1, 2, 3, 4]
    assert histories[1]["loss"].tolist() == [1, 2, 3, 4]
    assert set(histories[1]["stage"]) == {"second"}


def test_training_ends_when_nobody_is_followed_any_longer() -> None:
    run = Counted([[1, 2, 3, 0], [3, 1, 2, 2, 0]], Stopping(patience=2))
    said: list[tuple[int, int, str]] = []
    run.train(100, lambda *what: said.append(what))
    assert run.steps == 4
    assert run.kept == [1, 2]
    assert said == [(k, 100, "second") for k in range(1, 5)]


def test_patience_is_counted_from_the_last_better_look() -> None:
    run = Counted([[5, 6, 4, 5, 3, 9, 9, 0]], Stopping(patience=2))
    run.train(8)
    assert run.kept == [5]
    assert run.steps == 7


def test_looks_come_every_so_many_epochs() -> None:
    run = Counted([[2.0, 1.0, 3.0]], Stopping(patience=9, every=3))
    (history,) = run.train(10)
    assert history["criterion"].dropna().tolist() == [2, 1, 3]
    assert history.loc[history["criterion"].notna(), "epoch"].tolist() == [3, 6, 9]
    assert run.kept == [6]


def test_a_loss_that_is_not_finite_ends_training_unless_its_member_had_stopped() -> None:
    run = Counted([[1, 2, 3, 4, 5], [5, 4, 3, 2, 1]], Stopping(patience=1))
    plain = run.step

    def step(batch: Any) -> Any:
        losses = plain(batch)
        losses[0] = float("nan") if run.steps > 2 else 1
        return losses

    run.step = step  # type: ignore[method-assign]
    assert [len(history) for history in run.train(5)] == [2, 5]
    run = Counted([[1.0] * 5, [1.0] * 5], Stopping(patience=9))
    with pytest.raises(EngineError, match=r"second stage's loss is not finite after epoch 4.*learning rate"):
        train(
            lambda _: torch.tensor([0.0, float("inf")]) if run.steps > 2 else run.step(_),
            [torch.zeros(2, 4, 1)], Schedule(5), run.stage, run.streams,
        )  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Stopping(share=0), lambda: Stopping(share=1.0), lambda: Stopping(patience=0), lambda: Stopping(every=0),
        lambda: Schedule(0), lambda: Schedule(5, 1), lambda: Schedule(2.5), lambda: Schedule(5, 2.5),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_plans_that_make_no_sense_are_refused(wrong: Any) -> None:
    with pytest.raises(DataError, match="Available"):
        wrong()


# ---- criterion -------------------------------------------------------------------------------------------------------


def test_the_criterion_by_hand() -> None:
    """Three rows at -1, 0, 1 in one direction: squared distances 1, 1, 4 in units of the column, median 1."""
    kernel = moment_kernel(np.array([[-1.0], [0], [1]]), np.full((3, 1), 7.0))
    near, far = np.exp(-1), np.exp(-4)
    assert kernel == pytest.approx(np.array([[1, near, far], [near, 1, near], [far, near, 1]]))
    residuals = np.array([1.0, 2, -1])
    by_hand = (1 + 4 + 1 + 2 * (2 * near - 2 * near - far)) / 9
    assert moment_violation(residuals, kernel) == pytest.approx(by_hand)
    assert moment_violation(np.r_[residuals, 99], kernel) == pytest.approx(by_hand)  # rows beyond the kernel's
    assert moment_kernel(np.ones((4, 1)), np.empty((4, 0))).tolist() == np.ones((4, 4)).tolist()


def test_the_width_is_that_of_rows_that_differ() -> None:
    """Of six rows with a binary instrument 10 of 15 pairs have the distance 0, which is no width."""
    z = np.repeat([0.0, 1.0], [5, 1])[:, None]
    expected = np.where(z == z.T, 1.0, np.exp(-1))
    assert moment_kernel(z, np.empty((6, 0))) == pytest.approx(expected)
    assert moment_kernel(np.eye(8), np.empty((8, 0)))[0, 1] == pytest.approx(np.exp(-1))


def test_the_kernel_does_not_depend_on_units() -> None:
    random = np.random.default_rng(0)
    z, x = random.normal(size=(30, 2)), random.normal(size=(30, 1))
    assert moment_kernel(z * [1e6, 1e-3] + 5, x) == pytest.approx(moment_kernel(z, x), abs=1e-9)
    assert len(moment_kernel(random.normal(size=(1600, 1)), np.empty((1600, 0)))) == 1500


def test_the_criterion_prefers_the_truth_where_squared_error_prefers_confounding() -> None:
    random = np.random.default_rng(1)
    n = 1500
    z, u = random.normal(size=n), random.normal(size=n)
    t = z + u
    y = 2 * t + 2 * u + 0.1 * random.normal(size=n)
    slopes = np.linspace(1.5, 3.5, 41)
    kernel = moment_kernel(z[:, None], np.empty((n, 0)))
    best = slopes[np.argmin([moment_violation(y - b * t - (y - b * t).mean(), kernel) for b in slopes])]
    # OLS tends to 2 + 2·var(u)/var(t) = 3; an IV estimate has the standard error 2/√1500 = .05 here
    assert np.polyfit(t, y, 1)[0] == pytest.approx(3, abs=0.1)
    assert best == pytest.approx(2, abs=0.2)


def test_an_early_stopping_that_never_looks_is_refused() -> None:
    run = Counted([[1.0] * 3], Stopping(every=4))
    with pytest.raises(DataError, match=r"after every 4 epochs was asked, and 3 epochs"):
        run.train(3)
