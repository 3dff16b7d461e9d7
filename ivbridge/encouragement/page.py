"""The report as a page, as Markdown and as text: formats, never computes."""

from __future__ import annotations

import html as html_module
import math
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ivbridge
from ivbridge.encouragement.chart import MOST_ROWS, Chart, effects_chart, first_stage_chart, strongest
from ivbridge.encouragement.choice import Seeds
from ivbridge.encouragement.pooled import Pooled
from ivbridge.encouragement.records import Effect, Experiment
from ivbridge.encouragement.report import EncourageReport
from ivbridge.encouragement.words import (
    BALANCE_LIMIT,
    SAMPLE_RATIO_LIMIT,
    WEAK,
    estimate_and_error,
    robust_to,
    rounded,
    set_text,
    share_text,
)
from ivbridge.expr import quote_name
from ivbridge.place import check_report
from ivbridge.records import NotApplicable, Test
from ivbridge.report.cells import Number
from ivbridge.report.render import fill

__all__ = ["check_path", "escaped", "html", "markdown", "text"]

SUFFIXES = (".html", ".md", ".json")
WIDTH = 80


def check_path(path: Path) -> None:
    """As :func:`ivbridge.place.check_report`."""
    check_report(path, SUFFIXES)


def html(report: EncourageReport) -> str:
    """One HTML file that needs no network and no scripts; light and dark, phone, desktop and print."""
    return fill("encourage.html.j2", page=_page(report))


def markdown(report: EncourageReport) -> str:
    """GitHub-flavoured Markdown."""
    return fill("encourage.md.j2", page=_page(report))


def escaped(lines: Sequence[str]) -> list[str]:
    """Lines that are safe inside HTML."""
    return [html_module.escape(line) for line in lines]


def _set(line: str) -> str:
    """A true minus sign before numbers, and a per cent sign that stays with its number."""
    return re.sub(r"(?<=[ \[(+-])-(?=[\d∞])", "−", line).replace(" %", "\u00a0%")


def _n(value: float, digits: int = 4) -> Number:
    if math.isnan(value):
        return Number("–")
    return Number("∞" if value == math.inf else "-∞" if value == -math.inf else f"{value:.{digits}g}")


def _p(value: float) -> Number:
    if math.isnan(value):
        return Number("–")
    return Number("<0.001" if value < 0.001 else f"{value:.3f}")


def _with_error(one: Effect | NotApplicable) -> Number:
    return Number("–") if isinstance(one, NotApplicable) else Number("{} ({})".format(*estimate_and_error(one)))


def _interval(one: Effect | NotApplicable) -> Number:
    if isinstance(one, NotApplicable):
        return Number("–")
    return Number(f"{rounded(one.conf_low, one.std_error)} to {rounded(one.conf_high, one.std_error)}")


@dataclass(frozen=True, slots=True)
class _Page:
    """Everything that the templates show."""

    report: EncourageReport
    sentences: tuple[str, ...]
    warnings: tuple[str, ...]
    version: str
    mark: str
    headline: str
    figure: Number
    why: str
    facts: tuple[tuple[str, str], ...]
    estimators: tuple[tuple[Any, ...], ...]
    tests: tuple[tuple[Any, ...], ...]
    seeds: str
    charts: tuple[Chart, ...]
    effects: tuple[tuple[Any, ...], ...]
    checks: tuple[tuple[Any, ...], ...]
    shares: tuple[tuple[Any, ...], ...]
    shares_reason: str
    profiles: tuple[tuple[Any, ...], ...]
    profile_reason: str
    unshown: int
    r_code: str
    python_code: str


def _page(report: EncourageReport) -> _Page:
    pooled = report.pooled if isinstance(report.pooled, Pooled) else None
    shown = strongest(report.experiments, report.selected.experiments)
    lines = (pooled.two_stage.estimate, pooled.ols.estimate) if pooled else (None, None)
    charts = (
        first_stage_chart(shown, report.selected.experiments),
        effects_chart(shown, report.selected.experiments, *lines),
    )
    mark, headline, figure, why = _head(report, pooled)
    moved = [one for one in shown if one.weak.statistic >= WEAK]
    return _Page(
        report=report,
        sentences=tuple(map(_set, report.sentences)),
        warnings=tuple(map(_set, report.warnings)),
        version=ivbridge.__version__,
        mark=mark,
        headline=headline,
        figure=figure,
        why=why,
        facts=_facts(report),
        estimators=_estimators(pooled),
        tests=_tests(pooled),
        seeds=_set(_seeds(report)),
        charts=charts,
        effects=tuple(_effect_row(one, one.name in report.selected.experiments) for one in shown),
        checks=tuple(_check_row(one) for one in shown),
        shares=tuple(_share_row(one) for one in shown if not isinstance(one.shares, NotApplicable)),
        shares_reason=_reason(shown[0].shares),
        profiles=tuple(row for one in moved for row in _profile_rows(one)),
        profile_reason=_reason(shown[0].profile) or "no experiment has a first-stage F of 10 or more",
        unshown=len(report.experiments) - len(shown),
        r_code=_r_code(report),
        python_code=_python_code(report),
    )


def _reason(value: object) -> str:
    return value.reason if isinstance(value, NotApplicable) else ""


def _head(report: EncourageReport, pooled: Pooled | None) -> tuple[str, str, Number, str]:
    if pooled is None:
        return "bad", "No pooled estimate", Number("–"), _reason(report.pooled) + "."
    strong = pooled.effective_f >= WEAK
    one = pooled.two_stage
    headline = f"{report.behavior} changes {report.outcome} by" if strong else "Weak instruments"
    why = (
        f"95 % interval {_interval(one)}; the Anderson–Rubin set, which {robust_to(report.selected)}, is "
        f"{set_text(pooled.anderson_rubin, one.std_error)}. About the users whom the experiments move."
    )
    shares_fail = any(found.sample_ratio_holm < SAMPLE_RATIO_LIMIT for found in report.experiments)
    fine = strong and report.ok and not shares_fail
    figure = Number(rounded(one.estimate, one.std_error))
    return "ok" if fine else "named" if strong else "bad", headline, figure, _set(why)


def _facts(report: EncourageReport) -> tuple[tuple[str, str], ...]:
    chosen = report.selected
    rule = f"{chosen.rule}, λ = {chosen.penalty:.4g}" if chosen.rule else "none: there is one experiment"
    found = [
        ("Users", f"{report.n}"),
        ("Outcome", report.outcome),
        ("Behavior", report.behavior + (" (0/1)" if report.binary else "")),
        ("Controls", ", ".join(report.controls) or "none"),
        ("Experiments", f"{len(report.experiments)}, of which {len(chosen.experiments)} in the pooled estimate"),
        ("Rule", rule.replace(", λ = nan", "")),
        ("Covariance", report.vcov),
        ("LASSO by", {"native": "Python", "r": "R (glmnet)"}[report.engine]),
    ]
    return (*found, *(("Left out", note) for note in report.notes))


def _estimators(pooled: Pooled | None) -> tuple[tuple[Any, ...], ...]:
    if pooled is None:
        return ()
    rows = (("Least squares", pooled.ols), ("Two-stage least squares", pooled.two_stage), ("LIML", pooled.liml),
            ("LIML, Bekker standard error", pooled.bekker))  # fmt: skip
    return tuple((name, *map(Number, estimate_and_error(one)), _interval(one), _p(one.p_value)) for name, one in rows)


def _tests(pooled: Pooled | None) -> tuple[tuple[Any, ...], ...]:
    if pooled is None:
        return ()
    rows: list[tuple[Any, ...]] = [_test_row(pooled.weak, "does the behavior move at all?")]
    bound = f"beyond {pooled.effective_critical:.3g} the bias is below 10 % of the worst case"
    rows.append(("Effective F", "", _n(pooled.effective_f), "", bound))
    rows.append(_test_row(pooled.wu_hausman, "does two-stage least squares differ from least squares?"))
    rows.append(_test_row(pooled.sargan, "do the experiments disagree? Optimistic after selection on the same users."))
    return tuple(rows)


def _test_row(test: Test | NotApplicable, note: str) -> tuple[Any, ...]:
    if isinstance(test, NotApplicable):
        return test.name, "", Number("–"), "", f"not applicable: {test.reason}"
    df = f"{test.df1:g}" if math.isinf(test.df2) else f"{test.df1:g}, {test.df2:g}"
    return test.name, df, _n(test.statistic), _p(test.p_value), note


def _seeds(report: EncourageReport) -> str:
    seeds = report.seeds
    if not isinstance(seeds, Seeds):
        return f"Other draws of folds: {seeds.reason}."
    fewest, most = seeds.sizes
    error = report.pooled.two_stage.std_error if isinstance(report.pooled, Pooled) else math.nan
    low, high = (rounded(value, error) for value in seeds.range)
    count = f"{fewest} experiments" if fewest == most else f"{fewest} to {most} experiments"
    moved = f"the estimate is {low} each time" if low == high else f"the estimate lies from {low} to {high}"
    return (
        f"Other draws of folds: over {len(seeds.draws)} seeds the rule selects {count}, the reported set in "
        f"{seeds.same}; {moved}."
    )


def _effect_row(one: Experiment, selected: bool) -> tuple[Any, ...]:
    error = math.nan if isinstance(one.wald, NotApplicable) else one.wald.std_error
    return (
        one.name, "✓" if selected else "", _with_error(one.itt), _with_error(one.first_stage),
        _n(one.weak.statistic, 3), _with_error(one.wald), _interval(one.wald),
        Number(set_text(one.anderson_rubin, error)),
    )  # fmt: skip


def _check_row(one: Experiment) -> tuple[Any, ...]:
    far = max(one.differences, key=lambda d: 0.0 if math.isnan(d.smd) else abs(d.smd), default=None)
    smd = Number(f"{far.smd:+.3f}") if far and not math.isnan(far.smd) else Number("–")
    failed = [name for name, p, limit in (("share", one.sample_ratio_holm, SAMPLE_RATIO_LIMIT),
                                          ("attrition", one.attrition_holm, SAMPLE_RATIO_LIMIT),
                                          ("controls", one.balance_holm, BALANCE_LIMIT)) if p < limit]  # fmt: skip
    return (
        one.name, Number(f"{one.users}"), Number(f"{one.missing}"), share_text(one.share), share_text(one.designed),
        _p(one.sample_ratio_holm), _p(one.balance_holm), smd, far.control if far else "",
        f"✗ {', '.join(failed)}" if failed else "",
    )  # fmt: skip


def _share_row(one: Experiment) -> tuple[Any, ...]:
    assert not isinstance(one.shares, NotApplicable)
    found = (one.shares.compliers, one.shares.always_takers, one.shares.never_takers)
    note = "treatment lowers the behavior" if one.shares.discouraged else ""
    return (one.name, *(Number(f"{100 * s.estimate:.1f} ({100 * s.std_error:.1f})") for s in found), note)


def _profile_rows(one: Experiment) -> list[tuple[Any, ...]]:
    if isinstance(one.profile, NotApplicable):
        return []
    return [
        (one.name, p.control, _with_error(p.compliers), _n(p.everyone), _p(p.compliers.p_value)) for p in one.profile
    ]


def _formula(report: EncourageReport) -> str:
    quoted = [quote_name(name) for name in report.selected.experiments]
    shown = report.pooled.controls if isinstance(report.pooled, Pooled) else report.controls
    controls = [quote_name(name) for name in shown]
    left = " + ".join([*controls, quote_name(report.behavior)])
    return f"{quote_name(report.outcome)} ~ {left} | {' + '.join([*controls, *quoted])}"


def _r_code(report: EncourageReport) -> str:
    if isinstance(report.pooled, NotApplicable):
        return ""
    vcov = {"classical": "NULL", "HC0": "sandwich", "HC1": 'function(m) vcovHC(m, type = "HC1")'}[report.vcov]
    lines = textwrap.wrap(f"fit <- ivreg({_formula(report)}, data = users)", 100, subsequent_indent="               ")
    marks, partial = _prepared(report)
    before = [f"users[[{_text(f'in_{name}')}]] <- as.numeric(!is.na(users[[{_text(name)}]]))" for name in marks]
    before += [f"users[[{_text(name)}]][is.na(users[[{_text(name)}]])] <- 0" for name in partial]
    return "\n".join(["library(AER)", *before, *lines, f"summary(fit, vcov. = {vcov}, diagnostics = TRUE)"])


def _python_code(report: EncourageReport) -> str:
    if isinstance(report.pooled, NotApplicable):
        return ""
    lines = textwrap.wrap(_formula(report), 90, drop_whitespace=False)
    quoted = "\n    ".join(repr(line) for line in lines)
    call = f"fit = ivbridge.fit(\n    {quoted},\n    users, vcov={report.vcov!r},\n)"
    marks, partial = _prepared(report)
    before = [f"users[{f'in_{name}'!r}] = users[{name!r}].notna().astype(int)\n" for name in marks]
    before += [f"users[{name!r}] = users[{name!r}].fillna(0).astype(int)\n" for name in partial]
    return f"import ivbridge\n{''.join(before)}{call}\nprint(fit.summary())"


def _prepared(report: EncourageReport) -> tuple[list[str], list[str]]:
    """Experiments whose enrolment is a control, and chosen experiments that not every user is in."""
    assert isinstance(report.pooled, Pooled)
    marks = [name.removeprefix("in_") for name in report.pooled.controls if name not in report.controls]
    return marks, [name for name in report.selected.experiments if report[name].missing]


def _text(name: str) -> str:
    """A string of R."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def text(report: EncourageReport) -> str:
    """Plain text of 80 columns."""
    lines = [f"Does {report.behavior} change {report.outcome}? {report.n} users, {len(report.experiments)} experiments"]
    lines += [line for note in report.notes for line in _wrapped(note)]
    lines += ["", *(line for one in report.sentences for line in _wrapped(one))]
    if report.warnings:
        lines += ["", "Before you believe it:", *(line for one in report.warnings for line in _wrapped(one))]
    lines += ["", *_wrapped(_seeds(report)), "", *_table(report)]
    lines += [
        line for c in report.checks for line in _wrapped(f"R and Python, {c.what}: {c.verdict.upper()}, {c.reason}")
    ]
    return "\n".join(lines)


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, WIDTH, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def _table(report: EncourageReport) -> list[str]:
    shown = strongest(report.experiments, report.selected.experiments)
    head = ("", "experiment", "treated", "ITT", "compliance", "F", "Wald (s.e.)")
    rows = [
        (
            "*" if one.name in report.selected.experiments else "", one.name, share_text(one.share),
            *(estimate_and_error(effect)[0] for effect in (one.itt, one.first_stage)), f"{one.weak.statistic:.1f}",
            str(_with_error(one.wald)),
        )
        for one in shown
    ]  # fmt: skip
    widths = [max(len(row[c]) for row in (head, *rows)) for c in range(len(head))]
    lines = []
    for row in (head, *rows):
        cells = [cell.ljust(w) if c < 2 else cell.rjust(w) for c, (cell, w) in enumerate(zip(row, widths, strict=True))]
        lines.append(" ".join(cells).rstrip())
    lines.append("*: in the pooled estimate")
    if len(report.experiments) > len(shown):
        lines.append(f"The {MOST_ROWS} strongest are shown; to_frame() and JSON hold all {len(report.experiments)}.")
    return lines
