"""``ivbridge record``: keep R's answers in files, verify them with a live R, write their data for R alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ivbridge.cli_options import DATA, INFERENCE, METHOD, TIMEOUT, VCOV, WEIGHTS

if TYPE_CHECKING:
    from ivbridge.data import Dataset
    from ivbridge.questions import Question
    from ivbridge.references import Reference

__all__ = ["app"]

app = typer.Typer()

_ASKED = typer.Argument(metavar="[FORMULA|FILE.toml|FILE.json…]", help="A question, a file of them, or references.")
_OUT = typer.Option("--out", "-o", metavar="FILE.json|DIR", help="Where the reference goes; a folder for FILE.toml.")


@app.command("record")
def _record(
    asked: Annotated[list[str] | None, _ASKED] = None,
    data: Annotated[str | None, DATA] = None,
    vcov: Annotated[list[str] | None, VCOV] = None,
    weights: Annotated[str | None, WEIGHTS] = None,
    inference: Annotated[str | None, INFERENCE] = None,
    method: Annotated[str | None, METHOD] = None,
    out: Annotated[Path | None, _OUT] = None,
    export: Annotated[
        bool, typer.Option("--export", help="Write the data beside the reference, for replay.R.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Ask R again, and report every number that moved.")] = False,
    timeout: Annotated[float | None, TIMEOUT] = None,
) -> None:
    """Keep R's answers in a file, so that checks need no R (engine `recorded`).

    Without --vcov the vcovs are classical and HC0 to HC4, to HC1 for LIML and Fuller. With --verify R answers the
    references again: files or folders, or all that the engine finds. With --export alone the data of references are
    written. Exit code: 0 done and all agree, 1 a reference differs, is stale or was edited, 2 it could not be run.

    \b
    ivbridge record "Q ~ P + D | D + F + A" --data kmenta --vcov HC1 --out references/demand.json
    ivbridge record questions.toml --out references
    ivbridge record --verify references
    ivbridge record --export references/demand.json && Rscript replay.R references/demand.json
    """
    texts = asked or []
    given = [name for name, value in (("--data", data), ("--vcov", vcov), ("--weights", weights), ("--out", out),
                                      ("--inference", inference), ("--method", method)) if value]  # fmt: skip
    if verify or (export and not out):
        if given:
            raise typer.BadParameter(f"{', '.join(given)}: a reference says this itself.")
        raise typer.Exit(_verify(texts) if verify else _export(texts))
    if len(texts) != 1 or out is None:
        raise typer.BadParameter("give one formula or one file of questions, and --out.")
    if texts[0].lower().endswith(".toml"):
        if given != ["--out"]:
            raise typer.BadParameter("a file of questions says this itself, below [defaults].")
        _record_file(Path(texts[0]), out, export=export)
        return
    if data is None:
        raise typer.BadParameter("a formula needs --data: a file or the name of a bundled dataset.")
    from ivbridge.questions import Question

    asked_one = Question("", texts[0], data, tuple(vcov or ()), weights, inference=inference, method=method)
    _say(_recorded(asked_one, out), export=export)


def _recorded(one: Question, path: Path) -> Reference:
    from ivbridge.references import record

    changes = {"weights": one.weights, "inference": one.inference, "method": one.method}
    return record(one.formula, _read(one.data), one.vcovs or None, path, **changes)


def _read(data: str) -> Dataset:
    """The data, which keep the words that they were asked by: a file of R may hold several frames."""
    import dataclasses

    from ivbridge.data import read

    found = read(data)
    return found if found.citation else dataclasses.replace(found, source=data)


def _say(reference: Reference, *, export: bool) -> None:
    from ivbridge import cli_text

    versions = ", ".join(f"{name} {version}" for name, version in reference.provenance.versions.items())
    cli_text.say(f"{reference.path}: {', '.join(reference.vcovs)}, n = {next(iter(reference.answers.values())).n}")
    cli_text.say(f"  {versions}")
    if export:
        from ivbridge.references_verify import export as write

        cli_text.say(f"  data: {write(reference)}")


def _record_file(path: Path, folder: Path, *, export: bool) -> None:
    import re

    from ivbridge.errors import DataError
    from ivbridge.questions import load_questions

    questions = load_questions(path)
    names = [re.sub(r"\W+", "-", question.name.lower()).strip("-") for question in questions]
    if twice := [name for name in names if not name or names.count(name) > 1]:
        raise DataError(f"{path}: two questions would be recorded as {twice[0]!r}.json.", do="give them other names.")
    for name, one in zip(names, questions, strict=True):
        _say(_recorded(one, folder / f"{name}.json"), export=export)


def _export(texts: list[str]) -> int:
    from ivbridge import cli_text
    from ivbridge.references import load_reference, reference_files
    from ivbridge.references_verify import export

    if not texts:
        raise typer.BadParameter("name the references whose data are to be written.")
    paths = list(reference_files([Path(text) for text in texts]))
    for path in paths:
        cli_text.say(str(export(load_reference(path))))
    if not paths:
        cli_text.say(f"there is no reference (*.json) in {', '.join(texts)}")
    return 0 if paths else 2


def _verify(texts: list[str]) -> int:
    from ivbridge import cli_text
    from ivbridge.progress import progress_bar
    from ivbridge.references_verify import verify

    with progress_bar() as progress:
        found = verify(texts or None, progress=progress)
    for one in found:
        for line in one.lines():
            cli_text.say(line)
    if not found:
        cli_text.say(f"there is no reference (*.json) in {', '.join(texts)}")
        return 2
    verdicts = [one.verdict for one in found]
    cli_text.say(f"{sum(one.ok for one in found)} of {len(found)} references agree with R here")
    if "could not run" in verdicts:
        return 2
    return 0 if all(one.ok for one in found) else 1
