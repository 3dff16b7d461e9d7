"""What an estimate shows: names people know, text like R's, and files that read back to the same bits."""

from __future__ import annotations

import dataclasses
import pickle
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ivbridge
from ivbridge.engines import ENGINES
from tests.cases import CASES, VCOVS, Case, frame

DATA = ivbridge.load("cigarettes_sw").frame
FORMULA = "log(packs) ~ log(rprice) + log(rincome) | log(rincome) + tdiff + rtax"
GLOSSARY = tomllib.loads((files("ivbridge") / "glossary.toml").read_text(encoding="utf-8"))["columns"]


@pytest.fixture(scope="module", params=sorted(ENGINES))
def estimate(request: pytest.FixtureRequest) -> ivbridge.Estimate:
    return ivbridge.fit(FORMULA, DATA, "HC1", request.param)


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, np.ndarray):
        bits = one.tobytes() == two.tobytes() or np.array_equal(one, two, equal_nan=True)  # the sign of a NaN may go
        return one.dtype == two.dtype and bits
    if dataclasses.is_dataclass(one) and not isinstance(one, type):
        skip = getattr(one, "json_skip", ())
        return type(one) is type(two) and all(
            _same(getattr(one, f.name), getattr(two, f.name)) for f in dataclasses.fields(one) if f.name not in skip
        )
    if isinstance(one, dict):
        return list(one) == list(two) and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, tuple):
        return len(one) == len(two) and all(map(_same, one, two))
    return bool(one == two or (one != one and two != two))


@pytest.mark.parametrize(
    "vcov", ["classical", "cluster(g, h, type=HC1)", "bootstrap(R=20, seed=3)", "nw(2, order_by=o)"]
)
@pytest.mark.parametrize("inference", ["t", "t(7)", "z"])
def test_json_round_trip_is_exact(vcov: str, inference: str) -> None:
    one = ivbridge.fit("y ~ x1 + g | g + z1 + z2", frame(), vcov, inference=inference, weights="wt")
    two = ivbridge.Estimate.from_json(one.to_json())
    assert _same(one, two)
    assert two.to_json() == one.to_json()
    assert not two.seen.has_matrices


def test_json_of_something_else_is_refused() -> None:
    for text in ("nonsense", "{}", '{"format": "ivbridge/1", "type": "Agreement"}'):
        with pytest.raises(ivbridge.DataError):
            ivbridge.Estimate.from_json(text)


def test_pickle_keeps_everything(estimate: ivbridge.Estimate) -> None:
    copy = pickle.loads(pickle.dumps(estimate))
    assert _same(estimate, copy)
    assert _same(estimate.seen.x, copy.seen.x)
    assert ivbridge.agree(estimate, copy).verdict == "identical"


def test_every_column_is_in_the_glossary(estimate: ivbridge.Estimate) -> None:
    agreement = ivbridge.crosscheck(FORMULA, DATA, ["HC1"])
    for table in (estimate.tidy(), estimate.glance(), estimate.diagnostics(), agreement.to_frame(), agreement.ledger):
        assert set(table.columns) <= set(GLOSSARY), set(table.columns) - set(GLOSSARY)
    added = set(estimate.augment(DATA).columns) - set(DATA.columns)
    assert added == {".fitted", ".resid"} <= set(GLOSSARY)
    assert all(entry["meaning"] for entry in GLOSSARY.values())


def test_tidy_and_glance_have_brooms_names(estimate: ivbridge.Estimate) -> None:
    assert list(estimate.tidy().columns) == [
        "term",
        "estimate",
        "std.error",
        "statistic",
        "p.value",
        "conf.low",
        "conf.high",
    ]
    assert list(estimate.tidy(conf_int=False).columns)[-1] == "p.value"
    glance = estimate.glance()
    assert len(glance) == 1 and glance["nobs"].item() == 96
    assert glance["statistic.weakinst"].item() == pytest.approx(139.44, abs=0.005)  # R prints two decimals


def test_statsmodels_names(estimate: ivbridge.Estimate) -> None:
    assert estimate.params["log(rprice)"] == estimate.coefs.estimate[2]
    np.testing.assert_array_equal(estimate.bse, np.sqrt(np.diag(estimate.cov_params())))
    np.testing.assert_allclose(estimate.tvalues, estimate.params / estimate.bse, rtol=1e-15)
    np.testing.assert_allclose(estimate.resid + estimate.fittedvalues, np.log(DATA.packs), rtol=1e-15)
    assert (estimate.pvalues < 0.1).all()


def test_confidence_levels(estimate: ivbridge.Estimate) -> None:
    wide, usual, narrow = (estimate.conf_int(level) for level in (0.99, 0.95, 0.9))
    assert (wide["conf.low"] < usual["conf.low"]).all() and (usual["conf.low"] < narrow["conf.low"]).all()
    near = estimate.conf_int(0.95 + 1e-13)
    np.testing.assert_allclose(near, usual, rtol=1e-10)  # the quantile moves by 1e-12
    with pytest.raises(ivbridge.DataError, match="95"):
        estimate.conf_int(95)


def test_summary_reads_like_summary_ivreg(estimate: ivbridge.Estimate) -> None:
    text = estimate.summary()
    for piece in (
        "Residuals:", "Coefficients:", "Pr(>|t|)", "Signif. codes", "Diagnostic tests:", "Weak instruments",
        "Wu-Hausman", "Sargan", "on 93 degrees of freedom",
        "Multiple R-Squared: 0.5486", "Wald test: 49.16 on 2 and 93 DF",
        "<2e-16 ***", "log(rprice)  -1.22910    0.15459  -7.951",
    ):  # fmt: skip
        assert piece in text, piece
    assert "<table" in estimate._repr_html_() and "HC1" in repr(estimate)


def test_augment_keeps_the_rows_of_the_fit() -> None:
    data = frame()
    estimate = ivbridge.fit("y ~ x1 + gaps | gaps + z1", data, "HC1")
    kept = estimate.augment(data)
    assert list(kept.index) == list(data.index[data.gaps.notna()])
    np.testing.assert_allclose(kept.y - kept[".fitted"], kept[".resid"], atol=1e-14)
    with pytest.raises(ivbridge.DataError, match="10 rows"):
        estimate.augment(data.head(10))


@pytest.mark.parametrize("case", [case for case in CASES if "near" not in case.name], ids=lambda case: case.name)
def test_every_summary_prints(case: Case) -> None:
    estimate = ivbridge.fit(case.formula, frame(), "HC1", **case.options)
    assert estimate.summary().count("\n") > 12
    assert isinstance(estimate.glance(), pd.DataFrame)


@pytest.mark.parametrize("text", VCOVS)
def test_vcov_text_round_trip(text: str) -> None:
    vcov = ivbridge.parse_vcov(text)
    assert ivbridge.parse_vcov(str(vcov)) == vcov
    assert str(vcov) == text


@pytest.mark.parametrize(
    "text",
    [
        "HC7",
        "cluster",
        "cluster()",
        "nw(lags=2)",
        "dk(g)",
        "andrews(kernel=Box)",
        "cluster(g, type=HC5)",
        "HC1(3)",
        "a b",
        "",
    ],
)
def test_vcov_text_errors_say_what_there_is(text: str) -> None:
    with pytest.raises(ivbridge.UnsupportedError, match=r"Available|write"):
        ivbridge.parse_vcov(text)


@pytest.mark.parametrize("text", ["student", "t(0)", "t(-1)", "zz"])
def test_inference_text_errors(text: str) -> None:
    with pytest.raises(ivbridge.UnsupportedError):
        ivbridge.fit(FORMULA, DATA, "HC1", inference=text)


def test_agreement_draws_itself(tmp_path: Path) -> None:
    agreement = ivbridge.crosscheck(FORMULA, DATA, ["HC1"])
    assert agreement.to_html().startswith("<!DOCTYPE html>")
    assert "log(rprice)" in agreement.to_markdown()
    assert "\\begin{document}" in agreement.to_latex()
    assert "rounding" in agreement._repr_html_()
    agreement.write(tmp_path / "report.tex")
    assert (tmp_path / "report.tex").read_text(encoding="utf-8") == agreement.to_latex()


def test_errors_survive_pickling() -> None:
    error = ivbridge.DataError("asked for a", available="b", do="use b.")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) == "asked for a Available: b. Do this: use b."
    assert (copy.message, copy.available, copy.do) == (error.message, error.available, error.do)
