"""Overlap, effective sample size and weights: whether a comparison rests on many units or on a few.

The limits are conventions, named here so that a reader can disagree with them.
"""

from __future__ import annotations

import numpy as np

from ivbridge.causal.records import Overlap
from ivbridge.errors import DesignError
from ivbridge.records import FloatArray

__all__ = ["describe", "refuse"]

#: Scores outside these are called extreme; Crump, Hotz, Imbens and Mitnik (2009, Biometrika 96, p. 187) keep .1 to .9.
EXTREME = (0.01, 0.99)
#: Share of the units of an arm that the weights leave (effective sample size over units): warned of, and refused.
LEFT_WARN, LEFT_STOP = 0.5, 0.02
#: A unit that stands for so many others of its arm is warned of.
HEAVY = 20.0


def describe(score: FloatArray, t: FloatArray, weights: FloatArray | None = None) -> Overlap:
    """Describe the overlap.

    Parameters
    ----------
    score : (n,) array
        Propensity scores.
    t : (n,) array
        1 for treated units.
    weights : (n,) array, optional
        What the method weights units with; default: none.
    """
    arms = {"treated": t == 1, "control": t == 0}
    used = np.ones(len(t)) if weights is None else weights
    ess = {name: float(used[arm].sum() ** 2 / (used[arm] ** 2).sum()) for name, arm in arms.items()}
    heaviest = max(float(used[arm].max() / used[arm].mean()) for arm in arms.values())
    ranges = {name: (float(score[arm].min()), float(score[arm].max())) for name, arm in arms.items()}
    beyond = float(((score < EXTREME[0]) | (score > EXTREME[1])).mean())
    reasons, verdict = [], "fine"
    for name, arm in arms.items():
        left = ess[name] / arm.sum()
        if left < LEFT_WARN:
            verdict = "stop" if left < LEFT_STOP or verdict == "stop" else "warn"
            reasons.append(f"The weights leave {ess[name]:.0f} of {arm.sum()} {name} units (effective sample size).")
    if heaviest > HEAVY:
        verdict = "warn" if verdict == "fine" else verdict
        reasons.append(f"One unit stands for {heaviest:.0f} units of its arm.")
    if beyond > 0.02:
        verdict = "warn" if verdict == "fine" else verdict
        reasons.append(f"{beyond:.0%} of the scores lie outside {EXTREME[0]:g} to {EXTREME[1]:g}.")
    return Overlap(
        ranges["treated"], ranges["control"], beyond, ess["treated"], ess["control"],
        int(arms["treated"].sum()), int(arms["control"].sum()), heaviest, verdict, tuple(reasons),  # type: ignore[arg-type]
    )  # fmt: skip


def refuse(overlap: Overlap) -> None:
    """Stop where next to nothing is left to compare.

    Raises
    ------
    DesignError
        If the verdict is "stop".
    """
    if overlap.verdict == "stop":
        raise DesignError(" ".join(overlap.reasons), do="trim the sample, take fewer covariates, or ask for the ATT.")
