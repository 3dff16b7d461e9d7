"""The best that any grouping can do on average: the most probable source, given everything but the label."""

from __future__ import annotations

import numpy as np

from ivbridge.iv_ml.paper.parts import World
from ivbridge.iv_ml.scenarios import rules
from ivbridge.iv_ml.scenarios.fusion import SIGMA, Fusion, FusionDraw
from ivbridge.records import IntArray

__all__ = ["oracle"]


def oracle(one: FusionDraw, place: World) -> IntArray:
    """The most probable source of each row to learn from, (n,), by the true weights.

    Sources are equally probable, and T is normal given X and the source, with one variance: ε given X has the mean
    σ·ΣX in the synthetic worlds and 0 in the others. The nearest conditional mean is therefore the most probable.
    """
    x, t = one.train.data.exog, one.train.data.endog
    shape: rules.Shape = place.shape if isinstance(place, Fusion) else "linear"
    sources = range(len(one.weights))
    means = np.column_stack(
        [rules.treatment(x, np.full(len(x), source), one.weights, shape, one.reading) for source in sources]
    )
    drift = rules.CONFOUNDING_T * SIGMA * x.sum(axis=1) if isinstance(place, Fusion) else np.zeros(len(x))
    return np.asarray(np.abs(t[:, None] - means - drift[:, None]).argmin(axis=1))
