"""Every bad input gets the right answer from both engines, or the same clear error from both and from the check."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from tests.bad_data_base import Case
from tests.bad_data_cases import CASES, ENGINES, measured, run
from tests.bad_data_selection import CHOICES, Choice, chosen

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reliability" / "bad_data.csv"


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


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: f"{choice.verb}: {choice.name}")
def test_the_verbs_that_choose_instruments_say_the_same_with_both_engines(choice: Choice) -> None:
    first, second = (chosen(choice, choice.data(), engine) for engine in ENGINES)
    assert first[0] == second[0]
    if choice.error:
        assert first == second
        assert first[0] == choice.error, first
        assert re.search(choice.words, str(first[1])), first
        return
    assert choice.same is not None
    plain = chosen(choice, choice.same(), "r")
    assert first[0] == plain[0] != ()
    # the effect comes from the same instruments and data, whose units or copies cost a few last bits
    assert [first[1], second[1]] == pytest.approx([plain[1], plain[1]], rel=1e-12)


def test_the_page_lists_every_input_with_its_outcome() -> None:
    found = pd.read_csv(PAGE, keep_default_na=False)
    wanted = [(case.group, case.name, case.error or "answer", case.words) for case in CASES]
    wanted += [(choice.verb, choice.name, choice.error or "answer", choice.words) for choice in CHOICES]
    assert list(zip(found["group"], found["input"], found["outcome"], strict=True)) == [row[:3] for row in wanted]
    for says, (_, name, _, words) in zip(found["says"], wanted, strict=True):
        assert re.search(words, says), f"{name}: run python docs/make_reliability.py bad_data"
