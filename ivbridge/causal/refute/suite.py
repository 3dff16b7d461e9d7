"""Several refuters at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalQuestion
from ivbridge.causal.refute.bootstrap import Bootstrap
from ivbridge.causal.refute.hidden import HiddenConfounder
from ivbridge.causal.refute.placebo import Placebo
from ivbridge.causal.refute.protocol import Found, Refutation, Refuter
from ivbridge.causal.refute.subset import Subset
from ivbridge.errors import DataError, DesignError, UnsupportedError
from ivbridge.progress import Progress

__all__ = ["refute_all"]


def refute_all(
    method: CausalMethod,
    question: CausalQuestion,
    data: Any,
    seed: int = 0,
    progress: Progress | None = None,
    refuters: Sequence[Refuter] | None = None,
) -> tuple[Refutation, ...]:
    """Try each refuter; one that cannot say anything here says so: its verdict is "not done".

    Parameters
    ----------
    method : CausalMethod
    question : CausalQuestion
    data : table of n rows
    seed : int, default 0
    progress : callable, optional
        Called with (done, total, what).
    refuters : sequence of Refuter, optional
        Default: placebo, subset, bootstrap and a hidden confounder; negative controls need a column, so they have to
        be named.

    Raises
    ------
    DataError, DesignError
        If the effect itself cannot be estimated.
    """
    effect = method.fit(question, data, seed)
    tried = (Placebo(), Subset(), Bootstrap(), HiddenConfounder()) if refuters is None else refuters
    done = []
    for one in tried:
        try:
            done.append(one.refute(method, question, data, seed, progress))
        except (DataError, DesignError, UnsupportedError) as error:
            found = Found("", "", math.nan, math.nan, "not done", reasons=(str(error),))
            done.append(
                Refutation(one.name, one.title, effect.title, question, effect.estimate, effect.std_error, found,
                           one.shows, one.cannot, seed)
            )  # fmt: skip
    return tuple(done)
