"""R's prewhitening is switched off, and x is not constant."""

import numpy as np
from hac_no_prewhitening import to_r  # noqa: F401
from hypothesis import strategies as st

from ivbridge import ports

drawn = ports.frames({"y": "number", "x": "number"}, 3, 20, collinear=False, extreme=False)
cases = {"data": drawn.filter(lambda data: np.ptp(data["x"]) > 0), "lag": st.integers(0, 4)}
