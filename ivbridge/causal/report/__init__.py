"""The analysis of one effect as a page, as Markdown, as JSON and as text: formats, never computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ivbridge.causal.analysis import Analysis
from ivbridge.causal.report.page import html, markdown
from ivbridge.causal.report.text import text
from ivbridge.errors import UnsupportedError
from ivbridge.place import check_folder, write_text

__all__ = ["check_path", "html", "markdown", "text", "write"]

_WRITERS: dict[str, Callable[[Analysis], str]] = {".html": html, ".md": markdown, ".json": Analysis.to_json}


def check_path(path: Path) -> None:
    """Refuse a report that could not be written, before any work is done.

    Raises
    ------
    UnsupportedError
        If no report has such an ending.
    DataError
        If the folder does not exist.
    """
    if path.suffix.lower() not in _WRITERS:
        raise UnsupportedError(f"A report cannot be {path.name}.", available="names ending in " + " ".join(_WRITERS))
    check_folder(path)


def write(found: Analysis, path: Path) -> None:
    """Write a report in the format that the ending names: ``.html``, ``.md`` or ``.json``.

    Raises
    ------
    UnsupportedError, DataError
        As :func:`check_path`, or if the file cannot be written.
    """
    check_path(path)
    write_text(path, _WRITERS[path.suffix.lower()](found))
