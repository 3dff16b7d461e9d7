"""What a check of a port found: a verdict, the findings, the ledger; as text, Markdown and JSON."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivbridge.errors import DataError, DisagreementError
from ivbridge.ports.kinds import KINDS
from ivbridge.ports.records import Finding, Ledger
from ivbridge.ports.store import case_plain, write_record

__all__ = ["PortReport"]


@dataclass(frozen=True)
class PortReport:
    """The answer of `ivbridge.ports.check`.

    Attributes
    ----------
    python, r : str
        The two functions.
    ledger : Ledger
        What was tried, compared, and left out.
    findings : tuple of Finding
        Differences, each on the smallest input; the most frequent one first.
    relations : tuple of str
        What the differing numbers have in common.
    provenance : mapping
        R's version and the versions of its packages.
    asked, seconds : float
        Seconds for the cases that were drawn, and for everything.
    seed : int
        That of the draws.
    recorded : bool
        R's answers were replayed from files.
    """

    python: str
    r: str
    ledger: Ledger
    findings: tuple[Finding, ...]
    relations: tuple[str, ...]
    provenance: Mapping[str, Any]
    asked: float
    seconds: float
    seed: int
    recorded: bool = False

    @property
    def ok(self) -> bool:
        """Every case agrees, and at least one number or text was compared."""
        return self.ledger.differed == 0 and self.ledger.values > 0

    @property
    def verdict(self) -> str:
        """ "identical", "rounding", "convention", "substantive" or "not comparable"."""
        ledger = self.ledger
        if ledger.differed:
            values = all(finding.difference.what == "value" for finding in self.findings)
            return "convention" if values and len(self.relations) == len(self.findings) else "substantive"
        if not ledger.values:
            return "not comparable"
        exact = all(one.identical == one.compared for one in ledger.outputs.values())
        return "identical" if exact else "rounding"

    @property
    def reason(self) -> str:
        """The verdict in one sentence."""
        ledger = self.ledger
        if not ledger.compared and not ledger.differed:
            return "Not one case was answered by both sides: nothing was compared."
        if not ledger.values and not ledger.differed:
            return "No answer held a number or a text: nothing was compared."
        if self.ok:
            numbers = ledger.values - ledger.texts
            same = "bit for bit" if self.verdict == "identical" else "to rounding"
            what = f"{numbers} numbers" + (f" and {ledger.texts} texts" if ledger.texts else "")
            return f"{what} of {ledger.compared} cases agree {same}."
        if self.relations and self.verdict == "convention":
            return " ".join(self.relations)
        kinds = ", ".join(f"{one.difference.what} ({one.cases})" for one in self.findings)
        return f"{ledger.differed} of {ledger.tried} cases differ: {kinds}."

    def assert_ok(self) -> None:
        """Raise `DisagreementError` with the whole text unless the port agrees."""
        if not self.ok:
            raise DisagreementError(str(self))

    def __str__(self) -> str:
        return self.summary()

    def summary(self) -> str:
        """Everything as text."""
        lines = [f"{self.python} against {self.r}: {self.verdict}", self.reason]
        lines += [text for text in self.relations if text not in self.reason]
        for number, finding in enumerate(self.findings, 1):
            lines += ["", f"{number}. {finding.difference}", *([f"   {finding.note}"] if finding.note else [])]
            lines += ["", *_indented("# Python", finding.python_code), "", *_indented("# R", finding.r_code)]
        return "\n".join([*lines, "", *self.ledger_lines()])

    def ledger_lines(self) -> list[str]:
        """The ledger as text."""
        ledger = self.ledger
        declared = f", {ledger.declared} raise as declared" if ledger.declared else ""
        differ = f"{ledger.differed} differ."
        lines = [
            f"Ledger: {ledger.tried} cases tried, {ledger.compared} compared, {ledger.agreed} agree{declared}, "
            + differ
        ]
        for name, one in ledger.outputs.items():
            lines.append(
                f"  {name}: {one.compared} numbers, {one.identical} identical"
                + (f", {one.within} within the tolerance (largest relative gap {one.worst:.1e})" if one.within else "")
                + (f", {one.explained} explained by the rounding of the input" if one.explained else "")
                + (f", {one.beyond} differ (largest relative gap {one.largest:.1e})" if one.beyond else "")
            )
        lines += [f"  {count} cases with a warning of {side}" for side, count in sorted(ledger.warned.items())]
        lines += [f"  not compared: {name} ({why})" for name, why in sorted(ledger.skipped.items())]
        lines.append("  kind of input: tried, compared, differing")
        seen = [kind for kind in KINDS if ledger.kinds.get(kind, (0,))[0]]
        lines += [f"    {kind}: {', '.join(map(str, ledger.kinds[kind]))}" for kind in seen]
        if never := [kind for kind in KINDS if kind in ledger.kinds and kind not in seen]:
            lines.append(f"    never tried: {', '.join(never)}")
        return lines

    def to_markdown(self) -> str:
        """The findings and the ledger as Markdown."""
        parts = [f"**{self.verdict}**: {self.reason}", *(text for text in self.relations if text not in self.reason)]
        for number, finding in enumerate(self.findings, 1):
            what = f"{number}. {finding.difference} ({finding.cases} cases)."
            parts += [f"{what} {finding.note}".strip()]
            parts += [
                f"```python\n{finding.python_code}\n```".replace("```python", "```py"),
                f"```r\n{finding.r_code}\n```",
            ]
        parts.append("```text\n" + "\n".join(self.ledger_lines()) + "\n```")
        return "\n\n".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return {
            "format": "ivbridge-port-report/1",
            "python": self.python,
            "r": self.r,
            "ok": self.ok,
            "verdict": self.verdict,
            "reason": self.reason,
            "relations": list(self.relations),
            "findings": [
                {
                    "what": one.difference.what,
                    "in": one.difference.output,
                    "python": one.difference.python,
                    "r": one.difference.r,
                    "relative gap": None if math.isnan(one.difference.gap) else _finite(one.difference.gap),
                    "cases": one.cases,
                    "note": one.note,
                    "case": {name: _shown(value) for name, value in one.case.items()},
                    "python code": one.python_code.splitlines(),
                    "r code": one.r_code.splitlines(),
                }
                for one in self.findings
            ],
            "ledger": self.ledger.to_dict(),
            "provenance": dict(self.provenance),
            "seed": self.seed,
            "recorded": self.recorded,
        }

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=1)

    def save(self, folder: str | Path, command: str = "") -> list[Path]:
        """Record every finding: input, R's answer, both programs, versions; see `ivbridge.ports.replay`.

        Parameters
        ----------
        folder : path
            Is made if it is not there. One file each; the same finding has the same name.
        command : str, optional
            The command that finds it again.

        Returns
        -------
        list of pathlib.Path
        """
        written = []
        for finding in self.findings:
            plain = {
                **finding.answers,
                "case": {name: case_plain(value) for name, value in finding.case.items()},
                "python code": finding.python_code.splitlines(),
                "r code": finding.r_code.splitlines(),
                "provenance": dict(self.provenance),
                "date": dt.datetime.now(dt.UTC).date().isoformat(),
                "command": command,
            }
            written.append(write_record(Path(folder), self.r, plain))
        return written


def _shown(value: Any) -> Any:
    """The value as JSON, or as Python writes it where it is of a kind that files do not keep."""
    try:
        return case_plain(value)
    except DataError:
        return {"python": repr(value)}


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else "Infinity"


def _indented(title: str, text: str) -> list[str]:
    return [f"   {line}".rstrip() for line in (title, *text.splitlines())]
