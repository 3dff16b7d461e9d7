"""The same with infinite numbers among them."""

from hypothesis import strategies as st
from quantile_types import to_r  # noqa: F401

from ivbridge import ports

cases = {"x": ports.vectors(1, 12, missing=False), "p": ports.probabilities(1), "type": st.integers(1, 9)}
