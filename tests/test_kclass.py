"""LIML, Fuller and Bekker's standard errors: both engines, theorems, and what is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import subprocess
import tomllib
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import ivbridge
from ivbridge import IVSpec, weakiv
from ivbridge.cli import app
from ivbridge.engines import ENGINES
from ivbridge.errors import IvbridgeError
from ivbridge.kclass import estimated
from ivbridge.method import LIML, Fuller, TwoStage, parse_method
from ivbridge.questions import load_questions
from ivbridge.records import Seen
from ivbridge.resources import scripts_dir
from ivbridge.sandwich import covariance
from ivbridge.simulate import SCENARIOS
from ivbridge.vcov_text import parse_vcov
from tests.cases import CASES, Case, frame

DATA = frame()
OVERIDENTIFIED = "y ~ x1 + w1 | w1 + z1 + z2 + z3"
RICH = "y ~ x1 + x2 + w1 | w1 + z1 + z2 + z3"
SEEDS = st.integers(0, 2**32 - 1)
#: As in test_theorems: condition numbers below 10³, squared by linearmodels' normal equations.
RTOL = 1e-8
WITH_ENDOG = [case for case in CASES if IVSpec.from_formula(case.formula).endog]


# --- the question ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "method", "printed"), [
    ("2sls", TwoStage(), "2sls"), ("TSLS", TwoStage(), "2sls"), ("LIML", LIML(), "liml"),
    ("fuller", Fuller(1.0), "fuller(1)"), (" Fuller( 4 ) ", Fuller(4), "fuller(4)"),
    ("fuller(0.1)", Fuller(0.1), "fuller(0.1)"), ("fuller(1e-3)", Fuller(0.001), "fuller(0.001)"),
])  # fmt: skip
def test_text_form(text, method, printed):
    assert parse_method(text) == method
    assert str(method) == printed
    assert parse_method(printed) == method == parse_method(method)


@pytest.mark.parametrize("a", [1 / 3, 123456.789, 1e-7, 2**0.5])
def test_text_form_keeps_every_bit(a):
    assert parse_method(str(Fuller(a))) == Fuller(a)


@pytest.mark.parametrize("text", ["gmm", "fuller()", "fuller(x)", "fuller(0)", "fuller(-1)", "liml(1)", ""])
def test_unknown_methods_are_refused(text):
    with pytest.raises(ivbridge.UnsupportedError, match="Available"):
        parse_method(text)


def test_the_method_is_part_of_the_question():
    two, liml = (IVSpec.from_formula(OVERIDENTIFIED, method=method) for method in ("2sls", "liml"))
    assert two == IVSpec.from_formula(OVERIDENTIFIED)
    assert two != liml
    assert (str(two), str(liml)) == (two.to_r(), f"{two.to_r()} · method=liml")
    assert (two.title, liml.title) == (two.to_r(), f"{two.to_r()} · LIML")
    assert liml.with_vcov("HC1").method == LIML()
    assert liml.to_stata().startswith("ivregress liml y")
    with pytest.raises(ivbridge.UnsupportedError, match="no Fuller"):
        IVSpec.from_formula(OVERIDENTIFIED, method="fuller(1)").to_stata()


def test_least_squares_has_no_liml():
    with pytest.raises(ivbridge.FormulaError, match="endogenous"):
        IVSpec.from_formula("y ~ x1", method="liml")


@pytest.mark.parametrize("method", ["2sls", "liml", "fuller(4)"])
def test_json_keeps_method_and_kappa(method):
    estimate = ivbridge.fit(OVERIDENTIFIED, DATA, "HC1", method=method)
    again = ivbridge.Estimate.from_json(estimate.to_json())
    assert again.spec == estimate.spec
    assert again.kappa == estimate.kappa
    assert (estimate.kappa is None) == (method == "2sls")


def test_every_column_is_in_the_glossary():
    known = tomllib.loads((files("ivbridge") / "glossary.toml").read_text(encoding="utf-8"))["columns"]
    two, liml = (ivbridge.fit(OVERIDENTIFIED, DATA, "HC1", method=method) for method in ("2sls", "liml"))
    assert set(liml.glance().columns) - set(two.glance().columns) == {"kappa"} <= set(known)
    assert liml.glance().loc[0, "kappa"] == liml.kappa
    weak, interval = weakiv.effective_f(OVERIDENTIFIED, DATA, "HC1"), weakiv.confidence_set(OVERIDENTIFIED, DATA, "HC1")
    assert {*weak.to_frame().columns, *interval.to_frame().columns} <= set(known)


def test_text_says_which_estimator():
    two, liml = (ivbridge.fit(OVERIDENTIFIED, DATA, "HC1", method=method) for method in ("2sls", "fuller(1)"))
    assert "kappa" not in two.summary()
    assert f"Fuller(1) (kappa = {liml.kappa:.10g})" in liml.summary()
    agreement = ivbridge.crosscheck(OVERIDENTIFIED, DATA, ["HC1"], method="fuller(1)")
    assert "Fuller(1)" in agreement.summary()
    for text in (agreement.to_html(), agreement.to_markdown(), agreement.to_latex()):
        assert "Fuller(1), kappa" in text.replace(r"\allowbreak{}", "")
    assert "method='fuller(1)'" in agreement.to_markdown()


def test_the_command_line_takes_a_method(tmp_path: Path) -> None:
    DATA.drop(columns=["day"]).to_csv(tmp_path / "d.csv", index=False)
    options = ["--data", str(tmp_path / "d.csv"), "--vcov", "HC1", "--method", "liml"]
    shown = CliRunner().invoke(app, ["fit", OVERIDENTIFIED, *options])
    assert shown.exit_code == 0
    assert "LIML (kappa = " in shown.stdout
    checked = CliRunner().invoke(app, ["check", OVERIDENTIFIED, *options, "--json"])
    assert checked.exit_code == 0
    tree = json.loads(checked.stdout)
    assert tree["question"]["method"] == "liml"
    assert "kappa" in {row["quantity"] for row in tree["comparisons"]}
    refused = CliRunner().invoke(app, ["fit", OVERIDENTIFIED, *options[:-1], "gmm"])
    assert refused.exit_code == 2
    assert "method='gmm'" in refused.stderr


def test_files_of_questions_take_a_method(tmp_path: Path) -> None:
    path = tmp_path / "q.toml"
    entry = '[[question]]\nname = "{0}"\nformula = "{1}"\ndata = "kmenta"\nmethod = "{0}"\n'
    path.write_text(entry.format("liml", "Q ~ P + D | D + F + A"), encoding="utf-8")
    (question,) = load_questions(path)
    assert question.method == "liml"
    for method, formula, word in (("gmm", "Q ~ P | D", "gmm"), ("liml", "Q ~ D", "endogenous")):
        path.write_text(entry.format(method, formula), encoding="utf-8")
        with pytest.raises(ivbridge.DataError, match=rf"q\.toml: question 1 .*: method: .*{word}"):
            load_questions(path)


# --- both engines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["liml", "fuller(1)"])
@pytest.mark.parametrize("case", WITH_ENDOG, ids=lambda case: case.name)
def test_questions(case: Case, method: str) -> None:
    agreement = ivbridge.crosscheck(case.formula, DATA, ["HC1"], method=method, **case.options)
    agreement.assert_ok()
    quantities = {(gap.quantity, gap.term) for gap in agreement.gaps}
    assert {("kappa", ""), ("sigma", ""), ("resid", "")} <= quantities
    restrictions = agreement.comparisons[0].reference.tests["anderson_rubin"]
    assert (("test statistic", "anderson_rubin") in quantities) == isinstance(restrictions, ivbridge.Test)


VCOVS = (
    "classical", "HC0", "HC1", "cluster(g)", "cluster(g, h, type=HC1)", "cluster(g, type=HC0, cadjust=False)", "nw",
    "nw(2, prewhite=0)", "andrews(kernel=Parzen)", "dk(unit, t)", "bekker", "bekker(cse=True)",
)  # fmt: skip


@pytest.mark.parametrize("weights", [None, "wt"])
@pytest.mark.parametrize("vcov", VCOVS)
def test_vcovs(vcov: str, weights: str | None) -> None:
    ivbridge.crosscheck(RICH, DATA, [vcov], method="liml", weights=weights).assert_ok()
    ivbridge.crosscheck(OVERIDENTIFIED, DATA, [vcov], method="fuller(2)", weights=weights, inference="z").assert_ok()


def test_default_vcovs_are_those_that_liml_has() -> None:
    agreement = ivbridge.crosscheck(OVERIDENTIFIED, DATA, method="liml")
    agreement.assert_ok()
    assert [c.vcov for c in agreement.comparisons] == ["classical", "HC0", "HC1"]


def test_a_wrong_kappa_would_be_noticed() -> None:
    one, two = (ivbridge.fit(OVERIDENTIFIED, DATA, "HC1", name, method="liml") for name in ("r", "native"))
    assert ivbridge.agree(one, two).verdict == "rounding"
    for kappa in (two.kappa * (1 + 1e-9), None):
        comparison = ivbridge.agree(one, dataclasses.replace(two, kappa=kappa))
        assert comparison.verdict == "substantive"
        assert [gap.quantity for gap in comparison.gaps if not gap.ok] == ["kappa"]
    two_stage = ivbridge.fit(OVERIDENTIFIED, DATA, "HC1")
    comparison = ivbridge.agree(one, two_stage)
    assert comparison.verdict == "convention"
    assert "two-stage least squares" in comparison.reason


REFUSED = (
    ("HC3", "liml", "UnsupportedError", "no definition"), ("bootstrap", "liml", "UnsupportedError", "no definition"),
    ("pc(unit, t)", "fuller(1)", "UnsupportedError", "no definition"), ("bekker", "2sls", "UnsupportedError", "liml"),
)  # fmt: skip


@pytest.mark.parametrize(("vcov", "method", "kind", "word"), REFUSED)
def test_what_has_no_definition_gets_one_answer(vcov: str, method: str, kind: str, word: str) -> None:
    errors = set()
    for name in ENGINES:
        with pytest.raises(IvbridgeError) as caught:
            ivbridge.fit(OVERIDENTIFIED, DATA, vcov, name, method=method)
        errors.add((type(caught.value).__name__, str(caught.value)))
    ((found, text),) = errors
    assert found == kind
    assert word in text


@pytest.mark.parametrize(("data", "formula", "word"), [
    (DATA.head(8), "y ~ x1 + w1 | w1 + z1 + z2 + z3 + u + o", "more rows"),
    (DATA.assign(copy=DATA.x1), "y ~ x1 + w1 | w1 + copy + z1", "x1"),
    (DATA.assign(copy=DATA.y), "y ~ x1 + w1 | w1 + copy + z1", "dependent"),
])  # fmt: skip
def test_undefined_liml_gets_one_answer(data: pd.DataFrame, formula: str, word: str) -> None:
    texts = set()
    for name in ENGINES:
        with pytest.raises(ivbridge.DesignError) as caught:
            ivbridge.fit(formula, data, "HC1", name, method="liml")
        texts.add(str(caught.value))
    assert len(texts) == 1
    assert word in texts.pop()


@pytest.mark.slow
def test_angrist_and_krueger() -> None:
    """30 instruments, 329,509 rows: .0928764165 (.0177444), κ 1.0000770730, by linear algebra of our own in plain R."""
    formula = "lwage ~ education + factor(yob) | factor(yob) + factor(yob):factor(qob)"
    agreement = ivbridge.crosscheck(formula, ivbridge.load("ak80"), ["classical"], method="liml")
    agreement.assert_ok()
    for estimate in (agreement.comparisons[0].reference, agreement.comparisons[0].candidate):
        assert f"{estimate.params['education']:.10f}" == "0.0928764165"
        assert f"{estimate.bse['education']:.7f}" == "0.0177444"
        assert f"{estimate.kappa:.10f}" == "1.0000770730"


# --- theorems --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_exactly_identified_liml_is_two_stage_least_squares(engine: str) -> None:
    formula = "y ~ x1 + x2 + w1 | w1 + z1 + z2"
    two, liml = (ivbridge.fit(formula, DATA, "HC1", engine, method=method) for method in ("2sls", "liml"))
    assert liml.kappa == pytest.approx(1, abs=1e-13)  # an eigenvalue of a 3 × 3 matrix of order one
    np.testing.assert_allclose(liml.params, two.params, rtol=RTOL)
    np.testing.assert_allclose(liml.bse, two.bse, rtol=RTOL)
    assert isinstance(liml.tests["anderson_rubin"], ivbridge.NotApplicable)


@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_rotating_instruments_changes_nothing(seed: int) -> None:
    data = frame(60, seed)
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    turned = data.assign(**dict(zip(("z1", "z2", "z3"), (data[["z1", "z2", "z3"]] @ turn).to_numpy().T, strict=True)))
    one, two = (ivbridge.fit(OVERIDENTIFIED, d, "bekker(cse=True)", method="liml") for d in (data, turned))
    assert one.kappa == pytest.approx(two.kappa, rel=1e-11)
    np.testing.assert_allclose(one.params, two.params, rtol=RTOL, atol=RTOL * one.bse.max())
    np.testing.assert_allclose(one.bse, two.bse, rtol=RTOL)


@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_liml_does_not_depend_on_the_normalisation(seed: int) -> None:
    """Exchanging y and x inverts the coefficient, which 2SLS does not do."""
    data = frame(60, seed)
    one = ivbridge.fit("y ~ x1 + w1 | w1 + z1 + z2 + z3", data, "HC0", method="liml")
    two = ivbridge.fit("x1 ~ y + w1 | w1 + z1 + z2 + z3", data, "HC0", method="liml")
    assert one.kappa == pytest.approx(two.kappa, rel=1e-11)
    # the condition number of the second model grows like 1/|β|
    beta = one.params["x1"]
    assert two.params["y"] * beta == pytest.approx(1, rel=1e-7 * (1 + 1 / beta**2))


@settings(deadline=None, max_examples=15)
@given(SEEDS)
def test_kappa_minimises_the_variance_ratio(seed: int) -> None:
    """κ is the ratio of explained sums of squares at LIML's coefficient, and no other coefficient has a smaller one."""
    data = frame(60, seed)
    estimate = ivbridge.fit(OVERIDENTIFIED, data, "HC0", method="liml")
    seen = estimate.seen
    x, z = seen.x[:, [name in seen.z_names for name in seen.x_names]], seen.z

    def ratio(beta: float) -> float:
        e = seen.y - beta * data.x1.to_numpy()
        return float(_rss(e, x) / _rss(e, z))

    beta = estimate.params["x1"]
    assert ratio(beta) == pytest.approx(estimate.kappa, rel=1e-12)
    assert min(ratio(beta - 0.01), ratio(beta + 0.01)) > estimate.kappa


def _rss(y: np.ndarray, x: np.ndarray) -> float:
    e = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    return float(e @ e)


@settings(deadline=None, max_examples=15)
@given(SEEDS, st.floats(0.1, 5))
def test_fuller_takes_a_over_n_minus_l_off(seed: int, a: float) -> None:
    data = frame(60, seed)
    liml, fuller = (ivbridge.fit(RICH, data, "HC0", method=method) for method in (LIML(), Fuller(a)))
    assert fuller.kappa == pytest.approx(liml.kappa - a / (60 - 5), rel=1e-13)
    assert fuller.tests["anderson_rubin"].statistic == pytest.approx(liml.tests["anderson_rubin"].statistic, rel=1e-9)


@pytest.mark.parametrize("weights", [None, "wt"])
@pytest.mark.parametrize("method", ["liml", "fuller(1)"])
def test_our_k_class_equals_linearmodels(method: str, weights: str | None) -> None:
    """The engine takes coefficients and κ from linearmodels; bounds and Bekker's formula rest on our own."""
    estimate = ivbridge.fit(RICH, DATA, "classical", method=method, weights=weights)
    model = estimated(estimate.seen, parse_method(method))
    np.testing.assert_allclose(model.coef, estimate.coefs.estimate, rtol=1e-10)
    assert model.k_class is not None
    assert model.k_class.kappa == pytest.approx(estimate.kappa, rel=1e-12)
    np.testing.assert_allclose(model.sigma**2 * model.bread, estimate.cov, rtol=1e-9, atol=1e-14)


def test_robust_scores_are_those_of_the_projected_regressors() -> None:
    """Not of the k-class regressors X − κMX, which some programs take."""
    estimate = ivbridge.fit(OVERIDENTIFIED, DATA, "HC0", method="liml")
    seen = estimate.seen
    m = np.eye(60) - seen.z @ np.linalg.pinv(seen.z)
    gram = seen.x.T @ (np.eye(60) - estimate.kappa * m) @ seen.x
    for regressors, same in ((seen.x - m @ seen.x, True), (seen.x - estimate.kappa * m @ seen.x, False)):
        scores = regressors * estimate.residuals[:, None]
        cov = np.linalg.inv(gram) @ scores.T @ scores @ np.linalg.inv(gram)
        assert np.allclose(cov, estimate.cov, rtol=1e-9, atol=0) is same


# --- Bekker ----------------------------------------------------------------------------------------------------------


def test_bekker_is_the_published_formula() -> None:
    """Hansen, Hausman & Newey (2008), with n × n matrices written out as there."""
    estimate = ivbridge.fit(RICH, DATA, "bekker(cse=True)", method="fuller(1)")
    plain = ivbridge.fit(RICH, DATA, "bekker", method="fuller(1)")
    x, z, u = estimate.seen.x, estimate.seen.z, estimate.residuals
    n, g, k = len(u), x.shape[1], z.shape[1]
    p = z @ np.linalg.inv(z.T @ z) @ z.T
    s2, alpha = u @ u / (n - g), u @ p @ u / (u @ u)
    tilde = x - np.outer(u, u @ x) / (u @ u)
    v = tilde - p @ tilde
    h = np.linalg.inv(x.T @ p @ x - alpha * x.T @ x)
    sigma = s2 * ((1 - alpha) ** 2 * tilde.T @ p @ tilde + alpha**2 * tilde.T @ (np.eye(n) - p) @ tilde)
    np.testing.assert_allclose(plain.cov, h @ sigma @ h, rtol=1e-9, atol=1e-14)
    kappa, tau = float(np.sum(np.diag(p) ** 2) / k), k / n
    a = sum((p[t, t] - tau) * np.outer((p @ x)[t], u**2 @ v / n) for t in range(n))
    b = sum((u[t] ** 2 - s2) * np.outer(v[t], v[t]) for t in range(n))
    sigma = sigma + a + a.T + b * k * (kappa - tau) / (n * (1 - 2 * tau + kappa * tau))
    np.testing.assert_allclose(estimate.cov, h @ sigma @ h, rtol=1e-9, atol=1e-14)


def test_bekker_leaves_the_first_stage_classical() -> None:
    for name in ENGINES:
        bekker, classical = (
            ivbridge.fit(OVERIDENTIFIED, DATA, v, name, method="liml") for v in ("bekker", "classical")
        )
        assert bekker.tests["weak_instruments:x1"] == classical.tests["weak_instruments:x1"]
        assert bekker.tests["wu_hausman"] == classical.tests["wu_hausman"]
        np.testing.assert_array_equal(bekker.first_stages[0].cov, classical.first_stages[0].cov)
        assert bekker.bse["x1"] > classical.bse["x1"]


def _many(rng: np.random.Generator, n: int = 400, instruments: int = 120) -> Seen:
    """Many instruments of which each is weak; strong endogeneity; normal, homoskedastic errors; β = 1."""
    z = rng.normal(size=(n, instruments))
    u, v = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=n).T
    x = z.sum(axis=1) * np.sqrt(0.5 / instruments) + v
    names = tuple(f"z{j}" for j in range(instruments))
    one = np.ones(n)
    return Seen(np.arange(n), ("(Intercept)", "x"), ("(Intercept)", *names), y=x + u, x=np.column_stack([one, x]),
                z=np.column_stack([one, z]))  # fmt: skip


def _shares(seens: Iterable[Seen], beta: float, vcovs: Sequence[str]) -> dict[str, float]:
    """Shares of 95 % intervals (normal quantile) of LIML that hold the coefficient of the second regressor."""
    covered = {vcov: [] for vcov in vcovs}
    for seen in seens:
        model = estimated(seen, LIML())
        for vcov, found in covered.items():
            error = np.sqrt(covariance(model, parse_vcov(vcov), {})[1, 1])
            found.append(abs(model.coef[1] - beta) <= 1.959964 * error)
    return {vcov: float(np.mean(found)) for vcov, found in covered.items()}


@pytest.mark.slow
def test_bekker_covers_with_many_instruments() -> None:
    """1000 draws: a share of 95 % has a standard error of 0.7 points; the classical one falls short by many."""
    rng = np.random.default_rng(2008)
    share = _shares((_many(rng) for _ in range(1000)), 1.0, ("classical", "bekker", "bekker(cse=True)"))
    assert 0.93 < share["bekker"] < 0.97
    assert 0.93 < share["bekker(cse=True)"] < 0.97
    assert share["classical"] < 0.92


def _of_the_post(seed: int) -> Seen:
    """The second world of the post, its 480 valid tests as instruments; β = 2."""
    draw = SCENARIOS["post-b"].draw(seed=seed)
    one, frame = np.ones(len(draw.frame)), draw.frame
    return Seen(np.arange(len(frame)), ("(Intercept)", "X"), ("(Intercept)", *draw.valid), y=frame["Y"].to_numpy(),
                x=np.column_stack([one, frame["X"]]), z=np.column_stack([one, frame[list(draw.valid)]]))  # fmt: skip


@pytest.mark.slow
def test_bekker_covers_in_the_world_of_the_post() -> None:
    """150 draws: a share of 95 % has a standard error of 1.8 points; HC0, which reuses fitted noise, covers always."""
    share = _shares((_of_the_post(seed) for seed in range(1, 151)), 2.0, ("HC0", "bekker"))
    assert 0.90 < share["bekker"] < 0.99
    assert share["HC0"] > 0.985


# --- by hand ---------------------------------------------------------------------------------------------------------


def test_kclass_script_runs_alone(tmp_path: Path) -> None:
    DATA.drop(columns=["day"]).to_csv(tmp_path / "data.csv", index=False)
    arguments = ["--data", str(tmp_path / "data.csv"), "--formula", OVERIDENTIFIED, "--fuller", "1", "--vcov", "HC1"]
    done = subprocess.run(
        ["Rscript", "--vanilla", str(scripts_dir() / "kclass.R"), *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line and not line.startswith(" ")}
    estimate = ivbridge.fit(OVERIDENTIFIED, DATA, "HC1", "r", method="fuller(1)")
    assert float(rows["x1"][0]) == pytest.approx(estimate.params["x1"], rel=1e-12)  # fifteen printed digits
    assert float(rows["x1"][1]) == pytest.approx(estimate.bse["x1"], rel=1e-12)
    assert float(rows["kappa"][0]) == pytest.approx(estimate.kappa, rel=1e-12)


@pytest.mark.parametrize("vcov", ["classical", "HC1", "cluster(g, type=HC1)", "bekker"])
def test_pasted_r_gives_the_same_numbers(vcov: str, tmp_path: Path) -> None:
    DATA.drop(columns=["day"]).to_csv(tmp_path / "data.csv", index=False)
    estimate = ivbridge.fit(OVERIDENTIFIED, DATA, vcov, "r", method="fuller(2)")
    calls = "\n".join(estimate.provenance.calls).replace("kclass.R", str(scripts_dir() / "kclass.R"), 1)
    code = f"data <- read.csv('{tmp_path}/data.csv')\n" + calls.replace("coeftest(", "table <- coeftest(", 1)
    shown = "\ncat(sprintf('%.17g', c(table[, 2], fit$kappa)), '\\n')"
    done = subprocess.run(
        ["Rscript", "--vanilla", "-e", code + shown], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    *errors, kappa = map(float, done.stdout.splitlines()[-1].split())
    np.testing.assert_allclose(errors, estimate.bse, rtol=1e-11)  # a csv round trip at 17 digits
    assert kappa == pytest.approx(estimate.kappa, rel=1e-12)


@pytest.mark.parametrize("vcov", ["classical", "HC0", "cluster(g, type=HC1)", "bekker"])
def test_pasted_python_gives_the_same_numbers(vcov: str) -> None:
    estimate = ivbridge.fit(OVERIDENTIFIED, DATA, vcov, method="fuller(2)")
    scope: dict[str, object] = {"data": frame()}
    *setup, last = estimate.provenance.calls
    with contextlib.redirect_stdout(io.StringIO()):
        exec("\n".join([*setup, f"result = {last}"]), scope)
    result = scope["result"]
    errors = np.sort(np.asarray(getattr(result, "std_errors", getattr(result, "bse", None)), dtype=float))
    np.testing.assert_allclose(errors, np.sort(estimate.coefs.std_error), rtol=1e-10)
