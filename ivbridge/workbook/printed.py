"""What the notebook prints, number by number, and when a number of ours counts as the same."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["Key", "Numbers", "Printed", "numbers_of", "printed", "rounds_to"]

#: Table, row, column.
Key = tuple[str, str, str]
#: Values by table, row and column.
Numbers = Mapping[str, Mapping[str, Mapping[str, float]]]


@dataclass(frozen=True, slots=True)
class Printed:
    """One printed number.

    Attributes
    ----------
    cell : int
        The notebook's number of the cell.
    title : str
        What the table shows.
    key : tuple of str
        Table, row, column.
    text : str
        As it is printed.
    """

    cell: int
    title: str
    key: Key
    text: str


@cache
def printed() -> tuple[Printed, ...]:
    """Every printed number in the order of the notebook."""
    found = []
    for table in _tables():
        for row, *texts in table["rows"]:
            for column, text in zip(table["columns"], texts, strict=True):
                found.append(Printed(table["cell"], table["title"], (table["name"], row, column), text))
    return tuple(found)


@cache
def _tables() -> tuple[dict[str, Any], ...]:
    text = files("ivbridge.workbook").joinpath("printed.toml").read_text(encoding="utf-8")
    return tuple(tomllib.loads(text)["table"])


def numbers_of(values: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Rows with one column, ``value``."""
    return {row: {"value": float(value)} for row, value in values.items()}


def rounds_to(text: str, value: float) -> bool:
    """Whether a number, printed as `text` is, would be `text`: at most half a unit of its last digit away.

    >>> rounds_to("10.06", 10.0641), rounds_to("4.652e+06", 4651600.0), rounds_to("-15122.", -15122.7)
    (True, True, False)
    """
    try:
        shown = float(text)
    except ValueError:
        return False
    mantissa, _, exponent = text.partition("e")
    decimals = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - decimals)
    # the printed decimal number is not a binary one: ten of its roundings
    return math.isfinite(value) and abs(value - shown) <= 0.5 * unit + 10 * math.ulp(shown)
