"""Seconds of a cross-validated LASSO: our engines, scikit-learn's own LassoCV and R's cv.glmnet, in one run.

    python tests/benchmarks/lasso_speed.py                      # S1 and S2, five rounds
    python tests/benchmarks/lasso_speed.py S1 S2 S3 --rounds 3  # S3 needs 8 GB for R alone

Rounds are interleaved (every method once, then again), one thread each, medians are reported. R is timed inside R,
around ``cv.glmnet`` alone, with the same folds; Python around ``lasso_engine(…).cv(design)``, the hash of the data
included. For S3 every method runs in a process of its own, whose largest memory is reported.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ivbridge.selection.design import LassoDesign, build_lasso
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.spec import Folds, LassoSpec

#: Variables that the BLAS libraries of Python and of R read when they start.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}

R_CODE = """
suppressMessages(library(glmnet))
dir <- commandArgs(TRUE)[1]; n <- as.integer(commandArgs(TRUE)[2]); p <- as.integer(commandArgs(TRUE)[3])
small <- commandArgs(TRUE)[4] == "1"
read <- function(name, k) readBin(file.path(dir, name), "double", k)
x <- if (small) as.double(readBin(file.path(dir, "x"), "integer", n * p, size = 1)) else read("x", n * p)
dim(x) <- c(n, p); y <- read("y", n); foldid <- as.integer(read("foldid", n))
time <- system.time(fit <- cv.glmnet(x, y, foldid = foldid))
peak <- as.numeric(gsub("[^0-9]", "", grep("VmHWM", readLines("/proc/self/status"), value = TRUE)))
cat(sprintf('{"seconds": %.6f, "cpu": %.6f, "peak_gb": %.4f, "lambda.min": %d, "lambda.1se": %d, "selected": %d}\\n',
  time[["elapsed"]], sum(time[1:2]), peak / 1e6, fit$index[1] - 1L, fit$index[2] - 1L, fit$nzero[fit$index[2]]))
"""


@dataclass(frozen=True, slots=True)
class Size:
    """One data set: rows, candidates, the common factor in them, how many matter and how much, whether all are 0/1."""

    n: int
    p: int
    common: float = 0.0
    relevant: int = 10
    effect: float = 0.3
    binary: bool = False


SIZES = {
    "S1": Size(10_000, 200, common=0.5),
    "S2": Size(1_000, 2_000),
    "S3": Size(1_000_000, 200, relevant=20, effect=0.1, binary=True),
}


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement, with what was found as a check that all methods answered the same question."""

    seconds: float
    cpu: float
    peak_gb: float
    index_min: int | None = None
    index_1se: int | None = None
    selected: int | None = None
    finished: bool = True


def make(size: Size) -> LassoDesign:
    """The data of a size: normal columns that share a factor, or independent 0/1 columns; ten folds of seed 1."""
    random = np.random.default_rng(0)
    names = [f"z{j}" for j in range(size.p)]
    if size.binary:
        x = np.empty((size.n, size.p), dtype=bool, order="F")
        for j in range(size.p):
            x[:, j] = random.random(size.n) < 0.5
    else:
        x = np.asfortranarray(
            random.standard_normal((size.n, size.p)) + size.common * random.standard_normal((size.n, 1))
        )
    y = 2 + x[:, : size.relevant] @ np.full(size.relevant, size.effect) + random.standard_normal(size.n)
    data = pd.DataFrame(x, columns=names, copy=False)
    data["x"] = y
    return build_lasso(LassoSpec("x", tuple(names), folds=Folds(10, seed=1)), data)


def run_engine(name: str, design: LassoDesign) -> Run:
    """One of ivbridge's engines."""
    start, cpu = time.perf_counter(), time.process_time()
    fit = lasso_engine(name).cv(design)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    return Run(seconds, cpu, peak_gb(), fit.index_min, fit.index_1se, len(fit.selected("1se")))


def run_lassocv(design: LassoDesign) -> Run:
    """scikit-learn's LassoCV with its defaults and the same folds: another grid of λ, another stopping rule."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LassoCV
    from sklearn.model_selection import PredefinedSplit

    start, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # its default limit of passes is part of what is timed
        LassoCV(cv=PredefinedSplit(design.foldid - 1)).fit(design.dense, design.y)
    return Run(time.perf_counter() - start, time.process_time() - cpu, peak_gb())


def run_r(design: LassoDesign) -> Run:
    """R's cv.glmnet in a fresh R, timed inside it."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        np.asarray(design.x).T.tofile(place / "x")
        design.y.tofile(place / "y")
        design.foldid.astype(np.float64).tofile(place / "foldid")
        (place / "cv.R").write_text(R_CODE, encoding="utf-8")
        small = str(int(np.asarray(design.x).dtype == np.int8))
        command = ["Rscript", str(place / "cv.R"), folder, str(design.n), str(design.p), small]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, **ONE_THREAD})
    found = json.loads(done.stdout)
    return Run(
        found["seconds"], found["cpu"], found["peak_gb"], found["lambda.min"], found["lambda.1se"], found["selected"]
    )


METHODS: dict[str, Callable[[LassoDesign], Run]] = {
    "R cv.glmnet": run_r,
    "native": lambda design: run_engine("native", design),
    "sklearn": lambda design: run_engine("sklearn", design),
    "LassoCV": run_lassocv,
}


#: Methods that may take very long with more columns than rows, and the seconds after which they are stopped.
LIMITED = {"sklearn": 120.0, "LassoCV": 120.0}


def peak_gb() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def speed_table(
    sizes: Sequence[str] = ("S1", "S2"), methods: Sequence[str] = tuple(METHODS), rounds: int = 5
) -> pd.DataFrame:
    """Measure.

    Parameters
    ----------
    sizes : sequence of {"S1", "S2", "S3"}
    methods : sequence of str
        Keys of METHODS. R is always measured; sklearn and LassoCV are left out at S3.
    rounds : int, default 5
        S3 and methods that take more than a minute have one round.

    Returns
    -------
    DataFrame
        One row a size and method: n, p, rounds, median seconds, their ratio to R's, the same ratio of
        processor time (which other work on the machine changes less), lambda.min and lambda.1se as
        positions from 0, columns selected at lambda.1se, peak_gb (NaN except at S3), finished (False: the
        time is the limit at which the method was stopped).
    """
    table = []
    for name in sizes:
        size = SIZES[name]
        chosen = ["R cv.glmnet", *(m for m in methods if m != "R cv.glmnet" and (m == "native" or not size.binary))]
        design = None if size.binary else make(size)
        runs: dict[str, list[Run]] = {method: [] for method in chosen}
        for _ in range(1 if size.binary else rounds):
            for method in chosen:
                if runs[method] and runs[method][0].seconds > 60:
                    continue
                apart = design is None or method in LIMITED
                runs[method].append(_in_own_process(name, method) if apart else METHODS[method](design))
        base = _medians(runs["R cv.glmnet"])
        for method, found in runs.items():
            seconds, cpu = _medians(found)
            last = found[-1]
            table.append(
                {
                    "size": name, "n": size.n, "p": size.p, "method": method, "rounds": len(found),
                    "seconds": seconds, "ratio": seconds / base[0], "cpu ratio": cpu / base[1],
                    "lambda.min": last.index_min, "lambda.1se": last.index_1se, "selected": last.selected,
                    "peak_gb": last.peak_gb if size.binary else float("nan"),
                    "finished": last.finished,
                }
            )  # fmt: skip
    return pd.DataFrame(table)


def _medians(runs: list[Run]) -> tuple[float, float]:
    """Wall-clock and processor seconds."""
    return float(np.median([run.seconds for run in runs])), float(np.median([run.cpu for run in runs]))


def _in_own_process(size: str, method: str) -> Run:
    command, limit = [sys.executable, __file__, "--one", size, method], LIMITED.get(method)
    env = {**os.environ, **ONE_THREAD}
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=env, timeout=limit)
    except subprocess.TimeoutExpired as stopped:
        return Run(stopped.timeout, float("nan"), float("nan"), finished=False)
    return Run(**json.loads(done.stdout))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", help="of S1 S2 S3; default S1 S2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--methods", nargs="*", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--one", nargs=2, metavar=("SIZE", "METHOD"), help="measure once here, print JSON")
    asked = parser.parse_args()
    if asked.one:
        found = METHODS[asked.one[1]](make(SIZES[asked.one[0]]))
        print(json.dumps({name: getattr(found, name) for name in Run.__slots__}))
        return
    table = speed_table(asked.sizes or ("S1", "S2"), asked.methods, asked.rounds)
    print(table.to_string(index=False, float_format=lambda number: f"{number:.3f}"))


if __name__ == "__main__":
    if any(os.environ.get(name) != "1" for name in ONE_THREAD):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **ONE_THREAD})
    main()
