"""Digits: NIST's certified values in fractions, and what each engine keeps of them."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

import ivbridge
from ivbridge.diagnostics import PERFECT_FIT, SINGULAR
from ivbridge.engines import ENGINES
from ivbridge.kclass import decomposed, estimated
from ivbridge.linear import COLLINEAR, Basis, noisy_sums
from ivbridge.method import parse_method
from ivbridge.refine import condition_number, converged, left_over, orthonormal
from ivbridge.sandwich import covariance
from ivbridge.vcov import Classical
from tests.digits_cases import CASES, DOUBLE_DIGITS, NIST, Case, correct_digits, exact, exact_solution
from tests.rational import Rows, cross, fractions_of, solve
from tests.scripts import script

BY_NAME = {case.name: case for case in CASES}
#: Quick ones of every kind.
FEW = (
    "Norris", "NoInt2", "Longley", "Wampler1", "Wampler5",
    "collinear 1e4", "collinear 1e10", "units 1e14", "offset 1e6",
)  # fmt: skip


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """The script of this part of docs/reliability.md."""
    return script("docs/reliability/digits.py")


@pytest.fixture(scope="module")
def kept() -> pd.DataFrame:
    """Its data."""
    path = Path(__file__).resolve().parents[1] / "docs" / "reliability" / "digits.csv"
    return pd.read_csv(path, keep_default_na=False, na_values=["NaN"])


# ---- the reference ------------------------------------------------------------------------------------------------


def _decimals(case: Case) -> tuple[list[Fraction], list[list[Fraction]]]:
    """Observations as the decimals that NIST prints, not as the floats nearest to them."""
    data = case.make()
    text = {name: [Fraction(repr(float(value))) for value in data[name]] for name in data}
    y = text.pop("y")
    rows = list(zip(*text.values(), strict=True))
    if case.degree:
        return y, [[row[0] ** power for power in range(case.degree + 1)] for row in rows]
    constant = [] if "- 1" in case.formula else [Fraction(1)]
    return y, [[*constant, *row] for row in rows]


@pytest.mark.parametrize("case", [case for case in NIST if case.certified], ids=lambda case: case.name)
def test_certified_values_follow_from_the_observations(case: Case) -> None:
    y, x = _decimals(case)
    truth = exact_solution(y, x, x)
    found = [*zip(truth.coef, truth.classical, strict=True), (truth.sigma,)]
    certified = [*case.certified, (case.sigma,)]
    for true, text in zip(sum(found, ()), sum(certified, ()), strict=True):
        # half a unit of the fifteenth digit printed
        assert abs(true - Fraction(text)) <= Fraction(5, 10**15) * abs(true)


def test_the_orthogonal_polynomial_is_scored_on_the_same_observations() -> None:
    pd.testing.assert_frame_equal(BY_NAME["Filip"].make(), BY_NAME["Filip, orthogonal"].make())


def test_digits_are_counted() -> None:
    true = [Fraction(1, 3), Fraction(0)]
    assert correct_digits([1 / 3, 1e-7], true) == pytest.approx(7)
    assert correct_digits([1 / 3 * (1 + 1e-5), 0.0], true) == pytest.approx(5, abs=1e-6)
    assert correct_digits([0.5], [Fraction(1, 2)]) == DOUBLE_DIGITS
    assert correct_digits([math.nan], [Fraction(1)]) == correct_digits([], [Fraction(1)]) == 0.0


# ---- the engines --------------------------------------------------------------------------------------------------


def _check(page: ModuleType, case: Case) -> None:
    rows = {row["engine"]: row for row in page.rows_of(case)}
    for score in ("estimate", "std_error", "hc1"):
        native, r = rows["native"][score], rows["r"][score]
        assert math.isnan(native) == math.isnan(r)
        assert math.isnan(r) or native >= min(r, page.ENOUGH), f"{case.name}: {score} {native} digits, R {r}"
        fast = rows["fast"][score]
        assert math.isnan(r) or fast >= min(r, page.ENOUGH) - page.SLACK, f"{case.name}: {score} {fast} digits, R {r}"


@pytest.mark.parametrize("name", FEW)
def test_native_keeps_the_digits_that_r_keeps(page: ModuleType, name: str) -> None:
    _check(page, BY_NAME[name])


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case.name not in FEW], ids=lambda case: case.name)
def test_native_keeps_the_digits_that_r_keeps_everywhere(page: ModuleType, case: Case) -> None:
    _check(page, case)


@pytest.mark.parametrize("name", FEW)
def test_engines_agree_on_ill_conditioned_data(name: str) -> None:
    case = BY_NAME[name]
    ivbridge.crosscheck(case.formula, case.make(), ["classical", "HC1"]).assert_ok()


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case.name not in FEW], ids=lambda case: case.name)
def test_engines_agree_on_ill_conditioned_data_everywhere(case: Case) -> None:
    # R's sandwich leaves Filip variances below zero, hence no HC1 standard error
    vcovs = ["classical"] if case.name == "Filip" else ["classical", "HC1"]
    ivbridge.crosscheck(case.formula, case.make(), vcovs).assert_ok()


@pytest.mark.parametrize("kind", ["collinear", "offset"])
@pytest.mark.parametrize("power", range(2, 15, 2))
def test_engines_leave_out_the_same_columns(kind: str, power: int) -> None:
    case = BY_NAME[f"{kind} 1e{power}"]
    left_out = {name: ivbridge.fit(case.formula, case.make(), "HC1", name).seen.aliased for name in ENGINES}
    # R's tolerance is 1e-7
    expected = () if power < 7 else ("w2",) if kind == "collinear" else ("w1",)
    assert left_out == dict.fromkeys(ENGINES, expected)


@pytest.mark.parametrize(
    ("name", "vcov", "reason"), [("collinear 1e6", "HC1", SINGULAR), ("Wampler1", "HC1", PERFECT_FIT)]
)
def test_a_wald_test_without_digits_is_left_out_by_every_engine(name: str, vcov: str, reason: str) -> None:
    case = BY_NAME[name]
    for engine in ENGINES:
        test = ivbridge.fit(case.formula, case.make(), vcov, engine).tests["wald"]
        assert test == ivbridge.NotApplicable("Wald test", reason)


def test_a_note_says_what_linearmodels_leaves_by_hand(page: ModuleType) -> None:
    case = BY_NAME["Longley"]
    estimate = ivbridge.fit(case.formula, case.make(), "classical")
    (note,) = [note for note in estimate.notes if "linearmodels" in note]
    assert "only 6 digits" in note or "only 7 digits" in note  # which one depends on the processor's BLAS kernel
    by_hand = page.by_linearmodels(estimate.seen)
    assert 6 < correct_digits(by_hand.estimate, exact(estimate.seen.y, estimate.seen.x, estimate.seen.z).coef) < 8
    easy = BY_NAME["Norris"]
    assert ivbridge.fit(easy.formula, easy.make(), "classical").notes == ()


# ---- refinement ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["collinear 1e4", "offset 1e4", "units 1e6"])
def test_weighted_fits_are_exact(name: str) -> None:
    data = BY_NAME[name].make()
    roots = np.resize([1, 2, 3], len(data)).tolist()
    data["weight"] = [float(root**2) for root in roots]
    estimate = ivbridge.fit(BY_NAME[name].formula, data, "HC1", weights="weight")
    seen = estimate.seen
    # weighting is multiplying the rows by the square roots of the weights, here whole numbers
    y, x, z = (
        [[root * value for value in row] for root, row in zip(roots, fractions_of(matrix), strict=True)]
        for matrix in (seen.y[:, None], seen.x, seen.z)
    )
    truth = exact_solution([row[0] for row in y], x, z)
    # 15 digits are a relative error of nine units roundoff, 13.5 of 285 for errors at a condition number of 2e4
    assert correct_digits(estimate.coefs.estimate, truth.coef) > 15
    assert correct_digits(estimate.coefs.std_error, truth.hc1) > 13.5


@pytest.mark.parametrize("method", ["liml", "fuller(1)"])
@pytest.mark.parametrize("name", ["collinear 1e4", "offset 1e4"])
def test_k_class_coefficients_are_exact_for_their_kappa(name: str, method: str) -> None:
    estimate = ivbridge.fit(BY_NAME[name].formula, BY_NAME[name].make(), "HC1", method=method)
    seen = estimate.seen
    y, x, z = (fractions_of(matrix) for matrix in (seen.y[:, None], seen.x, seen.z))
    kappa = Fraction(float(estimate.kappa))

    def form(a: Rows, b: Rows) -> Rows:
        """A'(I − κM)B = (1 − κ)A'B + κA'Z(Z'Z)⁻¹Z'B."""
        projected = cross(solve(cross(z, z), cross(z, a)), cross(z, b))
        pairs = zip(cross(a, b), projected, strict=True)
        return [[(1 - kappa) * p + kappa * q for p, q in zip(one, two, strict=True)] for one, two in pairs]

    truth = [row[0] for row in solve(form(x, x), form(x, y))]
    # 14 digits: a relative error of 90 units roundoff, of which (κ − 1)(MX)'We in double precision takes a part
    assert correct_digits(estimate.coefs.estimate, truth) > 14


def test_refinement_reaches_the_exact_solution_from_anywhere() -> None:
    estimate = ivbridge.fit(BY_NAME["Longley"].formula, BY_NAME["Longley"].make(), "classical")
    x, y = estimate.seen.x, estimate.seen.y[:, None]
    r = np.linalg.qr(x, mode="r")
    truth = exact(y[:, 0], x, x).coef
    for start in (np.zeros((7, 1)), np.linalg.solve(x.T @ x, x.T @ y), 1e6 * np.ones((7, 1))):
        coef, rest = converged(start, (r, np.linalg.inv(r)), x, lambda b: left_over(y, x, b, x, None))
        # sums of 64 bits, 2⁻⁶⁴, times the squared condition number of 4e4 leave 10 digits at least; here 14
        assert correct_digits(coef[:, 0].astype(float), truth) > 14
        residuals = [Fraction(float(v)) - sum(Fraction(float(a)) * b for a, b in zip(row, truth, strict=True))
                     for v, row in zip(y[:, 0], x, strict=True)]  # fmt: skip
        # of a dependent variable of 6e4, known to 5e-12: of residuals of 1e2, to thirteen digits or so
        assert correct_digits(rest[:, 0], residuals) > 12


def test_orthonormal_columns_are_orthonormal() -> None:
    data = BY_NAME["collinear 1e6"].make()
    x = np.column_stack([np.ones(60), data[["w1", "w2"]]])
    weights = np.resize([1.0, 2.5], 60)
    first = np.linalg.qr(x * np.sqrt(weights)[:, None], mode="r")
    q, r, inverse = orthonormal(x, weights, first, np.linalg.inv(first))
    # a few units roundoff, in 60 terms
    np.testing.assert_allclose(q.T @ q, np.eye(3), atol=2e-15)
    np.testing.assert_allclose(q @ r, x * np.sqrt(weights)[:, None], atol=1e-14)
    wide = [[Fraction(float(w)) * value for value in row] for w, row in zip(weights, fractions_of(x), strict=True)]
    bread = solve(cross(wide, fractions_of(x)), fractions_of(np.eye(3)))
    # off by κu = 4e-10 before, in the square
    assert correct_digits(np.diag(inverse @ inverse.T), [bread[j][j] for j in range(3)]) > 12
    assert condition_number(r, inverse) > COLLINEAR
    assert np.abs(inverse @ r - np.eye(3)).max() < 1e-9


def test_nothing_is_refined_while_sums_are_noisy() -> None:
    case = BY_NAME["collinear 1e4"]
    seen = ivbridge.fit(case.formula, case.make(), "classical").seen
    method = parse_method("2sls")
    with noisy_sums(np.random.default_rng(1), blocked=False):
        noisy = estimated(seen, method)
    assert noisy.left is None
    clean, plain = estimated(seen, method), decomposed(seen, method)
    truth = exact(seen.y, seen.x, seen.z)
    # the bound of a cross-check is made of noisy fits, and must be as wide as what R's arithmetic loses
    assert correct_digits(noisy.coef, truth.coef) < 13 < 15 < correct_digits(clean.coef, truth.coef)
    assert correct_digits(plain.coef, truth.coef) < 14
    errors = np.sqrt(np.diag(covariance(clean, Classical(), {})))
    assert correct_digits(errors, truth.classical) > 14


def test_few_columns_are_left_alone() -> None:
    plain = Basis.of(np.column_stack([np.ones(50), np.arange(50.0)]), None)
    q, r = np.linalg.qr(plain.matrix)
    assert np.array_equal(plain.q, q) and np.array_equal(plain.r, r)


# ---- the page -----------------------------------------------------------------------------------------------------


def test_the_page_has_every_case_and_program(page: ModuleType, kept: pd.DataFrame) -> None:
    assert list(zip(kept.case, kept.engine, strict=True)) == [(c.name, e) for c in CASES for e in page.ENGINES]
    assert list(kept.columns) == list(page.COLUMNS)


def test_the_page_shows_no_score_where_r_is_ahead(page: ModuleType, kept: pd.DataFrame) -> None:
    for score in ("estimate", "std_error", "hc1"):
        wide = kept.pivot_table(index="case", columns="engine", values=score)
        assert (wide.native >= np.minimum(wide.r, page.ENOUGH)).all()
        assert (wide.fast >= np.minimum(wide.r, page.ENOUGH) - page.SLACK).all()


def test_the_page_shows_no_claim_that_is_too_high(page: ModuleType, kept: pd.DataFrame) -> None:
    gaps = page._claims(kept)
    assert len(gaps) > 100
    assert (gaps >= 0).all()


def test_linearmodels_alone_would_not_pass(page: ModuleType, kept: pd.DataFrame) -> None:
    wide = kept.pivot_table(index="case", columns="engine", values="estimate")
    assert (wide.linearmodels < np.minimum(wide.r, page.ENOUGH)).sum() > 10
