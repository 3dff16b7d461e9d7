"""The marketing build: every number against theory, an independent computation, or the bridge's engines."""

from __future__ import annotations

import http.client
import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from typer.testing import CliRunner

import ivbridge
from ivbridge.cli import app
from ivbridge.errors import DataError, DesignError, RNotAvailableError, UnsupportedError
from ivbridge.iv_ml import computing
from ivbridge.iv_ml.predictors.feedforward import Dense
from ivbridge.marketing import checks, exclusion, sample, serving
from ivbridge.marketing.analysis import marketing
from ivbridge.marketing.encoder import Encoder, _contrast, _leak
from ivbridge.marketing.first_stage import Exact, Fitted, Trained
from ivbridge.marketing.forbidden import compare, crossed_values, plugged_and_instrument
from ivbridge.marketing.gates import gates
from ivbridge.marketing.records import Gate, Share
from ivbridge.marketing.report import MarketingReport
from ivbridge.marketing.sample import FORMULA
from ivbridge.marketing.service import Balance, Pipeline, served
from ivbridge.marketing.torch_linear import two_stage
from ivbridge.marketing.uplift import ranking
from ivbridge.marketing.worlds import COVARIATES, Campaign, CampaignDraw, panel
from tests.test_encourage_report import Page

X = " + ".join(COVARIATES)


@pytest.fixture(scope="module")
def report() -> MarketingReport:
    return marketing(quick=True)


@pytest.fixture(scope="module")
def draw() -> CampaignDraw:
    return Campaign(confounding=1.0, second=0.6).draw(500, 3)


# the worlds


def test_the_recipe_is_the_recipe() -> None:
    """Noise of y and d has the stated sizes, and the email the stated effect; d_raw is the covariates' and its own."""
    draw = Campaign().draw(20_000, 2)
    noise = draw.conversions - 2 * draw.exposure - 1.5 * draw.x[:, 0]
    # the standard error of a standard deviation is sd/√(2n): 0.0025
    assert noise.std() == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(noise, draw.email)[0, 1]) < 4 / math.sqrt(20_000)
    first = ivbridge.fit(f"exposure ~ {X} + email", draw.frame, "classical")
    assert first.sigma == pytest.approx(math.hypot(0.7 * 0.5, 0.1), abs=4 * 0.37 / math.sqrt(40_000))
    wanted = {"email": 1.0, **dict(zip(COVARIATES, 0.7 * np.array([0.5, 0.4, -0.3, 0.0, 0.2]), strict=True))}
    for name, value in wanted.items():
        assert abs(first.params[name] - value) < 4 * first.bse[name]
    assert draw.email.mean() == 0.5
    assert draw.x.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-12)
    assert draw.x.std(axis=0) == pytest.approx(np.ones(5), abs=1e-12)


def test_worlds_differ_only_in_what_was_asked() -> None:
    plain, violated = Campaign(confounding=1.0), Campaign(confounding=1.0, violation=0.5)
    one, other = plain.draw(100, 7), violated.draw(100, 7)
    assert (one.exposure == other.exposure).all()
    assert other.conversions - one.conversions == pytest.approx(0.5 * one.email, abs=1e-12)
    assert (plain.draw(100, 7).conversions == one.conversions).all()
    assert not (plain.draw(100, 8).conversions == one.conversions).all()


def test_the_limit_of_least_squares_is_worked_out() -> None:
    world = Campaign(relevance=0.8, second=0.6, confounding=1.0, violation=0.5, second_violation=1.0)
    found = ivbridge.fit(f"conversions ~ {X} + exposure", world.draw(50_000, 5).frame, "HC1")
    assert abs(found.params["exposure"] - world.ols_limit) < 4 * found.bse["exposure"]
    assert found.bse["exposure"] < 0.01  # without either direct effect the limit would be .1 or more lower


def test_a_world_that_cannot_be_is_refused() -> None:
    with pytest.raises(DataError, match="relevance=nan"):
        Campaign(relevance=math.nan)
    with pytest.raises(DataError, match="19 users"):
        Campaign().draw(19)


# two-stage least squares in torch


def test_torch_and_both_engines_agree_on_any_design() -> None:
    """Twelve digits are what two backward-stable solutions of a well-conditioned problem leave (condition < 10)."""
    draw = Campaign(confounding=1.0, second=0.6, relevance=0.3).draw(300, 5)
    ours = two_stage(draw.conversions, draw.exposure, np.column_stack([draw.email, draw.push]), draw.x)
    for engine in ("r", "native"):
        formula = f"conversions ~ {X} + exposure | {X} + email + push"
        theirs = ivbridge.fit(formula, draw.frame, "classical", engine)
        assert ours.coef == pytest.approx(theirs.coefs.estimate, rel=1e-11)
        assert ours.std_error == pytest.approx(theirs.coefs.std_error, rel=1e-11)
        assert ours.residuals == pytest.approx(theirs.residuals, abs=1e-11)


def test_torch_refuses_dependent_columns(draw: CampaignDraw) -> None:
    with pytest.raises(DesignError, match="dependent"):
        two_stage(draw.conversions, draw.exposure, draw.email, np.column_stack([draw.x, draw.x[:, 0]]))


# the forbidden regression


def test_plugged_in_is_slope_times_instrument_for_any_fitted_values() -> None:
    data = panel(Campaign(confounding=1.0), 200, range(5))
    values = data.email * 0.3 + np.sin(3 * data.controls[:, :, 1]) + data.controls[:, :, 2] ** 2
    plugged, instrument, slope = plugged_and_instrument(data, values)
    assert plugged == pytest.approx(slope * instrument, rel=1e-10)
    assert np.abs(slope - 1).min() > 0.1  # else the identity says nothing


def test_an_exact_first_stage_makes_both_the_same() -> None:
    data = panel(Campaign(confounding=1.0, curved=True), 200, range(3))
    fitted = Exact("exact").fit(data.draws)
    values = np.stack([one(d.email, d.x) for one, d in zip(fitted, data.draws, strict=True)])
    plugged, instrument, slope = plugged_and_instrument(data, values)
    assert slope == pytest.approx(np.ones(3), rel=1e-10)
    assert plugged == pytest.approx(instrument, rel=1e-10)
    assert instrument == pytest.approx(exclusion.two_stage(data)[0], rel=1e-9)


def test_what_only_the_email_moves_is_random_given_x() -> None:
    """Fitted exposure z·|x₃|: as the instrument it takes the bend of conversions in x₃ with it, the randomised part of
    it does not."""
    inner = np.zeros((6, 2))
    inner[0], inner[3] = 9, (1, -1)
    network = Fitted((Dense(inner, np.full(2, -9.0), "relu"), Dense(np.ones((2, 1)), np.zeros(1), "linear")))
    stage: Any = SimpleNamespace(name="z|x|", fit=lambda draws, _rows=None, _seed=0: [network] * len(draws))
    (row,) = compare("With a confounder, exposure and conversions curved in x", 4000, 4, [stage])
    assert abs(row.randomised.mean - 2) < 4 * row.randomised.error
    assert row.instrument.mean - 2 > 10 * row.instrument.error


def test_crossed_values_do_not_see_their_own_users() -> None:
    """Exposure of one half changes nothing in that half's fitted values."""
    one = Campaign(confounding=1.0).draw(101, 4)
    stage = Exact("exact")
    before = crossed_values(stage, [one])[0]
    order = np.random.default_rng([1, 0, 0xF01D]).permutation(101)
    half = order[:50]
    changed = one.exposure.copy()
    changed[half] += 5 * one.email[half]
    after = crossed_values(stage, [replace(one, exposure=changed)])[0]
    assert after[half] == pytest.approx(before[half], abs=1e-12)
    rest = np.setdiff1d(order, half)
    assert np.abs(after[rest] - before[rest]).max() > 1


def test_networks_that_are_trained_together_are_those_trained_alone() -> None:
    draws = [Campaign(confounding=1.0).draw(100, seed) for seed in (1, 2)]
    stage = Trained("small", hidden=(8,), epochs=30, batch=20)
    together = stage.fit(draws)
    alone = stage.fit(draws[:1])[0]
    # float32 sums in another order, over 150 steps
    assert together[0](draws[0].email, draws[0].x) == pytest.approx(alone(draws[0].email, draws[0].x), abs=1e-4)
    again = stage.fit(draws)
    assert (again[1].layers[0].weight == together[1].layers[0].weight).all()


# checks over many draws, against the engines


def test_sargan_and_coefficients_are_those_of_r(draw: CampaignDraw) -> None:
    data = panel(Campaign(confounding=1.0, second=0.6), 500, [3])
    both = ivbridge.fit(f"conversions ~ {X} + exposure | {X} + email + push", draw.frame, "classical", "r")
    assert checks.sargan(data)[0] == pytest.approx(both.tests["sargan"].p_value, rel=1e-9)  # type: ignore[union-attr]
    estimate, error = exclusion.two_stage(data, data.campaigns)
    robust = ivbridge.fit(f"conversions ~ {X} + exposure | {X} + email + push", draw.frame, "HC1", "r")
    assert estimate[0] == pytest.approx(robust.params["exposure"], rel=1e-10)
    assert error[0] == pytest.approx(robust.bse["exposure"], rel=1e-10)


def test_the_negative_control_is_a_regression(draw: CampaignDraw) -> None:
    data = panel(Campaign(confounding=1.0, second=0.6), 500, [3])
    fit = ivbridge.fit(f"other_sales ~ {X} + email", draw.frame, "HC1", inference="z")
    assert checks.negative_control(data)[0] == pytest.approx(fit.pvalues["email"], rel=1e-9)


def test_the_criterion_is_zero_whatever_is_true() -> None:
    for violation in (0.0, 0.5, 50.0):
        data = panel(Campaign(confounding=1.0, violation=violation), 300, range(4))
        assert np.abs(checks.falsification(data)).max() < 1e-12
        # it is no constant: with residuals of least squares it is far from zero
        least = checks.residuals(data.conversions, np.concatenate([data.controls, data.exposure[:, :, None]], axis=2))
        assert np.abs((data.email * least).mean(1)).min() > 1e-2


def test_the_weak_instruments_numbers_are_those_of_statsmodels() -> None:
    """F, and the shares of draws in which 2 is in the usual interval and in Anderson and Rubin's, HC1 each."""
    found = exclusion.weakness(0.3, 60, 60, seed=5)
    f, held = [], []
    for seed in range(5, 65):
        draw = Campaign(relevance=0.3, confounding=1.0).draw(60, seed)
        columns = np.column_stack([np.ones(60), draw.x, draw.email])
        first, reduced = (
            sm.OLS(values, columns).fit(cov_type="HC1", use_t=False)
            for values in (draw.exposure, draw.conversions - 2 * draw.exposure)
        )
        f.append(first.tvalues[-1] ** 2)
        held.append(abs(reduced.tvalues[-1]) < 1.959964)
    assert found.f == pytest.approx(np.median(f), rel=1e-9)
    assert found.anderson_rubin.share == pytest.approx(np.mean(held))
    assert 0.85 < np.mean(held) < 0.97  # some do not hold it, or the test would tell nothing


def test_the_theory_of_the_variance_ratio_is_that_of_the_standard_errors() -> None:
    """In one large sample; its error is that of two first-stage coefficients, about .02."""
    draw = Campaign(confounding=1.0, second=0.6).draw(40_000, 6)
    errors = [
        ivbridge.fit(f"conversions ~ {X} + exposure | {X} + {z}", draw.frame, "classical").bse["exposure"]
        for z in ("email", "email + push")
    ]
    theory = exclusion.stacking(20, 3).theory
    assert (errors[1] / errors[0]) ** 2 == pytest.approx(theory, abs=0.04)


def test_the_top_of_a_ranking_is_its_top() -> None:
    """The true uplift is 2 + visits/2, visits standardised: the mean of its top fifth is well above 2."""
    found = {one.name: one for one in ranking(1000, 5)}
    assert found["the true uplift"].uplift.mean > 2.6
    assert found["the true uplift"].share == 1
    assert abs(found["at random"].uplift.mean - 2) < 4 * found["at random"].uplift.error


def test_drift_is_exactly_linear_in_every_draw() -> None:
    """2SLS is (z'd)⁻¹z'y, given x: adding γz to y adds γ/π̂."""
    base = panel(Campaign(confounding=1.0), 300, range(3))
    moved = panel(Campaign(confounding=1.0, violation=0.7), 300, range(3))
    left = checks.residuals(base.email, base.controls)
    first = (left * base.exposure).sum(1) / (left**2).sum(1)
    gap = exclusion.two_stage(moved)[0] - exclusion.two_stage(base)[0]
    assert gap == pytest.approx(0.7 / first, rel=1e-9)


# the encoder


def test_contrast_is_smallest_for_features_that_tell_users_apart() -> None:
    torch = computing.torch_module()
    apart, alike = torch.eye(4)[None], torch.ones(1, 4, 4)
    assert float(_contrast(alike, alike, 0.2)[0]) == pytest.approx(math.log(4), rel=1e-6)  # chance: 1/4 each
    # own view at cosine 1, three others at 0
    assert float(_contrast(apart, apart, 0.2)[0]) == pytest.approx(math.log1p(3 * math.exp(-5)), rel=1e-4)


def test_leak_is_the_sum_of_squared_correlations() -> None:
    torch = computing.torch_module()
    random = np.random.default_rng(1)
    features, mail = random.standard_normal((2, 50, 3)), random.standard_normal((2, 50))
    wanted = [sum(np.corrcoef(features[b, :, j], mail[b])[0, 1] ** 2 for j in range(3)) for b in range(2)]
    assert _leak(torch.as_tensor(features), torch.as_tensor(mail)).numpy() == pytest.approx(wanted, rel=1e-9)


def test_the_penalty_takes_the_email_out_of_the_features() -> None:
    data = panel(Campaign(confounding=1.0), 400, [1])
    rest = checks.residuals(data.email, data.controls)

    def share(penalty: float) -> float:
        features = Encoder("e", penalty, epochs=8).learn(data)
        columns = np.concatenate([data.controls, features], axis=2)
        return 1 - float((checks.residuals(data.email, columns) ** 2).sum() / (rest**2).sum())

    assert share(0.0) > 0.3 > 0.1 > share(100.0)


# the server


def _fitted() -> Fitted:
    return Fitted((Dense(np.array([[1.0, -0.5], [0.3, 0.2]]), np.array([0.1, 0.2]), "relu"),
                   Dense(np.array([[2.0], [1.0]]), np.array([0.5]), "linear")))  # fmt: skip


def _post(place: tuple[str, int], body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    line = http.client.HTTPConnection(*place, timeout=10)
    line.request("POST", "/", body, headers or {})
    reply = line.getresponse()
    found = reply.status, json.loads(reply.read())
    line.close()
    return found


def test_the_server_answers_and_survives_nonsense() -> None:
    fitted = _fitted()
    pipeline = Pipeline(lambda rows: fitted(rows[:, 0], rows[:, 1:]), 2.0, 1)
    with served(pipeline) as place:
        status, found = _post(place, b'{"email": 1, "x": [0.5]}')
        assert status == 200
        assert found["exposure"] == pytest.approx(2 * (1 + 0.15 + 0.1) + 0.5)  # the second unit is below zero
        assert found["gain"] == pytest.approx(2 * (3.0 - (2 * 0.25 + 0.3 + 0.5)))
        nonsense = [
            b"", b"[" * 5000, b"{}", b'{"email": 2, "x": [1]}', b'{"email": true, "x": [1]}',
            b'{"email": 1, "x": [1, 2]}', b'{"email": 1, "x": [NaN]}', b'{"email": 1, "x": ["1"]}',
            b'{"email": 1, "x": 1}', b'{"email": 1, "x": [1e99]}', b'{"email": 1, "x": [1], "more": 0}', b"\xff\xfe",
        ]  # fmt: skip
        for body in nonsense:
            assert _post(place, body)[0] == 400, body
        assert _post(place, b"x" * 20_000)[0] == 413
        assert _post(place, b'{"email": 0, "x": [0]}')[0] == 200
    assert pipeline.balance.requests == 2


def test_the_log_of_the_balance_is_the_balance() -> None:
    draw = Campaign().draw(200, 1)
    log = Balance(5)
    assert math.isnan(log.share)
    assert np.isnan(log.smd).all()
    for email, x in zip(draw.email, draw.x, strict=True):
        log.add(bool(email), x)
    arms = [draw.x[draw.email == arm] for arm in (0, 1)]
    pooled = np.sqrt((arms[0].var(axis=0) + arms[1].var(axis=0)) / 2)
    assert log.smd == pytest.approx((arms[1].mean(axis=0) - arms[0].mean(axis=0)) / pooled, abs=1e-12)
    assert log.share == 0.5


def test_without_dynamic_quantisation_the_page_says_so(
    monkeypatch: pytest.MonkeyPatch, report: MarketingReport
) -> None:
    torch = computing.torch_module()
    monkeypatch.setattr(torch.ao, "quantization", SimpleNamespace())
    found = serving.measured(_exact(), Campaign(confounding=1.0).draw(100), requests=30)
    assert [row.name for row in found.rows] == ["float32 (torch)", "NumPy"]
    assert math.isnan(found.ratio)
    shown = replace(report, serving=found)
    assert "offers no dynamic quantisation" in Page(shown.to_html()).text
    assert "offers no dynamic quantisation" in " ".join(shown.summary().split())
    assert MarketingReport.from_json(shown.to_json()).to_json() == shown.to_json()


def _exact() -> Fitted:
    return Exact("exact").fit([Campaign().draw(100)])[0]


# the whole


def _failed(gates: tuple[Gate, ...]) -> list[Gate]:
    """Claims that do not hold, but for latencies: those depend on what else the machine does."""
    return [gate for gate in gates if not gate.ok and "over HTTP" not in gate.what]


def test_every_claim_holds_in_the_quick_run(report: MarketingReport) -> None:
    assert _failed(report.gates) == []
    assert len(report.gates) > 40


def _with(report: MarketingReport, field: str, which: int, **changes: Any) -> MarketingReport:
    """The report with other numbers in one row."""
    rows = list(getattr(report, field))
    rows[which] = replace(rows[which], **changes)
    return replace(report, **{field: tuple(rows)})  # type: ignore[arg-type]


def _row(report: MarketingReport, name: str, world: str) -> int:
    return next(i for i, one in enumerate(report.first_stages) if one.name == name and world in one.world)


def _other_sabotages(report: MarketingReport) -> dict[str, MarketingReport]:
    half = Share(0.5, 100)
    confounded, drift, serving = report.confounded[1], report.drifts[0], report.serving
    bad = _row(report, "MLP, 200 steps", "confounder, exposure curved in x")
    solved = _row(report, "linear, solved", "no confounder")
    network, exact = report.first_stages[bad], report.first_stages[solved]
    estimates = tuple(
        replace(one, mean=2.0) if violation == 0.5 else one
        for one, violation in zip(drift.estimates, drift.violations, strict=True)
    )
    least = next(i for i, one in enumerate(report.ranked) if one.name == "least squares")
    moved = list(serving.rows)
    moved[1] = replace(moved[1], estimate=moved[1].estimate + serving.std_error)
    return {
        "misses the truth": _with(report, "first_stages", bad, plugged=replace(network.plugged, median=2.2)),
        "randomised part": _with(report, "first_stages", bad, randomised=replace(network.randomised, mean=5.0)),
        "in every draw": _with(report, "first_stages", bad, gap=1e-6),
        "the slope is 1": _with(report, "first_stages", solved, slope=replace(exact.slope, mean=1.001)),
        "least squares tend": _with(report, "confounded", 1, ols=replace(confounded.ols, mean=2.0)),
        "2SLS tends to the truth": _with(report, "confounded", 1, iv=replace(confounded.iv, mean=2.9)),
        "intervals of 2SLS": _with(report, "confounded", 1, coverage=half),
        "2SLS tends to 2.5": _with(report, "drifts", 0, estimates=estimates),
        "Anderson and Rubin": _with(report, "weak", 0, anderson_rubin=half),
        "Sargan's test notices": _with(report, "suspected", 1, sargan=half),
        "negative control notices": _with(report, "suspected", 1, negative_control=half),
        "alike: Sargan's test rejects": _with(report, "suspected", 2, sargan=half),
        "negative control rejects": _with(report, "suspected", 0, negative_control=half),
        "the drift has the slope": _with(report, "encoded", 0, slope=replace(report.encoded[0].slope, median=2.0)),
        "ranking by uplift": _with(report, "ranked", least, share=1.5),
        "τ is unchanged": replace(report, serving=replace(serving, rows=tuple(moved))),
    }


def test_claims_can_fail(report: MarketingReport) -> None:
    """Each sabotage fails its own claim and no other."""
    drift = report.drifts[0]
    sabotages = {
        "torch and R": replace(report, sample=replace(report.sample, digits={**report.sample.digits, "r": 7.9})),
        "R and Python agree": replace(report, sample=replace(report.sample, verdict="substantive")),
        "weak instrument": replace(report, sample=replace(report.sample, f=9.9)),
        "slope 1/π": replace(
            report, drifts=(replace(drift, slope=replace(drift.slope, mean=1.04)), *report.drifts[1:])
        ),
        "variance ratio": replace(report, stacked=replace(report.stacked, ratio=1.2)),
        "corr(z": replace(report, suspected=(replace(report.suspected[0], correlation=1e-3), *report.suspected[1:])),
        "valid: Sargan": replace(
            report, suspected=(replace(report.suspected[0], sargan=Share(0.2, 100)), *report.suspected[1:])
        ),
        "d²": replace(report, squared=replace(report.squared, instrumented=report.squared.plugged)),
        **_other_sabotages(report),
    }
    for words, wrong in sabotages.items():
        failed = [gate.what for gate in _failed(gates(wrong))]
        assert len(failed) == 1, (words, failed)
        assert words in failed[0]
    assert not replace(report, gates=gates(sabotages["d²"])).ok


def test_the_sample_is_what_the_engines_say(report: MarketingReport) -> None:
    frame = Campaign(confounding=1.0, curved=True).draw(report.sample.n, 1).frame
    fit = ivbridge.fit(FORMULA, frame, "classical")
    two_stage_rows = [row for row in report.sample.rows if row.name == "2SLS"]
    assert [row.how for row in two_stage_rows] == ["torch", "R (AER)", "Python (linearmodels)"]
    for row in two_stage_rows:
        assert row.estimate == pytest.approx(fit.params["exposure"], rel=1e-9)
        assert row.std_error == pytest.approx(fit.bse["exposure"], rel=1e-9)
    first = ivbridge.fit(f"exposure ~ {X} + email", frame, "classical")
    assert report.sample.f == pytest.approx(first.tvalues["email"] ** 2, rel=1e-9)
    least = ivbridge.fit(f"conversions ~ {X} + exposure", frame, "classical")
    assert report.sample["least squares"].estimate == pytest.approx(least.params["exposure"], rel=1e-12)
    assert min(report.sample.digits.values()) > 8


def test_without_r_the_sample_says_so(monkeypatch: pytest.MonkeyPatch, report: MarketingReport) -> None:
    def missing(*_: object, **__: object) -> None:
        raise RNotAvailableError("There is no R.", do="ivbridge setup-r")

    monkeypatch.setattr(sample, "crosscheck", missing)
    monkeypatch.setattr(sample, "MLP", Trained("small", hidden=(4,), epochs=2))
    found, _ = sample.estimated(Campaign(confounding=1.0).draw(200))
    assert [row.how for row in found.rows if row.name == "2SLS"] == ["torch", "Python (linearmodels)"]
    shown = replace(report, sample=found)
    page = Page(shown.to_html()).text
    assert "R was not asked: There is no R." in page
    assert "R and Python agree about everything" not in [gate.what for gate in gates(shown)]


def test_the_page_is_well_formed_and_loads_nothing(report: MarketingReport) -> None:
    page = Page(report.to_html())
    assert page.loads == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "form", "base"}
    assert "nan" not in page.text.lower().split()
    for sentence in (gate.what for gate in report.gates):
        assert sentence in page.text
    shown = [float(row[1]) for row in page.table("Estimator")]
    assert shown == pytest.approx([row.estimate for row in report.sample.rows], abs=5.1e-5)


def test_the_report_reads_back_and_is_written(report: MarketingReport, tmp_path: Path) -> None:
    again = MarketingReport.from_json(report.to_json())
    assert again.to_json() == report.to_json()
    assert again.to_html() == report.to_html()
    report.write(tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == report.to_html()
    with pytest.raises(UnsupportedError, match=r"a\.pdf"):
        report.write(tmp_path / "a.pdf")
    assert list(report.to_frame().columns) == ["estimator", "engine", "estimate", "std.error"]
    assert "of" in repr(report)


def test_the_command_writes_page_and_numbers(
    report: MarketingReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = replace(report, gates=report.gates[:3])
    monkeypatch.setattr("ivbridge.marketing.analysis.marketing", lambda *_: right)
    out = tmp_path / "new" / "folder"
    done = CliRunner().invoke(app, ["marketing", "--quick", "--out", str(out)])
    assert done.exit_code == 0
    assert (out / "marketing.html").exists()
    assert json.loads((out / "marketing.json").read_text(encoding="utf-8"))["type"] == "MarketingReport"
    assert "claims hold" in done.output
    wrong = replace(report, gates=(replace(report.gates[0], ok=False),))
    monkeypatch.setattr("ivbridge.marketing.analysis.marketing", lambda *_: wrong)
    done = CliRunner().invoke(app, ["marketing", "--out", str(out), "--json"])
    assert done.exit_code == 1
    assert json.loads(done.output)["type"] == "MarketingReport"


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, ["marketing", "--quick", "--out", str(tmp_path / "file" / "folder")])
    assert done.exit_code == 2
    assert done.output.startswith("ivbridge marketing: The folder")
    assert "cannot be made: Not a directory" in done.output


def test_a_seed_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="seed -1"):
        marketing(seed=-1)


@pytest.mark.slow
def test_every_claim_holds_in_the_full_run() -> None:
    """Less than a minute of processor time."""
    assert _failed(marketing().gates) == []
