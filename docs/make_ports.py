"""Write docs/ports/*.md: real ports checked against R, and what was found. Needs R with sandwich, and statsmodels.

python docs/make_ports.py            run every check (a few minutes) and write the pages
python docs/make_ports.py NAME …     only these pages: mad, hac, hc, quantile
python docs/make_ports.py --to DIR   write into another folder
"""

from __future__ import annotations

import importlib.metadata
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "ports"
sys.path.insert(0, str(ROOT))

from hypothesis import strategies as st  # noqa: E402

from ivbridge.cli_ports import ask, read_cases  # noqa: E402
from ivbridge.ports import PortReport  # noqa: E402

NAMES = ("mad", "hac", "hc", "quantile")


@dataclass(frozen=True)
class Section:
    """One run of ``ivbridge port``; `text` says what the numbers below it mean."""

    title: str
    function: str
    r: str
    cases: str | None
    examples: int
    text: str

    @property
    def command(self) -> str:
        """What a reader types."""
        file = f" --cases docs/ports/{self.cases}.py" if self.cases else ""
        return f"ivbridge port {self.function} --r {self.r}{file} --examples {self.examples}"


@dataclass(frozen=True)
class Page:
    """One worked example."""

    title: str
    text: str
    files: tuple[str, ...]
    packages: tuple[str, ...]
    sections: tuple[Section, ...]


PAGES: dict[str, Page] = {
    "mad": Page(
        "scipy's median_abs_deviation against R's mad",
        "Both are the median of the absolute deviations from the median. They differ in a factor, which hides in the "
        "defaults.",
        ("mad_same_constant", "mad_scale_normal", "mad_without_missing"),
        ("scipy",),
        (
            Section("As they are", "scipy.stats:median_abs_deviation", "stats::mad", None, 1000,
                    "R multiplies by 1.4826, scipy by 1. The command needs no file: it gives both functions one row of "
                    "numbers. Every case that differs differs by one factor, 1/1.4826, so the verdict is a convention."),
            Section("With scale=\"normal\"", "scipy.stats:median_abs_deviation", "stats::mad", "mad_scale_normal", 1000,
                    "scipy's way to R's default is not R's default: scipy divides by the quartile of the normal "
                    "distribution to all digits, R multiplies by its reciprocal rounded to 1.4826. The two "
                    "differ by 1.5 in a million."),
            Section("With R's constant set to 1", "scipy.stats:median_abs_deviation", "stats::mad", "mad_same_constant",
                    1000, "Now they are the same function, missing and infinite values and the empty row included."),
            Section("Without missing values", "scipy.stats:median_abs_deviation", "stats::mad", "mad_without_missing",
                    1000, "So are nan_policy=\"omit\" and na.rm = TRUE."),
        ),
    ),
    "hac": Page(
        "statsmodels' HAC against sandwich::NeweyWest",
        "The covariance of least squares that Newey and West (1987) made robust to autocorrelation, with a given number "
        "of lags. R's function takes a fitted model, so `to_r` says that R fits it: "
        "`ports.r_call(\"stats::lm\", ports.formula(\"y ~ x\"), data=case[\"data\"])`.",
        ("hac", "hac_same_lag", "hac_no_prewhitening", "hac_full_rank", "hac_declared",
         "hac_small_sample"),
        ("statsmodels",),
        (
            Section("The same number of lags", "hac:newey_west", "sandwich::NeweyWest", "hac_same_lag", 300,
                    "R prewhitens by default: it fits a vector autoregression to the scores first. statsmodels has no "
                    "prewhitening, so with the same lag nearly every answer differs. The smallest example shows it at "
                    "lag 0, where one would expect plain heteroskedasticity-robust covariances on both sides. Where all "
                    "residuals are zero, R's autoregression fails and R raises."),
            Section("Without prewhitening", "hac:newey_west", "sandwich::NeweyWest", "hac_no_prewhitening", 300,
                    "What is left are data without full rank: where x is constant, `lm` drops it and R's covariance is "
                    "1 by 1; statsmodels warns, takes a pseudo-inverse and answers 2 by 2. The other finding is an exact "
                    "fit."),
            Section("Full rank", "hac:newey_west", "sandwich::NeweyWest", "hac_full_rank", 300,
                    "With a regressor that varies the two are the same estimator. What the search still finds are "
                    "variances that are exactly zero, of which each side leaves another rounding error; R's can be "
                    "negative."),
            Section("With a declared tolerance", "hac:newey_west", "sandwich::NeweyWest", "hac_declared", 300,
                    "A number that is zero has no digits to compare. The file says from which size on a number counts, "
                    "and why."),
            Section("Small samples", "hac:newey_west", "sandwich::NeweyWest", "hac_small_sample", 300,
                    "use_correction=True is adjust = TRUE: both multiply by n/(n - k)."),
        ),
    ),
    "hc": Page(
        "statsmodels' HC0 to HC3 against sandwich::vcovHC",
        "Covariances of least squares that are robust to heteroskedasticity; HC2 and HC3 divide squared residuals by "
        "one minus the leverage, or by its square.",
        ("hc", "hc_types", "hac_declared", "hac_full_rank"),
        ("statsmodels",),
        (
            Section("Small data sets", "hc:robust", "sandwich::vcovHC", "hc_types", 600,
                    "They agree but where all observations but one have the same x: that one's leverage is 1, its "
                    "residual 0, and HC2 and HC3 are 0/0. R's leverage is exactly 1 here and it answers NaN; statsmodels' "
                    "is 1 but for rounding, and it answers a number."),
        ),
    ),
    "quantile": Page(
        "pandas' and NumPy's quantiles against R's quantile, types 1 to 9",
        "Hyndman and Fan (1996) number nine definitions; R takes the number, NumPy a name, and pandas has five "
        "interpolations of its own.",
        ("quantiles", "quantile_types", "quantile_steps", "quantile_infinite", "quantile_missing", "quantile_pandas"),
        ("pandas", "numpy"),
        (
            Section("NumPy's nine methods, finite numbers", "quantiles:numpy_quantile", "stats::quantile",
                    "quantile_types", 1000,
                    "They agree but for R's fuzz: from type 4 on R takes a position within `4 * .Machine$double.eps` of "
                    "a whole number for that number, NumPy interpolates. The difference is the size of the rounding of "
                    "the probability times the distance of two neighbours: seen where the answer is near 0, or where "
                    "neighbours are of very different size."),
            Section("At the steps", "quantiles:numpy_quantile", "stats::quantile", "quantile_steps", 1000,
                    "Probabilities up to two units in the last place from k/n, and numbers up to 1e20 beside 1: types 1 "
                    "to 3 jump at the same doubles on both sides, as this R has no fuzz there."),
            Section("Infinite numbers", "quantiles:numpy_quantile", "stats::quantile", "quantile_infinite", 1000,
                    "NumPy computes a + (b - a) * t, which is missing where a and b are infinite; R answers the infinite "
                    "number. Already one infinite value and its quantile 0 differ. The second finding is the fuzz "
                    "again."),
            Section("Missing values", "quantiles:pandas_quantile", "stats::quantile", "quantile_missing", 500,
                    "pandas leaves missing values out, R raises unless na.rm = TRUE. The second finding is the fuzz "
                    "again."),
        ),
    ),
}  # fmt: skip


def run(section: Section) -> PortReport:
    """What the section's command runs."""
    sys.path.insert(0, str(FOLDER))
    if section.cases is None:
        from ivbridge.cli_ports import one_vector

        given = one_vector()
    else:
        given = read_cases(FOLDER / f"{section.cases}.py")
    return ask(section.function, section.r, given, {"examples": section.examples})


def pandas_table() -> list[str]:
    """Which interpolation of pandas is which type of R: cases that differ of those tried."""
    given = read_cases(FOLDER / "quantile_pandas.py")
    names: Any = sys.modules["quantile_pandas"].INTERPOLATIONS
    lines = [
        "## Which type is pandas' interpolation?",
        "Cases that differ, of 60 each (finite numbers of one size; the cases of `docs/ports/quantile_pandas.py`).",
        "| interpolation | " + " | ".join(f"type {kind}" for kind in range(1, 10)) + " |",
        "|---|" + "---|" * 9,
    ]
    for name in names:
        cells = []
        for kind in range(1, 10):
            cases = {**given["cases"], "interpolation": st.just(name), "type": st.just(kind)}
            found = ask("quantiles:pandas_quantile", "stats::quantile", {**given, "cases": cases}, {"examples": 60})
            cells.append(f"{found.ledger.differed}" if found.ledger.differed else "**0**")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    table = "\n".join(lines[2:])
    return [*lines[:2], table, "Only `linear` is one of the nine: R's default, type 7."]


def render(name: str) -> str:
    """One page."""
    page = PAGES[name]
    parts = [f"# {page.title}", f"<!-- made by: python docs/make_ports.py {name} -->", page.text]
    versions: dict[str, str] = {}
    for section in page.sections:
        found = run(section)
        versions |= {"R": found.provenance["r"], **found.provenance["packages"]}
        parts += [f"## {section.title}", f"```console\n$ {section.command}\n```", section.text, found.to_markdown()]
    if name == "quantile":
        parts += pandas_table()
    parts.append("## The files")
    for file in page.files:
        text = (FOLDER / f"{file}.py").read_text(encoding="utf-8").strip()
        parts.append(f"`docs/ports/{file}.py`:\n\n```py\n{text}\n```")
    ours = {one: importlib.metadata.version(one) for one in page.packages}
    shown = ", ".join(f"{one} {version}" for one, version in {**versions, **ours}.items())
    parts.append(f"Made with {shown}, by `python docs/make_ports.py {name}`.")
    return "\n\n".join(parts) + "\n"


def main(names: list[str]) -> None:
    """Write the pages."""
    folder = Path(names.pop(names.index("--to") + 1)) if "--to" in names else FOLDER
    for name in [name for name in names if name != "--to"] or NAMES:
        (folder / f"{name}.md").write_text(render(name), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
