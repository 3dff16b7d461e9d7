"""Bad data, part three: the verbs that choose instruments, `select_instruments` and `encourage`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

import ivbridge
from ivbridge.encouragement.options import EncourageOptions
from ivbridge.encouragement.pooled import Pooled
from ivbridge.encouragement.simulated import simulated_users
from ivbridge.errors import IvbridgeError
from ivbridge.selection.question import SelectOptions
from tests.selection_cases import many

__all__ = ["CHOICES", "Choice", "chosen"]

DATA = many(n=120, p=12)
USERS = simulated_users(400, 4, seed=3).frame
ROW = DATA.index


@dataclass(frozen=True)
class Choice:
    """One bad input of a verb; without an `error` both engines must choose and estimate what they do from `same`."""

    verb: str
    name: str
    data: Callable[[], Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    words: str = ""
    same: Callable[[], Any] | None = None


def put(**columns: Any) -> Callable[[], pd.DataFrame]:
    """The data for `select_instruments` with columns replaced."""
    return lambda: DATA.assign(**columns)


def users(**columns: Any) -> Callable[[], pd.DataFrame]:
    """The users for `encourage` with columns replaced."""
    return lambda: USERS.assign(**columns)


def refused(verb: str, rows: list[tuple[Any, ...]]) -> list[Choice]:
    """Refusals of one verb: (name, data, words[, arguments])."""
    return [
        Choice(verb, name, data, more[0] if more else {}, "DataError", words)
        for name, data, words, *more in rows
    ]  # fmt: skip


SELECT = refused("select_instruments", [
    ("no rows", lambda: DATA.iloc[:0], "No row is complete"),
    ("fewer rows than folds", lambda: DATA.iloc[:5], "10 folds were asked of 5 rows"),
    ("the regressor constant", put(x=1.0), "'x' does not vary"),
    ("every candidate constant", put(**{f"z{j}": 1.0 for j in range(12)}), "No candidate with a penalty varies"),
    ("an infinite candidate", put(z0=DATA.z0.where(ROW > 0, np.inf)), "infinite values"),
    ("a candidate all missing", put(z0=np.nan), "missing values of z0"),
    ("a candidate of texts", put(z0="a"), "not numbers"),
    ("a candidate of dates", put(z0=pd.date_range("2020", periods=120)), "not numbers"),
    ("a candidate beyond 2**53", put(z0=2**60 + ROW), r"beyond 2\*\*53"),
    ("a candidate in units of 1e-300", put(z0=DATA.z0 * 1e300), "largest value of z0"),
    ("the regressor in units of 1e300", put(x=DATA.x * 1e-300), "largest value of x"),
    ("a candidate twice", lambda: pd.concat([DATA, DATA[["z0"]]], axis=1), "2 columns called 'z0'"),
    ("a control equal to the regressor", put(k=DATA.x), "explain 'x' without error", {"controls": "k"}),
    ("negative weights", put(wt=-1.0), "must not be negative", {"weights": "wt"}),
    ("no column of this name", put(), "No column matches", {"candidates": "q*"}),
])  # fmt: skip
SELECTED = [
    Choice("select_instruments", "a candidate in units of 1e-30", put(z0=DATA.z0 * 2.0**100), same=put()),
    Choice("select_instruments", "a candidate in units of 1e30, plug-in", put(z0=DATA.z0 * 2.0**-100),
           {"rule": "plugin"}, same=put()),
    Choice("select_instruments", "a candidate constant", put(z11=1.0), same=lambda: DATA.drop(columns="z11")),
]  # fmt: skip
ENCOURAGE = refused("encourage", [
    ("no users", lambda: USERS.iloc[:0], "no value at all"),
    ("one user", lambda: USERS.iloc[:1], "too few"),
    ("the outcome constant", users(retained=1), "is 1 for every user"),
    ("the behavior constant", users(reviewed=1), "is 1 for every user"),
    ("an infinite outcome", users(retained=USERS.retained.where(USERS.index > 0, np.inf)), "infinite"),
    ("an outcome in units of 1e-300", users(retained=USERS.retained * 1e300), "largest value of retained"),
    ("an outcome in units of 1e300", users(retained=USERS.retained * 1e-300), "largest value of retained"),
    ("an outcome beyond 2**53", users(retained=2**60 + USERS.index), r"beyond 2\*\*53"),
    ("an experiment without a control arm", users(test_1=1), "compares nobody"),
    ("an experiment of texts", users(test_1="a"), "not 0 and 1"),
    ("an experiment of one treated user", users(test_1=(USERS.index == 3) * 1), "an arm with one user"),
    ("an experiment twice", lambda: pd.concat([USERS, USERS[["test_1"]]], axis=1), "2 columns called 'test_1'"),
])  # fmt: skip
ENCOURAGED = [
    Choice("encourage", "three copies of one experiment", users(**{f"test_{j}": USERS.test_1 for j in (2, 3, 4)}),
           same=lambda: USERS.drop(columns=["test_2", "test_3", "test_4"])),
]  # fmt: skip
CHOICES = (*SELECT, *SELECTED, *ENCOURAGE, *ENCOURAGED)


def chosen(choice: Choice, data: Any, engine: str) -> tuple[str, str] | tuple[tuple[str, ...], float]:
    """Class and message of the error, or what is selected and the estimated effect."""
    options = dict(choice.arguments)
    try:
        if choice.verb == "encourage":
            report = ivbridge.encourage(data, "retained", "reviewed", options=EncourageOptions(engine=engine, seeds=0))
            assert isinstance(report.pooled, Pooled)
            return report.pooled.experiments, report.pooled.two_stage.estimate
        settings = SelectOptions(engine=engine, weights=options.pop("weights", None))
        found = ivbridge.select_instruments(
            data, "y", "x", options.pop("candidates", "z*"), options=settings, **options
        )
        return found.selected, float(found.estimate().params["x"])
    except IvbridgeError as error:
        return type(error).__name__, str(error)
