"""Bounds for omitted variables and E-values: against R, published figures, and brute force."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from ivbridge.causal import method_class
from ivbridge.causal.question import CausalQuestion, build
from ivbridge.causal.r_side import ask_r
from ivbridge.causal.scenarios import TWINS, notebook
from ivbridge.causal.sensitivity.contour import contour
from ivbridge.causal.sensitivity.evalue import bias_factor, mean_difference, of_effect, ratio
from ivbridge.causal.sensitivity.ovb import Benchmark, adjust, analyse, benchmark, robustness_value
from ivbridge.errors import DataError, DesignError, UnsupportedError

#: R solves for the robustness value and subtracts sums of squares for a partial R²; a covariate that explains a
#: fiftieth of what is left loses two of sixteen digits there, and three more cover the conditioning of both fits.
R_DIGITS = 1e-11

#: sensemakr's own test of the Darfur study (Cinelli and Hazlett 2020, section 5): estimate, standard error, degrees of
#: freedom as given there (7 digits), and its bounds for 1, 2 and 3 times "female".
DARFUR = (0.09731582, 0.02325654, 783.0)
DARFUR_BOUNDS = {  # strength: r2dz.x, r2yz.dx, adjusted estimate, se, t
    1: (0.00916428667504862, 0.12464092303637, 0.0752202698486415, 0.0218733298036818, 3.43890347394571),
    2: (0.0183285733500972, 0.249324064199975, 0.0529151689180575, 0.0203500639944344, 2.60024582392121),
    3: (0.0274928600251459, 0.374050471038094, 0.0303960178770157, 0.0186700665753491, 1.62806156873318),
}


def asked(name: str) -> tuple[CausalQuestion, pd.DataFrame]:
    draw = notebook() if name == "notebook" else TWINS[name].draw(1500, 3)
    frame = draw.frame
    if name == "bent":
        levels = pd.cut(frame["age"], [-100, 30, 45, 200], labels=["young", "middle", "old"]).astype(str)
        frame = frame.assign(age=levels)
    return draw.question, frame


@pytest.mark.parametrize(("name", "groups"), [("notebook", [[1], [2], [3]]), ("bent", [[1, 2], [3], [4]])])
@pytest.mark.parametrize(("q", "alpha"), [(1.0, 0.05), (0.5, 0.01)])
def test_r_finds_the_same_with_the_omitted_variable_in_its_regression(
    name: str, groups: list[list[int]], q: float, alpha: float
) -> None:
    """R makes a variable with the asked partial R² and runs lm; it finds robustness values by a root."""
    question, frame = asked(name)
    data = build(question, frame)
    mine = analyse(question, data, q=q, alpha=alpha)
    tries = np.array([[0.1, 0.05], [0.02, 0.3], [0.3, 0.0], [0.6, 0.9]])
    r: Any = ask_r("ovb", y=data.y, t=data.t, x=data.x, groups=[np.array(g) for g in groups], tries=tries, q=q,
                   alpha=alpha).value  # fmt: skip
    one = (mine.estimate, mine.std_error, mine.df, mine.partial_r2, mine.rv, mine.rv_alpha)
    theirs = [float(r[key][0]) for key in ("estimate", "std_error", "df", "partial_r2", "rv", "rv_alpha")]
    np.testing.assert_allclose(one, theirs, rtol=R_DIGITS)
    np.testing.assert_allclose([b.r2_treatment for b in mine.benchmarks], r["r2_treatment"], rtol=R_DIGITS)
    np.testing.assert_allclose([b.r2_outcome for b in mine.benchmarks], r["r2_outcome"], rtol=R_DIGITS)
    moved = [mine.adjusted(*pair) for pair in tries]
    found = [[m.estimate, m.std_error, m.statistic, m.low, m.high] for m in moved]
    np.testing.assert_allclose(found, r["adjusted"], rtol=R_DIGITS)


def test_the_notebook() -> None:
    """Figures of R's sensemakr 0.1.6 on the notebook's data, as printed (six digits)."""
    question, frame = asked("notebook")
    found = analyse(question, frame)
    assert round(found.rv, 6) == 0.470951
    assert round(found.rv_alpha, 6) == 0.456773


def test_darfur_as_published() -> None:
    t = DARFUR[0] / DARFUR[1]
    # sensemakr's tests print 0.138776 and 0.07625797; the estimate is given to 7 digits
    assert robustness_value(t, 783) == pytest.approx(0.1387764, rel=1e-6)
    assert robustness_value(t, 783, alpha=0.05) == pytest.approx(0.07625797, rel=1e-6)
    for given in DARFUR_BOUNDS.values():
        for sign in (1, -1):  # a negative effect moves towards zero as well
            moved = adjust((sign * DARFUR[0], *DARFUR[1:]), given[0], given[1])
            # printed to 15 digits
            expected = (sign * given[2], given[3], sign * given[4])
            np.testing.assert_allclose((moved.estimate, moved.std_error, moved.statistic), expected, rtol=1e-13)


def test_darfur_bounds_as_published() -> None:
    """One of the two partial R² of "female" is not printed; the first row gives it, and the other two must follow."""
    odds = DARFUR_BOUNDS[1][0]
    female = odds / (1 + odds)
    outcome = optimize.brentq(
        lambda share: Benchmark("female", female, share).times(1)[1] - DARFUR_BOUNDS[1][1], 0.01, 0.5, xtol=1e-16
    )
    assert outcome == pytest.approx(0.10903, abs=5e-6)  # as sensemakr's tests print it
    for strength in (2, 3):
        np.testing.assert_allclose(
            Benchmark("female", female, outcome).times(strength), DARFUR_BOUNDS[strength][:2], rtol=1e-12
        )


def test_limits_count_the_omitted_variable() -> None:
    """A regression with one more variable has one degree of freedom less; sensemakr's printed limit does not count."""
    moved = adjust(DARFUR, *DARFUR_BOUNDS[1][:2])
    printed = 0.0322829603180086
    assert moved.low == pytest.approx(moved.estimate - stats.t.isf(0.025, 782) * moved.std_error, rel=1e-14)
    assert printed == pytest.approx(moved.estimate - stats.t.isf(0.025, 783) * moved.std_error, rel=1e-12)


@pytest.mark.parametrize(
    ("t", "df", "alpha"), [(4.18, 783, 0.05), (3.0, 50, 0.05), (10.3, 12, 0.05), (9.0, 6, 0.05), (40.0, 12, 0.01)]
)
def test_no_weaker_variable_undoes_significance(t: float, df: int, alpha: float) -> None:
    """Brute force over all pairs of partial R² up to r: the smallest |t| crosses the critical value at r = RV."""

    def smallest(r: float) -> float:
        treatment, outcome = np.meshgrid(np.linspace(0, r, 401), np.linspace(0, r, 401))
        bias = np.sqrt(outcome * treatment / (1 - treatment)) / math.sqrt(1 / df)
        error = np.sqrt((1 - outcome) / (1 - treatment) * df / (df - 1))
        return float(((t - bias) / error).min())

    value, critical = robustness_value(t, df, alpha=alpha), float(stats.t.isf(alpha / 2, df - 1))
    # a grid of 400 steps finds the minimum to a relative 1e-4 or so; the two branches differ by .009 in the third case
    assert smallest(value * 0.997) > critical > smallest(min(value * 1.003, 1 - 1e-9))


def test_both_branches_of_the_robustness_value_are_looked_at() -> None:
    """The last three cases above have strength > 1/critical, where a variable need not explain the outcome as much."""
    for t, df, alpha, extreme in ((4.18, 783, 0.05, False), (10.3, 12, 0.05, True), (40.0, 12, 0.01, True)):
        critical = float(stats.t.isf(alpha / 2, df - 1)) / math.sqrt(df - 1)
        assert (t / math.sqrt(df) > 1 / critical) == extreme
    assert robustness_value(1.5, 100, alpha=0.05) == 0.0


def test_a_benchmark_bounds_a_variable_like_it() -> None:
    """Take a covariate out: the bound "once as strong as its twin" covers what its absence does.

    Two independent covariates of equal strength are drawn; with one of them left out, the other is the benchmark, and
    the bound of 1 × must be what the left-out one really has, up to sampling: 40,000 units put 1 % on a partial R².
    """
    random = np.random.default_rng(11)
    first, second = random.normal(size=(2, 40000))
    t = (random.uniform(size=40000) < 1 / (1 + np.exp(-0.6 * first - 0.6 * second))).astype(int)
    frame = pd.DataFrame({"y": t + 2 * first + 2 * second + random.normal(size=40000), "t": t, "a": first, "b": second})
    short = analyse(CausalQuestion("y", "t", ("a",)), frame, strengths=(1,))
    long = analyse(CausalQuestion("y", "t", ("a", "b")), frame)
    row = short.bounds.iloc[0]
    assert row["estimate"] == pytest.approx(long.estimate, abs=0.06)
    assert short.estimate - long.estimate > 1  # so that the bound has something to do


def test_bounds_that_no_variable_can_have() -> None:
    question, frame = asked("confounded")
    most = analyse(question, frame, ["income"], strengths=(1,))
    assert most.bounds["r2.outcome"].tolist() == [1.0]  # income explains more than what all others leave of the outcome
    assert "stronger than any omitted variable of Y_obs can be" in most.summary()
    assert "stronger than any" not in analyse(question, frame, ["prior_engagement"], strengths=(1,)).summary()
    strong = Benchmark("x", 0.6, 0.2)
    assert all(math.isnan(value) for value in strong.times(1))  # 0.6/0.4 is above 1
    assert Benchmark("x", 0.1, 0.9).times(3)[1] == 1.0
    question, frame = asked("notebook")
    assert analyse(question, frame, ["income"], strengths=(20,)).bounds.isna().any(axis=None)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda q, f: analyse(q, f, ["height"]), DataError, "no covariate"),
        (lambda q, f: analyse(CausalQuestion("Y_obs", "T", ("age",), ("Z",), "LATE"), f), UnsupportedError, "regress"),
        (lambda q, f: analyse(CausalQuestion("Y_obs", "T", ("age", "again")), f.assign(again=f["age"] * 2)),
         DesignError, "dependent"),
        (lambda q, f: analyse(q, f, alpha=0.0), DataError, "alpha"),
        (lambda q, f: analyse(q, f, q=-1.0), DataError, "q above 0"),
        (lambda q, f: analyse(q, f, strengths=(0,)), DataError, "strengths"),
        (lambda q, f: analyse(q, f).adjusted(1.0, 0.5), DataError, "partial R²"),
        (lambda q, f: analyse(q, f).adjusted(0.5, -0.1), DataError, "partial R²"),
        (lambda q, f: robustness_value(2.0, 1), DataError, "df"),
        (lambda q, f: contour(analyse(q, f), "t"), DataError, "estimate, statistic"),
        (lambda q, f: contour(analyse(q, f), upto=1.5), DataError, "between 0 and 1"),
    ],
)  # fmt: skip
def test_what_is_refused(call: Any, kind: type[Exception], words: str) -> None:
    question, frame = asked("confounded")
    with pytest.raises(kind, match=words):
        call(question, frame)


def test_a_covariate_that_explains_everything_is_no_benchmark() -> None:
    random = np.random.default_rng(2)
    x, t = random.normal(size=200), np.repeat([0, 1], 100)
    data = build(CausalQuestion("y", "t", ("x",)), pd.DataFrame({"y": 3 * x + t, "t": t, "x": x}))
    with pytest.raises(DesignError, match="wholly"):
        benchmark(data, "x")


def test_what_is_said() -> None:
    question, frame = asked("notebook")
    found = analyse(question, frame)
    assert "47.1%" in found.summary()
    assert "income" in found.summary()
    record = json.loads(found.to_json())
    assert record["rv"] == found.rv
    assert len(record["bounds"]) == 9
    assert "0.4710" in found._repr_html_()


@pytest.mark.parametrize("kind", ["estimate", "statistic"])
@pytest.mark.parametrize("upto", [None, 0.3])
def test_the_contour_goes_through_what_it_says(kind: Any, upto: float | None) -> None:
    """Every vertex of the thick line gives the critical value, and the benchmarks lie where the table has them."""
    question, frame = asked("confounded")
    found = analyse(question, frame.assign(Y_obs=frame["Y_obs"] - 9 * frame["T"]), strengths=(1, 2))
    axes = contour(found, kind, upto).axes[0]
    thick = [one for one in axes.collections if np.max(one.get_linewidth()) > 2]
    assert len(thick) == 1
    vertices = np.vstack([path.vertices for path in thick[0].get_paths()])
    critical = 0.0 if kind == "estimate" else math.copysign(stats.t.isf(0.025, found.df - 1), found.estimate)
    values = [getattr(found.adjusted(x, y), kind) for x, y in vertices if y < 0.95]
    # linear interpolation between grid lines 1/200 of the width apart
    np.testing.assert_allclose(values, critical, atol=0.02 * abs(getattr(found, kind)))
    drawn = {tuple(point) for line in axes.lines[1:] for point in np.asarray(line.get_xydata())}
    rows = found.bounds if upto is None else found.bounds[(found.bounds.iloc[:, 2:4] <= upto).all(axis=1)]
    assert drawn == set(zip(rows["r2.treatment"], rows["r2.outcome"], strict=True))


# E-values


@pytest.mark.parametrize(
    ("found", "point", "limit"),
    [
        (ratio(10.73, 8.02, 14.36), 20.94777, 15.52336),  # smoking, README of R's EValue
        (ratio(1 / 10.73, 1 / 14.36, 1 / 8.02), 20.94777, 15.52336),
        (ratio(3.9, 1.8, 8.7), 7.263034, 3.0),  # breastfeeding: VanderWeele and Ding (2017)
        (ratio(0.80, 0.71, 0.91), 1.809017, 1.428571),  # leukaemia: the same; they print 1.8 and 1.4
        (ratio(3.9, 1.8, 8.7, "OR", rare=True), 7.263034, 3.0),
        (ratio(3.0, kind="OR", rare=False), 2.858083, math.nan),  # risk ratio 1.732051, as EValue prints
        (ratio(1.2, 0.9, 1.6), 1.689898, 1.0),
    ],
)
def test_published_e_values(found: Any, point: float, limit: float) -> None:
    # printed to seven digits
    assert found.point == pytest.approx(point, rel=1e-6)
    assert found.limit == pytest.approx(limit, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize("observed", [1.0, 1.01, 1.5, 4.0, 30.0])
def test_the_e_value_is_where_the_bound_reaches_the_ratio(observed: float) -> None:
    """Ding and VanderWeele's bound, at the E-value twice, is the observed ratio."""
    value = ratio(observed).point
    assert bias_factor(value, value) == pytest.approx(observed, rel=1e-14)


def test_no_weak_hidden_cause_explains_a_ratio_away() -> None:
    """Worlds without any effect: the ratio that a binary hidden cause feigns stays below the bound; some come near."""
    random = np.random.default_rng(5)
    with_u, without = random.uniform(size=(2, 100_000))  # chance of the outcome with and without the cause
    treated, control = np.sort(random.uniform(size=(2, 100_000)), axis=0)[::-1]  # share with the cause
    with_u, without = np.maximum(with_u, without), np.minimum(with_u, without)
    feigned = (treated * with_u + (1 - treated) * without) / (control * with_u + (1 - control) * without)
    tie_treatment, tie_outcome = treated / control, with_u / without
    bound = tie_treatment * tie_outcome / (tie_treatment + tie_outcome - 1)
    assert (feigned <= bound * (1 + 1e-12)).all()  # rounding of a few products
    assert (feigned / bound).max() > 0.99
    needed = feigned + np.sqrt(feigned * (feigned - 1))
    assert (np.maximum(tie_treatment, tie_outcome) >= needed * (1 - 1e-7)).all()  # a root near 1 halves the digits
    at = np.argmax(feigned)
    assert bias_factor(tie_treatment[at], tie_outcome[at]) == pytest.approx(bound[at], rel=1e-14)


def test_hazard_ratios_of_a_common_outcome() -> None:
    """Half have the outcome at the geometric mean of the two hazards; h = 4 doubles it and halves it."""
    found = ratio(4.0, 2.0, 8.0, "HR", rare=False)
    assert found.risk_ratio == pytest.approx((1 - 0.25) / (1 - math.sqrt(0.5)), rel=1e-15)
    turned = ratio(0.25, 0.125, 0.5, "HR", rare=False)
    assert turned.point == pytest.approx(found.point, rel=1e-14)
    assert turned.limit == pytest.approx(found.limit, rel=1e-14)
    assert ratio(4.0, kind="HR", rare=True).risk_ratio == 4.0


def test_a_true_ratio_other_than_one() -> None:
    """To move 2.5 to 1.5 takes what moves 2.5/1.5 to 1; an interval that holds 1.5 takes nothing."""
    found = ratio(2.5, 1.2, 5.2, true=1.5)
    assert found.point == pytest.approx(ratio(2.5 / 1.5).point, rel=1e-15)
    assert found.limit == 1.0
    assert ratio(1.1, 1.05, 1.2, true=1.5).limit == pytest.approx(ratio(1.5 / 1.2).point, rel=1e-15)


def test_differences_of_means() -> None:
    """VanderWeele and Ding (2017), Table 2: exp(.91 d), limits exp(.91 d ± 1.78 s)."""
    found = mean_difference(5.0, 2.0, 10.0)
    assert found.risk_ratio == pytest.approx(math.exp(0.455), rel=1e-15)
    assert (found.low, found.high) == pytest.approx((math.exp(0.455 - 0.356), math.exp(0.455 + 0.356)), rel=1e-15)
    assert mean_difference(-5.0, 2.0, 10.0).point == pytest.approx(found.point, rel=1e-14)
    assert mean_difference(5.0, 2.0, 10.0, true=5.0).point == 1.0


def test_of_an_effect() -> None:
    """Standardised by lm's residual standard deviation, or by the outcome's own."""
    question, frame = asked("notebook")
    data = build(question, frame)
    effect = method_class("regression")().fit(question, data)
    design = np.column_stack([np.ones(data.n), data.x, data.t])
    rest = data.y - design @ np.linalg.lstsq(design, data.y)[0]
    sigma = math.sqrt(rest @ rest / (data.n - 5))
    # least squares on unscaled income (condition 4e5) loses six of sixteen digits
    assert of_effect(effect, data).risk_ratio == pytest.approx(math.exp(0.91 * effect.estimate / sigma), rel=1e-9)
    plain = of_effect(effect, data, "nothing")
    assert plain.risk_ratio == pytest.approx(math.exp(0.91 * effect.estimate / frame["Y_obs"].std()), rel=1e-12)
    assert plain.point < of_effect(effect, data).point
    assert "compare with what the covariates do" in plain.summary()
    assert json.loads(plain.to_json())["point"] == plain.point


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda e, d: ratio(-1.0), DataError, "positive"),
        (lambda e, d: ratio(2.0, 3.0, 4.0), DataError, "between its limits"),
        (lambda e, d: ratio(2.0, 1.0, 1.5), DataError, "between its limits"),
        (lambda e, d: ratio(2.0, kind="OR"), DataError, "rare"),
        (lambda e, d: ratio(2.0, kind="RD"), DataError, "RR, OR, HR"),
        (lambda e, d: bias_factor(0.5, 2.0), DataError, "1 or more"),
        (lambda e, d: mean_difference(1.0, 0.1, 0.0), DataError, "sd"),
        (lambda e, d: of_effect(e, d, "something"), DataError, "covariates, nothing"),
    ],
)
def test_e_values_that_are_refused(call: Any, kind: type[Exception], words: str) -> None:
    question, frame = asked("confounded")
    data = build(question, frame)
    effect = method_class("regression")().fit(question, data)
    with pytest.raises(kind, match=words):
        call(effect, data)


def test_a_binary_outcome_has_a_ratio_of_its_own() -> None:
    question, frame = asked("confounded")
    data = build(question, frame.assign(Y_obs=(frame["Y_obs"] > 100).astype(int)))
    effect = method_class("regression")().fit(question, data)
    with pytest.raises(UnsupportedError, match="risk ratio of its own"):
        of_effect(effect, data)
