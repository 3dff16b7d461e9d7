"""Cross-fitting and double machine learning against R and DoubleML's own learners; two-stage least squares by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import doubleml
import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from doubleml.utils import PSProcessorConfig
from doubleml.utils._estimation import _aggregate_coefs_and_ses
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ivbridge
from ivbridge.causal import two_step
from ivbridge.causal.agreement import crosscheck
from ivbridge.causal.crossfit import Learner, draw_folds, out_of_fold
from ivbridge.causal.dml import CrossFitted, over_splits, weak
from ivbridge.causal.forest_spread import forest_spread
from ivbridge.causal.iv_question import numeric_frame, spec_of
from ivbridge.causal.methods.iivm import IIVM
from ivbridge.causal.methods.irm import IRM
from ivbridge.causal.methods.pliv import PLIV
from ivbridge.causal.methods.plr import PLR
from ivbridge.causal.methods.t_learner import TLearner
from ivbridge.causal.methods.two_stage import TwoStageLeastSquares
from ivbridge.causal.question import CausalData, CausalQuestion, build
from ivbridge.causal.r_side import ask_r
from ivbridge.causal.scenarios import COVARIATES, TWINS, CausalDraw, Twin, notebook
from ivbridge.errors import DataError, DesignError, MissingExtraError, UnsupportedError

NOTEBOOK = notebook()
#: The notebook's question of its section on instruments: T_iv never enters Y_obs, so that the truth is 0.
ENCOURAGED = CausalQuestion("Y_obs", "T_iv", COVARIATES, ("Z",), "LATE")
LASSO = Learner("lasso", penalty=0.02)
DRAWS = {
    name: TWINS[name].draw(1000, 3) for name in ("bent", "bent-different-att", "encouraged", "encouraged-different")
}
#: Clipping wide enough that it clips: scores of an encouragement by a coin lie near one half.
MODELS: dict[str, tuple[CrossFitted, CausalDraw]] = {
    "plr": (PLR(), NOTEBOOK),
    "plr, three splits": (PLR(repeats=3, folds=3), DRAWS["bent"]),
    "irm": (IRM(), NOTEBOOK),
    "irm, ATT": (IRM(clip=0.2), DRAWS["bent-different-att"]),
    "pliv": (PLIV(), DRAWS["encouraged"]),
    "iivm": (IIVM(clip=0.49), DRAWS["encouraged-different"]),
}


def two_instruments() -> tuple[CausalQuestion, pd.DataFrame]:
    draw = DRAWS["encouraged"]
    noise = np.random.default_rng(5).normal(size=len(draw.frame))
    return replace(draw.question, instruments=("Z", "Z2")), draw.frame.assign(Z2=draw.frame["Z"] + noise)


# --- against R ---


@pytest.mark.parametrize("name", MODELS)
def test_linear_learners_equal_r_on_the_same_folds(name: str) -> None:
    """lm.fit and glm.fit at the maximum of the same likelihood; measured 12 to 15 digits, 10 leaves room for a BLAS."""
    method, draw = MODELS[name]
    found = crosscheck(method, draw.question, draw.frame, seed=4)
    found.assert_ok()
    assert found.worst.digits > 10
    assert found.alone == ()
    compared = {gap.quantity for gap in found.gaps}
    assert len(compared) == 2 + len(method.nuisances(build(draw.question, draw.frame))) + 2 * method.repeats * (
        method.repeats > 1
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_lasso_of_fixed_penalty_equals_glmnet(name: str) -> None:
    """Two coordinate descents stop at their tolerances; measured 9 to 12 digits."""
    method, draw = MODELS[name]
    found = crosscheck(replace(method, learner=LASSO), draw.question, draw.frame, seed=4)
    found.assert_ok()
    assert found.worst.digits > 7
    plain = crosscheck(method, draw.question, draw.frame, seed=4)
    assert abs(found.candidate.estimate - plain.candidate.estimate) > 1e-6  # the penalty does something


def test_the_treatment_may_have_a_learner_of_its_own() -> None:
    draw = DRAWS["bent"]
    found, plain = (crosscheck(PLR(treatment_learner=learner), draw.question, draw.frame) for learner in (LASSO, None))
    found.assert_ok()
    parts, others = found.candidate.answer.parts, plain.candidate.answer.parts
    assert parts["rmse ml_l"] == others["rmse ml_l"]
    assert parts["rmse ml_m"] != others["rmse ml_m"]


def test_several_instruments_equal_r() -> None:
    question, frame = two_instruments()
    found = crosscheck(PLIV(), question, frame)
    found.assert_ok()
    assert {"rmse ml_m_z1", "rmse ml_m_z2"} <= {gap.quantity for gap in found.gaps}


def test_other_folds_would_be_noticed() -> None:
    draw = DRAWS["bent"]
    data = build(draw.question, draw.frame)
    ours, theirs = PLR().answer(data, 1, None), PLR(fold_seed=2).reference(data, 1)
    assert abs(ours.estimate - theirs.estimate) > 1e-4


def test_what_r_cannot_repeat_is_said() -> None:
    draw = DRAWS["bent"]
    with pytest.raises(UnsupportedError, match="forest_spread"):
        crosscheck(PLR(learner=Learner("forest", trees=5)), draw.question, draw.frame)
    with pytest.raises(UnsupportedError, match="penalty"):
        crosscheck(PLR(learner=Learner("lasso"), treatment_learner=Learner()), draw.question, draw.frame)


def test_forests_of_two_programs_lie_within_a_fraction_of_a_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves of one unit make the two the same algorithm; half a standard error is what the notebook's data showed at
    most. Not a proof of equality: see the module.
    """
    draw, whole, used = TWINS["bent"].draw(400, 2), CrossFitted.splits, []

    def splits(self: CrossFitted, data: CausalData, seed: int) -> np.ndarray:
        used.append(whole(self, data, seed))
        return used[-1]

    monkeypatch.setattr(CrossFitted, "splits", splits)
    forest = Learner("forest", trees=40, leaf=1)
    found = forest_spread(PLR(learner=forest), draw.question, draw.frame, range(3))
    assert found.in_errors < 0.5
    assert found.spread > 0
    assert found.gap == found.ours.mean() - found.theirs.mean() != 0
    assert len(set(found.ours)) == len(set(found.theirs)) == 3
    assert f"{found.in_errors:.2f} standard errors" in found.summary()
    assert all((one == used[0]).all() for one in used)
    with pytest.raises(DataError, match="1 seeds"):
        forest_spread(PLR(learner=forest), draw.question, draw.frame, [1])
    for other in (Learner(), Learner("boosting")):
        with pytest.raises(DataError, match="were given"):
            forest_spread(PLR(learner=other), draw.question, draw.frame)


# --- against DoubleML's own way ---


def scaled(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


def by_doubleml(method: CrossFitted, draw: CausalDraw) -> Any:
    """Its object with scikit-learn's own models, which it clones and fits itself."""
    data = build(draw.question, draw.frame)
    least, logit = scaled(LinearRegression()), scaled(LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8))
    given = doubleml.DoubleMLData.from_arrays(data.x, data.y, data.t, data.z[:, 0] if data.z.size else None)
    match method:
        case PLR():
            model = doubleml.DoubleMLPLR(given, least, logit)
        case IIVM(clip=clip):
            limits = PSProcessorConfig(clipping_threshold=clip)
            model = doubleml.DoubleMLIIVM(given, least, logit, logit, ps_processor_config=limits)
        case IRM(clip=clip):
            limits, score = (
                PSProcessorConfig(clipping_threshold=clip),
                "ATTE" if draw.question.estimand == "ATT" else "ATE",
            )
            model = doubleml.DoubleMLIRM(given, least, logit, score=score, ps_processor_config=limits)
    folds = method.splits(data, 7)[:, 0]
    model.set_sample_splitting([(np.flatnonzero(folds != k), np.flatnonzero(folds == k)) for k in range(5)])
    return model.fit()


@pytest.mark.parametrize("name", ["plr", "irm", "irm, ATT", "iivm"])
def test_doubleml_says_the_same_with_learners_of_its_own(name: str) -> None:
    """Its logits stop a little before the maximum, where the score's gradient is below 1e-8."""
    method, draw = MODELS[name]
    found, model = method.fit(draw.question, draw.frame, 7), by_doubleml(method, draw)
    assert found.estimate == pytest.approx(model.coef[0], rel=1e-7)
    assert found.std_error == pytest.approx(model.se[0], rel=1e-7)


def test_pliv_is_the_instrument_residual_of_residuals() -> None:
    """DoubleML regresses a 0/1 treatment and instrument; ours are logits, so that the ratio is written out here."""
    method, draw = MODELS["pliv"]
    data = build(draw.question, draw.frame)
    folds, logit = method.splits(data, 7)[:, 0], Learner().classifier(0)
    w, v = (one - out_of_fold(logit, data.x, one, folds) for one in (data.t, data.z[:, 0]))
    u = data.y - out_of_fold(scaled(LinearRegression()), data.x, data.y, folds)
    theta = (v @ u) / (v @ w)
    found = method.answer(data, 7, None)
    assert found.estimate == pytest.approx(theta, rel=1e-12)
    assert found.std_error == pytest.approx(math.sqrt(np.sum(((u - theta * w) * v) ** 2)) / abs(v @ w), rel=1e-10)


def test_medians_over_splits_are_definition_3_3() -> None:
    """By hand: the median is 2; se² + (estimate - 2)² is 1.01, .04, 4.09; its median is 1.01."""
    assert over_splits(np.array([1.0, 2.0, 4.0]), np.array([0.1, 0.2, 0.3])) == (
        2.0,
        pytest.approx(math.sqrt(1.01), rel=1e-15),
    )


def test_folds_hold_as_many_of_each_arm_of_treatment_and_instrument() -> None:
    method, draw = MODELS["iivm"]
    data = build(draw.question, draw.frame)
    folds = method.splits(data, 1)[:, 0]
    for t in (0, 1):
        for z in (0, 1):
            sizes = np.bincount(folds[(data.t == t) & (data.z[:, 0] == z)], minlength=5)
            assert sizes.max() - sizes.min() <= 1


def test_splits_differ() -> None:
    method, draw = MODELS["plr, three splits"]
    parts = method.fit(draw.question, draw.frame).answer.parts
    assert len({parts[f"estimate of split {r}"] for r in (1, 2, 3)}) == 3


def test_doubleml_leaves_the_spread_over_splits_out() -> None:
    """What the docstring says of it: with equal errors its error is theirs, however far the splits lie apart."""
    _, error = _aggregate_coefs_and_ses(np.array([[1.0, 2.0, 4.0]]), np.array([[0.1, 0.1, 0.1]]))
    assert error[0] == pytest.approx(0.1, rel=1e-12)


def test_influence_has_the_standard_error() -> None:
    """se² = Σψ²/(n²J²): an identity, so that only rounding is left."""
    for method, draw in (MODELS["irm"], MODELS["iivm"]):
        found = method.fit(draw.question, draw.frame)
        psi = found.answer.influence
        assert psi is not None
        assert abs(psi.mean()) < 1e-8 * psi.std()
        assert math.sqrt((psi**2).mean() / found.n) == pytest.approx(found.std_error, rel=1e-10)
    assert PLR(repeats=2).fit(DRAWS["bent"].question, DRAWS["bent"].frame).answer.influence is None


# --- cross-fitting ---


def test_influence_has_the_sign_of_what_a_unit_adds() -> None:
    """With least squares and a logit the interactive model is the T-learner, whose influence is score less mean."""
    draw = DRAWS["bent"]
    ours, other = (method.fit(draw.question, draw.frame).answer.influence for method in (IRM(), TLearner()))
    # both sum the same numbers of size 100 over 1000 units
    np.testing.assert_allclose(ours, other, rtol=0, atol=1e-10)


def test_no_unit_predicts_itself() -> None:
    """One nearest neighbour returns a unit's own outcome wherever it has seen it."""
    random = np.random.default_rng(1)
    x, y = random.normal(size=(200, 2)), random.normal(size=200)
    folds = draw_folds(200, 4, 0)
    found = out_of_fold(KNeighborsRegressor(1), x, y, folds)
    nearest = np.array([np.flatnonzero(y == value)[0] for value in found])
    assert (folds[nearest] != folds).all()
    leaky = KNeighborsRegressor(1).fit(x, y).predict(x)
    assert (leaky == y).all()


def test_forests_do_not_learn_noise() -> None:
    """Out of fold nobody predicts noise better than its mean; in sample a forest halves the error."""
    random = np.random.default_rng(2)
    frame = pd.DataFrame(random.normal(size=(400, 3)), columns=["y", "a", "b"]).assign(t=random.binomial(1, 0.5, 400))
    question = CausalQuestion("y", "t", ("a", "b"))
    found = PLR(learner=Learner("forest", trees=30, leaf=1)).fit(question, frame)
    assert found.answer.parts["rmse ml_l"] > frame["y"].std()
    inside = Learner("forest", trees=30, leaf=1).regressor(0).fit(frame[["a", "b"]], frame["y"])
    assert np.sqrt(np.mean((frame["y"] - inside.predict(frame[["a", "b"]])) ** 2)) < 0.6 * frame["y"].std()


def test_units_learned_from_may_be_some() -> None:
    random = np.random.default_rng(3)
    x, arm = random.normal(size=(100, 1)), np.arange(100) % 2 == 0
    y = np.where(arm, 5 + x[:, 0], -1000.0)
    found = out_of_fold(LinearRegression(), x, y, draw_folds(100, 5, 0), arm)
    assert found == pytest.approx(5 + x[:, 0], abs=1e-10)  # an exact line, but for rounding


def test_folds_are_even_within_strata() -> None:
    strata = np.repeat([0.0, 1.0, 2.0], [41, 52, 7])
    folds = draw_folds(100, 5, 9, strata)
    for value in range(3):
        sizes = np.bincount(folds[strata == value], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    assert (folds == draw_folds(100, 5, 9, strata)).all()
    assert (folds != draw_folds(100, 5, 10, strata)).any()
    with pytest.raises(DataError, match="5 folds of 3 units"):
        draw_folds(10, 5, 0, np.repeat([0.0, 1.0], [7, 3]))
    with pytest.raises(DataError, match="1 folds"):
        draw_folds(10, 1, 0)


def test_a_target_without_variation_is_its_value() -> None:
    """One-sided noncompliance: nobody takes the treatment without the encouragement, and R says the same."""
    draw = DRAWS["encouraged"]
    frame = draw.frame.assign(T=draw.frame["T"] * draw.frame["Z"])
    found = crosscheck(IIVM(), draw.question, frame)
    found.assert_ok()
    assert found.candidate.answer.parts["rmse ml_r0"] == 0


def test_a_penalty_that_leaves_nothing_predicts_the_mean() -> None:
    """scikit-learn's "saga" alone stops at a wrong intercept there; the maximum is the share, in closed form."""
    random = np.random.default_rng(4)
    x, t, folds = random.normal(size=(300, 3)), random.binomial(1, 0.2, 300).astype(float), draw_folds(300, 3, 0)
    found = out_of_fold(Learner("lasso", penalty=0.5).classifier(0, 200), x, t, folds)
    for fold in range(3):
        assert found[folds == fold] == pytest.approx(t[folds != fold].mean(), rel=1e-12)


def test_what_does_not_converge_is_not_used() -> None:
    random = np.random.default_rng(5)
    x = random.normal(60000, 15000, (200, 1))
    y = (x[:, 0] + random.normal(0, 15000, 200) > 60000).astype(float)
    with pytest.raises(DesignError, match="not converged"):
        out_of_fold(LogisticRegression(max_iter=1), x, y, draw_folds(200, 2, 0, y))
    with pytest.raises(DesignError, match="no unit to learn from"):
        out_of_fold(LinearRegression(), x, y, draw_folds(200, 2, 0), np.arange(200) < 0)


def test_learners_say_what_they_are() -> None:
    assert str(Learner()) == "linear"
    assert str(LASSO) == "lasso, penalty 0.02"
    for kind in ("linear", "lasso", "forest", "boosting"):
        random = np.random.default_rng(6)
        x = random.normal(size=(120, 2))
        learner = Learner(kind, trees=20)
        mean = out_of_fold(learner.regressor(0), x, x[:, 0] + random.normal(size=120), draw_folds(120, 2, 0))
        assert np.corrcoef(mean, x[:, 0])[0, 1] > 0.7  # the target's own correlation with x is .71
        above = (x[:, 0] + 0.3 * random.normal(size=120) > 0).astype(float)
        chance = out_of_fold(learner.classifier(0), x, above, draw_folds(120, 2, 0, above))
        assert chance.min() >= 0
        assert chance.max() <= 1
        assert np.corrcoef(chance, above)[0, 1] > 0.5


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"kind": "neural"}, "no learner 'neural'"),
        ({"trees": 0}, "0 trees"),
        ({"leaf": 0}, "leaves of 0"),
        ({"penalty": 0.1}, "learner 'linear'"),
        ({"kind": "lasso", "penalty": 0.0}, "penalty of 0"),
    ],
)
def test_learners_that_make_no_sense_are_refused(asked: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        Learner(**asked)


def test_a_penalised_classifier_needs_to_know_how_many_units() -> None:
    with pytest.raises(DataError, match="number of units"):
        LASSO.classifier(0)


# --- what the models say ---


@pytest.mark.parametrize("asked", [{"folds": 1}, {"repeats": 0}, {"clip": 0.0}, {"clip": 0.5}])
def test_settings_that_make_no_sense_are_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="asked"):
        IRM(**asked)


def test_clipping_is_counted() -> None:
    draw = TWINS["poor-overlap"].draw(1000, 1)
    found = IRM(clip=0.05).fit(draw.question, draw.frame)
    count = int(found.answer.warnings[0].split()[0])
    data = build(draw.question, draw.frame)
    chance = out_of_fold(Learner().classifier(0), data.x, data.t, IRM().splits(data, 0)[:, 0])
    assert count == ((chance < 0.05) | (chance > 0.95)).sum() > 0
    assert IRM().fit(DRAWS["bent"].question, DRAWS["bent"].frame).answer.warnings == ()


@pytest.mark.slow
def test_the_error_is_too_wide_only_where_the_outcome_s_learner_is_wrong() -> None:
    """ATT, 300 draws: the score takes the propensity score for known. Estimating it gains something where the outcome
    bends and its learner is linear, 16 % here; with columns that bend, errors are the spread by theory. A standard
    deviation of 300 draws has an error of 4 %, so that 8 % is two of them.
    """
    found = []
    for seed in range(1, 301):
        draw = TWINS["bent-different-att"].draw(2000, seed)
        i, e = ((draw.frame[name] - mean) / sd for name, mean, sd in (
            ("income", 60000, 15000), ("prior_engagement", 2 / 7, math.sqrt(10 / 392))
        ))  # fmt: skip
        bending = replace(draw.question, covariates=(*COVARIATES, "ii", "ie"))
        linear = IRM().fit(draw.question, draw.frame, seed)
        right = IRM().fit(bending, draw.frame.assign(ii=i**2, ie=i * e), seed)
        found.append((linear.estimate, linear.std_error, right.estimate, right.std_error))
    table = np.array(found)
    spread, error = table.std(axis=0)[[0, 2]], table.mean(axis=0)[[1, 3]]
    assert error[0] / spread[0] > 1.08
    assert error[1] / spread[1] == pytest.approx(1, abs=0.08)


def test_next_to_no_overlap_is_refused() -> None:
    draw = Twin("none", overlap=12.0).draw(1000, 1)
    with pytest.raises(DesignError, match="effective sample size"):
        IRM(clip=1e-6).fit(draw.question, draw.frame)


def test_weak_instruments_are_said() -> None:
    """F of the notebook's Z for its real treatment is 1.4."""
    question = replace(NOTEBOOK.question, instruments=("Z",), estimand="LATE")
    for method in (PLIV(), IIVM()):
        assert "hardly move" in method.fit(question, NOTEBOOK.frame).answer.warnings[-1]
        assert method.fit(ENCOURAGED, NOTEBOOK.frame).answer.warnings == ()


def test_the_f_of_weak_instruments_is_that_of_least_squares() -> None:
    random = np.random.default_rng(7)
    z = random.normal(size=(80, 2))
    t = 0.3 * z[:, 0] + random.normal(size=80)
    f = sm.OLS(t, sm.add_constant(z)).fit().fvalue
    assert f < 10
    assert f"F = {f:.2g}" in weak(t, z)[0]
    assert weak(t + 5 * z[:, 1], z) == ()


def test_questions_that_a_model_cannot_answer() -> None:
    question, frame = two_instruments()
    with pytest.raises(DataError, match="one instrument with the values 0 and 1; found Z, Z2"):
        IIVM().fit(question, frame)
    with pytest.raises(DataError, match="found Z2"):
        IIVM().fit(replace(question, instruments=("Z2",)), frame)
    with pytest.raises(UnsupportedError, match="cannot estimate the ATT"):
        PLR().fit(replace(NOTEBOOK.question, estimand="ATT"), NOTEBOOK.frame)
    with pytest.raises(DataError, match="names none"):
        PLIV().fit(replace(NOTEBOOK.question, estimand="LATE"), NOTEBOOK.frame)


def test_a_missing_doubleml_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"DoubleML|doubleml") as caught:
        PLR().fit(NOTEBOOK.question, NOTEBOOK.frame)
    assert 'pip install "ivbridge[doubleml]"' in str(caught.value)


def test_splits_are_counted_for_whoever_waits() -> None:
    said: list[tuple[int, int, str]] = []
    draw = DRAWS["bent"]
    PLR(repeats=2).fit(draw.question, draw.frame, 0, lambda *one: said.append(one))
    assert said == [(0, 2, "split 1"), (1, 2, "split 2")]


# --- two-stage least squares ---


@pytest.mark.parametrize("vcov", ["classical", "HC0", "HC1", "HC3"])
def test_two_stage_least_squares_equals_r(vcov: str) -> None:
    """See `TwoStageLeastSquares.why_relative`; the notebook's columns are unscaled, measured 13 digits."""
    found = crosscheck(TwoStageLeastSquares(vcov=vcov), ENCOURAGED, NOTEBOOK.frame)
    found.assert_ok()
    assert {gap.quantity for gap in found.gaps} == {"estimate", "std.error", "Wu-Hausman", "first-stage F"}


def test_two_stage_least_squares_is_what_the_notebook_prints() -> None:
    """.2548, whose truth is 0; its own standard error, .197, is the second regression's."""
    found = TwoStageLeastSquares(vcov="classical").fit(ENCOURAGED, NOTEBOOK.frame)
    assert f"{found.estimate:.4f} ({found.std_error:.6f})" == "0.2548 (0.196622)"
    assert found.answer.df == 4995
    assert found.conf_int()[0] < 0 < found.conf_int()[1]


def test_an_instrument_that_moves_nobody_gives_the_whole_line() -> None:
    question = replace(NOTEBOOK.question, instruments=("Z",), estimand="LATE")
    found = TwoStageLeastSquares(vcov="classical").fit(question, NOTEBOOK.frame)
    assert f"{found.estimate:.1f} ({found.std_error:.1f})" == "20.5 (15.9)"
    assert "F = 1.4" in found.answer.warnings[0]
    assert "(-inf, inf)" in found.answer.warnings[0]


def test_odd_names_text_truth_values_and_clusters() -> None:
    old, took = np.where(NOTEBOOK.frame["age"] > 40, "old", "young"), NOTEBOOK.frame["T_iv"] == 1
    frame = NOTEBOOK.frame.assign(old=old, **{"did take": took, "lambda": np.arange(5000) // 50})
    frame = frame.rename(columns={"Z": "z-1"})
    question = CausalQuestion("Y_obs", "did take", ("old", "income"), ("z-1",), "LATE", "lambda")
    found = crosscheck(TwoStageLeastSquares(), question, frame)
    found.assert_ok()
    assert found.candidate.answer.vcov.startswith("cluster(")
    alone = TwoStageLeastSquares().fit(replace(question, clusters=None), frame)
    assert alone.std_error != found.candidate.std_error


def test_every_number_of_the_engines_agrees() -> None:
    draw = DRAWS["encouraged"]
    frame = numeric_frame(build(draw.question, draw.frame))
    assert ivbridge.crosscheck(spec_of(draw.question, "HC1"), frame, ["HC1"]).verdict in {"identical", "rounding"}


# --- by hand ---


def with_effect(effect: float) -> pd.DataFrame:
    return NOTEBOOK.frame.assign(Y_obs=NOTEBOOK.y0 + effect * NOTEBOOK.frame["T_iv"])


@pytest.mark.parametrize(
    ("frame", "manual", "correct"),
    [(NOTEBOOK.frame, ".196566", ".196622"), (with_effect(10), ".182541", ".165038")],
    ids=["no effect", "effect of 10"],
)
def test_the_second_regression_prints_another_error(frame: pd.DataFrame, manual: str, correct: str) -> None:
    found = two_step.compare(ENCOURAGED, frame)
    assert (f"{found.manual:.6f}", f"{found.correct:.6f}") == (f"0{manual}", f"0{correct}")
    data = build(ENCOURAGED, frame)
    theirs = ask_r("two_step", y=data.y, t=data.t, x=data.x, z=data.z).value
    # unscaled columns, condition number 4e5
    assert found.estimate == pytest.approx(float(theirs["estimate"][0]), rel=1e-8)
    assert found.manual == pytest.approx(float(theirs["by_hand"][0]), rel=1e-8)
    assert found.correct == pytest.approx(float(theirs["right"][0]), rel=1e-8)


def test_only_the_residuals_differ() -> None:
    """Both share (X̂'X̂)⁻¹, so that classical errors are as their residuals' standard deviations; rounding."""
    found = two_step.compare(ENCOURAGED, with_effect(10))
    assert found.ratio == pytest.approx(found.sd_manual / found.sd_correct, rel=1e-9)
    assert "10.61% too wide" in found.summary()
    assert two_step.compare(ENCOURAGED, NOTEBOOK.frame).ratio == pytest.approx(1, abs=0.001)  # the effect is 0 there


def test_by_hand_needs_instruments() -> None:
    with pytest.raises(DataError, match="needs instruments"):
        two_step.compare(NOTEBOOK.question, NOTEBOOK.frame)
