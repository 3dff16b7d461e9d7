"""What belongs in the place of the notebook's faulty numbers, each by a method of :mod:`ivbridge.causal`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.causal import method_class
from ivbridge.causal.crossfit import Learner
from ivbridge.causal.overlap import describe
from ivbridge.causal.propensity import logit
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.causal.records import EffectEstimate
from ivbridge.causal.scenarios import COVARIATES, TWINS
from ivbridge.progress import Progress
from ivbridge.workbook.printed import Key
from ivbridge.workbook.today import Steps

__all__ = ["Measured", "measure", "texts"]

_EFFECT = "effect", "value"
FOREST, CALM = Learner("forest"), Learner("forest", leaf=20)


@dataclass(frozen=True, slots=True)
class Measured:
    """One measurement behind a fault.

    Attributes
    ----------
    fault : int
    what : str
        The quantity in words.
    value, std_error : float
        NaN where there is none.
    how : str
        What computed it.
    keys : tuple of (table, row, column)
        Printed numbers in whose place it belongs; empty where it only says how large the fault is.
    """

    fault: int
    what: str
    value: float
    std_error: float
    how: str
    keys: tuple[Key, ...] = ()

    @property
    def text(self) -> str:
        """The quantity with its number."""
        error = "" if math.isnan(self.std_error) else f" ({_short(self.std_error)})"
        return f"{self.what}: {_short(self.value)}{error}"


def _short(number: float) -> str:
    """Four digits, and two decimals at most where the number is large."""
    return f"{number:.2f}" if 10 <= abs(number) < 1e4 else f"{number:.4g}"


class _Bench:
    """What the measurements share: the steps of the notebook, and its question on clean arrays."""

    def __init__(self, steps: Steps, seed: int) -> None:
        self.steps, self.seed = steps, seed
        self.frame: pd.DataFrame = steps.frame
        self.question: CausalQuestion = steps.draw.question
        self.treated = replace(self.question, estimand="ATT")
        self.data: CausalData = build(self.question, self.frame)

    def fit(
        self, name: str, question: CausalQuestion | None = None, frame: Any = None, **choices: Any
    ) -> EffectEstimate:
        """A method's effect."""
        asked = question or self.question
        made: EffectEstimate = method_class(name)(**choices).fit(
            asked, self.frame if frame is None else frame, self.seed
        )
        return made


def measure(steps: Steps, seed: int = 1, progress: Progress | None = None) -> tuple[Measured, ...]:
    """Measure every fault.

    Parameters
    ----------
    steps : Steps
        What the notebook's own steps left.
    seed : int, default 1
        Of folds and forests.
    """
    bench = _Bench(steps, seed)
    parts: tuple[Callable[[_Bench], Iterator[Measured]], ...] = (
        _matching, _hidden, _instrument, _double, _forest, _ranking, _imagined, _placebo, _strata, _overlap, _errors,
        _unused,
    )  # fmt: skip
    found: list[Measured] = []
    for done, part in enumerate(parts):
        if progress:
            progress(done, len(parts), part.__name__.strip("_"))
        found += part(bench)
    return tuple(found)


def texts(found: tuple[Measured, ...]) -> Mapping[Key, tuple[int, str]]:
    """Fault and text by printed number; several measurements of one number are joined."""
    joined: dict[Key, tuple[int, str]] = {}
    for one in found:
        for key in one.keys:
            before = f"{joined[key][1]}; " if key in joined else ""
            joined[key] = (one.fault, before + one.text)
    return joined


def _of(effect: EffectEstimate, fault: int, what: str, *keys: Key) -> Measured:
    return Measured(fault, what, effect.estimate, effect.std_error, f"{effect.title}, {effect.answer.vcov}", keys)


def _number(fault: int, what: str, value: float, how: str, *keys: Key) -> Measured:
    return Measured(fault, what, float(value), math.nan, how, keys)


def _matching(bench: _Bench) -> Iterator[Measured]:
    key = ("psm", *_EFFECT)
    matched = bench.fit("propensity_matching", bench.treated)
    yield _of(matched, 1, "ATT by matching on the converged score", key)
    exact = bench.fit("mahalanobis_matching", bench.treated, adjust=True)
    yield _of(exact, 1, "ATT by matching on the covariates, bias adjusted", key)


def _hidden(bench: _Bench) -> Iterator[Measured]:
    f = bench.frame
    age = (f["age"] - 40) / 12
    yield _number(
        2, "correlation of the hidden column with age", np.corrcoef(f["hidden_confounder"], age)[0, 1], "numpy"
    )
    means = age.groupby(f["T"]).mean()
    what = "twice the difference in mean standardised age"
    yield _number(2, what, 2 * (means[1] - means[0]), "numpy", ("hidden", "inflation", "value"))
    draw = TWINS["hidden"].draw(len(f), bench.seed)
    seen = draw.frame.assign(u=draw.hidden["u"])
    asked = draw.question
    without = bench.fit("regression", asked, seen)
    yield _of(without, 2, "truth 10, a real hidden cause left out", ("hidden", "difference", "value"))
    known = bench.fit("regression", replace(asked, covariates=(*asked.covariates, "u")), seen)
    yield _of(known, 2, "the same, the cause known", ("hidden", "difference", "value"))


def _instrument(bench: _Bench) -> Iterator[Measured]:
    from ivbridge.causal.two_step import compare

    asked = CausalQuestion("Y_obs", "T_iv", COVARIATES, ("Z",), "LATE")
    right = bench.fit("two_stage", asked, vcov="classical")
    yield _of(right, 3, "both stages at once (truth 0)", ("iv-effect", *_EFFECT), ("iv", "T_hat", "coef"),
              ("iv", "T_hat", "std err"))  # fmt: skip
    moved = bench.frame.assign(Y_obs=bench.frame["Y_0"] + 10 * bench.frame["T_iv"])
    by_hand = compare(asked, moved)
    yield _number(3, "standard error by hand, if the effect were 10", by_hand.manual, "second stage by hand")
    yield _number(3, "and both stages at once", by_hand.correct, "two-stage least squares, classical")
    weak = bench.fit("two_stage", CausalQuestion("Y_obs", "T", COVARIATES, ("Z",), "LATE"), vcov="classical")
    yield _of(weak, 3, "the treatment itself with this instrument")


def _double(bench: _Bench) -> Iterator[Measured]:
    keys = ("dml-effect", *_EFFECT), ("dml", "residual_T", "coef"), ("dml", "residual_T", "std err")
    plr = bench.fit("plr", learner=FOREST, treatment_learner=CALM)
    yield _of(plr, 4, "the same forests, cross-fitted", *keys)
    irm = bench.fit("irm", learner=FOREST, treatment_learner=CALM)
    yield _of(irm, 4, "interactive model, classification forest", *keys)
    linear = bench.fit("plr")
    yield _of(linear, 4, "linear nuisances, cross-fitted")
    within = math.sqrt(float((bench.frame["residual_Y"] ** 2).mean()))
    yield _number(4, "root mean square of the notebook's residuals of Y", within, "numpy")


def _forest(bench: _Bench) -> Iterator[Measured]:
    raw = bench.frame["CATE_predicted"]
    yield _number(5, "standard deviation of the notebook's effects (truth 0)", raw.std(), "numpy")
    found = bench.fit("causal_forest")
    assert found.unit_effects is not None
    yield _number(5, "and of the centred forest's", found.unit_effects.std(), found.title)
    yield _of(found, 5, "average effect by the centred forest")
    for unit in range(5):
        yield _number(
            5, "centred forest", found.unit_effects[unit], found.title, ("forest", str(unit), "CATE_predicted")
        )


def _ranking(bench: _Bench) -> Iterator[Measured]:
    from ivbridge.causal.heterogeneity.gate import judge
    from ivbridge.causal.heterogeneity.rate import rate
    from ivbridge.causal.heterogeneity.scores import scores

    judged = judge(method_class("causal_forest")(), bench.question, bench.data)
    where = tuple(("top", str(place), "CATE_predicted") for place in range(1, 6))
    what = "no unit is named, because the ranking is not borne out: AUTOC"
    passed = "ranking borne out: AUTOC"
    yield Measured(6, passed if judged.passed else what, judged.autoc.estimate, judged.autoc.std_error,
                   f"held-out units, p = {judged.p_value:.2g}", where)  # fmt: skip
    seen = rate(scores(bench.data, seed=bench.seed).effect, bench.frame["CATE_predicted"].to_numpy())
    how = f"the units that the forest has learned from, p = {seen.p_value:.2g}"
    yield Measured(6, "AUTOC of the notebook's ranking, judged by its own units", seen.estimate, seen.std_error, how)
    incomes = bench.frame.sort_values("CATE_predicted", ascending=False)["income"].head()
    yield _number(6, "range of income among the notebook's top five", incomes.max() - incomes.min(), "numpy")


def _imagined(bench: _Bench) -> Iterator[Measured]:
    from ivbridge.causal.counterfactual import abducted, mixed

    f, draw = bench.frame, bench.steps.draw
    effect = bench.fit("regression")
    right = abducted(bench.data, effect)
    theirs = mixed(bench.data.t, f["y_hat"].to_numpy(), f["CATE_predicted"].to_numpy())
    yield _number(
        7, "root mean square error of the notebook's way", theirs.errors(draw.y0, draw.y1)["rmse"], "truth known"
    )
    yield _number(7, "and of abduction", right.errors(draw.y0, draw.y1)["rmse"], "truth known")
    for unit in range(5):
        where = ("counterfactual", str(unit), "counterfactual_outcome")
        yield _number(7, "Y_obs plus the effect", right.missing[unit], f"abduction with {effect.title}", where)


def _placebo(bench: _Bench) -> Iterator[Measured]:
    asked = CausalQuestion("Y_obs", "placebo_T")
    yield _of(bench.fit("difference", asked), 8, "with its standard error", ("placebo", "difference", "value"))
    adjusted = replace(bench.question, treatment="placebo_T")
    yield _of(bench.fit("regression", adjusted), 8, "adjusted for the covariates", ("placebo", "difference", "value"))


def _strata(bench: _Bench) -> Iterator[Measured]:
    halves: tuple[tuple[str, str, float], ...] = (
        ("by-income", "income", 70000.0), ("by-engagement", "prior_engagement", 0.5),
    )  # fmt: skip
    for table, name, cut in halves:
        whole = bench.fit("stratification", replace(bench.question, covariates=(name,)), by={name: (cut,)})
        yield _of(whole, 9, f"averaged over both strata of {name}", (table, "0", "diff"), (table, "1", "diff"))
    fine = bench.fit("stratification", replace(bench.question, covariates=("income",)), by={"income": 50})
    yield _of(fine, 9, "50 strata of income")
    whole = bench.fit("regression")
    keys: list[Key] = [("naive", "naive difference", "value")]
    keys += [(table, side, "diff") for table, _, _ in halves for side in ("0", "1")]
    yield _of(whole, 9, "regression on all covariates", *keys)


def _overlap(bench: _Bench) -> Iterator[Measured]:
    f = bench.frame
    base = (f["income"] <= 70000) & (f["prior_engagement"] <= 0.5) & (f["age"] >= 30)
    yield _number(10, "share of units with the lowest chance of treatment", base.mean(), "numpy")
    yield _number(10, "and how many of them are treated", f.loc[base, "T"].mean(), "numpy")
    score = logit(bench.data).score
    t = bench.data.t
    weights = t / score + (1 - t) / (1 - score)
    seen = describe(score, t, weights)
    yield _number(10, "largest inverse probability weight", weights.max(), "logit, maximum likelihood")
    yield _number(10, f"effective number of the {seen.n_treated} treated units", seen.ess_treated, "Kish")
    yield _of(bench.fit("ipw"), 10, "inverse probability weights")
    yield _of(bench.fit("aipw"), 10, "doubly robust, the same scores", ("ate", "ATE", "value"))


def _errors(bench: _Bench) -> Iterator[Measured]:
    robust = bench.fit("regression", vcov="HC3")
    yield _of(robust, 11, "with HC3", ("ols", "T", "std err"))
    x = bench.data.x
    scaled = np.column_stack([np.ones(bench.data.n), bench.data.t, (x - x.mean(axis=0)) / x.std(axis=0)])
    yield _number(11, "of the standardised columns", np.linalg.cond(scaled), "numpy", ("ols-fit", "Cond. No.", "value"))


def _unused(bench: _Bench) -> Iterator[Measured]:
    from ivbridge.causal.sensitivity.rosenbaum import of_estimate

    pairs = bench.fit("mahalanobis_matching", bench.treated, replace=False)
    bounds = of_estimate(pairs)
    yield _number(
        12, "Rosenbaum's Γ at which the matched effect is no longer significant", bounds.tipping, "signed rank"
    )
    other = TWINS["different"].draw(len(bench.frame), bench.seed)
    above = other.frame.assign(Y_obs=(other.frame["Y_obs"] > other.frame["Y_obs"].median()).astype(int))
    yield _of(
        bench.fit("uplift", other.question, above), 12, "uplift of the chance of an outcome above the median, twin"
    )
