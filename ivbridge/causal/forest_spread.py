"""Double machine learning with forests, here and in R: as far apart as their seeds, or further?

A forest of scikit-learn and one of R's ``ranger`` never agree digit by digit: they draw other bootstrap samples, and
``ranger`` 0.14 bounds the size of a node that is split where scikit-learn bounds the size of a leaf. So the folds are
the same, several seeds grow the trees on each side, and the gap between the two means is shown beside the spread over
seeds and beside the standard error. With leaves of one unit the two are the same algorithm; with larger ones they are
not, and the gap may be many spreads wide. It is a comparison of two programs, not a proof of equality.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ivbridge.causal.dml import CrossFitted
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.errors import DataError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray
from ivbridge.threads import one_thread

__all__ = ["ForestSpread", "forest_spread"]


@dataclass(frozen=True, slots=True, eq=False)
class ForestSpread:
    """Estimates of two programs over seeds of their trees, on one split into folds.

    Attributes
    ----------
    ours, theirs : (m,) arrays
        Estimates, one for each seed.
    our_error, their_error : float
        Mean standard errors of the effect.
    """

    ours: FloatArray
    theirs: FloatArray
    our_error: float
    their_error: float

    @property
    def gap(self) -> float:
        """Mean of ours minus mean of theirs."""
        return float(self.ours.mean() - self.theirs.mean())

    @property
    def spread(self) -> float:
        """Standard deviation over seeds, pooled over the two programs."""
        return math.sqrt((self.ours.var(ddof=1) + self.theirs.var(ddof=1)) / 2)

    @property
    def in_errors(self) -> float:
        """The gap in standard errors of the effect."""
        return abs(self.gap) / self.our_error

    def summary(self) -> str:
        """One sentence."""
        return (
            f"scikit-learn {self.ours.mean():.4g} ({self.our_error:.3g}), ranger {self.theirs.mean():.4g} "
            f"({self.their_error:.3g}), {len(self.ours)} seeds each: the means are {abs(self.gap):.3g} apart, "
            f"{abs(self.gap) / self.spread:.1f} times the spread over seeds and {self.in_errors:.2f} standard errors."
        )


@one_thread()
def forest_spread(
    method: CrossFitted, question: CausalQuestion, data: Any, seeds: Sequence[int] = range(5),
    progress: Progress | None = None,
) -> ForestSpread:  # fmt: skip
    """Let both programs grow their forests with several seeds, on the folds of the first seed.

    Parameters
    ----------
    method : PLR, IRM, PLIV or IIVM
        With forests among its learners.
    question : CausalQuestion
    data : table of n rows, or CausalData
    seeds : sequence of int, default 0 … 4
    progress : callable, optional
        Called with (seeds done, total, what).

    Raises
    ------
    DataError
        If fewer than two seeds are given, or no learner is a forest or one is boosting.
    RNotAvailableError
        If R or ``ranger`` is missing.
    """
    if len(seeds) < 2:
        raise DataError(f"A spread over {len(seeds)} seeds was asked.", available="2 or more")
    if "forest" not in (kinds := {one.kind for one in method.learners}) or "boosting" in kinds:
        raise DataError(
            f"Learners {', '.join(map(str, method.learners))} were given.", available="forests, linear, lasso"
        )
    built = data if isinstance(data, CausalData) else build(question, data)
    method.check(question)
    asked, found = replace(method, fold_seed=seeds[0]), []
    for i, seed in enumerate(seeds):
        if progress:
            progress(i, len(seeds), f"seed {seed}")
        ours, theirs = asked.answer(built, seed, None), asked.asked_of_r(built, seed)
        found.append((ours.estimate, theirs.estimate, ours.std_error, theirs.std_error))
    table = np.array(found)
    return ForestSpread(table[:, 0], table[:, 1], float(table[:, 2].mean()), float(table[:, 3].mean()))
