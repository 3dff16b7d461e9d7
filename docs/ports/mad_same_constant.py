"""R's constant is set to 1."""

from ivbridge import ports

cases = {"x": ports.vectors()}


def to_r(case):
    return {"x": case["x"], "constant": 1.0}
