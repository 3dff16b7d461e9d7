"""The same estimates from data that no memory holds, or that lie on several machines."""

from __future__ import annotations

__all__: list[str] = []
