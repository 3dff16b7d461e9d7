"""The analysis of one effect as plain text of 80 columns: formats, never computes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator

from ivbridge.causal.analysis import Analysis, Line
from ivbridge.causal.report.words import assumption, measured, refutation_row, value_sentence

__all__ = ["text"]

WIDTH = 80


def text(found: Analysis) -> str:
    """Text of the whole analysis."""
    return "\n".join(_lines(found))


def _wrapped(line: str, indent: str = "") -> list[str]:
    return textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ", break_long_words=False,
                         break_on_hyphens=False)  # fmt: skip


def _lines(found: Analysis) -> Iterator[str]:
    question, data = found.data.question, found.data
    treated = int(data.treated.sum())
    yield f"What does {question.treatment} do to {question.dependent}? {question.estimand}, {found.opened.name}"
    given = f", given {', '.join(question.covariates)}" if question.covariates else ""
    by = f", instruments {', '.join(question.instruments)}" if question.instruments else ""
    yield from _wrapped(f"n = {data.n}, treated {treated}{given}{by}")
    for note in data.notes:
        yield from _wrapped(note)
    yield ""
    yield from _table(found)
    if found.opened.truth is not None:
        yield f"{'the truth of this world':<26}{measured(found.opened.truth):>11}"
    yield ""
    yield from _wrapped(assumption(found))
    for head, texts in (("Speaks against it:", found.objections), ("To be known:", found.warnings)):
        if texts:
            yield from ("", head, *(line for one in texts for line in _wrapped(one, "  ")))
    yield from _parts(found)
    if found.undone:
        yield from ("", "Not done:")
        for what, why in found.undone.items():
            yield from _wrapped(f"{what}: {why}", "  ")


def _table(found: Analysis) -> Iterator[str]:
    checked = "  R" if found.wanted.check else ""
    yield f"{'method':<26}{'estimate':>11}{'std.err':>10}  {'95 % interval':<21}{checked}".rstrip()
    for line in found.lines:
        if line.effect is None:
            yield from _wrapped(f"{line.method.name:<26}{'–':>11}  {line.why}")
            continue
        low, high = line.effect.conf_int()
        interval = "" if math.isnan(low) else f"{measured(low)} to {measured(high)}"
        cells = f"{measured(line.effect.estimate):>11}{measured(line.effect.std_error):>10}  {interval:<21}"
        yield f"{line.method.name:<26}{cells}  {_r(line) if checked else ''}".rstrip()


def _r(line: Line) -> str:
    if line.agreement is None:
        return "none"
    return f"{line.agreement.verdict} {line.agreement.worst.digits:.1f}"


def _parts(found: Analysis) -> Iterator[str]:
    """One block for each part that was asked."""
    if found.balance is not None:
        yield from ("", "Balance, before and after inverse probability weighting")
        columns = ["difference", "difference after", "variance ratio after", "KS after"]
        yield found.balance.table[columns].to_string(float_format="{:.3f}".format)
        yield from _wrapped(found.balance.summary().splitlines()[-1], "  ")
    if found.refutations:
        yield from ("", f"Attempts to refute {found.lead.title}")
        for one in found.refutations:
            name, verdict, told, cannot = refutation_row(one)
            yield from _wrapped(f"{name}: {verdict}. {told}", "  ")
            yield from _wrapped(f"Cannot show: {cannot}", "    ")
    if found.omitted or found.evalue or found.rosenbaum:
        yield from ("", "Sensitivity to what is not observed")
    for part in (found.omitted, found.evalue, found.rosenbaum):
        if part is not None:
            yield from ("", *(line for one in part.summary().splitlines() for line in _kept(one)))
    if found.ranking is not None:
        yield from ("", "Ranking of units")
        yield from _wrapped(found.ranking.judged.statement, "  ")
        yield from _wrapped(value_sentence(found), "  ")
        if found.ranking.judged.passed:
            yield found.ranking.table.head().to_string(index=False, float_format="{:.4g}".format)


def _kept(line: str) -> list[str]:
    """A row of a table as it is, a sentence wrapped."""
    return [line] if "  " in line.strip() else _wrapped(line, "  ")
