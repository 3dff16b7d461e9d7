"""Every registered engine answers every question alike, and where it cannot, every engine says so in the same words."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

import ivbridge
from ivbridge.diagnostics import NOTHING_ADDED, PERFECT_FIT
from ivbridge.engines import ENGINES, Available, engine
from ivbridge.errors import IvbridgeError
from tests.cases import CASES, FEW_VCOVS, VCOVS, Case, frame

DATA = frame()
#: A new engine is under test as soon as it is registered.
CANDIDATES = sorted(set(ENGINES) - {"r"})
RICH = Case("two endogenous", "y ~ x1 + x2 + w1 | w1 + z1 + z2 + z3")


def test_every_engine_is_available_here() -> None:
    assert {name: engine(name).available() for name in ENGINES} == {name: Available() for name in ENGINES}


@pytest.mark.parametrize("candidate", CANDIDATES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_questions(case: Case, candidate: str) -> None:
    agreement = ivbridge.crosscheck(case.formula, DATA, FEW_VCOVS, ("r", candidate), **case.options)
    agreement.assert_ok()
    # every vcov compares coefficients, covariances, residuals and tests: a short ledger would be a hollow agreement
    quantities = {gap.quantity for gap in agreement.gaps}
    assert {
        "estimate",
        "std.error",
        "cov",
        "statistic",
        "p.value",
        "conf.low",
        "conf.high",
        "resid",
        "fitted",
    } <= quantities
    assert len(agreement.comparisons) == len(FEW_VCOVS)


@pytest.mark.parametrize("candidate", CANDIDATES)
@pytest.mark.parametrize("weights", [None, "wt"])
@pytest.mark.parametrize("vcov", VCOVS)
def test_vcovs(vcov: str, weights: str | None, candidate: str) -> None:
    ivbridge.crosscheck(RICH.formula, DATA, [vcov], ("r", candidate), weights=weights).assert_ok()


@pytest.mark.parametrize("vcov", ["classical", "HC1", "cluster(g)"])
def test_z_inference_gives_chi2(vcov: str) -> None:
    estimates = [ivbridge.fit(RICH.formula, DATA, vcov, name, inference="z") for name in ENGINES]
    for estimate in estimates:
        wald = estimate.tests["wald"]
        assert isinstance(wald, ivbridge.Test)
        assert (wald.distribution, wald.df1, wald.df2) == ("chi2", 3, float("inf"))


def test_weights_as_array_equal_weights_as_column() -> None:
    by_name = ivbridge.fit(RICH.formula, DATA, "HC1", weights="wt")
    by_array = ivbridge.fit(RICH.formula, DATA, "HC1", weights=DATA.wt.to_numpy())
    np.testing.assert_array_equal(by_name.coefs.estimate, by_array.coefs.estimate)


def test_arrays_instead_of_formulas() -> None:
    columns = {"exog": DATA[["w1"]].assign(one=1.0), "endog": DATA[["x1"]], "instruments": DATA[["z1", "z2"]]}
    spec, data = ivbridge.from_arrays(DATA.y, **columns)
    agreement = ivbridge.crosscheck(spec, data, ["HC1"])
    agreement.assert_ok()
    by_formula = ivbridge.fit("y ~ x1 + w1 | w1 + z1 + z2", DATA, "HC1")
    by_array = agreement.comparisons[0].candidate
    assert set(by_array.terms) == set(by_formula.terms)
    np.testing.assert_allclose(by_array.params[list(by_formula.terms)], by_formula.params, rtol=1e-11)


def test_three_dialects_give_one_answer() -> None:
    texts = ("y ~ x1 + w1 | w1 + z1 + z2", "y ~ w1 | x1 | z1 + z2", "y ~ 1 + w1 + [x1 ~ z1 + z2]")
    answers = [ivbridge.fit(text, DATA, "HC0") for text in texts]
    assert len({answer.spec for answer in answers}) == 1
    assert len({answer.params.to_json() for answer in answers}) == 1


def _errors(formula: str, options: dict[str, object]) -> dict[str, tuple[str, str]]:
    found = {}
    for name in ENGINES:
        with pytest.raises(IvbridgeError) as caught:
            ivbridge.fit(formula, DATA, engine=name, **options)  # type: ignore[arg-type]
        found[name] = (type(caught.value).__name__, str(caught.value))
    return found


IMPOSSIBLE = (
    ("constant instrument", "y ~ x1 | three", {"vcov": "HC1"}, "DesignError", "three"),
    ("too few instruments", "y ~ x1 + x2 | z1", {"vcov": "HC1"}, "DesignError", "x2"),
    ("copies of one instrument", "y ~ x1 + x2 | z1 + I(2 * z1)", {"vcov": "HC1"}, "DesignError", "instrument"),
    ("no more rows than coefficients", "y ~ x1 + factor(t):factor(unit) | z1 + factor(t):factor(unit)", {"vcov": "HC1"},
     "DesignError", "60"),
    ("one cluster", "y ~ x1 | z1", {"vcov": "cluster(one)"}, "DataError", "single cluster"),
    ("missing cluster", "y ~ x1 | z1", {"vcov": "cluster(gaps)"}, "DataError", "gaps"),
    ("infinite value", "y ~ x1 + infinite | infinite + z1", {"vcov": "HC1"}, "DataError", "infinite"),
    ("date as regressor", "y ~ x1 + day | day + z1", {"vcov": "HC1"}, "DataError", "day"),
    ("unknown column", "y ~ x1 + nothing | nothing + z1", {"vcov": "HC1"}, "DataError", "nothing"),
    ("unsorted panel", "y ~ x1 | z1", {"vcov": "pc(t, unit)"}, "DataError", "sorted"),
    ("repeated unit and period", "y ~ x1 | z1", {"vcov": "dk(g, h, aggregate=False)"}, "DataError", "repeat"),
    ("negative weights", "y ~ x1 | z1", {"vcov": "HC1", "weights": "o"}, "DataError", "negative"),
    ("no vcov", "y ~ x1 | z1", {}, "UnsupportedError", "no vcov"),
    ("collinear scores", "y ~ x1 + ns(p, df = 4) + bs(log(p), df = 4) | ns(p, df = 4) + bs(log(p), df = 4) + z1",
     {"vcov": "nw(2)"}, "DesignError", "prewhite"),
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "formula", "options", "kind", "word"), IMPOSSIBLE, ids=[case[0] for case in IMPOSSIBLE]
)
def test_impossible_questions_get_one_answer(
    name: str, formula: str, options: dict[str, object], kind: str, word: str
) -> None:
    errors = _errors(formula, options)
    assert {error[0] for error in errors.values()} == {kind}
    assert len({error[1] for error in errors.values()}) == 1, "engines word it differently"
    assert word in errors["native"][1]


def test_aliased_columns_are_named() -> None:
    for name in ENGINES:
        estimate = ivbridge.fit("y ~ x1 + w1 + twice | w1 + twice + z1 + z2 + I(z1 + z2)", DATA, "HC1", name)
        assert estimate.seen.aliased == ("twice",)
        assert set(estimate.seen.aliased_instruments) == {"twice", "I(z1 + z2)"}
        assert "twice" in estimate.summary()


def test_sargan_counts_rank_not_columns() -> None:
    for name in ENGINES:
        test = ivbridge.fit("y ~ x1 + w1 | w1 + z1 + z2 + I(z1 + z2)", DATA, "classical", name).tests["sargan"]
        assert isinstance(test, ivbridge.Test)
        assert test.df1 == 1


def test_joint_tests_need_enough_clusters() -> None:
    for name in ENGINES:
        tests = ivbridge.fit("y ~ x1 + x2 + w1 + w2 | w1 + w2 + z1 + z2 + z3", DATA, "cluster(h)", name).tests
        assert isinstance(tests["wald"], ivbridge.NotApplicable)  # four slopes, four clusters: rank three
        assert "rank 3" in tests["wald"].reason
        assert isinstance(tests["wu_hausman"], ivbridge.Test)


def test_tests_that_do_not_apply_say_why() -> None:
    for name in ENGINES:
        exact = ivbridge.fit("y ~ x1 | z1", DATA, "HC1", name).tests
        assert isinstance(exact["sargan"], ivbridge.NotApplicable) and "identified" in exact["sargan"].reason
        plain = ivbridge.fit("y ~ x1", DATA, "HC1", name).tests
        assert isinstance(plain["wu_hausman"], ivbridge.NotApplicable) and "endogenous" in plain["wu_hausman"].reason
        drawn = ivbridge.fit("y ~ x1 | z1 + z2", DATA, "bootstrap(R=20)", name).tests
        assert isinstance(drawn["weak_instruments:x1"], ivbridge.NotApplicable)
        assert isinstance(drawn["sargan"], ivbridge.Test)


@pytest.mark.parametrize("vcov", ["classical", "HC1", "cluster(g)"])
def test_instruments_that_reproduce_the_regressor(vcov: str) -> None:
    data = DATA.assign(copy=DATA.x1)
    for name in ENGINES:
        tests = ivbridge.fit("y ~ x1 + w1 | w1 + copy", data, vcov, name).tests
        assert tests["wu_hausman"] == ivbridge.NotApplicable("Wu-Hausman", NOTHING_ADDED)
        assert tests["weak_instruments:x1"] == ivbridge.NotApplicable("Weak instruments", PERFECT_FIT)


def test_zero_weights_are_left_out_and_counted() -> None:
    zero = int((DATA.wt_zero == 0).sum())
    for name in ENGINES:
        estimate = ivbridge.fit("y ~ x1 + w1 | w1 + z1 + z2", DATA, "HC1", name, weights="wt_zero")
        without = ivbridge.fit("y ~ x1 + w1 | w1 + z1 + z2", DATA[DATA.wt_zero > 0], "HC1", name, weights="wt_zero")
        assert estimate.n == len(DATA) - zero == without.n
        np.testing.assert_allclose(estimate.coefs.std_error, without.coefs.std_error, rtol=1e-11)


def test_json_of_an_agreement_has_what_scripts_need() -> None:
    agreement = ivbridge.crosscheck("y ~ x1 | z1", DATA, ["HC1"])
    plain = json.loads(agreement.to_json())
    assert {"verdict", "digits", "n", "engines", "comparisons"} <= set(plain)
    assert plain["engines"] == ["r", "native"]
    assert len(plain["comparisons"]) == len(agreement.gaps) > 20
    row = plain["comparisons"][0]
    assert {"vcov", "quantity", "term", "reference", "candidate", "digits", "ok"} <= set(row)


def test_progress_counts_every_fit() -> None:
    seen: list[tuple[int, int]] = []
    ivbridge.crosscheck(
        "y ~ x1 | z1", DATA, ["HC0", "HC1"], progress=lambda done, total, what: seen.append((done, total))
    )
    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_wrong_arguments() -> None:
    with pytest.raises(ivbridge.UnsupportedError, match="two engines"):
        ivbridge.crosscheck("y ~ x1 | z1", DATA, ["HC1"], engines=("r",))
    with pytest.raises(ivbridge.UnsupportedError, match="native, r"):
        ivbridge.fit("y ~ x1 | z1", DATA, "HC1", "stata")
    with pytest.raises(ivbridge.UnsupportedError, match="HC9"):
        ivbridge.fit("y ~ x1 | z1", DATA, "HC9")
    with pytest.raises(ivbridge.DataError, match="DataFrame"):
        ivbridge.fit("y ~ x1 | z1", [1.0], "HC1")
    with pytest.raises(ivbridge.DataError, match="shape"):
        ivbridge.fit("y ~ x1 | z1", DATA, "HC1", weights=np.ones(3))


@pytest.mark.filterwarnings("error")
def test_a_negative_variance_is_compared_without_a_warning_of_numpy() -> None:
    right = ivbridge.fit("y ~ x1 | z1", frame(), "HC1")
    wrong = dataclasses.replace(right, cov=2 * right.cov)
    assert "√" not in ivbridge.agree(dataclasses.replace(right, cov=-right.cov), wrong).reason
    assert ivbridge.agree(right, wrong).verdict == "substantive"


def test_row_order_and_labels_do_not_matter() -> None:
    shuffled = DATA.sample(frac=1, random_state=1)
    shuffled.index = pd.Index([f"row {i}" for i in range(len(shuffled))])
    for name in ENGINES:
        one = ivbridge.fit(RICH.formula, DATA, "cluster(g, h)", name)
        two = ivbridge.fit(RICH.formula, shuffled, "cluster(g, h)", name)
        # sums in another order: a few u·√n of condition number 10²
        np.testing.assert_allclose(one.coefs.std_error, two.coefs.std_error, rtol=1e-11)
