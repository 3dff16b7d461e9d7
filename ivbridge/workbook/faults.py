"""What is wrong with the notebook, in words: what it does, what follows from it, and what to do instead."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

__all__ = ["Fault", "faults"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes
    ----------
    number : int
    cells : tuple of int
        Where it is, by the notebook's numbers; empty where something is missing.
    title, consequence, fix : str
    checks : tuple of str
        Identifiers of the checks of :mod:`ivbridge.audit` that find it in a notebook or script of one's own.
    """

    number: int
    cells: tuple[int, ...]
    title: str
    consequence: str
    fix: str
    checks: tuple[str, ...]


@cache
def faults() -> tuple[Fault, ...]:
    """Every fault, by number."""
    text = files("ivbridge.workbook").joinpath("faults.toml").read_text(encoding="utf-8")
    return tuple(
        Fault(one["number"], tuple(one["cells"]), one["title"], one["consequence"], one["fix"], tuple(one["checks"]))
        for one in tomllib.loads(text)["fault"]
    )
