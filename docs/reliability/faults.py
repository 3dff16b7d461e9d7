"""The part "faults" of docs/reliability.md: everything that can happen to R, provoked. See docs/make_reliability.py."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
#: The scripts that questions use, so that the seconds of the next call hold the loading of AER and glmnet.
SCRIPTS = ("covariance.R", "ivreg.R", "kclass.R", "weakiv.R", "cv_glmnet.R")


def measure() -> pd.DataFrame:
    """Provoke every fault once; one row each, in the order of the tables."""
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]
    import fault_cases
    import fault_programs

    rows = [(one, fault_cases.measured(one, (*SCRIPTS, fault_cases.SCRIPT))) for one in fault_cases.FAULTS]
    rows += [(one, fault_programs.ran(one)) for one in fault_programs.PROGRAMS]
    found = pd.DataFrame([{"fault": one.name, "how": one.how, **dataclasses.asdict(outcome)} for one, outcome in rows])
    return found.drop(columns="message").round({"seconds": 3, "next_seconds": 2})


def text(found: pd.DataFrame) -> list[str]:
    """The lines of the page."""
    raised = found[found["error"] != "none"]
    died = found["next_seconds"][~found["lives"] & (found["error"] != "none")]
    left = int(found[["processes", "shared_memory", "directories"]].sum(axis=None))
    return [
        "## Faults of the R process",
        "",
        f"{len(found)} faults, each provoked in `tests/test_faults.py`: {len(raised)} end in an error of their own class,",
        f"the slowest {found['seconds'].max():.2f} s after the event (where R has to be stopped, the event is the end of the time",
        f"limit); wherever Python lived on, the next call of R worked. {left} processes, pieces of shared memory and private",
        "directories were left behind. A fault that R survives costs the next call nothing; otherwise the next R is started",
        f"while the caller reads the error, and a call made at once waited {died.min():.1f} to {died.max():.1f} s, most of it for AER to load.",
        "",
        "| fault | how it was provoked | the caller gets | after, s | R lives on | next call, s |",
        "| --- | --- | --- | --- | --- | --- |",
        *(_row(row) for row in found.itertuples()),
        "",
        "Where the caller gets no error, the seconds are those until every process that Python had started was gone.",
    ]


def _row(row: object) -> str:
    error = "no error" if row.error == "none" else f"`{row.error}`"
    lives = "" if row.error == "none" else "yes" if row.lives else "no"
    cells = [row.fault, f"`{row.how}`", error, _seconds(row.seconds), lives, _seconds(row.next_seconds)]
    return f"| {' | '.join(cells)} |"


def _seconds(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.2f}"
