"""The notebook's data, bit for bit, and corrected twins of its world with a truth that is known.

>>> draw = notebook()
>>> draw.frame["Y_obs"].round(6).head(2).tolist()
[1114.502287, 1099.893323]
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import pandas as pd

from ivbridge.causal.question import CausalQuestion, Estimand
from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["COVARIATES", "TWINS", "CausalDraw", "Twin", "notebook"]

COVARIATES = ("age", "income", "prior_engagement")
#: The mean and the standard deviation of Beta(2, 5).
_ENGAGED = (2 / 7, math.sqrt(10 / (49 * 8)))
#: Units of which a twin's population effects are means; their error is a fiftieth of a standard error at n = 2000.
POPULATION = 2_000_000


@dataclass(frozen=True, slots=True, eq=False)
class CausalDraw:
    """A data set from a known world.

    Attributes
    ----------
    scenario : str
    frame : DataFrame (n rows)
        What an analyst sees, and nothing else.
    question : CausalQuestion
    truth : float
        The effect that the question's estimand names.
    effects, propensity : (n,) arrays
        Effect for each unit; probability of its treatment.
    y0, y1 : (n,) arrays
        Potential outcomes.
    hidden : DataFrame (n rows)
        What the analyst does not see.
    """

    scenario: str
    frame: pd.DataFrame
    question: CausalQuestion
    truth: float
    effects: FloatArray
    propensity: FloatArray
    y0: FloatArray
    y1: FloatArray
    hidden: pd.DataFrame


def notebook(seed: int = 42, n: int = 5000) -> CausalDraw:
    """The notebook's data set, with every column that it adds later.

    Columns: ``age income prior_engagement T Y_obs`` as printed; ``Z T_iv`` of its IV section; ``placebo_T`` and
    ``hidden_confounder`` of its robustness section. The notebook seeds again with the same number, so that
    ``hidden_confounder`` equals (age − 40)/12 and the noise of ``T_iv`` repeats draws of age: its faults, kept.

    Parameters
    ----------
    seed : int, default 42
        Of numpy's legacy generator, as in the notebook; the placebo's is 123 always.
    n : int, default 5000
    """
    random = np.random.RandomState(seed)
    age = random.normal(40, 12, n)
    income = random.normal(60000, 15000, n)
    engagement = random.beta(2, 5, n)
    rule = (
        0.3 * (income > 70000).astype(float) + 0.2 * (engagement > 0.5).astype(float) + 0.1 * (age < 30).astype(float)
    )
    chance = np.clip(rule + random.normal(0, 0.05, n), 0, 1)
    treated = random.binomial(1, chance)
    y0 = 50 + 0.02 * income + 5 * engagement - 0.3 * age + random.normal(0, 5, n)
    y1 = y0 + 10
    again = np.random.RandomState(seed)
    z = again.binomial(1, 0.5, size=n)
    t_iv = ((0.5 * z + 0.5 * engagement + again.normal(0, 0.1, n)) > 0.5).astype(int)
    placebo = np.random.RandomState(123).binomial(1, 0.5, size=n)
    hidden = np.random.RandomState(seed).normal(0, 1, size=n)
    frame = pd.DataFrame(
        {"age": age, "income": income, "prior_engagement": engagement, "T": treated,
         "Y_obs": treated * y1 + (1 - treated) * y0, "Z": z, "T_iv": t_iv, "placebo_T": placebo,
         "hidden_confounder": hidden}
    )  # fmt: skip
    question = CausalQuestion("Y_obs", "T", COVARIATES)
    return CausalDraw("notebook", frame, question, 10.0, y1 - y0, chance, y0, y1, pd.DataFrame(index=frame.index))


@dataclass(frozen=True, slots=True)
class Twin:
    """The notebook's world put right: confounding that bends, overlap that is chosen, effects that differ, one truth.

    Covariates are the notebook's. With a, i, e the standardised age, income and engagement,
    logit P(T=1) = -0.4 + overlap·(0.5 i + 0.4 e - 0.3 a) + hidden·u,
    Y(0) = 100 + 6 i + 3 e - 3 a + bend·(2 i² + 2 i·e) + 4 hidden·u + N(0, 5),
    effect = 10 + differ·(3 e + 2 i).
    ``W`` is a negative-control outcome: it has the causes of Y(0) but not the treatment. ``N`` is a negative-control
    exposure: it has the causes of the treatment and acts on nothing. With ``encouraged`` the treatment is taken by
    those whom a coin Z moves as well as by those whom u moves; u acts on Y, and the question is the LATE.

    Parameters
    ----------
    name : str
    estimand : {"ATE", "ATT", "LATE"}, default "ATE"
    overlap : float, default 1
        Strength of the covariates in the choice of the treatment; 0 is an experiment, 4 leaves little overlap.
    bend : float, default 0
        Part of the outcome that is not linear in the covariates.
    differ : float, default 0
        How much effects differ.
    hidden : float, default 0
        Strength of an unobserved cause u ~ N(0, 1) of treatment and outcome.
    encouraged : bool, default False
    """

    name: str
    estimand: Estimand = "ATE"
    overlap: float = 1.0
    bend: float = 0.0
    differ: float = 0.0
    hidden: float = 0.0
    encouraged: bool = False

    def __post_init__(self) -> None:
        if self.encouraged != (self.estimand == "LATE"):
            raise DataError("A twin has the estimand LATE if, and only if, units are encouraged.")

    def draw(self, n: int = 2000, seed: int = 1) -> CausalDraw:
        """Draw n units; the numbers depend on the seed alone."""
        return self._drawn(n, seed, _truth(self))

    def _drawn(self, n: int, seed: int, truth: float) -> CausalDraw:
        random = np.random.default_rng([seed, 0xCA05])
        age, income = random.normal(40, 12, n), random.normal(60000, 15000, n)
        engagement = random.beta(2, 5, n)
        a, i, e = (age - 40) / 12, (income - 60000) / 15000, (engagement - _ENGAGED[0]) / _ENGAGED[1]
        u = random.normal(size=n)
        z = random.binomial(1, 0.5, n)
        index = -0.4 + self.overlap * (0.5 * i + 0.4 * e - 0.3 * a) + self.hidden * u
        uniform, noise, other = random.uniform(size=n), random.normal(0, 5, n), random.normal(size=(2, n))
        chance = _inverse_logit(index - 1.2 + 2.4 * z) if self.encouraged else _inverse_logit(index)
        treated = (uniform < chance).astype(int)
        mean = 100 + 6 * i + 3 * e - 3 * a + self.bend * (2 * i**2 + 2 * i * e) + 4 * self.hidden * u
        effects = 10 + self.differ * (3 * e + 2 * i)
        y0 = mean + noise
        y1 = y0 + effects
        frame = pd.DataFrame({"age": age, "income": income, "prior_engagement": engagement, "T": treated,
                              "Y_obs": np.where(treated == 1, y1, y0)})  # fmt: skip
        frame["Z"] = z
        frame["W"] = mean + 5 * other[0]
        frame["N"] = (_inverse_logit(index) + 0.3 * other[1] > 0.5).astype(int)
        never = {"u": u, "d0": (uniform < _inverse_logit(index - 1.2)).astype(int),
                 "d1": (uniform < _inverse_logit(index + 1.2)).astype(int)}  # fmt: skip
        question = CausalQuestion("Y_obs", "T", COVARIATES, ("Z",) if self.encouraged else (), self.estimand)
        return CausalDraw(self.name, frame, question, truth, effects, chance, y0, y1, pd.DataFrame(never))


def _inverse_logit(index: FloatArray) -> FloatArray:
    return 1 / (1 + np.exp(-index))


@lru_cache(maxsize=64)
def _truth(twin: Twin) -> float:
    """The population's effect: 10 where effects are equal, else the mean over a population that is drawn once."""
    if twin.differ == 0 or twin.estimand == "ATE":
        return 10.0
    whole = replace(twin)._drawn(POPULATION, 0, math.nan)
    if twin.estimand == "ATT":
        return float(np.average(whole.effects, weights=whole.propensity))
    moved = (whole.hidden["d1"] - whole.hidden["d0"]).to_numpy()
    return float(whole.effects[moved == 1].mean())


#: The twins that the pages and the tests use.
TWINS: Mapping[str, Twin] = MappingProxyType(
    {
        twin.name: twin
        for twin in (
            Twin("experiment", overlap=0.0),
            Twin("confounded"),
            Twin("bent", bend=1.0),
            Twin("bent-apart", overlap=2.0, bend=1.0),
            Twin("different", differ=1.0),
            Twin("different-att", "ATT", differ=1.0),
            Twin("very-different-att", "ATT", differ=2.0),
            Twin("bent-different", bend=1.0, differ=1.0),
            Twin("bent-different-att", "ATT", bend=1.0, differ=1.0),
            Twin("poor-overlap", overlap=3.0),
            Twin("hidden", hidden=1.0),
            Twin("encouraged", "LATE", hidden=1.0, encouraged=True),
            Twin("encouraged-different", "LATE", differ=1.0, hidden=1.0, encouraged=True),
        )
    }
)
