"""Compared numbers in the groups that a reader thinks in, for tables of digits."""

from __future__ import annotations

from dataclasses import dataclass

from ivbridge.agreement import Comparison
from ivbridge.gaps import Gap

__all__ = ["GROUPS", "GroupDigits", "digits_by_group", "group_of"]

#: Groups in the order of the tables; see :func:`group_of`.
GROUPS = (
    "coefficients",
    "std. errors",
    "covariance",
    "statistics",
    "p-values",
    "intervals",
    "residuals",
    "fitted",
    "diagnostics",
    "first stage",
)
_OF_QUANTITY = {
    "estimate": "coefficients",
    "std.error": "std. errors",
    "cov": "covariance",
    "statistic": "statistics",
    "p.value": "p-values",
    "conf.low": "intervals",
    "conf.high": "intervals",
    "resid": "residuals",
    "fitted": "fitted",
}


@dataclass(frozen=True, slots=True)
class GroupDigits:
    """One cell of the table.

    Attributes
    ----------
    worst : Gap
        The number with the fewest agreeing digits.
    compared, failed : int
        Numbers compared, and those that differ by more than rounding explains.
    """

    worst: Gap
    compared: int
    failed: int


def group_of(quantity: str) -> str:
    """The group of a :class:`~ivbridge.gaps.Gap`'s quantity; tests, R², sigma and df are ``diagnostics``."""
    return "first stage" if quantity.startswith("first stage") else _OF_QUANTITY.get(quantity, "diagnostics")


def digits_by_group(comparison: Comparison) -> dict[str, GroupDigits]:
    """The groups of one comparison that hold a number, in the order of :data:`GROUPS`."""
    members: dict[str, list[Gap]] = {}
    for gap in comparison.gaps:
        members.setdefault(group_of(gap.quantity), []).append(gap)
    return {
        group: GroupDigits(
            worst=min(members[group], key=lambda gap: gap.digits),
            compared=len(members[group]),
            failed=sum(not gap.ok for gap in members[group]),
        )
        for group in GROUPS
        if group in members
    }
