"""What fixed effects leave of columns, against least squares on all dummies and against whole numbers."""

from __future__ import annotations

import builtins
import importlib
import importlib.util
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from absorb_cases import rectangles
from scipy import sparse

from ivbridge.absorb import iterated
from ivbridge.absorb import within as module
from ivbridge.absorb.codes import coded, crossed, not_singletons
from ivbridge.absorb.demeaner import demeaned
from ivbridge.absorb.dof import count, is_nested
from ivbridge.absorb.graph import components, heaviest
from ivbridge.absorb.iterated import Iterated, StalledError
from ivbridge.absorb.normal import Normal
from ivbridge.absorb.within import within
from ivbridge.errors import DesignError, MissingExtraError

#: Rounding of columns near 1e3, of sums of some hundred of them, and of the least squares that they are compared with.
ROUNDING = 1e-10


def dummies(factors: Sequence[np.ndarray]) -> np.ndarray:
    return np.hstack([np.eye(factor.max() + 1)[factor] for factor in factors])


def graphs(q: int, n: int = 160) -> tuple[list[np.ndarray], np.random.Generator]:
    """q factors; the third is nested in the second, and two levels of the first are a component of their own."""
    random = np.random.default_rng(q)
    factors = [random.integers(0, levels, n) for levels in (14, 8, 5, 4)[:q]]
    if q > 1:
        alone = factors[0] >= 12
        factors[1][alone] = 7
        factors[1][~alone] %= 7
    if q > 2:
        factors[2] = factors[1] // 2
    return factors, random


@pytest.mark.parametrize("path", ["exact", "iteration"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("q", [1, 2, 3, 4])
def test_as_least_squares_on_all_dummies(q: int, weighted: bool, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    factors, random = graphs(q)
    n = len(factors[0])
    w = random.uniform(0.1, 3, n) if weighted else None
    columns = np.column_stack([1e3 + 10 * random.normal(size=n), random.normal(size=n), 1.5 * factors[0]])
    root = np.ones(n) if w is None else np.sqrt(w)
    matrix = dummies(factors)
    truth = columns - matrix @ np.linalg.lstsq(matrix * root[:, None], columns * root[:, None])[0]
    if path == "iteration":
        for name in ("FEW", "EXACT", "LARGEST"):
            monkeypatch.setattr(module, name, -1)
        monkeypatch.setattr(iterated, "EXACT", -1)
    found = within(list(columns.T), [coded(factor) for factor in factors], w)
    assert np.abs(found.values - truth).max() < ROUNDING
    assert found.absorbed.tolist() == [False, False, True]
    assert found.path == ("iteration" if path == "iteration" else "schur" if q > 1 else "means")
    assert found.rank == (None if path == "iteration" else np.linalg.matrix_rank(matrix))
    assert found.step < 1e-8


def test_a_ring_of_a_thousand_levels_in_whole_numbers() -> None:
    # up to 1e5·κ·2⁻⁵³ = 4e-6, κ = 4m²/π² of a ring of m levels, before the first correction; some 1e5·2⁻⁵³ after it
    (f, g), signs = rectangles(4000, 1000, 3)
    random = np.random.default_rng(1)
    column = signs + random.integers(-(10**5), 10**5, 4000)[f] + random.integers(-(10**5), 10**5, 1000)[g]
    found = within([column.astype(float)], [coded(f), coded(g)])
    assert np.abs(found.values[:, 0] - signs).max() < 1e-10
    assert found.rank == 4000 + 1000 - 1


@pytest.mark.parametrize(("first", "second", "hard"), [(4000, 2000, True), (300, 3, False)])
def test_iteration_in_whole_numbers(first: int, second: int, hard: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(iterated, "EXACT", 0)
    (f, g), signs = rectangles(first, second, 2)
    normal = Normal((coded(f), coded(g)))
    solver = Iterated(normal)
    values = (signs + np.abs(g - second // 2) + f % 11)[:, None]  # effects that change slowly around the ring
    for _ in range(3):
        module._subtract(normal, values, *solver.solve(*normal.sums(values)))
    assert np.abs(values[:, 0] - signs).max() < 1e-8  # κu of a ring of 2000 is 2e-10, its effects are up to 1000
    assert solver.hard == hard


@pytest.mark.parametrize("levels", [(40, 60, 50), (40, 10, 9)])
def test_pairs_of_smaller_factors(levels: tuple[int, int, int]) -> None:
    random = np.random.default_rng(7)
    factors = [coded(random.integers(0, count, 400)) for count in levels]
    w = random.uniform(0.5, 2, 400)
    normal = Normal(tuple(factors), w)
    small = dummies([factors[q][0] for q in normal.order[1:]])
    np.testing.assert_allclose(normal.inner.toarray(), small.T @ (small * w[:, None]), atol=1e-12)
    large = dummies([normal.first[0]])
    np.testing.assert_allclose(normal.table.toarray(), large.T @ (small * w[:, None]), atol=1e-12)


def test_weights_are_those_of_least_squares_and_scale_does_not_matter() -> None:
    factors, random = graphs(2)
    w = random.uniform(0.5, 2, len(factors[0]))
    column = random.normal(size=len(w))
    codes = [coded(factor) for factor in factors]
    one, other = within([column], codes, w), within([1e8 * column], codes, 1e6 * w)
    np.testing.assert_allclose(other.values / 1e8, one.values, atol=1e-12)
    sums = np.bincount(factors[0], weights=w * one.values[:, 0])
    assert np.abs(sums).max() < 1e-12


def test_the_table_of_pairs_may_be_dense() -> None:
    random = np.random.default_rng(5)
    f, g = random.integers(0, 30, 4000), random.integers(0, 20, 4000)
    column = random.normal(size=4000)
    found = within([column], [coded(f), coded(g)])
    matrix = dummies([f, g])
    truth = column - matrix @ np.linalg.lstsq(matrix, column)[0]
    assert np.abs(found.values[:, 0] - truth).max() < 1e-12


def test_pyfixest_takes_over_where_conjugate_gradients_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    factors, random = graphs(2)
    column = random.normal(size=len(factors[0]))
    codes = [coded(factor) for factor in factors]
    truth = within([column], codes).values
    for name in ("FEW", "EXACT"):
        monkeypatch.setattr(module, name, 0)

    def stall(*_: object) -> None:
        raise StalledError("too hard")

    monkeypatch.setattr(Iterated, "solve", stall)
    found = within([column], codes)
    assert found.path == "pyfixest" and np.abs(found.values - truth).max() < 1e-9  # its tolerance is 1e-12
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r'pip install "ivbridge\[peers\]"'):
        within([column], codes)


def test_what_pyfixest_does_not_find_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    solver = importlib.import_module("pyfixest.core.demean")
    monkeypatch.setattr(solver, "demean_within", lambda values, *_, **__: (values, False, None))
    factors, random = graphs(2)
    normal = Normal(tuple(coded(factor) for factor in factors))
    with pytest.raises(DesignError, match="singletons=drop"):
        demeaned(normal, random.normal(size=(normal.n, 1)))


def test_no_demeaner_is_imported_before_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    known = builtins.__import__

    def without(name: str, *rest: object, **more: object) -> object:
        assert not name.startswith("pyfixest")
        return known(name, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    factors, random = graphs(2)
    within([random.normal(size=len(factors[0]))], [coded(factor) for factor in factors])


@pytest.mark.parametrize(
    "values",
    [
        pd.Series([3, 1, 3, 7]), pd.Series([3.0, 1.0, 3.0, 7.0]), pd.Series(["b", "a", "b", "c"]).astype("category"),
        np.array([10**15, -(10**15), 10**15, 0]), pd.Series([2.5, 1.5, 2.5, -1.0]), pd.Series(["b", "a", "b", "c"]),
    ],
)  # fmt: skip
def test_codes(values: pd.Series) -> None:
    codes, levels = coded(values)
    assert levels == 3 and codes.dtype == np.int32 and sorted(set(codes)) == [0, 1, 2]
    assert codes[0] == codes[2] and len({codes[0], codes[1], codes[3]}) == 3


def test_unused_categories_and_combinations() -> None:
    values = pd.Series(pd.Categorical(["a", "c"], categories=["a", "b", "c"]))
    assert coded(values)[1] == 2
    codes, levels = crossed([coded(np.array([0, 0, 1, 1])), coded(np.array([5, 6, 5, 5]))])
    assert levels == 3 and codes[2] == codes[3] and len({*codes[:3]}) == 3


def test_singletons_go_until_none_is_left() -> None:
    chain = [coded(np.array([0, 0, 1, 1, 2, 2, 3])), coded(np.array([0, 1, 1, 2, 2, 3, 3]))]
    assert not_singletons(chain).tolist() == []
    closed = [coded(np.array([0, 0, 1, 1, 2, 2, 3])), coded(np.array([0, 1, 1, 2, 2, 0, 0]))]
    assert not_singletons(closed).tolist() == [0, 1, 2, 3, 4, 5]
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"f": random.integers(0, 300, 400), "g": random.integers(0, 150, 400)})
    found = not_singletons([coded(frame.f), coded(frame.g)])
    while True:
        kept = frame[~(frame.groupby("f").f.transform("size").eq(1) | frame.groupby("g").g.transform("size").eq(1))]
        if len(kept) == len(frame):
            break
        frame = kept
    assert found.tolist() == frame.index.tolist() and 0 < len(found) < 400


def test_what_counts_as_absorbed_is_rs_rule() -> None:
    # relative to the column as it is, as lm does: 1e-7 of its length
    random = np.random.default_rng(2)
    factors = [random.integers(0, 9, 300), random.integers(0, 6, 300)]
    noise = random.normal(size=300)
    columns = [0.1 * factors[0] + 0.3 * factors[1], 1e9 + noise, 1e5 + noise, 1e-9 * noise]
    found = within(columns, [coded(factor) for factor in factors])
    assert found.absorbed.tolist() == [True, True, False, False]
    assert 0 < found.remains[0] < 1e-10


def test_the_heaviest_of_each_component() -> None:
    linked = sparse.csr_array(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    assert heaviest(linked, np.array([1.0, 5.0, 2.0, 0.5])).tolist() == [1, 2, 3]


def test_components() -> None:
    f, g = np.array([0, 0, 1, 2, 3, 3]), np.array([0, 1, 1, 2, 3, 2])
    assert components(coded(f), coded(g)) == 2
    assert components(coded(g), coded(f)) == 2


def test_counting() -> None:
    # f has 6 levels, g 4; the graph has 2 components; c groups levels of f
    f = coded(np.array([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]))
    g = coded(np.array([0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3]))
    c = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
    assert is_nested(f, c) and not is_nested(g, c)
    assert (count("fixest", [f, g], [], 8).absorbed, count("fixest", [f, g], [c], 8).nested) == (9, 5)
    assert count("fixest", [f], [c], 6).nested == 5  # all nested: one is left, for the constant
    assert count("reghdfe", [f, g], [], 8).absorbed == 6 + 4 - 2
    of_clusters = count("reghdfe", [f, g], [c], 8)
    assert of_clusters.absorbed - of_clusters.nested == 4 + 1  # g, which has no partner then, and one for f
    assert count("exact", [f, g], [c], None).absorbed == 8 and count("exact", [f, g], [c], 8).nested == 0
    third = coded(np.array([0, 1] * 6))  # one level for each of g's in a component: 1 component with f, 2 with g
    assert count("reghdfe", [f, g, third], [], None).absorbed == 6 + (4 - 2) + (2 - 2)
    with pytest.raises(DesignError, match="dof=reghdfe"):
        count("exact", [f, g, third], [], None)


@pytest.mark.parametrize("weighted", [False, True])
def test_factors_that_the_largest_one_nests(weighted: bool) -> None:
    random = np.random.default_rng(8)
    for n in (12, 40, 400):
        first, second = random.integers(0, n // 4, n), random.integers(0, 3, n)
        nesting = np.unique(3 * first + second, return_inverse=True)[1]
        weights = 10 ** random.uniform(-4, 4, n) if weighted else None
        column = random.normal(size=n) + nesting
        found = within([column], [coded(f) for f in (first, second, nesting)], weights, rank=True)
        assert found.rank == nesting.max() + 1  # their dummies add nothing
        alone = within([column], [coded(nesting)], weights)
        np.testing.assert_allclose(found.values, alone.values, atol=1e-9 if weighted else ROUNDING)
