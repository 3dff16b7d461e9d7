"""The tests and first stages of ``summary.ivreg(diagnostics = TRUE)``, classical and robust, built from matrices.

Definitions are AER's: the weak-instruments F compares the first stage with and without the excluded instruments; the
Wu–Hausman F adds the first-stage fitted values to the structural regression; Sargan is n R² of the residuals on all
instruments. A robust vcov turns the two F tests into Wald tests with that estimator applied to the auxiliary
least-squares fit; Sargan stays classical. (Wu 1973; Hausman 1978; Sargan 1958.)
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from ivbridge.kclass import estimated
from ivbridge.linear import Basis, Linear, least_squares, scaled
from ivbridge.method import Method
from ivbridge.rank import TOLERANCE, independent_columns
from ivbridge.records import Coefficients, FirstStage, FloatArray, NotApplicable, Numbers, Seen, Test
from ivbridge.sandwich import covariance, joint_rank
from ivbridge.vcov import Bekker, Bootstrap, Classical, Inference, T, Vcov

__all__ = [
    "EXACT",
    "NOTHING_ADDED",
    "NO_ENDOG",
    "NO_SLOPES",
    "OVERID",
    "PERFECT_FIT",
    "SINGULAR",
    "auxiliary",
    "beyond",
    "chi2_test",
    "coefficient_table",
    "f_test",
    "first_stages",
    "inapplicable",
    "numbers",
    "quadratic",
    "singular",
    "tests",
    "untestable",
    "wald_test",
]

RESAMPLED = "a bootstrap vcov would resample every auxiliary regression again; ask with another vcov"
NO_ENDOG = "the model has no endogenous regressor"
NOTHING_ADDED = "the tested columns depend linearly on the other ones"
PERFECT_FIT = "the regression fits without error, so that the statistic has no bound"
SINGULAR = "the vcov of the tested coefficients is singular"
EXACT = "the model is exactly identified, no restriction is left to test"
OVERID = "Anderson-Rubin (overidentification)"
NO_SLOPES = "the model has no regressor besides the intercept"


def coefficient_table(
    names: tuple[str, ...], coef: FloatArray, cov: FloatArray, df_resid: int, inference: Inference
) -> Coefficients:
    """Statistics, two-sided p-values and 95 % limits as ``coeftest`` and ``coefci`` give them.

    Parameters
    ----------
    names, coef, cov : (k,), (k,), (k, k)
    df_resid : int
        Degrees of freedom of t when the inference does not name its own.
    """
    df = _df(inference, df_resid)
    # several cluster dimensions can give a negative variance; its standard error is NaN, as in R
    with np.errstate(divide="ignore", invalid="ignore"):
        se = np.sqrt(np.diag(cov))
        statistic = coef / se
    if np.isinf(df):
        quantile, p_value = stats.norm.isf(0.025), 2 * stats.norm.sf(np.abs(statistic))
    else:  # what stats.t calls, without its fifty microseconds
        quantile, p_value = -special.stdtrit(df, 0.025), 2 * special.stdtr(df, -np.abs(statistic))
    half = quantile * se
    return Coefficients(names, coef, se, statistic, p_value, coef - half, coef + half)


def _df(inference: Inference, df_resid: int) -> float:
    if not isinstance(inference, T):
        return float("inf")
    return float(df_resid if inference.df is None else inference.df)


def wald_test(seen: Seen, model: Linear, cov: FloatArray, vcov: Vcov, inference: Inference) -> Test | NotApplicable:
    """Joint test of all coefficients but the intercept; F with n−k degrees of freedom, χ² under z."""
    slopes = [j for j, name in enumerate(model.names) if name != "(Intercept)"]
    if not slopes:
        return NotApplicable("Wald test", NO_SLOPES)
    if reason := untestable(len(slopes), vcov, seen):
        return NotApplicable("Wald test", reason)
    if _perfect(model):
        return NotApplicable("Wald test", PERFECT_FIT)
    if singular(cov[np.ix_(slopes, slopes)]):
        return NotApplicable("Wald test", SINGULAR)
    chi2 = quadratic(model.coef[slopes], cov[np.ix_(slopes, slopes)])
    if isinstance(inference, T):
        return f_test("Wald test", chi2 / len(slopes), len(slopes), model.df_resid)
    return chi2_test("Wald test", chi2, len(slopes))


def singular(cov: FloatArray) -> bool:
    """Whether a covariance block is too close to singular for a joint test.

    The smallest eigenvalue of the block, scaled to a unit diagonal, is then below 1e-12 of the largest: where exact
    arithmetic gives zero, rounding leaves 1e-13 or less, and the test statistic would have no digit right.
    """
    scale = np.sqrt(np.abs(np.diag(cov)))
    if not (scale > 0).all():
        return True
    eigenvalues = np.abs(np.linalg.eigvalsh(cov / np.outer(scale, scale)))
    return bool(eigenvalues.min() < 1e-12 * eigenvalues.max())


def _perfect(model: Linear) -> bool:
    """Whether the residuals are zero but for rounding."""
    y, w = model.y, model.weights
    return model.rss < TOLERANCE**2 * float(y @ (y if w is None else y * w))


def quadratic(value: FloatArray, cov: FloatArray) -> float:
    """b'C⁻¹b of (q,) and (q, q)."""
    return float(value @ np.linalg.solve(cov, value))


def f_test(name: str, statistic: float, df1: int, df2: int) -> Test:
    """An F test with its p-value."""
    return Test(name, statistic, float(special.fdtrc(df1, df2, max(statistic, 0.0))), float(df1), float(df2), "F")


def chi2_test(name: str, statistic: float, df: int) -> Test:
    """A χ² test with its p-value."""
    return Test(name, statistic, float(special.chdtrc(df, max(statistic, 0.0))), float(df), float("inf"), "chi2")


@dataclass(frozen=True)
class _Auxiliary:
    """What the auxiliary regressions have in common."""

    seen: Seen
    vcov: Vcov

    def added(self, name: str, full: Linear, tested: list[int]) -> Test | NotApplicable:
        """F test of some of the regressors in a least-squares fit."""
        df1 = len(tested)
        if df1 < 1:
            return NotApplicable(name, NOTHING_ADDED)
        if _perfect(full):
            return NotApplicable(name, PERFECT_FIT)
        if reason := untestable(df1, self.vcov, self.seen):
            return NotApplicable(name, reason)
        # with the classical vcov this Wald form equals AER's (RSS₀ − RSS₁)/df₁ over s², without its cancellation
        cov = covariance(full, self.vcov, self.seen.groups)[np.ix_(tested, tested)]
        if singular(cov):
            return NotApplicable(name, SINGULAR)
        return f_test(name, quadratic(full.coef[tested], cov) / df1, df1, full.df_resid)


def untestable(df1: float, vcov: Vcov, seen: Seen) -> str:
    """Why so many restrictions cannot be tested jointly under this vcov; empty where they can."""
    return beyond(df1, vcov, joint_rank(vcov, seen.groups))


def beyond(df1: float, vcov: Vcov, rank: int | None) -> str:
    """The same for a vcov of at most this rank; None where only k limits it."""
    if rank is None or df1 <= rank:
        return ""
    return f"{df1:g} restrictions, but {vcov} has rank {rank} at most (one less than its groups)"


def tests(seen: Seen, model: Linear, vcov: Vcov) -> dict[str, Test | NotApplicable]:
    """Weak instruments (one a regressor), Wu–Hausman and Sargan, by key; for LIML and Fuller also n·ln κ.

    The first two do not depend on how the coefficients were estimated; Sargan takes the estimator's residuals.

    Parameters
    ----------
    seen : Seen
        With its matrices.
    model : Linear
        The fit.
    vcov : Vcov
    """
    endog = [seen.x_names.index(name) for name in seen.endog_names]
    if not endog or model.instruments is None:
        named = {"weak_instruments": "Weak instruments", "wu_hausman": "Wu-Hausman", "sargan": "Sargan"}
        return {key: NotApplicable(name, NO_ENDOG) for key, name in named.items()}
    found: dict[str, Test | NotApplicable] = {}
    regression = None if isinstance(vcov, Bootstrap) else _Auxiliary(seen, auxiliary(vcov))
    excluded = [j for j, name in enumerate(seen.z_names) if name not in seen.x_names]
    for j in endog:
        name = seen.x_names[j]
        title = f"Weak instruments ({name})" if len(endog) > 1 else "Weak instruments"
        found[f"weak_instruments:{name}"] = (
            regression.added(title, _first_stage(seen, model, name, _unnamed(len(seen.z_names))), excluded)
            if regression
            else NotApplicable(title, RESAMPLED)
        )
    found["wu_hausman"] = NotApplicable("Wu-Hausman", RESAMPLED)
    if regression:
        both = _independent(np.hstack([seen.x, model.projected[:, endog]]), seen.weights)
        full = least_squares(seen.y, both, _unnamed(both.matrix.shape[1]))
        found["wu_hausman"] = regression.added("Wu-Hausman", full, list(range(seen.x.shape[1], full.k)))
    found["sargan"] = _sargan(seen, model, model.instruments)
    if model.k_class is not None:
        found["anderson_rubin"] = _likelihood_ratio(seen, model.k_class.liml)
    return found


def _independent(matrix: FloatArray, weights: FloatArray | None) -> Basis:
    """The basis of the columns of an (n, k) matrix that do not depend linearly on earlier ones."""
    if matrix.shape[1] <= matrix.shape[0]:
        with suppress(np.linalg.LinAlgError):  # where not even rounding tells a column from earlier ones
            return Basis.of(matrix, weights).independent()
    kept = independent_columns(np.asarray(np.linalg.qr(scaled(matrix, weights), mode="r")))
    return Basis.of(matrix[:, kept], weights)


def _unnamed(count: int) -> tuple[str, ...]:
    """Names of the columns of an auxiliary regression: none is called "(Intercept)", as in AER's."""
    return tuple(f"x{j}" for j in range(count))


def _first_stage(seen: Seen, model: Linear, name: str, names: tuple[str, ...]) -> Linear:
    """Least squares of an endogenous regressor on the instruments, from the fit where it has its first stages."""
    assert model.instruments is not None
    x = seen.x[:, seen.x_names.index(name)]
    if model.stages is None:
        return model.on_instruments(x, names)
    at = seen.x_names.index(name)
    left = model.stages.residuals[:, model.stages.endog.index(at)]
    coef = model.stages.coef[:, at].astype(float)
    return Linear(names, x, model.instruments.matrix, coef, model.instruments, left=left)


def auxiliary(vcov: Vcov) -> Vcov:
    """The covariance estimator of first stages and auxiliary regressions: the question's, classical for Bekker's."""
    return Classical() if isinstance(vcov, Bekker) else vcov


def _likelihood_ratio(seen: Seen, liml: float) -> Test | NotApplicable:
    """Anderson & Rubin's test of the overidentifying restrictions, n·ln κ with LIML's κ."""
    df = len(seen.instrument_names) - len(seen.endog_names)
    if df <= 0:
        return NotApplicable(OVERID, EXACT)
    statistic = len(seen.y) * float(np.log(liml))
    return chi2_test(OVERID, statistic, df)


def _sargan(seen: Seen, model: Linear, instruments: Basis) -> Test | NotApplicable:
    df = len(seen.instrument_names) - len(seen.endog_names)
    if df <= 0 or seen.exact:
        return NotApplicable("Sargan", EXACT if df <= 0 else PERFECT_FIT)
    w = np.ones(model.n) if model.weights is None else model.weights
    e = model.residuals
    mean_part = float(w @ e) ** 2 / float(w.sum())
    explained = float(np.sum((instruments.q.T @ (np.sqrt(w) * e)) ** 2)) - mean_part
    statistic = model.n * explained / (float(w @ e**2) - mean_part)
    return chi2_test("Sargan", statistic, df)


def first_stages(
    seen: Seen, model: Linear, vcov: Vcov, inference: Inference, weak: Mapping[str, Test | NotApplicable]
) -> tuple[FirstStage, ...]:
    """One full least-squares result for each endogenous regressor; none under a bootstrap vcov."""
    if isinstance(vcov, Bootstrap) or model.instruments is None:
        return ()
    stages = []
    for name in seen.endog_names:
        fit = _first_stage(seen, model, name, seen.z_names)
        cov = covariance(fit, auxiliary(vcov), seen.groups)
        table = coefficient_table(fit.names, fit.coef, cov, fit.df_resid, inference)
        r2, r2_adj = fit.r2(intercept="(Intercept)" in seen.z_names)
        test = weak[f"weak_instruments:{name}"]
        stages.append(FirstStage(name, table, cov, fit.n, fit.df_resid, r2, r2_adj, fit.sigma, test))
    return tuple(stages)


def inapplicable(seen: Seen, method: Method, vcov: Vcov) -> dict[str, NotApplicable]:
    """The tests that this model and vcov cannot have, by key; every engine leaves these out, with this reason."""
    model = estimated(seen, method)
    # a resampled covariance is not worth its time here, and is taken to be regular
    cov = np.eye(model.k) if isinstance(vcov, Bootstrap) else covariance(model, vcov, seen.groups)
    found = tests(seen, model, vcov)
    found["wald"] = wald_test(seen, model, cov, vcov, T())
    for name in () if isinstance(vcov, Bootstrap) else seen.endog_names:
        if isinstance(found[f"weak_instruments:{name}"], NotApplicable):  # its covariance was not asked for
            covariance(_first_stage(seen, model, name, seen.z_names), auxiliary(vcov), seen.groups)
    return {key: test for key, test in found.items() if isinstance(test, NotApplicable)}


def numbers(seen: Seen, model: Linear, cov: FloatArray, vcov: Vcov, inference: Inference) -> Numbers:
    """Everything that follows from the fit and its covariance matrix."""
    found = tests(seen, model, vcov)
    r2, r2_adj = model.r2(intercept="(Intercept)" in seen.x_names)
    return Numbers(
        coefs=coefficient_table(model.names, model.coef, cov, model.df_resid, inference),
        cov=cov,
        residuals=model.residuals,
        fitted=model.fitted,
        df_resid=model.df_resid,
        sigma=model.sigma,
        r2=r2,
        r2_adj=r2_adj,
        tests={**found, "wald": wald_test(seen, model, cov, vcov, inference)},
        first_stages=first_stages(seen, model, vcov, inference, found),
        kappa=None if model.k_class is None else model.k_class.kappa,
    )
