"""pandas, linear, with missing values, against R's default."""

from ivbridge import ports

cases = {"x": ports.vectors(0, 12, infinite=False), "p": ports.probabilities(1)}


def to_py(case):
    return {**case, "interpolation": "linear"}


def to_r(case):
    return {"x": case["x"], "probs": case["p"], "names": False}
