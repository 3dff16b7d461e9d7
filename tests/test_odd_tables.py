"""Tables of unusual kinds: engine fast, which reads columns where they lie, says what the native engine says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import ivbridge
from ivbridge.errors import DataError, DesignError

QUESTION, N = "y ~ w + x | w + z", 60


def arrays() -> dict[str, Any]:
    """An endogenous x with instrument z, w, clusters g, weights a."""
    random = np.random.default_rng(3)
    z, w, u, v = random.normal(size=(4, N))
    x = z + u + v
    group, weights = random.integers(0, 9, N), random.uniform(0.5, 2, N)
    return {"y": 1 + x - w + u, "x": x, "w": w, "z": z, "g": group, "a": weights}


def both(data: Any, **options: Any) -> list[Any]:
    """Coefficients and standard errors, or the message, of the native and of the fast engine."""
    found: list[Any] = []
    for engine in ("native", "fast"):
        try:
            fit = ivbridge.fit(QUESTION, data, "cluster(g)", engine=engine, **options)
        except DataError as error:
            found.append(str(error))
        else:
            found.append(np.concatenate([fit.params, fit.coefs.std_error]))
    return found


def masked(name: str) -> Callable[[dict[str, Any]], Any]:
    """The column with five masked rows, in which nonsense stands."""

    def change(data: dict[str, Any]) -> Any:
        hidden = np.arange(N) < 5
        return data | {name: np.ma.array(np.where(hidden, data[name].dtype.type(77), data[name]), mask=hidden)}

    return change


@pytest.mark.parametrize("name", ["x", "g", "a"])
def test_masked_values_are_missing(name: str) -> None:
    native, fast = both(masked(name)(arrays()), weights="a")
    if name == "g":
        assert native == fast
        assert "missing in 5" in fast
    else:
        np.testing.assert_allclose(fast, native, rtol=1e-11)
        without = {key: values[5:] for key, values in arrays().items()}
        np.testing.assert_allclose(fast, both(without, weights="a")[0], rtol=1e-11)


def test_masked_weights_are_missing() -> None:
    data = arrays()
    hidden = np.arange(N) < 5
    weights = np.ma.array(np.where(hidden, 77.0, data["a"]), mask=hidden)
    found = both(data, weights=weights)
    for one in found:
        np.testing.assert_allclose(one, both(data, weights=np.where(hidden, np.nan, data["a"]))[0], rtol=1e-11)


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "two dimensions": lambda data: data | {"x": data["x"][:, None]},
    "two dimensions, all": lambda data: {name: values[:, None] for name, values in data.items()},
    "numbers": lambda data: {name: np.array(1.0) for name in data},
    "another length": lambda data: data | {"z": data["z"][:-1]},
    "arrays of Polars": lambda data: pl.DataFrame(data).with_columns(x=pl.Series(np.c_[data["x"], data["x"]])),
    "groups of Polars": lambda data: pl.DataFrame(data).with_columns(g=pl.Series(np.c_[data["g"], data["g"]])),
    "128 bits": lambda data: pl.DataFrame(data).with_columns(w=pl.int_range(N).cast(pl.Int128)),
    "times": lambda data: pl.DataFrame(data).with_columns(w=pl.int_range(N).cast(pl.Time)),
    "one name twice": lambda data: pa.table(data).append_column("x", pa.array(data["x"])),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_is_no_column_of_numbers_is_refused(change: Callable[[dict[str, Any]], Any]) -> None:
    native, fast = both(change(arrays()))
    assert isinstance(fast, str)
    assert native == fast


@pytest.mark.parametrize("shape", [(N - 1,), (N, 1), ()])
def test_weights_of_another_shape(shape: tuple[int, ...]) -> None:
    native, fast = both(arrays(), weights=np.ones(shape))
    assert native == fast
    assert "weights have the shape" in fast


def test_a_number_in_a_mapping_is_a_column() -> None:
    data = arrays() | {"w": np.array(3.0)}
    native, fast = both(data)
    np.testing.assert_allclose(fast, native, rtol=1e-11)


def test_columns_that_a_question_does_not_use_do_not_matter() -> None:
    data = arrays()
    more: dict[str, Any] = {"short": np.zeros(3), "wide": np.zeros((N, 2)), "aligned": pd.Series([1.0], index=[99])}
    fit = ivbridge.fit(QUESTION, data | more, "cluster(g)", engine="fast", weights=data["a"])
    assert fit.n == N
    assert fit.data_sha256 == ivbridge.fit(QUESTION, data, "cluster(g)", weights=data["a"]).data_sha256
    np.testing.assert_allclose(fit.params, both(data | more, weights=data["a"])[0][:3], rtol=1e-11)


def test_columns_that_are_replaced_after_the_fit_do_not_matter() -> None:
    data = arrays()
    native = ivbridge.fit(QUESTION, data, "cluster(g)")
    fit = ivbridge.fit(QUESTION, data, "cluster(g)", engine="fast")
    data |= {"x": np.zeros(N), "g": np.zeros(N, dtype=int)}
    assert fit.data_sha256 == native.data_sha256
    np.testing.assert_array_equal(fit.seen.x, native.seen.x)
    np.testing.assert_array_equal(fit.seen.groups["g"], native.seen.groups["g"])
    np.testing.assert_allclose(fit.residuals, native.residuals, atol=1e-11)


def test_a_name_that_a_caller_gives_to_labels_is_of_that_series() -> None:
    fit = ivbridge.fit(QUESTION, arrays(), "HC1", engine="fast")
    fit.params.index.name = "term"
    assert fit.params.index.name is None


@pytest.mark.parametrize("engine", ["native", "fast"])
def test_a_model_without_any_regressor_that_varies_is_refused(engine: str) -> None:
    data = {"y": np.arange(6.0), "w": np.zeros(6), "v": np.zeros(6)}
    with pytest.raises(DesignError, match="No regressor is left: zero in every row are w, v"):
        ivbridge.fit("y ~ 0 + w + v", data, "HC1", engine=engine)


@pytest.mark.parametrize("vcov", ["HC1", "cluster(g)"])
@pytest.mark.parametrize("weights", [None, "a"])
@pytest.mark.parametrize("name", ["y", "x", "w"])
def test_an_array_changed_between_fit_and_look_is_noticed(name: str, weights: str | None, vcov: str) -> None:
    data = arrays()
    data["y"] = data["y"] + data["z"]  # over-identified or not, every column matters to the residuals
    fit = ivbridge.fit(QUESTION, data, vcov, engine="fast", weights=weights)
    data[name][5] += 1e-3
    with pytest.raises(DataError, match="read different rows"):
        _ = fit.residuals
    with pytest.raises(DataError, match="read different rows"):
        _ = fit.tests
    data[name][5] -= 1e-3
    assert np.isfinite(fit.residuals).all()
