"""scipy's scale="normal", which is said to make the deviation consistent for the normal distribution, as R's default does."""

from ivbridge import ports

cases = {"x": ports.vectors(missing=False, infinite=False)}


def to_py(case):
    return {"x": case["x"], "scale": "normal"}
