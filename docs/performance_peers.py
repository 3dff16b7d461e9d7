"""The part of docs/performance.md that compares with other packages, from docs/performance/peers.csv.

`python -m tests.benchmarks.peers` (`make bench-peers`) measures. Targets are stated here once, and every one is on the page:
met, missed, or not measured and why.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

OURS, LIMIT, LINEARMODELS = "ivbridge fast", "limit", "linearmodels"
TABLE, MACHINE, PLOTS = "peers.csv", "peers_machine.csv", ("time.svg", "memory.svg")
#: Sizes with targets, and their heads.
LARGE = ("1e5", "1e6", "1e7", "many")
HEADS = {"1e3": "1,000 × (3, 4)", "1e5": "1e5 × (10, 15)", "1e6": "1e6 × (10, 15)", "1e7": "1e7 × (5, 6)",
         "many": "1e5 × (5, 200)"}  # fmt: skip
#: One call of a package, in seconds; longer ones are stopped.
MOST_SECONDS = 60
#: Numbers agree where they differ by less, relative to the number.
AGREE = 1e-8
TEXTS = {"HC1": "HC1", "clustered": "clustered", "diagnostics": "HC1 and full diagnostics"}
NAMES = {
    LIMIT: "bare cross-products", "AER": "AER, `sandwich()` or `vcovCL`", "AER, vcovHC": "AER, `vcovHC`",
    "fixest": "fixest, 1 thread", "statsmodels": "statsmodels (no robust errors)",
    "ivmodels": "ivmodels (coefficients only)",
}
NUMBERS = ("rounds", "seconds", "ratio", "ratio_low", "ratio_high", "coef_gap", "se_gap", "test_gap", "extra_mb", "data_mb")


@dataclass(frozen=True, slots=True)
class Aim:
    """At least `limit` times as fast as a peer, or for the limit itself at most `limit` times its time."""

    peer: str
    task: str
    limits: dict[str, float]

    @property
    def most(self) -> bool:
        """Whether the number is a largest one."""
        return self.peer == LIMIT


def _all(limit: float, **others: float) -> dict[str, float]:
    return {**dict.fromkeys(LARGE, limit), **{key.removeprefix("at_"): value for key, value in others.items()}}


AIMS = (
    Aim(LINEARMODELS, "HC1", {"1e3": 10, **_all(30, at_1e5=15)}),
    Aim(LINEARMODELS, "clustered", {"1e3": 10, **_all(30, at_1e5=15)}),
    Aim(LINEARMODELS, "diagnostics", _all(150)),
    Aim("fixest", "HC1", _all(8)),
    Aim("fixest", "clustered", _all(5)),
    Aim("pyfixest", "HC1", _all(8)),
    Aim("pyfixest", "clustered", _all(8)),
    Aim("AER", "HC1", _all(30)),
    Aim("AER", "clustered", _all(30)),
    Aim(LIMIT, "HC1", {"1e3": 3, **_all(1.5)}),
    Aim(LIMIT, "clustered", {"1e3": 3, **_all(1.5)}),
)
#: Exponent of time in n, and extra memory as a share of the columns used, at 1e7 rows.
GROWTH, EXTRA = 1.05, 0.05


@dataclass(frozen=True, slots=True)
class Result:
    """One target: its number, whether it is met (None: not measured), and what is said of it."""

    what: str
    size: str
    number: float
    target: str
    ok: bool | None
    note: str = ""

    @property
    def cell(self) -> str:
        """As the table shows it."""
        if self.ok is None:
            return self.note
        shown = f"{self.note}{self.number:.3g}"
        return shown if self.ok else f"**{shown} no**"


def read(folder: Path) -> pd.DataFrame | None:
    """The table, or None where nothing was measured."""
    path = folder / TABLE
    if not path.is_file():
        return None
    return pd.read_csv(path, keep_default_na=False, dtype={"size": str, "status": str, "version": str},
                       na_values={name: [""] for name in NUMBERS})  # fmt: skip


def row_of(table: pd.DataFrame, size: str, task: str, peer: str) -> Any:
    """One row, or None."""
    found = table[(table["size"] == size) & (table["task"] == task) & (table["peer"] == peer)]
    return next(found.itertuples(), None)


def results(table: pd.DataFrame) -> list[Result]:
    """Every target in the order of the page."""
    found = [_result(table, aim, size) for aim in AIMS for size in aim.limits]
    for task in ("HC1", "clustered"):
        row = row_of(table, "1e7", task, OURS)
        share = math.nan if row is None else row.extra_mb / row.data_mb
        ok = None if math.isnan(share) else share <= EXTRA
        found.append(Result(f"extra memory over the columns used, {task}", "1e7", share, f"≤ {EXTRA}", ok))
    slope = exponents(table).get(OURS, math.nan)
    ok = None if math.isnan(slope) else slope <= GROWTH
    found.append(Result("exponent of time in n, 1e5 to 1e7 rows, HC1", "growth", slope, f"≤ {GROWTH}", ok))
    return found


def _result(table: pd.DataFrame, aim: Aim, size: str) -> Result:
    limit, row = aim.limits[size], row_of(table, size, aim.task, aim.peer)
    what = f"{NAMES.get(aim.peer, aim.peer)}, {TEXTS[aim.task]}"
    target = f"{'≤' if aim.most else '≥'} {limit:g}"
    if row is None or (math.isnan(row.ratio) and math.isnan(row.ratio_low)):
        return Result(what, size, math.nan, target, None, "not measured" if row is None else row.status)
    if math.isnan(row.ratio):  # it was stopped: the ratio is larger than that
        ok = True if row.ratio_low >= limit else None
        return Result(what, size, row.ratio_low, target, ok, "> " if ok else f"> {row.ratio_low:.3g}, stopped")
    number = 1 / row.ratio if aim.most else row.ratio
    return Result(what, size, number, target, number <= limit if aim.most else number >= limit)


def exponents(table: pd.DataFrame) -> dict[str, float]:
    """Slope of log seconds in log n from 1e5 rows on, by package, of those that were measured at the largest n."""
    found = {}
    for peer, rows in growth(table).items():
        kept = rows[rows["n"] >= 0.01 * max(one["n"].max() for one in growth(table).values())]
        if len(kept) >= 3:
            found[peer] = float(np.polyfit(np.log(kept["n"]), np.log(kept["seconds"]), 1)[0])
    return found


def growth(table: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of one shape at all n, HC1, by package."""
    rows = table[(table["size"].str.startswith("growth") | (table["size"] == "1e7")) & (table["task"] == "HC1")]
    rows = rows[rows["seconds"].notna()].sort_values("n")
    return {str(peer): one for peer, one in rows.groupby("peer", sort=False)}


def lines(table: pd.DataFrame, folder: Path) -> list[str]:
    """The part of the page."""
    return [
        "## Beside other packages", "",
        "Two-stage least squares with one endogenous regressor: rows × (regressors, instruments), the constant counted in",
        "both. Each package has a process of its own, one thread, the same data as a data frame in memory, and answers the",
        "call that its users write: from formula and data frame to coefficients and standard errors read out. All take",
        "their turn in every round, in a new order; a ratio is the median of the rounds' own ratios of a package's time to",
        "ours. *Bare cross-products* is the limit: two passes of numpy over a matrix that is already there, without reading",
        "a formula, looking for missing values or labelling anything. Clustered: 1,000 clusters (50 at 1,000 rows) in no",
        "order. Full diagnostics: the first stage, Wu-Hausman and Sargan read out as well.", "",
        *_aims(table), "",
        *_growth(table), "",
        *_agreement(table), "",
        "How many digits each of them gets right where the data are hard is in [reliability](reliability.md).", "",
        *_loop(table),
        *_everything(table), "",
        *_machine(folder),
    ]  # fmt: skip


def _aims(table: pd.DataFrame) -> list[str]:
    found = results(table)
    said = ["### Targets", "",
            "How many times our time the others take; for the limit, how many times its time we take.", "",
            f"| | target | {' | '.join(HEADS.values())} |", f"|---|---|{'---:|' * len(HEADS)}"]  # fmt: skip
    for what in dict.fromkeys(one.what for one in found if one.size in HEADS and not one.what.startswith("extra")):
        cells = {one.size: one for one in found if one.what == what}
        limits = list(dict.fromkeys(one.target for one in cells.values()))
        usual = cells["1e7"].target
        others = [f"{target} at {', '.join(HEADS[size].split()[0] for size, one in cells.items() if one.target == target)}"
                  for target in limits if target != usual]  # fmt: skip
        target = usual + (f" ({'; '.join(others)})" if others else "")
        said.append(f"| {what} | {target} | {' | '.join(cells[size].cell if size in cells else '' for size in HEADS)} |")
    return said


def _growth(table: pd.DataFrame) -> list[str]:
    slopes, ours = exponents(table), {task: row_of(table, "1e7", task, OURS) for task in ("HC1", "clustered")}
    said = ["### Time and memory against n", "",
            "(5, 6) columns, HC1. Memory is the peak of the first call over what the process held with its data loaded.", "",
            f"![Time of one estimate against the number of rows](performance/{PLOTS[0]})", "",
            f"![Extra memory of one estimate against the number of rows](performance/{PLOTS[1]})", ""]  # fmt: skip
    if "AER, vcovHC" in slopes:
        said += ["(`vcovHC` of AER makes an n × n matrix, which fails and is done without where n is large.)", ""]
    if OURS in slopes:
        parts = ", ".join(f"{NAMES.get(peer, peer)} {slope:.2f}" for peer, slope in slopes.items() if peer != OURS)
        met = "met" if slopes[OURS] <= GROWTH else "**missed**"
        said += [f"Time grows as n to the power **{slopes[OURS]:.2f}** from 1e5 to 1e7 rows (target ≤ {GROWTH}: {met}); {parts}."]
    for task, row in ours.items():
        if row is not None and row.extra_mb >= 0:
            met = "met" if row.extra_mb <= EXTRA * row.data_mb else "**missed**"
            sizes = f"**{row.extra_mb:,.0f} MB** beside {row.data_mb:,.0f} MB of columns"
            said += [f"Extra memory at 1e7 rows, {task}: {sizes} (target ≤ {EXTRA:.0%} of them: {met})."]
    return said


def _agreement(table: pd.DataFrame) -> list[str]:
    gaps = table[["coef_gap", "se_gap", "test_gap"]].max(axis=1)
    others = table[(table["peer"] != OURS) & gaps.notna()]
    wrong = others[gaps[others.index] > AGREE]
    if others.empty:
        return []
    worst = float(gaps[others.index][~(gaps[others.index] > AGREE)].max())
    said = [f"In {len(others) - len(wrong)} of {len(others)} measurements the others' coefficients and standard errors are ours:",
            f"they differ by at most {worst:.0e}, relative."]  # fmt: skip
    if len(wrong):
        named = (f"{row.peer}, {HEADS.get(row.size, row.size)}, {row.task}" for row in wrong.itertuples())
        said += [f"**Other numbers than ours** have: {'; '.join(named)}."]
    return said


def _loop(table: pd.DataFrame) -> list[str]:
    row, bare = (row_of(table, "1e3 loop", "HC1", peer) for peer in (LINEARMODELS, LIMIT))
    if row is None or bare is None or math.isnan(row.ratio) or math.isnan(bare.ratio):
        return []
    return [
        "The processor's caches are cold in a round, since others had their turn. Called thirty times in a row at 1,000 rows,",
        f"we take {1 / bare.ratio:.3g} times the limit ({1000 * bare.seconds:.3g} ms), and linearmodels {row.ratio:.3g} times",
        "our time; for thousands of small samples there is the batched computation below.", "",
    ]


def _everything(table: pd.DataFrame) -> list[str]:
    said = ['??? note "Every measurement"', "",
            "    Seconds are medians; the range is that of the rounds' ratios; the gap is the largest relative difference from",
            f"    our coefficients and standard errors. A call that takes more than {MOST_SECONDS} s or 12 GB is stopped.", "",
            "    | rows × (k, l) | asked | package | version | time | × ours | range | rounds | extra MB | gap | |",
            "    |---|---|---|---|---:|---:|---:|---:|---:|---:|---|"]  # fmt: skip
    for row in table.itertuples():
        gaps = [gap for gap in (row.coef_gap, row.se_gap, row.test_gap) if not math.isnan(gap)]
        one = (f"{row.n:,} × ({row.k}, {row.l}){', in a loop' if row.size.endswith('loop') else ''} | {row.task} | "
               f"{NAMES.get(row.peer, row.peer)} | {row.version}")  # fmt: skip
        if math.isnan(row.seconds):
            at_least = "" if math.isnan(row.ratio_low) else f"> {row.ratio_low:.3g}"
            said.append(f"    | {one} | | {at_least} | | | | | {row.status} |")
            continue
        gap = "" if not gaps or row.peer == OURS else f"{max(gaps):.0e}"
        said.append(
            f"    | {one} | {amount(row.seconds)} | {row.ratio:.3g} | {row.ratio_low:.3g}–{row.ratio_high:.3g} | {row.rounds:.0f} "
            f"| {'' if math.isnan(row.extra_mb) else f'{row.extra_mb:,.0f}'} | {gap} | {row.status} |"
        )
    return said


def _machine(folder: Path) -> list[str]:
    path = folder / MACHINE
    if not path.is_file():
        return []
    kept = pd.read_csv(path, keep_default_na=False, dtype=str)
    return ["Measured on: " + "; ".join(f"{row.what} {row.value}" for row in kept.itertuples()) + ".", ""]


def amount(seconds: float) -> str:
    """Seconds, or milliseconds below one."""
    return f"{seconds:.3g} s" if seconds >= 1 else f"{1000 * seconds:.3g} ms"
