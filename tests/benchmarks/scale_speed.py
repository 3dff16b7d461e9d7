"""Out of core: seconds, processor seconds and peak of memory beside bare passes over the same file, in one run.

python tests/benchmarks/scale_speed.py [ROWS] [ROUNDS]      [5e7 rows of 8 columns of doubles, 3 rounds]

`bare` is what any estimate needs at least: batches of Polars' streaming engine, copied block by block into one small
buffer (the quickest of the ways tried), cross-products in a first pass, products of HC1's scores in a second one;
nothing is centred, checked or named. Each run is a process of its own that has answered a small question before; the
two are asked in turns, in an order that is drawn anew each round.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

for _library in ("OMP", "OPENBLAS", "MKL"):  # before numpy is loaded
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402

QUESTION = "y ~ w1 + w2 + x | w1 + w2 + z1 + z2 + z3"
COLUMNS = ["w1", "w2", "z1", "z2", "z3", "x", "y"]
BLOCK = 8192
GROUP = 1_000_000

#: Questions that take other ways through the code, at a tenth of the rows.
OTHERS = {
    "HC1, plain columns": (QUESTION, "HC1"),
    "HC3": (QUESTION, "HC3"),
    "a column with missing values": ("y ~ w1 + w2 + x | w1 + w2 + z1 + z2 + holes", "HC1"),
    "100,000 clusters": (QUESTION, "cluster(g)"),
    "log(), I() and a product": ("y ~ log(p) + I(w1^2) + w1:w2 + x | log(p) + I(w1^2) + w1:w2 + z1 + z2", "HC1"),
    "a factor of 20 texts": ("y ~ w1 + t + x | w1 + t + z1 + z2 + z3", "HC1"),
}


def write(path: Path, rows: int, *, more: bool = False) -> None:
    """Eight columns of doubles, not compressed, row groups of a million; `more`: and those of `OTHERS`."""
    import pyarrow as pa
    from pyarrow import parquet

    rng = np.random.default_rng(20261122)
    writer = None
    for start in range(0, rows, GROUP):
        n = min(GROUP, rows - start)
        z, e, w = rng.standard_normal((3, n)), rng.standard_normal((2, n)), rng.standard_normal((2, n))
        x = 2000 + 10 * (0.5 * z.sum(0) + e[0] + 0.2 * w[0])
        y = 1 + 0.5 * x + w[0] - w[1] + 0.5 * e[0] + e[1] * (1 + 0.3 * np.abs(z[0]))
        columns = {"y": y, "x": x, "w1": w[0], "w2": w[1], "z1": z[0], "z2": z[1], "z3": z[2]}
        columns["spare"] = rng.standard_normal(n)
        if more:
            columns["g"] = rng.integers(0, 100_000, n)
            columns["p"] = np.exp(w[0] * 0.1 + 0.1 * rng.standard_normal(n))
            columns["holes"] = np.where(rng.random(n) < 0.01, np.nan, z[2])
            columns["t"] = np.array([f"town {j}" for j in range(20)])[rng.integers(0, 20, n)]
        table = pa.table(columns)
        writer = writer or parquet.ParquetWriter(path, table.schema, compression="none", use_dictionary=False)
        writer.write_table(table, row_group_size=GROUP)
    assert writer is not None
    writer.close()


def bare(path: str) -> tuple[list[float], list[float]]:
    """Coefficients and HC1 standard errors of QUESTION."""
    import polars as pl

    buffer = np.ones((8, BLOCK))

    def blocks() -> Iterator[np.ndarray]:
        """The transposed columns, the constant first; overwritten by the next block."""
        for batch in pl.scan_parquet(path).select(COLUMNS).collect_batches(maintain_order=True):
            columns = [column.to_numpy() for column in batch.get_columns()]
            for start in range(0, batch.height, BLOCK):
                size = min(BLOCK, batch.height - start)
                for j, column in enumerate(columns):
                    buffer[j + 1, :size] = column[start : start + size]
                yield buffer[:, :size]

    whole = np.zeros((8, 8))
    for w in blocks():
        whole += w @ w.T
    z, x, y = [0, 1, 2, 3, 4, 5], [0, 1, 2, 6], 7
    first = np.linalg.solve(whole[np.ix_(z, z)], whole[np.ix_(z, x)])
    bread = np.linalg.inv(whole[np.ix_(x, z)] @ first)
    coef = bread @ (first.T @ whole[z, y])
    turn = np.zeros((8, 5))
    turn[z, :4], turn[x, 4], turn[y, 4] = first, -coef, 1.0
    meat = np.zeros((4, 4))
    for w in blocks():
        turned = turn.T @ w
        scores = turned[:4] * turned[4]
        meat += scores @ scores.T
    n = whole[0, 0]
    cov = bread @ meat @ bread * (n / (n - 4))
    return coef.tolist(), np.sqrt(np.diag(cov)).tolist()


def ours(path: str, question: str = QUESTION, vcov: str = "HC1") -> tuple[list[float], list[float]]:
    """The same by ivbridge."""
    from ivbridge import scale

    found = scale.fit(question, path, vcov, memory="1GB")
    return found.coefs.estimate.tolist(), found.coefs.std_error.tolist()


_RUN = """
import json, os, resource, sys, time
sys.path[:0] = sys.argv[1:3]
import scale_speed
ask, small, path, *rest = sys.argv[3:]
work = getattr(scale_speed, ask)
work(small, *rest)
before, used = time.perf_counter(), time.process_time()
found = work(path, *rest)
seconds, used = time.perf_counter() - before, time.process_time() - used
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps({"seconds": seconds, "processor": used, "peak": peak * 1024, "found": found}))
"""


def run(ask: str, small: Path, path: Path, *rest: str) -> dict[str, float]:
    """One run in a process of its own."""
    here = Path(__file__).resolve()
    command = [sys.executable, "-c", _RUN, str(here.parents[2]), str(here.parent), ask, str(small), str(path), *rest]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def measured(rows: int, rounds: int) -> list[dict[str, object]]:
    """One record a run: who, round, seconds, processor seconds, peak in bytes; then the other questions."""
    records: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        small, path, other = (Path(folder) / f"{name}.parquet" for name in ("small", "large", "other"))
        write(small, 20_000, more=True)
        write(path, rows)
        answers = {}
        for turn in range(rounds):
            for ask in random.Random(turn).sample(["bare", "ours"], 2):
                found = run(ask, small, path)
                answers[ask] = np.array(found.pop("found"))
                records.append({"who": ask, "round": turn, "rows": rows, **found})
                print(records[-1], file=sys.stderr, flush=True)
        np.testing.assert_allclose(answers["ours"], answers["bare"], rtol=1e-6)  # bare passes square a condition of 400
        path.unlink()
        write(other, rows // 10, more=True)
        for name, (question, vcov) in OTHERS.items():
            found = run("ours", small, other, question, vcov)
            found.pop("found")
            records.append({"who": name, "round": 0, "rows": rows // 10, **found})
            print(records[-1], file=sys.stderr, flush=True)
    return records


def ratios(runs: list[dict[str, object]], what: str = "seconds") -> list[float]:
    """Ours over bare in each round."""
    found = {(run["who"], run["round"]): float(str(run[what])) for run in runs if run["who"] in ("bare", "ours")}
    return [found["ours", turn] / found["bare", turn] for who, turn in found if who == "bare"]


if __name__ == "__main__":
    asked = [int(float(word)) for word in sys.argv[1:]]
    runs = measured(*(*asked, *(50_000_000, 3)[len(asked) :]))
    rounds = ", ".join(f"{ratio:.2f}" for ratio in ratios(runs))
    most = max(float(str(run["peak"])) for run in runs if run["who"] == "ours")
    print(f"ours / bare: {np.median(ratios(runs)):.2f} (rounds: {rounds}); peak {most / 1e6:.0f} MB")
