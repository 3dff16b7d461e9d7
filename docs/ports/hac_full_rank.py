"""R's prewhitening is switched off, and no column is a combination of others."""

import numpy as np
from hac_no_prewhitening import to_r  # noqa: F401
from hypothesis import strategies as st

from ivbridge import ports


def full_rank(data):
    scaled = data["x"] / data["x"].abs().max() if data["x"].any() else data["x"]
    return np.ptp(scaled) > 1e-3


cases = {
    "data": ports.frames({"y": "number", "x": "number"}, 3, 20, collinear=False).filter(full_rank),
    "lag": st.integers(0, 4),
}
