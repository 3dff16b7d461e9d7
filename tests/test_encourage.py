"""Encouragement designs: numbers against R, identities that must hold, the known truth of simulated users, errors."""

from __future__ import annotations

import dataclasses
import tomllib
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import ivbridge
from ivbridge.encouragement.analysis import encourage
from ivbridge.encouragement.balance import holm, sample_ratio
from ivbridge.encouragement.options import EncourageOptions
from ivbridge.encouragement.pooled import Pooled
from ivbridge.encouragement.records import Effect, Experiment, Set, Shares
from ivbridge.encouragement.report import EncourageReport
from ivbridge.encouragement.simulated import simulated_users
from ivbridge.engines.process import RWorker
from ivbridge.errors import DataError, DesignError, UnsupportedError
from ivbridge.records import NotApplicable, Test
from ivbridge.weak_native import quadratic_set
from ivbridge.weakiv import confidence_set, effective_f

#: R and Python sum the same few thousand terms in another order: a few hundred units of 2.2e-16.
CLOSE = 1e-10
QUICK = EncourageOptions(seeds=0)
R_CODE = r"""
ivb_balance <- function(z, k, designed) {
  counts <- c(sum(z), sum(1 - z))
  found <- list(ratio = chisq.test(counts, p = c(designed, 1 - designed)), joint = anova(lm(z ~ 1), lm(z ~ k)))
  list(
    statistic = unname(found$ratio$statistic), p = found$ratio$p.value,
    f = found$joint$F[2], f_p = found$joint[["Pr(>F)"]][2], df = c(found$joint$Df[2], found$joint$Res.Df[2]),
    welch = apply(k, 2, function(v) t.test(v[z == 1], v[z == 0])$p.value),
    smd = apply(k, 2, function(v) (mean(v[z == 1]) - mean(v[z == 0])) / sqrt((var(v[z == 1]) + var(v[z == 0])) / 2))
  )
}
ivb_exact <- function(treated, users, designed) binom.test(treated, users, designed)$p.value
ivb_attrition <- function(lost, all) prop.test(lost, all, correct = FALSE)$p.value
ivb_holm <- function(p) p.adjust(p, "holm")
ivb_rates <- function(d, z) {
  fit <- lm(d ~ z)
  v <- sandwich::vcovHC(fit, type = "HC1")
  turned <- lm(d ~ I(1 - z))
  list(rate = unname(coef(fit)[1]), se = sqrt(v[1, 1]), rate1 = unname(coef(turned)[1]),
       se1 = sqrt(sandwich::vcovHC(turned, type = "HC1")[1, 1]))
}
# Abadie's mean of x among compliers as a stacked M-estimator of (p, theta) with its sandwich
ivb_kappa <- function(x, d, z) {
  n <- length(x)
  p <- mean(z)
  kappa <- 1 - d * (1 - z) / (1 - p) - (1 - d) * z / p
  theta <- sum(kappa * x) / sum(kappa)
  psi <- cbind(z - p, kappa * (x - theta))
  slope <- mean((-d * (1 - z) / (1 - p)^2 + (1 - d) * z / p^2) * (x - theta))
  bread <- solve(matrix(c(-1, slope, 0, -mean(kappa)), 2))
  list(theta = theta, se = sqrt((bread %*% (crossprod(psi) / n) %*% t(bread))[2, 2] / n), first = mean(kappa))
}
"""


@pytest.fixture(scope="module")
def r(tmp_path_factory: pytest.TempPathFactory) -> RWorker:
    path = tmp_path_factory.mktemp("r") / "encourage.R"
    path.write_text(R_CODE, encoding="utf-8")
    return RWorker(scripts=[path])


@pytest.fixture(scope="module")
def users() -> pd.DataFrame:
    """Two thousand users, six tests of which three encourage; test_2 treats fewer, test_3 is not for everybody."""
    frame = simulated_users(2400, 6, seed=3).frame
    frame = frame.drop(frame.index[(frame["test_2"] == 1) & (frame.index % 5 == 0)]).reset_index(drop=True)
    frame["test_3"] = frame["test_3"].astype("Int8").mask(frame.index % 3 == 0)
    frame["spend"] = frame["reviewed"] * 2.5 + frame["tenure"] * frame["test_1"]
    return frame


@pytest.fixture(scope="module")
def report(users: pd.DataFrame) -> EncourageReport:
    return encourage(users, "retained", "reviewed", controls=["mobile", "tenure"], options=QUICK)


def enrolled(users: pd.DataFrame, name: str) -> pd.DataFrame:
    kept = users[users[name].notna()]
    return kept.assign(**{name: kept[name].astype(int)}).reset_index(drop=True)


def shown(one: Effect | NotApplicable) -> list[float]:
    assert isinstance(one, Effect)
    return [one.estimate, one.std_error, one.statistic, one.p_value, one.conf_low, one.conf_high]


def from_r(formula: str, data: pd.DataFrame, term: str, vcov: str) -> list[float]:
    fit = ivbridge.fit(formula, data, vcov, engine="r")
    row = fit.tidy().set_index("term").loc[term]
    return [float(row[c]) for c in ("estimate", "std.error", "statistic", "p.value", "conf.low", "conf.high")]


class TestAgainstR:
    @pytest.mark.parametrize("vcov", ["classical", "HC0", "HC1"])
    @pytest.mark.parametrize("outcome", ["retained", "spend"])
    def test_each_experiment(self, users: pd.DataFrame, vcov: str, outcome: str) -> None:
        found = encourage(users, outcome, "reviewed", options=EncourageOptions(vcov=vcov, seeds=0))
        for name in ("test_1", "test_2", "test_3"):
            one, data = found[name], enrolled(users, name)
            assert shown(one.itt) == pytest.approx(from_r(f"{outcome} ~ {name}", data, name, vcov), rel=CLOSE)
            assert shown(one.first_stage) == pytest.approx(from_r(f"reviewed ~ {name}", data, name, vcov), rel=CLOSE)
            wald = from_r(f"{outcome} ~ reviewed | {name}", data, "reviewed", vcov)
            assert shown(one.wald) == pytest.approx(wald, rel=CLOSE)
            weak = ivbridge.fit(f"{outcome} ~ reviewed | {name}", data, vcov, engine="r").tests
            test = weak["weak_instruments:reviewed"]
            assert isinstance(test, Test)
            assert (one.weak.statistic, one.weak.df2) == pytest.approx((test.statistic, test.df2), rel=CLOSE)
            ends = confidence_set(f"{outcome} ~ reviewed | {name}", data, vcov, engine="r").intervals
            assert np.ravel(one.anderson_rubin.intervals) == pytest.approx(np.ravel(ends), rel=1e-8)  # R's root finder

    @pytest.mark.parametrize("vcov", ["classical", "HC0", "HC1"])
    def test_the_pooled_answer(self, users: pd.DataFrame, vcov: str) -> None:
        options = EncourageOptions(vcov=vcov, seeds=0)
        found = encourage(users, "spend", "reviewed", controls=["mobile", "tenure"], options=options)
        pooled = found.pooled
        assert isinstance(pooled, Pooled)
        assert pooled.experiments == ("test_1", "test_2", "test_3")
        assert pooled.controls == ("mobile", "tenure", "in_test_3")
        data = users.assign(in_test_3=users["test_3"].notna().astype(int), test_3=users["test_3"].fillna(0).astype(int))
        exog, tests = "mobile + tenure + in_test_3", "test_1 + test_2 + test_3"
        formula = f"spend ~ reviewed + {exog} | {exog} + {tests}"
        assert shown(pooled.two_stage) == pytest.approx(from_r(formula, data, "reviewed", vcov), rel=CLOSE)
        assert shown(pooled.ols) == pytest.approx(
            from_r(f"spend ~ reviewed + {exog}", data, "reviewed", vcov), rel=CLOSE
        )
        fit = ivbridge.fit(formula, data, vcov, engine="r")
        classical = ivbridge.fit(formula, data, "classical", engine="r")
        for test, theirs in (
            (pooled.weak, fit.tests["weak_instruments:reviewed"]), (pooled.sargan, fit.tests["sargan"]),
            (pooled.wu_hausman, classical.tests["wu_hausman"]),
        ):  # fmt: skip
            assert isinstance(test, Test) and isinstance(theirs, Test)
            assert (test.statistic, test.df1, test.df2, test.p_value) == pytest.approx(
                (theirs.statistic, theirs.df1, theirs.df2, theirs.p_value),
                rel=1e-9,  # Sargan: a small difference
            )
        liml = ivbridge.fit(formula, data, vcov, engine="r", method="liml")
        assert pooled.liml.estimate == pytest.approx(liml.params["reviewed"], rel=CLOSE)
        assert pooled.liml.std_error == pytest.approx(liml.bse["reviewed"], rel=CLOSE)
        bekker = ivbridge.fit(formula, data, "bekker", engine="r", method="liml")
        assert pooled.bekker.std_error == pytest.approx(bekker.bse["reviewed"], rel=CLOSE)
        strength = effective_f(formula, data, vcov, engine="r")
        assert pooled.effective_f == pytest.approx(strength.statistic, rel=CLOSE)
        ends = confidence_set(formula, data, vcov, engine="r").intervals
        assert np.ravel(pooled.anderson_rubin.intervals) == pytest.approx(np.ravel(ends), rel=1e-8)  # R's root finder

    @pytest.mark.parametrize("name", ["test_1", "test_2", "test_3"])
    def test_balance(self, users: pd.DataFrame, report: EncourageReport, r: RWorker, name: str) -> None:
        data, one = enrolled(users, name), report[name]
        k = data[["mobile", "tenure"]].to_numpy(dtype=float)
        theirs = r.call("ivb_balance", z=data[name].to_numpy(dtype=float), k=k, designed=0.5).value
        assert one.sample_ratio.statistic == pytest.approx(theirs["statistic"][0], rel=CLOSE)
        assert one.sample_ratio.p_value == pytest.approx(theirs["p"][0], rel=1e-9)
        assert isinstance(one.balance, Test)
        # a small F is what two nearly equal sums of squares leave: fewer digits
        assert (one.balance.statistic, one.balance.p_value) == pytest.approx(
            (theirs["f"][0], theirs["f_p"][0]), rel=1e-8
        )
        assert [one.balance.df1, one.balance.df2] == list(theirs["df"])
        assert [d.smd for d in one.differences] == pytest.approx(list(theirs["smd"]), rel=1e-9)
        assert [d.p_value for d in one.differences] == pytest.approx(list(theirs["welch"]), rel=1e-9)

    def test_designed_shares(self, users: pd.DataFrame, r: RWorker) -> None:
        options = EncourageOptions(share={"test_2": 0.45}, seeds=0)
        found = encourage(users, "retained", "reviewed", options=options)
        z = users["test_2"].to_numpy(dtype=float)
        theirs = r.call("ivb_balance", z=z, k=users[["tenure", "mobile"]].to_numpy(dtype=float), designed=0.45).value
        assert found["test_2"].sample_ratio.p_value == pytest.approx(theirs["p"][0], rel=1e-9)
        assert (found["test_2"].designed, found["test_1"].designed) == (0.45, 0.5)

    def test_small_arms_have_the_exact_p_value(self, r: RWorker) -> None:
        theirs = r.call("ivb_exact", treated=3, users=80, designed=0.01).value[0]
        found = sample_ratio(3, 80, 0.01)
        assert (found.name, found.p_value) == ("Sample ratio (exact)", pytest.approx(theirs, rel=CLOSE))

    @pytest.mark.parametrize("thin", [False, True])
    def test_attrition(self, users: pd.DataFrame, r: RWorker, thin: bool) -> None:
        names = ["test_1", "test_2", "test_4"] if thin else ["test_1", "test_2", "test_3"]
        unknown = (users.index % 6 == 0) | ((users["test_1"] == 1) & (users.index % 4 == 0))
        gone = users.assign(retained=users["retained"].astype(float).mask(unknown))
        frame = gone.assign(**{n: gone[n].astype(pd.SparseDtype("int8", 0)) for n in names}) if thin else gone
        found = encourage(frame, "retained", "reviewed", names, options=QUICK)
        for name in names:
            data = enrolled(gone, name)
            arms = data.groupby(name)["retained"]
            lost, everyone = arms.apply(lambda y: y.isna().sum()).to_numpy(float), arms.size().to_numpy(float)
            one = found[name].attrition
            assert isinstance(one, Test)
            assert one.p_value == pytest.approx(r.call("ivb_attrition", lost=lost, all=everyone).value[0], rel=1e-9)
        assert found["test_1"].attrition_holm < 0.01
        assert any("not equally frequent in both arms" in text for text in found["test_1"].warnings)
        assert "Attrition: missing values are not equally frequent in both arms of test_1." in found.sentences

    def test_holm(self, r: RWorker) -> None:
        p = [0.01, 0.04, 0.03, 0.005, 0.8, 0.03]
        assert holm(p) == pytest.approx(r.call("ivb_holm", p=np.array(p)).value, rel=CLOSE)
        assert np.isnan(holm([np.nan, 0.2])).tolist() == [True, False]
        assert holm([np.nan, 0.2])[1] == 0.2
        assert holm([]).shape == (0,)

    def test_holm_is_applied_over_all_experiments(self, report: EncourageReport, r: RWorker) -> None:
        p = np.array([one.sample_ratio.p_value for one in report.experiments])
        assert [e.sample_ratio_holm for e in report.experiments] == pytest.approx(
            r.call("ivb_holm", p=p).value, rel=1e-9
        )
        p = np.array([one.balance.p_value for one in report.experiments if isinstance(one.balance, Test)])
        assert [e.balance_holm for e in report.experiments] == pytest.approx(r.call("ivb_holm", p=p).value, rel=1e-9)

    @pytest.mark.parametrize("name", ["test_1", "test_2", "test_3", "test_5"])
    def test_shares_and_profile(self, users: pd.DataFrame, report: EncourageReport, r: RWorker, name: str) -> None:
        data, one = enrolled(users, name), report[name]
        z, d = data[name].to_numpy(dtype=float), data["reviewed"].to_numpy(dtype=float)
        rates = r.call("ivb_rates", d=d, z=z).value
        assert isinstance(one.shares, Shares)
        low, high = ("1", "") if one.shares.discouraged else ("", "1")
        always, never = one.shares.always_takers, one.shares.never_takers
        assert (always.estimate, always.std_error) == pytest.approx(
            (rates["rate" + low][0], rates["se" + low][0]), rel=CLOSE
        )
        assert (1 - never.estimate, never.std_error) == pytest.approx(
            (rates["rate" + high][0], rates["se" + high][0]), rel=CLOSE
        )
        assert not isinstance(one.profile, NotApplicable)
        for row in one.profile:
            x = data[row.control].to_numpy(dtype=float)
            theirs = r.call("ivb_kappa", x=x, d=d, z=z).value
            # kappa's mean is the small first stage, so that its relative rounding is larger
            assert (row.compliers.estimate, row.compliers.std_error) == pytest.approx(
                (theirs["theta"][0], theirs["se"][0]), rel=1e-9
            )
            assert row.everyone == pytest.approx(x.mean(), rel=CLOSE)
            assert one.first_stage.estimate == pytest.approx(theirs["first"][0], rel=1e-9)


class TestIdentities:
    def test_shares_sum_to_one(self, report: EncourageReport) -> None:
        for one in report.experiments:
            assert isinstance(one.shares, Shares)
            parts = (one.shares.compliers, one.shares.always_takers, one.shares.never_takers)
            assert sum(part.estimate for part in parts) == pytest.approx(1, abs=1e-14)
        assert {one.shares.discouraged for one in report.experiments if isinstance(one.shares, Shares)} == {True, False}

    @pytest.mark.parametrize("name", ["test_1", "test_2", "test_3"])
    def test_kappa_is_a_mixture_of_two_wald_ratios(
        self, users: pd.DataFrame, report: EncourageReport, name: str
    ) -> None:
        """p × (ratio for x·D on D) + (1 − p) × (ratio for x·(1 − D) on 1 − D), exactly, in every sample."""
        data, one = enrolled(users, name), report[name]
        assert not isinstance(one.profile, NotApplicable)
        z, d = data[name] == 1, data["reviewed"]
        p = z.mean()

        def ratio(top: pd.Series, bottom: pd.Series) -> float:
            return float((top[z].mean() - top[~z].mean()) / (bottom[z].mean() - bottom[~z].mean()))

        for row in one.profile:
            x = data[row.control]
            mixture = p * ratio(x * d, d) + (1 - p) * ratio(x * (1 - d), 1 - d)
            assert row.compliers.estimate == pytest.approx(mixture, rel=1e-11)  # the small first stage divides

    def test_one_experiment_pooled_is_its_wald_ratio(self, users: pd.DataFrame) -> None:
        found = encourage(users, "spend", "reviewed", "test_1", options=QUICK)
        assert isinstance(found.pooled, Pooled)
        wald = found["test_1"].wald
        assert shown(found.pooled.two_stage) == pytest.approx(shown(wald), rel=1e-11)
        assert found.pooled.liml.estimate == pytest.approx(found.pooled.two_stage.estimate, rel=1e-11)
        assert found.pooled.kappa == 1
        assert found.pooled.weak.statistic == pytest.approx(found["test_1"].weak.statistic, rel=1e-11)
        assert np.ravel(found.pooled.anderson_rubin.intervals) == pytest.approx(
            np.ravel(found["test_1"].anderson_rubin.intervals), rel=1e-10
        )
        assert isinstance(found.pooled.sargan, NotApplicable)
        assert found.selected.rule == ""

    def test_order_of_users_does_not_matter(self, users: pd.DataFrame, report: EncourageReport) -> None:
        turned = encourage(
            users.sample(frac=1, random_state=1), "retained", "reviewed", controls=["mobile", "tenure"], options=QUICK
        )
        ours, theirs = report.to_frame(), turned.to_frame()
        numbers = ours.select_dtypes("number").columns.drop(["conf.low.anderson_rubin", "conf.high.anderson_rubin"])
        np.testing.assert_allclose(theirs[numbers], ours[numbers], rtol=1e-9)  # sums in another order
        np.testing.assert_allclose(
            turned.tidy().select_dtypes("number"), report.tidy().select_dtypes("number"), rtol=1e-9
        )

    def test_every_user_twice(self, users: pd.DataFrame) -> None:
        """Under HC0 estimates stay and standard errors shrink by √2."""
        options = EncourageOptions(vcov="HC0", seeds=0)
        names = ["test_1", "test_2", "test_3"]
        one = encourage(users, "retained", "reviewed", names, ["tenure"], options)
        two = encourage(pd.concat([users, users]), "retained", "reviewed", names, ["tenure"], options)
        for name in names:
            for a, b in ((one[name].itt, two[name].itt), (one[name].wald, two[name].wald)):
                assert isinstance(a, Effect) and isinstance(b, Effect)
                assert (b.estimate, b.std_error * np.sqrt(2)) == pytest.approx((a.estimate, a.std_error), rel=1e-10)
            first, second = one[name].profile, two[name].profile
            assert not isinstance(first, NotApplicable) and not isinstance(second, NotApplicable)
            assert second[0].compliers.std_error * np.sqrt(2) == pytest.approx(first[0].compliers.std_error, rel=1e-10)
        a, b = one.tidy().iloc[:2], two.tidy().iloc[:2]
        np.testing.assert_allclose(b["std.error"] * np.sqrt(2), a["std.error"], rtol=1e-10)

    def test_adding_a_constant_changes_no_effect(self, users: pd.DataFrame, report: EncourageReport) -> None:
        far = users.assign(retained=users["retained"] + 1e6, tenure=users["tenure"] + 1e6)
        found = encourage(far, "retained", "reviewed", controls=["mobile", "tenure"], options=QUICK)
        # adding 1e6 rounds the tenures themselves at 1e-10
        np.testing.assert_allclose(found.tidy()["estimate"], report.tidy()["estimate"], rtol=1e-7)
        np.testing.assert_allclose(found.to_frame()["itt"], report.to_frame()["itt"], rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize(
        ("parts", "text"),
        [
            ((1.0, 0.0, -1.0), "[-1, 1]"), ((-1.0, 0.0, 1.0), "(-inf, -1] ∪ [1, inf)"),
            ((-1.0, 0.0, -1.0), "(-inf, inf)"),
            ((1.0, 0.0, 1.0), "empty"), ((0.0, 1.0, 4.0), "[2, inf)"), ((0.0, -1.0, 4.0), "(-inf, -2]"),
            ((1.0, 1.0, 0.0), "[0, 2]"), ((0.0, 0.0, -1.0), "(-inf, inf)"), ((0.0, 0.0, 1.0), "empty"),
            ((1.0, 0.0, 0.0), "[0, 0]"),
        ],
    )  # fmt: skip
    def test_quadratic_sets(self, parts: tuple[float, float, float], text: str) -> None:
        found = Set(tuple(quadratic_set(*parts)))
        assert str(found) == text
        square, linear, constant = parts
        for b in np.linspace(-5, 5, 41):
            assert (b in found) == (square * b**2 - 2 * linear * b + constant <= 0)


class TestTruth:
    def test_estimates_centre_on_the_truth(self) -> None:
        """Forty worlds of 4,000 users: the mean of the estimates is within three of its standard errors."""
        pooled, shares, mobile, covered = [], [], [], []
        for seed in range(1, 41):
            world = simulated_users(4000, 2, seed=seed, strong=2)
            found = encourage(world.frame, "retained", "reviewed", controls=["mobile"], options=QUICK)
            assert isinstance(found.pooled, Pooled) and not isinstance(found["test_1"].profile, NotApplicable)
            pooled.append(found.pooled.two_stage.estimate)
            covered.append(world.effect in found.pooled.anderson_rubin)
            shares.append(found["test_1"].first_stage.estimate)
            mobile.append(found["test_1"].profile[0].compliers.estimate)
        for values, truth in ((pooled, 0.1), (shares, world.compliers[0]), (mobile, world.mobile_compliers)):
            assert abs(np.mean(values) - truth) < 3 * np.std(values) / np.sqrt(len(values))
        assert sum(covered) >= 34  # binomial(40, 0.95): fewer in one of 700 cases

    def test_least_squares_is_far_off(self) -> None:
        found = encourage(simulated_users().frame, "retained", "reviewed", options=QUICK)
        assert isinstance(found.pooled, Pooled)
        assert found.pooled.ols.conf_low > 0.25

    def test_the_same_seed_draws_the_same_users(self) -> None:
        first, second = simulated_users(50, 3), simulated_users(50, 3)
        pd.testing.assert_frame_equal(first.frame, second.frame)
        assert first.compliers.tolist() == [0.55, 0, 0]
        with pytest.raises(UnsupportedError, match="strong"):
            simulated_users(10, 2, strong=3)


class TestSelection:
    def test_it_is_glmnets(self, users: pd.DataFrame) -> None:
        native = encourage(users, "retained", "reviewed", controls=["tenure"], options=EncourageOptions(seeds=4))
        r = encourage(users, "retained", "reviewed", controls=["tenure"], options=EncourageOptions(seeds=4, engine="r"))
        assert native.selected.experiments == r.selected.experiments == ("test_1", "test_2", "test_3")
        assert native.selected.penalty == pytest.approx(r.selected.penalty, rel=1e-10)
        assert native.seeds == r.seeds

    def test_seeds_that_disagree_are_a_warning(self) -> None:
        frame = simulated_users(1500, 12, seed=5, strong=12).frame
        found = encourage(frame, "retained", "reviewed", options=EncourageOptions(seeds=8))
        assert not isinstance(found.seeds, NotApplicable)
        assert len({draw.selected for draw in found.seeds.draws}) > 1
        assert any(text.startswith("Over 8 draws of folds") for text in found.warnings)
        same = next(draw for draw in found.seeds.draws if draw.seed == 1)
        assert isinstance(found.pooled, Pooled)
        assert same.selected == len(found.selected.experiments)
        assert same.estimate == pytest.approx(found.pooled.two_stage.estimate, rel=1e-12)

    @pytest.mark.parametrize("rule", ["min", "plugin", "adaptive", "stability(seeds=3)"])
    def test_other_rules(self, users: pd.DataFrame, rule: str) -> None:
        found = encourage(users, "retained", "reviewed", options=EncourageOptions(rule=rule, seeds=0))
        assert set(found.selected.experiments) >= {"test_1", "test_2", "test_3"}
        assert found.selected.rule == rule

    def test_nothing_selected_is_still_a_report(self) -> None:
        frame = simulated_users(1500, 5, seed=7, strong=0).frame
        found = encourage(frame, "retained", "reviewed", controls=["tenure"])
        assert isinstance(found.pooled, NotApplicable)
        assert "selects none of the 5" in found.pooled.reason
        assert len(found.experiments) == 5
        assert found.tidy().empty and not found.to_frame().empty
        assert "There is no pooled estimate" in found.summary()
        assert "No pooled estimate" in found.to_html()
        assert EncourageReport.from_json(found.to_json()).sentences == found.sentences

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"reviewed": [0, 1] * 50, "test_1": [0, 0, 1, 1] * 25}, "leave reviewed exactly as it is"),
            ({"reviewed": [0, 1] * 50, "test_1": [0, 1] * 50}, "determine reviewed exactly"),
            ({"reviewed": [0, 1, 1, 1] * 25, "retained": [1, 3, 3, 3] * 25, "test_1": [0, 1] * 50}, "reproduce "),
        ],
    )  # fmt: skip
    def test_a_pooled_estimate_that_does_not_exist(self, changes: dict[str, list[int]], reason: str) -> None:
        frame = pd.DataFrame({"retained": [0, 1, 1, 0, 1] * 20, **changes})
        found = encourage(frame, "retained", "reviewed", "test_1", options=EncourageOptions(seeds=0, check=True))
        assert isinstance(found.pooled, NotApplicable)
        assert reason in found.pooled.reason
        assert reason in found.summary().replace("\n    ", " ") and reason in found.to_html()
        assert not found.to_frame()["in.pooled"].any()
        assert found.checks == ()
        assert EncourageReport.from_json(found.to_json()).to_json() == found.to_json()
        wald = found["test_1"].wald
        if "leave" in reason:
            assert isinstance(wald, NotApplicable)
        elif "determine" in reason:  # everybody complies: the ratio is the difference between the arms
            assert shown(wald) == pytest.approx(shown(found["test_1"].itt), rel=CLOSE)
        else:
            assert isinstance(wald, Effect) and (wald.estimate, wald.std_error) == pytest.approx((2, 0), abs=1e-7)

    def test_copies_of_an_experiment_are_left_out(self, users: pd.DataFrame) -> None:
        twice = users.assign(test_9=users["test_1"])
        found = encourage(twice, "retained", "reviewed", options=EncourageOptions(rule="min", seeds=0))
        once = encourage(users, "retained", "reviewed", options=EncourageOptions(rule="min", seeds=0))
        assert isinstance(found.pooled, Pooled) and isinstance(once.pooled, Pooled)
        if "test_9" in found.selected.experiments:
            assert found.pooled.dropped == ("test_9",)
        assert found.pooled.two_stage.estimate == pytest.approx(once.pooled.two_stage.estimate, rel=1e-9)


class TestData:
    def test_sparse_columns_and_matrices_give_the_same(self, users: pd.DataFrame) -> None:
        names = ["test_1", "test_2", "test_4"]
        plain = encourage(users, "retained", "reviewed", names, options=QUICK)
        columns = users.drop(columns=names).join(users[names].astype(pd.SparseDtype("int8", 0)))
        as_columns = encourage(columns, "retained", "reviewed", names, options=QUICK)
        rest = users[["retained", "reviewed"]]
        as_matrix = encourage(rest, "retained", "reviewed", sparse.csr_array(users[names].to_numpy()), options=QUICK)
        assert [one.name for one in as_matrix.experiments] == ["test_1", "test_2", "test_3"]
        for other in (as_columns, as_matrix):
            numbers = plain.to_frame().select_dtypes("number")
            np.testing.assert_allclose(other.to_frame()[numbers.columns], numbers, rtol=1e-10)
            np.testing.assert_allclose(other.tidy()["estimate"], plain.tidy()["estimate"], rtol=1e-10)

    def test_sparse_experiments_of_users_without_an_outcome(self, users: pd.DataFrame) -> None:
        gone = users.assign(retained=users["retained"].astype(float).where(users.index % 4 > 0))
        names = ["test_1", "test_2", "test_4"]
        thin = gone.drop(columns=names).join(gone[names].astype(pd.SparseDtype("int8", 0)))
        plain, found = (encourage(one, "retained", "reviewed", names, options=QUICK) for one in (gone, thin))
        np.testing.assert_allclose(found.to_frame()["wald"], plain.to_frame()["wald"], rtol=1e-10)
        assert found["test_1"].users == plain["test_1"].users == int(gone["retained"].notna().sum())

    def test_types_of_columns_do_not_matter(self, users: pd.DataFrame) -> None:
        wide = users.assign(
            test_1=users["test_1"] == 1, test_2=users["test_2"].astype(float),
            test_3=users["test_3"].astype(object).where(users["test_3"].notna(), None).map({0: False, 1: True}),
            test_4=users["test_4"].astype("boolean"), reviewed=users["reviewed"].astype(bool),
        )  # fmt: skip
        a = encourage(users, "retained", "reviewed", options=QUICK)
        b = encourage(wide, "retained", "reviewed", options=QUICK)
        pd.testing.assert_frame_equal(a.to_frame(), b.to_frame())

    def test_users_without_an_outcome_are_left_out_and_counted(self, users: pd.DataFrame) -> None:
        gone = users.assign(retained=users["retained"].astype(float).where(users.index % 4 > 0))
        found = encourage(gone, "retained", "reviewed", options=QUICK)
        kept = encourage(gone.dropna(subset="retained"), "retained", "reviewed", options=QUICK)
        lost = ["p.value.attrition", "p.holm.attrition"]
        pd.testing.assert_frame_equal(found.to_frame().drop(columns=lost), kept.to_frame().drop(columns=lost))
        assert found.to_frame()[lost].notna().all(axis=None) and kept.to_frame()[lost].isna().all(axis=None)
        missing = int(gone["retained"].isna().sum())
        assert found.notes == (f"{missing} of {len(gone)} users left out: missing values in retained ({missing})",)

    def test_users_outside_an_experiment_stay(self, users: pd.DataFrame, report: EncourageReport) -> None:
        outside = int(users["test_3"].isna().sum())
        assert report["test_3"].missing == outside > 0
        assert report["test_3"].users == len(users) - outside
        assert report.n == len(users)
        assert any("Not every user was in test_3" in text for text in report.warnings)

    def test_a_behavior_that_is_a_number(self, users: pd.DataFrame) -> None:
        minutes = users.assign(minutes=users["reviewed"] * (1 + users["tenure"]))
        found = encourage(minutes, "retained", "minutes", controls=["mobile"], options=QUICK)
        assert not found.binary
        for what in (found["test_1"].shares, found["test_1"].profile):
            assert isinstance(what, NotApplicable) and "minutes is not 0/1" in what.reason
        assert found.sentences[0].startswith("One more unit of minutes changes retained")
        assert "Shares do not apply" in found.to_html()

    def test_a_mean_share_that_is_wrong_is_seen(self, users: pd.DataFrame, report: EncourageReport) -> None:
        assert report["test_2"].sample_ratio_holm < 0.01
        assert any(text.startswith("test_2: 4") and "instead of 50.0 %" in text for text in report.warnings)
        assert "Randomisation: treated shares are not as designed in test_2." in report.sentences


class TestErrors:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"outcome": "kept"}, "no column 'kept' for the outcome"),
            ({"behavior": "review"}, "no column 'review' for the behavior"),
            ({"controls": ["age"]}, "No column matches 'age'"),
            ({"experiments": "exp_*"}, "No column matches 'exp_\\*'"),
            ({"controls": ["retained"]}, "plays two roles"),
            ({"behavior": "constant"}, "The behavior 'constant' is 1 for every user"),
            ({"outcome": "constant"}, "The outcome 'constant' is 1 for every user"),
            ({"outcome": "empty"}, "'empty' has no value at all"),
            ({"controls": ["country"]}, "'country' holds .*, not numbers"),
            ({"controls": ["infinite"]}, "'infinite' holds infinite values"),
            ({"experiments": ["test_1", "constant"]}, "'constant' is in its treatment arm"),
            ({"experiments": ["country"]}, "'country' holds de, fr, not 0 and 1"),
            ({"experiments": ["three"]}, "'three' holds 0, 1, 2, not 0 and 1"),
            ({"experiments": ["lonely"]}, "'lonely' has an arm with one user"),
            ({"experiments": "reviewed"}, "No column is left for the experiments"),
        ],
    )
    def test_what_cannot_be_asked(self, users: pd.DataFrame, changes: dict[str, object], message: str) -> None:
        odd = users.assign(
            constant=1, empty=np.nan, country=np.where(users.index % 2, "de", "fr"), infinite=np.inf,
            three=users.index % 3, lonely=(users.index == 5).astype(int),
        )  # fmt: skip
        asked: dict[str, object] = {"outcome": "retained", "behavior": "reviewed", "options": QUICK, **changes}
        with pytest.raises(DataError, match=message):
            encourage(odd, **asked)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"vcov": "HC3"}, "cannot compute HC3"), ({"share": 1.0}, "share=1.0"), ({"engine": "x"}, "no engine"),
            ({"rule": "never"}, "no selection rule"), ({"seeds": -1}, "seeds=-1"), ({"share": {"test_1": 0}}, "share="),
        ],
    )  # fmt: skip
    def test_options_that_are_not_offered(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(UnsupportedError, match=message):
            EncourageOptions(**changes)  # type: ignore[arg-type]

    def test_cross_fitting_has_no_set_to_show(self, users: pd.DataFrame) -> None:
        with pytest.raises(UnsupportedError, match="select_instruments"):
            encourage(users, "retained", "reviewed", options=EncourageOptions(rule="crossfit"))

    def test_other_data(self, users: pd.DataFrame) -> None:
        with pytest.raises(DataError, match="not a pandas DataFrame"):
            encourage(users.to_numpy(), "retained", "reviewed")  # type: ignore[arg-type]
        with pytest.raises(DataError, match="has 3 rows"):
            encourage(users, "retained", "reviewed", sparse.eye_array(3))

    def test_an_unknown_experiment(self, report: EncourageReport) -> None:
        with pytest.raises(DataError, match="no experiment 'test_99'"):
            report["test_99"]

    def test_a_name_taken_by_the_column_of_enrolment(self, users: pd.DataFrame) -> None:
        with pytest.raises(DataError, match="in_test_3"):
            encourage(users.assign(in_test_3=users["tenure"]), "retained", "reviewed", controls=["in_test_3"])

    def test_a_share_of_an_experiment_that_does_not_exist(self, users: pd.DataFrame) -> None:
        with pytest.raises(DataError, match=r"'tset_1', which is no experiment\. Available: test_1"):
            encourage(users, "retained", "reviewed", options=EncourageOptions(share={"tset_1": 0.9}))

    @pytest.mark.parametrize("value", [np.nan, 0.5, 257.0])
    def test_sparse_experiments_that_int8_would_hide(self, users: pd.DataFrame, value: float) -> None:
        """Narrowed to one byte these would be 0, 0 and 1."""
        tests = users[["test_1", "test_4"]].to_numpy(dtype=float)
        tests[7, 0] = value
        plain = users[["retained", "reviewed"]]
        with pytest.raises(DataError, match="other values than 0 and 1, or missing"):
            encourage(plain, "retained", "reviewed", sparse.csc_array(tests))

    @pytest.mark.parametrize("tests", ["test_1", "test_*"])
    def test_controls_that_reproduce_the_behavior(self, users: pd.DataFrame, tests: str) -> None:
        frame = users.assign(copy=3 * users["reviewed"] + users["tenure"] / 3)
        with pytest.raises(DesignError, match="controls reproduce reviewed exactly"):
            encourage(frame, "retained", "reviewed", tests, ["tenure", "copy"], QUICK)

    def test_columns_of_one_name_or_without_one(self, users: pd.DataFrame) -> None:
        with pytest.raises(DataError, match="2 columns called 'reviewed'"):
            encourage(pd.concat([users, users["reviewed"]], axis=1), "retained", "reviewed")
        with pytest.raises(DataError, match="No column matches '7'"):
            encourage(users.rename(columns={"test_1": 7}), "retained", "reviewed", ["7", "test_2"])


def test_a_behavior_that_one_arm_never_shows(users: pd.DataFrame) -> None:
    """Only the treated can do it: no always-takers, and of them no doubt, whatever rounding leaves of their sums."""
    for seed in range(8):
        some = users.sample(1100 + 7 * seed, random_state=seed)
        frame = some.assign(reviewed=some["reviewed"] * some["test_1"])
        one = encourage(frame, "retained", "reviewed", "test_1", options=QUICK)["test_1"]
        assert isinstance(one.shares, Shares)
        assert one.shares.always_takers.estimate == pytest.approx(0, abs=1e-14)
        assert one.shares.always_takers.std_error == pytest.approx(0, abs=1e-8)  # the root of rounding in a sum
        assert one.shares.compliers.estimate == pytest.approx(one.first_stage.estimate)


def test_controls_by_pattern(users: pd.DataFrame, report: EncourageReport) -> None:
    assert encourage(users, "retained", "reviewed", controls=["mob*", "ten*"], options=QUICK).pooled == report.pooled
    assert encourage(users, "retained", "reviewed", "test_1", "tenure", QUICK).controls == ("tenure",)


def test_an_experiment_may_have_any_name() -> None:
    frame = simulated_users(1500, 4, seed=5).frame
    named = frame.rename(columns={"test_1": "reviewed_residual"})
    tests = ["reviewed_residual", "test_2", "test_3", "test_4"]
    found = encourage(named, "retained", "reviewed", tests, controls=["mobile"], options=QUICK)
    known = encourage(frame, "retained", "reviewed", "test_*", controls=["mobile"], options=QUICK)
    assert found.tidy().equals(known.tidy())


def test_records_are_frozen(report: EncourageReport) -> None:
    one: Experiment = report.experiments[0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.users = 3  # type: ignore[misc]


def test_every_column_is_in_the_glossary(report: EncourageReport) -> None:
    known = tomllib.loads((files("ivbridge") / "glossary.toml").read_text(encoding="utf-8"))["columns"]
    columns = {*report.to_frame(), *report.tidy(), *report.profile()}
    assert columns - set(known) == set()


def test_the_function_is_found_whatever_was_imported_before() -> None:
    assert ivbridge.encourage is encourage
    assert ivbridge.simulated_users is simulated_users
