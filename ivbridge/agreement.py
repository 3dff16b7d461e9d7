"""The outcome of a cross-check of one IV question: comparisons and their plain renderings; verdicts are explained in
:mod:`ivbridge.verdicts`.
"""

from __future__ import annotations

import dataclasses
import html
import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ivbridge import serial
from ivbridge.gaps import Gap
from ivbridge.handshake import Check
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.verdicts import Verdicts
from ivbridge.vote_records import Vote

__all__ = ["Agreement", "Comparison"]


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Two estimates of one question under one vcov.

    Attributes
    ----------
    vcov : str
        Short text form.
    reference, candidate : Estimate
    handshake : tuple of Check
    gaps : tuple of Gap
        Everything that was compared, one entry a number.
    not_compared : mapping of str to str
        What has no value, and why.
    verdict, reason : str
    skipped : mapping of str to str
        What has a value that one of the engines does not report, and why; a strict check fails on it.
    """

    vcov: str
    reference: Estimate
    candidate: Estimate
    handshake: tuple[Check, ...]
    gaps: tuple[Gap, ...]
    not_compared: Mapping[str, str]
    verdict: str
    reason: str
    skipped: Mapping[str, str] = field(default_factory=dict)

    @property
    def worst(self) -> Gap | None:
        """The number with the fewest agreeing digits."""
        return min(self.gaps, key=lambda gap: gap.digits, default=None)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Agreement(Verdicts):
    """The verdict on one question, over all vcovs and engines.

    Attributes
    ----------
    spec : IVSpec
    comparisons : tuple of Comparison
        One for each vcov and each engine but the first, the reference.
    unanswered : mapping of str to str
        What an engine could not be asked, such as ``"statsmodels, HC3"``, and why.
    votes : tuple of Vote
        Where three engines or more answered: who stands alone, one entry a vcov.
    """

    spec: IVSpec
    comparisons: tuple[Comparison, ...]
    unanswered: Mapping[str, str] = field(default_factory=dict)
    votes: tuple[Vote, ...] = ()

    def _compared(self) -> tuple[Comparison, ...]:
        return self.comparisons

    @property
    def n(self) -> int:
        """Rows used by the reference; 0 when nothing was compared."""
        return self.comparisons[0].reference.n if self.comparisons else 0

    @property
    def skipped(self) -> Mapping[str, str]:
        """What was asked or has a value, and was not compared, with its reason; a strict check fails on it."""
        several = len({c.candidate.engine for c in self.comparisons}) > 1
        found = {
            f"{what} ({c.candidate.engine})" if several else what: why
            for c in self.comparisons
            for what, why in c.skipped.items()
        }
        return {**self.unanswered, **found}

    @property
    def ledger(self) -> pd.DataFrame:
        """What was compared and what not: one row by vcov, engine and quantity.

        ``compared`` counts numbers, ``digits`` are those of the worst one, ``failed`` counts those that rounding does
        not explain. What was not compared has 0, NaN and 0, and its reason in ``left_out``.
        """
        grouped = self.to_frame().groupby(["vcov", "candidate_engine", "quantity"], sort=False)
        compared = grouped.agg(
            compared=("ok", "size"), digits=("digits", "min"), failed=("ok", lambda ok: int((~ok).sum()))
        ).reset_index()
        rows = [
            (c.vcov, c.candidate.engine, what, 0, math.nan, 0, why)
            for c in self.comparisons
            for what, why in {**c.not_compared, **c.skipped}.items()
        ]
        rows += [("", "", what, 0, math.nan, 0, why) for what, why in self.unanswered.items()]
        rest = pd.DataFrame(rows, columns=[*compared.columns, "left_out"])
        compared["left_out"] = ""
        parts = [part for part in (compared, rest) if len(part)] or [compared]
        return pd.concat(parts, ignore_index=True)

    def to_frame(self) -> pd.DataFrame:
        """One row a compared number."""
        rows = [
            {"vcov": c.vcov, "candidate_engine": c.candidate.engine, **dataclasses.asdict(gap)}
            for c in self.comparisons
            for gap in c.gaps
        ]
        names = ["vcov", "candidate_engine", *(field.name for field in dataclasses.fields(Gap))]
        return pd.DataFrame(rows, columns=names)

    def to_json(self, *, indent: int | None = None) -> str:
        """The verdict as one JSON object: ``verdict digits n engines comparisons`` and the question."""
        return serial.dumps(_plain(self), indent=indent)

    def summary(self, *, most: int = 8) -> str:
        """Text: the question, the verdict, and the worst numbers where something failed."""
        lines = self._lines(self.spec.title, [c.vcov for c in self.comparisons], most)
        lines += [f"  {vote.vcov}: {vote}" for vote in self.votes]
        return "\n".join([*lines, *(f"  {what}: not answered: {why}" for what, why in self.unanswered.items())])

    def to_html(self) -> str:
        """One self-contained page (:mod:`ivbridge.report`)."""
        return str(_report().html(self))

    def to_markdown(self) -> str:
        """The report as Markdown."""
        return str(_report().markdown(self))

    def to_latex(self) -> str:
        """The report as a LaTeX document."""
        return str(_report().latex(self))

    def write(self, path: str | Path) -> None:
        """Write the report; the ending of the path chooses ``.html``, ``.md``, ``.tex`` or ``.json``."""
        _report().write(self, path)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(c.vcov)}</td><td>{html.escape(c.candidate.engine)}</td><td>{c.verdict}</td>"
            f"<td>{c.worst.digits if c.worst else 0:.1f}</td></tr>"
            for c in self.comparisons
        )
        head = "<tr><th>vcov</th><th>engine</th><th>verdict</th><th>digits</th></tr>"
        question, reason = html.escape(self.spec.title), html.escape(self.reason)
        return f"<p><code>{question}</code><br><b>{self.verdict}</b>: {reason}</p><table>{head}{rows}</table>"


def _report() -> Any:
    """The module that draws; it stands above this one, so it is looked up when a drawing is asked for."""
    return importlib.import_module("ivbridge.report")


def _plain(agreement: Agreement) -> Mapping[str, object]:
    spec = agreement.spec
    return {
        "type": "Agreement",
        "question": {
            "formula": spec.to_r(), "dependent": spec.dependent, "exog": spec.exog, "endog": spec.endog,
            "instruments": spec.instruments, "weights": spec.weights, "inference": str(spec.inference),
            "method": str(spec.method),
        },
        "verdict": agreement.verdict,
        "ok": agreement.ok,
        "reason": agreement.reason,
        "digits": agreement.digits,
        "n": agreement.n,
        "engines": agreement.engines,
        "skipped": dict(agreement.skipped),
        "verdicts": [
            {"vcov": c.vcov, "engine": c.candidate.engine, "verdict": c.verdict, "reason": c.reason,
             "handshake": [dataclasses.asdict(check) for check in c.handshake], "not_compared": dict(c.not_compared),
             "skipped": dict(c.skipped)}
            for c in agreement.comparisons
        ],
        "votes": [
            {"text": str(vote), **dataclasses.asdict(vote)} for vote in agreement.votes
        ],
        "comparisons": [
            {"vcov": c.vcov, "engine": c.candidate.engine, **dataclasses.asdict(gap)}
            for c in agreement.comparisons
            for gap in c.gaps
        ],
        "provenance": [provenance.as_dict() for provenance in agreement.provenance],
    }  # fmt: skip
