"""Cluster codes without sorting: the groups are those of numpy's unique, whatever the numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ivbridge.clustering import Recoded, intersected, numbered
from ivbridge.engines.grouping import grouped
from ivbridge.tabular import Chunked

RNG = np.random.default_rng(11)
N = 1000

COLUMNS = {
    "codes": RNG.integers(0, 50, N),
    "from another start": RNG.integers(1990, 2010, N).astype(np.int32),
    "with gaps": RNG.integers(0, 40, N) * 7 - 90,
    "all of int8": (np.arange(N) % 256 - 128).astype(np.int8),
    "far apart": RNG.integers(0, 10**12, N),
    "unsigned": RNG.integers(0, 9, N).astype(np.uint64) + np.uint64(2**63),
    "unsigned, small": RNG.integers(3, 9, N).astype(np.uint16),
    "booleans": RNG.random(N) < 0.5,
    "one": np.full(N, 5),
    "backwards": np.arange(N)[::-1],
}


def same_groups(codes: np.ndarray, values: np.ndarray, count: int) -> None:
    """Codes 0 … G−1, each for one value, each value with one code."""
    assert sorted(set(codes.tolist())) == list(range(count))
    assert len({*zip(codes.tolist(), values.tolist(), strict=True)}) == count == len(set(values.tolist()))


@pytest.mark.parametrize("name", COLUMNS)
def test_groups_are_those_of_the_values(name: str) -> None:
    codes, count = numbered(COLUMNS[name])
    blocks = np.concatenate([codes[start : start + 77] for start in range(0, N, 77)])
    same_groups(blocks, COLUMNS[name], count)
    assert len(codes) == N


def test_codes_are_not_copied() -> None:
    found = numbered(COLUMNS["codes"])[0]
    assert found is COLUMNS["codes"]
    later = numbered(COLUMNS["from another start"])[0]
    assert isinstance(later, Recoded) and later.values is COLUMNS["from another start"] and later.table is None


def test_combinations_are_those_that_occur() -> None:
    names = ("with gaps", "all of int8", "booleans")
    codes, count = intersected([numbered(COLUMNS[name]) for name in names])
    together = np.column_stack([COLUMNS[name] for name in names])
    same_groups(np.asarray(codes[:]), np.unique(together, axis=0, return_inverse=True)[1].ravel(), count)


TEXTS = RNG.choice(["b", "a", "é"], N)


@pytest.mark.parametrize(
    "values",
    [
        TEXTS.astype(object), pd.array(TEXTS, dtype="str"), pd.array(TEXTS, dtype="string"), pd.Categorical(TEXTS),
        pd.Categorical(TEXTS, categories=["z", "é", "a", "b"]), RNG.integers(0, 5, N) / 4, COLUMNS["with gaps"],
        Chunked.of([COLUMNS["codes"][:10], COLUMNS["codes"][10:]])[:],
    ],
)  # fmt: skip
def test_columns_of_any_kind(values: np.ndarray) -> None:
    found = grouped(values, N)
    assert found is not None
    same_groups(np.asarray(found[0][:]), np.asarray(values), found[1])


@pytest.mark.parametrize(
    "values",
    [
        None, np.arange(N - 1), np.where(TEXTS == "a", None, TEXTS), np.where(TEXTS == "a", np.nan, 1.0),
        np.where(TEXTS == "a", np.inf, 1.0), COLUMNS["codes"] + 2**54, np.array(["a", 1] * (N // 2), dtype=object),
        np.array(["a\0", "b"] * (N // 2), dtype=object), np.array(["\ud800", "b"] * (N // 2), dtype=object),
        pd.Categorical(np.where(TEXTS == "a", None, TEXTS)), pd.Categorical([1.5, 2.5] * (N // 2)),
        pd.array(np.where(TEXTS == "a", None, TEXTS), dtype="str"), pd.array([1, None] * (N // 2), dtype="Int64"),
        np.full(N, np.datetime64("2020-01-01")),
    ],
)  # fmt: skip
def test_what_needs_a_closer_look(values: object) -> None:
    assert grouped(values, N) is None


def test_a_column_in_chunks_reads_like_one() -> None:
    whole = np.arange(1000)
    column = Chunked.of([whole[:300], whole[:0], whole[300:301], whole[301:]])
    assert isinstance(column, Chunked) and len(column) == 1000
    for start, stop, step in (
        (0, 1000, 1),
        (0, 300, 1),
        (299, 302, 1),
        (300, 301, 1),
        (5, 999, 7),
        (301, 301, 1),
        (0, 4000, 999),
    ):
        assert column[start:stop:step].tolist() == whole[start:stop:step].tolist()
    inside = column[310:400]
    assert np.shares_memory(inside, whole) and np.asarray(column).tolist() == whole.tolist()
