"""``ivbridge audit``: mistakes in a causal analysis, found without running it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ivbridge.cli_options import JSON, REPORT

__all__ = ["app"]

app = typer.Typer()

_Sources = typer.Argument(
    metavar="FILE…", help="A notebook, script, notebook saved as text, or table; several together."
)
_Roles = typer.Option("--roles", metavar="ROLES", help='As in "dependent=Y treatment=T covariates=a,b instruments=z".')
_Strict = typer.Option("--strict", help="Fail also for notes.")
_List = typer.Option("--list", help="Print every check and end.")


@app.command("audit")
def _audit(
    sources: Annotated[list[str] | None, _Sources] = None,
    roles: Annotated[str, _Roles] = "",
    report: Annotated[list[Path] | None, REPORT] = None,
    strict: Annotated[bool, _Strict] = False,
    json: Annotated[bool, JSON] = False,
    listing: Annotated[bool, _List] = False,
) -> None:
    """Look for known mistakes in a causal analysis; its code is read and never run.

    Tables need --roles; with a table beside a notebook, findings in the code carry the table's numbers. Exit code: 0
    nothing but notes, 1 faults or warnings (with --strict also notes), 2 a file could not be read.

    \b
    ivbridge audit analysis.ipynb
    ivbridge audit data.csv --roles "dependent=Y treatment=T covariates=age,income instruments=z"
    ivbridge audit analysis.ipynb data.csv --roles "dependent=Y treatment=T covariates=age" --report audit.html
    """
    from ivbridge.audit.catalogue import catalogue
    from ivbridge.audit.checking import audit
    from ivbridge.audit.page import check_path, write
    from ivbridge.visible import visible

    if listing:
        for check in catalogue().values():
            typer.echo(f"{check.level:<8} {check.id:<27} {check.title}")
        raise typer.Exit
    if not sources:
        raise typer.BadParameter("name a notebook, a script or a table.")
    for path in report or ():
        check_path(path)
    found = audit(sources, roles)
    for path in report or ():
        write(found, path)
    typer.echo(found.to_json() if json else visible(found.summary()))
    for path in report or () if not json else ():
        typer.echo(visible(f"report: {path.resolve()}"))
    raise typer.Exit(0 if found.ok and not (strict and found.findings) else 1)
