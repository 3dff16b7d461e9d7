"""A million users and two hundred A/B tests: memory of the analysis, processor time of the selection beside R's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ivbridge

ROOT = Path(__file__).resolve().parents[1]
USERS, TESTS, STRONG = 1_000_000, 200, 100
#: Bytes: the promise is four gigabytes.
MOST_MEMORY = 4e9
#: The selection may take this many times as long as cv.glmnet alone.
MOST_TIME = 1.5

ANALYSIS = """
import json, sys, time
from pathlib import Path
import ivbridge
from ivbridge.encouragement import analysis

seconds = {}
inner = analysis.select
def select(*arguments):
    start = time.process_time()
    found = inner(*arguments)
    seconds["selection"] = time.process_time() - start
    return found
analysis.select = select
start = time.perf_counter()
users = ivbridge.read_users(sys.argv[1], "test_*", ("retained", "reviewed", "mobile"))
report = ivbridge.encourage(users, "retained", "reviewed", controls=["mobile"])
report.to_html()
seconds["all"] = time.perf_counter() - start
# not ru_maxrss, which starts with the memory of the process that started this one
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(status["VmHWM"].split()[0]) * 1024
print(json.dumps({"peak": peak, "seconds": seconds, "selected": report.selected.experiments, "n": report.n,
                  "penalty": report.selected.penalty,
                  "interval": [report.pooled.bekker.conf_low, report.pooled.bekker.conf_high]}))
"""

#: The same LASSO: the behavior freed of the control, on all tests, the same folds.
GLMNET = r"""
arguments <- commandArgs(TRUE)
sizes <- as.numeric(arguments[2:3])
bytes <- readBin(arguments[1], "integer", prod(sizes), size = 1L)
x <- matrix(as.numeric(bytes), sizes[1], sizes[2])
rm(bytes)
invisible(gc())
y <- residuals(lm.fit(cbind(1, x[, 2]), x[, 1]))
x <- x[, -(1:2)]
set.seed(1)
seconds <- sum(system.time(fit <- glmnet::cv.glmnet(x, y))[1:2])
inside <- unlist(predict(fit, type = "nonzero"))
cat(sprintf('{"seconds": %.3f, "penalty": %.17g, "selected": [%s]}', seconds, fit$lambda.1se,
            paste(inside, collapse = ",")))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``users.csv``, and the same numbers as bytes for R: behavior, control, tests."""
    folder = tmp_path_factory.mktemp("scale")
    frame = ivbridge.simulated_users(USERS, TESTS, strong=STRONG).frame.drop(columns="tenure")
    text = np.empty((USERS, 2 * frame.shape[1]), dtype=np.uint8)
    for j, name in enumerate(frame):
        text[:, 2 * j], text[:, 2 * j + 1] = frame[name].to_numpy() + ord("0"), ord(",")
    text[:, -1] = ord("\n")
    with (folder / "users.csv").open("wb") as file:
        file.write((",".join(frame) + "\n").encode())
        text.tofile(file)
    with (folder / "users.bin").open("wb") as file:
        for name in ["reviewed", "mobile", *(f"test_{j + 1}" for j in range(TESTS))]:
            frame[name].to_numpy().tofile(file)
    return folder


@pytest.mark.slow
def test_a_million_users(folder: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run([sys.executable, "-c", ANALYSIS, str(folder / "users.csv")], env=environment,
                         capture_output=True, text=True, check=True)  # fmt: skip
    ours = json.loads(run.stdout)
    (folder / "cv.R").write_text(GLMNET, encoding="utf-8")
    run = subprocess.run(
        ["Rscript", "--vanilla", str(folder / "cv.R"), str(folder / "users.bin"), str(USERS), str(TESTS + 2)],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = json.loads(run.stdout)
    ratio = ours["seconds"]["selection"] / theirs["seconds"]
    print(f"peak {ours['peak'] / 1e9:.2f} GB, all {ours['seconds']['all']:.0f} s, selection "
          f"{ours['seconds']['selection']:.1f} s, cv.glmnet {theirs['seconds']:.1f} s, ratio {ratio:.2f}")  # fmt: skip
    assert ours["n"] == USERS
    assert ours["selected"] == [f"test_{j}" for j in theirs["selected"]]
    assert ours["penalty"] == pytest.approx(theirs["penalty"], rel=1e-9)  # sums of a million terms
    assert len(ours["selected"]) >= STRONG
    assert ours["interval"][0] < 0.1 < ours["interval"][1]
    assert ours["peak"] < MOST_MEMORY
    assert ratio < MOST_TIME
