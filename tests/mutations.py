"""Ways to get one thing slightly wrong: what test_mutations.py does to answers, data and files.

The walk over an answer's numbers follows the fields of the records, not the list of what is compared, so that a number
that the comparison forgot shows up as a mutant that lives.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, reduce
from typing import Any

import numpy as np
import pandas as pd
from cases import CASES, frame
from published import RESULTS, prepared

import ivbridge
from ivbridge import Estimate
from ivbridge.records import Coefficients, FirstStage, Test

__all__ = [
    "GALLERY", "PART_PER_MILLION", "QUESTIONS", "Mutant", "Subject", "dropped", "edits", "forged", "numbers",
    "relabelled", "swapped",
]  # fmt: skip

PART_PER_MILLION = 1e-6
#: An R² below it is zero, up to rounding; p-values are smaller, and are mutated as they are.
NOTHING = 1e-12


@dataclass(frozen=True, eq=False)
class Subject:
    """A question, its data, and how it is asked."""

    name: str
    formula: str
    data: Callable[[], pd.DataFrame]
    options: Mapping[str, Any] = field(default_factory=dict)

    def fit(self, vcov: str, engine: str = "native", data: pd.DataFrame | None = None) -> Estimate:
        """One engine's answer, on other data if they are given."""
        return ivbridge.fit(self.formula, self.data() if data is None else data, vcov, engine, **self.options)

    def __repr__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Mutant:
    """An answer with one thing wrong."""

    what: str
    answer: Estimate


def _published(name: str) -> Subject:
    return Subject(name, RESULTS[name]["formula"], lambda: prepared(name))


@cache
def _synthetic() -> pd.DataFrame:
    return frame()


#: Every published result of the gallery.
GALLERY = tuple(_published(name) for name in RESULTS)
#: Every kind of question that the cross-check's own tests ask.
QUESTIONS = tuple(Subject(case.name, case.formula, _synthetic, case.options) for case in CASES)


def numbers(answer: Estimate, size: float = PART_PER_MILLION) -> Iterator[Mutant]:
    """One mutant for each number in an answer, 1 ppm off; one residual and one fitted value stand for all."""
    yield from _coefficients(size, answer.coefs, lambda coefs: dataclasses.replace(answer, coefs=coefs))
    yield from _matrix(size, answer.cov, lambda cov: dataclasses.replace(answer, cov=cov))
    for name in ("residuals", "fitted"):
        values = getattr(answer, name)
        place = len(values) // 2
        yield Mutant(
            f"{name}[{place}]", dataclasses.replace(answer, **{name: _moved(values, place, size * _largest(values))})
        )
    for name in ("n", "df_resid", "sigma", "r2", "r2_adj", "kappa"):
        if getattr(answer, name) is not None:
            yield Mutant(name, dataclasses.replace(answer, **{name: _nudged(getattr(answer, name), size)}))
    for key, test in answer.tests.items():
        for what, changed in _test(test, size) if isinstance(test, Test) else ():
            yield Mutant(f"{key} {what}", dataclasses.replace(answer, tests={**answer.tests, key: changed}))
    for place, stage in enumerate(answer.first_stages):
        for what, changed in _stage(stage, size):
            stages = (*answer.first_stages[:place], changed, *answer.first_stages[place + 1 :])
            yield Mutant(f"first stage of {stage.endog}: {what}", dataclasses.replace(answer, first_stages=stages))


def _coefficients(size: float, coefs: Coefficients, put: Callable[[Coefficients], Any]) -> Iterator[Any]:
    for column in ("estimate", "std_error", "statistic", "p_value", "conf_low", "conf_high"):
        values = getattr(coefs, column)
        for place, term in enumerate(coefs.terms):
            changed = dataclasses.replace(coefs, **{column: _moved(values, place, size * values[place])})
            yield _made(f"{column} of {term}", put(changed))


def _matrix(size: float, cov: np.ndarray, put: Callable[[np.ndarray], Any]) -> Iterator[Any]:
    deviations = np.sqrt(np.abs(np.diag(cov)))
    for i, j in np.ndindex(cov.shape):
        changed = cov.copy()
        changed[i, j] += size * (cov[i, j] if i == j else deviations[i] * deviations[j])
        yield _made(f"cov[{i}, {j}]", put(changed))


def _test(test: Test, size: float) -> Iterator[tuple[str, Test]]:
    for name in ("statistic", "p_value", "df1", "df2"):
        if math.isfinite(value := getattr(test, name)):
            changed = value * (1 + size) if value else size
            yield name, dataclasses.replace(test, **{name: changed})


def _stage(stage: FirstStage, size: float) -> Iterator[tuple[str, FirstStage]]:
    yield from _coefficients(size, stage.coefs, lambda coefs: dataclasses.replace(stage, coefs=coefs))
    yield from _matrix(size, stage.cov, lambda cov: dataclasses.replace(stage, cov=cov))
    for name in ("n", "df_resid", "sigma", "r2", "r2_adj"):
        yield name, dataclasses.replace(stage, **{name: _nudged(getattr(stage, name), size)})
    for what, changed in _test(stage.weak, size) if isinstance(stage.weak, Test) else ():
        yield f"weak {what}", dataclasses.replace(stage, weak=changed)


def _made(what: str, changed: Estimate | FirstStage) -> Any:
    return Mutant(what, changed) if isinstance(changed, Estimate) else (what, changed)


def _nudged(value: float, size: float) -> float:
    """So much more; a whole number is one more, zero (or what rounding left of it) is that much, and no number is 1."""
    if isinstance(value, int):
        return value + 1
    if math.isnan(value):
        return 1.0
    return value + size if abs(value) < NOTHING else value * (1 + size)


def _moved(values: np.ndarray, place: int, by: float) -> np.ndarray:
    """One entry moved; zero and no number move, too."""
    changed = values.copy()
    changed[place] = 1.0 if math.isnan(values[place]) else values[place] + (by or PART_PER_MILLION)
    return changed


def _largest(values: np.ndarray) -> float:
    return float(np.abs(values).max())


def dropped(subject: Subject, right: Estimate, vcov: str) -> Iterator[Mutant]:
    """Numbers without the first, a middle and the last row that was used; and such numbers under the right rows."""
    data, rows = subject.data(), right.seen.rows
    for place in dict.fromkeys([0, len(rows) // 2, len(rows) - 1]):
        without = subject.fit(vcov, data=data.drop(index=data.index[rows[place]]))
        yield Mutant(f"row {rows[place]} dropped", without)
        yield Mutant(f"row {rows[place]} dropped, its absence hidden", _disguised(without, right))


def swapped(subject: Subject, right: Estimate, vcov: str) -> Iterator[Mutant]:
    """Numbers of data in which two columns changed places; and such numbers under the right columns."""
    data, used = (
        subject.data(),
        [name for name in right.spec.columns if pd.api.types.is_numeric_dtype(subject.data()[name])],
    )
    for first, second in dict.fromkeys([tuple(used[:2]), tuple(used[-2:])]) if len(used) > 1 else ():
        try:
            answer = subject.fit(vcov, data=data.assign(**{first: data[second], second: data[first]}))
        except ivbridge.IvbridgeError:
            continue  # refused, for example an instrument that has become constant: no answer, no agreement
        yield Mutant(f"{first} and {second} swapped", answer)
        if answer.coefs.terms == right.coefs.terms and answer.n == right.n:
            yield Mutant(f"{first} and {second} swapped, and hidden", _disguised(answer, right))


def relabelled(subject: Subject, asked: str, given: str) -> Mutant:
    """Standard errors of one estimator under the name of another."""
    answer = subject.fit(given)
    spec = dataclasses.replace(answer.spec, vcov=ivbridge.parse_vcov(asked))
    return Mutant(f"{given} for {asked}", dataclasses.replace(answer, spec=spec))


def _disguised(wrong: Estimate, right: Estimate) -> Estimate:
    """The wrong coefficients, covariance, first stages and tests; everything else as it ought to be."""
    counts = {"n": right.n, "df_resid": right.df_resid}
    stages = tuple(
        dataclasses.replace(stage, n=good.n, df_resid=good.df_resid, weak=good.weak)
        for stage, good in zip(wrong.first_stages, right.first_stages, strict=True)
    )
    return dataclasses.replace(
        right, **counts, coefs=wrong.coefs, cov=wrong.cov, sigma=wrong.sigma, r2=wrong.r2, first_stages=stages
    )


def edits(tree: Any) -> Iterator[tuple[str, Any]]:
    """The JSON of a reference with one field changed: one edit for each kind of field, one key taken away for each."""
    seen: set[str] = set()
    for path in _leaves(tree):
        kind = ".".join("*" if isinstance(step, int) and step else str(step) for step in path)
        if kind in seen or path == ("digest",):
            continue
        seen.add(kind)
        changed = copy.deepcopy(tree)
        *above, last = path
        place = reduce(lambda part, step: part[step], above, changed)
        # the sum of orthogonal polynomials is zero but for rounding, of which a millionth more is no other number
        rounding = "sums" in path and isinstance(place[last], float) and abs(place[last]) < 1e-12
        place[last] = PART_PER_MILLION if rounding else _other(place[last])
        yield kind, changed
        if isinstance(last, str):
            without = copy.deepcopy(tree)
            del reduce(lambda part, step: part[step], above, without)[last]
            yield f"{kind} (taken away)", without


def forged(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with the digest that fits it."""
    content = {key: value for key, value in tree.items() if key != "digest"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return {**content, "digest": hashlib.sha256(text.encode()).hexdigest()}


def _leaves(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    if not items:
        yield path
    for key, value in items:
        yield from _leaves(value, (*path, key))


def _other(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * (1 + PART_PER_MILLION) or PART_PER_MILLION
        case str():
            return value[:-1] + ("0" if value[-1:] != "0" else "1")
        case None:
            return "x"
        case list():
            return [*value, "x"]
        case _:
            return {**value, "x": "x"}
