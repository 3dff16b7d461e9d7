"""Draw cases, and shrink those that differ to the smallest that still differs in the same way."""

from __future__ import annotations

import pickle  # nosec B403  # only written, to know a case again
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.errors import DataError, IvbridgeError, UnsupportedError
from ivbridge.ports.generators import needed
from ivbridge.ports.records import Case

__all__ = ["Source", "drawn", "shrunk", "source_of"]

#: A strategy of Hypothesis that draws cases, or the cases themselves.
Source = Any
#: Times that a row is taken out of a given case.
_REMOVALS = 2000


def source_of(cases: Any, draws: str | None) -> Source:
    """What was given as cases, as one strategy or one list.

    Parameters
    ----------
    cases : strategy, mapping or sequence of mapping
        A strategy of mappings, a strategy for each argument, or the cases themselves.
    draws : str, optional
        With shared random numbers every case gets a "seed".

    Raises
    ------
    DataError
        It is none of these, or empty.
    """
    if isinstance(cases, Mapping) and cases and all(_is_strategy(one) for one in cases.values()):
        names = tuple(cases)  # Hypothesis draws them in any order
        cases = needed().fixed_dictionaries(dict(cases)).map(lambda case: {name: case[name] for name in names})
    if _is_strategy(cases):
        if draws is None:
            return cases
        return needed().tuples(cases, needed().integers(1, 9999)).map(lambda one: {**one[0], "seed": one[1]})
    listed = list(cases) if isinstance(cases, Iterable) and not isinstance(cases, str | Mapping) else []
    if not listed or not all(isinstance(one, Mapping) for one in listed):
        raise DataError(
            "These are no cases.",
            available="a strategy for each argument: {'x': ports.vectors()}; a strategy of dicts; a list of dicts",
        )
    if draws is not None:
        listed = [one if "seed" in one else {**one, "seed": i} for i, one in enumerate(listed, 1)]
    return listed


def _is_strategy(value: Any) -> bool:
    return hasattr(value, "flatmap") and hasattr(value, "example")


def drawn(source: Source, examples: int, seed: int) -> list[Case]:
    """The cases: all of a list, or so many draws of a strategy; the same seed gives the same draws.

    Raises
    ------
    UnsupportedError
        The strategy cannot be drawn from.
    """
    if isinstance(source, list):
        return source
    found: list[Case] = []

    def look(case: Case) -> bool:
        if not isinstance(case, Mapping):
            raise DataError(f"The strategy drew a {type(case).__name__}, not a dict of arguments.")
        found.append(case)
        return False

    try:
        _find(source, look, examples, seed)
    except IvbridgeError:
        raise
    except Exception as error:  # of the strategy: it may hold code of its own
        raise DataError(f"A case cannot be drawn: {type(error).__name__}: {' '.join(str(error).split())}") from error
    if not found:
        raise UnsupportedError("The strategy drew no case.")
    return found


def _find(source: Source, holds: Callable[[Case], bool], examples: int, seed: int) -> Case | None:
    """The smallest case that Hypothesis finds for a condition; None if it meets none."""
    import hypothesis
    from hypothesis.errors import NoSuchExample, Unsatisfiable

    settings = hypothesis.settings(
        max_examples=examples, database=None, deadline=None, suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )  # fmt: skip
    try:
        with _kept_nowhere():
            found: Case = hypothesis.find(source, holds, settings=settings, random=random.Random(seed))
    except (NoSuchExample, Unsatisfiable):
        return None
    return found


@contextmanager
def _kept_nowhere() -> Iterator[None]:
    """What Hypothesis notes for later goes, and no folder .hypothesis is left where the search ran."""
    from hypothesis.configuration import set_hypothesis_home_dir, storage_directory

    before = storage_directory(intent_to_write=False)
    with tempfile.TemporaryDirectory(prefix="ivbridge-port-") as folder:
        set_hypothesis_home_dir(folder)
        try:
            yield
        finally:
            set_hypothesis_home_dir(before.home_directory)


def shrunk(source: Source, first: Case, differs: Callable[[Case], bool], examples: int, seed: int) -> Case:
    """The smallest case found that differs as the first one does.

    Parameters
    ----------
    source : strategy or list
        The strategy draws again, from the same seed, and Hypothesis shrinks; of a listed case rows are taken out.
    first : mapping
        A case that differs.
    differs : callable
        Whether a case differs in this way.
    examples, seed : int
        As for the first search.
    """
    known: dict[bytes, bool] = {}

    def remembered(case: Case) -> bool:
        key = pickle.dumps(case)
        if key not in known:
            known[key] = differs(case)
        return known[key]

    if not isinstance(source, list):
        found = _find(source, remembered, examples, seed)
        if found is not None:
            return found
    return _fewer_rows(first, remembered)


def _fewer_rows(case: Case, differs: Callable[[Case], bool]) -> Case:
    """Take out rows of all columns of the same length, in ever smaller pieces, as long as it still differs."""
    sizes = [len(value) for value in case.values() if _has_rows(value)]
    if not sizes:
        return case
    n = max(set(sizes), key=sizes.count)
    kept, piece, left = list(range(n)), max(n // 2, 1), _REMOVALS
    while left > 0:
        start, removed = 0, False
        while start < len(kept) and left > 0:
            fewer = kept[:start] + kept[start + piece :]
            left -= 1
            if fewer and differs(_with_rows(case, n, fewer)):
                kept, removed = fewer, True
            else:
                start += piece
        if piece == 1 and not removed:
            break
        piece = max(piece // 2, 1)
    return _with_rows(case, n, kept)


def _has_rows(value: Any) -> bool:
    return isinstance(value, pd.DataFrame | pd.Series) or (isinstance(value, np.ndarray) and value.ndim in (1, 2))


def _with_rows(case: Case, n: int, kept: list[int]) -> Case:
    def cut(value: Any) -> Any:
        if not _has_rows(value) or len(value) != n:
            return value
        return value[kept] if isinstance(value, np.ndarray) else value.iloc[kept].reset_index(drop=True)

    return {name: cut(value) for name, value in case.items()}
