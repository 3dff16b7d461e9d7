"""``ivbridge study``: a published study computed again, and the coverage of the causal methods."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ivbridge.cli_options import JSON
from ivbridge.visible import visible

if TYPE_CHECKING:
    from ivbridge.iv_ml.paper.publishing import Asked

__all__ = ["app"]

app = typer.Typer()

_TABLES = typer.Option("--table", metavar="1|2|3|4|5", help="A table of the paper (4, 5: of its supplement); repeat.")
_FIGURES = typer.Option("--figure", metavar="3|4|5", help="A figure of the paper; repeat.")
_METHODS = typer.Option(
    "--method",
    metavar="NAME",
    help="Only this column, such as poly2sls, or method, such as irm; repeat. [default: all]",
)
_REPLICATIONS = typer.Option(
    "--replications", "--draws", metavar="N", min=1, show_default=False,
    help="Draws of each world. [default: metaem 10, quick 2; causal 500, quick 40]",
)  # fmt: skip
_JOBS = typer.Option("--jobs", metavar="N", min=1, help="Processes. [default: one for each processor]")
_QUICK = typer.Option(
    "--quick", help="metaem: two draws, networks with the true label only, no AutoIV. causal: 40 draws, no forests."
)
_OUT = typer.Option(
    "--out", metavar="DIR", show_default=False,
    help="What is done is kept here, and not done again. [default: ivbridge-metaem, ivbridge-causal; …-quick]",
)  # fmt: skip
_DATA = typer.Option("--data", metavar="DIR", help="metaem: covariates of Tables 3 and 5. [default: $IVBRIDGE_DATA]")


@app.command("study")
def _study(
    name: Annotated[str, typer.Argument(metavar="metaem|causal", help="The study.")],
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
    """Compute a published study again, or how often intervals hold the truth, and judge each number.

    metaem: the tables and figures of "Learning Instrumental Variable from Data Fusion for Treatment Effect Estimation";
    without --table and --figure it is Table 1.

    causal: for every method of ivbridge.causal, on worlds whose truth is known, the bias and the share of 95 %
    intervals that hold the truth, against its binomial band.

    Stopped by Ctrl-C, it goes on from there when it is run again. Exit code: 0 everything has a value and no coverage
    is out of its band without a reason, 1 otherwise.

    \b
    ivbridge study causal --quick
    ivbridge study causal --draws 1000 --jobs 2 --method plr --method irm
    ivbridge study metaem --quick
    ivbridge study metaem --table 1 --table 2 --figure 4 --figure 5 --jobs 2
    ivbridge study metaem --table 3 --data covariates/
    """
    from ivbridge.errors import UnsupportedError

    methods = tuple(method or ())
    if name == "causal":
        if table or figure or data is not None:
            raise typer.BadParameter("--table, --figure and --data are metaem's.")
        raise typer.Exit(_causal(methods, replications, jobs, out, quick=quick, json=json))
    if name != "metaem":
        raise UnsupportedError(f"The study {name!r} was asked.", available="metaem, causal")
    from ivbridge.iv_ml.paper.publishing import Asked

    tables = tuple(table or (() if figure else ("1",)))
    asked = Asked(tables, tuple(figure or ()), methods, quick, None if data is None else str(data))
    raise typer.Exit(_metaem(asked, replications, jobs, out, json=json))


def _metaem(asked: Asked, replications: int | None, jobs: int | None, out: Path | None, *, json: bool) -> int:
    """Run the paper's study, print it, and return the exit code."""
    from ivbridge.iv_ml.paper.parts import METHODS
    from ivbridge.iv_ml.paper.publishing import publish
    from ivbridge.progress import progress_bar

    for one in asked.methods:
        if one not in METHODS:
            raise typer.BadParameter(f"--method {one}: the tables have {', '.join(METHODS)}.")
    folder = out or Path("ivbridge-metaem-quick" if asked.quick else "ivbridge-metaem")
    with progress_bar() as progress:
        found = publish(asked, folder, replications or (2 if asked.quick else 10), jobs, progress)
    if json:
        typer.echo(found.to_json())
    else:
        typer.echo(visible(found.summary()))
        typer.echo(f"\nWritten to {folder}: {', '.join(path.name for path in found.files)}")
    return 1 if len(found.failed) else 0


def _causal(
    methods: tuple[str, ...], draws: int | None, jobs: int | None, out: Path | None, *, quick: bool, json: bool
) -> int:
    """Run the coverage study, print it, and return the exit code."""
    from ivbridge.causal.coverage import QUICK, coverage
    from ivbridge.causal.coverage_cases import CASES, chosen
    from ivbridge.progress import progress_bar

    folder = out or Path("ivbridge-causal-quick" if quick else "ivbridge-causal")
    cases = chosen(methods) if methods else CASES
    if quick and not methods:
        cases = tuple(case for case in cases if not case.slow)
    with progress_bar() as progress:
        found = coverage(draws or (QUICK if quick else 500), folder, jobs, cases, progress)
    if json:
        typer.echo(found.to_json())
    else:
        typer.echo(visible(found.summary()))
        typer.echo(f"\nWritten to {folder / 'coverage.csv'}")
    return 1 if len(found.failed) else 0
