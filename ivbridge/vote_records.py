"""What a vote of three or more engines found, number by number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ivbridge.gaps import Gap

__all__ = ["Outlier", "Vote"]


@dataclass(frozen=True, slots=True)
class Outlier:
    """An engine that the majority contradicts.

    Attributes
    ----------
    engine : str
    outvoted, voted : int
        Numbers on which the majority says something else, and numbers on which the engine had a vote.
    worst : Gap or None
        The outvoted number with the fewest digits, the majority's value as its reference; None for an engine that saw
        other data than the majority.
    convention : str
        Why, in one sentence, where a known convention explains every number; otherwise empty.
    reason : str
        One sentence in any case.
    """

    engine: str
    outvoted: int
    voted: int
    worst: Gap | None
    convention: str
    reason: str

    def __str__(self) -> str:
        if self.worst is None:
            return f"{self.engine} stands alone: {self.reason}"
        most = f"{self.worst.label} most ({self.worst.digits:.1f} digits)"
        return f"{self.engine} stands alone on {self.outvoted} of {self.voted} numbers, {most}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Vote:
    """The vote of all engines that answered under one vcov.

    Attributes
    ----------
    vcov : str
        Short text form.
    engines : tuple of str
        Those that answered.
    numbers : int
        Numbers that three engines or more reported: each is voted on by itself.
    majority : tuple of str
        Engines that no vote went against.
    outliers : tuple of Outlier
        The others, the one with the most outvoted numbers first.
    undecided : mapping of str to tuple of tuple of str
        Numbers without a majority, and the camps of engines whose values agree to rounding.
    """

    vcov: str
    engines: tuple[str, ...]
    numbers: int
    majority: tuple[str, ...]
    outliers: tuple[Outlier, ...]
    undecided: Mapping[str, tuple[tuple[str, ...], ...]] = field(default_factory=dict)

    def __str__(self) -> str:
        head = f"{len(self.engines)} engines voted on {self.numbers} numbers"
        if not (self.outliers or self.undecided):
            return f"{head}: no outlier"
        parts = [f"{head}: {', '.join(self.majority) or 'no engine'} never outvoted", *map(str, self.outliers)]
        if self.undecided:
            label, camps = next(iter(self.undecided.items()))
            against = " against ".join(", ".join(camp) for camp in camps)
            parts.append(f"{len(self.undecided)} numbers have no majority, first {label}: {against}")
        return "; ".join(parts)
