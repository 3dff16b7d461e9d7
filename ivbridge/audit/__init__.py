"""Mistakes of causal analyses, found in the user's own notebook, script or data.

:func:`ivbridge.audit.checking.audit` reads code as a graph of values (:mod:`ivbridge.audit.flow`), never runs it, and
looks for the mistakes that ``checks.toml`` lists; tables are looked at by the roles of their columns.
"""

from __future__ import annotations

__all__: list[str] = []
