"""The analysis of one effect as a page and as Markdown: formats, never computes."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import pandas as pd

import ivbridge
from ivbridge.causal.analysis import Analysis, Line
from ivbridge.causal.report.plots import curve_plot, effects_plot, love_plot, omitted_plot, overlap_plot
from ivbridge.causal.report.words import assumption, headline, measured, refutation_row, value_sentence
from ivbridge.report.cells import Number
from ivbridge.report.drawing import Plot
from ivbridge.report.render import fill

__all__ = ["html", "markdown"]

Row = tuple[Any, ...]
#: Units of a ranking that are shown; the Python code on the page gives all.
MOST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """Everything that the templates show."""

    found: Analysis
    version: str
    mark: str
    headline: str
    assumption: str
    facts: tuple[Row, ...]
    methods: tuple[Row, ...]
    effects: Plot
    overlap: Plot | None
    overlaps: tuple[Row, ...]
    love: Plot | None
    balance: tuple[Row, ...]
    refutations: tuple[Row, ...]
    omitted: Plot | None
    sensitivity: tuple[tuple[str, ...], ...]
    bounds: tuple[Row, ...]
    rosenbaum: tuple[Row, ...]
    curves: tuple[Plot, ...]
    groups: tuple[Row, ...]
    values: tuple[Row, ...]
    worth: str
    units: tuple[str, ...]
    ranked: tuple[Row, ...]
    code: str


def html(found: Analysis) -> str:
    """One HTML file that needs no network and no scripts; light and dark, phone, desktop and print."""
    return fill("causal.html.j2", page=_page(found))


def markdown(found: Analysis) -> str:
    """GitHub-flavoured Markdown."""
    return fill("causal.md.j2", page=_page(found))


def _n(value: float) -> Number:
    return Number(measured(float(value)))


def _page(found: Analysis) -> _Page:
    judged = found.ranking.judged if found.ranking is not None else None
    curves = () if judged is None else (
        curve_plot(judged.curve, "toc", "TOC", "effect above the mean effect"),
        curve_plot(judged.curve, "qini", "Qini curve", "gain per unit of the population"),
    )  # fmt: skip
    return _Page(
        found=found,
        version=ivbridge.__version__,
        mark="bad" if found.objections else "named" if found.warnings else "ok",
        headline=headline(found),
        assumption=assumption(found),
        facts=_facts(found),
        methods=tuple(_method(line, found.wanted.check) for line in found.lines),
        effects=effects_plot(found.effects, found.opened.truth),
        overlap=None if found.score is None else overlap_plot(found.score, found.data.t),
        overlaps=_overlaps(found),
        love=None if found.balance is None else love_plot(found.balance),
        balance=_balance(found),
        refutations=tuple(refutation_row(one) for one in found.refutations),
        omitted=None if found.omitted is None else omitted_plot(found.omitted),
        sensitivity=_sensitivity(found),
        bounds=_bounds(found),
        rosenbaum=() if found.rosenbaum is None else tuple(
            tuple(map(_n, row)) for row in found.rosenbaum.table.to_numpy().tolist()
        ),
        curves=curves,
        groups=() if judged is None else _groups(judged.groups),
        values=() if judged is None else tuple(
            (Number(f"{one.share:.0%}"), *(Number(f"{measured(a)} ({measured(b)})") for a, b in (
                (one.effect, one.effect_error), (one.gain, one.gain_error), (one.over_random, one.over_random_error),
                (one.over_all, one.over_all_error))))
            for one in judged.values
        ),
        worth=value_sentence(found),
        units=() if found.ranking is None else tuple(map(str, found.ranking.table.columns)),
        ranked=_ranked(found),
        code=_code(found),
    )  # fmt: skip


def _facts(found: Analysis) -> tuple[Row, ...]:
    question, data = found.data.question, found.data
    treated = int(data.treated.sum())
    rows = [
        ("Data", found.opened.name),
        ("Units", f"{data.n}, of which {treated} treated"),
        ("Dependent variable", question.dependent),
        ("Treatment", question.treatment),
        ("Covariates", ", ".join(question.covariates) or "none"),
        ("Instruments", ", ".join(question.instruments)),
        ("Estimand", question.estimand),
        ("Truth", "" if found.opened.truth is None else f"{found.opened.truth:g}: the data come from a known world"),
        ("Seed", f"{found.wanted.seed}"),
        *(("Rows", note) for note in data.notes),
    ]
    return tuple(row for row in rows if row[1])


def _method(line: Line, checked: bool) -> Row:
    if line.effect is None:
        return (line.method.name, Number("–"), Number("–"), Number(""), "", line.why)
    low, high = line.effect.conf_int()
    interval = Number("" if math.isnan(low) else f"{measured(low)} to {measured(high)}")
    r = "" if not checked else "none" if line.agreement is None else (
        f"{line.agreement.verdict}, {line.agreement.worst.digits:.1f} digits")  # fmt: skip
    return (line.method.name, _n(line.effect.estimate), _n(line.effect.std_error), interval, r,
            line.why or line.effect.answer.vcov)  # fmt: skip


def _overlaps(found: Analysis) -> tuple[Row, ...]:
    rows = []
    for title, one in (("before weighting", found.overlap), *((e.title, e.overlap) for e in found.effects)):
        if one is not None:
            rows.append((title, one.verdict, Number(f"{one.ess_treated:.0f} of {one.n_treated}"),
                         Number(f"{one.ess_control:.0f} of {one.n_control}"), _n(one.max_weight),
                         " ".join(one.reasons)))  # fmt: skip
    return tuple(rows)


def _balance(found: Analysis) -> tuple[Row, ...]:
    if found.balance is None:
        return ()
    columns = ["mean treated", "mean control", "difference", "difference after", "variance ratio after", "KS after"]
    return tuple((str(name), *(_n(row[column]) for column in columns)) for name, row in found.balance.table.iterrows())


def _sensitivity(found: Analysis) -> tuple[tuple[str, ...], ...]:
    """Lines of each part that stand below one another; tables have their own place."""
    summaries = [part.summary() for part in (found.omitted, found.evalue, found.rosenbaum) if part is not None]
    return tuple(
        tuple(line if line.endswith(".") else f"{line}." for line in map(str.strip, text.splitlines()) if _words(line))
        for text in summaries
    )


def _words(line: str) -> bool:
    """Whether a line of a summary is a sentence, and not a row of a table."""
    return bool(line.strip()) and "  " not in line.strip()


def _bounds(found: Analysis) -> tuple[Row, ...]:
    if found.omitted is None:
        return ()
    rows = found.omitted.bounds
    return tuple(
        (row["covariate"], *(_n(row[name]) for name in ("strength", "r2.treatment", "r2.outcome", "estimate")))
        for _, row in rows.iterrows()
    )


def _ranked(found: Analysis) -> tuple[Row, ...]:
    if found.ranking is None or not found.ranking.judged.passed:
        return ()
    rows = found.ranking.table.head(MOST).itertuples(index=False)
    return tuple(tuple(_n(cell) if isinstance(cell, float) else str(cell) for cell in row) for row in rows)


def _groups(table: pd.DataFrame) -> tuple[Row, ...]:
    counts, means = table[["group", "n"]], table[["predicted", "estimate", "std.error"]]
    return tuple(
        (*(Number(f"{count}") for count in whole), *map(_n, parts))
        for whole, parts in zip(counts.to_numpy().tolist(), means.to_numpy().tolist(), strict=True)
    )


def _code(found: Analysis) -> str:
    lead = next(line for line in found.lines if line.effect)
    known = found.opened.truth is not None
    settings, kind = repr(lead.method), type(lead.method)
    lines = [
        "from ivbridge.causal import CausalQuestion",
        "from ivbridge.causal.asked import opened" if known else "",
        "from ivbridge.causal.crossfit import Learner" if "Learner(" in settings else "",
        f"from {kind.__module__} import {kind.__name__}",
        f"frame = opened({found.opened.name!r}, {{}}).frame" if known else "# frame: the data",
        "question = CausalQuestion(",
        *(f"    {field.name}={getattr(found.data.question, field.name)!r}," for field in fields(found.data.question)),
        ")",
        f"effect = {settings}.fit(question, frame, seed={found.wanted.seed})",
        "print(effect.summary())",
    ]
    return "\n".join(line for line in lines if line)
