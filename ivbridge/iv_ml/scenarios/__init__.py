"""Worlds in which units come from sources with their own treatment rule and the label of the source is lost."""

from __future__ import annotations

__all__: list[str] = []
