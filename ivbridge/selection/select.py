"""The verb ``select_instruments``: many candidates in, the chosen ones and an estimate out."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from ivbridge.errors import DataError
from ivbridge.selection.after import data_of
from ivbridge.selection.controls import how
from ivbridge.selection.engines import lasso_engine
from ivbridge.selection.question import SelectionSpec, SelectOptions
from ivbridge.selection.rules import Adaptive, CrossFitted, Min, OneSE, PlugIn, Rule, parse_rule
from ivbridge.selection.selected import Selection
from ivbridge.selection.spec import Folds, matching, text_columns
from ivbridge.selection.steps import Steps, complete_rows, take_steps

__all__ = ["select_instruments"]

ONE_DRAW = (
    "the folds are one random draw; another draw can select other instruments and move the estimate: .seeds() shows by "
    "how much, and the rules plugin and stability do not hang on one draw"
)
TOO_MANY = (
    "cross-validation picks instruments that predict the regressor, not those that estimate the effect best: with weak "
    "ones among them 2SLS moves towards OLS; compare plugin, crossfit, or method='liml'"
)


def select_instruments(
    data: pd.DataFrame,
    dependent: str,
    endog: str,
    candidates: str | Sequence[str],
    controls: str | Sequence[str] = (),
    rule: str | Rule = "1se",
    options: SelectOptions | None = None,
) -> Selection:
    """Choose instruments for one endogenous regressor among many candidates by the LASSO.

    Every candidate must satisfy the exclusion restriction; no data can tell whether it does.

    Parameters
    ----------
    data : DataFrame, n rows
    dependent, endog : str
        Outcome and endogenous regressor, names of columns.
    candidates, controls : str or sequence of str
        Names of numeric columns, or shell patterns such as ``"test_*"``. More candidates than rows are allowed.
    rule : str or Rule, default "1se"
        ``1se`` is R's default; see :mod:`ivbridge.selection.rules`.
    options : SelectOptions, optional
        Engine, folds, elastic net, weights, how controls enter.

    Returns
    -------
    Selection
        Possibly of no instrument; then only its ``estimate`` and the like raise.

    Raises
    ------
    DataError
        If columns are missing, not numeric or have two roles; if a pattern matches nothing.
    UnsupportedError
        If the rule, engine or options are not offered.
    MissingExtraError, RNotAvailableError
        If the engine is not installed.
    """
    if not isinstance(data, pd.DataFrame):
        raise DataError(
            f"data is a {type(data).__name__}, not a pandas DataFrame.", do="pass ivbridge.read(path).frame."
        )
    columns = text_columns(data)
    roles = (matching(candidates, columns), matching(controls, columns) if controls else ())
    question = SelectionSpec(dependent, endog, *roles, parse_rule(rule), options or SelectOptions())
    kept, left_out = complete_rows(question, data)
    steps = take_steps(question, kept, lasso_engine(question.options.engine))
    notes = (*left_out, *_notes(question, steps))
    return Selection(question, steps, data_of(question, steps, kept), notes, _warnings(question, steps))


def _notes(question: SelectionSpec, steps: Steps) -> tuple[str, ...]:
    used = (how(question, steps.controls),) if question.controls else ()
    said = (note for choice in steps.choices.values() for note in choice.notes)
    return tuple(dict.fromkeys((*used, *said)))


def _warnings(question: SelectionSpec, steps: Steps) -> tuple[str, ...]:
    rule = question.rule
    found = []
    if not steps.selected:
        found.append(f"no candidate was selected by {rule}: there is no estimate")
    drawn = isinstance(rule, Min | OneSE | Adaptive | CrossFitted)
    if isinstance(rule, CrossFitted) or (drawn and isinstance(question.options.folds, Folds)):
        found.append(ONE_DRAW if not isinstance(rule, CrossFitted) else ONE_DRAW.replace("folds are", "parts are"))
    if isinstance(rule, Min | OneSE | Adaptive):
        found.append(TOO_MANY)
    if steps.crossfit is not None:
        empty = sum(not choice.selected for choice in steps.crossfit.choices)
        if empty:
            parts = f"{empty} of {len(steps.crossfit.choices)} parts"
            found.append(f"nothing was selected for {parts}, whose rows then say nothing about the effect")
    if isinstance(rule, PlugIn) and steps.selected == ():
        found.append("the plug-in penalty keeps only candidates whose effect stands clear of the noise of all of them")
    return tuple(found)
