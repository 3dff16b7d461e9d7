"""Controls in instrument selection: which ones enter both equations, and how the LASSO of the first stage sees them.

=================  ====================================================================================================
``forced``         All controls stay. The LASSO of the endogenous regressor on controls and candidates gives the
                   controls no penalty (``penalty.factor = 0``).
``residualised``   All controls stay. They are first taken out of the endogenous regressor and the candidates by least
                   squares (Frisch and Waugh 1933), and the LASSO runs on the residuals.
``outcome``        Controls are chosen by a LASSO of the dependent variable on the endogenous regressor and the
                   controls, then forced. A control that matters for the instruments alone can be missed.
``double``         Controls chosen for the dependent variable or for the endogenous regressor (Belloni, Chernozhukov and
                   Hansen 2014, REStud 81(2)), then forced.
``union``          As ``double``, and those chosen for any selected instrument (Chernozhukov, Hansen and Spindler 2015,
                   AER 105(5), take all three equations into account).
=================  ====================================================================================================

Forced and residualised controls give the same path when the columns are not standardised: concentrating the controls
out of the sum of squares leaves the residualised problem, and glmnet's factors, which sum to the number of columns,
only rename λ by p/(p+q) (q controls, p candidates). With ``standardize=True`` glmnet scales a candidate by its standard
deviation in the first case, by that of its residuals in the second, so that the penalties differ.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from ivbridge.errors import UnsupportedError
from ivbridge.selection.choose import Choice, choose
from ivbridge.selection.derive import forced, residualised, scales, with_columns
from ivbridge.selection.design import LassoDesign, build_lasso
from ivbridge.selection.engines import LassoEngine
from ivbridge.selection.question import SelectionSpec
from ivbridge.selection.rules import CrossFitted, PlugIn, Rule, parse_rule

__all__ = ["choose_controls", "controls_of_instruments", "first_stage_design", "why"]


def choose_controls(
    question: SelectionSpec, data: pd.DataFrame, engine: LassoEngine
) -> tuple[tuple[str, ...], dict[str, Choice]]:
    """Controls that enter before any instrument is chosen, and the LASSO steps that chose them.

    Parameters
    ----------
    question : SelectionSpec
    data : DataFrame
        Without missing values in the question's columns.
    engine : LassoEngine

    Raises
    ------
    UnsupportedError
        If there is only one control to choose from, as glmnet needs two columns.
    """
    way, controls = question.options.controls_by, question.controls
    if not controls or way in ("forced", "residualised"):
        return controls, {}
    steps = {}
    for role in ("dependent",) if way == "outcome" else ("dependent", "endog"):
        others = (question.endog,) if way == "outcome" else ()
        steps[f"controls for the {role}"] = _choose_for(getattr(question, role), question, data, engine, others)
    return _in_order(controls, steps.values()), steps


def controls_of_instruments(
    question: SelectionSpec, selected: tuple[str, ...], data: pd.DataFrame, engine: LassoEngine
) -> dict[str, Choice]:
    """For ``union``: the LASSO of each selected instrument on the controls; otherwise nothing."""
    if question.options.controls_by != "union" or not question.controls:
        return {}
    return {f"controls for {name}": _choose_for(name, question, data, engine) for name in selected}


def _choose_for(
    dependent: str, question: SelectionSpec, data: pd.DataFrame, engine: LassoEngine, others: tuple[str, ...] = ()
) -> Choice:
    columns = (*others, *question.controls)
    if len(columns) < 2:
        raise UnsupportedError(
            f"controls_by={question.options.controls_by!r} with one control: there is nothing to choose from.",
            available="controls_by='forced', which keeps it",
        )
    found = choose(_single(question.rule), build_lasso(question.options.lasso(dependent, columns), data), engine)
    kept = tuple(name for name in found.selected if name not in others)
    return Choice(
        found.rule, dependent, columns, kept, found.fits, found.plugin, found.shares,
        (*found.notes, *(f"{name} was offered beside the controls" for name in others)),
    )  # fmt: skip


def _single(rule: Rule) -> Rule:
    """The rule that chooses one set: for cross-fitting the one that it uses within its parts."""
    return parse_rule(rule.rule) if isinstance(rule, CrossFitted) else rule


def _in_order(controls: tuple[str, ...], choices: Iterable[Choice]) -> tuple[str, ...]:
    chosen = {name for choice in choices for name in choice.selected}
    return tuple(name for name in controls if name in chosen)


def first_stage_design(question: SelectionSpec, controls: tuple[str, ...], data: pd.DataFrame) -> LassoDesign:
    """The LASSO of the endogenous regressor on the candidates, with controls forced or taken out.

    Parameters
    ----------
    question : SelectionSpec
    controls : tuple of str
        Those that enter.
    data : DataFrame
    """
    spec = question.options.lasso(question.endog, question.candidates, controls, own_lambdas=False)
    design = build_lasso(spec, data)
    return residualised(design) if controls and question.options.controls_by == "residualised" else design


def why(question: SelectionSpec, controls: tuple[str, ...], data: pd.DataFrame) -> str:
    """How controls were used, and where another way would have chosen differently."""
    if not question.controls:
        return "no controls"
    way, options = question.options.controls_by, question.options
    if way in ("forced", "residualised"):
        done = "forced in (penalty factor 0)" if way == "forced" else "taken out by least squares before the LASSO"
        return f"{len(controls)} controls {done}. " + _forced_or_residualised(question, data)
    used = {
        "outcome": "chosen by a LASSO of the dependent variable on them and the endogenous regressor; one that matters "
        "for the instruments alone can be missed, which 'union' mends",
        "double": "chosen for the dependent variable or the endogenous regressor",
        "union": "chosen for the dependent variable, the endogenous regressor or a selected instrument",
    }[way]
    end = "" if options.standardize else "; columns were not standardised"
    return f"{len(controls)} of {len(question.controls)} controls enter: {used}{end}."


def _forced_or_residualised(question: SelectionSpec, data: pd.DataFrame) -> str:
    other = "residualised" if question.options.controls_by == "forced" else "forced"
    if isinstance(question.rule, PlugIn) or getattr(question.rule, "rule", "") == "plugin":
        return f"controls_by={other!r} gives the same set: the plug-in loadings are made after taking them out."
    p, q = len(question.candidates), len(question.controls)
    if not question.options.standardize:
        return (
            f"controls_by={other!r} has the same solution path, columns not being standardised; its λ is "
            f"{'larger' if other == 'residualised' else 'smaller'} by the factor {p + q}/{p}, which glmnet's factors "
            "bring in, and its folds differ in that the controls' coefficients come from all rows."
        )
    design = build_lasso(question.options.lasso(question.endog, question.candidates, question.controls), data)
    before = scales(with_columns(design, ~forced(design)))
    after = scales(residualised(design))
    ratio = after[before > 0] / before[before > 0]
    return (
        f"controls_by={other!r} can choose another set: glmnet standardises the candidates, whose standard deviations "
        f"shrink to {np.min(ratio):.2g}–{np.max(ratio):.2g} of their size when the controls are taken out; with "
        "standardize=False both have the same path."
    )
