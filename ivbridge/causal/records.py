"""What a causal method says: an effect, of whom, how exactly, and whether the two arms can be compared at all."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import pandas as pd
from scipy import stats

from ivbridge import serial
from ivbridge.causal.question import CausalQuestion
from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["Answer", "EffectEstimate", "Overlap"]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Whether treated and untreated units can be compared.

    Attributes
    ----------
    treated, control : (low, high) pairs
        Range of the estimated propensity score in each arm.
    beyond : float
        Share of units with a score outside ``ivbridge.causal.overlap.EXTREME``.
    ess_treated, ess_control : float
        Kish's effective sample size, (Σw)²/Σw², of the weights used in each arm; the number of units without weights.
    n_treated, n_control : int
    max_weight : float
        The largest weight, of weights whose mean in its arm is 1.
    verdict : {"fine", "warn", "stop"}
    reasons : tuple of str
        One sentence for each thing that is not fine.
    """

    treated: tuple[float, float]
    control: tuple[float, float]
    beyond: float
    ess_treated: float
    ess_control: float
    n_treated: int
    n_control: int
    max_weight: float
    verdict: Literal["fine", "warn", "stop"]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a method computes; :class:`EffectEstimate` adds what was asked.

    Attributes
    ----------
    estimate, std_error : float
        The standard error is NaN where the method has none; `vcov` then says why.
    vcov : str
        How the standard error was computed, for example ``"HC2"``, ``"stacked estimating equations"``.
    df : float
        Degrees of freedom of the interval; infinite for the normal distribution.
    used : int
        Units that the estimate rests on; 0 means all.
    overlap : Overlap, optional
    parts : mapping of str to float
        Numbers on the way that another program reports, too: ``"mean treated"``, ``"pairs"``, …
    table : DataFrame, optional
        One row for each stratum, fold or pair class.
    unit_effects : (n,) array, optional
        Estimated effect for each unit, in the order of the kept rows.
    influence : (n,) array, optional
        Influence function values; their variance over n is the squared standard error.
    versions : mapping of str to str
        Libraries, or R packages, that computed it.
    calls : tuple of str
        The library's or R's calls that give the same by hand.
    notes, warnings : tuple of str
    """

    estimate: float
    std_error: float
    vcov: str
    df: float = math.inf
    used: int = 0
    overlap: Overlap | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    table: pd.DataFrame | None = None
    unit_effects: FloatArray | None = None
    influence: FloatArray | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    calls: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class EffectEstimate:
    """An effect with its standard error.

    Attributes
    ----------
    question : CausalQuestion
    method, title : str
        Key of :data:`ivbridge.causal.METHODS`, and the method in words.
    n, n_treated : int
        Units, and how many of them were treated.
    answer : Answer
    seed : int
        Of whatever the method draws.
    """

    json_skip: ClassVar[tuple[str, ...]] = ()
    question: CausalQuestion
    method: str
    title: str
    n: int
    n_treated: int
    answer: Answer
    seed: int = 0

    @property
    def estimand(self) -> str:
        """ATE, ATT or LATE."""
        return self.question.estimand

    @property
    def estimate(self) -> float:
        """The effect, in units of the dependent variable."""
        return self.answer.estimate

    @property
    def std_error(self) -> float:
        """Its standard error; NaN where the method has none."""
        return self.answer.std_error

    @property
    def statistic(self) -> float:
        """Estimate over standard error."""
        return self.estimate / self.std_error if self.std_error else math.nan

    @property
    def p_value(self) -> float:
        """Two-sided, of no effect."""
        return float(2 * stats.t.sf(abs(self.statistic), self.answer.df))

    @property
    def unit_effects(self) -> FloatArray | None:
        """(n,) estimated effects of units, where the method has them."""
        return self.answer.unit_effects

    @property
    def overlap(self) -> Overlap | None:
        """Whether the arms can be compared, where the method looks."""
        return self.answer.overlap

    def conf_int(self, level: float = 0.95) -> tuple[float, float]:
        """Confidence limits.

        Raises
        ------
        DataError
            If the level does not lie strictly between 0 and 1.
        """
        if not 0 < level < 1:
            raise DataError(f"level={level!r} is not a coverage.", do="give a number between 0 and 1, such as 0.9.")
        half = float(stats.t.isf((1 - level) / 2, self.answer.df)) * self.std_error
        return self.estimate - half, self.estimate + half

    def tidy(self) -> pd.DataFrame:
        """One row with broom's column names."""
        low, high = self.conf_int()
        row = {
            "term": self.question.treatment, "estimand": self.estimand, "method": self.method,
            "estimate": self.estimate, "std.error": self.std_error, "statistic": self.statistic,
            "p.value": self.p_value, "conf.low": low, "conf.high": high, "nobs": self.n,
        }  # fmt: skip
        return pd.DataFrame([row])

    def summary(self) -> str:
        """Text: the effect, its interval, the overlap, and what was noted."""
        low, high = self.conf_int()
        lines = [
            f"{self.title}: {self.estimand} of {self.question.treatment} on {self.question.dependent}",
            f"estimate {self.estimate:.6g}, standard error {self.std_error:.4g} ({self.answer.vcov})",
            f"95 % interval [{low:.6g}, {high:.6g}]",
            f"n = {self.n}, treated {self.n_treated}" + (f", used {self.answer.used}" if self.answer.used else ""),
        ]
        if self.overlap is not None:
            lines += [f"overlap: {self.overlap.verdict}", *(f"  {reason}" for reason in self.overlap.reasons)]
        return "\n".join([*lines, *self.answer.warnings, *self.answer.notes])

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON of the numbers; tables and the effects of units are in :attr:`answer`."""
        low, high = self.conf_int()
        rest = {
            "overlap": self.overlap, "parts": dict(self.answer.parts), "vcov": self.answer.vcov,
            "notes": self.answer.notes, "warnings": self.answer.warnings, "versions": self.answer.versions,
        }  # fmt: skip
        record = {
            "question": self.question, "method": self.method, "estimate": self.estimate, "std_error": self.std_error,
            "conf_low": low, "conf_high": high, "n": self.n, "n_treated": self.n_treated, "seed": self.seed, **rest,
        }  # fmt: skip
        return serial.dumps(record, indent=indent)

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{html.escape(one)}</li>" for one in (*self.answer.warnings, *self.answer.notes))
        return self.tidy().to_html(index=False, float_format="{:.6g}".format) + f"<ul>{notes}</ul>"

    def __repr__(self) -> str:
        return f"<EffectEstimate {self.method} {self.estimand} {self.estimate:.6g} ({self.std_error:.4g}) n={self.n}>"
