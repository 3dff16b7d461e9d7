"""Monte Carlo studies: scenarios × methods × seeds, spread over processes, kept in a file, put into one table.

For example ``summary(run(SCENARIOS["post-a"], METHODS_A, seeds=1000))``, with :data:`ivbridge.simulate.SCENARIOS` and
:data:`ivbridge.post_methods.METHODS_A`.

Each draw depends on its seed alone and every process computes with one thread, so that the numbers do not depend on
how many processes there were, or on how often the study was stopped and continued. A draw over which a process or its R
dies is tried once more on a new one. Where that fails too, or an engine raises, the note names the error; such rows are
not in the file, and the next run with the same path tries again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ivbridge.api import fit
from ivbridge.crew import FailedTask, answers, number_of_workers
from ivbridge.errors import DataError, DesignError, EngineError, UnsupportedError
from ivbridge.journal import Journal, described
from ivbridge.processes import python_processes
from ivbridge.progress import Progress

__all__ = ["Method", "Outcome", "Progress", "World", "by_formula", "outcome", "run", "summary"]

_COLUMNS = (
    "scenario", "method", "seed", "truth", "estimate", "std.error", "conf.low", "conf.high", "covers", "selected",
    "seconds", "note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one method says about one draw.

    Attributes
    ----------
    estimate, std_error, conf_low, conf_high : float
        NaN where there is none.
    covers : bool, optional
        Whether the confidence set holds the truth; None lets the limits decide. A set that is no interval says it.
    selected : int, optional
        Number of instruments used.
    note : str
        Why there is no estimate.
    """

    estimate: float = math.nan
    std_error: float = math.nan
    conf_low: float = math.nan
    conf_high: float = math.nan
    covers: bool | None = None
    selected: int | None = None
    note: str = ""


def outcome(estimate: float, std_error: float, selected: int | None = None, level: float = 0.95) -> Outcome:
    """An estimate with its normal confidence interval, R's ``confint`` with ``df = Inf``."""
    from scipy import stats

    half = float(stats.norm.isf((1 - level) / 2)) * std_error
    return Outcome(float(estimate), float(std_error), float(estimate - half), float(estimate + half), selected=selected)


@dataclass(frozen=True, slots=True)
class _Fit:
    """What `by_formula` runs."""

    formula: str
    term: str
    vcov: str
    engine: str
    method: str | None

    def __call__(self, draw: Any, _seed: int) -> tuple[Outcome]:
        found = fit(self.formula, draw.frame, self.vcov, self.engine, method=self.method)
        if self.term in found.seen.aliased:
            raise DesignError(f"{self.term} depends linearly on other columns.")
        if self.term not in found.terms:
            raise UnsupportedError(f"There is no coefficient {self.term!r}.", available=", ".join(found.terms))
        table, i = found.coefs, found.terms.index(self.term)
        low, high = float(table.conf_low[i]), float(table.conf_high[i])
        return (Outcome(float(table.estimate[i]), float(table.std_error[i]), low, high),)


def by_formula(
    name: str, formula: str, term: str, vcov: str, *, engine: str = "native", method: str | None = None
) -> Method:
    """A method that asks :func:`ivbridge.fit` about every draw's ``frame``.

    Parameters
    ----------
    name : str
        In the table.
    formula, vcov, engine, method
        As for :func:`ivbridge.fit`; with ``engine="r"`` every process has an R of its own.
    term : str
        The coefficient that estimates the draw's ``truth``; its 95 % confidence interval is the engine's.

    Returns
    -------
    Method
    """
    return Method((name,), _Fit(formula, term, vcov, engine, method))


class World(Protocol):
    """What a scenario has to offer: a name, and draws that depend on the seed alone."""

    @property
    def name(self) -> str:
        """Name in the table."""
        ...

    def draw(self, n: int, seed: int) -> Any:
        """Data with ``truth``, the effect that is to be estimated."""
        ...


@dataclass(frozen=True, slots=True)
class Method:
    """Estimators that share their work on a draw, such as two rules on one cross-validated path.

    Parameters
    ----------
    names : tuple of str
    run : callable (draw, seed) -> sequence of Outcome
        One outcome for each name. It must be a function of a module or a record (it is sent to other processes), and
        depend on nothing but its arguments. A :class:`~ivbridge.errors.DataError`,
        :class:`~ivbridge.errors.DesignError` or singular matrix counts as "no estimate" for all names, and so does an
        :class:`~ivbridge.errors.EngineError`, for this run; any other exception stops the study.
    """

    names: tuple[str, ...]
    run: Callable[[Any, int], Sequence[Outcome]]


@dataclass(frozen=True, slots=True)
class _Task:
    scenario: World
    methods: tuple[Method, ...]
    n: int
    seed: int


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
    for world in worlds:
        for seed in seeds:
            left = tuple(m for m in methods if any((world.name, name, seed) not in done for name in m.names))
            if left:
                yield _Task(world, left, n, seed)


def _work_through(
    tasks: Sequence[_Task], workers: int, journal: Journal, total: int, progress: Progress | None
) -> list[dict[str, Any]]:
    """Append what is found to the journal; return a row for each answer that could not be found."""
    before, failed = total - len(tasks), []
    if progress:
        progress(before, total, f"{before} draws were there" if before else "drawing")
    if not tasks:
        return []
    names = [f"{task.scenario.name}, seed {task.seed}" for task in tasks]
    # one worker is a process too: the number of threads is then the same for every number of workers
    with (
        python_processes(_answers, min(workers, len(tasks))) as members,
        closing(answers(members, names, tasks)) as found,
    ):
        for count, (i, rows) in enumerate(found, start=before + 1):
            if isinstance(rows, FailedTask):
                failed += _without_answer(tasks[i], rows)
            else:
                journal.append(rows)
            if progress:
                progress(count, total, names[i])
    return failed


def _without_answer(task: _Task, failed: FailedTask) -> list[dict[str, Any]]:
    """Rows that say why; only what a second run may mend is passed over."""
    if not isinstance(failed.error, EngineError):
        raise failed.error
    nothing = Outcome(note=f"{type(failed.error).__name__}: {failed.error}")
    return [_row(task, name, math.nan, nothing, math.nan) for method in task.methods for name in method.names]


def _answers(task: _Task) -> list[dict[str, Any]]:
    """Every method's rows for one draw; runs in a process of its own."""
    draw = task.scenario.draw(task.n, task.seed)
    rows = []
    for method in task.methods:
        start = time.perf_counter()
        try:
            found = tuple(method.run(draw, task.seed))
        except (DataError, DesignError, np.linalg.LinAlgError) as error:
            found = tuple(Outcome(note=f"{type(error).__name__}: {error}") for _ in method.names)
        seconds = time.perf_counter() - start
        for name, said in zip(method.names, found, strict=True):
            rows.append(_row(task, name, float(draw.truth), said, seconds))
    return rows


def _row(task: _Task, name: str, truth: float, said: Outcome, seconds: float) -> dict[str, Any]:
    covers = said.covers
    if covers is None and math.isfinite(said.estimate):
        covers = bool(said.conf_low <= truth <= said.conf_high)
    numbers = map(float, (said.estimate, said.std_error, said.conf_low, said.conf_high))
    selected = None if said.selected is None else int(said.selected)
    values = (task.scenario.name, name, task.seed, truth, *numbers, covers, selected, round(seconds, 4), said.note)
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
