"""Both answers to a case, and what they say about the port."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ivbridge.ports.calls import Port, PythonAnswer, call_python
from ivbridge.ports.differ import Pair, pairs_of
from ivbridge.ports.kinds import kinds_of, possible_kinds
from ivbridge.ports.r_side import RAnswer, RSide
from ivbridge.ports.records import Case, Difference, Failure, Ledger, OutputLedger
from ivbridge.ports.rounding import allowed

__all__ = ["Judged", "judge", "judge_all", "keep"]


@dataclass(frozen=True)
class Judged:
    """One case with both answers.

    Attributes
    ----------
    case : mapping
    python : PythonAnswer
    r : RAnswer
    differences : tuple of Difference
        None of them: the case agrees.
    pairs : tuple of Pair
        The numbers that were compared.
    compared, declared : bool
        Both answered; an error that is declared.
    texts : int
        Texts that were compared.
    skipped : dict
        What was there and was not compared.
    """

    case: Case
    python: PythonAnswer
    r: RAnswer
    differences: tuple[Difference, ...] = ()
    pairs: tuple[Pair, ...] = ()
    compared: bool = False
    declared: bool = False
    texts: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


def judge_all(port: Port, cases: Sequence[Case], side: RSide) -> list[Judged]:
    """Ask both sides about every case."""
    answers = side.answers(cases)
    return [judge(port, case, answer) for case, answer in zip(cases, answers, strict=True)]


def judge(port: Port, case: Case, r: RAnswer) -> Judged:
    """Ask Python about a case whose answer by R is known, and compare.

    Parameters
    ----------
    port : Port
    case : mapping
    r : RAnswer
        Given by R now, or recorded.
    """
    python = call_python(port, case)
    if isinstance(python.found, Failure) or isinstance(r.found, Failure):
        found = _failures(port, python.found, r.found)
        return Judged(case, python, r, () if found is None else (found,), declared=found is None)
    compared = pairs_of(port.outputs, python.found, r.found)
    differences = list(compared.differences)
    if python.changed:
        differences.append(Difference("changes its input", "", "changed it", "does not"))
    pairs = _explained(port, case, compared.pairs)
    differences += [pair.difference() for pair in pairs if pair.beyond.any()]
    return Judged(
        case, python, r, tuple(differences), pairs, compared=True, texts=compared.texts, skipped=compared.skipped
    )


def _explained(port: Port, case: Case, pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs, with the numbers marked whose gap the rounding of the input explains."""
    over = [pair for pair in pairs if pair.over.any()]
    limits = dict(zip([pair.path for pair in over], allowed(port, case, over) if over else [], strict=True))
    found = []
    for pair in pairs:
        if pair.path in limits:
            with np.errstate(all="ignore"):
                explained = pair.over & (np.abs(pair.python - pair.r) <= limits[pair.path])
            pair = replace(pair, explained=explained)
        found.append(pair)
    return tuple(found)


def _failures(port: Port, python: object, r: object) -> Difference | None:
    """The difference where one side or both raised; None if it is declared."""
    ours = python if isinstance(python, Failure) else None
    theirs = r if isinstance(r, Failure) else None
    if theirs is not None and theirs.classes[0] in ("ended", "timeout"):
        return Difference("ends R" if theirs.classes[0] == "ended" else "stops R", "", "answers", theirs.message)
    for one in port.options.errors:
        fits_python = (ours is None) if one.py is None else ours is not None and isinstance(ours.error, one.py)
        fits_r = (theirs is None) if one.r is None else theirs is not None and bool(re.search(one.r, theirs.message))
        if fits_python and fits_r:
            return None
    if theirs is None:
        return Difference("raises only in Python", "", str(ours), "answers")
    if ours is None:
        return Difference("raises only in R", "", "answers", str(theirs))
    return Difference("raises in both", "", str(ours), str(theirs))


def keep(ledger: Ledger, judged: Judged) -> None:
    """Count one case."""
    ledger.tried += 1
    ledger.compared += judged.compared
    ledger.differed += bool(judged.differences)
    ledger.agreed += not judged.differences
    ledger.declared += judged.declared
    warned = (bool(judged.python.warnings), bool(judged.r.warnings))
    if warned[0] != warned[1]:
        side = "only Python" if warned[0] else "only R"
        ledger.warned[side] = ledger.warned.get(side, 0) + 1
    for kind in possible_kinds(judged.case):
        ledger.kinds.setdefault(kind, (0, 0, 0))
    for kind in kinds_of(judged.case):
        tried, compared, differed = ledger.kinds.get(kind, (0, 0, 0))
        ledger.kinds[kind] = (tried + 1, compared + judged.compared, differed + bool(judged.differences))
    for pair in judged.pairs:
        found = ledger.outputs.setdefault(pair.output.name, OutputLedger())
        identical = int((pair.gap == 0).sum())
        found.compared += pair.gap.size
        found.identical += identical
        found.within += int((~pair.over).sum()) - identical
        found.explained += int(pair.explained.sum())
        found.worst = max(found.worst, float(pair.gap[~pair.over].max(initial=0.0)))
        found.largest = max(found.largest, float(pair.gap[pair.beyond].max(initial=0.0)))
    ledger.texts += judged.texts
    ledger.skipped |= judged.skipped
