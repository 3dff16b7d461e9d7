"""Inference that stays right when instruments are weak: the Anderson–Rubin test and set, and the effective F.

>>> import ivbridge
>>> data = ivbridge.load("card_stata").frame
>>> formula = "lwage ~ educ + exper + expersq + black + south | nearc2 + nearc4 + exper + expersq + black + south"
>>> print(confidence_set(formula, data, "HC1"))
[0.17, 0.36]
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ivbridge import weak_native, weak_r
from ivbridge.api import design_for
from ivbridge.asked import asked_vcov, seen_of
from ivbridge.data import Dataset
from ivbridge.design import Design
from ivbridge.engines import engine as engine_named
from ivbridge.errors import DataError
from ivbridge.method import TwoStage
from ivbridge.records import Test
from ivbridge.spec import IVSpec
from ivbridge.threads import one_thread
from ivbridge.vcov import Inference, Vcov, Z
from ivbridge.vcov_text import parse_inference, parse_vcov
from ivbridge.weak_records import ConfidenceSet, EffectiveF

__all__ = ["ConfidenceSet", "EffectiveF", "anderson_rubin", "confidence_set", "effective_f"]


@one_thread()
def anderson_rubin(
    design: Design,
    beta0: float | Sequence[float],
    vcov: str | Vcov | None = None,
    inference: str | Inference | None = None,
    engine: str = "native",
) -> Test:
    """Test that the coefficients of the endogenous regressors have given values, whatever the instruments' strength.

    The statistic is the F test of the excluded instruments in the regression of y − xβ₀ on all instruments.
    Stata: ``ivreg2``'s Anderson–Rubin Wald test for β₀ = 0.

    Parameters
    ----------
    design : Design
        From :func:`ivbridge.api.design_for`.
    beta0 : float or sequence of m floats
        In the order of ``design.endog_names``.
    vcov : str or Vcov, optional
        Default: that of the design's question.
    inference : str or T or Z, optional
        ``t`` gives F(excluded instruments, n − l), ``z`` gives χ². Default: that of the design's question.
    engine : {"native", "fast", "r"}, default "native"

    Returns
    -------
    Test

    Raises
    ------
    DataError
        If `beta0` has another length than the endogenous regressors.
    DesignError, UnsupportedError
        If the question cannot have this test.
    """
    design = _prepared(design, vcov, inference, invert=False)
    seen, spec = seen_of(design), design.spec
    weak_native.check_question(seen, asked_vcov(spec), single=False)
    values = [float(value) for value in np.atleast_1d(np.asarray(beta0, dtype=float))]
    if len(values) != len(seen.endog_names):
        names = ", ".join(seen.endog_names)
        raise DataError(f"beta0 has {len(values)} values; the endogenous regressors are {names}.")
    if engine_named(engine).name == "r":
        return weak_r.anderson_rubin(design, values)
    return weak_native.anderson_rubin(seen, values, asked_vcov(spec), spec.inference)


@one_thread()
def confidence_set(
    spec_or_formula: IVSpec | str,
    data: pd.DataFrame | Dataset,
    vcov: str | Vcov | None = None,
    level: float = 0.95,
    engine: str = "native",
    weights: str | np.ndarray | pd.Series | None = None,
    inference: str | Inference | None = None,
) -> ConfidenceSet:
    """All values of the one endogenous coefficient that the Anderson–Rubin test does not reject.

    The set covers the true value with the stated probability however weak the instruments are; it may be unbounded,
    the whole line, in pieces, or empty (then the instruments contradict each other). Its ends are exact, not on a grid.

    Parameters
    ----------
    spec_or_formula, data, weights
        As for :func:`ivbridge.fit`; the method does not matter.
    vcov : str or Vcov
        Classical, HC0 to HC5, clustered, or a HAC estimator with a fixed bandwidth and no prewhitening.
    level : float, default 0.95
    engine : {"native", "fast", "r"}, default "native"
        "fast" computes sets as "native" does.
    inference : str or T or Z, optional
        ``t`` compares with F(excluded instruments, n − l), ``z`` with χ². Default: the spec's.

    Returns
    -------
    ConfidenceSet

    Raises
    ------
    DataError
        If the level does not lie strictly between 0 and 1.
    DesignError
        With more than one endogenous regressor, or not more rows than instruments, or too few clusters.
    UnsupportedError
        If no vcov, or one that chooses its bandwidth by the data, is named.
    """
    if not 0 < level < 1:
        raise DataError(f"level={level!r} is not a coverage.", do="give a number between 0 and 1, such as 0.9.")
    design = design_for(spec_or_formula, data, (vcov,), weights, inference)
    return _confidence_set(_prepared(design, None, None, invert=True), level, engine)


def _confidence_set(design: Design, level: float, engine: str) -> ConfidenceSet:
    seen, asked, reference = seen_of(design), asked_vcov(design.spec), design.spec.inference
    weak_native.check_question(seen, asked, single=True)
    if engine_named(engine).name == "r":
        answer = weak_r.confidence_intervals(design, level)
    else:
        answer = weak_native.confidence_intervals(seen, asked, reference, level)
    df1 = len(seen.instrument_names)
    df2 = math.inf if isinstance(reference, Z) else len(seen.y) - len(seen.z_names)
    return ConfidenceSet(
        intervals=tuple(answer),
        level=level,
        endog=seen.endog_names[0],
        vcov=str(asked),
        n=len(seen.y),
        df1=float(df1),
        df2=float(df2),
        critical=weak_native.critical_value(df1, df2, level),
        engine=engine,
    )


@one_thread()
def effective_f(
    spec_or_formula: IVSpec | str,
    data: pd.DataFrame | Dataset,
    vcov: str | Vcov | None = None,
    engine: str = "native",
    weights: str | np.ndarray | pd.Series | None = None,
) -> EffectiveF:
    """How strong the instruments of one endogenous regressor are: Montiel Olea & Pflueger's (2013) effective F.

    The exogenous regressors and the constant are partialled out first. Stata: ``weakivtest`` (the statistic; its
    critical values are the simplified ones here, which are a little larger than the generalised ones).

    Parameters
    ----------
    spec_or_formula, data, vcov, weights
        As for :func:`ivbridge.fit`.
    engine : {"native", "fast", "r"}, default "native"
        "fast" computes it as "native" does.

    Returns
    -------
    EffectiveF

    Raises
    ------
    DesignError
        With more than one endogenous regressor, or not more rows than instruments.
    UnsupportedError
        If no vcov, a bootstrap or Bekker's is named.
    """
    design = _prepared(design_for(spec_or_formula, data, (vcov,), weights), None, None, invert=False)
    seen, asked = seen_of(design), asked_vcov(design.spec)
    weak_native.check_question(seen, asked, single=True)
    if engine_named(engine).name == "r":
        statistic, df, critical = weak_r.effective_f(design)
    else:
        statistic, df, critical = weak_native.effective_f(seen, asked)
    return EffectiveF(
        statistic, seen.endog_names[0], str(asked), len(seen.y), len(seen.instrument_names), df, critical, engine
    )


def _prepared(design: Design, vcov: str | Vcov | None, inference: str | Inference | None, *, invert: bool) -> Design:
    """The design with the vcov and inference asked for, which are checked; the method is of no importance here."""
    spec = dataclasses.replace(design.spec, method=TwoStage())
    if vcov is not None:
        spec = dataclasses.replace(spec, vcov=parse_vcov(vcov))
    if inference is not None:
        spec = dataclasses.replace(spec, inference=parse_inference(inference))
    if spec.vcov is not None:
        weak_native.check_vcov(spec.vcov, invert=invert)
    return dataclasses.replace(design, spec=spec)
