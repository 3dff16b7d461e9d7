"""The port: Newey and West's covariance of least squares, as a user of statsmodels gets it."""

import statsmodels.api as sm


def newey_west(data, lag, correction=False):
    """The covariance of the coefficients, (2, 2)."""
    model = sm.OLS(data["y"], sm.add_constant(data[["x"]], has_constant="add"))
    options = {"maxlags": lag, "use_correction": correction}
    return model.fit(cov_type="HAC", cov_kwds=options).cov_params().to_numpy()
