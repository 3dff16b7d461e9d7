"""One causal method a file."""

from __future__ import annotations

__all__: list[str] = []
