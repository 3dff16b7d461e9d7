"""What the documentation takes from the program is what the program says now: ``docs/make_reference.py``."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import script

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    """The script, as a module."""
    return script("docs/make_reference.py")


def test_commands_and_generated_pages_show_what_the_program_says(reference: ModuleType) -> None:
    stale = [
        str(path.relative_to(ROOT))
        for path, text in reference.wanted()
        if reference.masked(text) != reference.masked(path.read_text(encoding="utf-8"))
    ]
    assert stale == [], "run: python docs/make_reference.py"


def test_a_page_that_shows_something_else_is_found(reference: ModuleType) -> None:
    page = "<!-- run -->\n```console\n$ ivbridge --version\nsomething else\n```\n"
    assert reference.masked(reference.refreshed(page)) != reference.masked(page)
    assert reference.masked("rounding 12.3 digits") == reference.masked("rounding  11.9 digits")
    assert reference.masked("n = 96, 0.1546") != reference.masked("n = 95, 0.1546")


def test_a_page_brings_its_own_files(reference: ModuleType) -> None:
    files = '```toml title="q.toml"\n[[question]]\nformula = "Q ~ P | D"\n```\n'
    page = files + "<!-- run -->\n```console\n$ ivbridge check q.toml\n```\n"
    assert "q.toml: question 1: data is missing." in reference.refreshed(page)
    assert "(exit code 2)" in reference.refreshed(page)
