"""Digits of answers from blocks of rows: how many are right, how many are claimed, and when an answer is refused."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ivbridge
from ivbridge.asked import seen_of
from ivbridge.blocks import factor as factors
from ivbridge.blocks import small
from ivbridge.blocks.arrays import in_memory
from ivbridge.blocks.correct import corrected, stage_residuals
from ivbridge.blocks.digits import claimed, refuse
from ivbridge.blocks.factor import CHOLESKY, DOUBLE, Factor, factored
from ivbridge.blocks.kclass import estimated
from ivbridge.blocks.products import products
from ivbridge.blocks.rows import Block, Columns
from ivbridge.blocks.scores import Scored, Scores
from ivbridge.blocks.solve import Solved, solved
from ivbridge.design import build
from ivbridge.errors import DesignError
from ivbridge.method import parse_method
from ivbridge.rank import decide_rank, decided
from ivbridge.records import Digits, FloatArray, Seen
from ivbridge.scale.pieces import Pieces
from ivbridge.spec import IVSpec
from ivbridge.vcov import HC1, HC3, Classical, Clustered, Vcov
from ivbridge.vcov_text import parse_vcov
from tests.digits_cases import CASES, DOUBLE_DIGITS, ORDERED, Case, correct_digits, exact
from tests.rational import Rows, cross, fitted, fractions_of, root, sandwich, solve

BY_NAME = {case.name: case for case in CASES}
#: Quick ones of every path.
FEW = (
    "Norris", "NoInt2", "Longley", "Wampler1", "Wampler5", "collinear 1e2", "collinear 1e6", "units 1e14",
    "offset 1e6", "sorted", "outlier first",
)  # fmt: skip
OVERIDENTIFIED = "y ~ x + w1 + w2 | z1 + z2 + w1 + w2"
#: As on the page: what is more is chance, and half a digit is one rounding error more.
ENOUGH, SLACK = 14.5, 0.5


def seen_by(formula: str, data: pd.DataFrame, vcov: str = "HC1", **options: Any) -> Seen:
    """The matrices of a question."""
    return seen_of(build(IVSpec.from_formula(formula, vcov=parse_vcov(vcov), **options), data))


def answer(seen: Seen, vcov: Vcov, method: str = "2sls") -> Solved:
    """From rows in memory."""
    rows, layout, groups = in_memory(seen, vcov)
    return solved(rows, layout, vcov, groups, method=parse_method(method))


def digits_of(found: Solved) -> Any:
    """What is claimed of it."""
    return claimed(found.factor, found.layout, found.model, found.sums, found.vcov, (found.coef, found.cov))


def errors_of(found: Solved) -> FloatArray:
    """Standard errors; clustered in two dimensions a variance may be below zero."""
    return np.sqrt(np.abs(np.diag(found.cov)))


def design(n: int, condition: float, seed: int = 1, strength: float = 1.0) -> pd.DataFrame:
    """n rows with exogenous regressors of about this condition number and instruments of this strength."""
    rng = np.random.default_rng(seed)
    w1, w2, z1, z2, u, v = rng.normal(size=(6, n))
    x = strength * (z1 + 0.5 * z2 + 0.3 * w1) + u + v
    y = 1 + x - w1 + 0.5 * w2 + u
    return pd.DataFrame({"y": y, "x": x, "w1": w1, "w2": w1 + w2 / condition, "z1": z1, "z2": z2})


# ---- error-free products and small matrices ----------------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
def test_products_in_extended_precision_are_exact(shifted: bool, weighted: bool) -> None:
    rng = np.random.default_rng(5)
    columns = [
        1e6 + rng.normal(size=50),
        rng.integers(0, 9, 50),
        rng.normal(size=50).astype(np.float32),
        rng.normal(size=50) / 3,
    ]
    columns.append(columns[0] + columns[3] * 1e-5)  # so that the terms are larger than the sum
    shift = np.array([1e6 + 1 / 3, 4.0, 0.1, 0.0, 1e6]) if shifted else None
    weights = rng.integers(1, 9, 50).astype(float) ** 2 if weighted else None
    turn = rng.normal(size=(3, 5 + shifted)).astype(np.longdouble) / 7
    turn[0, -5], turn[0, -1] = 1e5 / np.longdouble(3), -1e5 / np.longdouble(3)
    ((piece, (found,), _),) = products([Block(columns, weights)], shift, 5, [turn])
    exactly = [[Fraction(v) for v in map(float, column)] for column in columns]
    if shift is not None:
        exactly = [
            [Fraction(1)] * 50,
            *([v - Fraction(float(s)) for v in c] for c, s in zip(exactly, shift, strict=True)),
        ]
    for i in range(50):
        scale = 1 if weights is None else round(math.sqrt(weights[i]))
        for row, numbers in zip(found, turn, strict=True):
            terms = [scale * column[i] * _fraction(t) for column, t in zip(exactly, numbers, strict=True)]
            # rounded once to double precision, and 2⁻⁷⁰ of the terms; plain products would leave 2⁻⁵³ of them
            bound = abs(sum(terms)) * Fraction(1, 2**52) + sum(map(abs, terms)) * Fraction(1, 2**68)
            assert abs(Fraction(float(row[i])) - sum(terms)) <= bound
        assert float(piece[-1, i]) == pytest.approx(float(scale * exactly[-1][i]), rel=1e-15)


def _fraction(value: np.longdouble) -> Fraction:
    high = float(value)
    return Fraction(high) + Fraction(float(value - high))


def test_small_matrices_in_extended_precision() -> None:
    hilbert = np.array([[1 / np.longdouble(i + j + 1) for j in range(7)] for i in range(9)])
    exactly = [[_fraction(v) for v in row] for row in hilbert]
    q, r = small.qr(hilbert)
    eps = np.finfo(np.longdouble).eps
    assert np.abs(q.T @ q - np.eye(7)).max() < 20 * eps
    assert np.abs(q @ r - hilbert).max() < 20 * eps
    gram = np.array([[np.longdouble(v.numerator) / v.denominator for v in row] for row in cross(exactly, exactly)])
    lower = small.cholesky(gram)
    assert np.abs(lower @ lower.T - gram).max() < 20 * eps
    inverse = small.inverted(r)
    assert np.abs(r @ inverse - np.eye(7)).max() < 20 * eps * np.abs(inverse).max()
    # its inverse square is the largest eigenvalue of the inverse Gram matrix, by power iteration in fractions
    identity = [[Fraction(int(i == j)) for j in range(7)] for i in range(7)]
    back = solve(cross(exactly, exactly), identity)
    vector = [[Fraction(1)] for _ in range(7)]
    for _ in range(6):
        vector = [
            [Fraction(int(row[0] * 2**100 / max(abs(v[0]) for v in vector)), 2**100)] for row in _times(back, vector)
        ]
    image = _times(back, vector)
    most = max(image, key=lambda row: abs(row[0]))[0] / max(vector, key=lambda row: abs(row[0]))[0]
    # σ² is 1e-17 of the largest: double precision has no digit of σ beyond the ninth
    assert small.least_singular(hilbert) ** 2 * float(most) == pytest.approx(1, rel=1e-6)
    nearly = small.wide(np.array([[1.0, 1.0, 0.5], [1.0, 1 + 2e-16, 0.5 + 1e-12], [0.5, 0.5 + 1e-12, 1.0]]))
    assert (small.semidefinite(nearly, 1e-14)[:, 1] == 0).all()  # not 1e-12 over 1e-8
    assert small.semidefinite(nearly)[2, 1] > 1e-5
    with pytest.raises(np.linalg.LinAlgError):
        small.cholesky(small.wide(np.array([[1.0, 1.0], [1.0, 1.0]])))
    assert np.isinf(small.inverted(small.wide(np.zeros((2, 2))))).all()


def _times(a: Rows, b: Rows) -> Rows:
    return [
        [sum((p * q for p, q in zip(row, column, strict=True)), Fraction()) for column in zip(*b, strict=True)]
        for row in a
    ]


# ---- the factor ---------------------------------------------------------------------------------------------------


def factor_of(data: pd.DataFrame | np.ndarray, *, constant: bool = True) -> Factor:
    """Of the columns of a frame."""
    return factored(Columns(tuple(np.asarray(data, dtype=float).T)), constant=constant)


@pytest.mark.parametrize(
    ("condition", "path", "passes", "extended"),
    [(1.5, "cholesky", 1, False), (60, "choleskyqr2", 2, False), (1e5, "choleskyqr2", 2, True), (1e9, "tsqr", 3, True)],
)
def test_the_condition_decides_how_the_factor_is_made(condition: float, path: str, passes: int, extended: bool) -> None:
    data = design(2000, condition)[["w1", "w2", "z1"]]
    found = factor_of(data)
    assert (found.path, found.passes, small.is_wide(found.r)) == (path, passes, extended)
    assert 0.1 < found.condition / condition < 10
    # R'R is the exact cross-product, to what the path leaves of it
    columns = [[Fraction(1)] * 2000, *([Fraction(v) for v in data[name]] for name in data)]
    gram = [[sum((p * q for p, q in zip(a, b, strict=True)), Fraction()) for b in columns] for a in columns]
    raw = [[_fraction(v) for v in row] for row in found.raw.astype(np.longdouble)]
    for i, row in enumerate(cross(raw, raw)):
        for j, value in enumerate(row):
            assert abs(value - gram[i][j]) <= Fraction(1e-13) * abs(gram[i][i] * gram[j][j])


@pytest.mark.parametrize("order", ["sorted", "trending", "outlier first"])
def test_rows_whose_first_ones_say_little_are_centred_again(order: str) -> None:
    data = BY_NAME[order].make()[["w1", "z1"]]
    columns = tuple(data[name].to_numpy() for name in data)
    rows = Pieces((_Piece(columns),), 2, np.array([column[:3].mean() for column in columns]))
    found, better = factored(rows, constant=True), factor_of(data)
    assert found.condition == pytest.approx(better.condition, rel=0.5) or found.condition <= CHOLESKY


@dataclasses.dataclass(frozen=True)
class _Piece:
    """Rows as a stream has them: the pilot is that of the first ones."""

    columns: tuple[FloatArray, ...]

    def blocks(self) -> Iterator[Block]:
        return Columns(self.columns).blocks()


def test_a_pilot_that_is_far_away_costs_a_pass_only_where_digits_would_be_lost() -> None:
    rng = np.random.default_rng(3)
    columns = tuple(rng.normal(size=(3, 5000)))
    for far, passes in ((0.0, 1), (3.0, 1), (1e3, 2), (1e9, 2)):
        found = factored(Pieces((_Piece(columns),), 3, np.full(3, far)), constant=True)
        assert (found.passes, found.path) == (passes, "cholesky"), far
        assert found.condition < CHOLESKY


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e200])
def test_a_value_that_is_none_ends_the_first_pass(value: float) -> None:
    data = design(100, 2)
    data.loc[50, "w1"] = value
    found = factor_of(data)
    assert (found.path, found.passes) == ("none", 1)
    assert math.isnan(found.condition)


@pytest.mark.parametrize("kind", ["copy", "sum", "constant", "zero", "offset 1e8", "nearly"])
def test_dependent_columns_are_found_as_in_the_tall_matrix(kind: str) -> None:
    data = design(300, 2)
    data["w3"] = {
        "copy": data.w1, "sum": data.w1 - 3 * data.z2 + 7, "constant": 4.0, "zero": 0.0,
        "offset 1e8": data.w2 + 1e8, "nearly": data.w1 + 3e-7 * np.random.default_rng(0).normal(size=300),
    }[kind]  # fmt: skip
    z = np.column_stack([np.ones(300), data[["w1", "w3", "w2", "z1", "z2"]]])
    x_names, z_names = ("(Intercept)", "w1", "w3", "w2", "x"), ("(Intercept)", "w1", "w3", "w2", "z1", "z2")
    found = factor_of(data[["w1", "w3", "w2", "z1", "z2", "x", "y"]])
    rank = decided(found.raw.astype(float), x_names, z_names, 300)
    stacked = np.column_stack([z, data.x, data.y])
    assert rank == decided(np.linalg.qr(stacked, mode="r"), x_names, z_names, 300)
    assert (2 in rank.x) == (kind in ("nearly", "sum"))
    assert (5 in rank.z) == (kind != "sum")
    assert decide_rank.__module__ == decided.__module__


def test_an_answer_with_dependent_columns_left_out_has_all_digits() -> None:
    data = design(80, 2)
    data["w3"] = data.w1 - 3 * data.w2 + 7
    names = ["w1", "w2", "w3", "z1", "z2", "x", "y"]
    rows, constant = Columns(tuple(data[name].to_numpy() for name in names)), ("(Intercept)",)
    _, layout, _ = in_memory(seen_by(OVERIDENTIFIED, data), HC1())
    places = {"(Intercept)": 0, **{name: j for j, name in enumerate(names, 1)}}
    layout = dataclasses.replace(
        layout, x=tuple(places[name] for name in layout.x_names), z=tuple(places[name] for name in layout.z_names), y=7
    )
    assert constant[0] in layout.x_names
    found = solved(rows, layout, HC1())
    seen = seen_by(OVERIDENTIFIED, data)
    truth = exact(seen.y, seen.x, seen.z)
    assert found.factor.path == "tsqr"
    assert correct_digits(found.coef, truth.coef) > 14.5
    assert correct_digits(errors_of(found), truth.hc1) > 14
    claim = digits_of(found)
    assert 12 < claim.coef <= correct_digits(found.coef, truth.coef)
    assert 12 < claim.std_error <= correct_digits(errors_of(found), truth.hc1)


# ---- as many digits as R ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept() -> pd.DataFrame:
    """Digits of R, in the data of docs/reliability.md."""
    path = Path(__file__).resolve().parents[1] / "docs" / "reliability" / "digits.csv"
    return pd.read_csv(path, keep_default_na=False, na_values=["NaN"]).set_index(["case", "engine"])


def _check(case: Case, kept: pd.DataFrame) -> None:
    seen = seen_by(case.formula, case.make())
    truth = exact(seen.y, seen.x, seen.z)
    classical, robust = answer(seen, Classical()), answer(seen, HC1())
    scores = {
        "estimate": (correct_digits(robust.coef, truth.coef), digits_of(robust).coef),
        "std_error": (correct_digits(errors_of(classical), truth.classical), digits_of(classical).std_error),
        "hc1": (correct_digits(errors_of(robust), truth.hc1), digits_of(robust).std_error),
    }
    for name, (right, claim) in scores.items():
        if name == "estimate" or any(truth.hc1):
            known = kept.loc[(case.name, "r"), name]
            assert right >= min(known, ENOUGH) - SLACK, f"{name}: R has {known}"
            assert claim <= right, name


@pytest.mark.parametrize("name", FEW)
def test_as_many_digits_as_r(name: str, kept: pd.DataFrame) -> None:
    _check(BY_NAME[name], kept)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case.name not in FEW], ids=lambda case: case.name)
def test_as_many_digits_as_r_everywhere(case: Case, kept: pd.DataFrame) -> None:
    _check(case, kept)


@pytest.mark.parametrize("case", ORDERED, ids=lambda case: case.name)
def test_a_stream_that_begins_elsewhere_has_as_many_digits(case: Case, kept: pd.DataFrame) -> None:
    seen = seen_by(case.formula, case.make())
    truth = exact(seen.y, seen.x, seen.z)
    rows, layout, _ = in_memory(seen, HC1())
    start = np.array([column[:2].mean() for column in rows.columns])
    found = solved(Pieces((_Piece(rows.columns),), rows.width, start), layout, HC1())
    claim = digits_of(found)
    for right, good, name in (
        (correct_digits(found.coef, truth.coef), claim.coef, "estimate"),
        (correct_digits(errors_of(found), truth.hc1), claim.std_error, "hc1"),
    ):
        assert right >= min(kept.loc[(case.name, "r"), name], ENOUGH) - SLACK
        assert good <= right


# ---- the corrected step -------------------------------------------------------------------------------------------


def test_a_step_takes_off_what_cross_products_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factors, "CHOLESKY", 1e9)  # as if one pass over the cross-products were enough
    seen = seen_by(OVERIDENTIFIED, design(200, 1e3))
    truth = exact(seen.y, seen.x, seen.z)
    found = answer(seen, HC1())
    before = estimated(found.factor, found.layout, parse_method("2sls"))
    side = np.eye(4)[1:]  # coefficients that are not the constant's are those of the shifted columns
    raw = correct_digits(side @ before.coef, truth.coef[1:])
    assert raw < 11.5 < 13 < correct_digits(found.coef, truth.coef)


@pytest.mark.parametrize("method", ["2sls", "liml", "fuller(1)"])
def test_first_stages_are_corrected_where_instruments_are_weak(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factors, "CHOLESKY", 1e9)
    seen = seen_by(OVERIDENTIFIED, design(200, 1e3, strength=0.02))
    rows, layout, _ = in_memory(seen, HC1())
    found = factored(rows, constant=True)
    model = estimated(found, layout, parse_method(method))
    stages = stage_residuals(layout, model, found)
    assert stages is not None
    part = Scores(found.shift, rows.width, (Scored(model.basis, model.left),), (), stages)
    sums = rows.reduce(part).each[0]
    after = corrected(layout, model, sums, found)
    truth = _k_class(seen, Fraction(float(model.kappa or 1.0)))[1:]
    both = [correct_digits(one.coef[1:], truth) for one in (model, after)]
    without = corrected(layout, model, dataclasses.replace(sums, cross=np.zeros((0, 0))), found)
    # 1e-13 of κ²u = 1e-10
    assert both[0] < 10.5 < 12.5 < both[1]
    assert correct_digits(without.coef[1:], truth) < both[1] - 0.5


def test_stages_of_liml_are_corrected_where_instruments_are_invalid(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then κ is far from one, and N_v'N_e counts κ times."""
    monkeypatch.setattr(factors, "CHOLESKY", 1e9)
    data = design(200, 1e3)
    seen = seen_by(OVERIDENTIFIED, data.assign(y=data.y + 10 * (data.z1 - data.z2)))
    found = answer(seen, HC1(), "liml")
    assert found.kappa is not None and found.kappa > 1.5
    assert found.factor.path == "cholesky"
    truth = _k_class(seen, Fraction(found.kappa))
    assert correct_digits(found.coef, truth) > 12.5  # counted once it leaves 10, without the step 9


def _k_class(seen: Seen, kappa: Fraction) -> list[Fraction]:
    """Coefficients of the k-class for a κ, in fractions."""
    y, x, z = (fractions_of(matrix) for matrix in (seen.y[:, None], seen.x, seen.z))

    def form(a: Rows, b: Rows) -> Rows:
        projected = cross(solve(cross(z, z), cross(z, a)), cross(z, b))
        pairs = zip(cross(a, b), projected, strict=True)
        return [[(1 - kappa) * p + kappa * q for p, q in zip(one, two, strict=True)] for one, two in pairs]

    return [row[0] for row in solve(form(x, x), form(x, y))]


@pytest.mark.parametrize("method", ["liml", "fuller(1)"])
@pytest.mark.parametrize("name", ["collinear 1e2", "collinear 1e4", "offset 1e4", "units 1e6"])
def test_k_class_coefficients_are_exact_for_their_kappa(name: str, method: str) -> None:
    seen = seen_by(BY_NAME[name].formula, BY_NAME[name].make())
    found = answer(seen, HC1(), method)
    right = correct_digits(found.coef, _k_class(seen, Fraction(float(found.kappa or 1.0))))
    # κ, rounded to double precision, is the worst of them: a unit of it moves coefficients by some of theirs
    assert right > 13
    assert digits_of(found).coef <= right


def test_stages_are_not_asked_for_where_they_do_not_matter() -> None:
    for formula in (OVERIDENTIFIED, "y ~ x + w1 | z1 + w1", "y ~ w1 + w2 | w1 + w2"):
        seen = seen_by(formula, design(2000, 1))
        rows, layout, _ = in_memory(seen, HC1())
        found = factored(rows, constant=True)
        assert stage_residuals(layout, estimated(found, layout, parse_method("2sls")), found) is None
    seen = seen_by(OVERIDENTIFIED, design(2000, 3, strength=0.02))  # weak, but J/n is small
    rows, layout, _ = in_memory(seen, HC1())
    found = factored(rows, constant=True)
    model = estimated(found, layout, parse_method("2sls"))
    assert stage_residuals(layout, model, found) is None
    assert stage_residuals(layout, model) is not None


# ---- claims -------------------------------------------------------------------------------------------------------

CONDITIONS = (1, 3, 10, 30, 300, 1e5)


def _true_errors(seen: Seen, vcov: Vcov) -> tuple[list[Fraction], list[Fraction]]:
    """Coefficients and standard errors in fractions: classical, HC1, clustered with AER's factors, weighted or not."""
    weights = None if seen.weights is None else [Fraction(float(w)) for w in seen.weights]
    n, k = seen.x.shape
    fit = fitted([row[0] for row in fractions_of(seen.y)], fractions_of(seen.x), fractions_of(seen.z), weights)
    if isinstance(vcov, Classical):
        return fit.coef, [root(fit.variance * fit.bread[j][j]) for j in range(k)]
    if isinstance(vcov, HC3):
        x, z = fractions_of(seen.x), fractions_of(seen.z)
        turn = solve(cross(z, z), cross(z, x))  # AER's leverages x'(X̂'X̂)⁻¹x̂
        hat = [
            _times([row], _times(fit.bread, cross(turn, [[v] for v in one])))[0][0]
            for row, one in zip(x, z, strict=True)
        ]
        scores = [[v / (1 - h) for v in row] for row, h in zip(fit.scores, hat, strict=True)]
        found = sandwich(fit.bread, scores, Fraction(1))
        return fit.coef, [root(found[j][j]) for j in range(k)]
    if not isinstance(vcov, Clustered):
        found = sandwich(fit.bread, fit.scores, Fraction(n, n - k))
        return fit.coef, [root(found[j][j]) for j in range(k)]
    total = [[Fraction(0)] * k for _ in range(k)]
    codes = [seen.groups[name].tolist() for name in vcov.by]
    for sign, by in ((1, codes[0]), *(((1, codes[1]), (-1, list(zip(*codes, strict=True)))) if len(codes) > 1 else ())):
        sums: dict[Any, list[Fraction]] = {}
        for code, row in zip(by, fit.scores, strict=True):
            sums[code] = [a + b for a, b in zip(sums.get(code, [Fraction(0)] * k), row, strict=True)]
        found = sandwich(fit.bread, list(sums.values()), sign * Fraction(len(sums), len(sums) - 1))
        total = [[a + b for a, b in zip(one, two, strict=True)] for one, two in zip(total, found, strict=True)]
    return fit.coef, [root(abs(total[j][j])) for j in range(k)]


def _claims_hold(
    n: int,
    condition: float,
    vcov: str,
    seed: int,
    *,
    strength: float = 1.0,
    weights: bool = False,
    noise: float = 0.0,
    outlier: float = 0.0,
) -> None:
    data = design(n, condition, seed, strength)
    if outlier:
        data.loc[3, ["w1", "w2"]] = outlier, outlier + 1
    rng = np.random.default_rng(seed + 100)
    if noise:
        data["y"] = 1 + data.x - data.w1 + 0.5 * data.w2 + noise * rng.normal(size=n)
    data["a"], data["b"] = rng.integers(0, 7, n), rng.integers(0, 5, n)
    data["weight"] = rng.integers(1, 5, n).astype(float) ** 2
    seen = seen_by(OVERIDENTIFIED, data, vcov, **({"weights": "weight"} if weights else {}))
    kind = parse_vcov(vcov)
    found = answer(seen, kind)
    coef, errors = _true_errors(seen, kind)
    claim = digits_of(found)
    for right, good in (
        (correct_digits(found.coef, coef), claim.coef), (correct_digits(errors_of(found), errors), claim.std_error)
    ):  # fmt: skip
        assert good <= right
        assert outlier or good > right - 4, f"{good:.1f} of {right:.1f} digits are claimed"
        if condition <= DOUBLE and not noise and not outlier and "cluster" not in vcov:
            assert good > 10


@pytest.mark.parametrize("vcov", ["classical", "HC1", "cluster(a)", "cluster(a, b)"])
@pytest.mark.parametrize("condition", [1, 30, 1e5])
def test_claims_hold_and_are_not_far_too_low(condition: float, vcov: str) -> None:
    _claims_hold(60, condition, vcov, 1)


def test_claims_know_what_weak_instruments_and_sums_of_many_rows_cost() -> None:
    _claims_hold(1500, 10, "classical", 2, strength=0.02)


@pytest.mark.parametrize("noise", [1e-4, 1e-8, 1e-11])
def test_claims_know_what_an_almost_perfect_fit_costs(noise: float) -> None:
    _claims_hold(60, 2, "HC1", 1, noise=noise)
    _claims_hold(60, 2, "cluster(a)", 1, noise=noise)


@pytest.mark.parametrize("outlier", [0.0, 30.0, 1e3])
@pytest.mark.parametrize("condition", [1, 1e4])
def test_claims_know_what_a_leverage_near_one_costs(condition: float, outlier: float) -> None:
    _claims_hold(60, condition, "HC3", 1, outlier=outlier)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("vcov", ["classical", "HC1", "cluster(a)", "cluster(a, b)"])
@pytest.mark.parametrize("condition", CONDITIONS)
def test_claims_hold_everywhere(condition: float, vcov: str, seed: int) -> None:
    for n in (40, 400):
        _claims_hold(n, condition, vcov, seed)
        _claims_hold(n, condition, vcov, seed, weights=True)
        _claims_hold(n, condition, vcov, seed, strength=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("condition", [1, 90, 1e4])
def test_claims_hold_for_more_rows_than_a_block(condition: float) -> None:
    _claims_hold(6_000, condition, "HC1", 1)


def test_a_perfect_fit_has_no_digits_of_standard_errors_and_is_answered() -> None:
    seen = seen_by(BY_NAME["Wampler1"].formula, BY_NAME["Wampler1"].make())
    found = answer(seen, HC1())
    claim = digits_of(found)
    assert claim.perfect and claim.std_error == 0 and claim.coef > 10
    refuse(claim, found.layout)
    # the rounding of Wampler2's decimals, which extended precision sees
    seen = seen_by(BY_NAME["Wampler2"].formula, BY_NAME["Wampler2"].make())
    assert digits_of(answer(seen, HC1())).std_error == 0


def kahan(n: int, k: int, c: float, least: float) -> FloatArray:
    """Columns of which each leaves `least` of itself at least, and which are far more nearly dependent all together."""
    s = least ** (1 / (k - 1))
    r = np.diag(s ** np.arange(k)) @ (np.eye(k) - c * np.triu(np.ones((k, k)), 1))
    return np.linalg.qr(np.random.default_rng(1).normal(size=(n, k)))[0] @ (r / np.linalg.norm(r, axis=0))


def test_what_no_arithmetic_here_can_answer_is_refused() -> None:
    w = kahan(300, 60, 0.9, 1e-6)
    rng = np.random.default_rng(2)
    names = [f"w{j}" for j in range(60)]
    data = pd.DataFrame(w, columns=names).assign(y=rng.normal(size=300))
    part = " + ".join(names)
    seen = seen_by(f"y ~ {part} - 1 | {part} - 1", data)
    assert seen.aliased == ()  # by R's rule, which looks at one column after the other
    with pytest.raises(DesignError, match=r"fewer than 3 digits.*Do this: leave out a column"):
        answer(seen, HC1())


def test_an_estimate_says_for_how_many_digits_it_is_good() -> None:
    case = BY_NAME["offset 1e6"]
    estimate = ivbridge.fit(case.formula, case.make(), "HC1", "fast")
    assert estimate.digits is not None
    assert estimate.digits.coef > 12 and estimate.digits.std_error > 12
    assert str(estimate.digits) in estimate.summary()
    assert ivbridge.Estimate.from_json(estimate.to_json()).digits == estimate.digits
    assert ivbridge.fit(case.formula, case.make(), "HC1").digits is None
    assert str(Digits(13.9, 0.0)) == "Good for 13 digits of the coefficients and none of the standard errors"


def test_more_digits_than_double_precision_has_are_never_claimed() -> None:
    assert (
        max(digits_of(answer(seen_by(OVERIDENTIFIED, design(60, 1)), vcov)).coef for vcov in (HC1(), Classical()))
        < DOUBLE_DIGITS
    )


def test_a_perfect_fit_without_any_residual_has_no_digits_of_standard_errors() -> None:
    w = 1e9 + np.random.default_rng(0).normal(size=20)
    fit = ivbridge.fit("y ~ 0 + w", {"y": w, "w": w}, "HC1", engine="fast")
    assert fit.digits is not None and fit.digits.std_error == 0


def _far_from_zero(seed: int) -> tuple[str, pd.DataFrame]:
    """A regressor that is its instrument but for 1e-7 comes before a weakly instrumented one, whose factor it blurs."""
    random = np.random.default_rng(seed)
    n = int(random.integers(20, 60))
    w, z1, z2, u, v = random.normal(size=(5, n))
    data = pd.DataFrame({"w": w + 1, "z1": z1, "z2": 1e9 + 90 * z2, "x2": 0.02 * z1 + v + u})
    data["x1"] = 1e4 * data["z2"] + 1e7 * (u + v)
    return "y ~ 0 + w + x1 + x2 | 0 + w + z1 + z2", data.assign(
        y=data["w"] + data["x2"] + (data["x1"] - 1e13) / 1e7 + u
    )


def _nearly_perfect(seed: int) -> tuple[str, pd.DataFrame]:
    """Residuals of 1e-9: the corrected step moves them by more than rounding leaves of them."""
    random = np.random.default_rng(seed)
    n = int(random.integers(20, 60))
    w, z1, z2, u, v = random.normal(size=(5, n))
    data = pd.DataFrame({"w": np.exp(4 * w), "z1": 1e5 + z1, "z2": z2, "x1": z1 + 1e-3 * z2 + v, "x2": z2 + v})
    return "y ~ w + x1 + x2 | w + z1 + z2", data.assign(y=data["w"] + data["x1"] + data["x2"] + 1e-9 * u)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("make", [_far_from_zero, _nearly_perfect])
def test_claims_where_the_factor_is_one_of_extended_precision(make: Callable[..., Any], seed: int) -> None:
    formula, data = make(seed)
    seen = seen_by(formula, data)
    found = answer(seen, HC1())
    coef, errors = _true_errors(seen, HC1())
    claim = digits_of(found)
    assert found.factor.path != "cholesky"
    assert claim.coef <= correct_digits(found.coef, coef)
    assert claim.std_error <= correct_digits(errors_of(found), errors)
