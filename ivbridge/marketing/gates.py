"""The claims: each number of the report beside what theory says, with the distance at which it counts as different.

Means are held against theory at four Monte Carlo standard errors, or as many more as a t distribution needs for few
draws; rejection rates at four binomial ones. A true claim fails in one of ten thousand runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from scipy import stats

from ivbridge.marketing.exclusion import LEVEL
from ivbridge.marketing.records import Average, Gate, Share
from ivbridge.marketing.report import MarketingReport
from ivbridge.marketing.sample import ENGINES
from ivbridge.marketing.serving import LIMIT
from ivbridge.marketing.words import power
from ivbridge.marketing.worlds import TRUTH

__all__ = ["gates"]

#: Standard errors.
FAR = 4.0
#: Digits in which torch and each engine agree at least.
DIGITS = 8.0
#: What rounding leaves of a correlation or an identity that is exactly zero.
ROUNDING = 1e-9


def gates(report: MarketingReport) -> tuple[Gate, ...]:
    """Judge a report; the gates that it has already are not looked at."""
    return (*_sample(report), *_forbidden(report), *_exclusion(report), *_suspicion(report), *_rest(report))


def _sample(report: MarketingReport) -> Iterator[Gate]:
    sample = report.sample
    for engine, digits in sample.digits.items():
        what = f"torch and {ENGINES[engine]} give the same 2SLS coefficients and standard errors"
        yield Gate(what, f"{digits:.1f} digits", f"{DIGITS:g} or more", digits >= DIGITS)
    if sample.verdict:
        agree = sample.verdict in ("identical", "rounding")
        yield Gate("R and Python agree about everything they report", sample.verdict, "identical or rounding", agree)
    yield Gate("the email is no weak instrument: first-stage F", f"{sample.f:.0f}", "above 10", sample.f > 10)
    for one in report.confounded:
        yield _near(f"{one.world}: least squares tend to {one.ols_limit:.3f}", one.ols, one.ols_limit)
        yield _near(f"{one.world}: 2SLS tends to the truth", one.iv, TRUTH)
        what = f"{one.world}: 95 % intervals of 2SLS hold the truth"
        yield Gate(what, _share(one.coverage), "95 %", one.coverage.far_from(0.95) < FAR)


def _forbidden(report: MarketingReport) -> Iterator[Gate]:
    rows = report.first_stages
    gap = max(row.gap for row in rows)
    yield Gate("plugged-in estimate = slope × estimate with the instrument, in every draw", f"largest gap {power(gap)}",
               f"below {power(ROUNDING)}", gap < ROUNDING)  # fmt: skip
    curved = next(row for row in rows if "curved" in row.world and row.name == "MLP, 200 steps")
    off = curved.plugged.median - TRUTH
    what = "exposure curved in x: the recipe's network, plugged in, misses the truth"
    yield Gate(what, f"{off:+.2f}", "by 0.3 or more", abs(off) >= 0.3)
    solved = max((row for row in rows if "solved" in row.name), key=lambda row: abs(row.slope.mean - 1))
    yield Gate("least squares as the first stage: the slope is 1", f"{solved.slope.mean:.9f}", "1",
               abs(solved.slope.mean - 1) < ROUNDING)  # fmt: skip
    for row in rows:
        if "solved" not in row.name:
            yield _near(f"{row.world}; {row.name}: the randomised part as the instrument", row.randomised, TRUTH)
    yield _near("d²: d and d² both instrumented", report.squared.instrumented, report.squared.truth)


def _exclusion(report: MarketingReport) -> Iterator[Gate]:
    for one in report.drifts:
        theory = 1 / one.relevance
        yield Gate(f"π = {one.relevance:g}: the drift has the slope 1/π", f"{one.slope.mean:.3f}", f"{theory:g} ± 0.03",
                   abs(one.slope.mean - theory) < 0.03)  # fmt: skip
    unit = next(one for one in report.drifts if one.relevance == 1)
    half = unit.estimates[unit.violations.index(0.5)]
    yield _near("0.5·z added to conversions: 2SLS tends to 2.5", half, 2.5)
    for weak in report.weak:
        what = f"π = {weak.relevance:g}: Anderson and Rubin's sets hold the truth"
        yield Gate(what, _share(weak.anderson_rubin), "95 %", weak.anderson_rubin.far_from(0.95) < FAR)
    stacked = report.stacked
    yield Gate("a second instrument: variance ratio", f"{stacked.ratio:.3f} (s.e. {stacked.ratio_error:.3f})",
               f"{stacked.theory:.3f}", abs(stacked.ratio - stacked.theory) < FAR * stacked.ratio_error)  # fmt: skip


def _suspicion(report: MarketingReport) -> Iterator[Gate]:
    largest = max(one.correlation for one in report.suspected)
    yield Gate("corr(z, residual) of 2SLS with one instrument, largest over all worlds", power(largest), "0",
               largest < ROUNDING)  # fmt: skip
    for one in report.suspected:
        for name, found, blind in (("Sargan's test", one.sargan, "alike" in one.world),
                                   ("negative control", one.negative_control, False)):  # fmt: skip
            if one.violated and not blind:
                yield Gate(f"{one.world}: {name} notices", _share(found), "90 % or more", found.share >= 0.9)
            else:
                yield Gate(f"{one.world}: {name} rejects at its level", _share(found), "5 %",
                           found.far_from(LEVEL) < FAR)  # fmt: skip


def _rest(report: MarketingReport) -> Iterator[Gate]:
    plain, *_, orthogonal = report.encoded
    for one in (plain, orthogonal):
        near = abs(one.slope.median - 1) < 0.15
        yield Gate(f"{one.name}: the drift has the slope 1/π", f"{one.slope.median:.2f}", "1 ± 0.15", near)
    shares = {one.name: one.share for one in report.ranked}
    best = max((name for name in shares if name != "the true uplift"), key=lambda name: shares[name])
    yield Gate("ranking by uplift: 2SLS comes next to the truth", best, "2SLS", best.startswith("2SLS"))
    for row in report.serving.rows:
        what, p95 = f"{row.name} served over HTTP: p95", row.http[1]
        yield Gate(what, f"{p95:.2g} ms", f"below {LIMIT:g} ms", p95 < LIMIT)
        moved = abs(row.estimate - report.serving.rows[0].estimate) / report.serving.std_error
        yield Gate(f"{row.name}: τ is unchanged", f"{moved:.2g} standard errors", "below 0.1", moved < 0.1)


def _near(what: str, found: Average, expected: float) -> Gate:
    most = float(stats.t.isf(stats.norm.sf(FAR), found.draws - 1)) * found.error
    ok = abs(found.mean - expected) < most
    return Gate(what, f"{found.mean:.3f} (s.e. {found.error:.3f})", f"{expected:.3f}", ok)


def _share(found: Share) -> str:
    return f"{100 * found.share:.1f} % of {found.draws}"
