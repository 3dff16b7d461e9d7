"""Bad data, part two: types and values, factors, magnitudes, weights, groups, exact fits."""

from __future__ import annotations

import decimal
import fractions

import numpy as np
import pandas as pd

from tests.bad_data_base import EXACT, INF, NAN, ROW, Case, D, first, lost, method, objects, on, put, refused, weighted

__all__ = ["fits", "groups", "magnitudes", "types", "weights"]

DAYS = pd.Timestamp("2020-01-01") + pd.to_timedelta(range(24), unit="D")


def types() -> list[Case]:
    """Values and types that R and Python do not share, factors without a contrast, undefined functions."""
    mixed = pd.Series([1.5, "a"] * 12, dtype=object)
    past = pd.Series([2**53 + 1] + [1.5] * 23, dtype=object)
    refusals = refused("values", "DataError", [
        *((f"an infinite {column}", first(column, INF), f"'{column}' holds 1 infinite value")
          for column in ("y", "x", "w", "z1")),
        ("minus infinity", first("x", -INF), "1 infinite value"),
        ("infinity among objects", objects("w", lambda v: INF if v > 0 else v), "infinite values"),
        ("the logarithm of zero", put(p=np.where(ROW == 2, 0.0, 1 + ROW)), r"log\(p\) is infinite for 1 value",
         on("y ~ x + log(p) | log(p) + z1")),
        ("a division by zero", put(v=np.where(ROW == 2, 0.0, 1 + ROW)), r"I\(1/v\) is infinite for 1 value",
         on("y ~ x + I(1 / v) | I(1 / v) + z1")),
        ("an exponential that overflows", put(v=1000 * D.v), r"exp\(v\) is infinite",
         on("y ~ x + exp(v) | exp(v) + z1")),
        ("a power that overflows", put(v=1e3 + D.v), r"I\(v\^200\) is infinite",
         on("y ~ x + I(v^200) | I(v^200) + z1")),
        ("scale() of a constant", put(v=1.0), "standard deviation, which is 0", on("y ~ x + scale(v) | scale(v) + z1")),
        ("poly() of a missing value", lost("v", [0]), "cannot have missing values",
         on("y ~ x + poly(v, 2) | poly(v, 2) + z1")),
        ("poly() of too few values", put(), "needs more than 7 distinct", on("y ~ x + poly(g, 7) | poly(g, 7) + z1")),
        ("a spline of a constant", put(v=1.0), "two distinct values", on("y ~ x + bs(v) | bs(v) + z1")),
        ("a natural spline of two values", put(v=ROW % 2), "too few distinct values",
         on("y ~ x + ns(v, df = 3) | ns(v, df = 3) + z1")),
        ("a knot beyond the data", put(), "knot of a spline lies beyond",
         on("y ~ x + bs(v, knots = c(99)) | bs(v, knots = c(99)) + z1")),
        ("an infinite offset", first("v", INF), "infinite value", on("y ~ x + offset(v) | z1")),
    ])  # fmt: skip
    kinds = refused("types", "DataError", [
        ("y numbers as text", objects("y", str), "holds texts"),
        ("y a category", put(y=pd.Categorical(D.g)), "holds texts or categories"),
        ("numbers and texts", put(x=mixed), "holds mixed values"),
        ("booleans and numbers", put(x=pd.Series([True, 2] * 12, dtype=object)), "mixed"),
        ("complex numbers", put(x=D.x + 0j), "complex"),
        ("decimals", objects("x", lambda v: decimal.Decimal(str(v))), "decimal"),
        ("fractions", objects("y", fractions.Fraction), "mixed"),
        ("bytes", objects("w", lambda v: b"a"), "bytes"),
        ("lists", objects("w", lambda v: [v]), "mixed"),
        ("extended precision", put(x=D.x.astype(np.longdouble)), "floating"),
        ("dates", put(w=DAYS), "datetime64"),
        ("durations", put(w=DAYS - DAYS[0]), "timedelta64"),
        ("months", put(w=pd.period_range("2020-01", periods=24, freq="M")), "period"),
        ("whole numbers beyond 2**53", put(x=2**53 + 1 + 2 * ROW), r"beyond 2\*\*53"),
        ("2**53 + 1 among floats", put(x=past), r"beyond 2\*\*53 \(9007199254740993\)"),
        ("the largest unsigned number", put(w=np.full(24, 2**64 - 1, dtype=np.uint64)), r"beyond 2\*\*53"),
        ("2**70", objects("w", lambda v: 2**70), r"beyond 2\*\*53"),
        ("a text with a NUL", put(w=["a\0", "b"] * 12), "NUL"),
        ("a lone surrogate", put(w=pd.Series(["a\ud800", "b"] * 12, dtype=object)), "surrogate"),
    ])  # fmt: skip
    factors = refused("factors", "DataError", [
        ("one level", put(a="p"), "1 level in the rows used", on("y ~ x + a | a + z1")),
        ("one level left", lambda: D.assign(a=np.where(ROW < 20, "p", "q"), y=D.y.where(ROW < 20)), "1 level",
         on("y ~ x + a | a + z1")),
        ("two categories of one text", put(a=pd.Categorical(["1", 1] * 12)), "read the same",
         on("y ~ x + a | a + z1")),
        ("factor() of numbers that print alike", put(a=1 + D.g * 2.0**-52), "1 level",
         on("y ~ x + factor(a) | z1 + factor(a)")),
    ])  # fmt: skip
    whole = np.random.default_rng(8).integers(-100, 100, 24)
    two = {"formula": "y ~ x + a | a + z1", "instruments": ("z1",)}
    answers = [
        Case("types", "objects that are floats", objects("x", float)),
        Case("types", "half precision", put(w=D.w.astype("float16"))),
        Case("types", "single precision", put(y=D.y.astype("float32"))),
        Case("types", "8-bit whole numbers", put(w=whole.astype("int8"))),
        Case("types", "2**53 less a little, as regressor", put(w=2**53 - whole - 100), exog=(), note="left out"),
        Case("types", "booleans as y", put(y=D.y > 1)),
        Case("types", "Arrow columns", put(x=D.x.astype("double[pyarrow]"))),
        Case("types", "sparse columns", put(w=pd.arrays.SparseArray(D.w))),
        Case("factors", "the levels '' and ' '", put(a=["", " "] * 12), exog=("a ",), **two,
             truth=lambda d: d.assign(**{"a ": (d.a == " ") * 1.0})),
        Case("factors", "the level 'NA'", put(a=["b", "NA"] * 12), exog=("ab",), **two,
             truth=lambda d: d.assign(ab=(d.a == "b") * 1.0)),
        Case("factors", "a missing level", put(a=[None, "b", "c"] * 8), exog=("ac",), **two, note="missing values in a",
             truth=lambda d: d.dropna().assign(ac=(d.a == "c") * 1.0)),
        Case("factors", "an unused level", put(a=pd.Categorical(["r", "p"] * 12, list("qpr"))), exog=("ar",), **two,
             truth=lambda d: d.assign(ar=(d.a == "r") * 1.0)),
        Case("factors", "a boolean that is always true", put(a=True), exog=(), **two, note="left out"),
    ]  # fmt: skip
    return refusals + kinds + factors + answers


def magnitudes() -> list[Case]:
    """Numbers so large or small that products overflow, and columns in very different units."""
    every = ("y", "x", "w", "z1", "z2")
    refusals = refused("magnitudes", "DataError", [
        *((f"{column} in units of {unit:.0e}", put(**{column: D[column] / unit}), f"The largest value of {column} is")
          for column in ("y", "x", "w", "z1") for unit in (1e-300, 1e300)),
        ("every column times 1e300", put(**{c: D[c] * 1e300 for c in every}), "largest value of y is"),
        ("every column times 1e-300", put(**{c: D[c] * 1e-300 for c in every}), "largest value of y is"),
        ("the largest double", first("x", 1.7e308), "largest value of x is 1.7e\\+308"),
        ("the smallest doubles", put(w=5e-324 * (1 + ROW % 3)), "largest value of w is 1.48e-323"),
        ("poly() of 1e200", put(v=D.v * 1e200), "largest value of v", on("y ~ x + poly(v, 2) | poly(v, 2) + z1")),
        ("an interaction that overflows", put(v=D.v * 1e200, q=D.u * 1e200), "product of columns is too large",
         on("y ~ x + v:q | v:q + z1")),
        ("weights times 1e300", put(wt=D.wt * 1e300), "times the square root of wt", weighted()),
        ("weights times 1e-300", put(wt=D.wt * 1e-300), "times the square root of wt", weighted()),
    ])  # fmt: skip
    answers = [
        *(Case("magnitudes", f"{column} in units of {unit:.0e}", put(**{column: D[column] / unit}), vcov=vcov)
          for column, unit, vcov in (("y", 1e-30, "HC1"), ("y", 1e30, "HC1"), ("x", 1e-30, "classical"),
                                     ("x", 1e30, "HC1"), ("w", 1e20, "cluster(g)"), ("z1", 1e30, "classical"),
                                     ("z1", 1e-30, "HC1"))),
        Case("magnitudes", "the smallest double in one row", first("z2", 5e-324)),
        Case("magnitudes", "every column times 1e30", put(**{c: D[c] * 1e30 for c in every})),
        Case("magnitudes", "one column of 1e30, one of 1e-30", put(x=D.x * 1e30, w=D.w * 1e-30)),
        *(Case("magnitudes", f"{column} times 2^{power}, {name}", put(**{column: D[column] * 2.0**power}), vcov=vcov,
               options=options, unit=(column, 2.0**power))
          for column, power, name, vcov, options in (
              ("y", -70, "HC3", "HC3", {}), ("x", 66, "nw(2)", "nw(2)", {}), ("x", -90, "HC4", "HC4", {}),
              ("w", 66, "dk(g, t)", "dk(g, t)", {}), ("x", 66, "LIML", "HC1", {"method": "liml"}),
              ("y", -90, "Fuller", "bekker", {"method": "fuller(1)"}), ("z1", 100, "LIML", "classical",
              {"method": "liml"}), ("x", -66, "two-way clusters", "cluster(g, t)", {}))),
        # y − Xβ cancels nine of sixteen digits
        Case("magnitudes", "y far from zero", put(y=1e9 + D.y), digits=5),
        # condition numbers of 1e6 and 1e4: R's covariances, bread times meat times bread, lose twice as many digits
        Case("magnitudes", "w far from zero", put(w=1e6 + D.w), digits=3),
        Case("magnitudes", "every column far from zero", put(**{c: D[c] + 1e4 for c in every}), digits=7),
        Case("magnitudes", "y a constant and a last digit", put(y=1e9 + 1e-6 * D.y), digits=1, note="reproduce y"),
    ]  # fmt: skip
    return refusals + answers


def weights() -> list[Case]:
    """Weights that are none, or nearly none."""
    refusals = refused("weights", "DataError", [
        ("a negative weight", first("wt", -1.0), "negative in 1 row", weighted()),
        ("an infinite weight", first("wt", INF), "infinite", weighted()),
        ("weights as text", put(wt="a"), "holds texts", weighted()),
        ("no such column of weights", put(), "no column 'nothing'", weighted("nothing")),
        ("too few weights", put(), r"shape \(3,\)", weighted(np.ones(3))),
        ("a matrix of weights", put(), r"shape \(24, 1\)", weighted(np.ones((24, 1)))),
        ("one number as weights", put(), r"shape \(\)", weighted(1.0)),
        ("weights leave one cluster", put(wt=(D.g == 0) * 1.0), "single cluster",
         on("y ~ x | z1", **weighted(vcov="cluster(g)"))),
    ])  # fmt: skip
    refusals += refused("weights", "DesignError", [
        ("all weights zero", put(wt=0.0), "weight zero in wt", weighted()),
        ("all weights missing", put(wt=NAN), "missing values in wt", weighted()),
    ])  # fmt: skip
    wide = {"digits": 7}
    answers = [
        Case("weights", "a weight of zero", first("wt", 0.0), note="weight zero in wt", **weighted()),
        Case("weights", "a weight of −0", first("wt", -0.0), note="weight zero in wt", **weighted()),
        Case("weights", "a missing weight", first("wt", NAN), note="missing values in wt", **weighted()),
        Case("weights", "booleans as weights", put(wt=D.z1 > 0), note="weight zero", **weighted()),
        Case("weights", "equal weights", put(wt=2.0), **weighted(vcov="classical")),
        Case("weights", "the smallest weight there is", first("wt", 5e-324), **weighted()),
        Case("weights", "weights of 1 and 1e-20", put(wt=np.where(ROW % 2, 1e-20, 1.0)), **weighted()),
        Case("weights", "one weight of 1e8", first("wt", 1e8), **weighted(), **wide),
        Case("weights", "weights times 1e30", put(wt=D.wt * 1e30), **weighted()),
        Case("weights", "weights times 1e-30", put(wt=D.wt * 1e-30), **weighted()),
        Case("weights", "weights in LIML", put(wt=D.wt * 2.0**60), unit=("wt", 2.0**60),
             options={"weights": "wt", "method": "liml"}),
    ]  # fmt: skip
    return refusals + answers


def groups() -> list[Case]:
    """Clusters, panels and orders that cannot carry a covariance, and covariances of impossible arguments."""
    clustered = {"vcov": "cluster(g)"}
    lone = {"formula": "y ~ x + v | v + z1"}
    dummy = put(v=(ROW == 3) * 1.0)
    refusals = refused("groups", "DataError", [
        ("one cluster", put(g=1), "single cluster", clustered),
        ("one cluster in the rows used", put(g=(ROW == 0) * 1, y=D.y.where(ROW > 0)), "single cluster", clustered),
        ("a cluster missing", put(g=D.g.where(ROW != 3)), "missing in 1 of the 24", clustered),
        ("all clusters missing", put(g=NAN), "missing in 24 of the 24", clustered),
        ("an infinite cluster", put(g=D.g.where(ROW != 3, INF)), "infinite", clustered),
        ("clusters of two types", put(g=pd.Series([1, "a"] * 12, dtype=object)), "mixed", clustered),
        ("clusters beyond 2**53", put(g=D.g + 2**60), r"beyond 2\*\*53", clustered),
        ("no such cluster column", put(), "no column 'nothing'", {"vcov": "cluster(nothing)"}),
        ("one period", put(t=1), "single period", {"vcov": "dk(g, t)"}),
        ("one period, panel-corrected", put(t=1, g=ROW), "single period", {"vcov": "pc(g, t)"}),
        ("a unit twice in a period", put(t=D.t // 2), "repeat a pair", {"vcov": "dk(g, t, aggregate=False)"}),
        ("an unbalanced panel", lambda: D.drop(index=[3, 9]), "balanced panel", {"vcov": "pc(g, t)"}),
        ("an order with a gap", put(t=D.t.where(ROW != 3)), "missing in 1", {"vcov": "nw(order_by=t)"}),
        ("a column of one row, HC3", dummy, "zero or negative in 1 row of 24", {"vcov": "HC3", **lone}),
        ("a column of one row, HC2", dummy, "zero or negative in 1 row of 24", {"vcov": "HC2", **lone}),
        ("an instrument of one row, HC3", dummy, "zero or negative in 1 row", {"vcov": "HC3", **on("y ~ x | z1 + v")}),
    ])  # fmt: skip
    refusals += refused("groups", "DesignError", [
        ("a column of one row, Newey–West", dummy, "zero in every row", {"vcov": "nw", **lone}),
        ("a column of one row, Andrews", dummy, "zero in every row", {"vcov": "andrews(prewhite=0)", **lone}),
        ("too few rows to prewhiten", lambda: D.iloc[:5], "needs more than 5 rows", {"vcov": "nw"}),
        ("prewhitening of order 20", put(), "needs more than 80 rows", {"vcov": "nw(2, prewhite=20)"}),
    ])  # fmt: skip
    refusals += refused("groups", "UnsupportedError", [
        ("one bootstrap sample", put(), "R=1 is not offered", {"vcov": "bootstrap(R=1)"}),
        ("a negative lag", put(), "lag=-1 is not offered", {"vcov": "nw(-1)"}),
        ("a lag of 10^12", put(), "is not offered", {"vcov": "nw(1000000000000)"}),
        ("half a lag", put(), "lag=0.5 is not offered", {"vcov": "dk(g, t, lag=0.5)"}),
        ("a negative bandwidth", put(), "bw=-2 is not offered", {"vcov": "andrews(bw=-2)"}),
        ("zero degrees of freedom", put(), "must be positive", {"options": {"inference": "t(0)"}}),
    ])  # fmt: skip
    answers = [
        Case("groups", "every row a cluster", put(g=ROW), **clustered),
        Case("groups", "two clusters", put(g=ROW % 2), **clustered),
        Case("groups", "a cluster missing where y is", put(g=D.g.where(ROW != 3), y=D.y.where(ROW != 3)), **clustered),
        Case("groups", "clusters that differ in the last bit", put(g=1 + D.g * 2.0**-52), **clustered),
        Case("groups", "clusters −0 and 0", put(g=np.where(ROW % 4 < 2, -0.0, D.g)), **clustered),
        Case("groups", "unused categories of clusters", put(g=pd.Categorical(D.g.astype(str), list("0123456789"))),
             **clustered),
        Case("groups", "dates as clusters", put(g=DAYS[D.g]), **clustered),
        Case("groups", "clusters 'a' and 'a '", put(g=np.where(ROW % 2, "a", "a ")), **clustered),
        Case("groups", "a regressor as cluster", put(g=D.w), **clustered),
        Case("groups", "a cluster twice", put(), vcov="cluster(g, g)"),
        Case("groups", "nested clusters", put(h=D.g // 2), vcov="cluster(g, h)"),
        Case("groups", "a lag longer than the data", put(), vcov="nw(30)"),
        Case("groups", "a panel out of order", lambda: D.sample(frac=1, random_state=1), vcov="dk(g, t)"),
        Case("groups", "a panel with gaps", lambda: D.drop(index=[3, 9]), vcov="dk(g, t)"),
        Case("groups", "a panel whose last unit ends early", lambda: D.iloc[:-2], vcov="dk(g, t, aggregate=False)"),
        Case("groups", "six rows and Newey–West", lambda: D.iloc[:6], vcov="nw"),
        Case("groups", "a column of one row, HC1", dummy, **lone, exog=("v",), instruments=("z1",)),
        Case("groups", "two bootstrap samples", put(), vcov="bootstrap(R=2)"),
    ]  # fmt: skip
    return refusals + answers


def fits() -> list[Case]:
    """No residuals, or residuals in one row alone."""
    exact = EXACT.copy
    spread = put(y=2 * D.x + 3 * D.w)
    note = {"note": "the regressors reproduce y to rounding"}
    answers = [
        *(Case("exact fits", f"no residual, {vcov}", exact, vcov=vcov, **note)
          for vcov in ("classical", "HC1", "HC3", "cluster(g)", "nw(1, prewhite=0)")),
        Case("exact fits", "no residual, least squares", exact, "y ~ x + w", vcov="classical", exog=("x", "w"),
             endog=(), instruments=(), **note),
        Case("exact fits", "no residual but rounding", spread, **note),
        Case("exact fits", "y equal to x", put(y=D.x), vcov="classical", **note),
        Case("exact fits", "y equal to w", put(y=D.w), **note),
        Case("exact fits", "y a multiple of w, weights", put(y=3 * D.w), **weighted(), **note),
        Case("exact fits", "a residual in one row alone", put(y=(2 * D.x + 3 * D.w).where(ROW != 3, 7.0))),
        Case("exact fits", "y constant, no intercept", put(y=2.0), "y ~ x + w - 1 | w + z1 + z2 - 1", intercept=False),
        # y − Xβ cancels nine of sixteen digits
        Case("exact fits", "y a constant and 1e-9", put(y=2 + 1e-9 * D.u), digits=5),
    ]  # fmt: skip
    return answers + refused("exact fits", "DesignError", [
        ("no residual, LIML", exact, "liml is not defined", method("liml")),
        ("y equal to w, LIML", put(y=D.w), "liml is not defined", method("liml")),
        ("no residual, prewhitened", exact, "zero in every row", {"vcov": "nw(1)"}),
    ])  # fmt: skip
