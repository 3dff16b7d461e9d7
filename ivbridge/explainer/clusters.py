"""Clustered covariances under many rules: the sums over clusters are made once for each fit.

:func:`ivbridge.sandwich.covariance` has one rule at a time; a search asks for dozens on the same clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from weakref import WeakKeyDictionary

import numpy as np

from ivbridge.linear import Linear
from ivbridge.records import FloatArray, IntArray
from ivbridge.vcov import Clustered

__all__ = ["TWO_WAY", "clustered", "two_way"]

Groups = Mapping[str, IntArray]

#: Covariance without any factor and number of clusters, by the columns whose intersection the clusters are.
_Parts = dict[tuple[str, ...], tuple[FloatArray, int]]
_known: WeakKeyDictionary[Linear, _Parts] = WeakKeyDictionary()


def _part(model: Linear, by: tuple[str, ...], groups: Groups) -> tuple[FloatArray, int]:
    parts = _known.setdefault(model, {})
    if by not in parts:
        codes = groups[by[0]] if by else np.arange(model.n)
        for name in by[1:]:
            joint = codes * (int(groups[name].max()) + 1) + groups[name]
            codes = np.unique(joint, return_inverse=True)[1]
        # coordinates in which collinear columns cost no digits, as in ivbridge.sandwich
        q = model.basis.q if model.weights is None else model.basis.q / np.sqrt(model.weights)[:, None]
        side = model.inverse if model.k_class is None else model.bread @ model.basis.r.T
        sums = q * model.working[:, None]
        if by:
            order = np.argsort(codes, kind="stable")
            starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
            sums = np.add.reduceat(sums[order], starts, axis=0)
        parts[by] = np.asarray(side @ (sums.T @ sums) @ side.T), len(sums)
    return parts[by]


def clustered(model: Linear, vcov: Clustered, groups: Groups) -> FloatArray:
    """The covariance matrix of a fit, (k, k), as :func:`ivbridge.sandwich.covariance` defines it."""
    # R's default type looks at the class of the fit: HC1 for lm, HC0 for everything else
    kind = vcov.type or ("HC1" if model.instruments is None else "HC0")
    n, k = model.n, model.k
    total = np.zeros((k, k))
    for size in range(1, len(vcov.by) + 1):
        for members in combinations(vcov.by, size):
            single = vcov.multi0 and size == len(vcov.by) > 1
            part, count = _part(model, () if single else members, groups)
            factor = count / (count - 1) if vcov.cadjust and not single else 1.0
            if single and kind == "HC1":
                factor = (n - k) / (n - 1)
            total += (-1) ** (size + 1) * factor * part
    return np.asarray((n - 1) / (n - k) * total if kind == "HC1" else total)


def two_way(
    model: Linear, vcov: Clustered, groups: Groups, rule: Callable[[list[FloatArray], list[int]], FloatArray]
) -> FloatArray:
    """The covariance matrix, (k, k), of two cluster dimensions by one of :data:`TWO_WAY`.

    Parameters
    ----------
    model : Linear
    vcov : Clustered
        Two columns; its type decides about (n − 1)/(n − k).
    groups : mapping of column name to (n,) codes
    rule : callable
    """
    first, second = vcov.by
    parts, counts = zip(*(_part(model, by, groups) for by in ((first,), (second,), vcov.by)), strict=True)
    scale = (model.n - 1) / (model.n - model.k) if vcov.type == "HC1" else 1.0
    return np.asarray(scale * rule(list(parts), list(counts)))


def _smallest(parts: list[FloatArray], counts: list[int]) -> FloatArray:
    least = min(counts)
    return np.asarray(least / (least - 1) * (parts[0] + parts[1] - parts[2]))


def _no_intersection(parts: list[FloatArray], counts: list[int]) -> FloatArray:
    return np.asarray(sum(g / (g - 1) * part for g, part in zip(counts[:2], parts[:2], strict=True)))


def _positive(parts: list[FloatArray], counts: list[int]) -> FloatArray:
    """Eigenvalues below zero set to zero (Cameron, Gelbach & Miller 2011, section 2.3)."""
    factors = [g / (g - 1) for g in counts]
    total = factors[0] * parts[0] + factors[1] * parts[1] - factors[2] * parts[2]
    values, vectors = np.linalg.eigh(total)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)


#: Formulas for two dimensions that sandwich does not have: key, text, rule.
TWO_WAY = (
    ("cluster.smallest_g", "G/(G−1) of the smallest dimension is applied to all of them", _smallest),
    ("cluster.no_intersection", "the intersection is not subtracted", _no_intersection),
    ("cluster.positive", "negative eigenvalues are set to zero", _positive),
)
