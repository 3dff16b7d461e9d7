"""The verbs of the explainer: two estimates, or numbers against a question."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from ivbridge.data import Dataset
from ivbridge.explainer.catalogue import catalogue
from ivbridge.explainer.observed import numbers_of, world_of
from ivbridge.explainer.records import Explanation, Observed, Step, World
from ivbridge.explainer.search import Found, Target, search
from ivbridge.gaps import Key, flatten, is_lacking
from ivbridge.handshake import handshake
from ivbridge.records import Test
from ivbridge.results import Estimate
from ivbridge.threads import one_thread

__all__ = ["explain", "explain_observed", "on_purpose", "sentence"]

#: Copies of a number within one answer, such as the two triangles of a covariance matrix, differ by less.
COPIES = 1e-8
_PARTS = ("statistic", "p_value", "df1", "df2")


@one_thread()
def explain(
    reference: Estimate, candidate: Estimate, data: pd.DataFrame | Dataset | None = None, *, steps: int = 2
) -> Explanation:
    """Say why two estimates of one question differ.

    Parameters
    ----------
    reference : Estimate
        Its question is the starting point: formula, vcov, inference, weights, method.
    candidate : Estimate
        Its numbers are to be explained; what its own question says is not believed.
    data : DataFrame or Dataset, N rows, optional
        The data before any row was dropped. Without them conventions about missing rows, factors, storage and cluster
        columns that the question does not name cannot be tried.
    steps : int, default 2
        The longest chain of conventions that change the coefficients; 0 to try those of inference only.

    Returns
    -------
    Explanation
        ``convention`` only if the combination reproduces every number of the candidate to rounding: coefficients,
        covariances, residuals, tests and first stages, apart from what an engine declares not to report.

    Raises
    ------
    DataError
        If neither estimate holds its matrices (both come from JSON) and no data are given.
    """
    world = world_of(reference, candidate, data.frame if isinstance(data, Dataset) else data)
    for one in (reference, candidate):
        if unlike := _unlike_copies(one):
            reason = f"{one.engine} holds two different values of {_labels(unlike)}"
            return Explanation("none", (), reason, unexplained=unlike)
    if _same_bits(reference, candidate):
        return Explanation("identical", (), "all numbers have the same bits", compared=len(flatten(candidate)))
    return _searched(world, reference, candidate, steps)


def _searched(world: World, reference: Estimate, candidate: Estimate, steps: int) -> Explanation:
    """Explain both sides from the question, and tell what sets them apart."""
    ours, theirs = _target(reference, candidate), _target(candidate, reference)
    own = search(world, ours, furthest=0)
    if not own.solutions:
        who = f"{_of(reference.engine)} own numbers are not those of its question"
        return _none(own, ours.observed, f"{who}, under no known convention")
    found = search(world, theirs, furthest=steps)
    if not found.solutions:
        if failed := [check.name for check in handshake(reference, candidate) if not check.ok]:
            apart = f"{reference.engine} and {candidate.engine} did not use the same {', '.join(failed)}"
            reason = f"{apart}, and no known convention leads from one to the other"
            return Explanation("not comparable", (), reason, (), 0, found.tried, found.missed or {})
        return _none(found, theirs.observed, "")
    if own.solutions[0] == found.solutions[0]:
        count = len(theirs.observed.values)
        reason = f"all {count} numbers agree to rounding"
        return Explanation("rounding", (), reason, compared=count, tried=found.tried)
    return _convention(found, theirs.observed, reference.engine, own.solutions[0])


@one_thread()
def explain_observed(
    world: World, observed: Observed, reference_name: str = "the question", *, steps: int = 2
) -> Explanation:
    """Say by which conventions numbers follow from a question.

    Parameters
    ----------
    world : World
        The question as asked (:func:`ivbridge.explainer.observed.asked_world`); its spec names the vcov and the
        inference that a convention is measured from.
    observed : Observed
        Any numbers: coefficients, standard errors, statistics, p-values, limits, tests, ``("n", "")``. A number without
        a ``within`` has to be reproduced to rounding.
    reference_name : str, default "the question"
        What a sentence calls the starting point.
    steps : int, default 2
        As for :func:`explain`.

    Returns
    -------
    Explanation
        ``rounding`` if the question gives the numbers as it stands, ``convention`` with the steps, or ``none``.
    """
    found = search(world, Target(observed), furthest=steps)
    if not found.solutions:
        return _none(found, observed, "")
    if found.solutions[0] == ():
        count = len(observed.values)
        reason = f"{_of(observed.name)} {_counted(count)} follow from {reference_name} as asked"
        return Explanation("rounding", (), reason, compared=count, tried=found.tried)
    return _convention(found, observed, reference_name, ())


def _target(estimate: Estimate, other: Estimate) -> Target:
    observed, arrays = numbers_of(estimate)
    lacks = {**estimate.lacks, **other.lacks}
    return Target(observed, arrays, True, lacks, estimate.seen if estimate.seen.has_matrices else None)


def _unlike_copies(estimate: Estimate) -> dict[Key, float]:
    """Numbers that an answer holds twice with two values: covariances, and the tests of first stages."""
    found: dict[Key, float] = {}
    tables = [("cov", "", estimate.coefs.terms, estimate.cov)]
    tables += [("first stage cov", f"{s.endog} ~ ", s.coefs.terms, s.cov) for s in estimate.first_stages]
    for quantity, prefix, terms, cov in tables:
        if quantity in estimate.lacks or ("first stage" in estimate.lacks and prefix):
            continue
        size = np.sqrt(np.abs(np.diag(cov)))
        for i, j in zip(*np.nonzero(np.abs(cov - cov.T) > COPIES * np.outer(size, size)), strict=True):
            found[quantity, f"{prefix}{terms[i]}, {terms[j]}"] = float(abs(cov[i, j] - cov[j, i]))
    if "first stage" not in estimate.lacks:
        for stage in estimate.first_stages:
            key = f"weak_instruments:{stage.endog}"
            own = estimate.tests.get(key)
            if isinstance(own, Test) and isinstance(stage.weak, Test):
                pairs = [(getattr(own, part), getattr(stage.weak, part)) for part in _PARTS]
                if not all(math.isclose(*pair, rel_tol=COPIES) for pair in pairs):
                    found["test statistic", key] = abs(own.statistic - stage.weak.statistic)
    return found


def _same_bits(reference: Estimate, candidate: Estimate) -> bool:
    a, b = flatten(reference), flatten(candidate)
    lacks = {**candidate.lacks, **reference.lacks}
    kept = [key for key in {**a, **b} if not is_lacking(key, lacks)]
    return all(key in a and key in b and np.array_equal(a[key], b[key], equal_nan=True) for key in kept)


def _none(found: Found, observed: Observed, reason: str) -> Explanation:
    missed = dict(found.missed or {})
    text = reason or f"no known convention explains {_of(observed.name)} numbers"
    if missed:
        text += f"; the closest combination leaves {_labels(missed)} apart"
    return Explanation("none", (), text, (), 0, found.tried, missed)


def _labels(missed: Mapping[Key, float]) -> str:
    shown = [f"{quantity} of {term}" if term else quantity for quantity, term in missed]
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")


def _counted(count: int) -> str:
    return f"{count} number{'s' * (count != 1)}"


def _convention(found: Found, observed: Observed, reference: str, own: tuple[Step, ...]) -> Explanation:
    steps = found.solutions[0]
    named = observed.name
    reason = sentence(steps, named, reference) if steps else f"{_of(named)} numbers follow from the question as asked"
    if own:
        reason += f"; {_of(reference)} follow from the question if {_joined(step.text for step in own)}"
    return Explanation(
        "convention", steps, reason, tuple(found.solutions[1:]), len(observed.values), found.tried
    )  # fmt: skip


def sentence(steps: Sequence[Step], candidate: str, reference: str) -> str:
    """What a referee would write.

    Parameters
    ----------
    steps : sequence of Step
        At least one.
    candidate, reference : str
        What the two sides are called.
    """
    return f"{_of(candidate)} numbers are {_of(reference)} if {_joined(step.text for step in steps)}{on_purpose(steps)}"


def on_purpose(steps: Sequence[Step]) -> str:
    """The end of a sentence that names a mistake; empty where every step is somebody's convention."""
    wrong = [step.text for step in steps if catalogue()[step.key].mistake]
    if not wrong:
        return ""
    return (
        "; no program does this on purpose" if len(steps) == 1 else f"; no program does on purpose: {'; '.join(wrong)}"
    )


def _joined(texts: Iterator[str] | Sequence[str]) -> str:
    listed = list(dict.fromkeys(texts))
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def _of(name: str) -> str:
    """The possessive."""
    return f"{name}'" if name.endswith("s") else f"{name}'s"
