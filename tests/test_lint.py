"""ruff, mypy and bandit, as `make lint` runs them, so that `make test` alone says whether a change is complete."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


TOOLS = [
    ("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",),
    ("bandit", "-q", "-c", "pyproject.toml", "-r", "ivbridge"),
]  # fmt: skip


@pytest.mark.parametrize("tool", TOOLS, ids=" ".join)
def test_clean(tool: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-m", *tool], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
