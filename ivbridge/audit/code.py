"""Look at a notebook or a script, without running it."""

from __future__ import annotations

from collections.abc import Iterable

from ivbridge.audit.catalogue import catalogue
from ivbridge.audit.checks import differences, effects, habits, instruments, learners, outputs, scores, simulated
from ivbridge.audit.flow import follow
from ivbridge.audit.models import models
from ivbridge.audit.reading import Source
from ivbridge.audit.records import Finding
from ivbridge.audit.view import Hit, Look, View
from ivbridge.errors import DataError

__all__ = ["LOOKS", "code_findings"]

#: Every look at code; each says what it found and nothing where there is nothing.
LOOKS: tuple[Look, ...] = (
    scores.penalty, scores.solver, scores.overlap, scores.weights, scores.matching, scores.balance,
    simulated.seeds, simulated.hidden, simulated.clipped, simulated.truth,
    instruments.by_hand, instruments.no_effect, instruments.exogenous, instruments.strength,
    learners.nuisances, learners.regressors, learners.unseeded, learners.splits,
    effects.centring, effects.seen_rows, effects.ranking, effects.counterfactuals,
    differences.means, differences.aggregated, differences.confounders_left, differences.placebos,
    differences.placebo_power,
    habits.default_errors, habits.overwritten, habits.selected, habits.named_only,
    outputs.convergence, outputs.perfect_fit, outputs.scale,
)  # fmt: skip


def code_findings(source: Source, treatment: Iterable[str] = ()) -> list[Finding]:
    """Every mistake that the code shows, by place; one for each place and check.

    Parameters
    ----------
    source : Source
    treatment : iterable of str
        Names of the treatment; default: guessed from names such as ``T`` and ``treated``.

    Raises
    ------
    DataError
        If the code is nested too deeply to be followed.
    """
    try:
        program = follow(source)
        view = View(source, program, tuple(models(program)), tuple(treatment))
        hits = [hit for look in LOOKS for hit in look(view)]
    except RecursionError:
        raise DataError(f"{source.path} is nested too deeply to be followed.") from None
    kept: dict[tuple[str, int, int, str], Finding] = {}
    for hit in sorted(hits, key=lambda one: (one.place.cell, one.place.line)):
        kept.setdefault((hit.check, hit.place.cell, hit.place.line, hit.found), _finding(source, hit))
    return list(kept.values())


def _finding(source: Source, hit: Hit) -> Finding:
    cell = source.cells[hit.place.cell]
    lines = cell.code.split("\n")
    at = hit.place.line - cell.first - 1
    whole = hit.check == "named-not-computed"
    code = "" if whole or not 0 <= at < len(lines) else lines[at].strip()[:100]
    where = source.path if whole else f"{source.path}, {cell.label + ', ' if cell.label else ''}line {hit.place.line}"
    printed = "" if whole else cell.printed
    return Finding(catalogue()[hit.check], where, hit.found, hit.numbers, code, printed, hit.place.cell, hit.place.line)
