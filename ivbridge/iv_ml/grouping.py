"""A fitted grouping: from (t, x) to probabilities of groups, labels and instruments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ivbridge.iv_ml.generated import Coding, coded
from ivbridge.iv_ml.mixtures import Mixture
from ivbridge.iv_ml.representation import Representation
from ivbridge.records import FloatArray, IntArray

__all__ = ["Assignment", "Grouping", "by_treatment"]

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


def by_treatment(probabilities: FloatArray, t: FloatArray) -> IntArray:
    """Groups in the order of their mean treatment, so that their numbers do not depend on the start."""
    sizes = np.maximum(probabilities.sum(axis=0), np.finfo(float).tiny)
    return np.argsort(probabilities.T @ t / sizes, kind="stable")
