"""The part "bad_data" of docs/reliability.md: every bad input and what comes of it. See docs/make_reliability.py."""

from __future__ import annotations

import html

import pandas as pd

from tests.bad_data_base import FORMULA, Case
from tests.bad_data_cases import CASES, ENGINES, measured, run
from tests.bad_data_selection import CHOICES, Choice, chosen

ANSWER = "answer"
COLUMNS = ("group", "input", "question", "outcome", "digits", "agree", "says")


def measure() -> pd.DataFrame:
    """One row an input: what both engines and the check make of it."""
    rows = [_row(case) for case in CASES] + [_choice(choice) for choice in CHOICES]
    return pd.DataFrame(rows, columns=list(COLUMNS)).round({"digits": 1, "agree": 1})


def _row(case: Case) -> dict[str, object]:
    outcome = run(case)
    assert outcome.alike, (case.group, case.name)
    options = ", ".join(f"{key}={_short(value)}" for key, value in case.options.items())
    formula = "" if case.formula == FORMULA else case.formula
    question = " · ".join(part for part in (formula, case.vcov, options) if part)
    row: dict[str, object] = {"group": case.group, "input": case.name, "question": question}
    if outcome.errors:
        kind, message = outcome.errors[0]
        return {**row, "outcome": kind, "digits": float("nan"), "agree": float("nan"), "says": message}
    digits = min(measured(case, answer) for answer in outcome.answers)
    notes = "; ".join(dict.fromkeys(note for answer in outcome.answers for note in answer.notes))
    assert outcome.agreement is not None
    assert outcome.agreement.ok, outcome.agreement.reason
    return {**row, "outcome": ANSWER, "digits": digits, "agree": outcome.agreement.digits, "says": notes}


def _choice(choice: Choice) -> dict[str, object]:
    first, second = (chosen(choice, choice.data(), engine) for engine in ENGINES)
    question = ", ".join(f"{key}={value}" for key, value in choice.arguments.items())
    row: dict[str, object] = {"group": choice.verb, "input": choice.name, "question": question, "agree": float("nan")}
    if choice.error:
        assert first == second
        return {**row, "outcome": first[0], "digits": float("nan"), "says": first[1]}
    assert first[0] == second[0]
    return {**row, "outcome": ANSWER, "digits": float("nan"), "says": f"selected: {', '.join(first[0])}"}


def _short(value: object) -> str:
    return value if isinstance(value, str) else type(value).__name__


def text(found: pd.DataFrame) -> list[str]:
    """The lines of the page."""
    answers = found[found["outcome"] == ANSWER]
    measured_ones = answers["digits"].dropna()
    errors = found["outcome"][found["outcome"] != ANSWER].value_counts()
    named = ", ".join(f"{count} `{kind}`" for kind, count in errors.items())
    lines = [
        "## Bad data",
        "",
        f"{len(found)} bad inputs, each given to both engines and, where there is one, to the check (`tests/test_bad_data.py`):",
        f"{len(answers)} get the right answer from both, {len(found) - len(answers)} the same error, word for word ({named}). None crashes, warns in",
        "passing, or is answered by one engine alone. Right means: coefficients and, where they have a rational form, standard",
        "errors against two-stage least squares in exact rational arithmetic on the floats of the input; in other units",
        "against R's answer in the first unit; everything else by the check of one engine against the other.",
        f"Of {len(measured_ones)} answers so measured, the worst number of the worse engine has {measured_ones.median():.1f} correct digits in the median,",
        f"fewer than eight in {int((measured_ones < 8).sum())}, whose data hold no more or whose covariance R computes from products of nearly",
        "collinear columns. What is nothing but rounding in an exact fit is not compared, and the answer says so.",
        "",
    ]  # fmt: skip
    for group, rows in found.groupby("group", sort=False):
        lines += [f"### {str(group).replace('_', ' ').capitalize()}", "", "| input | asked | outcome | says |", "| --- | --- | --- | --- |"]
        lines += [_line(row) for row in rows.to_dict("records")]
        lines.append("")
    return lines[:-1]


def _line(row: dict[str, object]) -> str:
    outcome = f"`{row['outcome']}`"
    if row["outcome"] == ANSWER:
        outcome = "right" if pd.isna(row["digits"]) else f"right, {row['digits']:.1f} digits"
    says = str(row["says"]).split(" Available: ")[0].split(" Do this: ")[0]
    says = says if len(says) <= 230 else says[:229] + "…"
    asked = f"<code>{_cell(row['question'])}</code>" if row["question"] else ""
    return f"| {_cell(row['input'])} | {asked} | {outcome} | {_cell(says)} |"


def _cell(value: object) -> str:
    escaped = html.escape(str(value), quote=False).replace("|", "&#124;")
    for mark in "\\`*_[]":
        escaped = escaped.replace(mark, f"&#{ord(mark)};")
    return escaped
