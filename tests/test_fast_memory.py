"""How much memory the fast engine needs beside the data."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def measured(engine: str, n: int, vcov: str, kind: str = "pandas") -> tuple[int, int, int]:
    """Bytes of the columns, and by which the fit and then its tests raised the most that was resident."""
    arguments = [sys.executable, str(HERE / "fast_memory.py"), engine, str(n), vcov, kind]
    env = {**os.environ, "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(arguments, capture_output=True, text=True, check=True, env=env)
    used, fit, tests = map(int, done.stdout.split())
    return used, fit, tests


def test_the_measure_sees_copies() -> None:
    used, fit, _ = measured("native", 200_000, "HC1")
    assert fit > used


@pytest.mark.parametrize(("vcov", "kind"), [("HC1", "pandas"), ("HC1", "mapping"), ("cluster(g)", "pandas")])
def test_a_fit_takes_less_than_a_column_of_memory(vcov: str, kind: str) -> None:
    n = 400_000
    _, fit, tests = measured("fast", n, vcov, kind)
    # buffers of 4096 rows: 0.6 MB in a fit; the tests' pass has some for each of its regressions
    assert fit < 8 * n
    assert tests < 12 * 2**20


@pytest.mark.slow
def test_ten_million_rows_take_no_more() -> None:
    used, fit, tests = measured("fast", 10_000_000, "HC1")
    assert used == 1_280_000_000
    assert fit + tests < 0.02 * used
