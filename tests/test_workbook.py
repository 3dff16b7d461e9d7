"""The notebook again: every printed number has its row, and a verdict that can be lost."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from ivbridge.causal.scenarios import notebook
from ivbridge.workbook import in_r, mechanisms, printed, rows, today

#: Trials with moved last bits; the page has more.
TRIALS = 8


@pytest.fixture(scope="module")
def steps() -> today.Steps:
    return today.run(notebook())


@pytest.fixture(scope="module")
def reasons(steps: today.Steps) -> rows.Reasons:
    return rows.Reasons(mechanisms.stopped(steps.frame), mechanisms.last_bits(steps, TRIALS))


@pytest.mark.parametrize(
    ("text", "value", "same"),
    [
        ("10.06", 10.0641, True), ("10.06", 10.0551, True), ("10.06", 10.0549, False), ("10.06", 10.0651, False),
        ("4.652e+06", 4651501.0, True), ("4.652e+06", 4651499.0, False), ("-15122.", -15121.6, True),
        ("-15122.", -15122.7, False), ("0.000", 4e-4, True), ("0.000", 6e-4, False), ("10", 10.0, True),
        ("Sat, 26 Apr 2025", 26.0, False), ("1.0", float("nan"), False), ("1.0", float("inf"), False),
    ],
)  # fmt: skip
def test_a_number_counts_as_printed_within_half_a_unit_of_the_last_digit(text: str, value: float, same: bool) -> None:
    assert printed.rounds_to(text, value) is same


def test_the_notebook_prints_269_numbers_in_23_tables_of_16_cells() -> None:
    found = printed.printed()
    keys = [one.key for one in found]
    assert len(found) == len(set(keys)) == 269
    assert len({one.key[0] for one in found}) == 23
    assert len({one.cell for one in found}) == 16


def test_the_first_rows_are_those_of_the_notebook_to_every_printed_digit(steps: today.Steps) -> None:
    head = [one for one in printed.printed() if one.key[0] == "head"]
    assert len(head) == 35
    for one in head:
        _, row, column = one.key
        decimals = len(one.text.partition(".")[2])
        assert f"{steps.numbers['head'][row][column]:.{decimals}f}" == one.text


def test_what_does_not_come_from_forests_or_the_stopped_solver_is_reproduced(
    steps: today.Steps, reasons: rows.Reasons
) -> None:
    found = rows.rows(steps.numbers, None, reasons, {})
    elsewhere = [row for row in found if row.printed.key[0] not in ("psm", "dml", "dml-fit", "dml-effect")]
    count = Counter(row.verdict for row in elsewhere)
    # two dates, two times; of the counterfactuals one row hangs on the forest's last bits
    assert count == {"reproduced": len(elsewhere) - 5, "no result": 4, "explained": 1}


def test_a_number_that_was_printed_otherwise_is_unexplained(
    steps: today.Steps, reasons: rows.Reasons, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = tuple(
        dataclasses.replace(one, text=text)
        for one, text in zip(printed.printed()[:2], ("45.960571", "53643.604771"), strict=True)
    )
    monkeypatch.setattr(rows, "printed", lambda: wrong)
    assert [row.verdict for row in rows.rows(steps.numbers, None, reasons, {})] == ["unexplained"] * 2


def test_the_matching_of_197_50_is_a_solver_that_stopped(steps: today.Steps, reasons: rows.Reasons) -> None:
    # measured with scikit-learn 1.2.2 and 1.3.2: 28 iterations, 8.68e-6 for income, 197.50
    found = reasons.stopped
    assert (found.steps, f"{found.effect:.2f}", f"{found.coef_income:.2e}") == (28, "197.50", "8.68e-06")
    assert "CONVERGENCE" in found.said
    assert f"{steps.numbers['psm']['effect']['value']:.2f}" == "7.67"


def test_last_bits_move_the_forests_as_far_as_the_printed_effect_is_from_todays(
    steps: today.Steps, reasons: rows.Reasons
) -> None:
    effects = reasons.last_bits.values(("dml-effect", "effect", "value"))
    today_is = steps.numbers["dml-effect"]["effect"]["value"]
    assert f"{today_is:.4f}" == "8.9330"  # as with scikit-learn 1.2.2 to 1.9.1
    assert len(effects) == TRIALS
    assert effects.min() < 8.9188 < effects.max()
    assert not reasons.last_bits.holds(("dml-effect", "effect", "value"), "9.20")
    assert not reasons.last_bits.holds(("naive", "naive difference", "value"), "250.53")


def test_last_bits_are_last_bits(steps: today.Steps, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(mechanisms, "double", lambda again: seen.append(again.frame["Y_obs"].to_numpy()))
    monkeypatch.setattr(mechanisms, "imagined", lambda again: None)
    mechanisms.last_bits(steps, 1)
    y = steps.frame["Y_obs"].to_numpy()
    moved = np.abs(seen[0] - y) / np.spacing(y)
    assert set(moved) == {0.0, 1.0}


def test_the_globally_seeded_forests_leave_the_global_generator_as_it_was(steps: today.Steps) -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    today.double(today.Steps(steps.draw))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_r_has_the_same_numbers(steps: today.Steps) -> None:
    """R's lm solves by QR what statsmodels solves by its pseudo-inverse, and the columns differ in size by 4e5: with
    16 digits 10 are left, 9 of them for a p-value of 7e-17, whose digits are those of its logarithm.
    """
    r = in_r.values(steps)
    compared = 0
    for one in printed.printed():
        table, row, column = one.key
        if row in ("Date", "Time", "Omnibus", "Prob(Omnibus)") or table in in_r.WITHOUT_R:
            continue
        theirs, ours = r[table][row][column], steps.numbers[table][row][column]
        assert theirs == pytest.approx(ours, rel=1e-9, abs=1e-300), one.key
        compared += 1
    assert compared == 269 - 12 - 1 - 20 - 25 - 15  # without dates and Omnibus, psm, forest, top, counterfactual


def test_a_row_says_why_r_has_no_number(steps: today.Steps, reasons: rows.Reasons) -> None:
    found = rows.rows(steps.numbers, in_r.values(steps), reasons, {})
    assert all((row.r is None) == bool(row.why_no_r) for row in found)
    frame = rows.to_frame(found)
    assert len(frame) == 269
    assert set(frame["verdict"]) <= set(rows.VERDICTS)
