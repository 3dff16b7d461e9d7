"""The ports: quantiles as users of pandas and NumPy ask for them."""

import numpy as np
import pandas as pd

#: NumPy's names of the nine definitions of Hyndman and Fan (1996), whose numbers R takes as `type`.
METHODS = dict(enumerate((
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
    "linear", "median_unbiased", "normal_unbiased",
), 1))  # fmt: skip


def pandas_quantile(x, p, interpolation):
    """`pandas.Series.quantile`."""
    return pd.Series(x).quantile(p, interpolation=interpolation).to_numpy()


def numpy_quantile(x, p, type):
    """`numpy.quantile` with the method that has R's number."""
    return np.quantile(x, p, method=METHODS[type])
