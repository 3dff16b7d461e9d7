"""Why two answers differ: a search over known conventions (docs/explanation/why.md)."""

from __future__ import annotations

__all__: list[str] = []
