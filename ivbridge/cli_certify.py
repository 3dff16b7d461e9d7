"""``ivbridge certify``: a check as a page for a replication package, and the check of such a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ivbridge.cli_options import DATA, INFERENCE, METHOD, TIMEOUT, VCOV, WEIGHTS, complete_engine

if TYPE_CHECKING:
    from ivbridge.questions import Question

__all__ = ["app"]

app = typer.Typer()

_OUT = typer.Option("--out", metavar="DIR", file_okay=False, help="Folder for the four files; made if it is missing.")


@app.command("certify")
def _certify(
    question: Annotated[
        str | None, typer.Argument(metavar="FORMULA|FILE.toml", help="A formula, or a file of questions.")
    ] = None,
    data: Annotated[str | None, DATA] = None,
    vcov: Annotated[list[str] | None, VCOV] = None,
    weights: Annotated[str | None, WEIGHTS] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option("--engine", metavar="r|native|…", autocompletion=complete_engine,
                     help="Repeat; the first one is the reference. [default: r, native]"),
    ] = None,
    inference: Annotated[str | None, INFERENCE] = None,
    method: Annotated[str | None, METHOD] = None,
    timeout: Annotated[float | None, TIMEOUT] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help="Who signs off.")] = "",
    note: Annotated[str, typer.Option("--note", metavar="TEXT", help="What stands beside the name.")] = "",
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail also if anything that has a value was not compared.")
    ] = False,
    out: Annotated[Path, _OUT] = Path("certificate"),
    verify: Annotated[
        Path | None, typer.Option("--verify", metavar="FILE", help="Verify this certificate: .html, .md or .json.")
    ] = None,
    again: Annotated[bool, typer.Option("--again", help="With --verify: ask its questions anew, too.")] = False,
) -> None:  # fmt: skip
    """Check a question and write a certificate: certificate.html, .md and .json, and badge.svg for a README.

    --verify FILE says whether a certificate is as it was issued; with --again R and Python answer its questions anew.
    Exit code: 0 the engines agree, or the certificate is good; 1 they disagree, or it is not; 2 it could not be run.

    \b
    ivbridge certify "Q ~ P + D | D + F + A" --data kmenta --vcov classical --by "A. Author"
    ivbridge certify questions.toml --strict --out replication/certificate
    ivbridge certify --verify replication/certificate/certificate.html --again
    """
    one = (data, tuple(vcov or ()), weights, tuple(engine or ()), inference, method)
    if verify is not None:
        raise typer.Exit(_verified(verify, again=again, given=any((question, *one, by, note, strict))))
    if question is None or again:
        raise typer.BadParameter("name a formula or a file of questions, or --verify a certificate (and --again).")
    raise typer.Exit(_issued(_questions(question, *one), by, note, out, strict=strict))


def _questions(question: str, data: str | None, vcovs: tuple[str, ...], weights: str | None,
               engines: tuple[str, ...], *others: str | None) -> Sequence[Question]:  # fmt: skip
    """The questions of a file, or the one that the options ask; inference and method are the others."""
    from ivbridge.questions import Question, load_questions

    if question.lower().endswith(".toml"):
        if any((data, vcovs, weights, engines, *others)):
            raise typer.BadParameter("a file of questions says data, vcovs and the rest itself, below [defaults].")
        return load_questions(Path(question))
    if data is None:
        raise typer.BadParameter("a formula needs --data: a file or the name of a bundled dataset.")
    return (Question("", question, data, vcovs, weights, engines or ("r", "native"), *others),)


def _issued(questions: Sequence[Question], by: str, note: str, out: Path, *, strict: bool) -> int:
    """Ask, write the four files, say where they are; the exit code."""
    from ivbridge import cli_text
    from ivbridge.certificates.issue import certify
    from ivbridge.data import read
    from ivbridge.errors import IvbridgeError
    from ivbridge.many import ask
    from ivbridge.place import make_folder
    from ivbridge.progress import progress_bar
    from ivbridge.report import COULD_NOT_RUN, Entry

    entries = []
    with progress_bar() as progress:
        for question in questions:
            try:
                source = read(question.data)
                entries.append(Entry(ask(question, source, progress), question.name, source))
            except IvbridgeError as error:
                if len(questions) == 1:
                    raise
                entries.append(Entry(error, question.name, formula=question.formula))
    issued = certify(entries, by=by, note=note, strict=strict)
    make_folder(out)
    for name in ("certificate.html", "certificate.md", "certificate.json", "badge.svg"):
        issued.write(out / name)
    for entry in entries:
        cli_text.say(cli_text.question_line(entry), entry.verdict)
    cli_text.say(f"{issued.verdict.upper()}: {issued.compared} numbers compared", issued.verdict)
    if strict and not issued.ok:
        cli_text.say("strict: a number that one side has was not compared, or two differ")
    cli_text.say(f"certificate: {(out / 'certificate.html').resolve()}\ndigest: {issued.digest}")
    return 2 if issued.verdict == COULD_NOT_RUN else int(not issued.ok)


def _verified(path: Path, *, again: bool, given: bool) -> int:
    """Say whether a certificate is good; the exit code."""
    if given:
        raise typer.BadParameter("a certificate that is verified says all of this itself; name no question.")
    from ivbridge import cli_text
    from ivbridge.certificates.verify import check_again, read_certificate, verify_certificate

    wrong = verify_certificate(path)
    if not wrong:
        found = read_certificate(path)
        cli_text.say(f"{path} is as it was issued on {found.issued_on}: {found.verdict}, digest {found.digest}")
        wrong = check_again(found) if again else []
        if again and not wrong:
            cli_text.say("asked again: every question has the certified verdict and numbers")
    for line in wrong:
        cli_text.say(f"{path}: {line}")
    return int(bool(wrong))
