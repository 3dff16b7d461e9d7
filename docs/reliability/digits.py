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
from tests.digits_cases import CASES, CERTIFIED_DIGITS, Case, Exact, correct_digits, exact

COLUMNS = (
    "case",
    "condition",
    "left_out",
    "engine",
    "estimate",
    "std_error",
    "hc1",
    "certified",
    "certified_se",
    "note",
)
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
        "std_error": correct_digits(found.std_error, truth.classical) if any(truth.classical) else math.nan,
        "hc1": correct_digits(found.hc1, truth.hc1) if any(truth.hc1) else math.nan,
        "certified": math.nan,
        "certified_se": math.nan,
    }
    if certified and certified.certified:
        values, errors = ([Fraction(text) for text in column] for column in zip(*certified.certified, strict=True))
        digits["certified"] = correct_digits(found.estimate, values, CERTIFIED_DIGITS)
        if any(errors):
            digits["certified_se"] = correct_digits(found.std_error, errors, CERTIFIED_DIGITS)
    return {name: round(value, 1) for name, value in digits.items()}


def _fit(case: Case, engine: str) -> tuple[ivbridge.Estimate, Found]:
    classical, hc1 = (ivbridge.fit(case.formula, case.make(), vcov, engine) for vcov in ("classical", "HC1"))
    return classical, Found(classical.coefs.estimate, classical.coefs.std_error, hc1.coefs.std_error)


def _asked(answer: Callable[[Seen], Found], seen: Seen) -> Found:
    """A program's answer, or its refusal in its own words."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return answer(seen)
        except (ValueError, np.linalg.LinAlgError) as error:
            return Found(note=str(error).partition("\n")[0].partition(".")[0])


def _linearmodels(seen: Seen) -> Found:
    """linearmodels called directly with the columns that the engines use."""
    inside = [name in seen.z_names for name in seen.x_names]
    order = np.argsort([not known for known in inside], kind="stable")
    excluded = [name not in seen.x_names for name in seen.z_names]
    exog, endog = seen.x[:, order[: sum(inside)]], seen.x[:, order[sum(inside) :]]
    model = IV2SLS(seen.y, exog, endog if endog.size else None, seen.z[:, excluded] if any(excluded) else None)
    back = np.argsort(order)
    classical = model.fit(cov_type="unadjusted", debiased=True)
    robust = model.fit(cov_type="robust", debiased=True)
    return Found(*(np.asarray(v)[back] for v in (classical.params, classical.std_errors, robust.std_errors)))


def _statsmodels(seen: Seen) -> Found:
    """statsmodels: OLS where nothing is endogenous, its IV2SLS otherwise, which has no HC1."""
    if seen.endog_names:
        result = gmm.IV2SLS(seen.y, seen.x, seen.z).fit()
        return Found(result.params, result.bse, note="no HC1")
    result = OLS(seen.y, seen.x).fit()
    return Found(result.params, result.bse, result.HC1_se)


_PEERS: dict[str, Callable[[Seen], Found]] = {"linearmodels": _linearmodels, "statsmodels": _statsmodels}
