"""``ivbridge.certify``: a check becomes a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import ivbridge
from ivbridge.agreement import Agreement
from ivbridge.certificates.records import Answered, Asked, Certificate, Certified, Outcome
from ivbridge.data import Dataset
from ivbridge.errors import DataError
from ivbridge.report import Entry, worst_verdict
from ivbridge.report.view import Failed, Section, document

__all__ = ["certified", "certify"]


def certify(
    subject: Agreement | Sequence[Entry],
    data: Dataset | None = None,
    *,
    by: str = "",
    note: str = "",
    strict: bool = False,
) -> Certificate:
    """Turn a check into a certificate.

    Parameters
    ----------
    subject : Agreement or sequence of Entry
        What :func:`ivbridge.crosscheck` or :func:`ivbridge.crosscheck_many` returned.
    data : Dataset, optional
        Where the data of an agreement come from; entries know theirs.
    by, note : str, optional
        Who signs, and what they add.
    strict : bool, default False
        Count as a failure what has a value and was not compared.

    Returns
    -------
    Certificate

    Raises
    ------
    DataError
        If there is no question.
    """
    entries = [Entry(subject, data=data)] if isinstance(subject, Agreement) else list(subject)
    if not entries:
        raise DataError("There is no question to certify.", do="pass an Agreement, or entries of a check.")
    pairs = zip(entries, document(entries).sections, strict=True)
    return Certificate(
        verdict=worst_verdict(entries),
        questions=tuple(_certified(entry, section) for entry, section in pairs),
        issued_on=datetime.now(UTC).isoformat(timespec="seconds"),
        by=by,
        note=note,
        strict=strict,
        version=ivbridge.__version__,
    )


def certified(entry: Entry) -> Certified:
    """What a certificate says of one question."""
    (section,) = document([entry]).sections
    return _certified(entry, section)


def _certified(entry: Entry, section: Section | Failed) -> Certified:
    if isinstance(section, Failed):
        return Certified(section.heading, section.verdict, section.message)
    found = section.agreement
    return Certified(
        name=section.heading,
        verdict=found.verdict,
        reason=found.reason,
        digits=found.digits,
        asked=_asked(found, entry.data),
        facts=section.facts,
        outcomes=tuple(
            Outcome(c.vcov, c.candidate.engine, c.verdict, c.reason, len(c.gaps), sum(not gap.ok for gap in c.gaps),
                    0.0 if c.worst is None else c.worst.digits)
            for c in found.comparisons
        ),
        ledger=tuple((r.group, str(r.compared), str(r.failed), str(r.digits), r.where) for r in section.ledger),
        numbers=_numbers(found),
        not_compared=section.not_compared,
        skipped=tuple(found.skipped.items()),
        remarks=section.remarks,
        sources=tuple(Answered(source.engine, source.facts) for source in section.sources),
        r_code=section.r_code,
        python_code=section.python_code,
    )  # fmt: skip


def _asked(found: Agreement, data: Dataset | None) -> Asked:
    spec = found.spec
    names = tuple("recorded" if name.startswith("recorded") else name for name in found.engines)
    return Asked(
        formula=spec.to_r(), inference=str(spec.inference), method=str(spec.method), weights=spec.weights,
        vcovs=tuple(dict.fromkeys(c.vcov for c in found.comparisons)), engines=names,
        data="" if data is None else data.name if data.citation else data.source,
        file_sha256="" if data is None else data.sha256,
        columns_sha256=found.comparisons[0].reference.data_sha256 if found.comparisons else "", n=found.n,
    )  # fmt: skip


def _numbers(found: Agreement) -> tuple[tuple[str, ...], ...]:
    """Estimates and standard errors of the reference, once for each vcov."""
    references = {c.vcov: c.reference.coefs for c in found.comparisons}
    return tuple(
        (vcov, term, repr(float(estimate)), repr(float(error)))
        for vcov, coefs in references.items()
        for term, estimate, error in zip(coefs.terms, coefs.estimate, coefs.std_error, strict=True)
    )
