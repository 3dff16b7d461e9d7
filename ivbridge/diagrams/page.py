"""The report on a diagram as one HTML file: no scripts, no network, light and dark."""

from __future__ import annotations

import ivbridge
from ivbridge.diagrams.report import DiagramReport
from ivbridge.report.render import fill

__all__ = ["html"]


def html(report: DiagramReport) -> str:
    """One HTML file with the drawing, the findings and the verdict on each node."""
    return fill("diagram.html.j2", r=report, svg=report.svg(), version=ivbridge.__version__)
