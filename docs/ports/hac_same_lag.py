"""The same number of lags; nothing else is said."""

from hypothesis import strategies as st

from ivbridge import ports

cases = {"data": ports.frames({"y": "number", "x": "number"}, 6, 20, collinear=False, extreme=False), "lag": st.integers(0, 4)}


def to_r(case):
    fit = ports.r_call("stats::lm", ports.formula("y ~ x"), data=case["data"])
    return ports.arguments(fit, lag=case["lag"])
