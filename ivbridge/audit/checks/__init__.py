"""Checks of code, a family a file."""

from __future__ import annotations

__all__: list[str] = []
