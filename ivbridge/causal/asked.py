"""A question as the command line puts it: which data, which columns, which methods with which settings.

>>> str(method_of("plr(learner=lasso, folds=3)").learner)
'lasso'
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ivbridge.causal import METHODS, method_class
from ivbridge.causal.crossfit import Learner
from ivbridge.causal.method import CausalMethod
from ivbridge.causal.question import CausalQuestion
from ivbridge.causal.scenarios import TWINS, notebook
from ivbridge.data import read
from ivbridge.errors import DataError, UnsupportedError

__all__ = ["BUILT_IN", "Opened", "method_of", "opened"]

#: Words without quotes that are no texts, as R and JSON write them.
_BARE = {"true": True, "false": False, "none": None, "null": None}
#: Data that need no file, and have their question and their truth with them.
BUILT_IN = ("notebook", *TWINS)


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """Data and what they are asked.

    Attributes
    ----------
    name : str
    frame : DataFrame
    question : CausalQuestion
    truth : float or None
        The effect, where the data come from a known world and its own question is asked.
    """

    name: str
    frame: pd.DataFrame
    question: CausalQuestion
    truth: float | None = None


def opened(data: str, roles: Mapping[str, Any]) -> Opened:
    """Read data and put the question together.

    Parameters
    ----------
    data : str
        A file, a bundled set, or one of :data:`BUILT_IN`: there, roles that are not given are the world's own.
    roles : mapping
        Arguments of :class:`~ivbridge.causal.question.CausalQuestion` that were given.

    Raises
    ------
    DataError
        If there are no such data, or a file comes without its dependent variable or treatment.
    """
    if data in BUILT_IN:
        draw = notebook() if data == "notebook" else TWINS[data].draw()
        question = dataclasses.replace(draw.question, **roles)
        same = (question.dependent, question.treatment, question.estimand) == (
            draw.question.dependent, draw.question.treatment, draw.question.estimand
        )  # fmt: skip
        return Opened(data, draw.frame, question, draw.truth if same else None)
    if missing := [name for name in ("dependent", "treatment") if name not in roles]:
        raise DataError(f"{data} was given without --{missing[0]}.", available=f"without it: {', '.join(BUILT_IN)}",
                        do="name the dependent variable and the treatment.")  # fmt: skip
    read_in = read(data)
    return Opened(read_in.name, read_in.frame, CausalQuestion(**roles))


def method_of(text: str) -> CausalMethod:
    """A method by its name, with settings as in ``ipw(trim=0.05)`` or ``propensity_matching(replace=False)``.

    Settings are numbers, texts, None, True, False (also in small letters), and lists, tuples and dicts of them;
    nothing is evaluated. The name of a learner stands for the learner: ``irm(learner=forest)``.

    Raises
    ------
    UnsupportedError
        If there is no such method, it has no such setting, or the text cannot be read.
    DataError
        If the method refuses a setting.
    """
    name, bracket, _ = text.strip().partition("(")
    kind = method_class(name.strip())
    fields = {one.name: one for one in dataclasses.fields(kind)}
    given = _settings(text.strip()) if bracket else {}
    if odd := [key for key in given if key not in fields]:
        raise UnsupportedError(f"{name} has no setting {odd[0]!r}.", available=", ".join(fields) or "none")
    for key, value in given.items():
        usual = fields[key].default
        if isinstance(usual, bool | int | float) and not isinstance(value, type(usual) | int | float):
            raise UnsupportedError(f"{name}({key}={value!r}) was asked.", do=f"give a value like {usual!r}.")
        if "Learner" in str(fields[key].type) and isinstance(value, str):
            given[key] = Learner(value)  # type: ignore[arg-type]
    try:
        found: CausalMethod = kind(**given)
    except TypeError as error:  # a text where a number is compared
        raise UnsupportedError(f"{text} was asked: {error}.", do="give each setting a value of its kind.") from error
    return found


def _settings(text: str) -> dict[str, Any]:
    wrong = UnsupportedError(
        f"The method {text!r} cannot be read.",
        available=f"{', '.join(sorted(METHODS))}, each with settings as in ipw(trim=0.05)",
    )
    try:
        call = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise wrong from None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)) or call.args:
        raise wrong
    found = {}
    for one in call.keywords:
        try:
            bare = one.value.id if isinstance(one.value, ast.Name) else None
            value = ast.literal_eval(one.value) if bare is None else _BARE.get(bare.lower(), bare)
        except (ValueError, TypeError):
            raise wrong from None
        found[str(one.arg)] = value
    return found
