"""Every fault of ``fault_cases`` and ``fault_programs``: a typed error at once, R again afterwards, nothing left."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
from fault_cases import FAULTS, Fault, Outcome, measured
from fault_programs import PROGRAMS, Program, ran

from tests.scripts import script

ROOT = Path(__file__).resolve().parents[1]
#: One second is the aim, and what the page shows; here other work on the machine may come between.
LATE = 10.0
#: The aim, for numbers measured on a machine at rest.
AT_ONCE = 1.0


def nothing_left(outcome: Outcome) -> bool:
    return (outcome.processes, outcome.shared_memory, outcome.directories) == (0, 0, 0)


def marked(cases: Sequence[Fault | Program], name: str) -> list[Any]:
    """The cases as parameters, called by their attribute `name`."""
    slow = pytest.mark.slow
    return [pytest.param(one, id=getattr(one, name), marks=[slow] if one.slow else []) for one in cases]


@pytest.mark.parametrize("fault", marked(FAULTS, "name"))
def test_fault(fault: Fault) -> None:
    outcome = measured(fault)
    assert outcome.error == fault.error
    assert re.search(fault.message, outcome.message)
    assert outcome.seconds < LATE
    assert outcome.lives == fault.lives
    assert nothing_left(outcome)


@pytest.mark.parametrize("program", marked(PROGRAMS, "how"))
def test_program(program: Program) -> None:
    outcome = ran(program)
    assert outcome.error == program.error
    assert math.isnan(outcome.seconds) or outcome.seconds < LATE
    assert nothing_left(outcome)


# ---- the page ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page() -> ModuleType:
    """docs/reliability/faults.py, as a module."""
    return script("docs/reliability/faults.py")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """What the page shows."""
    return pd.read_csv(ROOT / "docs" / "reliability" / "faults.csv", keep_default_na=False, na_values=["NaN"])


def test_the_page_has_every_fault_and_its_asserted_outcome(table: pd.DataFrame) -> None:
    wanted = [(one.name, one.how, one.error) for one in (*FAULTS, *PROGRAMS)]
    assert list(table[["fault", "how", "error"]].itertuples(index=False, name=None)) == wanted
    assert list(table["lives"][: len(FAULTS)]) == [one.lives for one in FAULTS]


def test_every_measured_error_came_at_once_and_nothing_was_left(table: pd.DataFrame) -> None:
    assert table["seconds"].max() <= AT_ONCE
    assert (table[["processes", "shared_memory", "directories"]] == 0).all(axis=None)
    assert table["next_seconds"][: len(FAULTS)].notna().all()


def test_the_totals_of_the_page_are_those_of_its_table(page: ModuleType, table: pd.DataFrame) -> None:
    head = page.text(table)[0:8]
    assert f"{len(table)} faults" in "\n".join(head)
    assert f"{table['seconds'].max():.2f} s" in "\n".join(head)
