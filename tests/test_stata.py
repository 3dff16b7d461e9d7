"""2SLS, LIML and Fuller against Stata: ``ivregress`` on hsng2 (10–12 printed digits), ``ivreg2`` on Card (16 digits).

How Stata's options map, measured here: ``small`` with no, robust and clustered variance are classical, HC1 and
cluster HC1 with t; without ``small`` they are classical × (n−k)/n, HC0 and cluster HC0 without cadjust, with z.
The GMM blocks of the hsng2 file wait for that estimator.
"""

from __future__ import annotations

import csv
import math
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest
from scipy import stats

import ivbridge
from ivbridge import weakiv
from ivbridge.api import design_for
from ivbridge.data import load
from ivbridge.records import NotApplicable, Test
from ivbridge.results import Estimate
from ivbridge.vcov import HC0, HC1, Classical, Clustered, T, Z

DATA = Path(__file__).parent / "data" / "stata"
ENGINES = ("r", "native")


def names(term: str) -> str:
    return "(Intercept)" if term == "_cons" else term


# --- ivregress, hsng2 ------------------------------------------------------------------------------------------------

HSNG2 = "rent ~ hsngval + pcturban | pcturban + faminc + factor(region)"
TERMS = ("hsngval", "pcturban", "_cons")
METHODS = ("2sls", "liml")
#: block → our vcov; "unadjusted-asymptotic" is the classical one × (n−k)/n
BLOCKS = {
    "unadjusted-small": Classical(),
    "robust-small": HC1(),
    "cluster-small": Clustered(by=("division",), type="HC1"),
    "unadjusted-asymptotic": Classical(),
    "robust-asymptotic": HC0(),
    "cluster-asymptotic": Clustered(by=("division",), type="HC0", cadjust=False),
}


@cache
def blocks() -> dict[str, dict[str, list[str]]]:
    """Name of a block → label → its numbers as text: ``term``, ``t term``, ``V term`` (a row), ``r2``, …"""
    text = (DATA / "stata_hsng2_results.txt").read_text(encoding="utf-8")
    parts = (part.partition("! ##########") for part in text.split("########## !")[1:])
    return {title: labelled(body) for title, _, body in parts if title.startswith(METHODS)}


def labelled(body: str) -> dict[str, list[str]]:
    results, _, variance = body.partition("********* Variance *************")
    found: dict[str, list[str]] = {}
    label = ""
    for fields in (line.split() for line in results.splitlines()):
        if len(fields) == 2:
            label = fields[0]
            found[label] = fields[1:]
        elif label and len(fields) == 1:
            found[f"t {label}"] = fields
    found |= {f"V {row[0]}": row[1:] for row in map(str.split, variance.splitlines()) if len(row) == 4}
    return found


@cache
def hsng2(block: str, engine: str, method: str) -> Estimate:
    inference = T() if block.endswith("small") else Z()
    return ivbridge.fit(
        HSNG2, data=load("hsng2").frame, vcov=BLOCKS[block], engine=engine, inference=inference, method=method
    )


def as_printed(value: float, text: str) -> bool:
    """Whether ``value`` is nearer to the printed number than to its neighbours with the same number of digits."""
    printed = Decimal(text)
    unit = Decimal(1).scaleb(int(printed.as_tuple().exponent))
    # half a unit of the last printed digit, and 1e-11 for the rounding of a model with condition number 6e5
    return abs(Decimal(value) - printed) <= unit / 2 + abs(printed) * Decimal("1e-11")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("method", METHODS)
def test_ivregress_on_hsng2(method, block, engine):
    lines, fit = blocks()[f"{method}-{block}"], hsng2(block, engine, method)
    n, k = fit.n, len(fit.terms)
    scale = (n - k) / n if block == "unadjusted-asymptotic" else 1.0
    wald = fit.tests["wald"]
    assert isinstance(wald, Test)
    rss = float(fit.residuals @ fit.residuals)
    expected = {
        "r2": fit.r2, "r2_a": fit.r2_adj, "rss": rss, "mss": rss * fit.r2 / (1 - fit.r2),
        "rmse": fit.sigma * (1.0 if block.endswith("small") else math.sqrt((n - k) / n)),
        "kappa": 1.0 if fit.kappa is None else fit.kappa,
    }  # fmt: skip
    if block.endswith("small"):
        # Stata's F of a clustered fit has G − 1 denominator degrees of freedom, here 9 divisions; R keeps n − k
        df2 = 8 if "cluster" in block else wald.df2
        expected |= {"F": wald.statistic, "p": float(stats.f.sf(wald.statistic, wald.df1, df2))}
    else:
        chi2 = wald.statistic / scale  # with s² = RSS/n the statistic is n/(n−k) times the classical one
        expected |= {"chi2": chi2, "p": float(stats.chi2.sf(chi2, wald.df1))}
    for term in TERMS:
        expected[term] = fit.params[names(term)]
        expected[f"t {term}"] = fit.params[names(term)] / (fit.bse[names(term)] * math.sqrt(scale))
    missed = {key: (lines[key], value) for key, value in expected.items() if not as_printed(value, lines[key][0])}
    cov = fit.cov_params()
    for row in TERMS:
        for column, text in zip(TERMS, lines[f"V {row}"], strict=True):
            value = cov.loc[names(row), names(column)] * scale
            if not as_printed(value, text):
                missed[f"V {row} {column}"] = (text, value)
    assert not missed, f"Stata, ivbridge: {missed}"


def test_the_blocks_were_read():
    assert set(blocks()) == {f"{method}-{block}" for method in METHODS for block in BLOCKS}
    for block, lines in blocks().items():
        test = "F" if block.endswith("small") else "chi2"
        of_terms = {f"{prefix}{term}" for term in TERMS for prefix in ("", "t ", "V ")}
        assert set(lines) == of_terms | {"r2", "r2_a", "p", "mss", "rss", "rmse", "kappa", test}


# --- ivreg2, Card ----------------------------------------------------------------------------------------------------

EXOG = "exper + expersq + black + south"
JUST_ID, OVERID = (f"lwage ~ educ + {EXOG} | {z} + {EXOG}" for z in ("nearc4", "nearc2 + nearc4"))
MODELS = {
    "just_id": (JUST_ID, None, "2sls"),
    "overid": (OVERID, None, "2sls"),
    "just_id_weighted": (JUST_ID, "weight", "2sls"),
    "liml_overid": (OVERID, None, "liml"),
    "liml_weighted": (OVERID, "weight", "liml"),
    "fuller1_overid": (OVERID, None, "fuller(1)"),
    "fuller4_overid": (OVERID, None, "fuller(4)"),
}
TWO_STAGE = ("just_id", "overid", "just_id_weighted")
OPTIONS = {
    "iid": Classical(),
    "iid_small": Classical(),
    "hc1": HC0(),
    "hc1_small": HC1(),
    "cl": Clustered(by=("smsa66",), type="HC0", cadjust=False),
    "cl_small": Clustered(by=("smsa66",), type="HC1"),
}
CARD = [
    (model, option, engine)
    for model in MODELS
    for option in OPTIONS
    if (DATA / "card" / f"card_{model}_coef_{option}.csv").is_file()
    for engine in ENGINES
]
# The data are exact (single precision). Largest relative gap measured over both engines: coefficients 4e-11, R² 4e-11,
# standard errors 2e-11. A margin of five for another BLAS.
EXACT = 2e-10
# Two clusters: the scores of each sum to nearly minus those of the other, and the small difference has 1.4e-10 with
# OpenBLAS's AVX2 kernels, 1.1e-9 with its AVX-512 kernels. A margin of five again.
CLUSTERED = 5e-9


def rows(model: str, kind: str, option: str) -> list[dict[str, str]]:
    with (DATA / "card" / f"card_{model}_{kind}_{option}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def card(model: str, option: str, engine: str) -> Estimate:
    formula, weights, method = MODELS[model]
    inference = T() if option.endswith("small") else Z()
    return ivbridge.fit(
        formula,
        data=load("card_stata").frame,
        vcov=OPTIONS[option],
        engine=engine,
        weights=weights,
        inference=inference,
        method=method,
    )


@pytest.mark.parametrize(("model", "option", "engine"), CARD, ids=["-".join(case) for case in CARD])
def test_ivreg2_coefficients_and_standard_errors(model, option, engine):
    fit = card(model, option, engine)
    scale = math.sqrt(fit.df_resid / fit.n) if option == "iid" else 1.0
    stata = rows(model, "coef", option)
    assert {names(row["term"]) for row in stata} == set(fit.terms)
    for row in stata:
        term = names(row["term"])
        assert fit.params[term] == pytest.approx(float(row["estimate"]), rel=EXACT)
        tolerance = CLUSTERED if option.startswith("cl") else EXACT
        assert fit.bse[term] * scale == pytest.approx(float(row["std_error"]), rel=tolerance)


@pytest.mark.parametrize(("model", "option", "engine"), CARD, ids=["-".join(case) for case in CARD])
def test_ivreg2_model_statistics(model, option, engine):
    fit = card(model, option, engine)
    (stata,) = rows(model, "diagnostics", option)
    n, k = fit.n, len(fit.terms)
    assert (n, k, len(fit.seen.z_names)) == (int(stata["N"]), int(stata["K"]), int(stata["L"]))
    # Stata scales aweights to sum to n; AER and linearmodels leave them, so sigma is √(mean weight) larger
    unit = math.sqrt(load("card_stata").frame.weight.mean()) if MODELS[model][1] else 1.0
    rmse = fit.sigma / unit * (1.0 if option.endswith("small") else math.sqrt((n - k) / n))
    assert fit.r2 == pytest.approx(float(stata["r2"]), rel=EXACT)
    assert fit.r2_adj == pytest.approx(float(stata["r2_a"]), rel=EXACT)
    assert rmse == pytest.approx(float(stata["rmse"]), rel=EXACT)
    assert fit.sigma**2 * (n - k) / unit**2 == pytest.approx(float(stata["rss"]), rel=EXACT)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", TWO_STAGE)
@pytest.mark.parametrize("option", ["iid_small", "hc1_small"])
def test_ivreg2_tests(model, option, engine):
    """First-stage F (widstat), model F, and for iid errors Sargan and Durbin's endogeneity test from Wu–Hausman."""
    fit = card(model, option, engine)
    (stata,) = rows(model, "diagnostics", option)
    weak, wald, wu_hausman, sargan = (
        fit.tests[key] for key in ("weak_instruments:educ", "wald", "wu_hausman", "sargan")
    )
    assert isinstance(weak, Test)
    assert isinstance(wald, Test)
    assert isinstance(wu_hausman, Test)
    assert weak.statistic == pytest.approx(float(stata["widstat"]), rel=EXACT)
    assert wald.statistic == pytest.approx(float(stata["F_stat"]), rel=EXACT)
    assert (wald.df1, wald.df2) == (float(stata["F_df1"]), float(stata["F_df2"]))
    assert wald.p_value == pytest.approx(float(stata["F_p"]), rel=1e-8)  # printed with 12 digits, ln p ≈ −190
    if option == "iid_small":
        if model == "overid":
            assert isinstance(sargan, Test)
            assert sargan.statistic == pytest.approx(float(stata["sargan"]), rel=EXACT)
            assert sargan.p_value == pytest.approx(float(stata["sarganp"]), rel=EXACT)
        else:
            assert isinstance(sargan, NotApplicable)
        df2 = wu_hausman.df2
        durbin = fit.n * wu_hausman.statistic / (wu_hausman.statistic + df2)
        assert durbin == pytest.approx(float(stata["estat"]), rel=EXACT)


K_CLASS = [case for case in CARD if case[0] not in TWO_STAGE]


@pytest.mark.parametrize(("model", "option", "engine"), K_CLASS, ids=["-".join(case) for case in K_CLASS])
def test_ivreg2_kappa_and_overidentification(model, option, engine):
    """κ, Anderson and Rubin's n·ln κ, and for iid errors Sargan; clustered fixtures leave its p-value out."""
    fit = card(model, option, engine)
    (stata,) = rows(model, "diagnostics", option)
    ratio, sargan = fit.tests["anderson_rubin"], fit.tests["sargan"]
    assert isinstance(ratio, Test)
    assert isinstance(sargan, Test)
    # measured 2e-14; κ − 1 is 6e-4, so that ln κ has 4e-11. A margin of five for another BLAS
    assert fit.kappa == pytest.approx(float(stata["kclass"]), rel=1e-13)
    assert ratio.statistic == pytest.approx(float(stata["arubin"]), rel=EXACT)
    if stata["arubinp"]:
        assert ratio.p_value == pytest.approx(float(stata["arubinp"]), rel=EXACT)
    if option.startswith("iid"):
        assert sargan.statistic == pytest.approx(float(stata["sargan"]), rel=EXACT)
        assert sargan.p_value == pytest.approx(float(stata["sarganp"]), rel=EXACT)


#: ivreg2's Anderson–Rubin Wald test of a zero coefficient: option → our inference and its columns
WALD = {"iid_small": ("t", "arf", "arfp"), "iid": ("z", "archi2", "archi2p"), "hc1_small": ("t", "arf", "arfp"),
        "hc1": ("z", "archi2", "archi2p")}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("model", ["just_id", "overid", "just_id_weighted"])
@pytest.mark.parametrize("option", WALD)
def test_ivreg2_anderson_rubin(model, option, engine):
    (stata,) = rows(model, "diagnostics", option)
    inference, statistic, p_value = WALD[option]
    formula, weights, _ = MODELS[model]
    design = design_for(formula, load("card_stata").frame, (OPTIONS[option],), weights, inference)
    found = weakiv.anderson_rubin(design, 0.0, engine=engine)
    # Stata's χ² of iid errors divides by n; ours by n − l, as R's vcov() does
    n, instruments = len(design.rows), len(design.z_names)
    scale = n / (n - instruments) if option == "iid" else 1.0
    assert found.statistic * scale == pytest.approx(float(stata[statistic]), rel=EXACT)
    if option != "iid":
        assert found.p_value == pytest.approx(float(stata[p_value]), rel=1e-8)  # ln p ≈ −30, printed with 12 digits


@pytest.mark.parametrize("engine", ENGINES)
def test_ivreg2_clustered_first_stage(engine):
    """Of the tests only the first-stage F is defined: two clusters give a covariance of rank 1 for 5 slopes."""
    fit = card("just_id_weighted", "cl_small", engine)
    (stata,) = rows("just_id_weighted", "diagnostics", "cl_small")
    weak = fit.tests["weak_instruments:educ"]
    assert isinstance(weak, Test)
    assert weak.statistic == pytest.approx(float(stata["widstat"]), rel=CLUSTERED)
    assert isinstance(fit.tests["wald"], NotApplicable)


def test_every_copied_fixture_is_used():
    used = {f"card_{model}_{kind}_{option}.csv" for model, option, _ in CARD for kind in ("coef", "diagnostics")}
    assert {path.name for path in (DATA / "card").iterdir()} == used
