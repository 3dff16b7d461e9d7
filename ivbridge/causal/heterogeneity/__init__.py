"""Do effects differ, and does a ranking of units by predicted effect hold on units that it has not seen?

Scores whose mean is the effect (:mod:`~ivbridge.causal.heterogeneity.scores`) judge predictions that were learned from
other units: the calibration test and group averages (`calibration`), rank-weighted effects (`rate`), curves
(`uplift_curve`), the value of treating the first q per cent (`policy`), and the gate before any ranking (`gate`).
"""

from __future__ import annotations

__all__: list[str] = []
