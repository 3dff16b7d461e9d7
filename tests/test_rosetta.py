"""docs/rosetta.md is what docs/rosetta.csv says, and that is what the packages say."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from tests.scripts import script

#: Digits may differ between two machines, since sums are ordered otherwise.
DIGITS = 2.5


@pytest.fixture(scope="module")
def rosetta() -> ModuleType:
    """The script, as a module."""
    return script("docs/make_rosetta.py")


@pytest.fixture(scope="module")
def cells(rosetta: ModuleType) -> pd.DataFrame:
    """The table of cells that is kept."""
    return pd.read_csv(rosetta.TABLE)


def test_the_page_is_what_its_data_say(rosetta: ModuleType, cells: pd.DataFrame) -> None:
    assert rosetta.page(cells) == rosetta.PAGE.read_text(encoding="utf-8"), "run: python docs/make_rosetta.py --page"


def test_the_map_is_as_large_as_promised(rosetta: ModuleType, cells: pd.DataFrame) -> None:
    assert len(rosetta.ROWS) >= 20 and cells["package"].nunique() >= 12
    asked = {(row.key, package.name): package.call(row) for package in rosetta.PACKAGES for row in rosetta.ROWS}
    kept = {(cell.row, cell.package): cell.call for cell in cells.itertuples() if cell.package != rosetta.REFERENCE}
    assert kept == {place: call for place, call in asked.items() if call}, "run: python docs/make_rosetta.py"


def test_every_cell_says_something(rosetta: ModuleType, cells: pd.DataFrame) -> None:
    assert set(cells["verdict"]) <= {"reference", "rounding", "convention", "none"}, "a call fails"
    named = cells[cells["verdict"] == "convention"]
    assert (named["steps"].str.len() > 0).all() and named["reason"].str.contains(" if ").all()
    agreeing = cells[cells["verdict"] == "rounding"]
    assert agreeing["digits"].min() > 6 and agreeing["numbers"].min() >= 3
    assert cells["version"].str.contains(r"\d").all()


#: What `make setup` does not install; the page was made with them and says how to get them.
NOT_SET_UP = {"gretl", "spreg"}


@pytest.mark.parametrize("name", ["statsmodels", "systemfit", "estimatr"])
def test_calls_run_as_they_stand(rosetta: ModuleType, cells: pd.DataFrame, tmp_path: Path, name: str) -> None:
    data = rosetta.card()
    data.to_csv(tmp_path / "card.csv", index=False)
    (package,) = (one for one in rosetta.PACKAGES if one.name == name)
    answers, _ = rosetta.run(package, tmp_path / "card.csv")
    kept = cells[cells["package"] == name].set_index("row")
    for row, numbers in answers.items():
        estimate = rosetta.ivbridge.fit(row.formula, data, row.vcov, "native", row.weights, row.inference, row.method)
        assert math.isclose(rosetta.digits(estimate, numbers), kept.digits[row.key], abs_tol=DIGITS), row.key


def test_a_call_that_fails_is_seen(rosetta: ModuleType, tmp_path: Path) -> None:
    rosetta.card().to_csv(tmp_path / "card.csv", index=False)
    row = rosetta.ROWS[0]
    there = [package for package in rosetta.PACKAGES if package.name not in NOT_SET_UP]
    for language, package in {package.language: package for package in there}.items():
        call = {"python": "1 / 0", "r": "stop('no')"}[language]
        broken = rosetta.Package(
            package.name, language, package.start, package.read, {(row.group, row.vcov): call}, package.versions
        )
        answers, _ = rosetta.run(broken, tmp_path / "card.csv")
        assert isinstance(answers[row], str), language


@pytest.mark.slow
def test_everything_again(rosetta: ModuleType) -> None:
    names = [package.name for package in rosetta.PACKAGES if package.name not in NOT_SET_UP]
    assert len(names) == len(rosetta.PACKAGES) - len(NOT_SET_UP)
    assert rosetta.main(["--check", *names]) == 0
