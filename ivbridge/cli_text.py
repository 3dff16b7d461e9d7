"""What the command line prints: plain text for 80 columns, colour only on a terminal, progress only on a terminal.

Formats an :class:`~ivbridge.agreement.Agreement`; computes nothing.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from ivbridge.agreement import Agreement, Comparison
from ivbridge.digits import GroupDigits, digits_by_group
from ivbridge.report import Entry
from ivbridge.visible import visible

if TYPE_CHECKING:
    import pandas as pd

    from ivbridge.data import Dataset

__all__ = [
    "agreement_lines",
    "dataset_lines",
    "dataset_table",
    "headline",
    "question_line",
    "say",
    "verdict_counts",
    "wrapped",
]

WIDTH = 80
_STYLES = {
    "identical": "bold green",
    "rounding": "bold green",
    "convention": "bold yellow",
    "substantive": "bold red",
    "not comparable": "bold red",
    "could not run": "bold red",
}
#: Columns of the digits table: head, and the groups of quantities below it.
_COLUMNS = {
    "coef": ("coefficients",), "s.e.": ("std. errors",), "cov": ("covariance",), "stat": ("statistics",),
    "p": ("p-values",), "CI": ("intervals",), "fit": ("residuals", "fitted"), "diag": ("diagnostics",),
    "1st": ("first stage",),
}  # fmt: skip


def _console() -> Console:
    """A console that neither wraps nor interprets: brackets in a formula are brackets."""
    return Console(soft_wrap=True, highlight=False, markup=False, emoji=False)


def say(line: str = "", verdict: str = "") -> None:
    """Print one line; the verdict in it is coloured on a terminal, and nothing in it is a command to the terminal."""
    text = Text(visible(line))
    if verdict:
        text.highlight_words([verdict, verdict.upper()], _STYLES[verdict])
    _console().print(text)


def wrapped(text: str, indent: str = "  ") -> list[str]:
    """Lines of at most 80 columns; a word that is longer stays whole."""
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False,
                         break_on_hyphens=False)  # fmt: skip


def headline(agreement: Agreement) -> str:
    """``ROUNDING, 9.1 agreeing digits`` and below it the reason."""
    digits = f", {agreement.digits:.1f} agreeing digits" if agreement.gaps else ""
    return "\n".join([agreement.verdict.upper() + digits, *wrapped(agreement.reason)])


def question_line(entry: Entry) -> str:
    """One line of the table of a file of questions."""
    found = entry.outcome
    digits = f"{found.digits:5.1f} digits  n = {found.n}" if isinstance(found, Agreement) and found.comparisons else ""
    return f"{entry.name:<34} {entry.verdict:<14} {digits}".rstrip()


def agreement_lines(agreement: Agreement, data: str = "", *, most: int = 3) -> list[str]:
    """Question, handshake, the table of digits, and the worst numbers where something failed.

    Parameters
    ----------
    agreement : Agreement
    data : str, optional
        Name of the data.
    most : int, default 3
        Failed numbers to show for each vcov.
    """
    return [
        *_question(agreement, data),
        "",
        *_handshakes(agreement.comparisons),
        "",
        *_table(agreement.comparisons),
        *_votes(agreement),
        *_remarks(agreement),
        *_failures(agreement.comparisons, most),
        "",
    ]


def _question(agreement: Agreement, data: str) -> list[str]:
    spec = agreement.spec
    sides = [f"{p.engine} ({', '.join(f'{name} {v}' for name, v in p.versions.items())})" for p in agreement.provenance]
    weights = f", weights {spec.weights}" if spec.weights else ""
    lines = wrapped(spec.title, indent="")
    name = f"{data}, " if data else ""
    lines += wrapped(f"{name}n = {agreement.n}, inference {spec.inference}{weights}")
    for side in sides:
        lines += wrapped(side)
    return lines


def _handshakes(comparisons: Sequence[Comparison]) -> list[str]:
    """The handshake once where all comparisons share it, and again for each that differs."""
    lines: list[str] = []
    seen: set[tuple[object, ...]] = set()
    for c in comparisons:
        if c.handshake in seen:
            continue
        where = f" ({c.candidate.engine}, {c.vcov})" if seen else ""
        seen.add(c.handshake)
        lines.append(f"Handshake{where}: what {c.reference.engine} and {c.candidate.engine} saw")
        for check in c.handshake:
            both = check.reference if check.reference == check.candidate else f"{check.reference} | {check.candidate}"
            lines += wrapped(f"{'same' if check.ok else 'DIFFERENT':<10} {check.name}: {both}")
    return lines


def _table(comparisons: Sequence[Comparison]) -> list[str]:
    """Agreeing digits of the worst number, by vcov and column; a long vcov stands on a line of its own."""
    several = len({c.candidate.engine for c in comparisons}) > 1
    names = [f"{c.vcov} [{c.candidate.engine}]" if several else c.vcov for c in comparisons]
    verdicts = max(map(len, ["verdict", *(c.verdict for c in comparisons)]))
    width = max(WIDTH - verdicts - 2 - 6 * len(_COLUMNS), 12)
    width = min(max(map(len, ["vcov", *names])), width)
    lines = [
        "Agreeing digits of the worst number; 1st: first stage, fit: residuals and fitted",
        f"{'vcov':<{width}}  {'verdict':<{verdicts}}" + "".join(f"{head:>5} " for head in _COLUMNS).rstrip(),
    ]
    for name, comparison in zip(names, comparisons, strict=True):
        if len(name) > width:
            lines.append(name)
            name = ""
        found = digits_by_group(comparison)
        cells = "".join(_cell([found[g] for g in groups if g in found]) for groups in _COLUMNS.values())
        lines.append(f"{name:<{width}}  {comparison.verdict:<{verdicts}}{cells}".rstrip())
    if any(not gap.ok for c in comparisons for gap in c.gaps):
        lines.append("!  at least one number differs by more than rounding explains")
    return lines


def _cell(members: Sequence[GroupDigits]) -> str:
    """Six characters; an exclamation mark where rounding does not explain a gap."""
    if not members:
        return f"{'–':>5} "
    digits = min(member.worst.digits for member in members)
    return f"{digits:>5.1f}" + ("!" if any(member.failed for member in members) else " ")


def _remarks(agreement: Agreement) -> list[str]:
    """What was not compared and why, notes on the data, warnings of the engines: each sentence once."""
    left_out = {f"not compared: {name}, {why}" for c in agreement.comparisons for name, why in c.not_compared.items()}
    left_out |= {f"skipped: {name}, {why}" for name, why in agreement.skipped.items()}
    sides = [estimate for c in agreement.comparisons for estimate in (c.reference, c.candidate)]
    notes = dict.fromkeys(note for side in sides for note in side.notes)
    warnings = dict.fromkeys(f"{side.engine} warns: {text}" for side in sides for text in side.warnings)
    lines = [line for text in (*sorted(left_out), *notes, *warnings) for line in wrapped(text)]
    return ["", *lines] if lines else []


def _votes(agreement: Agreement) -> list[str]:
    """Who stands alone, one paragraph a vcov, where three engines or more answered."""
    lines = [line for vote in agreement.votes for line in wrapped(f"{vote.vcov}: {vote}")]
    return ["", *lines] if lines else []


def _failures(comparisons: Sequence[Comparison], most: int) -> list[str]:
    lines: list[str] = []
    for c in comparisons:
        failed = sorted((gap for gap in c.gaps if not gap.ok), key=lambda gap: gap.digits)
        if failed:
            lines += ["", *wrapped(f"{c.vcov}: {c.reason}", indent="")]
        for gap in failed[:most]:
            lines.append(f"  {gap.label}: {gap.digits:.1f} digits")
            lines.append(f"    {c.reference.engine:<8} {gap.reference:.17g}")
            lines.append(f"    {c.candidate.engine:<8} {gap.candidate:.17g}")
        if len(failed) > most:
            lines.append(f"  and {len(failed) - most} more of {len(c.gaps)}; --json or --report show them all")
    return lines


def verdict_counts(verdicts: Mapping[str, str]) -> str:
    """``3 questions: 2 rounding, 1 substantive``."""
    counts = {verdict: list(verdicts.values()).count(verdict) for verdict in dict.fromkeys(verdicts.values())}
    plural = "s" if len(verdicts) != 1 else ""
    return f"{len(verdicts)} question{plural}: " + ", ".join(f"{count} {name}" for name, count in counts.items())


def dataset_table(listing: pd.DataFrame) -> list[str]:
    """The bundled sets, a line and a description each."""
    lines = []
    for row in listing.itertuples():
        lines.append(f"{row.name:<20} {row.rows:>7} rows {row.columns:>3} columns   {row.licence}")
        lines += wrapped(str(row.description))
    return [*lines, "", "ivbridge datasets NAME shows columns, source and the first rows."]


def dataset_lines(data: Dataset) -> list[str]:
    """One set: where it comes from, its columns, its first rows."""
    rows, columns = data.frame.shape
    facts = {"citation": data.citation, "licence": data.licence, "source": data.source, "sha256": data.sha256,
             "note": data.note}  # fmt: skip
    lines = [f"{data.name}: {rows} rows, {columns} columns"]
    for name, value in facts.items():
        lines += wrapped(f"{name}: {value}") if value else []
    lines += ["", f"{'column':<20} {'type':<12} first values"]
    for label, column in data.frame.items():
        values = ", ".join(f"{value:.6g}" if isinstance(value, float) else str(value) for value in column.head(4))
        lines.append(f"{label!s:<20} {column.dtype!s:<12} {values}"[:WIDTH].rstrip())
    return lines
