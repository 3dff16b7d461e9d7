"""Monte Carlo studies: scenarios × methods × seeds, spread over processes, kept in a file, put into one table.

For example ``summary(run(SCENARIOS["post-a"], METHODS_A, seeds=1000))``, with :data:`ivbridge.simulate.SCENARIOS` and
:data:`ivbridge.post_methods.METHODS_A`.

Each draw depends on its seed alone and every process computes with one thread, so that the numbers do not depend on
how many processes there were, on how many draws were answered together, or on how often the study was stopped and
continued. A draw over which a process or its R dies is tried once more on a new one. Where that fails too, or an engine
raises, the note names the error; such rows are not in the file, and the next run with the same path tries again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from ivbridge.crew import FailedTask, answers, number_of_workers
from ivbridge.errors import DataError, EngineError
from ivbridge.journal import Journal, described
from ivbridge.processes import PythonProcess, python_processes
from ivbridge.progress import Progress
from ivbridge.study_formula import by_formula
from ivbridge.study_records import Method, OneByOne, Outcome, World, outcome

__all__ = ["Method", "OneByOne", "Outcome", "Progress", "World", "by_formula", "outcome", "run", "summary"]

#: Draws that are answered together, at most; a study that is killed loses these for each of its processes.
TOGETHER = 25

_COLUMNS = (
    "scenario", "method", "seed", "truth", "estimate", "std.error", "conf.low", "conf.high", "covers", "selected",
    "seconds", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Task:
    scenario: World
    methods: tuple[Method, ...]
    n: int
    seeds: tuple[int, ...]

    def __str__(self) -> str:
        more = f" and {len(self.seeds) - 1} more" if len(self.seeds) > 1 else ""
        return f"{self.scenario.name}, seed {self.seeds[0]}{more}"

    def in_parts(self, size: int) -> Iterator[_Task]:
        """The same, so many draws at a time."""
        for start in range(0, len(self.seeds), size):
            yield replace(self, seeds=self.seeds[start : start + size])


def run(
    scenarios: World | Sequence[World],
    methods: Sequence[Method],
    seeds: int | Iterable[int],
    n: int = 1000,
    path: Path | str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Let every method answer every draw of every scenario.

    A script that calls this needs ``if __name__ == "__main__":`` around it: it starts processes.

    Parameters
    ----------
    scenarios : scenario or sequence of scenarios
    methods : sequence of Method
    seeds : int or iterable of int
        A number means 1 … seeds.
    n : int, default 1000
    path : path, optional
        Each answer is appended to this file; what it holds already is not computed again.
    workers : int, optional
        Processes; default one for each processor that may be used.
    progress : callable, optional
        Called with (draws done, total, what).

    Returns
    -------
    DataFrame
        One row for each scenario, method and seed: scenario, method, seed, truth, estimate, std.error, conf.low,
        conf.high, covers, selected, seconds (of all methods that share their work) and note.

    Raises
    ------
    DataError
        If names repeat, nothing is asked, or the file holds another study under one of these names.
    RNotAvailableError, EngineError
        If a method asks R and R cannot be used here; if the processes cannot be started.
    """
    worlds: tuple[World, ...] = tuple(scenarios) if isinstance(scenarios, Sequence) else (scenarios,)
    wanted = tuple(range(1, seeds + 1)) if isinstance(seeds, int) else tuple(dict.fromkeys(seeds))
    names = _names(worlds, methods, wanted)
    about = {f"scenario {world.name}": f"{described(world)}, n={n}" for world in worlds}
    about |= {f"method {'; '.join(method.names)}": described(method.run) for method in methods}
    with Journal.opened(path, about) as journal:
        done = {(row["scenario"], row["method"], row["seed"]) for row in journal.rows}
        tasks = list(_missing(worlds, methods, wanted, n, done))
        failed = _work_through(tasks, number_of_workers(workers), journal, len(worlds) * len(wanted), progress)
        return _table([*failed, *journal.rows], [world.name for world in worlds], names, wanted)


def _names(worlds: Sequence[World], methods: Sequence[Method], seeds: Sequence[int]) -> list[str]:
    names = [name for method in methods for name in method.names]
    if not (worlds and names and seeds):
        raise DataError(f"A study of {len(worlds)} scenarios, {len(names)} methods and {len(seeds)} seeds is empty.")
    for kind, given in (("scenario", [world.name for world in worlds]), ("method", names)):
        if repeated := sorted({name for name in given if given.count(name) > 1}):
            raise DataError(f"The {kind} {repeated[0]!r} is named twice.", do="give each one a name of its own.")
    return names


def _missing(
    worlds: Sequence[World], methods: Sequence[Method], seeds: Sequence[int], n: int, done: set[tuple[str, str, int]]
) -> Iterator[_Task]:
    """One task for neighbouring seeds that lack the same methods."""

    def left(world: World, seed: int) -> tuple[Method, ...]:
        return tuple(m for m in methods if any((world.name, name, seed) not in done for name in m.names))

    for world in worlds:
        for lacking, alike in groupby(seeds, key=lambda seed, world=world: left(world, seed)):  # type: ignore[misc]
            if lacking:
                yield _Task(world, lacking, n, tuple(alike))


def _in_parts(tasks: Sequence[_Task], processes: int) -> list[_Task]:
    """Draws that are answered together, where all methods can: beside a slow one there would be too much to lose."""
    size = max(1, min(TOGETHER, sum(len(task.seeds) for task in tasks) // (4 * processes)))
    return [
        part
        for task in tasks
        for part in task.in_parts(size if all(method.many is not None for method in task.methods) else 1)
    ]


def _work_through(
    tasks: Sequence[_Task], workers: int, journal: Journal, total: int, progress: Progress | None
) -> list[dict[str, Any]]:
    """Append what is found to the journal; return a row for each answer that could not be found."""
    count, failed = total - sum(len(task.seeds) for task in tasks), []
    if progress:
        progress(count, total, f"{count} draws were there" if count else "drawing")
    if not tasks:
        return []
    parts = _in_parts(tasks, workers)
    # one worker is a process too: the number of threads is then the same for every number of workers
    with (
        python_processes(_answers, min(workers, len(parts))) as members,
        closing(_found(members, parts)) as found,
    ):
        for task, rows in found:
            if isinstance(rows, FailedTask):
                failed += _without_answer(task, rows)
            else:
                journal.append(rows)
            count += len(task.seeds)
            if progress:
                progress(count, total, str(task))
    return failed


def _found(
    members: Sequence[PythonProcess[_Task, list[dict[str, Any]]]], tasks: Sequence[_Task]
) -> Generator[tuple[_Task, list[dict[str, Any]] | FailedTask], None, None]:
    """Each task with its answer; draws that failed together are asked again one by one."""
    again: list[_Task] = []
    with closing(answers(members, [str(task) for task in tasks], tasks)) as arriving:
        for i, rows in arriving:
            if isinstance(rows, FailedTask) and len(tasks[i].seeds) > 1:
                again += tasks[i].in_parts(1)
            else:
                yield tasks[i], rows
    if again:
        yield from _found(members, again)


def _without_answer(task: _Task, failed: FailedTask) -> list[dict[str, Any]]:
    """Rows that say why; only what a second run may mend is passed over."""
    if not isinstance(failed.error, EngineError):
        raise failed.error
    nothing = Outcome(note=f"{type(failed.error).__name__}: {failed.error}")
    names = [name for method in task.methods for name in method.names]
    return [_row(task.scenario, name, seed, math.nan, nothing, math.nan) for seed in task.seeds for name in names]


def _answers(task: _Task) -> list[dict[str, Any]]:
    """Every method's rows for some draws; runs in a process of its own."""
    draws = [task.scenario.draw(task.n, seed) for seed in task.seeds]
    rows = []
    for method in task.methods:
        start = time.perf_counter()
        found = method.answers(draws, task.seeds)
        seconds = (time.perf_counter() - start) / len(draws)
        for draw, seed, outcomes in zip(draws, task.seeds, found, strict=True):
            for name, said in zip(method.names, outcomes, strict=True):
                rows.append(_row(task.scenario, name, seed, float(draw.truth), said, seconds))
    return rows


def _row(scenario: World, name: str, seed: int, truth: float, said: Outcome, seconds: float) -> dict[str, Any]:
    covers = said.covers
    if covers is None and math.isfinite(said.estimate):
        covers = bool(said.conf_low <= truth <= said.conf_high)
    numbers = map(float, (said.estimate, said.std_error, said.conf_low, said.conf_high))
    selected = None if said.selected is None else int(said.selected)
    values = (scenario.name, name, seed, truth, *numbers, covers, selected, round(seconds, 4), said.note)
    return dict(zip(_COLUMNS, values, strict=True))


def _table(
    rows: Sequence[Mapping[str, Any]], scenarios: Sequence[str], methods: Sequence[str], seeds: Sequence[int]
) -> pd.DataFrame:
    place = {
        key: i
        for i, key in enumerate((world, method, seed) for world in scenarios for method in methods for seed in seeds)
    }
    found = {place[key]: row for row in rows if (key := (row["scenario"], row["method"], row["seed"])) in place}
    table = pd.DataFrame([found[i] for i in sorted(found)], columns=list(_COLUMNS))
    kinds = {"covers": "boolean", "selected": "Int64"} | dict.fromkeys(_COLUMNS[3:8], "float64")
    return table.astype(kinds)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """What a study found, one row for each scenario and method.

    Parameters
    ----------
    table : DataFrame
        From :func:`run`.

    Returns
    -------
    DataFrame
        ``draws``; ``median`` of the estimates; ``bias``, the mean of estimate − truth; ``coverage`` of the confidence
        sets with its Monte Carlo standard error ``coverage.se``, √(c(1−c)/m) over the m draws that have one; the
        median number of instruments ``selected``; ``missing``, the share of draws without an estimate.
    """
    rows = []
    for (scenario, method), part in table.groupby(["scenario", "method"], sort=False):
        covers = part["covers"].dropna().astype(float)
        share = float(covers.mean()) if len(covers) else math.nan
        selected = part["selected"].dropna()
        rows.append(
            {
                "scenario": scenario,
                "method": method,
                "draws": len(part),
                "median": float(part["estimate"].median()),
                "bias": float((part["estimate"] - part["truth"]).mean()),
                "coverage": share,
                "coverage.se": math.sqrt(share * (1 - share) / len(covers)) if len(covers) else math.nan,
                "selected": float(selected.median()) if len(selected) else math.nan,
                "missing": float(part["estimate"].isna().mean()),
            }
        )
    return pd.DataFrame(rows)
