"""An audit as an HTML page, Markdown or JSON: formats, never computes."""

from __future__ import annotations

from pathlib import Path

import ivbridge
from ivbridge.audit.records import AuditReport
from ivbridge.place import check_report, write_text
from ivbridge.report.render import fill

__all__ = ["check_path", "html", "markdown", "write"]

_ENDINGS = (".html", ".md", ".json")
_LEVELS = ("fault", "warning", "note")


def check_path(path: Path) -> None:
    """As :func:`ivbridge.place.check_report`."""
    check_report(path, _ENDINGS)


def html(report: AuditReport) -> str:
    """One HTML file without scripts and without network; light and dark."""
    return fill("audit.html.j2", **_values(report))


def markdown(report: AuditReport) -> str:
    """GitHub-flavoured Markdown."""
    return fill("audit.md.j2", **_values(report))


def write(report: AuditReport, path: Path) -> None:
    """Write a report in the format of its ending.

    Raises
    ------
    DataError
        If it cannot be written.
    """
    kind = path.suffix.lower()
    write_text(
        path, report.to_json(indent=1) if kind == ".json" else markdown(report) if kind == ".md" else html(report)
    )


def _values(report: AuditReport) -> dict[str, object]:
    found = {one.check.id for one in report.findings}
    return {
        "report": report,
        "groups": [(level, [one for one in report.findings if one.level == level]) for level in _LEVELS],
        "silent": [one for one in report.looked_for if one.id not in found],
        "mark": "ok" if report.ok else "bad" if report.counts["fault"] else "named",
        "version": ivbridge.__version__,
    }
