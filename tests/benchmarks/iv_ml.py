"""Seconds of the nonlinear IV methods beside other programs and plain scikit-learn pieces, in one run.

    python -m tests.benchmarks.iv_ml                                 # ours and scikit-learn's pieces
    python -m tests.benchmarks.iv_ml --mliv PYTHON --econml PYTHON   # with the Pythons of iv_ml_peers.py, too
    python -m tests.benchmarks.iv_ml poly2sls large                  # some questions only

Writes docs/performance/iv_ml.csv, one row a measurement. The world is Linear-3-3, 3000 rows, its true label as the
instrument. Networks are trained for a few epochs, as many on each side: a ratio does not depend on their number. Each
side has one thread; rounds are interleaved, each program fits once before its clock starts. "together" are ten
replications in one ``fit_many``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

for _library in ("OMP", "OPENBLAS", "MKL"):  # before numpy is loaded
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from ivbridge import iv_ml  # noqa: E402
from ivbridge.iv_ml.scenarios.fusion import Fusion, FusionDraw  # noqa: E402
from ivbridge.iv_ml.training import Schedule  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "performance" / "iv_ml.csv"
WORLD, ROWS, TOGETHER, LARGE = Fusion("linear", 3, 3), 3000, 10, 10_000

#: Question: our method with its settings here, epochs, and who else answers it.
QUESTIONS: dict[str, tuple[str, dict[str, Any], int, tuple[str, ...]]] = {
    "poly2sls": ("poly2sls", {}, 0, ("scikit-learn", "mliv Poly2SLS")),
    "kernel_iv": ("kernel_iv", {"rows": 1000}, 0, ("scikit-learn", "mliv KernelIV")),
    "nn2sls": ("nn2sls", {"first": Schedule(3, 1000), "schedule": Schedule(3, 1000)}, 3, ("mliv NN2SLS",)),
    "one_siv": ("one_siv", {"schedule": Schedule(3, 1000)}, 3, ("mliv OneSIV",)),
    "deep_iv": ("deep_iv", {"schedule": Schedule(5, 100)}, 5, ("econml DeepIV",)),
    "dfiv": ("dfiv", {"schedule": Schedule(5)}, 5, ("mliv DFIV",)),
    "deep_gmm": ("deep_gmm", {"schedule": Schedule(30)}, 30, ("mliv DeepGMM",)),
    "agmm": ("agmm", {"schedule": Schedule(10, 100)}, 10, ("mliv AGMM",)),
}


@dataclass(frozen=True, slots=True)
class Run:
    """One measurement: seconds and processor seconds for ``fits`` fits, the largest memory if it had a process.

    ``quality`` is the mean squared error of the curve on the test rows, or the share of labels found.
    """

    question: str
    who: str
    epochs: int
    fits: int
    seconds: float
    cpu: float
    quality: float
    peak_mb: float = float("nan")


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds, processor seconds, and what came out."""
    start, cpu = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - start, time.process_time() - cpu, found


def missed(curve: Any, draw: FusionDraw) -> float:
    """Mean squared error on the test rows."""
    test = draw.test
    return float(np.mean((curve(test.data.endog, test.data.exog) - test.truth) ** 2))


# ---- who answers -----------------------------------------------------------------------------------------------------


def ours(question: str, draws: list[FusionDraw]) -> Run:
    """Our method, on one data set or on all together."""
    name, settings, epochs, _ = QUESTIONS[question]
    method = iv_ml.method_class(name)(standardize=False, **settings)
    data = [draw.train.data for draw in draws]
    seconds, cpu, curves = timed(lambda: method.fit_many(data, range(len(data))))
    quality = statistics.fmean(missed(curve.predict, draw) for curve, draw in zip(curves, draws, strict=True))
    return Run(question, "ours" if len(data) == 1 else "ours, together", epochs, len(data), seconds, cpu, quality)


def plain(question: str, draw: FusionDraw) -> Run:
    """scikit-learn's pieces, two stages, the second one with the fitted treatment in place of the treatment."""
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import PolynomialFeatures

    rows = slice(None) if question == "poly2sls" else slice(1000)
    y, t, x, z = (part[rows] for part in draw.train.data.arrays)

    def stage(inputs: Any, outcome: Any) -> Any:
        if question == "poly2sls":
            grid = {"poly__degree": range(1, 4), "ridge__alpha": np.logspace(-5, 5, 11)}
            return GridSearchCV(Pipeline([("poly", PolynomialFeatures()), ("ridge", Ridge())]), grid, cv=5).fit(
                inputs, outcome
            )
        gamma = 1 / np.median(((inputs[:200, None] - inputs[None, :200]) ** 2).sum(-1))
        grid = {"alpha": 500 * np.logspace(-2, -10, 50)}  # as many penalties, in two folds of 500 rows
        return GridSearchCV(KernelRidge(kernel="rbf", gamma=gamma), grid, cv=2).fit(inputs, outcome)

    def fit() -> Any:
        fitted = stage(np.column_stack([z, x]), t).predict(np.column_stack([z, x]))
        return stage(np.column_stack([fitted, x]), y)

    seconds, cpu, found = timed(fit)
    return Run(question, "scikit-learn", 0, 1, seconds, cpu, missed(lambda t, x: found.predict(np.c_[t, x]), draw))


def peer(question: str, who: str, python: str, folder: Path) -> Run:
    """Another package, in its own process."""
    package, method = who.split()
    epochs = QUESTIONS[question][2]
    script = str(Path(__file__).with_name("iv_ml_peers.py"))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, script, package, method, str(folder), str(epochs)], env=environment, check=True, capture_output=True,
        text=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return Run(question, who, epochs, 1, found["seconds"], found["cpu"], found["mse"])


# ---- labels ----------------------------------------------------------------------------------------------------------


def labels(who: str, draw: FusionDraw) -> Run:
    """Groups from (T, X): ours in both forms, and the published recipe out of scikit-learn's pieces."""
    from ivbridge.iv_ml.generation.meta_em import MetaEM
    from ivbridge.iv_ml.matching import agreement

    data = draw.train.data
    makers: dict[str, Callable[[], Any]] = {
        "ours": lambda: MetaEM(groups=3).generate(data, 0).labels,
        "ours, published": lambda: MetaEM.published(groups=3).generate(data, 0).labels,
        "scikit-learn": lambda: mixture(data.endog, data.exog, 3),
    }
    seconds, cpu, found = timed(makers[who])
    return Run("meta_em", who, 0, 1, seconds, cpu, agreement(found, draw.train.labels))


def mixture(t: Any, x: Any, groups: int) -> Any:
    """A ridge of T on powers of X, each covariate's own powers as one factor, and Gaussians over factors and T."""
    from sklearn.linear_model import Ridge
    from sklearn.mixture import GaussianMixture
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import PolynomialFeatures, scale

    grid = {"poly__degree": range(1, 4), "ridge__alpha": np.logspace(-5, 5, 11)}
    best = GridSearchCV(Pipeline([("poly", PolynomialFeatures()), ("ridge", Ridge())]), grid, cv=5).fit(x, t)
    powers, slopes = best.best_estimator_["poly"].powers_, best.best_estimator_["ridge"].coef_
    terms = best.best_estimator_["poly"].transform(x) * slopes
    own = [(powers[:, j] > 0) & (powers.sum(axis=1) == powers[:, j]) for j in range(x.shape[1])]
    factors = scale(np.column_stack([terms[:, which].sum(axis=1) for which in own]))
    return GaussianMixture(groups, random_state=0).fit_predict(np.column_stack([factors, t]))


# ---- ten thousand rows -----------------------------------------------------------------------------------------------


def large() -> Run:
    """KernelIV of ten thousand rows, in this process, whose largest memory is read."""
    draw = WORLD.draw(LARGE, seed=1)
    method = iv_ml.method_class("kernel_iv")(standardize=False)
    seconds, cpu, curve = timed(lambda: method.fit(draw.train.data))
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    return Run("large", "ours", 0, 1, seconds, cpu, missed(curve.predict, draw), peak / 1000)


# ---- all of it -------------------------------------------------------------------------------------------------------


def measured(questions: list[str], pythons: dict[str, str], rounds: int) -> Iterator[Run]:
    """All measurements, in interleaved rounds."""
    draws = [WORLD.draw(ROWS, seed) for seed in range(1, TOGETHER + 1)]
    for question in [name for name in questions if name in QUESTIONS]:
        *_, others = QUESTIONS[question]
        others = tuple(who for who in others if who == "scikit-learn" or who.split()[0] in pythons)
        ours(question, draws[:1])  # what is loaded at a first call
        for _ in range(rounds):
            yield ours(question, draws[:1])
            yield ours(question, draws)
            for who in others:
                with tempfile.TemporaryDirectory() as folder:
                    if who == "scikit-learn":
                        yield plain(question, draws[0])
                    else:
                        written(draws[0], Path(folder))
                        yield peer(question, who, pythons[who.split()[0]], Path(folder))
    if "meta_em" in questions:
        for _ in range(rounds):
            for who in ("ours", "ours, published", "scikit-learn"):
                yield labels(who, draws[0])
    if "large" in questions:
        for _ in range(rounds):
            script = [sys.executable, "-m", "tests.benchmarks.iv_ml", "--in-this-process"]
            done = subprocess.run(script, check=True, capture_output=True, text=True, cwd=ROOT)
            yield Run(**json.loads(done.stdout))


def written(draw: FusionDraw, folder: Path) -> None:
    """The three samples as files, as mliv reads them."""
    for name in ("train", "valid", "test"):
        sample = getattr(draw, name)
        y, t, x, z = sample.data.arrays
        columns = {f"z{j}": z[:, j] for j in range(z.shape[1])} | {f"x{j}": x[:, j] for j in range(x.shape[1])}
        pd.DataFrame(columns | {"t0": t, "y0": y, "g0": sample.truth}).to_csv(folder / f"{name}.csv", index=False)


def main(arguments: list[str]) -> None:
    """Measure and write."""
    names = [*QUESTIONS, "meta_em", "large"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", default=names)
    parser.add_argument("--mliv")
    parser.add_argument("--econml")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.in_this_process:
        print(json.dumps(asdict(large())))
        return
    pythons = {name: python for name in ("mliv", "econml") if (python := getattr(asked, name))}
    for question in asked.questions:
        found = []
        for run in measured([question], pythons, asked.rounds):
            found.append(run)
            print(
                f"{run.question:10} {run.who:16} {run.seconds:8.3f} s, processor {run.cpu:8.3f} s, {run.quality:.3f}",
                flush=True,
            )
        kept(pd.DataFrame([asdict(run) for run in found]), names)


def kept(table: pd.DataFrame, names: list[str]) -> None:
    """Put the measurements of some questions in the place of those that were there."""
    if TARGET.is_file():
        before = pd.read_csv(TARGET)
        table = pd.concat([before[~before["question"].isin(table["question"])], table])
    order = table["question"].map({name: i for i, name in enumerate(names)})
    table = table.iloc[order.argsort(kind="stable")]
    table.to_csv(TARGET, index=False, float_format="%.4g", na_rep="NaN")


if __name__ == "__main__":
    main(sys.argv[1:])
