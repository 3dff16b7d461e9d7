"""Write docs/reliability.md: what R, the data and strangers can do to a check, measured. Data are in docs/reliability/.

python docs/make_reliability.py                      write the page from the data
python docs/make_reliability.py --check              write nothing; exit 1 if the page is not what the data say
python docs/make_reliability.py faults safety bad_data digits versions
                                                     compute data again (any of them), then write the page. versions
                                                     installs many rpy2 and takes half an hour.

Each part is a script docs/reliability/<part>.py with `measure() -> DataFrame`, kept in <part>.csv beside it, and
`text(found: DataFrame) -> list of str`, its lines of the page.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

TARGET, DATA = HERE / "reliability.md", HERE / "reliability"
#: In the order of the page.
PARTS = ("faults", "safety", "bad_data", "digits", "versions")


def part(name: str) -> ModuleType:
    """The script of one part, as a module."""
    spec = importlib.util.spec_from_file_location(f"reliability_{name}", DATA / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def kept(name: str) -> pd.DataFrame:
    """The data of one part; text stays text."""
    return pd.read_csv(DATA / f"{name}.csv", keep_default_na=False, na_values=["NaN"])


def render() -> str:
    """The whole page."""
    lines = [
        "---", "hide: [toc]", "---", "",
        "# How reliable, measured",
        "",
        "Made by `python docs/make_reliability.py`; do not edit. Each part has its data in `docs/reliability/`, and",
        f"`python docs/make_reliability.py {' '.join(PARTS)}` computes them again.",
        "",
    ]  # fmt: skip
    for name in PARTS:
        if (DATA / f"{name}.csv").is_file():
            lines += [*part(name).text(kept(name)), ""]
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Run as the docstring says; the exit code."""
    check = arguments == ["--check"]
    if unknown := [] if check else sorted(set(arguments) - set(PARTS)):
        print(f"There is no part {', '.join(unknown)}. Available: {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    for name in () if check else arguments:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        part(name).measure().to_csv(DATA / f"{name}.csv", index=False, na_rep="NaN")
    page = render()
    if check:
        fresh = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == page
        print("docs/reliability.md is " + ("what its data say" if fresh else "stale"))
        return 0 if fresh else 1
    TARGET.write_text(page, encoding="utf-8")
    print(f"{TARGET} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
