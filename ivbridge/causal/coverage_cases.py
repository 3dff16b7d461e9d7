"""Which method is let loose on which world, and where its interval is not expected to hold the truth, and why.

A reason stands beside a world where theory says that the interval misses (or holds too often); no reason means that the
coverage has to lie in its binomial band.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ivbridge.causal.crossfit import Learner

__all__ = ["CASES", "Case"]


@dataclass(frozen=True, slots=True)
class Case:
    """One method on some worlds.

    Parameters
    ----------
    name : str
        In the table; the method's key, and what is special about it.
    method : str
        Key of :data:`ivbridge.causal.METHODS`.
    worlds : mapping of str to str
        A name of :data:`ivbridge.causal.scenarios.TWINS`, or one of them with ``" 0/1"`` after it, to the reason why
        the interval is not expected to hold there; empty where it is.
    options : mapping, optional
        Of the method.
    n : int, default 2000
        Units of each draw.
    draws : int, optional
        Draws at most; default: as many as are asked.
    """

    name: str
    method: str
    worlds: Mapping[str, str]
    options: Mapping[str, Any] = field(default_factory=dict)
    n: int = 2000
    draws: int | None = None


OPEN = "biased: the covariates differ between the arms and are left open"
OTHERS = "biased: strata of income leave age and engagement open, and income within a stratum"
BENDS = "biased: the outcome is not linear in the covariates, and the arms lie apart"
UNSEEN = "biased: the cause u of treatment and outcome is not among the covariates"
SHARES = "another mean: units count by m(X)(1 - m(X)), and effects differ along it"
GIVEN = "too wide: the error takes the propensity score for known (Abadie and Imbens 2016, Econometrica 84)"

_FOREST = MappingProxyType(
    {"learner": Learner("forest", trees=100), "treatment_learner": Learner("forest", trees=100, leaf=20)}
)


def _fine(*worlds: str, **reasons: str) -> Mapping[str, str]:
    return MappingProxyType(dict.fromkeys(worlds, "") | {name.replace("_", "-"): why for name, why in reasons.items()})


#: In the order of the table.
CASES = (
    Case("difference", "difference", _fine("experiment", confounded=OPEN)),
    Case("stratification", "stratification", _fine("experiment", confounded=OTHERS), {"by": {"income": 5}}),
    Case("regression", "regression", _fine("experiment", "confounded", bent=BENDS, different=SHARES, hidden=UNSEEN)),
    Case("lin", "lin", _fine("experiment", "confounded", "different", "different-att", bent_different=BENDS)),
    Case("ipw", "ipw", _fine("confounded", "bent-different", "bent-different-att", "poor-overlap", hidden=UNSEEN)),
    Case("aipw", "aipw", _fine("confounded", "bent-different", "bent-different-att", "poor-overlap", hidden=UNSEEN)),
    Case("propensity_matching", "propensity_matching", _fine("different-att", "confounded")),
    Case("mahalanobis_matching", "mahalanobis_matching", _fine("different-att", "confounded")),
    Case("two_stage", "two_stage", _fine("encouraged", "encouraged-different")),
    Case("plr", "plr", _fine("confounded", "bent", different=SHARES, hidden=UNSEEN)),
    Case("irm", "irm", _fine("confounded", "bent-different", "bent-different-att", "poor-overlap", hidden=UNSEEN)),
    Case("pliv", "pliv", _fine("encouraged", "encouraged-different")),
    Case("iivm", "iivm", _fine("encouraged", "encouraged-different")),
    Case("plr, forests", "plr", _fine("bent"), _FOREST, 1000, 300),
    Case("irm, forests", "irm", _fine("bent-different"), _FOREST, 1000, 300),
    Case("s_learner", "s_learner", _fine("confounded", "bent-different", hidden=UNSEEN)),
    Case("t_learner", "t_learner", _fine("confounded", "bent-different")),
    Case("x_learner", "x_learner", _fine("confounded", "bent-different")),
    Case("r_learner", "r_learner", _fine("confounded", "bent-different")),
    Case("causal_tree", "causal_tree", _fine("confounded", "bent-different")),
    Case("causal_forest", "causal_forest", _fine("bent-different"), {"trees": 100}, 1000, 300),
    Case("uplift", "uplift", _fine("confounded 0/1")),
)
