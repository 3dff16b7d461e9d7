"""Expectation-maximisation for mixtures, many starts at once, and what a fitted mixture is.

Source: Wu et al. (2023), Learning instrumental variable from data fusion, Eqs. 5-12; Biernacki, Celeux, Govaert (2003),
Choosing starting values for the EM algorithm, section 3.3 (short runs from many starts, then long runs of the best).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from ivbridge.iv_ml.settings import check_range, check_sizes
from ivbridge.records import FloatArray

__all__ = ["Climbed", "Family", "Mixture", "Parameters", "Search", "climb"]

#: Arrays with the start first: (S, …) each.
Parameters = tuple[FloatArray, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """How the largest likelihood is looked for.

    Parameters
    ----------
    starts : int, default 30
        Random ones.
    short : int, default 15
        Steps from each of them; then only the best are followed.
    kept : int, default 10
        Starts that are followed to the end.
    steps : int, default 500
        At most.
    tolerance : float, default 1e-6
        The end is where a step adds less than this to the mean log-likelihood of a row.
    """

    starts: int = 30
    short: int = 15
    kept: int = 10
    steps: int = 500
    tolerance: float = 1e-6

    def __post_init__(self) -> None:
        check_sizes(starts=self.starts, short=1 if self.short == 0 else self.short, kept=self.kept, steps=self.steps)
        check_range(0, math.inf, tolerance=self.tolerance)


@dataclass(frozen=True, slots=True, eq=False)
class Mixture(ABC):
    """K groups with what is known of each.

    Attributes
    ----------
    shares : (K,) array
        π.
    loglik : float
        Of all rows.
    free : int
        Free parameters.
    """

    shares: FloatArray
    loglik: float
    free: int

    @abstractmethod
    def log_joint(self, r: FloatArray, t: FloatArray) -> FloatArray:
        """log π_k p_k of each row, (n, K)."""

    def probabilities(self, r: FloatArray, t: FloatArray) -> FloatArray:
        """P(z = k | t, r), (n, K): Eq. 8."""
        logs = self.log_joint(r, t)
        weights = np.exp(logs - logs.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def bic(self, rows: int) -> float:
        """-2 log L + log(n) · free parameters: smaller is better."""
        return -2 * self.loglik + math.log(rows) * self.free


class Family(ABC):
    """A kind of mixture with its data: the two steps, for S sets of parameters at once."""

    @abstractmethod
    def log_joint(self, parameters: Parameters) -> FloatArray:
        """log π_k p_k(row), (S, K, n)."""

    @abstractmethod
    def maximize(self, weights: FloatArray) -> Parameters:
        """The parameters that maximise the expected log-likelihood for the weights γ, (S, K, n)."""


@dataclass(frozen=True, slots=True, eq=False)
class Climbed:
    """The best set of parameters, without the start in front, and its log-likelihood."""

    parameters: Parameters
    loglik: float


def climb(family: Family, starts: Parameters, search: Search) -> Climbed:
    """Short runs from all starts, then long runs of the best ones."""
    for _ in range(search.short):
        starts = family.maximize(_expected(family, starts)[0])
    _, reached = _expected(family, starts)
    best = np.argsort(-reached, kind="stable")[: search.kept]
    parameters = tuple(part[best] for part in starts)
    last = np.full(len(best), -np.inf)
    for _ in range(search.steps):
        weights, now = _expected(family, parameters)
        if np.max(now - last) < search.tolerance * weights.shape[2]:
            break
        last, parameters = now, family.maximize(weights)
    else:
        now = _expected(family, parameters)[1]
    first = int(np.argmax(now))
    return Climbed(tuple(part[first] for part in parameters), float(now[first]))


def _expected(family: Family, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    """γ (S, K, n) of Eq. 8, and the log-likelihoods (S,) of Eq. 5 with z summed out."""
    logs = family.log_joint(parameters)
    largest = logs.max(axis=1, keepdims=True)
    weights = np.exp(logs - largest)
    total = weights.sum(axis=1, keepdims=True)
    return weights / total, np.asarray((largest + np.log(total)).sum(axis=(1, 2)))
