"""The native engine beside linearmodels called directly: coefficients and HC1 errors of 15 columns, one thread.

Run it on a quiet machine: ``OMP_NUM_THREADS=1 python tests/benchmarks/native_speed.py``. Rounds are interleaved, and a
ratio is the median of the rounds' own ratios. The environment variable ``IVBRIDGE_BENCH_ROWS`` bounds the rows of the
largest size.

The native engine always computes AER's diagnostics and the first stages, linearmodels only when asked; the row
"with diagnostics" asks it, once, for those that both have.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from linearmodels.iv import IV2SLS

import ivbridge

#: Rows, and how many rounds.
SIZES = ((1_000, 40), (100_000, 7), (1_000_000, 3))
CONTROLS, INSTRUMENTS = 8, 5


@dataclass(frozen=True)
class World:
    """One data set: y, one endogenous regressor, eight controls, five instruments."""

    y: np.ndarray
    x: np.ndarray
    controls: np.ndarray
    instruments: np.ndarray

    @classmethod
    def draw(cls, n: int) -> World:
        """Draw n rows."""
        random = np.random.default_rng(1)
        controls, instruments = random.standard_normal((n, CONTROLS)), random.standard_normal((n, INSTRUMENTS))
        u, v = random.standard_normal((2, n))
        x = 0.3 * instruments.sum(axis=1) + 0.1 * controls.sum(axis=1) + u + v
        return cls(x + controls.sum(axis=1) + u, x, controls, instruments)

    def frame(self) -> pd.DataFrame:
        """The same in named columns."""
        names = ["y", "x", *(f"w{j}" for j in range(CONTROLS)), *(f"z{j}" for j in range(INSTRUMENTS))]
        return pd.DataFrame(np.column_stack([self.y, self.x, self.controls, self.instruments]), columns=names)


def measure() -> list[dict[str, Any]]:
    """Rows of ``item what ours other ratio target ok note``; ``ours`` and ``other`` are seconds."""
    largest = int(os.environ.get("IVBRIDGE_BENCH_ROWS", "1000000"))
    sizes = [(n, rounds) for n, rounds in SIZES if n <= largest] or [(largest, 3)]
    return [row for n, rounds in sizes for row in _rows(n, rounds)]


def _rows(n: int, rounds: int) -> list[dict[str, Any]]:
    world = World.draw(n)
    frame = world.frame()
    w = " + ".join(f"w{j}" for j in range(CONTROLS))
    z = " + ".join(f"z{j}" for j in range(INSTRUMENTS))
    estimate = ivbridge.fit(f"y ~ x + {w} | {w} + {z}", frame, "HC1")
    tasks: dict[str, Callable[[], object]] = {
        "ours": lambda: ivbridge.fit(*ivbridge.from_arrays(*_parts(world)), "HC1"),
        "theirs": lambda: _direct(world),
        "our formula": lambda: ivbridge.fit(f"y ~ x + {w} | {w} + {z}", frame, "HC1"),
        "their formula": lambda: _read(
            IV2SLS.from_formula(f"y ~ 1 + {w} + [x ~ {z}]", frame).fit(cov_type="robust", debiased=True)
        ),
    }
    _check(estimate, _direct(world))
    seconds = _interleaved(tasks, rounds)
    seconds |= _interleaved({"ours too": tasks["ours"], "diagnosed": lambda: _diagnosed(_direct(world))}, 1)
    size = f"{n:,} × {2 + CONTROLS + INSTRUMENTS}"
    return [
        _row(f"{size}: native from arrays, linearmodels from arrays", seconds, ("ours", "theirs"), 1.0,
             "ours computes the diagnostics and first stages, too"),
        _row(f"{size}: native from a formula, native from arrays", seconds, ("our formula", "ours"), 1.3, ""),
        _row(f"{size}: both from a formula", seconds, ("our formula", "their formula"), 1.0, ""),
        _row(f"{size}: from arrays, both with diagnostics", seconds, ("ours too", "diagnosed"), 1.0,
             "first-stage F, Wu-Hausman, Sargan"),
    ]  # fmt: skip


def _parts(world: World) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Arguments that both take: dependent, exogenous with the constant, endogenous, instruments."""
    return world.y, np.column_stack([np.ones(len(world.y)), world.controls]), world.x, world.instruments


def _direct(world: World) -> Any:
    return _read(IV2SLS(*_parts(world)).fit(cov_type="robust", debiased=True))


def _read(result: Any) -> Any:
    """Standard errors are computed when they are read."""
    result.std_errors.to_numpy()
    return result


def _diagnosed(result: Any) -> Any:
    result.first_stage.diagnostics.to_numpy()
    return result.wu_hausman().stat, result.sargan.stat


def _check(ours: ivbridge.Estimate, theirs: Any) -> None:
    """Both answer the same question: their shared coefficient agrees to ten digits."""
    pair = float(ours.params["x"]), float(theirs.params["endog"])
    if abs(pair[0] - pair[1]) > 1e-10 * abs(pair[0]):
        raise AssertionError(f"two answers: {pair}")


def _interleaved(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            begun = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def _row(
    what: str, seconds: dict[str, list[float]], names: tuple[str, str], target: float, note: str
) -> dict[str, Any]:
    ours, other = (seconds[name] for name in names)
    ratio = statistics.median(a / b for a, b in zip(ours, other, strict=True))
    return {
        "item": "7c", "what": what, "ours": statistics.median(ours), "other": statistics.median(other),
        "ratio": ratio, "target": f"≤ {target:g}", "ok": ratio <= target, "note": note,
    }  # fmt: skip


if __name__ == "__main__":
    for row in measure():
        print(f"{row['what']}: {row['ratio']:.2f} ({row['ours']:.4g} s, {row['other']:.4g} s), {row['target']}")
