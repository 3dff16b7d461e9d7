"""The tables and figures of the data-fusion paper, computed again: ``ivbridge study metaem``.

Source: Wu et al. (2023), Learning instrumental variable from data fusion for treatment effect estimation, AAAI.
"""

from __future__ import annotations

__all__: list[str] = []
