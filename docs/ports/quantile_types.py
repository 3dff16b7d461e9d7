"""NumPy's nine methods against R's nine types, finite numbers."""

from hypothesis import strategies as st

from ivbridge import ports

cases = {
    "x": ports.vectors(1, 12, missing=False, infinite=False),
    "p": ports.probabilities(1),
    "type": st.integers(1, 9),
}


def to_r(case):
    return {"x": case["x"], "probs": case["p"], "type": case["type"], "names": False}
