"""Geometry of the coefficient plot: one panel a term, one row a vcov, one interval a side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ivbridge.agreement import Comparison
from ivbridge.results import Estimate

__all__ = ["MOST_PANELS", "MOST_VCOVS", "Interval", "Panel", "PanelRow", "panels", "round_values", "tick"]

#: More would not be read; the tables hold every term and every vcov.
MOST_PANELS, MOST_VCOVS = 6, 12
WIDTH, MARGIN, TOP, ROW, FOOT = 340.0, 12.0, 6.0, 34.0, 26.0


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval, its x as (low, estimate, high) in drawing units; ``side`` 0 is the reference."""

    side: int
    x: tuple[float, float, float]
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class PanelRow:
    """The intervals under one vcov, and where its name stands."""

    vcov: str
    y: float
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One term: size, ticks as (x, text), x of zero where it is inside, rows."""

    term: str
    endogenous: bool
    height: float
    ticks: tuple[tuple[float, str], ...]
    zero: float | None
    rows: tuple[PanelRow, ...]
    width: float = WIDTH


def panels(comparisons: Sequence[Comparison], labels: tuple[str, str]) -> tuple[tuple[Panel, ...], int]:
    """Panels of the first terms, endogenous ones first, and the number of terms left out.

    Parameters
    ----------
    comparisons : sequence of Comparison
        The first :data:`MOST_VCOVS` are drawn.
    labels : tuple of str
        What the reference and the candidates are called.
    """
    if not comparisons:
        return (), 0
    seen = comparisons[0].reference.seen
    ranked = sorted(seen.x_names, key=lambda name: (name == "(Intercept)", name not in seen.endog_names))
    shown = ranked[:MOST_PANELS]
    drawn = (_panel(name, name in seen.endog_names, comparisons[:MOST_VCOVS], labels) for name in shown)
    return tuple(panel for panel in drawn if panel), len(ranked) - len(shown)


def _limits(estimate: Estimate, term: str) -> tuple[float, float, float] | None:
    if term not in estimate.terms:
        return None
    place, table = estimate.terms.index(term), estimate.coefs
    values = (float(table.conf_low[place]), float(table.estimate[place]), float(table.conf_high[place]))
    return values if all(map(math.isfinite, values)) else None


def _panel(term: str, endogenous: bool, comparisons: Sequence[Comparison], labels: tuple[str, str]) -> Panel | None:
    found = [[(side, _limits(estimate, term)) for side, estimate in enumerate((c.reference, c.candidate))]
             for c in comparisons]  # fmt: skip
    values = [value for row in found for _, limits in row if limits for value in limits]
    if not values:
        return None
    low, high = min(values), max(values)
    pad = 0.04 * (high - low) or abs(high) or 1.0
    low, high = low - pad, high + pad

    def x(value: float) -> float:
        return round(MARGIN + (WIDTH - 2 * MARGIN) * (value - low) / (high - low), 2)

    rows = []
    for number, (comparison, row) in enumerate(zip(comparisons, found, strict=True)):
        top = TOP + number * ROW
        intervals = tuple(
            Interval(side, (x(limits[0]), x(limits[1]), x(limits[2])), top + 18 + 8 * side, _said(labels[side], limits))
            for side, limits in row
            if limits
        )
        rows.append(PanelRow(comparison.vcov, top + 10, intervals))
    ticks = tuple((x(value), tick(value)) for value in round_values(low, high))
    height = TOP + ROW * len(rows) + FOOT
    return Panel(term, endogenous, height, ticks, x(0.0) if low < 0 < high else None, tuple(rows))


def _said(label: str, limits: tuple[float, float, float]) -> str:
    low, middle, high = (f"{value:.6g}" for value in limits)
    return f"{label}: {middle}, 95 % interval {low} to {high}"


def round_values(low: float, high: float, most: int = 4) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, at most four of them."""
    size = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(size * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (size * factor) <= most)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def tick(value: float) -> str:
    """A number beside an axis."""
    return f"{value:.6g}".replace("-", "−")
