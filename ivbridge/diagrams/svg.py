"""A diagram as SVG: light and dark, without scripts, fonts or programs of others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from ivbridge.diagrams.graph import Diagram, common_cause
from ivbridge.diagrams.layout import HEIGHT, POINT, Layout, arrange
from ivbridge.diagrams.paths import causal_paths, open_paths
from ivbridge.diagrams.text import write

__all__ = ["draw"]

#: Colours of Okabe and Ito; those for dark pages are lighter shades of them.
_STYLE = """
.dag { --ink: #222222; --soft: #6b6b6b; --paper: #ffffff; --cause: #007a5a; --bias: #c24e00; --treat: #dcebf7;
  --treat-line: #0072b2; --dep: #fbe9c6; --dep-line: #a86f00; --fixed: #e4e4e4; color-scheme: light dark;
  font: 14px "DejaVu Sans", Verdana, system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { .dag { --ink: #ececec; --soft: #a5a5a5; --paper: #1b1c1f; --cause: #4fd0a5;
  --bias: #ff9a5c; --treat: #173a55; --treat-line: #7cc0ee; --dep: #4a3706; --dep-line: #f0c05a; --fixed: #45464b; } }
.dag .node { fill: var(--paper); stroke: var(--ink); stroke-width: 1.3; }
.dag .latent { stroke: var(--soft); stroke-dasharray: 4 3; }
.dag .treatment { fill: var(--treat); stroke: var(--treat-line); stroke-width: 2; }
.dag .dependent { fill: var(--dep); stroke: var(--dep-line); stroke-width: 2; }
.dag .adjusted { fill: var(--fixed); stroke-width: 2.4; }
.dag text { fill: var(--ink); text-anchor: middle; dominant-baseline: central; }
.dag text.hidden { fill: var(--soft); font-style: italic; }
.dag text.legend { fill: var(--soft); font-size: 11.5px; text-anchor: start; }
.dag .arrow { fill: none; stroke: var(--soft); stroke-width: 1.4; }
.dag .causal { stroke: var(--cause); stroke-width: 2.4; }
.dag .biasing { stroke: var(--bias); stroke-width: 2.4; }
.dag .arc { stroke-dasharray: 5 4; }
.dag .head { fill: var(--soft); } .dag .head-causal { fill: var(--cause); } .dag .head-biasing { fill: var(--bias); }
"""
_KINDS = {"": "arrow", "causal": "arrow causal", "biasing": "arrow biasing"}
_LEGEND = {"causal": "the effect", "biasing": "open path that is not the effect"}
#: Height of the line below the drawing, width of a letter in it.
_FOOT, _LETTER = 24, 6.5


@dataclass(frozen=True)
class _Drawn:
    diagram: Diagram
    layout: Layout
    kinds: dict[tuple[str, str], str]
    marks: dict[str, str]


def draw(
    diagram: Diagram, treatment: str | None = None, dependent: str | None = None, adjusted: Iterable[str] = ()
) -> str:
    """Draw a diagram.

    Parameters
    ----------
    diagram : Diagram
    treatment, dependent : str, optional
        Two nodes; the ways of the effect and the open paths that are not part of it get a colour of their own.
    adjusted : iterable of str
        Nodes held fixed: drawn as boxes, and they open and close paths.

    Returns
    -------
    str
        One ``<svg>`` element that stands alone as a file and inside a page. Unobserved nodes are dashed.

    Raises
    ------
    DiagramError
        If a node is unknown.
    """
    fixed = tuple(adjusted)
    ends = [name for name in (treatment, dependent) if name is not None]
    diagram.check(*ends, *fixed)
    kinds: dict[tuple[str, str], str] = {}
    if treatment is not None and dependent is not None:
        for kind, paths in (
            ("causal", causal_paths(diagram, treatment, dependent)),
            ("biasing", open_paths(diagram, treatment, dependent, fixed)),
        ):
            for path in paths:
                for one, other in pairwise(path):
                    kinds.setdefault((one, other) if diagram.digraph.has_edge(one, other) else (other, one), kind)
    marks = dict.fromkeys(diagram.latent, "latent") | dict.fromkeys(fixed, "adjusted")
    marks |= {name: mark for name, mark in ((treatment, "treatment"), (dependent, "dependent")) if name is not None}
    return _page(_Drawn(diagram, arrange(diagram, ends), kinds, marks))


def _page(drawn: _Drawn) -> str:
    width, height = drawn.layout.size
    legend = _legend(drawn, height)
    if legend:
        height += _FOOT
        width = max(width, 28 + _LETTER * sum(len(text) + 8 for _, text in _entries(drawn)))
    about = escape("; ".join(write(drawn.diagram).splitlines()))
    heads = "".join(
        f'<marker id="ivb-{kind or "plain"}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="9" markerHeight="9" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path class="{f"head-{kind}" if kind else "head"}" '
        'd="M0 0L10 5L0 10z"/></marker>'
        for kind in _KINDS
    )
    body = "\n".join([*_arrows(drawn), *_nodes(drawn), *legend])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dag" role="img" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}">\n<title>Causal diagram</title>\n<desc>{about}</desc>\n'
        f"<style>{_STYLE}</style>\n<defs>{heads}</defs>\n{body}\n</svg>\n"
    )


def _arrows(drawn: _Drawn) -> list[str]:
    hidden = {common_cause(arc) for arc in drawn.diagram.arcs}
    lines = []
    for (cause, effect), bends in drawn.layout.bends.items():
        kind = drawn.kinds.get((cause, effect), "")
        start, end = drawn.layout.centres[cause], drawn.layout.centres[effect]
        left = (start[0] + drawn.layout.widths[cause] / 2, start[1])
        right = (end[0] - drawn.layout.widths[effect] / 2 - 1, end[1])
        style = _KINDS[kind] + (" arc" if cause in hidden or cause in drawn.diagram.latent else "")
        lines.append(
            f'<path class="{style}" marker-end="url(#ivb-{kind or "plain"})" d="{_curve([left, *bends, right])}"/>'
        )
    return lines


def _curve(points: Sequence[tuple[float, float]]) -> str:
    """A smooth line through points from left to right: cubic pieces, the tangent at a point that of its neighbours."""
    slopes = [0.0] * len(points)
    for i in range(1, len(points) - 1):
        (x0, y0), (x1, y1) = points[i - 1], points[i + 1]
        slopes[i] = (y1 - y0) / (x1 - x0)
    if len(points) > 2:
        slopes[0] = (points[1][1] - points[0][1]) / (points[1][0] - points[0][0])
        slopes[-1] = (points[-1][1] - points[-2][1]) / (points[-1][0] - points[-2][0])
    else:
        slopes = [(points[1][1] - points[0][1]) / max(points[1][0] - points[0][0], 1.0)] * 2
    text = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for ((x0, y0), s0), ((x1, y1), s1) in pairwise(zip(points, slopes, strict=True)):
        third = (x1 - x0) / 3
        text += f"C{x0 + third:.1f} {y0 + third * s0:.1f} {x1 - third:.1f} {y1 - third * s1:.1f} {x1:.1f} {y1:.1f}"
    return text


def _nodes(drawn: _Drawn) -> list[str]:
    lines = []
    for name, (x, y) in drawn.layout.centres.items():
        mark, width = drawn.marks.get(name, ""), drawn.layout.widths[name]
        if name not in drawn.diagram.nodes:
            lines.append(f'<circle class="node latent" cx="{x:.1f}" cy="{y:.1f}" r="{POINT / 2}"/>')
            continue
        radius = 2 if mark == "adjusted" else HEIGHT / 2
        lines.append(
            f'<rect class="{f"node {mark}".strip()}" x="{x - width / 2:.1f}" y="{y - HEIGHT / 2:.1f}" '
            f'width="{width:.1f}" height="{HEIGHT:.0f}" rx="{radius:.0f}"/>'
        )
        hidden = ' class="hidden"' if mark == "latent" else ""
        lines.append(f'<text{hidden} x="{x:.1f}" y="{y:.1f}">{escape(name)}</text>')
    return lines


def _entries(drawn: _Drawn) -> list[tuple[str, str]]:
    """What the line below the drawing explains: only what is drawn."""
    shown = [(kind, text) for kind, text in _LEGEND.items() if kind in drawn.kinds.values()]
    if drawn.diagram.hidden:
        shown.append(("latent", "not observed"))
    if "adjusted" in drawn.marks.values():
        shown.append(("adjusted", "held fixed"))
    return shown


def _legend(drawn: _Drawn, top: float) -> list[str]:
    lines, x, y = [], 14.0, top + 6
    for kind, text in _entries(drawn):
        if kind in _LEGEND:
            lines.append(f'<path class="{_KINDS[kind]}" d="M{x:.1f} {y:.1f}h22"/>')
        else:
            corner = 1 if kind == "adjusted" else 5
            lines.append(
                f'<rect class="node {kind}" x="{x:.1f}" y="{y - 5:.1f}" width="22" height="10" rx="{corner}"/>'
            )
        lines.append(f'<text class="legend" x="{x + 28:.1f}" y="{y:.1f}">{escape(text)}</text>')
        x += 28 + _LETTER * len(text) + 18
    return lines
