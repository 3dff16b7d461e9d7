"""What is compared, number by number, and how far apart two numbers are.

The unit is the log relative error: digits = −log10(|candidate − reference| / scale), at most 17 (McCullough 1998, The
American Statistician 52(4)). The scale is |reference|, except where zero is an ordinary value: an entry of a
covariance matrix is measured against the two standard deviations, a residual against sigma, a fitted value against the
largest one. A p-value is an exponential, p = exp(log p), so below 1/e its scale is p·|log p|: its digits are
those of log p.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

import numpy as np

from ivbridge.records import Coefficients, FirstStage, FloatArray, NotApplicable, Test

__all__ = [
    "Answer",
    "Gap",
    "Key",
    "agreed",
    "compare_numbers",
    "cov_keys",
    "flatten",
    "gap_of",
    "is_lacking",
    "scales",
    "spread",
    "undefined",
]

MAX_DIGITS = 17.0
#: What a published table shows; numbers that agree to fewer digits look different on paper.
SHOWN_DIGITS = 3
#: The smallest number with all its digits; a p-value below it has few, and some libraries print zero.
SMALLEST = 2.0**-1022

#: What has no value where a variance is negative.
FROM_VARIANCE = ("std.error", "statistic", "p.value", "conf.low", "conf.high")
NEGATIVE = "its variance is negative on both sides"
NO_CAUSE = "no number on either side, and no reason for that is known"

#: Quantity and term, for example ``("std.error", "educ")``.
Key = tuple[str, str]


class Answer(Protocol):
    """What is compared: the fields that Numbers and Estimate share."""

    @property
    def coefs(self) -> Coefficients: ...
    @property
    def cov(self) -> FloatArray: ...
    @property
    def residuals(self) -> FloatArray: ...
    @property
    def fitted(self) -> FloatArray: ...
    @property
    def df_resid(self) -> int: ...
    @property
    def sigma(self) -> float: ...
    @property
    def r2(self) -> float: ...
    @property
    def r2_adj(self) -> float: ...
    @property
    def tests(self) -> Mapping[str, Test | NotApplicable]: ...
    @property
    def first_stages(self) -> tuple[FirstStage, ...]: ...
    @property
    def kappa(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Gap:
    """One compared number.

    Attributes
    ----------
    quantity, term : str
    reference, candidate : float
        For residuals and fitted values the pair of the row that is furthest apart.
    absolute, relative : float
        |candidate − reference|, and that over the scale.
    digits : float
        −log10(relative), between 0 and 17.
    in_se : float
        The gap in standard errors of the coefficient; NaN where it is no coefficient.
    bound : float
        The largest relative gap that rounding explains.
    ok : bool
        relative ≤ bound.
    """

    quantity: str
    term: str
    reference: float
    candidate: float
    absolute: float
    relative: float
    digits: float
    in_se: float
    bound: float
    ok: bool

    @property
    def label(self) -> str:
        """``std.error of educ``."""
        return f"{self.quantity} of {self.term}" if self.term else self.quantity

    def describe(self, reference: str, candidate: str) -> str:
        """One line with both values, the gap and the bound."""
        return (
            f"{self.label}: {reference} {self.reference:.17g}, {candidate} {self.candidate:.17g}; "
            f"{self.digits:.1f} digits, rounding explains {_digits(self.bound):.1f}"
        )


def flatten(answer: Answer) -> dict[Key, float | FloatArray]:
    """Every compared number by quantity and term; residuals and fitted values stay arrays of shape (n,)."""
    found: dict[Key, float | FloatArray] = dict(_table("", answer.coefs, answer.cov))
    found[("resid", "")], found[("fitted", "")] = answer.residuals, answer.fitted
    scalars = {"sigma": answer.sigma, "r.squared": answer.r2, "adj.r.squared": answer.r2_adj}
    found |= {(name, ""): value for name, value in {**scalars, "df.residual": float(answer.df_resid)}.items()}
    if answer.kappa is not None:
        found[("kappa", "")] = answer.kappa
    for key, test in answer.tests.items():
        found |= {(part, key): value for part, value in _test(test).items()}
    for stage in answer.first_stages:
        found |= _table(f"{stage.endog} ~ ", stage.coefs, stage.cov)
        found |= {
            ("first stage sigma", stage.endog): stage.sigma,
            ("first stage r.squared", stage.endog): stage.r2,
            ("first stage adj.r.squared", stage.endog): stage.r2_adj,
            ("first stage df.residual", stage.endog): float(stage.df_resid),
        }
    return found


def _again(answer: Answer, lacks: Mapping[str, str]) -> dict[Key, float]:
    """Numbers that an answer holds a second time: above the diagonal, and the tests of its first stages."""
    tables = [("", answer.coefs, answer.cov)]
    tables += [(f"{stage.endog} ~ ", stage.coefs, stage.cov) for stage in answer.first_stages]
    found: dict[Key, float] = {}
    for prefix, coefs, cov in tables:
        found |= zip(cov_keys(prefix, coefs.terms), cov.T[np.tril_indices(len(coefs.terms))].tolist(), strict=True)
    if "first stage" not in lacks:
        for stage in answer.first_stages:
            found |= {(part, f"weak_instruments:{stage.endog}"): value for part, value in _test(stage.weak).items()}
    return found


def _test(test: Test | NotApplicable) -> dict[str, float]:
    if isinstance(test, NotApplicable):
        return {}
    values = {"statistic": test.statistic, "p.value": test.p_value, "df1": test.df1, "df2": test.df2}
    return {f"test {name}": value for name, value in values.items() if math.isfinite(value) or name != "df2"}


def _table(prefix: str, coefs: Coefficients, cov: FloatArray) -> dict[Key, float]:
    columns = (coefs.estimate, coefs.std_error, coefs.statistic, coefs.p_value, coefs.conf_low, coefs.conf_high)
    values = np.concatenate([*columns, cov[np.tril_indices(len(coefs.terms))]])
    return dict(zip(_table_keys(prefix, coefs.terms) + cov_keys(prefix, coefs.terms), values.tolist(), strict=True))


@lru_cache(maxsize=256)
def _table_keys(prefix: str, terms: tuple[str, ...]) -> tuple[Key, ...]:
    columns = ("estimate", "std.error", "statistic", "p.value", "conf.low", "conf.high")
    stage = "first stage " if prefix else ""
    return tuple((stage + name, prefix + term) for name in columns for term in terms)


@lru_cache(maxsize=256)
def cov_keys(prefix: str, terms: tuple[str, ...]) -> tuple[Key, ...]:
    """Keys of the lower triangle of a covariance matrix, row by row; the prefix is that of a first stage."""
    stage = "first stage " if prefix else ""
    pairs = [(first, second) for i, first in enumerate(terms) for second in terms[: i + 1]]
    return tuple((stage + "cov", f"{prefix}{second}, {first}") for first, second in pairs)


def scales(answer: Answer) -> dict[Key, float]:
    """The scale of every number whose scale is not its own size."""
    found: dict[Key, float] = {("resid", ""): answer.sigma, ("fitted", ""): float(np.abs(answer.fitted).max())}
    tables = [("", answer.coefs, answer.cov)]
    tables += [(f"{stage.endog} ~ ", stage.coefs, stage.cov) for stage in answer.first_stages]
    p_values: dict[Key, float] = {
        ("test p.value", key): test.p_value for key, test in answer.tests.items() if isinstance(test, Test)
    }
    for prefix, coefs, cov in tables:
        size = np.sqrt(np.abs(np.diag(cov)))
        products = np.outer(size, size)[np.tril_indices(len(size))]
        found |= dict(zip(cov_keys(prefix, coefs.terms), products.tolist(), strict=True))
        stage = "first stage " if prefix else ""
        values = zip(coefs.terms, coefs.p_value.tolist(), strict=True)
        p_values |= {(f"{stage}p.value", prefix + term): value for term, value in values}
    logs = {key: max(p * max(1.0, -math.log(p)), SMALLEST) for key, p in p_values.items() if 0 < p < 1}
    return found | logs


def spread(base: Mapping[Key, float | FloatArray], other: Mapping[Key, float | FloatArray]) -> dict[Key, float]:
    """Largest absolute difference of every number that both have; NaN counts as no difference."""
    shared = [key for key in base if key in other]
    arrays = {key: (base[key], other[key]) for key in shared if isinstance(base[key], np.ndarray)}
    pairs = [(0.0, 0.0) if key in arrays else (base[key], other[key]) for key in shared]
    found = dict(zip(shared, _apart(*np.array(pairs).reshape(-1, 2).T).tolist(), strict=True))
    return found | {key: float(_apart(*pair).max(initial=0.0)) for key, pair in arrays.items()}


def _apart(first: float | FloatArray, second: float | FloatArray) -> FloatArray:
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nan_to_num(np.abs(np.subtract(second, first))))


def is_lacking(key: Key, lacks: Mapping[str, str]) -> bool:
    """Whether a number belongs to what an engine does not report (:attr:`ivbridge.results.Estimate.lacks`)."""
    quantity, term = key
    groups = ("first stage",) if quantity.startswith("first stage") else ()
    tests = (f"test {term}",) if quantity.startswith("test ") else ()
    return any(name in lacks for name in (quantity, *groups, *tests))


def compare_numbers(
    reference: Answer, candidate: Answer, allowed: Mapping[Key, float], lacks: Mapping[str, str] = MappingProxyType({})
) -> tuple[Gap, ...]:
    """Compare everything that two answers hold.

    Parameters
    ----------
    reference, candidate : Answer
    allowed : mapping
        The largest absolute gap that rounding explains, by key.
    lacks : mapping of str to str, optional
        What one of them does not report, as in :attr:`ivbridge.results.Estimate.lacks`; left out.

    Returns
    -------
    tuple of Gap
        A number that only one side has, or that is NaN on one side, becomes a failed gap with zero digits, and so do
        residuals and fitted values of another length or with a NaN. A number that is NaN on both sides is left out.
    """
    a, b, sizes = flatten(reference), flatten(candidate), scales(reference)
    again = _again(reference, lacks), _again(candidate, lacks)
    errors = {term: float(error) for (quantity, term), error in a.items() if quantity.endswith("std.error")}
    gaps = []
    for key in dict.fromkeys([*a, *b]):
        if is_lacking(key, lacks):
            continue
        if _both_nan(a.get(key), b.get(key)):
            continue  # :func:`undefined` lists it
        first, second = _pair(a.get(key, math.nan), b.get(key, math.nan))
        if any(key in copies for copies in again):
            pairs = zip((first, second), (copies.get(key, math.nan) for copies in again), strict=True)
            first, second = _pair(*map(np.array, pairs))
        scale = sizes.get(key, abs(first)) or 1.0
        error = errors.get(key[1], math.nan) if key[0].endswith("estimate") else math.nan
        gaps.append(gap_of(key, (first, second), scale, allowed.get(key, 0.0) / scale, error))
    return tuple(gaps)


def undefined(
    reference: Answer, candidate: Answer, lacks: Mapping[str, str] = MappingProxyType({})
) -> tuple[dict[str, str], dict[str, str]]:
    """What is NaN on both sides, and so was not compared: with a known cause, and without one.

    Parameters
    ----------
    reference, candidate : Answer
    lacks : mapping of str to str, optional
        As for :func:`compare_numbers`.

    Returns
    -------
    tuple of dict of str to str
        Labels and reasons. The cause that is known is a negative variance, which has no root.
    """
    a, b = flatten(reference), flatten(candidate)
    explained, unexplained = {}, {}
    for key in a:
        if is_lacking(key, lacks) or not _both_nan(a[key], b.get(key)):
            continue
        quantity, term = key
        stage = "first stage " if quantity.startswith("first stage ") else ""
        _, _, own = term.rpartition(" ~ ")
        prefix = term.removesuffix(own)
        variance = a.get((f"{stage}cov", f"{prefix}{own}, {own}"), math.nan)
        label = f"{quantity} of {term}" if term else quantity
        if quantity.removeprefix(stage) in FROM_VARIANCE and variance < 0:
            explained[label] = NEGATIVE
        else:
            unexplained[label] = NO_CAUSE
    return explained, unexplained


def gap_of(key: Key, pair: tuple[float, float], scale: float, bound: float, error: float = math.nan) -> Gap:
    """One compared number.

    Parameters
    ----------
    key : tuple of str
    pair : tuple of float
        Reference and candidate; NaN on one side fails.
    scale : float
        Above 0; what the gap is measured against.
    bound : float
        The largest relative gap that rounding explains.
    error : float, default NaN
        Standard error, for a coefficient that has one.
    """
    absolute = abs(pair[1] - pair[0])
    relative = absolute / scale
    compared = not math.isnan(relative)
    return Gap(
        *key,
        *pair,
        absolute=absolute,
        relative=relative,
        digits=_digits(relative) if compared else 0.0,
        in_se=float(absolute / error) if error else math.nan,
        bound=bound,
        ok=bool(relative <= bound) if compared else False,
    )


def _both_nan(*values: float | FloatArray | None) -> bool:
    return all(isinstance(value, float) and math.isnan(value) for value in values)


def _pair(first: float | FloatArray, second: float | FloatArray) -> tuple[float, float]:
    """Two numbers; of two arrays the pair that is furthest apart."""
    if not (isinstance(first, np.ndarray) or isinstance(second, np.ndarray)):
        return first, second
    one, two = np.atleast_1d(np.asarray(first, dtype=float)), np.atleast_1d(np.asarray(second, dtype=float))
    if one.shape != two.shape:
        return math.nan, math.nan
    apart = np.abs(one - two)
    furthest = int(np.argmax(np.where(np.isnan(apart), np.inf, apart)))
    return float(one[furthest]), float(two[furthest])


def _digits(relative: float) -> float:
    if relative == 0:
        return MAX_DIGITS
    return float(min(max(0.0, -math.log10(relative)), MAX_DIGITS))


def agreed(gaps: Sequence[Gap]) -> str:
    """Why gaps that rounding explains are rounding, and which numbers the data do not determine even so.

    Parameters
    ----------
    gaps : sequence of Gap
        At least one; all within their bounds.
    """
    worst = min(gaps, key=lambda gap: gap.digits)
    text = f"all {len(gaps)} numbers agree to {worst.digits:.1f} digits or more; rounding explains every gap"
    if not (few := [gap for gap in gaps if gap.digits < SHOWN_DIGITS]):
        return text
    return (
        f"{text}, but {len(few)} of them to fewer than {SHOWN_DIGITS} digits: arithmetic does not determine these, "
        f"worst {worst.label} ({worst.reference:.6g} and {worst.candidate:.6g})"
    )
