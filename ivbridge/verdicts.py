"""The verdict over several comparisons: what every kind of cross-check shares.

Verdicts, best first: **identical** (the same bits), **rounding** (every gap lies within a bound derived from
conditioning, n and the arithmetic), **convention** (the gap is exactly a named convention), **substantive** (no known
reason), **not comparable** (the engines saw different rows, terms, levels or columns, or nothing was compared).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from ivbridge.errors import DisagreementError
from ivbridge.gaps import Gap, agreed
from ivbridge.handshake import Check
from ivbridge.records import Provenance

__all__ = ["LADDER", "Answered", "Compared", "Verdicts", "strict_line"]

LADDER = ("identical", "rounding", "convention", "substantive", "not comparable")


class Answered(Protocol):
    """An engine's answer, as far as a verdict needs it."""

    @property
    def engine(self) -> str: ...
    @property
    def provenance(self) -> Provenance: ...


class Compared(Protocol):
    """Two answers and what came of comparing them."""

    @property
    def reference(self) -> Answered: ...
    @property
    def candidate(self) -> Answered: ...
    @property
    def handshake(self) -> tuple[Check, ...]: ...
    @property
    def gaps(self) -> tuple[Gap, ...]: ...
    @property
    def verdict(self) -> str: ...
    @property
    def reason(self) -> str: ...


class Verdicts:
    """What follows from ``comparisons``; a base of the records that hold them."""

    __slots__ = ()

    def _compared(self) -> Sequence[Compared]:
        raise NotImplementedError

    @property
    def verdict(self) -> str:
        """The worst verdict of all comparisons; ``not comparable`` when there are none."""
        return max((c.verdict for c in self._compared()), key=LADDER.index, default="not comparable")

    @property
    def ok(self) -> bool:
        """Whether everything that was compared agrees up to rounding, and something was compared."""
        return self.verdict in ("identical", "rounding")

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        if not self._compared():
            return "nothing was compared"
        if self.verdict == "rounding":
            return agreed(self.gaps)
        return max(self._compared(), key=lambda c: LADDER.index(c.verdict)).reason

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """All gaps of all comparisons."""
        return tuple(gap for comparison in self._compared() for gap in comparison.gaps)

    @property
    def worst(self) -> Gap | None:
        """The number with the fewest agreeing digits."""
        return min(self.gaps, key=lambda gap: gap.digits, default=None)

    @property
    def digits(self) -> float:
        """The headline: agreeing digits of the worst number; 0 when nothing was compared."""
        return self.worst.digits if self.worst else 0.0

    @property
    def engines(self) -> tuple[str, ...]:
        """Engines that answered, the reference first."""
        return tuple(dict.fromkeys(answer.engine for answer in self._answers()))

    @property
    def provenance(self) -> tuple[Provenance, ...]:
        """Where the numbers come from, one entry an engine."""
        return tuple({answer.engine: answer.provenance for answer in self._answers()}.values())

    def _answers(self) -> list[Answered]:
        return [answer for c in self._compared() for answer in (c.reference, c.candidate)]

    def summary(self) -> str:
        """Text: the question, the verdict, and the worst numbers where something failed."""
        raise NotImplementedError

    @property
    def skipped(self) -> Mapping[str, str]:
        """What was asked or has a value, and was not compared, with its reason."""
        raise NotImplementedError

    def passes(self, *, strict: bool = False) -> bool:
        """Whether everything agrees up to rounding; with ``strict`` nothing may have been skipped, either."""
        return self.ok and not (strict and self.skipped)

    def assert_ok(self, *, strict: bool = False) -> None:
        """Raise unless everything agrees up to rounding.

        Parameters
        ----------
        strict : bool, default False
            Raise also if anything that has a value was not compared; :attr:`skipped` lists it.

        Raises
        ------
        DisagreementError
            Its text names the question, the verdict and the worst numbers or what was skipped, and says what to do.
        """
        if not self.ok:
            raise DisagreementError(self.summary(), do=_advice(self.verdict))
        if strict and self.skipped:
            listed = "\n".join(f"  skipped: {what}: {why}" for what, why in self.skipped.items())
            found = f"{self.summary()}\n{strict_line(self.skipped)}\n{listed}\n"
            raise DisagreementError(found, do="compare with an engine that reports them, or do without strict.")

    def _lines(self, question: str, labels: Sequence[str], most: int) -> list[str]:
        """The lines of :meth:`summary`: each comparison's under its label."""
        lines = [f"{self.verdict.upper()}: {question}", f"  {self.reason}"]
        worst = self.worst
        if worst is not None:
            lines.append(f"  worst number: {worst.label}, {worst.digits:.1f} digits; {len(self.gaps)} numbers compared")
        for label, comparison in zip(labels, self._compared(), strict=True):
            failed = [check for check in comparison.handshake if not check.ok]
            lines += [f"  {label}: {c.name}: {c.reference} | {c.candidate}" for c in failed]
            gaps = sorted((gap for gap in comparison.gaps if not gap.ok), key=lambda gap: gap.digits)
            engines = comparison.reference.engine, comparison.candidate.engine
            lines += [f"  {label}: {gap.describe(*engines)}" for gap in gaps[:most]]
            if len(gaps) > most:
                lines.append(f"  {label}: and {len(gaps) - most} more")
        return lines

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.verdict}, {self.digits:.1f} digits, {len(self.gaps)} numbers>"


def strict_line(skipped: Mapping[str, str]) -> str:
    """Why a strict check fails although what was compared agrees."""
    many = len(skipped) != 1
    return f"STRICT: {len(skipped)} {'quantities' if many else 'quantity'} with a value not compared"


def _advice(verdict: str) -> str:
    return {
        "convention": "ask both sides for the same convention, or accept the named one.",
        "not comparable": "make both sides use the same rows and terms first (the lines above say which differ).",
    }.get(verdict, "look at the numbers above; no known convention explains them.")
