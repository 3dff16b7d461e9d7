"""Absorbed fixed effects: engine fast beside pyfixest and, where R has it, fixest; two-stage least squares, HC1.

Run it on a quiet machine: ``OMP_NUM_THREADS=1 python tests/benchmarks/absorb_speed.py``. Rounds are interleaved and
shuffled, and a ratio is the median of the rounds' own ratios. ``--rows 1e5`` makes everything smaller, ``--slow`` lets
pyfixest's default demeaner at the hard graphs, too (minutes a fit), ``--rounds`` says how many.

=========  ==============================================================================================
random     every row draws both levels: well connected, the easy case (1e5 and 1e3 levels of 1e6 rows)
ring       every level of the first factor meets two neighbours of the second one: poorly connected
careers    nine rows in ten at the first level's home, others near it: many levels in both (1e5 and 2.5e4)
three      random, with a third factor of 50 levels
=========  ==============================================================================================
"""

from __future__ import annotations

import argparse
import random as standard
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ivbridge

GRAPHS = ("random", "ring", "careers", "three")
#: Graphs on which alternating projections need thousands of steps.
HARD = ("ring", "careers")

R_WORKER = """
ok <- suppressWarnings(suppressMessages(require(fixest, quietly = TRUE)))
cat(if (ok) "ready" else "missing", "\\n", sep = ""); flush(stdout())
if (!ok) quit()
setFixest_nthreads(1)
input <- file("stdin", "r"); n <- as.integer(readLines(input, 1)); names <- strsplit(readLines(input, 1), " ")[[1]]
path <- readLines(input, 1); con <- file(path, "rb")
data <- as.data.frame(lapply(names, function(name) readBin(con, "double", n))); names(data) <- names; close(con)
for (name in grep("^f", names, value = TRUE)) data[[name]] <- as.integer(data[[name]])
while (length(text <- readLines(input, 1))) {
  took <- system.time({
    fit <- feols(as.formula(text), data, vcov = "hetero", fixef.rm = "none", notes = FALSE, warn = FALSE)
    coefs <- coef(fit); errors <- se(fit)
  })[["elapsed"]]
  cat(took, coefs[["fit_x"]], errors[["fit_x"]], "\\n"); flush(stdout())
}
"""


def world(graph: str, n: int) -> pd.DataFrame:
    """n rows: y, one endogenous regressor, two instruments, a control, and factors f1, f2 and perhaps f3."""
    random = np.random.default_rng(1)
    first, second = n // 10, n // 40 if graph == "careers" else max(n // 1000, 20)
    f1 = random.integers(0, first, n)
    f2 = random.integers(0, second, n)
    if graph == "ring":
        f2 = (f1 * second // first + random.integers(0, 2, n)) % second
    if graph == "careers":
        home = random.permutation(second)[np.minimum((random.pareto(1.0, first) * second / 50).astype(int), second - 1)]
        f2 = np.where(random.random(n) < 0.1, (home[f1] + random.integers(-20, 20, n)) % second, home[f1])
    effects = random.normal(size=first)[f1] + random.normal(size=second)[f2]
    w, z1, z2, u, e = random.normal(size=(5, n))
    x = z1 + 0.5 * z2 + u + effects
    frame = pd.DataFrame({"y": x + w + effects + u + e, "x": x, "w": w + 0.3 * effects, "z1": z1, "z2": z2})
    factors = {"f1": f1, "f2": f2, **({"f3": random.integers(0, 50, n)} if graph == "three" else {})}
    return frame.assign(**factors)


def formula_of(frame: pd.DataFrame) -> str:
    """fixest's formula, which all three read."""
    return f"y ~ w | {' + '.join(name for name in frame if name.startswith('f'))} | x ~ z1 + z2"


Answer = tuple[float, float, float]  #: seconds, the coefficient of x, its standard error


def ours(frame: pd.DataFrame) -> Answer:
    """Engine fast."""
    begun = time.perf_counter()
    found = ivbridge.fit(formula_of(frame), frame, "HC1", engine="fast")
    coef, error = found.coefs.estimate[1], found.coefs.std_error[1]
    return time.perf_counter() - begun, float(coef), float(error)


def pyfixest_with(**options: Any) -> Callable[[pd.DataFrame], Answer]:
    """``pyfixest.feols`` with a demeaner."""
    import pyfixest

    def asked(frame: pd.DataFrame) -> Answer:
        begun = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = pyfixest.feols(
                formula_of(frame), frame, vcov="hetero", fixef_rm="none", copy_data=False, store_data=False, **options
            )
        coef, error = float(found.coef()["x"]), float(found.se()["x"])
        return time.perf_counter() - begun, coef, error

    return asked


class Fixest:
    """An R process that holds the data; `ready` is False where R or fixest is missing."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.folder = tempfile.TemporaryDirectory()
        script, data = Path(self.folder.name) / "worker.R", Path(self.folder.name) / "data.bin"
        script.write_text(R_WORKER, encoding="utf-8")
        try:
            self.process = subprocess.Popen(
                ["Rscript", "--vanilla", str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        except OSError:
            self.ready = False
            return
        self.ready = self._answer() == ["ready"]
        if self.ready:
            np.concatenate([frame[name].to_numpy(dtype=float) for name in frame]).tofile(data)
            self._tell(f"{len(frame)}\n{' '.join(frame)}\n{data}")

    def __call__(self, frame: pd.DataFrame) -> Answer:
        """Fit once."""
        self._tell(formula_of(frame))
        seconds, coef, error = map(float, self._answer())
        return seconds, coef, error

    def close(self) -> None:
        """End the process."""
        if hasattr(self, "process"):
            if self.process.stdin:
                self.process.stdin.close()
            self.process.wait(60)
        self.folder.cleanup()

    def _tell(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def _answer(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.readline().split()


def measure(graph: str, n: int, rounds: int, *, slow: bool) -> list[dict[str, Any]]:
    """Rows of ``graph n who seconds ratio coef_gap se_gap``; ratio and gaps are to engine fast."""
    import pyfixest

    frame = world(graph, n)
    fixest = Fixest(frame)
    who: dict[str, Callable[[pd.DataFrame], Answer]] = {"fast": ours}
    if slow or graph not in HARD:
        who["pyfixest"] = pyfixest_with()
    who["pyfixest LSMR"] = pyfixest_with(demeaner=pyfixest.LsmrDemeaner())
    if fixest.ready:
        who["fixest, 1 thread"] = fixest
    times: dict[str, list[float]] = {name: [] for name in who}
    answers: dict[str, Answer] = {}
    failed: dict[str, str] = {}
    for turn in range(rounds + 1):  # the first one warms up
        for name in standard.Random(turn).sample(list(who), len(who)):
            if name in failed:
                continue
            try:
                answers[name] = who[name](frame)
            except Exception as error:  # noqa: BLE001 - whatever another package raises is its result
                failed[name] = f"{type(error).__name__}: {error}"[:60]
                continue
            if turn:
                times[name].append(answers[name][0])
    fixest.close()
    reference = answers["fast"]
    rows = []
    for name, took in times.items():
        row: dict[str, Any] = {
            "graph": graph,
            "n": n,
            "who": name,
            "seconds": float("nan"),
            "note": failed.get(name, ""),
        }
        if took:
            ratio = statistics.median(a / b for a, b in zip(took, times["fast"], strict=False))
            gaps = [abs(a / b - 1) for a, b in zip(answers[name][1:], reference[1:], strict=True)]
            row |= {"seconds": statistics.median(took), "ratio": ratio, "coef_gap": gaps[0], "se_gap": gaps[1]}
        rows.append(row)
    return rows


def main(arguments: Sequence[str] | None = None) -> pd.DataFrame:
    """Measure what is asked for, and print it."""
    parser = argparse.ArgumentParser(prog="absorb_speed.py")
    parser.add_argument("graphs", nargs="*", default=list(GRAPHS), help=f"of: {', '.join(GRAPHS)}")
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--slow", action="store_true")
    asked = parser.parse_args(arguments)
    rows = [row for graph in asked.graphs for row in measure(graph, int(asked.rows), asked.rounds, slow=asked.slow)]
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.3g}".format))
    return table


if __name__ == "__main__":
    main()
