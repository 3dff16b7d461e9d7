"""What a second worker gains in a Monte Carlo study with R, beside what a second plain process gains in the same run.

Run it on a quiet machine with two processors or more: ``python tests/benchmarks/pool_speed.py``. One worker, two
workers, one plain process and two take turns, with all processes started before; each round gives two gains, and the
median of the rounds' quotients is reported. The environment variable ``IVBRIDGE_BENCH_FITS`` takes the place of 1,000
fits.
"""

from __future__ import annotations

import functools
import json
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ivbridge
from ivbridge.crew import answers
from ivbridge.processes import PythonProcess, python_processes

N = 1000
ROUNDS = 10
SCRIPT = Path(__file__).with_name("pool.R")
FORMULA = "y ~ x + w | w + z1 + z2"
TARGET = 0.95


def measure() -> list[dict[str, Any]]:
    """Rows of ``item what ours other ratio target ok note``; ``ours`` and ``other`` are gains, times."""
    # a process of its own: what is sent to other processes must lie in the module that runs
    done = subprocess.run([sys.executable, __file__, "--json"], check=True, stdout=subprocess.PIPE, text=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def draw(seed: int) -> pd.DataFrame:
    """Two instruments, one control, one endogenous regressor."""
    rng = np.random.default_rng(seed)
    z1, z2, w, u = rng.standard_normal((4, N))
    x = z1 + z2 + w + u
    return pd.DataFrame({"y": x + w - u + rng.standard_normal(N), "x": x, "w": w, "z1": z1, "z2": z2})


def fitted(seed: int) -> float:
    """The whole of one fit: data, R's answer with its diagnostics, an estimate."""
    return float(ivbridge.fit(FORMULA, draw(seed), "HC1", "r").params["x"])


def plain(steps: int) -> int:
    """Work for one processor that shares nothing with anybody."""
    total = 0
    for i in range(steps):
        total += i * i % 7
    return total


def gains(fits: int, rounds: int) -> list[dict[str, Any]]:
    """The rows; every arm does `fits` fits in all rounds together."""
    seeds = [range(r * fits // rounds, (r + 1) * fits // rounds) for r in range(rounds)]
    with (
        python_processes(fitted, 2) as members,
        ivbridge.RPool(2, scripts=[SCRIPT]) as two,
        ivbridge.RPool(1, scripts=[SCRIPT]) as one,
        # in sessions of their own, as R is: schedulers may share out the processor by session
        ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), initializer=os.setsid) as both,
    ):
        frames = [{"data": draw(seed)} for seed in seeds[0]]
        list(both.map(plain, [1000] * 2))
        one.map("ivb_fit", frames[:2])
        two.map("ivb_fit", [{"data": frames[0]["data"]}] * 6)
        _share(members, range(6))
        once = _seconds(lambda: _share(members[:1], range(5))) / 5
        steps = int(once * len(seeds[0]) / _seconds(lambda: plain(10**6)) * 10**6)  # as long as one worker takes
        arms: list[Callable[[Sequence[int]], object]] = [
            lambda chunk: _share(members[:1], chunk),
            lambda chunk: _share(members, chunk),
            lambda _: list(both.map(plain, [steps])),
            lambda _: list(both.map(plain, [steps // 2] * 2)),
            lambda _: one.map("ivb_fit", frames),
            lambda _: two.map("ivb_fit", frames),
        ]
        times = [[_seconds(functools.partial(arm, chunk)) for arm in arms] for chunk in seeds]
    return [
        _row("7f", f"{fits:,} Monte Carlo fits in R, n = {N:,}: gain of a second worker", times, 0),
        _row("7f", f"{fits:,} calls of RPool.map with data, n = {N:,}: gain of a second worker", times, 4),
    ]


def _share(members: Sequence[PythonProcess[int, float]], seeds: Sequence[int]) -> list[Any]:
    return list(answers(members, [str(seed) for seed in seeds], seeds))


def _seconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _row(item: str, what: str, times: Sequence[Sequence[float]], place: int) -> dict[str, Any]:
    """The gain of the arm at `place` and the one after it in each round, beside that of the plain processes."""
    ours = [row[place] / row[place + 1] for row in times]
    other = [row[2] / row[3] for row in times]
    quotients = [a / b for a, b in zip(ours, other, strict=True)]
    ratio, spread = statistics.median(quotients), statistics.stdev(quotients) / math.sqrt(len(quotients))
    each = statistics.median(row[place] for row in times)
    return {
        "item": item,
        "what": what,
        "ours": statistics.median(ours),
        "other": statistics.median(other),
        "ratio": ratio,
        "target": f"≥ {TARGET}",
        "ok": ratio >= TARGET,
        "note": f"two plain processes in the same {len(ours)} rounds; ± {spread:.2f}; one worker's round: {each:.2f} s",
    }


if __name__ == "__main__":
    rows = gains(int(os.environ.get("IVBRIDGE_BENCH_FITS", "1000")), ROUNDS)
    if "--json" in sys.argv:
        print(json.dumps(rows, ensure_ascii=False))
    else:
        for row in rows:
            print(row)
