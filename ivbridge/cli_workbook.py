"""``ivbridge workbook``: the notebook on causal inference again, with every number judged and every fault measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ivbridge.cli_options import JSON

__all__ = ["app"]

app = typer.Typer()

_OUT = typer.Option("--out", metavar="DIR", file_okay=False, help="Write tables and figures there; made if missing.")
_QUICK = typer.Option("--quick", help="Move last bits five times instead of sixty.")
_WITHOUT = typer.Option("--no-r", help="Do not ask R.")
_SEED = typer.Option("--seed", min=0, help="Of the corrections' folds and forests.")


@app.command("workbook")
def _workbook(
    out: Annotated[Path | None, _OUT] = None,
    quick: Annotated[bool, _QUICK] = False,
    no_r: Annotated[bool, _WITHOUT] = False,
    seed: Annotated[int, _SEED] = 1,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Run a widely copied notebook on causal inference again: what it prints, what R says, what is right.

    Each of its 269 printed numbers gets a verdict, each of its faults a measurement and a correction, and each method
    of `ivbridge causal` is held against R. Exit code: 0 every number is reproduced or explained and R agrees, 1 not
    so, 2 it could not be run.

    \b
    ivbridge workbook --quick
    ivbridge workbook --out pages
    """
    from ivbridge import cli_text
    from ivbridge.place import make_folder
    from ivbridge.progress import progress_bar
    from ivbridge.workbook.analysis import workbook

    if out is not None:
        make_folder(out)
    with progress_bar() as progress:
        found = workbook(with_r=not no_r, quick=quick, seed=seed, progress=progress)
    written = found.write(out) if out is not None else []
    if json:
        typer.echo(found.to_json())
    else:
        for line in [*found.summary().splitlines(), *(f"written: {path.resolve()}" for path in written)]:
            cli_text.say(line)
    raise typer.Exit(0 if found.ok else 1)
