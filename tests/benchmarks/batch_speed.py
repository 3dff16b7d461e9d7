"""A batch of 1000 replications of 1000 rows beside loops over the same arrays: linearmodels, and AER in R.

Run it on a quiet machine: ``OMP_NUM_THREADS=1 python tests/benchmarks/batch_speed.py``. Rounds are interleaved, and a
ratio is the median of the rounds' own ratios, of processor time: one thread computes on either side. Three regressors
(a constant, a control, an endogenous one), four instruments. AER's loop runs in one R process for each round and is
timed inside, on draws of the same design; HC1 there is sandwich() times n/(n − k), the quickest way.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from linearmodels.iv import IV2SLS, IVLIML

from ivbridge import batch, study

#: IVBRIDGE_BENCH_FITS bounds a tenth of the replications.
REPLICATIONS, ROWS, ROUNDS = min(1000, 10 * int(os.environ.get("IVBRIDGE_BENCH_FITS", "100"))), 1000, 7
#: Replications of a loop that is only shown for orientation; its time is scaled to all of them.
FEW = REPLICATIONS // 10

R_LOOP = f"""
suppressPackageStartupMessages({{library(AER); library(sandwich)}})
n <- {ROWS}; few <- {FEW}
data <- lapply(seq_len(few), function(i) {{
  w <- rnorm(n); z1 <- rnorm(n); z2 <- rnorm(n); u <- rnorm(n); x <- z1 + z2 + u + rnorm(n)
  data.frame(y = x + w + u, x = x, w = w, z1 = z1, z2 = z2)
}})
seconds <- system.time(for (d in data) {{
  fit <- ivreg(y ~ w + x | w + z1 + z2, data = d)
  found <- c(coef(fit), sqrt(diag(sandwich(fit)) * n / fit$df.residual))
}})
cat(seconds[["user.self"]] + seconds[["sys.self"]])
"""


@dataclass(frozen=True, eq=False)
class Replications:
    """Arrays of all replications, drawn before any clock runs."""

    y: np.ndarray
    exog: np.ndarray
    endog: np.ndarray
    instruments: np.ndarray
    clusters: np.ndarray

    @classmethod
    def draw(cls) -> Replications:
        """Draw them."""
        random = np.random.default_rng(1)
        shape = (REPLICATIONS, ROWS)
        exog, instruments = np.ones((*shape, 2)), random.standard_normal((*shape, 2))
        exog[:, :, 1], u = random.standard_normal(shape), random.standard_normal(shape)
        endog = instruments.sum(axis=2) + u + random.standard_normal(shape)
        return cls(endog + exog[:, :, 1] + u, exog, endog, instruments, np.arange(ROWS) % 50)

    def at_once(self, vcov: str, method: str = "2sls") -> tuple[np.ndarray, np.ndarray]:
        """Coefficients and standard errors of all, (B, k) each."""
        clusters = self.clusters if vcov.startswith("cluster") else None
        found = batch.fit(self.y, self.exog, self.endog, self.instruments, vcov, method, clusters)
        return found.coef, found.std_error

    def one_by_one(self, model: Any, count: int, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        """The same from linearmodels, of the first replications."""
        coef, error = np.empty((count, 3)), np.empty((count, 3))
        for b in range(count):
            found = model(self.y[b], self.exog[b], self.endog[b], self.instruments[b]).fit(debiased=True, **options)
            coef[b], error[b] = found.params, found.std_errors
        return coef, error


@dataclass(frozen=True)
class Draws:
    """The same design as a world of a study."""

    name: str = "batch"

    def draw(self, n: int, seed: int) -> Any:
        """One data frame."""
        random = np.random.default_rng(seed)
        frame = pd.DataFrame(random.standard_normal((n, 4)), columns=["w", "z1", "z2", "u"])
        frame["x"] = frame["z1"] + frame["z2"] + frame["u"] + random.standard_normal(n)
        frame["y"] = frame["x"] + frame["w"] + frame["u"]
        return _Draw(frame)


@dataclass(frozen=True)
class _Draw:
    frame: pd.DataFrame
    truth: float = 1.0


def measure() -> list[dict[str, Any]]:
    """Rows of ``item what ours other ratio target ok note``: seconds of both sides, and other/ours."""
    data, size = Replications.draw(), f"{REPLICATIONS:,} × n = {ROWS:,}"
    rows = [
        _beside(f"{size}, 2SLS, HC1: linearmodels' IV2SLS in a loop over arrays", lambda: data.at_once("HC1"),
                lambda: data.one_by_one(IV2SLS, REPLICATIONS, cov_type="robust"), 1.0, "≥ 150"),
        _beside(f"{size}, 2SLS, 50 clusters: linearmodels", lambda: data.at_once("cluster(g, type=HC1)"),
                lambda: data.one_by_one(IV2SLS, FEW, cov_type="clustered", clusters=data.clusters),
                REPLICATIONS / FEW, ""),
        _beside(f"{size}, LIML, HC1: linearmodels", lambda: data.at_once("HC1", "liml"),
                lambda: data.one_by_one(IVLIML, FEW, cov_type="robust"), REPLICATIONS / FEW, ""),
        _formulas(),
    ]  # fmt: skip
    return rows if shutil.which("Rscript") is None else [*rows, _aer(data, size)]


def _beside(what: str, ours: Callable[[], Any], theirs: Callable[[], Any], scale: float, target: str) -> dict[str, Any]:
    """A row, after a look at whether both say the same."""
    for mine, other in zip(ours(), theirs(), strict=True):
        np.testing.assert_allclose(mine[: len(other)], other, rtol=1e-8, atol=1e-10)
    seconds = [(_timed(ours), scale * _timed(theirs)) for _ in range(ROUNDS)]
    return _row(what, seconds, target, "" if scale == 1 else f"a tenth of the loop, times {scale:g}")


def _aer(data: Replications, size: str) -> dict[str, Any]:
    seconds = []
    for _ in range(3):
        mine = _timed(lambda: data.at_once("HC1"))
        said = subprocess.run(["Rscript", "--vanilla", "-e", R_LOOP], check=True, capture_output=True, text=True).stdout
        seconds.append((mine, float(said) * REPLICATIONS / FEW))
    return _row(
        f"{size}, 2SLS, HC1: AER's ivreg and sandwich in a loop over data frames", seconds, "", "a tenth, times 10"
    )


def _formulas() -> dict[str, Any]:
    """`study.by_formula` on data frames, many draws at once and one by one."""
    method = study.by_formula("HC1", "y ~ w + x | w + z1 + z2", "x", "HC1")
    alone, seeds = dataclasses.replace(method, many=None), range(1, FEW + 1)
    draws = [Draws().draw(ROWS, seed) for seed in seeds]
    pairs = zip(method.answers(draws, seeds), alone.answers(draws, seeds), strict=True)
    assert all(abs(one.estimate - other.estimate) < 1e-11 for (one,), (other,) in pairs)
    seconds = [(_timed(lambda: method.answers(draws, seeds)), _timed(lambda: alone.answers(draws, seeds)))
               for _ in range(ROUNDS)]  # fmt: skip
    return _row(
        f"study.by_formula on {FEW} draws of {ROWS:,} rows: ivbridge.fit one by one", seconds, "", "draws not timed"
    )


def _timed(task: Callable[[], object]) -> float:
    begun = time.process_time()
    task()
    return time.process_time() - begun


def _row(what: str, seconds: list[tuple[float, float]], target: str, note: str) -> dict[str, Any]:
    ratio = statistics.median(other / ours for ours, other in seconds)
    ours, other = (statistics.median(side) for side in zip(*seconds, strict=True))
    ok = not target or ratio >= float(target.removeprefix("≥ "))
    return {"item": "batch", "what": what, "ours": ours, "other": other, "ratio": ratio, "target": target, "ok": ok,
            "note": note}  # fmt: skip


if __name__ == "__main__":
    for row in measure():
        print(f"{row['what']}: {row['ratio']:.1f} ({row['ours']:.4g} s, {row['other']:.4g} s) {row['target']}")
