"""docs/reliability.md is what its data say."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.scripts import script

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """The script, as a module."""
    return script("docs/make_reliability.py")


def test_the_page_is_what_its_data_say(page: ModuleType) -> None:
    assert page.PAGE.render() == page.PAGE.target.read_text(encoding="utf-8"), "run: python docs/make_reliability.py"
