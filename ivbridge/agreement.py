"""The outcome of a cross-check: comparisons, the verdict over them, and their plain renderings.

Verdicts, best first: **identical** (the same bits), **rounding** (every gap lies within a bound derived from
conditioning, n and the arithmetic), **convention** (the gap is exactly a named convention), **substantive** (no known
reason), **not comparable** (the engines saw different rows, terms, levels or columns, or nothing was compared).
"""

from __future__ import annotations

import dataclasses
import html
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ivbridge import serial
from ivbridge.errors import DisagreementError
from ivbridge.gaps import Gap
from ivbridge.handshake import Check
from ivbridge.records import Provenance
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec

__all__ = ["LADDER", "Agreement", "Comparison"]

LADDER = ("identical", "rounding", "convention", "substantive", "not comparable")


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
    """

    vcov: str
    reference: Estimate
    candidate: Estimate
    handshake: tuple[Check, ...]
    gaps: tuple[Gap, ...]
    not_compared: Mapping[str, str]
    verdict: str
    reason: str

    @property
    def worst(self) -> Gap | None:
        """The number with the fewest agreeing digits."""
        return min(self.gaps, key=lambda gap: gap.digits, default=None)


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """The verdict on one question, over all vcovs and engines.

    Attributes
    ----------
    spec : IVSpec
    comparisons : tuple of Comparison
        One for each vcov and each engine but the first, the reference.
    """

    spec: IVSpec
    comparisons: tuple[Comparison, ...]

    @property
    def verdict(self) -> str:
        """The worst verdict of all comparisons; ``not comparable`` when there are none."""
        return max((c.verdict for c in self.comparisons), key=LADDER.index, default="not comparable")

    @property
    def ok(self) -> bool:
        """Whether everything that was compared agrees up to rounding, and something was compared."""
        return self.verdict in ("identical", "rounding")

    @property
    def reason(self) -> str:
        """Why, in one sentence."""
        if not self.comparisons:
            return "nothing was compared"
        if self.verdict == "rounding":
            return (
                f"all {len(self.gaps)} numbers agree to {self.digits:.1f} digits or more; rounding explains every gap"
            )
        return max(self.comparisons, key=lambda c: LADDER.index(c.verdict)).reason

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """All gaps of all comparisons."""
        return tuple(gap for comparison in self.comparisons for gap in comparison.gaps)

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
        names = [name for c in self.comparisons for name in (c.reference.engine, c.candidate.engine)]
        return tuple(dict.fromkeys(names))

    @property
    def n(self) -> int:
        """Rows used by the reference; 0 when nothing was compared."""
        return self.comparisons[0].reference.n if self.comparisons else 0

    @property
    def provenance(self) -> tuple[Provenance, ...]:
        """Where the numbers come from, one entry an engine."""
        pairs = [estimate for c in self.comparisons for estimate in (c.reference, c.candidate)]
        return tuple({estimate.engine: estimate.provenance for estimate in pairs}.values())

    @property
    def ledger(self) -> pd.DataFrame:
        """What was compared: count, worst digits and failures by vcov and quantity."""
        frame = self.to_frame()
        grouped = frame.groupby(["vcov", "candidate_engine", "quantity"], sort=False)
        return grouped.agg(
            compared=("ok", "size"), digits=("digits", "min"), failed=("ok", lambda ok: int((~ok).sum()))
        ).reset_index()

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

    def assert_ok(self) -> None:
        """Raise unless everything agrees up to rounding.

        Raises
        ------
        DisagreementError
            Its text names the question, the verdict and the worst numbers, and says what to do.
        """
        if not self.ok:
            raise DisagreementError(self.summary(), do=_advice(self.verdict))

    def summary(self, *, most: int = 8) -> str:
        """Text: the question, the verdict, and the worst numbers where something failed."""
        lines = [f"{self.verdict.upper()}: {self.spec.to_r()}", f"  {self.reason}"]
        worst = self.worst
        if worst is not None:
            lines.append(f"  worst number: {worst.label}, {worst.digits:.1f} digits; {len(self.gaps)} numbers compared")
        for comparison in self.comparisons:
            failed = [check for check in comparison.handshake if not check.ok]
            lines += [f"  {comparison.vcov}: {c.name}: {c.reference} | {c.candidate}" for c in failed]
            gaps = sorted((gap for gap in comparison.gaps if not gap.ok), key=lambda gap: gap.digits)
            lines += [
                f"  {comparison.vcov}: {gap.describe(comparison.reference.engine, comparison.candidate.engine)}"
                for gap in gaps[:most]
            ]
            if len(gaps) > most:
                lines.append(f"  {comparison.vcov}: and {len(gaps) - most} more")
        return "\n".join(lines)

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
        question, reason = html.escape(self.spec.to_r()), html.escape(self.reason)
        return f"<p><code>{question}</code><br><b>{self.verdict}</b>: {reason}</p><table>{head}{rows}</table>"

    def __repr__(self) -> str:
        return f"<Agreement {self.verdict}, {self.digits:.1f} digits, {len(self.gaps)} numbers>"


def _report() -> Any:
    """The module that draws; it stands above this one, so it is looked up when a drawing is asked for."""
    return importlib.import_module("ivbridge.report")


def _advice(verdict: str) -> str:
    return {
        "convention": "ask both sides for the same convention, or accept the named one.",
        "not comparable": "make both sides use the same rows and terms first (the lines above say which differ).",
    }.get(verdict, "look at the numbers above; no known convention explains them.")


def _plain(agreement: Agreement) -> Mapping[str, object]:
    spec = agreement.spec
    return {
        "type": "Agreement",
        "question": {
            "formula": spec.to_r(), "dependent": spec.dependent, "exog": spec.exog, "endog": spec.endog,
            "instruments": spec.instruments, "weights": spec.weights, "inference": str(spec.inference),
        },
        "verdict": agreement.verdict,
        "ok": agreement.ok,
        "reason": agreement.reason,
        "digits": agreement.digits,
        "n": agreement.n,
        "engines": agreement.engines,
        "verdicts": [
            {"vcov": c.vcov, "engine": c.candidate.engine, "verdict": c.verdict, "reason": c.reason,
             "handshake": [dataclasses.asdict(check) for check in c.handshake], "not_compared": dict(c.not_compared)}
            for c in agreement.comparisons
        ],
        "comparisons": [
            {"vcov": c.vcov, "engine": c.candidate.engine, **dataclasses.asdict(gap)}
            for c in agreement.comparisons
            for gap in c.gaps
        ],
        "provenance": [provenance.as_dict() for provenance in agreement.provenance],
    }  # fmt: skip
