"""The frame of the nonlinear methods: data, names, curves, and what methods and makers of instruments share."""

from __future__ import annotations

import dataclasses
import importlib
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
import polars as pl
import pyarrow as pa
import pytest

from ivbridge import iv_ml
from ivbridge.errors import DataError, DesignError, EngineError, UnsupportedError
from ivbridge.iv_ml.curves import Curve
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generated import Generated, Generator, coded
from ivbridge.iv_ml.method import IVRegression, Learnt
from ivbridge.iv_ml.predictors import KINDS
from ivbridge.iv_ml.predictors.feedforward import Dense, Feedforward
from ivbridge.iv_ml.predictors.scaled import Scaled
from ivbridge.progress import Progress

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
    with pytest.raises(DataError, match="2 columns called 'y'"):
        IVData.of(pd.concat([frame, frame], axis=1), "y", "t", ["x"], ["z"])
    with pytest.raises(DataError, match=r"z has a value that is missing .* row 1"):
        IVData.of(frame.assign(z=pd.array([1, None, 3, 4], dtype="Int64")), "y", "t", ["x"], ["z"])


@pytest.mark.parametrize(("exog", "instruments"), [(["t"], ["z"]), (["x"], ["y"]), (["x", "x"], ["z"]), ("z", "z")])
def test_a_column_plays_one_part(exog: Any, instruments: Any) -> None:
    frame = {name: np.arange(5.0) for name in "ytxz"}
    with pytest.raises(DataError, match="is named twice"):
        IVData.of(frame, "y", "t", exog, instruments)


@pytest.mark.parametrize("make", [pd.DataFrame, dict, pl.DataFrame, pa.table])
def test_tables_of_any_kind_and_names_as_text(make: Any) -> None:
    columns = {"wage": [1.0, 2, 3, 4], "educ": [3, 1, 4, 2], "age": [5, 6, 7, 9], "near": [True, False, True, False]}
    found = IVData.of(make(columns), "wage", "educ", "age", "near")
    expected = IVData(columns["wage"], columns["educ"], columns["age"], columns["near"])
    assert found.sha256 == expected.sha256
    assert IVData.of(make(columns), "wage", "educ", [], ["near"]).shape == (4, 0, 1)


@pytest.mark.parametrize("size", [1e36, 1e-36])
def test_columns_whose_products_leave_the_doubles_are_refused(size: float) -> None:
    x = np.ones((5, 2)) * [1, size]
    with pytest.raises(DataError, match=r"column 1 of exog is .* products of such numbers"):
        IVData(np.arange(5.0), np.arange(5.0), x, np.zeros(5))


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
    json.dumps(dataclasses.asdict(found()))  # what a saved curve says of its method


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
        {"curve__center": np.array(["a", "b", "c"])}, {"curve__center": np.full(3, np.nan)},
        {"curve__spread": np.zeros(3)}, {"curve__center": np.zeros(3, complex)},
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
    header = b"\x93NUMPY\x01\x00\x10\x00{'descr': ('<f8',\n"  # text that ends within a bracket
    for content in (b"", whole[: len(whole) // 2], b"PK", b"\x80\x04K\x01.", header):
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
    for kind, place in KINDS.items():
        module, _, name = place.partition(".")
        assert getattr(importlib.import_module(f"ivbridge.iv_ml.predictors.{module}"), name).kind == kind


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
    with pytest.raises(DesignError, match="treatment is constant"):
        Line().fit(IVData(np.arange(4.0), np.full(4, 0.1), np.arange(4.0), np.arange(4.0)))
    assert Line().fit_many([], []) == []


@dataclass(frozen=True, kw_only=True)
class Broken(IVRegression):
    name: ClassVar[str] = "broken"
    fails: bool = True

    def learn(self, data: Sequence[IVData], seeds: Sequence[int], progress: Progress | None) -> list[Learnt]:
        if self.fails:
            np.linalg.inv(np.zeros((2, 2)))
        layer = Dense(np.full((3, 1), np.nan), np.zeros(1), "linear")
        return [Learnt(Feedforward((layer,))) for _ in data]


def test_algebra_that_breaks_down_and_curves_that_are_not_finite_are_errors() -> None:
    with pytest.raises(EngineError, match="broke down: Singular matrix"):
        Broken().fit(some())
    with pytest.raises(EngineError, match="not finite"):
        Broken(fails=False).fit(some())


def test_a_curve_without_an_instrument_says_so() -> None:
    data = some()
    assert any("No instrument varies" in note for note in Line().fit(data.with_instruments(np.full(40, 0.1))).notes)
    assert Line().fit(data).notes == ("0",)


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
