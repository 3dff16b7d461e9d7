"""``ivbridge check`` and ``ivbridge demo``: run questions, print verdicts, write reports, return the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from ivbridge import cli_text, report
from ivbridge.agreement import Agreement
from ivbridge.compare import Progress, crosscheck
from ivbridge.data import Dataset, read
from ivbridge.errors import IvbridgeError
from ivbridge.questions import Question

__all__ = ["DEMO", "check_many", "check_one"]

DEMO = Question(
    name="",
    formula="log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax",
    data="cigarettes_sw",
    vcovs=(
        "classical", "HC0", "HC1", "HC2", "HC3", "HC4", "cluster(state)", "cluster(state, type=HC1)",
        "nw(4, prewhite=0)",
    ),
)  # fmt: skip


def _run(question: Question, data: Dataset, progress: Progress | None) -> Agreement:
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


def check_one(question: Question, reports: tuple[Path, ...] = (), *, as_json: bool = False) -> int:
    """Cross-check one question and print the verdict.

    Parameters
    ----------
    question : Question
    reports : tuple of Path
        Written by suffix: ``.html .md .tex .json``.
    as_json : bool, default False
        Print one JSON object and nothing else.

    Returns
    -------
    int
        0 the engines agree, 1 they disagree.

    Raises
    ------
    IvbridgeError
        If the question cannot be run; the command line turns this into exit code 2.
    """
    for path in reports:
        report.check_path(path)
    data = read(question.data)
    with cli_text.progress_bar() as progress:
        agreement = _run(question, data, progress)
    for path in reports:
        report.write([report.Entry(agreement, data=data)], path)
    if as_json:
        typer.echo(report.json(agreement))
        return _code(agreement.verdict)
    for line in cli_text.agreement_lines(agreement, data.name):
        cli_text.say(line)
    cli_text.say(cli_text.headline(agreement), agreement.verdict)
    _say_reports(reports)
    return _code(agreement.verdict)


def check_many(questions: Sequence[Question], reports: tuple[Path, ...] = (), *, as_json: bool = False) -> int:
    """Cross-check many questions: one line a question, what failed, and a summary.

    A question that cannot be run does not stop the others.

    Parameters
    ----------
    questions : sequence of Question
    reports : tuple of Path
        One report holds all questions.
    as_json : bool, default False
        Print one JSON object with the worst verdict and ``questions``, a list.

    Returns
    -------
    int
        0 all agree, 1 one disagrees, 2 one could not be run.
    """
    for path in reports:
        report.check_path(path)
    entries = _entries(questions, quiet=as_json)
    for path in reports:
        report.write(entries, path)
    worst = report.worst_verdict(entries)
    if as_json:
        typer.echo(report.json(entries))
        return _code(worst)
    for entry in entries:
        if isinstance(entry.outcome, IvbridgeError):
            typer.echo(f"ivbridge check: {entry.name}: {entry.outcome}", err=True)
        elif not entry.outcome.ok:
            data = entry.data.name if entry.data else ""
            for line in ("", entry.name, *cli_text.agreement_lines(entry.outcome, data)):
                cli_text.say(line)
    counts = cli_text.verdict_counts({entry.name: entry.verdict for entry in entries})
    cli_text.say(f"\n{worst.upper()}: {counts}", worst)
    _say_reports(reports)
    return _code(worst)


def _entries(questions: Sequence[Question], *, quiet: bool) -> list[report.Entry]:
    entries: list[report.Entry] = []
    files: dict[str, Dataset] = {}
    with cli_text.progress_bar() as progress:
        for question in questions:
            outcome: Agreement | IvbridgeError
            try:
                if question.data not in files:
                    files[question.data] = read(question.data)
                outcome = _run(question, files[question.data], progress)
            except IvbridgeError as error:
                outcome = error
            entry = report.Entry(outcome, question.name, files.get(question.data), question.formula)
            entries.append(entry)
            if not quiet:
                cli_text.say(cli_text.question_line(entry), entry.verdict)
    return entries


def _code(verdict: str) -> int:
    return 2 if verdict == report.COULD_NOT_RUN else 0 if verdict in ("identical", "rounding") else 1


def _say_reports(paths: tuple[Path, ...]) -> None:
    for path in paths:
        cli_text.say(f"report: {path.resolve()}")
