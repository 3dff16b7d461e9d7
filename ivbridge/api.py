"""The verb ``fit``: one question, one engine, one answer."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
import pandas as pd

from ivbridge.data import Dataset
from ivbridge.design import Design, build
from ivbridge.engines import engine as engine_named
from ivbridge.errors import DataError
from ivbridge.method import Method, parse_method
from ivbridge.results import Estimate
from ivbridge.spec import IVSpec
from ivbridge.threads import one_thread
from ivbridge.vcov import Inference, Vcov
from ivbridge.vcov_text import parse_inference, parse_vcov

__all__ = ["design_for", "fit"]

#: Name of the column that holds weights given as an array.
WEIGHTS = "(weights)"


@one_thread()
def fit(
    spec_or_formula: IVSpec | str,
    data: pd.DataFrame | Dataset,
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
    data : DataFrame or Dataset, n rows
    vcov : str or Vcov
        Required unless the spec names one: ``"classical"`` equals R's ``summary(fit)``, ``"HC0"`` linearmodels'
        ``fit()``, ``"HC3"`` R's ``vcovHC(fit)``.
    engine : {"native", "r"}, default "native"
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
    return chosen.fit(design_for(spec_or_formula, data, (vcov,), weights, inference, method))


def design_for(
    spec_or_formula: IVSpec | str,
    data: pd.DataFrame | Dataset,
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
    if isinstance(data, Dataset):
        data = data.frame
    if not isinstance(data, pd.DataFrame):
        raise DataError(
            f"data is a {type(data).__name__}, not a pandas DataFrame.",
            do="pass a DataFrame, read a file with ivbridge.read(path), or start from ivbridge.from_arrays(…).",
        )
    spec = spec_or_formula if isinstance(spec_or_formula, IVSpec) else IVSpec.from_formula(spec_or_formula)
    changes: dict[str, object] = {}
    if weights is not None and not isinstance(weights, str):
        values = np.asarray(weights)
        if values.shape != (len(data),):
            raise DataError(f"weights have the shape {values.shape}, the data {len(data)} rows.")
        data, weights = data.assign(**{WEIGHTS: values}), WEIGHTS
    if weights is not None:
        changes["weights"] = weights
    if inference is not None:
        changes["inference"] = parse_inference(inference)
    if method is not None:
        changes["method"] = parse_method(method)
    parsed = [parse_vcov(v) for v in vcovs if v is not None]
    if parsed:
        changes["vcov"] = parsed[0]
    grouping = [column for v in parsed for column in v.columns]
    return build(dataclasses.replace(spec, **changes), data, grouping)  # type: ignore[arg-type]
