"""Refuters: what they find, what they cannot find, and the distributions that they claim."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ivbridge.causal import method_class
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.methods.difference import Difference
from ivbridge.causal.methods.regression import Regression
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.causal.r_side import ask_r
from ivbridge.causal.records import Answer
from ivbridge.causal.refute import REFUTERS, refuter_class
from ivbridge.causal.refute.bootstrap import Bootstrap
from ivbridge.causal.refute.chart import histogram
from ivbridge.causal.refute.hidden import HiddenConfounder
from ivbridge.causal.refute.negative_control import NegativeExposure, NegativeOutcome
from ivbridge.causal.refute.placebo import Placebo
from ivbridge.causal.refute.protocol import Refutation, Refuter
from ivbridge.causal.refute.subset import Subset
from ivbridge.causal.refute.suite import refute_all
from ivbridge.causal.scenarios import TWINS, CausalDraw, notebook
from ivbridge.causal.sensitivity.ovb import analyse
from ivbridge.errors import DataError, DesignError, UnsupportedError
from ivbridge.progress import Progress

PLAIN, ADJUSTED = Difference(), Regression()


@dataclass(frozen=True, kw_only=True)
class Told(Difference):
    """A difference in means with faults: its standard error times `factor`, and `leak` added to the effect."""

    factor: float = 1.0
    leak: float = 0.0

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        found = super().answer(data, seed, progress)
        return replace(found, estimate=found.estimate + self.leak, std_error=self.factor * found.std_error)


@dataclass(frozen=True, kw_only=True)
class Seen(Difference):
    """A difference in means that keeps the treatments it was given."""

    seen: ClassVar[list[np.ndarray]] = []

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        self.seen.append(data.t)
        assert (data.frame[data.question.treatment].to_numpy() == data.t).all()  # methods may read either
        return super().answer(data, seed, progress)


@dataclass(frozen=True, kw_only=True)
class Fails(Difference):
    """A difference in means that cannot do without unit 0."""

    def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
        if 0 not in data.rows:
            raise DesignError("unit 0 is missing")
        return super().answer(data, seed, progress)


def world(name: str, n: int = 300, seed: int = 1) -> CausalDraw:
    return notebook() if name == "notebook" else TWINS[name].draw(n, seed)


def small(n: int, treated: int, seed: int = 4) -> tuple[CausalQuestion, pd.DataFrame]:
    random = np.random.default_rng(seed)
    t = np.zeros(n, dtype=int)
    t[random.permutation(n)[:treated]] = 1
    return CausalQuestion("y", "t"), pd.DataFrame({"y": random.gamma(1.0, 2.0, n) + 0.8 * t, "t": t})


# the placebo's distribution


def test_all_permutations_as_coin_has_them() -> None:
    """12 units, 5 treated, 792 permutations: R's coin counts the same p; mean and variance have closed forms."""
    question, frame = small(12, 5)
    found = Placebo(draws=800, by="estimate").refute(PLAIN, question, frame)
    r: Any = ask_r("permutation", y=frame["y"].to_numpy(), t=frame["t"].to_numpy(dtype=float), exact=True).value
    assert len(found.distribution) == math.comb(12, 5)
    assert found.parts["permutation p"] == pytest.approx(float(r["p_exact"][0]), abs=1e-12)  # a ratio of counts
    spread = frame["y"].var(ddof=1) * 12 / (5 * 7)  # Neyman (1923): sampling without replacement
    assert found.distribution.var() == pytest.approx(spread, rel=1e-12)
    # coin's statistic is the sum over one arm: 12/(5·7) of it is the difference, up to a constant
    assert found.distribution.var() == pytest.approx(float(r["variance"][0]) * (12 / 35) ** 2, rel=1e-12)
    assert abs(found.distribution.mean()) < 1e-12  # rounding of 792 sums


def test_random_permutations_have_the_same_spread() -> None:
    """2,000 draws know a standard deviation to 1.6 % and a p-value near .1 to .007; three times that is allowed."""
    question, frame = small(150, 60, seed=5)
    found = Placebo(draws=2000, by="estimate").refute(PLAIN, question, frame)
    r: Any = ask_r("permutation", y=frame["y"].to_numpy(), t=frame["t"].to_numpy(dtype=float), exact=False).value
    assert found.distribution.std() == pytest.approx(math.sqrt(float(r["variance"][0])) * 150 / (60 * 90), rel=0.05)
    assert found.parts["permutation p"] == pytest.approx(float(r["p_asymptotic"][0]), abs=0.02)
    assert found.verdict == "passed"


def test_the_treatment_s_own_draw_counts_among_random_permutations() -> None:
    """No p-value is 0: the smallest of 19 permutations is 1/20 (Phipson and Smyth 2010)."""
    draw = world("experiment")  # an effect of 10 with a standard error near 1
    found = Placebo(draws=19, by="estimate").refute(PLAIN, draw.question, draw.frame)
    assert found.parts["permutation p"] == 1 / 20


def test_two_looks_at_the_same_placebos_are_paid_for() -> None:
    """The p-value is twice the smaller one of a binomial test of the level and a z test of the centre."""
    draw = world("experiment")
    found = Placebo(draws=99).refute(PLAIN, draw.question, draw.frame)
    rejected = round(99 * found.statistic)
    level = stats.binomtest(rejected, 99, 0.05).pvalue
    centre = 2 * stats.norm.sf(abs(found.distribution.mean()) / (found.distribution.std(ddof=1) / math.sqrt(99)))
    assert min(level, centre) < 0.5  # so that the factor shows
    assert found.p_value == pytest.approx(2 * min(level, centre), rel=1e-12)


def test_the_notebooks_placebo() -> None:
    """Printed: 7.79, with no standard error. It is 8.60; p is that of a normal with the permutations' own variance."""
    draw = world("notebook")
    found = Placebo(column="placebo_T", draws=999, by="estimate").refute(PLAIN, draw.question, draw.frame)
    assert round(found.statistic, 2) == 7.79
    assert round(found.parts["std.error"], 2) == 8.60
    y, n, treated = draw.frame["Y_obs"], len(draw.frame), int(draw.frame["placebo_T"].sum())
    spread = math.sqrt(y.var(ddof=1) * n / (treated * (n - treated)))
    closed = 2 * float(stats.norm.sf(found.statistic / spread))
    assert found.p_value == pytest.approx(closed, abs=0.045)  # three Monte Carlo errors of 999 permutations
    assert found.verdict == "passed"
    adjusted = Placebo(column="placebo_T", draws=19).refute(ADJUSTED, draw.question, draw.frame)
    assert (round(adjusted.statistic, 3), round(adjusted.parts["std.error"], 3)) == (0.124, 0.168)


@pytest.mark.parametrize(("faulty", "words"), [
    (Told(factor=0.5), "significant at 5 %"),
    (Told(factor=2.0), "significant at 5 %"),
    (Told(leak=0.4), "on average"),  # a third of a standard error: their level does not show it
])  # fmt: skip
def test_placebos_find_a_wrong_standard_error_and_a_leak(faulty: CausalMethod, words: str) -> None:
    draw = world("experiment")
    found = Placebo().refute(faulty, draw.question, draw.frame)
    assert found.verdict == "failed"
    assert found.p_value < 1e-3  # of the worse of level and centre, doubled
    assert any(words in reason for reason in found.reasons)
    assert Placebo().refute(PLAIN, draw.question, draw.frame).verdict == "passed"


def test_without_a_standard_error_only_the_centre_is_judged() -> None:
    draw = world("experiment")
    found = Placebo().refute(Told(factor=math.nan), draw.question, draw.frame)
    assert found.verdict == "passed"
    assert "only the centre" in found.summary()
    assert found.parts["permutation p"] < 0.05  # of the estimates then
    assert Placebo().refute(Told(factor=math.nan, leak=1.0), draw.question, draw.frame).verdict == "failed"


def test_clusters_are_permuted_whole_or_units_within_them() -> None:
    random = np.random.default_rng(0)
    clusters = random.permutation(np.repeat(np.arange(10), 6))
    whole = np.isin(clusters, [1, 4, 7]).astype(int)
    within = np.zeros(60, dtype=int)
    for one in range(10):
        within[random.permutation(np.flatnonzero(clusters == one))[: 1 + one % 4]] = 1
    Seen.seen.clear()
    Placebo(draws=25).refute(Seen(), CausalQuestion("y", "t"), pd.DataFrame({"y": random.normal(size=60), "t": whole}))
    assert {row.sum() for row in Seen.seen} == {18}  # units, where no clusters are named
    for t, kept in ((whole, False), (within, True)):
        frame = pd.DataFrame({"y": random.normal(size=60), "t": t, "c": [f"c{one}" for one in clusters]})
        Seen.seen.clear()
        Placebo(draws=25).refute(Seen(), CausalQuestion("y", "t", clusters="c"), frame)
        drawn = np.array(Seen.seen[1:])
        sums = np.array([[row[clusters == one].sum() for one in range(10)] for row in drawn])
        assert len(np.unique(drawn, axis=0)) > 15
        if kept:
            assert (sums == Seen.seen[0].reshape(1, -1) @ (clusters[:, None] == np.arange(10))).all()
        else:
            assert (np.isin(sums, (0, 6))).all()
            assert (sums.sum(axis=1) == 18).all()


# what placebos cannot see, and negative controls can


def rate(name: str, refuter: Refuter, method: CausalMethod, worlds: int, n: int) -> tuple[int, int]:
    """How often the refuter fails the estimate, and how often the estimate's interval holds the true effect, 10."""
    failed = covered = 0
    for seed in range(worlds):
        draw = world(name, n, seed)
        frame = draw.frame.assign(P=np.random.default_rng([seed, 1]).integers(0, 2, n))
        failed += refuter.refute(method, draw.question, frame, seed).verdict == "failed"
        low, high = method.fit(draw.question, frame, seed).conf_int()
        covered += low <= 10 <= high
    return failed, covered


def band(worlds: int, chance: float = 0.05) -> tuple[float, float]:
    """Where a count of that chance lies in 999 of 1,000 studies."""
    low, high = stats.binom.interval(0.999, worlds, chance)
    return float(low), float(high)


def test_a_placebo_has_no_power_against_confounding() -> None:
    """19 permutations make a test of exactly 5 %: so many placebos fail, be the estimate right or wrong."""
    low, high = band(200)
    assert low > 0  # so that a test that never fails is seen
    placebo = Placebo(column="P", draws=19, by="estimate")
    failed, covered = rate("experiment", placebo, PLAIN, 200, 100)
    assert low <= failed <= high
    assert covered > 0.9 * 200
    failed, covered = rate("hidden", placebo, PLAIN, 200, 100)
    assert low <= failed <= high
    assert covered < 0.05 * 200
    assert "nothing confounds it" in Placebo.cannot


@pytest.mark.parametrize("refuter", [NegativeOutcome(column="W"), NegativeExposure(column="N")])
def test_negative_controls_betray_hidden_causes(refuter: Refuter) -> None:
    """Their level is that of the method's own interval; in the hidden world they fail nearly always."""
    low, high = band(40)
    failed, covered = rate("confounded", refuter, ADJUSTED, 40, 250)
    assert low <= failed <= high
    assert covered > 0.8 * 40  # .95 less four of its errors of .034
    failed, covered = rate("hidden", refuter, ADJUSTED, 40, 250)
    assert failed > 0.9 * 40
    assert covered < 0.1 * 40


def test_a_cause_of_control_and_treatment_is_no_alarm() -> None:
    """v moves N and T, T moves Y: without T among the covariates N seems to act on Y."""
    random = np.random.default_rng(8)
    v, n = random.normal(size=4000), 4000
    frame = pd.DataFrame({"T": (v + random.normal(size=n) > 0).astype(int), "x": random.normal(size=n)})
    frame["N"] = (v + random.normal(size=n) > 0).astype(int)
    frame["Y"] = 2 * frame["T"] + frame["x"] + random.normal(size=n)
    question = CausalQuestion("Y", "T", ("x",))
    assert ADJUSTED.fit(replace(question, treatment="N"), frame).p_value < 1e-20
    found = NegativeExposure(column="N").refute(ADJUSTED, question, frame)
    assert found.verdict == "passed"
    assert "given T" in found.done


def test_what_a_negative_control_says() -> None:
    """The control's effect is that of the method on the control's column, and 80 % power needs 2.8 errors."""
    draw = world("confounded", 500, 2)
    found = NegativeOutcome(column="W").refute(ADJUSTED, draw.question, draw.frame)
    direct = ADJUSTED.fit(replace(draw.question, dependent="W"), draw.frame)
    assert (found.statistic, found.p_value) == (direct.estimate, direct.p_value)
    # power of a two-sided 5 % test at 2.8 errors, other tail left out
    assert stats.norm.sf(stats.norm.isf(0.025) - found.parts["detectable"] / direct.std_error) == pytest.approx(
        0.8, abs=0.001
    )
    silent = NegativeOutcome(column="W").refute(Told(factor=math.nan), draw.question, draw.frame)
    assert silent.verdict == "not done"


# subsets and the bootstrap


@pytest.mark.parametrize("refuter", [Subset(), Subset(share=0.5), Bootstrap()], ids=["80 %", "50 %", "bootstrap"])
@pytest.mark.parametrize("method", [PLAIN, ADJUSTED], ids=["difference", "regression"])
def test_a_right_standard_error_is_confirmed(refuter: Refuter, method: CausalMethod) -> None:
    """200 repetitions know their spread to 5 %, and 400 units a standard error to 4 %: 1 ± 3.3 · 6.4 %."""
    draw = world("experiment", 400, 3)
    found = refuter.refute(method, draw.question, draw.frame)
    assert found.verdict == "passed"
    assert found.statistic == pytest.approx(1, abs=0.21)
    assert found.parts["ratio low"] < found.statistic < found.parts["ratio high"]
    assert len(np.unique(found.distribution)) == 200  # every subset is another one
    assert (found.distribution == refuter.refute(method, draw.question, draw.frame).distribution).all()


@pytest.mark.parametrize("refuter", [Subset(), Bootstrap()], ids=["subset", "bootstrap"])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_wrong_standard_error_is_found(refuter: Refuter, factor: float) -> None:
    draw = world("experiment")
    right = refuter.refute(PLAIN, draw.question, draw.frame)
    wrong = refuter.refute(Told(factor=factor), draw.question, draw.frame)
    assert (right.verdict, wrong.verdict) == ("passed", "failed")
    assert wrong.statistic == pytest.approx(right.statistic / factor, rel=1e-12)
    assert "reported standard error" in wrong.reasons[0]
    assert wrong.p_value < 1e-6


def test_the_ratio_interval_is_that_of_a_variance() -> None:
    """Limits of σ from 200 normal draws with the ratio as sample deviation, as a textbook has them."""
    draw = world("experiment")
    found = Bootstrap().refute(PLAIN, draw.question, draw.frame)
    quantiles = stats.chi2.ppf([0.995, 0.005], 199)
    low, high = found.statistic * np.sqrt(199 / quantiles)
    assert (found.parts["ratio low"], found.parts["ratio high"]) == pytest.approx((low, high), rel=1e-12)
    assert found.parts["percentile low"] == pytest.approx(np.quantile(found.distribution, 0.025), rel=1e-15)


def test_bias_of_repetitions_is_found() -> None:
    """A ratio of means has a bias of order 1/n, which subsets and bootstrap samples show."""

    @dataclass(frozen=True, kw_only=True)
    class Squared(Difference):
        def answer(self, data: CausalData, seed: int, progress: Progress | None) -> Answer:
            found = super().answer(data, seed, progress)
            return replace(found, estimate=found.estimate**2, std_error=2 * abs(found.estimate) * found.std_error)

    random = np.random.default_rng(1)
    frame = pd.DataFrame({"t": np.repeat([0, 1], 200), "y": random.normal(size=400)})
    frame["y"] += 0.02 - PLAIN.fit(CausalQuestion("y", "t"), frame).estimate * frame["t"]
    for refuter in (Subset(), Bootstrap()):
        found = refuter.refute(Squared(), CausalQuestion("y", "t"), frame)
        # the square of an estimate near 0 has the bias SE²; 200 repetitions know it to an eighth or so
        assert found.parts["bias"] == pytest.approx(PLAIN.fit(CausalQuestion("y", "t"), frame).std_error ** 2, rel=0.4)
        assert found.verdict == "failed"


def test_clusters_are_drawn_whole() -> None:
    """Outcomes that move by cluster: named clusters, and the clustered error agrees; unnamed, and nobody notices."""
    random = np.random.default_rng(3)
    clusters = np.repeat(np.arange(60), 8)
    t = np.repeat(random.permutation(np.repeat([0, 1], 30)), 8)
    frame = pd.DataFrame(
        {"y": t + random.normal(size=60)[clusters] * 2 + random.normal(size=480), "t": t, "c": clusters}
    )
    frame["x"] = random.normal(size=480)
    named = CausalQuestion("y", "t", ("x",), clusters="c")
    for refuter in (Subset(draws=60), Bootstrap(draws=60)):
        by_cluster = refuter.refute(ADJUSTED, named, frame)
        by_unit = refuter.refute(ADJUSTED, replace(named, clusters=None), frame)
        assert (by_cluster.verdict, by_unit.verdict) == ("passed", "passed")
        assert by_cluster.std_error > 2 * by_unit.std_error  # the design effect is 1 + 7·.8, its root 2.6
        assert "of 60 clusters" in by_cluster.done


def test_the_bootstrap_is_refused_for_matching() -> None:
    draw = world("confounded")
    with pytest.raises(UnsupportedError, match="Abadie and Imbens"):
        Bootstrap().refute(method_class("propensity_matching")(), draw.question, draw.frame)


def test_matching_takes_small_subsets() -> None:
    """Subsets of 80 % have 1.4 times the scatter that the jackknife expects; a tenth agrees to Monte Carlo error."""
    draw = world("confounded", 1000)
    matching = method_class("propensity_matching")()
    found = Subset(draws=60).refute(matching, draw.question, draw.frame)
    assert found.verdict == "passed"
    assert found.statistic == pytest.approx(1, abs=0.3)  # 60 draws know a spread to 9 %, 1,000 units the error to 5 %
    assert "of 100 of 1000 units" in found.done
    with pytest.raises(UnsupportedError, match="changes by jumps"):
        Subset(share=0.8).refute(matching, draw.question, draw.frame)


def test_subsets_of_one_seed_refute_everything() -> None:
    """What goes wrong when each subset takes the same seed: no scatter, so that a z test has p = 0."""
    draw = world("confounded")
    data = build(draw.question, draw.frame)
    same = [ADJUSTED.fit(draw.question, data.take(np.random.RandomState(1).permutation(300)[:240])).estimate
            for _ in range(5)]  # fmt: skip
    scatter = np.std(same)
    assert scatter < 1e-12
    off = abs(same[0] - ADJUSTED.fit(draw.question, data).estimate)
    assert stats.norm.sf(off / max(scatter, 1e-12)) == 0
    assert Subset().refute(ADJUSTED, draw.question, draw.frame).verdict == "passed"


def test_repetitions_that_fail_are_counted() -> None:
    draw = world("experiment")
    found = Subset().refute(Fails(), draw.question, draw.frame)
    assert found.verdict == "failed"  # a fifth of the subsets lack unit 0
    assert found.parts["failed"] == pytest.approx(40, abs=20)  # 3.5 binomial errors of 5.7
    assert len(found.distribution) == 200 - found.parts["failed"]
    assert "unit 0 is missing" in found.summary()
    assert Subset(share=0.99).refute(Fails(), draw.question, draw.frame).verdict == "passed"


# hidden confounders


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("strength", [(0.05, 0.05), (0.3, 0.1), (0.0, 0.4), (0.2, 0.0)])
def test_for_a_regression_it_is_the_bound_of_the_omitted_variable(sign: int, strength: tuple[float, float]) -> None:
    """The simulated cause has the asked partial R² exactly, so regression gives Cinelli and Hazlett's numbers."""
    draw = world("confounded")
    frame = draw.frame.assign(Y_obs=sign * draw.frame["Y_obs"])
    found = HiddenConfounder(r2_treatment=strength[0], r2_outcome=strength[1], draws=3).refute(
        Regression(vcov="classical"), draw.question, frame
    )
    expected = analyse(draw.question, frame).adjusted(*strength)
    # ten digits: two decompositions of covariates whose scales differ by 1e5
    assert found.distribution == pytest.approx(np.full(3, expected.estimate), rel=1e-10)
    assert found.parts["std.error"] == pytest.approx(expected.std_error, rel=1e-10)
    assert found.verdict == "passed"


def test_a_strong_hidden_cause_takes_the_effect_away() -> None:
    """Just below the robustness value the sign stays, just above it turns; below that of significance all is well."""
    draw = world("confounded")
    bounds = analyse(draw.question, draw.frame)
    classical = Regression(vcov="classical")
    for value, verdict, words in (
        (bounds.rv * 1.01, "failed", "turn the sign"),
        (bounds.rv * 0.999, "failed", "holds zero"),
        (bounds.rv_alpha * 0.99, "passed", "The estimate goes from"),
    ):
        found = HiddenConfounder(r2_treatment=value, r2_outcome=value, draws=2).refute(
            classical, draw.question, draw.frame
        )
        assert found.verdict == verdict
        assert words in found.reasons[-1]


def test_like_a_covariate() -> None:
    draw = world("confounded")
    found = HiddenConfounder(like="age", times=2, draws=2).refute(ADJUSTED, draw.question, draw.frame)
    row = analyse(draw.question, draw.frame, ["age"]).bounds.iloc[1]
    assert found.statistic == pytest.approx(row["estimate"], rel=1e-10)  # as above
    assert found.parts["r2 treatment"] == pytest.approx(row["r2.treatment"], rel=1e-12)


def test_other_methods_answer_for_themselves() -> None:
    """Linear truth, so AIPW with the cause lands near the regression with it: within two standard errors."""
    draw = world("confounded", 600, 4)
    hidden = HiddenConfounder(r2_treatment=0.05, r2_outcome=0.2, draws=3)
    found = hidden.refute(method_class("aipw")(), draw.question, draw.frame)
    exact = analyse(draw.question, draw.frame).adjusted(0.05, 0.2)
    assert found.statistic == pytest.approx(exact.estimate, abs=2 * exact.std_error)
    assert found.estimate - found.statistic > 2 * exact.std_error


def test_the_true_hidden_cause_mends_the_estimate() -> None:
    """u of the hidden world as a column: without it the interval misses 10, with it the estimate is near."""
    draw = world("hidden", 1500, 1)
    found = HiddenConfounder(column="u").refute(ADJUSTED, draw.question, draw.frame.assign(u=draw.hidden["u"]))
    assert abs(found.estimate - 10) > 5 * found.std_error
    assert abs(found.statistic - 10) < 3 * found.parts["std.error"]
    assert found.parts["p treatment"] < 1e-6
    assert found.parts["p outcome"] < 1e-6


def test_the_notebooks_hidden_column_is_age() -> None:
    draw = world("notebook")
    with pytest.raises(DataError, match="the covariate 'age' in other units"):
        HiddenConfounder(column="hidden_confounder").refute(ADJUSTED, draw.question, draw.frame)


def test_a_column_drawn_by_chance_confounds_nothing() -> None:
    """Added to the outcome it moves that, but not the treatment."""
    draw = world("confounded", 500, 6)
    u = np.random.default_rng(99).normal(size=500)
    frame = draw.frame.assign(u=u, Y_obs=draw.frame["Y_obs"] + 2 * u)
    found = HiddenConfounder(column="u").refute(ADJUSTED, draw.question, frame)
    assert found.verdict == "not done"
    assert "not seen to move the treatment: it confounds nothing" in found.reasons[-1]
    assert found.parts["p outcome"] < 1e-6
    # F tests of nested regressions, by statsmodels
    import statsmodels.api as sm

    design = sm.add_constant(build(draw.question, frame).x)
    whole = sm.OLS(frame["T"].to_numpy(float), np.column_stack([design, u])).fit()
    assert found.parts["p treatment"] == pytest.approx(whole.pvalues[-1], rel=1e-8)  # unscaled income there
    whole = sm.OLS(frame["Y_obs"].to_numpy(), np.column_stack([design, frame["T"], u])).fit()
    assert math.log(found.parts["p outcome"]) == pytest.approx(math.log(whole.pvalues[-1]), rel=1e-8)


def test_a_method_without_covariates_takes_no_notice() -> None:
    draw = world("confounded")
    found = HiddenConfounder(draws=2).refute(PLAIN, draw.question, draw.frame)
    assert found.verdict == "not done"
    assert "no notice" in found.reasons[-1]


# what is refused, and what is said

LATE = CausalQuestion("Y_obs", "T", ("age",), ("Z",), "LATE")


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda d: (Placebo(draws=10), d.question, d.frame), DataError, "19 draws"),
        (lambda d: (Placebo(by="t"), d.question, d.frame), DataError, "studentised"),  # type: ignore[arg-type]
        (lambda d: (Placebo(column="T"), d.question, d.frame), DataError, "role"),
        (lambda d: (Placebo(), LATE, d.frame), UnsupportedError, "no relation to the instruments"),
        (lambda d: (Subset(share=1.0), d.question, d.frame), DataError, "between 0 and 1"),
        (lambda d: (Subset(draws=5), d.question, d.frame), DataError, "20 subsets"),
        (lambda d: (Bootstrap(draws=5), d.question, d.frame), DataError, "20 or more"),
        (lambda d: (NegativeOutcome(), d.question, d.frame), DataError, "name a column"),
        (lambda d: (NegativeOutcome(column="age"), d.question, d.frame), DataError, "role"),
        (lambda d: (NegativeOutcome(column="height"), d.question, d.frame), DataError, "no column"),
        (lambda d: (NegativeOutcome(column="C"), d.question, d.frame.assign(C=1.0)), DataError, "does not vary"),
        (lambda d: (NegativeOutcome(column="C"), d.question, d.frame.assign(C="a")), DataError, "not numbers"),
        (lambda d: (NegativeOutcome(column="C"), d.question, d.frame.assign(C=5 - d.frame["Y_obs"])),
         DataError, "itself"),
        (lambda d: (NegativeExposure(column="N"), LATE, d.frame), UnsupportedError, "do not move"),
        (lambda d: (HiddenConfounder(), LATE, d.frame), UnsupportedError, "what instruments are for"),
        (lambda d: (HiddenConfounder(draws=1), d.question, d.frame), DataError, "2 or more"),
        (lambda d: (HiddenConfounder(r2_outcome=1.0), d.question, d.frame), DataError, "weaker"),
        (lambda d: (HiddenConfounder(like="age", times=1e4), d.question, d.frame), DataError, "weaker"),
        (lambda d: (HiddenConfounder(like="N"), d.question, d.frame), DataError, "no covariate"),
        (lambda d: (HiddenConfounder(column="age"), d.question, d.frame), DataError, "not hidden"),
        (lambda d: (HiddenConfounder(column="C"), d.question, d.frame.assign(C=1.0)), DesignError, "does not vary"),
        (lambda d: (HiddenConfounder(column="C"), d.question, d.frame.assign(C=list("abc") * 100)), DataError, "text"),
        (lambda d: (HiddenConfounder(column="C"), d.question, d.frame.assign(C=d.frame["W"].where(d.frame["W"] > 90))),
         DataError, "missing values"),
        (lambda d: (HiddenConfounder(column="C"), d.question,
                    d.frame.assign(C=d.frame["age"] + d.frame["income"] / 1000)), DataError, "explain 100.0%"),
    ],
)  # fmt: skip
def test_what_is_refused(make: Callable[[CausalDraw], Any], kind: type[Exception], words: str) -> None:
    draw = world("confounded")
    refuter, question, frame = make(draw)
    method = method_class("two_stage")() if question is LATE else ADJUSTED
    with pytest.raises(kind, match=words):
        refuter.refute(method, question, frame)


def test_several_at_once_say_why_one_was_not_done() -> None:
    draw = world("confounded", 200)
    tried = (Subset(draws=20), Bootstrap(draws=20), NegativeOutcome(column="W"), NegativeOutcome(column="height"))
    calls: list[int] = []
    matching = method_class("propensity_matching")()
    found = refute_all(matching, draw.question, draw.frame, 3, lambda done, total, what: calls.append(total), tried)
    assert [one.name for one in found] == ["subset", "bootstrap", "negative_outcome", "negative_outcome"]
    assert [one.verdict for one in found][1::2] == ["not done", "not done"]
    assert "Abadie" in found[1].summary()
    assert "height" in found[3].reasons[0]
    assert calls == [20] * 20


def test_the_usual_four() -> None:
    draw = world("confounded", 200)
    found = refute_all(ADJUSTED, draw.question, draw.frame)
    assert {one.name: one.verdict for one in found} == dict.fromkeys(
        ("placebo", "subset", "bootstrap", "hidden"), "passed"
    )


def test_every_refuter_says_what_it_cannot_show() -> None:
    for name in REFUTERS:
        kind = refuter_class(name)
        assert kind.name == name
        assert kind.title
        assert kind.shows
        assert kind.cannot.endswith(".")
    for name in ("placebo", "subset", "bootstrap"):
        assert "confounding" in refuter_class(name).cannot
    with pytest.raises(UnsupportedError, match="placebo"):
        refuter_class("dowhy")


def test_the_histogram_holds_every_repetition() -> None:
    draw = world("experiment")
    found = Bootstrap(draws=40).refute(PLAIN, draw.question, draw.frame)
    axes = histogram(found).axes[0]
    assert sum(bar.get_height() for bar in axes.patches) == 40  # type: ignore[attr-defined]
    assert list(axes.lines[0].get_xdata()) == [found.estimate] * 2
    placebo = Placebo(column="N", draws=19).refute(PLAIN, draw.question, draw.frame)
    assert list(histogram(placebo).axes[0].lines[0].get_xdata()) == [placebo.statistic] * 2
    with pytest.raises(DataError, match="repeated nothing"):
        histogram(NegativeOutcome(column="W").refute(PLAIN, draw.question, draw.frame))


def test_a_refutation_as_text_table_and_json() -> None:
    draw = world("confounded", 200)
    frame = draw.frame.rename(columns={"T": "<T>"})
    found: Refutation = Subset(draws=20).refute(ADJUSTED, replace(draw.question, treatment="<T>"), frame, seed=4)
    record = json.loads(found.to_json())
    assert record["found"]["distribution"] == found.distribution.tolist()
    assert record["seed"] == 4
    assert found.tidy().iloc[0]["verdict"] == found.verdict
    assert found.summary().startswith("Random subsets: passed")
    assert found.cannot in found.summary()
    assert "&lt;T&gt;" in NegativeOutcome(column="W").refute(ADJUSTED, found.question, frame)._repr_html_()
    assert "subset" in repr(found)
