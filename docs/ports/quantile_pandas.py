"""The five interpolations of pandas against R's nine types, finite numbers of one size."""

from hypothesis import strategies as st

from ivbridge import ports

INTERPOLATIONS = ("linear", "lower", "higher", "nearest", "midpoint")

cases = {
    "x": ports.vectors(1, 12, missing=False, infinite=False, extreme=False),
    "p": ports.probabilities(1),
    "interpolation": st.sampled_from(INTERPOLATIONS),
    "type": st.integers(1, 9),
}


def to_py(case):
    return {name: case[name] for name in ("x", "p", "interpolation")}


def to_r(case):
    return {"x": case["x"], "probs": case["p"], "type": case["type"], "names": False}
