"""Sums of blocks equal the whole: exactly where doubles are exact, and within a stated bound where they are not.

Whole numbers (products and sums below 2⁵³) leave no rounding at all, so that every splitting into blocks and pieces
must give the integers that Python's own arithmetic gives. For other data the reference is rational arithmetic. A sum of
products, evaluated in any order with at most K roundings on the way of a term, differs from its exact value by
γ_K = Ku/(1 − Ku) times the same sum of absolute values at most (Higham 2002, Accuracy and Stability of Numerical
Algorithms, lemma 3.1); u = 2⁻⁵³.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivbridge.blocks.factor import Orthonormal
from ivbridge.blocks.rows import Block, Columns
from ivbridge.blocks.scores import Scored, Scores
from ivbridge.blocks.sums import Cross, TriangleOf
from ivbridge.scale.pieces import Pieces

U = Fraction(1, 2**53)
#: Roundings in an entry of W: the subtraction of the shift, the root of the weight, their product.
ENTRY = 3

Matrix = Any  # of doubles, of Python's integers or of fractions


def gamma(k: int) -> Fraction:
    return k * U / (1 - k * U)


@dataclass(frozen=True)
class Held:
    """A piece whose blocks are in memory."""

    held: tuple[Block, ...]

    def blocks(self) -> Iterator[Block]:
        yield from self.held


@dataclass(frozen=True)
class Whole:
    """Rows before they are split: columns (n, width), weights (n,), codes (groupings, n), shift (width,) or None."""

    columns: np.ndarray
    weights: np.ndarray | None
    codes: np.ndarray
    groups: tuple[int, ...]
    shift: np.ndarray | None

    @property
    def n(self) -> int:
        return len(self.columns)

    @property
    def width(self) -> int:
        return self.columns.shape[1]

    @property
    def m(self) -> int:
        return self.width + (self.shift is not None)

    def split(self, cuts: Sequence[int], pieces: Sequence[int]) -> Pieces:
        """Blocks end at `cuts`, and pieces where `pieces` cuts the list of blocks."""
        edges = [0, *sorted({cut % self.n for cut in cuts} - {0}), self.n]
        blocks = tuple(self._block(slice(a, b)) for a, b in pairwise(edges))
        ends = [0, *sorted({end % len(blocks) for end in pieces} - {0}), len(blocks)]
        return Pieces(tuple(Held(blocks[a:b]) for a, b in pairwise(ends)), self.width, np.zeros(self.width))

    def _block(self, rows: slice) -> Block:
        weights = None if self.weights is None else self.weights[rows]
        return Block(list(self.columns[rows].T), weights, tuple(codes[rows] for codes in self.codes))

    def exact(self, number: type) -> tuple[Matrix, Matrix]:
        """W without its weights, (n, m), and the weights, (n,), in exact arithmetic."""
        rows = [[number(x) for x in row] for row in self.columns.tolist()]
        if self.shift is not None:
            shift = [number(s) for s in self.shift.tolist()]
            rows = [[number(1), *(x - s for x, s in zip(row, shift, strict=True))] for row in rows]
        weights = [1.0] * self.n if self.weights is None else self.weights.tolist()
        return np.array(rows, dtype=object), np.array([number(w) for w in weights], dtype=object)


cuts = st.lists(st.integers(0, 10_000), max_size=12)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def wholes(draw: st.DrawFn, *, integers: bool, most: int) -> Whole:
    """Whole numbers with weights that are squares, or numbers of very different sizes, sorted for good measure."""
    random = np.random.default_rng(draw(seeds))
    n, width = draw(st.integers(1, most)), draw(st.integers(1, 4))
    shifted, weighted = draw(st.booleans()), draw(st.booleans())
    groups = tuple(draw(st.lists(st.integers(1, 5), max_size=2)))
    codes = np.array([random.integers(0, count, n) for count in groups], dtype=np.int64).reshape(len(groups), n)
    if integers:
        columns = random.integers(-16, 17, (n, width)).astype(float)
        weights, shift = random.integers(1, 5, n) ** 2.0, random.integers(-9, 10, width).astype(float)
    else:
        columns = random.standard_normal((n, width)) * 10.0 ** random.integers(-6, 7, width)
        columns[:, 0] = np.sort(columns[:, 0])
        weights, shift = random.uniform(0.1, 9, n), columns[: max(1, n // 3)].mean(axis=0)
    return Whole(columns, weights if weighted else None, codes, groups, shift if shifted else None)


def numbers(array: np.ndarray, number: type) -> Matrix:
    return np.array([number(x) for x in array.ravel().tolist()], dtype=object).reshape(array.shape)


def small(random: np.random.Generator, shape: tuple[int, ...], *, integers: bool) -> np.ndarray:
    return random.integers(-3, 4, shape).astype(float) if integers else random.standard_normal(shape)


def assert_near(found: np.ndarray, exact: Matrix, absolute: Matrix, roundings: int) -> None:
    bound = gamma(roundings)
    pairs = zip(numbers(np.asarray(found), Fraction).ravel(), np.ravel(exact), np.ravel(absolute), strict=True)
    assert all(abs(one - other) <= bound * size for one, other, size in pairs)


# the first pass


def first_pass(whole: Whole, turn: np.ndarray | None) -> Cross | Orthonormal:
    return Cross(whole.shift, whole.width) if turn is None else Orthonormal(whole.shift, whole.width, turn)


@given(wholes(integers=True, most=60), cuts, cuts, seeds, st.booleans())
def test_cross_products_of_whole_numbers_are_exact(whole: Whole, c: Any, p: Any, seed: int, turned: bool) -> None:
    inverse = np.triu(small(np.random.default_rng(seed), (whole.m, whole.m), integers=True)) if turned else None
    found = whole.split(c, p).reduce(first_pass(whole, inverse))
    w, weights = whole.exact(int)
    if inverse is not None:
        w = w @ numbers(inverse, int)
    assert found.n == whole.n
    assert np.array_equal(found.gram, (w.T * weights @ w).astype(float))


@settings(max_examples=40)
@given(wholes(integers=False, most=30), cuts, cuts, seeds, st.booleans())
def test_cross_products_of_other_numbers(whole: Whole, c: Any, p: Any, seed: int, turned: bool) -> None:
    inverse = np.triu(small(np.random.default_rng(seed), (whole.m, whole.m), integers=False)) if turned else None
    found = whole.split(c, p).reduce(first_pass(whole, inverse))
    w, weights = whole.exact(Fraction)
    size = abs(w)
    roundings = 2 * ENTRY + whole.n
    if inverse is not None:
        turn = numbers(inverse, Fraction)
        w, size, roundings = w @ turn, size @ abs(turn), roundings + 2 * whole.m
    assert found.n == whole.n
    assert_near(found.gram, w.T * weights @ w, size.T * weights @ size, roundings)


@settings(max_examples=40)
@given(wholes(integers=False, most=30), cuts, cuts)
def test_triangular_factors(whole: Whole, c: Any, p: Any) -> None:
    """R'R is W'W up to 2(n + blocks·m)·m roundings of the columns' lengths (Higham 2002, theorem 19.4)."""
    pieces = whole.split(c, p)
    found = pieces.reduce(TriangleOf(whole.shift, whole.width))
    w, weights = whole.exact(Fraction)
    assert found.n == whole.n
    assert np.array_equal(found.r, np.triu(found.r))
    r = numbers(found.r, Fraction)
    lengths = np.array([Fraction(float(x) ** 0.5 * (1 + 1e-12)) for x in np.diag(w.T * weights @ w)], dtype=object)
    blocks = sum(len(piece.held) for piece in pieces.pieces) + len(pieces.pieces)
    roundings = 2 * (whole.n + blocks * whole.m) * whole.m + 2 * ENTRY
    sizes = lengths[:, None] * lengths
    assert (abs(r.T @ r - w.T * weights @ w) <= gamma(roundings) * sizes).all()


# the second pass


def second_pass(whole: Whole, seed: int, *, integers: bool) -> Scores:
    """Two regressions, of 2 and 1 regressors, and one first stage."""
    random = np.random.default_rng(seed)
    first = Scored(small(random, (whole.m, 2), integers=integers), small(random, (whole.m,), integers=integers))
    second = Scored(small(random, (whole.m, 1), integers=integers), small(random, (whole.m,), integers=integers))
    stages = small(random, (whole.m, 1), integers=integers)
    return Scores(whole.shift, whole.width, (first, second), whole.groups, stages)


def expected(whole: Whole, part: Scores, one: Scored, number: type, *, size: bool) -> dict[str, Matrix]:
    """What a second pass should give for one regression; of absolute values throughout if `size`."""
    w, weights = whole.exact(number)
    basis, left = numbers(one.basis, number), numbers(one.left, number)
    stages = numbers(part.stages, number)
    if size:
        w, basis, left, stages = abs(w), abs(basis), abs(left), abs(stages)
    q, e = w @ basis, w @ left
    scores = q * (weights * e)[:, None]
    clusters = [
        np.array([[sum(s for s, code in zip(column, codes, strict=True) if code == g) for g in range(count)]
                  for column in scores.T], dtype=object)
        for codes, count in zip(whole.codes.tolist(), whole.groups, strict=True)
    ]  # fmt: skip
    return {
        "moments": scores.sum(axis=0), "rss": (weights * e) @ e, "meat": scores.T @ scores,
        "cross": (w.T * weights) @ np.column_stack([e, w @ stages]),
        **{f"clusters {i}": by for i, by in enumerate(clusters)},
    }  # fmt: skip


def summed(sums: Any) -> dict[str, np.ndarray]:
    """The same of a second pass; the meat of clusters is made of their sums."""
    found = {name: np.asarray(getattr(sums, name)) for name in ("moments", "rss", "meat", "cross")}
    return {**found, **{f"clusters {i}": by for i, by in enumerate(sums.clusters)}}


def compared(whole: Whole, found: dict[str, np.ndarray], first: bool) -> set[str]:
    """Products of the scores of single rows are not of interest with clusters; a first stage belongs to the first."""
    return set(found) - ({"meat"} if whole.groups else set()) - (set() if first else {"cross"})


@given(wholes(integers=True, most=60), cuts, cuts, seeds)
def test_scores_of_whole_numbers_are_exact(whole: Whole, c: Any, p: Any, seed: int) -> None:
    part = second_pass(whole, seed, integers=True)
    many = whole.split(c, p).reduce(part)
    for i, (one, sums) in enumerate(zip(part.regressions, many.each, strict=True)):
        found, want = summed(sums), expected(whole, part, one, int, size=False)
        for name in compared(whole, found, i == 0):
            assert np.array_equal(found[name], np.asarray(want[name]).astype(float)), name


@settings(max_examples=40)
@given(wholes(integers=False, most=25), cuts, cuts, seeds)
def test_scores_of_other_numbers(whole: Whole, c: Any, p: Any, seed: int) -> None:
    """Four factors of a meat, each a sum over W's columns."""
    part = second_pass(whole, seed, integers=False)
    many = whole.split(c, p).reduce(part)
    for i, (one, sums) in enumerate(zip(part.regressions, many.each, strict=True)):
        found = summed(sums)
        want = expected(whole, part, one, Fraction, size=False)
        size = expected(whole, part, one, Fraction, size=True)
        for name in compared(whole, found, i == 0):
            assert_near(found[name], want[name], size[name], 4 * (ENTRY + whole.m) + whole.n + 3)


# that this can fail


def ten_blocks(random: np.random.Generator, *, integers: bool) -> tuple[Whole, Pieces]:
    columns = random.integers(-16, 17, (100, 3)).astype(float) if integers else random.standard_normal((100, 3))
    whole = Whole(columns, None, random.integers(0, 4, (1, 100)), (4,), np.zeros(3))
    return whole, whole.split(range(10, 100, 10), range(1, 10))


def sabotaged(pieces: Pieces, how: str) -> tuple[Any, ...]:
    first, second, *rest = pieces.pieces
    block = second.held[0]
    reversed_ = Block([*block.columns[:2], block.columns[2][::-1]], None, block.codes)
    wrong = {
        "dropped": (first, *rest),
        "read twice": (first, second, second, *rest),
        "one in place of another": (first, first, *rest),
        "a row too few": (first, Held((Block([x[1:] for x in block.columns], None, (block.codes[0][1:],)),)), *rest),
        "columns of other rows": (first, Held((reversed_,)), *rest),
        "codes of other rows": (first, Held((Block(block.columns, None, (block.codes[0][::-1],)),)), *rest),
    }  # fmt: skip
    return wrong[how]


SABOTAGE = ["dropped", "read twice", "one in place of another", "a row too few", "columns of other rows"]


@pytest.mark.parametrize("how", SABOTAGE)
@pytest.mark.parametrize("integers", [True, False])
def test_sabotage_is_found(how: str, integers: bool) -> None:
    """For numbers that are not whole the bound is a millionth of what any of this does."""
    whole, pieces = ten_blocks(np.random.default_rng(11), integers=integers)
    wrong = Pieces(sabotaged(pieces, how), 3, np.zeros(3))
    w, _ = whole.exact(Fraction)
    for part in (Cross(whole.shift, 3), TriangleOf(whole.shift, 3)):
        good, bad = (one.reduce(part) for one in (pieces, wrong))
        good, bad = (one.gram if isinstance(part, Cross) else one.r.T @ one.r for one in (good, bad))
        bound = float(gamma(1000)) * 100
        assert np.abs(good - (w.T @ w).astype(float)).max() < bound
        assert np.abs(bad - (w.T @ w).astype(float)).max() > 1e6 * bound


@pytest.mark.parametrize("how", [*SABOTAGE, "codes of other rows"])
def test_sabotage_is_found_in_sums_by_cluster(how: str) -> None:
    whole, pieces = ten_blocks(np.random.default_rng(11), integers=True)
    part = second_pass(whole, 5, integers=True)
    want = expected(whole, part, part.regressions[0], int, size=False)["clusters 0"].astype(float)
    good, bad = (
        one.reduce(part).each[0].clusters[0] for one in (pieces, Pieces(sabotaged(pieces, how), 3, np.zeros(3)))
    )
    assert np.array_equal(good, want)
    assert not np.array_equal(bad, want)


# long sums


def test_many_rows_against_longer_numbers() -> None:
    """A term goes through the sum of its block and the sum of blocks: K is the rows of a block + the blocks."""
    random = np.random.default_rng(3)
    n, rows = 300_000, 8192
    columns = random.standard_normal((n, 3)) + np.array([0.0, 5.0, -2.0])
    shift = columns[:256].mean(axis=0)
    found = Columns(tuple(np.ascontiguousarray(columns.T))).reduce(Cross(shift, 3)).gram
    w = np.column_stack([np.ones(n), columns.astype(np.longdouble) - shift])
    roundings = 2 * ENTRY + rows + n // rows + 1
    assert (abs(found - w.T @ w) <= float(gamma(roundings)) * (abs(w).T @ abs(w))).all()
