"""What the sentinel found: numbers that moved, and the likely reasons."""

from __future__ import annotations

import math
from collections import Counter
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
    conventions : tuple of str
        The explainer's sentences about the two versions.
    """

    numbers: tuple[str, ...]
    functions: tuple[str, ...]
    proved: bool
    conventions: tuple[str, ...] = ()


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

    def summary(self, *, most: int = 60) -> str:
        """Text: how much was compared, the likely reasons, the numbers that moved beside R's, what was not compared.

        Parameters
        ----------
        most : int, default 60
            Numbers to show, those that moved furthest.
        """
        head = f"{self.package} {self.before} -> {self.after}: "
        if not self.compared:
            head += "nothing was compared"
        elif not self.moved:
            head += f"nothing moved; {self.compared} numbers of {self.questions} questions compared"
        else:
            head += f"{len(self.moved)} of {self.compared} numbers of {self.questions} questions moved"
        lines = [head]
        for reason in self.reasons:
            lines += ["", *_reason_lines(reason, self)]
        shown = sorted(self.moved, key=lambda one: one.digits)[:most]
        last = ""
        for one in (one for one in self.moved if one in shown):
            where = f"{one.question}, {one.vcov}, data {one.data}"
            lines += ["", where] if where != last else []
            last = where
            values = {self.before: one.before, self.after: one.after, "R": one.r}
            found = ", ".join(f"{name} {value:.10g}" for name, value in values.items() if not math.isnan(value))
            lines.append(f"  {one.label}: {found}; {self.standing(one)}")
        if len(self.moved) > most:
            lines += ["", f"and {len(self.moved) - most} numbers that moved less; --json shows all"]
        return "\n".join([*lines, *_skipped_lines(self.skipped)])


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
    kinds = dict.fromkeys(_kind(*label.partition(" of ")[::2]) for label in reason.numbers)
    concerned = [one for one in drift.moved if _kind(one.quantity, one.term) in kinds]
    standings = Counter(drift.standing(one) for one in concerned)
    counts = ", ".join(f"{standing} ({count})" for standing, count in standings.most_common())
    lines = [f"{'; '.join(kinds)}: {counts}"]
    if reason.proved:
        lines.append(
            f"  likely reason: {' and '.join(reason.functions)} changed; with its text of {drift.before} put back, "
            f"{drift.after} answers as before"
        )
    elif reason.functions:
        lines.append(f"  code that ran and changed: {', '.join(reason.functions)}")
    else:
        lines.append("  no reason was found")
    return lines + [f"  {sentence}" for sentence in reason.conventions]


def _skipped_lines(skipped: Mapping[str, str]) -> list[str]:
    """What was not compared; questions that share a reason in one line."""
    by_reason: dict[str, list[str]] = {}
    for what, why in skipped.items():
        by_reason.setdefault(why, []).append(what)
    lines = []
    for why, whats in by_reason.items():
        more = f" and {len(whats) - 1} more" if len(whats) > 1 else ""
        lines.append(f"not compared: {whats[0]}{more}: {why}")
    return ["", *lines] if lines else []


def _kind(quantity: str, term: str) -> str:
    """A quantity over all terms; of a test its name, over all regressors."""
    return f"{quantity} of {term.partition(':')[0]}" if quantity.startswith("test ") else quantity
