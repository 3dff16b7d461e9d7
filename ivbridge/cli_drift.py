"""``ivbridge drift``: which numbers moved from one version of a package to the next."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from ivbridge.cli_options import JSON, complete_engine

__all__ = ["app"]

app = typer.Typer()


@app.command("drift")
def _drift(
    package: Annotated[str, typer.Option("--package", "-p", help="The package whose versions differ.")],
    versions: Annotated[
        str | None, typer.Option("--versions", metavar="OLD,NEW", help="Versions of a Python package, or its folders.")
    ] = None,
    r_lib: Annotated[
        str | None, typer.Option("--r-lib", metavar="OLD,NEW", help="Folders of installed R packages.")
    ] = None,
    rscript: Annotated[str | None, typer.Option("--rscript", metavar="OLD,NEW", help="Two programs Rscript.")] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option("--reference", metavar="FILE|DIR", help="Recorded answers; repeat. [default: the gallery]"),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option("--engine", metavar="NAME", autocompletion=complete_engine,
                     help="Who calls the package. [default: the engine of its name; r for R]"),
    ] = None,
    json: Annotated[bool, JSON] = False,
) -> None:  # fmt: skip
    """Ask two versions of a package the same recorded questions; show every number that moved, and why.

    Each version runs in a process of its own, where only this package differs: pip installs it, without what it depends
    on, into a folder that is kept (IVBRIDGE_CACHE), so that the next run needs no network. More than two versions are
    compared one after the other. Exit code: 0 nothing moved, 1 a number did, 2 it could not be run.

    \b
    ivbridge drift --package linearmodels --versions 7.0,7.1
    ivbridge drift --package sandwich --r-lib ~/R/old,~/R/new --reference references/
    """
    named = (("pip", versions), ("r-library", r_lib), ("rscript", rscript))
    given = [(kind, text) for kind, text in named if text]
    raise typer.Exit(_run(package, given, reference, engine, as_json=json))


def _run(
    package: str, given: list[tuple[str, str]], reference: list[Path] | None, engine: str | None, *, as_json: bool
) -> int:
    """Compare the versions one after the other, and print what moved; the exit code."""
    from ivbridge import cli_text
    from ivbridge.progress import progress_bar
    from ivbridge.sentinel.watch import KINDS, drift

    if len(given) != 1:
        raise typer.BadParameter("name the versions by one of --versions, --r-lib and --rscript.")
    ((named, text),) = given
    (kind,) = (one for one in KINDS if one == named)
    names = [name.strip() for name in text.split(",")]
    if len(names) < 2 or not all(names):
        raise typer.BadParameter(f"{text!r} names fewer than two versions; write OLD,NEW.")
    with progress_bar() as progress:
        found = [
            drift(package, before, after, kind=kind, references=reference, engine=engine, progress=progress)
            for before, after in pairwise(names)
        ]
    if as_json:
        typer.echo(found[0].to_json() if len(found) == 1 else f"[{', '.join(one.to_json() for one in found)}]")
    else:
        cli_text.say("\n\n".join(one.summary() for one in found))
    return 1 if any(one.moved for one in found) else 0 if all(one.ok for one in found) else 2
