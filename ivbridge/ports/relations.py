"""What all differing answers have in common: one side scales, squares, divides by n - 1, …"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ivbridge.ports.judge import Judged
from ivbridge.ports.kinds import columns_of_case
from ivbridge.ports.records import Case

__all__ = ["Relation", "relations"]

Numbers = npt.NDArray[np.float64]
#: A relation is named if it closes the gap to this, in at least so many cases and this share of those that differ.
_CLOSE, _CASES, _SHARE = 1e-9, 5, 0.8

#: Python's number as a function of R's number and of the number of rows.
_FORMS: dict[str, Callable[[Numbers, np.float64], Numbers]] = {
    "minus R's": lambda r, n: -r,
    "R's squared": lambda r, n: r * r,
    "the root of R's": lambda r, n: np.sqrt(r),
    "one divided by R's": lambda r, n: 1 / r,
    "one minus R's": lambda r, n: 1 - r,
    "the logarithm of R's": lambda r, n: np.log(r),
    "the exponential of R's": lambda r, n: np.exp(r),
    "R's times n/(n-1)": lambda r, n: r * n / (n - 1),
    "R's times (n-1)/n": lambda r, n: r * (n - 1) / n,
    "R's times sqrt(n/(n-1))": lambda r, n: r * np.sqrt(n / (n - 1)),
    "R's times sqrt((n-1)/n)": lambda r, n: r * np.sqrt((n - 1) / n),
    "R's times n": lambda r, n: r * n,
    "R's divided by n": lambda r, n: r / n,
}


@dataclass(frozen=True)
class Relation:
    """``text`` holds for one output in ``cases`` of the ``differing`` cases; ``output`` is its path."""

    output: str
    text: str
    cases: int
    differing: int

    def __str__(self) -> str:
        return f"{self.output}: Python's number is {self.text} in {self.cases} of {self.differing} cases that differ."


def relations(judged: Sequence[Judged]) -> list[Relation]:
    """For each output whose numbers differ, the first relation that nearly all of the cases share.

    Parameters
    ----------
    judged : sequence of Judged
        All cases of a search.
    """
    by_path: dict[str, list[tuple[Numbers, Numbers, np.float64]]] = {}
    for one in judged:
        beyond = {difference.output for difference in one.differences if difference.what == "value"}
        for pair in one.pairs:
            finite = np.isfinite(pair.r) & (pair.r != 0)
            if pair.path in beyond and finite.any():
                by_path.setdefault(pair.path, []).append((pair.python[finite], pair.r[finite], _rows(one.case)))
    return [found for path, cases in by_path.items() for found in _first(path, cases)]


def _first(path: str, cases: list[tuple[Numbers, Numbers, np.float64]]) -> Iterator[Relation]:
    candidates = dict(_FORMS)
    with np.errstate(all="ignore"):
        ratio = float(np.median(np.concatenate([python / r for python, r, _ in cases])))
        gap = float(np.median(np.concatenate([python - r for python, r, _ in cases])))
    candidates = {
        f"R's times {ratio:.10g}": lambda r, n: r * ratio,
        **candidates,
        f"R's plus {gap:.10g}": lambda r, n: r + gap,
    }
    for text, form in candidates.items():
        holds = 0
        for python, r, n in cases:
            with np.errstate(all="ignore"):
                expected = form(r, n)
                holds += bool((np.abs(python - expected) <= _CLOSE * np.abs(python)).all())
        if holds >= max(_CASES, _SHARE * len(cases)):
            yield Relation(path, text, holds, len(cases))
            return


def _rows(case: Case) -> np.float64:
    """Values of the first column that are not missing."""
    for column in columns_of_case(case):
        values = np.asarray(column)
        return np.float64(len(values) - (np.isnan(values).sum() if values.dtype.kind == "f" else 0))
    return np.float64(1)
