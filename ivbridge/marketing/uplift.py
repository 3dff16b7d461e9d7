"""Whom to expose first: users ranked by predicted uplift, where effects differ."""

from __future__ import annotations

import numpy as np

from ivbridge import batch
from ivbridge.marketing.records import Average, Ranked
from ivbridge.marketing.worlds import Campaign, panel
from ivbridge.records import FloatArray

__all__ = ["ranking"]

#: The share of users who are exposed first.
TOP = 0.2


def ranking(n: int, draws: int, seed: int = 1) -> list[Ranked]:
    """The mean true uplift among the top fifth of users by each ranking, learnt from one half, judged in the other.

    The uplift grows with visits and confounding with age. Both models let the effect depend on every covariate:
    y ~ x + d + d·x; 2SLS takes z and z·x as the instruments.

    Parameters
    ----------
    n, draws : int
    seed : int, default 1
        Of the first data set.
    """
    data = panel(Campaign(confounding=1.0, spread=0.5), 2 * n, range(seed, seed + draws))
    x = data.controls[:, :n]
    endog, instruments = (column[:, :n, None] * x for column in (data.exposure, data.email))
    y = data.conversions[:, :n]
    two_stage = batch.fit(y, x, endog, instruments).coef[:, -x.shape[2] :]
    least = batch.fit(y, x, endog, None, method="ols").coef[:, -x.shape[2] :]
    judged = data.controls[:, n:]
    truth = np.stack([draw.uplift[n:] for draw in data.draws])
    scores = {
        "the true uplift": truth,
        "2SLS, z·x as instruments": np.einsum("bnk,bk->bn", judged, two_stage),
        "least squares": np.einsum("bnk,bk->bn", judged, least),
        "who buys most": data.conversions[:, n:],
        "at random": np.random.default_rng([seed, 0x7A]).random(truth.shape),
    }
    best = _top(truth, truth).mean() - truth.mean()
    return [
        Ranked(name, Average.of(found), float((found.mean() - truth.mean()) / best))
        for name, found in ((name, _top(score, truth)) for name, score in scores.items())
    ]


def _top(score: FloatArray, truth: FloatArray) -> FloatArray:
    """Mean true uplift among the top users, (B,)."""
    count = round(TOP * score.shape[1])
    chosen = np.argpartition(-score, count - 1, axis=1)[:, :count]
    return np.asarray(np.take_along_axis(truth, chosen, axis=1).mean(axis=1))
