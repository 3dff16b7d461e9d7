"""The calibration test: do effects differ as they were predicted to, on units that the prediction has not seen?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ivbridge.causal.heterogeneity.scores import Scores
from ivbridge.errors import DataError, MissingExtraError
from ivbridge.records import FloatArray

__all__ = ["Calibration", "calibration", "group_effects"]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Coefficients of the best linear predictor of the effects.

    Attributes
    ----------
    mean, mean_error : float
        1 where the mean of the predictions is the mean effect; NaN where that mean is 0.
    differential, differential_error : float
        1 where effects differ as predicted, 0 where predictions have nothing to do with them; NaN where all units
        have one prediction. Standard errors are HC3.
    df : float
        Of the t distribution.
    """

    mean: float
    mean_error: float
    differential: float
    differential_error: float
    df: float

    @property
    def statistic(self) -> float:
        """Of the differential coefficient being 0."""
        return self.differential / self.differential_error

    @property
    def p_value(self) -> float:
        """One-sided: that predictions without meaning do so well. 1 where all units have one prediction."""
        return 1.0 if np.isnan(self.statistic) else float(stats.t.sf(self.statistic, self.df))

    def __str__(self) -> str:
        return f"differential {self.differential:.3g} ({self.differential_error:.3g}), one-sided p {self.p_value:.3g}"


def calibration(scores: Scores, predicted: FloatArray) -> Calibration:
    """Regress y - m(x) on (t - e)·mean prediction and (t - e)·(prediction - mean), without a constant.

    Chernozhukov, Demirer, Duflo and Fernández-Val (2025, Econometrica 93, "Fisher-Schultz Lecture: Generic Machine
    Learning Inference on Heterogeneous Treatment Effects in Randomized Experiments"), in the form of
    ``test_calibration`` of the R package grf; in R ``lm``, ``sandwich::vcovHC(type = "HC3")`` and one-sided p-values.

    Parameters
    ----------
    scores : Scores
        Of units that the prediction was not learned from.
    predicted : (n,) array
        Their predicted effects.

    Raises
    ------
    DataError
        If the lengths differ or a prediction is not finite.
    MissingExtraError
        If statsmodels is missing.
    """
    try:
        import statsmodels.api as sm
    except ImportError as error:
        do = 'pip install "ivbridge[causal]"'
        raise MissingExtraError(f"The calibration test needs statsmodels: {error}.", do=do) from error
    if len(predicted) != scores.n or not np.isfinite(predicted).all():
        raise DataError(f"{len(predicted)} predictions were given for {scores.n} units.",
                        do="give one finite number for every unit.")  # fmt: skip
    moved, center = scores.t - scores.chance, float(predicted.mean())
    columns = {"mean": moved * center, "differential": moved * (predicted - center)}
    kept = {name: one for name, one in columns.items() if np.abs(one).max() > 1e-12 * (1 + abs(center))}
    found = dict.fromkeys(columns, (np.nan, np.nan))
    if kept:
        fit = sm.OLS(scores.y - scores.mean, np.column_stack(list(kept.values()))).fit(cov_type="HC3")
        found |= dict(zip(kept, zip(fit.params, fit.bse, strict=True), strict=True))
    (mean, mean_error), (differential, slope_error) = found.values()
    return Calibration(
        float(mean), float(mean_error), float(differential), float(slope_error), float(scores.n - len(kept))
    )


def group_effects(scores: Scores, predicted: FloatArray, groups: int = 5) -> pd.DataFrame:
    """Effects of groups of units of about equal size, from the largest predictions to the smallest.

    Returns
    -------
    DataFrame
        ``group`` (1: the largest predictions), ``n``, ``predicted`` (mean), ``estimate`` (mean score), ``std.error``
        (standard deviation over √n), ``conf.low`` and ``conf.high`` (95 %, normal). Equal predictions may fall into
        two groups, by the order of the units.

    Raises
    ------
    DataError
        If a group would have fewer than two units.
    """
    if not 1 <= groups <= scores.n // 2:
        raise DataError(f"{groups} groups of {scores.n} units were asked.", available="two units or more in each")
    order = np.argsort(-predicted, kind="stable")
    rows = []
    for number, part in enumerate(np.array_split(order, groups), start=1):
        effect = scores.effect[part]
        mean, error = float(effect.mean()), float(effect.std(ddof=1) / np.sqrt(len(part)))
        half = float(stats.norm.isf(0.025)) * error
        row = (number, len(part), float(predicted[part].mean()), mean, error, mean - half, mean + half)
        rows.append(row)
    names = ["group", "n", "predicted", "estimate", "std.error", "conf.low", "conf.high"]
    return pd.DataFrame(rows, columns=names)
