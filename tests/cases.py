"""Tables of cases: one data set with everything in it, questions about it, and covariance estimators."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

#: Every estimator that works on every question below (`g`, `h`, `unit` and `t` are columns of `frame()`).
VCOVS = (
    "classical", "HC0", "HC1", "HC2", "HC3", "HC4", "HC4m", "HC5",
    "cluster(g)", "cluster(g, type=HC1)", "cluster(g, type=HC0, cadjust=False)", "cluster(g, h)",
    "cluster(g, h, type=HC1)", "cluster(g, h, multi0=True)", "cluster(g, h, unit)",
    "cluster(g, h, unit, type=HC1, multi0=True)", "nw", "nw(2)", "nw(2, prewhite=0)", "nw(3, prewhite=2, adjust=True)",
    "nw(order_by=o)", "andrews", "andrews(kernel=Parzen)", "andrews(kernel=Bartlett, prewhite=0)",
    "andrews(kernel=Tukey-Hanning)", "andrews(kernel=Truncated)", "andrews(bw=3)", "andrews(order_by=o)",
    "dk(unit, t)", "dk(unit, t, aggregate=False)", "dk(unit, t, lag=max)", "dk(unit, t, lag=NW1994, adjust=False)",
    "pc(unit, t)", "bootstrap(R=60, seed=7)", "bootstrap(R=60, cluster=g)",
)  # fmt: skip

#: One of each family, for the long table of questions.
FEW_VCOVS = ("classical", "HC1", "HC3", "cluster(g)", "cluster(g, h)", "nw(2, prewhite=0)")


@dataclass(frozen=True)
class Case:
    """A question and how it is asked."""

    name: str
    formula: str
    options: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case("one endogenous", "y ~ x1 + w1 | w1 + z1 + z2"),
    Case("two endogenous", "y ~ x1 + x2 + w1 | w1 + z1 + z2 + z3"),
    Case("exactly identified", "y ~ x1 + x2 + w1 | w1 + z1 + z2"),
    Case("least squares", "y ~ x1 + w1"),
    Case("weighted least squares", "y ~ x1 + w1", {"weights": "wt"}),
    Case("no intercept", "y ~ x1 + w1 - 1 | w1 + z1 + z2 - 1"),
    Case("nothing exogenous", "y ~ x1 - 1 | z1 + z2 - 1"),
    Case("only an intercept", "y ~ 1"),
    Case("weights", "y ~ x1 + w1 | w1 + z1 + z2", {"weights": "wt"}),
    Case("zero weights", "y ~ x1 + w1 | w1 + z1 + z2", {"weights": "wt_zero"}),
    Case("missing weights", "y ~ x1 + w1 | w1 + z1 + z2", {"weights": "wt_na"}),
    Case("aliased regressor", "y ~ x1 + w1 + twice | w1 + twice + z1 + z2"),
    Case("aliased regressor, weights", "y ~ x1 + w1 + twice | w1 + twice + z1 + z2", {"weights": "wt"}),
    Case("aliased instrument", "y ~ x1 + w1 | w1 + z1 + z2 + I(z1 + z2)"),
    Case("constant regressor", "y ~ x1 + three | three + z1 + z2"),
    Case("offset", "y ~ x1 + w1 + offset(o) | w1 + z1 + z2"),
    Case("offset, weights", "y ~ x1 + w1 + offset(o) | w1 + z1 + z2", {"weights": "wt"}),
    Case("missing values", "y ~ x1 + gaps | gaps + z1 + z2"),
    Case("strings", "y ~ x1 + g | g + z1 + z2"),
    Case("strings without intercept", "y ~ x1 + g - 1 | g + z1 + z2 - 1"),
    Case("categories with unused levels", "y ~ x1 + category | category + z1 + z2"),
    Case("ordered categories and booleans", "y ~ x1 + ordered + flag | ordered + flag + z1 + z2"),
    Case("endogenous interactions", "y ~ x1 * flag | z1 * flag + z2"),
    Case("orthogonal polynomials", "y ~ poly(x1, 2) + w1 | poly(z1, 3) + w1"),
    Case("raw polynomials", "y ~ x1 + poly(w1, 2, raw = TRUE) | poly(w1, 2, raw = TRUE) + z1 + z2"),
    Case("natural splines", "y ~ x1 + ns(w1, df = 3) | ns(w1, df = 3) + z1 + z2"),
    Case("B-splines", "y ~ x1 + bs(w1, df = 5) | bs(w1, df = 5) + z1 + z2"),
    Case("standardised", "y ~ x1 + scale(gaps) | scale(gaps) + z1 + z2"),
    Case("sum contrasts", "y ~ x1 + C(g, Sum) | C(g, Sum) + z1 + z2"),
    Case("chosen baseline", "y ~ x1 + C(g, Treatment('c')) | C(g, Treatment('c')) + z1 + z2"),
    Case("undefined logarithms", "y ~ x1 + log(w1) | log(w1) + z1 + z2"),
    Case("z inference", "y ~ x1 + w1 | w1 + z1 + z2", {"inference": "z"}),
    Case("t with 5 df", "y ~ x1 + w1 | w1 + z1 + z2", {"inference": "t(5)"}),
    Case("badly scaled", "y ~ I(1e6 * x1) + w1 | I(1e-6 * z1) + I(z2 * 1e-9) + w1"),
    Case("nearly collinear", "y ~ x1 + ns(p, df = 4) + bs(log(p), df = 4) | z1 + ns(p, df = 4) + bs(log(p), df = 4)"),
)


def frame(n: int = 60, seed: int = 0) -> pd.DataFrame:
    """n rows (a multiple of 10) with two endogenous regressors, three instruments, groups, a panel and every type."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({name: rng.normal(size=n) for name in ("w1", "w2", "z1", "z2", "z3", "u", "o")})
    data["x1"] = data.z1 + 0.5 * data.z2 + data.u + rng.normal(size=n)
    data["x2"] = data.z2 - data.z3 + 0.3 * data.u + rng.normal(size=n)
    data["y"] = 1 + data.x1 - data.x2 + data.w1 + data.u + rng.normal(size=n)
    data["p"] = rng.uniform(0.5, 3, n)
    data["g"] = rng.choice(list("abcdef"), n)
    data["h"] = rng.integers(0, 4, n)
    data["one"] = "only"
    data["twice"], data["three"] = 2 * data.w1, 3.0
    data["wt"] = rng.uniform(0.5, 2, n)
    data["wt_zero"] = data.wt.where(rng.uniform(size=n) > 0.2, 0.0)
    data["wt_na"] = data.wt.where(rng.uniform(size=n) > 0.2, np.nan)
    data["gaps"] = data.w2.where(rng.uniform(size=n) > 0.2, np.nan)
    data["flag"] = data.w1 > 0
    data["category"] = pd.Categorical(data.g, categories=list("zfedcba"))
    data["ordered"] = pd.Categorical(data.g, categories=list("abcdef"), ordered=True)
    data["t"], data["unit"] = np.arange(n) % 10, np.arange(n) // 10
    data["infinite"] = data.w1.where(data.index != 3, np.inf)
    data["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n), unit="D")
    return data
