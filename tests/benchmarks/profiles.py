"""Where the time of one fit goes, engine by engine: stacks looked at every millisecond, grouped into steps.

Run it on a quiet machine: ``OMP_NUM_THREADS=1 python tests/benchmarks/profiles.py``. The question is that of
native_speed.py: 15 columns, one endogenous regressor, HC1, from a formula and a data frame to coefficients and standard
errors. A timer interrupts the process; the time since the last interruption belongs to the first rule of the engine
that some function on the stack satisfies. R profiles itself (Rprof). IVBRIDGE_BENCH_ROWS bounds the large size.

What the engines compute is not the same: "native" and "r" add AER's tests and the first stages, pyfixest fits the first
stage as a second model, linearmodels computes kappa for tests that it makes later, and "fast" makes tests when asked.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent))

from native_speed import CONTROLS, INSTRUMENTS, World

SMALL, LARGE = 1_000, 1_000_000
#: Seconds between two looks; seconds of fits that are looked at, at least.
INTERVAL, ENOUGH = 0.001, 3.0
REST = ("labels, tables, the rest", "the rest")

#: What a rule matches: a function of a file, or any function of a file or folder.
Rule = tuple[str, str, tuple[str, ...]]

W, Z = (" + ".join(f"{letter}{j}" for j in range(count)) for letter, count in (("w", CONTROLS), ("z", INSTRUMENTS)))

#: (step, part, where), in the order in which they are tried.
COLUMNS: tuple[Rule, ...] = (
    ("formula", "formula and columns", ("ivbridge/spec.py:from_formula",)),
    ("fingerprint of the data", "checks", ("ivbridge/frame.py:fingerprint",)),
    ("rank of the columns", "checks", ("ivbridge/rank.py",)),
    ("columns", "formula and columns", ("ivbridge/design.py",)),
)
RULES: dict[str, tuple[Rule, ...]] = {
    "native": (
        *COLUMNS,
        ("tests and first stages", "tests", ("ivbridge/diagnostics.py",)),
        ("covariance", "covariance", ("ivbridge/sandwich.py", "ivbridge/engines/native.py:_covariance")),
        ("coefficients, refined", "coefficients", ("ivbridge/kclass.py", "ivbridge/linear.py", "ivbridge/refine.py",
                                                   "ivbridge/engines/native.py:_coefficients")),
    ),
    "fast": (
        ("first pass: cross-products", "coefficients", ("ivbridge/blocks/factor.py",)),
        ("second pass: scores", "covariance", ("ivbridge/blocks/scores.py",)),
        ("small algebra", "coefficients", ("ivbridge/blocks/solve.py", "ivbridge/blocks/answer.py")),
        ("formula", "formula and columns", ("ivbridge/spec.py:from_formula", "ivbridge/api.py:_question")),
        ("columns", "formula and columns", ("ivbridge/design.py", "ivbridge/tabular.py", "ivbridge/engines/quick.py")),
    ),
    "r": (
        ("R computes (ivreg, sandwich, tests)", "in R", ("ivbridge/engines/child.py:_wait",)),
        ("columns to R and numbers back", "in R", ("ivbridge/engines/process.py", "ivbridge/engines/transfer.py")),
        ("which tests apply", "tests", ("ivbridge/diagnostics.py",)),
        *COLUMNS,
    ),
    "linearmodels": (
        ("rank of the columns", "checks", ("linearmodels/iv/model.py:_validate_inputs",)),
        ("copies with row labels", "formula and columns", ("linearmodels/iv/data.py",)),
        ("formula and its columns", "formula and columns", ("linearmodels/iv/_utility.py", "formulaic/",
                                                            "linearmodels/iv/model.py:from_formula")),
        ("kappa, for tests made later", "tests", ("linearmodels/iv/model.py:_estimate_kappa",)),
        ("coefficients", "coefficients", ("linearmodels/iv/model.py:estimate_parameters",)),
        ("covariance", "covariance", ("linearmodels/iv/covariance.py",)),
        ("R², F, residuals", "tests", ("linearmodels/iv/model.py:_post_estimation",)),
    ),
    "pyfixest": (
        ("first stage as a second model", "tests", ("pyfixest/estimation/models/feiv_.py:first_stage",)),
        ("formula and its columns", "formula and columns", ("formulaic/", "pyfixest/estimation/formula",
                                                            ":prepare_model_matrix")),
        ("covariance", "covariance", (":vcov", ":get_inference")),
        ("coefficients", "coefficients", ("pyfixest/estimation/models/feiv_.py:get_fit", ":collin")),
    ),
}  # fmt: skip

#: The same for R: names of functions on the stack.
R_RULES: tuple[Rule, ...] = (
    ("covariance (sandwich)", "covariance", ("sandwich",)),
    ("coefficients (two QR decompositions)", "coefficients", ("ivreg.fit",)),
    ("formula and its columns", "formula and columns", ("ivreg",)),
)

R_FITS = """
suppressPackageStartupMessages({{library(AER); library(sandwich)}})
d <- read.csv("{data}")
one <- function() {{
  fit <- ivreg(y ~ x + {w} | {w} + {z}, data = d)
  list(coef(fit), sqrt(diag(sandwich(fit)) * nrow(d) / fit$df.residual))
}}
one()

Rprof("{stacks}", interval = {interval})
begun <- proc.time()[["elapsed"]]
for (i in seq_len({fits})) one()
seconds <- proc.time()[["elapsed"]] - begun
Rprof(NULL)
cat(seconds / {fits})
"""


class Looks:
    """Seconds by step, of a main thread that is interrupted by a timer."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules, self._last = rules, 0.0
        self.seconds: defaultdict[tuple[str, str], float] = defaultdict(float)

    @contextmanager
    def at(self) -> Iterator[None]:
        """Look at what is done within the block."""
        before = signal.signal(signal.SIGALRM, self._look)
        self._last = time.perf_counter()
        signal.setitimer(signal.ITIMER_REAL, INTERVAL, INTERVAL)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            self._look(0, sys._getframe(1))
            signal.signal(signal.SIGALRM, before)

    def _look(self, _signal: int, frame: FrameType | None) -> None:
        now = time.perf_counter()
        stack = []
        while frame is not None:
            stack.append((frame.f_code.co_filename, frame.f_code.co_name))
            frame = frame.f_back
        self.seconds[step_of(stack, self._rules)] += now - self._last
        self._last = now


def step_of(stack: Sequence[tuple[str, str]], rules: Sequence[Rule]) -> tuple[str, str]:
    """Step and part of a stack of (file, function)."""
    for step, part, places in rules:
        for place in places:
            folder, _, function = place.partition(":")
            if any(folder in file and function in ("", name) for file, name in stack):
                return step, part
    return REST


def measure() -> list[dict[str, Any]]:
    """Rows of ``engine part step seconds share``, seconds of one fit."""
    large = min(LARGE, int(os.environ.get("IVBRIDGE_BENCH_ROWS", LARGE)))
    rows = []
    for n in (SMALL, large):
        frame = World.draw(n).frame()
        for engine, task in tasks(frame).items():
            rows += _rows(engine, n, profiled(task, RULES[engine]))
        if shutil.which("Rscript"):
            rows += _rows("AER", n, profiled_r(frame, 2 if n == large else 300))
    return rows


def tasks(frame: pd.DataFrame) -> dict[str, Callable[[], object]]:
    """One fit of each engine, read out."""
    import pyfixest
    from linearmodels.iv import IV2SLS

    import ivbridge

    def ours(engine: str) -> Callable[[], object]:
        formula = f"y ~ x + {W} | {W} + {Z}"
        return lambda: [(found := ivbridge.fit(formula, frame, "HC1", engine)).params, found.bse]

    def linearmodels() -> object:
        found = IV2SLS.from_formula(f"y ~ 1 + {W} + [x ~ {Z}]", frame).fit(cov_type="robust", debiased=True)
        return found.params, found.std_errors

    def fixest() -> object:
        found = pyfixest.feols(f"y ~ {W} | x ~ {Z}", frame, vcov="HC1", copy_data=False, store_data=False)
        return found.coef(), found.se()

    return {"fast": ours("fast"), "native": ours("native"), "r": ours("r"), "linearmodels": linearmodels,
            "pyfixest": fixest}  # fmt: skip


def profiled(task: Callable[[], object], rules: Sequence[Rule]) -> dict[tuple[str, str], float]:
    """Seconds of one fit by step and part."""
    task()
    begun = time.perf_counter()
    task()
    fits = max(1, round(ENOUGH / (time.perf_counter() - begun)))
    looks = Looks(rules)
    with looks.at():
        for _ in range(fits):
            task()
    return {step: seconds / fits for step, seconds in looks.seconds.items()}


def profiled_r(frame: pd.DataFrame, fits: int) -> dict[tuple[str, str], float]:
    """The same of AER in a process of its own; the time of each step from the share of R's own looks."""
    with tempfile.TemporaryDirectory() as folder:
        data, stacks = Path(folder) / "data.csv", Path(folder) / "stacks.out"
        frame.to_csv(data, index=False)
        code = R_FITS.format(data=data, stacks=stacks, w=W, z=Z, fits=fits, interval=0.005)
        done = subprocess.run(["Rscript", "--vanilla", "-e", code], check=True, capture_output=True, text=True)
        seconds = float(done.stdout.split()[-1])
        counts = Counter[tuple[str, str]]()
        for line in stacks.read_text(encoding="utf-8").splitlines()[1:]:
            called = [name.strip('"').partition(".default")[0] for name in line.split()]
            counts[step_of([(name, "") for name in called], _exact(called))] += 1
    total = sum(counts.values())
    return {step: seconds * count / total for step, count in counts.items()}


def _exact(called: Sequence[str]) -> list[Rule]:
    """R's rules, of whole names."""
    return [(step, part, tuple(n for n in names if n in called)) for step, part, names in R_RULES]


def _rows(engine: str, n: int, found: dict[tuple[str, str], float]) -> list[dict[str, Any]]:
    total = sum(found.values())
    print(f"{engine}, n = {n:,}: {total:.4g} s", file=sys.stderr, flush=True)
    return [
        {"engine": f"{engine}, n = {n:,}", "part": part, "step": step, "seconds": seconds, "share": seconds / total}
        for (step, part), seconds in sorted(found.items(), key=lambda item: -item[1])
        if seconds >= 0.005 * total
    ]


if __name__ == "__main__":
    for row in measure():
        print(
            f"{row['engine']:24} {row['part']:20} {row['step']:38} {1000 * row['seconds']:10.3f} ms {row['share']:4.0%}"
        )
