"""The profiles of docs/performance.md: rules that name code that is there, and times that add up."""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from tests.scripts import script

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def profiles() -> ModuleType:
    """tests/benchmarks/profiles.py, as a module."""
    return script("tests/benchmarks/profiles.py")


def test_every_rule_names_code_that_is_there(profiles: ModuleType) -> None:
    """A function that is renamed would let its time go to the rest."""
    homes = [ROOT]
    for package in ("linearmodels", "pyfixest", "formulaic"):
        found = importlib.util.find_spec(package)
        assert found is not None
        assert found.origin is not None
        homes.append(Path(found.origin).parents[1])
    for engine, rules in profiles.RULES.items():
        for _, _, places in rules:
            for place in places:
                file, _, function = place.partition(":")
                where = [home / file for home in homes if file and (home / file).exists()]
                if file:
                    assert where, f"{engine}: {place}"
                if function and where:
                    assert f"def {function}(" in where[0].read_text(encoding="utf-8"), f"{engine}: {place}"


def busy(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def inner() -> None:
    busy(0.06)


def outer() -> None:
    busy(0.03)
    inner()


def test_time_belongs_to_the_first_rule_that_the_stack_satisfies(profiles: ModuleType) -> None:
    rules = (("inner", "a", ("test_profiles.py:inner",)), ("outer", "b", ("test_profiles.py:outer",)))
    looks = profiles.Looks(rules)
    begun = time.perf_counter()
    with looks.at():
        outer()
        busy(0.02)
    whole = time.perf_counter() - begun
    found = dict(looks.seconds)
    # other processes may take the processor for a while: only what cannot be shorter is asserted
    assert found["inner", "a"] >= 0.055
    assert found["outer", "b"] >= 0.025
    assert found[profiles.REST] >= 0.015
    assert sum(found.values()) == pytest.approx(whole, abs=0.01)


def test_a_chart_shows_every_engine(profiles: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs"), *sys.path])
    rows = [
        {"engine": f"{engine}, n = {n}", "part": part, "step": part, "seconds": 0.5, "share": 0.5}
        for n in ("10", "20") for engine in ("fast", "AER") for part in ("checks", "the rest")
    ]  # fmt: skip
    draw = script("docs/performance_profiles.py").draw
    text = draw(pd.DataFrame(rows), tmp_path).read_text(encoding="utf-8")
    assert [text.count(f"{engine}, n = {n}") for engine in ("fast", "AER") for n in ("10", "20")] == [1] * 4
    assert text.count(">50%<") == 8
    assert text.count(">1 s<") == 4


def test_parts_have_colours(profiles: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "docs"), *sys.path])
    used = {part for rules in (*profiles.RULES.values(), profiles.R_RULES) for _, part, _ in rules}
    assert used | {profiles.REST[1]} == set(script("docs/performance_profiles.py").PARTS)
