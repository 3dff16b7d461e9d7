"""Each printed number beside today's, R's and the corrected one, with a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from ivbridge.workbook.in_r import WITHOUT_R
from ivbridge.workbook.mechanisms import LastBits, Stopped
from ivbridge.workbook.printed import Key, Numbers, Printed, printed, rounds_to

__all__ = ["VERDICTS", "Reasons", "Row", "rows", "to_frame"]

#: Verdicts in words.
VERDICTS = {
    "reproduced": "today's number, rounded as it is printed, is the printed one",
    "explained": "today's number is another one, and something that makes such a difference was measured",
    "no result": "a date or a time",
    "unexplained": "today's number is another one, and nobody knows why",
}
_NO_RESULT = ("Date", "Time")
#: Numbers of a regression table that R's `lm` and its methods do not compute.
_NOT_IN_LM = ("Omnibus", "Prob(Omnibus)")


@dataclass(frozen=True, slots=True)
class Row:
    """One printed number and what became of it.

    Attributes
    ----------
    printed : Printed
    today, r : float, optional
        None where there is none; `why_no_r` then says why.
    verdict : str
        Key of :data:`VERDICTS`.
    reason : str
        Why today's number is another one; empty where it is not.
    corrected : str
        What belongs there, in words and numbers; empty where nothing is wrong with the number.
    fault : int
        Number of the fault that the correction mends; 0 for none.
    """

    printed: Printed
    today: float | None
    r: float | None
    verdict: str
    reason: str
    why_no_r: str = ""
    corrected: str = ""
    fault: int = 0


@dataclass(frozen=True, slots=True)
class Reasons:
    """What was measured about numbers that today's libraries do not give."""

    stopped: Stopped
    last_bits: LastBits

    def of(self, one: Printed) -> str:
        """Why a number is another one today; empty where nothing is known."""
        if one.key[0] == "psm" and rounds_to(one.text, self.stopped.effect):
            return (
                f"scikit-learn before 1.4 stopped the logit after {self.stopped.steps} steps and said that it had "
                f"converged; its objective and settings, put back, give {self.stopped.effect:.2f}"
            )
        return self.last_bits.sentence(one.key) if self.last_bits.holds(one.key, one.text) else ""


def rows(
    today: Numbers, r: Numbers | None, reasons: Reasons, corrected: Mapping[Key, tuple[int, str]]
) -> tuple[Row, ...]:
    """Judge every printed number.

    Parameters
    ----------
    today : mapping
        Values by table, row and column.
    r : mapping, optional
        R's; None where R was not asked.
    reasons : Reasons
    corrected : mapping of key to (fault, text)
    """
    return tuple(_row(one, today, r, reasons, corrected) for one in printed())


def _row(
    one: Printed, today: Numbers, r: Numbers | None, reasons: Reasons, corrected: Mapping[Key, tuple[int, str]]
) -> Row:
    value, theirs = _value(today, one.key), _value(r or {}, one.key)
    fault, text = corrected.get(one.key, (0, ""))
    why_no_r = "" if theirs is not None else _why_no_r(one.key, asked=r is not None)
    if one.key[1] in _NO_RESULT:
        return Row(one, None, None, "no result", "", why_no_r)
    if value is not None and rounds_to(one.text, value):
        return Row(one, value, theirs, "reproduced", "", why_no_r, text, fault)
    reason = reasons.of(one)
    return Row(one, value, theirs, "explained" if reason else "unexplained", reason, why_no_r, text, fault)


def _value(numbers: Numbers, key: Key) -> float | None:
    return numbers.get(key[0], {}).get(key[1], {}).get(key[2])


def _why_no_r(key: Key, *, asked: bool) -> str:
    if key[1] in _NO_RESULT:
        return "a date or a time"
    if key[1] in _NOT_IN_LM:
        return "R's lm has no such test"
    return WITHOUT_R.get(key[0], "" if asked else "R was not asked")


def to_frame(found: tuple[Row, ...]) -> pd.DataFrame:
    """One line for each printed number."""
    lines = []
    for row in found:
        table, name, column = row.printed.key
        line = {"cell": row.printed.cell, "table": table, "row": name, "column": column, "printed": row.printed.text}
        line |= {"today": row.today, "r": row.r, "corrected": row.corrected, "fault": row.fault}
        lines.append(line | {"verdict": row.verdict, "reason": row.reason, "why_no_r": row.why_no_r})
    return pd.DataFrame(lines)
