"""The verb ``fit``: one question, one engine, one answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from ivbridge.data import Dataset
from ivbridge.design import Design, build
from ivbridge.engines import engine as engine_named
from ivbridge.errors import DataError
from ivbridge.method import Method, parse_method
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.tabular import as_pandas, plain, reader, table_kind
from ivbridge.threads import one_thread
from ivbridge.vcov import Inference, Vcov
from ivbridge.vcov_text import parse_inference, parse_vcov

__all__ = ["design_for", "fit"]

#: Name of the column that holds weights given as an array.
WEIGHTS = "(weights)"

#: Engines that can do without a design.
DIRECT = frozenset({"fast"})

Table = Any  #: what :func:`ivbridge.tabular.as_pandas` takes


@one_thread()
def fit(
    spec_or_formula: IVSpec | str,
    data: Table,
    vcov: str | Vcov | None = None,
    engine: str = "native",
    weights: str | np.ndarray | pd.Series | None = None,
    inference: str | Inference | None = None,
    method: str | Method | None = None,
) -> Estimate:
    """Answer one instrumental-variable question with one engine.

    Parameters
    ----------
    spec_or_formula : IVSpec or str
        The question; text may be R's two-part or three-part formula or linearmodels' bracket form.
    data : table of n rows
        A pandas or Polars DataFrame, an Arrow table, a mapping of names to (n,) arrays, or a Dataset.
    vcov : str or Vcov
        Required unless the spec names one: ``"classical"`` equals R's ``summary(fit)``, ``"HC0"`` linearmodels'
        ``fit()``, ``"HC3"`` R's ``vcovHC(fit)``.
    engine : {"native", "fast", "r"}, default "native"
    weights : str or (n,) array, optional
        Column name or values; AER's ``weights``, Stata's ``aweight``.
    inference : str or T or Z, optional
        ``"t"`` (n−k degrees of freedom, R's default), ``"t(df)"`` or ``"z"`` (R's ``df = Inf``).
    method : str or Method, optional
        ``"2sls"`` (R's and linearmodels' default), ``"liml"`` or ``"fuller(1)"``; default: the spec's.

    Returns
    -------
    Estimate

    Raises
    ------
    FormulaError, DataError, DesignError
        If the question cannot be asked of these data.
    UnsupportedError
        If no vcov, an unknown vcov, method or engine, or a vcov that the method cannot have is named.
    RNotAvailableError
        If ``engine="r"`` and R cannot be used here.
    """
    chosen = engine_named(engine)
    if engine in DIRECT:
        found = _direct(spec_or_formula, data, vcov, weights, (inference, method))
        if found is not None:
            return found
    return chosen.fit(design_for(spec_or_formula, data, (vcov,), weights, inference, method))


def _direct(
    spec_or_formula: IVSpec | str,
    data: Table,
    vcov: str | Vcov | None,
    weights: str | np.ndarray | pd.Series | None,
    others: tuple[str | Inference | None, str | Method | None],
) -> Estimate | None:
    """The answer without a design; None where there has to be one."""
    from ivbridge.engines.careful import answer

    table = data.frame if isinstance(data, Dataset) else data
    if table_kind(table) in ("", "lazy"):
        return None
    if table_kind(table) == "mapping":
        table = dict(table)  # what is looked at later is what was there
    named = weights if weights is None or isinstance(weights, str) else WEIGHTS
    spec = _question(spec_or_formula, vcov, named, *others)
    read = reader(table)
    if weights is None or isinstance(weights, str):
        kept = table.copy(deep=False) if isinstance(table, pd.DataFrame) else table
        return answer(spec, read, lambda: as_pandas(kept, spec.columns))
    values = _values(weights)
    return answer(
        spec,
        lambda name: (values if plain(values) else None) if name == WEIGHTS else read(name),
        lambda: _weighted(as_pandas(table, (name for name in spec.columns if name != WEIGHTS)), values),
    )


def _values(weights: np.ndarray | pd.Series) -> np.ndarray:
    """Weights as an array; masked ones are missing."""
    if isinstance(weights, np.ma.MaskedArray) and weights.dtype.kind in "fiub":
        return np.ma.filled(weights.astype(np.float64), np.nan)
    return np.asarray(weights)


def _weighted(frame: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    """The data with a column of weights."""
    if values.shape != (len(frame),):
        raise DataError(f"weights have the shape {values.shape}, the data {len(frame)} rows.")
    return frame.assign(**{WEIGHTS: values})


def _question(*asked: Any) -> IVSpec:
    """The question with everything that is named beside it: formula or spec, vcov, weights, inference, method."""
    try:
        hash(asked)
    except TypeError:  # no text and no record: what reads it says so
        return _read.__wrapped__(*asked)
    return _read(*asked)


@lru_cache(maxsize=256, typed=True)
def _read(
    spec_or_formula: IVSpec | str,
    vcov: str | Vcov | None,
    weights: str | None,
    inference: str | Inference | None,
    method: str | Method | None,
) -> IVSpec:
    spec = spec_or_formula if isinstance(spec_or_formula, IVSpec) else IVSpec.from_formula(spec_or_formula)
    changes: dict[str, object] = {}
    if weights is not None:
        changes["weights"] = weights
    if inference is not None:
        changes["inference"] = parse_inference(inference)
    if method is not None:
        changes["method"] = parse_method(method)
    if vcov is not None:
        changes["vcov"] = parse_vcov(vcov)
    return dataclasses.replace(spec, **changes) if changes else spec  # type: ignore[arg-type]


def design_for(
    spec_or_formula: IVSpec | str,
    data: Table,
    vcovs: Iterable[str | Vcov | None] = (None,),
    weights: str | np.ndarray | pd.Series | None = None,
    inference: str | Inference | None = None,
    method: str | Method | None = None,
) -> Design:
    """The design that serves every vcov named; its spec carries the first one.

    Raises
    ------
    DataError
        If ``data`` is no data frame, or weights of another length are given.
    """
    vcovs = list(vcovs)
    values = None if weights is None or isinstance(weights, str) else _values(weights)
    named = weights if values is None else WEIGHTS
    parsed = [parse_vcov(v) for v in vcovs if v is not None]
    spec = _question(spec_or_formula, parsed[0] if parsed else None, named, inference, method)
    grouping = [column for v in parsed for column in v.columns]
    frame = as_pandas(data, [name for name in (*spec.columns, *grouping) if values is None or name != WEIGHTS])
    return build(spec, frame if values is None else _weighted(frame, values), grouping)
