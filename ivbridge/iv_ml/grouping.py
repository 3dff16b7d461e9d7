"""A fitted grouping: from (t, x) to probabilities of groups, labels and instruments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ivbridge.iv_ml.generated import Coding, coded
from ivbridge.iv_ml.mixture_regression import weighted_regression, whitened
from ivbridge.iv_ml.mixtures import Mixture
from ivbridge.iv_ml.representation import Representation
from ivbridge.records import FloatArray, IntArray

__all__ = ["Assignment", "Grouping", "by_rule"]

Assignment = Literal["hard", "sampled", "soft"]


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """What assigns rows to groups; called with t (n,) and x (n, m), it gives their instruments (n, q).

    Attributes
    ----------
    represent : Representation
    mixture : Mixture
    order : (K,) int array
        The mixture's groups in the order in which they are numbered.
    assignment : {"hard", "sampled", "soft"}
    coding : {"onehot", "label"}
    seed : int
        For "sampled": the same rows in the same order get the same labels.
    """

    represent: Representation
    mixture: Mixture
    order: IntArray
    assignment: Assignment
    coding: Coding
    seed: int

    def __call__(self, t: FloatArray, x: FloatArray) -> FloatArray:
        return self.instruments(self.probabilities(t, x))

    def probabilities(self, t: FloatArray, x: FloatArray) -> FloatArray:
        """Of each group in each row, (n, K)."""
        return self.mixture.probabilities(self.represent(x), t)[:, self.order]

    def labels(self, probabilities: FloatArray) -> IntArray:
        """The most probable group of each row; for "sampled" a group drawn with these probabilities."""
        if self.assignment != "sampled":
            return np.asarray(probabilities.argmax(axis=1))
        drawn = np.random.default_rng([self.seed, 0xD]).random((len(probabilities), 1))
        return np.asarray((probabilities.cumsum(axis=1)[:, :-1] < drawn).sum(axis=1))

    def instruments(self, probabilities: FloatArray) -> FloatArray:
        """The probabilities themselves for "soft", else the labels as they are to be coded."""
        if self.assignment == "soft":
            return probabilities
        return coded(self.labels(probabilities), probabilities.shape[1], self.coding)


def by_rule(probabilities: FloatArray, r: FloatArray, t: FloatArray) -> IntArray:
    """Groups in the order in which a single number tells most about them: neighbours assign treatments alike.

    It is the order along the first principal component of the groups' regressions of T on R, in the direction in which
    T rises. It does not depend on the order given, and matters only where the label is used as a number.
    """
    design, _ = whitened(r)
    rules = np.array([weighted_regression(design, t, own) for own in probabilities.T])
    left, sizes, _ = np.linalg.svd(rules - rules.mean(axis=0), full_matrices=False)
    along = left[:, 0] * sizes[0]
    levels = rules @ design.mean(axis=0)  # mean treatment if all rows were in the group
    rises = float(along @ (levels - levels.mean()))
    return np.argsort(along if rises >= 0 else -along, kind="stable")
