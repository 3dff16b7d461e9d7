"""docs/notebook.md is what its data say, and the data hold a row for everything that the notebook prints."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from ivbridge.workbook.analysis import workbook
from ivbridge.workbook.faults import faults
from ivbridge.workbook.printed import printed, rounds_to
from ivbridge.workbook.rows import VERDICTS
from tests.scripts import script


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """The script, as a module."""
    return script("docs/make_notebook.py")


def test_the_page_is_what_its_data_say(page: ModuleType) -> None:
    assert page.render() == page.TARGET.read_text(encoding="utf-8"), "run: python docs/make_notebook.py"


@pytest.mark.parametrize("name", ["rows", "measured", "agreement", "coverage"])
def test_other_data_give_another_page(
    page: ModuleType, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(page.DATA, tmp_path / "notebook")
    monkeypatch.setattr(page, "DATA", tmp_path / "notebook")
    same = page.render()
    assert same == page.TARGET.read_text(encoding="utf-8")
    data = page.frame(name)
    column = {"rows": "today", "measured": "value", "agreement": "digits", "coverage": "coverage"}[name]
    data[column] += 1
    data.to_csv(tmp_path / "notebook" / f"{name}.csv", index=False)
    assert page.render() != same


def test_every_printed_number_has_its_row_and_a_verdict_that_holds(page: ModuleType) -> None:
    rows = page.frame("rows")
    assert list(zip(rows["table"], rows["row"], rows["column"], rows["printed"], strict=True)) == [
        (*one.key, one.text) for one in printed()
    ]
    assert set(rows["verdict"]) <= set(VERDICTS) - {"unexplained"}
    for _, row in rows.iterrows():
        same = rounds_to(row["printed"], row["today"])
        assert same is (row["verdict"] == "reproduced"), row["printed"]
        assert (row["verdict"] == "explained") is (isinstance(row["reason"], str) and bool(row["reason"]))


def test_every_fault_was_measured_and_has_its_section(page: ModuleType) -> None:
    assert set(page.frame("measured")["fault"]) == {fault.number for fault in faults()}
    text = page.TARGET.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if re.match(r"### \d+\. ", line)] == [
        f"### {fault.number}. {fault.title}" for fault in faults()
    ]


def test_r_agrees_with_every_method_that_it_has(page: ModuleType) -> None:
    agreement = page.frame("agreement")
    held = agreement[agreement["verdict"] != "no reference"]
    assert set(held["verdict"]) <= {"identical", "rounding"}
    assert held["method"].nunique() >= 19
    assert (10.0 ** -held["digits"] <= held["bound"] * 1.2).all()  # digits are rounded to one decimal


def test_every_figure_of_the_page_exists(page: ModuleType) -> None:
    named = re.findall(r"\]\((notebook/[^)]*)\)", page.TARGET.read_text(encoding="utf-8"))
    assert len(named) == 4
    assert [name for name in named if not (page.HERE / name).is_file()] == []


@pytest.mark.slow
def test_the_data_come_out_again(page: ModuleType, tmp_path: Path) -> None:
    """All of it, with five trials of last bits instead of sixty."""
    found = workbook(quick=True)
    found.write(tmp_path)
    rows = pd.read_csv(tmp_path / "rows.csv", dtype={"printed": str, "row": str, "column": str})
    forests = rows["table"].isin(["dml", "dml-fit", "dml-effect", "counterfactual"])
    np.testing.assert_allclose(rows["today"][~forests], page.frame("rows")["today"][~forests], rtol=1e-9)
    again, kept = pd.read_csv(tmp_path / "measured.csv"), page.frame("measured")
    assert list(again["what"]) == list(kept["what"])
    off = (again["value"] - kept["value"]).abs()
    # a tenth of a standard error where there is one, else a thousandth: forests of other last bits stay within
    assert (off <= np.maximum(0.1 * kept["std.error"].fillna(0), 1e-3 * kept["value"].abs()) + 1e-9).all()
    assert sorted(path.name for path in tmp_path.glob("*.svg")) == [
        "effects.svg", "forest.svg", "last-bits.svg", "scores.svg",
    ]  # fmt: skip
