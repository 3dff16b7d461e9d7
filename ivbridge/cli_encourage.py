"""``ivbridge encourage``: read users, analyse, print, write reports, return the exit code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from ivbridge import cli_text
from ivbridge.encouragement.analysis import encourage
from ivbridge.encouragement.options import EncourageOptions
from ivbridge.encouragement.page import check_path
from ivbridge.encouragement.reading import read_users
from ivbridge.errors import UnsupportedError

__all__ = ["Asked", "run", "share_of"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Which columns play which role.

    Attributes
    ----------
    data : str
        A file, or the name of a bundled set.
    outcome, behavior : str
    tests, controls : tuple of str
        Names; patterns are allowed for tests.
    """

    data: str
    outcome: str
    behavior: str
    tests: tuple[str, ...] = ("test_*",)
    controls: tuple[str, ...] = ()


def share_of(texts: Sequence[str]) -> float | dict[str, float]:
    """Read ``0.5`` or ``test_1=0.9``, of which there may be several.

    Raises
    ------
    UnsupportedError
        If a text is neither.
    """
    shares: dict[str, float] = {}
    try:
        if len(texts) == 1 and "=" not in texts[0]:
            return float(texts[0])
        for text in texts:
            name, _, value = text.rpartition("=")
            shares[name] = float(value)
    except ValueError:
        shares = {"": 0.0}
    if "" in shares:
        raise UnsupportedError(
            f"--share {' '.join(texts)} was asked.", available="one number such as 0.5, or test_1=0.9, repeated"
        )
    return shares or 0.5


def run(asked: Asked, options: EncourageOptions, reports: tuple[Path, ...] = (), *, as_json: bool = False) -> int:
    """Analyse an encouragement design.

    Parameters
    ----------
    asked : Asked
    options : EncourageOptions
    reports : tuple of Path
        Written by ending: ``.html .md .json``.
    as_json : bool, default False
        Print one JSON object and nothing else.

    Returns
    -------
    int
        0, or 1 where R and Python were compared and disagree.

    Raises
    ------
    IvbridgeError
        If the analysis cannot be done; the command line turns this into exit code 2.
    """
    for path in reports:
        check_path(path)
    frame = read_users(asked.data, asked.tests, (asked.outcome, asked.behavior, *asked.controls))
    found = encourage(frame, asked.outcome, asked.behavior, asked.tests, asked.controls, options)
    for path in reports:
        found.write(path)
    if as_json:
        typer.echo(found.to_json())
        return 0 if found.ok else 1
    for line in found.summary().splitlines():
        cli_text.say(line)
    for path in reports:
        cli_text.say(f"report: {path.resolve()}")
    return 0 if found.ok else 1
