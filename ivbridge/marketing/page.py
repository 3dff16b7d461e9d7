"""The marketing build as a page and as text: formats, never computes."""

from __future__ import annotations

import math
import re
import textwrap
from dataclasses import dataclass
from typing import Any

import ivbridge
from ivbridge.encouragement.words import rounded
from ivbridge.marketing.plots import drift_plot, first_stage_plot, scatter_plot, weak_plot
from ivbridge.marketing.records import Average, Estimated, FirstStageRow, Share
from ivbridge.marketing.report import MarketingReport
from ivbridge.marketing.sample import FORMULA, PLUGGED
from ivbridge.marketing.words import power, sentences
from ivbridge.report.cells import Number
from ivbridge.report.drawing import Plot
from ivbridge.report.render import fill

__all__ = ["html", "text"]

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _World:
    """One world of the forbidden regression: its table and its plot."""

    name: str
    rows: tuple[Row, ...]
    plot: Plot


@dataclass(frozen=True, slots=True)
class _Page:
    """Everything that the template shows."""

    report: MarketingReport
    version: str
    figure: Number
    why: str
    held: str
    sentences: tuple[str, ...]
    sample: tuple[Row, ...]
    scatters: tuple[Plot, ...]
    confounded: tuple[Row, ...]
    worlds: tuple[_World, ...]
    squared: tuple[Row, ...]
    drift: Plot
    drifts: tuple[Row, ...]
    weak: tuple[Row, ...]
    weak_plot: Plot
    stacked: tuple[Row, ...]
    suspected: tuple[Row, ...]
    encoded: tuple[Row, ...]
    ranked: tuple[Row, ...]
    served: tuple[Row, ...]
    gates: tuple[Row, ...]
    formula: str


def html(report: MarketingReport) -> str:
    """One HTML file that needs no network and no scripts; light and dark, phone, desktop and print."""
    return fill("marketing.html.j2", page=_page(report))


def text(report: MarketingReport) -> str:
    """Plain text of 80 columns: the findings, the estimates of the sample, and the claims that fail."""
    lines = ["What does exposure do to conversions? The truth is 2.", ""]
    for one in report.sample.rows:
        figures = f"{one.estimate:8.4f}  ({one.std_error:.4f})" if not math.isnan(one.std_error) else ""
        lines.append(f"  {one.name:<28} {one.how:<24} {figures}")
    lines += ["", *(line for one in sentences(report) for line in _wrapped(f"- {one}"))]
    held = sum(gate.ok for gate in report.gates)
    lines += ["", f"{held} of {len(report.gates)} claims hold."]
    for gate in report.gates:
        if not gate.ok:
            lines += _wrapped(f"✗ {gate.what}: {gate.measured}, wanted {gate.wanted}")
    return "\n".join(lines)


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 80, subsequent_indent="  ", break_long_words=False)


def _page(report: MarketingReport) -> _Page:
    sample, held = report.sample, sum(gate.ok for gate in report.gates)
    torch = next(row for row in sample.rows if row.how == "torch")
    worlds = list(dict.fromkeys(row.world for row in report.first_stages))
    return _Page(
        report=report,
        version=ivbridge.__version__,
        figure=Number(rounded(torch.estimate, torch.std_error)),
        why=_why(report, torch),
        held=f"{held} of {len(report.gates)}",
        sentences=tuple(map(_set, sentences(report))),
        sample=tuple(_estimated(row) for row in sample.rows),
        scatters=tuple(scatter_plot(one) for one in sample.scatters),
        confounded=_confounded(report),
        worlds=tuple(_world([row for row in report.first_stages if row.world == name]) for name in worlds),
        squared=(tuple(map(_mean, (report.squared.plugged, report.squared.instrumented))),),
        drift=drift_plot(report.drifts),
        drifts=_drifts(report),
        weak=tuple(
            (Number(f"{one.relevance:g}"), Number(f"{one.f:.1f}"), *_middle(one.estimate), _share(one.coverage),
             _share(one.anderson_rubin)) for one in report.weak
        ),
        weak_plot=weak_plot(report.weak),
        stacked=_stacked(report),
        suspected=tuple(
            (one.world, _mean(one.estimate), power(one.correlation), _share(one.sargan),
             _share(one.negative_control)) for one in report.suspected
        ),
        encoded=_encoded(report),
        ranked=tuple((one.name, _mean(one.uplift), _percent(one.share)) for one in report.ranked),
        served=_served(report),
        gates=tuple(("✓" if one.ok else "✗", one.what, one.measured, one.wanted) for one in report.gates),
        formula=FORMULA,
    )  # fmt: skip


def _why(report: MarketingReport, torch: Estimated) -> str:
    sample = report.sample
    ols, plugged = sample["least squares"], sample[PLUGGED]
    digits = min(sample.digits.values())
    others = "R and Python give" if "r" in sample.digits else "Python gives"
    return (
        f"Two-stage least squares with the email, standard error {torch.std_error:.3f}; {others} the same to "
        f"{math.floor(digits)} digits. Least squares: {rounded(ols.estimate, ols.std_error)}. A network's fitted "
        f"values in place of exposure: {rounded(plugged.estimate, plugged.std_error)} here, and {_spread(report)} over "
        "other draws and worlds."
    )


def _spread(report: MarketingReport) -> str:
    rows = [row for row in report.first_stages if row.name == "MLP, 200 steps"]
    medians = [row.plugged.median for row in rows]
    return f"{min(medians):.2f} to {max(medians):.2f} in the median"


def _estimated(one: Estimated) -> Row:
    return (
        one.name, Number(f"{one.estimate:.4f}"), Number(f"{one.std_error:.4f}"), Number(f"{one.off:+.4f}"), one.how
    )  # fmt: skip


def _world(rows: list[FirstStageRow]) -> _World:
    cells = tuple(
        (row.name, Number(f"{row.fit:.2f}"), Number(f"{row.slope.median:.3f}"),
         *(_range(one) for one in (row.plugged, row.instrument, row.crossed, row.randomised))) for row in rows
    )  # fmt: skip
    return _World(rows[0].world, cells, first_stage_plot(rows))


def _confounded(report: MarketingReport) -> tuple[Row, ...]:
    return tuple(
        (one.world, _mean(one.ols), Number(f"{one.ols_limit:.3f}"), _mean(one.iv), _share(one.coverage),
         _share(one.by_hand)) for one in report.confounded
    )  # fmt: skip


def _encoded(report: MarketingReport) -> tuple[Row, ...]:
    return tuple(
        (one.name, Number(f"{one.leak:.2f}"), Number(f"{one.f:.0f}"), _range(one.valid), _range(one.violated),
         _range(one.slope), power(one.correlation), _share(one.sargan)) for one in report.encoded
    )  # fmt: skip


def _drifts(report: MarketingReport) -> tuple[Row, ...]:
    return tuple(
        (Number(f"{one.relevance:g}"), _mean(one.slope), Number(f"{1 / one.relevance:g}"),
         _mean(one.estimates[one.violations.index(0.5)]), Number(f"{2 + 0.5 / one.relevance:g}"))
        for one in report.drifts
    )  # fmt: skip


def _stacked(report: MarketingReport) -> tuple[Row, ...]:
    found = report.stacked
    return (
        ("email alone", _mean(found.one), Number(f"{found.one.sd:.4f}"), Number("1"), Number("1")),
        ("email and push message", _mean(found.both), Number(f"{found.both.sd:.4f}"),
         Number(f"{found.ratio:.3f} ({found.ratio_error:.3f})"), Number(f"{found.theory:.3f}")),
    )  # fmt: skip


def _served(report: MarketingReport) -> tuple[Row, ...]:
    return tuple(
        (one.name, *(Number(f"{value:.2g}") for value in (*one.forward, *one.http)), Number(f"{one.difference:.1g}"),
         Number(f"{one.estimate:.4f}")) for one in report.serving.rows
    )  # fmt: skip


def _set(line: str) -> str:
    """A true minus sign before numbers, and a per cent sign that stays with its number."""
    return re.sub(r"(?<=[ \[(])-(?=\d)", "−", line).replace(" %", "\u00a0%")


def _mean(one: Average) -> Number:
    return Number(f"{rounded(one.mean, one.error)} ({rounded(one.error, one.error)})")


def _middle(one: Average) -> tuple[Number, Number]:
    return Number(f"{one.median:.3f}"), Number(f"{one.low:.2f} to {one.high:.2f}")


def _range(one: Average) -> Number:
    return Number(f"{one.median:.2f} [{one.low:.2f}, {one.high:.2f}]")


def _share(one: Share) -> Number:
    return _percent(one.share)


def _percent(share: float) -> Number:
    return Number(f"{100 * share:.1f} %".replace(" %", "\u00a0%"))
