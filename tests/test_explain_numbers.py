"""Bare numbers: how they are read, which convention they follow; the table of programs' defaults, measured."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import ivbridge
from ivbridge.api import design_for
from ivbridge.cli import app
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.explainer.defaults import default_named, defaults
from ivbridge.explainer.numbers import _windows
from ivbridge.explainer.typed import KINDS, observed

FORMULA = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
TERMS = ("(Intercept)", "log(rprice)", "log(rincome)")
ENDOG = ("log(rprice)",)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    return ivbridge.load("cigarettes_sw").frame


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "half"),
    [("0.1522", 0.1522, 5e-5), ("0.1520", 0.152, 5e-5), (0.152, 0.152, 5e-4), ("1.5e-3", 0.0015, 5e-5), ("−2", -2, 0.5),
     ("+.50", 0.5, 5e-3), ("1e2", 100.0, 50.0), (12, 12.0, 0.5), (np.float64(0.25), 0.25, 5e-3)],
)  # fmt: skip
def test_a_typed_number_keeps_its_digits(text: object, value: float, half: float) -> None:
    seen = observed({"t": {"log(rprice)": text}}, TERMS, ENDOG, "the paper")  # type: ignore[dict-item]
    key = ("statistic", "log(rprice)")
    assert seen.values == {key: value}
    assert seen.within[key] == pytest.approx(half, rel=1e-12)


@pytest.mark.parametrize(
    "text", ["", "abc", "0,15", "<0.001", "5%", "0.15**", "nan", "inf", "1e999999999", "0x10", "1_000"]
)
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="is not a number"):
        observed({"p": {"log(rprice)": text}}, TERMS, ENDOG, "the paper")


def test_names_of_terms_may_be_spelled_otherwise() -> None:
    seen = observed({"coef": {"np.log( rprice )": 1, "const": 2}}, TERMS, ENDOG, "the paper")
    assert set(seen.values) == {("estimate", "log(rprice)"), ("estimate", "(Intercept)")}
    with pytest.raises(DataError, match=r"no term 'price'.*log\(rprice\)"):
        observed({"coef": {"price": 1}}, TERMS, ENDOG, "the paper")
    with pytest.raises(DataError, match="no kind"):
        observed({"standard error": 1}, TERMS, ENDOG, "the paper")
    with pytest.raises(DataError, match="no number to explain"):
        observed({}, TERMS, ENDOG, "the paper")
    with pytest.raises(DataError, match="names no term"):
        observed({"se": "0.1"}, TERMS, ENDOG, "the paper")
    with pytest.raises(DataError, match="one number"):
        observed({"sargan": {"log(rprice)": 1}}, TERMS, ENDOG, "the paper")


def test_intervals_and_tests_have_keys_of_their_own() -> None:
    seen = observed(
        {"ci": {"log(rprice)": "[-1.53, -0.931]"}, "f": "150.6", "sargan": "0.018", "n": 96}, TERMS, ENDOG, "the paper"
    )
    assert seen.values == {
        ("conf.low", "log(rprice)"): -1.53,
        ("conf.high", "log(rprice)"): -0.931,
        ("test statistic", "weak_instruments:log(rprice)"): 150.6,
        ("test statistic", "sargan"): 0.018,
        ("n", ""): 96.0,
    }
    assert seen.within["n", ""] == 0
    with pytest.raises(DataError, match="not an interval"):
        observed({"ci": {"log(rprice)": "0.02"}}, TERMS, ENDOG, "the paper")


# --- explaining ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("se", "key", "program"),
    [("0.1522", "vcov.HC0", "Stata's robust without small"), ("0.1546", "vcov.HC1", "linearmodels' fit(debiased=True)"),
     ("0.1606", "vcov.HC3", "coeftest(fit, vcov. = vcovHC)")],
)  # fmt: skip
def test_a_standard_error_is_traced_to_its_program(data: pd.DataFrame, se: str, key: str, program: str) -> None:
    found = ivbridge.explain_numbers(FORMULA, data, {"se": {"log(rprice)": se}})
    assert found.verdict == "convention"
    assert [step.key for step in found.steps] == [key]
    assert program in found.reason
    assert se.rstrip("0") in found.reason


def test_a_number_as_asked_needs_no_convention(data: pd.DataFrame) -> None:
    found = ivbridge.explain_numbers(FORMULA, data, {"se": {"log(rprice)": "0.1552"}, "n": 96})
    assert (found.verdict, found.steps) == ("rounding", ())
    assert "AER's summary()" in found.reason
    asked = ivbridge.explain_numbers(FORMULA, data, {"se": {"log(rprice)": "0.1546"}}, vcov="HC1")
    assert asked.verdict == "rounding"


def test_a_wrong_number_is_not_explained(data: pd.DataFrame) -> None:
    right = ivbridge.fit(FORMULA, data, vcov="HC1")
    typed = {kind: {t: f"{v:.7g}" for t, v in zip(right.terms, values, strict=True)}
             for kind, values in (("coef", right.coefs.estimate), ("se", right.coefs.std_error))}  # fmt: skip
    assert ivbridge.explain_numbers(FORMULA, data, typed).verdict == "convention"
    wrong = {**typed, "se": {**typed["se"], "log(rprice)": f"{right.bse['log(rprice)'] * 1.0003:.7g}"}}
    found = ivbridge.explain_numbers(FORMULA, data, wrong)
    assert found.verdict == "none"
    assert not found.ok


# --- defaults --------------------------------------------------------------------------------------------------------


def _table(name: str, data: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    estimate = default_named(name).answer(design_for(FORMULA, data))
    order = [estimate.terms.index(term) for term in TERMS]
    return estimate.coefs.std_error[order], estimate.coefs.p_value[order]


def _python_programs(data: pd.DataFrame) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Standard errors and p-values of intercept, price and income as each package prints them."""
    import pyfixest
    from linearmodels.iv import IV2SLS
    from statsmodels.sandbox.regression import gmm

    d = data.assign(one=1.0, y=np.log(data.packs), p=np.log(data.rprice), i=np.log(data.rincome))
    model = IV2SLS(d.y, d[["one", "i"]], d.p, d[["tdiff", "rtax"]])
    found = {}
    for name, options in (
        ("linearmodels", {}), ("linearmodels, debiased", {"debiased": True}),
        ("linearmodels, unadjusted", {"cov_type": "unadjusted"}),
    ):  # fmt: skip
        fit = model.fit(**options)
        found[name] = fit.std_errors[["one", "p", "i"]].to_numpy(), fit.pvalues[["one", "p", "i"]].to_numpy()
    fit = gmm.IV2SLS(d.y, d[["one", "p", "i"]], d[["one", "i", "tdiff", "rtax"]]).fit()
    found["statsmodels"] = np.asarray(fit.bse), np.asarray(fit.pvalues)
    for name, options in (("pyfixest", {}), ("pyfixest, hetero", {"vcov": "hetero"})):
        fit = pyfixest.feols("y ~ i | p ~ tdiff + rtax", d, **options)
        order = ["Intercept", "p", "i"]
        found[name] = fit.se()[order].to_numpy(), fit.pvalue()[order].to_numpy()
    return found


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_python_programs_print_what_the_table_says(data: pd.DataFrame) -> None:
    for name, (errors, p_values) in _python_programs(data).items():
        said = _table(name, data)
        np.testing.assert_allclose(said[0], errors, rtol=1e-8, err_msg=name)
        np.testing.assert_allclose(said[1], p_values, rtol=1e-6, atol=1e-15, err_msg=name)  # 1 - F(x)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_ivmodels_has_the_normal_distribution(data: pd.DataFrame) -> None:
    import ivmodels

    p, i, y = (np.log(data[[c]]) for c in ("rprice", "rincome", "packs"))
    parts = {"X": p, "y": y["packs"], "Z": data[["tdiff", "rtax"]], "C": i}
    shown = ivmodels.KClass(kappa="tsls").fit(**parts).summary(**parts).coefficient_table_
    errors, p_values = _table("ivmodels", data)
    estimate = ivbridge.fit(FORMULA, data, vcov="classical").params[list(TERMS)].to_numpy()
    assert shown.feature_names == ["intercept", "rprice", "rincome"]
    np.testing.assert_allclose((estimate / errors) ** 2, shown.statistics, rtol=1e-8)
    np.testing.assert_allclose(p_values, shown.p_values, rtol=1e-6, atol=1e-15)  # 1 - F(x) has no digits below


def test_every_default_can_answer_and_is_found_by_its_names(data: pd.DataFrame) -> None:
    design = design_for(FORMULA, data)
    for name, entry in defaults().items():
        assert entry.source
        assert {default_named(alias.upper()).name for alias in (name, *entry.aliases)} == {name}
    answer = default_named("Stata").answer(design)
    classical = ivbridge.fit(FORMULA, data, vcov="classical")
    np.testing.assert_allclose(answer.coefs.std_error, classical.coefs.std_error * math.sqrt(93 / 96), rtol=1e-12)
    assert answer.engine == "Stata"
    with pytest.raises(UnsupportedError, match="linearmodels"):
        default_named("SAS")


# --- the command -----------------------------------------------------------------------------------------------------


def _run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["explain", *words])
    return result.exit_code, result.output


def test_two_programs_defaults_in_one_sentence() -> None:
    code, text = _run(FORMULA, "--data", "cigarettes_sw", "--reference", "statsmodels", "--candidate", "linearmodels")
    assert code == 0
    sentence = " ".join(text.split("\n\n")[0].split())
    assert all(word in sentence for word in ("statsmodels", "linearmodels", "HC0", "classical", "normal distribution"))
    assert "CONVENTION" in text


def test_numbers_on_the_command_line() -> None:
    code, text = _run(
        FORMULA, "-d", "cigarettes_sw", "--se", "log(rprice)=0.1522", "--coef", "log(rprice)=-1.229", "--json"
    )
    found = json.loads(text)
    assert code == 0
    assert found["verdict"] == "convention"
    assert found["steps"][0]["key"] == "vcov.HC0"
    assert found["compared"] == 2
    code, text = _run(FORMULA, "-d", "cigarettes_sw", "--se", "log(rprice)=0.15220001")
    assert code == 1
    assert "NONE" in text


def test_two_files(tmp_path: Path, data: pd.DataFrame) -> None:
    for name in ("HC0", "HC1"):
        (tmp_path / f"{name}.json").write_text(ivbridge.fit(FORMULA, data, vcov=name).to_json(), encoding="utf-8")
    code, text = _run(str(tmp_path / "HC0.json"), str(tmp_path / "HC1.json"), "-d", "cigarettes_sw")
    assert code == 0
    assert "HC1" in text
    code, text = _run(str(tmp_path / "HC0.json"), str(tmp_path / "none.json"), "-d", "cigarettes_sw")
    assert code == 2


@pytest.mark.parametrize(
    "words",
    [(FORMULA,), (FORMULA, "-d", "cigarettes_sw"), (FORMULA, "-d", "cigarettes_sw", "--se", "0.1"),
     (FORMULA, "-d", "cigarettes_sw", "--se", "x=1", "--candidate", "AER"), ("a.json", "b"), ("a", "b", "c"),
     ("a.json", "b.json", "--se", "x=1"), (FORMULA, "-d", "cigarettes_sw", "--candidate", "SAS"),
     (FORMULA, "-d", "cigarettes_sw", "--se", "price=0.1"),
     (FORMULA, "-d", "cigarettes_sw", "--se", "log(rprice)=abc")],
)  # fmt: skip
def test_what_cannot_be_asked_ends_with_two(words: tuple[str, ...]) -> None:
    assert _run(*words)[0] == 2


def test_every_kind_of_number_has_an_option() -> None:
    shown = CliRunner().invoke(app, ["explain", "--help"], env={"COLUMNS": "200"}).output
    assert all(f"--{kind.replace('_', '-')}" in shown for kind in KINDS if kind not in ("wald", "adj_r2"))


# --- chance ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["se", "t", "p"])
def test_wrong_numbers_of_few_digits_are_quickly_left_unexplained(data: pd.DataFrame, kind: str) -> None:
    right = ivbridge.fit(FORMULA, data, vcov="classical")
    column = {"se": right.bse, "t": right.tvalues, "p": right.pvalues}[kind]["log(rincome)"]
    draws = np.random.default_rng(5).uniform(0.7, 1.4, size=6)
    for digits, factor in zip((3, 4) * 3, draws, strict=True):
        start = time.process_time()
        found = ivbridge.explain_numbers(FORMULA, data, {kind: {"log(rincome)": f"{column * factor:.{digits}g}"}})
        assert found.verdict == "none" or "wrong numbers" in found.reason
        assert time.process_time() - start < 5  # a second on an idle machine; twenty when worlds were tried as well


def test_a_statistic_that_follows_from_a_standard_error_is_no_second_witness(data: pd.DataFrame) -> None:
    typed = observed({"se": {"log(rprice)": "0.1522"}, "t": {"log(rprice)": "-8.39"}}, TERMS, ENDOG, "the paper")
    alone = observed({"se": {"log(rprice)": "0.1522"}}, TERMS, ENDOG, "the paper")
    assert _windows(typed, {}) == _windows(alone, {})


def test_programs_are_named_only_for_tables_and_where_they_differ(data: pd.DataFrame) -> None:
    for numbers in (
        {"sargan": "0.018"},
        {"coef": {"log(rprice)": f"{ivbridge.fit(FORMULA, data, 'HC0').params['log(rprice)']:.5g}"}},
    ):
        found = ivbridge.explain_numbers(FORMULA, data, numbers)  # type: ignore[arg-type]
        assert found.verdict == "rounding"
        assert "systemfit" not in found.reason


def test_hc0_is_not_called_a_kernel_without_lags(data: pd.DataFrame) -> None:
    found = ivbridge.explain_numbers(FORMULA, data, {"se": {"log(rprice)": "0.1522"}})
    assert [step.key for step in found.steps] == ["vcov.HC0"]
    others = " ".join(step.text for group in found.alternatives for step in group)
    assert "lag 0" not in others
    assert "bandwidth 1," not in others


def test_a_mistake_is_called_one(data: pd.DataFrame) -> None:
    x = data.assign(fitted=ivbridge.fit("log(rprice) ~ log(rincome) + tdiff + rtax", data, "classical").resid)
    by_hand = ivbridge.fit(
        "log(packs) ~ log(hat) + log(rincome)", x.assign(hat=data.rprice * np.exp(-x.fitted)), "classical"
    )
    typed = {
        kind: {term.replace("hat", "rprice"): f"{value:.7g}" for term, value in zip(by_hand.terms, column, strict=True)}
        for kind, column in (("coef", by_hand.coefs.estimate), ("se", by_hand.coefs.std_error))
    }
    found = ivbridge.explain_numbers(FORMULA, data, typed)
    assert found.verdict == "convention"
    assert "no program does this on purpose" in found.reason


@pytest.mark.parametrize("numbers", [{"se": {"log(rprice)": "-0.15"}}, {"p": {"log(rprice)": "1.7"}}, {"n": "38.5"}])
def test_impossible_numbers_are_refused(numbers: dict[str, dict[str, str]]) -> None:
    with pytest.raises(DataError, match="cannot be right"):
        observed(numbers, TERMS, ENDOG, "the paper")
