"""Which method is let loose on which world, and where its interval is not expected to hold the truth, and why.

A reason stands beside a world where theory says that the interval misses (or holds too often); no reason means that the
coverage has to lie in its binomial band.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from ivbridge.causal.crossfit import Learner
from ivbridge.errors import UnsupportedError

__all__ = ["CASES", "Case", "chosen"]


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

    @property
    def slow(self) -> bool:
        """Whether a quick run leaves it out."""
        return self.draws is not None


OPEN = "biased: the covariates differ between the arms and are left open"
OTHERS = "biased: strata of income leave age and engagement open, and income within a stratum"
BENDS = "biased: the outcome is not linear in the covariates, and the arms lie apart"
UNSEEN = "biased: the cause u of treatment and outcome is not among the covariates"
SHARES = "another mean: units count by m(X)(1 - m(X)), and effects differ along it"
FIXED = "too narrow: the error takes the covariates' means for known, and effects differ with the covariates"
HEAVY = "too narrow: a few units carry the weights, and the draws without them look precise; the overlap is warned of"
WIDE = "too wide: the outcome bends, its learner is linear, and the error leaves out what estimating the score gains"
FAR = "biased: pairs of three continuous covariates are not equal (Abadie and Imbens 2006, Econometrica 74)"
SMOOTH = "biased: forests of 1000 units smooth over the bends and leave a part of the confounding"
#: With a logit for the treatment in the place of the forest the bias of plr was 0.027 (0.036) in 120 draws.
PRODUCT = "biased: with 1000 units the product of both forests' errors is not small"
USED_UP = "biased: without replacement the alike controls are used up, and the rest are matched badly"

_FOREST = MappingProxyType(
    {"learner": Learner("forest", trees=100), "treatment_learner": Learner("forest", trees=100, leaf=20)}
)


def _in(*worlds: str, **reasons: str) -> Mapping[str, str]:
    return MappingProxyType(dict.fromkeys(worlds, "") | {name.replace("_", "-"): why for name, why in reasons.items()})


_CROSS_FITTED = _in("confounded", "bent-different", "poor-overlap", bent_different_att=WIDE, hidden=UNSEEN)
_DOUBLY_ROBUST = _in("confounded", "bent-different", "bent-different-att", "poor-overlap", hidden=UNSEEN)
_LOCAL = _in("encouraged", "encouraged-different")
_LEARNER = _in("confounded", "bent-different", hidden=UNSEEN)

#: In the order of the table.
CASES = (
    Case("difference", "difference", _in("experiment", confounded=OPEN)),
    Case("stratification", "stratification", _in("experiment", confounded=OTHERS), {"by": {"income": 5}}),
    Case(
        "regression", "regression", _in("experiment", "confounded", bent_apart=BENDS, different=SHARES, hidden=UNSEEN)
    ),
    Case("lin", "lin", _in("experiment", "different", very_different_att=FIXED, bent_different_att=BENDS)),
    Case("ipw", "ipw", _in("confounded", "bent-different", "bent-different-att", poor_overlap=HEAVY, hidden=UNSEEN)),
    Case("aipw", "aipw", _DOUBLY_ROBUST),
    Case("propensity_matching", "propensity_matching", _in("experiment", "confounded", "different-att", hidden=UNSEEN)),
    Case("propensity_matching, no replacement", "propensity_matching", _in(different_att=USED_UP), {"replace": False}),
    Case("mahalanobis_matching", "mahalanobis_matching", _in("experiment", confounded=FAR)),
    Case(
        "mahalanobis_matching, adjusted", "mahalanobis_matching", _in("confounded", "different-att"), {"adjust": True}
    ),
    Case("two_stage", "two_stage", _LOCAL),
    Case("plr", "plr", _in("confounded", "bent", different=SHARES, hidden=UNSEEN)),
    Case("irm", "irm", _CROSS_FITTED),
    Case("pliv", "pliv", _LOCAL),
    Case("iivm", "iivm", _LOCAL),
    Case("s_learner", "s_learner", _LEARNER),
    Case("t_learner", "t_learner", _LEARNER),
    Case("x_learner", "x_learner", _LEARNER),
    Case("r_learner", "r_learner", _LEARNER),
    Case("causal_tree", "causal_tree", _LEARNER),
    Case("uplift", "uplift", _in("confounded 0/1")),
    Case("plr, forests", "plr", _in(experiment=PRODUCT, bent=SMOOTH), _FOREST, 1000, 300),
    Case("irm, forests", "irm", _in("experiment", bent_different=SMOOTH), _FOREST, 1000, 300),
    Case("causal_forest", "causal_forest", _in(experiment=PRODUCT, bent_different=SMOOTH), {"trees": 100}, 1000, 300),
)


def chosen(names: Sequence[str]) -> tuple[Case, ...]:
    """Cases by their names or their methods, in the order of the table.

    Raises
    ------
    UnsupportedError
        If there is none of a name.
    """
    known = {name for case in CASES for name in (case.name, case.method)}
    if unknown := [name for name in names if name not in known]:
        raise UnsupportedError(f"There is no case {unknown[0]!r}.", available="; ".join(case.name for case in CASES))
    return tuple(case for case in CASES if case.name in names or case.method in names)
