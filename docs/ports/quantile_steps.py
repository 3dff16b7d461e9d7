"""Probabilities a hair from a step of the empirical distribution, and numbers of very different size."""

import numpy as np
from hypothesis import strategies as st
from quantile_types import to_r  # noqa: F401

sizes = st.sampled_from([0.0, 1.0, 2.0, 1e20])


def near_a_step(one):
    x, k, ulps, kind = one
    p = np.float64(min(k, len(x)) / len(x))
    return {"x": np.array(x), "p": np.clip(np.array([p + ulps * np.spacing(p)]), 0, 1), "type": kind}


cases = st.tuples(
    st.lists(sizes, min_size=2, max_size=8), st.integers(0, 8), st.integers(-2, 2), st.integers(1, 9)
).map(near_a_step)
