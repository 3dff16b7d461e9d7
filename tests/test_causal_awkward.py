"""Questions put with awkward columns: one message that says what to do, and never an answer to another question."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ivbridge.causal import analysis
from ivbridge.causal.agreement import crosscheck
from ivbridge.causal.analysis import Analysis, Wanted, analyse
from ivbridge.causal.asked import Opened
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.methods.irm import IRM
from ivbridge.causal.methods.lin import Lin
from ivbridge.causal.methods.regression import Regression
from ivbridge.causal.methods.t_learner import TLearner
from ivbridge.causal.question import CausalQuestion, build
from ivbridge.causal.report.words import assumption
from ivbridge.causal.scenarios import TWINS
from ivbridge.errors import DataError, DesignError, RError

NAMES = {"Y_obs": "Y", "age": "X1", "income": "X2"}
FRAME = TWINS["confounded"].draw(200, 4).frame.rename(columns=NAMES)
QUESTION = CausalQuestion("Y", "T", ("X1", "X2"))


def asked(frame: pd.DataFrame, *covariates: str, **wanted: Any) -> Analysis:
    return analyse(Opened("data", frame, CausalQuestion("Y", "T", covariates)), Wanted(**wanted))


# columns


def test_truth_values_with_gaps_are_a_treatment() -> None:
    """They come from files as Python's own True, False and None."""
    treatment = FRAME["T"].astype(bool).astype(object)
    treatment[7] = None
    data = build(QUESTION, FRAME.assign(T=treatment))
    assert data.n == 199
    assert (data.t == FRAME["T"].drop(index=7)).all()


@pytest.mark.parametrize(
    ("column", "error", "words"),
    [
        (
            {"T": np.where(FRAME["T"] == 1, "yes", "no")},
            DataError,
            r"'yes'.*Do this: make it 0 and 1.*1 where it is 'yes'",
        ),
        ({"T": FRAME["T"] + 1}, DataError, "1 where it is 2"),
        ({"T": np.arange(200) % 3}, DataError, r"the values 0, 1, 2.*make it 0 and 1\."),
        ({"Y": 3.5}, DesignError, "dependent variable 'Y' does not vary"),
        ({"X1": 0}, DesignError, "'X1' does not vary.*leave it out"),
        ({"X1": "only"}, DesignError, "'X1' does not vary"),
        ({"X2": np.nan}, DesignError, "None of 200 rows is complete. 'X2' is missing in 200"),
    ],
)
def test_columns_that_cannot_serve(column: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        build(QUESTION, FRAME.assign(**column))


def test_two_columns_of_one_name() -> None:
    with pytest.raises(DataError, match="two columns 'X1'"):
        build(QUESTION, pd.concat([FRAME, FRAME[["X1"]]], axis=1))


def test_levels_are_compared_with_the_first_one_as_r_does() -> None:
    size = pd.Series(
        pd.Categorical(np.resize(["low", "high", "mid"], 200), ["none", "low", "mid", "high"], ordered=True)
    )
    data = build(CausalQuestion("Y", "T", ("size",)), FRAME.assign(size=size))
    assert data.x_names == ("sizemid", "sizehigh")
    assert (data.x[:, 1] == (size == "high")).all()


@pytest.mark.parametrize("method", [Lin(), IRM()])
def test_a_seed_below_zero(method: CausalMethod) -> None:
    with pytest.raises(DataError, match="seed=-1"):
        method.fit(QUESTION, FRAME, seed=-1)


def test_a_column_of_zeros_is_implied_by_any_other() -> None:
    data = build(QUESTION, FRAME)
    data.x[:, 0] = 0
    with pytest.raises(DesignError, match="linearly dependent"):
        Regression().fit(QUESTION, data)


def test_an_arm_whose_outcomes_are_all_alike() -> None:
    """The intercept has no variance; rounding may leave less than that."""
    frame = FRAME.assign(Y=FRAME["Y"] * FRAME["T"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Lin().fit(QUESTION, frame)
    assert found.std_error > 0
    # exact zeros, to a few roundings of outcomes of size 10
    assert found.answer.parts["coef (Intercept) std.error"] == pytest.approx(0, abs=1e-12)


def test_learners_of_covariates_that_imply_each_other_are_quiet_and_the_same() -> None:
    """What is predicted does not depend on which of two equal columns has the coefficient."""
    question = CausalQuestion("Y", "T", ("X1", "X2", "twice"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = TLearner().fit(question, FRAME.assign(twice=2 * FRAME["X1"]))
    # least squares and Newton steps to convergence, each to about 1e-10 of the outcome's spread
    assert found.estimate == pytest.approx(TLearner().fit(QUESTION, FRAME).estimate, rel=1e-8)


# the answer to the question that was put


def test_covariates_that_no_method_can_take_are_not_left_out_in_silence() -> None:
    frame = FRAME.assign(twice=2 * FRAME["X1"])
    with pytest.raises(
        DesignError, match=r"No method that adjusts for the covariates.*X1, twice are linearly dependent"
    ):
        asked(frame, "X1", "twice")


def test_the_difference_of_means_does_not_claim_to_adjust() -> None:
    found = asked(FRAME, "X1", methods=("difference",))
    assert "drawn at random: nothing is done about X1" in assumption(found)
    assert "if nothing but X1 moves both" in assumption(asked(FRAME, "X1", methods=("lin", "difference")))


def test_separation_speaks_against_what_a_regression_says() -> None:
    frame = FRAME.assign(X1=FRAME["T"] + FRAME["X1"] / 1e4)
    found = asked(frame, "X1", "X2")
    assert found.lead.method == "lin" and not found.ok
    assert any("Overlap" in one and "separate" in one for one in found.objections)


def test_a_reason_that_several_methods_have_is_told_once() -> None:
    draw = TWINS["poor-overlap"].draw(300, 1)
    found = analyse(Opened("poor", draw.frame, draw.question), Wanted())
    reasons = [one.split(": ", 1)[1] for one in found.warnings]
    assert len(reasons) == len(set(reasons)) > 0
    assert any(one.startswith("Overlap: ") for one in found.warnings)


def test_an_error_of_r_is_one_method_s_and_speaks_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    compare = analysis.crosscheck

    def broken(method: CausalMethod, *rest: Any) -> Any:
        if method.name == "lin":
            raise RError("system is computationally singular")
        return compare(method, *rest)

    monkeypatch.setattr(analysis, "crosscheck", broken)
    found = asked(FRAME, "X1", methods=("lin", "difference"), check=True)
    assert [line.agreement is None for line in found.lines] == [True, False]
    assert found.lines[0].effect is not None
    assert found.objections == (f"{found.lines[0].title}: R stops with an error: system is computationally singular",)


def test_a_covariate_may_have_the_name_of_a_number_of_the_fit() -> None:
    draw = TWINS["confounded"].draw(300, 1)
    names = {"age": "df", "income": "sigma", "prior_engagement": "estimate"}
    question = replace(draw.question, covariates=tuple(names.values()))
    found = crosscheck(Regression(), question, draw.frame.rename(columns=names))
    same = crosscheck(Regression(), draw.question, draw.frame)
    assert found.verdict == "rounding"
    assert len(found.gaps) == len(same.gaps) == 13
    assert found.candidate.answer.parts["df"] == same.candidate.answer.parts["df"]
