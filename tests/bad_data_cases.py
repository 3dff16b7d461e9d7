"""All bad inputs, and what every engine and the check make of one of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

import ivbridge
from ivbridge import Agreement, Estimate
from ivbridge.errors import IvbridgeError
from tests import bad_data_rows, bad_data_values
from tests.bad_data_base import Case, D
from tests.bad_data_truth import two_stage

__all__ = ["CASES", "ENGINES", "Outcome", "measured", "run"]

ENGINES = ("r", "native")
CASES = (
    *bad_data_rows.rows_and_columns(),
    *bad_data_rows.dependence(),
    *bad_data_values.types(),
    *bad_data_values.magnitudes(),
    *bad_data_values.weights(),
    *bad_data_values.groups(),
    *bad_data_values.fits(),
)


@dataclass(frozen=True)
class Outcome:
    """What came of one input: an error (class and message) or an answer for each engine and for the check."""

    answers: tuple[Estimate, ...]
    agreement: Agreement | None
    errors: tuple[tuple[str, str], ...]

    @property
    def alike(self) -> bool:
        """Whether the engines and the check all answer, or all raise the same."""
        return len(self.errors) in (0, len(ENGINES) + 1) and len(set(self.errors)) <= 1


def run(case: Case) -> Outcome:
    """Ask both engines and the check."""
    data = case.data()
    options = dict(case.options)
    asked: list[Callable[[], Estimate | Agreement]] = [
        lambda engine=engine: ivbridge.fit(case.formula, data, case.vcov, engine, **options)  # type: ignore[misc]
        for engine in ENGINES
    ]
    asked.append(lambda: ivbridge.crosscheck(case.formula, data, [case.vcov], ENGINES, **options))
    found: list[Estimate | Agreement] = []
    errors = []
    for ask in asked:
        try:
            found.append(ask())
        except IvbridgeError as error:
            errors.append((type(error).__name__, str(error)))
    agreements = [answer for answer in found if isinstance(answer, Agreement)]
    answers = tuple(answer for answer in found if isinstance(answer, Estimate))
    return Outcome(answers, agreements[0] if agreements else None, tuple(errors))


def measured(case: Case, answer: Estimate) -> float:
    """Correct digits of the worst coefficient or standard error of an answer, 17 at most."""
    if case.unit is not None:
        return _as_in_other_units(case, answer)
    data = case.truth(case.data())
    columns = ("y", *case.exog, *case.endog, *case.instruments)
    numbers = data[list(columns)].astype(float)
    weights = _weights(case, data)
    used = numbers.notna().all(axis=1).to_numpy() & (weights > 0)
    numbers, weights = numbers[used], weights[used]
    one = np.ones((len(numbers), int(case.intercept)))
    x = np.hstack([one, numbers[[*case.exog, *case.endog]]])
    z = np.hstack([one, numbers[[*case.exog, *case.instruments]]]) if case.endog else x
    names = (*["(Intercept)"] * case.intercept, *case.exog, *case.endog)
    kind = case.vcov if case.vcov.count(",") == 0 else "other"
    groups = pd.factorize(data.loc[used, "g"])[0] if kind == "cluster(g)" else None
    coef, errors = two_stage(numbers["y"].to_numpy(), x, z, weights, kind.split("(")[0], groups)
    assert set(answer.terms) == set(names), answer.terms
    order = [names.index(term) for term in answer.terms]
    scale = np.abs(coef) if errors is None else np.maximum(np.abs(coef), errors)
    if answer.seen.exact:  # a coefficient of zero has no error of its own to be measured against
        scale = np.maximum(scale, np.abs(numbers["y"]).max() / np.abs(x).max(axis=0))
    worst = _digits(answer.coefs.estimate, coef[order], scale[order])
    if errors is None or answer.seen.exact:
        return worst
    return min(worst, _digits(answer.coefs.std_error, errors[order], errors[order]))


def _weights(case: Case, data: pd.DataFrame) -> np.ndarray:
    column = case.options.get("weights")
    return np.ones(len(data)) if column is None else data[column].astype(float).to_numpy()


def _as_in_other_units(case: Case, answer: Estimate) -> float:
    """Against R's answer to the question whose column has not been multiplied."""
    assert case.unit is not None
    column, factor = case.unit
    data = case.data()
    plain = ivbridge.fit(case.formula, data.assign(**{column: D[column]}), case.vcov, "r", **case.options)
    factors = np.array(
        [(factor if column == "y" else 1.0) / (factor if term == column else 1.0) for term in plain.terms]
    )
    estimate, error = plain.coefs.estimate * factors, plain.coefs.std_error * factors
    coefficients = _digits(answer.coefs.estimate, estimate, np.fmax(np.abs(estimate), error))
    return min(coefficients, _digits(answer.coefs.std_error, error, error))


def _digits(found: np.ndarray, true: np.ndarray, scale: np.ndarray) -> float:
    """Of the worst number; none if one is missing on one side only (both: the root of a negative variance)."""
    if not np.array_equal(np.isnan(found), np.isnan(true)):
        return 0.0
    worst = float(np.nanmax(np.abs(found - true) / scale))
    if not math.isfinite(worst):
        return 0.0
    return 17.0 if worst == 0 else min(17.0, -math.log10(worst))
