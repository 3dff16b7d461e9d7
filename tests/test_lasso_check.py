"""R's cv.glmnet and the native mirror give the same numbers, and the check that says so can fail."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ivbridge.engines.process import RWorker, default_worker
from ivbridge.errors import DisagreementError, RNotAvailableError, UnsupportedError
from ivbridge.resources import scripts_dir
from ivbridge.selection import check
from ivbridge.selection import r as r_engine
from ivbridge.selection.check import LassoAgreement, agree_lasso, crosscheck_lasso
from ivbridge.selection.design import LassoDesign, build_lasso
from ivbridge.selection.distances import compare_fits, scales_of
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.fragility import fragility
from ivbridge.selection.moments import moments
from ivbridge.selection.records import LassoFit
from ivbridge.selection.spec import Folds, LassoSpec
from tests.lasso_cases import NAMES, lasso_case

# The same algorithm at the same threshold takes the same steps: what is left are last bits, 1e-16 in one operation.
# Some hundred of them are left of λ and of the largest coefficient, some more of a loss, which sums squares of errors.
LAMBDA, COEF, LOSS = 1e-12, 1e-12, 1e-11

RSCRIPT = shutil.which("Rscript") or "/usr/bin/Rscript"


@cache
def answers(name: str) -> tuple[LassoDesign, LassoFit, LassoFit]:
    """The design of a scenario, R's answer and the native one."""
    case = lasso_case(name)
    design = build_lasso(case.spec, case.data)
    return design, lasso_engine("r").cv(design), lasso_engine("native").cv(design)


def tight(design: LassoDesign, threshold: float = 1e-14) -> LassoDesign:
    return dataclasses.replace(design, spec=dataclasses.replace(design.spec, threshold=threshold))


# ---- parity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_parity(name: str) -> None:
    _, r, native = answers(name)
    np.testing.assert_allclose(native.path.lambdas, r.path.lambdas, rtol=LAMBDA)
    largest = np.abs(r.path.coefs).max()
    assert np.abs(native.path.coefs - r.path.coefs).max() <= COEF * largest
    scale = np.abs(r.path.intercepts).max() + largest
    assert np.abs(native.path.intercepts - r.path.intercepts).max() <= COEF * scale
    np.testing.assert_allclose(native.path.dev_ratio, r.path.dev_ratio, atol=COEF)
    np.testing.assert_allclose(native.cvm, r.cvm, rtol=LOSS)
    # a standard error is a difference of losses that may be a hundredth of them
    np.testing.assert_allclose(native.cvsd, r.cvsd, rtol=100 * LOSS)
    assert (native.index_min, native.index_1se) == (r.index_min, r.index_1se)
    assert native.selected("min") == r.selected("min")
    assert native.selected("1se") == r.selected("1se")
    assert native.warnings == r.warnings


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in ("c", "i") else n for n in NAMES])
def test_check_calls_parity_rounding(name: str) -> None:
    comparison = agree_lasso(*answers(name))
    assert comparison.verdict in ("identical", "rounding"), comparison.reason
    assert comparison.worst is not None
    assert comparison.worst.digits > 12
    bounds = {gap.quantity: gap.bound for gap in comparison.gaps}
    # tight enough to see one part in a hundred million of a coefficient, on every scenario
    assert bounds["coef"] < 1e-8
    assert bounds["index"] == bounds["path length"] == 0


@pytest.mark.slow
def test_check_of_dummies_in_many_rows() -> None:
    """Sums of 40,000 equal terms leave more than √n last bits; ivbridge works from cross-products here, R does not."""
    rng = np.random.default_rng(0)
    x = (rng.random((40_000, 60)) < 0.3).astype(np.int8)
    names = tuple(f"z{j}" for j in range(60))
    y = x[:, :5] @ np.array([1, -0.5, 0.3, 0.2, 0.1]) + rng.normal(size=len(x))
    agreement = crosscheck_lasso(LassoSpec("y", names), pd.DataFrame(x, columns=names).assign(y=y))
    agreement.assert_ok()
    # still no cover for a part in a hundred million
    assert max(gap.bound for gap in agreement.gaps) < 1e-8


MEASURES = [("a", "mae"), ("a", "deviance"), ("d", "mse"), ("d", "mae"), ("h", "mse"), ("h", "mae"), ("h", "class"),
            ("h", "auc"), ("h", "deviance"), ("weighted binomial", "auc"), ("weighted binomial", "class")]  # fmt: skip


@pytest.mark.parametrize(("name", "measure"), MEASURES)
def test_measures(name: str, measure: str) -> None:
    case = lasso_case(name)
    agreement = crosscheck_lasso(dataclasses.replace(case.spec, type_measure=measure), case.data)
    agreement.assert_ok()


@pytest.mark.parametrize("kind", ["Rejection", "Rounding"])
@pytest.mark.parametrize(
    ("n", "k", "seed"), [(30, 3, 1), (97, 10, 20), (500, 10, 1), (120, 7, -5), (1000, 25, 2**31 - 1)]
)
def test_folds_that_r_draws(n: int, k: int, seed: int, kind: str) -> None:
    rng = np.random.default_rng(n)
    data = pd.DataFrame(rng.normal(size=(n, 3)), columns=["y", "z1", "z2"])
    spec = LassoSpec("y", ("z1", "z2"), folds=Folds(k, seed, kind))  # type: ignore[arg-type]
    fit = lasso_engine("r").cv(build_lasso(spec, data))
    assert fit.seen is not None
    assert np.array_equal(fit.seen.foldid, spec.folds.draw(n))  # type: ignore[union-attr]
    assert default_worker().call("ivb_provenance").value["rng"] == ["Mersenne-Twister, Inversion, Rejection"]


def test_folds_of_two_kinds_differ() -> None:
    assert not np.array_equal(Folds(10, 1, "Rounding").draw(500), Folds(10, 1).draw(500))


def test_missing_values_and_integer_columns() -> None:
    case = lasso_case("rare")
    data = case.data.copy()
    data.loc[[3, 77], "y"] = np.nan
    design = build_lasso(case.spec, data)
    assert design.x.dtype == np.int8
    agreement = crosscheck_lasso(case.spec, data)
    agreement.assert_ok()
    assert agreement.comparisons[0].reference.n == 398


def test_sparse_candidates() -> None:
    case = lasso_case("rare")
    sparse = {name: pd.arrays.SparseArray(case.data[name].astype(float), fill_value=0) for name in case.spec.candidates}
    data = pd.concat([case.data[["y"]], pd.DataFrame(sparse)], axis=1)
    crosscheck_lasso(case.spec, data).assert_ok()


@pytest.mark.parametrize("values", [(False, True), (1.5, 10.0), ("10", "9"), ("a", "b")])
def test_r_finds_the_same_levels(values: tuple[object, object]) -> None:
    case = lasso_case("h")
    data = case.data.assign(y=np.where(case.data.y == "yes", *reversed(values)))
    if isinstance(values[0], str):
        data["y"] = data["y"].astype(object)
    agreement = crosscheck_lasso(case.spec, data)
    agreement.assert_ok()
    seen = agreement.comparisons[0].reference.seen
    assert seen is not None and seen.levels == tuple(map(str, values))


# ---- the exact solver beside R ----------------------------------------------------------------------------------

#: Largest gap of a coefficient over the largest coefficient. Ten times what was measured between R at 1e-14 and
#: scikit-learn at a duality gap of 1e-10 on other draws of these scenarios: 2e-9, 1.6e-8, 6.5e-8, 4e-8, 2.8e-7.
EXACT = {"a": 2e-8, "d": 1.6e-7, "e": 6.5e-7, "f": 4e-7, "g": 2.8e-6}


@pytest.mark.parametrize("name", EXACT)
def test_sklearn_equals_r_at_a_tight_threshold(name: str) -> None:
    design, _, _ = answers(name)
    r, exact = lasso_engine("r").cv(tight(design)), lasso_engine("sklearn").cv(design)
    assert np.abs(exact.path.coefs - r.path.coefs).max() <= EXACT[name] * np.abs(r.path.coefs).max()
    assert (exact.index_min, exact.index_1se) == (r.index_min, r.index_1se)
    assert exact.selected("min") == r.selected("min")
    assert exact.selected("1se") == r.selected("1se")


def test_stopping_rule_is_named_and_measured() -> None:
    case = lasso_case("g")
    agreement = crosscheck_lasso(case.spec, case.data, ("r", "sklearn"))
    assert agreement.verdict == "convention"
    found = re.search(r"stopping rule.* shrinks from ([\d.e-]+) to ([\d.e-]+),", agreement.reason)
    assert found is not None
    assert float(found[2]) < 1e-5 < 1e-4 < float(found[1])
    with pytest.raises(DisagreementError, match="stopping rule"):
        agreement.assert_ok()


def test_equal_candidates_count_as_one_beside_an_exact_solver() -> None:
    case = lasso_case("duplicates")
    agreement = crosscheck_lasso(case.spec, case.data, ("r", "sklearn"))
    assert agreement.verdict == "convention"
    assert "z1 = z13 count as one" in agreement.reason and "z2 = z8 count as one" in agreement.reason


def test_stopping_rule_from_the_tight_side() -> None:
    case = lasso_case("a")
    agreement = crosscheck_lasso(dataclasses.replace(case.spec, threshold=1e-12), case.data, ("native", "sklearn"))
    assert agreement.verdict == "convention"
    assert "from thresh = 1e-07 to 1e-12" in agreement.reason


def test_stopping_rule_does_not_cover_a_mistake() -> None:
    design, r, _ = answers("g")
    exact = lasso_engine("sklearn").cv(design)
    wrong = exact.path.coefs.copy()
    wrong[-1, 0] *= 1.01
    assert agree_lasso(design, r, _path(exact, coefs=wrong)).verdict == "substantive"
    stopped = r.path.coefs.copy()
    stopped[-1, 0] *= 1.01
    assert agree_lasso(design, _path(r, coefs=stopped), exact).verdict == "substantive"


def test_stopping_rule_leaves_little() -> None:
    """Where R at its default is far off, a smaller gap may still be too large for a solver that goes on."""
    design, r, _ = answers("j")
    exact = lasso_engine("sklearn").cv(design)
    assert agree_lasso(design, r, exact).verdict == "convention"
    wrong = exact.path.coefs.copy()
    wrong[40, 0] += 1.5e-4 * scales_of(r, moments(design)).coefs[0]  # a tenth of the gap at the default is 1.7e-4
    assert agree_lasso(design, r, _path(exact, coefs=wrong)).verdict == "substantive"


def test_paths_of_different_length_are_reported() -> None:
    case = lasso_case("j")
    agreement = crosscheck_lasso(case.spec, case.data, ("r", "sklearn"))
    lengths = [len(fit.path.lambdas) for c in agreement.comparisons for fit in (c.reference, c.candidate)]
    assert lengths[0] != lengths[1]
    assert not next(gap for gap in agreement.gaps if gap.quantity == "path length").ok
    assert f"{lengths[0]} (r) and {lengths[1]} (sklearn)" in agreement.reason
    assert f"lambda {max(lengths)}" in agreement.comparisons[0].not_compared


# ---- sabotage ---------------------------------------------------------------------------------------------------


def _path(fit: LassoFit, **changes: np.ndarray) -> LassoFit:
    return dataclasses.replace(fit, path=dataclasses.replace(fit.path, **changes))


def _part_per_million(fit: LassoFit) -> LassoFit:
    coefs = fit.path.coefs.copy()
    at = np.unravel_index(np.abs(coefs).argmax(), coefs.shape)
    coefs[at] *= 1 + 1e-6
    return _path(fit, coefs=coefs)


def _part_per_million_of_a_small_one(fit: LassoFit) -> LassoFit:
    coefs = fit.path.coefs.copy()
    inside = np.flatnonzero(coefs[fit.index_min])
    coefs[fit.index_min, inside[np.abs(coefs[fit.index_min, inside]).argmin()]] *= 1 + 1e-6
    return _path(fit, coefs=coefs)


def _columns_swapped(fit: LassoFit) -> LassoFit:
    order = [1, 0, *range(2, len(fit.names))]
    return _path(fit, coefs=fit.path.coefs[:, order])


def _intercept(fit: LassoFit) -> LassoFit:
    return _path(fit, intercepts=fit.path.intercepts + 1e-9)


def _deviance(fit: LassoFit) -> LassoFit:
    return _path(fit, dev_ratio=fit.path.dev_ratio * (1 - 1e-9))


def _first_lambda(fit: LassoFit) -> LassoFit:
    lambdas = fit.path.lambdas.copy()
    lambdas[0] *= 1 + 1e-9
    return _path(fit, lambdas=lambdas)


def _one_loss(fit: LassoFit) -> LassoFit:
    cvm = fit.cvm.copy()
    cvm[3] *= 1 + 1e-9
    return dataclasses.replace(fit, cvm=cvm)


def _lost_loss(fit: LassoFit) -> LassoFit:
    cvm = fit.cvm.copy()
    cvm[3] = np.nan
    return dataclasses.replace(fit, cvm=cvm)


def _unweighted_errors(fit: LassoFit) -> LassoFit:
    return dataclasses.replace(fit, cvsd=fit.cvsd * np.sqrt(10 / 9))


def _next_index(fit: LassoFit) -> LassoFit:
    return dataclasses.replace(fit, index_1se=fit.index_1se + 1)


def _one_left_out(fit: LassoFit) -> LassoFit:
    coefs = fit.path.coefs.copy()
    inside = np.flatnonzero(coefs[fit.index_min])
    coefs[fit.index_min, inside[np.abs(coefs[fit.index_min, inside]).argmin()]] = 0.0
    return _path(fit, coefs=coefs)


def _one_as_good_as_zero(fit: LassoFit) -> LassoFit:
    """Rounding explains the number, not that another candidate is selected."""
    coefs = fit.path.coefs.copy()
    coefs[fit.index_min, np.flatnonzero(coefs[fit.index_min] == 0)[0]] = 1e-300
    return _path(fit, coefs=coefs)


def _shorter(fit: LassoFit) -> LassoFit:
    path = {name: getattr(fit.path, name)[:-1] for name in ("lambdas", "intercepts", "coefs", "dev_ratio")}
    return dataclasses.replace(_path(fit, **path), cvm=fit.cvm[:-1], cvsd=fit.cvsd[:-1])


SABOTAGE = (
    (_part_per_million, "coef"),
    (_part_per_million_of_a_small_one, "coef"),
    (_columns_swapped, "coef"),
    (_intercept, "intercept"),
    (_deviance, "dev.ratio"),
    (_first_lambda, "lambda"),
    (_one_loss, "cvm"),
    (_lost_loss, "cvm"),
    (_unweighted_errors, "cvsd"),
    (_next_index, "index"),
    (_one_left_out, "selected"),
    (_one_as_good_as_zero, "selected"),
    (_shorter, "path length"),
)


@pytest.mark.parametrize(("damage", "quantity"), SABOTAGE, ids=[case[0].__name__[1:] for case in SABOTAGE])
def test_damaged_answers(damage: Callable[[LassoFit], LassoFit], quantity: str) -> None:
    design, r, native = answers("d")
    for pair in ((r, damage(native)), (damage(r), native)):
        comparison = agree_lasso(design, *pair)
        assert comparison.verdict == "substantive"
        assert quantity in {gap.quantity for gap in comparison.gaps if not gap.ok}


def test_one_unit_in_the_last_place_is_rounding_and_not_identical() -> None:
    design, _, native = answers("d")
    assert agree_lasso(design, native, native).verdict == "identical"
    coefs = native.path.coefs.copy()
    coefs[-1, 0] = np.nextafter(coefs[-1, 0], np.inf)
    assert agree_lasso(design, native, _path(native, coefs=coefs)).verdict == "rounding"


def _other_data(change: Callable[[pd.DataFrame], pd.DataFrame], **options: object) -> tuple[LassoSpec, pd.DataFrame]:
    case = lasso_case("d")
    return dataclasses.replace(case.spec, **options), change(case.data)  # type: ignore[arg-type]


def _one_ulp(data: pd.DataFrame) -> pd.DataFrame:
    z5 = data.z5.to_numpy(copy=True)
    z5[7] = np.nextafter(z5[7], np.inf)
    return data.assign(z5=z5)


OTHER = (
    ("swapped columns", lambda d: d.assign(z1=d.z2, z2=d.z1), {}, {"data"}),
    ("dropped row", lambda d: d.drop(index=5), {}, {"data", "rows", "folds"}),
    ("one unit in the last place", _one_ulp, {}, {"data"}),
    ("another seed", lambda d: d, {"folds": Folds(10, seed=2)}, {"question", "data"}),
    ("another threshold", lambda d: d, {"threshold": 1e-9}, {"question"}),
    ("no weights", lambda d: d, {"weights": None}, {"question", "data"}),
)


@pytest.mark.parametrize(
    ("change", "options", "failing"), [case[1:] for case in OTHER], ids=[case[0] for case in OTHER]
)
def test_another_question_is_not_comparable(
    change: Callable[[pd.DataFrame], pd.DataFrame], options: dict[str, object], failing: set[str]
) -> None:
    design, r, _ = answers("d")
    native = lasso_engine("native").cv(build_lasso(*_other_data(change, **options)))
    comparison = agree_lasso(design, r, native)
    assert comparison.verdict == "not comparable"
    assert not comparison.gaps
    assert failing <= {check.name for check in comparison.handshake if not check.ok}


def test_other_folds_of_r_are_not_comparable() -> None:
    design, r, native = answers("d")
    assert r.seen is not None
    foldid = r.seen.foldid.copy()
    foldid[[0, 1]] = foldid[[1, 0]] if foldid[0] != foldid[1] else foldid[0] % 10 + 1
    moved = dataclasses.replace(r, seen=dataclasses.replace(r.seen, foldid=foldid))
    comparison = agree_lasso(design, moved, native)
    assert (comparison.verdict, comparison.reason) == (
        "not comparable",
        "the engines did not see the same folds",
    )
    shown = next(check for check in comparison.handshake if check.name == "folds")
    assert shown.reference == f"row 1 in fold {foldid[0]}"


def test_other_levels_and_names_are_not_comparable() -> None:
    design, r, native = answers("h")
    assert r.seen is not None
    turned = dataclasses.replace(r, seen=dataclasses.replace(r.seen, levels=("yes", "no")))
    assert agree_lasso(design, turned, native).reason.endswith("levels")
    named = dataclasses.replace(r, names=("z2", "z1", *r.names[2:]))
    assert agree_lasso(design, named, native).reason.endswith("candidates")


def test_near_tie_is_a_convention(monkeypatch: pytest.MonkeyPatch) -> None:
    """If repetitions on the last bits move a set too, the set is a matter of the tie, and the check still fails."""
    design, r, native = answers("d")
    measured = check.allowed_gaps
    monkeypatch.setattr(check, "allowed_gaps", lambda *given: measured(*given) | {"selected": 1.0})
    comparison = agree_lasso(design, r, _one_as_good_as_zero(native))
    assert comparison.verdict == "convention"
    assert re.search(r"near-tie decides z\d+ at lambda.min", comparison.reason)
    assert not LassoAgreement(design.spec, (comparison,)).ok
    # a number that rounding does not explain is not covered by the tie
    both = _part_per_million(_one_as_good_as_zero(native))
    assert agree_lasso(design, r, both).verdict == "substantive"


# ---- fragility --------------------------------------------------------------------------------------------------


def test_duplicates_are_named() -> None:
    design, r, _ = answers("duplicates")
    ties = [tie for tie in fragility(design, r, "min") if tie.kind == "collinear"]
    assert {frozenset(tie.terms) for tie in ties} == {frozenset(("z1", "z13")), frozenset(("z2", "z8"))}
    assert all(tie.closeness < 1e-12 for tie in ties)
    assert "the data cannot tell" in ties[0].sentence


def test_nearly_collinear_candidates_are_named() -> None:
    case = lasso_case("a")
    noise = np.random.default_rng(3).normal(size=len(case.data))
    for size, found in ((1e-5, True), (1e-2, False)):  # correlations of 1 − 5e-11 and 1 − 5e-5
        design = build_lasso(case.spec, case.data.assign(z20=-2 * case.data.z1 + size * noise))
        ties = fragility(design, lasso_engine("native").cv(design), "1se")
        assert any(tie.kind == "collinear" and {"z1", "z20"} == set(tie.terms) for tie in ties) == found


def test_a_candidate_that_the_stopping_rule_keeps_out_is_named() -> None:
    design, r, _ = answers("j")
    entering = [tie.terms for tie in fragility(design, r, "min") if tie.kind == "enters"]
    assert entering == [("z11",)]
    # asked to go on, R does select it at this λ
    exact = lasso_engine("r").cv(tight(design))
    added = (exact.path.coefs[r.index_min] != 0) & (r.path.coefs[r.index_min] == 0)
    assert [name for name, new in zip(r.names, added, strict=True) if new] == ["z11"]
    assert fragility(tight(design), exact, "min") == ()


@pytest.mark.parametrize("name", ["a", "d", "e", "e2", "f", "g", "h", "no intercept", "rare", "weighted binomial"])
def test_clear_sets_are_not_called_fragile(name: str) -> None:
    """Where R at 1e-14 selects the same, nothing is near: the measured error is no blanket excuse."""
    design, r, _ = answers(name)
    exact = lasso_engine("native").cv(tight(design))
    for rule in ("min", "1se"):
        assert exact.selected(rule) == r.selected(rule)
        assert fragility(design, r, rule) == ()


@pytest.mark.parametrize("sparse", [False, True])
def test_moments_are_weighted_covariances(sparse: bool) -> None:
    rng = np.random.default_rng(8)
    x = np.where(rng.random((60, 5)) < 0.4, rng.normal(3, 1, size=(60, 5)), 0.0)
    data = pd.DataFrame(x, columns=[f"z{j}" for j in range(5)])
    data = data.astype(pd.SparseDtype("float64", 0.0)) if sparse else data
    data = data.assign(y=rng.normal(size=60), w=rng.uniform(0.1, 2, size=60))
    design = build_lasso(LassoSpec("y", tuple(f"z{j}" for j in range(5)), weights="w"), data)
    found, columns = moments(design), np.array([1, 3])
    wanted = np.cov(x.T, aweights=data.w, ddof=0)
    spreads = np.sqrt(np.diag(wanted))
    products = found.products(found.gathered(columns), columns, found.weights)
    # sums of 60 products of numbers below 10
    np.testing.assert_allclose(found.spreads, spreads, rtol=1e-13)
    np.testing.assert_allclose(products, (wanted / np.outer(spreads, spreads))[:, columns], atol=1e-13)


def test_a_coefficient_at_rounding_level_is_named() -> None:
    design, _, native = answers("d")
    added = native.names[int(np.flatnonzero(native.path.coefs[native.index_min] == 0)[0])]
    ties = fragility(tight(design), _one_as_good_as_zero(lasso_engine("native").cv(tight(design))), "min")
    assert ("leaves", (added,)) in [(tie.kind, tie.terms) for tie in ties]


def test_a_lambda_that_hangs_on_a_thread_is_named() -> None:
    design, _, native = answers("d")
    inside = native.path.coefs != 0
    at = next(i for i in range(5, native.index_min) if (inside[i] != inside[i - 1]).any())
    error = native.cvsd[native.index_min]
    for closeness, found in ((1e-4, True), (1e-2, False)):
        cvm = native.cvm.copy()
        cvm[at - 1] = cvm[native.index_min] + (1 + closeness) * error
        moved = dataclasses.replace(native, cvm=cvm, index_1se=at)
        ties = [tie for tie in fragility(design, moved, "1se") if tie.kind == "index"]
        assert bool(ties) == found
        if found:
            # a difference of 1e-4 of numbers near 1 keeps twelve digits
            assert ties[0].closeness == pytest.approx(closeness, rel=1e-9)
            assert set(ties[0].terms) == {
                n for n, c in zip(native.names, inside[at] != inside[at - 1], strict=True) if c
            }
            assert f"at number {at} " in ties[0].sentence


def test_fragility_reads_sparse_candidates() -> None:
    case = lasso_case("duplicates")
    design = build_lasso(case.spec, case.data)
    fit = lasso_engine("native").cv(design)
    frame = pd.concat(
        [case.data[["y"]], case.data[list(case.spec.candidates)].astype(pd.SparseDtype("float64", 0))], axis=1
    )
    assert [t.terms for t in fragility(build_lasso(case.spec, frame), fit)] == [t.terms for t in fragility(design, fit)]


# ---- the record -------------------------------------------------------------------------------------------------


def test_agreement_in_words_tables_and_json() -> None:
    case = lasso_case("duplicates")
    agreement = crosscheck_lasso(case.spec, case.data)
    assert agreement.ok and agreement.engines == ("r", "native")
    assert agreement.fragile
    assert "fragile: lambda.min selects z1" in agreement.summary()
    assert int(agreement.ledger["compared"].sum()) == len(agreement.gaps) == len(agreement.to_frame())
    plain = json.loads(agreement.to_json())
    assert (plain["verdict"], plain["ok"], plain["n"]) == ("rounding", True, 200)
    assert {one["kind"] for one in plain["fragile"]} == {"collinear"}
    assert plain["provenance"][0]["versions"]["glmnet"]
    assert "<li>lambda.min selects z1" in agreement._repr_html_()
    assert repr(agreement).startswith("<LassoAgreement rounding")


def test_error_text_is_enough_to_act() -> None:
    design, r, native = answers("d")
    agreement = LassoAgreement(design.spec, (agree_lasso(design, r, _part_per_million(native)),))
    with pytest.raises(DisagreementError) as caught:
        agreement.assert_ok()
    for word in ("SUBSTANTIVE", "y on 30 candidates", "coef of z1 at lambda", "digits", "Do this"):
        assert word in str(caught.value)


def test_nothing_compared_is_no_agreement() -> None:
    empty = LassoAgreement(lasso_case("a").spec, ())
    assert empty.verdict == "not comparable" and not empty.ok and empty.digits == 0


def test_one_engine_is_not_enough() -> None:
    with pytest.raises(UnsupportedError, match="two engines"):
        crosscheck_lasso(lasso_case("a").spec, lasso_case("a").data, ("r",))


def test_gaps_are_measured_by_what_they_do_to_the_fit() -> None:
    """Candidates in other units change the coefficients, not their digits."""
    design, r, _ = answers("d")
    found = moments(design)
    coefs = r.path.coefs.copy()
    coefs[-1, :] += 1e-6 / found.spreads
    gaps = compare_fits(r, _path(r, coefs=coefs), scales_of(r, found), {})
    largest = np.abs(r.path.coefs * found.spreads).max()
    # subtracting numbers near 1 leaves 1e-6 with nine digits
    moved = [gap.relative for gap in gaps if gap.quantity == "coef"]
    np.testing.assert_allclose(moved, np.full(design.p, 1e-6 / largest), rtol=1e-8)


# ---- R by hand --------------------------------------------------------------------------------------------------


def rscript(*arguments: str) -> str:
    return subprocess.run([RSCRIPT, *arguments], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("name", ["e2", "weighted binomial", "user lambda", "no intercept"])
def test_calls_of_the_provenance_reproduce_the_numbers(name: str, tmp_path: Path) -> None:
    case, (_, r, _) = lasso_case(name), answers(name)
    case.data.to_csv(tmp_path / "d.csv", index=False, float_format="%.17g")
    *calls, coef = r.provenance.calls
    lines = [f'data <- read.csv("{tmp_path / "d.csv"}")', *calls, f"cat(format(as.numeric({coef}), digits = 17))"]
    (tmp_path / "by_hand.R").write_text("\n".join(lines), encoding="utf-8")
    shown = rscript(str(tmp_path / "by_hand.R"))
    # 17 digits, written and read
    np.testing.assert_allclose(np.array(shown.split(), dtype=float), r.coef().to_numpy(), rtol=1e-14)


def test_script_runs_alone(tmp_path: Path) -> None:
    case, (_, r, _) = lasso_case("d"), answers("d")
    case.data.to_csv(tmp_path / "d.csv", index=False, float_format="%.17g")
    names = ",".join(case.spec.candidates)
    arguments = ("--data", str(tmp_path / "d.csv"), "--dependent", "y", "--candidates", names, "--weights", "w")
    shown = rscript(str(scripts_dir() / "cv_glmnet.R"), *arguments, "--seed", "1")
    row = next(line for line in shown.splitlines() if line.startswith("lambda.1se")).split()
    assert float(row[1]) == pytest.approx(r.lambda_1se, rel=1e-13)  # 15 digits are printed
    assert int(row[2]) == r.index_1se + 1
    z1 = next(line for line in shown.splitlines() if line.startswith("z1 ")).split()
    assert float(z1[2]) == pytest.approx(r.coef("1se")["z1"], rel=1e-13)


def test_a_fresh_r_loads_glmnet_late_and_keeps_its_generator() -> None:
    x = np.random.default_rng(1).normal(size=(30, 2))
    folds = {"k": 5, "seed": 1, "sample.kind": "Rounding"}
    with RWorker() as worker:
        assert "glmnet" not in worker.call("ivb_provenance").value["loaded"]
        reply = worker.call("ivb_cv_glmnet", x=x, y=x[:, 0], names=["z1", "z2"], folds=folds)
        assert not reply.warnings
        assert worker.call("ivb_provenance").value["rng"] == ["Mersenne-Twister, Inversion, Rejection"]


def test_missing_glmnet_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide = tmp_path / "hide.R"
    hide.write_text(".libPaths(character(), include.site = FALSE)\n", encoding="utf-8")
    design, _, _ = answers("d")
    with RWorker(scripts=[hide, "cv_glmnet.R"]) as worker:
        monkeypatch.setattr(r_engine, "default_worker", lambda: worker)
        with pytest.raises(RNotAvailableError, match="ivbridge setup-r"):
            lasso_engine("r").cv(design)
        assert "glmnet" in str(lasso_engine("r").available())
