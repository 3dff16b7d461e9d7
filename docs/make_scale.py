"""Write docs/scale.md: estimates from data that no memory holds, measured and estimated. Data are in docs/scale/.

python docs/make_scale.py                 write the page and its plots from the data
python docs/make_scale.py --check         write nothing; exit 1 if the page is not what the data say
python docs/make_scale.py cluster         measure again (any of the parts), then write the page

Each part is a script docs/scale/<part>.py with `measure() -> DataFrame`, kept in <part>.csv beside it, `text(found:
DataFrame) -> list of str`, its lines of the page, and `draw(found: DataFrame) -> None`, which writes its plots.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

for _library in ("OMP", "OPENBLAS", "MKL"):  # before numpy is loaded
    os.environ[f"{_library}_NUM_THREADS"] = "1"

import pandas as pd  # noqa: E402

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]

TARGET, DATA = HERE / "scale.md", HERE / "scale"
#: In the order of the page.
PARTS = ("out_of_core", "cluster")


def part(name: str) -> ModuleType:
    """The script of one part, as a module."""
    spec = importlib.util.spec_from_file_location(f"scale_{name}", DATA / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def parts() -> list[str]:
    """Parts that have data."""
    return [name for name in PARTS if (DATA / f"{name}.csv").is_file()]


def kept(name: str) -> pd.DataFrame:
    """The data of one part; text stays text."""
    return pd.read_csv(DATA / f"{name}.csv", keep_default_na=False, na_values=["NaN"])


def render() -> str:
    """The whole page."""
    lines = [
        "---", "hide: [toc]", "---", "",
        "# Beyond memory, measured",
        "",
        "Made by `python docs/make_scale.py`; do not edit. Each part has its data in `docs/scale/`, and",
        f"`python docs/make_scale.py {' '.join(parts())}` measures them again.",
        "",
    ]  # fmt: skip
    for name in parts():
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
        part(name).measure().to_csv(DATA / f"{name}.csv", index=False, na_rep="NaN", float_format="%.4g")
    page = render()
    if check:
        fresh = TARGET.is_file() and TARGET.read_text(encoding="utf-8") == page
        print("docs/scale.md is " + ("what its data say" if fresh else "stale"))
        return 0 if fresh else 1
    TARGET.write_text(page, encoding="utf-8")
    for name in parts():
        part(name).draw(kept(name))
    print(f"{TARGET} written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
