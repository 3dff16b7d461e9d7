"""Rounds in which all packages take their turn in a new order, and what is made of them."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.benchmarks.peers import worlds
from tests.benchmarks.peers.answers import TASKS
from tests.benchmarks.peers.processes import TOO_SLOW, StoppedError, Worker
from tests.benchmarks.peers.worlds import CLUSTERED, DIAGNOSTICS, HC1, Size

OURS, LIMIT = "ivbridge fast", "limit"
#: One call, in seconds and MB above the data.
MOST_SECONDS, MOST_MEGABYTES = 60.0, 12_000.0
#: Numbers of two packages agree where they differ by less, relative to the number.
AGREE = 1e-8
#: Tasks of a package, where they are not all.
ASKED = {**TASKS, "AER, vcovHC": (HC1,), "ivreg": (HC1, CLUSTERED), "pyfixest": (HC1, CLUSTERED),
         **dict.fromkeys(("limit", "AER", "estimatr", "fixest"), (HC1, CLUSTERED))}  # fmt: skip
COLUMNS = (
    "size", "n", "k", "l", "task", "peer", "version", "status", "rounds", "seconds", "ratio", "ratio_low", "ratio_high",
    "coef_gap", "se_gap", "test_gap", "extra_mb", "data_mb",
)  # fmt: skip


@dataclass(slots=True)
class Turns:
    """What one package did: seconds by round, numbers, memory; or why it has none."""

    seconds: dict[int, float] = field(default_factory=dict)
    reply: dict[str, Any] = field(default_factory=dict)
    extra: float = float("nan")
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: seconds for a package in one comparison, and rounds."""

    budget: float = 12.0
    least: int = 3
    most: int = 40


def kept(path: Path) -> pd.DataFrame:
    """A table that was written; names of sizes look like numbers and are none."""
    texts = dict.fromkeys(("size", "task", "peer", "version", "status"), str)
    numbers = {name: [""] for name in COLUMNS if name not in texts}
    return pd.read_csv(path, keep_default_na=False, dtype=texts, na_values=numbers)


def said(text: str) -> None:
    """Progress."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def data(size: Size) -> Iterator[Path]:
    """A folder with the data, in memory where there is such a file system."""
    place = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
    for left in place.glob("iv-peers-*"):  # of a run that was killed
        if not Path("/proc", left.name.split("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"iv-peers-{os.getpid()}-", dir=place) as folder:
        worlds.write(size, Path(folder))
        yield Path(folder)


@contextmanager
def workers(names: Sequence[str], size: Size) -> Iterator[tuple[dict[str, Worker], dict[str, str], dict[str, str]]]:
    """Workers that hold the data and have answered once at a small size; versions; why others are missing."""
    small = worlds.Size("warm", 500, 3, 4)
    found: dict[str, Worker] = {}
    versions: dict[str, str] = {}
    missing: dict[str, str] = {}
    with ExitStack() as stack, data(small) as few:
        started = [stack.enter_context(Worker(name)) for name in names]
        with data(size) as folder:
            for worker in started:
                try:
                    versions[worker.name] = worker.version()
                    if not versions[worker.name]:
                        missing[worker.name] = "not installed"
                        continue
                    worker.load(small, few)
                    for task in ASKED.get(worker.name, (HC1, CLUSTERED, DIAGNOSTICS)):
                        worker.run(task, 2)
                    worker.load(size, folder)
                    found[worker.name] = worker
                except StoppedError as stopped:
                    missing[worker.name] = str(stopped)
        yield found, versions, missing


def measured(size: Size, tasks: Sequence[str], names: Sequence[str], effort: Effort, slow: dict[tuple[str, str], float]
             ) -> Iterator[list[dict[str, Any]]]:  # fmt: skip
    """Rows of one size, a list a task.

    Parameters
    ----------
    size : Size
    tasks, names : sequences of str
    effort : Effort
    slow : dict of (peer, task) to seconds for a row and a column
        What is known from smaller sizes; grows here. Who would take far more than the limit is left out.
    """
    with workers(_of(names, size), size) as (found, versions, missing):
        if OURS in missing:
            raise SystemExit(f"{OURS} does not answer: {missing[OURS]}")
        for task in tasks:
            asked = [name for name in _of(names, size) if task in ASKED.get(name, (task,))]
            turns = {name: Turns(reason=missing.get(name, "")) for name in asked}
            cells = size.n * (len(size.columns) + 1)
            for name in asked:
                guess = slow.get((name, task), 0.0) * cells
                if not turns[name].reason and guess > 2.5 * MOST_SECONDS:
                    turns[name].reason = f"left out: about {guess:.0f} s a call, by a smaller size"
            _take_turns(found, turns, task, effort, size.calls)
            for name, one in turns.items():
                if task != tasks[0]:
                    one.extra = float("nan")  # the process has not given back all that the first task took
                if one.seconds:
                    slow[name, task] = max(one.seconds.values()) / cells
            yield [_row(size, task, name, turns, versions.get(name, "")) for name in asked]


def _of(names: Sequence[str], size: Size) -> list[str]:
    return [name for name in names if not size.peers or name in size.peers]


def _take_turns(found: dict[str, Worker], turns: dict[str, Turns], task: str, effort: Effort, calls: int) -> None:
    """Round 0 measures memory, and time for the slow; then as many rounds as the budget allows."""
    order = random.Random(0)
    rounds = {}
    for name in order.sample(active := [name for name in turns if not turns[name].reason], len(active)):
        reply = _asked(found[name], turns[name], task, 1)
        if reply is None:
            continue
        first = reply["seconds"][0]
        turns[name].extra = reply["extra"]
        turns[name].seconds[0] = first
        said(f"    {name}: {first:.4g} s, {reply['extra']:.0f} MB")
        rounds[name] = int(min(effort.most, effort.budget / max(first * calls, 1e-6)))
        rounds[name] = max(rounds[name], 0 if first > 25 else 1 if first > 3 else effort.least)
    for name in (OURS, LIMIT):
        if name in rounds:
            rounds[name] = max(rounds.values())
    for turn in range(1, max(rounds.values(), default=0) + 1):
        for name in order.sample(active := [name for name in rounds if rounds[name] >= turn], len(active)):
            if not turns[name].reason and (reply := _asked(found[name], turns[name], task, calls)):
                turns[name].seconds[turn] = statistics.median(reply["seconds"])
    for one in turns.values():
        if len(one.seconds) > 3:
            del one.seconds[0]  # a first call also maps memory that the next ones find


def _asked(worker: Worker, turns: Turns, task: str, inner: int) -> dict[str, Any] | None:
    try:
        turns.reply = worker.run(task, inner, MOST_SECONDS * inner, MOST_MEGABYTES)
    except StoppedError as stopped:
        turns.reason = str(stopped)
        said(f"    {worker.name}: {stopped}")
        return None
    return turns.reply


def _row(size: Size, task: str, name: str, turns: dict[str, Turns], version: str) -> dict[str, Any]:
    """One row of the table: `ratio` is the median of the rounds' own ratios of this package's seconds to ours."""
    one, our = turns[name], turns[OURS]
    row: dict[str, Any] = {
        "size": size.name, "n": size.n, "k": size.k, "l": size.instruments, "task": task, "peer": name,
        "version": version, "status": one.reason, "rounds": len(one.seconds),
        "extra_mb": one.extra, "data_mb": size.megabytes,
    }  # fmt: skip
    if one.seconds:
        row["seconds"] = statistics.median(one.seconds.values())
        ratios = [one.seconds[turn] / our.seconds[turn] for turn in one.seconds if turn in our.seconds]
        if not ratios and our.seconds:
            ratios = [row["seconds"] / statistics.median(our.seconds.values())]
        if ratios:
            row |= {"ratio": statistics.median(ratios), "ratio_low": min(ratios), "ratio_high": max(ratios)}
    elif one.reason == TOO_SLOW and our.seconds:
        row["ratio_low"] = MOST_SECONDS / statistics.median(our.seconds.values())
    if one.reply and our.reply and not one.reason:
        row |= {f"{key}_gap": _gap(one.reply.get(part), our.reply.get(part))
                for key, part in (("coef", "coef"), ("se", "se"), ("test", "tests"))}  # fmt: skip
    return row


def _gap(one: dict[str, float] | None, other: dict[str, float] | None) -> float:
    """Largest difference relative to the number; NaN where nothing is shared, infinite where names are missing."""
    if not one or not other:
        return float("nan")
    shared = [key for key in one if key in other]
    if len(shared) < min(len(one), len(other)):
        return float("inf")
    a, b = (np.array([side[key] for key in shared]) for side in (one, other))
    with np.errstate(all="ignore"):
        gaps = np.abs(a - b) / np.maximum(np.abs(b), 1e-300)
    return float(np.max(gaps)) if np.isfinite(gaps).all() else float("inf")
