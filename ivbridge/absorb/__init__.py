"""High-dimensional fixed effects: absorbed instead of written as columns.

By the theorem of Frisch, Waugh and Lovell the coefficients of the other terms, their residuals and their scores are
those of the regression on all dummies when every column is replaced by what the dummies leave of it.

=========================================  ===========================================================================
:mod:`~ivbridge.absorb.codes`              factors as integer codes; rows that a factor alone explains
:mod:`~ivbridge.absorb.graph`              components: how many dummies depend on others
:mod:`~ivbridge.absorb.normal`             the normal equations of all dummies
:mod:`~ivbridge.absorb.schur`              their exact solution, where all factors but one are small
:mod:`~ivbridge.absorb.iterated`           their solution by iteration, where two factors are large
:mod:`~ivbridge.absorb.within`             what fixed effects leave of columns
:mod:`~ivbridge.absorb.dof`                how many coefficients the effects count for: fixest's and reghdfe's rules
:mod:`~ivbridge.absorb.dummies`            the same question with dummies
=========================================  ===========================================================================
"""

from __future__ import annotations

__all__: list[str] = []
