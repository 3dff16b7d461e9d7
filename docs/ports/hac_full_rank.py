"""R's prewhitening is switched off, x is not constant, and a tolerance for exact fits is declared with its reason."""

import numpy as np
from hac_no_prewhitening import to_r  # noqa: F401
from hypothesis import strategies as st

from ivbridge import ports

drawn = ports.frames({"y": "number", "x": "number"}, 3, 20, collinear=False, extreme=False)
cases = {"data": drawn.filter(lambda data: np.ptp(data["x"]) > 0), "lag": st.integers(0, 4)}
outputs = [
    ports.Output(atol=1e-24, because="where y fits exactly, both variances are zero but for the rounding of residuals"),
]
