"""How many coefficients absorbed fixed effects count for.

With G levels of each of Q factors, M components of a pair of factors' graph, and "nested" a factor each of whose levels
lies within one cluster (of any of the cluster columns):

``fixest`` (the default)
    ΣG − (Q − 1): as if the graph were connected. In the factor (n − 1)/(n − k) of clusters a nested factor counts one
    instead of its levels, and one in all where every factor is nested. Source: fixest's ``ssc(K.fixef = "nonnested",
    K.exact = FALSE)``, ``vcov.fixest`` in its R/VCOV.R, and the vignette "On standard-errors" (Bergé 2018); pyfixest's
    ``ssc(k_fixef="nonnested")`` is the same.

``reghdfe``
    ΣG − ΣM, where M is 0 for the first factor and for each later one the largest number of components that it has with
    an earlier one: exact for two factors, an upper bound of the coefficients for more. In the factor of clusters nested
    factors do not count at all, the others are paired among themselves, and one is added where any is nested. Source:
    ``dofadjustments(pairwise clusters)``, its default, in the help file of reghdfe 6 and in ``estimate_dof`` (Correia
    2017; Abowd, Creecy & Kramarz 2002 for the components).

``exact``
    The number of linearly independent dummies: what R's ``lm`` and ``AER::ivreg`` count where the effects are written
    as ``factor()`` terms. Nested factors count as in any other vcov there, so that nothing is left out for clusters.

Under all three n − k of the classical covariance, of HC1 and of the reference distributions takes the first number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ivbridge.absorb.codes import Codes
from ivbridge.absorb.graph import components
from ivbridge.effects import Counting
from ivbridge.errors import DesignError

__all__ = ["Counted", "count", "is_nested"]

Factors = Sequence[tuple[Codes, int]]


@dataclass(frozen=True, slots=True)
class Counted:
    """Coefficients that the effects count for.

    Attributes
    ----------
    absorbed : int
        In n − k.
    nested : int
        Of these, those that do not count in the factor (n − 1)/(n − k) of clusters.
    """

    absorbed: int
    nested: int


def is_nested(factor: tuple[Codes, int], clusters: npt.NDArray[Any]) -> bool:
    """Whether each level of a factor lies within one cluster, given as codes (n,)."""
    codes, levels = factor
    if codes is clusters:
        return True
    of_level = np.zeros(levels, dtype=np.int64)
    of_level[codes] = clusters
    return bool((of_level[codes] == clusters).all())


def count(rule: Counting, factors: Factors, clusters: Sequence[npt.NDArray[Any]], rank: int | None) -> Counted:
    """Count by one of the rules.

    Parameters
    ----------
    rule : {"fixest", "reghdfe", "exact"}
    factors : sequence of ((n,) codes, number of levels)
    clusters : sequence of (n,) arrays of codes
        One for each cluster column; none where rows are their own clusters.
    rank : int or None
        Linearly independent dummies, where that is known.

    Raises
    ------
    DesignError
        If the exact number is asked for and not known.
    """
    nested = [any(is_nested(factor, codes) for codes in clusters) for factor in factors]
    if rule == "exact":
        return Counted(_rank(factors, rank), 0)
    if rule == "fixest":
        absorbed = sum(levels for _, levels in factors) - (len(factors) - 1)
        return Counted(absorbed, sum(levels - 1 for (_, levels), inside in zip(factors, nested, strict=True) if inside))
    absorbed = _pairwise(factors)
    if not any(nested):
        return Counted(absorbed, 0)
    others = [factor for factor, inside in zip(factors, nested, strict=True) if not inside]
    return Counted(absorbed, absorbed - _pairwise(others) - 1)


def _pairwise(factors: Factors) -> int:
    """Levels less reghdfe's redundant ones."""
    total = sum(levels for _, levels in factors)
    for j, factor in enumerate(factors):
        total -= max((components(earlier, factor) for earlier in factors[:j]), default=0)
    return total


def _rank(factors: Factors, rank: int | None) -> int:
    if rank is not None:
        return rank
    if len(factors) == 2:
        return factors[0][1] + factors[1][1] - components(factors[0], factors[1])
    raise DesignError(
        f"The exact number of independent effects of these {len(factors)} factors is not known: more than one is "
        "large, and their effects were found by iteration.",
        do="count with dof=reghdfe, whose number is an upper bound, or dof=fixest.",
    )
