"""Estimators of the k-class: what may be asked, and which Stata and linearmodels calls each one equals.

With M the residual maker of all instruments, the k-class estimator is β = (X'(I − κM)X)⁻¹ X'(I − κM)y (Theil 1958).
κ = 1 is two-stage least squares; LIML and Fuller take κ from the data. The short text form, used by the command line
and by ``method="…"``, is what ``str()`` prints and :func:`parse_method` reads: ``2sls``, ``liml``, ``fuller(1)``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import ClassVar

from ivbridge.errors import UnsupportedError
from ivbridge.vcov import (
    HC0,
    HC1,
    Andrews,
    Bekker,
    Classical,
    Clustered,
    DriscollKraay,
    NeweyWest,
    Vcov,
)

__all__ = ["LIML", "Fuller", "Method", "TwoStage", "check_vcov", "parse_method"]

_AVAILABLE = "2sls, liml, fuller(1)"
#: Sums of products of scores, which every k-class estimator has; leverages and R's refits belong to 2SLS.
_OF_SCORES = (Classical, HC0, HC1, Clustered, NeweyWest, Andrews, DriscollKraay)


@dataclass(frozen=True, slots=True)
class Method:
    """An estimator. Subclasses are plain frozen records; ``str()`` gives the short text form."""

    keyword: ClassVar[str] = ""
    title: ClassVar[str] = ""

    def __str__(self) -> str:
        return self.keyword

    @property
    def heading(self) -> str:
        """How text and reports name the estimator, for example ``LIML`` or ``Fuller(1)``."""
        return str(self).replace(self.keyword, self.title)


@dataclass(frozen=True, slots=True)
class TwoStage(Method):
    """Two-stage least squares, κ = 1; ordinary least squares without endogenous regressors.

    R: ``AER::ivreg``. linearmodels: ``IV2SLS``. Stata: ``ivregress 2sls``.
    """

    keyword: ClassVar[str] = "2sls"
    title: ClassVar[str] = "two-stage least squares"


@dataclass(frozen=True, slots=True)
class LIML(Method):
    """Limited-information maximum likelihood (Anderson & Rubin 1949).

    κ is the smallest eigenvalue of the residual cross products of (y, endogenous regressors) on the exogenous
    regressors relative to those on all instruments; 1 where the model is exactly identified.
    R: AER has none, ``r_scripts/kclass.R``. linearmodels: ``IVLIML``. Stata: ``ivregress liml``.
    """

    keyword: ClassVar[str] = "liml"
    title: ClassVar[str] = "LIML"


@dataclass(frozen=True, slots=True)
class Fuller(Method):
    """Fuller's (1977) modification of LIML, κ = κ(LIML) − a/(n − l) with l instruments in all.

    R: AER has none, ``r_scripts/kclass.R``. linearmodels: ``IVLIML(fuller=a)``. Stata: ``ivreg2, fuller(a)``.

    Parameters
    ----------
    a : float, default 1
        1 makes the estimator nearly unbiased, 4 gives a small mean squared error.

    Raises
    ------
    UnsupportedError
        If `a` is not a positive number.
    """

    keyword: ClassVar[str] = "fuller"
    title: ClassVar[str] = "Fuller"
    a: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.a) and self.a > 0):
            raise UnsupportedError(f"fuller(a) with a={self.a!r}.", available="a number above 0; without it, liml")
        object.__setattr__(self, "a", float(self.a))

    def __str__(self) -> str:
        return f"fuller({self.a:.17g})" if float(f"{self.a:g}") != self.a else f"fuller({self.a:g})"


def parse_method(text: str | Method) -> Method:
    """Read ``"2sls"``, ``"liml"`` or ``"fuller(a)"``; ``"fuller"`` is ``"fuller(1)"``. Case does not matter.

    Parameters
    ----------
    text : str or Method
        A :class:`Method` is returned as it is.

    Raises
    ------
    UnsupportedError
        If the text names no known estimator.
    """
    if isinstance(text, Method):
        return text
    if not isinstance(text, str):
        raise UnsupportedError(f"method={text!r} is a {type(text).__name__}, not a text.", available=_AVAILABLE)
    number = r"-?\d++(?:\.\d*+)?(?:e[+-]?\d++)?"  # nothing matched is given back, so that no text takes long to refuse
    found = re.fullmatch(rf"\s*+(2sls|tsls|liml|fuller(?:\(\s*+({number})\s*+\))?)\s*+", text, flags=re.IGNORECASE)
    name = found.group(1).lower() if found else ""
    if name == "liml":
        return LIML()
    if name in ("2sls", "tsls"):
        return TwoStage()
    if found is None:
        raise UnsupportedError(f"method={text!r} is not a known estimator.", available=_AVAILABLE)
    return Fuller(float(found.group(2) or 1))


def check_vcov(method: Method, vcov: Vcov) -> None:
    """Refuse a covariance estimator that has no definition for the method; every engine asks this first.

    Raises
    ------
    UnsupportedError
        HC2 to HC5, panel-corrected and bootstrap covariances with LIML or Fuller; Bekker's with 2SLS.
    """
    if isinstance(method, TwoStage):
        if isinstance(vcov, Bekker):
            raise UnsupportedError(
                "bekker corrects LIML and Fuller for many instruments; two-stage least squares stays biased then.",
                do='ask with method="liml".',
            )
    elif not isinstance(vcov, (*_OF_SCORES, Bekker)):
        raise UnsupportedError(
            f"vcov={vcov} has no definition for {method}: its leverages or refits are those of 2SLS.",
            available="classical, HC0, HC1, cluster(g), nw(4), andrews, dk(unit, period), bekker",
        )
