"""Everything that is known to change coefficients, as steps from one world to others; the catalogue says who does it.

A convention is a function that takes a :class:`~ivbridge.explainer.records.World` and yields worlds that are one step
further, none where it does not apply. ``WORLDS`` is ordered: what changes the data stands before what changes the
matrices that follow from them, so that a pair is made by applying the earlier convention first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ivbridge.explainer import worlds_coding as coding
from ivbridge.explainer import worlds_columns as columns
from ivbridge.explainer import worlds_estimators, worlds_roles, worlds_rows, worlds_storage, worlds_weights
from ivbridge.explainer.records import World

__all__ = ["WORLDS", "Convention"]

Convention = Callable[[World], Iterator[World]]

WORLDS: tuple[Convention, ...] = (
    # the data
    worlds_rows.filled,
    worlds_storage.stored,
    # the coding of factors
    coding.baselines,
    coding.contrasts,
    coding.levels_as_numbers,
    coding.numbers_as_levels,
    coding.missing_level,
    coding.full_dummies,
    # rows
    worlds_rows.complete_cases,
    worlds_rows.duplicates,
    worlds_rows.edges,
    # weights
    worlds_weights.weights,
    # columns
    columns.units,
    columns.forms,
    columns.centred,
    columns.scale_divisor,
    columns.lagged,
    worlds_storage.single_matrices,
    # roles
    worlds_roles.intercept,
    worlds_roles.taken_as_exogenous,
    worlds_roles.instruments_left_out,
    worlds_roles.regressors_left_out,
    worlds_roles.instruments_as_regressors,
    worlds_roles.reversed_regression,
    # the estimator
    worlds_roles.least_squares,
    worlds_roles.manual_first_stage,
    worlds_roles.reduced_form,
    worlds_estimators.estimators,
    # what coefficients do not show
    columns.order,
    columns.units_of_instruments,
)
