"""Write docs/performance.md: how fast ivbridge is beside what it stands on, measured in one run on one machine.

python docs/make_performance.py              write the page from docs/performance.csv and docs/performance_machine.csv
python docs/make_performance.py --check      write nothing; exit 1 if the page is not what the data say
python docs/make_performance.py --measure    run the benchmarks one after the other (half an hour at full size; they need
                                             6 GB of memory), then write the page; --out FOLDER writes elsewhere
python docs/make_performance.py --measure native_speed batch_speed
                                             measure some of them again, and keep what is there of the others

A benchmark is a script tests/benchmarks/*_speed.py with `measure()` without arguments: a list of dictionaries ``item what ours other ratio
target ok note`` and, where it is not seconds, ``unit``. Each runs in a process of its own, with one BLAS thread. The
environment variable IVBRIDGE_BENCH_ROWS replaces the 1,000,000 rows of the large ones. What stands beside other packages
is measured by `make bench-peers` (tests/benchmarks/peers) and rendered by performance_peers.py.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE)]

import performance_peers as peers  # noqa: E402
import performance_profiles  # noqa: E402

from tests.benchmarks.machine import hardware  # noqa: E402

BENCHMARKS = ROOT / "tests" / "benchmarks"
PARTS = "performance"
PAGE, DATA, MACHINE = "performance.md", "performance.csv", "performance_machine.csv"
COLUMNS = ("benchmark", "item", "what", "ours", "other", "unit", "ratio", "target", "ok", "note")
PACKAGES = ("ivbridge", "numpy", "scipy", "pandas", "linearmodels", "rpy2-rinterface")
#: Variables that the BLAS libraries of Python and of R read when they start.
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
SECTIONS = {
    "batch": "Monte Carlo as one computation",
    "absorb": "Fixed effects",
    "scale": "Out of core",
    "7a": "Data into R",
    "7b": "An answer of the R engine",
    "7c": "An answer of the native engine",
    "7d": "What a check adds",
    "7e": "Memory",
    "7f": "Two workers",
}
#: Where the time goes: tests/benchmarks/profiles.py, whose `measure()` is a list of dictionaries of any keys, of which
#: ``seconds`` and ``share`` are shown as such; the first one's values head the tables. performance_profiles.py draws it.
PROFILES = "profiles"


def benchmarks() -> list[str]:
    """Names of the scripts that have a `measure()`, in the order of their names."""
    found = [path for path in sorted(BENCHMARKS.glob("*_speed.py")) if "def measure() ->" in path.read_text(encoding="utf-8")]
    return [path.stem for path in found]


def all_of_them() -> list[str]:
    """Benchmarks, and the profiles where there are any."""
    return [*benchmarks(), *([PROFILES] if (BENCHMARKS / f"{PROFILES}.py").is_file() else [])]


def measured(name: str) -> list[dict[str, Any]]:
    """Run one benchmark in this process."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    rows: list[dict[str, Any]] = module.measure()
    return rows


def measure(out: Path, names: Sequence[str] = ()) -> None:
    """Run benchmarks, all of them if none is named, each in a process of its own, and keep what they say."""
    kept = out / DATA
    frame = pd.DataFrame(columns=list(COLUMNS))
    if names and kept.is_file():
        frame = pd.read_csv(kept, keep_default_na=False, dtype={"item": str})
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    for name in names or all_of_them():
        print(f"measuring {name}", file=sys.stderr, flush=True)
        done = subprocess.run(
            [sys.executable, __file__, "--only", name], check=True, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **ONE_THREAD, "PYTHONPATH": path},
        )
        said = json.loads(done.stdout.splitlines()[-1])
        if name == PROFILES:
            (out / PARTS).mkdir(exist_ok=True)
            pd.DataFrame(said).to_csv(out / PARTS / f"{PROFILES}.csv", index=False, float_format="%.4g")
            continue
        found = [{"benchmark": name, "unit": "s", **row} for row in said]
        rest = frame[frame["benchmark"] != name]
        fresh = pd.DataFrame(found).reindex(columns=list(COLUMNS))
        frame = pd.concat([rest, fresh]) if len(rest) else fresh
        frame = frame.sort_values(["item", "benchmark"], kind="stable")
        frame.to_csv(kept, index=False, float_format="%.4g")  # after each of them: a stopped run leaves what it has
    pd.DataFrame(machine(), columns=["what", "value"]).to_csv(out / MACHINE, index=False)


def machine() -> list[tuple[str, str]]:
    """Machine and versions, without anything that names the machine."""
    from ivbridge.engines import engine

    r = engine("r").versions()
    installed = {found.metadata["Name"] for found in importlib.metadata.distributions()}
    return [
        *hardware(),
        *((name, importlib.metadata.version(name)) for name in PACKAGES if name in installed),
        *((name, version) for name, version in r.items()),
    ]


def render(folder: Path) -> str:
    """The whole page."""
    found = pd.read_csv(folder / DATA, keep_default_na=False, dtype={"item": str})
    found = pd.concat([found, *out_of_core(folder / "scale" / "out_of_core.csv")])
    aims = found[found["target"] != ""]
    table = peers.read(folder / PARTS)
    beside = [] if table is None else peers.results(table)
    missed = [f"{row.what} ({row.note})" if row.note else row.what for row in aims[~aims["ok"].astype(bool)].itertuples()]
    missed += [f"{one.what}, {peers.HEADS.get(one.size, one.size)}: {one.number:.3g}, target {one.target}"
               for one in beside if one.ok is False]  # fmt: skip
    unknown = [one for one in beside if one.ok is None]
    count = len(aims) + len(beside) - len(unknown)
    lines = [
        "---", "hide: [toc]", "---", "",
        "# How fast, measured",
        "",
        "Made by `make bench` and `make bench-peers`; do not edit. In each row both sides ran in the same run on the same",
        "machine, with one BLAS thread; the ratio is what counts, the seconds are detail. Rows without a target are for",
        "orientation. The scripts are in `tests/benchmarks/`; `make bench-check` fails where a ratio has become worse.",
        "",
        f"**{count - len(missed)} of {count} targets are met**" + ("." if not missed else "; missed:"),
        "",
        *(f"- {line}" for line in missed),
        "",
    ]
    if unknown:
        lines += [f"Not measured here: {'; '.join(_unknown(unknown))}.", ""]
    if table is not None:
        lines += peers.lines(table, folder / PARTS)
    for item in sorted(dict.fromkeys(found["item"]), key=_place):
        lines += [f"## {SECTIONS.get(item, item)}", "", *_table(found[found["item"] == item]), ""]
    lines += _profiles(folder / PARTS / f"{PROFILES}.csv")
    lines += ["## Machine and versions", "", "| | |", "|---|---|"]
    kept = pd.read_csv(folder / MACHINE, keep_default_na=False, dtype=str)
    lines += [f"| {row.what} | {row.value} |" for row in kept.itertuples()]
    return "\n".join(lines) + "\n"


def _profiles(path: Path) -> list[str]:
    """Where the time goes, a table for each value of the first column."""
    if not path.is_file():
        return []
    found = pd.read_csv(path, keep_default_na=False)
    first, *rest = found.columns
    lines = [
        "## Where the time goes", "",
        "One fit of 15 columns with HC1 errors, from a formula and a data frame to coefficients and standard errors. What is",
        "computed differs: `native` and `r` add AER's tests and the first stages, pyfixest fits the first stage as a second",
        "model, linearmodels computes κ for tests that come later, and `fast` makes tests when they are looked at.",
        "",
        f"![Shares of the time of a fit by part, for each engine and size](performance/{performance_profiles.NAME})", "",
    ]  # fmt: skip
    for value in dict.fromkeys(found[first]):
        lines += [f"### {value}", "", f"| {' | '.join(rest)} |", f"|{'---|' * len(rest)}"]
        for row in found.loc[found[first] == value, rest].to_dict("records"):
            lines.append(f"| {' | '.join(_profiled(str(name), cell) for name, cell in row.items())} |")
        lines.append("")
    return lines


def _profiled(name: str, cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    return _amount(cell, "s") if name == "seconds" else f"{cell:.0%}" if name == "share" else f"{cell:.4g}"


def _place(item: str) -> int:
    """Where a section stands."""
    return list(SECTIONS).index(item) if item in SECTIONS else len(SECTIONS)


def _unknown(results: Sequence[peers.Result]) -> list[str]:
    """What has a target and no number, and why: one line a comparison."""
    lines = []
    for what, note in dict.fromkeys((one.what, one.note or "no measurement") for one in results):
        sizes = [peers.HEADS.get(one.size, one.size) for one in results if (one.what, one.note or "no measurement") == (what, note)]
        lines.append(f"{what} ({note}{'' if note == 'not installed' else ': ' + ', '.join(sizes)})")
    return lines


def out_of_core(path: Path) -> list[pd.DataFrame]:
    """Time and memory of docs/scale.md, which `docs/make_scale.py` measures, as rows of this page."""
    if not path.is_file():
        return []
    runs = pd.read_csv(path)
    runs = runs[runs["who"].isin(["bare", "ours"])]
    seconds = runs.pivot(index="round", columns="who", values="seconds")
    ratio, peak = float((seconds["ours"] / seconds["bare"]).median()), float(runs.loc[runs["who"] == "ours", "peak"].max())
    what = f"{runs['rows'].max():,} × 8 doubles from parquet, HC1"
    rows = [
        {"what": what, "ours": seconds["ours"].median(), "other": seconds["bare"].median(), "unit": "s", "ratio": ratio,
         "target": "≤ 1.5", "ok": ratio <= 1.5, "note": "bare passes of Polars' batches; see [beyond memory](scale.md)"},
        {"what": f"{what}: peak of resident memory", "ours": peak / 1e6, "other": 1000.0, "unit": "MB", "ratio": peak / 1e9,
         "target": "≤ 1", "ok": peak <= 1e9, "note": "1 GB"},
    ]  # fmt: skip
    return [pd.DataFrame([{"benchmark": "scale_speed", "item": "scale", **row} for row in rows])]


def _table(rows: pd.DataFrame) -> list[str]:
    lines = ["| what | ivbridge | beside | ratio | target | met | beside what |", "|---|---:|---:|---:|---|---|---|"]
    for row in rows.itertuples():
        met = "" if row.target == "" else "yes" if row.ok else "**no**"
        lines.append(
            f"| {row.what} | {_amount(row.ours, row.unit)} | {_amount(row.other, row.unit)} | {row.ratio:.3g} "
            f"| {row.target} | {met} | {row.note} |"
        )
    return lines


def _amount(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}".rstrip()


def main(arguments: Sequence[str]) -> int:
    """Run as the docstring says; the exit code."""
    parser = argparse.ArgumentParser(description="Write docs/performance.md.")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true")
    choice.add_argument("--measure", nargs="*", metavar="BENCHMARK")
    choice.add_argument("--only", metavar="BENCHMARK")
    parser.add_argument("--out", type=Path, default=HERE)
    asked = parser.parse_args(arguments)
    if asked.only:
        print(json.dumps(measured(asked.only), default=_plain))
        return 0
    if asked.measure is not None:
        if unknown := set(asked.measure) - set(all_of_them()):
            parser.error(f"no benchmarks {sorted(unknown)}; there are {', '.join(all_of_them())}")
        measure(asked.out, asked.measure)
    page, target = render(asked.out), asked.out / PAGE
    if asked.check:
        fresh = target.is_file() and target.read_text(encoding="utf-8") == page
        print(f"docs/{PAGE} is " + ("what its data say" if fresh else "stale"))
        return 0 if fresh else 1
    target.write_text(page, encoding="utf-8")
    if (kept := asked.out / PARTS / f"{PROFILES}.csv").is_file():
        performance_profiles.draw(pd.read_csv(kept), kept.parent)
    if (table := peers.read(asked.out / PARTS)) is not None:
        import performance_plots

        performance_plots.draw(peers.growth(table), asked.out / PARTS)
    print(f"{target} written")
    return 0


def _plain(value: Any) -> Any:
    """NumPy's numbers and booleans as Python's, for JSON."""
    return value.item()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
