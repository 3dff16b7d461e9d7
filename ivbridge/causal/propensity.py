"""The propensity score as maximum likelihood has it: a logit without penalty that is known to have converged.

scikit-learn's ``LogisticRegression()`` penalises by default and stops early on columns of unequal scale, older versions
without a word. Here the columns are standardised, the likelihood is maximised by statsmodels' iteratively reweighted
least squares, and the score equations are looked at afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ivbridge.causal.question import CausalData
from ivbridge.errors import DesignError, MissingExtraError
from ivbridge.records import FloatArray

__all__ = ["Propensity", "logit"]

#: Largest mean score (per standardised column) at which the likelihood counts as maximised.
CONVERGED = 1e-10
#: A fitted probability this close to 0 or 1 is one that no finite coefficient gives.
SEPARATED = 1e-8


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


def logit(data: CausalData) -> Propensity:
    """Maximum likelihood of a logit of the treatment on the covariates; R's ``glm(family = binomial)``.

    Raises
    ------
    DesignError
        If covariates are collinear, or separate the treated from the others, so that no maximum exists.
    """
    try:
        import statsmodels.api as sm
    except ImportError as error:
        raise MissingExtraError(f"The propensity score needs statsmodels: {error}.",
                                do='pip install "ivbridge[causal]"') from error  # fmt: skip
    center, spread = data.x.mean(axis=0), data.x.std(axis=0)
    if (spread == 0).any():
        name = data.x_names[int(np.flatnonzero(spread == 0)[0])]
        raise DesignError(f"The covariate {name!r} does not vary.", do="leave it out.")
    design = np.column_stack([np.ones(data.n), (data.x - center) / spread])
    if np.linalg.matrix_rank(design) < design.shape[1]:
        raise DesignError("The covariates are linearly dependent.", do="leave one of them out.")
    separated = DesignError(
        f"The covariates {', '.join(data.x_names)} separate treated from untreated units: "
        "the likelihood has no maximum.",
        do="leave out the covariate that decides the treatment, or study units for whom it does not.",
    )
    with np.errstate(all="ignore"):
        try:
            import warnings

            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                fit = sm.GLM(data.t, design, family=sm.families.Binomial()).fit(tol=1e-14, maxiter=100)
        except Exception as error:  # statsmodels raises several kinds here
            raise separated from error
    score = np.asarray(fit.fittedvalues, dtype=np.float64)
    if min(score.min(), 1 - score.max()) < SEPARATED and np.abs(fit.params).max() > 15:
        raise separated
    if np.abs(design.T @ (data.t - score)).max() / data.n > CONVERGED:
        raise separated
    scaled = np.asarray(fit.params, dtype=np.float64)
    slopes = scaled[1:] / spread
    return Propensity(score, np.r_[scaled[0] - slopes @ center, slopes], design, scaled)
