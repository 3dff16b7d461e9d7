"""The same question with dummies instead of absorbed effects, for checks on data of moderate size."""

from __future__ import annotations

import dataclasses

from ivbridge.effects import factor_columns
from ivbridge.errors import UnsupportedError
from ivbridge.expr import quote_name
from ivbridge.spec import IVSpec

__all__ = ["with_dummies"]


def with_dummies(spec: IVSpec) -> IVSpec:
    """Write absorbed effects as ``factor()`` terms, which every engine reads; a question without any as it is.

    Coefficients, residuals, HC0 and covariances of clusters of type HC0 of the other terms are the same; classical,
    HC1 and degrees of freedom are where ``dof=exact`` counts. Singletons are kept.

    Raises
    ------
    UnsupportedError
        If a factor is a combination of columns (``f^g``), for which there is no term without empty cells.
    """
    if spec.absorb is None:
        return spec
    terms = []
    for factor in spec.absorb.factors:
        columns = factor_columns(factor)
        if len(columns) > 1:
            what = f"{factor} has a dummy for each combination that occurs, which no term of R's formulas gives."
            raise UnsupportedError(what, do="make a column of the combinations, and absorb that.")
        terms.append(f"factor({quote_name(columns[0])})")
    exog = (*spec.exog, *(term for term in terms if term not in spec.exog))
    return dataclasses.replace(spec, exog=exog, absorb=None)
