"""Which rpy2 goes with which R: what was measured is what ivbridge goes by, and it is measured again here for two."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from tests.scripts import script
from tests.version_cases import FIELDS, NONE, RPY2, SUITES, cells, expected

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def part() -> ModuleType:
    """The part of the page, as a module."""
    return script("docs/reliability/versions.py")


@pytest.fixture
def found() -> pd.DataFrame:
    return pd.read_csv(ROOT / "docs" / "reliability" / "versions.csv", keep_default_na=False)


def test_every_release_was_tried_with_every_r(found: pd.DataFrame) -> None:
    assert list(found.columns) == list(FIELDS)
    assert found["r"].nunique() == 1 + len(SUITES)
    for _, rows in found.groupby("r"):
        assert tuple(rows["rpy2"]) == (NONE, *RPY2)


def test_what_was_measured_is_what_ivbridge_goes_by(part: ModuleType, found: pd.DataFrame) -> None:
    assert part.surprises(found) == []


def test_every_bridge_gives_the_same_bits(found: pd.DataFrame) -> None:
    assert {rows["bits"].nunique() for _, rows in found.groupby("r")} == {1}
    assert found["numbers"].nunique() == 1
    for _, rows in found.groupby("r"):
        assert {bridge.split()[0] for bridge in rows["bridge"]} == {"rpy2", "Rscript"}


@pytest.mark.parametrize(
    ("column", "value"), [("bridge", "Rscript"), ("loads", False), ("verdict", "substantive"), ("verdict", "")]
)
def test_surprises_are_noticed(part: ModuleType, found: pd.DataFrame, column: str, value: object) -> None:
    (at,) = found.index[(found["r"] == "4.2.2") & (found["rpy2"] == "3.6.5")]
    found.loc[at, column] = value
    assert len(part.surprises(found)) == 1


@pytest.mark.slow
def test_two_releases_and_none_against_the_r_of_this_machine(part: ModuleType) -> None:
    """One that every R takes, one that only R 4.5 and later take: installed from the index, loaded and asked."""
    rows = pd.DataFrame(cells(("3.6.5", "3.6.7")), columns=list(FIELDS))
    assert part.surprises(rows) == []
    assert rows["bits"].nunique() == 1
    assert list(rows["loads"]) == [False, *(expected(one, rows["r"][0]) for one in ("3.6.5", "3.6.7"))]
