"""Do the numbers of one answer contradict each other? What an edited reference gives itself away by."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
from scipy import stats

from ivbridge.records import Coefficients, FloatArray, Test
from ivbridge.references_data import same_sums, sums
from ivbridge.results import Estimate
from ivbridge.vcov import T

__all__ = ["contradictions"]

Sums = Mapping[str, Mapping[str, list[float]]]

#: Numbers that follow from others by a few operations agree to about 1e-15; library functions for tails to 1e-12 of
#: the logarithm. An edit of one part per million is far outside.
CLOSE = 1e-9


def contradictions(answer: Estimate, known: Sums, digits: Mapping[str, list[float]]) -> list[str]:
    """Numbers that do not follow from the others as they must; empty where all is well.

    Parameters
    ----------
    answer : Estimate
    known : mapping
        Sums of the columns, and of residuals and fitted values (:class:`ivbridge.references_file.Reference`).
    digits : mapping
        Those that rounding leaves, by quantity: a covariance of nearly collinear columns is not symmetric to the last.
    """
    found = list(_table("", answer.coefs, answer.cov, answer.df))
    found += _asymmetric("", answer.cov, digits["cov"])
    for stage in answer.first_stages:
        inference = answer.spec.inference
        df = math.inf if not isinstance(inference, T) else stage.df_resid if inference.df is None else inference.df
        found += _table(f"first stage of {stage.endog}: ", stage.coefs, stage.cov, df)
        found += _asymmetric(f"first stage of {stage.endog}: ", stage.cov, digits["first stage cov"])
        if answer.tests.get(f"weak_instruments:{stage.endog}") != stage.weak:
            found.append(f"the first stage of {stage.endog} has another test of weak instruments than the table")
        found += _adjusted(f"first stage of {stage.endog}: ", stage, len(answer.seen.z_names), answer)
    for test in answer.tests.values():
        if isinstance(test, Test) and not _same_p(_tail(test), test.p_value):
            found.append(f"the p-value of {test.name} does not follow from its statistic")
    found += _adjusted("", answer, len(answer.terms), answer)
    return [*found, *_sizes(answer), *_columns(answer, known), *_residuals(answer, known)]


def _table(where: str, coefs: Coefficients, cov: FloatArray, df: float) -> Iterator[str]:
    k = len(coefs.terms)
    columns = (coefs.estimate, coefs.std_error, coefs.statistic, coefs.p_value, coefs.conf_low, coefs.conf_high)
    if any(column.shape != (k,) for column in columns) or cov.shape != (k, k):
        yield f"{where}the table or the covariance has not {k} rows"
        return
    with np.errstate(all="ignore"):
        error = np.sqrt(np.diag(cov))
        half = stats.t.isf(0.025, df) * coefs.std_error
        expected = {
            "standard errors do not follow from the covariance": (coefs.std_error, error),
            "statistics are not estimate over standard error": (coefs.statistic, coefs.estimate / coefs.std_error),
            "lower limits do not follow from the standard errors": (coefs.conf_low, coefs.estimate - half),
            "upper limits do not follow from the standard errors": (coefs.conf_high, coefs.estimate + half),
        }
        scale = {"lower": np.abs(coefs.estimate) + half, "upper": np.abs(coefs.estimate) + half}
        for text, (given, follows) in expected.items():
            size = scale.get(text.split()[0], np.abs(follows))
            if not _close(given, follows, size):
                yield f"{where}the {text}"
    tails = 2 * stats.t.sf(np.abs(coefs.statistic), df)
    if not all(_same_p(tail, p) for tail, p in zip(tails.tolist(), coefs.p_value.tolist(), strict=True)):
        yield f"{where}the p-values do not follow from the statistics"


def _asymmetric(where: str, cov: FloatArray, digits: list[float]) -> list[str]:
    size = np.sqrt(np.abs(np.diag(cov)))
    allowed = max(CLOSE, 10 ** (1 - min(digits, default=17.0)))
    wrong = (np.abs(cov - cov.T) > allowed * np.outer(size, size)).any()
    return [f"{where}the covariance is not symmetric"] * bool(wrong)


def _close(given: FloatArray, follows: FloatArray, size: FloatArray) -> bool:
    both_missing = np.isnan(given) & np.isnan(follows)
    same = (given == follows) | (np.abs(given - follows) <= CLOSE * size)
    return bool((same | both_missing).all())


def _same_p(expected: float, given: float) -> bool:
    if math.isnan(expected) or math.isnan(given):
        return math.isnan(expected) and math.isnan(given)
    if min(expected, given) <= 0:
        return max(expected, given) < 1e-290  # too small for one of the two libraries
    return abs(math.log(given) - math.log(expected)) <= CLOSE * max(1.0, -math.log(expected))


def _tail(test: Test) -> float:
    if test.distribution == "chi2":
        return float(stats.chi2.sf(test.statistic, test.df1))
    return float(stats.f.sf(test.statistic, test.df1, test.df2))


def _adjusted(where: str, fit: object, k: int, answer: Estimate) -> list[str]:
    """Adjusted R² and the degrees of freedom that stand in it."""
    n, df = fit.n, fit.df_resid  # type: ignore[attr-defined]
    if df != n - k or n != answer.n or n != len(answer.seen.rows):
        return [f"{where}{df} degrees of freedom, {n} rows and {k} columns do not go together"]
    if k == int(answer.spec.intercept):
        return []
    r2, given = fit.r2, fit.r2_adj  # type: ignore[attr-defined]
    follows = 1 - (1 - r2) * (n - answer.spec.intercept) / df
    apart = abs(given - follows) > CLOSE * max(abs(follows), 1.0)
    return [f"{where}the adjusted R² does not follow from R²"] * apart


def _sizes(answer: Estimate) -> list[str]:
    names = answer.seen.x_names
    if answer.terms != names:
        return ["the terms of the table are not the columns of X"]
    stages = tuple(stage.endog for stage in answer.first_stages)
    return ["the first stages are not those of the endogenous regressors"] * (
        stages not in ((), answer.seen.endog_names)
    )


def _columns(answer: Estimate, known: Sums) -> list[str]:
    wanted = {"x": answer.seen.x_names, "z": answer.seen.z_names}
    return [
        f"there are not the sums of just the columns of {name.upper()}"
        for name in wanted
        if set(known[name]) != {*wanted[name]}
    ]


def _residuals(answer: Estimate, known: Sums) -> list[str]:
    """Residuals and fitted values against their sums, σ, R², the coefficients and y."""
    found = []
    if len(answer.residuals) or not answer.lacks:
        if not len(answer.residuals) == len(answer.fitted) == answer.n:
            return ["there is not one residual and one fitted value for each row"]
        for name, values in (("residuals", answer.residuals), ("fitted", answer.fitted)):
            if not same_sums(known["fit"][name], sums(values), answer.n):
                found.append(f"the sums of the {name} are others")
        if not (answer.spec.weights or answer.seen.exact):
            found += _squares(answer)
    residuals, fitted = (known["fit"][name] for name in ("residuals", "fitted"))
    for place in (0, 1):
        parts = [beta * known["x"][term][place] for term, beta in zip(answer.terms, answer.coefs.estimate, strict=True)]
        size = sum(map(abs, parts)) + answer.n * (fitted[2] + residuals[2])
        if abs(sum(parts) - fitted[place]) > CLOSE * size:
            found.append("the coefficients do not give the fitted values")
        if abs(known["y"]["y"][place] - fitted[place] - residuals[place]) > CLOSE * size:
            found.append("fitted values and residuals do not add up to the dependent variable")
    return list(dict.fromkeys(found))


def _squares(answer: Estimate) -> list[str]:
    rss = float(answer.residuals @ answer.residuals)
    y = answer.residuals + answer.fitted
    tss = float(((y - y.mean() * answer.spec.intercept) ** 2).sum())
    found = ["σ does not follow from the residuals"] * (abs(answer.sigma**2 * answer.df_resid - rss) > CLOSE * rss)
    apart = abs(answer.r2 - (1 - rss / tss)) > CLOSE * max(abs(answer.r2), 1.0)
    return [*found, *["R² does not follow from residuals and fitted values"] * apart]
