"""An agreement as a document: one self-contained HTML file, Markdown, LaTeX or JSON.

Formats, never computes: every number in a report stands in the :class:`~ivbridge.agreement.Agreement`.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ivbridge.agreement import Agreement
from ivbridge.errors import UnsupportedError
from ivbridge.place import check_folder, write_text
from ivbridge.report.entry import COULD_NOT_RUN, Entry
from ivbridge.report.render import render
from ivbridge.verdicts import LADDER

__all__ = ["COULD_NOT_RUN", "Entry", "check_path", "html", "json", "latex", "markdown", "worst_verdict", "write"]

Reportable = Agreement | Sequence[Entry]


def _entries(subject: Reportable) -> tuple[Entry, ...]:
    return (Entry(subject),) if isinstance(subject, Agreement) else tuple(subject)


def html(subject: Reportable) -> str:
    """One HTML file that needs no network and no scripts; light and dark, phone, desktop and print.

    Parameters
    ----------
    subject : Agreement or sequence of Entry
    """
    return render("report.html.j2", _entries(subject))


def markdown(subject: Reportable) -> str:
    """GitHub-flavoured Markdown."""
    return render("report.md.j2", _entries(subject))


def latex(subject: Reportable) -> str:
    """A LaTeX document for pdfLaTeX, XeLaTeX or LuaLaTeX with the packages of a basic installation."""
    return render("report.tex.j2", _entries(subject))


def worst_verdict(entries: Sequence[Entry]) -> str:
    """The worst verdict of several questions; ``could not run`` is worse than any."""
    return max((entry.verdict for entry in entries), key=[*LADDER, COULD_NOT_RUN].index)


def json(subject: Reportable) -> str:
    """One JSON object: that of :meth:`Agreement.to_json`, or one for several questions.

    The latter has ``verdict digits n engines questions``, and ``comparisons`` of all questions in one list, each with
    the name of its ``question``.
    """
    if isinstance(subject, Agreement):
        return subject.to_json()
    entries = _entries(subject)
    if len(entries) == 1 and isinstance(entries[0].outcome, Agreement) and not entries[0].name:
        return entries[0].outcome.to_json()
    agreements = [entry.outcome for entry in entries if isinstance(entry.outcome, Agreement)]
    engines = dict.fromkeys(name for agreement in agreements for name in agreement.engines)
    verdict = worst_verdict(entries)
    questions = [_plain(entry) for entry in entries]
    comparisons = [{"question": q["name"], **row} for q in questions for row in q.pop("comparisons")]
    tree = {
        "format": "ivbridge/1",
        "type": "Agreements",
        "verdict": verdict,
        "ok": verdict in ("identical", "rounding"),
        "digits": min((agreement.digits for agreement in agreements), default=0.0),
        "n": sum(agreement.n for agreement in agreements),
        "engines": list(engines),
        "questions": questions,
        "comparisons": comparisons,
    }
    return json_module.dumps(tree, ensure_ascii=False, allow_nan=False)


def _plain(entry: Entry) -> dict[str, Any]:
    if isinstance(entry.outcome, Agreement):
        return {"name": entry.name, **json_module.loads(entry.outcome.to_json())}
    return {"name": entry.name, "verdict": COULD_NOT_RUN, "ok": False, "error": type(entry.outcome).__name__,
            "message": str(entry.outcome), "comparisons": []}  # fmt: skip


_WRITERS: dict[str, Callable[[Reportable], str]] = {".html": html, ".md": markdown, ".tex": latex, ".json": json}


def check_path(path: str | Path) -> Callable[[Reportable], str]:
    """The format of a report, by its suffix; raises before any work is done.

    Raises
    ------
    UnsupportedError
        If no report has such a suffix.
    DataError
        If the folder does not exist.
    """
    path = Path(path)
    writer = _WRITERS.get(path.suffix.lower())
    if writer is None:
        raise UnsupportedError(f"A report cannot be {path.name}.", available="names ending in " + ", ".join(_WRITERS))
    check_folder(path)
    return writer


def write(subject: Reportable, path: str | Path) -> None:
    """Write a report in the format that the suffix names: ``.html``, ``.md``, ``.tex`` or ``.json``.

    Parameters
    ----------
    subject : Agreement or sequence of Entry
    path : str or Path
        An existing file is replaced.

    Raises
    ------
    UnsupportedError
        If no report has such a suffix.
    DataError
        If the folder does not exist or the file cannot be written.
    """
    writer = check_path(path)
    write_text(path, writer(subject))
