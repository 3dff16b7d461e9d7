"""Stratification: compare like with like, then average, with a standard error."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pandas as pd

from ivbridge.causal.method import CausalMethod
from ivbridge.causal.methods.difference import neyman
from ivbridge.causal.overlap import describe, refuse
from ivbridge.causal.propensity import logit
from ivbridge.causal.question import CausalData
from ivbridge.causal.r_side import r_answer
from ivbridge.causal.records import Answer
from ivbridge.errors import DataError, DesignError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray, IntArray

__all__ = ["Strata", "Stratification", "strata_of"]

#: How one covariate is cut: a number of quantile groups, the inner cut points, or None for its own values.
Cut = int | Sequence[float] | None
#: What is cut where nothing else is named.
SCORE = "propensity score"
#: Values that a covariate may have to be taken as it is.
VALUES = 200


@dataclass(frozen=True, slots=True, eq=False)
class Strata:
    """A partition of the units.

    Attributes
    ----------
    codes : (n,) int array
        0 … S-1.
    names : tuple of str, length S
    cuts : mapping of str to array
        The inner cut points of each covariate that was cut into groups of equal size.
    """

    codes: IntArray
    names: tuple[str, ...]
    cuts: Mapping[str, FloatArray]


@dataclass(frozen=True, kw_only=True)
class Stratification(CausalMethod):
    """Differences of means within strata, averaged over units (ATE) or over the treated (ATT).

    The squared standard error is Σ w²(s₁²/n₁ + s₀²/n₀), w the share of the stratum, with n - 2S degrees of freedom; R:
    ``estimatr::difference_in_means(blocks=)``. Shares are taken for given, so that the interval is about the effect on
    these units; so are strata of an estimated score, which makes it too wide more often than too short. Strata of a
    propensity score are those of Rosenbaum & Rubin (1984, Journal of the American Statistical Association 79(387),
    516–524); five of them leave about a tenth of the bias (Cochran 1968, Biometrics 24(2)).

    Parameters
    ----------
    by : mapping of str to int, sequence of float, or None, default: the propensity score
        Covariates and how each is cut: ``{"income": 5}`` into five groups of equal size, at R's ``quantile(type = 7)``;
        ``{"income": (70000,)}`` at cut points, which belong to the group below them, as in R's ``cut``;
        ``{"region": None}`` at its own values. Strata are the combinations. Covariates of the question that are not
        named stay unadjusted.
    groups : int, default 5
        Strata of the propensity score, where `by` is empty.

    Raises
    ------
    DataError
        If groups is below 2, or `by` no mapping.
    """

    name: ClassVar[str] = "stratification"
    title: ClassVar[str] = "Stratification"
    estimands: ClassVar[tuple[str, ...]] = ("ATE", "ATT")
    packages: ClassVar[tuple[str, ...]] = ("numpy", "statsmodels")
    extra: ClassVar[str] = "causal"
    r_call: ClassVar[str] = "estimatr::difference_in_means(blocks=)"
    relative: ClassVar[float] = 1e-10
    why_relative: ClassVar[str] = "sums of n numbers round n times by 1e-16; differences of means cancel digits"
    by: Mapping[str, Cut] = field(default_factory=dict)
    groups: int = 5

    def __post_init__(self) -> None:
        groups: object = self.groups
        if not (isinstance(groups, int) and groups >= 2):
            raise DataError(f"groups={groups!r} was asked.", available="whole numbers from 2")
        if not isinstance(self.by, Mapping):
            raise DataError(f"by={self.by!r} was asked.", do='name covariates and their cuts: {"income": 5}.')

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        """See :meth:`CausalMethod.answer`."""
        strata = strata_of(data, self.by, self.groups)
        table = _table(data, strata)
        treated, n = table["treated"].to_numpy(), table["n"].to_numpy()
        share = treated / treated.sum() if data.question.estimand == "ATT" else n / n.sum()
        score = (treated / n)[strata.codes]
        weights = (share / treated)[strata.codes] * data.t + (share / (n - treated))[strata.codes] * (1 - data.t)
        overlap = describe(score, data.t, weights, data.question.estimand)
        refuse(overlap)
        parts = {"strata": float(len(n)), "df": float(data.n - 2 * len(n))}
        parts |= {f"cut {name} {i + 1}": float(at) for name, cuts in strata.cuts.items() for i, at in enumerate(cuts)}
        return Answer(
            float(share @ table["difference"]), math.sqrt(share**2 @ table["std.error"] ** 2),
            "Neyman's in each stratum", parts["df"], overlap=overlap, parts=parts, table=table.assign(share=share),
            unit_effects=table["difference"].to_numpy()[strata.codes], notes=_notes(data, self.by),
            calls=("frame.groupby([stratum, treatment])[dependent].agg(['mean', 'var', 'size'])",),
        )  # fmt: skip

    def reference(self, data: CausalData, seed: int) -> Answer:
        """See :meth:`CausalMethod.reference`."""
        strata = strata_of(data, self.by, self.groups)
        quantiles = {name: {"of": _values(data, name), "groups": cut}
                     for name, cut in self.by.items() if isinstance(cut, int)}  # fmt: skip
        if not self.by:
            quantiles = {SCORE: {"of": None, "groups": self.groups}}  # R fits the logit itself
        return r_answer("stratification", ("estimatr",), y=data.y, t=data.t, x=data.x, strata=strata.codes,
                        att=data.question.estimand == "ATT", quantiles=quantiles or None)  # fmt: skip


def strata_of(data: CausalData, by: Mapping[str, Cut], groups: int = 5) -> Strata:
    """Cut the units into strata; see :class:`Stratification` for the parameters.

    Raises
    ------
    DataError
        If a covariate is not one of the question, is text and is to be cut, or has more than `VALUES` values.
    DesignError
        If a stratum holds fewer than two treated or two untreated units; the message names it.
    """
    whole = by or {SCORE: groups}
    codes, labels, cuts = np.zeros(data.n, dtype=np.int64), [""], dict[str, FloatArray]()
    for name, cut in whole.items():
        own, names, at = _cut(name, logit(data).score if not by else _values(data, name), cut)
        cuts |= {name: at} if isinstance(cut, int) else {}
        combined = codes * len(names) + own
        present, codes = np.unique(combined, return_inverse=True)
        labels = [" & ".join(filter(None, (labels[c // len(names)], names[c % len(names)]))) for c in present]
    for stratum, label in enumerate(labels):
        inside = codes == stratum
        treated, control = int(data.t[inside].sum()), int((1 - data.t[inside]).sum())
        if min(treated, control) < 2:
            raise DesignError(
                f"The stratum {label} holds {treated} treated and {control} untreated units; both need two.",
                do="take fewer or wider strata.",
            )
    return Strata(codes, tuple(labels), cuts)


def _values(data: CausalData, name: str) -> np.ndarray:
    if name not in data.question.covariates:
        raise DataError(f"Strata by {name!r} were asked.", available=", ".join(data.question.covariates))
    column = data.frame[name]
    return np.asarray(
        column.to_numpy(dtype=np.float64) if pd.api.types.is_numeric_dtype(column) else column.astype(str)
    )


def _cut(name: str, values: np.ndarray, cut: Cut) -> tuple[IntArray, list[str], FloatArray]:
    """Numbers of the groups of one covariate, their names, and the inner cut points."""
    if cut is None:
        levels, codes = np.unique(values, return_inverse=True)
        if len(levels) > VALUES:
            raise DataError(f"{name!r} has {len(levels)} values.", do=f"cut it, for example by={{{name!r}: 5}}.")
        return codes, [f"{name} = {level}" for level in levels], np.empty(0)
    if values.dtype.kind not in "fiu":
        raise DataError(f"{name!r} holds text and cannot be cut.", do=f"take its values: by={{{name!r}: None}}.")
    if isinstance(cut, int):
        if cut < 2:
            raise DataError(f"{cut} groups of {name!r} were asked.", available="2 or more")
        at = np.unique(np.quantile(values, np.arange(1, cut) / cut))
    else:
        at = np.unique(np.asarray(cut, dtype=np.float64))
        if not len(at) or not np.isfinite(at).all():
            raise DataError(f"The cut points {cut!r} of {name!r} were asked.", available="finite numbers")
    shown = [f"{edge:.6g}" for edge in at]
    names = [f"{name} <= {shown[0]}", *(f"{low} < {name} <= {high}" for low, high in pairwise(shown)),
             f"{name} > {shown[-1]}"]  # fmt: skip
    return np.searchsorted(at, values, side="left"), names, at


def _table(data: CausalData, strata: Strata) -> pd.DataFrame:
    rows = []
    for stratum, name in enumerate(strata.names):
        inside = strata.codes == stratum
        y, treated = data.y[inside], data.treated[inside]
        difference, error, _ = neyman(y[treated], y[~treated])
        rows.append({"stratum": name, "n": int(inside.sum()), "treated": int(treated.sum()), "difference": difference,
                     "std.error": error})  # fmt: skip
    return pd.DataFrame(rows)


def _notes(data: CausalData, by: Mapping[str, Cut]) -> tuple[str, ...]:
    if not by:
        return ("Strata of the propensity score leave the confounding that is inside them.",)
    left = [name for name in data.question.covariates if name not in by]
    open_ = (f"Not adjusted for {', '.join(left)}.",) if left else ()
    return ("Strata leave the confounding that is inside them.", *open_)
