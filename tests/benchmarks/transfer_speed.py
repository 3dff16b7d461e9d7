"""How long a frame takes into R and back, beside a copy of it in memory and beside rpy2's own pandas conversion.

Run it on a quiet machine: ``python tests/benchmarks/transfer_speed.py``. The environment variable
``IVBRIDGE_BENCH_ROWS`` takes the place of its 1,000,000 rows.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.engines.process import RWorker

SCRIPT = Path(__file__).parents[1] / "transfer.R"
COLUMNS = 20
REPEATS = 5

# the seconds of one conversion, which element by element are many; R's start is not counted
RPY2 = """
import sys, time
import numpy as np, pandas as pd
import rpy2.robjects as ro
from rpy2.robjects import pandas2ri
frame = pd.DataFrame({f"x{j}": column for j, column in enumerate(np.random.default_rng(1).normal(size=(%d, %d)))})
with (ro.default_converter + pandas2ri.converter).context() as converter:
    converter.py2rpy(frame.head())
    begun = time.perf_counter()
    found = converter.py2rpy(frame)
print("seconds", time.perf_counter() - begun, found.nrow)
"""


def measure() -> list[dict[str, Any]]:
    """Rows of ``item what ours other ratio target ok note``; ``ours`` and ``other`` are seconds."""
    rows = int(os.environ.get("IVBRIDGE_BENCH_ROWS", "1000000"))
    values = np.random.default_rng(1).normal(size=(COLUMNS, rows))
    frame = pd.DataFrame({f"x{j}": column for j, column in enumerate(values)})
    with RWorker(scripts=[SCRIPT], bridge="rpy2") as r:
        r.call("ivb_keep", x=frame.head())
        copy, there, back = _fastest(
            frame.copy, lambda: r.call("ivb_keep", x=frame), lambda: r.call("ivb_kept").frame()
        )
        if not r.call("ivb_kept").frame().equals(frame):
            raise AssertionError("the frame came back changed")
    what = f"{rows:,} × {COLUMNS} float64"
    found = [
        _row(f"{what} into R", there, 2 * copy + 0.2, "≤ 1", "two copies in memory + 0.2 s"),
        _row(f"{what} from R into pandas and summed", back, 2 * copy + 0.2, "≤ 1", "two copies in memory + 0.2 s"),
    ]
    seconds = _rpy2(rows)
    if seconds is None:
        return found
    return [*found, _row(f"{what} into R", there, seconds, "≥ 50", "rpy2's own pandas conversion")]


def _fastest(*actions: Callable[[], object]) -> list[float]:
    """Seconds of each action, the least of several rounds in which all take their turn."""
    rounds = [[_seconds(action) for action in actions] for _ in range(REPEATS)]
    return [min(times) for times in zip(*rounds, strict=True)]


def _seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def _rpy2(rows: int) -> float | None:
    """Seconds of rpy2's conversion in a process of its own; None if its converters are not installed."""
    if importlib.util.find_spec("rpy2") is None or importlib.util.find_spec("rpy2.robjects") is None:
        return None
    done = subprocess.run(
        [sys.executable, "-c", RPY2 % (COLUMNS, rows)], stdout=subprocess.PIPE, text=True, check=True, timeout=900
    )
    seconds, converted = done.stdout.split("seconds ")[-1].split()
    if int(converted) != rows:
        raise AssertionError("rpy2 converted another frame")
    return float(seconds)


def _row(what: str, ours: float, other: float, target: str, note: str) -> dict[str, Any]:
    ratio = ours / other if target.startswith("≤") else other / ours
    limit = float(target[2:])
    ok = ratio <= limit if target.startswith("≤") else ratio >= limit
    return {
        "item": "7a", "what": what, "ours": ours, "other": other, "ratio": ratio, "target": target, "ok": ok,
        "note": note,
    }  # fmt: skip


if __name__ == "__main__":
    print(pd.DataFrame(measure()).to_string(index=False))
