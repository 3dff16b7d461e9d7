"""What is to be explained, and the world in which the search for a reason starts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ivbridge.asked import seen_of
from ivbridge.design import Design, build
from ivbridge.errors import DataError
from ivbridge.explainer.records import Observed, World
from ivbridge.gaps import Key, flatten, is_lacking
from ivbridge.records import FloatArray, IntArray, Seen
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.vcov import Classical

__all__ = ["asked_world", "grouping_columns", "numbers_of", "world_of"]

#: What has no digit where a regression leaves no residual.
FROM_RESIDUALS = ("std.error", "cov", "statistic", "p.value", "conf.low", "conf.high", "sigma")

#: Columns of the data that are tried as clusters, at most.
MOST_COLUMNS = 8


def numbers_of(estimate: Estimate) -> tuple[Observed, Mapping[Key, FloatArray]]:
    """What an engine says, without what it lacks: the scalars, and the arrays of residuals and fitted values.

    No number has a ``within``: what rounding explains is measured where a combination matches.
    """
    flat = {key: value for key, value in flatten(estimate).items() if not is_lacking(key, estimate.lacks)}
    if estimate.seen.exact:  # the regressors reproduce y: what follows from residuals is rounding error
        flat = {key: value for key, value in flat.items() if key[0] not in FROM_RESIDUALS}
    scalars = {key: value for key, value in flat.items() if not isinstance(value, np.ndarray)}
    arrays = {key: value for key, value in flat.items() if isinstance(value, np.ndarray)}
    return Observed(scalars, {}, estimate.engine), arrays


def asked_world(spec: IVSpec, data: pd.DataFrame) -> World:
    """The world of a question as it was asked, on the rows that R and ivbridge keep.

    Parameters
    ----------
    spec : IVSpec
        Without a vcov it is taken to be classical.
    data : DataFrame, n rows

    Raises
    ------
    DataError, DesignError, FormulaError
        As :func:`ivbridge.fit`.
    """
    asked = spec if spec.vcov is not None else dataclasses.replace(spec, vcov=Classical())
    return _with_design(build(asked, data), data)


def _with_design(design: Design, data: pd.DataFrame) -> World:
    return World(seen_of(design), design.spec, data, design.spec.method)


def world_of(reference: Estimate, candidate: Estimate, data: pd.DataFrame | None) -> World:
    """The world of the reference: its matrices, or the candidate's, or those of the data.

    Raises
    ------
    DataError
        If both estimates come from JSON, which keeps no matrices, and no data are given.
    """
    spec = reference.spec
    if reference.seen.has_matrices:
        return World(reference.seen, spec, data, spec.method)
    if data is not None:
        return asked_world(spec, data)
    if candidate.seen.has_matrices:
        return World(candidate.seen, spec, None, spec.method)
    raise DataError(
        "Neither estimate holds its model matrices, so no convention can be tried.", do="pass the data, too: data=…."
    )


def grouping_columns(seen: Seen, frame: pd.DataFrame | None) -> dict[str, IntArray]:
    """Codes 0 … G−1 of every column by which somebody may have clustered: those of the question, then of the data.

    Columns of the data are candidates if they repeat their values and are no measurements: texts, categories,
    booleans, whole numbers.
    """
    found = dict(seen.groups)
    last = int(seen.rows.max()) if len(seen.rows) else -1
    if frame is None or last >= len(frame):
        return found
    labels: list[object] = list(frame.columns)
    for name in labels:
        if not isinstance(name, str) or name in found or len(found) >= MOST_COLUMNS + len(seen.groups):
            continue
        codes = _codes(frame[name].iloc[seen.rows])
        if codes is not None:
            found[name] = codes
    return found


def _codes(column: pd.Series) -> IntArray | None:
    values = column.cat.codes if isinstance(column.dtype, pd.CategoricalDtype) else column
    if column.isna().any():
        return None
    if values.dtype.kind == "f" and not np.array_equal(values, np.round(values)):
        return None
    if values.dtype.kind not in "biufO" and not pd.api.types.is_string_dtype(values.dtype):
        return None
    try:
        codes = pd.factorize(values, sort=True)[0].astype(np.int64)
    except TypeError:  # values of several types have no order
        return None
    count = int(codes.max(initial=0)) + 1
    return codes if 2 <= count < len(codes) else None
