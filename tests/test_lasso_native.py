"""The Python LASSO engines without R: what a solution must satisfy, and each rule of the mirror by itself.

The comparison with R is in test_lasso_check.py.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from ivbridge.engines import Available, Unavailable
from ivbridge.errors import DataError, MissingExtraError, UnsupportedError
from ivbridge.selection import compressed, cv, losses, native, scikit
from ivbridge.selection.design import LassoDesign, build_lasso
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.native import NativeLasso
from ivbridge.selection.records import LassoFit, LassoPath
from ivbridge.selection.scikit import ScikitLasso
from ivbridge.selection.spec import FoldColumn, Folds, LassoSpec

#: Sums over rows in another order: some units in the last place, times the condition of these designs (below 100).
ROUNDING = 1e-12
TIGHT = 1e-14


def data(n: int = 300, p: int = 12, seed: int = 1) -> pd.DataFrame:
    """Normal candidates z0 … with a common factor, x on the first three, b = whether x is large, weights w."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((n, p)) * np.linspace(0.5, 2, p) + random.standard_normal((n, 1)) + 3
    frame = pd.DataFrame(x, columns=[f"z{j}" for j in range(p)])
    frame["x"] = x[:, :3].sum(axis=1) + 2 * random.standard_normal(n) + 5
    frame["b"] = (frame["x"] > frame["x"].median()).astype(int)
    frame["w"] = random.uniform(0.2, 3, n)
    return frame


def ask(frame: pd.DataFrame, dependent: str = "x", **options: object) -> LassoDesign:
    """A question about all columns z…"""
    names = tuple(name for name in frame.columns if name.startswith("z"))
    return build_lasso(LassoSpec(dependent, names, **options), frame)  # type: ignore[arg-type]


def rows_of(design: LassoDesign) -> cv.Rows:
    """The solver with the rows themselves."""
    return cv.Rows(design, lambda problem: NativeLasso().solve(problem)[0])


def compressed_of(design: LassoDesign, rows: cv.Rows | None = None) -> compressed.Compressed:
    """The solver with p + 1 rows."""
    return compressed.Compressed(design, lambda problem: NativeLasso().solve(problem)[0], rows or rows_of(design))


def stationarity(design: LassoDesign, path: LassoPath, at: int) -> tuple[np.ndarray, np.ndarray]:
    """glmnet's first-order conditions at one λ: gradients less the penalty's slope, and gradients over their bound.

    Both are shares of λ times the penalty factor, on the scale of standardised columns and y.
    """
    spec = design.spec
    weights = np.ones(design.n) if design.weights is None else design.weights
    weights = weights / weights.sum()
    center = weights @ design.dense
    spread = np.sqrt(weights @ (design.dense - center) ** 2) if spec.standardize else np.ones(design.p)
    b = path.coefs[at] * spread
    fitted = path.intercepts[at] + design.dense @ path.coefs[at]
    response, y_scale = design.y, 1.0
    if spec.family == "gaussian":
        about = weights @ design.y if spec.intercept else 0.0
        y_scale = float(np.sqrt(weights @ (design.y - about) ** 2))
    else:
        fitted = 1 / (1 + np.exp(-fitted))
    gradient = ((design.dense - (center if spec.intercept else 0)) / spread).T @ (weights * (response - fitted))
    factor = design.penalty * design.p / design.penalty.sum()
    bound = path.lambdas[at] * factor
    slope = bound * ((1 - spec.alpha) * b / y_scale + spec.alpha * np.sign(b))
    scale = np.where(bound > 0, bound, path.lambdas[at])
    return (gradient - slope) / scale, np.abs(gradient) / scale


@pytest.mark.parametrize("engine", ["native", "sklearn"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weights": "w"},
        {"standardize": False},
        {"intercept": False},
        {"alpha": 0.5},
        {"penalty_factor": (0, 0, 0.5, *[1] * 8, 3)},
        {"weights": "w", "penalty_factor": (0, *[1] * 10, 4), "standardize": False, "intercept": False},
    ],
    ids=str,
)
def test_solutions_satisfy_the_first_order_conditions(engine: str, options: dict[str, object]) -> None:
    design = ask(data(), threshold=TIGHT, **options)
    path = lasso_engine(engine).path(design)
    # glmnet's threshold bounds squared changes of the fit: 1e-14 leaves gradients of 1e-7, here over λ ≥ 1e-4 of y
    for at in (5, 20, len(path.lambdas) - 1):
        slack, ratio = stationarity(design, path, at)
        inside = (path.coefs[at] != 0) | (design.penalty == 0)
        assert np.abs(slack[inside]).max() < 1e-3
        assert (ratio[~inside] < design.spec.alpha * (1 + 1e-3)).all()
        assert inside.any()


def test_solutions_of_the_binomial_family_satisfy_the_first_order_conditions() -> None:
    design = ask(data(), "b", family="binomial", weights="w", threshold=TIGHT)
    path = lasso_engine("native").path(design)
    for at in (5, 20, 40):
        slack, ratio = stationarity(design, path, at)
        inside = path.coefs[at] != 0
        assert np.abs(slack[inside]).max() < 1e-3  # as above
        assert (ratio[~inside] < 1 + 1e-3).all()


@pytest.mark.parametrize("engine", ["native", "sklearn"])
def test_without_a_penalty_it_is_least_squares(engine: str) -> None:
    frame = data()
    design = ask(frame, lambdas=(0.1, 1e-9), threshold=TIGHT)
    found = lasso_engine(engine).path(design)
    exact = np.linalg.lstsq(np.column_stack([np.ones(design.n), design.dense]), design.y)[0]
    # λ = 1e-9 moves coefficients by about as much; the solvers stop at changes of 1e-7 of the fit
    assert np.abs(found.coefs[-1] - exact[1:]).max() < 1e-6
    assert abs(found.intercepts[-1] - exact[0]) < 1e-5


@pytest.mark.parametrize("engine", ["native", "sklearn"])
def test_a_column_without_a_penalty_is_in_from_the_start(engine: str) -> None:
    frame = data()
    design = ask(frame, penalty_factor=(1,) * 11 + (0,), threshold=TIGHT)
    path = lasso_engine(engine).path(design)
    slope, level = np.polyfit(frame["z11"], frame["x"], 1)
    assert path.nonzero[0] == 1
    # at the largest λ everything else is out, so it is a regression on this column; 1e-7 as above
    np.testing.assert_allclose([path.coefs[0, 11], path.intercepts[0]], [slope, level], rtol=1e-6)


@pytest.mark.parametrize("engine", ["native", "sklearn"])
def test_own_penalties_are_a_hundred_in_equal_ratios_from_the_first_that_selects_nothing(engine: str) -> None:
    frame = data()
    design = ask(frame)
    path = lasso_engine(engine).path(design)
    z = (design.dense - design.dense.mean(axis=0)) / design.dense.std(axis=0)
    largest = np.abs(z.T @ (design.y - design.y.mean())).max() / design.n
    np.testing.assert_allclose(path.lambdas[0], largest, rtol=ROUNDING)
    np.testing.assert_allclose(path.lambdas[1:] / path.lambdas[:-1], 1e-4 ** (1 / 99), rtol=ROUNDING)
    assert path.nonzero[0] == 0
    assert path.nonzero[1] > 0
    gains = np.diff(path.dev_ratio) / path.dev_ratio[1:]
    assert len(path.lambdas) < 100
    assert gains[-1] < 1e-5 < gains[4:-1].min()


def test_the_smallest_penalty_follows_from_rows_and_columns() -> None:
    assert cv.smallest_ratio(100, 101) == 1e-2
    assert cv.smallest_ratio(100, 100) == 1e-4


@pytest.mark.parametrize("engine", ["native", "sklearn"])
def test_the_path_ends_where_nearly_everything_is_explained(engine: str) -> None:
    frame = data()
    frame["x"] = frame["z0"] + 0.001 * frame["x"]
    path = lasso_engine(engine).path(ask(frame))
    assert path.dev_ratio[-2] <= 0.999 < path.dev_ratio[-1]


# --- equivariance -------------------------------------------------------------------------------------------------


def test_permuting_columns_permutes_coefficients() -> None:
    frame = data()
    straight = lasso_engine("native").cv(ask(frame, threshold=TIGHT))
    names = [f"z{j}" for j in np.random.default_rng(0).permutation(12)]
    turned = lasso_engine("native").cv(ask(frame[[*names, "x"]], threshold=TIGHT))
    order = [straight.names.index(name) for name in names]
    # another order of coordinates, other iterates: equal only as far as the threshold of 1e-14 goes (1e-7)
    np.testing.assert_allclose(turned.path.coefs, straight.path.coefs[:, order], atol=1e-6)
    np.testing.assert_allclose(turned.cvm, straight.cvm, rtol=1e-6)
    assert set(turned.selected("min")) == set(straight.selected("min"))


@pytest.mark.parametrize("engine", ["native", "sklearn"])
def test_units_change_nothing_but_units(engine: str) -> None:
    frame = data()
    here = lasso_engine(engine).cv(ask(frame))
    scale = 2.0 ** np.arange(-6, 6)  # powers of two: every product is exact
    moved = frame.copy()
    moved[list(here.names)] *= scale
    moved["x"] *= 8
    there = lasso_engine(engine).cv(ask(moved))
    np.testing.assert_allclose(there.path.lambdas, 8 * here.path.lambdas, rtol=ROUNDING)
    np.testing.assert_allclose(there.path.coefs * scale / 8, here.path.coefs, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(there.cvm, 64 * here.cvm, rtol=ROUNDING)
    assert (there.index_min, there.index_1se) == (here.index_min, here.index_1se)


@pytest.mark.parametrize("family", ["gaussian", "binomial"])
def test_whole_weights_count_rows(family: str) -> None:
    frame = data()
    frame["w"] = np.random.default_rng(2).integers(1, 4, len(frame))
    frame["fold"] = np.arange(len(frame)) % 5 + 1
    dependent = {"gaussian": "x", "binomial": "b"}[family]
    options = {"family": family, "folds": FoldColumn("fold"), "threshold": TIGHT}
    weighted = lasso_engine("native").cv(ask(frame, dependent, weights="w", **options))
    repeated = lasso_engine("native").cv(ask(frame.loc[frame.index.repeat(frame["w"])], dependent, **options))
    np.testing.assert_allclose(weighted.path.lambdas, repeated.path.lambdas, rtol=ROUNDING)
    # sums in another order, then iterations that stop at 1e-7
    np.testing.assert_allclose(weighted.path.coefs, repeated.path.coefs, atol=1e-7)
    np.testing.assert_allclose(weighted.cvm, repeated.cvm, rtol=1e-7)
    np.testing.assert_allclose(weighted.cvsd, repeated.cvsd, rtol=1e-6)


@pytest.mark.parametrize(("family", "rows"), [("gaussian", 300), ("gaussian", 45_000), ("binomial", 300)])
def test_small_integers_floats_and_sparse_columns_are_one_matrix(family: str, rows: int) -> None:
    frame = data(rows)
    names = [name for name in frame.columns if name.startswith("z")]
    frame[names] = (frame[names] > 4.5).astype(np.int8)
    dependent = {"gaussian": "x", "binomial": "b"}[family]
    small = ask(frame, dependent, family=family)
    assert small.x.dtype == np.int8
    floats = dataclasses.replace(small, x=np.asfortranarray(small.x, dtype=np.float64))
    thin = dataclasses.replace(small, x=sparse.csc_array(small.x, dtype=np.float64))
    assert compressed.worthwhile(small) is (rows > 300 and family == "gaussian")
    base = lasso_engine("native").cv(small)
    same, near = lasso_engine("native").cv(floats), lasso_engine("native").cv(thin)
    np.testing.assert_array_equal(same.path.coefs, base.path.coefs)
    np.testing.assert_allclose(same.cvm, base.cvm, rtol=ROUNDING)
    # the sparse solver centres implicitly, so it rounds differently
    np.testing.assert_allclose(near.path.coefs, base.path.coefs, atol=1e-10)
    np.testing.assert_allclose(near.cvm, base.cvm, rtol=1e-10)
    assert (near.index_min, near.index_1se) == (base.index_min, base.index_1se)


# --- cross-products instead of rows -------------------------------------------------------------------------------

Change = Callable[[pd.DataFrame], None]


def _large_means(frame: pd.DataFrame) -> None:
    frame["z3"] += 1e6
    frame["z4"] *= 1e5
    frame["x"] += 1e4


def _constant(frame: pd.DataFrame) -> None:
    frame["z5"] = 3.0
    frame["z6"] = 0.0
    frame.loc[0, "z6"] = 1.0  # constant without the fold of row 0


def _rare(frame: pd.DataFrame) -> None:
    for name in [name for name in frame.columns if name.startswith("z")]:
        frame[name] = (frame[name] > frame[name].quantile(0.99)).astype(np.int8)


def _outlier(frame: pd.DataFrame) -> None:
    frame.loc[7, "z0"] = 1e8


def _exact(frame: pd.DataFrame) -> None:
    frame["x"] = frame["z0"] - frame["z1"] + 1e-4 * frame["x"]


def _zero_weights(frame: pd.DataFrame) -> None:
    frame.loc[:100, "w"] = 0.0


def _weightless_fold(frame: pd.DataFrame) -> None:
    frame["fold"] = np.arange(len(frame)) % 5 + 1
    frame.loc[frame["fold"] == 2, "w"] = 0.0


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({}, None),
        ({"weights": "w"}, None),
        ({"weights": "w"}, _zero_weights),
        ({"weights": "w", "folds": FoldColumn("fold")}, _weightless_fold),
        ({"penalty_factor": (0, 0, 0.5, *[1] * 8, 3)}, None),
        ({"standardize": False}, None),
        ({"intercept": False}, None),
        ({"intercept": False, "standardize": False, "weights": "w"}, None),
        ({"alpha": 0.5}, None),
        ({"alpha": 0.0}, None),
        ({"lambdas": (1.0, 0.3, 0.1, 0.01)}, None),
        ({"type_measure": "mae"}, None),
        ({}, _large_means),
        ({}, _constant),
        ({"intercept": False}, _constant),
        ({}, _rare),
        ({}, _outlier),
        ({}, _exact),
    ],
)
def test_cross_products_give_what_rows_give(options: dict[str, object], change: Change | None) -> None:
    frame = data(2000)
    if change is not None:
        change(frame)
    design = ask(frame, **options)
    direct, small = (cv.cross_validate(design, source) for source in (rows_of(design), compressed_of(design)))
    assert small.path.coefs.shape == direct.path.coefs.shape
    # rounding of sums over rows, relative to the largest coefficient in units of its column
    spread = design.dense.std(axis=0)
    gap = np.abs(small.path.coefs - direct.path.coefs) * spread
    assert gap.max() <= 1e-11 * np.abs(direct.path.coefs * spread).max()
    np.testing.assert_allclose(small.path.lambdas, direct.path.lambdas, rtol=ROUNDING)
    np.testing.assert_allclose(small.path.dev_ratio, direct.path.dev_ratio, rtol=ROUNDING, atol=ROUNDING)
    # 1e-11: the bound of compressed.LOSS_ERROR, and the direct sums' own rounding where means are 1e6 deviations
    np.testing.assert_allclose(small.curve.cvm, direct.curve.cvm, rtol=1e-11)
    # the standard error of ten folds' means loses a digit to their mean
    np.testing.assert_allclose(small.curve.cvsd, direct.curve.cvsd, rtol=1e-10)
    np.testing.assert_array_equal(small.path.coefs != 0, direct.path.coefs != 0)
    assert (small.index_min, small.index_1se) == (direct.index_min, direct.index_1se)


class Counted(cv.Rows):
    """Counts what is asked of the rows."""

    fits = 0
    predictions = 0

    def fit(self, fold: int | None, lambdas: np.ndarray | None) -> LassoPath:
        self.fits += 1
        return super().fit(fold, lambdas)

    def mean_losses(self, fold: int, path: LassoPath, measure: str) -> np.ndarray:
        self.predictions += 1
        return super().mean_losses(fold, path, measure)


def _duplicate(frame: pd.DataFrame) -> None:
    frame["z5"] = frame["z0"]


def _sum(frame: pd.DataFrame) -> None:
    frame["z5"] = frame["z0"] - 2 * frame["z1"]


@pytest.mark.parametrize(
    ("change", "fits", "predictions"),
    [
        (None, 0, 0),
        (_constant, 0, 0),
        (_duplicate, 11, None),  # which of two equal columns enters is a matter of the last bit
        (_sum, 11, None),
        (_outlier, 1, None),  # the mean of its column is no centre of the other folds
        (_exact, 0, 10),  # losses far below the squares of y
    ],
)
def test_rows_are_used_only_where_cross_products_do_not_suffice(
    change: Change | None, fits: int, predictions: int | None
) -> None:
    frame = data(2000)
    if change is not None:
        change(frame)
    design = ask(frame)
    rows = Counted(design, lambda problem: NativeLasso().solve(problem)[0])
    found = cv.cross_validate(design, compressed_of(design, rows))
    assert rows.fits == fits
    assert predictions is None or rows.predictions == predictions
    assert np.isfinite(found.curve.cvm).all()


def test_products_of_folds_are_products() -> None:
    design = ask(data(), weights="w")
    found = compressed.fold_products(design)
    for fold in (1, 10, None):
        outside = np.ones(design.n, dtype=bool) if fold is None else design.foldid != fold
        columns = np.column_stack([np.column_stack([design.dense, design.y]) - found.shift, np.ones(design.n)])
        assert design.weights is not None
        wanted = (columns[outside] * design.weights[outside, None]).T @ columns[outside]
        np.testing.assert_allclose(found.without(fold), wanted, rtol=ROUNDING, atol=1e-10)  # entries near 0


def test_small_problems_and_other_families_keep_their_rows() -> None:
    assert not compressed.worthwhile(ask(data(2000)))
    large = ask(data(45_000), folds=Folds(10))
    assert compressed.worthwhile(large)
    many = dataclasses.replace(large, foldid=np.arange(large.n) % 5000 + 1)
    assert not compressed.worthwhile(many)
    binary = dataclasses.replace(large, spec=dataclasses.replace(large.spec, family="binomial"))
    assert not compressed.worthwhile(binary)
    wide = dataclasses.replace(large, names=tuple(map(str, range(500))))
    assert not compressed.worthwhile(wide)  # 45,000 rows for 500 columns would do, residual updates would not


# --- rules of the mirror ------------------------------------------------------------------------------------------


def scripted(paths: dict[int | None, LassoPath], loss: Callable[[int, LassoPath], np.ndarray]) -> cv.Source:
    """A source with given paths."""

    class Script:
        def fit(self, fold: int | None, lambdas: np.ndarray | None) -> LassoPath:
            return paths[fold]

        def mean_losses(self, fold: int, path: LassoPath, measure: str) -> np.ndarray:
            return loss(fold, path)

        def each_loss(self, fold: int, path: LassoPath, measure: str) -> np.ndarray:
            return np.tile(loss(fold, path), (2, 1))

    return Script()


def path_of(lambdas: list[float], values: list[float]) -> LassoPath:
    coefs = np.array(values)[:, None] * np.ones(2)
    return LassoPath(np.array(lambdas), np.array(values), coefs, np.array(values) / 10)


def test_coefficients_between_penalties_are_interpolated_and_beyond_them_kept() -> None:
    found = cv.interpolate(path_of([8.0, 4.0, 2.0], [1.0, 3.0, 7.0]), np.array([9.0, 8.0, 6.0, 4.0, 2.5, 2.0, 1.0]))
    np.testing.assert_allclose(found.intercepts, [1, 1, 2, 3, 6, 7, 7], rtol=1e-15)
    np.testing.assert_allclose(found.coefs[:, 1], [1, 1, 2, 3, 6, 7, 7], rtol=1e-15)
    one = cv.interpolate(path_of([8.0], [1.0]), np.array([9.0, 1.0]))
    np.testing.assert_array_equal(one.intercepts, [1, 1])


def test_every_fold_has_its_own_path_and_counts_by_its_weight() -> None:
    frame = data(40)
    frame["fold"] = np.repeat([1, 2, 3], [20, 10, 10])
    frame["w"] = np.repeat([1.0, 2.0, 4.0], [20, 10, 10])
    design = ask(frame, folds=FoldColumn("fold"), weights="w")
    whole = path_of([4.0, 2.0], [0.0, 0.0])
    paths = {
        None: whole,
        1: path_of([4.0, 2.0], [1.0, 2.0]),
        2: path_of([8.0, 2.0], [1.0, 7.0]),
        3: path_of([1.0, 0.5], [3.0, 9.0]),
    }
    found = cv.cross_validate(design, scripted(paths, lambda fold, path: path.intercepts))
    # at λ = 4: 1; 1 + 6·(8 − 4)/(8 − 2) = 5; 3. Fold weights 20, 20, 40 of 80.
    means = np.array([(1 + 5 + 2 * 3) / 4, (2 + 7 + 2 * 3) / 4])
    np.testing.assert_allclose(found.curve.cvm, means, rtol=1e-15)
    spread = np.array([(4 + 4 + 0) / 4, ((2 - 3.75) ** 2 + (7 - 3.75) ** 2 + 2 * (3 - 3.75) ** 2) / 4])
    np.testing.assert_allclose(found.curve.cvsd, np.sqrt(spread / 2), rtol=1e-15)


def test_lambda_min_and_1se_are_the_largest_that_qualify() -> None:
    lambdas = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    curve = losses.Curve(np.array([9.0, 3.0, 2.0, 2.0, 2.5]), np.array([8.0, 1.0, 1.0, 0.1, 0.1]))
    assert losses.choose(lambdas, curve) == (2, 1)
    narrow = losses.Curve(curve.cvm, np.full(5, 0.9))
    assert losses.choose(lambdas, narrow) == (2, 2)
    larger = losses.Curve(np.array([0.5, 0.7, 0.8, 0.8, 0.6]), np.full(5, 0.15))
    assert losses.choose(lambdas, larger, largest=True) == (2, 1)
    broken = losses.Curve(np.array([0.0, 3.0, 2.0, 2.0, 2.5]), np.array([np.nan, 1.0, 1.0, 0.1, 0.1]))
    assert losses.choose(lambdas, broken) == (2, 1)


def test_fewer_than_three_rows_a_fold_are_averaged_by_row() -> None:
    frame = data(50)
    fit = lasso_engine("native").cv(ask(frame, folds=Folds(25)))
    assert fit.warnings == ("Option grouped=FALSE enforced in cv.glmnet, since < 3 observations per fold",)
    design = ask(frame, folds=Folds(25))
    rows = rows_of(design)
    values = np.empty((50, len(fit.cvm)))
    for fold in range(1, 26):
        own = cv.interpolate(rows.fit(fold, None), fit.path.lambdas)
        held = design.foldid == fold
        values[held] = (design.y[held, None] - own.intercepts - design.dense[held] @ own.coefs.T) ** 2
    np.testing.assert_allclose(fit.cvm, values.mean(axis=0), rtol=ROUNDING)
    np.testing.assert_allclose(fit.cvsd, values.std(axis=0) / np.sqrt(49), rtol=ROUNDING)
    assert lasso_engine("native").cv(ask(frame, folds=Folds(16))).warnings == ()


@pytest.mark.parametrize(
    ("measure", "wanted"),
    [("mse", [2 * 0.25**2, 2 * 0.75**2]), ("mae", [0.5, 1.5]), ("class", [0.0, 1.0]),
     ("deviance", [-2 * np.log(0.75), -2 * np.log(0.25)])],
)  # fmt: skip
def test_binomial_losses(measure: str, wanted: list[float]) -> None:
    predictor = np.full((2, 1), np.log(3.0))  # a probability of 3/4
    found = losses.losses(measure, "binomial", np.array([1.0, 0.0]), predictor)
    np.testing.assert_allclose(found[:, 0], wanted, rtol=1e-14)


def test_deviance_is_cut_off_and_extreme_predictors_are_no_warning() -> None:
    found = losses.losses("deviance", "binomial", np.array([1.0]), np.array([[-800.0, 800.0]]))
    # 1 - 1e-5 is rounded to 1.1e-16, a share of 1.1e-11 of its logarithm
    np.testing.assert_allclose(found[0], [-2 * np.log(1e-5), -2 * np.log1p(-1e-5)], rtol=1e-10)


def test_a_probability_of_one_half_predicts_no_event() -> None:
    np.testing.assert_array_equal(
        losses.losses("class", "binomial", np.array([1.0, 0.0]), np.zeros((2, 1))), [[1], [0]]
    )


def test_gaussian_losses() -> None:
    y, predictor = np.array([1.0]), np.array([[4.0]])
    assert losses.losses("mae", "gaussian", y, predictor) == 3
    assert losses.losses("mse", "gaussian", y, predictor) == losses.losses("deviance", "gaussian", y, predictor) == 9


def test_auc_is_the_weighted_share_of_pairs_in_order() -> None:
    random = np.random.default_rng(0)
    y, predictor, weights = random.integers(0, 2, 40), random.integers(0, 8, 40) / 4, random.uniform(0.5, 2, 40)
    event, other = y == 1, y == 0
    order = (predictor[event][:, None] > predictor[other]) + 0.5 * (predictor[event][:, None] == predictor[other])
    pairs = np.outer(weights[event], weights[other])
    wanted = (order * pairs).sum() / pairs.sum()
    np.testing.assert_allclose(losses.auc(y.astype(float), predictor, weights), wanted, rtol=1e-14)
    assert np.isnan(losses.auc(np.ones(3), np.arange(3.0), np.ones(3)))


def test_auc_is_maximised_and_small_folds_use_the_deviance_instead() -> None:
    frame = data(300)
    fit = lasso_engine("native").cv(ask(frame, "b", family="binomial", type_measure="auc"))
    assert fit.warnings == ()
    assert fit.cvm[fit.index_min] == fit.cvm.max()
    assert 0.5 < fit.cvm.max() <= 1
    few = lasso_engine("native").cv(ask(frame, "b", family="binomial", type_measure="auc", folds=Folds(31)))
    deviance = lasso_engine("native").cv(ask(frame, "b", family="binomial", folds=Folds(31)))
    assert "changed to type.measure='deviance'" in few.warnings[0]
    np.testing.assert_array_equal(few.cvm, deviance.cvm)


def test_rows_that_agree_where_it_counts_stay_tied() -> None:
    random = np.random.default_rng(0)
    x, coefs = random.standard_normal((37, 9)), np.zeros((3, 9))
    coefs[:, [1, 4, 7]] = random.standard_normal((3, 3))
    x[20:, [1, 4, 7]] = x[3, [1, 4, 7]]
    found = losses.linear_predictor(x, np.zeros(3), coefs, ties=True)
    assert (found[20:] == found[3]).all()
    # nine products, rounded in another order
    np.testing.assert_allclose(found, losses.linear_predictor(x, np.zeros(3), coefs), rtol=1e-13, atol=1e-14)


def test_binomial_predictions_keep_ties(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    plain = losses.linear_predictor

    def watched(x: object, a: np.ndarray, b: np.ndarray, *, ties: bool = False) -> np.ndarray:
        asked.append(ties)
        return plain(x, a, b, ties=ties)

    monkeypatch.setattr(losses, "linear_predictor", watched)
    lasso_engine("native").cv(ask(data(), "b", family="binomial"))
    assert asked == [True] * 10


def test_the_same_question_twice_gives_the_same_bits() -> None:
    one, two = (lasso_engine("native").cv(ask(data())) for _ in range(2))
    for name in ("cvm", "cvsd"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    np.testing.assert_array_equal(one.path.coefs, two.path.coefs)


@pytest.mark.parametrize("name", ["native", "sklearn"])
def test_path_takes_penalties_in_any_order_even_one(name: str) -> None:
    design = ask(data(), lambdas=(1.0, 0.1), threshold=1e-14)
    engine = lasso_engine(name)
    np.testing.assert_array_equal(engine.path(design).lambdas, [1.0, 0.1])
    np.testing.assert_array_equal(engine.path(design, np.array([0.01, 0.5])).lambdas, [0.5, 0.01])
    single = engine.path(design, np.array([0.1]))
    assert single.coefs.shape == (1, 12)
    # from another start; the threshold bounds the squared change of a step, so the last step moves a coefficient of
    # size 1 by 1e-7, and the steps that are not taken any more add up to a few times that
    np.testing.assert_allclose(single.coefs[0], engine.path(design).coefs[1], rtol=0, atol=1e-6)


def test_more_columns_than_rows() -> None:
    fit = lasso_engine("native").cv(ask(data(60, 90)))
    np.testing.assert_allclose(fit.path.lambdas[99] / fit.path.lambdas[0], 1e-2, rtol=ROUNDING)
    assert "z0" in fit.selected("min")


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["native", "sklearn"])
def test_what_glmnet_refuses(engine: str) -> None:
    design = ask(data())
    lone = dataclasses.replace(design, names=("z0",), x=design.x[:, :1], penalty=np.ones(1))
    with pytest.raises(UnsupportedError, match="1 candidate"):
        lasso_engine(engine).cv(lone)
    with pytest.raises(UnsupportedError, match="All penalty factors are 0"):
        lasso_engine(engine).cv(dataclasses.replace(design, penalty=np.zeros(design.p)))
    with pytest.raises(DataError, match="does not vary"):
        lasso_engine(engine).path(dataclasses.replace(design, y=np.ones(design.n)))
    with pytest.raises(DataError, match="does not vary outside fold 3"):
        lasso_engine(engine).cv(dataclasses.replace(design, y=(design.foldid == 3).astype(float)))
    with pytest.raises(DataError, match="No candidate with a penalty varies"):
        lasso_engine(engine).cv(dataclasses.replace(design, x=np.ones((design.n, design.p), order="F")))


def test_a_class_of_one_row_is_refused_and_of_seven_warned_of() -> None:
    frame = data()
    frame["b"] = (frame["x"].rank() > 298).astype(int)
    frame["fold"] = np.arange(300) % 3 + 1
    frame.loc[frame["b"] == 1, "fold"] = [1, 2]  # two events, one of them without fold 1
    with pytest.raises(DataError, match="one row or none"):
        lasso_engine("native").cv(ask(frame, "b", family="binomial", folds=FoldColumn("fold")))
    frame["b"] = (frame["x"].rank() > 291).astype(int)
    events = np.flatnonzero(frame["b"])
    frame["fold"] = np.arange(300) % 3 + 1
    frame.loc[events, "fold"] = [1, 1, 2, 2, 3, 3, 3, 3, 3]
    design = ask(frame, "b", family="binomial", folds=FoldColumn("fold"))
    # nine events in all rows, seven without fold 1 or 2, four without fold 3
    assert [text for text in lasso_engine("native").cv(design).warnings if "fewer than 8" in text] == [cv.RARE] * 3


def test_binomial_rows_of_weight_zero_do_not_exist() -> None:
    frame = data()
    frame["z4"] = 1.0
    frame.loc[:20, "w"] = 0.0
    frame.loc[:20, "z4"] = np.arange(21.0)  # varies only where the weight is 0
    path = lasso_engine("native").path(ask(frame, "b", family="binomial", weights="w"))
    without = lasso_engine("native").path(ask(frame[21:], "b", family="binomial", weights="w"))
    np.testing.assert_array_equal(path.coefs, without.coefs)
    assert (path.coefs[:, 4] == 0).all()
    wide = data(70, 60)
    wide.loc[:24, "w"] = 0.0  # 45 rows are left, but it is the 70 that decide about the smallest λ
    path = lasso_engine("native").path(ask(wide, "b", family="binomial", weights="w"))
    np.testing.assert_allclose(path.lambdas[1:] / path.lambdas[:-1], 1e-4 ** (1 / 99), rtol=ROUNDING)


def test_passes_are_limited_as_in_r(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cv.MAX_PASSES, "default", 20)
    fit = lasso_engine("native").cv(ask(data()))
    assert any("not reached after maxit=20" in text for text in fit.warnings)
    assert len(fit.path.lambdas) < 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dependent": "b", "family": "binomial"}, "family=binomial"),
        ({"alpha": 0.0}, "Ridge"),
        ({"alpha": 0.5, "penalty_factor": (*[1] * 11, 2)}, "Unequal penalty factors"),
    ],
)
def test_scikit_says_what_it_does_not_offer(options: dict[str, object], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        lasso_engine("sklearn").cv(ask(data(), **options))  # type: ignore[arg-type]


# --- scikit-learn under the mirror --------------------------------------------------------------------------------

#: A duality gap of 1e-10 of y's variance lets fits differ by its root, 1e-5 of a standard deviation, and coefficients
#: by that times the condition of the design. Measured 2e-9 to 2e-5 of the largest coefficient.
SCIKIT = 1e-4
#: Without a penalty glmnet's own largest λ depends on its threshold: 7e-8 at 1e-14, 0 otherwise.
SCIKIT_LAMBDA = 1e-6


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weights": "w"},
        {"penalty_factor": (0, 0, 0.5, *[1] * 8, 3)},
        {"standardize": False, "intercept": False},
        {"alpha": 0.5},
        {"alpha": 0.5, "penalty_factor": (0, *[2] * 11)},
        {"lambdas": (1.0, 0.3, 0.1)},
    ],
    ids=str,
)
@pytest.mark.parametrize("rows", [300, 45_000])
def test_scikit_agrees_with_exact_solutions(options: dict[str, object], rows: int) -> None:
    design = ask(data(rows), **options)
    exact = lasso_engine("native").cv(ask(data(rows), threshold=TIGHT, **options))
    found = lasso_engine("sklearn").cv(design)
    np.testing.assert_allclose(found.path.lambdas, exact.path.lambdas, rtol=SCIKIT_LAMBDA)
    assert np.abs(found.path.coefs - exact.path.coefs).max() < SCIKIT * np.abs(exact.path.coefs).max()
    np.testing.assert_allclose(found.cvm, exact.cvm, rtol=SCIKIT)
    np.testing.assert_allclose(found.path.dev_ratio, exact.path.dev_ratio, atol=SCIKIT)
    assert (found.index_min, found.index_1se) == (exact.index_min, exact.index_1se)
    assert found.selected("1se") == exact.selected("1se")


def test_scikit_with_more_columns_than_rows() -> None:
    design = ask(data(80, 120))
    exact = lasso_engine("native").path(ask(data(80, 120), threshold=TIGHT))
    found = lasso_engine("sklearn").path(design)
    # flat directions of the loss: coefficients differ by more than fits do; measured 2e-5
    assert np.abs(found.coefs - exact.coefs).max() < 1e-3 * np.abs(exact.coefs).max()
    np.testing.assert_allclose(found.dev_ratio, exact.dev_ratio, atol=1e-6)


def test_the_largest_penalty_selects_nothing_whatever_the_solver_left_there() -> None:
    design = ask(data())
    parts = scikit._parts(cv.Problem(design.dense, design.y, None, design.penalty, None, design.spec))
    grid = np.abs(parts.x.T @ parts.y).max() * np.array([0.9, 0.8])
    cut, _, _ = scikit._descend(parts, grid, design.spec, cut=True)
    asked, _, _ = scikit._descend(parts, grid, design.spec, cut=False)
    assert (cut[0] == 0).all()
    assert (asked[0] != 0).any()
    np.testing.assert_array_equal(cut[1], asked[1])


def test_scikit_counts_the_penalties_at_which_it_did_not_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ivbridge.selection.scikit.PASSES", 3)
    assert "scikit-learn reached 3 passes" in ScikitLasso().cv(ask(data())).warnings[0]


def test_nothing_is_selected_at_the_largest_penalty_of_noise() -> None:
    frame = data()
    frame["x"] = np.random.default_rng(5).standard_normal(len(frame))
    for engine in ("native", "sklearn"):
        assert lasso_engine(engine).path(ask(frame)).nonzero[0] == 0


# --- installation -------------------------------------------------------------------------------------------------


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Pretend that exactly these distributions are installed."""

    def pretend(*names: str) -> None:
        def version(name: str) -> str:
            if name not in names:
                raise PackageNotFoundError(name)
            return "0"

        monkeypatch.setattr(native, "version", version)
        native._glmstar.cache_clear()

    yield pretend
    native._glmstar.cache_clear()


def test_without_glmstar_the_command_is_named(installed: Callable[..., None]) -> None:
    installed()
    with pytest.raises(MissingExtraError, match=r"pip install 'ivbridge\[glmnet\]'") as caught:
        lasso_engine("native").cv(ask(data()))
    assert "same name" not in str(caught.value)
    assert isinstance(lasso_engine("native").available(), Unavailable)


def test_another_package_of_the_same_module_is_named(installed: Callable[..., None]) -> None:
    installed("python-glmnet")
    with pytest.raises(MissingExtraError, match="python-glmnet is installed and has a module of the same name"):
        lasso_engine("native").cv(ask(data()))


def test_a_module_overwritten_by_another_package_is_noticed(
    installed: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import glmnet

    installed("glmstar", "glmnet")
    monkeypatch.delattr(glmnet, "GaussNet")
    found = lasso_engine("native").available()
    assert isinstance(found, Unavailable)
    assert found.do.startswith("pip uninstall -y glmnet glmstar && pip install")


def test_engines_tell_what_they_are() -> None:
    for engine, package in (("native", "glmstar"), ("sklearn", "scikit-learn")):
        assert lasso_engine(engine).available() == Available()
        assert {"python", package, "numpy"} <= set(lasso_engine(engine).versions())
        fit: LassoFit = lasso_engine(engine).cv(ask(data()))
        assert fit.engine == fit.provenance.engine == engine
        assert len(fit.provenance.script_sha256) == 64
        assert f"lasso_engine('{engine}')" in fit.provenance.calls[-1]


def test_the_callers_warning_filters_survive() -> None:
    before = list(warnings.filters)
    lasso_engine("native").cv(ask(data()))
    assert warnings.filters == before
