"""Effects of a treatment: baselines of causal inference, each with its R reference where R has one.

A method is a frozen record; ``fit(question, data)`` returns an :class:`~ivbridge.causal.records.EffectEstimate`.

>>> from ivbridge import causal
>>> sorted(causal.METHODS)  # doctest: +ELLIPSIS
['aipw', ...]

Nothing is imported before it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from ivbridge.errors import UnsupportedError

__all__ = ["METHODS", "CausalQuestion", "EffectEstimate", "method_class"]

#: Methods by name: module of :mod:`ivbridge.causal.methods` and class.
METHODS: Mapping[str, str] = {
    "aipw": "aipw.AIPW",
    "causal_forest": "causal_forest.CausalForest",
    "causal_tree": "causal_tree.CausalTree",
    "difference": "difference.Difference",
    "iivm": "iivm.IIVM",
    "ipw": "ipw.IPW",
    "irm": "irm.IRM",
    "lin": "lin.Lin",
    "mahalanobis_matching": "mahalanobis_matching.MahalanobisMatching",
    "pliv": "pliv.PLIV",
    "plr": "plr.PLR",
    "propensity_matching": "propensity_matching.PropensityMatching",
    "r_learner": "r_learner.RLearner",
    "regression": "regression.Regression",
    "s_learner": "s_learner.SLearner",
    "stratification": "stratification.Stratification",
    "t_learner": "t_learner.TLearner",
    "two_stage": "two_stage.TwoStageLeastSquares",
    "uplift": "uplift.Uplift",
    "x_learner": "x_learner.XLearner",
}

_HOMES = {"CausalQuestion": "question", "EffectEstimate": "records"}


def method_class(name: str) -> Any:
    """The class of a method, a subclass of :class:`~ivbridge.causal.method.CausalMethod`.

    Raises
    ------
    UnsupportedError
        If there is none of this name.
    """
    if name not in METHODS:
        raise UnsupportedError(f"There is no causal method {name!r}.", available=", ".join(sorted(METHODS)))
    module, _, kind = METHODS[name].partition(".")
    return getattr(importlib.import_module(f"ivbridge.causal.methods.{module}"), kind)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"ivbridge.causal.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
