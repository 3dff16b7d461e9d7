"""The findings in plain sentences, each with its number."""

from __future__ import annotations

from ivbridge.marketing.records import FirstStageRow, Share
from ivbridge.marketing.report import MarketingReport

__all__ = ["power", "sentences"]

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def sentences(report: MarketingReport) -> tuple[str, ...]:
    """What was found, most useful first."""
    return (
        _engines(report), _confounder(report), _forbidden(report), _instead(report), _drift(report), _suspicion(report),
        _stacked(report), _weak(report), _encoder(report), _serving(report),
    )  # fmt: skip


def _engines(report: MarketingReport) -> str:
    sample = report.sample
    names = {"r": "R's AER", "native": "linearmodels"}
    parts = [f"{names[engine]} to {digits:.1f} digits" for engine, digits in sample.digits.items()]
    absent = "".join(f" {one.name} was not asked: {one.reason}" for one in sample.absent)
    return (
        f"The linear first stage in torch agrees with {' and with '.join(parts)}, coefficients and standard errors. "
        f"Its F is {sample.f:.0f}.{absent}"
    )


def _confounder(report: MarketingReport) -> str:
    plain, confounded = report.confounded
    return (
        f"The recipe has no confounder: least squares already give {plain.ols.mean:.3f}. With one they give "
        f"{confounded.ols.mean:.3f} and 2SLS {confounded.iv.mean:.3f}."
    )


def _row(report: MarketingReport, name: str, which: int) -> FirstStageRow:
    return [row for row in report.first_stages if row.name == name][which]


def _forbidden(report: MarketingReport) -> str:
    plain, curved = (_row(report, "MLP, 200 steps", which) for which in (0, 2))
    return (
        "The recipe's second stage is a forbidden regression. Its network, plugged in, gives "
        f"{plain.plugged.median:.2f} even where nothing is confounded, and {curved.plugged.median:.2f} where exposure "
        f"is curved in the covariates: {curved.slope.median:.2f} times the IV estimate, which is the slope of exposure "
        "on fitted exposure."
    )


def _instead(report: MarketingReport) -> str:
    bent = _row(report, "MLP, 200 steps", 3)
    return (
        "The same fitted values are fine as an instrument, if the controls are right. Where conversions bend in a "
        f"covariate they give {bent.instrument.median:.2f}; what only the email moves in them gives "
        f"{bent.randomised.median:.2f}."
    )


def _drift(report: MarketingReport) -> str:
    parts = [f"{one.slope.mean:.3f} for π = {one.relevance:g} (theory {1 / one.relevance:g})" for one in report.drifts]
    unit = report.drifts[0]
    half = unit.estimates[unit.violations.index(0.5)]
    return (
        f"If the email adds 0.5 to conversions by itself, 2SLS gives {half.mean:.3f}. The drift is a straight line; "
        f"its slope is {' and '.join(parts)}."
    )


def _suspicion(report: MarketingReport) -> str:
    _, violated, alike = report.suspected
    largest = max(one.correlation for one in report.suspected)
    return (
        f"corr(z, residual) sees nothing of it: it is zero by construction (at most {power(largest)}). Sargan's test "
        f"with a second campaign notices in {_percent(violated.sargan)} of the draws, a negative control in "
        f"{_percent(violated.negative_control)}. If both campaigns violate alike, Sargan's test rejects in "
        f"{_percent(alike.sargan)}, the negative control in {_percent(alike.negative_control)}."
    )


def _stacked(report: MarketingReport) -> str:
    found = report.stacked
    return (
        f"The second campaign as a second instrument: the variance is {found.ratio:.3f} of what it was, theory "
        f"{found.theory:.3f}."
    )


def _weak(report: MarketingReport) -> str:
    weakest = report.weak[-1]
    return (
        f"With a first-stage F of about {weakest.f:.1f} the median of 2SLS is {weakest.estimate.median:.2f}, near "
        f"least squares, and its 95 % interval holds the truth in {_percent(weakest.coverage)} of the draws; Anderson "
        f"and Rubin's in {_percent(weakest.anderson_rubin)}."
    )


def _encoder(report: MarketingReport) -> str:
    _, free, orthogonal = report.encoded
    return (
        f"A contrastive encoder that may look at clicks takes {100 * free.leak:.0f} % of the email into its features: "
        f"estimates range from {free.valid.low:.1f} to {free.valid.high:.1f} with nothing violated. The orthogonality "
        f"penalty mends that (median {orthogonal.valid.median:.2f}), and does nothing about a violation: "
        f"the drift has the slope {orthogonal.slope.median:.2f}."
    )


def _serving(report: MarketingReport) -> str:
    slowest = max(report.serving.rows, key=lambda row: row.http[1])
    best = next(row for row in report.serving.rows if row.name == "NumPy")
    ratio = report.serving.ratio
    small = (
        f"int8 takes {ratio:.1f} times as long as float32 for a network of this size" if ratio == ratio
        else report.serving.absent[0].reason
    )  # fmt: skip
    return (
        f"Served over HTTP, 95 % of the answers come within {slowest.http[1]:.1f} ms in the slowest form. {small}; "
        f"NumPy alone needs {best.forward[0]:.3f} ms."
    )


def _percent(found: Share) -> str:
    return f"{100 * found.share:.0f} %"


def power(value: float) -> str:
    """A small number as ``2·10⁻¹⁶``."""
    digit, _, exponent = f"{value:.0e}".partition("e")
    return f"{digit}·10{str(int(exponent)).translate(_RAISED)}" if value else "0"
