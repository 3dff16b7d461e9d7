"""HC0 to HC3, x not constant; what is exactly zero has a declared tolerance."""

from hac_declared import outputs  # noqa: F401
from hac_full_rank import drawn
from hypothesis import strategies as st

from ivbridge import ports

cases = {
    "data": drawn.filter(lambda data: data["x"].nunique() > 1),
    "type": st.sampled_from(["HC0", "HC1", "HC2", "HC3"]),
}


def to_r(case):
    fit = ports.r_call("stats::lm", ports.formula("y ~ x"), data=case["data"])
    return ports.arguments(fit, type=case["type"])
