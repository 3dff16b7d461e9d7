"""What a user of each Python package calls to get coefficients and standard errors from a data frame.

Each function prepares what is not timed, and returns the call that is. The call reads the numbers out: packages compute
some of them only then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from tests.benchmarks.peers.worlds import CLUSTERED, DIAGNOSTICS, HC1, Size


@dataclass(frozen=True, slots=True)
class Answer:
    """Numbers in the order of `terms`; no standard errors (None) where the package has none of the kind asked for."""

    terms: list[str]
    coef: Any
    se: Any = None
    tests: dict[str, float] = field(default_factory=dict)


Call = Callable[[str], Answer]


def ours(frame: pd.DataFrame, size: Size) -> Call:
    """ivbridge's fast engine."""
    import ivbridge

    def call(task: str) -> Answer:
        vcov = "cluster(g, type=HC1)" if task == CLUSTERED else "HC1"
        fit = ivbridge.fit(size.formula, frame, vcov, "fast")
        coef, se = fit.params.to_numpy(), fit.bse.to_numpy()
        tests = {}
        if task == DIAGNOSTICS:
            tests = {name: test.statistic for name, test in fit.tests.items()}
            tests["first_stage"] = fit.first_stages[0].weak.statistic
        return Answer([*fit.params.index], coef, se, tests)

    return call


def limit(frame: pd.DataFrame, size: Size) -> Call:
    """No package: two passes of cross-products by numpy, over blocks of 4096 rows of a matrix that is there."""
    w = np.empty((1 + len(size.columns), size.n))
    w[0] = 1.0
    for row, name in zip(w[1:], size.columns, strict=True):
        row[:] = frame[name]
    codes, exog = frame["g"].to_numpy(), list(range(size.k - 1))
    z, x = list(range(size.instruments)), [*exog, size.instruments]
    names = ["(Intercept)", *size.exog, "x"]

    def call(task: str) -> Answer:
        m, n = w.shape
        gram = np.zeros((m, m))
        for start in range(0, n, 4096):
            block = w[:, start : start + 4096]
            gram += block @ block.T
        first = np.linalg.solve(gram[np.ix_(z, z)], gram[np.ix_(z, x)])
        bread = np.linalg.inv(first.T @ gram[np.ix_(z, x)])
        coef = bread @ (first.T @ gram[z, -1])
        turn = np.zeros((size.k + 1, m))
        turn[:-1, z], turn[-1, -1] = first.T, 1.0
        turn[-1, x] -= coef
        if task == CLUSTERED:
            by = np.zeros((size.k, size.groups))
            for start in range(0, n, 4096):
                turned = turn @ w[:, start : start + 4096]
                for j, scores in enumerate(turned[:-1] * turned[-1]):
                    by[j] += np.bincount(codes[start : start + 4096], scores, minlength=size.groups)
            meat = by @ by.T * (size.groups / (size.groups - 1) * (n - 1) / (n - size.k))
        else:
            meat = np.zeros((size.k, size.k))
            for start in range(0, n, 4096):
                turned = turn @ w[:, start : start + 4096]
                scores = turned[:-1] * turned[-1]
                meat += scores @ scores.T
            meat *= n / (n - size.k)
        return Answer(names, coef, np.sqrt(np.diag(bread @ meat @ bread)))

    return call


def linearmodels(frame: pd.DataFrame, size: Size) -> Call:
    """``IV2SLS.from_formula``."""
    from linearmodels.iv import IV2SLS

    formula = f"y ~ 1 + {''.join(f'{name} + ' for name in size.exog)}[x ~ {' + '.join(size.excluded)}]"

    def call(task: str) -> Answer:
        model = IV2SLS.from_formula(formula, frame)
        if task == CLUSTERED:
            fit = model.fit(cov_type="clustered", clusters=frame["g"], debiased=True)
        else:
            fit = model.fit(cov_type="robust", debiased=True)
        coef, se = fit.params.to_numpy(), fit.std_errors.to_numpy()
        tests = {}
        if task == DIAGNOSTICS:
            tests = {"sargan": fit.sargan.stat}
            # of other definitions than AER's under a robust covariance: linearmodels' Wu-Hausman test is classical
            _ = fit.wu_hausman().stat, fit.first_stage.diagnostics.to_numpy()
        return Answer([*fit.params.index], coef, se, tests)

    return call


def pyfixest(frame: pd.DataFrame, size: Size) -> Call:
    """``feols`` that neither copies nor stores the data."""
    import pyfixest as package

    formula = f"y ~ {' + '.join(size.exog)} | x ~ {' + '.join(size.excluded)}"

    def call(task: str) -> Answer:
        vcov: Any = {"CRV1": "g"} if task == CLUSTERED else "HC1"
        fit = package.feols(formula, frame, vcov=vcov, copy_data=False, store_data=False)
        coef, se = fit.coef(), fit.se()
        return Answer([*coef.index], coef.to_numpy(), se.to_numpy())

    return call


def statsmodels(frame: pd.DataFrame, size: Size) -> Call:
    """``IV2SLS`` of its sandbox, whose standard errors are classical only; formulas it has none."""
    from statsmodels.sandbox.regression.gmm import IV2SLS

    names = ["(Intercept)", *size.exog, "x"]

    def call(task: str) -> Answer:
        shared = [np.ones(size.n), *(frame[name].to_numpy() for name in size.exog)]
        x = np.column_stack([*shared, frame["x"].to_numpy()])
        z = np.column_stack([*shared, *(frame[name].to_numpy() for name in size.excluded)])
        fit = IV2SLS(frame["y"].to_numpy(), x, z).fit()
        coef, _ = np.asarray(fit.params), np.asarray(fit.bse)
        return Answer(names, coef)

    return call


def ivmodels(frame: pd.DataFrame, size: Size) -> Call:
    """``KClass``, which estimates coefficients only."""
    from ivmodels import KClass

    def call(task: str) -> Answer:
        fit = KClass(kappa="tsls").fit(frame[["x"]], frame["y"], frame[size.excluded], frame[size.exog])
        coef = np.array([fit.intercept_, *np.ravel(fit.coef_)], dtype=float)
        return Answer(["(Intercept)", "x", *size.exog], coef)

    return call


#: Names as the page shows them.
CALLS: dict[str, Callable[[pd.DataFrame, Size], Call]] = {
    "ivbridge fast": ours,
    "limit": limit,
    "linearmodels": linearmodels,
    "pyfixest": pyfixest,
    "statsmodels": statsmodels,
    "ivmodels": ivmodels,
}
#: What is asked of whom, where it is not every task.
TASKS = {"statsmodels": (HC1,), "ivmodels": (HC1,)}
