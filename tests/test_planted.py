"""The explainer's score on planted differences (planted.py), and that the score itself can fail."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

import ivbridge
from ivbridge.explainer.catalogue import catalogue
from ivbridge.explainer.records import Explanation, Step
from tests import planted_plain as plain
from tests import planted_run
from tests.planted import asked, conventions, conventions_of, other_covs, plan_of, substantive, substantive_of
from tests.planted_causes import TESTS, WORLDS, aer_tests, covs, inferences, questions
from tests.planted_score import TEST_KEYS, WORLD_KEYS, judge

EXPLAINER = Path(ivbridge.__file__).parent / "explainer"
#: What the issue asks for.
SHARE, SECONDS = 0.99, 1.0


@pytest.mark.slow
def test_the_set_is_large_and_every_cause_occurs_in_it() -> None:
    planted = conventions()
    labels = {label for case in planted for label in case.labels}
    wanted = {*WORLDS, *TESTS, "variances", *(name for q in questions() for name in inferences(q) if name != "t(n-k)")}
    wanted |= {name for q in questions() for name in other_covs(q) if name not in asked(q)}
    assert wanted - labels == set()
    assert len(planted) >= 500 and len(substantive()) >= 200
    assert len({case.name for case in planted}) == len(planted)
    assert sum(len(case.labels) == 2 for case in planted) >= 200
    assert len({case.question.name for case in planted}) >= 6
    assert set(WORLD_KEYS) == set(WORLDS) and set(TEST_KEYS) == set(TESTS)


@pytest.mark.parametrize("question", questions(), ids=[q.name for q in questions()])
def test_the_plain_numbers_are_the_engines_where_nothing_is_planted(question) -> None:  # type: ignore[no-untyped-def]
    fit = plain.fit(plan_of(question))
    for label in ("classical", "HC1", *asked(question)[-1:]):
        cov = covs(question)[label]
        weights = question.plan.weights
        answer = ivbridge.fit(question.formula, question.plan.frame, cov.vcov, weights=weights)
        order = [answer.terms.index(name) for name in fit.a.x_names]
        np.testing.assert_allclose(fit.b, answer.coefs.estimate[order], rtol=1e-8)
        np.testing.assert_allclose(
            np.sqrt(np.diag(cov.make(fit))), answer.coefs.std_error[order], rtol=1e-8, err_msg=label
        )
        if label == "classical":
            for (quantity, key), value in aer_tests(fit).items():
                if quantity == "test statistic":
                    assert value == pytest.approx(answer.tests[key].statistic, rel=1e-7)


@pytest.mark.parametrize("name", ["cigarettes", "kmenta", "housing", "panel gaps"])
def test_a_sample_of_the_set_is_explained(name: str) -> None:
    question = next(q for q in questions() if q.name == name)
    sample = (*conventions_of(question)[3::12], *substantive_of(question)[1::5])
    outcomes = [planted_run.outcome(case) for case in sample]
    wrong = [f"{one.judged}: {one.name}: {one.answer}" for one in outcomes if one.judged != "right"]
    assert wrong == []
    assert {one.substantive for one in outcomes} == {True, False}


@pytest.mark.slow
def test_the_whole_set_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    outcomes = planted_run.run(range(len(conventions()) + len(substantive())), workers=2)
    found = planted_run.score(outcomes)
    with capsys.disabled():
        print(json.dumps(found, indent=1))
    wrong = [f"{one.judged}: {one.name}: {one.answer}" for one in outcomes if one.judged != "right"]
    assert min(found[kind]["share"] for kind in ("conventions", "substantive")) >= SHARE, wrong  # type: ignore[index]
    kept = json.loads(planted_run.SCORE.read_text(encoding="utf-8"))
    assert {k: kept[k]["cases"] for k in ("conventions", "substantive")} == {
        k: found[k]["cases"]
        for k in ("conventions", "substantive")  # type: ignore[index]
    }, "run: python -m tests.planted_run --write"
    assert found["cpu_seconds"]["95 %"] < 2 * SECONDS, "twice the promise, for a slower machine"  # type: ignore[index]


def test_the_kept_score_keeps_the_promise() -> None:
    kept = json.loads(planted_run.SCORE.read_text(encoding="utf-8"))
    assert kept["conventions"]["cases"] >= 500 and kept["conventions"]["share"] >= SHARE
    assert kept["substantive"]["cases"] >= 200 and kept["substantive"]["share"] >= SHARE
    assert kept["cpu_seconds"]["95 %"] < SECONDS


def test_the_judge_believes_no_name_alone() -> None:
    case = next(c for q in questions() for c in conventions_of(q) if c.labels == ("HC1",) and c.vcov == "HC0")
    says = lambda *steps: Explanation("convention", tuple(Step(*step) for step in steps), "")  # noqa: E731
    assert judge(case, says(("vcov.HC1", "standard errors are HC1 instead of HC0"))) == "right"
    factor = ("factor.n_nk", "standard errors are multiplied by √(n/(n−k))")
    assert judge(case, says(factor)) == "right"
    assert judge(case, says(("factor.n_nk", "standard errors are multiplied by 1/√(n/(n−k))"))) == "wrong"
    assert judge(case, says(("vcov.HC3", "standard errors are HC3 instead of HC0"))) == "wrong"
    assert judge(case, says(factor, ("unit.sign", "log(rprice) has the opposite sign"))) == "wrong"
    assert judge(case, says(("magic.wand", "it is so"))) == "wrong"
    assert judge(case, Explanation("none", (), "")) == "missed"
    wrong = substantive_of(questions()[0])[0]
    assert judge(wrong, says(factor)) == "invented"
    assert judge(dataclasses.replace(wrong), Explanation("none", (), "")) == "right"


def test_the_catalogue_holds_every_key_that_a_step_can_have_and_no_other() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in sorted(EXPLAINER.glob("*.py")))
    said = set(re.findall(r'Step\(\s*"([a-z_]+\.[\w.]+)"', source))
    assert said, "steps are named in the code"
    assert said - set(catalogue()) == set()
    assert set(WORLD_KEYS.values()) - set(catalogue()) == set()
    for key, entry in catalogue().items():
        assert entry.title and entry.about and entry.source, key
        assert entry.stage in ("world", "covariance", "inference", "test")
