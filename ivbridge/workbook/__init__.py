"""A widely copied notebook on causal inference, run again: every number that it prints, and what is right instead.

``ivbridge workbook`` prints the summary and writes the tables behind ``docs/notebook.md``.
"""

from __future__ import annotations

__all__: list[str] = []
