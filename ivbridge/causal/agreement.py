"""Does R say the same? One method, both sides, number by number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.causal.records import EffectEstimate
from ivbridge.errors import DisagreementError, UnsupportedError
from ivbridge.gaps import Gap, gap_of
from ivbridge.progress import Progress

__all__ = ["EffectAgreement", "crosscheck"]

#: A hundred roundings of an outcome, relative to it.
FAR = 100 * 2.0**-53


@dataclass(frozen=True, slots=True, eq=False)
class EffectAgreement:
    """One method's effect here and in R.

    Attributes
    ----------
    candidate, reference : EffectEstimate
        Ours and R's.
    gaps : tuple of Gap
        The estimate, the standard error, and every part that both sides report.
    alone : tuple of str
        Parts that one side reports and the other does not.
    """

    candidate: EffectEstimate
    reference: EffectEstimate
    gaps: tuple[Gap, ...]
    alone: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every compared number lies within the method's bound."""
        return all(gap.ok for gap in self.gaps)

    @property
    def worst(self) -> Gap:
        """The number with the fewest agreeing digits."""
        return min(self.gaps, key=lambda gap: gap.digits)

    @property
    def verdict(self) -> str:
        """identical, rounding, or substantive."""
        if all(gap.absolute == 0 for gap in self.gaps):
            return "identical"
        return "rounding" if self.ok else "substantive"

    def assert_ok(self) -> None:
        """Raise if the two differ by more than the bound.

        Raises
        ------
        DisagreementError
            With the worst number.
        """
        if not self.ok:
            bad = self.worst
            raise DisagreementError(
                f"{self.candidate.method}: {bad.quantity} is {bad.candidate:.12g} here and {bad.reference:.12g} in R "
                f"({bad.digits:.1f} digits)."
            )

    def to_frame(self) -> pd.DataFrame:
        """One row for each compared number."""
        return pd.DataFrame(
            [{"quantity": g.quantity, "R": g.reference, "Python": g.candidate, "digits": g.digits, "ok": g.ok}
             for g in self.gaps]
        )  # fmt: skip

    def summary(self) -> str:
        """One line."""
        worst = self.worst
        return (
            f"{self.candidate.title}: {self.verdict}, {worst.digits:.1f} digits at worst ({worst.quantity}) "
            f"of {len(self.gaps)} numbers"
        )


def crosscheck(
    method: CausalMethod, question: CausalQuestion, data: Any, seed: int = 0, progress: Progress | None = None
) -> EffectAgreement:
    """Estimate an effect here and in R, from the same rows, folds and pairs of units, and compare.

    Raises
    ------
    UnsupportedError
        If R has nothing here to hold the method against.
    DataError, DesignError, RNotAvailableError, RError
        As either side.
    """
    if not method.r_call:
        raise UnsupportedError(f"{method.title} has no reference in R here: {method.why_no_r}")
    built = data if isinstance(data, CausalData) else build(question, data)
    ours = method.fit(question, built, seed, progress)
    theirs = EffectEstimate(
        question, method.name, method.r_call, built.n, ours.n_treated, method.reference(built, seed), seed
    )
    mine, other = ours.answer.parts, theirs.answer.parts
    pairs = {"estimate": (theirs.estimate, ours.estimate), "std.error": (theirs.std_error, ours.std_error)}
    pairs |= {name: (other[name], mine[name]) for name in other if name in mine}
    errors = {name: mine.get(f"{name} std.error", 0.0) for name in mine} | {"estimate": ours.std_error}
    bound = method.bound() + _rounded(built)
    gaps = tuple(
        gap_of((name, question.treatment), pair, _scale(pair, errors.get(name, 0.0)), bound)
        for name, pair in pairs.items()
        if not (math.isnan(pair[0]) and math.isnan(pair[1]))
    )
    return EffectAgreement(ours, theirs, gaps, tuple(sorted(set(mine) ^ set(other))))


def _rounded(data: CausalData) -> float:
    """What the outcome's own digits leave of an effect: they round |y|·1e-16, and an effect is a part of its spread."""
    spread = float(data.y.std())
    return FAR * float(np.abs(data.y).max()) / spread if spread else 0.0


def _scale(pair: tuple[float, float], error: float) -> float:
    """What a gap is measured against: the number, or its standard error where that is larger; one of them near zero
    has no digits of its own.
    """
    return max(abs(pair[0]), error) or 1.0
