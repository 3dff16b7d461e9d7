"""``ivbridge check`` and ``ivbridge demo``: run questions, print verdicts, write reports, return the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from ivbridge import cli_text, report
from ivbridge.agreement import Agreement
from ivbridge.data import Dataset, read
from ivbridge.errors import IvbridgeError
from ivbridge.instead import ask_or_replay, recorded_sentence
from ivbridge.many import ask, crosscheck_many
from ivbridge.progress import progress_bar
from ivbridge.questions import Question
from ivbridge.verdicts import strict_line
from ivbridge.visible import visible

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


def check_one(
    question: Question,
    reports: tuple[Path, ...] = (),
    *,
    as_json: bool = False,
    strict: bool = False,
    instead: bool = True,
) -> int:
    """Cross-check one question and print the verdict.

    Parameters
    ----------
    question : Question
    reports : tuple of Path
        Written by suffix: ``.html .md .tex .json``.
    as_json : bool, default False
        Print one JSON object and nothing else.
    strict : bool, default False
        Return 1 also if anything that has a value was not compared.
    instead : bool, default True
        Let R's recorded answers stand in where R cannot be used; the output says so.

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
    with progress_bar() as progress:
        agreement = (ask_or_replay if instead else ask)(question, data, progress)
    for path in reports:
        report.write([report.Entry(agreement, data=data)], path)
    if as_json:
        typer.echo(report.json(agreement))
        return _code([report.Entry(agreement)], strict=strict)
    for line in cli_text.agreement_lines(agreement, data.name):
        cli_text.say(line)
    cli_text.say(cli_text.headline(agreement), agreement.verdict)
    _say_recorded([report.Entry(agreement)])
    _say_skipped([report.Entry(agreement)], strict=strict)
    _say_reports(reports)
    return _code([report.Entry(agreement)], strict=strict)


def check_many(
    questions: Sequence[Question],
    reports: tuple[Path, ...] = (),
    *,
    as_json: bool = False,
    strict: bool = False,
    workers: int | None = None,
    resume: Path | None = None,
) -> int:
    """Cross-check many questions: one line a question, what failed, and a summary.

    A question that cannot be run does not stop the others.

    Parameters
    ----------
    questions : sequence of Question
    reports : tuple of Path
        One report holds all questions.
    as_json : bool, default False
        Print one JSON object with the worst verdict and ``questions``, a list.
    strict : bool, default False
        Return 1 also if anything that has a value was not compared.
    workers : int, optional
        Processes; without it and `resume` this process asks one question after another.
    resume : Path, optional
        The ``path`` of :func:`ivbridge.crosscheck_many`.

    Returns
    -------
    int
        0 all agree, 1 one disagrees, 2 one could not be run.
    """
    for path in reports:
        report.check_path(path)
    here = workers is None and resume is None
    told = {"quiet": as_json}
    entries = _entries(questions, **told) if here else _entries_at_once(questions, workers, resume, **told)
    for path in reports:
        report.write(entries, path)
    worst = report.worst_verdict(entries)
    if as_json:
        typer.echo(report.json(entries))
        return _code(entries, strict=strict)
    _say_what_failed(entries)
    counts = cli_text.verdict_counts({entry.name: entry.verdict for entry in entries})
    cli_text.say(f"\n{worst.upper()}: {counts}", worst)
    _say_recorded(entries)
    _say_skipped(entries, strict=strict)
    _say_reports(reports)
    return _code(entries, strict=strict)


def _entries(questions: Sequence[Question], *, quiet: bool) -> list[report.Entry]:
    entries: list[report.Entry] = []
    files: dict[str, Dataset] = {}
    with progress_bar() as progress:
        for question in questions:
            outcome: Agreement | IvbridgeError
            try:
                if question.data not in files:
                    files[question.data] = read(question.data)
                outcome = ask_or_replay(question, files[question.data], progress)
            except IvbridgeError as error:
                outcome = error
            entry = report.Entry(outcome, question.name, files.get(question.data), question.formula)
            entries.append(entry)
            if not quiet:
                cli_text.say(cli_text.question_line(entry), entry.verdict)
    return entries


def _entries_at_once(
    questions: Sequence[Question], workers: int | None, resume: Path | None, *, quiet: bool
) -> list[report.Entry]:
    with progress_bar() as progress:
        entries = crosscheck_many(questions, workers=workers, path=resume, progress=progress)
    for entry in () if quiet else entries:
        cli_text.say(cli_text.question_line(entry), entry.verdict)
    return entries


def _say_what_failed(entries: Sequence[report.Entry]) -> None:
    for entry in entries:
        if isinstance(entry.outcome, IvbridgeError):
            typer.echo(visible(f"ivbridge check: {entry.name}: {entry.outcome}"), err=True)
        elif not entry.outcome.ok:
            data = entry.data.name if entry.data else ""
            for line in ("", entry.name, *cli_text.agreement_lines(entry.outcome, data)):
                cli_text.say(line)


def _say_recorded(entries: Sequence[report.Entry]) -> None:
    """That R's answers are recorded ones; each sentence once."""
    found = [recorded_sentence(entry.outcome) for entry in entries if isinstance(entry.outcome, Agreement)]
    for sentence in dict.fromkeys(filter(None, found)):
        for line in cli_text.wrapped(sentence, indent=""):
            cli_text.say(line)


def _say_skipped(entries: Sequence[report.Entry], *, strict: bool) -> None:
    for entry in entries if strict else ():
        if isinstance(entry.outcome, Agreement) and entry.outcome.skipped:
            cli_text.say(": ".join(filter(None, [entry.name, strict_line(entry.outcome.skipped)])))
            for what, why in entry.outcome.skipped.items():
                for line in cli_text.wrapped(f"{what}: {why}"):
                    cli_text.say(line)


def _code(entries: Sequence[report.Entry], *, strict: bool) -> int:
    found = [entry.outcome for entry in entries if isinstance(entry.outcome, Agreement)]
    if not found or len(found) < len(entries):
        return 2
    return 0 if all(agreement.passes(strict=strict) for agreement in found) else 1


def _say_reports(paths: tuple[Path, ...]) -> None:
    for path in paths:
        cli_text.say(f"report: {path.resolve()}")
