"""``ivbridge advise``: a few questions, then the method and its command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ivbridge.cli_options import JSON

if TYPE_CHECKING:
    from ivbridge.advice import Question, Roles

__all__ = ["app"]

app = typer.Typer()


@app.command("advise")
def _advise(
    answer: Annotated[
        list[str] | None, typer.Option("--answer", "-a", metavar="NAME=VALUE", help="An answer; repeat.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option("--answers", metavar="FILE.json", help='Answers as {"goal": "effect", …}.')
    ] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="FILE|NAME", help="For the commands.")] = None,
    dependent: Annotated[str | None, typer.Option("--dependent", "-y", metavar="COLUMN", help="The outcome.")] = None,
    treatment: Annotated[str | None, typer.Option("--treatment", "-t", metavar="COLUMN", help="0 or 1.")] = None,
    covariates: Annotated[str | None, typer.Option("--covariates", metavar="COLUMNS", help="As in a,b.")] = None,
    instruments: Annotated[str | None, typer.Option("--instruments", metavar="COLUMNS", help="As in z1,z2.")] = None,
    table: Annotated[bool, typer.Option("--table", help="Print every method in a Markdown table, and end.")] = False,
    questions: Annotated[bool, typer.Option("--list", help="Print every question with its options, and end.")] = False,
    json: Annotated[bool, JSON] = False,
) -> None:  # fmt: skip
    """Ask what you want to know and how the data came about; then name the method, why, and its command.

    Answers can be given beforehand; then nothing is asked, and a missing one ends with code 2.

    \b
    ivbridge advise
    ivbridge advise -a goal=effect -a treatment=binary -a assignment=randomised -a design=units -a covariates=yes
    ivbridge advise --table
    """
    from ivbridge import advice, cli_text

    if table or questions:
        lines = [advice.table()] if table else _listed(advice.questions())
        typer.echo("\n".join(lines))
        raise typer.Exit
    known = {**_from_file(answers), **dict(_pair(one) for one in answer or ())}
    if answer is None and answers is None:
        try:
            while (question := advice.next_question(known)) is not None:
                known[question.name] = _ask(question)
        except typer.Abort:  # the end of the input
            typer.echo("\nivbridge advise: no answer; --list prints the questions, --answer answers them.", err=True)
            raise typer.Exit(2) from None
    found = advice.advise(known, _roles(data, dependent, treatment, covariates, instruments))
    if json:
        typer.echo(found.to_json())
        return
    for line in found.lines():
        for part in [line] if line.lstrip().startswith(("$", "where the")) else cli_text.wrapped(line, _indent(line)):
            cli_text.say(part)
        if not line:
            cli_text.say()
    given = " ".join(f"-a {name}={value}" for name, value in found.answers.items())
    cli_text.say(f"The same again: ivbridge advise {given}")


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _ask(question: Question) -> str:
    """Show the options on stderr and read the number of one of them."""
    typer.echo(f"\n{question.text}", err=True)
    for number, text in enumerate(question.options.values(), start=1):
        typer.echo(f"  {number}  {text}", err=True)
    most = len(question.options)
    while True:
        text = str(typer.prompt(f"1 to {most}", err=True)).strip()
        if text.isascii() and text.isdigit() and 1 <= int(text) <= most:
            return list(question.options)[int(text) - 1]
        typer.echo(f"{text!r} is no number from 1 to {most}.", err=True)


def _listed(asked: tuple[Question, ...]) -> list[str]:
    lines = []
    for question in asked:
        only = ", ".join(f"{name} is {' or '.join(allowed)}" for name, allowed in question.only.items())
        lines += [f"{question.name}: {question.text}" + (f"  [if {only}]" if only else "")]
        lines += [f"  {question.name}={name}  {text}" for name, text in question.options.items()]
    return lines


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"--answer {text!r}: write NAME=VALUE, as in goal=effect.")
    return name.strip(), value.strip()


def _from_file(path: Path | None) -> dict[str, str]:
    from json import JSONDecodeError, loads

    from ivbridge.errors import DataError

    if path is None:
        return {}
    try:
        found = loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, JSONDecodeError, RecursionError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise DataError(f"{path} is no JSON object of texts.", do='write {"goal": "effect", …}.')
    return {str(name): value for name, value in found.items()}


def _roles(
    data: str | None, dependent: str | None, treatment: str | None, covariates: str | None, instruments: str | None
) -> Roles:
    from ivbridge.advice import Roles
    from ivbridge.causal.asked import BUILT_IN

    def names(text: str | None, default: tuple[str, ...]) -> tuple[str, ...]:
        return default if text is None else tuple(name.strip() for name in text.split(",") if name.strip())

    plain = Roles()
    return Roles(
        data or plain.data, dependent or plain.dependent, treatment or plain.treatment,
        names(covariates, plain.covariates), names(instruments, plain.instruments),
        known=data in BUILT_IN and dependent is None and treatment is None,
    )  # fmt: skip
