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
           "certified_sigma", "claimed", "claimed_se", "claimed_hc1", "note")  # fmt: skip
CLAIMS = ("claimed", "claimed_se", "claimed_hc1")
#: Digits of which the last are chance: 14.5 are a relative error of 29 units roundoff, a handful of operations.
ENOUGH = 14.5
#: In the order of the tables.
ENGINES = ("native", "fast", "r", "linearmodels", "statsmodels")
#: Engines of ivbridge, which choose the columns by one rule.
OWN = ENGINES[:3]
#: Digits that the fast engine may have fewer than R, of at most `ENOUGH`: what one rounding error more is.
SLACK = 0.5


@dataclass(frozen=True)
class Found:
    """What one program answers: coefficients, classical and HC1 standard errors, or why it does not."""

    estimate: Any = ()
    std_error: Any = ()
    hc1: Any = ()
    sigma: float = math.nan
    note: str = ""
    claims: tuple[float, float, float] = (math.nan, math.nan, math.nan)


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
            **dict(zip(CLAIMS, (round(value, 1) for value in found.claims), strict=True)),
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
    claims = (math.nan, math.nan, math.nan)
    if classical.digits is not None and hc1.digits is not None:
        claims = (hc1.digits.coef, classical.digits.std_error, hc1.digits.std_error)
    values = (classical.coefs.estimate, classical.coefs.std_error, hc1.coefs.std_error)
    return classical, Found(*values, classical.sigma, claims=claims)


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
        "in very different units, or far from zero, whose rows are sorted or trend, or which hold powers of years, and are",
        "scored against exact rational arithmetic on the same floating-point numbers (16 digits at most). The fast engine",
        "says itself for how many digits it is good; “claims” is what it says of the same numbers.",
        "",
        _totals(found),
        "",
        "### NIST's reference regressions: coefficients / classical standard errors",
        "",
        *_table(found[found.case.isin(nist)], ("certified", "certified_se"), CLAIMS[:2]),
        "",
        *_filip(found),
        "Wampler1 and Wampler2 have standard errors of zero. Claims are about the floating-point numbers that the decimals",
        "of NIST become: these cost a digit or two of the certified values.",
        "",
        "### Instrumental-variable designs: coefficients / classical / HC1 standard errors",
        "",
        *_table(found[~found.case.isin(nist)], ("estimate", "std_error", "hc1"), CLAIMS),
        "",
        "“Condition” is that of the projected regressors at equal length, after R's rule has left columns out.",
        "statsmodels' `IV2SLS` has no HC1. linearmodels and statsmodels are called directly with the engines' columns.",
        "Measured where C's `long double` has 64 bits (Linux on x86); where it has no more than `double` (Windows, Apple",
        "silicon) the native engine keeps what a QR decomposition keeps ([why](decisions/0009-digits.md)), and the fast",
        "one says that it is good for fewer digits ([how it keeps them](decisions/0014-digits.md)).",
    ]  # fmt: skip


def _totals(found: pd.DataFrame) -> str:
    scores = found.melt(["case", "engine"], ["estimate", "std_error", "hc1", "certified", "certified_se"]).dropna()
    wide = scores.pivot_table(index=["case", "variable"], columns="engine", values="value")
    fewer = wide[wide.native < wide.r]
    beyond = int((fewer.native >= ENOUGH).sum())
    behind = (wide.fast < np.minimum(wide.r, ENOUGH) - SLACK).sum()
    claims = _claims(found)
    return (
        f"Of {len(wide)} scores the native engine has at least as many digits as R in {len(wide) - len(fewer)}. In the "
        f"other {len(fewer)} R has {(fewer.r - fewer.native).max():.1f} digits more at most; in {beyond} of these the "
        f"native engine has {ENOUGH} digits or more. The fast engine has at least as many digits as R, or {ENOUGH}, less "
        f"{SLACK}, in {len(wide) - behind}. Median digits: native {wide.native.median():.1f}, fast "
        f"{wide.fast.median():.1f}, R {wide.r.median():.1f}, linearmodels called directly "
        f"{wide.linearmodels.median():.1f}; fewest: native {wide.native.min():.1f}, fast {wide.fast.min():.1f}, R "
        f"{wide.r.min():.1f}, linearmodels {wide.linearmodels.min():.1f}. Of its {len(claims)} claims {(claims < 0).sum()} "
        f"are too high; they are {claims.median():.1f} digits too low in the median, {claims.max():.1f} at most."
    )


def _claims(found: pd.DataFrame) -> pd.Series:
    """By how many digits the fast engine's claims are too low, where residuals are more than rounding."""
    own = found[found.engine == "fast"].set_index("case")
    perfect = own.claimed_se == 0
    pairs = zip(CLAIMS, ("estimate", "std_error", "hc1"), strict=True)
    gaps = {claim: (own[score] - own[claim])[~perfect | (claim == CLAIMS[0])] for claim, score in pairs}
    return pd.concat(gaps).dropna()


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


def _table(found: pd.DataFrame, columns: tuple[str, ...], claims: tuple[str, ...]) -> list[str]:
    shown = (*ENGINES[:2], "claims", *ENGINES[2:])
    lines = ["| case | condition | left out | " + " | ".join(shown) + " |", "| --- " * (3 + len(shown)) + "|"]
    for case, rows in found.groupby("case", sort=False):
        by_engine = rows.set_index("engine")
        if by_engine[list(columns)].isna().all(axis=None):
            continue
        first = by_engine.loc[ENGINES[0]]
        cells = [" / ".join(_digits(by_engine.loc[engine, name]) for name in columns) for engine in ENGINES]
        cells.insert(2, " / ".join(_digits(by_engine.loc["fast", name]) for name in claims))
        left_out = f"`{first.left_out}`" if first.left_out else ""
        lines.append(f"| {case} | {first.condition:.1e} | {left_out} | " + " | ".join(cells) + " |")
    return lines


def _digits(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"
