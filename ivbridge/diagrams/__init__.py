"""Causal diagrams from text: what identifies an effect, what must not be held fixed, and why; drawn as SVG.

>>> from ivbridge import diagrams
>>> report = diagrams.examine("x -> y; x <- u -> y; u [latent]; z -> x", "x", "y")
>>> report.found.by, report.found.instruments[0].name
('instrument', 'z')
"""

from __future__ import annotations

from ivbridge.diagrams.graph import Diagram
from ivbridge.diagrams.identify import Identification, identify, is_adjustment
from ivbridge.diagrams.implications import implications
from ivbridge.diagrams.reasons import judge_adjustment, reasons
from ivbridge.diagrams.report import DiagramReport, examine
from ivbridge.diagrams.svg import draw
from ivbridge.diagrams.text import parse, write

__all__ = [
    "Diagram",
    "DiagramReport",
    "Identification",
    "draw",
    "examine",
    "identify",
    "implications",
    "is_adjustment",
    "judge_adjustment",
    "parse",
    "reasons",
    "write",
]
