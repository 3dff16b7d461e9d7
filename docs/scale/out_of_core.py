"""5e7 rows of 8 columns on one machine: time beside bare passes over the same file, and the peak of memory."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent

ROWS, ROUNDS = 50_000_000, 5
#: What is asked of 5e7 rows: at most so many times the bare passes, in less than so many bytes.
TARGET, MEMORY = 1.5, 1e9


def measure() -> pd.DataFrame:
    """One row a run."""
    path = HERE.parents[1] / "tests" / "benchmarks" / "scale_speed.py"
    spec = importlib.util.spec_from_file_location("scale_speed", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return pd.DataFrame(module.measured(ROWS, ROUNDS))


def text(frame: pd.DataFrame) -> list[str]:
    """The lines of the page."""
    main = frame[frame["who"].isin(["bare", "ours"])]
    rows = int(main["rows"].max())
    wide = main.pivot(index="round", columns="who", values=["seconds", "processor", "peak"])
    ratio = {what: (wide[what]["ours"] / wide[what]["bare"]) for what in ("seconds", "processor")}
    middle, peak = ratio["seconds"].median(), main[main["who"] == "ours"]["peak"].max()
    met = "met" if middle <= TARGET and peak < MEMORY else "missed"
    shown = ", ".join(f"{value:.2f}" for value in ratio["seconds"])
    return [
        f"## One machine: {rows:,} rows",
        "",
        f"2SLS with 4 coefficients and HC1 standard errors from a parquet file of {rows:,} rows and 8 columns of doubles,",
        "not compressed, in the memory of the file system; `memory=\"1GB\"`. Beside it, in the same run and in turns, the bare",
        "passes: batches of Polars' streaming engine, copied block by block into a small buffer, their cross-products, then",
        f"the products of scores; nothing is centred, checked or named. One thread for algebra, {len(wide)} rounds, medians.",
        "",
        "| | seconds | processor seconds | peak of resident memory |", "|---|---:|---:|---:|",
        *_table(main),
        "",
        f"The ratio of the seconds is **{middle:.2f}** (rounds: {shown}), that of the processor seconds",
        f"{ratio['processor'].median():.2f}; the target, at most {TARGET} times the bare passes in less than 1 GB, is **{met}**.",
        "",
        "Other questions take other ways through the code. Nanoseconds of the processor a row, all passes together, for",
        f"{int(frame['rows'].min()):,} rows of the same kind:",
        "",
        "| question | processor, ns a row | peak of resident memory |", "|---|---:|---:|",
        *(
            f"| {one.who} | {one.processor / one.rows * 1e9:,.0f} | {one.peak / 1e6:,.0f} MB |"
            for one in frame[~frame["who"].isin(["bare", "ours"])].itertuples()
        ),
    ]  # fmt: skip


def _table(main: pd.DataFrame) -> list[str]:
    names = {"bare": "bare passes", "ours": "`scale.fit`"}
    lines = []
    for who, name in names.items():
        found = main[main["who"] == who]
        seconds, processor = found["seconds"].median(), found["processor"].median()
        lines.append(f"| {name} | {seconds:.2f} | {processor:.2f} | {found['peak'].max() / 1e6:,.0f} MB |")
    return lines


def draw(frame: pd.DataFrame) -> None:
    """Nothing: the numbers are few."""
