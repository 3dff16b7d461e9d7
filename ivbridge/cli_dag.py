"""``ivbridge dag``: what a causal diagram allows, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ivbridge.cli_options import JSON

__all__ = ["app"]

app = typer.Typer()


@app.command("dag")
def _dag(
    diagram: Annotated[str, typer.Argument(metavar="TEXT|FILE", help='"x -> y; x <- u -> y; u [latent]", or a file.')],
    treatment: Annotated[
        str | None, typer.Option("--treatment", "-t", metavar="NODE", help="The cause. [default: as marked]")
    ] = None,
    dependent: Annotated[
        str | None, typer.Option("--dependent", "--outcome", "-y", metavar="NODE", help="What it acts on.")
    ] = None,
    adjust: Annotated[
        str | None, typer.Option("--adjust", metavar="A,B", help='Judge this adjustment set; "" is the empty one.')
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Put the same questions to pgmpy.")] = False,
    svg: Annotated[Path | None, typer.Option("--svg", metavar="FILE.svg", help="Write the drawing.")] = None,
    report: Annotated[Path | None, typer.Option("--report", metavar="FILE.html", help="Write a page.")] = None,
    json: Annotated[bool, JSON] = False,
) -> None:  # fmt: skip
    """Say which adjustment sets, front doors and instruments a causal diagram allows, and why no others.

    Statements are separated by ; or a new line: "x -> y", "x <-> y" (an unobserved common cause), "u [latent]". Exit
    code: 0 the effect is identified (with --adjust: by this set), 1 it is not, 2 the diagram cannot be read.

    \b
    ivbridge dag "x -> y; x <- u -> y; u [latent]; z -> x" --treatment x --dependent y
    ivbridge dag "smoking -> tar -> cancer; smoking <-> cancer" -t smoking -y cancer --svg dag.svg
    ivbridge dag model.txt -t price -y sales --adjust season,region --report dag.html
    """
    raise typer.Exit(_run(diagram, (treatment, dependent), adjust, (svg, report), as_json=json, check=check))


def _run(
    diagram: str, ends: tuple[str | None, str | None], adjust: str | None, files: tuple[Path | None, Path | None],
    *, as_json: bool, check: bool,
) -> int:  # fmt: skip
    from ivbridge import cli_text
    from ivbridge.diagrams import examine
    from ivbridge.diagrams.page import html
    from ivbridge.errors import DataError
    from ivbridge.place import check_folder, write_text

    svg, page = files
    for path, ending in ((svg, ".svg"), (page, ".html")):
        if path is not None:
            if path.suffix.lower() != ending:
                raise DataError(f"This cannot be written to {path}.", available=f"names ending in {ending}")
            check_folder(path)
    given = None if adjust is None else [name.strip() for name in adjust.split(",") if name.strip()]
    found = examine(_text(diagram), *ends, given, check=check)
    for path, text in ((svg, found.svg), (page, lambda: html(found))):
        if path is not None:
            write_text(path, text())
    if as_json:
        typer.echo(found.to_json())
    else:
        for line in [
            *found.summary().splitlines(),
            *(f"written: {path.resolve()}" for path in files if path is not None),
        ]:
            cli_text.say(line)
    return 0 if found.ok else 1


def _text(diagram: str) -> str:
    """The text of a file if the argument names one, else the argument itself."""
    from ivbridge.errors import DiagramError

    try:
        path = Path(diagram)
        return path.read_text(encoding="utf-8") if path.is_file() else diagram
    except UnicodeDecodeError:
        raise DiagramError(f"{diagram} is not text in UTF-8.", do="give a text file.") from None
    except (OSError, ValueError):  # a long text is no name of a file
        return diagram
