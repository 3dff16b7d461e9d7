"""Sensitivity to hidden causes: how strong one would have to be to change a conclusion."""

from __future__ import annotations

__all__: list[str] = []
