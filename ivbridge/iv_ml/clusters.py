"""K-means, with the starts of k-means++.

Source: Arthur, Vassilvitskii (2007), k-means++: the advantages of careful seeding, section 2.2; Lloyd's algorithm.
"""

from __future__ import annotations

import numpy as np

from ivbridge.errors import DesignError
from ivbridge.records import FloatArray, IntArray

__all__ = ["kmeans", "nearest"]

_STEPS = 300


def kmeans(values: FloatArray, groups: int, seed: int = 0, starts: int = 10) -> tuple[IntArray, FloatArray]:
    """The partition with the smallest sum of squares, of those that the starts led to.

    Parameters
    ----------
    values : (n, d) array
        In units in which distances mean something.
    groups : int
    seed : int
    starts : int, default 10

    Returns
    -------
    labels : (n,) int array
        0 … groups-1.
    centers : (groups, d) array

    Raises
    ------
    DesignError
        If there are fewer different rows than groups.
    """
    different = len(np.unique(values, axis=0))
    if groups < 1 or different < groups:
        raise DesignError(f"{groups} groups of {different} different rows were asked.", do="ask for fewer groups.")
    random = np.random.default_rng([seed, groups, 0xC])
    found = [_lloyd(values, _spread(values, groups, random)) for _ in range(starts)]
    centers = min(found, key=lambda pair: pair[0])[1]
    return nearest(values, centers), centers


def nearest(values: FloatArray, centers: FloatArray) -> IntArray:
    """The nearest centre of each row, (n,)."""
    return np.asarray(_distances(values, centers).argmin(axis=1))


def _distances(values: FloatArray, centers: FloatArray) -> FloatArray:
    """Squared, (n, groups)."""
    apart = (values**2).sum(axis=1)[:, None] - 2 * values @ centers.T + (centers**2).sum(axis=1)
    return np.asarray(np.maximum(apart, 0.0))


def _spread(values: FloatArray, groups: int, random: np.random.Generator) -> FloatArray:
    """Rows drawn one after the other, each with a chance in proportion to the squared distance from those so far."""
    centers = [values[random.integers(len(values))]]
    while len(centers) < groups:
        far = ((values[:, None] - np.array(centers)) ** 2).sum(axis=2).min(axis=1)
        centers.append(values[random.choice(len(values), p=far / far.sum())])
    return np.array(centers)


def _lloyd(values: FloatArray, centers: FloatArray) -> tuple[float, FloatArray]:
    """The sum of squares, and the centres."""
    labels = nearest(values, centers)
    for _ in range(_STEPS):
        sizes = np.bincount(labels, minlength=len(centers))
        sums = np.zeros_like(centers)
        np.add.at(sums, labels, values)
        centers = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centers)
        before, labels = labels, nearest(values, centers)
        if np.array_equal(before, labels):
            break
    return float(((values - centers[labels]) ** 2).sum()), centers
