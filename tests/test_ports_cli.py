"""``ivbridge port``, and the pages of worked examples."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ivbridge.cli import app
from tests.scripts import script

ROOT = Path(__file__).resolve().parents[1]
MAD = ["port", "scipy.stats:median_abs_deviation", "--r", "stats::mad"]


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, [*arguments])
    return done.exit_code, done.output


@pytest.fixture
def same(tmp_path: Path) -> str:
    path = tmp_path / "same_constant.py"
    path.write_text(
        "from ivbridge import ports\ncases = {'x': ports.vectors()}\n"
        "def to_r(case):\n    return {**case, 'constant': 1.0}\n"
        "options = ports.PortOptions(examples=40)\n"
    )
    return str(path)


def test_it_finds_shrinks_records_and_replays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, text = run(*MAD, "--examples", "60", "--save", "kept", "--report", "found.md")
    assert code == 1
    assert "R's times 0.6744907595" in text and "print(stats::mad(c(" in text
    (path,) = (tmp_path / "kept").glob("stats-mad-*.json")
    assert json.loads(path.read_text())["command"].startswith(
        "ivbridge port scipy.stats:median_abs_deviation --r stats::mad"
    )
    assert "```r\nprint(stats::mad(" in (tmp_path / "found.md").read_text()
    assert run(*MAD, "--replay", "kept")[0] == 1


def test_agreement_is_zero_and_json_is_one_object(same: str) -> None:
    code, text = run(*MAD, "--cases", same, "--json")
    plain = json.loads(text)
    assert code == 0 and plain["ok"] and plain["verdict"] == "identical"
    assert plain["ledger"]["tried"] == plain["ledger"]["compared"] == 40


def test_a_question_that_cannot_be_run_is_two(tmp_path: Path, same: str) -> None:
    (tmp_path / "empty.py").write_text("")
    for arguments, message in (
        ([*MAD, "--cases", str(tmp_path / "none.py")], "no file of cases"),
        ([*MAD, "--cases", str(tmp_path / "empty.py")], "defines no `cases`"),
        (["port", "scipy.stats:median_abs_deviation", "--r", "mad", "--cases", same], "does not name an R function"),
        (["port", "scipy.stats.nothing", "--r", "stats::mad"], "does not name a Python function"),
        ([*MAD, "--report", "found.docx"], ".md and .json"),
        ([*MAD, "--replay", str(tmp_path)], "no recorded case"),
    ):
        code, text = run(*arguments)
        assert code == 2 and message in text, text


BROKEN_CASES = {
    "import sys\nsys.exit(0)": "line 2 raised SystemExit: 0",
    "\n1 / 0": "line 2 raised ZeroDivisionError",
    "cases = (": "raised SyntaxError",
    "cases = [{'x': 1.0}]\noptions = {'seed': 1}": "options are ports.PortOptions",
    "cases = [{'x': 1.0}]\noutputs = ['a']": "outputs are ports.Output",
    "cases = [{'x': 1.0}]\ndef to_r(case):\n    return case['y']": "to_r raised KeyError: 'y'",
    "from ivbridge import ports\ncases = {'x': ports.vectors().filter(lambda x: False)}": "drew no case",
    "from ivbridge import ports\ncases = {'x': ports.vectors().map(lambda x: x.y)}": "cannot be drawn: AttributeError",
}


@pytest.mark.parametrize("text", BROKEN_CASES)
def test_a_broken_file_of_cases_is_two_and_never_agrees(text: str, tmp_path: Path) -> None:
    path = tmp_path / "broken_cases.py"
    path.write_text(text)
    code, said = run(*MAD, "--cases", str(path))
    assert code == 2 and BROKEN_CASES[text] in said and "Traceback" not in said, said


def test_ports_that_do_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "odd_ports.py").write_text(
        "def hangs(x):\n    while True:\n        try:\n            x = x + 0\n        except Exception:\n"
        "            pass\n\n"
        "def leaves(x):\n    raise SystemExit(0)\n\n"
        "def forgot(x):\n    pass\n\n"
        "def endless(x):\n    x = []\n    x.append(x)\n    return x\n"
    )
    (tmp_path / "odd_cases.py").write_text(
        "from ivbridge import ports\ncases = {'x': ports.vectors()}\n"
        "options = ports.PortOptions(examples=10, timeout=0.5)\n"
    )
    for function, r, code, message in (
        ("hangs", "base::mean", 2, "took longer than 0.5 seconds; its case was {'x': array("),
        ("leaves", "base::mean", 1, "raises only in Python: Python SystemExit: 0"),
        ("forgot", "base::levels", 1, "No answer held a number or a text: nothing was compared."),
        ("endless", "base::mean", 2, "Python's answer holds itself"),
    ):
        found, text = run("port", f"odd_ports:{function}", "--r", r, "--cases", "odd_cases.py")
        assert found == code and message in text, text
    assert not (tmp_path / ".hypothesis").exists()


def test_every_page_says_how_it_is_made_and_shows_its_files() -> None:
    page_of = script("docs/make_ports.py")
    for name, page in page_of.PAGES.items():
        text = (ROOT / "docs" / "ports" / f"{name}.md").read_text(encoding="utf-8")
        assert f"python docs/make_ports.py {name}" in text
        for section in page.sections:
            assert f"$ {section.command}\n" in text and section.text in text
        for file in page.files:
            assert (ROOT / "docs" / "ports" / f"{file}.py").read_text(encoding="utf-8").strip() in text
        assert {path.stem for path in (ROOT / "docs" / "ports").glob("*.py")} >= set(page.files)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mad", "hac", "hc", "quantile"])
def test_the_pages_are_what_their_commands_find(name: str, tmp_path: Path) -> None:
    """Verdicts and findings; how many cases agree, and the last digits, are those of one machine."""

    def kept(text: str) -> list[str]:
        return re.findall(
            r"^\*\*(?:identical|rounding|convention|substantive)\*\*|^\d+\. [\w ]+", text, flags=re.MULTILINE
        )

    # in a program of its own: Hypothesis also draws constants of the modules that are loaded
    done = [sys.executable, str(ROOT / "docs" / "make_ports.py"), name, "--to", str(tmp_path)]
    subprocess.run(done, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    made = kept((tmp_path / f"{name}.md").read_text(encoding="utf-8"))
    assert made == kept((ROOT / "docs" / "ports" / f"{name}.md").read_text(encoding="utf-8"))
    assert made
