"""The scikit-learn estimator: scikit-learn's own checks, columns, makers of instruments, and the score."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator

from ivbridge import iv_ml
from ivbridge.errors import DataError
from ivbridge.iv_ml.criterion import moment_kernel, moment_violation
from ivbridge.iv_ml.data import IVData
from ivbridge.iv_ml.estimators import IVRegressor
from ivbridge.iv_ml.generated import Generator
from ivbridge.iv_ml.generation.none_iv import NoneIV
from ivbridge.iv_ml.regression.kernel_iv import KernelIV
from ivbridge.iv_ml.ridge import PolynomialGrid
from ivbridge.iv_ml.training import Schedule
from ivbridge.records import FloatArray

#: Left out by scikit-learn itself where SCIPY_ARRAY_API is not set.
NOT_RUN = {"check_array_api_input"}
#: Columns lie in memory in another order, and sums with them are made in another.
LAYOUT = 1e-10


def table(n: int = 400, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Columns covariate, treatment, instrument, instrument; Y = 2T + x + confounder."""
    random = np.random.default_rng(seed)
    x, z, other, u = random.standard_normal((4, n))
    t = z + 0.5 * other + u + 0.3 * x
    return np.column_stack([x, t, z, other]), 2 * t + x + 2 * u + random.standard_normal(n)


def checked(estimator: IVRegressor) -> None:
    found = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = {one["check_name"]: one["exception"] for one in found if one["status"] == "failed"}
    assert not failed
    assert {one["check_name"] for one in found if one["status"] != "passed"} <= NOT_RUN
    assert len(found) > 40


@pytest.mark.parametrize("name", ["poly2sls", "kernel_iv", "linear_2sls", "mode_ensemble"])
def test_sklearns_checks_pass(name: str) -> None:
    checked(IVRegressor(name))


@pytest.mark.parametrize("name", ["none_iv", "mode_iv"])
def test_sklearns_checks_pass_with_a_maker(name: str) -> None:
    checked(IVRegressor("poly2sls", instruments=iv_ml.generator_class(name)()))


@pytest.mark.slow
@pytest.mark.parametrize("maker", [iv_ml.MetaKM(groups=2), iv_ml.AutoIV(schedule=Schedule(3))], ids=["km", "auto"])
def test_sklearns_checks_pass_with_a_maker_that_learns(maker: Generator) -> None:
    checked(IVRegressor("poly2sls", instruments=maker))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["agmm", "deep_gmm", "deep_iv", "dfiv", "dual_iv", "nn2sls", "one_siv"])
def test_sklearns_checks_pass_with_networks(name: str) -> None:
    kind = iv_ml.method_class(name)
    settings: dict[str, Any] = {
        field: Schedule(2, 32)
        for field in kind.__dataclass_fields__
        if kind.__dataclass_fields__[field].type == "Schedule"
    }
    if "stopping" in kind.__dataclass_fields__:
        settings["stopping"] = None  # tables of a few rows have none to hold out
    checked(IVRegressor(kind(**settings)))


def test_it_is_the_method_on_these_columns() -> None:
    X, y = table()
    found = IVRegressor("poly2sls", endog=1, instruments=(2, -1)).fit(X, y)
    curve = iv_ml.Poly2SLS().fit(IVData(y, X[:, 1], X[:, [0]], X[:, 2:]))
    assert_allclose(found.predict(X), curve.predict(X[:, 1], X[:, [0]]), rtol=LAYOUT, atol=LAYOUT)
    assert_allclose(found.effect(X, 1.0, 0.0), curve.effect(1.0, 0.0, X[:, [0]]), rtol=LAYOUT, atol=LAYOUT)
    assert (found.endog_, found.exog_.tolist(), found.instruments_.tolist()) == (1, [0], [2, 3])
    changed = X.copy()
    changed[:, 2:] = 0
    assert_array_equal(found.predict(changed), found.predict(X))


def test_columns_of_a_frame_have_names() -> None:
    X, y = table()
    frame = pd.DataFrame(X, columns=["age", "price", "cost", "weather"])
    named = IVRegressor("poly2sls", endog="price", instruments=["cost", "weather"]).fit(frame, y)
    plain = IVRegressor("poly2sls", 1, (2, 3)).fit(X, y).predict(X)
    assert_allclose(named.predict(frame), plain, rtol=LAYOUT, atol=LAYOUT)
    with pytest.raises(ValueError, match="feature names"):
        named.predict(frame[["price", "age", "cost", "weather"]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"instruments": 9}, "no column 9 in X. Available: 0 … 3"),
        ({"endog": "price"}, "no column 'price'"),
        ({"endog": -5}, "no column -5"),
        ({"endog": 1, "instruments": (2, -3)}, "name a column twice"),
        ({"instruments": ()}, r"instruments=\(\) was asked"),
        ({"instruments": None}, "instruments=None was asked"),
        ({"instruments": 1.0}, "instruments=1.0 was asked"),
        ({"instruments": NoneIV}, "instruments=<class .*such as MetaEM"),
    ],
)
def test_wrong_columns_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        IVRegressor("poly2sls", **settings).fit(*table(50))


@pytest.mark.parametrize("method", [None, KernelIV, NoneIV(), 3])
def test_what_is_no_method_is_refused(method: Any) -> None:
    with pytest.raises(DataError, match=r"method=.* was asked.*such as KernelIV\(\)"):
        IVRegressor(method).fit(*table(50))


def test_nothing_is_predicted_before_the_fit() -> None:
    with pytest.raises(NotFittedError):
        IVRegressor().score(*table(50))


def test_the_score_is_the_moment_restriction_on_new_rows() -> None:
    (X, y), (new, outcome) = table(), table(300, seed=1)
    found = IVRegressor("poly2sls", 1, (2, 3)).fit(X, y)
    violation = moment_violation(outcome - found.predict(new), moment_kernel(new[:, 2:], new[:, [0]]))
    assert found.score(new, outcome) == -violation < 0


def test_the_score_sees_confounding_where_the_squared_error_is_deceived() -> None:
    X, y = table(1000)
    new, outcome = table(1000, seed=1)
    causal = IVRegressor("linear_2sls", 1, (2, 3)).fit(X, y)
    ordinary = IVRegressor("linear_2sls", 1, 2).fit(X[:, [0, 1, 1]], y)  # T is its own instrument
    least, seen = outcome - ordinary.predict(new[:, [0, 1, 1]]), outcome - causal.predict(new)
    kernel = moment_kernel(new[:, 2:], new[:, [0]])
    assert (least**2).mean() < (seen**2).mean()
    assert moment_violation(seen, kernel) < 0.2 * moment_violation(least, kernel)


def test_a_search_chooses_by_the_score() -> None:
    X, y = table(300)
    flat = PolynomialGrid(degrees=(1,), penalties=(1e6,))
    methods = [iv_ml.Poly2SLS(), iv_ml.Poly2SLS(second=flat)]
    search = GridSearchCV(IVRegressor(endog=1, instruments=(2, 3)), {"method": methods}, cv=3).fit(X, y)
    assert search.best_params_["method"] == methods[0]
    assert cross_val_score(IVRegressor("poly2sls", 1, (2, 3)), X, y, cv=3).max() <= 0


def test_it_works_in_a_pipeline_and_with_a_random_state() -> None:
    X, y = table(100)
    steps = make_pipeline(FunctionTransformer(), IVRegressor("poly2sls", 1, (2, 3), random_state=None))
    assert_allclose(steps.fit(X, y).predict(X), IVRegressor("poly2sls", 1, (2, 3)).fit(X, y).predict(X), rtol=1e-12)
    drawn = [
        IVRegressor("poly2sls", 1, 2, random_state=np.random.RandomState(5)).fit(X, y).curve_.seed for _ in range(2)
    ]
    assert drawn == [np.random.RandomState(5).randint(2**31 - 1)] * 2
    assert IVRegressor("poly2sls", 1, 2, random_state=7).fit(X, y).curve_.seed == 7


def test_a_maker_makes_the_instrument_from_the_other_columns() -> None:
    X, y = table()
    found = IVRegressor("poly2sls", 1, iv_ml.UAS()).fit(X, y)
    assert found.exog_.tolist() == [0, 2, 3]
    assert_allclose(found.instrument_.values[:, 0], X[:, [0, 2, 3]].mean(axis=1), rtol=1e-12)
    made = moment_kernel(X[:, [0, 2, 3]].mean(axis=1, keepdims=True), X[:, [0, 2, 3]])
    assert found.score(X, y) == pytest.approx(-moment_violation(y - found.predict(X), made), rel=1e-9)


def test_without_sklearn_the_reader_is_told_what_to_install() -> None:
    program = (
        "import sys; sys.modules['sklearn.base'] = None\n"
        "from ivbridge.errors import MissingExtraError\n"
        "try:\n    import ivbridge.iv_ml.estimators\n"
        "except MissingExtraError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Estimators need scikit-learn 1.6" in done.stdout
    assert 'pip install "ivbridge[torch]"' in done.stdout
