"""The bootstrap: does the whole procedure scatter as its standard error says?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData
from ivbridge.causal.records import EffectEstimate
from ivbridge.causal.refute.protocol import Found, Refuter
from ivbridge.causal.refute.repeat import judge_spread, repeat, units
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.progress import Progress

__all__ = ["Bootstrap"]


@dataclass(frozen=True, kw_only=True)
class Bootstrap(Refuter):
    """Draw as many units as there are, with replacement, and run the whole method again; clusters where they are named.

    The statistic is the bootstrap's standard error (Efron and Tibshirani 1993, chapter 6) over the reported one.
    ``parts`` holds the limits of the 95 % percentile interval and the bias. Everything is repeated: a propensity score,
    folds, the trimming of units.

    Parameters
    ----------
    draws : int, default 200
    """

    name: ClassVar[str] = "bootstrap"
    title: ClassVar[str] = "Bootstrap"
    shows: ClassVar[str] = "whether the standard error and the interval are those of the whole procedure."
    cannot: ClassVar[str] = (
        "anything about confounding, or about a wrong model: every sample has the same fault. A method that learns "
        "from other folds meets copies of a unit there, so for forests it is a hint only."
    )
    draws: int = 200

    def attempt(
        self, method: CausalMethod, effect: EffectEstimate, data: CausalData, frame: Any, progress: Progress | None
    ) -> Found:
        """Draw samples and estimate; see :meth:`Refuter.refute`."""
        if method.name.endswith("matching"):
            raise UnsupportedError(
                "The bootstrap is wrong for matching with a fixed number of matches (Abadie and Imbens 2008, "
                "Econometrica 76, 1537-1557).",
                do='use the refuter "subset".',
            )
        if self.draws < 20:
            raise DataError(f"{self.draws} samples were asked.", available="20 or more")
        count, rows_of = units(data)
        random = np.random.default_rng([effect.seed, 0xB007])
        worlds = (data.take(rows_of(random.integers(0, count, count))) for _ in range(self.draws))
        found = repeat(method, worlds, effect.seed, self.draws, progress)
        what = "units" if data.question.clusters is None else "clusters"
        done = f"The whole method was repeated on {len(found.estimates)} samples of {count} {what}, with replacement."
        judged = judge_spread(done, "bootstrap", effect, found)
        low, high = (float(one) for one in np.quantile(found.estimates, [0.025, 0.975]))
        return replace(judged, parts={**judged.parts, "percentile low": low, "percentile high": high})
