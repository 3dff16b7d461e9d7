"""Measure ivbridge's fast engine beside other packages, and write docs/performance/peers.csv.

python -m tests.benchmarks.peers                 every size (20 minutes on a machine at rest, 16 GB of memory)
python -m tests.benchmarks.peers --sizes tiny    the same at sizes of a second, for a look at the harness
python -m tests.benchmarks.peers --only 1e3 1e5  some sizes

Stopped, it goes on where it was when it is started again with the same options within six hours; --fresh begins anew.
Then `python docs/make_performance.py` writes the page.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tests.benchmarks.machine import hardware
from tests.benchmarks.peers import processes
from tests.benchmarks.peers.rounds import COLUMNS, LIMIT, OURS, Effort, kept, measured, said
from tests.benchmarks.peers.worlds import SIZES, TINY

OUT = processes.ROOT / "docs" / "performance"
TABLE, MACHINE = "peers.csv", "peers_machine.csv"
#: Hours after which an unfinished run is not gone on with.
FRESH_HOURS = 6


def main(arguments: Sequence[str]) -> int:
    """Run as the docstring says; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers")
    parser.add_argument("--sizes", choices=["full", "tiny"], default=os.environ.get("IVBRIDGE_PEER_SIZES", "full"))
    parser.add_argument("--only", nargs="*", metavar="SIZE", help=f"of: {', '.join(size.name for size in SIZES)}")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help=f"of: {', '.join(processes.names())}")
    parser.add_argument("--budget", type=float, default=Effort().budget, help="seconds of a peer in a comparison")
    parser.add_argument("--fresh", action="store_true", help="forget an unfinished run")
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    if asked.only and (unknown := set(asked.only) - {size.name for size in SIZES}):
        parser.error(f"no sizes {sorted(unknown)}")
    names = [name for name in processes.names() if not asked.peers or name in {OURS, LIMIT, *asked.peers}]
    sizes = [size for size in (TINY if asked.sizes == "tiny" else SIZES) if not asked.only or size.name in asked.only]
    asked.out.mkdir(parents=True, exist_ok=True)
    options = {"sizes": asked.sizes, "only": asked.only, "peers": asked.peers, "budget": asked.budget}
    unfinished = Unfinished(asked.out / "peers.unfinished.json", options, fresh=asked.fresh)
    begun = time.monotonic()
    for size in sizes:
        tasks = [task for task in size.tasks if not unfinished.has(size.name, task)]
        if not tasks:
            continue
        so_far = f"{time.monotonic() - begun:.0f} s so far"
        said(f"{size.name}: {size.n:,} rows, {size.k} regressors, {size.instruments} instruments ({so_far})")
        for rows in measured(size, tasks, names, Effort(asked.budget), unfinished.slow()):
            unfinished.add(rows)
            for row in rows:
                said(f"  {shown(row)}")
    table = pd.DataFrame(unfinished.rows).reindex(columns=list(COLUMNS))
    if asked.only or asked.peers:
        table = joined(asked.out / TABLE, table)
    machine(table).to_csv(asked.out / MACHINE, index=False)
    table.to_csv(asked.out / TABLE, index=False, float_format="%.5g")
    unfinished.path.unlink(missing_ok=True)
    said(f"{asked.out / TABLE} written after {time.monotonic() - begun:.0f} s")
    return 0


def shown(row: dict[str, Any]) -> str:
    """One line of progress."""
    if "seconds" not in row:
        return f"{row['task']:>11} {row['peer']:<14} {row['status']}"
    gaps = ", ".join(f"{key} {row.get(f'{key}_gap', float('nan')):.0e}" for key in ("coef", "se", "test"))
    return (
        f"{row['task']:>11} {row['peer']:<14} {1000 * row['seconds']:10.3f} ms × "
        f"{row.get('ratio', float('nan')):8.3f} ({row['rounds']} rounds) {row['extra_mb']:6.0f} MB  {gaps} "
        f"{row['status']}"
    )


def machine(table: pd.DataFrame) -> pd.DataFrame:
    """Where the numbers come from; versions of packages are in the table itself."""
    numpy = table.loc[table["peer"] == LIMIT, "version"].max()
    r = subprocess.run(["Rscript", "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\S+)", r.stdout + r.stderr)
    rows = [*hardware(), ("numpy", str(numpy)), ("R", found[1] if found else "not installed")]
    return pd.DataFrame(rows, columns=["what", "value"])


def joined(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    """The kept table with new rows in the place of old ones."""
    if not path.is_file():
        return table
    key = ["size", "task", "peer"]
    before = kept(path)
    fresh = set(table[key].itertuples(index=False, name=None))
    rest = before[[row not in fresh for row in before[key].itertuples(index=False, name=None)]]
    return pd.concat([rest, table]) if len(rest) else table


class Unfinished:
    """Rows that a stopped run has left, kept after every comparison."""

    def __init__(self, path: Path, options: dict[str, Any], *, fresh: bool) -> None:
        self.path, self.options = path, options
        self.rows: list[dict[str, Any]] = []
        if fresh or not path.is_file() or time.time() - path.stat().st_mtime > 3600 * FRESH_HOURS:
            return
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["options"] == options:
            self.rows = kept["rows"]
            said(f"going on after {len(self.rows)} rows of {path}; --fresh begins anew")

    def has(self, size: str, task: str) -> bool:
        """Whether a comparison is there."""
        return any(row["size"] == size and row["task"] == task for row in self.rows)

    def slow(self) -> dict[tuple[str, str], float]:
        """Seconds for a row and a column, of every package at the largest n so far."""
        rows = sorted((row for row in self.rows if "seconds" in row), key=lambda row: row["n"])
        return {(row["peer"], row["task"]): row["seconds"] / (row["data_mb"] * 1e6 / 8 + row["n"])
                for row in rows}  # fmt: skip

    def add(self, rows: list[dict[str, Any]]) -> None:
        """Keep a comparison."""
        self.rows += rows
        text = json.dumps({"options": self.options, "rows": self.rows})
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(self.path)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that data and processes are put away
    sys.exit(main(sys.argv[1:]))
