"""Estimates from blocks of rows: two passes of sums, small algebra between them.

The first pass adds up cross-products of all columns (constant, exogenous regressors, excluded instruments, endogenous
regressors, dependent variable), the second one products of scores. Both are sums over rows, so rows may lie in memory,
in files or on several machines: whatever is a :class:`~ivbridge.blocks.rows.Rows` can be estimated from.

===========================================  =====================================================================
:mod:`~ivbridge.blocks.rows`                 blocks of rows, and who reads them
:mod:`~ivbridge.blocks.sums`                 the sums of one block, and how two of them are joined
:mod:`~ivbridge.blocks.factor`               triangular factor of all columns; the condition decides how it is made
:mod:`~ivbridge.blocks.regression`           regressions as small algebra on that factor
:mod:`~ivbridge.blocks.solve`                the two passes of one question
===========================================  =====================================================================
"""

from __future__ import annotations

__all__: list[str] = []
