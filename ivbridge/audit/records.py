"""What an audit finds: mistakes with their place, a number where there is one, the consequence and what mends it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ivbridge import serial

__all__ = ["AuditReport", "Check", "Finding", "Level"]

#: fault: a number or a claim is wrong. warning: it may be. note: good to know; no reason to fail.
Level = Literal["fault", "warning", "note"]
_ORDER = {"fault": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Check:
    """A mistake that is looked for.

    Attributes
    ----------
    id : str
        Its name: ``propensity-penalised``.
    title : str
    level : {"fault", "warning", "note"}
    looks_at : {"code", "data", "output", "code and data"}
    consequence : str
        What goes wrong.
    fix : str
        What to do instead.
    measured : str
        How much it mattered where it was measured; empty for some.
    """

    id: str
    title: str
    level: Level
    looks_at: str
    consequence: str
    fix: str
    measured: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake that was found.

    Attributes
    ----------
    check : Check
    where : str
        File, cell and line, or the columns.
    found : str
        What is there.
    numbers : mapping of str to float
    code : str
        The line of code.
    printed : str
        What the cell printed.
    cell, line : int
        For sorting; 0 for data.
    """

    check: Check
    where: str
    found: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    code: str = ""
    printed: str = ""
    cell: int = 0
    line: int = 0

    @property
    def level(self) -> Level:
        """Of its check."""
        return self.check.level

    def lines(self) -> list[str]:
        """As text for 80 columns."""
        rows = [f"{self.level.upper():<8} {self.check.title} ({self.check.id})", f"  {self.where}"]
        rows += [f"  > {self.code}"] if self.code else []
        rows += [f"  printed: {self.printed}"] if self.printed else []
        for head, text in (("found", self.found), ("so", self.check.consequence), ("do", self.check.fix)):
            rows += textwrap.wrap(
                f"{head}: {text}",
                80,
                initial_indent="  ",
                subsequent_indent="    ",
                break_long_words=False,
                break_on_hyphens=False,
            )
        return rows


@dataclass(frozen=True, slots=True)
class AuditReport:
    """All that was found in one or several files.

    Attributes
    ----------
    sources : tuple of str
    findings : tuple of Finding
        By file and place.
    looked_for : tuple of Check
        Every check that could be made.
    notes : tuple of str
        What could not be read, and checks that could not be made, with the reason.
    """

    sources: tuple[str, ...]
    findings: tuple[Finding, ...]
    looked_for: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there are notes at most."""
        return not any(one.level != "note" for one in self.findings)

    @property
    def counts(self) -> dict[str, int]:
        """How many faults, warnings and notes."""
        return {level: sum(one.level == level for one in self.findings) for level in _ORDER}

    @property
    def headline(self) -> str:
        """``3 faults, 2 warnings, 1 note``."""
        parts = [f"{n} {level}{'s' if n != 1 else ''}" for level, n in self.counts.items() if n]
        return ", ".join(parts) if parts else "nothing found"

    def of(self, check: str) -> tuple[Finding, ...]:
        """Findings of one check."""
        return tuple(one for one in self.findings if one.check.id == check)

    def summary(self) -> str:
        """Text: the worst first, then what was looked for and not found."""
        lines = [f"{', '.join(self.sources)}: {self.headline}"]
        for one in sorted(self.findings, key=lambda f: _ORDER[f.level]):
            lines += ["", *one.lines()]
        found = {one.check.id for one in self.findings}
        silent = [one.id for one in self.looked_for if one.id not in found]
        lines += (
            [
                "",
                *textwrap.wrap(
                    f"Looked for and not found ({len(silent)}): {', '.join(silent)}.", 80, break_on_hyphens=False
                ),
            ]
            if silent
            else []
        )
        for note in self.notes:
            lines += textwrap.wrap(note, 80, subsequent_indent="  ")
        return "\n".join(lines)

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON: sources, counts, findings with all that they say, notes."""
        findings = [
            {
                "check": f.check.id,
                "title": f.check.title,
                "level": f.level,
                "where": f.where,
                "found": f.found,
                "numbers": dict(f.numbers),
                "code": f.code,
                "printed": f.printed,
                "consequence": f.check.consequence,
                "fix": f.check.fix,
                "measured": f.check.measured,
            }
            for f in self.findings
        ]
        whole = {
            "sources": self.sources,
            "ok": self.ok,
            "counts": self.counts,
            "findings": findings,
            "looked_for": [one.id for one in self.looked_for],
            "notes": self.notes,
        }
        return serial.dumps(whole, indent=indent)

    def __repr__(self) -> str:
        return f"<AuditReport {', '.join(self.sources)}: {self.headline}>"
