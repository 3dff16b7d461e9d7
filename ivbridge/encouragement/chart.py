"""Geometry of the two charts: one row an experiment, a dot and its 95 % interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ivbridge.encouragement.records import Effect, Experiment
from ivbridge.encouragement.words import WEAK
from ivbridge.records import NotApplicable
from ivbridge.report.plot import round_values, tick

__all__ = ["MOST_ROWS", "Chart", "Mark", "effects_chart", "first_stage_chart", "strongest"]

#: More rows would not be read; the tables and the JSON hold all.
MOST_ROWS = 30
WIDTH, LEFT, RIGHT, TOP, ROW, FOOT = 340.0, 96.0, 8.0, 8.0, 22.0, 26.0
#: Letters of a name that fit beside the plot.
LETTERS = 14


@dataclass(frozen=True, slots=True)
class Mark:
    """One row; ``x`` is (low, estimate, high) cut to the plot, None where there is no estimate.

    ``side`` 0 is an experiment of the pooled estimate; ``cut`` says which ends lie outside.
    """

    label: str
    y: float
    x: tuple[float, float, float] | None
    side: int
    cut: tuple[bool, bool]
    inside: bool
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """Size, ticks as (x, text), vertical lines as (x, class), rows."""

    title: str
    height: float
    ticks: tuple[tuple[float, str], ...]
    zero: float | None
    lines: tuple[tuple[float, str], ...]
    marks: tuple[Mark, ...]
    width: float = WIDTH
    left: float = LEFT


def strongest(experiments: Sequence[Experiment], selected: Sequence[str]) -> tuple[Experiment, ...]:
    """Experiments of the pooled estimate first, then by first-stage F; at most :data:`MOST_ROWS`."""
    inside = set(selected)
    return tuple(sorted(experiments, key=lambda one: (one.name not in inside, -one.weak.statistic))[:MOST_ROWS])


def effects_chart(
    shown: Sequence[Experiment], selected: Sequence[str], pooled: float | None, ols: float | None
) -> Chart:
    """Wald ratios; the scale is that of the experiments that are not weak, what reaches beyond is cut."""
    solid = [one.wald for one in shown if one.weak.statistic >= WEAK]
    values = [end for one in solid if isinstance(one, Effect) for end in (one.conf_low, one.conf_high)]
    values += [value for value in (pooled, ols) if value is not None]
    if not values:
        values = [one.wald.estimate for one in shown if isinstance(one.wald, Effect)]
    lines = [(value, name) for value, name in ((ols, "ols"), (pooled, "pool")) if value is not None]
    return _chart("Effect of the behavior, by experiment", shown, [one.wald for one in shown], selected, values, lines)


def first_stage_chart(shown: Sequence[Experiment], selected: Sequence[str]) -> Chart:
    """How much each experiment moves the behavior."""
    effects = [one.first_stage for one in shown]
    values = [end for one in effects for end in (one.conf_low, one.conf_high)]
    return _chart("Change of the behavior, by experiment", shown, effects, selected, [0.0, *values], [])


def _chart(
    title: str, shown: Sequence[Experiment], effects: Sequence[Effect | NotApplicable], selected: Sequence[str],
    values: Sequence[float], lines: Sequence[tuple[float, str]],
) -> Chart:  # fmt: skip
    low, high = (min(values), max(values)) if values else (-1.0, 1.0)
    pad = 0.05 * (high - low) or abs(high) or 1.0
    low, high = low - pad, high + pad

    def x(value: float) -> float:
        cut = min(max(value, low), high)
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (cut - low) / (high - low), 2)

    inside = set(selected)
    marks = []
    for number, (one, effect) in enumerate(zip(shown, effects, strict=True)):
        label = one.name if len(one.name) <= LETTERS else f"{one.name[:5]}…{one.name[6 - LETTERS :]}"
        y = TOP + ROW * number + ROW / 2
        side = int(one.name not in inside)
        if isinstance(effect, NotApplicable):
            marks.append(Mark(label, y, None, side, (False, False), False, f"{one.name}: {effect.reason}"))
            continue
        ends = (effect.conf_low, effect.estimate, effect.conf_high)
        cut = (effect.conf_low < low, effect.conf_high > high)
        text = f"{one.name}: {ends[1]:.4g}, 95 % interval {ends[0]:.4g} to {ends[2]:.4g}, F {one.weak.statistic:.3g}"
        marks.append(Mark(label, y, (x(ends[0]), x(ends[1]), x(ends[2])), side, cut, low <= ends[1] <= high, text))
    ticks = tuple((x(value), tick(value)) for value in round_values(low, high))
    height = TOP + ROW * len(shown) + FOOT
    return Chart(title, height, ticks, x(0.0) if low < 0 < high else None, tuple((x(v), c) for v, c in lines),
                 tuple(marks))  # fmt: skip
