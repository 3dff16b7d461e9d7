"""docs/reliability.md is what its data say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """The script, as a module."""
    path = list(sys.path)
    spec = importlib.util.spec_from_file_location("make_reliability", ROOT / "docs" / "make_reliability.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


def test_the_page_is_what_its_data_say(page: ModuleType) -> None:
    assert page.render() == page.TARGET.read_text(encoding="utf-8"), "run: python docs/make_reliability.py"
