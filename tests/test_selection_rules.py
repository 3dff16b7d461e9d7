"""Selection rules: R and native alike, what R itself says, and what must be true of each rule."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from ivbridge.errors import DataError, DesignError, UnsupportedError
from ivbridge.rrandom import RRandom
from ivbridge.selection.choose import choose
from ivbridge.selection.crossfit import cross_fit
from ivbridge.selection.design import LassoDesign, build_lasso
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.plugin import plug_in
from ivbridge.selection.question import SelectOptions
from ivbridge.selection.rules import CrossFitted, OneSE, PlugIn, parse_rule
from ivbridge.selection.select import select_instruments
from ivbridge.selection.spec import FoldColumn, Folds, LassoSpec
from ivbridge.simulate import SCENARIOS
from tests.selection_cases import ask_r, confounded, many

RULES = (
    "min", "1se", "plugin", "plugin(loadings=homoskedastic)", "crossfit", "crossfit(rule=plugin, splits=4)",
    "crossfit(rule=min, splits=3, seed=9)", "adaptive", "adaptive(rule=min, power=2)", "stability(seeds=4)",
    "stability(rule=min, seeds=4, threshold=0.75)",
)  # fmt: skip


def _design(data: pd.DataFrame, **options: object) -> LassoDesign:
    names = tuple(name for name in data if str(name).startswith("z"))
    return build_lasso(LassoSpec("x", names, **options), data)  # type: ignore[arg-type]


@pytest.mark.parametrize("alpha", [1.0, 0.5])
@pytest.mark.parametrize("rule", RULES)
def test_r_and_native_choose_alike(rule: str, alpha: float) -> None:
    if alpha < 1 and "plugin" in rule:
        with pytest.raises(UnsupportedError, match="alpha=1, the LASSO"):
            select_instruments(many(), "y", "x", "z*", rule=rule, options=SelectOptions(alpha=alpha))
        return
    native, r = (
        select_instruments(many(), "y", "x", "z*", rule=rule, options=SelectOptions(engine=engine, alpha=alpha))
        for engine in ("native", "r")
    )
    assert native.selected == r.selected != ()
    assert list(native.tidy()["term"]) == list(r.tidy()["term"])
    # the same algorithm in both languages; its sums differ in order only
    np.testing.assert_allclose(native.tidy()["estimate"], r.tidy()["estimate"], rtol=1e-10)
    np.testing.assert_allclose(
        native.estimate().params["x"], r.estimate(engine="r", vcov="HC0").params["x"], rtol=1e-10
    )
    assert native.shares.equals(r.shares)


@pytest.fixture(scope="module")
def in_r(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Sets that a user of R finds on `many()`, with glmnet's own functions in her own lines."""
    code = """
    M <- as.matrix(d[, grep("^z", names(d))])
    for (s in c("lambda.min", "lambda.1se")) {
      set.seed(1); fit <- cv.glmnet(M, d$x)
      tell(paste("lasso", s), chosen(fit, s))
      set.seed(1); fit <- cv.glmnet(M, d$x, alpha = 0.5)
      tell(paste("elastic", s), chosen(fit, s))
      set.seed(1); ridge <- cv.glmnet(M, d$x, alpha = 0)
      b <- coef(ridge, s = "lambda.min")[-1, 1] * apply(M, 2, sd)
      for (power in 1:2) {
        set.seed(1); fit <- cv.glmnet(M, d$x, penalty.factor = 1/abs(b)^power)
        tell(paste("adaptive", power, s), chosen(fit, s))
      }
    }
    set.seed(1); part <- sample(rep(seq(2), length = nrow(d)))
    dhat <- numeric(nrow(d))
    for (k in 1:2) {
      train <- d[part != k, ]
      set.seed(1); Z <- chosen(cv.glmnet(M[part != k, ], train$x), "lambda.1se")
      tell(paste("part", k), Z)
      dhat[part == k] <- predict(lm(reformulate(Z, "x"), train), d[part == k, ])
      dhat[part == k] <- dhat[part == k] - mean(dhat[part == k])
    }
    tell("crossfit", format(sum(dhat * (d$y - mean(d$y)))/sum(dhat * (d$x - mean(d$x))), digits = 15))
    """
    return ask_r(many(), code, tmp_path_factory.mktemp("r"))


@pytest.mark.parametrize("rule", ["min", "1se"])
def test_a_user_of_r_finds_the_same(in_r: dict[str, list[str]], rule: str) -> None:
    def found(rule: str, alpha: float = 1.0) -> list[str]:
        return list(select_instruments(many(), "y", "x", "z*", rule=rule, options=SelectOptions(alpha=alpha)).selected)

    assert found(rule) == in_r[f"lasso lambda.{rule}"]
    assert found(rule, 0.5) == in_r[f"elastic lambda.{rule}"]
    for power in (1, 2):
        assert found(f"adaptive(rule={rule}, power={power})") == in_r[f"adaptive {power} lambda.{rule}"]
    assert in_r["adaptive 1 lambda.1se"] != in_r["adaptive 2 lambda.1se"]


def test_cross_fitting_in_r(in_r: dict[str, list[str]]) -> None:
    selection = select_instruments(many(), "y", "x", "z*", rule="crossfit")
    steps = selection.steps.choices
    assert [list(steps[f"instruments of part {part}"].selected) for part in (1, 2)] == [in_r["part 1"], in_r["part 2"]]
    # R prints 15 digits
    assert selection.estimate().params["x"] == pytest.approx(float(in_r["crossfit"][0]), rel=1e-12)


@pytest.mark.parametrize("rule", ["1se", "plugin", "crossfit(rule=plugin)", "stability(seeds=2)"])
def test_scikit_learn_chooses_the_same(rule: str) -> None:
    """A solver of its own under the same cross-validation; near-ties aside, sets are equal."""
    options = (SelectOptions(engine=engine, threshold=1e-12) for engine in ("native", "sklearn"))
    native, scikit = (select_instruments(many(), "y", "x", "z*", rule=rule, options=one) for one in options)
    assert scikit.selected == native.selected != ()
    # threshold 1e-12 leaves coefficients of size 1 right to about its square root
    np.testing.assert_allclose(scikit.tidy()["estimate"], native.tidy()["estimate"], atol=1e-5)
    with pytest.raises(UnsupportedError, match="Ridge"):
        select_instruments(many(), "y", "x", "z*", rule="adaptive", options=SelectOptions(engine="sklearn"))


def test_the_plug_in_penalty_on_the_posts_data() -> None:
    """hdm 0.3.2: rlasso picks the five; rlassoIV(x = NULL) has no intercept behind its 2.0073 (.0256)."""
    draw = SCENARIOS["post-b"].draw()
    selection = select_instruments(draw.frame, "Y", "X", draw.valid, rule="plugin")
    assert selection.selected == draw.strong
    estimate = selection.estimate()
    assert (round(estimate.params["X"], 4), round(estimate.bse["X"], 4)) == (1.9808, 0.0573)
    fit = selection.steps.choices["instruments"].plugin
    assert fit is not None
    prediction = fit.intercept + draw.frame[list(fit.names)].to_numpy() @ fit.coefs
    x, y = draw.frame["X"].to_numpy(), draw.frame["Y"].to_numpy()
    without = prediction @ y / (prediction @ x)
    error = np.sqrt(prediction**2 @ (y - without * x) ** 2) / abs(prediction @ x)
    assert (round(without, 4), round(error, 4)) == (2.0073, 0.0256)


@pytest.mark.parametrize("loadings", ["heteroskedastic", "homoskedastic"])
@pytest.mark.parametrize(("n", "p", "seed"), [(400, 40, 1), (150, 300, 2), (300, 50, 3)])
def test_the_plug_in_fit_is_the_fixed_point_of_its_definition(n: int, p: int, seed: int, loadings: str) -> None:
    """λ₀ and loadings by their formulas from the final set's residuals; the set from the conditions of optimality."""
    data = many(n, p, seed, strength=0.8)
    data["x"] *= np.exp(0.3 * data["z0"])  # errors that vary with a candidate
    fit = plug_in(_design(data), PlugIn(loadings=loadings), lasso_engine("native"))  # type: ignore[arg-type]
    assert json.loads(fit.to_json())["selected"] == list(fit.selected)
    assert f"{len(fit.selected)} selected" in fit._repr_html_()
    assert fit.converged and 0 < len(fit.selected) < 20
    z = data[list(fit.names)].to_numpy()
    z, x = z - z.mean(axis=0), (data["x"] - data["x"].mean()).to_numpy()
    inside = np.isin(fit.names, fit.selected)
    b = np.linalg.lstsq(z[:, inside], x, rcond=None)[0]
    e = x - z[:, inside] @ b
    gamma = 0.1 / np.log(n)
    assert fit.lambda0 == pytest.approx(2 * 1.1 * np.sqrt(n) * stats.norm.ppf(1 - gamma / (2 * p)), rel=1e-10)
    spread = {"heteroskedastic": np.sqrt(np.mean(e[:, None] ** 2 * z**2, axis=0)),
              "homoskedastic": np.sqrt(np.var(e, ddof=1) * np.mean(z**2, axis=0))}  # fmt: skip
    np.testing.assert_allclose(fit.loadings, spread[loadings], rtol=1e-10)
    np.testing.assert_allclose(fit.coefs[inside], b, rtol=1e-9)
    # RSS + Σ λ₀ℓⱼ|bⱼ| is least where 2z'r = λ₀ℓ sign(b) on the set and |2z'r| ≤ λ₀ℓ off it: solve for b, then look
    penalty = fit.lambda0 * fit.loadings
    sign = np.sign(b)
    lasso = np.linalg.solve(z[:, inside].T @ z[:, inside], z[:, inside].T @ x - sign * penalty[inside] / 2)
    assert (np.sign(lasso) == sign).all()
    assert (np.abs(2 * z[:, ~inside].T @ (x - z[:, inside] @ lasso)) < penalty[~inside]).all()


def test_the_rounds_of_the_plug_in_penalty_in_r(tmp_path: Path) -> None:
    """The same steps by R's own glmnet; without the first round's half penalty both sets would be empty."""
    code = """
    for (world in c("a", "b")) {
      M <- as.matrix(d[, grep(paste0("^", world, ".z"), names(d))]); x <- d[, paste0(world, ".x")]
      M <- scale(M, scale = FALSE); n <- nrow(M); p <- ncol(M)
      lambda0 <- 2.2 * sqrt(n) * qnorm(1 - 0.1/log(n)/(2 * p))
      e <- resid(lm(x ~ M[, order(-abs(cor(M, x)))[1:5]])); share <- 0.5; previous <- NULL
      for (round in 1:15) {
        psi <- sqrt(colMeans(e^2 * M^2))
        fit <- glmnet(M, x, penalty.factor = psi, standardize = FALSE, thresh = 1e-14,
                      lambda = share * lambda0 * mean(psi)/(2 * n))
        set <- which(as.numeric(fit$beta) != 0)
        if (length(set) == 0 || identical(set, previous)) break
        e <- resid(lm(x ~ M[, set])); previous <- set; share <- 1
      }
      tell(world, sub("..", "", colnames(M)[set]), round)
    }
    """
    worlds = {"a": many(150, 60, 9, strength=0.4), "b": many(150, 60, 5, strength=0.6)}
    for data in worlds.values():
        data["x"] *= np.exp(0.6 * data["z0"])
    side_by_side = pd.concat([data.add_prefix(f"{name}.") for name, data in worlds.items()], axis=1)
    found = ask_r(side_by_side, code, tmp_path)
    for name, data in worlds.items():
        fit = plug_in(_design(data), PlugIn(), lasso_engine("native"))
        assert [*fit.selected, str(fit.rounds)] == found[name]
        assert len(fit.selected) == 1


def test_plug_in_options() -> None:
    data = many(300, 30)
    sizes = [len(select_instruments(data, "y", "x", "z*", rule=f"plugin(c={c})").selected) for c in (0.3, 1.1, 3)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > sizes[-1]
    constant = data.assign(z30=1.0)
    fit = plug_in(_design(constant), PlugIn(gamma=0.05), lasso_engine("native"))
    assert fit.selected == plug_in(_design(data), PlugIn(gamma=0.05), lasso_engine("native")).selected
    assert fit.lambda0 == pytest.approx(2.2 * np.sqrt(300) * stats.norm.ppf(1 - 0.05 / 62), rel=1e-10)
    exact = data.assign(x=data["z0"] + 2 * data["z1"])
    assert plug_in(_design(exact), PlugIn(), lasso_engine("native")).selected == ("z0", "z1")
    for options in ({"intercept": False}, {"alpha": 0.5}):
        with pytest.raises(UnsupportedError, match="unweighted gaussian LASSO with an intercept"):
            plug_in(_design(data, **options), PlugIn(), lasso_engine("native"))


@pytest.mark.parametrize("rule", ["1se", "min", "plugin", "adaptive", "crossfit", "stability(seeds=3)"])
def test_units_and_order_of_the_candidates_do_not_matter(rule: str) -> None:
    """glmnet standardises, loadings carry units, and ridge coefficients are made free of them."""
    data = many(300, 20, seed=4)
    options = SelectOptions(threshold=1e-14)  # sets must not hang on where coordinate descent stops
    plain = select_instruments(data, "y", "x", "z*", rule=rule, options=options)
    names = [f"z{j}" for j in range(20)]
    random = np.random.default_rng(1)
    scaled = data.assign(**{name: data[name] * 10.0 ** random.integers(-3, 4) for name in names})
    mixed = scaled[["y", "x", *random.permutation(names)]]
    again = select_instruments(mixed, "y", "x", "z*", rule=rule, options=options)
    assert set(again.selected) == set(plain.selected)
    assert again.selected == tuple(name for name in mixed.columns if name in plain.selected)
    # 2SLS does not see units; rounding of a well-conditioned problem
    assert again.estimate().params["x"] == pytest.approx(plain.estimate().params["x"], rel=1e-9)


def test_the_unit_of_the_regressor_does_not_matter() -> None:
    data = many(300, 20, seed=4)
    small = data.assign(x=data["x"] * 2.0**-30)
    for rule in ("1se", "plugin", "adaptive"):
        one, two = (select_instruments(frame, "y", "x", "z*", rule=rule) for frame in (data, small))
        assert one.selected == two.selected
        assert two.estimate().params["x"] == pytest.approx(one.estimate().params["x"] * 2.0**30, rel=1e-12)


@pytest.mark.parametrize("engine", ["native", "r"])
@pytest.mark.parametrize("controls", [(), ("k0", "k1")])
def test_a_prediction_never_sees_its_own_part(controls: tuple[str, ...], engine: str) -> None:
    data = confounded(400, 20, 2)
    spec = SelectOptions(threshold=1e-7).lasso("x", [f"m{j}" for j in range(20)], controls)
    rule, solver = CrossFitted(splits=3, seed=5), lasso_engine(engine)
    found = cross_fit(build_lasso(spec, data), rule, solver)
    parts = np.asarray(RRandom(5).sample(np.resize([1, 2, 3], 400)))
    np.testing.assert_array_equal(found.parts, parts)
    changed = data.assign(x=np.where(parts == 2, -data["x"], data["x"]))
    again = cross_fit(build_lasso(spec, changed), rule, solver)
    np.testing.assert_array_equal(again.prediction[parts == 2], found.prediction[parts == 2])
    assert not np.allclose(again.prediction[parts != 2], found.prediction[parts != 2])
    # within each part nothing of an intercept or of the controls is left: sums of 133 terms of size 1
    for part in (1, 2, 3):
        inside = parts == part
        assert np.abs(found.prediction[inside].sum()) < 1e-10
        assert np.abs(found.prediction[inside] @ data.loc[inside, list(controls)].to_numpy()).max(initial=0) < 1e-10
        expected = _other_parts(data, found.choices[part - 1].selected, controls, inside)
        np.testing.assert_allclose(found.coefs[part - 1][found.choices[part - 1].selected[0]], expected, rtol=1e-9)


def _other_parts(data: pd.DataFrame, selected: tuple[str, ...], controls: tuple[str, ...], inside: np.ndarray) -> float:
    """First post-LASSO coefficient, by least squares on the other rows."""
    x = np.column_stack([data[[*selected, *controls]], np.ones(len(data))])[~inside]
    return float(np.linalg.lstsq(x, data["x"].to_numpy()[~inside], rcond=None)[0][0])


def test_cross_fitted_estimate() -> None:
    selection = select_instruments(many(600), "y", "x", "z*", rule="crossfit(splits=3)")
    spec = selection.spec()
    assert spec.instruments == ("`x (cross-fitted)`",)
    estimate = selection.estimate()
    assert "no overidentifying restriction" in " ".join(estimate.notes)
    assert not any("optimistic" in note for note in estimate.notes)
    assert selection.crosscheck(["HC0", "HC1"]).ok
    crossed = selection.steps.crossfit
    assert crossed is not None and "part 3: 200 rows" in crossed._repr_html_()
    assert json.loads(crossed.to_json())["prediction"] == crossed.prediction.tolist()
    union = {name for choice in selection.steps.choices.values() for name in choice.selected}
    assert set(selection.selected) == union
    table = selection.seeds(2)
    assert table["estimate"].nunique() == 2
    options = SelectOptions(folds=Folds(seed=2))
    other = select_instruments(many(600), "y", "x", "z*", rule=CrossFitted(splits=3, seed=2), options=options)
    assert table["estimate"][1] == other.estimate().params["x"]


def test_cross_fitting_where_a_part_finds_nothing() -> None:
    data = many(200, 10, strength=0.05)
    selection = select_instruments(data, "y", "x", "z*", rule="crossfit(rule=plugin)")
    assert selection.selected == ()
    assert any("nothing was selected for 2 of 2 parts" in text for text in selection.warnings)
    with pytest.raises(DesignError, match="selected none of 10 candidates"):
        selection.estimate()
    small = SelectOptions(folds=Folds(20))
    with pytest.raises(DataError, match="20 folds were asked of 15 rows"):
        select_instruments(many(30, 10), "y", "x", "z*", rule="crossfit", options=small)


def test_cross_fitting_within_given_folds() -> None:
    data = many(400, 20)
    options = SelectOptions(folds=FoldColumn("fold"))
    selection = select_instruments(data, "y", "x", "z*", rule="crossfit", options=options)
    parts = selection.steps.crossfit.parts  # type: ignore[union-attr]
    alone = select_instruments(data[parts == 2].reset_index(drop=True), "y", "x", "z*", options=options)
    assert selection.steps.choices["instruments of part 1"].selected == alone.selected
    lacking = data.assign(fold=np.where(parts == 1, 10, np.resize(np.arange(1, 10), 400)))
    with pytest.raises(DataError, match="lacks a fold of 'fold'"):
        select_instruments(lacking, "y", "x", "z*", rule="crossfit", options=options)


def test_stability_counts_fold_draws() -> None:
    data = many(200, 15, strength=0.3)
    selection = select_instruments(data, "y", "x", "z*", rule="stability(seeds=6)")
    engine, design = lasso_engine("native"), _design(data)
    sets = [
        engine.cv(replace(design, foldid=Folds(seed=seed).draw(200), spec=replace(design.spec, folds=Folds(seed=seed))))
        for seed in range(1, 7)
    ]
    shares = {name: np.mean([name in fit.selected("1se") for fit in sets]) for name in design.names}
    assert selection.shares.to_dict() == shares
    assert set(selection.selected) == {name for name, share in shares.items() if share >= 0.5}
    assert sorted(set(shares.values())) == pytest.approx([0, 1 / 6, 3 / 6, 5 / 6])  # below, at and above the threshold
    with pytest.raises(UnsupportedError, match="runs over fold seeds itself"):
        selection.seeds()


def test_adaptive_leaves_out_what_does_not_vary() -> None:
    data = many(200, 10).assign(z10=3.0)
    with_constant = select_instruments(data, "y", "x", "z*", rule="adaptive")
    assert with_constant.selected == select_instruments(many(200, 10), "y", "x", "z*", rule="adaptive").selected
    assert with_constant.steps.choices["instruments"].names == tuple(f"z{j}" for j in range(11))


def test_cross_fitting_is_no_choice_of_one_set() -> None:
    with pytest.raises(UnsupportedError, match="does not choose one set"):
        choose(parse_rule("crossfit"), _design(many()), lasso_engine("native"))
    found = choose(OneSE(), _design(many(), penalty_factor=(0.0, *[1.0] * 39)), lasso_engine("native"))
    assert "z0" not in found.names and "z0" not in found.selected
    assert found.fits[-1].coef()["z0"] != 0


def test_rules_read_from_text(tmp_path: Path) -> None:
    for rule in RULES:
        selection = select_instruments(many(), "y", "x", "z*", rule=rule)
        assert f"rule {parse_rule(rule)}" in selection.summary()
