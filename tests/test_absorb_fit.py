"""Engine fast with absorbed fixed effects against R and the native engine with dummies, pyfixest and linearmodels."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from absorb_cases import panel
from linearmodels.iv import AbsorbingLS

import ivbridge
from ivbridge.absorb.dummies import with_dummies
from ivbridge.records import FirstStage, Test
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec

#: Two programs' rounding: n = 600, condition of the dummies below 100.
ROUNDING = 1e-11

VCOVS = ("classical", "HC0", "HC1", "cluster(c)", "cluster(c, type=HC1)", "cluster(firm, year, type=HC1)",
         "cluster(c, type=HC1, cadjust=False)", "cluster(firm, year, multi0=True)")  # fmt: skip


def spec_of(formula: str, vcov: str, *, dof: str, weights: str | None = None, method: str = "2sls") -> IVSpec:
    spec = IVSpec.from_formula(formula, vcov=vcov, weights=weights, method=method, fixest=True)
    assert spec.absorb is not None
    return dataclasses.replace(spec, absorb=dataclasses.replace(spec.absorb, dof=dof))  # type: ignore[arg-type]


def same_tests(ours: Estimate, other: Estimate) -> None:
    for key, test in ours.tests.items():
        if key == "wald":  # with dummies it is a test of them, too
            continue
        assert type(test) is type(other.tests[key])
        if isinstance(test, Test):
            theirs: Any = other.tests[key]
            assert (test.df1, test.df2) == (theirs.df1, theirs.df2)
            np.testing.assert_allclose(test.statistic, theirs.statistic, rtol=1e-11)
            np.testing.assert_allclose(test.p_value, theirs.p_value, rtol=1e-10, atol=1e-14)


def same_stages(ours: tuple[FirstStage, ...], other: tuple[FirstStage, ...]) -> None:
    assert len(ours) == len(other)
    for one, two in zip(ours, other, strict=True):
        at = [two.coefs.terms.index(term) for term in one.coefs.terms]
        np.testing.assert_allclose(one.coefs.estimate, two.coefs.estimate[at], rtol=ROUNDING)
        np.testing.assert_allclose(one.coefs.std_error, two.coefs.std_error[at], rtol=ROUNDING)
        np.testing.assert_allclose(
            [one.r2, one.r2_adj, one.sigma, one.df_resid], [two.r2, two.r2_adj, two.sigma, two.df_resid], rtol=ROUNDING
        )


def same(ours: Estimate, other: Estimate) -> None:
    """Everything but what dummies add; counts must be the same."""
    terms = list(ours.terms)
    np.testing.assert_allclose(ours.params, other.params[terms], rtol=ROUNDING)
    theirs = other.cov_params().loc[terms, terms].to_numpy()
    scale = np.sqrt(np.abs(np.outer(np.diag(theirs), np.diag(theirs))))
    assert np.abs((ours.cov - theirs) / scale).max() < ROUNDING
    assert (ours.n, ours.df_resid) == (other.n, other.df_resid)
    table, whole = ours.tidy().set_index("term"), other.tidy().set_index("term").loc[terms]
    np.testing.assert_allclose(table.to_numpy(), whole.to_numpy(), rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose([ours.sigma, ours.r2, ours.r2_adj], [other.sigma, other.r2, other.r2_adj], rtol=ROUNDING)
    np.testing.assert_allclose(ours.residuals, other.residuals, atol=1e-12)
    np.testing.assert_allclose(ours.fitted, other.fitted, atol=1e-12)
    same_tests(ours, other)
    same_stages(ours.first_stages, other.first_stages)


@pytest.mark.parametrize("vcov", VCOVS)
@pytest.mark.parametrize("weights", [None, "wt"])
@pytest.mark.parametrize("method", ["2sls", "liml", "fuller(2)"])
def test_as_the_native_engine_with_dummies(method: str, weights: str | None, vcov: str) -> None:
    spec = spec_of("y ~ w + log(z^2) | firm + year | x ~ z + v", vcov, dof="exact", weights=weights, method=method)
    data = panel()
    same(ivbridge.fit(spec, data, engine="fast"), ivbridge.fit(with_dummies(spec), data))


@pytest.mark.parametrize("vcov", ["classical", "HC1", "cluster(c, type=HC1)"])
@pytest.mark.parametrize(
    ("formula", "weights"),
    [
        ("y ~ w + z | firm + year", None),  # R's lm with factor() terms
        ("y ~ w | firm + year + text | x ~ z + v", "wt"),
        ("y ~ w + factor(text) | firm | x ~ z:factor(text)", None),
    ],
)
def test_as_r_with_dummies(formula: str, weights: str | None, vcov: str) -> None:
    spec, data = spec_of(formula, vcov, dof="exact", weights=weights), panel()
    same(ivbridge.fit(spec, data, engine="fast"), ivbridge.fit(with_dummies(spec), data, engine="r"))


def pyfixest_fit(formula: str, data: pd.DataFrame, vcov: Any, weights: str | None, singletons: str, **ssc: Any) -> Any:
    import pyfixest

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it leaves singletons out
        return pyfixest.feols(
            formula, data, vcov=vcov, weights=weights, fixef_rm=singletons, ssc=pyfixest.ssc(**ssc),
            demeaner=pyfixest.MapDemeaner(fixef_tol=1e-13),
        )  # fmt: skip


@pytest.mark.parametrize(("kept", "theirs"), [("keep", "none"), ("drop", "singleton")])
@pytest.mark.parametrize("weights", [None, "wt"])
@pytest.mark.parametrize(
    "formula", ["y ~ w + z | firm + year", "y ~ w | firm + year | x ~ z + v", "y ~ w | firm^text | x ~ z"]
)
def test_as_pyfixest_by_default(formula: str, weights: str | None, kept: str, theirs: str) -> None:
    data = panel()
    spec = spec_of(formula, "HC1", dof="fixest", weights=weights)
    assert spec.absorb is not None
    spec = dataclasses.replace(spec, absorb=dataclasses.replace(spec.absorb, singletons=kept))  # type: ignore[arg-type]
    asked = {
        "classical": "iid",
        "HC1": "hetero",
        **{f"cluster({c}, type=HC1)": {"CRV1": c} for c in ("c", "firm", "year")},
    }
    for vcov, its in asked.items():
        ours = ivbridge.fit(spec, data, vcov, engine="fast")
        other = pyfixest_fit(formula, data, its, weights, theirs)
        terms = list(ours.terms)
        np.testing.assert_allclose(ours.params, other.coef()[terms], rtol=1e-10)  # what its demeaner leaves
        np.testing.assert_allclose(ours.bse, other.se()[terms], rtol=1e-10)
        assert ours.n == other._N
        if not ours.spec.endog:  # it has none with instruments
            assert ours.effects is not None and ours.effects.r2_within == pytest.approx(other._r2_within, rel=1e-10)


def test_two_way_clusters_as_pyfixest() -> None:
    formula, data = "y ~ w | firm | x ~ z", panel()
    conventional = pyfixest_fit(formula, data, {"CRV1": "c + year"}, None, "none", G_df="conventional")
    spec = spec_of(formula, "cluster(c, year, type=HC1)", dof="fixest")
    ours = ivbridge.fit(spec, data, engine="fast")
    np.testing.assert_allclose(ours.bse, conventional.se()[list(ours.terms)], rtol=1e-10)
    # its default has one factor G/(G − 1), of the smaller number of clusters, for all three parts
    plain = ivbridge.fit(spec, data, "cluster(c, year, type=HC1, cadjust=False)", engine="fast")
    smallest = min(data.c.nunique(), data.year.nunique())
    other = pyfixest_fit(formula, data, {"CRV1": "c + year"}, None, "none")
    np.testing.assert_allclose(plain.bse * np.sqrt(smallest / (smallest - 1)), other.se()[list(ours.terms)], rtol=1e-10)


@pytest.mark.parametrize("vcov", ["classical", "HC1"])
@pytest.mark.parametrize("weights", [None, "wt"])
def test_least_squares_as_linearmodels(weights: str | None, vcov: str) -> None:
    data = panel().dropna()
    effects = data[["firm", "year"]].astype("category")
    model = AbsorbingLS(data.y, data[["w", "z"]], absorb=effects, weights=None if weights is None else data[weights])
    other = model.fit(cov_type="unadjusted" if vcov == "classical" else "robust", debiased=True)
    # its n − k counts as if the graph had one component
    ours = ivbridge.fit(spec_of("y ~ w + z | firm + year", vcov, dof="fixest", weights=weights), data, engine="fast")
    np.testing.assert_allclose(ours.params, other.params[["w", "z"]], rtol=1e-7)  # its effects come from iteration
    np.testing.assert_allclose(ours.bse, other.std_errors[["w", "z"]], rtol=1e-7)


@pytest.mark.parametrize("rule", ["fixest", "reghdfe"])
def test_counts_change_only_factors(rule: str) -> None:
    data = panel()
    exact = ivbridge.fit(spec_of("y ~ w | firm + year | x ~ z", "HC1", dof="exact"), data, engine="fast")
    other = ivbridge.fit(spec_of("y ~ w | firm + year | x ~ z", "HC1", dof=rule), data, engine="fast")
    # the graph has two components: fixest counts as if it had one, reghdfe counts them
    assert other.df_resid == exact.df_resid - (rule == "fixest")
    np.testing.assert_allclose(other.bse, exact.bse * np.sqrt(exact.df_resid / other.df_resid), rtol=1e-13)


def test_reghdfe_counts_clusters() -> None:
    # reghdfe divides by n − k − (coefficients of factors that are not nested) − 1 where one is nested
    data = panel()
    ours = ivbridge.fit(
        spec_of("y ~ w | firm + year | x ~ z", "cluster(c, type=HC1)", dof="reghdfe"), data, engine="fast"
    )
    plain = ivbridge.fit(spec_of("y ~ w | firm + year | x ~ z", "cluster(c)", dof="reghdfe"), data, engine="fast")
    n, years = ours.n, data.year.nunique()
    np.testing.assert_allclose(ours.bse, plain.bse * np.sqrt((n - 1) / (n - 2 - years - 1)), rtol=1e-13)


def test_tables_of_other_packages_and_arrays_of_weights() -> None:
    import polars as pl

    data = panel().dropna()
    spec = spec_of("y ~ w | firm + text | x ~ z", "HC1", dof="fixest", weights="wt")
    ours = ivbridge.fit(spec, data, engine="fast")
    other = ivbridge.fit(spec, pl.from_pandas(data), engine="fast")
    assert np.array_equal(ours.cov, other.cov)
    given = ivbridge.fit(dataclasses.replace(spec, weights=None), data, weights=data.wt.to_numpy(), engine="fast")
    np.testing.assert_array_equal(given.cov, ours.cov)


def test_rows_in_any_order() -> None:
    data = panel()
    spec = spec_of("y ~ w | firm + year | x ~ z", "cluster(c)", dof="fixest")
    ours = ivbridge.fit(spec, data, engine="fast")
    other = ivbridge.fit(spec, data.sample(frac=1, random_state=1), engine="fast")
    np.testing.assert_allclose(other.cov, ours.cov, rtol=1e-12)
