"""The forbidden regression: fitted values of a network in place of the treatment; and what to do with them instead.

Least squares leave a residual that is uncorrelated with the fitted values and with x. Where a first stage d̂ does not,
the regression of y on d̂ and x has τ·(d − d̂) in its error, which is correlated with d̂. In every sample

    plugged-in estimate = (slope of d on d̂ given x) × (IV estimate with d̂ as the instrument),

so that the slope says how wrong it is. With d̂ as an *instrument* for d nothing of this matters: a poor network only
makes a weaker instrument.

Source: Hausman (1975, 1983); Angrist and Krueger (2001), Journal of Economic Perspectives 15(4), p. 80; Angrist and
Pischke (2009), Mostly Harmless Econometrics, section 4.6.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ivbridge import batch
from ivbridge.marketing.first_stage import STAGES, Exact, Fitted, Trained
from ivbridge.marketing.records import Average, FirstStageRow, Squared
from ivbridge.marketing.worlds import TRUTH, Campaign, CampaignDraw, Panel, panel
from ivbridge.records import FloatArray, IntArray

__all__ = ["WORLDS", "compare", "crossed_values", "plugged_and_instrument", "squared"]

#: Worlds in which first stages are compared.
WORLDS: dict[str, Campaign] = {
    "The recipe, no confounder": Campaign(),
    "With a confounder": Campaign(confounding=1.0),
    "With a confounder, exposure curved in x": Campaign(confounding=1.0, curved=True),
    "With a confounder, exposure and conversions curved in x": Campaign(confounding=1.0, curved=True, bend=0.5),
}
#: Users that are only predicted for.
_HELD = 2000


def compare(
    world: str, n: int, draws: int, stages: Sequence[Exact | Trained] = STAGES, seed: int = 1
) -> list[FirstStageRow]:
    """Each first stage in one of :data:`WORLDS`, over data sets of n users.

    Parameters
    ----------
    world : str
    n, draws : int
    stages : sequence
    seed : int, default 1
        Of the first data set; the following ones come next.
    """
    made = WORLDS[world]
    data = panel(made, n, range(seed, seed + draws))
    fresh = made.draw(_HELD, seed + 100_000)
    return [_row(stage, world, data, fresh) for stage in stages]


def _row(stage: Exact | Trained, world: str, data: Panel, fresh: CampaignDraw) -> FirstStageRow:
    fitted = stage.fit(data.draws)
    values = np.stack([one(draw.email, draw.x) for one, draw in zip(fitted, data.draws, strict=True)])
    moved = np.stack([_moved(one, draw) for one, draw in zip(fitted, data.draws, strict=True)])
    plugged, instrument, slope = plugged_and_instrument(data, values)
    left = [fresh.exposure - one(fresh.email, fresh.x) for one in fitted]
    return FirstStageRow(
        name=stage.name,
        world=world,
        fit=1 - float(np.mean([np.mean(one**2) for one in left])) / float(fresh.exposure.var()),
        slope=Average.of(slope),
        plugged=Average.of(plugged),
        instrument=Average.of(instrument),
        crossed=Average.of(_iv(data, crossed_values(stage, data.draws))),
        randomised=Average.of(_iv(data, moved)),
        gap=float(np.abs(plugged - slope * instrument).max()),
    )


def plugged_and_instrument(data: Panel, values: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """For fitted exposures (B, n): the plugged-in estimates, those with an instrument, and the slopes; (B,) each."""
    controls = data.controls
    plugged = batch.fit(data.conversions, controls, values, None, "HC1", "ols").coef[:, -1]
    slope = batch.fit(data.exposure, controls, values, None, "HC1", "ols").coef[:, -1]
    return plugged, _iv(data, values), slope


def _iv(data: Panel, instrument: FloatArray) -> FloatArray:
    return np.asarray(
        batch.fit(data.conversions, data.controls, data.exposure, instrument[:, :, None], "HC1").coef[:, -1]
    )


def _moved(fitted: Fitted, draw: CampaignDraw) -> FloatArray:
    """What the email changes in fitted exposure, times the centred email: random given x, whatever the network is."""
    ones = np.ones(len(draw.email))
    return np.asarray((draw.email - draw.email.mean()) * (fitted(ones, draw.x) - fitted(0 * ones, draw.x)))


def crossed_values(stage: Exact | Trained, draws: Sequence[CampaignDraw], seed: int = 1) -> FloatArray:
    """Fitted exposures (B, n), each user's from a first stage that was learnt from the other half of the users."""
    n = len(draws[0].email)
    halves: list[tuple[IntArray, IntArray]] = []
    for i in range(len(draws)):
        order = np.random.default_rng([seed, i, 0xF01D]).permutation(n)
        halves.append((order[: n // 2], order[n // 2 : 2 * (n // 2)]))
    found = np.empty((len(draws), n))
    for side in (0, 1):
        fitted = stage.fit(draws, [pair[side] for pair in halves], seed + side)
        for b, (one, draw) in enumerate(zip(fitted, draws, strict=True)):
            other = np.setdiff1d(np.arange(n), halves[b][0]) if side == 0 else halves[b][0]
            found[b, other] = one(draw.email[other], draw.x[other])
    return found


def squared(n: int, draws: int, seed: int = 1) -> Squared:
    """The textbook case: y = d² + 1.5·x₁ + noise, where the spread of d differs between the arms.

    (Fitted d)² stands in for d² in the first column; in the second one d and d² both are instrumented, by the email,
    the push message and their product.
    """
    world = Campaign(confounding=1.0, second=1.0)
    data = panel(world, n, range(seed, seed + draws))
    noise = np.random.default_rng([seed, 0x50]).standard_normal(data.email.shape)
    d = data.exposure + 1.5 * noise * data.email  # more spread among those who get the mail
    rest = data.conversions - TRUTH * data.exposure
    y = d**2 + rest
    both = np.concatenate([data.campaigns, (data.email * data.push)[:, :, None]], axis=2)
    fitted = _projected(np.concatenate([data.controls, data.campaigns], axis=2), d)
    plugged = batch.fit(y, data.controls, fitted**2, None, "HC1", "ols")
    right = batch.fit(y, data.controls, np.stack([d, d**2], axis=2), both, "HC1")
    return Squared(1.0, Average.of(plugged.coef[:, -1]), Average.of(right.coef[:, -1]))


def _projected(columns: FloatArray, values: FloatArray) -> FloatArray:
    """Least-squares fitted values, (B, n)."""
    beta = [np.linalg.lstsq(x, v, rcond=None)[0] for x, v in zip(columns, values, strict=True)]
    return np.asarray(np.einsum("bnk,bk->bn", columns, np.stack(beta)))
