"""Everything that is known to change coefficients, as steps from one world to others; the catalogue says who does it.

A convention is a function that takes a :class:`~ivbridge.explainer.records.World` and yields worlds that are one step
further, none where it does not apply. ``WORLDS`` is ordered: what changes the data stands before what changes the
matrices that follow from them, so that a pair is made by applying the earlier convention first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ivbridge.explainer import worlds_coding as coding
from ivbridge.explainer import worlds_columns as columns
from ivbridge.explainer import worlds_estimators as estimators
from ivbridge.explainer import worlds_roles as roles
from ivbridge.explainer import worlds_rows as rows
from ivbridge.explainer import worlds_storage as storage
from ivbridge.explainer import worlds_weights as weights
from ivbridge.explainer.records import Step, World

__all__ = ["EDGES", "FORMS", "SHIFTS", "WORLDS", "Convention", "may_follow"]

Convention = Callable[[World], Iterator[World]]

_CODING = (coding.baselines, coding.contrasts, coding.levels_as_numbers, coding.missing_level, coding.aliased)
#: Conventions about the whole question; any two of different lines make a pair.
_BROAD: tuple[tuple[Convention, ...], ...] = (
    (rows.filled,),
    (storage.stored_together,),
    (rows.complete_cases,),
    (rows.duplicates, rows.edges),
    _CODING,
    (weights.weights,),
    (roles.intercept,),
    (roles.least_squares, estimators.k_class),
)
#: Conventions about one column, and about roles.
_FORMS: tuple[Convention, ...] = (columns.forms, columns.centred, columns.lagged)
_ROLES: tuple[Convention, ...] = (
    roles.instruments_left_out, roles.regressors_left_out, roles.taken_as_exogenous, roles.reversed_regression,
    roles.manual_first_stage,
)  # fmt: skip
_NARROW = (*_FORMS, *_ROLES)
_BEFORE_ROLES: tuple[Convention, ...] = (
    rows.filled, rows.complete_cases, rows.duplicates, rows.edges, weights.weights, *_CODING,
)  # fmt: skip
_BEFORE_FORMS: tuple[Convention, ...] = (*_BEFORE_ROLES[:5], storage.stored_together)
_AFTER_NARROW = (roles.intercept, roles.least_squares, estimators.k_class)
#: Conventions that replace columns; pairs of these need not be built (:mod:`ivbridge.explainer.merge`).
FORMS: tuple[Convention, ...] = (columns.forms, columns.centred, *_CODING, storage.stored_apart)
#: Conventions that shift a column, and those that leave the rows which that leaves.
SHIFTS, EDGES = (columns.lagged,), (rows.edges,)
#: Steps that nobody takes by default, tried alone.
_ALONE = (
    "rows.other_column", "weights.sum_one", "weights.normalised", "weights.mean_inverse", "weights.inverse_square",
)  # fmt: skip

WORLDS: tuple[Convention, ...] = (
    # the data
    rows.filled,
    storage.stored_together,
    # rows
    rows.complete_cases,
    rows.duplicates,
    rows.edges,
    rows.longer_edges,
    # the coding of factors
    coding.baselines,
    coding.contrasts,
    coding.levels_as_numbers,
    coding.numbers_as_levels,
    coding.missing_level,
    coding.full_dummies,
    coding.aliased,
    # weights
    weights.weights,
    # the numbers in columns
    storage.stored_apart,
    storage.stored_rarely,
    columns.units,
    columns.forms,
    columns.centred,
    columns.scale_divisor,
    columns.lagged,
    storage.single_matrices,
    # roles
    roles.intercept,
    roles.taken_as_exogenous,
    roles.instruments_left_out,
    roles.regressors_left_out,
    roles.rows_recovered,
    roles.instruments_as_regressors,
    roles.reversed_regression,
    # the estimator
    roles.least_squares,
    roles.manual_first_stage,
    roles.reduced_form,
    estimators.k_class,
    estimators.moments,
    # what coefficients do not show
    columns.order,
    columns.units_of_instruments,
)


def may_follow(first: Convention, step: Step, second: Convention) -> bool:
    """Whether a pair is worth a try: a first convention, the step that it led to, and one that stands after it."""
    if step.key in _ALONE or (first is storage.stored_together and second in (rows.duplicates, *_CODING)):
        return False
    if first in _NARROW:
        return second in _AFTER_NARROW or (first in _FORMS and second is roles.manual_first_stage)
    if second in _NARROW:
        return first in (_BEFORE_FORMS if second in _FORMS else _BEFORE_ROLES)
    line = next((i for i, some in enumerate(_BROAD) if first in some), None)
    return line is not None and any(second in some for some in _BROAD[line + 1 :])
