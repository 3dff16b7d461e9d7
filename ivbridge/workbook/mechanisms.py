"""Two printed numbers that today's libraries do not give, and what gives them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit

from ivbridge.causal.scenarios import COVARIATES
from ivbridge.progress import Progress
from ivbridge.records import FloatArray
from ivbridge.workbook.printed import Key, Numbers, rounds_to
from ivbridge.workbook.today import Steps, double, imagined, matched_difference

__all__ = ["LastBits", "Stopped", "last_bits", "stopped"]


@dataclass(frozen=True, slots=True, eq=False)
class Stopped:
    """A propensity model whose solver stopped too early.

    Attributes
    ----------
    effect : float
        The matched difference with its scores.
    steps : int
    said : str
        What the solver said.
    coef_income, correlation : float
        Of income in the logit; of the scores with income.
    scores : (n,) array
    """

    effect: float
    steps: int
    said: str
    coef_income: float
    correlation: float
    scores: FloatArray


def stopped(frame: pd.DataFrame) -> Stopped:
    """scikit-learn's ``LogisticRegression()`` before version 1.4: its objective, and its solver with its settings.

    The objective is the *sum* of the log losses plus half the squared coefficients; L-BFGS-B keeps scipy's tolerance of
    2.2e-9 for the relative decrease of the objective. On a column of mean 60,000 the decrease falls below it on the
    way, and the solver reports success. Version 1.4 lowered that tolerance to 64 machine epsilons.
    """
    x, t = frame[list(COVARIATES)].to_numpy(), frame["T"].to_numpy(dtype=np.float64)

    def objective(coef: FloatArray) -> tuple[float, FloatArray]:
        index = x @ coef[:-1] + coef[-1]
        residual = expit(index) - t
        loss = float((np.logaddexp(0, index) - t * index).sum() + 0.5 * coef[:-1] @ coef[:-1])
        return loss, np.r_[x.T @ residual + coef[:-1], residual.sum()]

    found = minimize(
        objective, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"gtol": 1e-4, "maxiter": 100}
    )
    score = expit(x @ found.x[:-1] + found.x[-1])
    income = COVARIATES.index("income")
    correlation = float(np.corrcoef(score, x[:, income])[0, 1])
    effect = matched_difference(score, frame)
    return Stopped(effect, int(found.nit), str(found.message), float(found.x[income]), correlation, score)


@dataclass(frozen=True, slots=True)
class LastBits:
    """The notebook's double machine learning after the last bits of the dependent variable were changed at random.

    Attributes
    ----------
    trials : tuple of numbers
        Tables of the residuals' regression, and the counterfactuals, one of each for a trial.
    """

    trials: tuple[Numbers, ...]

    def values(self, key: Key) -> FloatArray:
        """(trials,) values of a number; empty if it does not depend on the forests."""
        table, row, column = key
        found = [one[table][row][column] for one in self.trials if column in one.get(table, {}).get(row, {})]
        return np.array(found)

    def holds(self, key: Key, text: str) -> bool:
        """Whether a printed number lies within what the trials gave, or would be printed so."""
        values = self.values(key)
        if not len(values):
            return False
        shown = float(text)
        return values.min() <= shown <= values.max() or any(rounds_to(text, value) for value in values)

    def sentence(self, key: Key) -> str:
        """The spread of a number in words."""
        values = self.values(key)
        return (
            f"the forests' splits hang on last bits: with the same seeds, but the last bit of Y_obs moved at random, "
            f"{len(values)} trials give {values.min():.6g} to {values.max():.6g}"
        )


def last_bits(steps: Steps, times: int = 20, progress: Progress | None = None) -> LastBits:
    """How far the numbers that come from the forests move when nothing changes but the last bits of Y_obs.

    Another processor or C library gives such differences; a tree that has to choose between two nearly equal splits
    then chooses the other one.
    """
    frame, found = steps.frame, []
    for trial in range(times):
        if progress:
            progress(trial, times, "last bits")
        step = np.random.default_rng([trial, 0xB17]).integers(-1, 2, len(frame))
        y = frame["Y_obs"].to_numpy()
        moved = frame.assign(Y_obs=np.where(step == 0, y, np.nextafter(y, np.where(step > 0, np.inf, -np.inf))))
        again = Steps(steps.draw)
        again.frame = moved
        double(again)
        imagined(again)
        found.append(again.numbers)
    return LastBits(tuple(found))
