"""Bad data: every input with the answer or the error that it must get, the same from every engine.

An answer is compared with exact rational arithmetic on the floats of the input (:mod:`tests.bad_data_truth`) or, where
a covariance has no rational form, with R's answer to the same question in another unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

__all__ = [
    "EXACT", "FORMULA", "INF", "NAN", "ROW", "Case", "D", "Frame", "base", "first", "lost", "method", "objects", "on",
    "put", "refused", "weighted",
]  # fmt: skip

FORMULA = "y ~ x + w | w + z1 + z2"
NAN, INF = float("nan"), float("inf")
Frame = pd.DataFrame


@dataclass(frozen=True)
class Case:
    """One bad input.

    `error` and `words` (a pattern) say which error; without them the answer is checked against two-stage least squares
    of `truth(data)` with regressors `exog` and `endog`, and `note` is part of what the answer notes. `unit` names a
    column and its factor: the answer must be that to `data` in which the column is divided by the factor.
    """

    group: str
    name: str
    data: Callable[[], Any]
    formula: str = FORMULA
    vcov: str = "HC1"
    options: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    words: str = ""
    note: str = ""
    truth: Callable[[Frame], Frame] = lambda data: data
    exog: tuple[str, ...] = ("w",)
    endog: tuple[str, ...] = ("x",)
    instruments: tuple[str, ...] = ("z1", "z2")
    intercept: bool = True
    unit: tuple[str, float] | None = None
    digits: float = 9.0


def base(n: int = 24) -> Frame:
    """n rows: y, x, x2 (endogenous), w (exogenous), z1 to z3 (instruments), v (noise), wt, a panel g (units), t."""
    rng = np.random.default_rng(3)
    data = Frame({name: rng.normal(size=n) for name in ("w", "z1", "z2", "z3", "u", "v")})
    data["x"] = data.z1 + 0.5 * data.z2 + 0.7 * data.u + 0.5 * data.v
    data["x2"] = data.z2 - data.z3 + 0.3 * data.u
    data["y"] = 1 + data.x - 0.5 * data.x2 + data.w + data.u
    data["wt"] = rng.uniform(0.5, 2, n)
    data["g"], data["t"] = np.arange(n) // 4, np.arange(n) % 4
    return data


#: The data that the cases change.
D = base()
ROW = D.index
#: Whole numbers with y = 2x + 1 in every row.
EXACT = Frame(
    {
        "y": [3.0, 5, 7, 9, 11, 13, 15, 17], "x": [1.0, 2, 3, 4, 5, 6, 7, 8], "w": [0.0, 1, 0, 1, 1, 0, 0, 1],
        "z1": [1.0, 2, 2, 4, 5, 5, 7, 9], "z2": [0.0, 1, 1, 0, 1, 2, 1, 0], "g": [0, 0, 1, 1, 2, 2, 3, 3],
    }
)  # fmt: skip


def put(**columns: Any) -> Callable[[], Frame]:
    """The data with columns replaced or added."""
    return lambda: D.assign(**columns)


def lost(column: str, rows: Any) -> Callable[[], Frame]:
    """The data without the values of a column in some rows."""
    return lambda: D.assign(**{column: D[column].where(~ROW.isin(list(rows)))})


def objects(column: str, value: Callable[[Any], Any]) -> Callable[[], Frame]:
    """A column of Python objects."""
    return lambda: D.assign(**{column: pd.Series([value(v) for v in D[column]], dtype=object)})


def first(column: str, value: Any, row: int = 3) -> Callable[[], Frame]:
    """One value replaced."""
    return lambda: D.assign(**{column: D[column].where(row != ROW, value)})


def refused(group: str, error: str, rows: list[tuple[Any, ...]]) -> list[Case]:
    """Cases of one group and error: (name, data, words[, keyword arguments])."""
    return [
        Case(group, name, data, error=error, words=words, **(more[0] if more else {}))
        for name, data, words, *more in rows
    ]


def on(formula: str, **more: Any) -> dict[str, Any]:
    """Keyword arguments of a case that asks another formula."""
    return {"formula": formula, **more}


def weighted(column: str | Any = "wt", **more: Any) -> dict[str, Any]:
    """Keyword arguments of a case with weights."""
    return {"options": {"weights": column}, **more}


def method(name: str, **more: Any) -> dict[str, Any]:
    """Keyword arguments of a case with another estimator."""
    return {"options": {"method": name}, **more}
