"""Likely reasons of what moved: by experiment with the package's source, and by the explainer's conventions."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ivbridge.errors import IvbridgeError
from ivbridge.explainer import explain
from ivbridge.gaps import Key, flatten
from ivbridge.results import Estimate
from ivbridge.sentinel.asked import Answers, Asked, ask
from ivbridge.sentinel.drifted import Moved, Reason
from ivbridge.sentinel.places import Place
from ivbridge.sentinel.sources import Function, changed, put_back

__all__ = ["reasons_for"]

#: Kinds of questions that are tried, and functions that are put back, at most.
MOST_QUESTIONS, MOST_FUNCTIONS = 8, 60
#: A number has returned when it lies this much nearer to the old one than to the new one; rounding is far below it.
RETURNED = 1e-6

Pairs = Mapping[Asked, tuple[Estimate, Estimate]]


def reasons_for(
    moved: Sequence[tuple[Asked, Moved]], pairs: Pairs, before: Place, after: Place, engine: str
) -> tuple[Reason, ...]:
    """Why numbers moved.

    Parameters
    ----------
    moved : sequence of ((path, vcov), Moved)
    pairs : mapping of (path, vcov) to (Estimate, Estimate)
        The answers of both versions.
    before, after : Place
    engine : str
    """
    keys: dict[Asked, dict[Key, str]] = defaultdict(dict)
    for asked, one in moved:
        keys[asked][one.quantity, one.term] = one.label
    right = {(asked, one.term): bool(one.before_ok and not one.after_ok) for asked, one in moved}
    chosen = _one_of_each_kind(keys, pairs)
    tried = _experiments(chosen, keys, pairs, before, after, engine) if before.folder and after.folder else None
    found: dict[tuple[tuple[str, ...], bool], tuple[dict[str, None], dict[str, None]]] = {}
    for asked in chosen:
        sentences: dict[str, str] = {}
        for key, label in keys[asked].items():
            test = key[1] if key[0].startswith("test ") else ""
            if test not in sentences and not _unasked(test, keys[asked]):
                old, new = pairs[asked]
                old, new = (dataclasses.replace(one, engine=at.label) for one, at in ((old, before), (new, after)))
                sentences[test] = _convention(old, new, test) if right[asked, key[1]] else _convention(new, old, test)
            what = tried.get((asked, key), ((), False)) if tried else ((), False)
            labels, named = found.setdefault(what, ({}, {}))
            labels[label] = None
            named |= {sentence: None for sentence in (sentences.get(test, ""),) if sentence}
    return tuple(Reason(tuple(labels), *what, tuple(named)) for what, (labels, named) in found.items())


def _one_of_each_kind(keys: Mapping[Asked, Mapping[Key, str]], pairs: Pairs) -> list[Asked]:
    """The smallest question of every set of quantities that moved together."""
    kinds: dict[tuple[bool, frozenset[Key]], Asked] = {}
    for asked in sorted(keys, key=lambda one: pairs[one][0].n):
        tests = frozenset((quantity, term.partition(":")[0]) for quantity, term in keys[asked])
        kinds.setdefault((pairs[asked][0].spec.weights is None, tests), asked)
    return list(kinds.values())[:MOST_QUESTIONS]


def _experiments(
    chosen: Sequence[Asked], keys: Mapping[Asked, Mapping[Key, str]], pairs: Pairs, before: Place, after: Place,
    engine: str,
) -> dict[tuple[Asked, Key], tuple[tuple[str, ...], bool]]:  # fmt: skip
    """For every number the function that, put back, gives its old value; else all that ran and changed."""
    assert before.folder is not None
    assert after.folder is not None
    old, new, paths = before.folder, after.folder, list(dict.fromkeys(path for path, _ in chosen))
    # what the new version does not call makes no difference when it is put back
    candidates = changed(old, new, ask(after, engine, paths, trace=True).called)[:MOST_FUNCTIONS] if paths else []

    def tried(number: int, function: Function) -> Answers:
        with tempfile.TemporaryDirectory(prefix="ivbridge-drift-") as folder:
            try:
                return ask(put_back(function, old, new, Path(folder) / str(number)), engine, paths)
            except IvbridgeError:  # the old text does not fit into the new version
                return Answers()

    with ThreadPoolExecutor(max_workers=2) as pool:
        outcomes = list(pool.map(tried, range(len(candidates)), candidates))
    every = tuple(map(str, candidates))
    found: dict[tuple[Asked, Key], tuple[tuple[str, ...], bool]] = {}
    for asked in chosen:
        for key in keys[asked]:
            proving = [
                str(function)
                for function, outcome in zip(candidates, outcomes, strict=True)
                if asked in outcome.estimates and _returned(key, outcome.estimates[asked], *pairs[asked])
            ]
            found[asked, key] = (tuple(proving), True) if proving else (every, False)
    return found


def _returned(key: Key, tried: Estimate, before: Estimate, after: Estimate) -> bool:
    """Whether a number is the old one again."""
    value, old, new = (flatten(one).get(key) for one in (tried, before, after))
    if value is None or old is None:
        return value is old
    if np.shape(value) != np.shape(old):
        return False
    distance = np.inf if new is None or np.shape(new) != np.shape(old) else np.max(np.abs(np.subtract(new, old)))
    return bool(np.max(np.abs(np.subtract(value, old))) <= RETURNED * distance)


def _unasked(test: str, moved: Mapping[Key, str]) -> bool:
    """Whether only p-values and limits moved: the statistic is the same, so its computation changed, no convention."""
    if test:
        return ("test statistic", test) not in moved
    return not any(quantity.endswith(("estimate", "std.error", "cov")) for quantity, _ in moved)


def _convention(right: Estimate, wrong: Estimate, test: str) -> str:
    """Why one version's answer, or one test of it, departs from the other's; empty where no convention is known."""
    if test in right.tests and test in wrong.tests:
        wrong = dataclasses.replace(right, engine=wrong.engine, tests={**right.tests, test: wrong.tests[test]})
    try:
        found = explain(right, wrong)
    except IvbridgeError:
        return ""
    return found.reason if found.verdict == "convention" else ""
