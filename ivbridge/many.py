"""Many cross-checks at once: spread over processes, each with an R of its own, kept in a file, gone on with later."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

import ivbridge
from ivbridge.agreement import Agreement
from ivbridge.compare import crosscheck
from ivbridge.crew import FailedTask, complete, number_of_workers
from ivbridge.data import Dataset, read
from ivbridge.errors import DataError, IvbridgeError
from ivbridge.journal import Journal, described
from ivbridge.packing import pack, unpack
from ivbridge.processes import python_processes
from ivbridge.progress import Progress
from ivbridge.questions import Question, load_questions
from ivbridge.report.entry import Entry

__all__ = ["ask", "crosscheck_many"]

_ABOUT = {"rows": "cross-checks of ivbridge"}

Sources: TypeAlias = Mapping[str, pd.DataFrame | Dataset]


def crosscheck_many(
    questions: Sequence[Question] | str | Path,
    data: Sources | None = None,
    *,
    workers: int | None = None,
    path: str | Path | None = None,
    progress: Progress | None = None,
) -> list[Entry]:
    """Cross-check many questions on several processors; a question that cannot be run does not stop the others.

    A script that calls this needs ``if __name__ == "__main__":`` around it: it starts processes.

    Parameters
    ----------
    questions : sequence of Question, or path
        A path is that of a TOML file, as ``ivbridge check`` takes it; see :func:`ivbridge.load_questions`.
    data : mapping of str to DataFrame or Dataset, optional
        What a question's ``data`` may name besides bundled sets and files; such a name comes first.
    workers : int, optional
        Processes, each with an R of its own if the question asks R; default one for each processor that may be used,
        but not more than questions. They compute with one thread each, and the answers do not depend on their number.
    path : path, optional
        Each answer is appended to this file; a question that it answers already, on the same data and with the same
        version of ivbridge, is not asked again. So a run goes on where it was interrupted.
    progress : callable, optional
        Called with (questions done, total, what); :func:`ivbridge.progress_bar` draws them.

    Returns
    -------
    list of Entry
        In the order of the questions: ``name``, ``verdict`` and ``outcome``, an :class:`ivbridge.Agreement` (whose
        estimates come without the model matrices) or the error that kept the question from being answered.
        :func:`ivbridge.report.write` writes them into one report.

    Raises
    ------
    DataError
        If the TOML file cannot be used, two questions have one name, or ``path`` is another kind of file.
    RNotAvailableError, EngineError
        If an engine is R and R cannot be used here; if the processes cannot be started.

    Notes
    -----
    A process that dies, or its R, is replaced and the question asked once more. An error is not kept in the file.
    """
    asked = _checked(questions)
    sources = _sources(asked, data or {})
    tasks = [_Task(question, sources[question.data]) for question in asked]
    answers = _answered(tasks, number_of_workers(workers), path, progress)
    return [_entry(*pair) for pair in zip(tasks, answers, strict=True)]


def _answered(tasks: Sequence[_Task], workers: int, path: str | Path | None, progress: Progress | None) -> list[Any]:
    """For each task its packed agreement, or why there is none."""
    names = [task.question.name for task in tasks]
    found: dict[int, Any] = {
        i: FailedTask(names[i], task.data, 0) for i, task in enumerate(tasks) if isinstance(task.data, IvbridgeError)
    }
    count = min(workers, max(len(tasks), 1))
    with Journal.opened(path, _ABOUT) as journal, python_processes(_packed, count) as members:
        keys = [] if path is None else [_key(task) for task in tasks]

        def keep(i: int, answer: dict[str, Any]) -> None:
            if keys:
                journal.append([{"question": names[i], "asked": keys[i], "answer": answer}])

        found |= _kept(journal, keys)
        complete(found, members, names, tasks, keep, progress)
    return [found[i] for i in range(len(tasks))]


def ask(question: Question, data: Dataset, progress: Progress | None = None) -> Agreement:
    """Cross-check one question in this process; raises what :func:`ivbridge.crosscheck` raises."""
    return crosscheck(
        question.formula,
        data.frame,
        question.vcovs or None,
        question.engines,
        progress=progress,
        weights=question.weights,
        inference=question.inference,
        method=question.method,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    question: Question
    data: Any


def _packed(task: _Task) -> dict[str, Any]:
    """Runs in a process of its own."""
    return pack(ask(task.question, task.data))


def _checked(questions: Sequence[Question] | str | Path) -> tuple[Question, ...]:
    asked = load_questions(Path(questions)) if isinstance(questions, str | Path) else tuple(questions)
    names = [question.name for question in asked]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"Two questions have the name {twice[0]!r}.", do="give each question its own name.")
    return asked


def _sources(questions: Sequence[Question], data: Sources) -> dict[str, Dataset | IvbridgeError]:
    """Every data set that is asked about, read once; the error where that fails."""
    found: dict[str, Dataset | IvbridgeError] = {}
    for name in dict.fromkeys(question.data for question in questions):
        given = data.get(name)
        try:
            found[name] = read(name) if given is None else _named(name, given)
        except IvbridgeError as error:
            found[name] = error
    return found


def _named(name: str, given: pd.DataFrame | Dataset) -> Dataset:
    if isinstance(given, Dataset):
        return given
    if not isinstance(given, pd.DataFrame):
        raise DataError(f"The data {name!r} are a {type(given).__name__}, not a pandas DataFrame.")
    return Dataset(given, name, citation="", licence="", source="", sha256=_sha256(given))


def _sha256(frame: pd.DataFrame) -> str:
    """Of the columns' names, types, levels and values."""
    found = hashlib.sha256()
    for name, column in frame.items():
        dtype = column.dtype
        levels = list(dtype.categories) if isinstance(dtype, pd.CategoricalDtype) else []
        found.update(repr((name, str(dtype), levels, getattr(dtype, "ordered", None))).encode())
        values = column.map(repr) if pd.api.types.is_object_dtype(dtype) else column
        found.update(pd.util.hash_pandas_object(values, index=False).to_numpy().tobytes())
    return found.hexdigest()


def _key(task: _Task) -> str:
    """What an answer belongs to; empty where the data are not there."""
    if isinstance(task.data, IvbridgeError):
        return ""
    about = f"{described(task.question)} {task.data.sha256} {ivbridge.__version__}"
    return hashlib.sha256(about.encode()).hexdigest()


def _kept(journal: Journal, keys: Sequence[str]) -> dict[int, Any]:
    """Answers that the file holds, by the place of the question."""
    known = {row.get("asked"): row.get("answer") for row in journal.rows}
    return {i: known[key] for i, key in enumerate(keys) if key and key in known}


def _entry(task: _Task, answer: Any) -> Entry:
    outcome = answer.error if isinstance(answer, FailedTask) else unpack(Agreement, answer)
    data = task.data if isinstance(task.data, Dataset) and task.data.source else None  # a frame has no origin to show
    return Entry(outcome, task.question.name, data, task.question.formula)
