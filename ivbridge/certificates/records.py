"""What a certificate holds, and the forms that it can be written in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivbridge import serial
from ivbridge.certificates.badge import badge
from ivbridge.errors import UnsupportedError
from ivbridge.place import check_folder, write_text
from ivbridge.report.cells import Number, number
from ivbridge.report.render import fill

__all__ = ["END", "FORMS", "START", "Answered", "Asked", "Certificate", "Certified", "Outcome"]

#: Between these stands the JSON that a page carries.
START, END = "ivbridge-certificate-begin", "ivbridge-certificate-end"


@dataclass(frozen=True, slots=True)
class Asked:
    """What :func:`~ivbridge.certificates.verify.check_again` asks again.

    Attributes
    ----------
    formula, inference, method : str
    weights : str or None
    vcovs, engines : tuple of str
    data : str
        A bundled name or a path; empty for a data frame.
    file_sha256, columns_sha256 : str
        Of the data file, and of the columns that the question uses.
    n : int
        Rows used.
    """

    formula: str
    inference: str
    method: str
    weights: str | None
    vcovs: tuple[str, ...]
    engines: tuple[str, ...]
    data: str
    file_sha256: str
    columns_sha256: str
    n: int


@dataclass(frozen=True, slots=True)
class Answered:
    """Who answered: the engine and, as (name, value), its versions and machine."""

    engine: str
    facts: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One comparison: the engines under one vcov."""

    vcov: str
    engine: str
    verdict: str
    reason: str
    compared: int
    failed: int
    digits: float


@dataclass(frozen=True, slots=True)
class Certified:
    """One question of a certificate.

    Attributes
    ----------
    name, verdict, reason : str
    digits : float
        Of the worst number.
    asked : Asked or None
        None where the question could not be run.
    facts : tuple of (name, value)
        The question and its data.
    outcomes : tuple of Outcome
    ledger : tuple of tuple of str
        Kind, compared, beyond rounding, fewest digits, where.
    numbers : tuple of tuple of str
        vcov, term, estimate and standard error of the reference, 17 digits.
    not_compared, skipped : tuple of (what, why)
        What does not apply; what has a value and was not compared.
    remarks : tuple of str
    sources : tuple of Answered
    r_code, python_code : str
    """

    name: str
    verdict: str
    reason: str
    digits: float = 0.0
    asked: Asked | None = None
    facts: tuple[tuple[str, ...], ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    ledger: tuple[tuple[str, ...], ...] = ()
    numbers: tuple[tuple[str, ...], ...] = ()
    not_compared: tuple[tuple[str, ...], ...] = ()
    skipped: tuple[tuple[str, ...], ...] = ()
    remarks: tuple[str, ...] = ()
    sources: tuple[Answered, ...] = ()
    r_code: str = ""
    python_code: str = ""


@dataclass(frozen=True, slots=True)
class Certificate:
    """A check, signed off.

    Attributes
    ----------
    verdict : str
        The worst of all questions.
    questions : tuple of Certified
    issued_on : str
        UTC, ISO 8601.
    by, note : str
        Who signs, and what they add; may be empty.
    strict : bool
        Whether anything that was not compared counts as a failure.
    version : str
        Of ivbridge.
    """

    verdict: str
    questions: tuple[Certified, ...]
    issued_on: str
    by: str = ""
    note: str = ""
    strict: bool = False
    version: str = ""

    @property
    def ok(self) -> bool:
        """Whether everything agrees up to rounding; if strict, also whether nothing was left out."""
        complete = not (self.strict and any(question.skipped for question in self.questions))
        return self.verdict in ("identical", "rounding") and complete

    @property
    def digits(self) -> float:
        """Agreeing digits of the worst number of all questions."""
        return min((question.digits for question in self.questions), default=0.0)

    @property
    def compared(self) -> int:
        """Numbers compared."""
        return sum(outcome.compared for question in self.questions for outcome in question.outcomes)

    @property
    def digest(self) -> str:
        """SHA-256 of the content, 64 hexadecimal digits."""
        return _digest(serial.encode(self))

    def to_json(self) -> str:
        """The content and its digest as one JSON object, a line a field."""
        tree = {"format": serial.FORMAT, **serial.encode(self), "digest": self.digest}
        return json.dumps(tree, ensure_ascii=False, allow_nan=False, indent=1) + "\n"

    def to_html(self) -> str:
        """One self-contained page, with the JSON inside."""
        return fill("certificate.html.j2", page=_page(self), data=_embedded(self))

    def to_markdown(self) -> str:
        """GitHub-flavoured Markdown, with the JSON in a comment."""
        return fill("certificate.md.j2", page=_page(self), data=_embedded(self))

    def badge(self) -> str:
        """A small SVG for a README: the verdict and the digits."""
        return badge(self)

    def write(self, path: str | Path) -> None:
        """Write the form that the suffix names: ``.html``, ``.md``, ``.json`` or, the badge alone, ``.svg``.

        Raises
        ------
        UnsupportedError
            If a certificate has no such form.
        DataError
            If the file cannot be written.
        """
        path = Path(path)
        form = FORMS.get(path.suffix.lower())
        if form is None:
            raise UnsupportedError(
                f"A certificate cannot be {path.name}.", available="names ending in " + ", ".join(FORMS)
            )
        check_folder(path)
        write_text(path, form(self))


def _digest(tree: dict[str, Any]) -> str:
    text = json.dumps(tree, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _embedded(certificate: Certificate) -> str:
    """The JSON between two marks, such that neither HTML nor a comment can end in it."""
    plain = json.dumps(json.loads(certificate.to_json()), ensure_ascii=True)
    safe = plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("--", "\\u002d\\u002d")
    return f"{START} {safe} {END}"


def _page(certificate: Certificate) -> dict[str, Any]:
    """What the templates fill in besides the certificate itself."""
    marks = {"identical": "ok", "rounding": "ok", "convention": "named"}
    questions = [
        {"q": q, "mark": marks.get(q.verdict, "bad"), "digits": Number(f"{q.digits:.1f}"),
         "outcomes": [(o, marks.get(o.verdict, "bad"), Number(f"{o.digits:.1f}")) for o in q.outcomes],
         "grid": _grid(q.numbers), "skipped": _by_reason(q.skipped)}
        for q in certificate.questions
    ]  # fmt: skip
    return {"c": certificate, "questions": questions, "mark": marks.get(certificate.verdict, "bad"),
            "digits": Number(f"{certificate.digits:.1f}"), "many": len(questions) > 1}  # fmt: skip


def _by_reason(skipped: tuple[tuple[str, ...], ...]) -> list[tuple[str, str]]:
    """What was not compared, in one entry for each reason."""
    found: dict[str, list[str]] = {}
    for what, why in skipped:
        found.setdefault(why, []).append(what)
    return [(", ".join(whats), why) for why, whats in found.items()]


def _grid(numbers: tuple[tuple[str, ...], ...]) -> list[list[str]]:
    """Estimates and standard errors as a table, its head first; what there is less of goes across."""
    terms, vcovs = (list(dict.fromkeys(row[column] for row in numbers)) for column in (1, 0))
    estimates = {term: number(float(text)) for _, term, text, _ in numbers}
    errors = {(vcov, term): number(float(text)) for vcov, term, _, text in numbers}
    if len(terms) > len(vcovs):
        rows = [[term, estimates[term], *(errors[vcov, term] for vcov in vcovs)] for term in terms]
        return [["", "estimate", *(f"s.e., {vcov}" for vcov in vcovs)], *rows]
    rows = [[f"s.e., {vcov}", *(errors[vcov, term] for term in terms)] for vcov in vcovs]
    return [["", *terms], ["estimate", *(estimates[term] for term in terms)], *rows]


#: How a certificate is written, by suffix.
FORMS: dict[str, Callable[[Certificate], str]] = {
    ".html": Certificate.to_html, ".md": Certificate.to_markdown, ".json": Certificate.to_json,
    ".svg": Certificate.badge,
}  # fmt: skip
