"""The analysis of one effect as a page, as Markdown, as JSON and as text: formats, never computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ivbridge.causal.analysis import Analysis
from ivbridge.causal.report.page import html, markdown
from ivbridge.causal.report.text import text
from ivbridge.place import check_report, write_text

__all__ = ["check_path", "html", "markdown", "text", "write"]

_WRITERS: dict[str, Callable[[Analysis], str]] = {".html": html, ".md": markdown, ".json": Analysis.to_json}


def check_path(path: Path) -> None:
    """As :func:`ivbridge.place.check_report`."""
    check_report(path, _WRITERS)


def write(found: Analysis, path: Path) -> None:
    """Write a report in the format that the ending names: ``.html``, ``.md`` or ``.json``.

    Raises
    ------
    UnsupportedError, DataError
        As :func:`check_path`, or if the file cannot be written.
    """
    check_path(path)
    write_text(path, _WRITERS[path.suffix.lower()](found))
