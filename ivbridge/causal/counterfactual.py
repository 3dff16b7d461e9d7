"""What would have happened to these units: the outcome of the arm that each was not in.

Three questions that are easily mixed. The mean outcome of units like this one, without and with treatment, is a
prediction: :func:`predicted`. What this very unit would have had keeps what is particular to it, its residual:
:func:`abducted` (abduction, action, prediction; Pearl 2009, Causality, section 7.1). And E[Y | X] is neither: it mixes
both arms, μ0 + e·τ, so that taking it for the outcome without treatment is too high by e·τ for every unit, and adding τ
to it is too high by as much; :func:`mixed` is here to measure that.

A single unit's counterfactual is not identified by any experiment. Abduction assumes that the effect adds to the
outcome and that the unit's residual would have been the same in the other arm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ivbridge.causal.arms import Arms
from ivbridge.causal.meta import MetaLearner
from ivbridge.causal.methods.t_learner import TLearner
from ivbridge.causal.question import CausalData, build
from ivbridge.causal.records import EffectEstimate
from ivbridge.causal.scenarios import CausalDraw
from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["Counterfactuals", "abducted", "measured", "mixed", "predicted"]


@dataclass(frozen=True, slots=True, eq=False)
class Counterfactuals:
    """Both potential outcomes of each unit.

    Attributes
    ----------
    t : (n,) array
        Treatment, 0.0 or 1.0.
    y0, y1 : (n,) arrays
        Outcome without and with treatment, in units of the dependent variable.
    std_error : float
        Of each missing outcome, from the effect's estimation alone; NaN where effects of units have none.
    assumption : str
        What has to hold for these to be the units' outcomes.
    """

    t: FloatArray
    y0: FloatArray
    y1: FloatArray
    std_error: float
    assumption: str

    @property
    def missing(self) -> FloatArray:
        """(n,) outcomes of the arm that each unit was not in."""
        return np.where(self.t == 1, self.y0, self.y1)

    def frame(self) -> pd.DataFrame:
        """One row for each unit: treatment, both outcomes, the missing one."""
        return pd.DataFrame({"treatment": self.t, "y0": self.y0, "y1": self.y1, "missing": self.missing})

    def errors(self, y0: FloatArray, y1: FloatArray) -> Mapping[str, float]:
        """Root mean square error and bias of the missing outcomes, where both (n,) potential outcomes are known."""
        gap = self.missing - np.where(self.t == 1, y0, y1)
        return {
            "rmse": float(np.sqrt((gap**2).mean())),
            "bias treated": float(gap[self.t == 1].mean()),
            "bias untreated": float(gap[self.t == 0].mean()),
        }


def abducted(data: CausalData, effect: EffectEstimate, *, common: bool = False) -> Counterfactuals:
    """Take the effect off the outcomes of treated units, and add it to those of the others.

    Parameters
    ----------
    data : CausalData
        The units.
    effect : EffectEstimate
        Of the same units; effects of units are used where it has them.
    common : bool, default False
        Give all units the average effect, even so.

    Raises
    ------
    DataError
        If the effect is of other data.
    """
    if effect.n != data.n or effect.question != data.question:
        raise DataError(f"The effect is of {effect.n} units and another question; the data have {data.n} units.",
                        do="give the data that the effect was estimated from.")  # fmt: skip
    own = None if common else effect.unit_effects
    size = np.full(data.n, effect.estimate) if own is None else own
    whose = "all units have one effect" if own is None else "the estimated effects of units are theirs"
    return Counterfactuals(
        data.t, data.y - data.t * size, data.y + (1 - data.t) * size,
        effect.std_error if own is None else float("nan"),
        f"The effect adds to the outcome, {whose}, and a unit's residual is the same in both arms.",
    )  # fmt: skip


def predicted(arms: Arms) -> Counterfactuals:
    """Mean outcomes of units with the same covariates in both arms: with m = E[Y | X], m - e·τ and m + (1 - e)·τ.

    Parameters
    ----------
    arms : Arms
        Of a learner or a causal forest: ``method.arms(data, seed)``.
    """
    return Counterfactuals(
        arms.t, arms.mu0, arms.mu0 + arms.effect, float("nan"),
        "Means over units with these covariates; a unit's own outcome lies around them by its residual.",
    )  # fmt: skip


def mixed(t: FloatArray, mean: FloatArray, effect: FloatArray) -> Counterfactuals:
    """The mistake, for measurement: E[Y | X] as the outcome without treatment, and E[Y | X] + τ as that with it.

    Parameters
    ----------
    t, mean, effect : (n,) arrays
        Treatment; predictions of the outcome by covariates alone; effects of units.
    """
    return Counterfactuals(t, mean, mean + effect, float("nan"), "None: E[Y | X] is the mean of both arms' outcomes.")


def measured(draw: CausalDraw, method: MetaLearner | None = None, seed: int = 0) -> pd.DataFrame:
    """Errors of each way in a world whose potential outcomes are known, one row a way.

    Parameters
    ----------
    draw : CausalDraw
        Of :mod:`ivbridge.causal.scenarios`.
    method : MetaLearner, default the T-learner with least squares
        All ways have its means and effects.
    seed : int, default 0
        Of its folds.
    """
    method = TLearner() if method is None else method
    data = build(draw.question, draw.frame)
    effect, arms = method.fit(draw.question, data, seed), method.arms(data, seed)
    ways = {
        "E[Y|X] and E[Y|X] + effect": mixed(data.t, arms.mu0 + arms.score * arms.effect, arms.effect),
        "means of both arms": predicted(arms),
        "abduction, one effect": abducted(data, effect, common=True),
        "abduction, effects of units": abducted(data, effect),
    }
    return pd.DataFrame([{"way": name, **way.errors(draw.y0, draw.y1)} for name, way in ways.items()])
