"""Run by test_fast_memory.py in a process of its own: how far a fit raises the most memory that was ever resident.

Usage: python fast_memory.py ENGINE ROWS VCOV KIND; KIND says how the table is made. Prints how many bytes the columns
of the question take, and by how many the maximum rose in the fit and in its tests.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ivbridge

EXOG, EXCLUDED = 8, 6


def highest() -> int:
    """The maximum so far, in bytes; not ``ru_maxrss``, which starts with what the parent process had."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    return int(status["VmHWM"].split()[0]) * 1024


def names() -> list[str]:
    return [*(f"w{j}" for j in range(EXOG)), *(f"z{j}" for j in range(EXCLUDED)), "x", "y"]


def table(n: int, kind: str) -> Any:
    """Columns of numbers, filled one after the other, so that making them never needs more than they take."""
    rng = np.random.default_rng(1)
    block = np.empty((len(names()), n))
    for row in block:
        rng.standard_normal(out=row)
    x, y = block[-2], block[-1]
    for j in range(EXOG, EXOG + EXCLUDED):
        for start in range(0, n, 10_000):
            x[start : start + 10_000] += block[j, start : start + 10_000]
    for start in range(0, n, 10_000):
        y[start : start + 10_000] += x[start : start + 10_000] / 2
    g = np.arange(n, dtype=np.int64)
    g %= 1000
    if kind == "mapping":
        return {**dict(zip(names(), block, strict=True)), "g": g}
    frame = pd.DataFrame(block.T, columns=names(), copy=False)
    frame["g"] = pd.Series(g, copy=False)
    return frame


def main(engine: str, n: int, vcov: str, kind: str) -> None:
    exog, excluded = names()[:EXOG], names()[EXOG : EXOG + EXCLUDED]
    formula = f"y ~ {' + '.join(exog)} + x | {' + '.join([*exog, *excluded])}"
    ivbridge.fit(formula, table(10_000, kind), vcov, engine=engine).summary()  # everything is loaded
    data = table(n, kind)
    before = highest()
    estimate = ivbridge.fit(formula, data, vcov, engine=engine)
    after = highest()
    assert np.isfinite(estimate.bse).all()
    assert estimate.tests["sargan"].name == "Sargan"
    print((len(names()) + ("g" in vcov)) * 8 * n, after - before, highest() - after)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
