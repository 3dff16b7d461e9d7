"""The small frozen records that an :class:`~ivbridge.results.Estimate` is made of.

Shapes use one alphabet everywhere: n rows, k regressors (columns of X), l instruments (columns of Z, the exogenous
regressors included), m endogenous regressors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from ivbridge.later import postponable

__all__ = [
    "Coefficients",
    "Digits",
    "Effects",
    "FirstStage",
    "FloatArray",
    "IntArray",
    "NotApplicable",
    "Numbers",
    "Provenance",
    "Seen",
    "Test",
]

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """A coefficient table exactly as its engine computed it.

    Attributes
    ----------
    terms : tuple of str
        R's column names, for example ``"(Intercept)"``, ``"log(rprice)"``.
    estimate, std_error, statistic, p_value, conf_low, conf_high : (k,) arrays
        Two-sided p-values; 95 % confidence limits.
    """

    terms: tuple[str, ...]
    estimate: FloatArray
    std_error: FloatArray
    statistic: FloatArray
    p_value: FloatArray
    conf_low: FloatArray
    conf_high: FloatArray


@dataclass(frozen=True, slots=True)
class Digits:
    """For how many decimal digits an answer is good, as a bound says; of numbers with 15, the last one is not counted.

    Attributes
    ----------
    coef, std_error : float
        Of the worst coefficient and of the worst standard error, relative to their own size. Standard errors of a
        perfect fit have none: they are rounding.
    """

    coef: float
    std_error: float

    def __str__(self) -> str:
        errors = f"{int(self.std_error)} of the standard errors" if self.std_error else "none of the standard errors"
        return f"Good for {int(self.coef)} digits of the coefficients and {errors}"


@dataclass(frozen=True, slots=True)
class Effects:
    """Fixed effects that were absorbed.

    Attributes
    ----------
    levels : mapping of str to int
        Levels of each factor in the rows used.
    counted : int
        Coefficients that they count for in n − k.
    nested : int
        Of these, those that do not count in the factor (n − 1)/(n − k) of clusters.
    singletons : int
        Rows left out, each alone in a level.
    r2_within : float
        R² of what the effects leave of the columns.
    step : float
        How far rounding, or iteration, may have left the effects from where they are, relative to the root mean square
        of what they leave of a column. Cross-products, and so coefficients, are off by its square.
    path : {"means", "schur", "iteration", "pyfixest"}
        How they were found.
    """

    levels: Mapping[str, int]
    counted: int
    nested: int
    singletons: int
    r2_within: float
    step: float
    path: str

    def __str__(self) -> str:
        shown = ", ".join(f"{name} ({count} level{'s' * (count != 1)})" for name, count in self.levels.items())
        return f"fixed effects of {shown}, which count for {self.counted} coefficients; within R² {self.r2_within:.6g}"


@dataclass(frozen=True, slots=True)
class Test:
    """A test statistic that applies.

    Attributes
    ----------
    name : str
        As ``summary.ivreg`` prints it, for example ``"Weak instruments (educ)"``.
    statistic, p_value : float
    df1, df2 : float
        ``df2`` is infinite for χ² tests.
    distribution : {"F", "chi2"}
    """

    __test__ = False  # not a test case for pytest
    name: str
    statistic: float
    p_value: float
    df1: float
    df2: float
    distribution: Literal["F", "chi2"]


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """A test that has no value for this model, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class FirstStage:
    """Least squares of one endogenous regressor on all instruments, with the question's vcov.

    Attributes
    ----------
    endog : str
        The endogenous regressor.
    coefs : Coefficients
        One row for each column of Z.
    cov : (l, l) array
    n, df_resid : int
    r2, r2_adj, sigma : float
        As ``summary.lm`` gives them.
    weak : Test or NotApplicable
        The F test of the excluded instruments.
    """

    endog: str
    coefs: Coefficients
    cov: FloatArray
    n: int
    df_resid: int
    r2: float
    r2_adj: float
    sigma: float
    weak: Test | NotApplicable


@postponable("rows", "y", "x", "z", "weights", "groups")
@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What an engine used: the raw material of the handshake.

    Attributes
    ----------
    rows : (n,) int array
        Positions of the kept rows in the data, ascending.
    x_names, z_names : tuple of str
        Kept columns of X (k) and of Z (l).
    aliased, aliased_instruments : tuple of str
        Columns left out because they depend linearly on earlier ones.
    levels : mapping of str to tuple of str
        Levels of each categorical variable of the formula, in the order that decides the baseline.
    y, x, z : (n,), (n, k), (n, l) arrays
        The numbers themselves; empty after a JSON round trip.
    weights : (n,) array or None
    groups : mapping of column name to (n,) codes
        Codes 0, 1, … of every column that the vcov needs, in sorted order of the column's values.
    exact : bool, default False
        Whether the regressors reproduce `y`, so that residuals are rounding errors.
    """

    json_skip: ClassVar[tuple[str, ...]] = ("y", "x", "z", "weights", "groups")
    rows: IntArray
    x_names: tuple[str, ...]
    z_names: tuple[str, ...]
    aliased: tuple[str, ...] = ()
    aliased_instruments: tuple[str, ...] = ()
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    y: FloatArray = field(default_factory=lambda: np.empty(0))
    x: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    z: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    weights: FloatArray | None = None
    groups: Mapping[str, IntArray] = field(default_factory=dict)
    exact: bool = False

    @property
    def endog_names(self) -> tuple[str, ...]:
        """Columns of X that are not in Z."""
        return tuple(name for name in self.x_names if name not in self.z_names)

    @property
    def instrument_names(self) -> tuple[str, ...]:
        """Columns of Z that are not in X."""
        return tuple(name for name in self.z_names if name not in self.x_names)

    @property
    def has_matrices(self) -> bool:
        """Whether the numbers themselves are here."""
        return len(self.y) == len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """Everything that an engine computes for one question; :class:`~ivbridge.results.Estimate` has the same fields."""

    coefs: Coefficients
    cov: FloatArray
    residuals: FloatArray
    fitted: FloatArray
    df_resid: int
    sigma: float
    r2: float
    r2_adj: float
    tests: Mapping[str, Test | NotApplicable]
    first_stages: tuple[FirstStage, ...]
    kappa: float | None = None


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where numbers come from.

    Attributes
    ----------
    engine : str
    versions : mapping
        Language and package versions.
    platform, blas : str
    threads : str
        The thread limit that was in force; ``"default"`` where none was set.
    script_sha256 : str
        Hash of the R script or the Python module that did the work.
    recorded_on : str
        UTC time, ISO 8601.
    calls : tuple of str
        The calls that reproduce the numbers by hand.
    """

    engine: str
    versions: Mapping[str, str] = field(default_factory=dict)
    platform: str = ""
    blas: str = ""
    threads: str = "default"
    script_sha256: str = ""
    recorded_on: str = ""
    calls: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain Python values."""
        return {name: getattr(self, name) for name in self.__slots__}
