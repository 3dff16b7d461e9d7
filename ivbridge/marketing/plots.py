"""Geometry of the page's plots: what stands where in drawing units; nothing is computed from data here."""

from __future__ import annotations

from collections.abc import Sequence

from ivbridge.marketing.records import Average, Drift, FirstStageRow, Scatter, Weak
from ivbridge.marketing.worlds import TRUTH
from ivbridge.report.drawing import FOOT, TOP, Frame, Line, Plot, Point
from ivbridge.report.plot import tick

__all__ = ["drift_plot", "first_stage_plot", "scatter_plot", "weak_plot"]

_RANGE = "median, 5 % to 95 % of the draws"


def drift_plot(drifts: Sequence[Drift]) -> Plot:
    """Estimates against violations: marks are means over draws, lines are theory."""
    everything = [value for one in drifts for value in (*one.theory, *(e.mean for e in one.estimates))]
    grid = drifts[0].violations
    pad = 0.05 * (grid[-1] - grid[0])
    frame = Frame((grid[0] - pad, grid[-1] + pad), (min(everything) - 0.2, max(everything) + 0.2), 34.0, 250.0)
    lines = [frame.segment("truth", frame.xs[0], TRUTH, frame.xs[1], TRUTH)]
    points = []
    for side, one in enumerate(drifts):
        lines.append(frame.segment("theory", grid[0], one.theory[0], grid[-1], one.theory[-1]))
        for violation, found, theory in zip(one.violations, one.estimates, one.theory, strict=True):
            text = f"π = {one.relevance:g}, γ = {violation:g}: {found.mean:.3f}, theory {theory:g}"
            points.append(Point(f"s{side}", frame.x(violation), frame.y(found.mean), text))
    return Plot("2SLS drifts along a line of slope 1/π", "estimates against violations of exclusion", 250.0, 34.0,
                frame.x_ticks(), frame.y_ticks(), tuple(lines), tuple(points),
                "γ, what the email adds to conversions directly", "estimate")  # fmt: skip


def scatter_plot(found: Scatter) -> Plot:
    """Points and the line through them."""
    wide, high = (1.02 * float(abs(values).max()) for values in (found.across, found.up))
    frame = Frame((-wide, wide), (-high, high), 34.0, 220.0)
    pairs = zip(found.across.tolist(), found.up.tolist(), strict=True)
    points = tuple(Point("dot", frame.x(a), frame.y(b), "") for a, b in pairs)
    end = min(wide, high / abs(found.slope)) if found.slope else wide
    rise = end * found.slope
    lines = (frame.segment("truth", -wide, 0, wide, 0), frame.segment("fit", -end, -rise, end, rise))
    return Plot(found.title, f"slope {found.slope:.2f}", 220.0, 34.0, frame.x_ticks(5), frame.y_ticks(5), lines, points,
                f"slope {tick(round(found.slope, 3) + 0.0)}, all users")  # fmt: skip


def first_stage_plot(rows: Sequence[FirstStageRow]) -> Plot:
    """One world: each first stage plugged in (square), and its randomised part as the instrument (disc)."""
    height, left = TOP + 34.0 * len(rows) + FOOT, 104.0
    frame = Frame((1.5, 4.0), (0.0, 1.0), left, height)
    lines, points, names = [_truth(frame)], [], []
    for i, row in enumerate(rows):
        middle = TOP + 34.0 * i + 17
        names.append((middle, row.name))
        for kind, found, y in (("s1", row.plugged, middle - 6), ("s0", row.randomised, middle + 6)):
            lines.append(Line(kind, (frame.x(found.low), y, frame.x(found.high), y)))
            points.append(_median(frame, kind, found, y))
    return Plot(rows[0].world, "estimates by first stage", height, left, frame.x_ticks(), tuple(names), tuple(lines),
                tuple(points), _RANGE, rows=True)  # fmt: skip


def _truth(frame: Frame) -> Line:
    return Line("truth", (frame.x(TRUTH), TOP, frame.x(TRUTH), frame.height - FOOT))


def _median(frame: Frame, kind: str, found: Average, y: float) -> Point:
    text = f"median {found.median:.3f}, {found.low:.2f} to {found.high:.2f}"
    return Point(kind if frame.inside(found.median) else "off", frame.x(found.median), y, text)


def weak_plot(rows: Sequence[Weak]) -> Plot:
    """The 5 % to 95 % range of the estimate by strength of the instrument."""
    height, left = TOP + 26.0 * len(rows) + FOOT, 104.0
    frame = Frame((-1.0, 5.0), (0.0, 1.0), left, height)
    lines, points, names = [_truth(frame)], [], []
    for i, one in enumerate(rows):
        y = TOP + 26.0 * i + 13
        found = one.estimate
        names.append((y, f"π = {one.relevance:g}, F ≈ {one.f:.{0 if one.f >= 10 else 1}f}"))
        lines.append(Line("s0", (frame.x(found.low), y, frame.x(found.high), y)))
        points.append(_median(frame, "s0", found, y))
    return Plot("A weaker email", "5 % to 95 % range of 2SLS", height, left, frame.x_ticks(), tuple(names),
                tuple(lines), tuple(points), _RANGE, rows=True)  # fmt: skip
