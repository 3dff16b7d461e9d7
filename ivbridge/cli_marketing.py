"""``ivbridge marketing``: run the marketing build, write its page and its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ivbridge.cli_options import JSON

__all__ = ["app", "run"]

app = typer.Typer()


def run(out: Path, *, quick: bool = False, seed: int = 1, as_json: bool = False) -> int:
    """Run everything and write ``marketing.html`` and ``marketing.json``.

    Parameters
    ----------
    out : Path
        Folder, made if it is missing.
    quick : bool, default False
    seed : int, default 1
    as_json : bool, default False
        Print one JSON object and nothing else.

    Returns
    -------
    int
        0 every claim holds, 1 one does not.

    Raises
    ------
    IvbridgeError
        If it cannot be done; the command line turns this into exit code 2.
    """
    from ivbridge import cli_text
    from ivbridge.marketing.analysis import marketing
    from ivbridge.place import check_folder, make_folder
    from ivbridge.progress import progress_bar

    make_folder(out)
    paths = [out / "marketing.html", out / "marketing.json"]
    for path in paths:
        check_folder(path)
    with progress_bar() as progress:
        report = marketing(quick, seed, progress)
    for path in paths:
        report.write(path)
    if as_json:
        typer.echo(report.to_json())
    else:
        for line in [*report.summary().splitlines(), "", *(f"written: {path.resolve()}" for path in paths)]:
            cli_text.say(line)
    return 0 if report.ok else 1


@app.command("marketing")
def _marketing(
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", file_okay=False, help="Folder for the page; made if it is missing."),
    ] = Path("ivbridge-marketing"),
    quick: Annotated[bool, typer.Option("--quick", help="Fewer users and draws: seconds instead of a minute.")] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the first data set.")] = 1,
    json: Annotated[bool, JSON] = False,
) -> None:
    """Build a 2SLS estimator in PyTorch on marketing data with a known effect, and break each assumption once.

    A randomised email is the instrument. Confounding, the forbidden regression, violations of exclusion, weak and
    stacked instruments, what can and cannot notice, an encoder, a ranking, and a served first stage: measured, held
    against theory, and written as a page. Exit code: 0 every claim holds, 1 one does not, 2 it could not be run.

    \b
    ivbridge marketing --quick
    ivbridge marketing --out pages
    """
    raise typer.Exit(run(out, quick=quick, seed=seed, as_json=json))
