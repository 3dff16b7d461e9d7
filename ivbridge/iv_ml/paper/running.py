"""The study of the paper's tables: what is asked, done by processes, kept in a folder, put into one table.

A study that was stopped, by Ctrl-C or by a kill, goes on from the tasks that are in its folder. Tasks that take long
come first. Each replication depends on its seed alone, so that the numbers do not depend on the number of processes.

Columns of the table: ``world``, ``reading``, ``instrument``, ``method`` (empty where the instrument itself is
described), ``groups`` (where a row is about a number of groups), ``replication``, ``quantity``, ``at``, ``value``,
``seconds`` of processor time for one replication in a batch of all, ``note`` (why there is no value).

Quantities: ``mse`` on the test sample; ``curve``, in the first replication, the mean prediction where the mean of the
truth is ``at``; ``accuracy`` of the groups in per cent; ``mmd``; ``groups``, the number that was taken;
``instruments``, columns of an instrument that is no group; ``failed``, an instrument that could not be made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from ivbridge.crew import FailedTask, answers, number_of_workers
from ivbridge.errors import DataError, IvbridgeError, MissingExtraError
from ivbridge.iv_ml.paper.answering import COLUMNS, Fitting, Making, answer
from ivbridge.iv_ml.paper.parts import INSTRUMENTS, METHODS, World, draw, regression
from ivbridge.iv_ml.scenarios.fusion import Fusion
from ivbridge.journal import Journal, described
from ivbridge.processes import PythonProcess, python_processes
from ivbridge.progress import Progress

__all__ = ["Part", "kept", "run"]

_Process = PythonProcess[Making | Fitting, list[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows and columns in one world.

    Attributes
    ----------
    world : Fusion or SemiSynthetic
    instruments : tuple of str
        Keys of :data:`ivbridge.iv_ml.paper.parts.INSTRUMENTS`.
    methods : tuple of str
        Keys of :data:`ivbridge.iv_ml.paper.parts.METHODS`; none where only the groups are looked at.
    """

    world: World
    instruments: tuple[str, ...]
    methods: tuple[str, ...] = ()

    def makings(self, seeds: tuple[int, ...], folder: Path) -> Iterator[Making]:
        """The tasks that make instruments."""
        for name in self.instruments:
            yield Making(self.world, INSTRUMENTS[name], seeds, folder)

    def fittings(self, seeds: tuple[int, ...], folder: Path) -> Iterator[Fitting]:
        """The tasks that learn curves."""
        for making in self.makings(seeds, folder):
            for method in self.methods:
                yield Fitting(making, method)


def run(
    parts: Sequence[Part],
    folder: Path,
    replications: int = 10,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Answer all parts; what the folder holds already is not computed again.

    A script that calls this needs ``if __name__ == "__main__":`` around it: it starts processes.

    Parameters
    ----------
    parts : sequence of Part
    folder : Path
        Gets ``study.jsonl``, one line an answer, and ``instruments/``. It belongs to one number of replications.
    replications : int, default 10
        Seeds 1 … replications.
    jobs : int, optional
        Processes; default one for each processor that may be used.
    progress : callable, optional
        Called with (tasks done, total, what).

    Returns
    -------
    DataFrame
        The rows of these parts, in their order.

    Raises
    ------
    DataError
        If the folder holds a study with another number of replications or other settings, or data are missing.
    EngineError, MissingExtraError
        If the processes cannot be started, or a package is missing.
    """
    if not parts or replications < 1:
        raise DataError(f"A study of {len(parts)} parts with {replications} replications is empty.")
    for part in parts:
        draw(part.world, 1)  # where data are missing, it is said at once
    seeds = tuple(range(1, replications + 1))
    makings = dict.fromkeys(task for part in parts for task in part.makings(seeds, folder / "instruments"))
    fittings = dict.fromkeys(task for part in parts for task in part.fittings(seeds, folder / "instruments"))
    ordered = sorted(fittings, key=lambda task: -METHODS[task.method].seconds)
    with Journal.opened(folder / "study.jsonl", _about(list(makings), ordered, replications)) as journal:
        done = _done(journal.rows, replications)
        stages = [[task for task in stage if _name(task) not in done] for stage in (list(makings), ordered)]
        total = len(makings) + len(fittings)
        failed = _work_through(stages, number_of_workers(jobs), journal, total, progress)
        return _table([*journal.rows, *failed], [*makings, *ordered])


def _about(makings: Sequence[Making], fittings: Sequence[Fitting], replications: int) -> dict[str, str]:
    about = {"number of replications": str(replications)}
    for task in makings:
        place = task.world if isinstance(task.world, Fusion) else replace(task.world, folder=None)
        about[f"world {place.name} ({place.reading})"] = described(place)
        about[f"instrument {task.instrument.name}"] = described(task.instrument)
    for method, sources in dict.fromkeys((task.method, task.making.world.groups) for task in fittings):
        about[f"method {method}, {sources} sources"] = described(regression(method, sources))
    return about


def _name(task: Making | Fitting) -> tuple[str, str, str, str]:
    making, method = (task, "") if isinstance(task, Making) else (task.making, task.method)
    return making.world.name, making.world.reading, making.instrument.name, method


def _key(row: Mapping[str, Any]) -> tuple[str, str, str, str]:
    return row["world"], row["reading"], row["instrument"], row["method"]


def _done(rows: Sequence[Mapping[str, Any]], replications: int) -> set[tuple[str, str, str, str]]:
    """Tasks whose last rows, one a replication, are all there."""
    last = Counter(_key(row) for row in rows if row["quantity"] in ("mse", "groups", "instruments"))
    return {key for key, count in last.items() if count >= replications}


def _work_through(
    stages: Sequence[Sequence[Making | Fitting]],
    workers: int,
    journal: Journal,
    total: int,
    progress: Progress | None,
) -> list[dict[str, Any]]:
    """One stage after the other: instruments first. What is found is in the journal at once."""
    count, failed = total - sum(map(len, stages)), []
    if progress:
        progress(count, total, f"{count} tasks were done" if count else "starting")
    if count == total:
        return []
    with python_processes(answer, min(workers, max(map(len, stages)))) as members:
        for stage in filter(None, stages):
            with closing(answers(members[: len(stage)], [str(task) for task in stage], stage)) as arriving:
                for i, rows in arriving:
                    if isinstance(rows, FailedTask):
                        failed.append(_failure(stage[i], rows.error))
                    else:
                        journal.append(rows)
                    count += 1
                    if progress:
                        progress(count, total, str(stage[i]))
    return failed


def _failure(task: Making | Fitting, error: IvbridgeError) -> dict[str, Any]:
    """A row without a value; it is not in the folder, and the next run tries again."""
    if isinstance(error, MissingExtraError):
        raise error
    row = dict.fromkeys(COLUMNS)
    row |= dict(zip(("world", "reading", "instrument", "method"), _name(task), strict=True))
    return row | {
        "quantity": "mse" if isinstance(task, Fitting) else "failed",
        "note": f"{type(error).__name__}: {error}",
    }


def kept(folder: Path) -> pd.DataFrame:
    """Everything that a folder's study has found so far, as :func:`run` gives it.

    Raises
    ------
    DataError
        If the folder holds no study, or another process writes to it.
    """
    path = folder / "study.jsonl"
    if not path.is_file():
        raise DataError(f"{folder} holds no study.", do="ivbridge study metaem --out FOLDER")
    with Journal.opened(path, {}) as journal:
        return _frame(journal.rows)


def _table(rows: Sequence[Mapping[str, Any]], tasks: Sequence[Making | Fitting]) -> pd.DataFrame:
    """The rows of these tasks, in their order."""
    place = {_name(task): i for i, task in enumerate(tasks)}
    return _frame(sorted((row for row in rows if _key(row) in place), key=lambda row: place[_key(row)]))


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    kinds = {"groups": "Int64", "replication": "Int64", "at": "float64", "value": "float64", "seconds": "float64"}
    found = pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(kinds)
    once = [name for name in COLUMNS if name not in ("value", "seconds", "note")]
    return found.drop_duplicates(once, keep="last", ignore_index=True)
