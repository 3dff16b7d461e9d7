"""Every bad input gets the right answer from both engines, or the same clear error from both and from the check."""

from __future__ import annotations

import re

import pytest

from tests.bad_data_base import Case
from tests.bad_data_cases import CASES, measured, run


def named(case: Case) -> str:
    return f"{case.group}: {case.name}"


def test_names_are_distinct_and_there_are_enough() -> None:
    names = [named(case) for case in CASES]
    assert len(set(names)) == len(names) >= 100


@pytest.mark.parametrize("case", CASES, ids=named)
def test_both_engines_give_the_right_answer_or_the_same_error(case: Case) -> None:
    outcome = run(case)
    assert outcome.alike, (outcome.errors, [answer.params.to_dict() for answer in outcome.answers])
    if case.error:
        kind, message = outcome.errors[0]
        assert kind == case.error, message
        assert re.search(case.words, message), message
        return
    assert not outcome.errors, outcome.errors[0]
    assert outcome.agreement is not None
    outcome.agreement.assert_ok()
    for answer in outcome.answers:
        assert measured(case, answer) >= case.digits, answer.engine
        assert any(case.note in note for note in answer.notes) or not case.note, answer.notes
