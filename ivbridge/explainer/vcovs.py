"""The covariance estimators that a program may have used instead of the question's, the likely ones first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations, product

from ivbridge.explainer.clusters import TWO_WAY, clustered, two_way
from ivbridge.explainer.records import Step
from ivbridge.linear import Linear
from ivbridge.records import FloatArray, IntArray
from ivbridge.sandwich import covariance
from ivbridge.vcov import (
    HC0,
    HC1,
    HC2,
    HC3,
    HC4,
    HC5,
    Andrews,
    Bekker,
    Classical,
    Clustered,
    DriscollKraay,
    HC4m,
    NeweyWest,
    Vcov,
)

__all__ = ["ASKED", "FAR", "NEAR", "Estimator", "Groups", "estimators", "label_of"]

Groups = Mapping[str, IntArray]
Rule = Callable[[list[FloatArray], list[int]], FloatArray]

#: Lags that are tried where the question names none, or beyond the one that it names.
LAGS = 12
MORE_LAGS = 3


@dataclass(frozen=True, eq=False)
class Estimator:
    """One covariance estimator.

    Attributes
    ----------
    label : str
        What a sentence calls it: ``"HC0"``, ``"clustered by state"``.
    like : Vcov
        One whose rounding it shares; itself where it is a vcov.
    steps : tuple of Step
        In which respects it differs from the question's.
    formula : callable (Linear, Groups) -> (k, k) array, optional
        Where it is no vcov.
    """

    label: str
    like: Vcov
    steps: tuple[Step, ...] = ()
    formula: Callable[[Linear, Groups], FloatArray] | None = None

    @property
    def cost(self) -> int:
        """In how many respects it differs."""
        return len(self.steps)

    def covariance(self, model: Linear, groups: Groups) -> FloatArray:
        """The covariance matrix of a fit, (k, k)."""
        if self.formula is not None:
            return self.formula(model, groups)
        if isinstance(self.like, Clustered):
            return clustered(model, self.like, groups)
        return covariance(model, self.like, groups)


#: The order in which estimators are tried: the question's own; those of independent rows and of its own kind; others.
ASKED, NEAR, FAR = range(3)


def estimators(asked: Vcov, k_class: bool, groups: Groups, kinds: int) -> Iterator[Estimator]:
    """Candidates of one kind.

    Parameters
    ----------
    asked : Vcov
        The question's.
    k_class : bool
        Whether the fit is LIML or Fuller, which have other estimators.
    groups : mapping of column name to (n,) codes
        Columns by which rows may be clustered.
    kinds : {ASKED, NEAR, FAR}
        NEAR begins with the question's own, to be tried with factors.
    """
    if kinds in (ASKED, NEAR):
        yield Estimator(label_of(asked), asked)
    if kinds == ASKED:
        return
    seen = {asked}
    for vcov in _near(asked, k_class, groups) if kinds == NEAR else _far(asked, groups):
        if vcov not in seen:
            seen.add(vcov)
            yield Estimator(label_of(vcov), vcov, _differences(asked, vcov))
    if (kinds == NEAR) == isinstance(asked, Clustered):
        yield from _two_way(asked, list(groups))


def _near(asked: Vcov, k_class: bool, groups: Groups) -> Iterator[Vcov]:
    yield from (Classical(), HC0(), HC1())
    if not k_class:
        yield from (HC2(), HC3(), HC4(), HC4m(), HC5())
    else:
        yield from (Bekker(), Bekker(cse=True))
    if isinstance(asked, Clustered):
        for by in _groupings(asked.by, list(groups)):
            yield from _clustered(by)
    if isinstance(asked, DriscollKraay):
        yield from _panel(asked)
    if isinstance(asked, NeweyWest | Andrews):
        yield from _kernels(asked)


def _far(asked: Vcov, groups: Groups) -> Iterator[Vcov]:
    if not isinstance(asked, Clustered):
        for by in _groupings((), list(groups)):
            yield from _clustered(by)
    if not isinstance(asked, NeweyWest | Andrews):
        yield from _kernels(asked)


def _groupings(own: tuple[str, ...], columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    if own:
        yield own
    for size in (1, 2):
        yield from (pair for pair in combinations(columns, size) if set(pair) != set(own))


def _clustered(by: tuple[str, ...]) -> Iterator[Vcov]:
    yield Clustered(by, type="HC1")
    yield Clustered(by, type="HC0", cadjust=False)
    yield Clustered(by)
    yield Clustered(by, type="HC0")
    yield Clustered(by, type="HC1", cadjust=False)
    if len(by) > 1:
        for kind, adjusted in product(("HC1", "HC0"), (True, False)):
            yield Clustered(by, kind, adjusted, multi0=True)  # type: ignore[arg-type]


def _panel(asked: DriscollKraay) -> Iterator[Vcov]:
    named = asked.lag if isinstance(asked.lag, int) else LAGS - MORE_LAGS
    lags: list[int | str] = ["NW1987", "NW1994", "max", *range(named + MORE_LAGS + 1)]
    for lag, aggregate, adjust in product(lags, (True, False), (True, False)):
        yield dataclasses.replace(asked, lag=lag, aggregate=aggregate, adjust=adjust)
    for column in (asked.cluster, asked.order_by):
        yield from _clustered((column,))


def _kernels(asked: Vcov) -> Iterator[Vcov]:
    order = asked.order_by if isinstance(asked, NeweyWest | Andrews) else None
    own = asked.lag if isinstance(asked, NeweyWest) else None
    is_hac = isinstance(asked, NeweyWest | Andrews)
    lags = [None, *range(max(LAGS, (own or 0) + MORE_LAGS) + 1)]
    whitened = (0, 1) if is_hac else (1, 0)
    orders = (order,) if order is None else (order, None)
    for place, lag, prewhite, adjust in product(orders, lags, whitened, (False, True)):
        if is_hac or lag != 0 or prewhite:  # without lags and prewhitening it is HC0
            yield NeweyWest(lag, prewhite, adjust, place)
    bandwidths = [None, *range(1, max(LAGS, (own or 0) + MORE_LAGS) + 2 if is_hac else MORE_LAGS + 2)]
    kernels = _KERNELS if isinstance(asked, Andrews) else [kernel for kernel in _KERNELS if kernel != "Bartlett"]
    for place, kernel, bw, prewhite, adjust in product(orders, kernels, bandwidths, (0, 1), (False, True)):
        if not is_hac and bw == 1 and kernel in ("Parzen", "Tukey-Hanning"):
            continue  # no lag has a weight: HC0
        if is_hac or bw is None or not prewhite:
            yield Andrews(kernel, bw, prewhite, adjust, place)  # type: ignore[arg-type]


_KERNELS = ("Quadratic Spectral", "Parzen", "Bartlett", "Tukey-Hanning", "Truncated")


def label_of(vcov: Vcov) -> str:
    """What a sentence calls an estimator; "standard errors" follows or stands before."""
    if isinstance(vcov, Clustered):
        small = {(None, True): "G/(G−1)", ("HC0", True): "G/(G−1)", ("HC1", True): "G/(G−1)·(n−1)/(n−k)"}
        rule = small.get((vcov.type, vcov.cadjust), "(n−1)/(n−k)" if vcov.type == "HC1" else "no small-sample factor")
        single = ", single rows for the last intersection" if vcov.multi0 else ""
        return f"clustered by {' and '.join(vcov.by)} ({rule}{single})"
    if isinstance(vcov, NeweyWest):
        lag = "automatic lag" if vcov.lag is None else f"lag {vcov.lag}"
        return f"Newey–West ({lag}, {_whitening(vcov.prewhite)}{', n/(n−k)' * vcov.adjust})"
    if isinstance(vcov, Andrews):
        width = "automatic bandwidth" if vcov.bw is None else f"bandwidth {vcov.bw:g}"
        return f"{vcov.kernel} kernel ({width}, {_whitening(vcov.prewhite)}{', n/(n−k)' * vcov.adjust})"
    names = {"bekker": "Bekker's", "dk": "Driscoll–Kraay", "pc": "Beck–Katz panel-corrected", "bootstrap": "bootstrap"}
    name = names.get(vcov.keyword, vcov.keyword)
    return name if vcov.keyword not in ("dk", "bekker") else f"{name} ({vcov})"


def _whitening(order: int) -> str:
    return "prewhitened" if order else "not prewhitened"


_FIELD_TEXTS: Mapping[str, Callable[[object], str]] = {
    "by": lambda v: f"the clusters are {' and '.join(v)}",  # type: ignore[arg-type]
    "type": lambda v: "(n−1)/(n−k) is applied" if v == "HC1" else "(n−1)/(n−k) is not applied",
    "cadjust": lambda v: "G/(G−1) is applied" if v else "G/(G−1) is not applied",
    "multi0": lambda v: (
        "single rows stand in for the last intersection of the clusters" if v else "the last intersection is clustered"
    ),
    "lag": lambda v: "the lag is chosen automatically" if v is None else f"the lag is {v}",
    "bw": lambda v: "the bandwidth is chosen automatically" if v is None else f"the bandwidth is {v:g}",
    "prewhite": lambda v: "the scores are prewhitened" if v else "the scores are not prewhitened",
    "adjust": lambda v: "n/(n−k) is applied" if v else "n/(n−k) is not applied",
    "kernel": lambda v: f"the kernel is {v}",
    "order_by": lambda v: "the rows are taken in the order of the data" if v is None else f"the rows are sorted by {v}",
    "aggregate": lambda v: "scores are summed within periods" if v else "scores are not summed within periods",
    "cse": lambda v: "third and fourth moments are used" if v else "third and fourth moments are not used",
}


def _differences(asked: Vcov, other: Vcov) -> tuple[Step, ...]:
    """One step for another kind of estimator, or one for each setting of the same kind."""
    if type(asked) is not type(other) or not dataclasses.fields(asked):
        factor = {(HC0, HC1): " (× √(n/(n−k)))", (HC1, HC0): " (× 1/√(n/(n−k)))"}.get((type(asked), type(other)), "")
        text = f"standard errors are {label_of(other)} instead of {label_of(asked)}{factor}"
        return (Step(f"vcov.{other.keyword}", text),)
    pairs = {f.name: (getattr(asked, f.name), getattr(other, f.name)) for f in dataclasses.fields(asked)}
    if isinstance(asked, Clustered) and asked.type is None:
        pairs["type"] = ("HC0", pairs["type"][1] or "HC0")
    return tuple(
        Step(f"{asked.keyword}.{name}", _FIELD_TEXTS[name](theirs).replace("G/(G−1)", f"G/(G−1) of {_by(other)}"))
        for name, (ours, theirs) in pairs.items()
        if ours != theirs
    )


def _by(vcov: Vcov) -> str:
    return " and ".join(vcov.by) if isinstance(vcov, Clustered) else ""


def _two_way(asked: Vcov, columns: Sequence[str]) -> Iterator[Estimator]:
    """Formulas for two cluster dimensions that sandwich does not have."""
    own = asked.by if isinstance(asked, Clustered) else ()
    for by in combinations(columns, 2):
        for kind in ("HC1", "HC0"):
            like = Clustered(by, kind)
            base = () if set(by) == set(own) and isinstance(asked, Clustered) else _differences(asked, like)
            if base == () and isinstance(asked, Clustered) and (asked.type or "HC0") != kind:
                base = _differences(dataclasses.replace(asked, by=by), dataclasses.replace(like, cadjust=asked.cadjust))
            for key, text, rule in TWO_WAY:
                step = Step(key, f"for the clusters {by[0]} and {by[1]} {text}")
                formula = partial(_by_rule, vcov=like, rule=rule)
                yield Estimator(f"clustered by {by[0]} and {by[1]} ({text})", like, (*base, step), formula)


def _by_rule(model: Linear, groups: Groups, vcov: Clustered, rule: Rule) -> FloatArray:
    return two_way(model, vcov, groups, rule)
