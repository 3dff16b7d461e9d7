"""Fail where ivbridge's fast engine has become slower beside others: some ratios now, beside the kept ones.

python -m tests.benchmarks.peers.check    three minutes at most; exit 1 if a ratio is below 0.6 of the kept one in three
                                          measurements, or if two packages do not agree

Only ratios are compared, never seconds: what both sides have in common, the machine above all, is in both. The kept
ones are those of docs/performance/peers.csv, which `make bench-peers` writes, and for batches of replications those of
docs/performance.csv, which `make bench` writes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from tests.benchmarks.peers import processes, rounds, worlds
from tests.benchmarks.peers.__main__ import OUT, TABLE, shown
from tests.benchmarks.peers.rounds import AGREE, LIMIT, OURS, Effort, measured, said
from tests.benchmarks.peers.worlds import CLUSTERED, DIAGNOSTICS, HC1

#: Size, tasks, packages.
CHECKS = (
    ("1e3", (HC1, CLUSTERED), (LIMIT, "linearmodels")),
    ("1e5", (HC1, CLUSTERED, DIAGNOSTICS), (LIMIT, "linearmodels", "pyfixest")),
    ("1e6", (HC1,), (LIMIT,)),
    ("many", (HC1,), (LIMIT, "pyfixest")),
)
#: Benchmarks of `make bench` whose ratios with a target "≥" are compared, too.
BENCHMARKS = ("batch_speed",)
#: How often a comparison may be measured before it counts as slower.
TRIES = 3


def main(arguments: Sequence[str]) -> int:
    """Run as the docstring says; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers.check")
    parser.add_argument("--sizes", choices=["full", "tiny"], default=os.environ.get("IVBRIDGE_PEER_SIZES", "full"))
    parser.add_argument("--only", nargs="*", metavar="SIZE", help=f"of: {', '.join(size for size, _, _ in CHECKS)}")
    parser.add_argument("--kept", type=Path, default=OUT / TABLE)
    parser.add_argument("--slack", type=float, default=0.6)
    parser.add_argument("--budget", type=float, default=2.0, help="seconds of a package in a comparison")
    asked = parser.parse_args(arguments)
    if not asked.kept.is_file():
        said(f"There are no kept ratios: {asked.kept} does not exist; make bench-peers writes it.")
        return 1
    kept = ratios(rounds.kept(asked.kept).to_dict("records"))
    sizes = {size.name: size for size in (worlds.TINY if asked.sizes == "tiny" else worlds.SIZES)}
    begun, wrong, compared = time.monotonic(), [], 0
    for name, tasks, peers in CHECKS:
        if asked.only and name not in asked.only:
            continue
        for task in tasks:
            found, count = _checked(sizes[name], task, peers, kept, asked)
            wrong += found
            compared += count
    for name in () if asked.only else BENCHMARKS:
        now = _measured(name)
        before = pd.read_csv(processes.ROOT / "docs" / "performance.csv", keep_default_na=False).to_dict("records")
        wrong += worse(now, before, asked.slack)
        compared += sum(row["target"].startswith("≥") for row in now)
    for line in wrong:
        print(f"slower: {line}")
    if not compared:
        wrong.append("nothing was compared")
        print(f"{asked.kept} has none of these comparisons")
    print(f"{compared} ratios compared in {time.monotonic() - begun:.0f} s, {len(wrong)} wrong")
    return 1 if wrong else 0


def _measured(name: str) -> list[dict[str, Any]]:
    """Rows of one benchmark, in a process of its own."""
    command = [sys.executable, str(processes.ROOT / "docs" / "make_performance.py"), "--only", name]
    environment = {**os.environ, **processes.ONE_THREAD}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment, cwd=processes.ROOT)
    rows: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    for row in rows:
        said(f"  {row['what']}: {row['ratio']:.3g}")
    return rows


def worse(now: list[dict[str, Any]], before: list[dict[str, Any]], slack: float) -> list[str]:
    """Lines for rows with a smallest ratio as their target that are below the kept one times the slack."""
    known = {row["what"]: float(row["ratio"]) for row in before if str(row["target"]).startswith("≥")}
    return [
        f"{row['what']}: {row['ratio']:.3g}, kept is {known[row['what']]:.3g} (× {slack:g})"
        for row in now
        if row["what"] in known and row["ratio"] < slack * known[row["what"]]
    ]


def _checked(size: worlds.Size, task: str, peers: tuple[str, ...], kept: dict[tuple[str, str, str], float], asked: Any
             ) -> tuple[list[str], int]:  # fmt: skip
    """What is wrong with one comparison after so many tries, and how many ratios were compared."""
    best: dict[tuple[str, str, str], float] = {}
    wrong: list[str] = []
    for _ in range(TRIES):
        (rows,) = measured(size, [task], [OURS, *peers], Effort(asked.budget, most=15), {})
        for row in rows:
            said(shown(row))
        now = ratios(rows)
        best = {key: max(ratio, best.get(key, 0.0)) for key, ratio in now.items()}
        wrong = slower(best, kept, asked.slack)
        if not wrong:
            break
    return wrong + disagreeing(rows), len(set(best) & set(kept))


def ratios(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], float]:
    """The ratios of other packages' seconds to ours, by size, task and package."""
    found = {}
    for row in rows:
        ratio = row.get("ratio")
        if row["peer"] != OURS and ratio is not None and ratio > 0:
            found[row["size"], row["task"], row["peer"]] = float(ratio)
    return found


def slower(now: dict[tuple[str, str, str], float], kept: dict[tuple[str, str, str], float], slack: float) -> list[str]:
    """Lines for ratios that are below the kept one times the slack."""
    return [
        f"{size}, {task}: {peer} takes {now[size, task, peer]:.3g} × our time, kept is {kept[size, task, peer]:.3g} "
        f"(× {slack:g} = {slack * kept[size, task, peer]:.3g})"
        for size, task, peer in now
        if (size, task, peer) in kept and now[size, task, peer] < slack * kept[size, task, peer]
    ]


def disagreeing(rows: list[dict[str, Any]]) -> list[str]:
    """Lines for packages that answer otherwise than we do."""
    return [
        f"{row['size']}, {row['task']}: {row['peer']} has other numbers ({key} {row[f'{key}_gap']:.1e})"
        for row in rows
        for key in ("coef", "se", "test")
        if row.get(f"{key}_gap", 0.0) > AGREE
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
