"""Read a certificate, see whether it was changed, and ask its questions again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import ivbridge
from ivbridge import serial
from ivbridge.certificates.issue import certified
from ivbridge.certificates.records import END, FORMS, START, Certificate, Certified
from ivbridge.compare import crosscheck
from ivbridge.data import read
from ivbridge.errors import DataError
from ivbridge.gaps import Gap
from ivbridge.report import COULD_NOT_RUN, Entry
from ivbridge.verdicts import LADDER

__all__ = ["check_again", "read_certificate", "verify_certificate"]

#: A certificate of a thousand questions is smaller.
MAX_BYTES = 64 << 20
#: Digits by which the worst number of another machine may be worse.
MOST_DIGITS = 2.0


def read_certificate(path: str | Path) -> Certificate:
    """Read a certificate from its JSON, or from the page that carries it.

    Raises
    ------
    DataError
        If there is no such file, it holds no certificate, or its content does not fit its digest.
    """
    found, written = _read(Path(path))
    if found.digest != written:
        raise DataError(f"{path}: {_changed(found, written)}.", do="issue it again, or ask for the original.")
    return found


def verify_certificate(path: str | Path) -> list[str]:
    """What is wrong with a certificate; empty where it is as it was issued.

    Its content has to fit its digest and must not contradict itself, and a page in HTML or Markdown has to be the one
    that its content gives. A badge.svg beside a certificate.html, .md or .json has to be its badge.

    Raises
    ------
    DataError
        If there is no such file, or it holds no certificate.
    """
    path = Path(path)
    found, written = _read(path)
    wrong = [] if found.digest == written else [_changed(found, written)]
    wrong += _contradictions(found)
    form = FORMS.get(path.suffix.lower())
    badge = path.with_name("badge.svg")
    if path.stem == "certificate" and badge.is_file() and _text(badge) != found.badge():
        wrong.append(f"{badge} is not its badge")
    if not wrong and form is not None and form(found) != _text(path):
        other = f", and was drawn by ivbridge {found.version} (this is {ivbridge.__version__})"
        same = found.version == ivbridge.__version__
        wrong.append(f"the file is not what its content gives{'' if same else other}")
    return wrong


def _contradictions(found: Certificate) -> Iterator[str]:
    """Where verdicts and counts do not follow from each other as they must."""
    ladder = [*LADDER, COULD_NOT_RUN]
    said = {question.verdict for question in found.questions}
    said |= {outcome.verdict for question in found.questions for outcome in question.outcomes}
    if unknown := {found.verdict, *said} - {*ladder}:
        yield f"{min(unknown)!r} is no verdict"
        return
    if found.verdict != (worst := max((question.verdict for question in found.questions), key=ladder.index)):
        yield f"it says {found.verdict}, and its worst question says {worst}"
    for question in found.questions:
        outcomes = question.outcomes
        if not outcomes:
            if question.verdict not in (COULD_NOT_RUN, "not comparable"):
                yield f"{question.name}: {question.verdict}, and nothing was compared"
            continue
        if question.verdict != (worst := max((outcome.verdict for outcome in outcomes), key=ladder.index)):
            yield f"{question.name}: it says {question.verdict}, and its worst comparison says {worst}"
        if any(one.failed > 0 or not one.compared for one in outcomes if one.verdict in ("identical", "rounding")):
            yield f"{question.name}: a comparison agrees in which numbers differ, or none was compared"
        if all(one.compared for one in outcomes) and question.digits != min(one.digits for one in outcomes):
            yield f"{question.name}: its digits are not those of its worst comparison"
        if sum(one.compared for one in outcomes) != sum(int(row[1]) for row in question.ledger):
            yield f"{question.name}: comparisons and ledger count other numbers"


def _changed(found: Certificate, written: str) -> str:
    return (
        f"it was changed after it was issued: its content has the digest {found.digest[:16]}…, and it says "
        f"{written[:16]}…"
    )


def _read(path: Path) -> tuple[Certificate, str]:
    """A certificate and the digest that stands in it."""
    text = _text(path)
    if inside := re.search(rf"{START} (.*?) {END}", text, re.DOTALL):
        text = inside.group(1)
    try:
        tree = json.loads(text)
        written = str(tree.pop("digest"))
        found: Certificate = serial.loads(Certificate, json.dumps(tree))
        if not found.questions:
            raise DataError("it has no question")
        found.to_markdown()  # fails where something has not the type that it should have
    except (ValueError, RecursionError, AttributeError, TypeError, LookupError, ArithmeticError) as error:
        raise DataError(f"{path} holds no certificate of ivbridge: {error}.") from error
    return found, written


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path} is too large to be a certificate.")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error


def check_again(certificate: Certificate) -> list[str]:
    """Ask every question of a certificate anew, of the data where they are now.

    Parameters
    ----------
    certificate : Certificate

    Returns
    -------
    list of str
        What is no longer as certified; empty where all is.

    Raises
    ------
    IvbridgeError
        If a question cannot be asked here: its data or R are missing, for example.
    """
    return [f"{question.name}: {found}" for question in certificate.questions for found in _differences(question)]


def _differences(question: Certified) -> Iterator[str]:
    asked = question.asked
    if asked is None or not asked.data:
        yield "it could not be run" if asked is None else "its data were a data frame, which no file holds"
        return
    data = read(asked.data)
    if data.sha256 != asked.file_sha256:
        yield f"{asked.data} is another file now (SHA-256 {data.sha256[:16]}…, certified {asked.file_sha256[:16]}…)"
    found = crosscheck(
        asked.formula, data, asked.vcovs, asked.engines, weights=asked.weights, inference=asked.inference,
        method=asked.method,
    )  # fmt: skip
    if found.verdict != question.verdict:
        yield f"the verdict is {found.verdict}, certified {question.verdict}"
    if found.n != asked.n:
        yield f"{found.n} rows are used, certified {asked.n}"
    if question.digits > found.digits + MOST_DIGITS:
        yield f"{found.digits:.1f} digits agree, certified {question.digits:.1f}"
    now = certified(Entry(found, question.name, data))
    before = _stable(question)
    yield from (f"{what} now" for what, said in _stable(now).items() if said != before[what])
    yield from _moved(question, {(c.vcov, gap.quantity, gap.term): gap for c in found.comparisons for gap in c.gaps})


def _stable(question: Certified) -> dict[str, object]:
    """What another machine says with the same words."""
    facts = [fact for fact in question.facts if fact[0] != "Estimator"]  # its κ has digits of the machine
    return {
        "its facts are others": facts,
        "the columns that it uses are others": None if question.asked is None else question.asked.columns_sha256,
        "its reason is another": re.sub(r"\d+\.\d+", "#", question.reason),
        "other comparisons are made": [(one.vcov, one.engine, one.compared) for one in question.outcomes],
        "its ledger counts other numbers": [(row[0], row[1]) for row in question.ledger],
        "other things do not apply": question.not_compared,
        "other things are left out": question.skipped,
        "R's code is another": question.r_code,
        "Python's code is another": question.python_code,
    }


def _moved(question: Certified, gaps: dict[tuple[str, str, str], Gap]) -> Iterator[str]:
    """Certified numbers that the reference no longer gives to rounding."""
    for vcov, term, *texts in question.numbers:
        for quantity, text in zip(("estimate", "std.error"), texts, strict=True):
            gap, value = gaps.get((vcov, quantity, term)), float(text)
            if gap is None:
                yield f"{quantity} of {term} under {vcov} is gone"
            elif not abs(gap.reference - value) <= gap.bound * abs(value):
                yield f"{quantity} of {term} under {vcov} is {gap.reference:.17g}, certified {text}"
