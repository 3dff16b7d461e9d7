"""A randomised email as an instrument, with every assumption broken once and measured: ``ivbridge marketing``.

>>> from ivbridge.marketing.worlds import Campaign
>>> draw = Campaign(confounding=1.0).draw(n=1000, seed=1)
>>> sorted(draw.frame.columns)[:4]
['age', 'conversions', 'email', 'exposure']
"""

from __future__ import annotations

__all__: list[str] = []
