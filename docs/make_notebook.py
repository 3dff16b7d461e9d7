"""Write docs/notebook.md: a copied notebook on causal inference, number by number. Data are in docs/notebook/.

python docs/make_notebook.py             write the page from the data
python docs/make_notebook.py --check     write nothing; exit 1 if the page is not what the data say
python docs/make_notebook.py --measure   run the workbook again (ivbridge workbook --out docs/notebook), then write the page

The table of coverage is from `ivbridge study causal`, whose coverage.csv lies in docs/notebook/, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from ivbridge import advice  # noqa: E402
from ivbridge.workbook.faults import faults  # noqa: E402
from ivbridge.workbook.printed import printed  # noqa: E402
from ivbridge.workbook.rows import VERDICTS  # noqa: E402

TARGET, DATA = HERE / "notebook.md", HERE / "notebook"
#: Figures after the section of a fault, with what they show.
FIGURES = {
    1: ("scores", "Propensity scores of both arms: of the solver that stopped, and of the maximum of the likelihood"),
    4: ("last-bits", "The notebook's double machine learning after last bits were moved"),
    6: ("forest", "Predicted effects by income; every true effect is 10"),
}


def number(value: float | None) -> str:
    """Seven digits; an empty cell where there is none."""
    return "" if value is None or pd.isna(value) else f"{float(value):.7g}"


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> list[str]:
    """A Markdown table."""
    titles = list(header)
    lines = ["| " + " | ".join(titles) + " |", "|" + " --- |" * len(titles)]
    return [*lines, *("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows), ""]


def verdicts() -> list[str]:
    """How many printed numbers have which verdict."""
    rows = frame("rows")
    count = rows["verdict"].value_counts()
    both = rows[rows["r"].notna()]
    gap = ((both["r"] - both["today"]).abs() / both["today"].abs().clip(lower=1e-300)).max()
    lines = [f"- **{count[name]} {name}**: {meaning}" for name, meaning in VERDICTS.items() if name in count]
    return [
        "## The verdicts", "", f"The notebook prints {len(rows)} numbers.", "", *lines, "",
        (f"R has {len(both)} of them, too, at most {gap:.0e} (relative) from today's. What is wrong with the notebook is, but for "
        "one solver, not its arithmetic."), "",
        "![Effects of T as printed, and what belongs in their place](notebook/effects.svg)", "",
    ]  # fmt: skip


def wrong() -> list[str]:
    """The faults, each with its measurements."""
    measured = frame("measured")
    lines = ["## What is wrong, and what is right", ""]
    for fault in faults():
        where = f"In [{'], In ['.join(map(str, fault.cells))}]" if fault.cells else "In the text"
        lines += [f"### {fault.number}. {fault.title}", "", f"{where}. {fault.consequence}", ""]
        own = measured[measured["fault"] == fault.number].drop_duplicates("what")
        rows = [(row["what"], number(row["value"]), number(row["std.error"]), row["how"]) for _, row in own.iterrows()]
        lines += table(("measured", "value", "standard error", "how"), rows)
        lines += [f"**Do this.** {fault.fix}", ""]
        if fault.checks:
            lines += [f"`ivbridge audit` finds it: {', '.join(f'`{one}`' for one in fault.checks)}.", ""]
        if fault.number in FIGURES:
            name, words = FIGURES[fault.number]
            lines += [f"![{words}](notebook/{name}.svg)", ""]
    return lines


def every() -> list[str]:
    """Every printed number."""
    rows = frame("rows").fillna({"corrected": "", "reason": "", "why_no_r": ""})
    titles = {one.key[0]: (one.cell, one.title) for one in printed()}
    lines = ["## Every printed number", "", "*R* is empty where R has no such number; the line below a table says why.", ""]
    for name, part in rows.groupby("table", sort=False):
        cell, title = titles[str(name)]
        lines += [f"### In [{cell}]: {title[0].lower() + title[1:]}", ""]
        shown = []
        for _, row in part.iterrows():
            why = "; ".join(text for text in (row["reason"], row["corrected"]) if text)
            what = " · ".join(text for text in (str(row["row"]), str(row["column"])) if text != "value")
            shown.append((what, f"`{row['printed']}`", number(row["today"]), number(row["r"]), row["verdict"], why))
        lines += table(("", "printed", "today", "R", "verdict", "why it differs; what belongs there"), shown)
        reasons = [text for text in dict.fromkeys(part["why_no_r"]) if text and text != "a date or a time"]
        lines += [f"R: {'; '.join(reasons)}.", ""] if reasons else []
    return lines


def in_r() -> list[str]:
    """Every method against R."""
    agreement = frame("agreement").fillna({"choices": ""})
    held, alone = (agreement[(agreement["verdict"] == "no reference") == flag] for flag in (False, True))
    rows = [
        (f"`{row['method']}`", row["choices"], row["estimand"], row["data"], f"`{row['r_call']}`", int(row["numbers"]),
         f"{row['digits']:.1f}", row["verdict"], f"{row['estimate']:.5g} ({row['std_error']:.3g})")
        for _, row in held.iterrows()
    ]  # fmt: skip
    head = ("method", "with", "estimand", "data", "R", "numbers", "digits", "verdict", "estimate")
    lines = [
        "## Every method against R", "",
        "Both sides get the same rows, folds and pairs of units. *Digits* are those of the number that agrees least.", "",
        *table(head, rows),
    ]  # fmt: skip
    reasons = alone.drop_duplicates(["method", "r_call"])
    return lines + [f"- `{row['method']}`: {row['r_call']}" for _, row in reasons.iterrows()] + [""]


def choice() -> list[str]:
    """The table of methods: what they are good for, then how R and the command line do them."""
    cells = [line.strip("| ").split(" | ", 5) for line in advice.table().splitlines() if not line.startswith("| ---")][1:]
    return [
        "## Which method when", "",
        "`ivbridge advise` asks a few questions and names the method and the command; this is the table behind it.", "",
        *table(("method", "when useful", "strengths", "weaknesses"), [row[:4] for row in cells]),
        *(f"- {row[0]}. R: {row[4]}. {row[5]}".replace("\\|", "|") for row in cells), "",
    ]  # fmt: skip


def coverage() -> list[str]:
    """Coverage on the twins."""
    found = frame("coverage").fillna({"why": ""})
    reasons = {why: place for place, why in enumerate((why for why in found["why"].unique() if why), 1)}
    rows = [
        (row["case"], row["world"], row["estimand"], f"{row['bias']:+.3f}", f"{row['error'] / row['sd']:.2f}",
         f"**{row['coverage']:.3f}**", row["verdict"] + (f" ({reasons[row['why']]})" if row["why"] else ""))
        for _, row in found.iterrows()
    ]  # fmt: skip
    count = found["verdict"].value_counts()
    sizes = "; ".join(f"{n} units, {m} draws: {len(part)} rows" for (n, m), part in found.groupby(["n", "draws"]))
    return [
        "## Coverage on the corrected twins", "",
        "The notebook's world put right: real confounding, a choice of overlap, effects that differ, a hidden cause, an instrument, and",
        "a truth that is known. Of the 95 % intervals of a method that suits its world the share that holds the truth has to lie in the",
        f"binomial band (99 %): {count.get('in band', 0)} of {len(found)} rows do. {count.get('explained', 0)} rows lie outside of it, most of them to",
        ("show what a method cannot do, each with its reason (the number in brackets); "
        f"{count.get('fails', 0)} lie outside without one. *Error / sd*: mean standard error over the spread of the estimates. {sizes}."), "",
        *table(("method", "world", "estimand", "bias", "error / sd", "coverage", "verdict"), rows),
        *(f"{place}. {why}" for why, place in reasons.items()), "",
    ]  # fmt: skip


def frame(name: str) -> pd.DataFrame:
    """A table of the data."""
    return pd.read_csv(DATA / f"{name}.csv", keep_default_na=True, dtype={"printed": str, "row": str, "column": str})


SECTIONS: tuple[Callable[[], list[str]], ...] = (verdicts, wrong, choice, coverage, in_r, every)


def render() -> str:
    """The whole page."""
    head = [
        "---", "hide: [toc]", "---", "",
        "# A copied notebook, number by number", "",
        "Made by `python docs/make_notebook.py`; do not edit. The numbers are in `docs/notebook/`:", "",
        "```bash", "ivbridge workbook --out docs/notebook", "ivbridge study causal --draws 400 --out docs/notebook",
        "python docs/make_notebook.py", "```", "",
        ("A notebook that introduces causal inference on simulated data (5000 users, a true effect of 10 for everyone) is copied "
        "widely: naive differences, strata, regression, matching, instruments, double machine learning, causal forests, "
        "placebos, counterfactuals. ivbridge draws its data again, bit for bit, runs every step with today's libraries and "
        "in R, and says of each printed number whether it comes out, and whether it means what the text says."), "",
        ("Your own notebook or script: [`ivbridge audit`](how-to/audit.md). Your own data: [`ivbridge causal`](how-to/causal.md). "
        "Which method when: [`ivbridge advise`](how-to/advise.md)."), "",
    ]  # fmt: skip
    return "\n".join(head + [line for section in SECTIONS for line in section()]).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """As the docstring of this script says."""
    if arguments == ["--check"]:
        fresh = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == render()
        print(f"{TARGET} is " + ("what its data say" if fresh else "stale"))
        return 0 if fresh else 1
    if arguments == ["--measure"]:
        from ivbridge.progress import progress_bar
        from ivbridge.workbook.analysis import workbook

        with progress_bar() as progress:
            workbook(progress=progress).write(DATA)
        for raster in DATA.glob("*.png"):
            raster.unlink()
    TARGET.write_text(render(), encoding="utf-8")
    print(f"wrote {TARGET}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
