"""After the selection: the instrumental-variable question that it leads to, and what selecting does to its tests."""

from __future__ import annotations

import dataclasses

import pandas as pd

from ivbridge.api import fit
from ivbridge.errors import DesignError
from ivbridge.expr import quote_name
from ivbridge.results import Estimate
from ivbridge.selection.question import SelectionSpec
from ivbridge.selection.rules import CrossFitted
from ivbridge.selection.steps import Steps, prediction_name
from ivbridge.spec import IVSpec

__all__ = ["caveats", "data_of", "effect_of", "estimate_after", "iv_spec"]

FIRST_STAGE = (
    "The instruments were chosen on the same rows: the first-stage F is that of the chosen ones among {p} and so "
    "optimistic."
)
SARGAN = (
    "The p-value of the Sargan test is not valid as stated after selection on the same rows: candidates that are "
    "correlated with the error by chance are more likely to be chosen."
)
CROSSFIT = (
    "The instrument is a prediction made from other rows, so that selection does not touch its first-stage F; being "
    "one instrument, it leaves no overidentifying restriction to test."
)


def iv_spec(question: SelectionSpec, steps: Steps) -> IVSpec:
    """The question about the effect of the endogenous regressor, with the selected instruments, without a vcov.

    Raises
    ------
    DesignError
        If nothing was selected.
    """
    if not steps.selected:
        raise DesignError(
            f"The rule {question.rule} selected none of {len(question.candidates)} candidates for {question.endog}: "
            "there is no instrument to estimate with.",
            available="rule='min', which selects more; a named set of instruments in ivbridge.fit",
            do="look at .fits, or find encouragements that move the regressor more: without a first stage no effect "
            "can be estimated.",
        )
    instruments = (prediction_name(question),) if isinstance(question.rule, CrossFitted) else steps.selected
    return IVSpec(
        quote_name(question.dependent),
        tuple(map(quote_name, steps.controls)),
        (quote_name(question.endog),),
        tuple(map(quote_name, instruments)),
        weights=question.options.weights,
    )


def data_of(question: SelectionSpec, steps: Steps, data: pd.DataFrame) -> pd.DataFrame:
    """The data that :func:`iv_spec` speaks of: with the cross-fitted prediction where there is one."""
    if steps.crossfit is None:
        return data
    return data.assign(**{prediction_name(question): steps.crossfit.prediction})


def caveats(question: SelectionSpec) -> tuple[str, ...]:
    """What selection does to the tests of the estimate after it."""
    if isinstance(question.rule, CrossFitted):
        return (CROSSFIT,)
    return (FIRST_STAGE.format(p=len(question.candidates)), SARGAN)


def estimate_after(question: SelectionSpec, spec: IVSpec, data: pd.DataFrame, engine: str = "native") -> Estimate:
    """Fit, with the caveats of selection among the notes.

    Parameters
    ----------
    question : SelectionSpec
    spec : IVSpec
        From :func:`iv_spec`, with vcov and inference.
    data : DataFrame
    engine : {"native", "r"}

    Raises
    ------
    DesignError
        If the endogenous regressor is no more than rounding beside the constant and the controls.
    """
    found = fit(spec, data, engine=engine)
    if not found.seen.endog_names:
        raise DesignError(
            f"{question.endog} cannot be told from the constant and the controls, and so has no estimate.",
            do="subtract its mean where that is large, and leave out controls that reproduce it.",
        )
    sargan = found.tests.get("sargan")
    notes = [note for note in caveats(question) if note != SARGAN or hasattr(sargan, "statistic")]
    return dataclasses.replace(found, notes=(*found.notes, *notes))


def effect_of(estimate: Estimate) -> tuple[float, float]:
    """Coefficient of the endogenous regressor and its standard error."""
    term = estimate.seen.endog_names[0]  # xTRUE for a logical x, as in R
    return float(estimate.params[term]), float(estimate.bse[term])
