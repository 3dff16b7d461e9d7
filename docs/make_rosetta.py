"""Write docs/rosetta.md and docs/rosetta.csv: what many packages give for one question, and the calls that give it.

python docs/make_rosetta.py            run everything (ten minutes; R, its packages and gretl) and write both files
python docs/make_rosetta.py NAME …     run only these packages again
python docs/make_rosetta.py --page     write the page again from docs/rosetta.csv
python docs/make_rosetta.py --check    run everything; exit 1 if a cell says something else than docs/rosetta.csv
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import pandas as pd  # noqa: E402
from rosetta_calls import FORMULA, PACKAGES, ROWS, Package, Row  # noqa: E402

import ivbridge  # noqa: E402
from ivbridge.engines import engine  # noqa: E402
from ivbridge.explainer import Observed, World, asked_world, explain_observed  # noqa: E402
from ivbridge.gaps import Key, flatten, gap_of, scales  # noqa: E402
from ivbridge.results import Estimate  # noqa: E402
from ivbridge.rounding import allowed_gaps  # noqa: E402

PAGE, TABLE = HERE / "rosetta.md", HERE / "rosetta.csv"
REFERENCE = "AER + sandwich"
#: Several packages give 1 − F(t): a p-value may be off by a few units in the last place of 1.
P_VALUE = 1e-15
#: R's kclass.R, since AER has no LIML.
OWN = "R (ivbridge)"
NAMES = {"Intercept": "(Intercept)", "const": "(Intercept)", "intercept": "(Intercept)"}
COLUMNS = ["row", "package", "call", "verdict", "digits", "steps", "reason", "numbers", "version"]
ORDER = ("OLS", "2SLS", "weighted 2SLS", "LIML")
HEADS = {
    "OLS": "Least squares", "2SLS": "Two-stage least squares", "weighted 2SLS": "Two-stage least squares with weights",
    "LIML": "LIML and Fuller(1)",
}  # fmt: skip
#: Engines that exist for packages that neither Debian nor PyPI has: nobody ran them for this page.
NOT_RUN = ("ivreg", "fixest", "ivreg2r", "ivmodel")

Numbers = dict[Key, float]


def card() -> pd.DataFrame:
    """Card's data with one column for the region, n = 3010."""
    data = ivbridge.load("card").frame
    regions = data[[f"reg66{i}" for i in range(1, 10)]].to_numpy().argmax(axis=1) + 1
    return data.assign(region=regions)[["lwage", "educ", "exper", "black", "nearc4", "nearc2", "weight", "age", "region"]]


# ---- running -----------------------------------------------------------------------------------------------------


def python_program(package: Package, calls: list[str], path: Path) -> str:
    lines = ["import warnings; warnings.simplefilter('ignore')", "import pandas as pd",
             f"data = pd.read_csv({str(path)!r}, float_precision='round_trip')", package.start]
    for i, call in enumerate(calls):
        lines += ["try:", f"    fit = {call}", f"    for term, *numbers in {package.read}:",
                  f"        print('CELL', {i}, term, *(repr(float(v)) for v in numbers), sep='\\t')",
                  "except Exception as error:", f"    print('FAILED', {i}, type(error).__name__, str(error).split(chr(10))[0], sep='\\t')"]
    import_name = package.versions[0]
    return "\n".join([*lines, "from importlib.metadata import version", f"print('VERSION', '{import_name}', version('{import_name}'), sep='\\t')"])


def r_program(package: Package, calls: list[str], path: Path) -> str:
    lines = ["suppressWarnings(suppressPackageStartupMessages({", f"data <- read.csv('{path}')", package.start, "}))"]
    for i, call in enumerate(calls):
        lines += ["tryCatch(suppressWarnings({", f"fit <- {call}", f"m <- {{ {package.read} }}",
                  f"cat(sprintf('CELL\\t{i}\\t%s\\t%.17g\\t%.17g\\t%.17g\\n', rownames(m), m[, 1], m[, 2], m[, 4]), sep = '')",
                  "}), error = function(e) cat('FAILED', " + str(i) + ", 'error', gsub('[\\n\\t]', ' ', conditionMessage(e)), sep = '\\t', '\\n'))"]
    name = package.versions[0]
    return "\n".join([*lines, f"cat('VERSION', '{name}', as.character(packageVersion('{name}')), sep = '\\t'); cat('\\n')"])


def gretl_program(package: Package, calls: list[str], path: Path) -> str:
    lines = ["set verbose off", f'open "{path}" --quiet']
    for i, call in enumerate(calls):
        *before, last = call.split("\n")
        lines += [*before, f"catch {last} --quiet", "if $error", f'  printf "FAILED\\t{i}\\terror\\t-\\n"', "else",
                  "  matrix b = $coeff", "  matrix s = $stderr", "  strings n = varnames($xlist)"]
        lines += [f'  printf "CELL\\t{i}\\t%s\\t%.17g\\t%.17g\\tnan\\n", n[{j}], b[{j}], s[{j}]' for j in range(1, 5)]
        lines += ["endif"]
    return "\n".join([*lines, ""])


def run(package: Package, path: Path) -> tuple[dict[Row, Numbers | str], str]:
    """The package's numbers by row, or why there are none, and its version."""
    rows = [row for row in ROWS if package.call(row)]
    calls = [str(package.call(row)) for row in rows]
    program = {"python": python_program, "r": r_program, "gretl": gretl_program}[package.language](package, calls, path)
    ending = {"python": ".py", "r": ".R", "gretl": ".inp"}[package.language]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / f"calls{ending}"
        script.write_text(program, encoding="utf-8")
        command = {"python": [sys.executable], "r": ["Rscript", "--vanilla"], "gretl": ["gretlcli", "-b"]}[package.language]
        done = subprocess.run([*command, str(script)], capture_output=True, text=True, timeout=600, check=False)
    found: dict[Row, Numbers | str] = {}
    version = ""
    for line in done.stdout.splitlines():
        kind, *cells = line.split("\t")
        if kind == "VERSION":
            version = cells[1].strip()
        elif line.startswith("gretl version "):
            version = line.split()[-1]
        elif kind == "FAILED":
            found[rows[int(cells[0])]] = " ".join(cells[2:]).strip()
        elif kind == "CELL":
            row, term = rows[int(cells[0])], NAMES.get(cells[1], cells[1])
            numbers = found.setdefault(row, {})
            assert isinstance(numbers, dict)
            values = zip(("estimate", "std.error", "p.value"), (float(v.replace("NA", "nan")) for v in cells[2:]), strict=True)
            numbers |= {(name, term): value for name, value in values if not math.isnan(value)}
    if missing := [row.key for row in rows if row not in found]:
        raise RuntimeError(f"{package.name} did not answer {missing}: {done.stdout[-800:]} {done.stderr[-2000:]}")
    return found, ivbridge.__version__ if package.name == "ivbridge" else version


# ---- judging -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A row, answered by R: the reference numbers, how far rounding may move each, and where explanations start."""

    estimate: Estimate
    world: World
    allowed: dict[Key, float]
    explained: list[tuple[Numbers, dict[str, str]]] = field(default_factory=list)

    @classmethod
    def of(cls, row: Row, data: pd.DataFrame) -> Asked:
        estimate = ivbridge.fit(row.formula, data, row.vcov, "r", row.weights, row.inference, row.method)
        (allowed,) = allowed_gaps(estimate.seen, estimate.seen, [estimate.spec.vcov], estimate.spec.inference, estimate.spec.method)
        return cls(estimate, asked_world(estimate.spec, data), allowed)

    def agrees(self, numbers: Numbers) -> bool:
        known = flatten(self.estimate)
        loose = {**self.allowed, **{key: max(P_VALUE, self.allowed[key]) for key in numbers if key[0] == "p.value"}}
        return all(abs(value - float(known[key])) <= loose[key] for key, value in numbers.items())

    def same(self, numbers: Numbers, other: Numbers) -> bool:
        """Whether rounding explains every gap between the numbers of two packages."""
        loose = {**self.allowed, **self.within(other)}
        return numbers.keys() == other.keys() and all(abs(numbers[key] - other[key]) <= loose[key] for key in numbers)

    def within(self, numbers: Numbers) -> dict[Key, float]:
        """How far a p-value may be off whatever its distribution: in units of p·|log p|, as the worst one here."""
        known, sizes = flatten(self.estimate), scales(self.estimate)
        keys = [key for key in numbers if key[0] == "p.value"]
        unit = max((self.allowed[key] / sizes.get(key, float(known[key]) or 1.0) for key in keys), default=0.0)
        return {key: max(P_VALUE, unit * p * max(1.0, -math.log(p or 1e-300))) for key in keys if (p := numbers[key]) is not None}


def digits(estimate: Estimate, numbers: Numbers) -> float:
    """Agreeing digits of the worst coefficient or standard error."""
    known = {("estimate", t): v for t, v in estimate.params.items()} | {("std.error", t): v for t, v in estimate.bse.items()}
    return min(gap_of(k, (known[k], v), abs(known[k]), 0.0).digits for k, v in numbers.items() if k in known)


def judged(row: Row, package: Package, numbers: Numbers | str, asked: Asked) -> dict[str, object]:
    """One cell: agrees to rounding, a named convention, or none."""
    cell: dict[str, object] = {"row": row.key, "package": package.name, "call": package.call(row), "steps": "", "digits": math.nan}
    if isinstance(numbers, str):
        return {**cell, "verdict": "failed", "reason": numbers, "numbers": 0}
    cell |= {"digits": round(digits(asked.estimate, numbers), 1), "numbers": len(numbers)}
    if asked.agrees(numbers):
        return {**cell, "verdict": "rounding", "reason": ""}
    for other, explained in asked.explained:
        if asked.same(numbers, other):
            return {**cell, **explained, "reason": explained["reason"].replace("they", package.name, 1)}
    found = explain_observed(asked.world, Observed(numbers, asked.within(numbers), package.name), "the reference")
    steps = "; ".join(step.key for step in found.steps)
    verdict = {"verdict": found.verdict, "steps": steps, "reason": "" if found.verdict == "rounding" else found.reason}
    asked.explained.append((numbers, {**verdict, "reason": verdict["reason"].replace(package.name, "they", 1)}))
    return {**cell, **verdict}


def measured(names: list[str]) -> Iterator[pd.DataFrame]:
    """The cells of each of these packages, or of all, by running its calls."""
    data = card()
    answered = {row: Asked.of(row, data) for row in ROWS}
    if not names:
        yield pd.DataFrame([_reference(row, asked.estimate) for row, asked in answered.items()], columns=COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "card.csv"
        data.to_csv(path, index=False)
        for package in PACKAGES:
            if names and package.name not in names:
                continue
            answers, version = run(package, path)
            print(package.name, version, len(answers), flush=True)
            cells = [{**judged(row, package, numbers, answered[row]), "version": version} for row, numbers in answers.items()]
            yield pd.DataFrame(cells, columns=COLUMNS)


def _reference(row: Row, estimate: Estimate) -> dict[str, object]:
    versions = estimate.provenance.versions
    return {
        "row": row.key, "package": REFERENCE, "call": "\n".join(estimate.provenance.calls), "verdict": "reference", "digits": math.nan,
        "steps": "", "reason": "", "numbers": 0, "version": ", ".join(f"{name} {versions[name]}" for name in ("R", "AER", "sandwich", "lmtest")),
    }  # fmt: skip


# ---- the page ----------------------------------------------------------------------------------------------------

INTRO = f"""# Rosetta: one question, {{packages}} packages

The same question, asked of many packages: `{FORMULA}`
in Card's data (`ivbridge.load("card")`, n = 3010; least squares without the instruments, clusters by `age`, in two dimensions by `exper` and `region`, weights `weight`). Each call below was run; its coefficients,
standard errors and p-values were compared with R's AER and sandwich, the reference. What R itself has no package for here, LIML and Fuller, is compared with ivbridge's R code.

- **A number** says that the package agrees with the reference to rounding: the agreeing digits of its worst coefficient or standard error (p-values agree, too, where the package's table has them).
- **A letter** says that it differs by a convention that [`ivbridge.explain`](explanation/why.md) names; the list is below. With that convention applied, every number is reproduced to rounding.
- **?** says that no known convention explains the difference, **✗** that the call fails, and **–** that the package does not offer this.

A row is a covariance estimator in [ivbridge's spelling](reference/vcov.md) and the distribution of the p-values, t with n − k degrees of freedom or normal (z). A package whose table has only one reference distribution, t or normal, shows it in both rows. Nobody is wrong here: each cell is what the package documents or does when called as shown.

This page is written by `python docs/make_rosetta.py`, which runs everything again (besides what `make setup` installs it needs `pip install spreg` and `apt-get install gretl`); the numbers behind it are in [rosetta.csv](rosetta.csv).
"""

NOTE = """## Not run here

These packages have an engine in ivbridge, too, but neither Debian nor PyPI has them, so that nobody ran them for this page:
"""


def page(cells: pd.DataFrame) -> str:
    """The page from the table of cells."""
    cells = cells.fillna({"steps": "", "reason": "", "version": ""})
    packages = [name for name in dict.fromkeys(cells["package"]) if name != REFERENCE]
    letters = _letters(cells)
    lines = [INTRO.replace("{packages}", str(len(packages) + 1))]
    python = [package.name for package in PACKAGES if package.language == "python"]
    known = {(c.row, c.package): _cell(c, letters) for c in cells.itertuples()}
    for group in ORDER:
        rows = [row for row in ROWS if row.group == group]
        lines += [f"## {HEADS[group]}", ""]
        for kind, names in (("In Python", python), ("In R and gretl", [name for name in packages if name not in python])):
            shown = [name for name in names if any((row.key, name) in known for row in rows)]
            if shown:
                lines += [f"| {' | '.join([kind, *shown])} |", f"|{' --- |' * (len(shown) + 1)}"]
            for row in rows if shown else []:
                title = f"{'Fuller, ' if row.method == 'fuller(1)' else ''}{row.vcov}, {row.inference}"
                lines.append(f"| {' | '.join([title, *(known.get((row.key, name), '–') for name in shown)])} |")
            lines += [""] * bool(shown)
        if absent := [name for name in packages if not any((row.key, name) in known for row in rows)]:
            lines += [f"Not offered by {', '.join(absent)}.", ""]
    lines += ["## The conventions", "", "The package's numbers are the reference's if …", ""]
    lines += [f"- <a id=\"{letter}\"></a>**{letter}** {text}." for text, letter in letters.items()]
    return "\n".join([*lines, "", *_not_run(), *_calls(cells, [REFERENCE, *packages]), *_versions(cells)])


def _clause(reason: str) -> str:
    return reason.partition(" if ")[2] or reason


def _letters(cells: pd.DataFrame) -> dict[str, str]:
    found = list(dict.fromkeys(_clause(c.reason) for c in cells.itertuples() if c.verdict == "convention"))
    names = [chr(97 + i) if i < 26 else f"a{chr(71 + i)}" for i in range(len(found))]
    return dict(zip(found, names, strict=True))


def _cell(cell: object, letters: dict[str, str]) -> str:
    if cell.verdict == "convention":
        letter = letters[_clause(cell.reason)]
        return f"[{letter}](#{letter})"
    return {"failed": "✗", "none": "?"}.get(cell.verdict, f"{cell.digits:.1f}")


def _not_run() -> list[str]:
    lines = [f"- `{name}`: `{engine(name).install}`, then `ivbridge.fit(…, engine=\"{name}\")`" for name in NOT_RUN]
    return [NOTE, *lines, ""]


def _calls(cells: pd.DataFrame, packages: list[str]) -> list[str]:
    known = {package.name: package for package in PACKAGES}
    lines = ["## The calls", ""]
    for name in packages:
        package, own = known.get(name), cells[cells["package"] == name]
        language = {"python": "py", "gretl": "text"}.get(package.language if package else "r", "r")
        lines += [f"### {name}", ""]
        if package and package.note:
            lines += [package.note, ""]
        texts: dict[str, list[str]] = {}
        for cell in own.itertuples():
            texts.setdefault(cell.call, []).append(cell.row)
        lines += [f"```{language}", *([package.start] if package and package.start else [])]
        lines += [f"# {', '.join(rows)}\n{text}" for text, rows in texts.items()]
        lines += ["```", ""]
    return lines


def _versions(cells: pd.DataFrame) -> list[str]:
    versions = dict(zip(cells["package"], cells["version"], strict=True))
    found = [version if name == REFERENCE else f"{name} {version}" for name, version in versions.items()]
    return ["## Versions", "", f"{', '.join(found)}.", ""]


def main(arguments: list[str]) -> int:
    if arguments == ["--page"]:
        PAGE.write_text(page(pd.read_csv(TABLE)), encoding="utf-8")
        return 0
    names = [name for name in arguments if name != "--check"]
    if "--check" in arguments:
        return _differing(pd.concat(measured(names)))
    for cells in measured(names):  # kept one by one: an hour's work is not lost when the last package fails
        kept = [pd.read_csv(TABLE)] if TABLE.exists() else []
        kept = [table[~table["package"].isin(cells["package"])] for table in kept]
        order = [REFERENCE, *(package.name for package in PACKAGES)]
        table = pd.concat([*kept, cells]).sort_values("package", key=lambda column: column.map(order.index), kind="stable")
        table.to_csv(TABLE, index=False)
    PAGE.write_text(page(pd.read_csv(TABLE)), encoding="utf-8")
    return 0


def _differing(cells: pd.DataFrame) -> int:
    """1 if a cell says something else than the table that is kept, and which ones do."""
    same = ["row", "package", "call", "verdict", "steps"]
    kept = pd.read_csv(TABLE)[same].fillna("").set_index(["row", "package"])
    kept = kept[kept.index.isin(set(cells["package"]), level="package")]
    now = cells[same].fillna("").set_index(["row", "package"]).reindex(kept.index)
    print(differing := kept.compare(now))
    return int(len(differing) > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
