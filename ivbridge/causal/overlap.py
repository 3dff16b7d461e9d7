"""Overlap, effective sample size and weights: whether a comparison rests on many units or on a few.

The limits are conventions, named here so that a reader can disagree with them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from ivbridge.causal.propensity import logit
from ivbridge.causal.question import CausalData
from ivbridge.causal.records import Overlap
from ivbridge.errors import DataError, DesignError
from ivbridge.records import FloatArray

__all__ = ["describe", "look", "refuse"]

#: Scores outside these are called extreme; Crump, Hotz, Imbens and Mitnik (2009, Biometrika 96, p. 187) keep .1 to .9.
EXTREME = (0.01, 0.99)
#: Share of units with an extreme score that is warned of.
BEYOND = 0.02
#: Share of the units of an arm that the weights leave (effective sample size over units): warned of, and refused.
LEFT_WARN, LEFT_STOP = 0.5, 0.02
#: An effective sample size below this is refused, too: fewer units have no variance worth the name.
FEWEST = 2.0
#: A unit that stands for so many others of its arm is warned of.
HEAVY = 20.0
#: Share of an arm's units with scores outside the other arm's range that is warned of; one unit ends a range, so that
#: a few per cent lie outside where all is well.
ALONE = 0.05

Verdict = Literal["fine", "warn", "stop"]


def describe(score: FloatArray, t: FloatArray, weights: FloatArray | None = None, estimand: str = "ATE") -> Overlap:
    """Describe the overlap.

    Parameters
    ----------
    score : (n,) array
        Propensity scores.
    t : (n,) array
        1 for treated units.
    weights : (n,) array, optional
        What the method weights units with; default: none.
    estimand : {"ATE", "ATT", "LATE"}, default "ATE"
        For the ATT small scores do no harm: nobody asks for the effect on units who are never treated.

    Raises
    ------
    DataError
        If weights are negative, infinite or all zero in an arm.
    """
    arms = {"treated": t == 1, "control": t == 0}
    used = np.ones(len(t)) if weights is None else weights
    if not (np.isfinite(used).all() and used.min() >= 0 and all(used[arm].any() for arm in arms.values())):
        raise DataError("Weights are finite, not negative, and not all zero in an arm; these are not.")
    ess = {name: float(used[arm].sum() ** 2 / (used[arm] ** 2).sum()) for name, arm in arms.items()}
    heaviest = max(float(used[arm].max() / used[arm].mean()) for arm in arms.values())
    ranges = {name: (float(score[arm].min()), float(score[arm].max())) for name, arm in arms.items()}
    low = -np.inf if estimand == "ATT" else EXTREME[0]
    beyond = float(((score < low) | (score > EXTREME[1])).mean())
    reasons: list[tuple[Verdict, str]] = []
    for name, arm in arms.items():
        left, n = ess[name], int(arm.sum())
        if left < LEFT_WARN * n:
            level: Verdict = "stop" if left < max(LEFT_STOP * n, FEWEST) else "warn"
            reasons.append((level, f"The weights leave {left:.3g} of {n} {name} units (effective sample size)."))
    if heaviest > HEAVY:
        reasons.append(("warn", f"One unit stands for {heaviest:.0f} units of its arm."))
    if beyond > BEYOND:
        limits = f"above {EXTREME[1]:g}" if estimand == "ATT" else f"outside {EXTREME[0]:g} to {EXTREME[1]:g}"
        reasons.append(("warn", f"{beyond:.0%} of the scores lie {limits}."))
    reasons += [("warn", text) for text in _alone(score, arms, ranges, estimand)]
    verdict: Verdict = max((level for level, _ in reasons), key=("fine", "warn", "stop").index, default="fine")
    return Overlap(
        ranges["treated"], ranges["control"], beyond, ess["treated"], ess["control"],
        int(arms["treated"].sum()), int(arms["control"].sum()), heaviest, verdict, tuple(text for _, text in reasons),
    )  # fmt: skip


def _alone(
    score: FloatArray, arms: dict[str, np.ndarray], ranges: dict[str, tuple[float, float]], estimand: str
) -> list[str]:
    """Units for whom the other arm has nobody; of the control arm only where the estimand is about them."""
    found = []
    for name, other in (("treated", "control"), ("control", "treated"))[: 1 if estimand == "ATT" else 2]:
        own, (low, high) = score[arms[name]], ranges[other]
        if (share := float(((own < low) | (own > high)).mean())) > ALONE:
            found.append(f"{share:.0%} of the {name} units have a score that no {other} unit reaches.")
    return found


def look(data: CausalData) -> tuple[Overlap | None, tuple[str, ...]]:
    """The overlap of a method that weights nobody, and its warning where the covariates decide the treatment.

    Raises
    ------
    MissingExtraError
        Without statsmodels.
    """
    try:
        return describe(logit(data).score, data.t, estimand=data.question.estimand), ()
    except DesignError as error:
        return None, (f"No propensity score, so that the estimate rests on the form of the regression: {error}",)


def refuse(overlap: Overlap) -> None:
    """Stop where next to nothing is left to compare.

    Raises
    ------
    DesignError
        If the verdict is "stop".
    """
    if overlap.verdict == "stop":
        raise DesignError(" ".join(overlap.reasons), do="trim the sample, take fewer covariates, or ask for the ATT.")
