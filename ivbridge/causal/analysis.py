"""One question, several methods, and what speaks against their answer: R, overlap, balance, refutation, sensitivity."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from ivbridge import serial
from ivbridge.causal import METHODS
from ivbridge.causal.agreement import EffectAgreement, crosscheck
from ivbridge.causal.asked import Opened, method_of
from ivbridge.causal.balance import Balance, balance
from ivbridge.causal.heterogeneity.gate import GateOptions, Ranking, rank
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.methods.propensity_matching import PropensityMatching
from ivbridge.causal.overlap import describe
from ivbridge.causal.propensity import logit
from ivbridge.causal.question import CausalData, build
from ivbridge.causal.records import EffectEstimate, Overlap
from ivbridge.causal.refute import refuter_class
from ivbridge.causal.refute.protocol import Refutation
from ivbridge.causal.refute.suite import refute_all
from ivbridge.causal.sensitivity import ovb
from ivbridge.causal.sensitivity.evalue import EValue, of_effect
from ivbridge.causal.sensitivity.ovb import OmittedVariables
from ivbridge.causal.sensitivity.rosenbaum import RosenbaumBounds, of_estimate
from ivbridge.causal.weights import weigh
from ivbridge.errors import DataError, DesignError, MissingExtraError, RError, UnsupportedError
from ivbridge.progress import Progress
from ivbridge.records import FloatArray

__all__ = ["DEFAULTS", "UNADJUSTED", "Analysis", "Line", "Wanted", "analyse"]

#: Methods where none is named, by estimand; the first that can be computed leads.
DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "ATE": ("aipw", "lin", "regression", "ipw", "difference"),
    "ATT": ("aipw", "lin", "propensity_matching", "ipw", "difference"),
    "LATE": ("two_stage", "iivm", "pliv"),
}
#: The method that compares the arms as they are.
UNADJUSTED = "difference"
#: What a part of the analysis may end with; anything else is a fault.
_REASONS = (DataError, DesignError, UnsupportedError, MissingExtraError)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is to be done.

    Parameters
    ----------
    methods : tuple of str
        As :func:`~ivbridge.causal.asked.method_of` reads them; ``("all",)``; default: :data:`DEFAULTS`.
    check, balance, refute, sensitivity, rank : bool, default False
        Compare with R; balance before and after weighting; refuters; sensitivity to what is not observed; the gate
        and the ranking of units.
    ranker : str, default "causal_forest"
        The method that ranks.
    negative_outcome, negative_exposure : str, optional
        Columns for two more refuters.
    seed : int, default 0
    """

    methods: tuple[str, ...] = ()
    check: bool = False
    balance: bool = False
    refute: bool = False
    sensitivity: bool = False
    rank: bool = False
    ranker: str = "causal_forest"
    negative_outcome: str | None = None
    negative_exposure: str | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """One method's answer, or why it has none.

    Attributes
    ----------
    title : str
    method : CausalMethod
    effect : EffectEstimate or None
    agreement : EffectAgreement or None
        With R, where that was asked and R has the method.
    why : str
        Why there is no effect, or no comparison with R.
    r_failed : bool
        Whether R stopped with an error on these data.
    """

    title: str
    method: CausalMethod
    effect: EffectEstimate | None
    agreement: EffectAgreement | None = None
    why: str = ""
    r_failed: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Everything that was asked about one effect; parts that were not asked are None or empty.

    Attributes
    ----------
    opened : Opened
    wanted : Wanted
    data : CausalData
    lines : tuple of Line
        The first with an effect leads.
    score : (n,) array or None
        Propensity scores by maximum likelihood.
    overlap : Overlap or None
    balance : Balance or None
        Before and after inverse probability weighting.
    refutations : tuple of Refutation
    omitted, evalue, rosenbaum : OmittedVariables, EValue, RosenbaumBounds or None
    ranking : Ranking or None
    undone : mapping of str to str
        What was asked and could not be done: why.
    """

    opened: Opened
    wanted: Wanted
    data: CausalData
    lines: tuple[Line, ...]
    score: FloatArray | None = None
    overlap: Overlap | None = None
    balance: Balance | None = None
    refutations: tuple[Refutation, ...] = ()
    omitted: OmittedVariables | None = None
    evalue: EValue | None = None
    rosenbaum: RosenbaumBounds | None = None
    ranking: Ranking | None = None
    undone: Mapping[str, str] = field(default_factory=dict)

    @property
    def effects(self) -> tuple[EffectEstimate, ...]:
        """Of the methods that have one."""
        return tuple(line.effect for line in self.lines if line.effect is not None)

    @property
    def lead(self) -> EffectEstimate:
        """The first method's."""
        return self.effects[0]

    @property
    def objections(self) -> tuple[str, ...]:
        """What speaks against the answer, a sentence each; empty where nothing that was asked does."""
        return tuple(_objections(self))

    @property
    def ok(self) -> bool:
        """Whether nothing that was asked speaks against the answer."""
        return not self.objections

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the methods and the overlap, each once, under the first title that has it."""
        told = [(one.title, text) for one in self.effects for text in one.answer.warnings]
        for title, overlap in (("Overlap", self.overlap), *((one.title, one.overlap) for one in self.effects)):
            if overlap is not None and overlap.verdict == "warn":
                told += [(title, reason) for reason in overlap.reasons]
        first = {text: title for title, text in reversed(told)}
        return tuple(f"{first[text]}: {text}" for text in dict.fromkeys(text for _, text in told))

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON: the question, a row for each method, and every part that was asked."""
        return json.dumps(_tree(self), ensure_ascii=False, allow_nan=False, indent=indent)


def analyse(opened: Opened, wanted: Wanted | None = None, progress: Progress | None = None) -> Analysis:
    """Estimate, and do what else is wanted.

    Parameters
    ----------
    opened : Opened
    wanted : Wanted, optional
        Default: the estimates and the overlap.
    progress : callable, optional

    Raises
    ------
    UnsupportedError, DataError, DesignError, MissingExtraError
        If a method that was named cannot answer, or none can.
    RNotAvailableError, RTimeoutError, RDiedError
        If R was asked and does not answer.
    """
    asked = wanted or Wanted()
    data = build(opened.question, opened.frame)
    ranker = method_of(asked.ranker)
    lines = tuple(_lines(data, asked, progress))
    undone: dict[str, str] = {}
    leading = _leading(lines, data, named=asked.methods not in ((), ("all",)))

    def attempt(what: str, work: Callable[[], _T], asked_for: bool = True) -> _T | None:
        try:
            return work() if asked_for else None
        except _REASONS as error:
            undone[what] = str(error)
            return None

    score = attempt("overlap", lambda: _score(data))
    weighed = attempt("balance", lambda: _balance(data), asked.balance)
    refuted = attempt("refutation", lambda: _refuted(opened, asked, leading.method, progress), asked.refute)
    omitted = attempt("omitted variables", lambda: _omitted(data), asked.sensitivity)
    evalue = attempt("E-value", lambda: _evalue(leading, data), asked.sensitivity)
    bounds = attempt("Rosenbaum bounds", lambda: _rosenbaum(data, asked), asked.sensitivity)
    ranking = attempt("ranking", lambda: _ranking(ranker, data, asked), asked.rank)
    overlap = None if score is None else describe(score, data.t, estimand=data.question.estimand)
    return Analysis(opened, asked, data, lines, score, overlap, weighed, refuted or (), omitted, evalue, bounds,
                    ranking, undone)  # fmt: skip


def _leading(lines: tuple[Line, ...], data: CausalData, *, named: bool) -> Line:
    """The first line with an effect; where nobody named it, none that leaves the covariates of the question out."""
    for line in lines:
        if line.effect and (named or not data.x_names or line.method.name != UNADJUSTED):
            return line
    adjusts = " that adjusts for the covariates" if any(line.effect for line in lines) else ""
    raise DesignError(f"No method{adjusts} can answer. {lines[0].title}: {lines[0].why}")


def _lines(data: CausalData, asked: Wanted, progress: Progress | None) -> Iterator[Line]:
    """A line for each method; of methods that nobody named, those that cannot answer say why."""
    everything = asked.methods == ("all",)
    usual = DEFAULTS[data.question.estimand]
    names = tuple(dict.fromkeys((*usual, *METHODS))) if everything else asked.methods or usual
    if everything:
        names = (*(name for name in names if name != UNADJUSTED), UNADJUSTED)
    named = bool(asked.methods) and not everything
    for done, text in enumerate(names):
        if progress is not None:
            progress(done, len(names), text)
        method = method_of(text)
        if everything and data.question.estimand not in method.estimands:
            continue
        try:
            yield _line(data, asked, method)
        except _REASONS as error:
            if named:
                raise
            yield Line(method.title, method, None, why=str(error))


def _line(data: CausalData, asked: Wanted, method: CausalMethod) -> Line:
    method.check(data.question)
    why, failed = "", False
    if asked.check:
        try:
            agreement = crosscheck(method, data.question, data, asked.seed)
            return Line(method.title, method, agreement.candidate, agreement)
        except UnsupportedError as error:
            why = str(error)
        except RError as error:
            why, failed = f"R stops with an error: {error}", True
    return Line(method.title, method, method.fit(data.question, data, asked.seed), why=why, r_failed=failed)


def _score(data: CausalData) -> FloatArray:
    if data.question.estimand == "LATE" or not data.x_names:
        raise UnsupportedError("Overlap is about covariates and the arms of a treatment that nobody else chose.")
    return logit(data).score


def _balance(data: CausalData) -> Balance:
    if data.question.estimand == "LATE":
        raise UnsupportedError("Balance of the arms is not what instruments rest on.")
    found = weigh(data)
    return balance(data, found.weights, found.score)


def _refuted(opened: Opened, asked: Wanted, method: CausalMethod, progress: Progress | None) -> tuple[Refutation, ...]:
    refuters = [refuter_class(name)() for name in ("placebo", "subset", "bootstrap", "hidden")]
    controls = {"negative_outcome": asked.negative_outcome, "negative_exposure": asked.negative_exposure}
    refuters += [refuter_class(name)(column=column) for name, column in controls.items() if column]
    return refute_all(method, opened.question, opened.frame, asked.seed, progress, refuters)


def _omitted(data: CausalData) -> OmittedVariables:
    return ovb.analyse(data.question, data)


def _evalue(leading: Line, data: CausalData) -> EValue:
    assert leading.effect is not None
    return of_effect(leading.effect, data)


def _rosenbaum(data: CausalData, asked: Wanted) -> RosenbaumBounds:
    """Of pairs matched on the propensity score without replacement: the effect on the treated."""
    if data.question.estimand == "LATE":
        raise UnsupportedError("Rosenbaum's bounds are for matched pairs, not for instruments.")
    question = replace(data.question, estimand="ATT")
    pairs = PropensityMatching(replace=False).fit(question, replace(data, question=question), asked.seed)
    return of_estimate(pairs)


def _ranking(ranker: CausalMethod, data: CausalData, asked: Wanted) -> Ranking:
    return rank(ranker, data.question, data, GateOptions(seed=asked.seed), anyway=True)


def _objections(found: Analysis) -> Iterator[str]:
    for line in found.lines:
        if line.r_failed:
            yield f"{line.title}: {line.why}"
        if line.agreement is not None and not line.agreement.ok:
            bad = line.agreement.worst
            yield (f"{line.title}: R has another {bad.quantity}, {bad.reference:.10g} for {bad.candidate:.10g} "
                   f"({bad.digits:.1f} digits).")  # fmt: skip
    if found.overlap is not None and found.overlap.verdict == "stop":
        yield f"Overlap: {' '.join(found.overlap.reasons)}"
    if found.data.x_names and found.data.question.estimand != "LATE" and "overlap" in found.undone:
        yield f"Overlap: {found.undone['overlap']}"
    if found.balance is not None and not found.balance.ok:
        name, size = found.balance.worst
        yield f"Balance: after weighting, {name} still differs by {size:.2f} standard deviations."
    for one in found.refutations:
        if one.verdict == "failed":
            yield f"{one.title} failed: {' '.join(one.reasons) or one.done}"
    if found.ranking is not None and not found.ranking.judged.passed:
        yield f"Ranking: {found.ranking.judged.statement}"


def _tree(found: Analysis) -> dict[str, Any]:
    """The analysis as plain values; records encode themselves."""
    ranking = found.ranking
    rows = [
        {"method": line.method.name, "title": line.title, "why": line.why,
         **(json.loads(line.effect.to_json()) if line.effect else {"estimate": None}),
         "r": None if line.agreement is None else {
             "verdict": line.agreement.verdict, "digits": line.agreement.worst.digits,
             "numbers": line.agreement.to_frame().to_dict("records")}}
        for line in found.lines
    ]  # fmt: skip
    parts = {
        "type": "CausalAnalysis", "data": found.opened.name, "question": found.data.question, "n": found.data.n,
        "n_treated": int(found.data.treated.sum()), "truth": found.opened.truth, "ok": found.ok,
        "objections": found.objections, "warnings": found.warnings, "methods": rows, "overlap": found.overlap,
        "balance": _loaded(found.balance), "refutations": [_loaded(one) for one in found.refutations],
        "omitted": _loaded(found.omitted), "evalue": _loaded(found.evalue), "rosenbaum": _loaded(found.rosenbaum),
        "ranking": None if ranking is None else {
            "passed": ranking.judged.passed, "statement": ranking.judged.statement, "autoc": ranking.judged.autoc,
            "qini": ranking.judged.qini, "calibration": ranking.judged.calibration,
            "p_value": ranking.judged.p_value, "values": ranking.judged.values,
            "groups": ranking.judged.groups.to_dict("records")},
        "undone": dict(found.undone), "seed": found.wanted.seed,
    }  # fmt: skip
    tree: dict[str, Any] = json.loads(serial.dumps(parts))
    return tree


def _loaded(record: Any) -> Any:
    return None if record is None else json.loads(record.to_json())
