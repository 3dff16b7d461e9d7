"""Every Python block of the documentation and every example in a docstring is run."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

import ivbridge

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
MODULES = sorted(
    ".".join(["ivbridge", *path.relative_to(ROOT / "ivbridge").with_suffix("").parts]).removesuffix(".__init__")
    for path in (ROOT / "ivbridge").rglob("*.py")
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def blocks(text: str) -> list[tuple[int, str]]:
    """Line number and source of each ``python`` block of a Markdown page, in order."""
    fence = re.compile(r"^( *)```python[^\n]*\n(.*?)^\1```", flags=re.DOTALL | re.MULTILINE)
    found = []
    for match in fence.finditer(text):
        indent = len(match.group(1))
        source = "".join(line[indent:] or "\n" for line in match.group(2).splitlines(keepends=True))
        found.append((text.count("\n", 0, match.start(2)), source))
    return found


def run(page: Path, namespace: dict[str, object]) -> list[str]:
    """Run the blocks of a page in one namespace; blocks with ``>>>`` also have their output compared."""
    failures: list[str] = []
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=FLAGS, verbose=False)
    for line, source in blocks(page.read_text(encoding="utf-8")):
        if ">>>" in source:
            test = parser.get_doctest(source, namespace, page.name, str(page), line)
            runner.run(test, out=failures.append, clear_globs=False)
            namespace.update(test.globs)
        else:
            exec(compile("\n" * line + source, str(page), "exec"), namespace)
    return failures


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_pages_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(page, {"__name__": "__main__"}) == []


@pytest.mark.parametrize("name", MODULES)
def test_docstrings_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name), optionflags=FLAGS).failed == 0


def test_a_wrong_page_fails(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\n1. in a list\n\n   ```python\n   >>> x + 1\n   3\n\n   ```\n")
    (failure,) = [text for text in run(page, {}) if "Expected" in text]
    assert "Got:\n    2" in failure
    page.write_text("```python\nraise KeyError\n```\n")
    with pytest.raises(KeyError):
        run(page, {})


def test_links_between_pages_lead_somewhere() -> None:
    link = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
    dead = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in PAGES
        for target in link.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    ]
    assert dead == []


def test_the_version_is_the_packages() -> None:
    assert f'version = "{ivbridge.__version__}"' in (ROOT / "pyproject.toml").read_text()
