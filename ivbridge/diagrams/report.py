"""Everything about one effect in a diagram: computed once, shown as text, as JSON and as a drawing."""

from __future__ import annotations

import json
import shlex
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ivbridge.diagrams.graph import Diagram
from ivbridge.diagrams.identify import LARGE, Identification, forbidden, identify
from ivbridge.diagrams.implications import Independence, implications
from ivbridge.diagrams.paths import causal_paths, open_paths, show
from ivbridge.diagrams.reasons import Judgement, Verdict, judge_adjustment, reasons
from ivbridge.diagrams.second import Opinion, second_opinion
from ivbridge.diagrams.svg import draw
from ivbridge.diagrams.text import parse, write
from ivbridge.errors import DiagramError

__all__ = ["DiagramReport", "examine"]

WIDTH = 100
#: Lines of a list that are printed; JSON and the page hold all of them.
SHOWN = 8


@dataclass(frozen=True)
class DiagramReport:
    """What a diagram says about one effect.

    Attributes
    ----------
    found : Identification
    verdicts : tuple of Verdict
        One for each observed node besides treatment and dependent variable.
    effect, open : tuple of str
        Paths that are the effect; paths that are open and no part of it, nothing held fixed.
    judgement : Judgement, optional
        Of the set that was asked about.
    independences : tuple of Independence
        What the data have to show if the diagram is right.
    missing : tuple of str
        Unobserved nodes each of which, once observed, would give an adjustment set.
    opinions : tuple of Opinion
        pgmpy's, where it was asked.
    """

    found: Identification
    verdicts: tuple[Verdict, ...]
    effect: tuple[str, ...]
    open: tuple[str, ...]
    judgement: Judgement | None
    independences: tuple[Independence, ...]
    missing: tuple[str, ...]
    opinions: tuple[Opinion, ...]

    @property
    def ok(self) -> bool:
        """Whether the effect is identified, by the set that was asked about if there is one."""
        return self.judgement.valid if self.judgement else self.found.by != "none"

    @property
    def sentences(self) -> tuple[str, ...]:
        """The findings in words."""
        return tuple(_sentences(self))

    @property
    def commands(self) -> tuple[str, ...]:
        """Commands that estimate the effect in the ways that the diagram allows; DATA stands for a file."""
        return tuple(_commands(self.found))

    def svg(self) -> str:
        """The drawing; nodes of the set that was asked about are held fixed in it."""
        fixed = self.judgement.given if self.judgement else ()
        return draw(self.found.diagram, self.found.treatment, self.found.dependent, fixed)

    def summary(self) -> str:
        """Plain text."""
        return "\n".join(_lines(self))

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values."""
        found = self.found
        return {
            "diagram": write(found.diagram).splitlines(), "treatment": found.treatment, "dependent": found.dependent,
            "identified_by": found.by, "effect": list(self.effect), "open": list(self.open),
            "adjustment": [list(one) for one in found.adjustment],
            "precise": None if found.precise is None else list(found.precise),
            "front_doors": [list(one) for one in found.front_doors],
            "instruments": [{"name": one.name, "given": list(one.given)} for one in found.instruments],
            "complete": found.complete, "missing": list(self.missing), "sentences": list(self.sentences),
            "nodes": [
                {"name": v.name, "role": v.role, "advice": v.advice, "why": v.why, "opens": list(v.opens),
                 "closes": list(v.closes), "others": list(v.others)}
                for v in self.verdicts
            ],
            "adjusted": None if self.judgement is None else {
                "given": list(self.judgement.given), "valid": self.judgement.valid,
                "faults": list(self.judgement.faults),
            },
            "independences": [{"one": i.one, "other": i.other, "given": list(i.given)} for i in self.independences],
            "second_opinion": [
                {"question": o.question, "ivbridge": o.ours, "pgmpy": o.theirs, "agree": o.agree, "why": o.why}
                for o in self.opinions
            ],
            "commands": list(self.commands),
        }  # fmt: skip

    def to_json(self) -> str:
        """One JSON object."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


def examine(
    diagram: Diagram | str,
    treatment: str | None = None,
    dependent: str | None = None,
    adjust: Iterable[str] | None = None,
    *,
    check: bool = False,
) -> DiagramReport:
    """Say what a diagram allows for one effect, and why.

    Parameters
    ----------
    diagram : Diagram or str
        A text that :func:`ivbridge.diagrams.text.parse` reads.
    treatment, dependent : str, optional
        Needed unless the text marks them.
    adjust : iterable of str, optional
        A set to judge; by default the nodes that the text marks as adjusted, if there are any.
    check : bool, default False
        Ask pgmpy, too.

    Raises
    ------
    DiagramError
        If the text cannot be read, or a node is missing, unknown or not observed.
    MissingExtraError
        If networkx, or with ``check`` pgmpy, is missing.
    """
    if isinstance(diagram, str):
        drawing = parse(diagram)
        diagram, treatment, dependent = drawing.diagram, treatment or drawing.treatment, dependent or drawing.dependent
        adjust = adjust if adjust is not None else (drawing.adjusted or None)
    if treatment is None or dependent is None:
        what = "treatment" if treatment is None else "dependent variable"
        raise DiagramError(f"Which node is the {what}?", available=", ".join(diagram.observed), do="name it.")
    found = identify(diagram, treatment, dependent)
    show_all = [[show(diagram, path) for path in ways] for ways in (
        causal_paths(diagram, treatment, dependent), open_paths(diagram, treatment, dependent, ())
    )]  # fmt: skip
    large = len(diagram.nodes) > LARGE
    return DiagramReport(
        found,
        () if large else reasons(found),
        tuple(show_all[0]),
        tuple(show_all[1]),
        None if adjust is None else judge_adjustment(diagram, treatment, dependent, adjust),
        () if large else implications(diagram),
        () if found.adjustment else _missing(found),
        second_opinion(found) if check else (),
    )


def _missing(found: Identification) -> tuple[str, ...]:
    diagram = found.diagram
    return tuple(
        name for name in diagram.nodes
        if name in diagram.latent
        and identify(replace(diagram, latent=diagram.latent - {name}), found.treatment, found.dependent).adjustment
    )  # fmt: skip


def _set(names: Sequence[str]) -> str:
    return "{" + ", ".join(names) + "}"


def _sets(sets: Sequence[Sequence[str]]) -> str:
    listed = [_set(one) for one in sets[:SHOWN]]
    more = f" and {len(sets) - SHOWN} more" if len(sets) > SHOWN else ""
    return " or ".join(listed) + more


def _sentences(report: DiagramReport) -> list[str]:
    """What identifies the effect, best way first, and what a large diagram leaves out."""
    size = len(report.found.diagram.nodes)
    left_out = f"Of {size} nodes, none is looked at by itself, nor are the independences that they imply: that is done "
    return [*_ways(report), *([f"{left_out}up to {LARGE} nodes."] if size > LARGE else [])]


def _ways(report: DiagramReport) -> list[str]:
    found = report.found
    x, y = found.treatment, found.dependent
    if not found.affects:
        return [f"No path along arrows leads from {x} to {y}: the diagram says that the effect is zero."]
    words = []
    if found.adjustment == ((),):
        words.append("Nothing needs to be adjusted for: no path but the effect is open.")
    elif found.adjustment:
        words.append(f"Adjust for {_sets(found.adjustment)}; nothing can be left out of any of these sets.")
    else:
        words.append(f"No set of observed nodes will do for adjustment{_left_open(found)}.")
        if report.missing:
            words.append(f"Observing {' or '.join(report.missing)} would give an adjustment set.")
    if found.precise is not None and found.precise not in found.adjustment:
        words.append(f"{_set(found.precise)} is valid, too, and the most precise in large samples.")
    if found.front_doors:
        words.append(f"Front door: {_sets(found.front_doors)} carries the whole effect and is not confounded.")
    for name in dict.fromkeys(one.name for one in found.instruments):
        sets = [one.given for one in found.instruments if one.name == name]
        words.append(f"{name} is an instrument{'' if sets == [()] else f', given {_sets(sets)}'}.")
    if found.by == "none":
        words.append("No adjustment set, front door or instrument identifies the effect; longer arguments, and front "
                     "doors that need covariates, are not looked for.")  # fmt: skip
    if not found.complete:
        words.append("There are more sets than are listed.")
    return words


def _left_open(found: Identification) -> str:
    """A path that is open when every ancestor that may be held fixed is; where that set fails, every set does."""
    diagram = found.diagram
    taken = forbidden(diagram, found.treatment, found.dependent)
    most = [
        name for name in diagram.observed
        if name in diagram.ancestors([found.treatment, found.dependent]) and name not in taken
    ]  # fmt: skip
    ways = open_paths(diagram, found.treatment, found.dependent, most)
    with_these = f" with {_set(most)} held fixed" if most else ""
    return f":{with_these} {show(diagram, ways[0])} is open" if ways else ""


def _commands(found: Identification) -> list[str]:
    head = f"ivbridge causal DATA --dependent {shlex.quote(found.dependent)} --treatment {shlex.quote(found.treatment)}"

    def names(flag: str, given: Sequence[str]) -> str:
        return f" {flag} {shlex.quote(','.join(given))}" if given else ""

    commands = []
    if found.affects and found.adjustment:
        chosen = found.precise if found.precise is not None else found.adjustment[0]
        commands.append(head + (names("--covariates", chosen) or " --method difference"))
    if found.instruments:
        one = found.instruments[0]
        commands.append(
            f"{head}{names('--covariates', one.given)} --instruments {shlex.quote(one.name)} --estimand LATE"
            " --method two_stage"
        )
    return commands


def _lines(report: DiagramReport) -> list[str]:
    found = report.found
    lines = [f"Effect of {found.treatment} on {found.dependent}"]
    lines += _listed("along", report.effect) + _listed("open, and not the effect", report.open)
    if report.judgement is not None:
        verdict = "a valid adjustment set" if report.judgement.valid else "no valid adjustment set"
        lines += ["", f"{_set(report.judgement.given)} is {verdict}."]
        lines += [line for fault in report.judgement.faults[:SHOWN] for line in _wrap(f"- {fault}")]
    lines += ["", *(line for sentence in report.sentences for line in _wrap(sentence, ""))]
    if report.verdicts:
        lines += ["", "Each node:"]
        for v in report.verdicts:
            lines += [f"  {v.name} ({v.role}): {v.advice}", *_wrap(v.why, "      ")]
    if report.independences:
        lines += ["", "The data have to show, if the diagram is right:"]
        lines += _listed("", [str(one) for one in report.independences])
    if report.opinions:
        lines += ["", "pgmpy, asked the same:"]
        for o in report.opinions:
            lines += _wrap(f"{'same' if o.agree else 'DIFFERENT'}  {o.question} {o.ours} | {o.theirs}")
            lines += _wrap(o.why, "      ") if o.why else []
    if report.commands:
        lines += ["", "Next:", *(f"  {command}" for command in report.commands)]
    return lines


def _listed(head: str, items: Sequence[str]) -> list[str]:
    shown = [f"  {head + ': ' if head else ''}{item}" for item in items[:SHOWN]]
    return shown + ([f"  … and {len(items) - SHOWN} more"] if len(items) > SHOWN else [])


def _wrap(text: str, indent: str = "  ") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False,
                         break_on_hyphens=False)  # fmt: skip
