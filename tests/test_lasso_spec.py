"""The LASSO question and its matrices: what is stored, what is refused, what is left out."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from ivbridge.errors import DataError, UnsupportedError
from ivbridge.selection.design import build_lasso
from ivbridge.selection.rules import RULES, Adaptive, CrossFitted, Min, OneSE, PlugIn, Rule, Stability, parse_rule
from ivbridge.selection.spec import FoldColumn, Folds, LassoSpec, matching


def frame(n: int = 40) -> pd.DataFrame:
    random = np.random.default_rng(7)
    data = pd.DataFrame({f"z{j}": random.integers(0, 2, n) for j in range(1, 5)})
    return data.assign(
        w=random.uniform(1, 2, n),
        y=random.standard_normal(n),
        kind=np.where(random.uniform(size=n) < 0.5, "no", "yes"),
        fold=np.arange(n) % 4 + 1,
    )


NAMES = ("z1", "z2", "z3", "z4")


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("min", Min()),
        ("lambda.min", Min()),
        (" 1SE ", OneSE()),
        ("lambda.1se", OneSE()),
        ("plugin", PlugIn()),
        ("plugin(loadings=homoskedastic, c=1.5)", PlugIn("homoskedastic", 1.5)),
        ("plugin(gamma=0.05)", PlugIn(gamma=0.05)),
        ("crossfit(rule=plugin, splits=5, seed=3)", CrossFitted("plugin", 5, 3)),
        ("adaptive(power=2)", Adaptive(power=2.0)),
        ("stability(seeds=10, threshold=0.8)", Stability(seeds=10, threshold=0.8)),
    ],
)
def test_rules_are_read(text: str, rule: Rule) -> None:
    assert parse_rule(text) == rule
    assert parse_rule(str(rule)) == rule
    assert parse_rule(rule) is rule


def test_every_rule_has_a_text_form() -> None:
    for keyword, kind in RULES.items():
        assert str(kind()) == keyword
        assert parse_rule(keyword) == kind()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aic", "no selection rule 'aic'.*Available: min, 1se, plugin, crossfit"),
        ("min(seed=1)", "rule min does not take 'seed=1'.*no argument"),
        ("crossfit(2)", "does not take '2'.*rule=….*splits=…"),
        ("crossfit(splits=two)", "splits='two' is not a number"),
        ("crossfit(splits=1)", r"splits=1\. Available: 2 to 10000"),
        ("crossfit(rule=stability)", "rule='stability' is not offered.*1se, min, plugin"),
        ("adaptive(power=0)", "power=0.*above 0"),
        ("plugin(gamma=1)", "between 0 and 1"),
        ("plugin(loadings=robust)", "heteroskedastic, homoskedastic"),
        ("stability(threshold=0)", r"threshold in \(0, 1\]"),
        ("import os", "no selection rule"),
    ],
)
def test_rules_that_do_not_exist(text: str, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        parse_rule(text)


def test_the_question_is_a_value() -> None:
    spec = LassoSpec("y", list(NAMES), lambdas=[0.1, 0.5], rule="min")  # type: ignore[arg-type]
    assert spec.lambdas == (0.5, 0.1)
    assert spec.rule == Min()
    assert hash(spec) == hash(pickle.loads(pickle.dumps(spec)))
    assert (spec.measure, LassoSpec("y", NAMES, family="binomial").measure) == ("mse", "deviance")
    assert LassoSpec("y", NAMES, weights="w", folds=FoldColumn("fold")).columns == ("y", *NAMES, "fold", "w")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"candidates": ("z1", "z1", "z2")}, DataError, "named twice: z1"),
        ({"candidates": ("z1", "y")}, DataError, "also a candidate"),
        ({"candidates": ("z1",)}, UnsupportedError, "2 or more"),
        ({"alpha": 1.5}, UnsupportedError, "ridge"),
        ({"threshold": 0.0}, UnsupportedError, "threshold=0.0"),
        ({"lambdas": (1.0,)}, UnsupportedError, "two or more"),
        ({"lambdas": (1.0, -1.0)}, UnsupportedError, "not negative"),
        ({"penalty_factor": (1.0,)}, DataError, "1 entries for 4"),
        ({"penalty_factor": (0.0,) * 4}, UnsupportedError, "all zero"),
        ({"penalty_factor": (1.0, 1.0, 1.0, float("nan"))}, UnsupportedError, "finite"),
        ({"family": "poisson"}, UnsupportedError, "gaussian, binomial"),
        ({"type_measure": "auc"}, UnsupportedError, "auc.*default, mse, deviance, mae"),
        ({"rule": "plugin"}, UnsupportedError, "no point of one cross-validated path"),
    ],
)
def test_questions_that_cannot_be_asked(changes: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        LassoSpec(**{"dependent": "y", "candidates": NAMES, **changes})  # type: ignore[arg-type]


def test_folds_are_balanced_and_need_rows() -> None:
    drawn = Folds(10, seed=3).draw(97)
    assert np.bincount(drawn)[1:].tolist() == [10] * 7 + [9] * 3
    assert not np.array_equal(drawn, Folds(10, seed=4).draw(97))
    with pytest.raises(DataError, match="10 folds were asked of 9 rows"):
        Folds(10).draw(9)
    with pytest.raises(UnsupportedError, match="3 or more"):
        Folds(2)


def test_patterns_follow_the_order_of_the_data() -> None:
    columns = ("b", "test_2", "test_1", "a", "Test_3")
    assert matching(("a", "test_*"), columns) == ("test_2", "test_1", "a")
    assert matching("b", columns) == ("b",)
    assert matching("M[1]", ("M1", "M[1]")) == ("M[1]",)  # a name that exists is never a pattern
    with pytest.raises(DataError, match=r"No column matches 'exp_\*'"):
        matching("exp_*", columns)


def test_zero_one_columns_stay_small() -> None:
    data = frame()
    design = build_lasso(LassoSpec("y", NAMES), data)
    assert design.x.dtype == np.int8 and design.x.flags.f_contiguous
    assert np.array_equal(design.dense, data[list(NAMES)].to_numpy(dtype=float))
    wider = build_lasso(LassoSpec("y", (*NAMES, "w")), data)
    assert wider.x.dtype == np.float64
    assert build_lasso(LassoSpec("y", NAMES), data.replace({"z1": {1: 2}})).x.dtype == np.float64


def test_sparse_columns_stay_sparse() -> None:
    data = frame()
    thin = data.astype({name: pd.SparseDtype(float, 0.0) for name in NAMES})
    design, same = build_lasso(LassoSpec("y", NAMES), thin), build_lasso(LassoSpec("y", NAMES), data)
    assert sparse.issparse(design.x)
    assert np.array_equal(design.dense, same.dense)


def test_incomplete_rows_are_left_out_and_said() -> None:
    data = frame().astype({"z2": float})
    data.loc[[3, 5], "z2"] = np.nan
    data.loc[[5, 9], "w"] = np.nan
    design = build_lasso(LassoSpec("y", NAMES, weights="w"), data)
    assert design.n == 37 and not {3, 5, 9} & set(design.rows.tolist())
    assert design.notes == ("3 of 40 rows left out: missing values in z2, w",)
    assert len(design.foldid) == 37


def test_the_event_is_the_last_value() -> None:
    design = build_lasso(LassoSpec("kind", NAMES, family="binomial"), data := frame())
    assert design.levels == ("no", "yes")
    assert np.array_equal(design.y, (data["kind"] == "yes").astype(float))


def test_the_hash_is_of_the_numbers() -> None:
    data, spec = frame(), LassoSpec("y", NAMES)
    assert build_lasso(spec, data).sha256 == build_lasso(spec, data.copy()).sha256
    data.loc[0, "z3"] = 1 - data.loc[0, "z3"]
    assert build_lasso(spec, data).sha256 != build_lasso(spec, frame()).sha256


@pytest.mark.parametrize(
    ("spec", "change", "message"),
    [
        (LassoSpec("y", ("z1", "q")), {}, "no column 'q'.*Available: z1"),
        (LassoSpec("y", ("z1", "kind")), {}, "'kind' holds .*not numbers"),
        (LassoSpec("y", NAMES), {"z1": np.inf}, "'z1' holds infinite"),
        (LassoSpec("y", NAMES), {"y": 1.0}, "does not vary"),
        (LassoSpec("w", NAMES, family="binomial"), {}, "two values, 'w' has 40"),
        (LassoSpec("y", NAMES, weights="w"), {"w": -1.0}, "must not be negative"),
        (LassoSpec("y", NAMES, folds=FoldColumn("fold")), {"fold": 2}, "whole numbers 1 … k"),
        (LassoSpec("y", NAMES, folds=FoldColumn("fold")), {"fold": np.arange(40) % 4}, "whole numbers 1 … k"),
    ],
)
def test_data_that_cannot_answer(spec: LassoSpec, change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        build_lasso(spec, frame().assign(**change))
