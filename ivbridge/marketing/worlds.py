"""Synthetic marketing data with a known effect: a randomised email moves exposure to an advertisement.

The recipe is that of the page "Instrumental Variables": d = z + 0.7·d_raw + N(0, 0.1) and y = 2d + 1.5·x₁ + N(0, 0.5).
The page takes x and d_raw from a data set on a hub; here they come from a generator. Everything that the recipe lacks
is off by default and has a name.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["COVARIATES", "TRUTH", "Campaign", "CampaignDraw", "Panel", "panel"]

#: The effect of exposure on conversions in every world.
TRUTH = 2.0
COVARIATES = ("spend", "visits", "recency", "age", "mobile")
#: How exposure that nobody encouraged depends on the covariates, and its own standard deviation.
_ORGANIC, _ORGANIC_SD = np.array([0.5, 0.4, -0.3, 0.0, 0.2]), 0.5
_ROWS = 20


@dataclass(frozen=True, slots=True, eq=False)
class CampaignDraw:
    """One data set.

    Attributes
    ----------
    x : (n, 5) array
        Standardised covariates, in the order of :data:`COVARIATES`.
    email, push : (n,) arrays
        Two campaigns, each sent to a random half.
    exposure, conversions : (n,) arrays
        Treatment d and outcome y.
    other_sales : (n,) array
        A negative control: sales that exposure cannot change, but everything else that acts on y does.
    log : (n, 2) array
        What was recorded after the mail was sent: mails opened, advertisements clicked.
    uplift : (n,) array
        The effect of one unit of exposure on each user; not observed.
    """

    x: FloatArray
    email: FloatArray
    push: FloatArray
    exposure: FloatArray
    conversions: FloatArray
    other_sales: FloatArray
    log: FloatArray
    uplift: FloatArray

    @property
    def frame(self) -> pd.DataFrame:
        """What an analyst has, one row a user."""
        columns = dict(zip(COVARIATES, self.x.T, strict=True))
        named = {"email": self.email, "push": self.push, "exposure": self.exposure, "conversions": self.conversions,
                 "other_sales": self.other_sales}  # fmt: skip
        return pd.DataFrame(columns | named)


@dataclass(frozen=True, slots=True)
class Campaign:
    """A world; the defaults are the page's recipe.

    Parameters
    ----------
    relevance : float, default 1
        π: how much the email raises exposure.
    second : float, default 0
        How much a push message, randomised by itself, raises exposure.
    confounding : float, default 0
        How much interest in the product, which nobody records, raises d_raw and conversions. 0 is the recipe: then
        least squares are right already.
    violation, second_violation : float, default 0
        What the email, or the push message, adds to conversions other than through exposure.
    curved : bool, default False
        Whether exposure depends on the covariates in curves, and the email moves some users more than others.
    bend : float, default 0
        Adds bend·(recency² − 1) to conversions: what linear controls do not hold.
    spread : float, default 0
        Adds spread·visits to the effect of exposure, and makes confounding grow with age.

    Raises
    ------
    DataError
        If a number is not finite.
    """

    relevance: float = 1.0
    second: float = 0.0
    confounding: float = 0.0
    violation: float = 0.0
    second_violation: float = 0.0
    curved: bool = False
    bend: float = 0.0
    spread: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not np.isfinite(getattr(self, name)):
                raise DataError(f"{name}={getattr(self, name)} was asked.", available="finite numbers")

    @property
    def ols_limit(self) -> float:
        """What least squares of y on d and x tend to, where exposure is linear and effects are equal.

        2 + Cov(d, what is left of y | x) / Var(d | x), by hand from the recipe.
        """
        u = self.confounding
        variance = (self.relevance**2 + self.second**2) / 4 + 0.49 * (_ORGANIC_SD**2 + u**2) + 0.01
        direct = (self.violation * self.relevance + self.second_violation * self.second) / 4
        return TRUTH + (0.7 * u * u + direct) / variance

    def draw(self, n: int = 10_000, seed: int = 1) -> CampaignDraw:
        """Draw n users; the same seed gives the same users in every world.

        Raises
        ------
        DataError
            If n is below 20.
        """
        if n < _ROWS:
            raise DataError(f"{n} users were asked.", available=f"{_ROWS} or more")
        random = np.random.default_rng([seed, 0xCA3])
        x = _covariates(random, n)
        email, push = (random.permutation(np.arange(n) % 2).astype(np.float64) for _ in range(2))
        interest, *noise = random.standard_normal((6, n))
        organic = x @ _ORGANIC + _ORGANIC_SD * noise[0] + self.confounding * interest
        moved = self.relevance * email
        if self.curved:
            organic = organic + 0.8 * (x[:, 2] ** 2 - 1)
            moved = moved * (1 + 0.8 * np.tanh(2 * x[:, 1]))
        exposure = moved + self.second * push + 0.7 * organic + 0.1 * noise[1]
        uplift = TRUTH + self.spread * x[:, 1]
        direct = self.violation * email + self.second_violation * push + self.bend * (x[:, 2] ** 2 - 1)
        shared = direct + self.confounding * interest * (1 + self.spread * x[:, 3])
        conversions = uplift * exposure + 1.5 * x[:, 0] + shared + 0.5 * noise[2]
        other = x[:, 0] + shared + 0.5 * noise[3]
        opened, clicked = email + 0.5 * noise[4], exposure + 0.5 * random.standard_normal(n)
        return CampaignDraw(x, email, push, exposure, conversions, other, np.column_stack([opened, clicked]), uplift)


def _covariates(random: np.random.Generator, n: int) -> FloatArray:
    """Past spend (log), visits, days since the last visit, age and whether mobile, standardised by the sample."""
    spend = random.standard_normal(n)
    visits = random.poisson(np.exp(1 + 0.3 * spend))
    recency = np.log(random.exponential(20.0, n) + 1)
    age, mobile = random.uniform(18, 75, n), random.random(n) < 0.6
    found = np.column_stack([spend, visits, recency, age, mobile]).astype(np.float64)
    return np.asarray((found - found.mean(axis=0)) / found.std(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """B data sets of one size, for :mod:`ivbridge.batch`: every column has the shape (B, n).

    ``controls`` is (B, n, 6): a constant and the covariates.
    """

    controls: FloatArray
    email: FloatArray
    push: FloatArray
    exposure: FloatArray
    conversions: FloatArray
    other_sales: FloatArray
    draws: tuple[CampaignDraw, ...]

    @property
    def campaigns(self) -> FloatArray:
        """Email and push message, (B, n, 2)."""
        return np.stack([self.email, self.push], axis=-1)


def panel(world: Campaign, n: int, seeds: Iterable[int]) -> Panel:
    """Draw one data set for each seed."""
    draws = tuple(world.draw(n, seed) for seed in seeds)
    controls = np.stack([np.column_stack([np.ones(n), draw.x]) for draw in draws])
    return Panel(
        controls=controls,
        email=np.stack([draw.email for draw in draws]),
        push=np.stack([draw.push for draw in draws]),
        exposure=np.stack([draw.exposure for draw in draws]),
        conversions=np.stack([draw.conversions for draw in draws]),
        other_sales=np.stack([draw.other_sales for draw in draws]),
        draws=draws,
    )
