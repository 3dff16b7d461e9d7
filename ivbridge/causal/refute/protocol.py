"""What every refuter has in common, and what it says."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from ivbridge import serial
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.causal.records import EffectEstimate
from ivbridge.progress import Progress
from ivbridge.records import FloatArray

__all__ = ["Found", "Refutation", "Refuter", "Verdict", "verdict_of"]

Verdict = Literal["passed", "failed", "not done"]


def verdict_of(failed: bool) -> Verdict:
    """Of an attempt that was made."""
    return "failed" if failed else "passed"


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a refuter computes; :class:`Refutation` adds what was asked.

    Attributes
    ----------
    done : str
        What was done, in one sentence with its numbers.
    measured : str
        What `statistic` is.
    statistic, p_value : float
        NaN where there is none.
    verdict : {"passed", "failed", "not done"}
    distribution : (m,) array
        Estimates under the repetitions, or simulated ones.
    parts : mapping of str to float
    reasons : tuple of str
        Why the verdict is not "passed", and what else is worth knowing.
    """

    done: str
    measured: str
    statistic: float
    p_value: float
    verdict: Verdict
    distribution: FloatArray = field(default_factory=lambda: np.empty(0))
    parts: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Refutation:
    """The outcome of one attempt to refute an estimate.

    Attributes
    ----------
    name, title : str
        Key of :data:`ivbridge.causal.refute.REFUTERS`, and the refuter in words.
    method : str
        The estimator.
    question : CausalQuestion
    estimate, std_error : float
        What was to be refuted.
    found : Found
    shows, cannot : str
        What a refuter of this kind can show, and what it cannot, whatever its verdict.
    seed : int
    """

    name: str
    title: str
    method: str
    question: CausalQuestion
    estimate: float
    std_error: float
    found: Found
    shows: str
    cannot: str
    seed: int = 0

    @property
    def verdict(self) -> Verdict:
        """Passed, failed, or not done; "passed" never means that the estimate is right: see `cannot`."""
        return self.found.verdict

    @property
    def statistic(self) -> float:
        """The number that :attr:`Found.measured` names."""
        return self.found.statistic

    @property
    def p_value(self) -> float:
        """Of the statistic, where it has one."""
        return self.found.p_value

    @property
    def distribution(self) -> FloatArray:
        """(m,) estimates under the repetitions."""
        return self.found.distribution

    @property
    def done(self) -> str:
        """What was done, in one sentence."""
        return self.found.done

    @property
    def parts(self) -> Mapping[str, float]:
        """Numbers on the way."""
        return self.found.parts

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it failed or was not done, and what else is worth knowing."""
        return self.found.reasons

    def tidy(self) -> pd.DataFrame:
        """One row: refuter, method, estimate, std.error, measured, statistic, p.value, verdict."""
        row = {
            "refuter": self.name, "method": self.method, "estimate": self.estimate, "std.error": self.std_error,
            "measured": self.found.measured, "statistic": self.statistic, "p.value": self.p_value,
            "verdict": self.verdict,
        }  # fmt: skip
        return pd.DataFrame([row])

    def summary(self) -> str:
        """Text: the verdict, what was done, and what it can and cannot show."""
        p = "" if math.isnan(self.p_value) else f", p = {self.p_value:.3g}"
        number = "" if math.isnan(self.statistic) else f"{self.found.measured}: {self.statistic:.5g}{p}"
        lines = [f"{self.title}: {self.verdict}", self.done, number, *self.reasons,
                 f"It can show: {self.shows}", f"It cannot show: {self.cannot}"]  # fmt: skip
        return "\n".join(line for line in lines if line)

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON of everything, the distribution included."""
        return serial.dumps(self, indent=indent)

    def _repr_html_(self) -> str:
        items = (self.done, *self.reasons, f"It can show: {self.shows}", f"It cannot show: {self.cannot}")
        table = self.tidy().to_html(index=False, float_format="{:.5g}".format)
        return table + "<ul>" + "".join(f"<li>{html.escape(one)}</li>" for one in items if one) + "</ul>"

    def __repr__(self) -> str:
        return f"<Refutation {self.name} of {self.method}: {self.verdict}>"


@dataclass(frozen=True, kw_only=True)
class Refuter:
    """An attempt to show that an estimate is wrong.

    ``name`` is its key in :data:`ivbridge.causal.refute.REFUTERS`. ``shows`` and ``cannot`` say what an outcome of this
    kind is evidence of, and what it is no evidence of.
    """

    name: ClassVar[str] = ""
    title: ClassVar[str] = ""
    shows: ClassVar[str] = ""
    cannot: ClassVar[str] = ""

    def attempt(
        self, method: CausalMethod, effect: EffectEstimate, data: CausalData, frame: Any, progress: Progress | None
    ) -> Found:
        """Try; `data` are the rows that `effect` was estimated from, `frame` is the whole table."""
        raise NotImplementedError

    def refute(
        self,
        method: CausalMethod,
        question: CausalQuestion,
        data: Any,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Refutation:
        """Estimate the effect, and try to refute it.

        Parameters
        ----------
        method : CausalMethod
            Repeated as it is, with the same choices and seed.
        question : CausalQuestion
        data : table of n rows
        seed : int, default 0
            Of what the method and the refuter draw.
        progress : callable, optional
            Called with (done, total, what).

        Raises
        ------
        UnsupportedError
            If this refuter says nothing about this method.
        DataError, DesignError, MissingExtraError
            As the method, or if a column that the refuter needs is missing or cannot serve.
        """
        built = build(question, data)
        effect = method.fit(question, built, seed)
        found = self.attempt(method, effect, built, data, progress)
        return Refutation(self.name, self.title, effect.title, question, effect.estimate, effect.std_error, found,
                          self.shows, self.cannot, seed)  # fmt: skip
