"""Each check of code fires on a snippet that has its mistake, and is silent on the same snippet without it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ivbridge.audit.catalogue import catalogue
from ivbridge.audit.checking import audit
from ivbridge.audit.records import AuditReport

SNIPPETS = (Path(__file__).parent / "data" / "audit_snippets.md").read_text(encoding="utf-8")
#: Name of a check: code with the mistake, code without it.
CASES: dict[str, tuple[str, str]] = {
    name: (faulty, corrected)
    for name, faulty, corrected in re.findall(
        r"^## (\S+)\n\n```python\n(.*?)```\n\n```python\n(.*?)```", SNIPPETS, re.MULTILINE | re.DOTALL
    )
}
AGE = "age      -0.2942      0.006    -49.784\n"
#: Checks of cells and outputs: cells as (kind, source, output), with the mistake and without it.
BOOKS: dict[str, tuple[list[tuple[str, str, str]], list[tuple[str, str, str]]]] = {
    "names-overwritten": (
        [("code", "X = [1, 2]", ""), ("code", "X = {'a': 1}", "")],
        [("code", "X = [1, 2]", ""), ("code", "X = sorted(X)\nother = {'a': 1}", "")],
    ),
    "named-not-computed": (
        [("markdown", "See also Rosenbaum bounds.", ""), ("code", "x = 1", "")],
        [("markdown", "See also Rosenbaum bounds.", ""), ("code", "from mine import rosenbaum", "")],
    ),
    "convergence-warning": (
        [("code", "fit()", "ConvergenceWarning: lbfgs failed to converge (status=1):")],
        [("code", "fit()", "fitted in 12 iterations")],
    ),
    "r-squared-one": (
        [("code", "fit()", "Dep. Variable:     Y   R-squared:                       1.000\n")],
        [("code", "fit()", "Dep. Variable:     Y   R-squared:                       0.812\n")],
    ),
    "columns-of-unequal-scale": (
        [("code", "fit()", AGE + "income    0.0200   4.83e-06   4142.593\nCond. No. 4.38e+05")],
        [("code", "fit()", AGE + "income    0.0200   0.004   4.593\nCond. No. 3.2")],
    ),
}  # fmt: skip

#: Checks that look at columns, tested in test_audit_data.py.
OF_DATA = {name for name, check in catalogue().items() if check.looks_at == "data"}


def of_code(code: str, folder: Path, roles: str = "") -> AuditReport:
    """The audit of a script."""
    path = folder / "script.py"
    path.write_text(code, encoding="utf-8")
    return audit(path, roles)


def of_cells(cells: list[tuple[str, str, str]], folder: Path) -> AuditReport:
    """The audit of a notebook of these cells: kind, source, what it printed."""
    book = [{"cell_type": kind, "metadata": {}, "source": source,
             "outputs": [{"output_type": "stream", "name": "stdout", "text": text}] if text else []}
            for kind, source, text in cells]  # fmt: skip
    path = folder / "book.ipynb"
    path.write_text(json.dumps({"cells": book, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}), encoding="utf-8")
    return audit(path)


def test_every_check_has_a_case() -> None:
    assert set(CASES) | set(BOOKS) == set(catalogue()) - OF_DATA


@pytest.mark.parametrize("check", CASES)
def test_the_mistake_is_found(check: str, tmp_path: Path) -> None:
    found = of_code(CASES[check][0], tmp_path).of(check)
    assert len(found) >= 1
    assert found[0].line > 0
    assert found[0].found
    assert found[0].code


@pytest.mark.parametrize("check", CASES)
def test_the_corrected_snippet_is_clean(check: str, tmp_path: Path) -> None:
    """No other check fires, either, but on what the snippet leaves out on purpose."""
    found = {one.check.id for one in of_code(CASES[check][1], tmp_path).findings}
    assert found == set()


@pytest.mark.parametrize("check", BOOKS)
def test_cells_and_outputs(check: str, tmp_path: Path) -> None:
    faulty, corrected = BOOKS[check]
    assert [one.check.id for one in of_cells(faulty, tmp_path).findings] == [check]
    assert of_cells(corrected, tmp_path).findings == ()


OTHERS = (Path(__file__).parent / "data" / "audit_variants.md").read_text(encoding="utf-8")
#: Check, a piece of what it says, code.
VARIANTS = re.findall(r"^## (\S+): ([^\n]+)\n\n```python\n(.*?)```", OTHERS, re.MULTILINE | re.DOTALL)


def test_all_variants_are_read() -> None:
    assert len(VARIANTS) == OTHERS.count("\n## ")


@pytest.mark.parametrize(("check", "said", "code"), VARIANTS)
def test_other_ways_to_make_it(check: str, said: str, code: str, tmp_path: Path) -> None:
    found = of_code(code, tmp_path).of(check)
    assert said in " ".join(one.found for one in found)


def test_the_treatment_can_be_named(tmp_path: Path) -> None:
    code = "gap = df.loc[df['voucher'] == 1, 'Y'].mean() - df.loc[df['voucher'] == 0, 'Y'].mean()"
    assert of_code(code, tmp_path).findings == ()
    assert len(of_code(code, tmp_path, "treatment=voucher").of("difference-without-error")) == 1
    assert of_code(code.replace("voucher", "T"), tmp_path, "treatment=voucher").findings == ()
