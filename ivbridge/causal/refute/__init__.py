"""Refutations: attempts to show that an estimate is wrong, each with what it can and what it cannot show.

A refuter is a frozen record; ``refute(method, question, data)`` returns a
:class:`~ivbridge.causal.refute.protocol.Refutation`. Nothing is imported before it is used.

>>> sorted(REFUTERS)
['bootstrap', 'hidden', 'negative_exposure', 'negative_outcome', 'placebo', 'subset']
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from ivbridge.errors import UnsupportedError

__all__ = ["REFUTERS", "refuter_class"]

#: Refuters by name: module of this package and class.
REFUTERS: Mapping[str, str] = {
    "bootstrap": "bootstrap.Bootstrap",
    "hidden": "hidden.HiddenConfounder",
    "negative_exposure": "negative_control.NegativeExposure",
    "negative_outcome": "negative_control.NegativeOutcome",
    "placebo": "placebo.Placebo",
    "subset": "subset.Subset",
}


def refuter_class(name: str) -> Any:
    """The class of a refuter, a subclass of :class:`~ivbridge.causal.refute.protocol.Refuter`.

    Raises
    ------
    UnsupportedError
        If there is none of this name.
    """
    if name not in REFUTERS:
        raise UnsupportedError(f"There is no refuter {name!r}.", available=", ".join(sorted(REFUTERS)))
    module, _, kind = REFUTERS[name].partition(".")
    return getattr(importlib.import_module(f"ivbridge.causal.refute.{module}"), kind)
