"""Covariance estimators and reference distributions: what may be asked, and which R and Python call each one equals.

Every class states the R call (``fit`` is an ``AER::ivreg`` object; packages sandwich and lmtest attached) and the
linearmodels call that give the same matrix. "none" means that linearmodels has no such estimator; the native engine
then builds it from bread and meat in :mod:`ivbridge.sandwich`.

The short text form, used by the command line and by ``vcov="…"``, is what ``str()`` prints and
:func:`ivbridge.vcov_text.parse_vcov` reads, for example ``classical``, ``HC1``, ``cluster(state)``,
``cluster(state, year, type=HC1)``, ``nw(4)``, ``nw(lag=4, prewhite=0)``, ``andrews``, ``dk(firm, year)`` and
``bootstrap(R=250, seed=1)``.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import ClassVar, Literal

from ivbridge.errors import UnsupportedError

__all__ = [
    "HC0", "HC1", "HC2", "HC3", "HC4", "HC5", "Andrews", "Bekker", "Bootstrap", "Classical", "Clustered",
    "DriscollKraay", "HC4m", "Inference", "NeweyWest", "PanelCorrected", "T", "Vcov", "Z",
]  # fmt: skip

Kernel = Literal["Quadratic Spectral", "Bartlett", "Parzen", "Tukey-Hanning", "Truncated"]


@dataclass(frozen=True, slots=True)
class Vcov:
    """A covariance estimator. Subclasses are plain frozen records; ``str()`` gives the short text form."""

    keyword: ClassVar[str] = ""
    #: names of the fields that hold column names of the data
    column_fields: ClassVar[tuple[str, ...]] = ()
    #: names of the fields that the short text form takes by position
    positional: ClassVar[tuple[str, ...]] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that the estimator needs."""
        found: list[str] = []
        for name in self.column_fields:
            value = getattr(self, name)
            found.extend(value if isinstance(value, tuple) else () if value is None else (value,))
        return tuple(found)

    def __str__(self) -> str:
        shown = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in self.positional and value is not None:
                shown.append(", ".join(map(_quoted, value if isinstance(value, tuple) else (value,))))
            elif value != field.default:
                shown.append(f"{field.name}={_quoted(value)}")
        return f"{self.keyword}({', '.join(shown)})" if shown else self.keyword


def _quoted(value: object) -> str:
    text = str(value)
    return text if re.fullmatch(r"[\w.+-]+", text) else '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def _check(record: Vcov, field: str, allowed: tuple[object, ...]) -> None:
    value = getattr(record, field)
    if value not in allowed:
        raise UnsupportedError(
            f"{record.keyword}: {field}={value!r} is not offered.", available=", ".join(map(repr, allowed))
        )


#: Smallest and largest value of each number; one bootstrap sample has no covariance. R's integers end at 2³¹ − 1.
_LIMITS = {"lag": (0, 10**6), "prewhite": (0, 10**6), "bw": (0, 10**6), "R": (2, 10**6), "seed": (1 - 2**31, 2**31 - 1)}

#: Clustered in d ways a covariance is a sum of 2ᵈ − 1.
_DIMENSIONS = 8


def _check_numbers(record: Vcov) -> None:
    for name in (one.name for one in dataclasses.fields(record) if isinstance(one.default, bool)):
        _check(record, name, (True, False))
    for field, (least, most) in _LIMITS.items():
        value, kind = getattr(record, field, None), float if field == "bw" else int
        if isinstance(value, bool) or not (value is None or (isinstance(value, int | kind) and least <= value <= most)):
            kinds = f"{'numbers' if kind is float else 'whole numbers'} from {least} to {most}"
            raise UnsupportedError(f"{record.keyword}: {field}={value!r} is not offered.", available=kinds)


@dataclass(frozen=True, slots=True)
class Classical(Vcov):
    """Homoskedastic covariance, s² (X̂'X̂)⁻¹ with s² = SSR/(n−k).

    R: ``vcov(fit)``, the default of ``summary(fit)``. linearmodels: ``cov_type="unadjusted", debiased=True``.
    Stata: ``ivregress 2sls, small``.
    """

    keyword: ClassVar[str] = "classical"


@dataclass(frozen=True, slots=True)
class HC0(Vcov):
    """White's covariance. R: ``sandwich(fit)`` = ``vcovHC(fit, type="HC0")``. linearmodels: ``"robust",
    debiased=False``, its default. Stata: ``vce(robust)``.
    """

    keyword: ClassVar[str] = "HC0"


@dataclass(frozen=True, slots=True)
class HC1(Vcov):
    """HC0 × n/(n−k). R: ``vcovHC(fit, type="HC1")``. linearmodels: ``"robust", debiased=True``. Stata:
    ``vce(robust) small``.
    """

    keyword: ClassVar[str] = "HC1"


@dataclass(frozen=True, slots=True)
class HC2(Vcov):
    """Squared residuals over 1 − h. R: ``vcovHC(fit, type="HC2")`` with AER's hat values
    hᵢ = xᵢ'(X̂'X̂)⁻¹x̂ᵢ, which ignore weights (the ivreg package uses another definition). linearmodels: none.
    """

    keyword: ClassVar[str] = "HC2"


@dataclass(frozen=True, slots=True)
class HC3(Vcov):
    """Squared residuals over (1 − h)². R: ``vcovHC(fit)``, its default type, with AER's hat values.
    linearmodels: none.
    """

    keyword: ClassVar[str] = "HC3"


@dataclass(frozen=True, slots=True)
class HC4(Vcov):
    """Squared residuals over (1 − h)^δ, δ = min(4, nh/p) (Cribari-Neto 2004). R: ``vcovHC(fit, type="HC4")``.
    linearmodels: none.
    """

    keyword: ClassVar[str] = "HC4"


@dataclass(frozen=True, slots=True)
class HC4m(Vcov):
    """Squared residuals over (1 − h)^δ, δ = min(1, nh/p) + min(1.5, nh/p) (Cribari-Neto & da Silva 2011).
    R: ``vcovHC(fit, type="HC4m")``. linearmodels: none.
    """

    keyword: ClassVar[str] = "HC4m"


@dataclass(frozen=True, slots=True)
class HC5(Vcov):
    """Squared residuals over (1 − h)^(δ/2), δ = min(nh/p, max(4, 0.7 n h_max/p)) (Cribari-Neto, Souza &
    Vasconcellos 2007). R: ``vcovHC(fit, type="HC5")``. linearmodels: none.
    """

    keyword: ClassVar[str] = "HC5"


@dataclass(frozen=True, slots=True)
class Clustered(Vcov):
    """Cluster-robust covariance, any number of cluster dimensions (Cameron, Gelbach & Miller 2011).

    R: ``vcovCL(fit, cluster=…, type=…, cadjust=…, multi0=…)``. With ``type=None``, the default, R picks HC0 for the
    ivreg fit but HC1 for the auxiliary ``lm`` fits of the diagnostics; ivbridge mirrors that.
    linearmodels: ``type="HC1"`` is ``"clustered", debiased=True``; ``type="HC0", cadjust=False`` is
    ``debiased=False`` (one or two dimensions); everything else none. Stata: ``vce(cluster g) small`` is HC1.

    Parameters
    ----------
    by : tuple of str
        Column names, one a dimension.
    type : {None, "HC0", "HC1"}
        HC1 multiplies by (n−1)/(n−k).
    cadjust : bool, default True
        Multiply each dimension by G/(G−1).
    multi0 : bool, default False
        Use single observations for the last intersection (Thompson 2011; Ma 2014).
    """

    keyword: ClassVar[str] = "cluster"
    column_fields: ClassVar[tuple[str, ...]] = ("by",)
    positional: ClassVar[tuple[str, ...]] = ("by",)
    by: tuple[str, ...] = ()
    type: Literal["HC0", "HC1"] | None = None
    cadjust: bool = True
    multi0: bool = False

    def __post_init__(self) -> None:
        by: str | tuple[str, ...] = self.by  # a single name is welcome, too
        object.__setattr__(self, "by", (by,) if isinstance(by, str) else tuple(by))
        if not self.by:
            raise UnsupportedError("A clustered vcov needs at least one cluster column.", do="write cluster(state).")
        if len(self.by) > _DIMENSIONS:
            raise UnsupportedError(f"{len(self.by)} cluster columns were asked.", available=f"1 to {_DIMENSIONS}")
        _check(self, "type", (None, "HC0", "HC1"))
        _check_numbers(self)


@dataclass(frozen=True, slots=True)
class NeweyWest(Vcov):
    """Newey–West (1987, 1994) HAC covariance with Bartlett weights.

    R: ``NeweyWest(fit, lag=…, order.by=…, prewhite=…, adjust=…)``, same defaults. linearmodels: with ``prewhite=0``
    and a given lag, ``"kernel", kernel="bartlett", bandwidth=lag, debiased=adjust``; otherwise none.

    Parameters
    ----------
    lag : int, optional
        Default: the automatic choice of ``bwNeweyWest``.
    prewhite : int, default 1
        Order of the VAR prewhitening; 0 for none.
    adjust : bool, default False
        Multiply by n/(n−k).
    order_by : str, optional
        Column that gives the time order; default: the order of the rows.
    """

    keyword: ClassVar[str] = "nw"
    column_fields: ClassVar[tuple[str, ...]] = ("order_by",)
    positional: ClassVar[tuple[str, ...]] = ("lag",)
    lag: int | None = None
    prewhite: int = 1
    adjust: bool = False
    order_by: str | None = None

    def __post_init__(self) -> None:
        _check_numbers(self)


@dataclass(frozen=True, slots=True)
class Andrews(Vcov):
    """Kernel HAC covariance of Andrews (1991) with the AR(1) automatic bandwidth.

    R: ``kernHAC(fit, kernel=…, bw=…, prewhite=…, adjust=…, order.by=…)``, same defaults. linearmodels: none (its
    kernels use other bandwidth conventions).

    Parameters
    ----------
    kernel : str, default "Quadratic Spectral"
        One of sandwich's five kernels.
    bw : float, optional
        Bandwidth; default: ``bwAndrews``.
    prewhite : int, default 1
        Order of the VAR prewhitening; 0 for none.
    adjust : bool, default True
        Multiply by n/(n−k).
    order_by : str, optional
        Column that gives the time order.
    """

    keyword: ClassVar[str] = "andrews"
    column_fields: ClassVar[tuple[str, ...]] = ("order_by",)
    positional: ClassVar[tuple[str, ...]] = ()
    kernel: Kernel = "Quadratic Spectral"
    bw: float | None = None
    prewhite: int = 1
    adjust: bool = True
    order_by: str | None = None

    def __post_init__(self) -> None:
        _check(self, "kernel", ("Quadratic Spectral", "Bartlett", "Parzen", "Tukey-Hanning", "Truncated"))
        _check_numbers(self)


@dataclass(frozen=True, slots=True)
class DriscollKraay(Vcov):
    """Driscoll & Kraay (1998) panel covariance; with ``aggregate=False`` the panel Newey–West.

    R: ``vcovPL(fit, cluster=…, order.by=…, lag=…, aggregate=…, adjust=…)``, same defaults. linearmodels: none for IV.

    Parameters
    ----------
    cluster, order_by : str
        Columns that name the unit and the period.
    lag : int or {"NW1987", "NW1994", "max"}, default "NW1987"
        NW1987 is ⌊T^(1/4)⌋.
    aggregate : bool, default True
        Sum the scores within each period first (Driscoll–Kraay).
    adjust : bool, default True
        Multiply by n/(n−k).
    """

    keyword: ClassVar[str] = "dk"
    column_fields: ClassVar[tuple[str, ...]] = ("cluster", "order_by")
    positional: ClassVar[tuple[str, ...]] = ("cluster", "order_by")
    cluster: str = ""
    order_by: str = ""
    lag: int | str = "NW1987"
    aggregate: bool = True
    adjust: bool = True

    def __post_init__(self) -> None:
        if not (self.cluster and self.order_by):
            raise UnsupportedError("dk() needs the unit column and the period column.", do="write dk(firm, year).")
        if isinstance(self.lag, str):
            _check(self, "lag", ("NW1987", "NW1994", "max"))
        else:
            _check_numbers(self)


@dataclass(frozen=True, slots=True)
class PanelCorrected(Vcov):
    """Panel-corrected covariance of Beck & Katz (1995), balanced panels.

    R: ``vcovPC(fit, cluster=…, order.by=…)``. linearmodels: none for IV.
    """

    keyword: ClassVar[str] = "pc"
    column_fields: ClassVar[tuple[str, ...]] = ("cluster", "order_by")
    positional: ClassVar[tuple[str, ...]] = ("cluster", "order_by")
    cluster: str = ""
    order_by: str = ""

    def __post_init__(self) -> None:
        if not (self.cluster and self.order_by):
            raise UnsupportedError("pc() needs the unit column and the period column.", do="write pc(firm, year).")


@dataclass(frozen=True, slots=True)
class Bootstrap(Vcov):
    """Case or one-way cluster bootstrap.

    R: ``set.seed(seed); vcovBS(fit, cluster=…, R=…)``. linearmodels: none. Both engines use the same draws: the
    native engine reproduces R's generator (Mersenne Twister, rejection sampling) from the seed.

    Parameters
    ----------
    R : int, default 250
        Number of bootstrap samples.
    seed : int, default 1
        Argument of R's ``set.seed``.
    cluster : str, optional
        Draw whole clusters of this column; default: single rows.
    """

    keyword: ClassVar[str] = "bootstrap"
    column_fields: ClassVar[tuple[str, ...]] = ("cluster",)
    positional: ClassVar[tuple[str, ...]] = ()
    R: int = 250
    seed: int = 1
    cluster: str | None = None

    def __post_init__(self) -> None:
        _check_numbers(self)


@dataclass(frozen=True, slots=True)
class Bekker(Vcov):
    """Standard errors of LIML and Fuller that stay right with many instruments and homoskedastic errors.

    Bekker (1994, Econometrica 62(3)); with ``cse=True`` the corrected standard errors of Hansen, Hausman & Newey
    (2008, Journal of Business & Economic Statistics 26(4)), which add terms for third and fourth moments of the errors
    and equal Bekker's in large samples of normal ones. s² = SSR/(n−k). First stages and the tests built from auxiliary
    regressions, which Bekker's formula does not cover, are classical.
    R: none, ``r_scripts/kclass.R``. linearmodels: none. Stata: none in ivregress.

    Parameters
    ----------
    cse : bool, default False
        Add the terms for third and fourth moments.
    """

    keyword: ClassVar[str] = "bekker"
    cse: bool = False

    def __post_init__(self) -> None:
        _check(self, "cse", (True, False))


@dataclass(frozen=True, slots=True)
class T:
    """Student's t for coefficients and F for joint tests.

    ``df=None`` uses n−k, the default of ``summary(fit)`` in R; linearmodels' ``debiased=True``.
    """

    df: float | None = None

    def __str__(self) -> str:
        return "t" if self.df is None else f"t({self.df:g})"


@dataclass(frozen=True, slots=True)
class Z:
    """Standard normal for coefficients and χ² for joint tests: R's ``df = Inf``; linearmodels' ``debiased=False``."""

    def __str__(self) -> str:
        return "z"


Inference = T | Z
