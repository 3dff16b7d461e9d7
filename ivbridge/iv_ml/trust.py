"""Whether a group that was never recorded can be trusted as an instrument: what the data can say, and what they cannot.

A grouping that was made with the help of T always explains T: its first-stage F is large even where there are no
groups. So F is compared here with placebos, data of the same X in which one rule assigns T and the rows' noise is
shuffled. Balance of X, the accuracy that the probabilities themselves promise, and the same answer from other starts
are looked at next to it.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import chi2

from ivbridge.errors import DataError
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.generated import Generated, Generator
from ivbridge.iv_ml.matching import agreement
from ivbridge.iv_ml.mixture_regression import whitened
from ivbridge.iv_ml.representation import represented
from ivbridge.progress import Progress
from ivbridge.records import FloatArray, IntArray

__all__ = ["ASSUMPTION", "Trust", "trust"]

#: What a group instrument rests on, whatever the numbers are.
ASSUMPTION = (
    "Units came to the sources at random, so that source and (X, ε) are independent; sources differ in how X leads to "
    "T, and a source acts on Y through T only. Independence of X can be looked at, independence of ε cannot: a group "
    "that differs in ε is no instrument, however well it is found."
)

#: So many give a p-value of .05.
_PLACEBOS = 19
_LEVEL, _APART, _SURE, _STABLE = 0.05, 0.25, 0.75, 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Trust:
    """What was found.

    Attributes
    ----------
    groups : int
    first_stage_f : float
        F of the groups and their products with X in the regression of T on X. Large by construction; NaN where all rows
        are in one group, which counts as 0.
    placebo_f : array
        The same F in data without groups; empty if none were asked.
    balance : DataFrame
        For each covariate the largest difference between the groups' means, in standard deviations.
    balance_p : float
        Of the hypothesis that the covariates have the same means in all groups.
    expected_accuracy : float
        Mean probability of the most probable group. If the mixture is right this is the share of right labels, and no
        rule has a larger one. NaN where there are no probabilities.
    stability : float
        Share of rows with the same group from other seeds, the smallest one. 1 if none were asked.
    """

    groups: int
    first_stage_f: float
    placebo_f: FloatArray
    balance: pd.DataFrame
    balance_p: float
    expected_accuracy: float
    stability: float

    @property
    def placebo_p(self) -> float:
        """Share of the data and its placebos with an F at least as large as that of the data; NaN without placebos."""
        if not len(self.placebo_f):
            return math.nan
        ours, others = np.nan_to_num(self.first_stage_f), np.nan_to_num(self.placebo_f)
        return float((1 + (others >= ours).sum()) / (1 + len(others)))

    @property
    def concerns(self) -> tuple[str, ...]:
        """Sentences for whatever speaks against this instrument; the assumption itself is in :data:`ASSUMPTION`."""
        tried = len(self.placebo_f)
        apart = float(self.balance["difference"].max())
        said = {
            f"Data without groups give an F as large (p = {self.placebo_p:.2f}).": (
                self.placebo_p > max(_LEVEL, 1 / (1 + tried))
            ),
            f"None of the {tried} data sets without groups gives an F as large, but {_PLACEBOS} are needed to say that "
            "it is no chance.": 0 < tried < _PLACEBOS and self.placebo_p <= 1 / (1 + tried),
            f"Covariates differ between groups (p = {self.balance_p:.2g}, largest difference {apart:.2f} standard "
            "deviations): the groups are not drawn at random.": self.balance_p < _LEVEL / 5 and apart > _APART,
            f"Labels are expected to be right in {self.expected_accuracy:.0%} of rows only; where they are wrong they "
            "depend on the noise of T.": self.expected_accuracy < _SURE,
            f"Another seed moves {1 - self.stability:.0%} of the rows to another group.": self.stability < _STABLE,
        }
        return tuple(sentence for sentence, holds in said.items() if holds)


def trust(
    maker: Generator, data: IVData, made: Generated, seed: int = 0, *, placebos: int = _PLACEBOS, refits: int = 3,
    progress: Progress | None = None,
) -> Trust:  # fmt: skip
    """Judge the groups that ``maker.generate(data, seed)`` made.

    Parameters
    ----------
    maker : MetaEM or MetaKM
    data : IVData
    made : Generated
    seed : int, default 0
    placebos : int, default 19
        Data sets without groups in which groups are looked for; 19 give p-values from .05. 0: none.
    refits : int, default 3
        Other seeds that are tried.
    progress : callable, optional

    Raises
    ------
    DataError
        If the instrument is no group, or was made from other rows.
    """
    if made.labels is None or not hasattr(maker, "groups"):
        raise DataError(f"{made.generator} makes no groups.", available="meta_em, meta_km")
    if len(made.labels) != data.n:
        raise DataError(f"{len(made.labels)} labels came with {data.n} rows.", do="give the rows they were made from.")
    x, labels = data.exog, made.labels
    groups = int(labels.max()) + 1 if made.probabilities is None else made.probabilities.shape[1]
    again: Any = dataclasses.replace(maker, groups=groups)  # type: ignore[call-arg]
    weights = np.eye(groups)[labels] if made.probabilities is None else made.probabilities
    found = []
    for i, placebo in enumerate(_placebos(data, placebos, seed), 1):
        found.append(_first_stage_f(placebo, again.generate(placebo, seed).labels, groups))
        if progress:
            progress(i, placebos, "placebos")
    others = [again.generate(data, seed + 1 + i).labels for i in range(refits)]
    return Trust(
        groups, _first_stage_f(data, labels, groups), np.array(found), *_balance(x, weights),
        math.nan if made.probabilities is None else float(weights.max(axis=1).mean()),
        min((agreement(labels, other) for other in others), default=1.0),
    )  # fmt: skip


def _placebos(data: IVData, count: int, seed: int) -> list[IVData]:
    """T by one rule, and its residuals shuffled: noise of the same shape, without groups."""
    design, _ = whitened(represented("splines", data.exog, data.endog)(data.exog))
    fitted = design @ (design.T @ data.endog) / data.n
    random = np.random.default_rng([seed, 0x9])
    residuals = data.endog - fitted
    return [dataclasses.replace(data, endog=fitted + random.permutation(residuals)) for _ in range(count)]


def _first_stage_f(data: IVData, labels: IntArray, groups: int) -> float:
    """Of group dummies and their products with X, next to (1, X)."""
    base, _ = whitened(data.exog)
    dummies = np.eye(groups)[labels][:, 1:]
    full = np.column_stack([base, *(base * own[:, None] for own in dummies.T)])
    (left, small), (left_full, large) = (_residual(columns, data.endog) for columns in (base, full))
    if large == small or data.n <= large or left_full == 0:
        return math.nan
    return float((left - left_full) / (large - small) / (left_full / (data.n - large)))


def _residual(columns: FloatArray, t: FloatArray) -> tuple[float, int]:
    """Sum of squares that is left, and the rank."""
    coefficients, _, rank, _ = np.linalg.lstsq(columns, t, rcond=None)
    return float(np.sum((t - columns @ coefficients) ** 2)), int(rank)


def _balance(x: FloatArray, weights: FloatArray) -> tuple[pd.DataFrame, float]:
    """Differences of weighted means, and the test that no group's probability goes with a covariate."""
    spread = x.std(axis=0)
    scaled = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    means = weights.T @ scaled / np.maximum(weights.sum(axis=0), np.finfo(float).tiny)[:, None]
    table = pd.DataFrame({"covariate": np.arange(x.shape[1]), "difference": np.ptp(means, axis=0)})
    apart = (weights - weights.mean(axis=0))[:, 1:, None] * scaled[:, None, :]
    moments = apart.reshape(len(x), -1)
    mean, covariance = moments.mean(axis=0), np.cov(moments.T, bias=True).reshape(moments.shape[1], -1)
    rank = int(np.linalg.matrix_rank(covariance))
    statistic = len(x) * float(mean @ np.linalg.pinv(covariance, hermitian=True) @ mean)
    return table, float(chi2.sf(statistic, rank)) if rank else math.nan
