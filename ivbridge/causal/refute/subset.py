"""Random subsets: does the estimate scatter as its standard error says when units are dropped?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData
from ivbridge.causal.records import EffectEstimate
from ivbridge.causal.refute.protocol import Found, Refuter
from ivbridge.causal.refute.repeat import judge_spread, repeat, units
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.progress import Progress

__all__ = ["Subset"]


@dataclass(frozen=True, kw_only=True)
class Subset(Refuter):
    """Estimate from random subsets of the units, or of the clusters where the question names them.

    The estimate from a share f of the units scatters around that from all of them with standard deviation
    SE·√((1-f)/f), since they have those units in common: the delete-d jackknife (Shao and Wu 1989, Annals of Statistics
    17, 1176-1197). The statistic is that standard error over the reported one. Whether the estimate lies among its
    subsets' estimates is no test: it is their centre, and the number of subsets decides the rest. Every subset is drawn
    anew; a test that takes the same seed for each of them has subsets without scatter, and refutes every estimate.

    A matching estimator changes by jumps, and the jackknife does not hold for it: subsets of 80 % scatter 1.4 times too
    far. Small subsets do have this distribution (subsampling; Politis and Romano 1994, Annals of Statistics 22,
    2031-2050), so they are taken there.

    Parameters
    ----------
    share : float, optional
        Of the units, in each subset; default: 0.8, and 0.1 for matching, which takes 0.2 at most.
    draws : int, default 200
        Subsets.
    """

    name: ClassVar[str] = "subset"
    title: ClassVar[str] = "Random subsets"
    shows: ClassVar[str] = "whether the standard error is what dropping units says, and how far the estimate moves."
    cannot: ClassVar[str] = (
        "anything about confounding, or about a wrong model: every subset has the same fault, and the same bias."
    )
    share: float | None = None
    draws: int = 200

    def attempt(
        self, method: CausalMethod, effect: EffectEstimate, data: CausalData, frame: Any, progress: Progress | None
    ) -> Found:
        """Draw subsets and estimate; see :meth:`Refuter.refute`."""
        count, rows_of = units(data)
        matching = method.name.endswith("matching")
        share = (0.1 if matching else 0.8) if self.share is None else self.share
        size = round(share * count)
        if not 0 < size < count or self.draws < 20:
            raise DataError(
                f"{self.draws} subsets of {share!r} of {count} units were asked.",
                available="20 subsets or more, a share between 0 and 1",
            )
        if matching and share > 0.2:
            raise UnsupportedError("Large subsets say nothing about matching, which changes by jumps.",
                                   available="share of 0.2 at most")  # fmt: skip
        random = np.random.default_rng([effect.seed, 0x5B5E])
        worlds = (data.take(np.sort(rows_of(random.permutation(count)[:size]))) for _ in range(self.draws))
        found = repeat(method, worlds, effect.seed, self.draws, progress)
        what = "units" if data.question.clusters is None else "clusters"
        done = f"The effect was estimated from {len(found.estimates)} random subsets of {size} of {count} {what}."
        return judge_spread(done, "jackknife", effect, found, math.sqrt(size / (count - size)))
