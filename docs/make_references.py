"""Record R's answers to the questions of the gallery and of the documentation: ivbridge/recorded/*.json.

python docs/make_references.py            ask R, write every reference (and the csv of prepared data beside it)
python docs/make_references.py NAME …     only these
python docs/make_references.py --check    ask R again and compare: `ivbridge record --verify`

They ship with the package, so that `ivbridge check` can answer these questions where there is no R. Left out is
ak_one_instrument: its instrument is computed from the dataset, and the csv would be too large to ship.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests"), str(HERE.parent)]

from published import RESULTS, prepared  # noqa: E402

import ivbridge  # noqa: E402
from ivbridge.cli_check import DEMO  # noqa: E402
from ivbridge.compare import DEFAULT_VCOVS  # noqa: E402
from ivbridge.references_verify import export, verify  # noqa: E402

FOLDER = Path("ivbridge/recorded")
#: Rows up to which prepared data are shipped.
MOST_ROWS = 1000
#: Questions that the documentation asks, by the name of their file: formula, data, vcovs, options.
EXAMPLES = {
    "cigarettes_demand": (DEMO.formula, DEMO.data, DEMO.vcovs, {}),
    "cigarettes_demand_weighted": (DEMO.formula, DEMO.data, DEFAULT_VCOVS, {"weights": "population"}),
    "card_distance": ("lwage ~ [educ ~ nearc4] + exper", "card", DEFAULT_VCOVS, {}),
}


def gallery() -> list[str]:
    """Results of the gallery whose data are bundled as they are, or are small."""
    return [name for name in RESULTS if not asked_of_a_frame(name) or len(prepared(name)) <= MOST_ROWS]


def asked_of_a_frame(name: str) -> bool:
    """Whether the preparation changes the data, beyond leaving out rows that the question drops itself."""
    return [step["step"] for step in RESULTS[name].get("prepare", [])] not in ([], ["complete"])


def write(name: str) -> None:
    """Record one question."""
    path = FOLDER / f"{name}.json"
    if name in EXAMPLES:
        formula, data, vcovs, options = EXAMPLES[name]
        found = ivbridge.record(formula, ivbridge.load(data), vcovs, path, **options)
    elif asked_of_a_frame(name):
        found = ivbridge.record(RESULTS[name]["formula"], prepared(name), DEFAULT_VCOVS, path)
        export(found, prepared(name))
    else:
        found = ivbridge.record(RESULTS[name]["formula"], ivbridge.load(RESULTS[name]["data"]), DEFAULT_VCOVS, path)
    print(f"{path}: {path.stat().st_size} bytes")


def main(arguments: list[str]) -> int:
    """Write or check the references."""
    os.chdir(HERE.parent)
    if arguments == ["--check"]:
        found = verify([FOLDER])
        print(*(line for one in found for line in one.lines()), sep="\n")
        return 0 if all(one.ok for one in found) else 1
    for name in arguments or [*gallery(), *EXAMPLES]:
        write(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
