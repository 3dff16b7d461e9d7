"""What the sentinel found: numbers that moved, and the likely reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from ivbridge import serial

__all__ = ["Drift", "Moved", "Reason"]


@dataclass(frozen=True, slots=True)
class Moved:
    """One number that two versions answer differently, by more than rounding explains.

    Attributes
    ----------
    question, data, vcov : str
    quantity, term : str
        As a :class:`~ivbridge.gaps.Gap` names them.
    before, after : float
        NaN where that version has no such number.
    digits : float
        In which they agree.
    r : float
        R's recorded answer; NaN where R has no such number or answers in another form.
    before_ok, after_ok : bool or None
        Whether it equals R's answer to rounding; None where that cannot be said.
    """

    question: str
    data: str
    vcov: str
    quantity: str
    term: str
    before: float
    after: float
    digits: float
    r: float
    before_ok: bool | None
    after_ok: bool | None

    @property
    def label(self) -> str:
        """``test statistic of wu_hausman``."""
        return f"{self.quantity} of {self.term}" if self.term else self.quantity


@dataclass(frozen=True, slots=True)
class Reason:
    """Why numbers moved.

    Attributes
    ----------
    numbers : tuple of str
        Their labels.
    functions : tuple of str
        Functions of the package; with `proved` the one that, put back, gives the old numbers again, otherwise all that
        changed and ran.
    proved : bool
    convention : str
        The explainer's sentence about the two versions; empty where it has none.
    """

    numbers: tuple[str, ...]
    functions: tuple[str, ...]
    proved: bool
    convention: str = ""


@dataclass(frozen=True, slots=True)
class Drift:
    """What changed from one version of a package to the next.

    Attributes
    ----------
    package, engine : str
    before, after : str
        The versions.
    reference : str
        Where R's answers come from.
    compared : int
        Numbers that both versions were asked for.
    questions : int
        Questions with a vcov that were compared.
    moved : tuple of Moved
    reasons : tuple of Reason
    skipped : mapping of str to str
        Questions that were not compared, and why.
    """

    package: str
    engine: str
    before: str
    after: str
    reference: str
    compared: int
    questions: int
    moved: tuple[Moved, ...]
    reasons: tuple[Reason, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether something was compared and nothing moved."""
        return self.compared > 0 and not self.moved

    def to_frame(self) -> pd.DataFrame:
        """One row a moved number."""
        names = Moved.__dataclass_fields__
        return pd.DataFrame([[getattr(one, name) for name in names] for one in self.moved], columns=list(names))

    def to_json(self, *, indent: int | None = None) -> str:
        """Everything, as one JSON object."""
        return serial.dumps(self, indent=indent)

    def standing(self, one: Moved) -> str:
        """Which version equals R: ``7.1 equals R, 7.0 does not``."""
        return _standing(one, self.before, self.after)

    def summary(self) -> str:
        """Text: how much was compared, every number that moved beside R's, and the reasons."""
        head = f"{self.package} {self.before} -> {self.after}: "
        if not self.compared:
            head += "nothing was compared"
        elif not self.moved:
            head += f"nothing moved; {self.compared} numbers of {self.questions} questions compared"
        else:
            head += f"{len(self.moved)} of {self.compared} numbers of {self.questions} questions moved"
        lines, last = [head], ""
        for one in self.moved:
            where = f"{one.question}, {one.vcov}, data {one.data}"
            if where != last:
                lines += ["", where]
                last = where
            values = {self.before: one.before, self.after: one.after, "R": one.r}
            shown = ", ".join(f"{name} {value:.10g}" for name, value in values.items() if not math.isnan(value))
            lines.append(f"  {one.label}: {shown}; {self.standing(one)}")
        for reason in self.reasons:
            lines += ["", *_reason_lines(reason, self)]
        lines += [f"not compared: {what}: {why}" for what, why in self.skipped.items()]
        return "\n".join(lines)


def _standing(one: Moved, before: str, after: str) -> str:
    if one.before_ok is None or one.after_ok is None:
        return "R answers in another form"
    match one.before_ok, one.after_ok:
        case True, True:
            return "both equal R to rounding"
        case False, False:
            return "neither equals R"
        case _:
            right, wrong = (before, after) if one.before_ok else (after, before)
            return f"{right} equals R, {wrong} does not"


def _reason_lines(reason: Reason, drift: Drift) -> list[str]:
    lines = [f"likely reason ({_named(reason.numbers)}):"]
    if reason.proved:
        lines.append(
            f"  {' and '.join(reason.functions)} changed: with its text of {drift.before} put back, {drift.after} "
            "answers as before"
        )
    elif reason.functions:
        lines.append(f"  code that ran and changed: {', '.join(reason.functions)}")
    if reason.convention:
        lines.append(f"  {reason.convention}")
    if len(lines) == 1:
        lines.append("  none was found")
    return lines


def _named(labels: tuple[str, ...]) -> str:
    """Labels in one line; of a quantity with more than two terms the first and how many more."""
    terms: dict[str, list[str]] = {}
    for label in labels:
        quantity, _, term = label.partition(" of ")
        terms.setdefault(quantity, []).append(term)
    parts = []
    for quantity, found in terms.items():
        more = f" and {len(found) - 1} more" if len(found) > 2 else ""
        shown = ", ".join(found if not more else found[:1])
        parts.append(f"{quantity} of {shown}{more}" if shown else quantity)
    return "; ".join(parts)
