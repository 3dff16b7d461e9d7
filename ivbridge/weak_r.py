"""Weak-instrument inference by R: ``r_scripts/weakiv.R`` on the matrices that R builds itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ivbridge.asked import asked_vcov
from ivbridge.design import Design
from ivbridge.engines.r import ask
from ivbridge.engines.r_calls import r_vcov
from ivbridge.records import Test
from ivbridge.vcov import Z
from ivbridge.weak_records import BIAS_SHARES

__all__ = ["anderson_rubin", "confidence_intervals", "effective_f"]


def _ask(design: Design, function: str, **arguments: object) -> Mapping[str, Any]:
    value: Mapping[str, Any] = ask(design, function, vcov=r_vcov(asked_vcov(design.spec)), **arguments).value
    return value


def anderson_rubin(design: Design, beta0: Sequence[float]) -> Test:
    """The test by least-squares fits of R with sandwich's covariances."""
    z = isinstance(design.spec.inference, Z)
    answer = _ask(design, "ivb_anderson_rubin", beta0=np.asarray(beta0, dtype=float), z=z)
    statistic, p_value, df1, df2 = (float(answer[name][0]) for name in ("statistic", "p_value", "df1", "df2"))
    return Test("Anderson-Rubin", statistic, p_value, df1, df2, "chi2" if z else "F")


def confidence_intervals(design: Design, level: float) -> list[tuple[float, float]]:
    """The set by R's own inversion of the test."""
    answer = _ask(design, "ivb_confidence_set", level=level, z=isinstance(design.spec.inference, Z))
    low, high = (np.asarray(answer[name], dtype=float).tolist() for name in ("low", "high"))
    return list(zip(low, high, strict=True))


def effective_f(design: Design) -> tuple[float, dict[float, float], dict[float, float]]:
    """The effective F with its degrees of freedom and critical values, by τ."""
    answer = _ask(design, "ivb_effective_f", shares=np.asarray(BIAS_SHARES))
    df, critical = (np.asarray(answer[name], dtype=float).tolist() for name in ("df", "critical"))
    return (
        float(answer["statistic"][0]),
        dict(zip(BIAS_SHARES, df, strict=True)),
        dict(zip(BIAS_SHARES, critical, strict=True)),
    )
