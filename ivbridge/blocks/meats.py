"""From sums of products of scores to a covariance matrix, by the conventions of :mod:`ivbridge.sandwich`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from ivbridge.blocks.regression import Layout, Regression
from ivbridge.blocks.scores import ScoreSums
from ivbridge.clustering import Codes, intersected
from ivbridge.degenerate import refuse_discounts
from ivbridge.errors import UnsupportedError
from ivbridge.records import FloatArray
from ivbridge.vcov import HC0, HC1, HC2, HC3, HC4, HC5, Classical, Clustered, HC4m, Vcov

__all__ = ["check_summable", "covariance", "group_codes", "joint_rank", "needs_meat", "subsets", "summable"]

_SUMMABLE = (Classical, HC0, HC1, HC2, HC3, HC4, HC4m, HC5, Clustered)


def summable(vcov: Vcov) -> bool:
    """Whether sums over rows in any order give the estimator."""
    return isinstance(vcov, _SUMMABLE)


def check_summable(vcov: Vcov) -> None:
    """Refuse estimators that need all rows at once.

    Raises
    ------
    UnsupportedError
    """
    if not summable(vcov):
        raise UnsupportedError(
            f"{vcov} needs all rows in memory and in order; it is no sum over blocks of rows.",
            available="classical, HC0 to HC5, cluster(…)",
            do='ask for one of these, or fit a DataFrame in memory: ivbridge.fit(…, engine="fast").',
        )


def subsets(vcov: Vcov) -> tuple[tuple[str, ...], ...]:
    """The intersections of cluster columns that need codes: all subsets by size, the last one not with ``multi0``."""
    if not isinstance(vcov, Clustered):
        return ()
    sizes = range(1, len(vcov.by) + 1 - (vcov.multi0 and len(vcov.by) > 1))
    return tuple(members for size in sizes for members in combinations(vcov.by, size))


def group_codes(vcov: Vcov, groups: Mapping[str, tuple[Codes, int]]) -> tuple[tuple[Codes, ...], tuple[int, ...]]:
    """Codes 0, 1, … of every subset's intersections, and how many there are.

    Parameters
    ----------
    vcov : Vcov
    groups : mapping of column name to (Codes, int)
        As :func:`ivbridge.clustering.numbered` gives them.
    """
    found = [intersected([groups[name] for name in members]) for members in subsets(vcov)]
    return tuple(codes for codes, _ in found), tuple(count for _, count in found)


def needs_meat(vcov: Vcov) -> bool:
    """Whether products of the scores of single rows are wanted."""
    if isinstance(vcov, Clustered):
        return vcov.multi0 and len(vcov.by) > 1
    return not isinstance(vcov, Classical)


def joint_rank(vcov: Vcov, groups: tuple[int, ...]) -> int | None:
    """The largest rank that the covariance can have; None where only k limits it."""
    return groups[0] - 1 if isinstance(vcov, Clustered) and len(vcov.by) == 1 else None


def covariance(
    model: Regression,
    sums: ScoreSums,
    vcov: Vcov,
    layout: Layout,
    counts: tuple[int, tuple[int, ...]],
    turn: FloatArray,
) -> FloatArray:
    """Of turn·coefficients, (k, k).

    Parameters
    ----------
    model : Regression
        Without instruments it is least squares, of R's class ``lm``.
    sums : ScoreSums
    vcov : Vcov
    layout : Layout
        Which coefficients count besides those of the model.
    counts : tuple
        Rows, and clusters of each subset.
    turn : (k, k) array
        From the coefficients of shifted columns to others. It goes before the products: a constant's variance cancels
        between them where columns are nearly collinear.

    Raises
    ------
    DataError
        If HC2 to HC5 meet a leverage of one.
    """
    n, groups = counts
    k = len(model.coef) + layout.absorbed
    side = turn @ model.root_inverse
    if isinstance(vcov, Classical):
        return np.asarray(sums.rss / (n - k) * (side @ side.T), dtype=float)
    if model.kappa is not None:
        side = side @ (model.root @ model.root_inverse).T
    if isinstance(vcov, Clustered):
        middle = _clustered(model, sums, vcov, (n, k - layout.nested), groups)
    else:
        refuse_discounts(vcov, sums.hopeless, n)
        middle = sums.meat * (n / (n - k)) if isinstance(vcov, HC1) else sums.meat
    return np.asarray(side @ middle @ side.T, dtype=float)


def _clustered(
    model: Regression, sums: ScoreSums, vcov: Clustered, sizes: tuple[int, int], groups: tuple[int, ...]
) -> FloatArray:
    """Inclusion–exclusion over all intersections of the cluster dimensions."""
    n, k = sizes
    # R's default type looks at the class of the fit: HC1 for lm, HC0 for everything else
    kind = vcov.type or ("HC1" if model.instruments is None else "HC0")
    total = np.zeros_like(sums.meat)
    for members, by, count in zip(subsets(vcov), sums.clusters, groups, strict=True):
        factor = count / (count - 1) if vcov.cadjust else 1.0
        total += (-1) ** (len(members) + 1) * factor * (by @ by.T)
    if vcov.multi0 and len(vcov.by) > 1:
        total += (-1) ** (len(vcov.by) + 1) * ((n - k) / (n - 1) if kind == "HC1" else 1.0) * sums.meat
    return (n - 1) / (n - k) * total if kind == "HC1" else total
