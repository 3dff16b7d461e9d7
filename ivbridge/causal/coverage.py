"""Does a 95 % interval hold the truth in 95 of 100 draws? Every method, on worlds whose truth is known.

A row is judged by the binomial distribution: with m draws and true coverage .95, the share of intervals that hold the
truth lies in the band with probability .99. Of a hundred right rows one lies outside it by chance.

``ivbridge study causal`` runs it; :mod:`ivbridge.causal.coverage_cases` holds the plan.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ivbridge import serial, study
from ivbridge.causal import method_class
from ivbridge.causal.coverage_cases import CASES, Case
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.scenarios import POPULATION, TWINS, CausalDraw, Twin
from ivbridge.progress import Progress
from ivbridge.study_records import Method, Outcome

__all__ = ["QUICK", "Coverage", "ZeroOne", "band", "coverage", "judged"]

#: Of the intervals, and of the band in which their share has to lie.
LEVEL, BAND = 0.95, 0.99
#: Draws of a quick run.
QUICK = 40
#: Outcomes above it count as 1 in a world of 0/1 outcomes; about the mean of the outcomes.
ABOVE = 104.0
_COLUMNS = (
    "case", "method", "world", "estimand", "n", "draws", "without", "truth", "bias", "sd", "error", "coverage", "low",
    "high", "verdict", "why", "seconds",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ZeroOne:
    """A twin whose outcome is whether the twin's outcome exceeds :data:`ABOVE`; the effect is a risk difference."""

    twin: Twin

    @property
    def name(self) -> str:
        """The twin's, and that outcomes are 0 and 1."""
        return f"{self.twin.name} 0/1"

    def draw(self, n: int, seed: int) -> CausalDraw:
        """Draw n units; the numbers depend on the seed alone."""
        drawn = self.twin.draw(n, seed)
        y0, y1 = (np.where(one > ABOVE, 1.0, 0.0) for one in (drawn.y0, drawn.y1))
        frame = drawn.frame.assign(Y_obs=np.where(drawn.frame["T"] == 1, y1, y0))
        return replace(
            drawn, scenario=self.name, frame=frame, y0=y0, y1=y1, effects=y1 - y0, truth=_risk_difference(self.twin)
        )  # fmt: skip


@lru_cache(maxsize=8)
def _risk_difference(twin: Twin) -> float:
    """Of a population that is drawn once."""
    drawn = twin.draw(POPULATION, 0)
    return float((drawn.y1 > ABOVE).mean() - (drawn.y0 > ABOVE).mean())


@dataclass(frozen=True, slots=True)
class _Answering:
    """A method as a study wants it."""

    method: CausalMethod

    def __call__(self, draw: CausalDraw, seed: int) -> tuple[Outcome, ...]:
        found = self.method.fit(draw.question, draw.frame, seed)
        return (Outcome(found.estimate, found.std_error, *found.conf_int(LEVEL)),)


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """What was found.

    Attributes
    ----------
    table : DataFrame
        A row for each case and world: bias (mean estimate minus truth), sd of the estimates, mean standard error,
        coverage with its band, verdict, why, draws, draws without an estimate, and seconds for one draw.
    """

    table: pd.DataFrame

    @property
    def failed(self) -> pd.DataFrame:
        """Rows outside the band for which no reason is known."""
        return self.table[self.table["verdict"] == "fails"]

    def summary(self) -> str:
        """The table as text."""
        shown = ["case", "world", "n", "draws", "bias", "sd", "error", "coverage", "verdict"]
        text = self.table[shown].to_string(index=False, float_format="{:.3f}".format)
        counts = self.table["verdict"].value_counts()
        return f"{text}\n\n" + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())

    def to_json(self) -> str:
        """One JSON object with the table's rows."""
        return serial.dumps({"type": "Coverage", "rows": self.table.to_dict("records")})


def band(draws: int) -> tuple[float, float]:
    """The share of intervals that hold the truth lies between these with probability .99, if each does with .95."""
    low, high = stats.binom.interval(BAND, draws, LEVEL)
    return float(low / draws), float(high / draws)


def judged(share: float, draws: int, why: str) -> str:
    """The verdict on a share of intervals that hold the truth: "in band", "explained" or "fails"."""
    low, high = band(draws)
    if low <= share <= high:
        return "in band"
    return "explained" if why else "fails"


def coverage(
    draws: int = 500, folder: Path | str | None = None, jobs: int | None = None, cases: Sequence[Case] = CASES,
    progress: Progress | None = None,
) -> Coverage:  # fmt: skip
    """Run the plan, or part of it.

    A script that calls this needs ``if __name__ == "__main__":`` around it: it starts processes.

    Parameters
    ----------
    draws : int, default 500
        Of each world; cases with forests take fewer.
    folder : path, optional
        Each answer is kept there, in a file for each case, and not computed again. The table is ``coverage.csv``.
    jobs : int, optional
        Processes; default one for each processor that may be used.
    cases : sequence of Case, default CASES
    progress : callable, optional
        Called with (draws done, total, what), anew for each case.

    Raises
    ------
    MissingExtraError
        If a package that a method needs is missing.
    """
    place = None if folder is None else Path(folder)
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for case in cases:
        rows += _rows(case, min(draws, case.draws or draws), place, jobs, progress)
        found = Coverage(pd.DataFrame(rows, columns=list(_COLUMNS)))
        if place is not None:
            found.table.to_csv(place / "coverage.csv", index=False, float_format="%.6g", lineterminator="\n")
    return found


def _rows(
    case: Case, draws: int, folder: Path | None, jobs: int | None, progress: Progress | None
) -> list[dict[str, Any]]:
    method = method_class(case.method)(**case.options)
    worlds = [ZeroOne(TWINS[name[:-4]]) if name.endswith(" 0/1") else TWINS[name] for name in case.worlds]
    path = None if folder is None else folder / f"{case.name.replace(', ', '-')}.jsonl"
    asked = Method((case.name,), _Answering(method))
    table = study.run(worlds, [asked], draws, case.n, path, jobs, progress)
    return [_row(case, name, part) for name, part in table.groupby("scenario", sort=False)]


def _row(case: Case, world: Any, part: pd.DataFrame) -> dict[str, Any]:
    answered = part[part["estimate"].notna() & part["std.error"].notna()]
    share, count = float(answered["covers"].astype(float).mean()), len(answered)
    low, high = band(count) if count else (math.nan, math.nan)
    why = case.worlds[str(world)]
    estimand = TWINS[str(world).removesuffix(" 0/1")].estimand
    truth, estimates = float(part["truth"].iloc[0]), answered["estimate"]
    values = (
        case.name, case.method, world, estimand, case.n, len(part), len(part) - count, truth,
        float(estimates.mean()) - truth, float(estimates.std()), float(answered["std.error"].mean()), share, low, high,
        judged(share, count, why) if count else "fails", why, round(float(part["seconds"].mean()), 3),
    )  # fmt: skip
    return dict(zip(_COLUMNS, values, strict=True))
