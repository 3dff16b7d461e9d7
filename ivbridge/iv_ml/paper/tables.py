"""The paper's tables beside ours, as text and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ivbridge.iv_ml.paper.parts import METHODS
from ivbridge.iv_ml.paper.plans import table_parts
from ivbridge.iv_ml.paper.verdicts import BETTER, NOISY, NOT, REPRODUCED, WORSE, judged, means

__all__ = ["counted", "legend", "markdown", "number", "text"]

_TITLES = {
    "1": "Table 1: mean squared error, Linear-3-3",
    "2": "Table 2: accuracy of the groups in per cent, Data-2-5",
    "3": "Table 3: mean squared error, IHDP and PM-CMR",
    "4": "Table 4 of the supplement, the cells that are known",
    "5": "Table 5 of the supplement, the cells that are known",
}
_SIGNS = {REPRODUCED: "=", NOISY: "~", BETTER: "+", WORSE: "−", NOT: "×"}
#: Fewer replications have no standard error to speak of.
_TRIAL = 5


def number(mean: float, sd: float, decimals: int = 2) -> str:
    """``0.33(0.04)``; without replications ``0.33``; a dash where there is no value.

    >>> number(0.334, 0.0421), number(3.2, float("nan"), 1)
    ('0.33(0.04)', '3.2')
    """
    if math.isnan(mean):
        return "–"
    if abs(mean) >= 100:
        decimals = 0
    return f"{mean:.{decimals}f}" + ("" if math.isnan(sd) else f"({sd:.{decimals}f})")


def legend(which: str, cells: pd.DataFrame) -> str:
    """How a table is read: of how many replications, and what the signs mean."""
    counts = sorted(set(cells["count"]) - {0})
    number_of = " to ".join(str(count) for count in dict.fromkeys([*counts[:1], *counts[-1:]])) or "no"
    said = (
        f"Each cell: ours, mean (sd) over {number_of} replication{'' if counts == [1] else 's'}, [the paper's], and = "
        "reproduced, ~ too noisy to tell (no error and twice the printed one would pass too), + better, − worse, "
        "× not reproducible. Reasons stand below."
    )
    if which == "2":
        said += " A smaller accuracy is also = within 2 points of what the true parameters give, the row Oracle."
    if counts and counts[0] < _TRIAL:
        said += " With so few replications the standard errors are guesses, and so are the signs."
    return said


def counted(cells: pd.DataFrame) -> str:
    """``54 of 81 cells reproduced, 12 better, 3 worse, 12 not reproducible``."""
    counts = [(name, int((cells["verdict"] == name).sum())) for name in _SIGNS]
    first, *others = [f"{count} {name}" for name, count in counts if count or name == REPRODUCED]
    return ", ".join([first.replace(" ", f" of {len(cells)} cells ", 1), *others])


def text(table: pd.DataFrame, which: str) -> str:
    """One table in columns of text, with the count of verdicts and the reasons."""
    found = judged(table, which)
    heads, rows = _grid(table, which, found)
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    lines = ["  ".join(value.ljust(width) for value, width in zip(row, widths, strict=True)) for row in [heads, *rows]]
    reasons = [f"{where}: {why}" for why, where in _reasons(found)]
    return "\n".join(
        [_TITLES[which], legend(which, found), "", *(line.rstrip() for line in lines), "", counted(found), *reasons]
    )


def markdown(table: pd.DataFrame, which: str) -> str:
    """One table in Markdown, with the count of verdicts and the reasons."""
    found = judged(table, which)
    heads, rows = _grid(table, which, found)
    lines = [f"| {' | '.join(row)} |".replace("*", "\\*") for row in (heads, *rows)]
    lines.insert(1, "|" + " --- |" * len(heads))
    reasons = [f"- {where}: {why}".replace("*", "\\*") for why, where in _reasons(found)]
    parts = [f"### {_TITLES[which]}", legend(which, found), "\n".join(lines), f"{counted(found)}.", "\n".join(reasons)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _grid(table: pd.DataFrame, which: str, found: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Head and rows: instruments of the paper, then ours that it does not have."""
    order = {method: place for place, method in enumerate(METHODS)}
    columns = list(dict.fromkeys(zip(found["world"], found["method"], found["quantity"], strict=True)))
    worlds = list(dict.fromkeys(found["world"]))
    here = table[table["world"].isin(worlds)]
    columns += [
        (world, method, "mse")
        for world, method in dict.fromkeys(zip(here["world"], here["method"], strict=True))
        if _own(method)
    ]
    columns.sort(key=lambda column: (worlds.index(column[0]), order.get(column[1], len(order))))
    several = found["world"].nunique() > 1
    cells = {
        (row["instrument"], row["world"], row["method"], row["quantity"]): _cell(row)
        for row in found.to_dict("records")
    }
    names = list(dict.fromkeys(found["instrument"]))
    extra = _extra(table, which, columns, names)
    cells |= extra
    names = list(dict.fromkeys([*names, *(key[0] for key in extra)]))
    heads = ["", *(_head(column, several) for column in columns)]
    return heads, [[name, *(cells.get((name, *column), "") for column in columns)] for name in names]


def _own(method: str) -> bool:
    """Whether a column is ours."""
    return method in METHODS and bool(METHODS[method].kind)


def _head(column: tuple[str, str, str], several: bool) -> str:
    world, method, quantity = column
    what = METHODS[method].title if method else "accuracy"
    if not several:
        return what
    return world if quantity == "accuracy" and not world.isupper() and "CMR" not in world else f"{world} {what}"


def _cell(row: Mapping[Any, object]) -> str:
    printed = str(row["printed"])
    decimals = 1 if row["quantity"] == "accuracy" else max(2, len(printed.partition("(")[0].partition(".")[2]))
    ours = number(float(str(row["mean"])), float(str(row["sd"])), decimals)
    return f"{ours} [{printed}] {_SIGNS[str(row['verdict'])]}"


def _extra(
    table: pd.DataFrame, which: str, columns: Sequence[tuple[str, str, str]], names: Sequence[str]
) -> dict[tuple[str, str, str, str], str]:
    """Rows of this table that the paper does not have; those in its words say so."""
    planned = {(p.world.name, p.world.reading, name) for p in table_parts(which) for name in p.instruments}
    found = {}
    summary = means(table)
    summary = summary[(summary["quantity"] == "mse") | summary["taken"]]
    for row in summary.to_dict("records"):
        column = (str(row["world"]), str(row["method"]), str(row["quantity"]))
        words = row["reading"] == "paper"
        ours = words or row["instrument"] not in names or _own(column[1])
        if ours and column in columns and (row["world"], row["reading"], row["instrument"]) in planned:
            name = f"{row['instrument']}, in the paper's words" if words else str(row["instrument"])
            found[name, *column] = number(row["mean"], row["sd"], 1 if column[2] == "accuracy" else 3)
    return found


def _reasons(found: pd.DataFrame) -> list[tuple[str, str]]:
    """Each reason with its cells."""
    rows = found[found["reason"] != ""]
    several = found["world"].nunique() > 1
    return [
        (str(why), "; ".join(f"{row['instrument']} {_what(row, several)}" for row in part.to_dict("records")))
        for why, part in rows.groupby("reason", sort=False)
    ]


def _what(row: Mapping[Any, object], several: bool) -> str:
    column = METHODS[str(row["method"])].title if row["method"] else "accuracy"
    return f"{column} in {row['world']}" if several else column
