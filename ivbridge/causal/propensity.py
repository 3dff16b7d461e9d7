"""The propensity score as maximum likelihood has it: a logit without penalty that is known to have converged.

scikit-learn's ``LogisticRegression()`` penalises by default and stops early on columns of unequal scale, older versions
without a word. Here the columns are standardised, the likelihood is maximised by statsmodels' iteratively reweighted
least squares, and the score equations are looked at afterwards.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ivbridge.causal.question import CausalData
from ivbridge.errors import DesignError, MissingExtraError
from ivbridge.records import FloatArray

__all__ = ["Propensity", "logit", "separated", "standardised"]

#: Largest mean score (per standardised column) at which the likelihood counts as maximised.
CONVERGED = 1e-10
#: A fitted probability this close to 0 or 1 raises the suspicion that the maximum lies at infinity.
SUSPECT = 1e-7


@dataclass(frozen=True, slots=True, eq=False)
class Propensity:
    """A fitted logit.

    Attributes
    ----------
    score : (n,) array
        P(T = 1 | X).
    coef : (p + 1,) array
        Of the constant and the covariates in their own units.
    design : (n, p + 1) array
        A constant and the standardised covariates.
    scaled : (p + 1,) array
        Coefficients of `design`.
    """

    score: FloatArray
    coef: FloatArray
    design: FloatArray
    scaled: FloatArray


def standardised(data: CausalData) -> FloatArray:
    """(n, p + 1) matrix: a constant, and the covariates with mean 0 and standard deviation 1.

    Raises
    ------
    DesignError
        If a covariate does not vary, or one is a linear function of others.
    """
    spread = data.x.std(axis=0)
    if (constant := np.flatnonzero(spread <= 1e-14 * np.abs(data.x).max(axis=0, initial=0))).size:
        raise DesignError(f"The covariate {data.x_names[constant[0]]!r} does not vary.", do="leave it out.")
    design = np.column_stack([np.ones(data.n), (data.x - data.x.mean(axis=0)) / spread])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise DesignError(
            f"The covariates {', '.join(data.x_names)} are linearly dependent.", do="leave one of them out."
        )
    return design


def logit(data: CausalData) -> Propensity:
    """Maximum likelihood of a logit of the treatment on the covariates; R's ``glm(family = binomial)``.

    Raises
    ------
    DesignError
        If covariates are collinear, or separate the treated from the others, so that no maximum exists.
    MissingExtraError
        Without statsmodels.
    """
    try:
        import statsmodels.api as sm
    except ImportError as error:
        raise MissingExtraError(f"The propensity score needs statsmodels: {error}.",
                                do='pip install "ivbridge[causal]"') from error  # fmt: skip
    design = standardised(data)
    names = ", ".join(data.x_names)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # statsmodels warns of separation; the checks below raise
        try:
            fit = sm.GLM(data.t, design, family=sm.families.Binomial()).fit(tol=1e-14, maxiter=100)
            score, scaled = np.asarray(fit.fittedvalues), np.asarray(fit.params)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):  # IRLS broke down on the way to infinity
            score, scaled = data.t, np.full(design.shape[1], np.inf)
    if not min(score.min(), 1 - score.max()) > SUSPECT and separated(design, data.t):
        raise DesignError(
            f"The covariates {names} separate treated from untreated units: the likelihood has no maximum.",
            do="leave out the covariate that decides the treatment, or study units for whom it does not.",
        )
    if not np.abs(design.T @ (data.t - score)).max() / data.n < CONVERGED or not np.isfinite(scaled).all():
        raise DesignError(f"The logit of {data.question.treatment} on {names} did not converge.",
                          do="look for an extreme value among the covariates.")  # fmt: skip
    spread = data.x.std(axis=0)
    slopes = scaled[1:] / spread
    return Propensity(score, np.r_[scaled[0] - slopes @ data.x.mean(axis=0), slopes], design, scaled)


def separated(design: FloatArray, t: FloatArray) -> bool:
    """Whether some linear index is nowhere on the wrong side of the treatment and somewhere on the right one.

    Then, and only then, the likelihood of a logit has no maximum (Albert & Anderson 1984, Biometrika 71(1), 1–10). A
    linear programme decides it, as in Konis (2007, thesis, Oxford) and R's ``detectseparation``.
    """
    from scipy.optimize import linprog

    signed = (2 * t - 1)[:, None] * design
    found = linprog(-signed.sum(axis=0), A_ub=-signed, b_ub=np.zeros(len(t)), bounds=(-1, 1), method="highs")
    return bool(found.status != 0 or -found.fun > 1e-6 * len(t))
