"""The cross-check of a whole selection: every LASSO step by two engines, then the estimate by two engines.

Both engines answer each step's question, drawn up from the reference's answers to the steps before it. So a step is
compared on equal terms even where an earlier one differed, and an iterated rule (plug-in loadings, adaptive weights) is
compared at every iteration.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ivbridge import serial
from ivbridge.agreement import Agreement
from ivbridge.engines import Available, Unavailable
from ivbridge.gaps import Gap, gap_of
from ivbridge.handshake import Check
from ivbridge.method import Method
from ivbridge.records import FloatArray, Provenance
from ivbridge.selection.check import LassoComparison, agree_lasso
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.engines import LassoEngine, lasso_engine
from ivbridge.selection.moments import moments
from ivbridge.selection.noise import LAST_BITS, REPETITIONS, SAFETY, perturbed
from ivbridge.selection.records import LassoFit, LassoPath
from ivbridge.selection.selected import Selection
from ivbridge.selection.steps import take_steps
from ivbridge.vcov import Inference, Vcov
from ivbridge.verdicts import Compared, Verdicts

__all__ = ["PathComparison", "SelectionAgreement", "crosscheck_selection"]


@dataclass(frozen=True, slots=True)
class _Solver:
    """Who solved a path."""

    engine: str
    provenance: Provenance


@dataclass(frozen=True, slots=True, eq=False)
class PathComparison:
    """Two solutions at given penalties, as the plug-in rule asks for them."""

    reference: _Solver
    candidate: _Solver
    gaps: tuple[Gap, ...]
    verdict: str
    reason: str
    handshake: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SelectionAgreement(Verdicts):
    """The verdict on a selection and the estimate after it.

    Attributes
    ----------
    selection : Selection
    steps : tuple of LassoComparison or PathComparison
        One for each LASSO that was solved, in order.
    estimate : Agreement or None
        None where nothing was selected.
    same_set : Check
        Instruments and controls that each engine ends with, taking all steps alone.
    """

    selection: Selection
    steps: tuple[LassoComparison | PathComparison, ...]
    estimate: Agreement | None
    same_set: Check

    def _compared(self) -> Sequence[Compared]:
        return (*self.steps, *(self.estimate.comparisons if self.estimate else ()))

    @property
    def verdict(self) -> str:
        """The worst verdict; ``substantive`` where every number agrees but the sets do not."""
        worst = super(SelectionAgreement, self).verdict
        return "substantive" if not self.same_set.ok and worst in ("identical", "rounding") else worst

    @property
    def skipped(self) -> Mapping[str, str]:
        """What has a value in one of the steps or in the estimate and was not compared; a strict check fails on it."""
        steps = {
            f"LASSO {i}: {what}": why
            for i, step in enumerate(self.steps, 1)
            if isinstance(step, LassoComparison)
            for what, why in step.not_compared.items()
        }
        return {**steps, **(self.estimate.skipped if self.estimate else {})}

    def headline(self) -> str:
        """``ROUNDING, 9.1 agreeing digits`` and the reason."""
        return f"{self.verdict.upper()}, {self.digits:.1f} agreeing digits\n  {self.reason}"

    def lines(self) -> list[str]:
        """Text: each part with its verdict and digits, and what failed."""
        found = ["Checked: every LASSO step and the estimate, by R and by Python"]
        for i, step in enumerate(self.steps, 1):
            found.append(f"  {f'LASSO {i}':<10} {step.verdict:<12} {_digits(step.gaps)}  {_about(step)}")
        found.append(f"  {'sets':<10} {'the same' if self.same_set.ok else 'NOT the same':<12} {_sets(self.same_set)}")
        estimates = self.estimate.comparisons if self.estimate else ()
        found += [f"  {'estimate':<10} {one.verdict:<12} {_digits(one.gaps)}  vcov {one.vcov}" for one in estimates]
        failed = [gap for gap in self.gaps if not gap.ok]
        found += [f"  {gap.describe(*self.engines[:2])}" for gap in sorted(failed, key=lambda gap: gap.digits)[:5]]
        return found

    def summary(self) -> str:
        """The lines and the headline."""
        return "\n".join([*self.lines(), self.headline()])

    def to_json(self, *, indent: int | None = None) -> str:
        """Verdict, digits, sets and one entry a part, as one JSON object."""
        parts = [("lasso", step) for step in self.steps]
        estimate = [("estimate", one) for one in (self.estimate.comparisons if self.estimate else ())]
        content: Mapping[str, object] = {
            "format": serial.FORMAT, "type": "SelectionAgreement", "verdict": self.verdict, "ok": self.ok,
            "reason": self.reason, "digits": self.digits, "engines": list(self.engines),
            "same_set": serial.encode(self.same_set),
            "parts": [
                {"part": kind, "verdict": one.verdict, "reason": one.reason, "compared": len(one.gaps),
                 "digits": min((gap.digits for gap in one.gaps), default=0.0)}
                for kind, one in [*parts, *estimate]
            ],
        }  # fmt: skip
        return json.dumps(content, ensure_ascii=False, allow_nan=False, indent=indent)


class _Both:
    """A LASSO engine that lets a second one answer, too, and keeps what came of comparing them."""

    name: ClassVar[str] = "both"

    def __init__(self, reference: LassoEngine, candidate: LassoEngine) -> None:
        self.reference, self.candidate = reference, candidate
        self.found: list[LassoComparison | PathComparison] = []

    def available(self) -> Available | Unavailable:
        """As the reference."""
        return self.reference.available()

    def versions(self) -> Mapping[str, str]:
        """As the reference."""
        return self.reference.versions()

    def cv(self, design: LassoDesign) -> LassoFit:
        """The reference's answer."""
        answer = self.reference.cv(design)
        self.found.append(agree_lasso(design, answer, self.candidate.cv(design)))
        return answer

    def path(self, design: LassoDesign, lambdas: FloatArray | None = None) -> LassoPath:
        """The reference's answer."""
        answer, other = self.reference.path(design, lambdas), self.candidate.path(design, lambdas)
        solvers = [_Solver(one.name, Provenance(one.name, one.versions())) for one in (self.reference, self.candidate)]
        gaps = _path_gaps(design, answer, other, self.candidate)
        verdict, reason = _path_verdict(gaps)
        self.found.append(PathComparison(solvers[0], solvers[1], gaps, verdict, reason))
        return answer


def _path_gaps(design: LassoDesign, a: LassoPath, b: LassoPath, solver: LassoEngine) -> tuple[Gap, ...]:
    """Coefficients where they are furthest apart; rounding explains what the data's last bits move."""
    found = moments(design)
    spreads = np.where(found.spreads > 0, found.spreads, 1.0)
    # as for whole fits: a coefficient is measured by what it does to the fit
    scales = (float(np.abs(a.coefs * spreads).max(initial=0.0)) or 1.0) / spreads
    random = np.random.default_rng(20261122)  # any fixed seed: the verdict must not change from run to run
    # repetitions are compared with each other, so that an answer under test has no part in its own bound
    base, *again = (solver.path(perturbed(design, random, found.spreads), b.lambdas) for _ in range(REPETITIONS + 1))
    moved = max(float((np.abs(one.coefs - base.coefs) / scales).max()) for one in again)
    bound = SAFETY * moved + LAST_BITS
    furthest = np.argmax(np.abs(a.coefs - b.coefs), axis=0)
    return tuple(
        gap_of(
            ("coef", f"{name} at lambda {i + 1}"), (float(a.coefs[i, j]), float(b.coefs[i, j])), float(scales[j]), bound
        )
        for j, (name, i) in enumerate(zip(design.names, furthest, strict=True))
    )


def _path_verdict(gaps: tuple[Gap, ...]) -> tuple[str, str]:
    if all(gap.absolute == 0 for gap in gaps):
        return "identical", f"all {len(gaps)} coefficients have the same bits"
    failed = [gap for gap in gaps if not gap.ok]
    if not failed:
        worst = min(gap.digits for gap in gaps)
        return (
            "rounding",
            f"all {len(gaps)} coefficients agree to {worst:.1f} digits or more; rounding explains every gap",
        )
    return "substantive", f"{len(failed)} of {len(gaps)} coefficients differ by more than rounding explains"


def crosscheck_selection(
    selection: Selection,
    vcovs: Sequence[str | Vcov] = ("HC0",),
    method: str | Method = "2sls",
    inference: str | Inference = "z",
    engines: tuple[str, str] = ("r", "native"),
) -> SelectionAgreement:
    """Take every step of a selection by two engines and compare, then compare the estimates.

    Parameters
    ----------
    selection : Selection
        Its question is asked again.
    vcovs : sequence of str or Vcov, default ("HC0",)
    method, inference
        Of the estimate.
    engines : (str, str), default ("r", "native")
        Of the LASSO steps; the first one is the reference. The estimates compared are always R's and the native one.

    Returns
    -------
    SelectionAgreement

    Raises
    ------
    RNotAvailableError, MissingExtraError
        If an engine cannot be used here.
    """
    both = _Both(lasso_engine(engines[0]), lasso_engine(engines[1]))
    first = take_steps(selection.question, selection.data, both)
    second = take_steps(selection.question, selection.data, both.candidate)
    sets = [(steps.selected, steps.controls) for steps in (first, second)]
    shown = [f"{', '.join(chosen) or 'none'}" + (f" | {', '.join(kept)}" if kept else "") for chosen, kept in sets]
    estimate = selection.crosscheck(vcovs, method, inference=inference) if selection.selected else None
    return SelectionAgreement(
        selection, tuple(both.found), estimate, Check("sets", shown[0], shown[1], sets[0] == sets[1])
    )


def _digits(gaps: tuple[Gap, ...]) -> str:
    return f"{min((gap.digits for gap in gaps), default=0.0):5.1f} digits, {len(gaps)} numbers"


def _about(step: LassoComparison | PathComparison) -> str:
    if isinstance(step, PathComparison):
        return "at the plug-in penalty"
    return f"{step.reference.spec.dependent} on {len(step.reference.names)} candidates"


def _sets(check: Check) -> str:
    return check.reference if check.ok else f"{check.reference} | {check.candidate}"
