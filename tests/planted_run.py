"""Score the explainer on the planted set: ``python -m tests.planted_run [--every N] [--workers N] [--write]``.

Prints what was missed, named wrongly, invented or slow; ``--write`` keeps the score in tests/data/planted_score.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ivbridge.explainer import explain
from tests.planted import Case, candidate, conventions, reference, substantive
from tests.planted_score import judge

SCORE = Path(__file__).parent / "data" / "planted_score.json"


@dataclass(frozen=True)
class Outcome:
    """What became of one case; `seconds` of processor time."""

    name: str
    substantive: bool
    judged: str
    seconds: float
    answer: str


def outcome(case: Case) -> Outcome:
    """Explain one case."""
    ours, theirs = reference(case.question, case.vcov), candidate(case)
    start = time.process_time()
    found = explain(ours, theirs, case.question.plan.frame)
    seconds = time.process_time() - start
    answer = f"{found.verdict}: {'; '.join(f'{step.key}: {step.text}' for step in found.steps)}"
    return Outcome(case.name, case.substantive, judge(case, found), seconds, answer)


@cache
def _all() -> tuple[Case, ...]:
    return (*conventions(), *substantive())


def _nth(place: int) -> Outcome:
    return outcome(_all()[place])


def run(places: Sequence[int], workers: int = 1) -> list[Outcome]:
    """Outcomes of cases by place."""
    if workers < 2:
        return [_nth(place) for place in places]
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return list(pool.map(_nth, places, chunksize=8))


def score(outcomes: Sequence[Outcome]) -> dict[str, object]:
    """Shares of right answers, and the time that they took."""
    found: dict[str, object] = {}
    for name, wanted in (("conventions", False), ("substantive", True)):
        some = [one for one in outcomes if one.substantive is wanted]
        counts = Counter(one.judged for one in some)
        found[name] = {"cases": len(some), **dict(sorted(counts.items())), "share": counts["right"] / max(len(some), 1)}
    seconds = [one.seconds for one in outcomes]
    found["cpu_seconds"] = {"median": float(np.median(seconds)), "95 %": float(np.quantile(seconds, 0.95)),
                            "largest": max(seconds)}  # fmt: skip
    return found


def main(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args(arguments)
    outcomes = run(range(0, len(_all()), options.every), options.workers)
    for one in outcomes:
        if one.judged != "right":
            print(f"{one.judged}: {one.name}: {one.answer}")
    found = score(outcomes)
    print(json.dumps(found, indent=1))
    if options.write:
        SCORE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
