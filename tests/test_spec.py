"""The question as a record: equality, canonical texts, arrays, pickling."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest

from ivbridge.design import build
from ivbridge.errors import DataError, FormulaError, UnsupportedError
from ivbridge.spec import IVSpec, from_arrays
from ivbridge.vcov import HC1, Clustered, T, Z


def test_fields_are_canonical() -> None:
    spec = IVSpec(
        "np.log( packs )", exog=("C(region)", "b:a", "a"), endog="np.log(x)", instruments=["z", "I(x**2)"], vcov="HC1",
        inference="z", offset="np.log(o)",
    )  # fmt: skip
    assert spec.dependent == "log(packs)"
    assert spec.exog == ("factor(region)", "a", "a:b")
    assert spec.endog == ("log(x)",)
    assert spec.instruments == ("z", "I(x^2)")
    assert (spec.vcov, spec.inference, spec.offset) == (HC1(), Z(), "log(o)")


def test_simple_record() -> None:
    spec = IVSpec("y", endog=("x",), instruments=("z",))
    assert spec == IVSpec.from_formula("y ~ x | z") == IVSpec.from_formula("y ~ 1 + [x ~ z]")
    assert spec.vcov is None
    assert spec.inference == T()
    assert spec.regressors == ("x",)
    assert spec.all_instruments == ("z",)
    assert str(spec) == "y ~ x | z"
    assert str(spec.with_vcov("HC1")) == "y ~ x | z · vcov=HC1"


def test_columns_cover_everything_once() -> None:
    spec = IVSpec.from_formula(
        "log(y) ~ x:w + poly(w, 2) + offset(o / p) + `a b` | z + poly(w, 2) + factor(`a b`)",
        vcov=Clustered(("firm", "y")), weights="pop",
    )  # fmt: skip
    assert set(spec.columns) == {"y", "o", "p", "w", "a b", "x", "z", "pop", "firm"}
    assert len(spec.columns) == 9


def test_hash_pickle_and_change() -> None:
    spec = IVSpec.from_formula("y ~ x + w | w + z", vcov="cluster(g)", weights="p")
    again = pickle.loads(pickle.dumps(spec))
    assert again == spec
    assert len({spec, again}) == 1
    changed = spec.with_vcov("HC1", "z")
    assert (changed.vcov, changed.inference, changed.weights) == (HC1(), Z(), "p")
    assert spec.with_vcov(None).vcov is None
    with pytest.raises(AttributeError):
        spec.dependent = "z"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"dependent": "y", "exog": ("y",)}, "also a regressor"),
        ({"dependent": "y", "instruments": ("y",)}, "also a regressor"),
        ({"dependent": "y", "intercept": False}, "no regressor and no intercept"),
        ({"dependent": "3"}, "names no column"),
        ({"dependent": "y", "exog": ("x",), "endog": ("x",)}, "exogenous and as endogenous"),
        ({"dependent": "y", "exog": ("x", "x")}, "x is named twice as exogenous"),
        ({"dependent": "y", "exog": ("a:b", "b:a")}, "b:a is named twice as exogenous"),
        ({"dependent": "y", "exog": ("a + b",)}, "not one term"),
        ({"dependent": "y", "exog": ("a * b",)}, "not one term"),
        ({"dependent": "y", "exog": ("1",)}, "not one term"),
        ({"dependent": "y", "exog": ("offset(a)",)}, "offset"),
        ({"dependent": "y ~ x"}, "Cannot read"),
        ({"dependent": "factor(y)"}, "not arithmetic"),
        ({"dependent": "y", "exog": (3,)}, "A formula is a text"),
        ({"dependent": None}, "A formula is a text"),
        ({"dependent": "y", "exog": ("x",), "weights": "log`"}, "cannot be used"),
        ({"dependent": "y", "exog": ("I(" + "+".join(["x"] * 200) + ")",)}, "longer than 400"),
        ({"dependent": "+".join(["x"] * 200)}, "longer than 400"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, object], words: str) -> None:
    with pytest.raises(FormulaError, match=words):
        IVSpec(**fields)  # type: ignore[arg-type]


def test_unknown_vcov_and_inference() -> None:
    with pytest.raises(UnsupportedError):
        IVSpec.from_formula("y ~ x", vcov="HC9")
    with pytest.raises(UnsupportedError):
        IVSpec.from_formula("y ~ x", inference="normal")


def test_arrays_without_names() -> None:
    rng = np.random.default_rng(0)
    n = 20
    w, x, z, p = rng.normal(size=(n, 2)), rng.normal(size=n), rng.normal(size=(n, 2)), rng.random(n)
    y = x + rng.normal(size=n)
    spec, frame = from_arrays(y, np.column_stack([np.ones(n), w]), x, z, p)
    assert spec == IVSpec("y", ("w2", "w3"), ("x1",), ("z1", "z2"), weights="weights")
    design = build(spec, frame)
    assert design.x_names == ("(Intercept)", "w2", "w3", "x1")
    np.testing.assert_array_equal(design.x, np.column_stack([np.ones(n), w, x]))
    np.testing.assert_array_equal(design.z, np.column_stack([np.ones(n), w, z]))
    np.testing.assert_array_equal(design.weights, p)


def test_arrays_without_a_column_of_ones_have_no_intercept() -> None:
    spec, frame = from_arrays([1.0, 2, 4, 5], [[1], [0], [2], [3]])
    assert spec == IVSpec("y", ("w1",), intercept=False)
    assert list(frame.columns) == ["y", "w1"]


def test_pandas_names_are_kept() -> None:
    index = list("pqrs")
    y = pd.Series([1.0, 2, 4, 3], name="my y", index=index)
    exog = pd.DataFrame({"const": 1, "größe": [1.0, 3, 2, 2], 7: [0.0, 1, 1, 0]}, index=index)
    endog = pd.Series([2.0, 1, 2, 3], index=index)
    spec, frame = from_arrays(y, exog, endog, pd.Series([1.0, 2, 2, 5], name="if", index=index))
    assert spec == IVSpec("`my y`", ("größe", "`7`"), ("x",), ("`if`",))
    assert list(frame.columns) == ["my y", "größe", "7", "x", "if"]
    assert frame.index.equals(pd.RangeIndex(4))


def test_categorical_columns_of_a_frame_become_factors() -> None:
    exog = pd.DataFrame({"const": 1.0, "g": list("aabbcc")})
    spec, frame = from_arrays(np.array([1.0, 2, 4, 3, 1, 2]), exog)
    assert build(spec, frame).x_names == ("(Intercept)", "gb", "gc")


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        (([1, 2, 3], [1, 2]), "different lengths"),
        ((np.zeros((3, 2)), [1, 2, 3]), "dependent has 2 columns"),
        ((np.zeros((3, 1, 1)), [1, 2, 3]), "3 dimensions"),
        ((3.0,), "0 dimensions"),
        ((pd.Series([1, 2]), pd.Series([1, 2], index=[1, 0])), "index of exog differs"),
        ((pd.Series([1, 2], name="a"), pd.Series([1, 2], name="a")), "Two columns are called 'a'"),
    ],
)
def test_arrays_that_do_not_fit(arrays: tuple[object, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        from_arrays(*arrays)
