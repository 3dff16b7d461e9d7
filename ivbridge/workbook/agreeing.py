"""Every method of :mod:`ivbridge.causal` held against R on the notebook's data, or on a twin where it needs one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from ivbridge.causal import METHODS, method_class
from ivbridge.causal.agreement import crosscheck
from ivbridge.causal.scenarios import TWINS, CausalDraw
from ivbridge.errors import UnsupportedError
from ivbridge.progress import Progress

__all__ = ["agreements"]

#: Choices beside the defaults that are compared, too.
CHOICES: Mapping[str, tuple[Mapping[str, Any], ...]] = {
    "regression": ({"vcov": "HC0"}, {"vcov": "HC1"}, {"vcov": "HC2"}, {"vcov": "HC3"}, {"vcov": "classical"}),
    "propensity_matching": ({}, {"replace": False}),
    "mahalanobis_matching": ({}, {"adjust": True}),
    "ipw": ({}, {"normalised": False}),
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """Data, and the question that a method can answer about them."""

    data: str
    draw: CausalDraw

    @classmethod
    def of(cls, name: str, draw: CausalDraw) -> _Asked:
        """Instruments need a twin that has one; uplift needs an outcome of 0 and 1."""
        kind = method_class(name)
        if "instruments" in kind.needs:
            return cls("twin encouraged", TWINS["encouraged"].draw())
        if name == "uplift":
            other = TWINS["different"].draw()
            y = other.frame["Y_obs"]
            clicked = other.frame.assign(Y_obs=(y > y.median()).astype(int))
            return cls("twin different, Y above its median", replace(other, frame=clicked))
        return cls("notebook", draw)


def agreements(draw: CausalDraw, progress: Progress | None = None) -> pd.DataFrame:
    """One row for each method, estimand and choice: how many numbers R has as well, and to how many digits.

    Raises
    ------
    RNotAvailableError
        If R or one of its packages cannot be used here.
    """
    lines = []
    for done, name in enumerate(sorted(METHODS)):
        if progress:
            progress(done, len(METHODS), f"{name} in R")
        lines += _lines(name, _Asked.of(name, draw))
    return pd.DataFrame(lines)


def _lines(name: str, asked: _Asked) -> list[dict[str, Any]]:
    kind = method_class(name)
    found = []
    for estimand in kind.estimands:
        for choices in CHOICES.get(name, ({},)):
            method = kind(**choices)
            shown = ", ".join(f"{key}={value}" for key, value in choices.items())
            line = {"method": name, "choices": shown, "estimand": estimand, "data": asked.data}
            try:
                agreement = crosscheck(method, replace(asked.draw.question, estimand=estimand), asked.draw.frame)
            except UnsupportedError as error:
                found.append(line | {"verdict": "no reference", "r_call": error.message})
                continue
            worst = agreement.worst
            line |= {"verdict": agreement.verdict, "numbers": len(agreement.gaps), "digits": round(worst.digits, 1)}
            line |= {"bound": method.bound(), "worst": worst.quantity, "r_call": kind.r_call}
            found.append(line | {"estimate": agreement.candidate.estimate, "std_error": agreement.candidate.std_error})
    return found
