"""Functions of a Gaussian kernel in coordinates: what turns kernel methods into ridge regressions.

Landmarks are some rows. Functions that are sums of bumps at the landmarks have as many coordinates as there are
landmarks; with the coordinates φ(v) here, k(v, v') is φ(v)·φ(v') up to what the landmarks leave out, and exactly so if
one of both is a landmark. With all rows as landmarks nothing is left out (Williams & Seeger 2001, Using the Nyström
method to speed up kernel machines, Eq. 8).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import pdist

from ivbridge.iv_ml.predictors.kernel import KernelExpansion, gaussian
from ivbridge.records import FloatArray

__all__ = ["KernelFeatures", "median_width"]

#: Directions with a smaller part of the largest eigenvalue are rounding.
_TINY = 1e-13


def median_width(points: FloatArray) -> float:
    """Median squared distance of two rows that differ; 1 if all rows are equal."""
    between = pdist(points, "sqeuclidean")
    between = between[between > 0]
    return float(np.median(between)) if len(between) else 1.0


@dataclass(frozen=True, slots=True, eq=False)
class KernelFeatures:
    """Coordinates of a Gaussian kernel.

    Attributes
    ----------
    landmarks : (s, d) array
    width : float
        Of the kernel, in squared units of the columns.
    root : (s, r) array
        A root of the pseudo-inverse of the landmarks' kernel; r ≤ s.
    """

    landmarks: FloatArray
    width: float
    root: FloatArray

    @classmethod
    def of(cls, landmarks: FloatArray) -> KernelFeatures:
        """Take these landmarks, and the median of their squared distances as the width."""
        width = median_width(landmarks)
        values, vectors = np.linalg.eigh(gaussian(landmarks, landmarks, width))
        kept = values > _TINY * values[-1]
        return cls(landmarks, width, vectors[:, kept] / np.sqrt(values[kept]))

    def __call__(self, points: FloatArray) -> FloatArray:
        """φ of each row, (n, r)."""
        return gaussian(points, self.landmarks, self.width) @ self.root

    def expansion(self, coordinates: FloatArray) -> KernelExpansion:
        """The function φ(v)·coordinates."""
        return KernelExpansion(self.landmarks, self.root @ coordinates, self.width)
