"""Answers about weak instruments: a confidence set that need not be an interval, and the effective F."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from ivbridge.errors import UnsupportedError

__all__ = ["BIAS_SHARES", "ConfidenceSet", "EffectiveF"]

#: Shares τ of the worst-case bias that the effective F's critical values are for.
BIAS_SHARES = (0.05, 0.10, 0.20, 0.30)

Kind = Literal["bounded", "unbounded", "whole line", "empty"]


@dataclass(frozen=True, slots=True)
class ConfidenceSet:
    """The values of one coefficient that the Anderson–Rubin test does not reject.

    Weak instruments may leave a half line, two half lines or the whole line; instruments that contradict each other may
    leave nothing, or pieces. ``str()`` reads ``[1.87, 2.10]`` or ``(-inf, 0.3] ∪ [2.1, inf)``.

    Attributes
    ----------
    intervals : tuple of (low, high)
        Disjoint and ascending, ends included; infinite ends are ``-inf`` and ``inf``. Empty for the empty set.
    level : float
        Coverage.
    endog : str
        The endogenous regressor whose coefficient it is.
    vcov : str
        Short text form.
    n, df1, df2 : int, float, float
        Rows used and the degrees of freedom of the test; ``df2`` is infinite for χ².
    critical : float
        The statistic (F, or χ² under z) up to which a value belongs to the set.
    engine : str
    """

    intervals: tuple[tuple[float, float], ...]
    level: float
    endog: str
    vcov: str
    n: int
    df1: float
    df2: float
    critical: float
    engine: str

    @property
    def kind(self) -> Kind:
        """``bounded``, ``unbounded``, ``whole line`` or ``empty``."""
        if not self.intervals:
            return "empty"
        if self.intervals == ((-math.inf, math.inf),):
            return "whole line"
        return "bounded" if all(math.isfinite(end) for pair in self.intervals for end in pair) else "unbounded"

    def __contains__(self, value: float) -> bool:
        return any(low <= value <= high for low, high in self.intervals)

    def __str__(self) -> str:
        if not self.intervals:
            return "∅"
        ends = [end for pair in self.intervals for end in pair if math.isfinite(end)]
        decimals = _decimals(ends)
        return " ∪ ".join(_interval(low, high, decimals) for low, high in self.intervals)

    def to_frame(self) -> pd.DataFrame:
        """One row an interval: ``conf.low``, ``conf.high``."""
        return pd.DataFrame(list(self.intervals), columns=["conf.low", "conf.high"], dtype=float)


def _decimals(ends: list[float]) -> int:
    """Decimals that show two digits of the distance between the outermost ends, or four of a single one."""
    if not ends:
        return 0
    width = max(ends) - min(ends)
    size, digits = (width, 2) if width > 0 else (abs(ends[0]) or 1.0, 4)
    return min(max(digits - 1 - math.floor(math.log10(size)), 0), 15)


def _interval(low: float, high: float, decimals: int) -> str:
    left = "(-inf" if low == -math.inf else f"[{low:.{decimals}f}"
    right = "inf)" if high == math.inf else f"{high:.{decimals}f}]"
    return f"{left}, {right}"


@dataclass(frozen=True, slots=True)
class EffectiveF:
    """The effective first-stage F of Montiel Olea & Pflueger (2013) with its critical values.

    Attributes
    ----------
    statistic : float
        The first-stage F with the trace of the question's covariance in place of the classical one; equal to the
        ordinary F for a classical vcov, and to the robust one with a single instrument.
    endog : str
    vcov : str
        Short text form.
    n, instruments : int
        Rows used; excluded instruments.
    df : mapping of float to float
        Effective degrees of freedom of the instruments, by the share τ of the worst-case bias.
    critical : mapping of float to float
        5 % critical values, by τ: a larger statistic rejects that the asymptotic bias of 2SLS exceeds the share τ of
        its worst case. They are the simplified, conservative ones.
    engine : str
    """

    statistic: float
    endog: str
    vcov: str
    n: int
    instruments: int
    df: Mapping[float, float] = field(default_factory=dict)
    critical: Mapping[float, float] = field(default_factory=dict)
    engine: str = "native"

    def strong(self, share: float = 0.10) -> bool:
        """Whether a bias of more than this share of the worst case is rejected at 5 %.

        Parameters
        ----------
        share : {0.05, 0.10, 0.20, 0.30}, default 0.10

        Raises
        ------
        UnsupportedError
            If no critical value is held for this share.
        """
        if share not in self.critical:
            raise UnsupportedError(
                f"share={share!r} has no critical value.", available=", ".join(map(str, BIAS_SHARES))
            )
        return self.statistic > self.critical[share]

    def to_frame(self) -> pd.DataFrame:
        """One row a share of the worst-case bias: ``bias.share``, ``df``, ``critical.value``, ``strong``."""
        rows = [(share, self.df[share], value, self.statistic > value) for share, value in self.critical.items()]
        return pd.DataFrame(rows, columns=["bias.share", "df", "critical.value", "strong"])

    def __str__(self) -> str:
        limits = ", ".join(f"{value:.1f} (τ = {share:.0%})" for share, value in self.critical.items())
        return f"effective F = {self.statistic:.1f}; 5 % critical values {limits}"
