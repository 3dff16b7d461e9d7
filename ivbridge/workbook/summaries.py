"""The numbers of a regression table, named as the table names them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ivbridge.errors import MissingExtraError

__all__ = ["COLUMNS", "regression", "statsmodels"]

COLUMNS = ("coef", "std err", "t", "P>|t|", "[0.025", "0.975]")


def statsmodels() -> Any:
    """The package's interface.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import statsmodels.api as sm
    except ImportError as error:
        do = 'pip install "ivbridge[causal]"'
        raise MissingExtraError(f"The notebook's tables need statsmodels: {error}.", do=do) from error
    return sm


def regression(dependent: pd.Series, regressors: pd.DataFrame) -> tuple[dict[str, Any], dict[str, Any]]:
    """Least squares with a constant: the numbers of the fit, and the table of coefficients."""
    from statsmodels.stats.stattools import durbin_watson, jarque_bera, omni_normtest

    sm = statsmodels()
    fit = sm.OLS(dependent, sm.add_constant(regressors)).fit()
    omnibus, p_omnibus = omni_normtest(fit.wresid)
    normal, p_normal, skew, kurtosis = jarque_bera(fit.wresid)
    whole = {
        "R-squared": fit.rsquared, "Adj. R-squared": fit.rsquared_adj, "F-statistic": fit.fvalue,
        "Prob (F-statistic)": fit.f_pvalue, "Log-Likelihood": fit.llf, "No. Observations": fit.nobs, "AIC": fit.aic,
        "Df Residuals": fit.df_resid, "BIC": fit.bic, "Df Model": fit.df_model, "Omnibus": omnibus,
        "Durbin-Watson": durbin_watson(fit.wresid), "Prob(Omnibus)": p_omnibus, "Jarque-Bera (JB)": normal,
        "Skew": skew, "Prob(JB)": p_normal, "Kurtosis": kurtosis, "Cond. No.": fit.condition_number,
    }  # fmt: skip
    limits = fit.conf_int()
    rows = {
        str(name): dict(
            zip(
                COLUMNS,
                map(float, (fit.params[name], fit.bse[name], fit.tvalues[name], fit.pvalues[name], *limits.loc[name])),
                strict=True,
            )
        )
        for name in fit.params.index
    }
    return whole, rows
