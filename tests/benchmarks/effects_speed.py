"""Fixed effects for the page of speeds: what absorb_speed.py measures, as its rows.

fixest is the yardstick where R has it; pyfixest, with the same algorithm, is shown in any case. Its default demeaner
takes minutes on a poorly connected graph, which it therefore gets at a tenth of the rows, with one round.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import absorb_speed

#: Graph, share of the rows, rounds, whether pyfixest's default demeaner is asked on a hard graph.
RUNS = (("random", 1.0, 5, False), ("three", 1.0, 3, False), ("ring", 0.1, 1, True))
#: As fast as fixest on the easy graph, ten times as fast on a hard one whose second factor is small.
TARGETS = {"random": 1.0, "ring": 10.0}


def measure() -> list[dict[str, Any]]:
    """Rows of ``item what ours other ratio target ok note``."""
    rows = int(os.environ.get("IVBRIDGE_BENCH_ROWS", "1000000"))
    return [
        row
        for graph, share, rounds, slow in RUNS
        for row in rows_of(absorb_speed.measure(graph, max(2000, int(share * rows)), rounds, slow=slow))
    ]


def rows_of(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for each package beside ours; a target for fixest, or for pyfixest in its place."""
    ours = next(row for row in found if row["who"] == "fast")
    others = [row for row in found if row["who"] != "fast" and row["seconds"] == row["seconds"]]
    yardstick = next((row["who"] for row in others if row["who"].startswith("fixest")), "pyfixest")
    failed = "".join(f"; {row['who']} fails" for row in found if row["note"])
    rows = []
    for row in others:
        limit = TARGETS.get(row["graph"]) if row["who"] == yardstick else None
        place = "" if limit is None or yardstick != "pyfixest" else "in the place of fixest, which is not installed; "
        rows.append(
            {
                "item": "absorb", "what": f"{row['graph']}, {row['n']:,} rows, HC1: {row['who']}",
                "ours": ours["seconds"], "other": row["seconds"], "ratio": row["ratio"],
                "target": "" if limit is None else f"≥ {limit:g}", "ok": limit is None or row["ratio"] >= limit,
                "note": f"{place}coefficients differ by {row['coef_gap']:.0e}{failed}",
            }
        )  # fmt: skip
    return rows
