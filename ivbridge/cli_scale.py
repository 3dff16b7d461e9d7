"""``ivbridge scale``: one question about files that no memory holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ivbridge.cli_options import INFERENCE, JSON, METHOD, VCOV, WEIGHTS
from ivbridge.visible import visible

__all__ = ["app"]

app = typer.Typer()

_FILES = typer.Argument(
    metavar="FILES", help="Parquet or CSV files, patterns in quotes, a folder, or duckdb:FILE?table=NAME."
)
_MEMORY = typer.Option("--memory", metavar="1GB", help="What the job may take. [default: a quarter of the machine's]")
_RESUME = typer.Option(
    "--resume", metavar="FILE", help="Keep the sums so far in FILE (it is made), and go on from there after a stop."
)
_DASK = typer.Option("--dask", metavar="ADDRESS", help="Let the workers of this Dask scheduler read the pieces.")


@app.command("scale")
def _scale(
    formula: Annotated[str, typer.Argument(metavar="FORMULA", help="R's or linearmodels' formula.")],
    files: Annotated[list[str], _FILES],
    vcov: Annotated[str | None, VCOV] = None,
    weights: Annotated[str | None, WEIGHTS] = None,
    inference: Annotated[str, INFERENCE] = "t",
    method: Annotated[str, METHOD] = "2sls",
    memory: Annotated[str | None, _MEMORY] = None,
    resume: Annotated[Path | None, _RESUME] = None,
    dask: Annotated[str | None, _DASK] = None,
    tidy: Annotated[bool, typer.Option("--tidy", help="Print the coefficient table as csv; saves a pass.")] = False,
    json: Annotated[bool, JSON] = False,
) -> None:  # fmt: skip
    """Answer a question about files of any size, in two passes over them and bounded memory.

    A third pass makes the tests. Progress is shown on a terminal.

    \b
    ivbridge scale "y ~ x + w | w + z" "data/*.parquet" --vcov "cluster(firm)" --memory 1GB --resume sums.npz
    """
    from ivbridge.progress import progress_bar
    from ivbridge.scale import Distributed, fit
    from ivbridge.spec import IVSpec

    if tidy and json:
        raise typer.BadParameter("take one of --tidy and --json.")
    spec = IVSpec.from_formula(formula, inference=inference, weights=weights, method=method)
    runner = None if dask is None else Distributed(dask)
    source = files[0] if len(files) == 1 else files
    with progress_bar() as progress:
        estimate = fit(spec, source, vcov, memory=memory, resume=resume, progress=progress, runner=runner)
        text = "" if tidy else estimate.to_json() if json else estimate.summary()
    if tidy:
        typer.echo(estimate.tidy().to_csv(index=False), nl=False)
    else:
        typer.echo(text if json else visible(text))
