"""All nonlinear IV methods against theory: 2SLS in linear worlds, gradients, symmetries, seeds, files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ivbridge import iv_ml
from ivbridge.iv_ml.computing import Computing, Streams, torch_module
from ivbridge.iv_ml.curves import Curve
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.networks import Layout, Networks
from ivbridge.iv_ml.scenarios.fusion import Fusion
from ivbridge.iv_ml.training import Schedule

ROOT = Path(__file__).resolve().parents[1]
CLOSED = ("dml_iv", "dual_iv", "kernel_iv", "linear_2sls", "mode_ensemble", "poly2sls")
TRAINED = tuple(name for name in iv_ml.METHODS if name not in CLOSED)
#: Makers of instruments that draw nothing at random answer alike for all seeds.
RANDOM = ("auto_iv", "meta_em", "meta_km")


# ---- linear worlds ---------------------------------------------------------------------------------------------------


def linear_world(seed: int, effect: float, n: int = 1000) -> IVData:
    """Y = effect·T + X + 2U + noise, T = 1.5Z + X/2 + U + noise; everything is normal, Z, X and U have variance 1.

    Given X, T has the variance 2.25 + 1 + .25 = 3.5, and its covariance with 2U is 2: OLS tends to effect + 4/7.
    """
    random = np.random.default_rng([seed, 7])
    z, x, u, a, b = random.normal(size=(5, n))
    t = 1.5 * z + 0.5 * x + u + 0.5 * a
    return IVData(effect * t + x + 2 * u + 0.5 * b, t, x, z)


def least_squares(columns: Sequence[Any], outcome: Any) -> Any:
    return np.linalg.lstsq(np.column_stack([np.ones(len(outcome)), *columns]), outcome, rcond=None)[0]


def both_slopes(data: IVData) -> tuple[float, float]:
    """2SLS and OLS, by two least-squares problems."""
    y, t, x, z = data.arrays
    one = np.ones(data.n)
    fitted = np.column_stack([one, z, x]) @ least_squares([z, x], t)
    return float(least_squares([fitted, x], y)[1]), float(least_squares([t, x], y)[1])


#: Fewer epochs than by default where fewer are enough for 1000 rows, and narrower networks.
FAST: dict[str, dict[str, Any]] = {
    "nn2sls": {"widths": (64, 32), "normalised": (), "first": Schedule(40, 250), "schedule": Schedule(40, 250)},
    "one_siv": {"widths": (64, 32), "dropout": 0.1, "outcome_weight": 0.1, "schedule": Schedule(40, 250)},
    "deep_iv": {"widths": (64, 32), "dropout": 0.0, "schedule": Schedule(60, 100)},
    "dfiv": {
        "ridge1": 1e-3,
        "ridge2": 1e-3,
        "instrument_hidden": (32, 16),
        "covariate_hidden": (16, 8),
        "treatment_steps": 5,
        "instrument_steps": 5,
        "covariate_steps": 2,
        "schedule": Schedule(150),
    },
    "deep_gmm": {"hidden": (64, 32), "critic_hidden": (32,), "schedule": Schedule(600)},
    "agmm": {"schedule": Schedule(150, 100), "rate": 5e-4},
}
#: How far a method may be from 2SLS, as a share of the distance between OLS and 2SLS (.57), in the mean of four draws.
SHARES = {"linear_2sls": 1e-9, "poly2sls": 0.1, "dml_iv": 0.1, "mode_ensemble": 0.1}


@cache
def slopes(name: str, effect: float) -> tuple[Any, Any, Any]:
    """Average slopes of the method's curves between T = -1 and 1 on four draws, and those of 2SLS and OLS."""
    data = [linear_world(seed, effect) for seed in range(4)]
    curves = iv_ml.method_class(name)(**FAST.get(name, {})).fit_many(data, range(4))
    found = np.array([curve.effect(1, -1, one.exog).mean() / 2 for curve, one in zip(curves, data, strict=True)])
    two, ols = np.array([both_slopes(one) for one in data]).T
    return found, two, ols


def check_slopes(name: str, effect: float) -> None:
    found, two, ols = slopes(name, effect)
    gap = (ols - two).mean()
    assert gap == pytest.approx(4 / 7, abs=0.1)  # standard error of 2SLS: 2.06/(1.5·√1000) = .04, of the mean .02
    assert abs((found - two).mean()) < SHARES.get(name, 0.35) * gap
    if name in SHARES:
        assert np.abs(found - two).max() < 2 * SHARES[name] * gap


@pytest.mark.parametrize("effect", [2.0, 0.0])
@pytest.mark.parametrize("name", CLOSED)
def test_closed_forms_approach_2sls_in_a_linear_world(name: str, effect: float) -> None:
    """With the effect 2, and with none: OLS sees one of .57 there."""
    check_slopes(name, effect)


@pytest.mark.slow
@pytest.mark.parametrize("effect", [2.0, 0.0])
@pytest.mark.parametrize("name", TRAINED)
def test_trained_methods_approach_2sls_in_a_linear_world(name: str, effect: float) -> None:
    check_slopes(name, effect)


# ---- gradients -------------------------------------------------------------------------------------------------------


class Small:
    """Two members with twelve rows, in double precision, and networks without kinks."""

    def __init__(self) -> None:
        self.streams = Streams([1, 2], Computing("float64"))
        self.y, self.t = self.streams.normal(12, 1), self.streams.normal(12, 1)
        self.x, self.z = self.streams.normal(12, 2), self.streams.normal(12, 1)
        torch = torch_module()
        self.treated, self.assigned = torch.cat([self.t, self.x], -1), torch.cat([self.z, self.x], -1)

    def net(self, outputs: int = 1, normalised: tuple[int, ...] = ()) -> Networks:
        return Networks(3, Layout((5, 4, outputs), "tanh", normalised=normalised), self.streams)


Loss = Callable[[], Any]


def nn2sls_loss(small: Small) -> tuple[list[Networks], Loss]:
    from ivbridge.iv_ml.regression import nn2sls

    net = small.net(normalised=(1,))
    return [net], lambda: nn2sls._misfit(net, small.streams, small.assigned, small.t)


def one_siv_loss(small: Small) -> tuple[list[Networks], Loss]:
    treatment, outcome = small.net(), small.net()
    method = iv_ml.OneSIV(outcome_weight=0.7)
    batch = small.assigned, small.x, small.t, small.y
    return [treatment, outcome], lambda: method._loss(treatment, outcome, small.streams, *batch)


def deep_iv_first(small: Small) -> tuple[list[Networks], Loss]:
    net, method = small.net(outputs=9), iv_ml.DeepIV(penalties=(0.3, 0.3))
    return [net], lambda: method._first(net, small.streams, small.assigned, small.t)


def deep_iv_second(small: Small, loss: str = "unbiased") -> tuple[list[Networks], Loss]:
    net, method = small.net(), iv_ml.DeepIV(penalties=(0.3, 0.3), loss=loss)
    mixture = small.streams.normal(12, 9)

    def found() -> Any:  # the same draws each time
        return method._second(net, Streams([3, 4], Computing("float64")), mixture, small.x, small.y)

    return [net], found


def deep_iv_bound(small: Small) -> tuple[list[Networks], Loss]:
    return deep_iv_second(small, "bound")


def agmm_critic(small: Small) -> tuple[list[Networks], Loss]:
    from ivbridge.iv_ml.regression.agmm import critic_loss

    net = small.net()
    return [net], lambda: critic_loss(net(small.assigned), small.y)


def deep_gmm_critic(small: Small) -> tuple[list[Networks], Loss]:
    from ivbridge.iv_ml.regression.deep_gmm import critic_loss

    net = small.net()
    return [net], lambda: critic_loss(net(small.assigned), small.y)


def dfiv_ridge(small: Small) -> tuple[list[Networks], Loss]:
    """The coefficients move with the features, but at the minimum that has no effect of first order."""
    from ivbridge.iv_ml.regression.dfiv import ridge_loss

    net = small.net(outputs=3)
    return [net], lambda: ridge_loss(small.t, net(small.assigned), 0.1)


def dfiv_treatment(small: Small) -> tuple[list[Networks], Loss]:
    """Through both regressions."""
    from ivbridge.iv_ml.regression import dfiv
    from ivbridge.iv_ml.sides import Tensors

    players = dfiv.Players(iv_ml.DFIV(), Tensors(small.y, small.t, small.x, small.z), small.streams)
    first, second = Tensors(*players.halves[:4]), Tensors(*players.halves[4:])
    players._treatment = Networks(1, Layout((5, 1), "tanh"), small.streams)

    def found() -> Any:
        products = dfiv._products(players._predicted(first, second), players._xi(second.x).detach())
        return dfiv.ridge_loss(second.y, products, 0.1)

    return [players._treatment], found


def held_out_violation(small: Small) -> tuple[list[Networks], Loss]:
    from ivbridge.iv_ml.sides import HeldOut, Tensors

    net = small.net()
    root = small.streams.normal(12, 12)
    held = HeldOut(Tensors(small.y, small.t, small.x, small.z), root @ root.mT)
    return [net], lambda: held.violation(net)


LOSSES = (
    nn2sls_loss, one_siv_loss, deep_iv_first, deep_iv_second, deep_iv_bound, agmm_critic, deep_gmm_critic, dfiv_ridge,
    dfiv_treatment, held_out_violation,
)  # fmt: skip


@pytest.mark.parametrize("made", LOSSES, ids=[made.__name__ for made in LOSSES])
def test_gradients_are_those_of_finite_differences(made: Callable[[Small], tuple[list[Networks], Loss]]) -> None:
    """Three numbers of each tensor of each member; a step of 1e-5 leaves errors near 1e-10 in central differences.

    A change of one member's number moves that member's loss and no other.
    """
    torch = torch_module()
    networks, loss = made(Small())
    parameters = [part for net in networks for part in net.parameters]
    gradients = torch.autograd.grad(loss().sum(), parameters)
    random = np.random.default_rng(0)
    step, compared = 1e-5, 0
    for parameter, gradient in zip(parameters, gradients, strict=True):
        for member in (0, 1):
            for at in random.integers(parameter[0].numel(), size=3):
                with torch.no_grad():
                    flat, found = parameter[member].view(-1), []
                    kept = float(flat[at])
                    for moved in (kept + step, kept - step):
                        flat[at] = moved
                        found.append(loss())
                    flat[at] = kept
                slopes_here = ((found[0] - found[1]) / (2 * step)).tolist()
                assert slopes_here[member] == pytest.approx(float(gradient[member].view(-1)[at]), rel=1e-6, abs=1e-8)
                assert slopes_here[1 - member] == 0
                compared += abs(slopes_here[member]) > 1e-6
    assert compared > len(parameters)  # most of them are not zero


# ---- symmetries ------------------------------------------------------------------------------------------------------

#: Few steps in double precision: symmetries and seeds hold whatever was learnt.
SMALL: dict[str, dict[str, Any]] = {
    "nn2sls": {"widths": (16, 8), "first": Schedule(3, 50), "schedule": Schedule(3, 50)},
    "one_siv": {"widths": (16, 8), "schedule": Schedule(3, 50)},
    "deep_iv": {"widths": (16, 8), "schedule": Schedule(3, 50)},
    "dfiv": {"schedule": Schedule(3)},
    "deep_gmm": {"schedule": Schedule(5)},
    "agmm": {"schedule": Schedule(3, 50)},
}


def quick(name: str, **settings: Any) -> Any:
    given = SMALL.get(name, {}) | ({"computing": Computing("float64")} if name in TRAINED else {})
    return iv_ml.method_class(name)(**given, **settings)


@cache
def grouped(n: int = 200, seed: int = 1) -> IVData:
    """Three groups, as an instrument with three columns."""
    draw = Fusion("linear", 3, 3).draw(n, seed).train
    return draw.data.with_instruments(np.eye(3)[draw.labels])


def predicted(curve: Curve, data: IVData) -> Any:
    return np.concatenate([curve.predict(data.endog, data.exog), curve.predict(0.5, data.exog)])


@pytest.mark.parametrize("name", CLOSED)
def test_names_of_groups_do_not_matter(name: str) -> None:
    data = grouped()
    renamed = data.with_instruments(data.instruments[:, [2, 0, 1]])
    one, other = (predicted(quick(name).fit(d), data) for d in (data, renamed))
    # sums in another order, and a ridge near 1e-10 of the kernel's scale in between
    assert other == pytest.approx(one, abs=1e-5 * one.std())


def test_one_number_for_a_group_makes_its_name_matter() -> None:
    data = grouped()
    label = data.instruments @ [0.0, 1.0, 2.0]
    curves = [iv_ml.Poly2SLS().fit(data.with_instruments(z)) for z in (label, (label + 1) % 3)]
    one, other = (predicted(curve, data) for curve in curves)
    assert np.abs(one - other).max() > 0.01 * one.std()


@pytest.mark.parametrize("name", list(iv_ml.METHODS))
def test_units_do_not_matter(name: str) -> None:
    """Other units of every column: the same curve in those units. Training in double precision keeps it to rounding."""
    data = grouped()
    y, t, x, z = data.arrays
    other = IVData(3 * y + 5, 1 - 2 * t, x * [10, 0.1, -1] + 2, z)
    one = quick(name, standardize=True).fit(data).predict(t, x)
    same = quick(name, standardize=True).fit(other).predict(other.endog, other.exog)
    if name in TRAINED or name == "mode_ensemble":  # a sign is no unit to a network
        other = IVData(3 * y + 5, 2 * t + 1, x * [10, 0.1, 1] + 2, z)
        same = quick(name, standardize=True).fit(other).predict(other.endog, other.exog)
    assert (same - 5) / 3 == pytest.approx(one, abs=1e-5 * one.std())


# ---- seeds and files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(iv_ml.METHODS))
def test_the_same_seed_gives_the_same_bits_and_company_changes_nothing(name: str) -> None:
    data = [grouped(200, seed) for seed in (1, 2, 3)]
    method = quick(name)
    together = method.fit_many(data, [4, 5, 6])
    again = method.fit_many(data, [4, 5, 6])
    for one, same, own, seed in zip(together, again, data, (4, 5, 6), strict=True):
        assert predicted(one, own).tobytes() == predicted(same, own).tobytes()
        alone = predicted(method.fit(own, seed), own)
        assert predicted(one, own) == pytest.approx(
            alone, abs=1e-8 * alone.std()
        )  # products of matrices in another order
    if name in TRAINED:
        assert predicted(method.fit(data[0], 5), data[0]).tobytes() != predicted(together[0], data[0]).tobytes()


@pytest.mark.parametrize("name", list(iv_ml.GENERATORS))
def test_makers_of_instruments_follow_their_seed(name: str) -> None:
    settings: dict[str, Any] = {"auto_iv": {"schedule": Schedule(5)}}.get(name, {})
    maker = iv_ml.generator_class(name)(**settings)
    data = grouped(300)
    one, same, other = (maker.generate(data, seed) for seed in (1, 1, 2))
    assert one.values.tobytes() == same.values.tobytes()
    if name not in RANDOM:
        assert one.values.tobytes() == other.values.tobytes()
    assert one.assign(data.endog, data.exog) == pytest.approx(one.values)


def test_saved_curves_of_all_methods_are_the_same_bits_without_torch(tmp_path: Path) -> None:
    data = grouped()
    expected = {}
    for name in iv_ml.METHODS:
        curve = quick(name).fit(data)
        curve.save(tmp_path / f"{name}.npz")
        expected[name] = predicted(curve, data)
    np.savez(tmp_path / "data.npz", t=data.endog, x=data.exog)
    code = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "sklearn", "doubleml"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from pathlib import Path
import numpy as np
from ivbridge.iv_ml import Curve
folder = Path(sys.argv[1])
data = np.load(folder / "data.npz")
found = {}
for path in folder.glob("*.npz"):
    if path.stem != "data":
        curve = Curve.load(path)
        found[path.stem] = np.concatenate([curve.predict(data["t"], data["x"]), curve.predict(0.5, data["x"])])
np.savez(folder / "found.npy", **found)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code, str(tmp_path)], check=True, cwd=ROOT)
    with np.load(tmp_path / "found.npy.npz") as found:
        assert set(found.files) == set(iv_ml.METHODS)
        for name in iv_ml.METHODS:
            assert found[name].tobytes() == expected[name].tobytes(), name
