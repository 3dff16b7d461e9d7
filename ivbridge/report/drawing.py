"""Points, lines and axes of a page's plots: what stands where in drawing units."""

from __future__ import annotations

from dataclasses import dataclass

from ivbridge.report.plot import round_values, tick

__all__ = ["FOOT", "TOP", "Frame", "Line", "Plot", "Point"]

WIDTH, RIGHT, TOP, FOOT = 340.0, 10.0, 8.0, 38.0


@dataclass(frozen=True, slots=True)
class Point:
    """A mark; ``kind`` s0 is a disc, s1 a square, dot a small disc; ``text`` appears under the pointer."""

    kind: str
    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of class s0, s1, theory or truth."""

    kind: str
    ends: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Plot:
    """Size, ticks as (place, text), what is drawn, and what the axes and the whole are called."""

    title: str
    about: str
    height: float
    left: float
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]
    points: tuple[Point, ...]
    x_label: str
    y_label: str = ""
    rows: bool = False
    width: float = WIDTH
    foot: float = FOOT


class Frame:
    """From numbers to drawing units; what lies outside is put on the edge.

    Parameters
    ----------
    x, y : (low, high) pairs
        Range of the numbers.
    left, height : float
        Left margin and height of the plot, in drawing units.
    """

    def __init__(self, x: tuple[float, float], y: tuple[float, float], left: float, height: float) -> None:
        self.xs, self.ys, self.left, self.height = x, y, left, height

    def x(self, value: float) -> float:
        """Across, in drawing units."""
        share = (min(max(value, self.xs[0]), self.xs[1]) - self.xs[0]) / (self.xs[1] - self.xs[0])
        return round(self.left + share * (WIDTH - self.left - RIGHT), 2)

    def y(self, value: float) -> float:
        """Down, in drawing units."""
        share = (min(max(value, self.ys[0]), self.ys[1]) - self.ys[0]) / (self.ys[1] - self.ys[0])
        return round(self.height - FOOT - share * (self.height - FOOT - TOP), 2)

    def inside(self, value: float) -> bool:
        """Whether a number lies in the range of x."""
        return self.xs[0] <= value <= self.xs[1]

    def x_ticks(self, most: int = 6) -> tuple[tuple[float, str], ...]:
        """(place, text) of round numbers."""
        return tuple((self.x(value), tick(round(value, 10))) for value in round_values(*self.xs, most))

    def y_ticks(self, most: int = 6) -> tuple[tuple[float, str], ...]:
        """(place, text) of round numbers."""
        return tuple((self.y(value), tick(round(value, 10))) for value in round_values(*self.ys, most))

    def segment(self, kind: str, x0: float, y0: float, x1: float, y1: float) -> Line:
        """A line between two points that are given as numbers."""
        return Line(kind, (self.x(x0), self.y(y0), self.x(x1), self.y(y1)))
