"""Where the nodes of a diagram stand when it is drawn: causes left of effects, few crossings.

The steps are those of Sugiyama, Tagawa and Toda (1981, IEEE Transactions on Systems, Man, and Cybernetics 11): layers,
a helper node wherever an arrow passes a layer, an order within each layer by the mean place of the neighbours, and
heights that keep arrows straight.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ivbridge.diagrams.graph import Diagram, common_cause

__all__ = ["Layout", "arrange"]

HEIGHT, GAP_X, GAP_Y = 30.0, 62.0, 26.0
#: Width of a letter of the names, on average and in drawing units; of a node without a name; of a helper.
LETTER, POINT, HELPER = 8.5, 9.0, 0.0
SWEEPS = 12


@dataclass(frozen=True)
class Layout:
    """Places in drawing units, y downwards.

    Attributes
    ----------
    centres : dict
        (x, y) of each node, those behind arcs included.
    widths : dict
        Of each node.
    bends : dict
        For each arrow the points between its ends that it passes.
    size : (float, float)
        Width and height of the drawing.
    """

    centres: Mapping[str, tuple[float, float]]
    widths: Mapping[str, float]
    bends: Mapping[tuple[str, str], tuple[tuple[float, float], ...]]
    size: tuple[float, float]


def arrange(diagram: Diagram, baseline: Sequence[str] = ()) -> Layout:
    """Place the nodes of a diagram.

    Parameters
    ----------
    diagram : Diagram
    baseline : sequence of str
        Nodes that stand on one height where that is possible: treatment and dependent variable.
    """
    hidden = [common_cause(arc) for arc in diagram.arcs]
    arrows = [*diagram.arrows, *((name, end) for name, arc in zip(hidden, diagram.arcs, strict=True) for end in arc)]
    layer = _layers([*diagram.nodes, *hidden], arrows)
    chains = {arrow: _chain(arrow, layer) for arrow in arrows}
    for chain in chains.values():
        layer |= {name: layer[chain[0]] + step for step, name in enumerate(chain)}
    links = [link for chain in chains.values() for link in pairwise(chain)]
    rows = [[name for name in layer if layer[name] == at] for at in range(max(layer.values()) + 1)]
    rows = _ordered(rows, links)
    widths = {name: _width(name, diagram) for name in layer}
    heights = _heights(rows, links, widths, set(baseline))
    lefts = _columns(rows, widths)
    centres = {name: (lefts[layer[name]], heights[name]) for name in layer}
    down = 14 + HEIGHT / 2 - min(heights.values())
    centres = {name: (x, y + down) for name, (x, y) in centres.items()}
    size = (
        max(x + widths[name] / 2 for name, (x, _) in centres.items()) + 14,
        max(y for _, y in centres.values()) + HEIGHT / 2 + 14,
    )
    bends = {arrow: tuple(centres[name] for name in chain[1:-1]) for arrow, chain in chains.items()}
    return Layout({name: centres[name] for name in (*diagram.nodes, *hidden)}, widths, bends, size)


def _width(name: str, diagram: Diagram) -> float:
    if name in diagram.nodes:
        return max(34.0, 18 + LETTER * len(name))
    return HELPER if "\0" in name else POINT


def _chain(arrow: tuple[str, str], layer: Mapping[str, int]) -> list[str]:
    """The ends of an arrow and a helper in each layer between them; no text can name a helper."""
    cause, effect = arrow
    between = range(layer[cause] + 1, layer[effect])
    return [cause, *(f"{cause}\0{effect}\0{at}" for at in between), effect]


def _layers(nodes: Sequence[str], arrows: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Longest way from a node without causes; such a node itself stands right before its first effect."""
    layer = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for cause, effect in arrows:
            layer[effect] = max(layer[effect], layer[cause] + 1)
    caused = {effect for _, effect in arrows}
    for name in nodes:
        effects = [layer[effect] for cause, effect in arrows if cause == name]
        if name not in caused and effects:
            layer[name] = min(effects) - 1
    return layer


def _ordered(rows: list[list[str]], links: Sequence[tuple[str, str]]) -> list[list[str]]:
    """The order with the fewest crossings that sweeps to and fro find."""
    best, fewest = rows, _crossings(rows, links)
    for sweep in range(SWEEPS):
        rows = [list(row) for row in rows]
        forth = sweep % 2 == 0
        for at in range(1, len(rows)) if forth else range(len(rows) - 2, -1, -1):
            fixed = {name: place for place, name in enumerate(rows[at - 1 if forth else at + 1])}
            ends = [(other, one) if forth else (one, other) for one, other in links]
            means = {}
            for place, name in enumerate(rows[at]):
                near = [fixed[other] for me, other in ends if me == name and other in fixed]
                means[name] = sum(near) / len(near) if near else float(place)
            rows[at].sort(key=means.__getitem__)
        if (count := _crossings(rows, links)) < fewest:
            best, fewest = rows, count
    return best


def _crossings(rows: Sequence[Sequence[str]], links: Sequence[tuple[str, str]]) -> int:
    place = {name: (at, i) for at, row in enumerate(rows) for i, name in enumerate(row)}
    ends = sorted((place[one], place[other]) for one, other in links)
    return sum(
        1
        for i, (a, b) in enumerate(ends)
        for c, d in ends[i + 1 :]
        if a[0] == c[0] and (a[1] - c[1]) * (b[1] - d[1]) < 0
    )


def _heights(
    rows: Sequence[Sequence[str]], links: Sequence[tuple[str, str]], widths: Mapping[str, float], level: set[str]
) -> dict[str, float]:
    """Heights near the mean of the neighbours, no two nodes of a layer too near each other."""
    near: dict[str, list[str]] = {name: [] for row in rows for name in row}
    for one, other in links:
        near[one].append(other)
        near[other].append(one)
    step = HEIGHT + GAP_Y
    height = {name: (i - (len(row) - 1) / 2) * step for row in rows for i, name in enumerate(row)}
    for sweep in range(40):
        for row in rows if sweep % 2 == 0 else reversed(rows):
            want = [
                0.0 if name in level
                else sum(height[other] for other in near[name]) / len(near[name]) if near[name]
                else height[name]
                for name in row
            ]  # fmt: skip
            weights = [50.0 if name in level else 1.0 for name in row]
            gaps = [step * (0.6 if not (widths[one] and widths[other]) else 1.0) for one, other in pairwise(row)]
            height |= dict(zip(row, _spread(want, weights, gaps), strict=True))
    return height


def _spread(want: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The weighted least squares places that keep these gaps: pool neighbours that come too near."""
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    blocks: list[tuple[float, float, int]] = []
    for place, weight, offset in zip(want, weights, offsets, strict=True):
        blocks.append((place - offset, weight, 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (one, w, n), (other, v, m) = blocks[-2:]
            blocks[-2:] = [((one * w + other * v) / (w + v), w + v, n + m)]
    level = [at for at, _, count in blocks for _ in range(count)]
    return [at + offset for at, offset in zip(level, offsets, strict=True)]


def _columns(rows: Sequence[Sequence[str]], widths: Mapping[str, float]) -> list[float]:
    """The x of the middle of each layer."""
    found, right = [], 14.0 - GAP_X
    for row in rows:
        widest = max(widths[name] for name in row)
        found.append(right + GAP_X + widest / 2)
        right += GAP_X + widest
    return found
