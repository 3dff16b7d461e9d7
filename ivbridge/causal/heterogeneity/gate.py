"""The gate before a ranking: one part of the units teaches the method, the other judges what it predicts.

>>> from ivbridge.causal import method_class, scenarios
>>> from ivbridge.causal.heterogeneity.gate import judge
>>> draw = scenarios.TWINS["different"].draw(1000, 1)
>>> found = judge(method_class("t_learner")(), draw.question, draw.frame)
>>> found.passed
True
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from ivbridge.causal.crossfit import Learner, draw_folds
from ivbridge.causal.heterogeneity.calibration import Calibration, calibration, group_effects
from ivbridge.causal.heterogeneity.policy import PolicyValue, treat_first
from ivbridge.causal.heterogeneity.rate import Rate, rate
from ivbridge.causal.heterogeneity.scores import LEARNERS, Scores, scores
from ivbridge.causal.heterogeneity.uplift_curve import curve
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.errors import DataError
from ivbridge.records import FloatArray

__all__ = ["GateOptions", "Judged", "Ranking", "judge", "rank"]

By = Literal["AUTOC", "Qini", "calibration"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateOptions:
    """How a ranking is judged.

    Parameters
    ----------
    by : {"AUTOC", "Qini", "calibration"}, default "AUTOC"
        The test that decides, chosen before the data are seen; the others are reported.
    level : float, default 0.05
        Of the one-sided test.
    splits : int, default 1
        Random halves. With several, twice the median p-value decides (Chernozhukov, Demirer, Duflo and
        Fernández-Val 2025), which makes it hard to find a seed that passes.
    shares : tuple of float
        Shares of which the value of treating them is reported.
    cost : float, default 0
        Of one treatment, in units of the dependent variable.
    groups : int, default 5
    draws : int, default 500
        Half samples behind standard errors.
    learners : sequence of Learner
        Candidates for the nuisance functions of the scores.
    seed : int, default 0
    """

    by: By = "AUTOC"
    level: float = 0.05
    splits: int = 1
    shares: tuple[float, ...] = (0.1, 0.2, 0.5)
    cost: float = 0.0
    groups: int = 5
    draws: int = 500
    learners: Sequence[Learner] = LEARNERS
    seed: int = 0

    def __post_init__(self) -> None:
        if self.by not in get_args(By) or not 0 < self.level < 1 or self.splits < 1:
            raise DataError(
                f"A gate by {self.by!r} at {self.level:g} over {self.splits} splits was asked.",
                available=f"{', '.join(get_args(By))}; a level between 0 and 1; one split or more",
            )


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """What the units that a method has not seen say about its ranking; of the first split, where there are several.

    Attributes
    ----------
    title : str
        The method.
    options : GateOptions
    learned, judged : int
        Units on either side.
    autoc, qini : Rate
    calibration : Calibration
    groups, curve : DataFrame
        From :func:`~ivbridge.causal.heterogeneity.calibration.group_effects` and
        :func:`~ivbridge.causal.heterogeneity.uplift_curve.curve`.
    values : tuple of PolicyValue
    clipped : int
        Units whose probability of treatment was clipped.
    p_values : tuple of float
        Of the deciding test, one for each split.
    """

    title: str
    options: GateOptions
    learned: int
    judged: int
    autoc: Rate
    qini: Rate
    calibration: Calibration
    groups: pd.DataFrame
    curve: pd.DataFrame
    values: tuple[PolicyValue, ...]
    clipped: int
    p_values: tuple[float, ...] = field(default=())

    @property
    def p_value(self) -> float:
        """Of the deciding test; twice the median where there are several splits."""
        return self.p_values[0] if len(self.p_values) == 1 else min(1.0, 2 * float(np.median(self.p_values)))

    @property
    def passed(self) -> bool:
        """Whether the ranking may be printed."""
        return self.p_value < self.options.level

    @property
    def statement(self) -> str:
        """The verdict in one sentence."""
        test = {"AUTOC": self.autoc, "Qini": self.qini, "calibration": self.calibration}[self.options.by]
        many = f", p {self.p_value:.3g} over {len(self.p_values)} splits" if len(self.p_values) > 1 else ""
        told = f"{test} on {self.judged} units that it has not seen{many}"
        title = self.title[:1].upper() + self.title[1:]
        if self.passed:
            return f"{title} ranks units by effect: {told}."
        return f"{title} ranks noise, as far as the data can tell: {told}; the limit is {self.options.level:g}."


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Units in the order of their predicted effects.

    Attributes
    ----------
    judged : Judged
    table : DataFrame (n rows)
        ``rank``, ``row`` (position in the data), ``predicted``, the covariates, and, because the largest of many
        predictions is too large, what the units that were held out say about its group: ``group``,
        ``group.estimate``, ``group.std.error``.
    """

    judged: Judged
    table: pd.DataFrame

    def summary(self, most: int = 5) -> str:
        """The verdict, then the first units."""
        head = self.table.head(most).to_string(index=False, float_format="{:.4g}".format)
        return f"{self.judged.statement}\n{head}"


def judge(method: CausalMethod, question: CausalQuestion, data: Any, options: GateOptions | None = None) -> Judged:
    """Let one half of the units judge what a method has learned from the other.

    Parameters
    ----------
    method : CausalMethod
        One that predicts effects of units: a learner, a tree or a forest.
    question : CausalQuestion
    data : table of n rows, or CausalData
    options : GateOptions, optional

    Raises
    ------
    UnsupportedError
        If the method has one effect for all units, or the estimand is "LATE".
    DataError, DesignError, MissingExtraError
        As :meth:`ivbridge.causal.method.CausalMethod.fit`.
    """
    asked = options or GateOptions()
    method.check(question)
    built = data if isinstance(data, CausalData) else build(question, data)
    first: Judged | None = None
    p_values = []
    for split in range(asked.splits):
        held, predicted = _split(method, built, asked, asked.seed + split)
        if first is None:
            first = _judged(method, built, asked, held, predicted)
        p_values.append(_p_value(asked, held, predicted))
    assert first is not None
    return replace(first, p_values=tuple(p_values))


def _split(method: CausalMethod, data: CausalData, asked: GateOptions, seed: int) -> tuple[Scores, FloatArray]:
    """Scores and predicted effects of the half that judges."""
    half = draw_folds(data.n, 2, seed, data.t)
    learn, judges = np.flatnonzero(half == 0), np.flatnonzero(half == 1)
    predicted = method.effects(data.take(learn), data.take(judges), seed)
    return scores(data, asked.learners, seed=seed).take(judges), predicted


def _p_value(asked: GateOptions, held: Scores, predicted: FloatArray) -> float:
    if asked.by == "calibration":
        return calibration(held, predicted).p_value
    return rate(held.effect, predicted, asked.by, asked.draws, asked.seed).p_value


def _judged(method: CausalMethod, data: CausalData, asked: GateOptions, held: Scores, predicted: FloatArray) -> Judged:
    effect, drawn = held.effect, (asked.draws, asked.seed)
    return Judged(
        method.title, asked, data.n - held.n, held.n, rate(effect, predicted, "AUTOC", *drawn),
        rate(effect, predicted, "Qini", *drawn), calibration(held, predicted),
        group_effects(held, predicted, asked.groups), curve(effect, predicted, draws=asked.draws, seed=asked.seed),
        tuple(treat_first(held, predicted, share, asked.cost, *drawn) for share in asked.shares), held.clipped,
    )  # fmt: skip


def rank(
    method: CausalMethod,
    question: CausalQuestion,
    data: Any,
    options: GateOptions | None = None,
    *,
    anyway: bool = False,
) -> Ranking:
    """Units in the order of their predicted effects, if units that were held out bear the order out.

    Parameters
    ----------
    method, question, data, options
        As :func:`judge`.
    anyway : bool, default False
        Rank also where the gate does not pass; the ranking's summary says so first.

    Raises
    ------
    DataError
        If the gate does not pass.
    UnsupportedError, DesignError, MissingExtraError
        As :func:`judge`.
    """
    built = data if isinstance(data, CausalData) else build(question, data)
    asked = options or GateOptions()
    judged = judge(method, question, built, asked)
    if not (judged.passed or anyway):
        raise DataError(judged.statement, do="report the mean effect, or gather more units.")
    effects = method.fit(question, built, asked.seed).unit_effects
    predicted = method.effects(built, built, asked.seed) if effects is None else effects
    order = np.argsort(-predicted, kind="stable")
    group = np.empty(built.n, dtype=np.int64)
    for number, part in enumerate(np.array_split(np.arange(built.n), asked.groups), start=1):
        group[part] = number
    table = pd.DataFrame({"rank": np.arange(1, built.n + 1), "row": built.rows[order], "predicted": predicted[order]})
    covariates = built.frame[list(question.covariates)].iloc[order].reset_index(drop=True)
    held = judged.groups.set_index("group").loc[group, ["estimate", "std.error"]].add_prefix("group.").reset_index()
    return Ranking(judged, pd.concat([table, covariates, held], axis=1))
