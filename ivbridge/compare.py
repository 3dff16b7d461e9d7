"""The cross-check: several engines, one question, one verdict."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from typing import TypedDict, Unpack

import numpy as np
import pandas as pd

from ivbridge.agreement import Agreement, Comparison
from ivbridge.api import design_for
from ivbridge.asked import asked_vcov
from ivbridge.data import Dataset
from ivbridge.design import Design
from ivbridge.diagnostics import PERFECT_FIT
from ivbridge.engines import IVEngine, Unsupported
from ivbridge.engines import engine as engine_named
from ivbridge.errors import EngineError, IvbridgeError, UnsupportedError
from ivbridge.explainer import explain
from ivbridge.gaps import Gap, Key, agreed, compare_numbers, undefined
from ivbridge.handshake import Check, handshake
from ivbridge.method import Method, TwoStage
from ivbridge.rank import NO_RESIDUAL
from ivbridge.records import NotApplicable, Seen
from ivbridge.results import Estimate
from ivbridge.rounding import allowed_gaps, same_bits
from ivbridge.spec import IVSpec
from ivbridge.threads import one_thread
from ivbridge.vcov import Inference, Vcov
from ivbridge.vcov_text import parse_vcov
from ivbridge.vote import vote
from ivbridge.vote_records import Vote

__all__ = ["DEFAULT_VCOVS", "Changes", "agree", "crosscheck", "default_vcovs", "judged"]

#: Asked when the caller names none: every estimator that needs no column and no seed.
DEFAULT_VCOVS = ("classical", "HC0", "HC1", "HC2", "HC3", "HC4")

#: Below so many digits of a coefficient a first-order bound is no longer a bound.
FEW_DIGITS = 4

#: What follows from residuals, and of an exact fit has no digit.
ROUNDING_ONLY = ("std.error", "cov", "statistic", "p.value", "conf.low", "conf.high", "sigma")

Progress = Callable[[int, int, str], None]


class Changes(TypedDict, total=False):
    """What a call may ask otherwise than the spec does."""

    weights: str | np.ndarray | pd.Series | None
    inference: str | Inference | None
    method: str | Method | None


def default_vcovs(method: Method) -> tuple[str, ...]:
    """The vcovs that :func:`crosscheck` asks of an estimator when none is named: those that it has."""
    return DEFAULT_VCOVS if isinstance(method, TwoStage) else DEFAULT_VCOVS[:3]


@one_thread()
def agree(reference: Estimate, candidate: Estimate, data: pd.DataFrame | Dataset | None = None) -> Comparison:
    """Compare two estimates of the same question.

    Parameters
    ----------
    reference, candidate : Estimate
        For example one from ``engine="r"`` and one from ``engine="native"``.
    data : DataFrame or Dataset, optional
        What both are about; where they differ, more conventions can be tried with it (:func:`ivbridge.explain`).

    Returns
    -------
    Comparison
    """
    return _compare([reference], [candidate], data.frame if isinstance(data, Dataset) else data)[0]


def _compare(
    references: Sequence[Estimate], candidates: Sequence[Estimate], data: pd.DataFrame | None
) -> list[Comparison]:
    """Compare the answers of two engines to one question under several vcovs.

    What rounding explains is measured for all of them at once where each engine used the same matrices throughout.
    """
    checks = [handshake(*pair) for pair in zip(references, candidates, strict=True)]
    comparable = [i for i, each in enumerate(checks) if all(check.ok for check in each)]
    groups = [[i] for i in comparable]
    if all(_one_design([answers[i].seen for i in comparable]) for answers in (references, candidates)):
        groups = [comparable] if comparable else []
    allowed: dict[int, dict[Key, float]] = {}
    for group in groups:
        pairs = [(references[i], candidates[i]) for i in group]
        allowed |= dict(zip(group, _allowed(pairs), strict=True))
    return [
        judged(reference, candidate, checks[i], allowed.get(i, {}), data)
        for i, (reference, candidate) in enumerate(zip(references, candidates, strict=True))
    ]


def _one_design(seen: Sequence[Seen]) -> bool:
    return all(same_bits(seen[0], other) for other in seen[1:])


def _allowed(pairs: Sequence[tuple[Estimate, Estimate]]) -> list[dict[Key, float]]:
    reference, candidate = pairs[0]
    with_matrices = [one for one in (reference, candidate) if one.seen.has_matrices]
    if not with_matrices:
        return [{} for _ in pairs]  # nothing to measure rounding with: only the same bits agree
    both = (with_matrices[0], with_matrices[-1])
    groups = {name: codes for pair in pairs for one in pair for name, codes in one.seen.groups.items()}
    seen, other = (dataclasses.replace(one.seen, groups=groups) for one in both)
    vcovs = [asked_vcov(one.spec) for one, _ in pairs]
    return allowed_gaps(seen, other, vcovs, reference.spec.inference, reference.spec.method)


def judged(
    reference: Estimate, candidate: Estimate, checks: tuple[Check, ...], allowed: Mapping[Key, float],
    data: pd.DataFrame | None,
) -> Comparison:  # fmt: skip
    """The verdict on two answers, given the handshake and the gaps that rounding explains."""
    vcov = str(reference.spec.vcov)
    not_compared = _not_compared(reference, candidate)
    lacks = {**candidate.lacks, **reference.lacks}
    explained, unexplained = undefined(reference, candidate, lacks)
    not_compared, skipped = {**not_compared, **explained}, {**lacks, **unexplained}

    def verdict(name: str, reason: str, gaps: tuple[Gap, ...] = ()) -> Comparison:
        return Comparison(vcov, reference, candidate, checks, gaps, not_compared, name, reason, skipped)

    if failed := [check.name for check in checks if not check.ok]:
        return verdict(
            "not comparable", f"the engines did not see the same {', '.join(failed)}{_how(reference, candidate, data)}"
        )
    gaps = compare_numbers(reference, candidate, allowed, lacks)
    seen = reference.seen if reference.seen.has_matrices else candidate.seen
    for stage, endog in sorted({*_exact_fits(reference, seen)} & {*_exact_fits(candidate, seen)}):
        noise = {stage + quantity for quantity in ROUNDING_ONLY}
        gaps = tuple(gap for gap in gaps if gap.quantity not in noise or not _of_stage(gap.term, endog))
        skipped = {
            **skipped,
            f"{', '.join(ROUNDING_ONLY)}{' of the first stage of ' * bool(stage)}{endog}": PERFECT_FIT,
        }
    if not gaps:
        return verdict("not comparable", "nothing was compared")
    if all(gap.absolute == 0 for gap in gaps):
        return verdict("identical", f"all {len(gaps)} numbers have the same bits", gaps)
    if all(gap.ok for gap in gaps):
        return verdict("rounding", agreed(gaps), gaps)
    why = explain(reference, candidate, data)
    if why.verdict == "convention":
        return verdict("convention", why.reason, gaps)
    failing = [gap for gap in gaps if not gap.ok]
    furthest = min(failing, key=lambda gap: gap.digits)
    reason = (
        f"{len(failing)} of {len(gaps)} numbers differ by more than rounding explains, "
        f"{furthest.label} most ({furthest.digits:.1f} digits)"
    )
    left = -math.log10(max(gap.bound for gap in gaps if gap.quantity == "estimate") + 1e-17)
    if left < FEW_DIGITS:
        reason += f"; near collinearity leaves the coefficients only {max(left, 0):.0f} digits"
    return verdict("substantive", reason, gaps)


def _how(reference: Estimate, candidate: Estimate, data: pd.DataFrame | None) -> str:
    """By which convention about rows, levels or columns two engines went apart; empty where none is known."""
    with suppress(IvbridgeError):
        why = explain(reference, candidate, data, steps=1)
        return f": {why.reason}" if why.verdict == "convention" else ""
    return ""


def _exact_fits(answer: Estimate, seen: Seen) -> Iterator[tuple[str, str]]:
    """The regressions that leave no residual: how the keys of their numbers begin."""
    if answer.seen.exact:
        yield "", ""
    for stage in answer.first_stages if seen.has_matrices else ():
        x = seen.x[:, seen.x_names.index(stage.endog)]
        w = np.ones(len(x)) if seen.weights is None else seen.weights
        if stage.sigma * math.sqrt(stage.df_resid) <= NO_RESIDUAL * math.sqrt(w @ x**2):
            yield "first stage ", stage.endog


def _of_stage(term: str, endog: str) -> bool:
    """Whether a number with such a term belongs to the first stage of this regressor; all terms are the model's own."""
    return not endog or term == endog or term.startswith(f"{endog} ~ ")


def _not_compared(reference: Estimate, candidate: Estimate) -> dict[str, str]:
    both = {**candidate.tests, **reference.tests}
    return {test.name: test.reason for test in both.values() if isinstance(test, NotApplicable)}


@one_thread()
def crosscheck(
    spec_or_formula: IVSpec | str,
    data: pd.DataFrame | Dataset,
    vcovs: Sequence[str | Vcov] | None = None,
    engines: Sequence[str] = ("r", "native"),
    *,
    progress: Progress | None = None,
    **changes: Unpack[Changes],
) -> Agreement:
    """Let several engines answer one question and compare everything they say.

    Parameters
    ----------
    spec_or_formula : IVSpec or str
        As for :func:`ivbridge.fit`.
    data : DataFrame or Dataset, n rows
    vcovs : sequence of str or Vcov, optional
        Default: classical and HC0 to HC4; for LIML and Fuller classical, HC0 and HC1.
    engines : sequence of str, default ("r", "native")
        The first one is the reference. Three or more vote, number by number (:attr:`Agreement.votes`). The peers of
        :data:`ivbridge.engines.PEERS` answer part of the questions.
    progress : callable (done, total, what), optional
        Called before each fit and once at the end.
    weights, inference, method : optional
        As for :func:`ivbridge.fit`.

    Returns
    -------
    Agreement

    Raises
    ------
    UnsupportedError
        If fewer than two engines, no vcov, or an unknown one is named, or fewer than two can answer a named vcov.
    RNotAvailableError
        If an engine is R and R cannot be used here.
    """
    asked = () if vcovs is None else tuple(vcovs)
    _check_enough(engines, asked, named=vcovs is not None)
    design = design_for(spec_or_formula, data, asked, **changes)
    chosen = [parse_vcov(vcov) for vcov in asked or default_vcovs(design.spec.method)]
    answers, failed = _answers(design, chosen, engines, progress)
    frame = data.frame if isinstance(data, Dataset) else data
    comparisons = _comparisons([one for one in answers if len(one) > 1], frame)
    if progress:
        progress(len(chosen) * len(engines), len(chosen) * len(engines), "done")
    if not comparisons or (asked and any(len(one) < 2 for one in answers)):
        raise next(iter(failed.values()))
    spec, unanswered = dataclasses.replace(design.spec, vcov=None), {w: _why_not(e) for w, e in failed.items()}
    return Agreement(spec, comparisons, unanswered, _votes(comparisons, frame))


def _votes(comparisons: Sequence[Comparison], frame: pd.DataFrame) -> tuple[Vote, ...]:
    found = (vote(list(of_one), frame) for _, of_one in groupby(comparisons, key=lambda one: one.vcov))
    return tuple(one for one in found if one is not None)


def _answers(
    design: Design, vcovs: Sequence[Vcov], engines: Sequence[str], progress: Progress | None
) -> tuple[list[list[Estimate]], dict[str, IvbridgeError]]:
    """For each vcov the answers of the engines that have one, and why the others have none."""
    members = [engine_named(name) for name in engines]
    total = len(vcovs) * len(members)
    answers: list[list[Estimate]] = []
    failed: dict[str, IvbridgeError] = {}
    for i, vcov in enumerate(vcovs):
        question = dataclasses.replace(design, spec=dataclasses.replace(design.spec, vcov=vcov))
        answers.append([])
        for j, member in enumerate(members):
            if progress:
                progress(i * len(members) + j, total, f"{member.name}, {vcov}")
            try:
                answers[-1].append(_fit(member, question))
            except (EngineError, UnsupportedError) as error:
                failed[f"{member.name}, {vcov}"] = error
    return answers, failed


def _comparisons(answers: Sequence[Sequence[Estimate]], data: pd.DataFrame | None) -> tuple[Comparison, ...]:
    """Under every vcov the first engine that answered against every other one."""
    pairs: dict[tuple[str, str], list[tuple[tuple[int, int], Estimate, Estimate]]] = defaultdict(list)
    for i, (reference, *candidates) in enumerate(answers):
        for j, candidate in enumerate(candidates):
            pairs[reference.engine, candidate.engine].append(((i, j), reference, candidate))
    found: dict[tuple[int, int], Comparison] = {}
    for asked in pairs.values():
        places, references, others = zip(*asked, strict=True)
        found |= zip(places, _compare(references, others, data), strict=True)
    return tuple(found[place] for place in sorted(found))


def _check_enough(engines: Sequence[str], vcovs: Sequence[str | Vcov], *, named: bool) -> None:
    if len(engines) < 2 or (named and not vcovs):
        found = f"crosscheck() got {len(engines)} engine(s) and {len(vcovs)} vcov(s)."
        raise UnsupportedError(found, do="name two engines and one vcov at least.")


def _why_not(error: IvbridgeError) -> str:
    """Without "… cannot answer with …", which the name of the entry says."""
    _, cannot, reason = error.message.partition(" cannot answer with ")
    return reason.partition(": ")[2] if cannot else error.message


def _fit(engine: IVEngine, design: Design) -> Estimate:
    supported = engine.supports(design.spec)
    if isinstance(supported, Unsupported):
        raise UnsupportedError(f"{engine.name} cannot answer with {design.spec.vcov}: {supported.reason}")
    return engine.fit(design)
