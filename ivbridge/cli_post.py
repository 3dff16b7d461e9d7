"""``ivbridge post``: the post's figures, charts and Monte Carlo table, computed again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import typer

from ivbridge import post_charts, serial, study
from ivbridge.errors import RNotAvailableError
from ivbridge.post import PostResult, post_figures
from ivbridge.post_methods import METHODS_A, METHODS_B
from ivbridge.progress import progress_bar
from ivbridge.simulate import SCENARIOS

__all__ = ["run_post", "study_lines"]

_STUDIES = {"post-a": METHODS_A, "post-b": METHODS_B}


def run_post(out: Path, engines: Sequence[str] = ("r", "native"), draws: int = 500, *, as_json: bool = False) -> int:
    """Compute the post's figures, draw its charts, and study its methods over many draws.

    Parameters
    ----------
    out : Path
        Folder for charts (SVG and PNG), post.json, and what the Monte Carlo study has done so far: run again, it goes
        on from there.
    engines : sequence of str, default ("r", "native")
    draws : int, default 500
        0 leaves the Monte Carlo study out.
    as_json : bool, default False
        Print one JSON object and nothing else.

    Returns
    -------
    int
        0 every printed figure is reproduced by every engine, 1 one is not.

    Raises
    ------
    IvbridgeError
        If an engine cannot run here; the command line turns this into exit code 2.
    """
    try:
        with progress_bar() as progress:
            result = post_figures(engines, progress=progress)
    except RNotAvailableError as error:
        without = "or leave R out: ivbridge post --engine native"
        raise RNotAvailableError(error.message, do=f"{error.do.rstrip('.')}; {without}.") from error
    written = [*post_charts.draw_post(result, out), _write(result, out)]
    if not as_json:
        typer.echo(result.summary())
    tables = []
    for name, methods in _STUDIES.items() if draws else ():
        with progress_bar() as progress:
            table = study.run(SCENARIOS[name], methods, draws, path=out / f"{name}-draws.jsonl", progress=progress)
        written += [*post_charts.draw_study(table, out, f"{name}-draws"), out / f"{name}-draws.jsonl"]
        tables.append(study.summary(table))
        if not as_json:
            typer.echo("\n".join(["", *study_lines(tables[-1])]))
    if as_json:
        rows = [row for table in tables for row in table.to_dict("records")]
        typer.echo(json.dumps(serial.encode({"post": result, "study": rows}), ensure_ascii=False, allow_nan=False))
    else:
        typer.echo("\n".join(["", f"Written to {out}: {', '.join(path.name for path in written)}"]))
    return 0 if result.ok else 1


def _write(result: PostResult, out: Path) -> Path:
    path = out / "post.json"
    path.write_text(result.to_json(indent=1) + "\n", encoding="utf-8")
    return path


def study_lines(summary: pd.DataFrame) -> list[str]:
    """A study's summary as text: the scenario and its number of draws, then one line a method."""
    head = f"{summary['scenario'].iloc[0]}, {summary['draws'].iloc[0]} draws"
    shown = summary.drop(columns=["scenario", "draws"])
    return [head, shown.to_string(index=False, float_format="{:.3f}".format, na_rep="–")]
