"""The view that templates fill in: one document, one section a question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ivbridge
from ivbridge.agreement import Agreement, Comparison
from ivbridge.digits import GROUPS
from ivbridge.handshake import Check
from ivbridge.report import cells
from ivbridge.report.code import python_code, r_code
from ivbridge.report.entry import COULD_NOT_RUN, Entry
from ivbridge.report.plot import MOST_VCOVS, Panel, panels

__all__ = ["Document", "Failed", "Section", "document"]

_ENGINES = {"r": "R", "native": "Python"}
MOST_FAILURES = 25


@dataclass(frozen=True, slots=True, eq=False)
class Handshake:
    """What both sides saw; ``vcovs`` is empty where all comparisons share it."""

    vcovs: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """Where one side's numbers come from, as (name, value) pairs."""

    engine: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """One question of the document."""

    anchor: str
    heading: str
    agreement: Agreement
    mark: str
    digits: cells.Number
    sides: tuple[str, str]
    facts: tuple[tuple[str, str], ...]
    handshakes: tuple[Handshake, ...]
    heat: tuple[cells.HeatRow, ...]
    panels: tuple[Panel, ...]
    unplotted: int
    vcovs: tuple[str, ...]
    terms: tuple[cells.TermRow, ...]
    tests: tuple[tuple[str, tuple[cells.TestRow, ...]], ...]
    ledger: tuple[cells.LedgerRow, ...]
    failures: tuple[cells.Failure, ...]
    more_failures: int
    not_compared: tuple[tuple[str, str], ...]
    skipped: tuple[tuple[str, str], ...]
    votes: tuple[str, ...]
    remarks: tuple[str, ...]
    sources: tuple[Source, ...]
    r_code: str
    python_code: str
    ran: bool = True

    @property
    def verdict(self) -> str:
        """The agreement's verdict."""
        return self.agreement.verdict


@dataclass(frozen=True, slots=True, eq=False)
class Failed:
    """A question that could not be run."""

    anchor: str
    heading: str
    formula: str
    message: str
    verdict: str = COULD_NOT_RUN
    mark: str = "bad"
    ran: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """All questions of a report."""

    title: str
    version: str
    groups: tuple[str, ...]
    most_vcovs: int
    sections: tuple[Section | Failed, ...]


def document(entries: Sequence[Entry]) -> Document:
    """The view of a report.

    Parameters
    ----------
    entries : sequence of Entry
    """
    sections = tuple(_section(f"q{place}", entry) for place, entry in enumerate(entries, 1))
    title = sections[0].heading if len(sections) == 1 else f"{len(sections)} questions"
    return Document(title, ivbridge.__version__, GROUPS, MOST_VCOVS, sections)


def _section(anchor: str, entry: Entry) -> Section | Failed:
    found = entry.outcome
    if not isinstance(found, Agreement):
        return Failed(anchor, entry.name or entry.formula, entry.formula, str(found))
    comparisons = found.comparisons
    sides = _sides(found)
    drawn, unplotted = panels(comparisons, sides)
    failed = cells.failures(comparisons)
    return Section(
        anchor=anchor,
        heading=entry.name or found.spec.title,
        agreement=found,
        mark=cells.mark_of(found.verdict),
        digits=cells.Number(f"{found.digits:.1f}"),
        sides=sides,
        facts=_facts(entry, found),
        handshakes=_handshakes(comparisons),
        heat=cells.heat_rows(comparisons),
        panels=drawn,
        unplotted=unplotted,
        vcovs=cells.labels(comparisons),
        terms=cells.term_rows(comparisons),
        tests=cells.test_groups(comparisons),
        ledger=cells.ledger_rows(comparisons),
        failures=failed[:MOST_FAILURES],
        more_failures=max(len(failed) - MOST_FAILURES, 0),
        not_compared=tuple(dict.fromkeys(pair for c in comparisons for pair in c.not_compared.items())),
        skipped=tuple(found.skipped.items()),
        votes=tuple(f"{vote.vcov}: {vote}" for vote in found.votes),
        remarks=_remarks(comparisons),
        sources=_sources(found),
        r_code=r_code(found, entry.data),
        python_code=python_code(found, entry.data),
    )


def _sides(agreement: Agreement) -> tuple[str, str]:
    """Names of the reference and of the other side."""
    names = [_ENGINES.get(name, name) for name in agreement.engines]
    if len(names) == 1:
        return f"{names[0]} (1)", f"{names[0]} (2)"
    return (names[0], " and ".join(names[1:])) if names else ("reference", "candidate")


def _facts(entry: Entry, agreement: Agreement) -> tuple[tuple[str, str], ...]:
    """The question as names and values; what does not apply is left out."""
    spec = agreement.spec
    sha = agreement.comparisons[0].reference.data_sha256 if agreement.comparisons else ""
    exogenous = [*(["(intercept)"] if spec.intercept else []), *spec.exog]
    facts = {
        "Formula": spec.to_r(),
        "Estimator": _estimator(agreement),
        "Dependent variable": spec.dependent,
        "Endogenous regressors": ", ".join(spec.endog) or "none: least squares",
        "Excluded instruments": ", ".join(spec.instruments) or "none",
        "Exogenous regressors": ", ".join(exogenous) or "none",
        "Offset": spec.offset or "",
        "Weights": spec.weights or "",
        "Reference distribution": _distribution(str(spec.inference)),
        "Rows used": str(agreement.n),
        "Data": "" if entry.data is None else f"{entry.data.name}, from {entry.data.source}",
        "Citation": "" if entry.data is None else entry.data.citation,
        "SHA-256 of the file": "" if entry.data is None else entry.data.sha256,
        "SHA-256 of the columns used": sha,
    }
    return tuple((name, value) for name, value in facts.items() if value)


def _estimator(agreement: Agreement) -> str:
    """LIML or Fuller with its κ; empty for least squares, one-stage or two-stage."""
    kappa = agreement.comparisons[0].reference.kappa if agreement.comparisons else None
    return "" if kappa is None else f"{agreement.spec.method.heading}, kappa = {kappa:.10g}"


def _distribution(inference: str) -> str:
    return {"t": "Student's t with n − k degrees of freedom", "z": "standard normal"}.get(inference, inference)


def _handshakes(comparisons: Sequence[Comparison]) -> tuple[Handshake, ...]:
    by_checks: dict[tuple[Check, ...], list[str]] = {}
    for comparison in comparisons:
        by_checks.setdefault(comparison.handshake, []).append(comparison.vcov)
    shared = len(by_checks) == 1
    return tuple(Handshake("" if shared else ", ".join(vcovs), checks) for checks, vcovs in by_checks.items())


def _remarks(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    sides = [estimate for c in comparisons for estimate in (c.reference, c.candidate)]
    notes = [note for side in sides for note in side.notes]
    warnings = [f"{_ENGINES.get(side.engine, side.engine)} warns: {text}" for side in sides for text in side.warnings]
    return tuple(dict.fromkeys([*notes, *warnings]))


def _sources(agreement: Agreement) -> tuple[Source, ...]:
    sources = []
    for found in agreement.provenance:
        facts = {
            "versions": ", ".join(f"{name} {version}" for name, version in found.versions.items()),
            "platform": found.platform,
            "BLAS": found.blas,
            "threads": found.threads,
            "SHA-256 of the script": found.script_sha256,
            "computed": found.recorded_on,
        }
        pairs = tuple((name, value) for name, value in facts.items() if value)
        sources.append(Source(_ENGINES.get(found.engine, found.engine), pairs))
    return tuple(sources)
