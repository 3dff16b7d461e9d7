"""Placebo treatments: does the method find effects of a treatment that is drawn by chance?"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

import numpy as np
from scipy import stats

from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalData, build
from ivbridge.causal.records import EffectEstimate
from ivbridge.causal.refute.protocol import Found, Refuter, verdict_of
from ivbridge.causal.refute.repeat import Repeated, repeat, with_treatment
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray

__all__ = ["Placebo"]

By = Literal["studentised", "estimate"]

#: A placebo that is found significant at 5 % too often, or too seldom, by this p-value is a failure.
LEVEL, SUSPECT = 0.05, 0.01


@dataclass(frozen=True, kw_only=True)
class Placebo(Refuter):
    """Permute the treatment among units, and estimate the effect of each permutation.

    With clusters, whole clusters are permuted where the treatment does not vary within them, else units within
    clusters. Where there are no more permutations than draws, each is taken once: the exact distribution.

    The statistic is the share of placebos that the method finds significant at 5 %; it should be 5 %. ``parts`` holds
    the permutation p-value of the estimate itself, too, (1 + number as large)/(1 + draws), of no effect on any unit if
    the treatment had been drawn by chance (Phipson and Smyth 2010, Statistical Applications in Genetics and Molecular
    Biology 9, 39).

    Parameters
    ----------
    draws : int, default 199
        Permutations.
    column : str, optional
        A placebo treatment in the data, 0 or 1: its effect is judged by its own permutation distribution.
    by : {"studentised", "estimate"}, default "studentised"
        What permutation p-values compare. An estimate over its standard error keeps its meaning where the placebo's
        standard error differs from the treatment's, as it does when covariates decide the treatment.
    """

    name: ClassVar[str] = "placebo"
    title: ClassVar[str] = "Placebo treatment"
    shows: ClassVar[str] = (
        "whether the method finds effects where there are none: a standard error that is wrong, a leak, a coding fault."
    )
    cannot: ClassVar[str] = (
        "anything about confounding. A placebo is drawn by chance, so nothing confounds it: a confounded estimate "
        "passes as often as a right one."
    )
    draws: int = 199
    column: str | None = None
    by: By = "studentised"

    def attempt(
        self, method: CausalMethod, effect: EffectEstimate, data: CausalData, frame: Any, progress: Progress | None
    ) -> Found:
        """Permute and estimate; see :meth:`Refuter.refute`."""
        if data.question.estimand == "LATE":
            raise UnsupportedError("A permuted treatment has no relation to the instruments.", available="ATE, ATT")
        if self.draws < 19 or self.by not in get_args(By):
            raise DataError(
                f"draws={self.draws!r}, by={self.by!r}", available="19 draws or more, studentised, estimate"
            )
        if self.column is not None:
            data = _placebo_data(data, frame, self.column)
            effect = method.fit(data.question, data, effect.seed)
        whole = _whole(data) if data.question.clusters is None else math.inf
        exact = whole <= self.draws
        total = int(whole) if exact else self.draws
        worlds = (with_treatment(data, t) for t in (_every(data) if exact else _draw(data, total, effect.seed)))
        found = repeat(method, worlds, effect.seed, total, progress)
        parts = _moments(found, effect)
        parts["permutation p"] = _permutation_p(found, effect, self.by, exact)
        kind = "all" if exact else "random"
        if self.column is not None:
            return _judge_column(self.column, effect, found, parts, kind)
        return _judge_level(effect, found, parts, kind)


def _placebo_data(data: CausalData, frame: Any, column: str) -> CausalData:
    question = data.question
    if column in question.columns:
        raise DataError(f"The placebo {column!r} has a role in the question already.")
    return build(replace(question, treatment=column, instruments=()), frame)


def _whole(data: CausalData) -> int:
    return math.comb(data.n, int(data.treated.sum()))


def _every(data: CausalData) -> Iterator[FloatArray]:
    for chosen in itertools.combinations(range(data.n), int(data.treated.sum())):
        t = np.zeros(data.n)
        t[list(chosen)] = 1.0
        yield t


def _draw(data: CausalData, draws: int, seed: int) -> Iterator[FloatArray]:
    random = np.random.default_rng([seed, 0x91AC])
    name = data.question.clusters
    if name is None:
        for _ in range(draws):
            yield random.permutation(data.t)
        return
    codes = np.unique(data.frame[name].to_numpy(), return_inverse=True)[1]
    sums, sizes = np.bincount(codes, data.t), np.bincount(codes)
    if np.isin(sums / sizes, (0.0, 1.0)).all():
        for _ in range(draws):
            yield random.permutation(sums / sizes)[codes]
        return
    order = np.argsort(codes, kind="stable")
    for _ in range(draws):
        shuffled = order[np.lexsort((random.uniform(size=data.n), codes[order]))]
        t = np.empty(data.n)
        t[order] = data.t[shuffled]
        yield t


def _moments(found: Repeated, effect: EffectEstimate) -> dict[str, float]:
    return {
        "estimate": effect.estimate, "std.error": effect.std_error, "mean": float(found.estimates.mean()),
        "sd": float(found.estimates.std(ddof=1)), "failed": float(found.failed),
    }  # fmt: skip


def _permutation_p(found: Repeated, effect: EffectEstimate, by: str, exact: bool) -> float:
    """Two-sided; ties, as of the treatment's own permutation, count as such to within rounding."""
    studentised = by == "studentised" and effect.std_error > 0
    seen = effect.statistic if studentised else effect.estimate
    drawn = found.estimates / found.std_errors if studentised else found.estimates
    as_large = np.abs(drawn) >= abs(seen) * (1 - 1e-10)
    return float(as_large.mean()) if exact else float((1 + as_large.sum()) / (1 + len(drawn)))


def _judge_column(column: str, effect: EffectEstimate, found: Repeated, parts: dict[str, float], kind: str) -> Found:
    p = parts["permutation p"]
    reasons = (f"The placebo {column!r} seems to have an effect.",) if p <= LEVEL else ()
    done = (
        f"The effect of {column} was estimated, {effect.estimate:.5g} with standard error {effect.std_error:.4g}, and "
        f"compared with {len(found.estimates)} {kind} permutations of it."
    )
    verdict = verdict_of(bool(reasons) or found.too_many)
    return Found(done, f"effect of {column}", effect.estimate, p, verdict, found.estimates, parts,
                 (*reasons, *found.reasons))  # fmt: skip


def _judge_level(effect: EffectEstimate, found: Repeated, parts: dict[str, float], kind: str) -> Found:
    count = len(found.estimates)
    centre = 2 * float(stats.norm.sf(abs(parts["mean"]) / (parts["sd"] / math.sqrt(count)))) if parts["sd"] else 1.0
    reasons = list(found.reasons)
    if centre < SUSPECT / 2:
        reasons.append(f"Placebos have an effect of {parts['mean']:.4g} on average.")
    done = f"The treatment was permuted among units, and the effect of {count} {kind} permutations was estimated."
    if not (found.std_errors > 0).all():
        verdict = verdict_of(centre < SUSPECT / 2 or found.too_many)
        return Found(done, "mean effect of placebos", parts["mean"], centre, verdict, found.estimates, parts,
                     (*reasons, "The method reports no standard error, so only the centre was judged."))  # fmt: skip
    critical = float(stats.t.isf(LEVEL / 2, effect.answer.df))
    rejected = int((np.abs(found.estimates / found.std_errors) > critical).sum())
    level = float(stats.binomtest(rejected, count, LEVEL).pvalue)
    if level < SUSPECT / 2:
        reasons.append(f"{rejected} of {count} placebos are significant at 5 %.")
    p = min(1.0, 2 * min(level, centre))
    parts |= {"rejected": rejected / count}
    verdict = verdict_of(p < SUSPECT or found.too_many)
    return Found(done, "share of placebos significant at 5 %", rejected / count, p, verdict, found.estimates, parts,
                 tuple(reasons))  # fmt: skip
