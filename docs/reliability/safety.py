"""What happens when hostile inputs are tried: the cases of tests/hostile_cases.py, under the canary of tests/canary.py."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]

__all__ = ["measure", "text"]

_EVALUATED = ("compile", "exec", "pickle")


def measure() -> pd.DataFrame:
    """One row a case: how its attempts ended, what happened beside, and the longest time of this process."""
    sys.path[:0] = [str(ROOT)]
    from tests.hostile_cases import CASES, Place, warmed

    with tempfile.TemporaryDirectory() as folder:
        place = Place.made(Path(folder))
        warmed(place)
        return pd.DataFrame([_tried(case, place) for case in CASES])


def _tried(case: Any, place: Any) -> dict[str, object]:
    from ivbridge.engines.process import default_worker
    from tests.canary import STARTS, Canary
    from tests.hostile_cases import outcome_of

    outcomes, events, seconds, crashed = set(), [], [], 0
    canary = Canary(place.folder)
    for attempt in case.attempts:
        worker = default_worker()
        before, started = worker.pid, time.process_time()
        with canary.watch() as seen:
            outcome, _ = outcome_of(attempt.act, place)
        seconds.append(time.process_time() - started)
        outcomes.add(outcome)
        events += seen
        crashed += worker.pid != before
    return {
        "group": case.group,
        "what": case.what,
        "attempts": len(case.attempts),
        "doors": ", ".join(attempt.door for attempt in case.attempts),
        "outcome": " · ".join(sorted(outcomes)),
        "evaluated": sum(event.startswith(_EVALUATED) for event in events),
        "changed": sum(event.startswith(("changed", "open", "os.", "shutil")) for event in events),
        "started": sum(event.startswith(STARTS) for event in events),
        "crashed": crashed,
        "seconds": round(max(seconds), 2),
    }


def _count(found: pd.DataFrame, column: str) -> int:
    return int(found[column].sum())


def text(found: pd.DataFrame) -> list[str]:
    """The lines of the page."""
    cases, attempts = len(found), _count(found, "attempts")
    harmless = int((found["outcome"] == "answer").sum())
    lines = [
        "## What strangers write",
        "",
        f"{cases} hostile inputs in {attempts} attempts: Python functions, the command line, files of questions,",
        f"R's process. Code that was evaluated: {_count(found, 'evaluated')}; files made or changed:",
        f"{_count(found, 'changed')}; programs started: {_count(found, 'started')}; crashes of Python or R:",
        f"{_count(found, 'crashed')}. {cases - harmless} inputs end in a typed error, on the command line in one message and exit",
        f"code 2; {harmless} are data like any other, such as a column called `system('…')`, and are answered. The slowest",
        f"took {found['seconds'].max():.1f} s of Python's own time.",
        "",
        "Watched are Python's audit events (`compile`, `exec`, unpickling, programs, sockets, every file opened for",
        "writing, made, moved or removed), every file of the folder, and a sentinel file that the code in the input",
        "makes when R or Python runs it: that it does is tested, too. [What this protects from](explanation/safety.md).",
        "",
        "| Inputs | Cases | Ways in tried | Ends in | Evaluated | Files changed | Programs | Crashes | Slowest, s |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]  # fmt: skip
    for group, rows in found.groupby("group", sort=False):
        outcomes = sorted({one for outcome in rows["outcome"] for one in outcome.split(" · ")})
        shown = ", ".join(f"`{one}`" if one.endswith("Error") else one for one in outcomes)
        counts = " | ".join(str(_count(rows, name)) for name in ("evaluated", "changed", "started", "crashed"))
        slowest = rows["seconds"].max()
        lines.append(f"| {group} | {len(rows)} | {_count(rows, 'attempts')} | {shown} | {counts} | {slowest:.2f} |")
    lines += ["", "`RefusedError` is exit code 2 of the command line. Every case by name:", ""]
    for group, rows in found.groupby("group", sort=False):
        lines.append(f"- **{group}**: {'; '.join(map(_plain, rows['what']))}")
    return lines


def _plain(what: str) -> str:
    """Names of cases hold characters that Markdown would read."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|~$&" else c for c in what)
