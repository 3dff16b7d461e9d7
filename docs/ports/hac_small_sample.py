"""The same with the small-sample factor of both sides: use_correction=True and adjust = TRUE."""

from hac_declared import cases, outputs  # noqa: F401

from ivbridge import ports


def to_py(case):
    return {**case, "correction": True}


def to_r(case):
    fit = ports.r_call("stats::lm", ports.formula("y ~ x"), data=case["data"])
    return ports.arguments(fit, lag=case["lag"], prewhite=False, adjust=True)
