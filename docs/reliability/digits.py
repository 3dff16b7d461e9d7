"""Correct digits: NIST's reference regressions and IV designs of known condition, engine by engine."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from linearmodels.iv import IV2SLS
from statsmodels.regression.linear_model import OLS
from statsmodels.sandbox.regression import gmm

import ivbridge
from ivbridge.records import Seen
from tests.digits_cases import CASES, CERTIFIED_DIGITS, NIST, Case, Exact, correct_digits, exact

COLUMNS = ("case", "condition", "left_out", "engine", "estimate", "std_error", "hc1", "certified", "certified_se",
           "certified_sigma", "note")  # fmt: skip
#: Digits of which the last are chance: 14.5 are a relative error of 29 units roundoff, a handful of operations.
ENOUGH = 14.5
#: In the order of the tables.
ENGINES = ("native", "r", "linearmodels", "statsmodels")
#: Engines of ivbridge, which choose the columns by one rule.
OWN = ENGINES[:2]


@dataclass(frozen=True)
class Found:
    """What one program answers: coefficients, classical and HC1 standard errors, or why it does not."""

    estimate: Any = ()
    std_error: Any = ()
    hc1: Any = ()
    sigma: float = math.nan
    note: str = ""


def measure() -> pd.DataFrame:
    """One row a case and program."""
    return pd.DataFrame([row for case in CASES for row in rows_of(case)], columns=list(COLUMNS))


def rows_of(case: Case) -> list[dict[str, Any]]:
    """The rows of one case."""
    fits = {engine: _fit(case, engine) for engine in OWN}
    seen = fits["native"][0].seen
    truth = exact(seen.y, seen.x, seen.z)
    left_out = sorted({*seen.aliased, *seen.aliased_instruments})
    rows = []
    for engine in ENGINES:
        found = fits[engine][1] if engine in OWN else _asked(_PEERS[engine], seen)
        rows.append({
            "case": case.name, "condition": condition(seen), "left_out": ", ".join(left_out), "engine": engine,
            **_scores(found, truth, case if not left_out else None), "note": found.note,
        })  # fmt: skip
    return rows


def condition(seen: Seen) -> float:
    """Condition number of the regressors' projection on the instruments, columns at unit length; three digits."""
    projected = seen.z @ np.linalg.lstsq(seen.z, seen.x, rcond=None)[0]
    return float(f"{np.linalg.cond(projected / np.linalg.norm(projected, axis=0)):.2e}")


def _scores(found: Found, truth: Exact, certified: Case | None) -> dict[str, float]:
    digits = {
        "estimate": correct_digits(found.estimate, truth.coef),
        # a perfect fit has standard errors of zero, which rounding misses by no number of digits
        "std_error": correct_digits(found.std_error, truth.classical) if any(truth.classical) else math.nan,
        "hc1": correct_digits(found.hc1, truth.hc1) if any(truth.hc1) and len(found.hc1) else math.nan,
        "certified": math.nan,
        "certified_se": math.nan,
        "certified_sigma": math.nan,
    }
    if certified and certified.certified:
        values, errors = ([Fraction(text) for text in column] for column in zip(*certified.certified, strict=True))
        digits["certified"] = correct_digits(found.estimate, values, CERTIFIED_DIGITS)
        if any(errors):
            digits["certified_se"] = correct_digits(found.std_error, errors, CERTIFIED_DIGITS)
    if certified and Fraction(certified.sigma or 0):
        digits["certified_sigma"] = correct_digits(found.sigma, [Fraction(certified.sigma)], CERTIFIED_DIGITS)
    return {name: round(value, 1) for name, value in digits.items()}


def _fit(case: Case, engine: str) -> tuple[ivbridge.Estimate, Found]:
    classical, hc1 = (ivbridge.fit(case.formula, case.make(), vcov, engine) for vcov in ("classical", "HC1"))
    return classical, Found(classical.coefs.estimate, classical.coefs.std_error, hc1.coefs.std_error, classical.sigma)


def _asked(answer: Callable[[Seen], Found], seen: Seen) -> Found:
    """A program's answer, or its refusal in its own words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return answer(seen)
        except (ValueError, np.linalg.LinAlgError) as error:
            return Found(note=str(error).partition("\n")[0].partition(".")[0])


def by_linearmodels(seen: Seen) -> Found:
    """linearmodels called directly with the columns that the engines use."""
    inside = [name in seen.z_names for name in seen.x_names]
    order = np.argsort([not known for known in inside], kind="stable")
    excluded = [name not in seen.x_names for name in seen.z_names]
    exog, endog = seen.x[:, order[: sum(inside)]], seen.x[:, order[sum(inside) :]]
    model = IV2SLS(seen.y, exog, endog if endog.size else None, seen.z[:, excluded] if any(excluded) else None)
    back = np.argsort(order)
    classical = model.fit(cov_type="unadjusted", debiased=True)
    robust = model.fit(cov_type="robust", debiased=True)
    columns = (np.asarray(v)[back] for v in (classical.params, classical.std_errors, robust.std_errors))
    return Found(*columns, sigma=math.sqrt(classical.s2))


def _statsmodels(seen: Seen) -> Found:
    """statsmodels: OLS where nothing is endogenous, its IV2SLS otherwise, which has no HC1."""
    if seen.endog_names:
        result = gmm.IV2SLS(seen.y, seen.x, seen.z).fit()
        return Found(result.params, result.bse, note="no HC1")
    result = OLS(seen.y, seen.x).fit()
    return Found(result.params, result.bse, result.HC1_se, math.sqrt(result.scale))


_PEERS: dict[str, Callable[[Seen], Found]] = {"linearmodels": by_linearmodels, "statsmodels": _statsmodels}


def text(found: pd.DataFrame) -> list[str]:
    """The part of the page."""
    nist = [case.name for case in NIST]
    return [
        "## Correct digits",
        "",
        "How many digits of an answer are right: −log₁₀ of its largest relative error over the coefficients or over the",
        "standard errors. NIST's eleven reference regressions are asked as `y ~ x | x` and scored against the certified",
        "values (15 digits); the designs are instrumental-variable models of 60 rows whose columns are nearly collinear,",
        "in very different units, or far from zero, and are scored against exact rational arithmetic on the same",
        "floating-point numbers (16 digits at most).",
        "",
        _totals(found),
        "",
        "### NIST's reference regressions: coefficients / classical standard errors",
        "",
        *_table(found[found.case.isin(nist)], ("certified", "certified_se")),
        "",
        *_filip(found),
        "Wampler1 and Wampler2 have standard errors of zero.",
        "",
        "### Instrumental-variable designs: coefficients / classical / HC1 standard errors",
        "",
        *_table(found[~found.case.isin(nist)], ("estimate", "std_error", "hc1")),
        "",
        "“Condition” is that of the projected regressors at equal length, after R's rule has left columns out.",
        "statsmodels' `IV2SLS` has no HC1. linearmodels and statsmodels are called directly with the engines' columns.",
        "Measured where C's `long double` has 64 bits (Linux on x86); where it has no more than `double` (Windows, Apple",
        "silicon) the native engine keeps what a QR decomposition keeps ([why](decisions/0009-digits.md)).",
    ]  # fmt: skip


def _totals(found: pd.DataFrame) -> str:
    scores = found.melt(["case", "engine"], ["estimate", "std_error", "hc1", "certified", "certified_se"]).dropna()
    wide = scores.pivot_table(index=["case", "variable"], columns="engine", values="value")
    fewer = wide[wide.native < wide.r]
    beyond = int((fewer.native >= ENOUGH).sum())
    return (
        f"Of {len(wide)} scores the native engine has at least as many digits as R in {len(wide) - len(fewer)}. In the "
        f"other {len(fewer)} R has {(fewer.r - fewer.native).max():.1f} digits more at most; in {beyond} of these the "
        f"native engine has {ENOUGH} digits or more. Median digits: native {wide.native.median():.1f}, R "
        f"{wide.r.median():.1f}, linearmodels called directly {wide.linearmodels.median():.1f}; fewest: native "
        f"{wide.native.min():.1f}, R {wide.r.min():.1f}, linearmodels {wide.linearmodels.min():.1f}."
    )


def _filip(found: pd.DataFrame) -> list[str]:
    """Where R's rule for dependent columns does not let NIST's model pass."""
    kept = found[found.case == "Filip"].set_index("engine")
    cells = "; ".join(
        f"{engine} " + " / ".join(_digits(kept.loc[engine, name]) for name in ("estimate", "std_error", "hc1"))
        for engine in ENGINES
    )
    sigma = ", ".join(f"{engine} {value:.1f}" for engine, value in _sigma(found).items())
    return [
        "Filip's tenth power is left out by R's rule for dependent columns (tolerance 1e-7), which both engines follow.",
        f"The other ten coefficients / classical / HC1 standard errors against exact arithmetic: {cells}.",
        f"As `poly(x, 10)` the model has other coefficients, but NIST's residual standard deviation: {sigma} digits.",
    ]


def _sigma(found: pd.DataFrame) -> dict[str, float]:
    rows = found[found.case == "Filip, orthogonal"].set_index("engine").certified_sigma
    return {engine: float(rows[engine]) for engine in ENGINES}


def _table(found: pd.DataFrame, columns: tuple[str, ...]) -> list[str]:
    lines = ["| case | condition | left out | " + " | ".join(ENGINES) + " |", "| --- " * (3 + len(ENGINES)) + "|"]
    for case, rows in found.groupby("case", sort=False):
        by_engine = rows.set_index("engine")
        if by_engine[list(columns)].isna().all(axis=None):
            continue
        first = by_engine.loc[ENGINES[0]]
        cells = [" / ".join(_digits(by_engine.loc[engine, name]) for name in columns) for engine in ENGINES]
        left_out = f"`{first.left_out}`" if first.left_out else ""
        lines.append(f"| {case} | {first.condition:.1e} | {left_out} | " + " | ".join(cells) + " |")
    return lines


def _digits(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"
