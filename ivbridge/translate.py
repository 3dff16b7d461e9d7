"""Write a question in the language of R, linearmodels or Stata."""

from __future__ import annotations

from ivbridge.formula import Roles

__all__ = ["to_linearmodels", "to_r", "to_stata"]


def to_r(roles: Roles) -> str:
    """Write R's two-part formula.

    Parameters
    ----------
    roles : Roles
        What the formula says.

    Returns
    -------
    str
        For example ``"y ~ w + x | w + z"``; ``"y ~ w | w"`` for least squares; ``- 1`` last in both parts where there
        is no intercept; an offset stands at the end of the first part.
    """
    parts = []
    for excluded, offset in ((roles.endog, roles.offset), (roles.instruments, None)):
        terms = [*roles.exog, *excluded]
        bare = "1" if roles.intercept else "0"
        shown = (terms or [bare]) + ([] if offset is None else [f"offset({offset})"])
        parts.append(" + ".join(shown) + (" - 1" if terms and not roles.intercept else ""))
    return f"{roles.dependent} ~ {parts[0]} | {parts[1]}"


def to_linearmodels(roles: Roles) -> str:
    """Write the formula of ``linearmodels.IV2SLS.from_formula``."""
    terms = " + ".join(["1" if roles.intercept else "0", *roles.exog])
    return f"{roles.dependent} ~ {terms} + [{' + '.join(roles.endog)} ~ {' + '.join(roles.instruments)}]"


def to_stata(roles: Roles, weights: str | None = None) -> str:
    """Write a line of a Stata do-file."""
    return f"ivregress 2sls {roles.dependent}" + (f" [aw={weights}]" if weights else "")
