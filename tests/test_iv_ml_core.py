"""The frame of the nonlinear methods: data, curves, networks, training, the criterion, and the data-fusion worlds."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from ivbridge import iv_ml
from ivbridge.errors import DataError, EngineError, UnsupportedError
from ivbridge.iv_ml.computing import Computing, Streams, deterministic, torch_module
from ivbridge.iv_ml.criterion import moment_kernel, moment_violation
from ivbridge.iv_ml.curves import Curve
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generated import Generated, Generator, coded
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.predictors import KINDS
from ivbridge.iv_ml.predictors.feedforward import ACTIVATIONS, Dense, Feedforward
from ivbridge.iv_ml.predictors.scaled import Scaled
from ivbridge.iv_ml.scenarios import rules
from ivbridge.iv_ml.scenarios.fusion import Fusion
from ivbridge.iv_ml.training import Schedule, Stage, Stopping, descend, train
from ivbridge.progress import Progress

torch = torch_module()
ROOT = Path(__file__).resolve().parents[1]
#: Sums of a few dozen products of numbers near 1 in another order: some 1e-16 each.
ROUNDING = 1e-12


def some(n: int = 40, m: int = 2, q: int = 1, seed: int = 0) -> IVData:
    random = np.random.default_rng(seed)
    return IVData(random.normal(size=n), random.normal(size=n), random.normal(size=(n, m)), random.normal(size=(n, q)))


# ---- data ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dependent": [1.0, 2, 3, np.nan, 5]}, r"dependent has a value that is missing .* row 3"),
        ({"endog": [1.0, 2, np.inf, 4, 5]}, "endog .* row 2"),
        ({"exog": np.ma.masked_equal([[1.0], [2], [3], [4], [5]], 5)}, "exog .* missing .* row 4"),
        ({"instruments": ["1", "2", "3", "4", "5"]}, "instruments cannot be read as numbers: the type is <U1"),
        ({"instruments": np.array(["1", 2, 3, 4, 5], dtype=object)}, "a value of the type str"),
        ({"exog": np.array([None] * 5)}, "missing"),
        ({"endog": pd.array([1, 2, None, 4, 5], dtype="Int64")}, "missing|NAType"),
        ({"endog": np.arange(5).astype("datetime64[D]")}, "datetime64"),
        ({"dependent": np.arange(5) * 1j}, "complex"),
        ({"dependent": [10**400, 2, 3, 4, 5]}, "cannot be read as numbers"),
        ({"exog": [[1, 2], [3], [4], [5], [6]]}, "exog cannot be read"),
        ({"exog": np.zeros((5, 2, 2))}, r"shape \(5, 2, 2\)"),
        ({"dependent": np.zeros((5, 2))}, r"dependent has the shape \(5, 2\)"),
        ({"endog": 3.0}, r"endog has the shape \(\)"),
        ({"endog": np.arange(4.0)}, "unequal numbers of rows: dependent 5, endog 4"),
        ({"instruments": np.empty((5, 0))}, "There is no instrument"),
    ],
)
def test_what_is_no_data_is_refused(changes: dict[str, Any], said: str) -> None:
    column = np.arange(5.0)
    given = {"dependent": column, "endog": column, "exog": column, "instruments": column} | changes
    with pytest.raises(DataError, match=said):
        IVData(**given)


def test_data_are_copied_and_cannot_be_changed() -> None:
    y = np.arange(5.0)
    data = IVData(y, [True, False, True, True, False], [[Decimal(1)]] * 5, y[:, None].astype(np.float32))
    y[0] = 7
    assert data.dependent[0] == 0
    assert data.shape == (5, 1, 1)
    assert all(part.dtype == np.float64 for part in data.arrays)
    with pytest.raises(ValueError, match="read-only"):
        data.exog[0, 0] = 1


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(DataError, match="3 rows are too few"):
        IVData(np.zeros(3), np.zeros(3), np.zeros(3), np.zeros(3))


def test_columns_of_a_frame() -> None:
    frame = pd.DataFrame({"y": [1.0, 2, 3, 4], "t": [0, 1, 0, 1], "x": [True, False, True, False], "z": [1, 2, 3, 4]})
    data = IVData.of(frame, "y", "t", ["x"], ["z"])
    assert [part.ravel().tolist() for part in data.arrays] == [[1, 2, 3, 4], [0, 1, 0, 1], [1, 0, 1, 0], [1, 2, 3, 4]]
    assert IVData.of(frame, "y", "t", [], ["z"]).shape == (4, 0, 1)
    with pytest.raises(DataError, match=r"no column 'w'.*Available: y, t, x, z"):
        IVData.of(frame, "y", "t", ["w"], ["z"])
    with pytest.raises(DataError, match="dependent has the shape"):
        IVData.of(pd.concat([frame, frame], axis=1), "y", "t", ["x"], ["z"])


def test_the_hash_tells_values_and_roles_apart() -> None:
    data = some(m=1)
    y, t, x, z = data.arrays
    others = [IVData(t, y, x, z), IVData(y, t, z, x), IVData(y + 1e-15, t, x, z), IVData(y, t, np.c_[x, z], z)]
    assert len({one.sha256 for one in [data, *others]}) == 5
    assert data.sha256 == some(m=1).sha256


def test_a_split_takes_every_row_once() -> None:
    data = some(n=41)
    kept, held = data.split(0.25, seed=3)
    assert (kept.n, held.n) == (31, 10)
    assert sorted([*kept.dependent, *held.dependent]) == sorted(data.dependent)
    assert data.split(0.25, 3)[1].sha256 == held.sha256
    assert data.split(0.25, 4)[1].sha256 != held.sha256
    assert [part.n for part in some(n=8).split(0.01, 0)] == [4, 4]
    for share, n in ((0.0, 40), (1.0, 40), (0.95, 40), (0.5, 7)):
        with pytest.raises(DataError, match="cannot be held out"):
            some(n=n).split(share, 0)


# ---- names -----------------------------------------------------------------------------------------------------------


def test_names_lead_to_classes() -> None:
    assert issubclass(iv_ml.method_class("poly2sls"), IVRegression)
    assert issubclass(iv_ml.generator_class("none_iv"), Generator)
    assert iv_ml.method_class("poly2sls") is iv_ml.Poly2SLS
    with pytest.raises(UnsupportedError, match=r"no regression 'nothing'.*agmm"):
        iv_ml.method_class("nothing")
    with pytest.raises(UnsupportedError, match=r"no generation 'poly2sls'.*meta_em"):
        iv_ml.generator_class("poly2sls")
    with pytest.raises(AttributeError, match="Nothing"):
        _ = iv_ml.Nothing


@pytest.mark.parametrize("name", [*iv_ml.METHODS, *iv_ml.GENERATORS])
def test_every_name_is_there_and_knows_itself(name: str) -> None:
    found = iv_ml.method_class(name) if name in iv_ml.METHODS else iv_ml.generator_class(name)
    assert found.name == name
    assert found().__class__ is found  # all hyper-parameters have defaults
    assert hash(found()) == hash(found())
    json.dumps(__import__("dataclasses").asdict(found()))


def test_methods_without_networks_do_without_torch() -> None:
    code = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch",):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from ivbridge import iv_ml
from ivbridge.errors import MissingExtraError
import numpy as np
r = np.random.default_rng(0)
data = iv_ml.IVData(r.normal(size=60), r.normal(size=60), r.normal(size=(60, 1)), r.normal(size=60))
for name in ("poly2sls", "kernel_iv", "dual_iv", "linear_2sls"):
    assert np.isfinite(iv_ml.method_class(name)().fit(data).predict(0.0, data.exog)).all()
try:
    iv_ml.method_class("deep_iv")().fit(data)
except MissingExtraError as error:
    assert "ivbridge[torch]" in str(error)
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT)


# ---- curves ----------------------------------------------------------------------------------------------------------


def curve(covariates: int = 2, seed: int = 0) -> Curve:
    random = np.random.default_rng(seed)
    layers = (
        Dense(random.normal(size=(1 + covariates, 5)), random.normal(size=5), "tanh"),
        Dense(random.normal(size=(5, 1)), random.normal(size=1), "linear"),
    )
    history = pd.DataFrame(
        {"stage": "first", "epoch": [1, 2], "loss": [1 / 3, 1.23456789e-20], "criterion": [np.nan, 2 / 3]}
    )
    spread = random.uniform(1, 2, 1 + covariates)
    predictor = Scaled(Feedforward(layers), random.normal(size=1 + covariates), spread, 2.0, 3.0)
    return Curve("nn2sls", {"rate": 0.1, "widths": (3, 1)}, 4, predictor, covariates, history, ("a note",), "abc")


def test_predictions_are_of_the_inner_curve_in_units_of_the_data() -> None:
    found = curve()
    random = np.random.default_rng(1)
    t, x = random.normal(size=7), random.normal(size=(7, 2))
    outer = found.predictor
    assert isinstance(outer, Scaled)
    inside = (np.column_stack([t, x]) - outer.center) / outer.spread
    first, second = outer.inner.layers  # type: ignore[attr-defined]
    by_hand = 2 + 3 * (np.tanh(inside @ first.weight + first.bias) @ second.weight + second.bias)[:, 0]
    assert found.predict(t, x) == pytest.approx(by_hand, abs=ROUNDING)
    assert found.predict(0.5, x).tolist() == found.predict(np.full(7, 0.5), x).tolist()
    assert found.predict(t[:, None], x).tolist() == found.predict(pd.Series(t), x).tolist()
    assert found.effect(1, 0, x).tolist() == (found.predict(np.ones(7), x) - found.predict(0, x)).tolist()
    assert found.predict([], np.empty((0, 2))).tolist() == []


def test_a_curve_without_covariates() -> None:
    found = curve(covariates=0)
    grid = np.linspace(-1, 1, 5)
    assert found.predict(grid).shape == (5,)
    assert found.predict(0.5).tolist() == found.predict([0.5]).tolist()
    assert found.effect(grid, 0.0).tolist() == (found.predict(grid) - found.predict(0.0)).tolist()
    assert found.effect(0.0, grid).tolist() == (-found.effect(grid, 0.0)).tolist()


@pytest.mark.parametrize(
    ("t", "x", "said"),
    [
        ([1.0, 2], np.zeros((2, 3)), "x has 3 columns.*Available: 2, as when"),
        (1.0, None, "x has 0 columns"),
        ([1.0, 2], np.zeros((3, 2)), "t has 2 rows and x has 3"),
        (np.nan, np.zeros((3, 2)), "t has a value that is missing"),
        ("a", np.zeros((3, 2)), "t cannot be read"),
        ([[1.0], [2, 3]], np.zeros((2, 2)), "t cannot be read"),
        (None, np.zeros((2, 2)), "t "),
        ([1.0, 2], [[1, 2], [3, np.inf]], "x has a value that is missing"),
    ],
)
def test_wrong_questions_to_a_curve(t: Any, x: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        curve().predict(t, x)
    with pytest.raises(DataError):
        curve().effect(t, 0.0, x)


def test_treatments_of_different_lengths_have_no_effect_between_them() -> None:
    with pytest.raises(DataError, match="t1 has 3 values and t0 has 2"):
        curve(covariates=0).effect([1, 2, 3], [1, 2])


def test_a_saved_curve_is_the_same_curve(tmp_path: Path) -> None:
    found = curve()
    found.save(tmp_path / "curve.npz")
    again = Curve.load(tmp_path / "curve.npz")
    x = np.random.default_rng(1).normal(size=(9, 2))
    assert again.predict(0.3, x).tobytes() == found.predict(0.3, x).tobytes()
    pd.testing.assert_frame_equal(again.history, found.history, check_exact=True)
    assert again.settings == {"rate": 0.1, "widths": [3, 1]}  # JSON knows no tuples
    assert (again.method, again.seed, again.notes, again.data_sha256, again.covariates) == (
        found.method, found.seed, found.notes, found.data_sha256, found.covariates
    )  # fmt: skip
    assert again.provenance == found.provenance
    assert repr(again) == "Curve(nn2sls, seed 4, 2 covariates, criterion 0.667)"


def test_a_curve_cannot_be_saved_nowhere(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        curve().save(tmp_path / "missing" / "curve.npz")
    with pytest.raises(DataError, match="cannot be read"):
        Curve.load(tmp_path / "curve.npz")


def changed(path: Path, **changes: Any) -> Path:
    """The same file with other text about it, or other arrays (None: without it)."""
    with np.load(path) as file:
        parts = {name: file[name] for name in file.files}
    about = json.loads(str(parts["about"]))
    for name, value in changes.items():
        if name in about:
            about[name] = value
        elif value is None:
            del parts[name.replace("__", "/")]
        else:
            parts[name.replace("__", "/")] = value
    parts["about"] = np.array(json.dumps(about))
    np.savez(path, **parts)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "ivbridge curve 9"}, {"kind": "os.system"}, {"kind": "kernel"}, {"covariates": 3},
        {"covariates": -1},
        {"history": 5}, {"provenance": "x"}, {"provenance": {}}, {"seed": "a"},
        {"curve__center": None}, {"curve__inner_kind": np.array("scaled")}, {"curve__inner_kind": np.array("nothing")},
        {"curve__center": np.zeros(2)}, {"curve__inner/layers/0/weight": np.zeros((3, 4))},
        {"curve__inner/layers/0/bias": np.zeros(4)}, {"curve__inner/layers/activations": np.array(["relu"] * 3)},
        {"curve__inner/layers/activations": np.array(["exec", "relu"])},
        {"curve__center": np.array(["a", "b", "c"])},
    ],
)  # fmt: skip
def test_files_that_are_no_curve(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "curve.npz"
    curve().save(path)
    with pytest.raises(DataError):
        Curve.load(changed(path, **changes))


def test_damaged_files(tmp_path: Path) -> None:
    """Many places of a file are damaged in turn; a curve that is still read predicts as before."""
    path = tmp_path / "curve.npz"
    curve().save(path)
    whole = path.read_bytes()
    x = np.ones((3, 2))
    expected = curve().predict(1.0, x)
    refused = 0
    for at in range(0, len(whole), 19):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            found = Curve.load(path)
        except DataError:
            refused += 1
        else:
            assert found.predict(1.0, x).tolist() == expected.tolist()
    assert (
        refused > len(whole) // 19 * 0.6
    )  # the rest: dates and attributes of the archive's members, which nobody reads
    for content in (b"", whole[: len(whole) // 2], b"PK", b"\x80\x04K\x01."):
        path.write_bytes(content)
        with pytest.raises(DataError):
            Curve.load(path)
    np.save(tmp_path / "array.npy", np.ones(3))
    with pytest.raises(DataError):
        Curve.load(tmp_path / "array.npy")


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    content = io.BytesIO()
    np.savez(content, about=np.array([print], dtype=object))
    (tmp_path / "curve.npz").write_bytes(content.getvalue())
    with pytest.raises(DataError, match="allow_pickle"):
        Curve.load(tmp_path / "curve.npz")


def test_every_kind_of_predictor_is_there() -> None:
    import importlib

    for kind, place in KINDS.items():
        module, _, name = place.partition(".")
        assert getattr(importlib.import_module(f"ivbridge.iv_ml.predictors.{module}"), name).kind == kind


# ---- computing -------------------------------------------------------------------------------------------------------


def test_wrong_precision_and_device_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="Available: float32, float64"):
        Computing(precision="float16")  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="device='tpu'"):
        Computing(device="tpu").tensor([np.zeros(2)])
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
        lambda: Schedule(0), lambda: Schedule(5, 1),
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


# ---- the base class --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Line(IVRegression):
    """Remembers what it was given and answers with the treatment itself."""

    name: ClassVar[str] = "line"
    seen: ClassVar[list[tuple[tuple[int, int, int], ...]]] = []
    given: ClassVar[list[IVData]] = []

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        self.seen.append(tuple(one.shape for one in data))
        self.given.extend(data)
        layer = lambda one: Dense(np.eye(1 + one.shape[1])[:, :1], np.zeros(1), "linear")  # noqa: E731
        return [Learnt(Feedforward((layer(one),)), notes=(str(seed),)) for one, seed in zip(data, seeds, strict=True)]


def test_data_sets_of_one_shape_are_learnt_together_and_answers_keep_their_order() -> None:
    Line.seen.clear()
    data = [some(40), some(30), some(40, seed=1), some(30, q=2)]
    curves = Line().fit_many(data, [1, 2, 3, 4])
    assert Line.seen == [((40, 2, 1), (40, 2, 1)), ((30, 2, 1),), ((30, 2, 2),)]
    assert [one.notes for one in curves] == [("1",), ("2",), ("3",), ("4",)]
    assert [one.data_sha256 for one in curves] == [one.sha256 for one in data]
    assert [one.seed for one in curves] == [1, 2, 3, 4]
    assert curves[0].provenance.calls == ("Line(standardize=True).fit(data, seed=1)",)
    assert set(curves[0].provenance.versions) == {"python", "numpy", "scipy"}


def test_standard_columns_and_answers_in_the_units_of_the_data() -> None:
    Line.given.clear()
    random = np.random.default_rng(0)
    y, t = 5 + 3 * random.normal(size=50), -2 + 4 * random.normal(size=50)
    x = np.column_stack([1e6 + random.normal(size=50), np.full(50, 7.0)])
    data = IVData(y, t, x, np.full(50, 0.1))
    curve = Line().fit(data)
    (seen,) = Line.given
    for part in (seen.dependent, seen.endog, seen.exog[:, 0]):
        assert (part.mean(), part.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1))
    assert (seen.exog[:, 1] == 7).all()  # constants stay
    assert (seen.instruments == 0.1).all()
    assert curve.predict(t, x) == pytest.approx(y.mean() + y.std() * (t - t.mean()) / t.std())
    assert Line(standardize=False).fit(data).predict(t, x).tolist() == t.tolist()
    assert Line.given[-1] is data


@pytest.mark.parametrize("seed", [-1, 1.0, True, "1", None])
def test_seeds_are_integers_from_0(seed: Any) -> None:
    with pytest.raises(DataError, match=r"seed .* was asked"):
        Line().fit(some(), seed)
    assert Line().fit(some(), np.int64(3)).seed == 3


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(DataError, match="2 data sets came with 1 seeds"):
        Line().fit_many([some(), some()], [1])
    with pytest.raises(DataError, match=r"DataFrame was given.*IVData\.of"):
        Line().fit(pd.DataFrame({"y": [1.0]}))  # type: ignore[arg-type]
    huge = IVData(np.array([1e200, -1e200, 3, 4]), np.arange(4.0), np.empty((4, 0)), np.arange(4.0))
    with pytest.raises(DataError, match="squares leave the doubles"):
        Line().fit(huge)
    assert Line().fit_many([], []) == []


# ---- makers of instruments -------------------------------------------------------------------------------------------


def test_codes_of_groups() -> None:
    labels = np.array([2, 0, 1, 2])
    assert coded(labels, 3, "onehot").tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert coded(labels, 4, "label").tolist() == [[2], [0], [1], [2]]
    for wrong, groups in ((labels, 2), (labels - 1, 3)):
        with pytest.raises(DataError, match="Available: 0 …"):
            coded(wrong, groups, "onehot")


@dataclass(frozen=True, kw_only=True)
class Signs(Generator):
    """The sign of the treatment."""

    name: ClassVar[str] = "signs"

    def generate(self, data: IVData, seed: int = 0) -> Generated:
        return Generated("signs", np.sign(data.endog)[:, None], lambda t, _: np.sign(t)[:, None])


def test_an_instrument_takes_the_place_of_the_old_ones() -> None:
    data = some(q=3)
    made = Signs().applied(data)
    assert made.instruments.tolist() == np.sign(data.endog)[:, None].tolist()
    assert all(a is not None and (a == b).all() for a, b in zip(made.arrays[:3], data.arrays[:3], strict=True))


# ---- the data-fusion worlds ------------------------------------------------------------------------------------------


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
