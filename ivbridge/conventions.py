"""When a gap is exactly a known convention: the small-sample factors and the reference distribution.

Each rule is one line of arithmetic with the sentence that names it. A rule explains a disagreement only if everything
that no vcov touches agrees already, and the whole covariance matrix follows the rule to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from ivbridge.gaps import Gap
from ivbridge.results import Estimate

__all__ = ["explain"]

#: What a vcov or a reference distribution can change; everything else must agree.
_MOVED = ("cov", "std.error", "statistic", "p.value", "conf.low", "conf.high", "test ", "first stage ")


def explain(reference: Estimate, candidate: Estimate, gaps: Sequence[Gap]) -> str:
    """Name the convention that turns the reference into the candidate; empty where none does."""
    if any(not gap.ok for gap in gaps if not gap.quantity.startswith(_MOVED)):
        return ""
    if all(gap.ok for gap in gaps if gap.quantity in ("cov", "std.error")):
        if reference.df != candidate.df:
            return (
                f"the covariances agree; p-values and intervals differ because {reference.engine} uses "
                f"{_distribution(reference.df)} and {candidate.engine} {_distribution(candidate.df)}"
            )
        return ""
    return _scaling(reference, candidate, gaps)


def _distribution(df: float) -> str:
    return "the normal distribution" if math.isinf(df) else f"t with {df:g} degrees of freedom"


def _factors(estimate: Estimate) -> dict[str, float]:
    n, k = estimate.n, len(estimate.terms)
    found = {"n/(n−k)": n / (n - k), "n/(n−1)": n / (n - 1), "(n−1)/(n−k)": (n - 1) / (n - k)}
    for name, codes in estimate.seen.groups.items():
        count = int(codes.max()) + 1
        if count > 1:
            found[f"G/(G−1) of {name}"] = count / (count - 1)
    return found


def _scaling(reference: Estimate, candidate: Estimate, gaps: Sequence[Gap]) -> str:
    """A single factor between the two covariance matrices that is a product of at most two known ones."""
    tolerance = 4 * max((gap.bound for gap in gaps if gap.quantity == "cov"), default=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):  # a variance may be zero or negative: then no factor is found
        diagonal = np.sqrt(np.diag(reference.cov))
        ratio = float(np.median(np.diag(candidate.cov) / np.diag(reference.cov)))
        residual = np.abs(candidate.cov - ratio * reference.cov) / np.outer(diagonal, diagonal)
    if not residual.max() <= tolerance * max(ratio, 1.0):
        return ""
    known = _factors(reference)
    names = [(name,) for name in known] + list(combinations(known, 2))
    for members in names:
        factor = math.prod(known[name] for name in members)
        text = " × ".join(members)
        for value, root in ((factor, f"√({text})"), (1 / factor, f"1/√({text})")):
            if abs(ratio / value - 1) <= tolerance:
                return (
                    f"{candidate.engine}'s standard errors are {reference.engine}'s × {root}: {reference.engine} has "
                    f"{reference.spec.vcov}, {candidate.engine} {candidate.spec.vcov}"
                )
    return ""
