"""What a batch answers, and what it is asked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from ivbridge.errors import DataError, UnsupportedError
from ivbridge.method import Method
from ivbridge.records import FloatArray
from ivbridge.vcov import Clustered, Vcov

__all__ = ["Fits", "KClass", "Question", "Shape"]


@dataclass(frozen=True, slots=True)
class KClass(Method):
    """The k-class estimator of a given κ: 0 is least squares, 1 two-stage least squares.

    linearmodels: ``IVLIML(kappa=…)``. Stata's ``ivregress`` and AER: none.

    Parameters
    ----------
    kappa : float

    Raises
    ------
    UnsupportedError
        If it is not finite.
    """

    keyword: ClassVar[str] = "kclass"
    title: ClassVar[str] = "k-class"
    kappa: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.kappa):
            raise UnsupportedError(f"kclass({self.kappa}) was asked.", available="a finite number")
        object.__setattr__(self, "kappa", float(self.kappa))

    def __str__(self) -> str:
        return f"kclass({self.kappa!r})"


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of one replication, whose columns are [exogenous, excluded instruments, endogenous, dependent].

    Attributes
    ----------
    n : int
        Rows.
    p : int
        Exogenous regressors, the constant included.
    l : int
        Instruments, the exogenous regressors included.
    q : int
        Endogenous regressors.
    constant : bool
        Whether the first column is the constant.
    """

    n: int
    p: int
    l: int  # noqa: E741  # the letter of this count everywhere
    q: int
    constant: bool

    @property
    def k(self) -> int:
        """Regressors."""
        return self.p + self.q

    @property
    def m(self) -> int:
        """Columns."""
        return self.l + self.q + 1


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of every replication.

    Attributes
    ----------
    method : Method or None
        None is ordinary least squares, of which the endogenous regressors are ordinary ones.
    vcov : Vcov
    """

    method: Method | None
    vcov: Vcov

    @property
    def vcov_type(self) -> str:
        """What the meat is multiplied by: HC0 or HC1; R's default for clusters looks at the class of the fit."""
        if isinstance(self.vcov, Clustered):
            return self.vcov.type or ("HC1" if self.method is None else "HC0")
        return str(self.vcov)


@dataclass(frozen=True, slots=True, eq=False)
class Fits:
    """The answers of B replications to one question.

    Attributes
    ----------
    names : tuple of str, length k
        ``(Intercept)`` first where there is a column of ones, then ``w1``, …, ``x1``, … by their places in the arrays.
    coef : (B, k) array
        NaN in replications without an estimate.
    cov : (B, k, k) array
    n, df_resid : int
        Rows of each replication, and n − k.
    method, vcov : str
    condition : (B,) array
        The factor by which rounding errors grow on the way to the answer, about; infinite where columns are dependent.
    kappa : (B,) array or None
        Of LIML, Fuller and the k-class.
    notes : mapping of int to str
        What was done about each replication that was not computed with the others, or why it has no estimate.
    """

    names: tuple[str, ...]
    coef: FloatArray
    cov: FloatArray
    n: int
    df_resid: int
    method: str
    vcov: str
    condition: FloatArray
    kappa: FloatArray | None = None
    notes: Mapping[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.coef)

    def __repr__(self) -> str:
        lost = f", {len(self.failed)} without an estimate" if self.failed else ""
        return f"<Fits {len(self)} × {self.method}, {self.vcov}, n={self.n}{lost}: {', '.join(self.names)}>"

    @property
    def std_error(self) -> FloatArray:
        """Standard errors, (B, k)."""
        with np.errstate(invalid="ignore"):
            return np.sqrt(np.diagonal(self.cov, axis1=1, axis2=2))

    @property
    def failed(self) -> tuple[int, ...]:
        """Replications without an estimate."""
        return tuple(int(b) for b in np.flatnonzero(np.isnan(self.coef).any(axis=1)))

    def of(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Estimates and standard errors of one coefficient, (B,) each.

        Raises
        ------
        DataError
            If there is none of this name.
        """
        if name not in self.names:
            raise DataError(f"There is no coefficient {name!r}.", available=", ".join(self.names))
        j = self.names.index(name)
        return self.coef[:, j], self.std_error[:, j]

    def conf_int(self, level: float = 0.95, df: float | None = None) -> tuple[FloatArray, FloatArray]:
        """Lower and upper confidence limits, (B, k) each.

        Parameters
        ----------
        level : float, default 0.95
        df : float, optional
            Degrees of freedom of the t distribution; default n − k, and infinite for the normal distribution.

        Raises
        ------
        DataError
            If the level does not lie strictly between 0 and 1.
        """
        from scipy import stats

        if not 0 < level < 1:
            raise DataError(f"level={level!r} is not a coverage.", do="give a number between 0 and 1, such as 0.9.")
        tail, count = (1 - level) / 2, self.df_resid if df is None else df
        half = float(stats.norm.isf(tail) if math.isinf(count) else stats.t.isf(tail, count)) * self.std_error
        return self.coef - half, self.coef + half
