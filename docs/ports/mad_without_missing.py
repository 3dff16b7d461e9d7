"""Missing values are left out: nan_policy="omit" and na.rm = TRUE."""

from ivbridge import ports

cases = {"x": ports.vectors()}


def to_py(case):
    return {"x": case["x"], "nan_policy": "omit"}


def to_r(case):
    return ports.arguments(case["x"], constant=1.0, **{"na.rm": True})
