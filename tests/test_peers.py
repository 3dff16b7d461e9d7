"""Peer engines agree with the native one on everything that they answer, or differ for a reason that is known."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

import ivbridge
from ivbridge.api import design_for
from ivbridge.compare import agree
from ivbridge.engines import PEERS, Available, Supported, Unavailable, engine
from ivbridge.engines.peers.base import peer_worker
from ivbridge.engines.peers.reported import Plain, plain_columns
from ivbridge.errors import EngineError, UnsupportedError
from ivbridge.gaps import flatten, is_lacking
from ivbridge.results import Estimate
from ivbridge.vote import vote
from tests.cases import CASES, VCOVS, Case, frame

DATA = frame()
#: Debian and PyPI have these; `make setup` installs them.
HERE = ("estimatr", "gmm", "ivmodels", "linearmodels", "pyfixest", "statsmodels", "systemfit")
ELSEWHERE = tuple(sorted(set(PEERS) - set(HERE)))
QUICK = ("weighted least squares", "missing weights", "strings")
FEW = ("classical", "HC1", "cluster(g, type=HC1)", "cluster(g, h, type=HC1)", "nw(2, prewhite=0)")
RICH = "y ~ x1 + w1 | w1 + z1 + z2"

#: HC2 and HC3 of these packages have other leverages than AER's: its own reason and who names it.
SECOND_STAGE = "the leverages are those of the second stage"
WEIGHTED = "leverages"
#: (peer, case or None for all, vcovs): part of the reason.
KNOWN = {
    ("estimatr", None, ("HC2", "HC3")): SECOND_STAGE,
    ("estimatr", "weighted least squares", ("HC2", "HC3")): WEIGHTED,
    ("statsmodels", "weighted least squares", ("HC2", "HC3")): WEIGHTED,
}
#: Normal equations of columns as they are: the digits that they lose are more than a QR decomposition would.
NORMAL_EQUATIONS = {("pyfixest", "badly scaled"), ("pyfixest", "nearly collinear"), ("estimatr", "nearly collinear")}


def test_peers_are_available_or_say_how_to_get_them() -> None:
    assert {name: engine(name).available() for name in HERE} == {name: Available() for name in HERE}
    for name in ELSEWHERE:
        found = engine(name).available()
        assert isinstance(found, Available) or (name in found.cause and "install" in found.do)


def test_packages_with_a_class_of_the_same_name_never_meet() -> None:
    engine("estimatr").available()
    assert "AER" not in peer_worker().call("ivb_provenance").value["loaded"]


def answered(name: str, case: Case, vcovs: Sequence[str] = VCOVS) -> list[str]:
    """The vcovs that the peer supports for a question."""
    options = {key: value for key, value in case.options.items() if key != "inference"}
    specs = {v: ivbridge.IVSpec.from_formula(case.formula, vcov=v, **options) for v in vcovs}
    return [v for v, spec in specs.items() if engine(name).supports(spec) == Supported()]


def known(name: str, case: Case, vcov: str) -> str:
    """Part of the reason for which the peer differs; empty where it agrees."""
    own = {vcovs: reason for (peer, only, vcovs), reason in KNOWN.items() if peer == name and only == case.name}
    if name == "linearmodels" and "- 1" in case.formula:
        own[VCOVS] = "Sargan"  # its R² is not centred without an intercept
    general = {vcovs: reason for (peer, only, vcovs), reason in KNOWN.items() if peer == name and only is None}
    return next((reason for vcovs, reason in {**general, **own}.items() if vcov in vcovs), "")


def check(name: str, case: Case, vcovs: Sequence[str] = VCOVS) -> int:
    """Compare the peer under everything that it supports; how many comparisons there were."""
    asked = answered(name, case, vcovs)
    columns = design_for(case.formula, DATA, ["HC1"], case.options.get("weights"), method=case.options.get("method"))
    if name == "pyfixest" and len(columns.endog_names) > 1:
        return 0  # one endogenous term with several columns
    if (name, case.name) == ("gmm", "nothing exogenous"):
        asked = ["classical"]  # its vcov() fails for a single column
    if (name, case.name) in (("gmm", "badly scaled"), ("linearmodels", "badly scaled")):
        with pytest.raises(EngineError, match=r"singular|full column rank"):  # they take the columns as they are
            ivbridge.crosscheck(case.formula, DATA, ["classical"], ("native", name))
        return 1
    found = ivbridge.crosscheck(case.formula, DATA, asked, ("native", name), **case.options) if asked else None
    for comparison in found.comparisons if found else ():
        assert {"estimate", "statistic"} <= {gap.quantity for gap in comparison.gaps}
        if (name, case.name) in NORMAL_EQUATIONS or comparison.verdict in ("identical", "rounding"):
            continue
        reason = known(name, case, comparison.vcov)
        apart = [gap for gap in comparison.gaps if not gap.ok]
        if reason == "Sargan" and all("r.squared" in gap.quantity or gap.term == "sargan" for gap in apart):
            continue  # R² of the model and of its first stages, too, is centred by another rule; nothing else differs
        assert reason, (comparison.vcov, comparison.reason)
        assert comparison.verdict == "convention" and reason in comparison.reason, (comparison.vcov, comparison.reason)
    return len(asked)


@pytest.mark.parametrize("case", [case for case in CASES if case.name in QUICK], ids=lambda case: case.name)
def test_questions(case: Case) -> None:
    assert sum(check(name, case, FEW) for name in HERE) >= len(HERE) - 4


@pytest.mark.slow
@pytest.mark.parametrize("name", HERE)
def test_every_question(name: str) -> None:
    assert sum(check(name, case) for case in CASES) > 20


@pytest.mark.parametrize("method", ["liml", "fuller(1)"])
def test_the_k_class(method: str) -> None:
    for vcov in ("classical", "HC1"):
        found = ivbridge.crosscheck(RICH, DATA, [vcov], ("native", "ivmodels"), method=method, inference="z")
        assert found.verdict == "rounding", found.reason
        assert {"kappa", "estimate", "statistic"} <= {gap.quantity for gap in found.gaps}


@pytest.mark.parametrize("name", HERE)
def test_what_is_missing_is_declared(name: str) -> None:
    answer = ivbridge.fit(RICH, DATA, "classical", name)
    for key, value in flatten(answer).items():
        assert is_lacking(key, answer.lacks) or np.isfinite(value).all(), key
    assert all(reason for reason in answer.lacks.values())
    assert answer.provenance.versions and (answer.provenance.calls or name == "linearmodels")
    answer.summary(), answer.tidy(), answer.glance(), answer.diagnostics()
    assert ivbridge.Estimate.from_json(answer.to_json()).lacks == answer.lacks


def test_p_values_of_another_distribution_are_left_out() -> None:
    normal = ivbridge.fit(RICH, DATA, "classical", "gmm", inference="z")
    assert np.isfinite(normal.coefs.p_value).all()
    student = ivbridge.fit(RICH, DATA, "classical", "gmm")
    assert student.lacks["p.value"] == "gmm takes the normal distribution here"
    assert np.isnan(student.coefs.p_value).all()
    clusters = ivbridge.fit(RICH, DATA, "cluster(g, type=HC1)", "estimatr")
    assert clusters.lacks["conf.low"] == "estimatr takes 5 degrees of freedom here"
    asked = ivbridge.crosscheck(RICH, DATA, ["cluster(g, type=HC1)"], ("native", "estimatr"), inference="t(5)")
    assert asked.ok and {"p.value", "conf.low"} <= {gap.quantity for gap in asked.gaps}


def test_names_that_other_languages_keep_for_themselves() -> None:
    odd = {"x1": "if", "w1": "a b", "z1": "`q`", "z2": 'say "x"; system("false")'}
    data = DATA.rename(columns=odd)
    quoted = "y ~ `if` + `a b` | `a b` + z3 + x2"
    for name in HERE:
        one = ivbridge.fit(quoted, data, "classical", name)
        two = ivbridge.fit("y ~ x1 + w1 | w1 + z3 + x2", DATA, "classical", name)
        np.testing.assert_array_equal(one.coefs.estimate, two.coefs.estimate)
        assert set(one.terms) == {"(Intercept)", "`if`", "`a b`"}


def test_columns_get_plain_names_once() -> None:
    design = design_for("y ~ x1 + log(p) + I(w1) | log(p) + I(w1) + z1", DATA.assign(v1=1.0), ["HC1"])
    plain = plain_columns(design, ivbridge.engines.native.seen_of(design))
    assert isinstance(plain, Plain) and plain.exog == ("v1", "v2") and plain.endog == ("x1",)
    assert [plain.terms[name] for name in plain.exog] == ["log(p)", "I(w1)"]


def test_a_question_that_a_peer_cannot_answer() -> None:
    with pytest.raises(UnsupportedError, match="statsmodels cannot answer with HC1: statsmodels has no HC1"):
        ivbridge.fit(RICH, DATA, "HC1", "statsmodels")
    with pytest.raises(UnsupportedError, match="statsmodels has no HC1"):
        ivbridge.crosscheck(RICH, DATA, ["classical", "HC1"], ("native", "statsmodels"))
    found = ivbridge.crosscheck(RICH, DATA, engines=("native", "statsmodels"))
    assert [c.vcov for c in found.comparisons] == ["classical"]
    assert found.unanswered["statsmodels, HC3"] == "statsmodels has no HC3 for IV2SLS"
    assert "statsmodels, HC3: not answered" in found.summary()


# ---- the vote ----------------------------------------------------------------------------------------------------


def estimates(*names: str, vcov: str = "HC1") -> list[Estimate]:
    return [ivbridge.fit(RICH, DATA, vcov, name) for name in names]


def changed(answer: Estimate, factor: float) -> Estimate:
    error = answer.coefs.std_error * np.array([1.0, factor, 1.0])
    return dataclasses.replace(answer, coefs=dataclasses.replace(answer.coefs, std_error=error))


def test_nobody_stands_alone() -> None:
    found = ivbridge.crosscheck(RICH, DATA, ["classical"], ("r", "native", *HERE))
    (result,) = found.votes
    assert result.engines == ("r", "native", *HERE) and result.majority == result.engines
    assert result.outliers == () and result.undecided == {} and result.numbers > 60
    assert str(result) == f"9 engines voted on {result.numbers} numbers: no outlier"
    assert str(result) in found.summary()


@pytest.mark.parametrize("liar", [0, 1, 2])
def test_one_part_in_a_million_is_outvoted(liar: int) -> None:
    answers = estimates("native", "pyfixest", "estimatr")
    answers[liar] = changed(answers[liar], 1 + 1e-6)
    result = vote([agree(answers[0], other) for other in answers[1:]])
    assert result is not None
    (outlier,) = result.outliers
    assert outlier.engine == answers[liar].engine and outlier.outvoted == 1
    assert outlier.worst is not None and outlier.worst.quantity == "std.error"
    assert outlier.convention == "" and "no known convention" in str(outlier)


def test_the_outlier_is_named_with_its_convention() -> None:
    answers = estimates("native", "pyfixest", "estimatr")
    other = ivbridge.fit(RICH, DATA, "HC0", "native")
    renamed = dataclasses.replace(other, engine="mine", spec=answers[0].spec)
    result = vote([agree(answers[0], one) for one in (*answers[1:], renamed)])
    assert result is not None
    (outlier,) = result.outliers
    assert outlier.engine == "mine" and outlier.convention and outlier.outvoted > 10
    assert result.majority == ("native", "pyfixest", "estimatr")


def test_two_against_two_is_no_majority() -> None:
    answers = estimates("native", "pyfixest", "estimatr", "linearmodels")
    answers[2:] = [changed(answer, 1.01) for answer in answers[2:]]
    result = vote([agree(answers[0], other) for other in answers[1:]])
    assert result is not None and result.outliers == ()
    ((label, camps),) = result.undecided.items()
    assert label.startswith("std.error") and camps == (("native", "pyfixest"), ("estimatr", "linearmodels"))
    assert "no majority" in str(result)


def test_an_engine_with_other_rows_stands_alone() -> None:
    answers = estimates("native", "pyfixest")
    short = dataclasses.replace(ivbridge.fit(RICH, DATA.iloc[:-1], "HC1"), engine="mine")
    result = vote([agree(answers[0], other) for other in (answers[1], short)])
    assert result is not None
    (outlier,) = result.outliers
    assert outlier.engine == "mine" and outlier.worst is None and "rows" in outlier.reason


def test_leverages_of_the_second_stage() -> None:
    found = ivbridge.crosscheck(RICH, DATA, ["HC3"], ("r", "native", "estimatr", "gmm"))
    (result,) = found.votes
    (outlier,) = result.outliers
    assert outlier.engine == "estimatr" and SECOND_STAGE in outlier.convention
    assert found.unanswered == {"gmm, HC3": "gmm has no HC3"}
    assert found.verdict == "convention" or not found.ok
    assert math.isclose(outlier.worst.digits, min(gap.digits for gap in found.gaps))  # type: ignore[union-attr]


def test_fewer_than_three_do_not_vote() -> None:
    assert ivbridge.crosscheck(RICH, DATA, ["HC1"]).votes == ()


def test_absent_packages_are_named_with_their_command(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    found = engine("pyfixest").available()
    assert isinstance(found, Unavailable) and 'pip install "ivbridge[peers]"' in found.do
    with pytest.raises(ivbridge.MissingExtraError, match="pip install"):
        ivbridge.fit(RICH, DATA, "HC1", "pyfixest")


def test_terms_that_do_not_match_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from ivbridge.engines.peers.statsmodels import StatsmodelsEngine

    right = StatsmodelsEngine.report

    def wrong(self: StatsmodelsEngine, *arguments: object) -> object:
        reported = right(self, *arguments)  # type: ignore[arg-type]
        return dataclasses.replace(reported, terms=["(Intercept)", "x1", "other"])

    monkeypatch.setattr(StatsmodelsEngine, "report", wrong)
    with pytest.raises(EngineError, match="other"):
        ivbridge.fit(RICH, DATA, "classical", "statsmodels")


def test_frames_of_any_index() -> None:
    shuffled = DATA.set_index(pd.Index([f"row {i}" for i in range(len(DATA))]))
    for name in HERE:
        one, two = (ivbridge.fit(RICH, data, "classical", name) for data in (DATA, shuffled))
        np.testing.assert_array_equal(one.coefs.estimate, two.coefs.estimate)
