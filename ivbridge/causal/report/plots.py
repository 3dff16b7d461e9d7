"""Geometry of the plots on the page of one effect: what stands where in drawing units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from ivbridge.causal.balance import LARGE, Balance
from ivbridge.causal.records import EffectEstimate
from ivbridge.causal.sensitivity.ovb import OmittedVariables
from ivbridge.records import FloatArray
from ivbridge.report.drawing import FOOT, TOP, Frame, Line, Plot, Point

__all__ = ["curve_plot", "effects_plot", "love_plot", "omitted_plot", "overlap_plot"]

LEFT, ROW = 124.0, 24.0
#: Half-widths of the leading interval that the axis of effects reaches beyond it.
REACH = 5.0
BINS = 20
_Z = 1.959963984540054


def effects_plot(effects: Sequence[EffectEstimate], truth: float | None) -> Plot:
    """One row a method: estimate and 95 % interval; what lies far from the first one is put on the edge.

    Parameters
    ----------
    effects : sequence of EffectEstimate
    truth : float or None
        A line, where it is known.
    """
    low, high = _range(effects, truth)
    height = TOP + ROW * len(effects) + FOOT
    frame = Frame((low, high), (0.0, 1.0), LEFT, height)
    lines, points, names = [], [], []
    if truth is not None:
        lines.append(Line("truth", (frame.x(truth), TOP, frame.x(truth), height - FOOT)))
    for i, one in enumerate(effects):
        y = TOP + ROW * i + ROW / 2
        names.append((y, one.method))
        ends = one.conf_int()
        if all(map(math.isfinite, ends)):
            lines.append(Line("s0", (frame.x(ends[0]), y, frame.x(ends[1]), y)))
        text = f"{one.title}: {one.estimate:.5g}, 95 % interval {ends[0]:.5g} to {ends[1]:.5g}"
        kind = "s0" if frame.inside(one.estimate) else "off" if one.estimate > high else "before"
        points.append(Point(kind, frame.x(one.estimate), y, text))
    label = f"effect on {effects[0].question.dependent}; 95 % intervals"
    return Plot(f"{effects[0].estimand} by method", "estimates and intervals", height, LEFT, frame.x_ticks(5),
                tuple(names), tuple(lines), tuple(points), label, rows=True)  # fmt: skip


def _range(effects: Sequence[EffectEstimate], truth: float | None) -> tuple[float, float]:
    """All intervals, as far as they are near the first one's."""
    ends = [end for one in effects for end in (one.estimate, *one.conf_int()) if math.isfinite(end)]
    first = [end for end in (effects[0].estimate, *effects[0].conf_int()) if math.isfinite(end)]
    half = (max(first) - min(first)) / 2 or abs(first[0]) / 10 or 1.0
    low = max(min(ends), min(first) - REACH * half)
    high = min(max(ends), max(first) + REACH * half)
    if truth is not None:
        low, high = min(low, truth), max(high, truth)
    pad = 0.04 * (high - low) or 1.0
    return low - pad, high + pad


def overlap_plot(score: FloatArray, t: FloatArray) -> Plot:
    """Shares of the treated (first colour) and of the others (second colour) by propensity score."""
    edges = np.linspace(0, 1, BINS + 1)
    arms = [np.histogram(score[t == arm], edges)[0] / (t == arm).sum() for arm in (1, 0)]
    frame = Frame((0.0, 1.0), (0.0, 1.05 * max(arm.max() for arm in arms)), 34.0, 220.0)
    lines = []
    for kind, arm in zip(("s0", "s1"), arms, strict=True):
        heights = [0.0, *arm.tolist(), 0.0]
        for i, (before, after) in enumerate(pairwise(heights)):
            at = float(edges[i])
            if before != after:
                lines.append(frame.segment(kind, at, before, at, after))
            if after and i < BINS:
                lines.append(frame.segment(kind, at, after, float(edges[i + 1]), after))
    about = f"shares of {int(t.sum())} treated and {int((1 - t).sum())} other units by propensity score"
    return Plot("Propensity scores", about, 220.0, 34.0, frame.x_ticks(5), frame.y_ticks(4), tuple(lines), (),
                "propensity score")  # fmt: skip


def love_plot(found: Balance) -> Plot:
    """One row a covariate: difference of the arms before (square) and after weighting (disc)."""
    table = found.table
    columns = ["difference", *(["difference after"] if found.weighted else [])]
    far = max(1.1 * float(table[columns].abs().to_numpy().max()), 2 * LARGE)
    height = TOP + ROW * len(table) + FOOT
    frame = Frame((-far, far), (0.0, 1.0), LEFT, height)
    lines = [Line("truth", (frame.x(at), TOP, frame.x(at), height - FOOT)) for at in (-LARGE, LARGE)]
    lines.append(Line("axis", (frame.x(0), TOP, frame.x(0), height - FOOT)))
    points, names = [], []
    for i, (name, row) in enumerate(table.iterrows()):
        y = TOP + ROW * i + ROW / 2
        names.append((y, str(name) if len(str(name)) <= 18 else f"{str(name)[:17]}…"))
        for kind, column in zip(("s1", "s0"), columns, strict=False):
            when = "after weighting" if column.endswith("after") else "before"
            points.append(Point(kind, frame.x(row[column]), y, f"{name} {when}: {row[column]:.3f}"))
    return Plot("Differences of the arms", "before and after weighting", height, LEFT, frame.x_ticks(4), tuple(names),
                tuple(lines), tuple(points), "difference in standard deviations", rows=True)  # fmt: skip


def curve_plot(points: pd.DataFrame, name: str, title: str, label: str) -> Plot:
    """TOC or the Qini curve with bands of 95 % for each point, beside treating at random.

    Parameters
    ----------
    points : DataFrame
        From :func:`ivbridge.causal.heterogeneity.uplift_curve.curve`.
    name : {"toc", "qini"}
    title, label : str
        Heading, and name of the upright axis.
    """
    share, value = points["share"].tolist(), points[name].to_numpy()
    half = _Z * points[f"{name}.error"].to_numpy()
    base = np.zeros(len(points)) if name == "toc" else points["random"].to_numpy()
    every = np.concatenate([value - half, value + half, base, [0.0]])
    pad = 0.05 * float(np.ptp(every)) or 1.0
    frame = Frame((0.0, 1.0), (float(every.min()) - pad, float(every.max()) + pad), 34.0, 220.0)
    lines = [frame.segment("truth", 0, 0, 1, float(base[-1]))]
    for kind, along in (("theory", value - half), ("theory", value + half), ("fit", value)):
        dots = list(zip(share, along.tolist(), strict=True))
        lines += [frame.segment(kind, *one, *other) for one, other in pairwise(dots)]
    return Plot(f"{title}: {label}", f"{label} by share treated", 220.0, 34.0, frame.x_ticks(5), frame.y_ticks(5),
                tuple(lines), (), "share treated, largest predictions first")  # fmt: skip


def omitted_plot(found: OmittedVariables) -> Plot:
    """Strengths of an omitted variable that would halve the estimate, and that would take it away.

    Discs are variables as strong as each covariate, where such strengths fit into the plot.
    """
    scale = (found.estimate / found.std_error) ** 2 / found.df
    reach = min(1.0, 1.6 * found.rv + 0.02)
    frame = Frame((0.0, reach), (0.0, reach), 34.0, 250.0)
    across = np.linspace(1e-6, reach, 200)
    lines = []
    for kind, left in (("fit", 0.0), ("theory", 0.5)):
        upward = scale * (1 - left) ** 2 * (1 - across) / across
        dots = [(a, u) for a, u in zip(across.tolist(), upward.tolist(), strict=True) if u <= reach]
        lines += [frame.segment(kind, *one, *other) for one, other in pairwise(dots)]
    rows = found.bounds[found.bounds["strength"] == found.bounds["strength"].min()]
    points = tuple(
        Point("s0" if up <= reach else "s1", frame.x(across_), frame.y(up), f"as strong as {name}: {after:.4g}")
        for name, across_, up, after in zip(
            rows["covariate"], rows["r2.treatment"], rows["r2.outcome"], rows["estimate"], strict=True
        )
        if math.isfinite(across_) and math.isfinite(up)
    )
    return Plot("Omitted variables", "strengths that halve the estimate or take it away", 250.0, 34.0,
                frame.x_ticks(5), frame.y_ticks(5), tuple(lines), points, "partial R² with the treatment")  # fmt: skip
