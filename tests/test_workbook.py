"""The notebook again: every printed number has its row, and a verdict that can be lost."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ivbridge.audit.catalogue import catalogue
from ivbridge.audit.checking import audit
from ivbridge.causal.scenarios import notebook
from ivbridge.workbook import corrected, in_r, mechanisms, printed, rows, today
from ivbridge.workbook.analysis import Workbook
from ivbridge.workbook.faults import faults

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


#: Measured before with R (lm, sandwich, MatchIt by distance, estimating equations by hand) and numpy; as many digits as
#: were written down.
KNOWN = {
    "ATT by matching on the converged score": "13.842546517",
    "correlation of the hidden column with age": "1.000000",
    "twice the difference in mean standardised age": "-0.4163",
    "both stages at once (truth 0)": "0.2548 (0.196622)",
    "standard error by hand, if the effect were 10": "0.1825",
    "and both stages at once": "0.1650",
    "the treatment itself with this instrument": "20.5 (15.9)",
    "root mean square error of the notebook's way": "7.74",
    "and of abduction": "0.064",
    "with its standard error": "7.79 (8.60)",
    "adjusted for the covariates": "0.124 (0.168)",
    "50 strata of income": "10.73",
    "regression on all covariates": "10.0641 (0.220899)",
    "share of units with the lowest chance of treatment": "0.54",
    "and how many of them are treated": "0.022",
    "largest inverse probability weight": "131",
    "effective number of the 646 treated units": "218",
    "inverse probability weights": "-68.91 (30.9)",
    "doubly robust, the same scores": "10.076",
    "of the standardised columns": "3.2",
}


def test_the_corrections_are_those_that_r_gives(steps: today.Steps) -> None:
    bench = corrected._Bench(steps, 1)
    parts = (
        corrected._matching, corrected._hidden, corrected._instrument, corrected._imagined, corrected._placebo,
        corrected._strata, corrected._overlap, corrected._errors,
    )  # fmt: skip
    found = {one.what: one for part in parts for one in part(bench)}
    assert set(KNOWN) <= set(found)
    for what, text in KNOWN.items():
        value, _, error = text.removesuffix(")").partition(" (")
        assert printed.rounds_to(value, found[what].value), (what, found[what].value)
        assert not error or printed.rounds_to(error, found[what].std_error), (what, found[what].std_error)


def test_strata_are_averaged_as_they_should_be(steps: today.Steps) -> None:
    found = list(corrected._strata(corrected._Bench(steps, 1)))
    assert [f"{one.value:.2f} ({one.std_error:.2f})" for one in found[:2]] == ["16.03 (11.64)", "274.50 (13.08)"]


def test_corrections_of_one_number_are_joined_and_belong_to_printed_numbers(steps: today.Steps) -> None:
    bench = corrected._Bench(steps, 1)
    found = tuple(one for part in (corrected._hidden, corrected._strata) for one in part(bench))
    texts = corrected.texts(found)
    assert set(texts) <= {one.key for one in printed.printed()}
    fault, text = texts[("by-income", "0", "diff")]
    assert (fault, text.count(";")) == (9, 1)
    assert "averaged over both strata of income: 16.03 (11.64)" in text
    assert "regression on all covariates: 10.06 (0.2209)" in text


def test_every_fault_is_one_that_the_audit_finds_in_the_notebook_and_not_in_its_corrected_twin() -> None:
    known, data = catalogue(), Path(__file__).parent / "data"
    faulty = {one.check.id for one in audit(data / "workbook_faulty.ipynb").findings}
    mended = {one.check.id for one in audit(data / "workbook_corrected.ipynb").findings}
    assert [fault.number for fault in faults()] == list(range(1, 13))
    for fault in faults():
        assert set(fault.checks) <= set(known), fault.number
        assert set(fault.checks) & faulty, fault.number
        assert not set(fault.checks) & mended, fault.number
        assert set(fault.cells) <= set(range(30, 51)), fault.number


def test_what_was_measured_of_a_fault_can_be_lost(steps: today.Steps, reasons: rows.Reasons) -> None:
    found = rows.rows(steps.numbers, None, reasons, {})
    agreement = pd.DataFrame([{"method": "aipw", "verdict": "rounding", "digits": 13.0, "worst": "estimate"}])
    book = Workbook(steps, found, (), reasons, agreement)
    assert book.ok is all(row.verdict != "unexplained" for row in found)
    right = tuple(dataclasses.replace(row, verdict="reproduced") for row in found)
    assert Workbook(steps, right, (), reasons, agreement).ok
    assert not Workbook(steps, right, (), reasons, agreement.assign(verdict="substantive")).ok
    wrong = (dataclasses.replace(found[0], verdict="unexplained"), *right[1:])
    assert not Workbook(steps, wrong, (), reasons, agreement).ok
    assert "R: 1 comparisons of 1 methods, 13.0 digits at worst (aipw, estimate)" in book.summary()
