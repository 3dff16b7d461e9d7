"""``ivbridge study``: published studies, computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ivbridge.cli_options import JSON
from ivbridge.visible import visible

__all__ = ["app"]

app = typer.Typer()

_TABLES = typer.Option("--table", metavar="1|2|3|4|5", help="A table of the paper (4, 5: of its supplement); repeat.")
_FIGURES = typer.Option("--figure", metavar="3|4|5", help="A figure of the paper; repeat.")
_METHODS = typer.Option("--method", metavar="NAME", help="Only this column, such as poly2sls; repeat. [default: all]")
_REPLICATIONS = typer.Option(
    "--replications", metavar="N", min=1, show_default=False, help="Draws of each world. [default: 10; 2 if quick]"
)
_JOBS = typer.Option("--jobs", metavar="N", min=1, help="Processes. [default: one for each processor]")
_QUICK = typer.Option("--quick", help="Two draws; networks with the true label only; no AutoIV.")
_OUT = typer.Option(
    "--out", metavar="DIR", show_default=False,
    help="What is done is kept here, and not done again. [default: ivbridge-metaem, ivbridge-metaem-quick]",
)  # fmt: skip
_DATA = typer.Option("--data", metavar="DIR", help="Covariates of Tables 3 and 5. [default: $IVBRIDGE_DATA]")


@app.command("study")
def _study(
    name: Annotated[str, typer.Argument(metavar="metaem", help="The study: there is one so far.")],
    table: Annotated[list[str] | None, _TABLES] = None,
    figure: Annotated[list[str] | None, _FIGURES] = None,
    method: Annotated[list[str] | None, _METHODS] = None,
    replications: Annotated[int | None, _REPLICATIONS] = None,
    jobs: Annotated[int | None, _JOBS] = None,
    quick: Annotated[bool, _QUICK] = False,
    out: Annotated[Path | None, _OUT] = None,
    data: Annotated[Path | None, _DATA] = None,
    json: Annotated[bool, JSON] = False,
) -> None:  # fmt: skip
    """Compute a published study again and judge each printed number.

    metaem: the tables and figures of "Learning Instrumental Variable from Data Fusion for Treatment Effect Estimation".

    Without --table and --figure it is Table 1. Stopped by Ctrl-C, it goes on from there when it is run again. Exit
    code: 0 everything has a value, 1 something has none.

    \b
    ivbridge study metaem --quick
    ivbridge study metaem --table 1 --table 2 --figure 4 --figure 5 --jobs 2
    ivbridge study metaem --table 3 --data covariates/
    """
    from ivbridge.errors import UnsupportedError
    from ivbridge.iv_ml.paper.parts import METHODS
    from ivbridge.iv_ml.paper.publishing import Asked, publish
    from ivbridge.progress import progress_bar

    if name != "metaem":
        raise UnsupportedError(f"The study {name!r} was asked.", available="metaem")
    for one in method or ():
        if one not in METHODS:
            raise typer.BadParameter(f"--method {one}: the tables have {', '.join(METHODS)}.")
    tables = tuple(table or (() if figure else ("1",)))
    asked = Asked(tables, tuple(figure or ()), tuple(method or ()), quick, None if data is None else str(data))
    folder = out or Path("ivbridge-metaem-quick" if quick else "ivbridge-metaem")
    with progress_bar() as progress:
        found = publish(asked, folder, replications or (2 if quick else 10), jobs, progress)
    if json:
        typer.echo(found.to_json())
    else:
        typer.echo(visible(found.summary()))
        typer.echo(f"\nWritten to {folder}: {', '.join(path.name for path in found.files)}")
    raise typer.Exit(1 if len(found.failed) else 0)
