"""Rows and cells of the tables of a report: numbers of an agreement as text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from ivbridge.agreement import Comparison
from ivbridge.digits import GROUPS, GroupDigits, digits_by_group
from ivbridge.gaps import Gap
from ivbridge.records import NotApplicable, Test

__all__ = [
    "Cell",
    "Failure",
    "HeatRow",
    "LedgerRow",
    "Number",
    "Pair",
    "TermRow",
    "TestRow",
    "failures",
    "heat_rows",
    "labels",
    "ledger_rows",
    "mark_of",
    "number",
    "term_rows",
    "test_groups",
]

_MARKS = {"identical": "ok", "rounding": "ok", "convention": "named"}
#: Digits at which the shade of the heat map changes.
_SHADES = (3.0, 6.0, 8.0, 10.0, 12.0)


class Number(str):
    """A formatted number; each format sets its minus sign and exponent in its own way."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of the heat map: shade ``q0 … q5``, ``named``, ``bad`` or ``none``; ``title`` says more."""

    text: Number
    shade: str
    flag: str
    title: str


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One comparison of the heat map."""

    vcov: str
    verdict: str
    mark: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """The same number from both sides; ``same`` where both print alike."""

    reference: Number
    candidate: Number

    @property
    def same(self) -> bool:
        """Whether both print alike."""
        return self.reference == self.candidate


@dataclass(frozen=True, slots=True)
class TermRow:
    """A coefficient and its standard error under each vcov."""

    term: str
    endogenous: bool
    estimate: Pair
    errors: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class TestRow:
    """A diagnostic under one vcov, or under all where it prints alike."""

    __test__ = False  # not a test case for pytest
    vcov: str
    df: str
    statistic: Pair
    p_value: Pair
    note: str


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """A group of quantities over all comparisons."""

    group: str
    compared: int
    failed: int
    digits: Number
    where: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A number that rounding does not explain, with all its digits."""

    vcov: str
    label: str
    reference: Number
    candidate: Number
    digits: Number
    bound: Number


def number(value: float, digits: int = 6) -> Number:
    """Significant digits as R prints them; ``NA`` where there is no number."""
    if math.isnan(value):
        return Number("NA")
    if math.isinf(value):
        return Number("∞" if value > 0 else "-∞")
    trailing_zeros = "#" if digits < 17 else ""
    return Number(f"{value:{trailing_zeros}.{digits}g}")


def _digits(value: float) -> Number:
    return Number(f"{value:.1f}")


def mark_of(verdict: str) -> str:
    """``ok``, ``named`` or ``bad``."""
    return _MARKS.get(verdict, "bad")


def labels(comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """What tells comparisons apart: the vcov, both vcovs where they differ, the engine where there are several."""
    several = len({c.candidate.engine for c in comparisons}) > 1
    found = []
    for c in comparisons:
        other = str(c.candidate.spec.vcov)
        name = c.vcov if other == c.vcov else f"{c.vcov} | {other}"
        found.append(f"{name} [{c.candidate.engine}]" if several else name)
    return tuple(found)


def heat_rows(comparisons: Sequence[Comparison]) -> tuple[HeatRow, ...]:
    """One row a comparison, one cell a group of :data:`~ivbridge.digits.GROUPS`."""
    rows = []
    for c, name in zip(comparisons, labels(comparisons), strict=True):
        found = digits_by_group(c)
        cells = tuple(_cell(found.get(group), c.verdict) for group in GROUPS)
        rows.append(HeatRow(name, c.verdict, mark_of(c.verdict), cells))
    return tuple(rows)


def _cell(found: GroupDigits | None, verdict: str) -> Cell:
    if found is None:
        return Cell(Number("–"), "none", "", "not compared")
    gap = found.worst
    title = f"{gap.label}: {gap.digits:.1f} digits; {found.compared} compared"
    if found.failed:
        named = verdict == "convention"
        title += f", {found.failed} beyond rounding"
        return Cell(_digits(gap.digits), "named" if named else "bad", "≈" if named else "✗", title)
    shade = sum(gap.digits >= limit for limit in _SHADES)
    return Cell(_digits(gap.digits), f"q{shade}", "", title)


def term_rows(comparisons: Sequence[Comparison]) -> tuple[TermRow, ...]:
    """Coefficients that the first reference has; both sides where they print differently."""
    if not comparisons:
        return ()
    reference = comparisons[0].reference
    rows = []
    for place, term in enumerate(reference.terms):
        errors = tuple(_pair_of(c, "std_error", term) for c in comparisons)
        estimate = _pair_of(comparisons[0], "estimate", term)
        rows.append(TermRow(reference.terms[place], term in reference.seen.endog_names, estimate, errors))
    return tuple(rows)


def _pair_of(comparison: Comparison, column: str, term: str) -> Pair:
    texts = []
    for estimate in (comparison.reference, comparison.candidate):
        place = estimate.terms.index(term) if term in estimate.terms else None
        texts.append(Number("–") if place is None else number(float(getattr(estimate.coefs, column)[place])))
    return Pair(*texts)


def test_groups(comparisons: Sequence[Comparison]) -> tuple[tuple[str, tuple[TestRow, ...]], ...]:
    """Diagnostics side by side, by name; one row where all vcovs print alike."""
    keys = dict.fromkeys(key for c in comparisons for key in (*c.reference.tests, *c.candidate.tests))
    names = labels(comparisons)
    groups = []
    for key in keys:
        rows = tuple(_test_row(c, key, name) for c, name in zip(comparisons, names, strict=True))
        if len(rows) > 1 and len({dataclasses.replace(row, vcov="") for row in rows}) == 1:
            rows = (dataclasses.replace(rows[0], vcov="all"),)
        tests = [test for c in comparisons for test in (c.reference.tests.get(key), c.candidate.tests.get(key)) if test]
        groups.append((tests[0].name, rows))
    return tuple(groups)


def _test_row(comparison: Comparison, key: str, vcov: str) -> TestRow:
    sides = [estimate.tests.get(key) for estimate in (comparison.reference, comparison.candidate)]
    values = [(number(t.statistic), number(t.p_value, 4)) if isinstance(t, Test) else (Number("–"),) * 2 for t in sides]
    first = next((test for test in sides if isinstance(test, Test)), None)
    df = "" if first is None else f"{first.df1:g}" if math.isinf(first.df2) else f"{first.df1:g}, {first.df2:g}"
    note = next((test.reason for test in sides if isinstance(test, NotApplicable)), "")
    return TestRow(vcov, df, Pair(values[0][0], values[1][0]), Pair(values[0][1], values[1][1]), note)


def ledger_rows(comparisons: Sequence[Comparison]) -> tuple[LedgerRow, ...]:
    """What was compared, by group, over all comparisons."""
    rows = []
    for group in GROUPS:
        members = [(c.vcov, found[group]) for c in comparisons if group in (found := digits_by_group(c))]
        if members:
            vcov, worst = min(members, key=lambda member: member[1].worst.digits)
            compared, failed = (sum(getattr(cell, name) for _, cell in members) for name in ("compared", "failed"))
            where = f"{worst.worst.label} ({vcov})"
            rows.append(LedgerRow(group, compared, failed, _digits(worst.worst.digits), where))
    return tuple(rows)


def failures(comparisons: Sequence[Comparison]) -> tuple[Failure, ...]:
    """Every number beyond rounding, furthest apart first."""
    failed = [(c.vcov, gap) for c in comparisons for gap in c.gaps if not gap.ok]
    return tuple(_failure(vcov, gap) for vcov, gap in sorted(failed, key=lambda pair: pair[1].digits))


def _failure(vcov: str, gap: Gap) -> Failure:
    bound = math.inf if gap.bound == 0 else -math.log10(gap.bound)
    sides = number(gap.reference, 17), number(gap.candidate, 17)
    return Failure(vcov, gap.label, *sides, _digits(gap.digits), Number("all" if math.isinf(bound) else f"{bound:.1f}"))
