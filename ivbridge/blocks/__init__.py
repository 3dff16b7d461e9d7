"""Estimates from blocks of rows: two passes of sums, small algebra between them.

The first pass adds up cross-products of all columns (constant, exogenous regressors, excluded instruments, endogenous
regressors, dependent variable), the second one products of scores. Both are sums over rows, so rows may lie in memory,
in files or on several machines: whatever is a :class:`~ivbridge.blocks.rows.Rows` can be estimated from.

===========================================  =====================================================================
:mod:`~ivbridge.blocks.small`                linear algebra on small matrices, in double or extended precision
:mod:`~ivbridge.blocks.rows`                 blocks of rows, and who reads them
:mod:`~ivbridge.blocks.sums`                 the sums of one block, and how two of them are joined
:mod:`~ivbridge.blocks.products`             products of all columns with small matrices, to the last digit if needed
:mod:`~ivbridge.blocks.factor`               triangular factor of all columns; the condition decides how it is made
:mod:`~ivbridge.blocks.regression`           regressions as small algebra on that factor
:mod:`~ivbridge.blocks.kclass`               LIML and Fuller from it
:mod:`~ivbridge.blocks.leverage`             leverages, and what HC2 to HC5 divide by
:mod:`~ivbridge.blocks.scores`               the second pass: residuals and sums of products of scores
:mod:`~ivbridge.blocks.correct`              the corrected step that this pass allows
:mod:`~ivbridge.blocks.meats`                from its sums to a covariance matrix
:mod:`~ivbridge.blocks.digits`               for how many digits an answer is good
:mod:`~ivbridge.blocks.solve`                the two passes of one question
:mod:`~ivbridge.blocks.auxiliary`            first stages and the Wu–Hausman regression
:mod:`~ivbridge.blocks.answer`               tests, first stages and residuals, when they are asked for
:mod:`~ivbridge.blocks.residuals`            residuals of every row
:mod:`~ivbridge.blocks.arrays`               matrices in memory as rows
:mod:`~ivbridge.blocks.dependent`            orthonormal columns of every row, for covariances that are no sums
===========================================  =====================================================================
"""

from __future__ import annotations

__all__: list[str] = []
