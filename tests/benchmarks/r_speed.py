"""R through ivbridge beside plain R calls: seconds of an answer, what a check adds to it, memory, time of the import.

Run it on a quiet machine: ``python tests/benchmarks/r_speed.py``. The environment variable ``IVBRIDGE_BENCH_ROWS``
takes the place of its 1,000,000 rows.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ivbridge
from ivbridge.engines.process import default_worker

PLAIN = Path(__file__).with_name("plain.R")
RSCRIPT = shutil.which("Rscript") or "/usr/bin/Rscript"
#: Variables that the BLAS libraries of Python and of R read when they start.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
VCOVS = ["classical", "HC0", "HC1", "HC2", "HC3"]
EXOG, INSTRUMENTS = 8, 5
REPEATS = 3

Row = dict[str, Any]


def measure() -> list[Row]:
    """Rows of ``item what ours other ratio target ok note unit``; seconds unless the unit says otherwise."""
    rows = int(os.environ.get("IVBRIDGE_BENCH_ROWS", "1000000"))
    return [*_answers(rows), _imports(), *_warm_check(1000), _memory(rows)]


def question(rows: int, seed: int = 1) -> tuple[str, pd.DataFrame]:
    """A formula and its fifteen columns: one endogenous regressor, eight exogenous ones, five instruments."""
    random = np.random.default_rng(seed)
    exog = {f"w{j}": random.standard_normal(rows) for j in range(EXOG)}
    excluded = {f"z{j}": random.standard_normal(rows) for j in range(INSTRUMENTS)}
    u = random.standard_normal(rows)
    x = 0.3 * sum(excluded.values()) + 0.1 * sum(exog.values()) + u + random.standard_normal(rows)
    data = pd.DataFrame({"y": x + sum(exog.values()) + u, "x": x, **exog, **excluded})
    shared = " + ".join(exog)
    return f"y ~ x + {shared} | {shared} + {' + '.join(excluded)}", data


def _answers(rows: int) -> list[Row]:
    """One answer with HC1 and diagnostics, from a frame in Python to a result in Python."""
    formula, data = question(rows)
    ivbridge.fit(formula, data.head(1000), "HC1", "r")
    ours = []
    for _ in range(REPEATS):
        data["y"] += 1  # otherwise R would still hold the question
        ours.append(_seconds(lambda: ivbridge.fit(formula, data, "HC1", "r")))
    plain = _plain(formula, data, REPEATS, ["HC1", "sandwich"])["seconds"]
    what = f"R engine, {rows:,} × {data.shape[1]}: coefficients, HC1, diagnostics, first stage"
    calls = "ivreg() and summary(vcov. = {}, diagnostics = TRUE) on data in R"
    return [
        _row("7b", what, min(ours), plain["HC1"], 1.1, calls.format("vcovHC")),
        _row("7b", what, min(ours), plain["sandwich"], None, calls.format("sandwich × n/(n − k)")),
    ]


def _imports() -> Row:
    """The import in a fresh interpreter, over an interpreter that imports nothing."""

    def least(code: str) -> float:
        return min(_seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True)) for _ in range(5))

    return _row("7d", "import ivbridge, over bare Python", least("import ivbridge") - least("pass"), 0.3, 1.0, "0.3 s")


def _warm_check(rows: int) -> list[Row]:
    """A check that has everything loaded but the data."""
    formula, data = question(rows)
    worker = default_worker()
    inside, call = [0.0], worker.call

    def timed(*arguments: Any, **named: Any) -> Any:
        begun = time.perf_counter()
        try:
            return call(*arguments, **named)
        finally:
            inside[0] += time.perf_counter() - begun

    totals = []
    worker.call = timed  # type: ignore[method-assign]
    for _ in range(20):
        data["y"] += 1
        inside[0] = 0.0
        total = _seconds(lambda: ivbridge.crosscheck(formula, data, VCOVS).assert_ok())
        totals.append((total, total - inside[0]))
    worker.call = call  # type: ignore[method-assign]
    plain = sum(_plain(formula, data, 20, VCOVS)["seconds"].values())
    total, outside = (min(times) for times in zip(*totals, strict=True))  # the least, as of the plain calls
    what = f"warm check of R and Python, n = {rows:,}, {len(VCOVS)} vcovs"
    note = f"ivreg() and summary() in R take {1000 * plain:.0f} ms for these vcovs; 150 ms more are allowed"
    return [
        _row("7d", what, total, plain + 0.15, 1.0, note),
        _row("7d", f"{what}: outside the calls of R", outside, 0.15, 1.0, "150 ms"),
    ]


def _memory(rows: int) -> Row:
    """Peak memory of the two processes of a check, interpreters and data included."""
    formula, data = question(rows)
    allowed = 4 * data.memory_usage(index=False).sum() + _plain(formula, data, 1, ["HC1"])["peak"]
    command = [sys.executable, __file__, "--peak", str(rows)]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD}, timeout=3600
    )
    what = f"check of R and Python, {rows:,} × {data.shape[1]}, HC1: peak memory of both processes"
    note = "four frames and the peak of ivreg() and summary(vcov. = vcovHC, diagnostics = TRUE) in R"
    return _row("7e", what, float(done.stdout) / 1e6, allowed / 1e6, 1.0, note, unit="MB")


def _peak(rows: int) -> float:
    """Bytes that this process and R's hold together at the worst moment of a check; shared pages count once."""
    formula, data = question(rows)
    ivbridge.crosscheck(formula, data.head(1000), ["HC1"])
    pids = [os.getpid(), default_worker().pid]
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            peak[0] = max(peak[0], sum(_resident(pid) for pid in pids if pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    agreement = ivbridge.crosscheck(formula, data, ["HC1"])
    done.set()
    watcher.join()
    agreement.assert_ok()
    return float(peak[0])


def _resident(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _plain(formula: str, data: pd.DataFrame, repeats: int, types: list[str]) -> dict[str, Any]:
    """What ``plain.R`` says of the same question."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "names").write_text("\n".join(data.columns) + "\n", encoding="utf-8")
        Path(folder, "formula").write_text(formula + "\n", encoding="utf-8")
        with Path(folder, "data").open("wb") as file:
            file.writelines(data[name].to_numpy().tobytes() for name in data)
        command = [RSCRIPT, "--vanilla", str(PLAIN), folder, str(len(data)), str(repeats), *types]
        done = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **ONE_THREAD}, timeout=3600
        )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def _row(item: str, what: str, ours: float, other: float, limit: float | None, note: str, unit: str = "s") -> Row:
    """One comparison; without a limit it is for orientation."""
    ratio = ours / other
    return {
        "item": item, "what": what, "ours": ours, "other": other, "ratio": ratio,
        "target": "" if limit is None else f"≤ {limit:g}", "ok": limit is None or ratio <= limit, "note": note,
        "unit": unit,
    }  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peak"]:
        print(_peak(int(sys.argv[2])))
    else:
        print(pd.DataFrame(measure()).to_string(index=False))
