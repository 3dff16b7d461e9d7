"""Controls beside many candidate instruments: what is equal, what is not, and that both engines say the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ivbridge.api import fit
from ivbridge.errors import DataError, UnsupportedError
from ivbridge.linear import Basis
from ivbridge.selection.controls import first_stage_design
from ivbridge.selection.derive import blocks, residualised, shrinkage
from ivbridge.selection.design import build_lasso
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.question import ControlsBy, SelectionSpec, SelectOptions
from ivbridge.selection.records import LassoPath
from ivbridge.selection.select import select_instruments
from ivbridge.selection.spec import FoldColumn
from tests.selection_cases import ask_r, confounded

P, Q = 60, 8
CONTROLS, CANDIDATES = tuple(f"k{j}" for j in range(Q)), tuple(f"m{j}" for j in range(P))
WAYS: tuple[ControlsBy, ...] = ("forced", "residualised", "outcome", "double", "union")
LAMBDAS = np.geomspace(0.5, 0.005, 30)


def _path(
    way: ControlsBy, engine: str, *, standardize: bool, threshold: float, weights: str | None = None
) -> LassoPath:
    """Solutions for the candidates at one sequence of λ, in the units of the residualised problem."""
    data = confounded().assign(w=np.random.default_rng(3).uniform(0.5, 2, 500))
    options = SelectOptions(engine, standardize=standardize, threshold=threshold, controls_by=way, weights=weights)
    question = SelectionSpec("y", "x", CANDIDATES, CONTROLS, options=options)
    design = first_stage_design(question, CONTROLS, data)
    # glmnet's factors sum to the number of columns: q zeros make each of the p others (p + q)/p
    path = lasso_engine(engine).path(design, LAMBDAS * (P / (P + Q) if way == "forced" else 1))
    return replace(path, coefs=path.coefs[:, -P:])


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("engine", ["native", "r"])
def test_forced_controls_are_residualised_controls(engine: str, weights: str | None) -> None:
    """Frisch–Waugh–Lovell: exact without standardisation; what is left is where coordinate descent stops."""
    gaps = []
    for threshold in (1e-14, 1e-20):
        forced, apart = (
            _path(way, engine, standardize=False, threshold=threshold, weights=weights).coefs
            for way in ("forced", "residualised")
        )
        gaps.append(np.abs(forced - apart).max())
    assert ((forced != 0) == (apart != 0)).all()
    # glmnet bounds the squared change of the fit: coefficients of size 1 are right to about √threshold times a constant
    # that the correlation of controls and candidates sets, here 10
    assert gaps[1] < 1e-8
    assert gaps[1] < gaps[0] / 100


def test_standardising_makes_them_differ() -> None:
    forced, apart = (
        _path(way, "native", standardize=True, threshold=1e-14).coefs for way in ("forced", "residualised")
    )
    assert np.abs(forced - apart).max() > 0.1
    assert ((forced != 0) != (apart != 0)).any()


@pytest.mark.parametrize("rule", ["1se", "min", "plugin"])
@pytest.mark.parametrize("way", WAYS)
def test_both_engines_choose_the_same(way: ControlsBy, rule: str) -> None:
    native, r = (
        select_instruments(
            confounded(), "y", "x", "m*", "k*", rule=rule, options=SelectOptions(engine, controls_by=way)
        )
        for engine in ("native", "r")
    )
    assert (native.selected, native.controls) == (r.selected, r.controls)
    assert native.selected
    # two-stage least squares of both engines; rounding of a well-conditioned problem
    assert native.estimate().params["x"] == pytest.approx(r.estimate(engine="r").params["x"], rel=1e-10)
    assert native.spec().exog == native.controls


@pytest.mark.parametrize("seed", [2, 7])
def test_a_user_of_r_finds_the_same(seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    code = """
    K <- as.matrix(d[, grep("^k", names(d))]); M <- as.matrix(d[, grep("^m", names(d))])
    kept <- function(x, y, keep, ...) {
      names <- chosen(cv.glmnet(x, y, foldid = d$fold, ...), "lambda.1se")
      names[names %in% keep]
    }
    free <- function(K) rep(0:1, c(ncol(K), ncol(M)))
    tell("forced", kept(cbind(K, M), d$x, colnames(M), penalty.factor = free(K)))
    tell("residualised", kept(resid(lm(M ~ K)), resid(lm(d$x ~ K)), colnames(M)))
    chosenY <- kept(cbind(x = d$x, K), d$y, colnames(K)); tell("outcome controls", chosenY)
    tell("outcome", kept(cbind(K[, chosenY], M), d$x, colnames(M), penalty.factor = free(K[, chosenY])))
    both <- union(kept(K, d$y, colnames(K)), kept(K, d$x, colnames(K)))
    Z <- kept(cbind(K[, both], M), d$x, colnames(M), penalty.factor = free(K[, both]))
    tell("double controls", sort(both)); tell("double", Z)
    tell("union controls", sort(Reduce(union, lapply(Z, function(z) kept(K, M[, z], colnames(K))), both)))
    tell("union", Z)
    """
    data = confounded(seed=seed)
    found = ask_r(data, code, tmp_path_factory.mktemp("r"))
    for way in WAYS:
        options = SelectOptions(folds=FoldColumn("fold"), controls_by=way)
        selection = select_instruments(data, "y", "x", "m*", "k*", options=options)
        assert list(selection.selected) == found[way], way
        assert list(selection.controls) == found.get(f"{way} controls", list(CONTROLS)), way
    if seed == 7:  # the ways differ, or the comparison would say little
        assert found["forced"] != found["residualised"]
    else:
        assert len({tuple(found[f"{way} controls"]) for way in ("outcome", "double", "union")}) == 3


@pytest.mark.parametrize("way", ["forced", "residualised"])
def test_the_estimate_is_the_residualised_estimate(way: ControlsBy) -> None:
    """2SLS with controls equals 2SLS of residuals, and so do HC0 standard errors."""
    data = confounded()
    selection = select_instruments(data, "y", "x", "m*", "k*", options=SelectOptions(controls_by=way))
    estimate = selection.estimate()
    take_out = Basis.of(np.column_stack([np.ones(len(data)), data[list(CONTROLS)]]), None)
    names = ["y", "x", *selection.selected]
    apart = pd.DataFrame({name: data[name] - take_out.matrix @ take_out.solve(data[name].to_numpy()) for name in names})
    short = fit(f"y ~ x - 1 | {' + '.join(selection.selected)} - 1", apart, "HC0")
    # rounding of a well-conditioned problem
    assert short.params["x"] == pytest.approx(estimate.params["x"], rel=1e-9)
    assert short.bse["x"] == pytest.approx(estimate.bse["x"], rel=1e-9)


def test_forced_controls_are_always_in() -> None:
    data = confounded().assign(k9=np.random.default_rng(7).normal(size=500))
    selection = select_instruments(data, "y", "x", "m*", "k*")
    assert selection.controls == (*CONTROLS, "k9") == selection.spec().exog
    path = selection.fits["instruments"].path
    assert (path.coefs[:, :9] != 0).all() and (path.coefs[0, 9:] == 0).all()
    assert not set(selection.controls) & set(selection.selected)


def test_the_plug_in_penalty_sees_forced_as_residualised() -> None:
    one, two = (
        select_instruments(confounded(), "y", "x", "m*", "k*", rule="plugin", options=SelectOptions(controls_by=way))
        for way in ("forced", "residualised")
    )
    assert one.selected == two.selected
    first, second = (s.steps.choices["instruments"].plugin for s in (one, two))
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.loadings, second.loadings)
    assert first.names == CANDIDATES


def test_outcome_misses_what_union_finds() -> None:
    """A control that moves the instruments, and y only a little: the post's option 2 leaves it out."""
    random = np.random.default_rng(11)
    data = confounded(seed=4)
    data["k8"] = random.normal(size=500)
    data["m0"] += 2 * data["k8"]
    data["y"] += 0.1 * data["k8"]
    chosen = {
        way: select_instruments(data, "y", "x", "m*", "k*", rule="plugin", options=SelectOptions(controls_by=way))
        for way in ("outcome", "double", "union")
    }
    assert "m0" in chosen["union"].selected
    assert "k8" not in chosen["outcome"].controls and "k8" not in chosen["double"].controls
    assert "k8" in chosen["union"].controls
    assert set(chosen["outcome"].controls) < set(chosen["union"].controls)
    step = chosen["outcome"].steps.choices["controls for the dependent"]
    assert "x" in step.names and "x" not in step.selected
    assert "'union' mends" in chosen["outcome"].explain()


def test_explanations() -> None:
    data = confounded()

    def explained(rule: str = "1se", **options: object) -> str:
        options_ = SelectOptions(**options)  # type: ignore[arg-type]
        return select_instruments(data, "y", "x", "m*", "k*", rule=rule, options=options_).explain()

    ratio = shrinkage(build_lasso(SelectOptions().lasso("x", CANDIDATES, CONTROLS), data))
    residuals = Basis.of(np.column_stack([np.ones(500), data[list(CONTROLS)]]), None)
    m = data[list(CANDIDATES)].to_numpy()
    expected = np.std(m - residuals.matrix @ residuals.solve(m), axis=0) / np.std(m, axis=0)
    np.testing.assert_allclose(ratio, expected, rtol=1e-10)
    assert f"to {expected.min():.2g}–{expected.max():.2g} of their size" in explained()
    assert "controls_by='residualised' can choose other instruments than 'forced'" in explained()
    assert "controls_by='forced' can choose other" in explained(controls_by="residualised")
    assert "λ 68/60 times as large" in explained(standardize=False)
    assert "chooses the same" in explained("plugin") and "chooses the same" in explained("crossfit(rule=plugin)")
    summary = select_instruments(data, "y", "x", "m*", "k*", options=SelectOptions(controls_by="union")).summary()
    assert "controls (union): k0" in summary and "selected instruments: " in summary


def test_controls_that_leave_nothing() -> None:
    data, options = confounded(), SelectOptions(controls_by="residualised")
    with pytest.raises(DataError, match="controls explain 'x' without error"):
        select_instruments(data.assign(k8=data["x"]), "y", "x", "m*", "k*", options=options)
    twice = data.assign(k8=2 * data["k0"], m60=data["k1"] - data["k2"])
    again = select_instruments(twice, "y", "x", "m*", "k*", options=options)
    assert again.selected == select_instruments(data, "y", "x", "m*", "k*", options=options).selected
    design = residualised(build_lasso(options.lasso("x", (*CANDIDATES, "m60"), (*CONTROLS, "k8")), twice))
    assert (design.x[:, -1] == 0).all()


def test_refusals() -> None:
    data, residuals = confounded(), SelectOptions(controls_by="residualised")
    for way in ("double", "union"):
        with pytest.raises(UnsupportedError, match="nothing to choose from"):
            select_instruments(data, "y", "x", "m*", "k0", options=SelectOptions(controls_by=way))  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match=r"let the parts see each other.*forced"):
        select_instruments(data, "y", "x", "m*", "k*", rule="crossfit", options=residuals)
    with pytest.raises(DataError, match="turn it into 0/1 columns"):
        select_instruments(data.assign(k8=["a", "b"] * 250), "y", "x", "m*", "k*")


def test_residuals_of_sparse_and_small_columns() -> None:
    """The same residuals whatever the storage, block by block."""
    random = np.random.default_rng(1)
    plain = pd.DataFrame(random.integers(0, 2, (300, 12)), columns=[f"m{j}" for j in range(12)])
    rest = pd.DataFrame({"x": random.normal(size=300)})
    spec = SelectOptions().lasso("x", list(plain.columns[2:]), list(plain.columns[:2]))
    storages = {
        "float": plain.astype(float), "int8": plain.astype(np.int8), "sparse": plain.astype(pd.SparseDtype(float, 0.0)),
    }  # fmt: skip
    designs = {kind: build_lasso(spec, pd.concat([rest, frame], axis=1)) for kind, frame in storages.items()}
    assert designs["int8"].x.dtype == np.int8 and not isinstance(designs["sparse"].x, np.ndarray)
    expected = residualised(designs["float"]).x
    for design in designs.values():
        np.testing.assert_allclose(residualised(design).x, expected, atol=1e-13)  # sums of 300 terms of size 1
        assert [at.stop - at.start for at, _ in blocks(design.x)] == [12]
