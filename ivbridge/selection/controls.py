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
from dataclasses import replace

import numpy as np
import pandas as pd

from ivbridge.errors import UnsupportedError
from ivbridge.selection.choose import Choice, choose
from ivbridge.selection.derive import residualised, shrinkage
from ivbridge.selection.design import LassoDesign, build_lasso
from ivbridge.selection.engines import LassoEngine
from ivbridge.selection.question import SelectionSpec
from ivbridge.selection.rules import CrossFitted, PlugIn, Rule, parse_rule

__all__ = ["choose_controls", "controls_of_instruments", "first_stage_design", "how", "why"]


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
    return replace(found, selected=tuple(name for name in found.selected if name not in others))


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


def how(question: SelectionSpec, controls: tuple[str, ...]) -> str:
    """How controls were used, in one line; nothing without controls."""
    count = f"{len(controls)} of {len(question.controls)} controls"
    return {
        "forced": f"{count} forced in (penalty factor 0)",
        "residualised": f"{count} taken out by least squares before the LASSO",
        "outcome": f"{count} enter: chosen for the dependent variable; one that matters for the instruments alone can "
        "be missed, which 'union' mends",
        "double": f"{count} enter: chosen for the dependent variable or the endogenous regressor",
        "union": f"{count} enter: chosen for the dependent variable, the endogenous regressor or a selected instrument",
    }[question.options.controls_by]


def why(question: SelectionSpec, data: pd.DataFrame) -> str:
    """Whether forced and residualised controls choose alike here, and why not.

    Parameters
    ----------
    question : SelectionSpec
        With controls, forced or residualised.
    data : DataFrame
        Complete in the question's columns.
    """
    options, p, q = question.options, len(question.candidates), len(question.controls)
    here, other = ("forced", "residualised")[:: 1 if options.controls_by == "forced" else -1]
    if isinstance(question.rule, PlugIn) or getattr(question.rule, "rule", "") == "plugin":
        return (
            f"controls_by={other!r} chooses the same: the plug-in loadings are made after the controls are taken out."
        )
    if not options.standardize:
        return (
            f"controls_by={other!r} has the same solutions, as columns are not standardised; glmnet's factors, which "
            f"sum to the number of columns, make λ {p + q}/{p} times as large for residualised as for forced controls. "
            "Cross-validation can still choose another λ: it estimates the coefficients of forced controls again in "
            "each training part."
        )
    ratio = shrinkage(build_lasso(options.lasso(question.endog, question.candidates, question.controls), data))
    shrunk = f"{np.min(ratio):.2g}–{np.max(ratio):.2g}"
    return (
        f"controls_by={other!r} can choose other instruments than {here!r}: glmnet standardises the columns, and "
        f"taking the controls out shrinks the candidates' standard deviations to {shrunk} of their size, so that the "
        "penalties differ. With standardize=False both have the same solutions."
    )
