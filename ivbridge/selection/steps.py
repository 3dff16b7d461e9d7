"""From the question to a set of instruments: the LASSO steps in their order, on one set of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ivbridge.errors import DataError
from ivbridge.selection.choose import Choice, choose
from ivbridge.selection.controls import choose_controls, controls_of_instruments, first_stage_design
from ivbridge.selection.crossfit import CrossFit, cross_fit
from ivbridge.selection.design import LassoDesign
from ivbridge.selection.engines import LassoEngine
from ivbridge.selection.question import SelectionSpec
from ivbridge.selection.rules import CrossFitted
from ivbridge.selection.spec import check_columns

__all__ = ["Steps", "complete_rows", "prediction_name", "take_steps"]


@dataclass(frozen=True, slots=True, eq=False)
class Steps:
    """What the LASSO steps of a selection found.

    Attributes
    ----------
    selected : tuple of str
        Chosen candidates; for a cross-fitted rule those chosen for any part.
    controls : tuple of str
        Controls that enter both equations.
    choices : mapping of str to Choice
        Every LASSO step by its purpose, in order; ``instruments`` or ``instruments of part 1``, … among them.
    crossfit : CrossFit or None
    """

    selected: tuple[str, ...]
    controls: tuple[str, ...]
    choices: Mapping[str, Choice] = field(default_factory=dict)
    crossfit: CrossFit | None = None


def complete_rows(question: SelectionSpec, data: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The rows without a missing value in any column of the question, and what was left out.

    Selection and estimate so speak of the same rows.

    Raises
    ------
    DataError
        If a column is missing from the data, no row is complete, or the dependent variable does not vary.
    """
    check_columns(question.columns, data)
    missing = np.zeros(len(data), dtype=bool)
    culprits = []
    for name in question.columns:
        here = data[name].isna().to_numpy()
        if here.any():
            missing |= here
            culprits.append(name)
    if missing.all():
        raise DataError(
            "No row is complete.", do=f"look at the missing values of {', '.join(culprits[:5]) or 'the data'}."
        )
    kept = data.loc[~missing] if culprits else data
    if kept[question.dependent].nunique() < 2:
        raise DataError(f"The dependent variable {question.dependent!r} does not vary.")
    if not culprits:
        return data, ()
    shown = ", ".join(culprits[:5]) + (", …" if len(culprits) > 5 else "")
    note = f"{int(missing.sum())} of {len(data)} rows left out: missing values in {shown}"
    return kept, (note,)


def take_steps(
    question: SelectionSpec, data: pd.DataFrame, engine: LassoEngine, design: LassoDesign | None = None
) -> Steps:
    """Choose controls, then instruments.

    Parameters
    ----------
    question : SelectionSpec
    data : DataFrame
        Complete in the question's columns.
    engine : LassoEngine
        Answers every LASSO.
    design : LassoDesign, optional
        That of the first stage, where it is made already.

    Raises
    ------
    DataError, UnsupportedError
        If a step cannot be taken with these data.
    """
    controls, choices = choose_controls(question, data, engine)
    design = first_stage_design(question, controls, data) if design is None else design
    if isinstance(question.rule, CrossFitted):
        crossed = cross_fit(design, question.rule, engine)
        choices |= {f"instruments of part {part}": choice for part, choice in enumerate(crossed.choices, 1)}
        selected = crossed.selected
    else:
        crossed = None
        choices["instruments"] = choose(question.rule, design, engine)
        selected = choices["instruments"].selected
    later = controls_of_instruments(question, selected, data, engine)
    also = {name for choice in later.values() for name in choice.selected}
    controls = tuple(name for name in question.controls if name in also or name in controls)
    return Steps(selected, controls, choices | later, crossed)


def prediction_name(question: SelectionSpec) -> str:
    """Name of the column that holds a cross-fitted prediction."""
    return f"{question.endog} (cross-fitted)"
