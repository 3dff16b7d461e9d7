"""Bad data, part one: rows, missing values, columns, dependence."""

from __future__ import annotations

import numpy as np
import pandas as pd

from tests.bad_data_base import NAN, ROW, Case, D, Frame, lost, method, objects, on, put, refused, weighted

__all__ = ["dependence", "rows_and_columns"]

LOGARITHM = "y ~ x + log(p) | log(p) + z1"


def rows_and_columns() -> list[Case]:
    """Too few rows, missing values, missing or repeated columns."""
    wide = Frame(np.random.default_rng(5).normal(size=(5, 6)), columns=[f"q{j}" for j in range(6)])
    scattered = put(y=D.y.where(ROW % 3 != 0), x=D.x.where(ROW % 3 != 1), w=D.w.where(ROW % 3 != 2))
    few = refused("few rows", "DesignError", [
        ("no rows", lambda: D.iloc[:0], "No row can be used: the data has no rows"),
        ("no rows, columns of objects", lambda: Frame(columns=list(D)), "No row can be used: the data has no rows"),
        ("one row", lambda: D.iloc[:1], r"1 coefficient \(\(Intercept\)\) but only 1 row can be used"),
        ("two rows", lambda: D.iloc[:2], "only 2 rows can be used"),
        ("as many rows as coefficients", lambda: D.iloc[:3], "3 coefficients .* but only 3 rows"),
        ("as many rows as instruments", lambda: D.iloc[:4], "4 independent instruments .* only 4 rows"),
        ("as many rows as instruments, LIML", lambda: D.iloc[:4], "4 independent instruments", method("liml")),
        ("one row too few for LIML", lambda: D.iloc[:5], "liml needs more rows", method("liml")),
        ("more instruments than rows", lambda: D.iloc[:5].join(wide), "5 independent instruments .* only 5 rows",
         on("y ~ x + w | w + z1 + z2 + q0 + q1 + q2 + q3 + q4 + q5")),
        ("a dummy for every row", put(a=[f"t{i}" for i in ROW]), "only 24 rows can be used",
         on("y ~ x + a | a + z1")),
        ("missing values leave as many rows as coefficients", lost("y", range(21)), "only 3 rows can be used"),
        ("zero weights leave as many rows as coefficients", put(wt=(ROW < 3) * 1.0), "only 3 rows", weighted()),
    ])  # fmt: skip
    missing = refused("missing values", "DesignError", [
        *((f"{column} all missing", put(**{column: NAN}), f"24 rows left out: missing values in {column}")
          for column in ("y", "x", "w", "z1")),
        ("y all None", put(y=None), "24 rows left out: missing values in y"),
        ("one value of w present", lost("w", range(1, 24)), "only 1 row can be used"),
        ("every row misses something", scattered, "24 of 24 rows left out"),
        ("every logarithm undefined", put(p=-1.0), r"undefined values of log\(p\)",
         on("y ~ x + log(p) | log(p) + z1")),
        ("0/0 in every row", put(v=0.0), r"undefined values of I\(v/v\)", on("y ~ x + I(v/v) | I(v/v) + z1")),
    ])  # fmt: skip
    answers = [
        Case("few rows", "five rows", lambda: D.iloc[:5]),
        Case("few rows", "five rows, four coefficients, two endogenous", lambda: D.iloc[:5].assign(f=[0.0, 1, 0, 1, 1]),
             "y ~ x + x2 + f | f + z1 + z2", exog=("f",), endog=("x", "x2"), vcov="classical"),
        Case("few rows", "five rows, one of weight zero of six", lambda: D.iloc[:6].assign(wt=[1.0, 0, 1, 1, 1, 1]),
             truth=lambda d: d[d.wt > 0], **weighted()),
        *(Case("missing values", f"three values of {column} missing", lost(column, [1, 5, 9]),
               note=f"3 of 24 rows left out: missing values in {column}") for column in ("y", "x", "z1")),
        Case("missing values", "None among the floats", objects("x", lambda v: None if v > 1 else v),
             note="missing values in x"),
        Case("missing values", "pd.NA in Float64", put(w=D.w.astype("Float64").where(ROW != 2)),
             note="1 of 24 rows left out: missing values in w"),
        Case("missing values", "logarithms of negative numbers", put(p=D.v + 1), LOGARITHM, note="undefined values",
             truth=lambda d: d.assign(**{"log(p)": np.log(d.p.where(d.p > 0))}), exog=("log(p)",),
             instruments=("z1",)),
        Case("missing values", "a missing value in a column not asked for", put(other=NAN)),
    ]  # fmt: skip
    columns = refused("columns", "DataError", [
        ("no columns", Frame, "no column 'y'"),
        ("no such column", lambda: D.drop(columns="w"), "no column 'w'"),
        ("whole numbers as column names", lambda: Frame(D.to_numpy()), "no column 'y'"),
        ("columns in two levels", lambda: D.set_axis(pd.MultiIndex.from_product([["a"], D]), axis=1), "no column 'y'"),
        ("x twice", lambda: pd.concat([D, D[["x"]]], axis=1), "2 columns called 'x'"),
        ("weights twice", lambda: pd.concat([D, D[["wt"]]], axis=1), "2 columns called 'wt'", weighted()),
        ("a level makes the name of a column", put(a=["b", "c"] * 12, ac=D.v), "called 'ac'",
         on("y ~ x + a + ac | a + ac + z1")),
        ("a column called as R's own", lambda: D.rename(columns={"w": "(weights)"}), "keep the column name",
         on("y ~ x + `(weights)` | `(weights)` + z1", **weighted())),
        ("a column called as a column of the engine", lambda: D.rename(columns={"w": ".ivb_use"}),
         "keep the column name", on("y ~ x + .ivb_use | .ivb_use + z1")),
        ("a list instead of a frame", lambda: [1, 2], "data is a list"),
        ("an array instead of a frame", D.to_numpy, "data is a ndarray"),
    ])  # fmt: skip
    return few + missing + answers + columns + [
        Case("columns", "an unused column twice", lambda: pd.concat([D, D[["v"]]], axis=1)),
        Case("columns", "one label for all rows", lambda: D.set_axis([1] * 24)),
        Case("columns", "an index that is called x", lambda: D.set_axis(pd.Index(range(24), name="x"))),
    ]  # fmt: skip


def dependence() -> list[Case]:
    """Constant and collinear columns, models that are not identified."""
    half = D.assign(a=(ROW % 2) * 1.0, b=1.0 - ROW % 2)
    sign = np.array([1.0, -1] * 4)
    orthogonal = Frame({"y": [1.0, 2, 4, 3, 5, 7, 6, 9], "x": np.repeat([1.0, -1, 1, -1], 2), "z1": sign})
    refusals = refused("dependence", "DesignError", [
        ("y constant", put(y=3.0), "is 3 in every row used"),
        ("y zero", put(y=0.0), "is 0 in every row used"),
        ("y all true", put(y=True), "is 1 in every row used"),
        ("y constant in the rows used", put(y=np.where(ROW < 20, 2.0, D.y), z1=D.z1.where(ROW < 20)), "is 2 in every"),
        ("offset equal to y", put(), "is 0 in every row used", on("y ~ x + offset(y) | z1")),
        ("the only instrument constant", put(z1=3.0), "constant, like the intercept, and do not count: z1",
         on("y ~ x | z1")),
        ("the only instrument zero", put(z1=0.0), "do not count: z1", on("y ~ x | z1")),
        ("all instruments are the control", put(z1=D.w, z2=2 * D.w), "depend linearly .*: z1, z2"),
        ("two regressors, one instrument", put(), "2 endogenous regressors .* 1 independent excluded instrument",
         on("y ~ x + x2 | z1")),
        ("no instrument", put(), "0 independent excluded instruments", on("y ~ x + w | w")),
        ("two copies of one instrument", put(z2=3 * D.z1), "not identified", on("y ~ x + x2 | z1 + z2")),
        ("instrument orthogonal to the regressor", lambda: orthogonal, "do not identify the coefficient of x",
         on("y ~ x | z1")),
        ("LIML of a regressor equal to w", put(x=D.w), "each depends linearly on earlier columns: x", method("liml")),
        ("a factor of three levels, one instrument", put(a=["p", "q", "r"] * 8), "2 endogenous regressors",
         on("y ~ a | z1")),
    ])  # fmt: skip
    shown = "regressors left out, since they depend linearly on earlier ones"
    answers = [
        Case("dependence", "x constant", put(x=3.0), endog=(), instruments=(), note=shown),
        Case("dependence", "w constant", put(w=2.0), exog=(), note=shown),
        Case("dependence", "w zero", put(w=0.0), exog=(), note=shown),
        Case("dependence", "w constant in the rows used", put(w=np.where(ROW < 20, 2.0, D.w), z1=D.z1.where(ROW < 20)),
             exog=(), note=shown),
        Case("dependence", "one of two instruments constant", put(z1=3.0), instruments=("z2",),
             note="instruments left out"),
        Case("dependence", "an instrument different in one row", put(z1=(ROW == 3) * 1.0),
             formula="y ~ x + w | w + z1", instruments=("z1",)),
        Case("dependence", "x a multiple of w", put(x=2 * D.w), endog=(), instruments=(), note=shown),
        Case("dependence", "x2 a multiple of x", put(x2=2 * D.x), formula="y ~ x + x2 | z1 + z2", exog=(), note=shown),
        Case("dependence", "an instrument equal to w", put(z1=D.w), instruments=("z2",), note="instruments left out"),
        Case("dependence", "an instrument equal to another", put(z2=D.z1), instruments=("z1",),
             note="instruments left out"),
        Case("dependence", "an instrument equal to x", put(z1=D.x), vcov="classical", instruments=("z1",)),
        Case("dependence", "x the sum of its instruments", put(x=D.z1 + D.z2)),
        Case("dependence", "x the sum of its instruments, clusters", put(x=D.z1 + D.z2), vcov="cluster(g)"),
        Case("dependence", "dummies of both halves", lambda: half, "y ~ x + a + b | a + b + z1", exog=("a",),
             instruments=("z1",), note=shown),
        Case("dependence", "dummies of both halves, no intercept", lambda: half, "y ~ x + a + b - 1 | a + b + z1 - 1",
             exog=("a", "b"), instruments=("z1",), intercept=False),
        Case("dependence", "an empty cell of an interaction", put(a=["p", "q", "q"] * 8, b=["s", "s", "t"] * 8),
             "y ~ x + a * b | a * b + z1", exog=("aq", "bt"), instruments=("z1",), note=shown,
             truth=lambda d: d.assign(aq=(d.a == "q") * 1.0, bt=(d.b == "t") * 1.0)),
        # a condition number κ leaves R's covariances, bread times meat times bread, 16 − 2·log₁₀ κ digits
        Case("dependence", "collinear but for 1e-4", put(v=D.w + 1e-4 * D.v), "y ~ x + w + v | w + v + z1 + z2",
             exog=("w", "v"), digits=7),
        Case("dependence", "collinear but for 1e-6", put(v=D.w + 1e-6 * D.v), "y ~ x + w + v | w + v + z1 + z2",
             vcov="classical", exog=("w", "v"), digits=3),
        Case("dependence", "collinear but for 1e-8", put(v=D.w + 1e-8 * D.v), "y ~ x + w + v | w + v + z1 + z2",
             note=shown),
        # x is the instrument's part, 1e-6, and 1: Z'X keeps ten digits
        Case("dependence", "an instrument of strength 1e-6", put(x=D.v - D.v.mean() + 1e-6 * D.z1), "y ~ x | z1",
             exog=(), instruments=("z1",), digits=7),
    ]  # fmt: skip
    return refusals + answers
