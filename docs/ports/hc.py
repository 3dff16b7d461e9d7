"""The port: White's covariance of least squares and its successors, as a user of statsmodels gets them."""

import statsmodels.api as sm


def robust(data, type):
    """The covariance of the coefficients, (2, 2); `type` is HC0, HC1, HC2 or HC3."""
    model = sm.OLS(data["y"], sm.add_constant(data[["x"]], has_constant="add"))
    return model.fit(cov_type=type).cov_params().to_numpy()
